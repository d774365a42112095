"""Is something wrong although nothing came? Rules: pure functions of what is known about a job, and now.

A rule answers with a `Finding`: what is wrong, if anything is, and when to ask again even if the provider
says nothing new. `decide` keeps which rules fire, and makes the events.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar, Protocol

from msgspec import Struct

from ftwatch.core.event import Severity
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.retirements import end_of
from ftwatch.core.span import DAY, HOUR, span

__all__ = ["NOTHING", "Facts", "Finding", "Relapse", "Retiring", "Rule", "Silent", "Stuck"]


class Relapse(Struct, frozen=True, array_like=True):
    """A job went back to a state that it had before: when (Unix seconds), and which status it left."""

    at: float
    left: Status


class Facts(Struct, frozen=True, kw_only=True, gc=False):
    """What is known about a job: its last snapshot, and since when (Unix seconds) it has this status.

    `ends` is when models stop answering (Unix seconds), by their names, as the provider itself says;
    `heard_at` since when a job that tells of itself could have been heard and was not. `relapses` are when it
    last went back to a state that it had before, `firing` the rules that fire for it.
    """

    snapshot: Snapshot
    status_since: float
    heard_at: float | None = None
    ends: Mapping[str, int] = {}
    relapses: tuple[Relapse, ...] = ()
    firing: frozenset[str] = frozenset()


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """What a rule sees. `note` is a sentence for people while it fires, None while all is well.

    `subject` names what it fired about: another subject is another alert. A new `stage` of the same subject
    is told again, without the end of the one before. `is_over`: what it fired about has passed by, and is no
    news. `wake_at` is when to ask again.
    """

    note: str | None = None
    subject: str = ""
    stage: str = ""
    is_over: bool = False
    wake_at: float | None = None


# All is well, and nobody need ask again.
NOTHING = Finding()


class Rule(Protocol):
    """A rule of the config's `rules:` block: its options are its fields."""

    name: ClassVar[str]

    @property
    def severity(self) -> Severity:
        """How much its alert matters."""
        ...

    def judge(self, facts: Facts, now: float) -> Finding:
        """What this rule says about a job at this moment."""
        ...


# The states that `Stuck` has a limit for, under their names.
LIMITED = frozenset({Status.QUEUED, Status.VALIDATING_FILES, Status.CANCELLING, Status.PAUSED})


class Stuck(Struct, frozen=True, kw_only=True):
    """A job stays in a waiting state for longer than it should; limits in seconds, None never fires."""

    name: ClassVar[str] = "stuck"

    severity: Severity = Severity.WARNING
    queued: float | None = 12 * HOUR
    validating_files: float | None = 2 * HOUR
    cancelling: float | None = HOUR
    paused: float | None = 24 * HOUR

    def judge(self, facts: Facts, now: float) -> Finding:
        """Fires once the job's status has stood for its limit."""
        status = facts.snapshot.status
        limit = getattr(self, status) if status in LIMITED else None
        if limit is None:
            return NOTHING
        due = facts.status_since + limit
        if now < due:
            return Finding(wake_at=due)
        return Finding(note=f"{status} for more than {span(limit)}", subject=status)


# Who waits has nobody who could speak; how long that may last is for `Stuck` to say.
WAITING = frozenset({Status.QUEUED, Status.PAUSED})


class Silent(Struct, frozen=True, kw_only=True):
    """A run that tells of itself is not heard of for `every` seconds, and neither waits nor has ended."""

    name: ClassVar[str] = "silent"

    every: float
    severity: Severity = Severity.WARNING

    def judge(self, facts: Facts, now: float) -> Finding:
        """Fires once nothing has come for so long; what is heard of again resolves it."""
        status = facts.snapshot.status
        if facts.heard_at is None or status.is_terminal or status in WAITING:
            return NOTHING
        due = facts.heard_at + self.every
        if now < due:
            return Finding(wake_at=due)
        return Finding(note=f"nothing heard for more than {span(self.every)}", subject="silent")


class Retiring(Struct, frozen=True, kw_only=True):
    """A model that a job made will stop answering soon; told again each time that an `ahead` begins.

    `ahead` are spans before the end, in seconds.
    """

    name: ClassVar[str] = "retiring"

    severity: Severity = Severity.WARNING
    ahead: tuple[float, ...] = (30 * DAY, 7 * DAY, DAY)

    def judge(self, facts: Facts, now: float) -> Finding:
        """Fires from the longest `ahead` until a day after the end; what ended before is no news."""
        job = facts.snapshot
        end = end_of(job, facts.ends) if job.status is Status.SUCCEEDED else None
        if end is None:
            return NOTHING
        if now >= end.at + DAY:
            return Finding(is_over=True)
        day = _day(end.at)
        because = f" (base {end.base} is retired)" if end.base else ""
        # In one line, whatever a model is called: what is remembered of an alert has lines of its own.
        subject = " ".join(f"{job.fine_tuned_model} {day}".split())
        if now >= end.at:
            note = f"{job.title} has stopped answering on {day}{because}"
            return Finding(note=note, subject=subject, stage="ended", wake_at=end.at + DAY)
        reached = [ahead for ahead in self.ahead if now >= end.at - ahead]
        wake_at = min((end.at - ahead for ahead in self.ahead if ahead not in reached), default=end.at)
        if not reached:
            return Finding(wake_at=wake_at)
        note = f"{job.title} stops answering on {day}{because}"
        return Finding(note=note, subject=subject, stage=span(min(reached)), wake_at=wake_at)


def _day(at: int) -> str:
    """The day in UTC; a time that no calendar knows is shown as it is."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return f"@{at}"
