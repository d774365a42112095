"""Trainers that write their logs below a folder, as LLaMA-Factory and the Hugging Face Trainer do."""

import json
import os
import shutil
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "File"]

RUNS = "runs"
# How long ago a trainer wrote its last line that is not there any more (seconds).
LONG_AGO = 86400.0


class File(Dialect):
    """One folder a run: `runs/ID/NAME`, with `trainer_log.jsonl`, checkpoints, and in the end a model.

    The log is there from the beginning, and empty until the training begins. A trainer that stops before its
    last step leaves no word: all that shows is that its files are old.
    """

    kind = "file"
    model = "meta-llama/Llama-3.1-8B"
    id_form = "run-{number:06d}"
    shows = {"validating_files": "queued", "failed": "paused", "cancelled": "paused"}  # noqa: RUF012
    pages = False

    def __init__(self) -> None:
        self._folder: Path | None = None

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """The runs are written below `folder` from now on, and watched there."""
        self._folder = folder / RUNS
        self._folder.mkdir(exist_ok=True)
        return {"kind": self.kind, "paths": [str(self._folder / "*" / "*" / "trainer_log.jsonl")]}

    def routes(self, world: Upstream) -> Sequence[Route]:
        """Nobody asks a file by HTTP."""
        return []

    def write(self, world: Upstream) -> None:
        """Every run's files as they are now; a job that was taken away takes its folder along."""
        if self._folder is None:
            return
        for gone in {path.name for path in self._folder.iterdir()} - world.jobs.keys():
            shutil.rmtree(self._folder / gone)
        for job in world.jobs.values():
            self._write(job, world.now(), self._folder / job.id / (job.suffix or job.id))

    def _write(self, job: Job, now: float, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = job.state(now)
        lines = self.lines(job, now)
        at = lines[-1][0] if lines else job.created_at
        if state.status in ("paused", "failed", "cancelled"):
            at = time.time() - LONG_AGO
        text = "".join(json.dumps(line) + "\n" for _, line in lines)
        _put(folder / "trainer_log.jsonl", text, at)
        for saved in job.saved(now):
            _put(folder / f"checkpoint-{saved.step}" / "adapter_config.json", self.adapter(job), saved.at)
        if state.status == "succeeded":
            _put(folder / "adapter_config.json", self.adapter(job), state.ended_at or now)
            _put(folder / "adapter_model.safetensors", "weights", state.ended_at or now)

    def lines(self, job: Job, now: float) -> list[tuple[float, dict[str, Any]]]:
        """The lines of the log so far, with when each was written."""
        state, total = job.state(now), job.script.steps
        began = state.started_at
        if began is None:
            return []
        steps = [(entry.at, entry.step) for entry in job.log(now) if entry.step is not None]
        return [
            (
                at,
                {
                    "current_steps": step,
                    "total_steps": total,
                    "loss": job.figures(step)["train_loss"],
                    "lr": 5e-05,
                    "epoch": round(3 * step / total, 2),
                    "percentage": round(100 * step / total, 2),
                    "elapsed_time": str(timedelta(seconds=int(at - began))),
                    "remaining_time": str(timedelta(seconds=int(job.longest * (1 - step / total)))),
                },
            )
            for at, step in [(began, 0), *steps]
        ]

    def adapter(self, job: Job) -> str:
        """What an adapter says of itself."""
        return json.dumps({"base_model_name_or_path": job.model, "peft_type": "LORA", "r": 8})


def _put(path: Path, text: str, at: float) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (at, at))


DIALECT = File()
