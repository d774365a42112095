"""What do we say? The service-neutral text of an event; each notifier dresses it for its service.

Strings from a provider are strangers' words: here they lose what no reader should ever meet (control
characters, tricks with writing direction, endless length). Markup is not looked at: every notifier escapes.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from ftwatch.core import event as events
from ftwatch.core import result
from ftwatch.core.diff import is_volatile
from ftwatch.core.event import Event, Severity, is_late
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.span import span

__all__ = ["STATUS_WORDS", "Fact", "Message", "Tone", "clean", "compose", "is_web"]

TITLE, VALUE, QUOTE, URL = 150, 300, 1000, 2000
# How much of each event a line of a digest shows.
LINE = 110
# So many changed fields are named; the rest is counted.
CHANGES = 6

# By their category: what moves the cursor; what reorders or hides what follows it; lone surrogates, which no
# encoder takes.
_INSTEAD = {"Cc": " ", "Zl": " ", "Zp": " ", "Cf": "", "Cs": ""}


class Tone(StrEnum):
    """How a message feels: notifiers pick a colour by it."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    NEUTRAL = "neutral"


class Fact(Struct, frozen=True):
    """One line of a message: a label and its value."""

    label: str
    value: str


class Message(Struct, frozen=True, kw_only=True):
    """What to say about an event, without any markup.

    `title` is what a phone shows: icon, which job, what happened. `quote` is the provider's own sentence,
    `lines` one line for each event of a digest, `thread` names what belongs together (a job), `link` is a
    text and a URL.
    """

    title: str
    tone: Tone
    quote: str | None = None
    lines: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    link: tuple[str, str] | None = None
    thread: str | None = None
    footer: str = ""

    @property
    def icon(self) -> str:
        """The title's picture."""
        return self.title.partition(" ")[0]

    @property
    def headline(self) -> str:
        """The title without its picture: for a service with pictures of its own, or that reads aloud."""
        return self.title.partition(" ")[2]

    @property
    def text(self) -> str:
        """The whole message as plain lines."""
        lines = [self.title]
        if self.quote:
            lines.append(f"“{self.quote}”")
        lines += self.lines
        lines += [f"{fact.label}: {fact.value}" for fact in self.facts]
        if self.link:
            lines.append(f"{self.link[0]}: {self.link[1]}")
        if self.footer:
            lines.append(self.footer)
        return "\n".join(lines)


def clean(text: object, limit: int = VALUE) -> str:
    """A stranger's text as one short line: nothing invisible, nothing that moves the cursor or the reader."""
    line = "".join(_INSTEAD.get(unicodedata.category(c), c) for c in str(text)[: limit * 4])
    line = " ".join(line.split())
    if len(line) <= limit:
        return line
    end = limit - 1
    while end > 0 and unicodedata.combining(line[end]):
        end -= 1
    return line[:end].rstrip() + "…"


STATUS_WORDS = {
    Status.VALIDATING_FILES: ("🔎", "is validating its files", Tone.NEUTRAL),
    Status.QUEUED: ("⏳", "is queued", Tone.NEUTRAL),
    Status.RUNNING: ("▶️", "is running", Tone.NEUTRAL),
    Status.PAUSING: ("⏸️", "is pausing", Tone.WARN),
    Status.PAUSED: ("⏸️", "is paused", Tone.WARN),
    Status.CANCELLING: ("🛑", "is being cancelled", Tone.NEUTRAL),
    Status.SUCCEEDED: ("✅", "succeeded", Tone.GOOD),
    Status.FAILED: ("❌", "failed", Tone.BAD),
    Status.CANCELLED: ("🛑", "was cancelled", Tone.NEUTRAL),
    Status.UNKNOWN: ("❓", "has a status nobody knows", Tone.WARN),
}

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

# How an alert's end is told where "is no longer …" would say the wrong thing: a model may also have retired.
_RESOLVED = {"retiring": ("📅", "no longer has that end ahead", Tone.NEUTRAL)}

_SEVERITY = {
    Severity.DETAIL: Tone.NEUTRAL,
    Severity.INFO: Tone.NEUTRAL,
    Severity.NOTICE: Tone.GOOD,
    Severity.WARNING: Tone.WARN,
    Severity.ERROR: Tone.BAD,
}


def is_web(url: str) -> bool:
    """Whether a stranger's URL may be a link: of the web, of one piece, of a length that everybody takes."""
    is_whole = len(url) <= URL and clean(url, URL) == url and not re.search(r"[\s\"<>]", url)
    return is_whole and url.startswith(("https://", "http://"))


# Why several events come as one message, by the bundle that they waited in (see core/route/hold.py).
_BUNDLES = {
    "quiet": "from the quiet hours",
    "digest": "in this digest",
    "throttle": "that were too many at once",
    "late": "about what happened meanwhile",
    "group": "at once",
}


