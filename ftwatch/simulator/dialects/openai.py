"""OpenAI's fine-tuning API, as its own client and its relatives speak it."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator import hooks
from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import ENDED, SCRIPTS, Entry, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "OpenAI"]

ORDERS = {"cancel": "cancelled", "pause": "paused", "resume": "queued"}
SAID = {
    "validating_files": "Validating training file: {file}",
    "queued": "Files validated, moving job to queued state",
    "running": "Fine-tuning job started",
    "paused": "Job paused",
    "succeeded": "The job has successfully completed",
    "cancelled": "Job cancelled",
}


class OpenAI(Dialect):
    """`/v1/fine_tuning/jobs`: windows anchored at ids, newest first."""

    kind = "openai"
    prefix = "/v1"
    path = "/fine_tuning/jobs"
    sends_hooks = True

    def routes(self, world: Upstream) -> list[Route]:
        """List, create, retrieve, events, checkpoints, and the orders that a job takes; webhook endpoints."""
        jobs = self.prefix + self.path

        def page(request: Request) -> Response:
            return JSONResponse(self.listing(world, request), headers=_headers())

        async def create(request: Request) -> Response:
            asked = await request.json()
            metadata = asked.get("metadata") or {}
            script = metadata.get("script")
            job = world.create(
                script if script in SCRIPTS else "happy",
                model=asked["model"],
                suffix=asked.get("suffix"),
                metadata=metadata,
                training_file=asked["training_file"],
            )
            return JSONResponse(self.document(job, world.now()), headers=_headers())

        def events(request: Request, job: Job) -> Response:
            return self.part(request, self.events(job, world.now()))

        def checkpoints(request: Request, job: Job) -> Response:
            return self.part(request, self.checkpoints(job, world.now()), bounds=True)

        def retrieve(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now()), headers=_headers())

        def order(request: Request, job: Job) -> Response:
            wanted = request.path_params["order"]
            if wanted not in ORDERS:
                return self.said(404, "Unknown request URL")
            if job.status(world.now()) not in ENDED:
                job.order(ORDERS[wanted], world.now())
            return JSONResponse(self.document(job, world.now()), headers=_headers())

        return [
            Route(jobs, world.guarded(page), methods=["GET"]),
            Route(jobs, world.guarded(create), methods=["POST"]),
            Route(jobs + "/{id}", world.of_job(retrieve), methods=["GET"]),
            Route(jobs + "/{id}/events", world.of_job(events), methods=["GET"]),
            Route(jobs + "/{id}/checkpoints", world.of_job(checkpoints), methods=["GET"]),
            Route(jobs + "/{id}/{order}", world.of_job(order), methods=["POST"]),
            *(hooks.routes(world, self.prefix) if self.sends_hooks else ()),
        ]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A page of jobs, newest first, as far behind the truth as the service is told to be."""
        query = request.query_params
        wanted = {key[9:-1]: value for key, value in query.items() if key.startswith("metadata[")}
        jobs = [job for job in world.jobs.values() if wanted.items() <= job.metadata.items()]
        ids = [job.id for job in jobs]
        after, limit = query.get("after"), min(int(query.get("limit", 20)), world.page_cap)
        start = ids.index(after) + 1 if after in ids else 0
        now = world.listed_at()
        shown = [self.document(job, max(now, job.created_at)) for job in jobs[start : start + limit]]
        return {"object": "list", "data": shown, "has_more": start + limit < len(ids)}

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it."""
        state = job.state(now)
        succeeded = state.status == "succeeded"
        settings: dict[str, Any] = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8}
        if state.started_at is None:
            settings = dict.fromkeys(settings, "auto")
        return {
            "object": "fine_tuning.job",
            "id": job.id,
            "created_at": int(job.created_at),
            "error": state.error or {},
            "fine_tuned_model": f"ft:{job.model}:acme:{job.suffix or 'run'}:{job.id[-6:]}"
            if succeeded
            else None,
            "finished_at": int(state.ended_at) if state.ended_at is not None else None,
            "hyperparameters": settings,
            "model": job.model,
            "organization_id": "org-simulated",
            "result_files": [f"file-{job.id[-6:]}"] if succeeded else [],
            "status": self.word(state.status),
            "trained_tokens": 48_000 * state.steps if succeeded else None,
            "training_file": job.training_file,
            "validation_file": None,
            "integrations": [],
            "seed": 42,
            "estimated_finish": int(job.created_at + 900) if state.status == "running" else None,
            "method": {"type": "supervised", "supervised": {"hyperparameters": settings}},
            "metadata": job.metadata,
            "user_provided_suffix": job.suffix,
        }

    def events(self, job: Job, now: float) -> list[dict[str, Any]]:
        """The job's own log, newest first."""
        return [self.event(job, number, entry) for number, entry in enumerate(job.log(now))][::-1]

    def event(self, job: Job, number: int, entry: Entry) -> dict[str, Any]:
        """One line of it."""
        data: dict[str, Any] = {}
        if entry.step is not None:
            known = job.figures(entry.step)
            data = {
                "step": entry.step,
                "total_steps": job.script.steps,
                "train_loss": known["train_loss"],
                "valid_loss": known["valid_loss"],
                "train_mean_token_accuracy": known["train_accuracy"],
            }
            message = f"Step {entry.step}/{job.script.steps}: training loss={known['train_loss']}"
        elif entry.status == "failed":
            message = (job.script.error or {}).get("message", "The job failed")
        else:
            message = SAID.get(entry.status or "", f"Job {entry.status}").format(file=job.training_file)
        return {
            "object": "fine_tuning.job.event",
            "id": f"ftevent-{job.id[-6:]}-{number}",
            "created_at": int(entry.at),
            "level": "error" if entry.status == "failed" else "info",
            "message": message,
            "type": "metrics" if data else "message",
            "data": data,
        }

    def checkpoints(self, job: Job, now: float) -> list[dict[str, Any]]:
        """Its checkpoints, newest first."""
        return [
            {
                "object": "fine_tuning.job.checkpoint",
                "id": f"ftckpt_{job.id[-6:]}{entry.step}",
                "created_at": int(entry.at),
                "fine_tuned_model_checkpoint": f"ft:{job.model}:acme::{job.id[-6:]}:ckpt-step-{entry.step}",
                "fine_tuning_job_id": job.id,
                "step_number": entry.step,
                "metrics": {"step": entry.step, "train_loss": job.figures(entry.step or 0)["train_loss"]},
            }
            for entry in reversed(job.saved(now))
        ]

    def part(self, request: Request, entries: list[dict[str, Any]], *, bounds: bool = False) -> Response:
        """A page of a part of a job's log. `bounds`: the page says between which ids it lies."""
        ids = [entry["id"] for entry in entries]
        after, limit = request.query_params.get("after"), int(request.query_params.get("limit", 20))
        start = ids.index(after) + 1 if after in ids else 0
        shown = ids[start : start + limit] or [None]
        return JSONResponse(
            {
                "object": "list",
                "data": entries[start : start + limit],
                "has_more": start + limit < len(entries),
                **({"first_id": shown[0], "last_id": shown[-1]} if bounds else {}),
            },
            headers=_headers(),
        )


def _headers() -> dict[str, str]:
    return {
        "x-request-id": f"req_{time.monotonic_ns():x}",
        "openai-version": "2020-10-01",
        "openai-organization": "acme",
        "openai-project": "proj_simulated",
    }


DIALECT = OpenAI()
