"""When may it leave? Quiet hours, digests, groups: what is owed now and told later, in one piece with others.

A hold says until when a delivery stays, and with which others it leaves as one message. It never drops
anything. Zones come in as `tzinfo`; which ones there are is for `config` to know.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo

from msgspec import Struct

from ftwatch.core.delivery import SWEEP
from ftwatch.core.event import CHECKPOINT, JOB, Event, Severity, digest
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.message.parts import clean
from ftwatch.core.route.match import Match, matches, of_job, values_of

__all__ = ["DAYS", "Digest", "Group", "Hold", "Holding", "Quiet", "hold"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# So long (seconds) what is old news, and has no digest of its own to go into, waits for more of its kind.
GATHERED = 60.0
# So long (seconds) a sweep is waited for; then it is told as far as it is.
LONGEST_SWEEP = 7 * 86400.0
# The most characters of a sweep's name.
NAME = 60


class Quiet(Struct, frozen=True, kw_only=True):
    """Hours in which nobody is told, by the clock on the wall; they may lie over midnight.

    `days` are those on which they begin (0 is Monday); what `passes` matches is told all the same.
    """

    begin: time
    end: time
    days: frozenset[int] = frozenset(range(7))
    passes: Match | None = None

    def until(self, zone: tzinfo, now: float) -> float | None:
        """When the quiet hours end that `now` (Unix seconds) lies in; None where it lies in none."""
        local = datetime.fromtimestamp(now, zone)
        if self.begin == self.end:
            return None
        over_midnight = self.begin > self.end
        wall = local.time().replace(tzinfo=None)
        if over_midnight and wall < self.end:
            began, ends = local.date() - timedelta(days=1), local.date()
        elif wall >= self.begin and (over_midnight or wall < self.end):
            began = local.date()
            ends = began + timedelta(days=1 if over_midnight else 0)
        else:
            return None
        if began.weekday() not in self.days:
            return None
        end = _moment(datetime.combine(ends, self.end), zone)
        # Where the clock is set back within them, their end may lie behind already, by its first reading.
        return end if end > now else _moment(datetime.combine(ends, self.end), zone, fold=1)


class Digest(Struct, frozen=True, kw_only=True):
    """One message a day, `at` this time by the clock on the wall, on these `days` (0 is Monday)."""

    at: time
    days: frozenset[int] = frozenset(range(7))
    passes: Match | None = None

    def next(self, zone: tzinfo, now: float) -> float:
        """When the next one leaves, after `now`."""
        day = datetime.fromtimestamp(now, zone).date()
        for ahead in range(15):
            on = day + timedelta(days=ahead)
            moment = _moment(datetime.combine(on, self.at), zone)
            if on.weekday() in self.days and moment > now:
                return moment
        raise AssertionError("a digest has at least one day a week")


class Group(Struct, frozen=True, kw_only=True):
    """Events that agree in the values of `by` leave together, once the first has waited `wait` seconds.

    `all_terminal`: a sweep. What its jobs do waits until all of them have been over for `wait` seconds; its
    first failure, and what is wrong with a job that goes on, is told at once.
    """

    by: tuple[str, ...]
    wait: float = 30.0
    all_terminal: bool = False

    def key(self, event: Event) -> str | None:
        """What stands for the group of an event; None where it has none of the values."""
        found = [values_of(event, key) for key in self.by]
        return digest(self.by, found)[:16] if any(any(one) for one in found) else None

    def sweep(self, job: Snapshot) -> str | None:
        """What the bundle of a job's sweep is called, its name for people at the end; None without one."""
        found = self.values(job)
        name = clean(", ".join(filter(None, found)), NAME)
        return f"{SWEEP}{digest(self.by, found)[:16]} {name}" if any(found) else None

    def values(self, job: Snapshot) -> list[str]:
        """What a job has under each key of `by`: the empty string for nothing."""
        return [next(iter(of_job(job, key)), "") for key in self.by]


class Holding(Struct, frozen=True, kw_only=True):
    """When a notifier wants to be told."""

    zone: tzinfo = UTC
    quiet: Quiet | None = None
    digest: Digest | None = None


class Hold(Struct, frozen=True):
    """What is owed stays until `until` (Unix seconds), and leaves with all else of the same `bundle`.

    `is_heralded`: the first failure of the bundle leaves at once, too, or when `otherwise` says.
    """

    bundle: str
    until: float
    why: str
    is_heralded: bool = False
    otherwise: "Hold | None" = None


def hold(
    event: Event, holding: Holding, now: float, *, group: Group | None = None, max_age: float | None = None
) -> Hold | None:
    """Until when an event stays for a notifier; None where it leaves at once.

    The longest reason counts, and its bundle takes what others had in mind.
    """
    found = max(_holds(event, holding, now, group, max_age), key=lambda one: one.until, default=None)
    sweep = group.sweep(event.job) if group is not None and group.all_terminal and event.job else None
    if sweep is None or not _waits_for_its_sweep(event):
        return found
    is_failure = event.status is Status.FAILED
    return Hold(sweep, now + LONGEST_SWEEP, "held until its sweep is over", is_failure, found)


def _waits_for_its_sweep(event: Event) -> bool:
    """Whether an event tells how a job goes on or how it ended, and not what is wrong with it meanwhile."""
    is_course = event.type.startswith(JOB) or event.type == CHECKPOINT
    return is_course and (event.severity.rank < Severity.WARNING.rank or event.status is Status.FAILED)


def _holds(
    event: Event, holding: Holding, now: float, group: Group | None, max_age: float | None
) -> Iterator[Hold]:
    plan, quiet = holding.digest, holding.quiet
    gathers = plan is not None and not (plan.passes is not None and matches(plan.passes, event))
    if plan is not None and gathers:
        yield Hold("digest", plan.next(holding.zone, now), "held for the digest")
    if quiet is not None and not (quiet.passes is not None and matches(quiet.passes, event)):
        until = quiet.until(holding.zone, now)
        if until is not None:
            yield Hold("quiet", until, "held until the quiet hours end")
    if max_age is not None and now - event.created_at > max_age:
        until = plan.next(holding.zone, now) if plan is not None else now + GATHERED
        yield Hold("late", until, "old news, held for one message")
    if group is not None and not group.all_terminal and (key := group.key(event)) is not None:
        yield Hold(f"group {key}", now + group.wait, "held for others of its group")


def _moment(wall: datetime, zone: tzinfo, fold: int = 0) -> float:
    """The moment at which the clock on the wall shows this; a time that it skips counts as the one after."""
    return wall.replace(tzinfo=zone, fold=fold).timestamp()