def compose(event: Event, *more: Event, most: int = 1000, bundle: str | None = None) -> Message:
    """The message that tells a person of this event; of several, a digest that names each.

    More than `most` are summed up: one line for a job, those that ended badly first, the rest counted.
    `bundle` is what they waited in, where they were held for one message on purpose.
    """
    if more:
        return _digest((event, *more), most, bundle)
    job = event.job
    return _about_job(event, job) if job else _about_ourselves(event)


def _digest(told: Sequence[Event], most: int, bundle: str | None) -> Message:
    """What could not or should not be told in time, in the order in which it happened."""
    ends = Counter(str(event.status) for event in told if event.status and event.status.is_terminal)
    counted = [f"{ends[status]} {status}" for status in ("failed", "succeeded", "cancelled") if ends[status]]
    if counted and len(told) > ends.total():
        counted.append(f"{len(told) - ends.total()} other")
    worst = max(told, key=lambda event: event.severity.rank)
    lines = [_line(event) for event in told] if len(told) <= most else _summed(told, most)
    found_late = sum(is_late(event, event.data.observed_at) for event in told)
    why = "about what happened meanwhile" if found_late * 2 > len(told) else "that could not be sent in time"
    why = _BUNDLES.get((bundle or "").partition(" ")[0], why)
    return Message(
        title=f"📬 {len(told)} messages {why}" + _listed(counted),
        tone=_SEVERITY[worst.severity] if worst.severity.rank >= Severity.WARNING.rank else Tone.NEUTRAL,
        lines=tuple(lines),
        footer="ftwatch · times in UTC",
    )


def _line(event: Event) -> str:
    """An event as one line of a digest."""
    message, job = compose(event), event.job
    detail = message.quote or result.cause(event)
    if job and event.status is Status.SUCCEEDED:
        detail = job.fine_tuned_model
    at = datetime.fromtimestamp(event.created_at, UTC).strftime("%m-%d %H:%M")
    said = f": {clean(detail, LINE)}" if detail else ""
    return f"{at}  {clean(message.title, LINE)}{said}"


def _summed(told: Sequence[Event], most: int) -> list[str]:
    """The last word on each job, the worst first, in at most so many lines; and how many more there are."""
    last: dict[str, Event] = {}
    for event in told:
        if event.lane not in last or event.severity.rank >= Severity.INFO.rank:
            last[event.lane] = event
    ordered = sorted(last.values(), key=lambda event: -event.severity.rank)
    if len(ordered) <= most:
        return [_line(event) for event in ordered]
    rest = len(ordered) - most + 1
    shown = [_line(event) for event in ordered[: most - 1]]
    return [*shown, f"and {rest} more: `ftwatch jobs` and `ftwatch events` show them"]


def _listed(counted: list[str]) -> str:
    return f": {', '.join(counted)}" if counted else ""


def _about_job(event: Event, job: Snapshot) -> Message:
    icon, said, tone = _headline(event, job)
    error = job.error if event.status is Status.FAILED or event.status is Status.CANCELLED else None
    return Message(
        title=clean(f"{icon} {clean(job.title, 80) or clean(job.id, 80)} {said}", TITLE),
        tone=tone,
        quote=clean(error.message, QUOTE) if error and error.message else None,
        facts=tuple(_facts(event, job)),
        link=("Open the job", job.url) if job.url and is_web(job.url) else None,
        thread=str(job.key),
        footer=_footer(event, job),
    )


def _headline(event: Event, job: Snapshot) -> tuple[str, str, Tone]:
    type, status = event.type, event.status
    if type.startswith(events.ALERT):
        return _alert(event, job)
    if type == events.CREATED:
        said = STATUS_WORDS[status][1] if status else "was found"
        old = event.data.continues
        return "🆕", f"{said}, continues {clean(old, 40)}" if old else said, Tone.NEUTRAL
    if type == events.CHECKPOINT:
        saved = event.data.checkpoint or None
        step = f" at step {saved.step}" if saved and saved.step is not None else ""
        return "💾", f"has a checkpoint{step}", Tone.NEUTRAL
    if type == events.GONE:
        return "👻", "is gone: the provider no longer knows it", Tone.WARN
    if type == events.RETURNED:
        return "↩️", f"is back, and {STATUS_WORDS[job.status][1]}", Tone.NEUTRAL
    if type == events.UPDATED or status is None:
        leaves = dict.fromkeys(clean(change.field.rpartition(".")[2], 40) for change in event.changes)
        names = [name for name in leaves if name]
        what = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        return "✏️", f"changed: {what}" if what else "changed", _SEVERITY[event.severity]
    icon, said, tone = STATUS_WORDS[status]
    if status is Status.UNKNOWN:
        said = f"{said}: {clean(job.raw_status or '', 40) or '?'}"
    if event.data.incomplete:
        said = f"{said}, but its model has not arrived"
        tone = Tone.WARN
    return icon, said, tone


