"""What is said of jobs, events and deliveries: the same to a command and over HTTP. Only reads.

From the store to plain data; nothing here knows who asks, or how it is shown. Times are Unix seconds. What
has become bytes (an event, frozen at its commit) stays those bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from ftwatch.config import Config
from ftwatch.core.delivery import Delivery
from ftwatch.core.event import JOB, Event, Summary, decode
from ftwatch.core.job import Snapshot
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.core.known import Ack
from ftwatch.core.span import span
from ftwatch.store import Store
from ftwatch.store.history import Attempt, NotifierHealth, Row
from ftwatch.store.listing import Point
from ftwatch.store.reminders import Reminder

__all__ = [
    "Happening",
    "Job",
    "NextLook",
    "NotTold",
    "Owed",
    "Page",
    "Placed",
    "Story",
    "Trust",
    "happening",
    "job_of",
    "next_look",
    "owed",
    "page",
    "snapshot_of",
    "story_of",
    "summary_of",
    "trust",
]

T = TypeVar("T")

# Once so much has been said (bytes), a page is full.
ENOUGH = 96 * 1024
# So many acks of a job are told, at most.
ACKS = 100


class Page(Struct, Generic[T], frozen=True):
    """Some of a listing; asking again after `next` gives what follows, None: nothing does.

    A page may be short, or even empty, although something follows: so much was looked through in vain.
    """

    data: list[T]
    next: str | None


class NextLook(Struct, frozen=True):
    """When the daemon looks at a job again, and why then."""

    at: float
    why: str


class Job(Snapshot, frozen=True, kw_only=True):
    """A job as it stands: the canonical job, and what ftwatch knows besides.

    `version` counts what was ever noted of it, `changed_at` is when that was last; `alerts` names the rules
    that fire, `ack` is who knows of what is open, `figures` are the last ones. `next_look` is None where
    nobody will look, and left out where that was not asked for.
    """

    version: int
    changed_at: float
    status_since: float
    active: bool
    gone: bool
    alerts: tuple[str, ...]
    ack: Ack | None
    figures: dict[str, float]
    next_look: NextLook | UnsetType | None = UNSET


class Owed(Delivery, frozen=True, kw_only=True):
    """A delivery, why it is owed, and every try of it (`attempts` counts those that cost one)."""

    because: str
    tries: tuple[Attempt, ...]


class NotTold(Struct, frozen=True):
    """Whom an event does not reach, and why."""

    notifier: str
    because: str


class Placed(Struct, frozen=True):
    """An event in its wire form, and its place in the sequence of all."""

    seq: int
    event: Raw

    @property
    def fact(self) -> Event:
        """The event itself."""
        return decode(bytes(self.event))


class Happening(Placed, frozen=True):
    """An event, and what became of it: who was told, who was not, and whom its problem is told again."""

    told: tuple[Owed, ...]
    not_told: tuple[NotTold, ...]
    reminders: tuple[Reminder, ...] = ()


class Story(Job, frozen=True, kw_only=True):
    """Everything about one job, each part of it as far as it was asked for.

    `summary` is what the job came to, None while it goes on; `acks` are the last ones, also those that hold
    no more. History, log and deliveries have the newest first, figures (`metrics`, of the last attempt) and
    checkpoints are in the order of their steps.
    """

    summary: Summary | None
    acks: tuple[Ack, ...]
    history: Page[Happening] | UnsetType = UNSET
    log: Page[Line] | UnsetType = UNSET
    metrics: Page[Point] | UnsetType = UNSET
    checkpoints: Page[Checkpoint] | UnsetType = UNSET
    deliveries: Page[Owed] | UnsetType = UNSET


# --------------------------------------------------------------------------------------------- jobs


def job_of(row: Row, next_look: NextLook | UnsetType | None = UNSET) -> Job:
    """A job as it stands."""
    return Job(**_facts(row, next_look))


def story_of(row: Row, store: Store, next_look: NextLook | None, **parts: Any) -> Story:
    """Everything about a job; `parts` are the pages that were asked for."""
    acks = tuple(store.acks.of(row.known.snapshot.key)[-ACKS:])
    return Story(**_facts(row, next_look), summary=summary_of(row, store), acks=acks, **parts)


def next_look(row: Row, turns: Mapping[str, Mapping[str, tuple[float, str]]]) -> NextLook | None:
    """A job's next look, of all that the daemon has planned; to the second, as more would be noise."""
    job = row.known.snapshot
    turn = turns.get(job.provider, {}).get(job.id)
    return NextLook(round(turn[0]), turn[1]) if turn else None


def snapshot_of(job: Job) -> Snapshot:
    """The canonical job alone."""
    return Snapshot(**{name: getattr(job, name) for name in Snapshot.__struct_fields__})


def _facts(row: Row, next_look: NextLook | UnsetType | None) -> dict[str, Any]:
    known = row.known
    return {
        **{name: getattr(known.snapshot, name) for name in Snapshot.__struct_fields__},
        "version": known.version,
        "changed_at": row.changed_at,
        "status_since": known.status_since,
        "active": known.is_active,
        "gone": known.gone,
        "alerts": tuple(sorted(known.alerts)),
        "ack": known.ack,
        "figures": known.metrics,
        "next_look": next_look,
    }


