"""Together's fine-tuning API: `/v1/fine-tunes`, everything in one array, times in ISO 8601."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import ENDED, Entry, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Together"]

JOBS = "/fine-tunes"
EPOCHS = 3
TOKENS = 910_000
WHO = {
    "type": "project_api_key",
    "api_key": {"id": "key_simulated"},
    "organization": {"id": "org_simulated", "name": "Acme, Inc."},
    "project": {"id": "proj_simulated", "name": "Search", "slug": "search"},
}
# What an entry of the listing leaves out of a job's document.
UNLISTED = frozenset({"started_at", "progress", "queue_depth", "steps_completed", "total_steps"})


class Together(Dialect):
    """A service without pages, pauses and validation, whose errors stand in a job's events."""

    kind = "together"
    prefix = "/v1"
    model = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
    id_form = "ft-51a0{number:04d}-7f3c-4c2a"
    words: ClassVar[Mapping[str, str]] = {
        "validating_files": "pending",
        "paused": "running",
        "cancelling": "cancel_requested",
        "succeeded": "completed",
        "failed": "error",
    }
    shows: ClassVar[Mapping[str, str]] = {"validating_files": "queued", "paused": "running"}
    pages = False

    def routes(self, world: Upstream) -> list[Route]:
        """List, retrieve, cancel, events, checkpoints, metrics, and whose key it is."""
        jobs = self.prefix + JOBS

        def page(request: Request) -> Response:
            return JSONResponse(self.listing(world, request))

        def retrieve(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now()))

        def cancel(request: Request, job: Job) -> Response:
            if job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return JSONResponse(_listed(self.document(job, world.now())))

        def events(request: Request, job: Job) -> Response:
            return JSONResponse({"data": list(self.events(job, world.now()))})

        def checkpoints(request: Request, job: Job) -> Response:
            return JSONResponse({"data": self.checkpoints(job, world.now())})

        def metrics(request: Request, job: Job) -> Response:
            first = int(request.query_params.get("global_step_from", 0))
            last = int(request.query_params.get("global_step_to", job.script.steps))
            rows = self.metrics(job, world.now())
            return JSONResponse({"metrics": [row for row in rows if first <= row["global_step"] <= last]})

        def whoami(request: Request) -> Response:
            return JSONResponse(WHO)

        return [
            Route("/v3/whoami", world.guarded(whoami), methods=["GET"]),
            Route(jobs, world.guarded(page), methods=["GET"]),
            Route(jobs + "/{id}", world.of_job(retrieve), methods=["GET"]),
            Route(jobs + "/{id}/cancel", world.of_job(cancel), methods=["POST"]),
            Route(jobs + "/{id}/events", world.of_job(events), methods=["GET"]),
            Route(jobs + "/{id}/checkpoints", world.of_job(checkpoints), methods=["GET"]),
            Route(jobs + "/{id}/metrics", world.of_job(metrics), methods=["GET"]),
        ]

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.said(404, "Fine-tune ID not found.")

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """Every job, the oldest first: no order is promised."""
        now = world.listed_at()
        jobs = reversed(world.jobs.values())
        return {"data": [_listed(self.document(job, max(now, job.created_at))) for job in jobs]}

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it: its model is named from the first moment on."""
        state = job.state(now)
        word = self.word(state.status)
        if state.error is not None and state.started_at is None:
            word = "user_error"
        is_running = word == "running"
        latest = max((entry.at for entry in job.log(now)), default=job.created_at)
        return {
            "id": job.id,
            "object": "fine-tune",
            "user_id": "user_simulated",
            "status": word,
            "created_at": _time(job.created_at),
            "updated_at": _time(latest),
            "started_at": _time(state.since),
            "model": job.model,
            "model_output_name": f"acme/{job.model.rpartition('/')[2]}-{job.suffix or 'run'}-{job.id[3:11]}",
            "suffix": job.suffix,
            "n_epochs": EPOCHS,
            "n_checkpoints": EPOCHS,
            "n_evals": 0,
            "batch_size": 8,
            "learning_rate": 1e-05,
            "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"num_cycles": 0.5}},
            "training_file": job.training_file,
            "validation_file": "",
            "token_count": TOKENS if state.started_at is not None else 0,
            "total_price": 0,
            "progress": {"estimate_available": True, "seconds_remaining": int(job.longest)}
            if is_running
            else None,
            "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16},
            "training_method": {"method": "sft", "train_on_inputs": "auto"},
            "queue_depth": 0,
            "steps_completed": state.step,
            "total_steps": state.steps,
            "epochs_completed": EPOCHS * state.step // max(1, state.steps),
            "events": list(self.events(job, now)),
        }

    def events(self, job: Job, now: float) -> Iterator[dict[str, Any]]:
        """The job's own log, oldest first."""
        shown = None
        states = [entry for entry in job.log(now) if entry.status is not None]
        # Of two things at the same moment, a checkpoint comes before the end.
        for entry in sorted([*job.saved(now), *states], key=lambda one: (one.at, one.status in ENDED)):
            if entry.status is None:
                text = f"Epoch completed, at step {entry.step}"
                yield _event(entry.at, "epoch_complete", text) | {"step": entry.step}
                continue
            word = self.word(entry.status)
            if word != shown:
                yield from self.entered(job, entry, word)
            shown = word

    def entered(self, job: Job, entry: Entry, word: str) -> Iterator[dict[str, Any]]:
        """What the log says when a job enters a state."""
        message = (job.script.error or {}).get("message", "")
        said = {
            "pending": [("job_pending", "Fine tune request created")],
            "queued": [] if entry.at > job.created_at else [("job_pending", "Fine tune request created")],
            "running": [
                ("job_start", f"Job started at {datetime.fromtimestamp(entry.at, UTC):%a %b %d %H:%M:%S}"),
                ("training_start", f"Training started for model {job.model}"),
            ],
            "cancelled": [("cancel_requested", "Job cancellation requested"), ("job_stopped", "Job stopped")],
            "completed": [("model_uploading", "Uploading model"), ("job_complete", "Job finished")],
            "error": [("job_error", message)],
        }
        for type, text in said.get(word, []):
            yield _event(entry.at, type, text, "error" if word == "error" else "info")

    def checkpoints(self, job: Job, now: float) -> list[dict[str, Any]]:
        """Its checkpoints, newest first."""
        return [
            {
                "step": entry.step,
                "created_at": _time(entry.at),
                "path": f"s3://simulated/{job.id}/{entry.step}",
                "checkpoint_type": "Final" if entry.step == job.script.steps else "Intermediate",
                "checkpoint": "adapter",
                "object_id": f"ml_{job.id[3:11]}{entry.step}",
                "object_name": f"acme/{job.suffix or 'run'}-{job.id[3:11]}-adapter-{entry.step}",
            }
            for entry in reversed(job.saved(now))
        ]

    def metrics(self, job: Job, now: float) -> list[dict[str, float]]:
        """Its figures, oldest first; training and evaluation stand in rows of their own."""
        rows: list[dict[str, float]] = []
        for entry in job.log(now):
            if entry.step is None:
                continue
            known = job.figures(entry.step)
            about = {"global_step": float(entry.step), "timestamp": entry.at}
            rows.append({"train/loss": known["train_loss"], "train/learning_rate": 1e-05, **about})
            rows.append({"eval/loss": known["valid_loss"], **about})
        return rows


def _listed(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in UNLISTED} | {"events": []}


def _event(at: float, type: str, message: str, level: str = "info") -> dict[str, Any]:
    return {
        "object": "fine-tune-event",
        "created_at": _time(at),
        "level": level,
        "message": message,
        "type": type,
        "step": 0,
        "total_steps": 0,
    }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


DIALECT = Together()
