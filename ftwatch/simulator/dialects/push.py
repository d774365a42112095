"""Runs on machines of one's own that push what they are at, in Slurm's words, as a script would."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import Entry, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Push"]


class Push(Dialect):
    """Nobody is asked: each state, each tenth of the way and each checkpoint is told when it comes."""

    kind = "push"
    model = "meta-llama/Llama-3.1-8B"
    id_form = "run-{number:06d}"
    words = {  # noqa: RUF012
        "queued": "PENDING",
        "running": "RUNNING",
        "paused": "SUSPENDED",
        "succeeded": "COMPLETED",
        "failed": "FAILED",
        "cancelled": "CANCELLED",
    }
    pages = False

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """There is no address, only what lets runs in."""
        return {"kind": self.kind, "token": key}

    def routes(self, world: Upstream) -> Sequence[Route]:
        """Nobody asks a run."""
        return []

    def pushes(self, world: Upstream, since: float) -> Iterator[bytes]:
        """What the runs had to say, in the order of time."""
        now = world.now()
        told = [
            (entry.at, number, job, entry, is_saved)
            for number, job in enumerate(world.jobs.values())
            for is_saved, entries in ((False, job.log(now)), (True, job.saved(now)))
            for entry in entries
            if since <= entry.at < now
        ]
        for _, _, job, entry, is_saved in sorted(told, key=lambda one: one[:2]):
            yield json.dumps(self.push(job, entry, is_saved=is_saved)).encode()

    def push(self, job: Job, entry: Entry, *, is_saved: bool = False) -> dict[str, Any]:
        """One push."""
        said: dict[str, Any] = {
            "id": job.id,
            "name": job.suffix or job.id,
            "model": job.model,
            "metadata": job.metadata,
            "at": entry.at,
        }
        if entry.status is not None:
            state = job.state(entry.at)
            done = {"fine_tuned_model": f"/out/{job.id}"} if entry.status == "succeeded" else {}
            return {**said, "status": self.word(entry.status), "error": state.error, **done}
        about = {"step": entry.step, "total_steps": job.script.steps, "metrics": job.figures(entry.step or 0)}
        return {
            **said,
            **about,
            **({"checkpoint": f"/out/{job.id}/checkpoint-{entry.step}"} if is_saved else {}),
        }


DIALECT = Push()
