"""What do we call it? Events: facts worth routing, with an id derived from their content.

`Event` *is* the wire form (webhooks, `-o json`, the store): encoding one gives a superset of OpenAI's own
webhook events. Who gets an event is `route`'s question, how it reads `message`'s.
"""

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import astuple

from ftwatch.core.diff import Change, is_volatile, news_among
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.span import MINUTE

__all__ = [
    "Comparison",
    "Data",
    "Event",
    "Gap",
    "Report",
    "SavedModel",
    "Severity",
    "Summary",
    "decode",
    "digest",
    "encode",
    "event_id",
    "outline",
    "status_severity",
    "wire",
]

JOB = "fine_tuning.job."
ALERT = "fine_tuning.alert."
CREATED = JOB + "created"
UPDATED = JOB + "updated"
GONE = JOB + "gone"
RETURNED = JOB + "returned"
CHECKPOINT = "fine_tuning.checkpoint.created"
WATCHING = "ftwatch.provider.watching"
DEGRADED = "ftwatch.provider.degraded"
RECOVERED = "ftwatch.provider.recovered"
RETIRED = "ftwatch.provider.retired"
UNREADABLE = "ftwatch.provider.unreadable"
DRIFT = "ftwatch.provider.drift"
DEAD = "ftwatch.delivery.dead"
DISABLED = "ftwatch.notifier.disabled"
FAILING = "ftwatch.notifier.failing"
ENABLED = "ftwatch.notifier.recovered"
REJECTED = "ftwatch.config.rejected"
ACCEPTED = "ftwatch.config.accepted"
FULL = "ftwatch.store.full"
ROOM = "ftwatch.store.recovered"
TEST = "ftwatch.test"
REPORT = "ftwatch.report"

# What ftwatch says of itself that has a beginning and an end: the end must not overtake the beginning.
_LANES = ("ftwatch.provider", "ftwatch.notifier", "ftwatch.config", "ftwatch.store")

# What is told so long after it happened (seconds) is history: people may get it in one piece.
LATE = 15 * MINUTE


class Severity(StrEnum):
    """How much an event matters: detail < info < notice < warning < error (compare by `rank`, 0 to 4).

    `word` is it as plain text.
    """

    DETAIL = "detail"
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"

    def __init__(self, word: str) -> None:
        self.rank = len(type(self).__members__)
        self.word = word


_STATUS_SEVERITY = {
    Status.VALIDATING_FILES: Severity.DETAIL,
    Status.QUEUED: Severity.DETAIL,
    Status.RUNNING: Severity.INFO,
    Status.PAUSING: Severity.DETAIL,
    Status.PAUSED: Severity.WARNING,
    Status.CANCELLING: Severity.DETAIL,
    Status.SUCCEEDED: Severity.NOTICE,
    Status.FAILED: Severity.ERROR,
    Status.CANCELLED: Severity.NOTICE,
    Status.UNKNOWN: Severity.WARNING,
}


def status_severity(status: Status) -> Severity:
    """How much it matters that a job's status became `status`."""
    return _STATUS_SEVERITY[status]


