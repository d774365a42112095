"""A simulated service: it follows its scripts, speaks one kind's dialect, and makes trouble when told to."""

import gzip
import inspect
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from ftwatch.simulator.dialect import Dialect, dialect_of
from ftwatch.simulator.hooks import Hooks
from ftwatch.simulator.script import SCRIPTS, Job, Script, Transition
from ftwatch.simulator.serving import Place

__all__ = ["TROUBLES", "Clock", "StillClock", "Upstream"]

Endpoint = Callable[[Request], Awaitable[Response]]


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


def _hang(world: "Upstream", request: Request) -> Response:
    async def nothing() -> AsyncIterator[bytes]:
        await anyio.sleep_forever()
        yield b""

    return StreamingResponse(nothing())


def _drip(world: "Upstream", request: Request) -> Response:
    async def drops() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await anyio.sleep(0.2)

    return StreamingResponse(drops(), media_type="application/json")


def _circle(world: "Upstream", request: Request) -> Response:
    entry = {"id": f"ftjob-circle{'1' if request.query_params.get('after', '').endswith('2') else '2'}"}
    return JSONResponse({"object": "list", "data": [{**entry, "status": "running"}], "has_more": True})


def _spoiled(world: "Upstream", request: Request) -> Response:
    listing = world.dialect.listing(world, request)
    entries = world.dialect.entries(listing)
    entries += [{"oops": "no id"}, 7, None, *entries[:1], {"id": "ftjob-wordless"}]
    return JSONResponse(listing)


def _unknown(world: "Upstream", request: Request) -> Response:
    listing = world.dialect.listing(world, request)
    for entry in world.dialect.entries(listing):
        world.dialect.reword(entry, "defrosting")
    return JSONResponse(listing)


TROUBLES: dict[str, Trouble] = {
    "busy": lambda w, r: w.dialect.said(429, "Rate limit reached", "rate_limit_exceeded"),
    "error": lambda w, r: w.dialect.said(500, "The server had an error"),
    "html": lambda w, r: Response("<!doctype html><title>Sign in</title>", media_type="text/html"),
    "truncated": lambda w, r: Response(
        json.dumps(w.dialect.listing(w, r))[:-40], media_type="application/json"
    ),
    "garbage": lambda w, r: Response(bytes(range(256)) * 20),
    "hang": _hang,
    "drip": _drip,
    "circle": _circle,
    "spoiled": _spoiled,
    "unknown": _unknown,
    "empty": lambda w, r: JSONResponse(w.dialect.empty(w, r)),
    "no list": lambda w, r: JSONResponse({"object": "list", "data": {"id": "x"}}),
    "missing": lambda w, r: w.dialect.said(404, "Unknown request URL"),
    "denied": lambda w, r: w.dialect.said(401, "Incorrect API key provided.", "invalid_api_key"),
    "closed": lambda w, r: w.dialect.said(410, "Fine-tuning has been discontinued."),
    "bomb": lambda w, r: Response(
        gzip.compress(bytes(200 * 1024 * 1024), 9), headers={"content-encoding": "gzip"}
    ),
}


@dataclass
class Upstream:
    """The service. `stale` seconds is how far its listing lags behind what a retrieve shows.

    `page_cap` is the most jobs that a page may hold, whatever is asked for. `told_until` is the moment before
    which jobs that tell of themselves have told everything.
    """

    clock: Clock = field(default_factory=Clock)
    key: str | None = None
    stale: float = 0.0
    port: int = 0
    page_cap: int = 1000
    jobs: dict[str, Job] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    dialect: Dialect = field(default_factory=lambda: dialect_of("openai"))
    hooks: Hooks = field(default_factory=Hooks)
    told_until: float = 0.0

    def __post_init__(self) -> None:
        self._trouble: Trouble | None = None
        self._left = 0
        self.place = Place(Starlette(routes=list(self.dialect.routes(self))), self.port)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Upstream"]:
        """Serves for as long as the context lasts."""
        async with self.place.serving(), self.hooks.sending(self):
            yield self

    @property
    def url(self) -> str:
        """What a client takes for its `base_url`."""
        return self.place.url + self.dialect.prefix

    # ------------------------------------------------------------------------------------- the script's side

    def create(self, script: str | Script = "happy", **more: Any) -> Job:
        """A new job that follows a script."""
        id = self.dialect.id_form.format(number=len(self.jobs))
        life = SCRIPTS[script] if isinstance(script, str) else script
        job = Job(id=id, script=life, created_at=self.now(), **{"model": self.dialect.model, **more})
        self.jobs = {id: job, **self.jobs}
        return job

    def history(self) -> list[Transition]:
        """Everything that truly happened so far, in order."""
        now = self.now()
        return sorted(
            (one for job in self.jobs.values() for one in job.transitions(now)), key=lambda one: one.at
        )

    def pushes(self) -> list[bytes]:
        """What jobs have told of themselves since the last call, as bodies of webhooks."""
        since, self.told_until = self.told_until, self.now()
        return list(self.dialect.pushes(self, since))

    def trouble(self, kind: str | None, times: int = 1_000_000) -> None:
        """From now on, this kind of trouble for so many requests; None: no more of it."""
        self._trouble = TROUBLES[kind] if kind else None
        self._left = times

    # ------------------------------------------------------------------------------------ the dialect's side

    def now(self) -> float:
        """The moment that a retrieve shows."""
        return self.clock.now()

    def listed_at(self) -> float:
        """The moment that a listing shows."""
        return self.clock.now() - self.stale

    def guarded(self, answer: Callable[[Request], Response | Awaitable[Response]]) -> Endpoint:
        """An endpoint that is noted, may be in trouble, and wants the key, before it answers."""

        async def endpoint(request: Request) -> Response:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            said = answer(request)
            return await said if inspect.isawaitable(said) else said

        return endpoint

    def of_job(self, answer: Callable[[Request, Job], Response]) -> Endpoint:
        """A guarded endpoint about the job whose id stands in the path."""

        def about(request: Request) -> Response:
            id = request.path_params["id"]
            return answer(request, self.jobs[id]) if id in self.jobs else self.dialect.missing(id)

        return self.guarded(about)

    def _refusal(self, request: Request) -> Response | None:
        self.requests.append(f"{request.method} {request.url.path}")
        if self._trouble is not None and self._left > 0:
            self._left -= 1
            answer = self._trouble(self, request)
            if answer is not None:
                return answer
        if self.key is not None and not self.dialect.admits(request, self.key):
            return self.dialect.said(401, "Incorrect API key provided.", "invalid_api_key")
        return None
