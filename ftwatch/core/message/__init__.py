"""What do we say? The service-neutral text of an event; each notifier dresses it for its service.

Strings from a provider are strangers' words: here they lose what no reader should ever meet (control
characters, tricks with writing direction, endless length). Markup is not looked at: every notifier escapes.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core import result
from ftwatch.core.delivery import REMINDER, SWEEP
from ftwatch.core.event import Event, Severity, is_late
from ftwatch.core.job import Status
from ftwatch.core.lateness import why_late
from ftwatch.core.message.job import SEVERITY, STATUS_WORDS, about_job, links_of
from ftwatch.core.message.parts import (
    BODY,
    QUOTE,
    TITLE,
    Fact,
    Message,
    Picture,
    Row,
    Tone,
    Wording,
    clean,
    is_web,
)
from ftwatch.core.message.report import about_report
from ftwatch.core.message.sweep import about_sweep
from ftwatch.core.span import spoken

__all__ = [
    "BODY",
    "STATUS_WORDS",
    "TITLE",
    "Fact",
    "Message",
    "Picture",
    "Row",
    "Tone",
    "Wording",
    "again",
    "clean",
    "compose",
    "is_web",
    "links_of",
]

# How much of each event a line of a digest shows.
LINE = 110

_OWN = {
    events.WATCHING: ("👀", "is being watched", Tone.NEUTRAL),
    events.DEGRADED: ("⚠️", "cannot be watched", Tone.WARN),
    events.RECOVERED: ("✅", "can be watched again", Tone.GOOD),
    events.UNREADABLE: ("⚠️", "sent something unreadable", Tone.WARN),
    events.DRIFT: ("⚠️", "has changed its interface", Tone.WARN),
    events.RETIRED: ("🏁", "has ended", Tone.NEUTRAL),
    events.DEAD: ("📭", "did not take a message", Tone.BAD),
    events.FAILING: ("📪", "takes no messages", Tone.WARN),
    events.DISABLED: ("🔕", "wants no more messages", Tone.BAD),
    events.ENABLED: ("✅", "takes messages again", Tone.GOOD),
    events.REJECTED: ("⚠️", "has mistakes: the old one stays in force", Tone.BAD),
    events.ACCEPTED: ("✅", "is in force again", Tone.GOOD),
    events.FULL: ("💽", "is full: no job is looked at", Tone.BAD),
    events.ROOM: ("✅", "has room again", Tone.GOOD),
}

# What is old news waits in.
LATE_BUNDLE = "late"
# Why several events come as one message, by the bundle that they waited in (see core/route/hold.py).
_BUNDLES = {
    "quiet": "from the quiet hours",
    "digest": "in this digest",
    "throttle": "that were too many at once",
    LATE_BUNDLE: "about what happened meanwhile",
    "remind": "about what is still open",
    "group": "at once",
}


def compose(
    event: Event,
    *more: Event,
    most: int = 1000,
    bundle: str | None = None,
    page: str = "",
    told: float | None = None,
) -> Message:
    """The message that tells a person of this event; of several, a digest that names each.

    More than `most` are summed up: one line for a job, those that ended badly first, the rest counted.
    `bundle` is what they waited in, where they were held for one message on purpose; `page` is where people
    reach ftwatch's own page, if they do. `told` is when it is sent (Unix seconds; None: when it was seen).
    """
    if more and bundle is not None and bundle.startswith(SWEEP):
        return about_sweep((event, *more), bundle, most)
    if more:
        return _digest((event, *more), most, bundle, told)
    job = event.job
    message = about_job(event, job, page) if job else _about_ourselves(event)
    late = why_late(event, told, always=bundle == LATE_BUNDLE)
    if late is not None and not (bundle or "").startswith(REMINDER):
        message = replace(message, facts=(*message.facts, Fact("Late", f"{late} UTC")))
    return again(message, event, bundle)


def again(message: Message, event: Event, bundle: str | None) -> Message:
    """The message about an event of which `bundle` reminds; any other stays as it is."""
    if bundle is None or not bundle.startswith(REMINDER):
        return message
    now = int(bundle.removeprefix(REMINDER))
    since = datetime.fromtimestamp(event.created_at, UTC).strftime("%Y-%m-%d %H:%M")
    facts = [*message.facts, Fact("Since", f"{since} UTC, for {spoken(now - event.created_at)}")]
    if event.key is not None:
        # Typed as it is shown, so only where it can be.
        name = str(event.key)
        is_whole = re.fullmatch(r"[\w./:@+-]{1,200}", name, re.ASCII) is not None
        facts.append(Fact("No more of this", f"ftwatch ack {name if is_whole else 'JOB'}", is_code=True))
    title = clean(f"🔔 Reminder: {message.headline}", TITLE)
    return replace(message, title=title, facts=tuple(facts))


def _digest(told: Sequence[Event], most: int, bundle: str | None, now: float | None) -> Message:
    """What could not or should not be told in time, in the order in which it happened."""
    ends = Counter(str(event.status) for event in told if event.status and event.status.is_terminal)
    counted = [f"{ends[status]} {status}" for status in ("failed", "succeeded", "cancelled") if ends[status]]
    if counted and len(told) > ends.total():
        counted.append(f"{len(told) - ends.total()} other")
    worst = max(told, key=lambda event: event.severity.rank)
    always = bundle == LATE_BUNDLE
    lates = {event.id: why_late(event, now, always=always) for event in told}
    rows = [_row(event, lates) for event in told] if len(told) <= most else _summed(told, most, lates)
    found_late = sum(is_late(event, event.data.observed_at) for event in told)
    why = "about what happened meanwhile" if found_late * 2 > len(told) else "that could not be sent in time"
    why = _BUNDLES.get((bundle or "").partition(" ")[0], why)
    return Message(
        title=f"📬 {len(told)} messages {why}" + _listed(counted),
        tone=SEVERITY[worst.severity] if worst.severity.rank >= Severity.WARNING.rank else Tone.NEUTRAL,
        lines=tuple(map(str, rows)),
        rows=tuple(rows),
        footer="ftwatch · times in UTC",
    )


def _row(event: Event, lates: Mapping[str, str | None]) -> Row:
    """An event as one line of a digest; `lates` are why events come late, by their ids."""
    message, job = compose(event), event.job
    detail = message.quote or result.cause(event)
    if job and event.status is Status.SUCCEEDED:
        detail = job.fine_tuned_model
    at = datetime.fromtimestamp(event.created_at, UTC).strftime("%m-%d %H:%M")
    said = filter(None, (clean(detail, LINE) if detail else "", clean(lates[event.id] or "", LINE)))
    return Row(at, clean(message.title, LINE), "; ".join(said))


def _summed(told: Sequence[Event], most: int, lates: Mapping[str, str | None]) -> list[Row]:
    """The last word on each job, the worst first, in at most so many lines; and how many more there are."""
    last: dict[str, Event] = {}
    for event in told:
        if event.lane not in last or event.severity.rank >= Severity.INFO.rank:
            last[event.lane] = event
    ordered = sorted(last.values(), key=lambda event: -event.severity.rank)
    if len(ordered) <= most:
        return [_row(event, lates) for event in ordered]
    rest = len(ordered) - most + 1
    shown = [_row(event, lates) for event in ordered[: most - 1]]
    return [*shown, Row("", f"and {rest} more: `ftwatch jobs` and `ftwatch events` show them")]


def _listed(counted: list[str]) -> str:
    return f": {', '.join(counted)}" if counted else ""


def _about_ourselves(event: Event) -> Message:
    if event.data.report:
        return about_report(event.data.report)
    about = clean(event.data.id, 80)
    icon, said, tone = _OWN.get(event.type, ("✉️", clean(event.type, 80), SEVERITY[event.severity]))
    if event.type == events.TEST:
        title, tone = "👋 ftwatch can reach you", Tone.GOOD
    elif event.type in (events.REJECTED, events.ACCEPTED):
        title = f"{icon} The config {said}"
    elif event.type in (events.FULL, events.ROOM):
        title = f"{icon} The disk {said}"
    else:
        title = f"{icon} {about} {said}"
    lines = [clean(line, QUOTE) for line in (event.note or "").splitlines() if line.strip()]
    quote = " / ".join(lines[:5])
    if event.type == events.RETIRED and quote and len(quote) <= LINE:
        title, quote = f"{title}: {quote}", ""
    return Message(
        title=title,
        tone=tone,
        quote=quote or None,
        thread=event.data.provider or event.data.notifier or None,
        footer="ftwatch",
    )