class Comparison(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The last run of the same recipe before this one: its `job`, spans in seconds, its last losses.

    `runs` is how many earlier ones are known, `best` the lowest of their losses.
    """

    job: str
    runs: int = 1
    ran_for: int | None = None
    tokens: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)


class Summary(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a job came to, told with its end: spans in seconds, the last figures by their names.

    `cause` is why it failed or was cancelled, one of the codes of `core.cause`; `step` how far it had come
    then, of `total_steps`. `first` are its first losses, `last_run` is
    what an earlier run of the same recipe came to.
    """

    cause: str | None = None
    queued_for: int | None = None
    ran_for: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    step: int | None = None
    total_steps: int | None = None
    first: dict[str, float] = field(default_factory=dict)
    last_run: Comparison | None = None


class SavedModel(Struct, frozen=True, kw_only=True, gc=False):
    """What an event tells of a checkpoint: `model` is the name it can be used by."""

    id: str | None
    step: int | None
    model: str | None
    metrics: dict[str, float]


class Report(Struct, frozen=True, kw_only=True, gc=False):
    """What came of all jobs between two times (Unix seconds): how many `ended` by their status, their tokens,
    how long they ran together (seconds). `slowest` is the job that ran longest, and for how long.

    `active` is how many go on now, `open` what somebody should see to, in a few words each.
    """

    since: int
    until: int
    ended: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    ran_for: int = 0
    slowest: tuple[str, int] | None = None
    active: int = 0
    open: tuple[str, ...] = ()


class Gap(Struct, frozen=True, kw_only=True, gc=False):
    """A time in which nobody could see what happened (Unix seconds), and why: ftwatch itself was `down`, or
    the provider's requests went `unanswered` or were `denied`.
    """

    since: int
    until: int
    cause: Literal["down", "unanswered", "denied"]


class Data(Struct, frozen=True, kw_only=True, gc=False):
    """What an event is about. `id` is the job's, else the provider's or notifier's name.

    What is UNSET is left out of the wire form: an event about a provider has no sequence or status.
    `note` is one plain sentence for people, where the type alone does not say it; `continues` is the id of
    the job that the provider started anew as this one; `gap` is why it was seen late; `report` is what came
    of all jobs in a while; `received` is the body of a webhook that is relayed.
    """

    id: str
    provider: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    notifier: str | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    status: Status | UnsetType | None = UNSET
    previous_status: Status | UnsetType | None = UNSET
    sequence: int | UnsetType = UNSET
    skipped: bool | UnsetType = UNSET
    occurred_at: int
    observed_at: int
    incomplete: tuple[str, ...] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    changes: tuple[Change, ...] | UnsetType = UNSET
    summary: Summary | UnsetType = UNSET
    checkpoint: SavedModel | UnsetType = UNSET
    continues: str | UnsetType = UNSET
    gap: Gap | UnsetType = UNSET
    report: Report | UnsetType = UNSET
    received: str | UnsetType = UNSET
    job: Snapshot | UnsetType = UNSET


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """A fact worth routing. Times are Unix seconds; `id` is made by `event_id`."""

    object: str = "event"
    id: str
    type: str
    created_at: int
    severity: Severity
    data: Data

    @property
    def job(self) -> Snapshot | None:
        """The job as observed, for events about one."""
        return self.data.job or None

    @property
    def key(self) -> JobKey | None:
        """Which job the event is about, if about one."""
        job = self.job
        return job.key if job else None

    @property
    def status(self) -> Status | None:
        """The status that this event brought, if it brought one (not the one it found)."""
        data = self.data
        return data.status or None if data.status != data.previous_status else None

    @property
    def is_over(self) -> bool:
        """Whether this event finds its job over: it has ended, or is gone."""
        status = self.data.status or None
        return self.type == GONE or (status is not None and status.is_terminal)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changed fields, if any."""
        return self.data.changes or ()

    @property
    def note(self) -> str | None:
        """The event's own sentence, if it has one."""
        return self.data.note or None

    @property
    def lane(self) -> str:
        """What keeps its order: events of one lane reach a notifier in the order they happened."""
        job = self.data.job
        if job:
            return f"{job.provider}/{job.id}"
        family = self.type.rpartition(".")[0]
        return f"{family}:{self.data.id}" if family in _LANES else self.id


_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """The event's wire form, frozen at its commit: the same event gives the same bytes."""
    return _encoder.encode(event)


def wire(event: Event, committed: bytes | None = None) -> bytes:
    """What a machine is sent: a relayed webhook's body as it was received, else the event's wire form.

    That is what was `committed`, where it is at hand: it outlives any change of the encoder.
    """
    if event.data.received:
        return event.data.received.encode()
    return encode(event) if committed is None else committed


def decode(body: bytes) -> Event:
    """The event that `encode` wrote. Raises msgspec.DecodeError on anything else."""
    return _decoder.decode(body)


class _Received(Struct, frozen=True, gc=False):
    received: str = ""


class _Outline(Struct, frozen=True, gc=False):
    type: str
    data: _Received


_skim = msgspec.json.Decoder(_Outline).decode


def outline(body: bytes) -> tuple[str, bytes]:
    """The type of the event that `encode` wrote, and its `wire`; a third of the work of reading it whole.

    Raises msgspec.DecodeError on anything else.
    """
    event = _skim(body)
    return event.type, event.data.received.encode() or body


def digest(*parts: object) -> str:
    """32 hex digits that stand for these parts (strings, numbers, lists, maps), in this order."""
    return hashlib.sha256(_canonical.encode(parts)).hexdigest()[:32]


def is_late(event: Event, now: float) -> bool:
    """Whether an event is told long after it happened, or is one of many that a calendar brings at once."""
    return now - event.created_at >= LATE or event.type == ALERT + "retiring"


def is_mere_progress(event: Event) -> bool:
    """Whether an event tells only of a moving progress bar."""
    job, changes = event.data.job, event.data.changes
    if not job or not changes or not is_volatile(changes[0], job.status):
        return False
    return not news_among(changes, job.status)


def event_id(link: str | JobKey, type: str, changes: Iterable[Change] = (), *more: Any) -> str:
    """The id of the event that follows `link` (the job's previous event, else the job's own key).

    Derived from content alone, so that a second replica or a restored backup makes the same id.
    """
    facts = list(map(astuple, changes))
    return "evt_" + digest(list(link) if isinstance(link, JobKey) else link, type, facts, *more)
