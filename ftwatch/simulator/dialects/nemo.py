"""NVIDIA NeMo Customizer, as its own client speaks it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import ENDED, Entry, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "NeMo"]

EPOCHS = 3
STEPS = {
    "validating_files": "created",
    "queued": "TrainingJobPending",
    "running": "TrainingJobRunning",
    "succeeded": "TrainingJobCompleted",
    "failed": "TrainingJobFailed",
}
SERIES = {"train_loss": "train_loss", "val_loss": "valid_loss", "train_accuracy": "train_accuracy"}


class NeMo(Dialect):
    """`/v1/customization/jobs`: numbered pages, times without a zone, figures inside the document."""

    kind = "nemo"
    model = "meta/llama-3.1-8b-instruct@v1.0.0+A100"
    id_form = "cust-Sim{number:06d}"
    words: ClassVar[Mapping[str, str]] = {
        "validating_files": "created",
        "queued": "pending",
        "succeeded": "completed",
    }
    shows: ClassVar[Mapping[str, str]] = {"validating_files": "queued"}
    path = "/v1/customization/jobs"

    def routes(self, world: Upstream) -> list[Route]:
        """List, retrieve, status and cancel."""

        def page(request: Request) -> Response:
            return JSONResponse(self.listing(world, request))

        def retrieve(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now()))

        def status(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now())["status_details"])

        def cancel(request: Request, job: Job) -> Response:
            if job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return JSONResponse(self.document(job, world.now()))

        return [
            Route(self.path, world.guarded(page), methods=["GET"]),
            Route(self.path + "/{id}", world.of_job(retrieve), methods=["GET"]),
            Route(self.path + "/{id}/status", world.of_job(status), methods=["GET"]),
            Route(self.path + "/{id}/cancel", world.of_job(cancel), methods=["POST"]),
        ]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A numbered page; oldest first unless it is asked for otherwise."""
        query = request.query_params
        number, size = int(query.get("page", 1)), min(int(query.get("page_size", 10)), world.page_cap)
        jobs = list(world.jobs.values())
        if query.get("sort") != "-created_at":
            jobs.reverse()
        now = world.listed_at()
        shown = jobs[(number - 1) * size : number * size]
        return {
            "object": "list",
            "data": [self.document(job, max(now, job.created_at)) for job in shown],
            "pagination": {
                "page": number,
                "page_size": size,
                "current_page_size": len(shown),
                "total_pages": -(-len(jobs) // size),
                "total_results": len(jobs),
            },
            "sort": query.get("sort", "created_at"),
        }

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """A job as the service shows it; the name of its model is known from the beginning."""
        state = job.state(now)
        each = state.steps // EPOCHS
        word = self.word(state.status)
        return {
            "id": job.id,
            "created_at": _naive(job.created_at),
            "updated_at": _naive(job.created_at),
            "namespace": "default",
            "config": job.model,
            "dataset": f"default/{job.training_file}",
            "hyperparameters": {
                "finetuning_type": "lora",
                "training_type": "sft",
                "epochs": EPOCHS,
                "batch_size": 16,
                "learning_rate": 0.0001,
                "sft": None,
            },
            "output_model": f"default/{job.suffix or 'run'}@{job.id}",
            "status": word,
            "status_details": {
                "created_at": _naive(job.created_at),
                "updated_at": _naive(state.ended_at or now),
                "status": word,
                "steps_completed": state.step,
                "steps_per_epoch": each,
                "epochs_completed": state.step // each,
                "percentage_done": 100 * (state.step // each) / EPOCHS,
                "elapsed_time": (state.ended_at or now) - (state.started_at or now),
                "status_logs": [
                    self.logged(job, entry) for entry in job.log(now) if entry.status is not None
                ],
                "metrics": {"keys": [*SERIES], "metrics": self.series(job, now)},
            },
            "custom_fields": job.metadata,
            "ownership": {"created_by": "", "access_policies": {}},
        }

    def logged(self, job: Job, entry: Entry) -> dict[str, Any]:
        """One step of its history."""
        line = {"updated_at": _naive(entry.at), "message": STEPS.get(entry.status or "", entry.status)}
        if entry.status == "failed":
            line["detail"] = (job.script.error or {}).get("message", "the training pod ended with code 1")
        return line

    def series(self, job: Job, now: float) -> dict[str, list[dict[str, Any]]]:
        """Its figures so far, by their names."""
        points = [(entry.at, entry.step) for entry in job.log(now) if entry.step is not None]
        return {
            name: [
                {"step": step, "value": job.figures(step)[ours], "timestamp": _naive(at)}
                for at, step in points
            ]
            for name, ours in SERIES.items()
        }

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this status, in both of its places."""
        entry["status"] = entry["status_details"]["status"] = word

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error as the service words it."""
        return JSONResponse(
            {"detail": message}, status, headers={"retry-after": "1"} if status == 429 else None
        )

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.said(404, f"Customization job {id} not found.")


def _naive(at: float) -> str:
    """A moment as the service writes it: UTC, without saying so."""
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


DIALECT = NeMo()
