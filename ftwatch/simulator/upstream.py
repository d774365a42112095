"""A provider that speaks OpenAI's wire format, follows its scripts, and makes trouble when told to."""

import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftwatch.simulator.script import SCRIPTS, Job, Script, Transition
from ftwatch.simulator.serving import Place

__all__ = ["TROUBLES", "Clock", "Upstream"]

NOT_FOUND = {
    "error": {
        "message": "Could not find fine tune: {id}",
        "type": "invalid_request_error",
        "param": "fine_tune_id",
        "code": "fine_tune_not_found",
    }
}
UNAUTHORIZED = {
    "error": {
        "message": "Incorrect API key provided.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}
FINISHED = ("succeeded", "failed", "cancelled")


class Clock:
    """The simulation's time: real time, so many times faster."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self._began = time.time()
        self._ticks = time.monotonic()

    def now(self) -> float:
        """Unix seconds of the simulation; they begin at the real time."""
        return self._began + (time.monotonic() - self._ticks) * self.speed


class StillClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__(0)

    def move(self, seconds: float) -> None:
        """Lets so many seconds pass."""
        self._began += seconds


Trouble = Callable[["Upstream", Request], "Response | None"]


def _hang(upstream: "Upstream", request: Request) -> Response:
    async def nothing() -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""

    return StreamingResponse(nothing())


def _drip(upstream: "Upstream", request: Request) -> Response:
    async def drops() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await anyio.sleep(0.2)

    return StreamingResponse(drops(), media_type="application/json")


def _circle(upstream: "Upstream", request: Request) -> Response:
    entry = {"id": f"ftjob-circle{'1' if request.query_params.get('after', '').endswith('2') else '2'}"}
    return JSONResponse({"object": "list", "data": [{**entry, "status": "running"}], "has_more": True})


def _spoiled(upstream: "Upstream", request: Request) -> Response:
    page = upstream.page(request)
    data = page["data"]
    entries = [*data, {"oops": "no id"}, 7, None, *data[:1], {"id": "ftjob-wordless"}]
    return JSONResponse({**page, "data": entries})


def _unknown(upstream: "Upstream", request: Request) -> Response:
    page = upstream.page(request)
    for entry in page["data"]:
        entry["status"] = "defrosting"
    return JSONResponse(page)


TROUBLES: dict[str, Trouble] = {
    "busy": lambda u, r: JSONResponse(
        {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}},
        429,
        {"retry-after": "1"},
    ),
    "error": lambda u, r: JSONResponse({"error": {"message": "The server had an error"}}, 500),
    "html": lambda u, r: Response("<!doctype html><title>Sign in</title>", media_type="text/html"),
    "truncated": lambda u, r: Response(json.dumps(u.page(r))[:-40], media_type="application/json"),
    "garbage": lambda u, r: Response(bytes(range(256)) * 20),
    "hang": _hang,
    "drip": _drip,
    "circle": _circle,
    "spoiled": _spoiled,
    "unknown": _unknown,
    "empty": lambda u, r: JSONResponse({"object": "list", "data": [], "has_more": False}),
    "no list": lambda u, r: JSONResponse({"object": "list", "data": {"id": "x"}}),
    "missing": lambda u, r: JSONResponse({"error": {"message": "Unknown request URL", "code": None}}, 404),
    "denied": lambda u, r: JSONResponse(UNAUTHORIZED, 401),
    "bomb": lambda u, r: Response(
        gzip.compress(bytes(200 * 1024 * 1024), 9), headers={"content-encoding": "gzip"}
    ),
}


@dataclass
class Upstream:
    """The provider. `stale` seconds is how far its listing lags behind what a retrieve shows."""

    clock: Clock = field(default_factory=Clock)
    key: str | None = None
    stale: float = 0.0
    port: int = 0
    jobs: dict[str, Job] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        jobs = "/v1/fine_tuning/jobs"
        self._trouble: Trouble | None = None
        self._left = 0
        application = Starlette(
            routes=[
                Route(jobs, self._list, methods=["GET"]),
                Route(jobs, self._create, methods=["POST"]),
                Route(jobs + "/{id}", self._retrieve, methods=["GET"]),
                Route(jobs + "/{id}/events", self._events, methods=["GET"]),
                Route(jobs + "/{id}/checkpoints", self._checkpoints, methods=["GET"]),
                Route(jobs + "/{id}/{order}", self._order, methods=["POST"]),
            ]
        )
        self.place = Place(application, self.port)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Upstream"]:
        """Serves for as long as the context lasts."""
        async with self.place.serving():
            yield self

    @property
    def url(self) -> str:
        """What a client takes for its `base_url`."""
        return f"{self.place.url}/v1"

    # ------------------------------------------------------------------------------------- the script's side

    def create(self, script: str | Script = "happy", **more: Any) -> Job:
        """A new job that follows a script."""
        id = f"ftjob-sim{len(self.jobs):06d}"
        life = SCRIPTS[script] if isinstance(script, str) else script
        job = Job(id=id, script=life, created_at=self.clock.now(), **more)
        self.jobs = {id: job, **self.jobs}
        return job

    def history(self) -> list[Transition]:
        """Everything that truly happened so far, in order."""
        now = self.clock.now()
        return sorted(
            (one for job in self.jobs.values() for one in job.transitions(now)), key=lambda one: one.at
        )

    def trouble(self, kind: str | None, times: int = 1_000_000) -> None:
        """From now on, this kind of trouble for so many requests; None: no more of it."""
        self._trouble = TROUBLES[kind] if kind else None
        self._left = times

    # ------------------------------------------------------------------------------------- the wire's side

    def _refused(self, request: Request) -> Response | None:
        self.requests.append(f"{request.method} {request.url.path}")
        if self._trouble is not None and self._left > 0:
            self._left -= 1
            answer = self._trouble(self, request)
            if answer is not None:
                return answer
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse(UNAUTHORIZED, 401)
        return None

    def page(self, request: Request) -> dict[str, Any]:
        """The page that a request asks for."""
        query = request.query_params
        wanted = {key[9:-1]: value for key, value in query.items() if key.startswith("metadata[")}
        jobs = [job for job in self.jobs.values() if wanted.items() <= job.metadata.items()]
        ids = [job.id for job in jobs]
        after, limit = query.get("after"), int(query.get("limit", 20))
        start = ids.index(after) + 1 if after in ids else 0
        now = self.clock.now() - self.stale
        shown = [job.document(max(now, job.created_at)) for job in jobs[start : start + limit]]
        return {"object": "list", "data": shown, "has_more": start + limit < len(ids)}

    async def _list(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse(self.page(request), headers=_headers())

    async def _retrieve(self, request: Request) -> Response:
        return self._of_job(request, lambda job: job.document(self.clock.now()))

    async def _events(self, request: Request) -> Response:
        return self._of_job(request, lambda job: _listed(request, job.events(self.clock.now())))

    async def _checkpoints(self, request: Request) -> Response:
        def page(job: Job) -> dict[str, Any]:
            found = _listed(request, job.checkpoints(self.clock.now()))
            ids = [entry["id"] for entry in found["data"]] or [None]
            return {**found, "first_id": ids[0], "last_id": ids[-1]}

        return self._of_job(request, page)

    async def _order(self, request: Request) -> Response:
        orders = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}
        order = request.path_params["order"]
        if order not in orders:
            return JSONResponse({"error": {"message": "Unknown request URL"}}, 404)
        now = self.clock.now()

        def obey(job: Job) -> dict[str, Any]:
            if job.status(now) not in FINISHED:
                job.order(orders[order], now)
            return job.document(now)

        return self._of_job(request, obey)

    async def _create(self, request: Request) -> Response:
        refusal = self._refused(request)
        if refusal is not None:
            return refusal
        asked = await request.json()
        metadata = asked.get("metadata") or {}
        job = self.create(
            metadata.get("script", "happy") if metadata.get("script") in SCRIPTS else "happy",
            model=asked["model"],
            suffix=asked.get("suffix"),
            metadata=metadata,
            training_file=asked["training_file"],
        )
        return JSONResponse(job.document(self.clock.now()), headers=_headers())

    def _of_job(self, request: Request, answer: Callable[[Job], dict[str, Any]]) -> Response:
        refusal = self._refused(request)
        if refusal is not None:
            return refusal
        id = request.path_params["id"]
        if id not in self.jobs:
            said = {**NOT_FOUND["error"], "message": f"Could not find fine tune: {id}"}
            return JSONResponse({"error": said}, 404)
        return JSONResponse(answer(self.jobs[id]), headers=_headers())


def _listed(request: Request, entries: list[dict[str, Any]]) -> dict[str, Any]:
    ids = [entry["id"] for entry in entries]
    after, limit = request.query_params.get("after"), int(request.query_params.get("limit", 20))
    start = ids.index(after) + 1 if after in ids else 0
    return {
        "object": "list",
        "data": entries[start : start + limit],
        "has_more": start + limit < len(entries),
    }


def _headers() -> dict[str, str]:
    return {"x-request-id": f"req_{time.monotonic_ns():x}", "openai-version": "2020-10-01"}