def summary_of(row: Row, store: Store) -> Summary | None:
    """What a job came to, as the event of its end says; None while it goes on."""
    job = row.known.snapshot
    if not job.status.is_terminal:
        return None
    ends = store.history.events(job=job.key, type=JOB + job.status, limit=1, newest=True)
    return (ends[0][1].data.summary or None) if ends else None


# --------------------------------------------------------------------------------- events, deliveries


def happening(seq: int, body: bytes, store: Store) -> Happening:
    """An event, who was told of it by which route, who was not for what reason, and every try."""
    id = decode(body).id
    reasons = store.history.reasons(id)
    return Happening(
        seq,
        Raw(body),
        told=tuple(
            owed(delivery, reasons.get(delivery.id, ""), store)
            for delivery in reversed(store.history.deliveries(event=id, limit=-1))
        ),
        not_told=tuple(NotTold(*verdict) for verdict in store.history.verdicts(id)),
        reminders=tuple(store.reminders.of(id)),
    )


def owed(delivery: Delivery, because: str, store: Store) -> Owed:
    """A delivery with all its tries."""
    facts = {name: getattr(delivery, name) for name in Delivery.__struct_fields__}
    return Owed(**facts, because=because, tries=tuple(store.history.attempts(delivery.id)))


def page(found: Iterable[tuple[str, Any]], rest: str | None) -> Page[Raw]:
    """As much as fits on a page of what was found, each with the place after which to go on."""
    data, size = list[Raw](), 0
    last: str | None = None
    for place, one in found:
        encoded = msgspec.json.encode(one)
        if data and size + len(encoded) > ENOUGH:
            return Page(data, last)
        data.append(Raw(encoded))
        size += len(encoded)
        last = place
    return Page(data, rest)


# -------------------------------------------------------------------------------------- can I trust it?


class ProviderTrust(Struct, frozen=True, kw_only=True):
    """How well a provider is watched: its state in words, its jobs by status."""

    name: str
    state: str
    counts: dict[str, int]
    well: bool


class NotifierTrust(Struct, frozen=True, kw_only=True):
    """How well a notifier is served: its state in words, its deliveries by theirs."""

    name: str
    state: str
    pending: int
    dead: int
    delivered: int
    oldest_pending: float | None
    last_delivered: float | None
    well: bool


class Trust(Struct, frozen=True, kw_only=True):
    """Whether all is well, and where not. `daemon` is what it says of itself, None where none runs."""

    well: bool
    daemon: dict[str, Any] | None
    providers: tuple[ProviderTrust, ...]
    notifiers: tuple[NotifierTrust, ...]


def trust(config: Config, store: Store, daemon: dict[str, Any] | None, now: float) -> Trust:
    """Can all be relied on? What the config names, and what is still owed to what it named once."""
    providers = tuple(_provider(name, store, now) for name in config.providers)
    notifiers = tuple(_notifiers(config.notifiers, store, now))
    is_up = daemon is not None and not daemon.get("full")
    well = is_up and all(one.well for one in providers) and all(one.well for one in notifiers)
    return Trust(well=well, daemon=daemon, providers=providers, notifiers=notifiers)


def _provider(name: str, store: Store, now: float) -> ProviderTrust:
    state = next((one for one in store.history.providers() if one.name == name), None)
    said = "not looked at yet"
    if state is not None and state.degraded_at is not None:
        said = f"degraded for {span(now - state.degraded_at)}: {state.reason}"
    elif state is not None and state.baseline_at is not None:
        said = "healthy"
    return ProviderTrust(name=name, state=said, counts=store.history.statuses(name), well=said == "healthy")


def _notifiers(names: Mapping[str, Any], store: Store, now: float) -> Iterator[NotifierTrust]:
    known = {health.name: health for health in store.history.notifiers()}
    for name in [*names, *sorted(known.keys() - names.keys())]:
        health = known.get(name)
        counts = health.counts if health else {}
        if name not in names and not counts.get("pending"):
            continue
        said = "orphaned: not in the config any more" if name not in names else _health(health, now)
        yield NotifierTrust(
            name=name,
            state=said,
            pending=counts.get("pending", 0),
            dead=counts.get("dead", 0),
            delivered=counts.get("delivered", 0),
            oldest_pending=health.oldest_pending if health else None,
            last_delivered=health.last_delivered if health else None,
            well=said == "healthy" and not counts.get("dead"),
        )


def _health(health: NotifierHealth | None, now: float) -> str:
    if health is None:
        return "healthy"
    if health.disabled:
        return f"disabled: {health.disabled}"
    if health.breaker.open_at is not None:
        return f"out of reach for {span(now - health.breaker.open_at)}"
    if health.oldest_pending is not None and now - health.oldest_pending > 60:
        return f"behind: the oldest waits since {span(now - health.oldest_pending)} ago"
    return "healthy"
