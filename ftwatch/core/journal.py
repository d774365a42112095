"""What does a provider tell of a job besides its state? Lines of its job log, checkpoints, metrics.

The provider's own list is called the job log here, never "events". Kinds translate it into these words; what
a log proves about states between two looks is worked out here too. Pure, as everything in this folder.
"""

from collections.abc import Container, Iterable, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core.event import digest
from ftwatch.core.job import Status
from ftwatch.core.span import MINUTE

__all__ = [
    "METRICS",
    "Checkpoint",
    "Journal",
    "Line",
    "Proof",
    "between",
    "checkpoint_key",
    "fresh",
    "keyed",
    "series",
    "since",
]

# How far a provider's clock may be off (seconds).
SKEW = MINUTE

# The names of the figures that are kept, whatever a provider calls them.
METRICS = (
    "train_loss",
    "valid_loss",
    "full_valid_loss",
    "train_accuracy",
    "valid_accuracy",
    "full_valid_accuracy",
    "train_reward",
    "valid_reward",
    "learning_rate",
    "grad_norm",
)


class Line(Struct, frozen=True, kw_only=True):
    """One line of a job log. `key` is the provider's id of it where that can be trusted, else "".

    `at` is Unix seconds or None, `status` the state that the line proves the job entered, `level` one of
    info, warning, error. `metrics` are figures of `step` (of `total`) under the names of METRICS. `successor`
    is the id of the job that goes on in this one's place, where the provider restarts under a new one.
    """

    key: str = ""
    at: int | None = None
    level: str = "info"
    type: str = "message"
    message: str = ""
    status: Status | None = None
    step: int | None = None
    total: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    successor: str | None = None


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A saved state of the model. `model` is the name it can be used by, `files` its result files."""

    id: str | None = None
    at: int | None = None
    step: int | None = None
    model: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()


class Journal(Struct, frozen=True, kw_only=True):
    """What was read of a job's log, in the order in which it happened, every line with its key."""

    lines: tuple[Line, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in it."""
        return not self.lines and not self.checkpoints

    def joined(self, other: "Journal") -> "Journal":
        """This and another one."""
        return Journal(lines=self.lines + other.lines, checkpoints=self.checkpoints + other.checkpoints)


def keyed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines with keys: who has none is known by its content, and by how many like it came before it.

    That survives ids that change with every call, and none at all; only the same words at the same second
    are told apart by their number.
    """
    found: dict[str, Line] = {}
    for line in lines:
        key = line.key
        if not key:
            content = (line.at, line.type, line.message, line.step)
            nth = 0
            while (key := digest(*content, nth)[:20]) in found:
                nth += 1
        found.setdefault(key, replace(line, key=key))
    return tuple(found.values())


def fresh(journal: Journal, lines: Container[str], checkpoints: Container[str]) -> Journal:
    """What of a journal is not known yet, by its keys."""
    return Journal(
        lines=tuple(line for line in journal.lines if line.key not in lines),
        checkpoints=tuple(one for one in journal.checkpoints if checkpoint_key(one) not in checkpoints),
    )


def checkpoint_key(checkpoint: Checkpoint) -> str:
    """What identifies a checkpoint within its job: step and model; some servers invent an id every time."""
    if checkpoint.step is not None:
        return f"{checkpoint.step} {checkpoint.model or ''}"
    return checkpoint.model or checkpoint.id or "?"


class Proof(Struct, frozen=True):
    """What a log proves of the time between two looks: `states` in order, and the lines `left` for the next.

    `arrival` is the line by which the job came to be what it is now, where the log has it.
    """

    states: tuple[Line, ...]
    left: tuple[Line, ...]
    arrival: Line | None


def between(states: Sequence[Line], before: Status | None, after: Status) -> Proof:
    """What lines prove of a job that was `before` and is `after`; `states` are in the order of the log.

    A log may know more than the look it goes with: what it says after the last time that the job became
    `after` is left for the next look. An end is never proven by a log alone, only one that the job came back
    from.
    """
    last = max((i for i, line in enumerate(states) if line.status is after), default=None)
    if last is not None:
        used, left = list(states[:last]), tuple(states[last + 1 :])
    elif before is after:
        used, left = [], tuple(states)
    else:
        used = [line for line in states if _leads_to(line.status, after)]
        left = tuple(line for line in states if not _leads_to(line.status, after))
    found: list[Line] = []
    for index, line in enumerate(used):
        assert line.status is not None
        is_repeated = line.status is (found[-1].status if found else before)
        came_back = last is not None or any(later.status is not line.status for later in used[index + 1 :])
        if not is_repeated and (not line.status.is_terminal or came_back):
            found.append(line)
    if found and found[-1].status is after:
        found.pop()
    return Proof(tuple(found), left, states[last] if last is not None else None)


def since(
    states: Sequence[Line], status: Status, looked: float | None
) -> tuple[tuple[Line, ...], Line | None]:
    """The lines that tell of what came after the job was `status`, and the line that tells of that, if any.

    For somebody who knows the status from elsewhere and not yet from the log. It may have been so more than
    once: `looked` (Unix seconds) is when it was seen so by somebody who never told of it; else (None) all
    that followed the first time is news. No other clock is asked: two of them may be years apart.
    """
    places = [i for i, line in enumerate(states) if line.status is status]
    if places:
        place = places[0]
        if looked is not None:
            seen = [i for i in places if (states[i].at or 0) <= looked + SKEW]
            place = max(seen, default=places[-1])
        return tuple(states[place + 1 :]), states[place]
    rest = list(states)
    while rest and _leads_to(rest[0].status, status):
        del rest[0]
    return tuple(rest), None


_ORDER = {
    Status.VALIDATING_FILES: 0,
    Status.QUEUED: 1,
    Status.RUNNING: 2,
    Status.PAUSING: 3,
    Status.PAUSED: 3,
    Status.CANCELLING: 4,
}


def _leads_to(status: Status | None, after: Status) -> bool:
    """Whether a proven state can lie before a state that the log says nothing of."""
    return status in _ORDER and _ORDER[status] < _ORDER.get(after, 5)


def series(lines: Iterable[Line]) -> list[tuple[int, dict[str, float]]]:
    """The figures by step, in order; the last word on a step counts."""
    found: dict[int, dict[str, float]] = {}
    for line in lines:
        if line.step is not None and line.metrics:
            found.setdefault(line.step, {}).update(line.metrics)
    return sorted(found.items())
