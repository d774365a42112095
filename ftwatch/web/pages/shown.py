"""How a thing is shown: times, states, jobs and links, as the templates take them. Pure; no page of its own.

Whatever a stranger wrote becomes one clean line here; a template escapes it, and decides nothing.
"""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from msgspec import Struct, to_builtins

from ftwatch.core.event import Event
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import STAGE, Known
from ftwatch.core.message import Tone, clean, compose, is_web
from ftwatch.core.span import span
from ftwatch.store.glance import GONE

__all__ = [
    "Action",
    "Moment",
    "Pill",
    "Progress",
    "ago",
    "alerts",
    "as_json",
    "at",
    "headline",
    "href",
    "in_path",
    "lasting",
    "left",
    "link_of",
    "owner_of",
    "path_of",
    "pill",
    "progress_of",
    "soon",
    "title_of",
]

NAME, WORD = 64, 48


class Moment(Struct, frozen=True):
    """A time as a machine reads it, as people read it, and how it is said.

    `live` is how a script keeps it true: `ago`, `for`, `in`, `left`, or `at`, which only moves to its zone.
    """

    iso: str
    text: str
    live: str


class Pill(Struct, frozen=True):
    """A state: its word, and the sort that gives it colour and sign."""

    word: str
    kind: str


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job is. `value` is percent for a bar (None: unknown), `words` what stands beside it."""

    value: int | None
    words: str
    finish: Moment | None


class Action(Struct, frozen=True, kw_only=True):
    """Something to be done by a request to the API: what its button says, where it goes, with what.

    `done` is what is said when it was; `sure` is asked before, where it cannot be undone.
    """

    label: str
    path: str
    method: str = "POST"
    body: str = "{}"
    done: str
    sure: str = ""
    hint: str = ""


# ---------------------------------------------------------------------------------------------- times


def _moment(when: float | None, live: str, say: Callable[[float], str]) -> Moment | None:
    """A time with what is said of it; None for none, and for what no calendar knows."""
    if when is None or not math.isfinite(when):
        return None
    try:
        return Moment(datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), say(when), live)
    except (OverflowError, ValueError, OSError):
        return None


def at(when: float | None, now: float) -> Moment | None:
    """A time of day, with its date where that is another one; in UTC until a script knows better."""
    today = datetime.fromtimestamp(now, UTC)

    def say(when: float) -> str:
        moment = datetime.fromtimestamp(when, UTC)
        date = "" if moment.date() == today.date() else f"{moment.day} {moment:%b} "
        year = "" if moment.year == today.year else f"{moment.year} "
        return f"{date}{year}{moment:%H:%M} UTC"

    return _moment(when, "at", say)


def ago(when: float | None, now: float) -> Moment | None:
    """How long ago something was."""
    return _moment(when, "ago", lambda when: "just now" if now - when < 1 else f"{span(now - when)} ago")


def lasting(when: float | None, now: float) -> Moment | None:
    """How long something has lasted."""
    return _moment(when, "for", lambda when: span(now - when))


def soon(when: float | None, now: float) -> Moment | None:
    """When something will be."""
    return _moment(when, "in", lambda when: "now" if when - now < 1 else f"in {span(when - now)}")


def left(when: float | None, now: float) -> Moment | None:
    """How long it is until something."""
    return _moment(when, "left", lambda when: "any moment" if when - now < 1 else f"{span(when - now)} left")


# ---------------------------------------------------------------------------------------------- states


_WORDS = {Status.VALIDATING_FILES: "validating"}
_KINDS = {
    Status.VALIDATING_FILES: "wait",
    Status.QUEUED: "wait",
    Status.RUNNING: "run",
    Status.PAUSING: "pause",
    Status.PAUSED: "pause",
    Status.CANCELLING: "wait",
    Status.SUCCEEDED: "good",
    Status.FAILED: "bad",
    Status.CANCELLED: "off",
    Status.UNKNOWN: "odd",
}


def pill(status: str | None, *, gone: bool = False) -> Pill:
    """A state as a pill."""
    if gone or status == GONE:
        return Pill(GONE, "odd")
    if status is None or status not in _KINDS:
        return Pill("unknown", "odd")
    known = Status(status)
    return Pill(_WORDS.get(known, known.value), _KINDS[known])


def alerts(known: Known) -> list[str]:
    """The rules that fire for a job, a word or two each."""
    return [clean(rule, WORD) for rule in known.alerts]


def subject(known: Known, rule: str) -> str:
    """What an alert is about."""
    return clean(known.alerts[rule][0].partition(STAGE)[0], WORD)


_TONES = {Tone.GOOD: "good", Tone.BAD: "bad", Tone.WARN: "warn", Tone.NEUTRAL: "off"}


def headline(event: Event, *, named: bool) -> tuple[str, str]:
    """What an event says, and the sort of it; `named` with the name of what it is about.

    Without the sign that a message begins with: a page has its own.
    """
    message = compose(event)
    said = message.title.partition(" ")[2] or message.title
    if not named and event.job is not None:
        said = said.removeprefix(f"{clean(event.job.title, 80) or clean(event.job.id, 80)} ")
        for word in ("is ", "was ", "has a "):
            said = said.removeprefix(word)
        said = said[:1].upper() + said[1:]
    return said, _TONES[message.tone]


# ------------------------------------------------------------------------------------------------ jobs


def title_of(job: Snapshot) -> str:
    """What a job is called: its name, else its id, and never nothing."""
    return clean(job.title, NAME) or clean(job.id, NAME) or "a job without a name"


def owner_of(job: Snapshot) -> tuple[str, str] | None:
    """Whose a job is, by its provider or its labels, and the filter that finds more of theirs."""
    if job.owner:
        return clean(job.owner, WORD), urlencode({"owner": job.owner})
    for key in ("owner", "user", "team"):
        if value := job.labels.get(key):
            return clean(value, WORD), urlencode({"label": f"{key}={value}"})
    return None


def progress_of(job: Snapshot, now: float) -> Progress | None:
    """How far a job is that has not ended; None where nothing says so."""
    if job.status.is_terminal:
        return None
    found, value, words = job.progress, None, ""
    if found is not None:
        percent = found.percent
        if percent is None and found.step is not None and found.total_steps:
            percent = 100 * found.step / found.total_steps
        if percent is not None and math.isfinite(percent):
            value = int(min(max(percent, 0), 100))
        if found.step is not None:
            words = f"{found.step:,}" + (f"/{found.total_steps:,}" if found.total_steps else " steps")
        elif found.epoch is not None:
            words = f"epoch {found.epoch:.3g}"
    expected = job.estimated_finish
    finish = left(expected, now) if expected is not None and expected > now else None
    if value is None and not words and finish is None:
        return None
    return Progress(value=value, words=words, finish=finish)


def path_of(key: JobKey) -> str:
    """Where a job's page is."""
    return f"/jobs/{in_path(key)}"


def in_path(key: JobKey) -> str:
    """A job as part of a path. Slashes stay, unless a browser would take the parts for directions."""
    directs = any(part in ("", ".", "..") for part in key.id.split("/"))
    return f"{quote(key.provider, safe='')}/{quote(key.id, safe='' if directs else '/')}"


def link_of(job: Snapshot) -> str | None:
    """The job at its provider, where that is an address of the web and nothing else."""
    return job.url if job.url and is_web(job.url) else None


def href(path: str, **query: str | None) -> str:
    """A link with what of the query is said."""
    said = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(said)}" if said else path


def as_json(value: Any) -> str:
    r"""A document for people to read; what would hide or reorder its text stands as `\u…`."""
    text = json.dumps(to_builtins(value, str_keys=True), indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else _code(c) for c in text)


def _code(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
