"""How a simulated job lives: a table of states over time, and what is true of it at any moment. Pure.

How a service would say that stands with its dialect.
"""

from dataclasses import dataclass, field

from ftwatch.core.job import Status

__all__ = ["ENDED", "SCRIPTS", "Entry", "Job", "Script", "State", "Transition"]

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

    def state(self, now: float) -> "State":
        """What is true of the job at `now`."""
        happened = self.transitions(now)
        status = self.status(now)
        runs = [one.at for one in happened if one.status == "running"]
        until = happened[-1].at if status in ENDED else now
        share = min(1.0, max(0.0, (until - runs[0]) / self.longest)) if runs else 0.0
        share = 1.0 if status == "succeeded" else min(share, 0.99)
        return State(
            status=status,
            since=happened[-1].at if happened else self.created_at,
            started_at=runs[0] if runs else None,
            ended_at=until if status in ENDED else None,
            step=int(share * self.script.steps),
            steps=self.script.steps,
            error=self.script.error if status == "failed" else None,
        )

    @property
    def longest(self) -> float:
        """Seconds that the script's run takes from its beginning to its end."""
        starts = [at for at, status in self.script.states if status == "running"]
        return max(1.0, self.script.states[-1][0] - starts[0]) if starts else 1.0

    def figures(self, step: int) -> dict[str, float]:
        """Losses and accuracies at a step: a curve that bends like real ones, the same every time."""
        share = step / max(1, self.script.steps)
        return {
            "train_loss": round(0.4 + 1.4 / (1 + 6 * share) + 0.05 * ((step * 37) % 11 - 5) / 5, 4),
            "valid_loss": round(0.55 + 1.3 / (1 + 5 * share), 4),
            "train_accuracy": round(0.5 + 0.4 * share, 4),
        }

    def log(self, now: float) -> list["Entry"]:
        """The job's own log at `now`, oldest first: its states, and its figures every tenth of the way."""
        found = [Entry(one.at, one.status) for one in self.transitions(now)]
        state = self.state(now)
        if state.started_at is not None:
            for tenth in range(1, 11):
                step = state.steps * tenth // 10
                if 0 < step <= state.step:
                    at = state.started_at + self.longest * tenth / 10
                    found.append(Entry(min(at, state.ended_at or now), None, step))
        return sorted(found, key=lambda entry: (entry.at, entry.status in ENDED))

    def saved(self, now: float) -> list["Entry"]:
        """Its checkpoints at `now`, oldest first: one for each of three epochs."""
        state = self.state(now)
        ends = [state.steps // 3, state.steps * 2 // 3, state.steps]
        began = state.started_at or self.created_at
        last = state.ended_at or now
        return [
            Entry(min(began + self.longest * step / state.steps, last), None, step)
            for step in ends
            if 0 < step <= state.step
        ]


@dataclass(frozen=True)
class State:
    """What is true of a job at one moment; times in Unix seconds of the simulation."""

    status: str
    since: float
    started_at: float | None
    ended_at: float | None
    step: int
    steps: int
    error: dict[str, str] | None

    @property
    def percent(self) -> int:
        """How far the run is, 0 to 100."""
        return 100 * self.step // max(1, self.steps)


@dataclass(frozen=True)
class Entry:
    """One thing in a job's log: at this time this status, or else the figures of this step."""

    at: float
    status: str | None
    step: int | None = None
