"""How a simulated job lives: a table of states over time, and the document it shows at any moment. Pure."""

from dataclasses import dataclass, field
from typing import Any

from ftwatch.core.job import Status

__all__ = ["SCRIPTS", "Job", "Script", "Transition"]

ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True)
class Script:
    """A life: after so many seconds (of the simulation), this status."""

    name: str
    states: tuple[tuple[float, str], ...]
    error: dict[str, str] | None = None
    steps: int = 300


@dataclass(frozen=True)
class Transition:
    """One thing that truly happened: at (Unix seconds of the simulation), this job became this status."""

    at: float
    job: str
    status: str


SCRIPTS = {
    script.name: script
    for script in (
        Script("happy", ((0, "validating_files"), (60, "queued"), (180, "running"), (900, "succeeded"))),
        Script("slow", ((0, "validating_files"), (60, "queued"), (240, "running"), (3600, "succeeded"))),
        Script("instant", ((0, "queued"), (1, "succeeded"))),
        Script(
            "fails",
            ((0, "validating_files"), (90, "queued"), (240, "running"), (600, "failed")),
            {
                "code": "exceeded_quota",
                "message": "Creating this fine-tuned model would exceed your quota.",
                "param": "training_file",
            },
        ),
        Script(
            "invalid",
            ((0, "validating_files"), (120, "failed")),
            {
                "code": "invalid_training_file",
                "message": "Line 17 of the training file is not valid JSON.",
                "param": "training_file",
            },
        ),
        Script("cancelled", ((0, "queued"), (180, "running"), (600, "cancelled"))),
        Script(
            "paused",
            ((0, "queued"), (120, "running"), (420, "paused"), (720, "running"), (1200, "succeeded")),
        ),
    )
}


@dataclass
class Job:
    """A job that follows a script from `created_at` on, unless somebody orders otherwise."""

    id: str
    script: Script
    created_at: float
    model: str = "gpt-4.1-mini-2025-04-14"
    suffix: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    training_file: str = "file-train"
    orders: list[tuple[float, str]] = field(default_factory=list)

    def transitions(self, now: float) -> list[Transition]:
        """Everything that happened to the job by `now`, in order."""
        found = []
        orders = iter(sorted(self.orders, key=lambda order: order[0]))
        order = next(orders, None)
        scripted = [(self.created_at + after, status) for after, status in self.script.states]
        for at, status in scripted:
            if order is not None and order[0] <= at:
                break
            found.append(Transition(at, self.id, status))
        while order is not None:
            found.append(Transition(order[0], self.id, order[1]))
            order = next(orders, None)
        return [one for one in found if one.at <= now]

    def order(self, status: str, now: float) -> None:
        """Somebody asks for another state: the script ends here, a resumed job runs to its end."""
        self.orders = [(at, what) for at, what in self.orders if at <= now]
        self.orders.append((now, status))
        if status == "queued":
            self.orders += [(now + 60, "running"), (now + 300, "succeeded")]

    def status(self, now: float) -> str:
        """Its status at `now`."""
        happened = self.transitions(now)
        return happened[-1].status if happened else self.script.states[0][1]

    def document(self, now: float) -> dict[str, Any]:
        """The job as the API shows it at `now` (Unix seconds of the simulation)."""
        happened = self.transitions(now)
        status = self.status(now)
        started = next((one.at for one in happened if one.status == "running"), None)
        over = happened[-1].at if status in ENDED else None
        succeeded = status == "succeeded"
        settings: dict[str, Any] = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8}
        if started is None:
            settings = dict.fromkeys(settings, "auto")
        return {
            "object": "fine_tuning.job",
            "id": self.id,
            "created_at": int(self.created_at),
            "error": self.script.error if status == "failed" else {},
            "fine_tuned_model": f"ft:{self.model}:acme:{self.suffix or 'run'}:{self.id[-6:]}"
            if succeeded
            else None,
            "finished_at": int(over) if over is not None else None,
            "hyperparameters": settings,
            "model": self.model,
            "organization_id": "org-simulated",
            "result_files": [f"file-{self.id[-6:]}"] if succeeded else [],
            "status": status,
            "trained_tokens": 48_000 * self.script.steps if succeeded else None,
            "training_file": self.training_file,
            "validation_file": None,
            "integrations": [],
            "seed": 42,
            "estimated_finish": int(self.created_at + 900) if status == "running" else None,
            "method": {"type": "supervised", "supervised": {"hyperparameters": settings}},
            "metadata": self.metadata,
            "user_provided_suffix": self.suffix,
        }

    def events(self, now: float) -> list[dict[str, Any]]:
        """The job's own log at `now`, newest first."""
        said = {
            "validating_files": "Validating training file",
            "queued": "Files validated, moving job to queued state",
            "running": "Fine-tuning job started",
            "succeeded": "The job has successfully completed",
            "failed": (self.script.error or {}).get("message", "The job failed"),
        }
        return [
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{self.id[-6:]}-{number}",
                "created_at": int(one.at),
                "level": "error" if one.status == "failed" else "info",
                "message": said.get(one.status, f"Job {one.status}"),
                "type": "message",
                "data": {},
            }
            for number, one in reversed(list(enumerate(self.transitions(now))))
        ]

    def checkpoints(self, now: float) -> list[dict[str, Any]]:
        """One checkpoint for each epoch of a finished run, newest first."""
        if self.status(now) != "succeeded":
            return []
        return [
            {
                "object": "fine_tuning.job.checkpoint",
                "id": f"ftckpt_{self.id[-6:]}{epoch}",
                "created_at": int(self.transitions(now)[-1].at),
                "fine_tuned_model_checkpoint": f"ft:{self.model}:acme::{self.id[-6:]}:ckpt-step-{step}",
                "fine_tuning_job_id": self.id,
                "step_number": step,
                "metrics": {"step": step, "train_loss": round(1.2 / epoch, 3)},
            }
            for epoch, step in (
                (3, self.script.steps),
                (2, self.script.steps * 2 // 3),
                (1, self.script.steps // 3),
            )
        ]