def _alert(event: Event, job: Snapshot) -> tuple[str, str, Tone]:
    rule = clean(event.type.removeprefix(events.ALERT), 40)
    if rule.endswith(".resolved"):
        rule = rule.removesuffix(".resolved")
        return _RESOLVED.get(rule, ("✅", f"is no longer {rule}", Tone.GOOD))
    note = event.note or ""
    # A note that begins with the job's name is a whole sentence.
    is_whole = note.startswith(f"{job.title} ")
    said = clean(note.removeprefix(job.title), 80) if is_whole else f"is {rule}: {clean(note, 80)}"
    return "⚠️", said, _SEVERITY[event.severity]


def _facts(event: Event, job: Snapshot) -> Iterator[Fact]:
    is_alert = event.type.startswith(events.ALERT)
    if job.fine_tuned_model and (event.status is Status.SUCCEEDED or is_alert):
        yield Fact("Model", clean(job.fine_tuned_model))
        yield Fact("Base model", clean(job.model or "?"))
    elif job.model:
        yield Fact("Model", clean(job.model))
    if why := result.cause(event):
        yield Fact("Cause", clean(why, 80))
    error = job.error
    if error and event.status in (Status.FAILED, Status.CANCELLED):
        where = [clean(part, 80) for part in (error.code, error.param and f"in {error.param}") if part]
        if where:
            yield Fact("Error", " ".join(where))
    summary = event.data.summary or None
    is_over = job.status.is_terminal and not is_alert
    if is_over and (lasted := result.duration(job, summary)):
        yield Fact("Duration", lasted)
    if is_over and job.trained_tokens:
        yield Fact("Trained tokens", f"{job.trained_tokens:,}")
    if summary and (last := result.figures(summary.metrics)):
        yield Fact("Final", last)
    if saved := event.data.checkpoint or None:
        if saved.model:
            yield Fact("Checkpoint", clean(saved.model))
        if reached := result.figures(saved.metrics):
            yield Fact("Figures", reached)
    if event.data.continues and event.type != events.CREATED:
        yield Fact("Continues", clean(event.data.continues, 80))
    if not job.status.is_terminal and job.progress:
        yield from _progress(job, event.data.observed_at)
    yield from _changes(event, job)
    if job.labels:
        labels = ", ".join(f"{clean(k, 40)}={clean(v, 60)}" for k, v in sorted(job.labels.items())[:5])
        yield Fact("Labels", labels)


def _progress(job: Snapshot, now: int) -> Iterator[Fact]:
    progress = job.progress
    assert progress is not None
    parts = []
    if progress.step is not None:
        parts.append(
            f"step {progress.step}" + (f" of {progress.total_steps}" if progress.total_steps else "")
        )
    if progress.percent is not None:
        parts.append(f"{progress.percent:g} %")
    if job.estimated_finish and job.estimated_finish > now:
        parts.append(f"about {span(job.estimated_finish - now)} left")
    if parts:
        yield Fact("Progress", ", ".join(parts))


def _changes(event: Event, job: Snapshot) -> Iterator[Fact]:
    """The changed fields that no other line tells of."""
    told = {"status", "fine_tuned_model", "finished_at", "trained_tokens", "error", "started_at"}
    if event.status is Status.SUCCEEDED:
        told.add("result_files")  # every success has some, and their names say nothing
    changes = event.changes
    # Metadata counts as labels, too: one line is enough for both.
    told |= {f"labels.{c.field.partition('.')[2]}" for c in changes if c.field.startswith("metadata.")}
    news = [
        change
        for change in changes
        if not ({change.field, change.field.partition(".")[0]} & told) and not is_volatile(change, job.status)
    ]
    for change in news[:CHANGES]:
        yield Fact(clean(change.field, 80), f"{_value(change.before)} → {_value(change.after)}")
    if len(news) > CHANGES:
        yield Fact("And", f"{len(news) - CHANGES} more changed fields")


def _value(value: Any) -> str:
    match value:
        case None:
            return "none"
        case list():
            return clean(", ".join(str(item) for item in value) or "none", 120)
    return clean(value, 120)


def _footer(event: Event, job: Snapshot) -> str:
    parts = [clean(job.provider, 64), clean(job.id, 80)]
    if event.data.skipped is True:
        parts.append("seen only afterwards")
    return " · ".join(parts)


def _about_ourselves(event: Event) -> Message:
    about = clean(event.data.id, 80)
    icon, said, tone = _OWN.get(event.type, ("✉️", clean(event.type, 80), _SEVERITY[event.severity]))
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
