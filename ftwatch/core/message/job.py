"""What do we say of a job? The message about one event: what became of it, why, and what to do next."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ftwatch.core import event as events
from ftwatch.core import result
from ftwatch.core.cause import next_step
from ftwatch.core.compare import run_of, versus
from ftwatch.core.diff import is_volatile
from ftwatch.core.event import Event, Severity
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.message.parts import QUOTE, TITLE, Fact, Message, Tone, clean, is_web
from ftwatch.core.span import spoken

__all__ = ["SEVERITY", "STATUS_WORDS", "about_job", "links_of"]

# So many changed fields are named; the rest is counted.
CHANGES = 6

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

# How an alert's end is told where "is no longer …" would say the wrong thing: a model may also have retired.
_RESOLVED = {"retiring": ("📅", "no longer has that end ahead", Tone.NEUTRAL)}

# How a job that went back and forth may have settled, and somebody should see to it all the same.
_OPEN = frozenset({Status.FAILED, Status.PAUSED, Status.UNKNOWN, "gone"})

SEVERITY = {
    Severity.DETAIL: Tone.NEUTRAL,
    Severity.INFO: Tone.NEUTRAL,
    Severity.NOTICE: Tone.GOOD,
    Severity.WARNING: Tone.WARN,
    Severity.ERROR: Tone.BAD,
}


def about_job(event: Event, job: Snapshot, page: str) -> Message:
    """The message about a job; `page` is where people reach ftwatch's own page, empty where they do not."""
    icon, said, tone = _headline(event, job)
    name = clean(job.title, 80) or clean(job.id, 80)
    took = result.duration(job, event.data.summary or None) if event.status and _has_ended(event) else None
    if took:
        said = f"{said} · {took}" if event.status is Status.SUCCEEDED else f"{said} after {took}"
    error = job.error if event.status in (Status.FAILED, Status.CANCELLED) else None
    return Message(
        title=clean(f"{icon} {name} {said}", TITLE),
        tone=tone,
        quote=clean(error.message, QUOTE) if error and error.message else None,
        facts=tuple(_facts(event, job)),
        links=tuple(links_of(job, page)),
        thread=str(job.key),
        topic=name if name == clean(job.id, 80) else f"{name} ({clean(job.id, 80)})",
        footer=_footer(event, job),
    )


def _has_ended(event: Event) -> bool:
    return event.status is not None and event.status.is_terminal


def links_of(job: Snapshot, page: str = "") -> Iterator[tuple[str, str]]:
    """Where there is more to see: at the provider's, on ftwatch's own page, at Weights & Biases."""
    found = [("Open job", job.url or "")]
    if page:
        found.append(("Page", f"{page}/jobs/{quote(job.provider, safe='')}/{quote(job.id, safe='')}"))
    found += filter(None, map(_wandb, job.integrations))
    told: set[str] = set()
    for text, url in found:
        if is_web(url) and url not in told and text not in told:
            told |= {text, url}
            yield text, url


def _wandb(integration: dict[str, Any]) -> tuple[str, str] | None:
    """The run of an integration with Weights & Biases, as far as it says where that is."""
    about = integration.get("wandb")
    if not isinstance(about, dict):
        return None
    if isinstance(about.get("url"), str):
        return "W&B run", about["url"]
    parts = [about.get(name) for name in ("entity", "project", "run_id")]
    entity, project, run = (quote(part, safe="") if isinstance(part, str) else "" for part in parts)
    if not entity or not project:
        return None
    whole = f"https://wandb.ai/{entity}/{project}"
    return ("W&B run", f"{whole}/runs/{run}") if run else ("W&B project", whole)


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
        return "✏️", f"changed: {what}" if what else "changed", SEVERITY[event.severity]
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
        if event.note:
            icon, tone = ("⚠️", Tone.WARN) if event.note in _OPEN else ("✅", Tone.GOOD)
            return icon, f"has settled: {clean(event.note, 40).replace('_', ' ')}", tone
        return _RESOLVED.get(rule, ("✅", f"is no longer {rule}", Tone.GOOD))
    note = event.note or ""
    # A note that begins with the job's name is a whole sentence.
    is_whole = note.startswith(f"{job.title} ")
    said = clean(note.removeprefix(job.title), 80) if is_whole else f"is {rule}: {clean(note, 80)}"
    return "⚠️", said, SEVERITY[event.severity]


def _facts(event: Event, job: Snapshot) -> Iterator[Fact]:
    is_alert = event.type.startswith(events.ALERT)
    if event.status in (Status.FAILED, Status.CANCELLED):
        yield from _trouble(event, job)
    if job.fine_tuned_model and (event.status is Status.SUCCEEDED or is_alert):
        yield Fact("Model", clean(job.fine_tuned_model), is_code=True)
    if job.model:
        yield Fact("Base model", clean(job.model))
    if job.status.is_terminal and not is_alert:
        yield from _outcome(event, job)
    if saved := event.data.checkpoint or None:
        if saved.model:
            yield Fact("Checkpoint", clean(saved.model), is_code=True)
        if reached := result.figures(saved.metrics):
            yield Fact("Figures", reached)
    if event.data.continues and event.type != events.CREATED:
        yield Fact("Continues", clean(event.data.continues, 80), is_code=True)
    if not job.status.is_terminal and job.progress:
        yield from _progress(job, event.data.observed_at)
    yield from _changes(event, job)
    if job.owner:
        yield Fact("Owner", clean(job.owner, 80))
    if job.labels:
        labels = ", ".join(f"{clean(k, 40)}={clean(v, 60)}" for k, v in sorted(job.labels.items())[:5])
        yield Fact("Labels", labels)


def _trouble(event: Event, job: Snapshot) -> Iterator[Fact]:
    """Why a job ended badly, where, and what to do about it."""
    error, summary = job.error, event.data.summary or None
    where = (
        [clean(part, 80) for part in (error.code, error.param and f"in {error.param}") if part]
        if error
        else []
    )
    if where:
        yield Fact("Error", " ".join(where))
    if summary and summary.step is not None:
        of = f" of {summary.total_steps:,}" if summary.total_steps else ""
        yield Fact("At step", f"{summary.step:,}{of}")
    if why := result.cause(event):
        yield Fact("Cause", clean(why, 80))
    if event.status is Status.FAILED and (todo := next_step(summary.cause if summary else None)):
        yield Fact("Next", todo)


def _outcome(event: Event, job: Snapshot) -> Iterator[Fact]:
    """What an ended job came to, in figures."""
    summary = event.data.summary or None
    if job.trained_tokens:
        yield Fact("Tokens", f"{job.trained_tokens:,}")
    if summary and (reached := result.figures(summary.metrics, summary.first)):
        yield Fact("Figures", reached)
    if summary and summary.last_run and (told := versus(run_of(job, summary.metrics), summary.last_run)):
        yield Fact("Compared", told)


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
        parts.append(f"about {spoken(job.estimated_finish - now)} left")
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
        field = change.field.removeprefix("hyperparameters.")
        yield Fact(clean(field, 80), f"{_value(change.before)} → {_value(change.after)}")
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
