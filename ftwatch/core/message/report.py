"""The message of a report: the figures of some days, and what is open."""

from collections.abc import Iterator
from datetime import UTC, datetime

from ftwatch.core.event import Report
from ftwatch.core.message.parts import TITLE, Fact, Message, Tone, clean
from ftwatch.core.span import spoken

__all__ = ["about_report"]

_ORDER = ("succeeded", "failed", "cancelled")


def about_report(report: Report) -> Message:
    """The message of a report."""
    count = sum(report.ended.values())
    said = [f"{report.ended[status]} {status}" for status in _ORDER if report.ended.get(status)]
    jobs = f"{count} jobs ended" if count != 1 else "one job ended"
    what = f"{jobs}: {', '.join(said)}" if count else "no job ended"
    return Message(
        title=clean(f"\U0001f4ca Report of {spoken(report.until - report.since)}: {what}", TITLE),
        tone=Tone.WARN if report.open else Tone.NEUTRAL,
        lines=tuple(clean(one, 200) for one in report.open),
        facts=tuple(_facts(report)),
        thread="report",
        topic="ftwatch reports",
        footer="ftwatch is watching",
    )


def _facts(report: Report) -> Iterator[Fact]:
    yield Fact("Active now", f"{report.active:,}")
    if report.tokens:
        yield Fact("Tokens", f"{report.tokens:,}")
    if report.ran_for:
        yield Fact("Training", f"{report.ran_for / 3600:,.1f} hours")
    if report.slowest is not None:
        name, ran = report.slowest
        yield Fact("Longest", f"{clean(name, 80)}, {spoken(ran)}")
    yield Fact("Open", f"{len(report.open)}" if report.open else "nothing")
    yield Fact("From", f"{_day(report.since)} to {_day(report.until)} UTC")


def _day(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"@{at}"
