"""A small service of nobody's, for a kind that is told everything: numbered pages and words of its own."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import Entry, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Http"]

JOBS = "/tuning/jobs"
DESCRIPTION: dict[str, Any] = {
    "auth": {"header": "x-api-key", "scheme": ""},
    "list": {"path": JOBS, "entries": "result.jobs"},
    "paging": {"style": "page", "size_parameter": "page_size", "total": "result.total"},
    "get": {"path": JOBS + "/{id}", "entry": "job"},
    "fields": {
        "id": "uid",
        "status": "state.name",
        "name": "display_name",
        "owner": "created_by.email",
        "created_at": "created",
        "started_at": "state.began",
        "finished_at": "state.ended",
        "model": "spec.base",
        "fine_tuned_model": "output.model",
        "error.code": "state.reason.code",
        "error.message": "state.reason.text",
        "hyperparameters": "spec.settings",
        "training_file": "spec.data.0",
        "trained_tokens": "output.tokens",
        "progress.step": "state.step",
        "progress.total_steps": "state.steps",
    },
    "statuses": {
        "validating_files": ["CHECKING"],
        "queued": ["WAITING"],
        "running": ["TRAINING"],
        "paused": ["HELD"],
        "succeeded": ["DONE"],
        "failed": ["BROKEN"],
        "cancelled": ["STOPPED"],
    },
    "labels_from": ["tags"],
    "log": {
        "path": JOBS + "/{id}/history",
        "entries": "history",
        "fields": {"at": "time", "status": "state", "message": "text", "step": "step", "metrics": "figures"},
    },
    "checkpoints": {"entries": "output.saved", "fields": {"at": "time", "step": "step", "model": "name"}},
}


class Http(Dialect):
    """`/api/tuning/jobs?page=…&page_size=…`, newest first, with the number of all jobs on every page."""

    kind = "http"
    prefix = "/api"
    model = "acme-base-7b"
    id_form = "run-{number:06d}"
    words = {  # noqa: RUF012 - a table of the class, never changed
        status: words[0] for status, words in DESCRIPTION["statuses"].items()
    }
    log_tells = frozenset({"states", "ends", "figures"})

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """The whole description."""
        return {**super().options(url, key, folder), **DESCRIPTION}

    def admits(self, request: Request, key: str) -> bool:
        """The key stands bare, in a header of its own."""
        return request.headers.get("x-api-key") == key

    def routes(self, world: Upstream) -> list[Route]:
        """List, retrieve, history."""
        jobs = self.prefix + JOBS

        def page(request: Request) -> Response:
            return JSONResponse(self.listing(world, request))

        def retrieve(request: Request, job: Job) -> Response:
            return JSONResponse({"job": self.document(job, world.now())})

        def history(request: Request, job: Job) -> Response:
            return JSONResponse({"history": [self.line(job, entry) for entry in job.log(world.now())]})

        return [
            Route(jobs, world.guarded(page), methods=["GET"]),
            Route(jobs + "/{id}", world.of_job(retrieve), methods=["GET"]),
            Route(jobs + "/{id}/history", world.of_job(history), methods=["GET"]),
        ]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """One numbered page; after the last one they are empty."""
        number = int(request.query_params.get("page", 1))
        size = min(int(request.query_params.get("page_size", 20)), world.page_cap)
        jobs, now = list(world.jobs.values()), world.listed_at()
        shown = jobs[(number - 1) * size : number * size]
        found = [self.document(job, max(now, job.created_at)) for job in shown]
        return {"result": {"jobs": found, "total": len(jobs)}}

    def entries(self, listing: Any) -> list[Any]:
        """The very list within it."""
        found: list[Any] = listing["result"]["jobs"]
        return found

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """The word stands in the state."""
        entry["state"]["name"] = word

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it."""
        state = job.state(now)
        error = state.error or {}
        succeeded = state.status == "succeeded"
        return {
            "uid": job.id,
            "display_name": job.suffix,
            "created": _time(job.created_at),
            "created_by": {"email": "ml@example.com"},
            "state": {
                "name": self.word(state.status),
                "began": _time(state.started_at),
                "ended": _time(state.ended_at),
                "step": state.step,
                "steps": state.steps,
                "reason": {"code": error.get("code"), "text": error.get("message")} if error else None,
            },
            "spec": {"base": job.model, "data": [job.training_file], "settings": {"epochs": 3}},
            "output": {
                # It is known from the beginning, and means nothing before the end.
                "model": f"{job.model}:{job.suffix or job.id}",
                "tokens": 48_000 * state.steps if succeeded else None,
                "saved": [
                    {"name": f"{job.id}@{entry.step}", "step": entry.step, "time": _time(entry.at)}
                    for entry in job.saved(now)
                ],
            },
            "tags": job.metadata,
        }

    def line(self, job: Job, entry: Entry) -> dict[str, Any]:
        """One line of its history."""
        if entry.step is None:
            return {"time": _time(entry.at), "state": self.word(entry.status or ""), "text": None}
        figures = {"loss": job.figures(entry.step)["train_loss"]}
        return {"time": _time(entry.at), "text": "progress", "step": entry.step, "figures": figures}

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error is one sentence."""
        return JSONResponse(
            {"detail": message}, status, headers={"retry-after": "1"} if status == 429 else None
        )

    def missing(self, id: str) -> Response:
        """The sentence about an unknown job."""
        return self.said(404, f"there is no job {id}")


def _time(at: float | None) -> str | None:
    return datetime.fromtimestamp(at, UTC).isoformat() if at is not None else None


DIALECT = Http()
