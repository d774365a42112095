"""What came of all that? The figures of some days, which say as well that somebody is still watching."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo

from ftwatch.core.event import REPORT, Data, Event, Report, Severity, event_id
from ftwatch.core.message.parts import clean
from ftwatch.core.route.hold import Digest

__all__ = ["due_at", "ended", "make_report", "report_event"]

# So many open problems are named; the rest is counted.
NAMED = 10


def due_at(plan: Digest, zone: tzinfo, last: float) -> float:
    """When the report after the one of `last` is due (Unix seconds): however many were missed, it is one."""
    return plan.next(zone, last)


def ended(events: Iterable[Event]) -> list[Event]:
    """The last end of each job among events in their order."""
    last = {event.lane: event for event in events if event.status is not None and event.status.is_terminal}
    return list(last.values())


def make_report(
    events: Iterable[Event], active: int, open: Sequence[str], since: float, until: float
) -> Report:
    """The report of the jobs that ended by these events; `open` is all that somebody should see to."""
    counts: dict[str, int] = {}
    tokens = ran_for = 0
    slowest: tuple[str, int] | None = None
    for event in ended(events):
        job, summary = event.job, event.data.summary or None
        assert job is not None
        counts[job.status] = counts.get(job.status, 0) + 1
        tokens += job.trained_tokens or 0
        ran = (summary.ran_for if summary else None) or 0
        ran_for += ran
        if ran > (slowest[1] if slowest else 0):
            slowest = (clean(job.title, 80), ran)
    named = tuple(clean(one, 200) for one in open[:NAMED])
    rest = (f"and {len(open) - NAMED} more",) if len(open) > NAMED else ()
    return Report(
        since=int(since),
        until=int(until),
        ended=counts,
        tokens=tokens,
        ran_for=ran_for,
        slowest=slowest,
        active=active,
        open=named + rest,
    )


def report_event(notifier: str, made: Report) -> Event:
    """The event that brings a notifier its report; the same report has the same id."""
    return Event(
        id=event_id(f"report:{notifier}:{made.since}", REPORT),
        type=REPORT,
        created_at=made.until,
        severity=Severity.INFO,
        data=Data(id=notifier, occurred_at=made.until, observed_at=made.until, report=made),
    )
