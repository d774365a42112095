"""Fine-tuning on Azure OpenAI: OpenAI's shapes with words, ways in and habits of its own."""

from itertools import count
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialects.openai import OpenAI
from ftwatch.simulator.script import Entry, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT"]

SAID = {
    "validating_files": "Preprocessing started.",
    "queued": "Job enqueued. Waiting for jobs ahead to complete.",
    "running": "Job started.",
    "paused": "Job paused.",
    "succeeded": "Job succeeded.",
    "failed": "Job failed.",
    "cancelled": "Job canceled.",
}


class Azure(OpenAI):
    """`/openai/v1/fine_tuning/jobs`, and the older `/openai/fine_tuning/jobs?api-version=…`."""

    kind = "azure"
    sends_hooks = False
    prefix = ""
    path = "/openai/v1/fine_tuning/jobs"
    older = "/openai/fine_tuning/jobs"
    words: ClassVar[dict[str, str]] = {"queued": "pending", "cancelled": "canceled"}

    def __init__(self) -> None:
        self._numbers = count()

    def routes(self, world: Upstream) -> list[Route]:
        """The same endpoints at both paths; those of old are not found without a version."""
        routes = super().routes(world)
        older = [
            Route(route.path.replace(self.path, self.older), self._versioned(route), methods=route.methods)
            for route in routes
        ]
        return [*routes, *older]

    def _versioned(self, route: Route) -> Any:
        async def endpoint(request: Request) -> Response:
            if "api-version" not in request.query_params:
                return self.said(404, "Resource not found", "404")
            answer: Response = await route.endpoint(request)
            return answer

        return endpoint

    def admits(self, request: Request, key: str) -> bool:
        """Whether a request brings the right key, or the right token."""
        return request.headers.get("api-key") == key or super().admits(request, key)

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it: what it does not have is null, or not there at all."""
        found = super().document(job, now)
        for key in ("organization_id", "user_provided_suffix"):
            del found[key]
        state = job.state(now)
        if state.started_at is None:
            found["hyperparameters"] = {"n_epochs": -1}
        if state.status == "paused":
            found["finished_at"] = int(state.since)
        return {
            **found,
            "fine_tuned_model": found["fine_tuned_model"] and f"{job.model}.ft-{job.id[-6:]}",
            "result_files": found["result_files"] or None,
            "error": state.error,
            "suffix": job.suffix,
        }

    def events(self, job: Job, now: float) -> list[dict[str, Any]]:
        """The job's own log, oldest first; each time it is asked for, the events have other ids."""
        return [
            {**event, "id": f"ftevent-{next(self._numbers):032x}"} for event in super().events(job, now)[::-1]
        ]

    def event(self, job: Job, number: int, entry: Entry) -> dict[str, Any]:
        """One line of it."""
        found = super().event(job, number, entry)
        if entry.step is None:
            found["message"] = SAID[entry.status or ""]
            del found["data"]
        return found

    def checkpoints(self, job: Job, now: float) -> list[dict[str, Any]]:
        """Its checkpoints, oldest first."""
        return super().checkpoints(job, now)[::-1]

    def part(self, request: Request, entries: list[dict[str, Any]], *, bounds: bool = False) -> Response:
        """A page of a part of a job's log. What it called an entry a moment ago means nothing to it."""
        after = request.query_params.get("after")
        if after is None or after in [entry["id"] for entry in entries]:
            return super().part(request, entries)
        return self.said(400, "Given after argument was not found in items.")

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error as the service words it."""
        about = {"code": code or str(status), "message": message}
        return JSONResponse({"error": about}, status, headers={"retry-after": "1"} if status == 429 else None)

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know: that of an address it does not know."""
        return self.said(404, "Resource not found", "404")


DIALECT = Azure()
