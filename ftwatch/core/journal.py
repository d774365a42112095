"""What does a provider tell of a job besides its state? Lines of its job log, checkpoints, metrics.

The provider's own list is called the job log here, never "events". Kinds translate it into these words; what
a log proves about states between two looks is worked out here too. Pure, as everything in this folder.
"""

from collections import Counter
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
    "attempts_ago",
    "between",
    "caught_up",
    "checkpoint_key",
    "fresh",
    "goes_on",
    "in_order",
    "keyed",
    "restarts",
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
    """A saved state of the model. `model` is the name it can be used by, `files` its result files.

    `key` is what tells it from others where that can be trusted, else "".
    """

    key: str = ""
    id: str | None = None
    at: int | None = None
    step: int | None = None
    model: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()


class Journal(Struct, frozen=True, kw_only=True, gc=False):
    """What was read of a job's log, in the order in which it happened, every line with its key.

    So many of the lines, the first `late` ones, stand in the log before one that was read earlier.
    """

    lines: tuple[Line, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    late: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in it."""
        return not self.lines and not self.checkpoints

    def joined(self, other: "Journal") -> "Journal":
        """This and another one about the same job: everything once, in the order of its time."""
        lines = list({line.key: line for line in (*self.lines, *other.lines)}.values())
        saved = {checkpoint_key(one): one for one in (*self.checkpoints, *other.checkpoints)}
        return Journal(lines=tuple(in_order(lines)), checkpoints=tuple(saved.values()))


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Lines by their times where all have one; within a second, and else, in the order they are in."""
    found = list(lines)
    if all(line.at is not None for line in found):
        found.sort(key=lambda line: line.at or 0)
    return found


def keyed(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines with keys: who has none is known by its content, and by how many like it came before it.

    That survives ids that change with every call, and none at all; only the same words at the same second
    are told apart by their number.
    """
    found: dict[str, Line] = {}
    alike = Counter[tuple[object, ...]]()
    for line in lines:
        key = line.key
        if not key:
            content = (line.at, line.type, line.message, line.step)
            key = digest(*content, alike[content])[:20]
            alike[content] += 1
        found.setdefault(key, replace(line, key=key))
    return tuple(found.values())


def fresh(journal: Journal, lines: Container[str], checkpoints: Container[str]) -> Journal:
    """What of a journal is not known yet, by its keys."""
    saved = {checkpoint_key(one): one for one in journal.checkpoints}
    found: list[Line] = []
    late = 0
    for line in journal.lines:
        if line.key in lines:
            late = len(found)
        else:
            found.append(line)
    return Journal(
        lines=tuple(found),
        checkpoints=tuple(one for key, one in saved.items() if key not in checkpoints),
        late=late,
    )


def checkpoint_key(checkpoint: Checkpoint) -> str:
    """What identifies a checkpoint within its job: step and model; some servers invent an id every time."""
    if checkpoint.key:
        return checkpoint.key
    if checkpoint.step is not None:
        return f"{checkpoint.step} {checkpoint.model or ''}"
    return checkpoint.model or checkpoint.id or "?"


class Proof(Struct, frozen=True, gc=False):
    """What a log proves of the time between two looks: `states` in order, and the lines `left` for the next.

    `arrival` is the line by which the job came to be what it is now, where the log has it.
    """

    states: tuple[Line, ...]
    left: tuple[Line, ...]
    arrival: Line | None


_NO_PROOF = Proof((), (), None)


def between(states: Sequence[Line], before: Status | None, after: Status) -> Proof:
    """What lines prove of a job that was `before` and is `after`; `states` are in the order of the log.

    A log may know more than the look it goes with: what it says after the last time that the job became
    `after` is left for the next look. An end is never proven by a log alone, only one that the job came back
    from.
    """
    if not states:
        return _NO_PROOF
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


def caught_up(
    states: Sequence[Line], told: Sequence[Status]
) -> tuple[tuple[Line, ...], tuple[Status, ...], Line | None]:
    """Lets a log catch up with states that were told without it, in their order.

    Returns the lines after the last of them, which of them the log does not have yet, and the line of the
    last one that it has. What lies between them and was not told comes too late.
    """
    waiting, last, rest = list(told), None, []
    for line in states:
        if not waiting:
            rest.append(line)
        elif line.status is waiting[0]:
            waiting.pop(0)
            last = line
    return tuple(rest), tuple(waiting), last


def since(states: Sequence[Line], status: Status, looked: float) -> tuple[tuple[Line, ...], Line | None]:
    """The lines that tell of what came after the job was `status`, and the line that tells of that, if any.

    For somebody who saw it so at `looked` (Unix seconds), and told nobody how it came to be so. It may have
    been so more than once; no other clock is asked: two of them may be years apart.
    """
    places = [i for i, line in enumerate(states) if line.status is status]
    if places:
        seen = [i for i in places if (states[i].at or 0) <= looked + SKEW]
        place = max(seen, default=places[-1])
        return tuple(states[place + 1 :]), states[place]
    rest = list(states)
    while rest and _leads_to(rest[0].status, status):
        del rest[0]
    return tuple(rest), None


def goes_on(lines: Iterable[Line], end: Line | None) -> bool:
    """Whether a log tells of a job that ran again after `end`, the line of its end (None: not known)."""
    at = end.at if end is not None else None
    return at is not None and any(
        line.status is not None and not line.status.is_terminal and line.at is not None and line.at > at
        for line in lines
    )


def restarts(lived: Iterable[Status]) -> int:
    """How often a job began anew after an end, by the states that it went through."""
    count, before = 0, None
    for status in lived:
        count += before is not None and before.is_terminal and not status.is_terminal
        before = status
    return count


def attempts_ago(lines: Sequence[Line]) -> list[int]:
    """How many attempts before the last one of a log each of its lines was written."""
    found: list[int] = []
    ago, after = 0, None
    for line in reversed(lines):
        if line.status is not None:
            ago += line.status.is_terminal and after is not None and not after.is_terminal
            after = line.status
        found.append(ago)
    return found[::-1]


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
