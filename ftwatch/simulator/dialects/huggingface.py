"""Hugging Face Jobs, as huggingface_hub speaks it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import ENDED, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "HuggingFace"]

OWNER = {"id": "5e9ecfc0acme", "name": "acme", "type": "org"}
USER = {"type": "user", "id": "5e9ecfc0user", "name": "kim"}


class HuggingFace(Dialect):
    """`/api/jobs/{namespace}`: a bare list, newest first, that leads on in its Link header."""

    kind = "huggingface"
    id_form = "687fb701029421ae{number:08x}"
    words: ClassVar[Mapping[str, str]] = {
        "validating_files": "SCHEDULING",
        "queued": "SCHEDULING",
        "running": "RUNNING",
        "paused": "RUNNING",
        "succeeded": "COMPLETED",
        "failed": "ERROR",
        "cancelled": "CANCELED",
    }
    shows: ClassVar[Mapping[str, str]] = {"validating_files": "queued", "paused": "running"}
    tells_model = False
    path = "/api/jobs/{namespace}"

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """The token stands under its own name."""
        return {
            "kind": self.kind,
            "base_url": url,
            "namespace": OWNER["name"],
            **({"token": key} if key else {}),
        }

    def routes(self, world: Upstream) -> list[Route]:
        """List, inspect, cancel, and whose token it is."""

        def page(request: Request) -> Response:
            if request.path_params["namespace"] not in (OWNER["name"], USER["name"]):
                return self.said(403, "You do not have access to this namespace's jobs")
            _, end = self._window(world, request)
            following = f"{world.place.url}{request.url.path}?cursor={end}"
            more = end < len(world.jobs)
            return JSONResponse(
                self.listing(world, request), headers={"link": f'<{following}>; rel="next"'} if more else {}
            )

        def inspect(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now()))

        def cancel(request: Request, job: Job) -> Response:
            if job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return JSONResponse(self.document(job, world.now()))

        def whoami(request: Request) -> Response:
            return JSONResponse(
                {
                    **USER,
                    "orgs": [OWNER],
                    "auth": {"type": "access_token", "accessToken": {"displayName": "ci", "role": "write"}},
                }
            )

        return [
            Route("/api/whoami-v2", world.guarded(whoami), methods=["GET"]),
            Route(self.path, world.guarded(page), methods=["GET"]),
            Route(self.path + "/{id}", world.of_job(inspect), methods=["GET"]),
            Route(self.path + "/{id}/cancel", world.of_job(cancel), methods=["POST"]),
        ]

    def _window(self, world: Upstream, request: Request) -> tuple[int, int]:
        start = int(request.query_params.get("cursor", 0))
        return start, start + world.page_cap

    def listing(self, world: Upstream, request: Request) -> list[dict[str, Any]]:
        """A page of jobs, newest first."""
        start, end = self._window(world, request)
        now = world.listed_at()
        return [self.document(job, max(now, job.created_at)) for job in list(world.jobs.values())[start:end]]

    def entries(self, listing: Any) -> list[Any]:
        """The listing is the list."""
        found: list[Any] = listing
        return found

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """A job as the service shows it, whose durations are counted anew for each answer."""
        state = job.state(now)
        until = state.ended_at or now
        started = state.started_at
        return {
            "id": job.id,
            "createdAt": _iso(job.created_at),
            "startedAt": _iso(started) if started is not None else None,
            "finishedAt": _iso(state.ended_at) if state.ended_at is not None else None,
            "dockerImage": "python:3.12",
            "command": ["python", "train.py"],
            "arguments": [],
            "environment": {},
            "flavor": "a10g-large",
            "labels": {**job.metadata, **({"name": job.suffix} if job.suffix else {})},
            "status": {"stage": self.word(state.status), "message": (state.error or {}).get("message")},
            "durations": {
                "schedulingSecs": int(started - job.created_at) if started is not None else None,
                "runningSecs": int(until - started) if started is not None else None,
                "totalSecs": int(until - job.created_at),
            },
            "owner": OWNER,
            "initiator": USER,
        }

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this stage."""
        entry["status"]["stage"] = word

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error as the service words it."""
        return JSONResponse(
            {"error": message}, status, headers={"retry-after": "1"} if status == 429 else None
        )

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.said(404, f"Job {id} does not exist")


def _iso(at: float) -> str:
    """A moment as the service writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


DIALECT = HuggingFace()
