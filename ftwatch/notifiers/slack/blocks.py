"""What Slack shows: Block Kit for the eye, plain text for the phone's notification. Pure.

What strangers wrote is shown as text: `&`, `<` and `>` are escaped, so that neither links nor `<!channel>`
come alive, and Slack is told not to look for names and addresses in it. Whom the config mentions stands
before the title: in an attachment not every one of Slack's programs would notify them.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from ftwatch.core import result
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.message import STATUS_WORDS, Fact, Message, Row, Tone, clean, links_of
from ftwatch.notifiers.slack.called import mark

__all__ = ["QUIET", "SECTION", "payload", "plain", "root_message", "root_payload"]

COLOURS = {Tone.GOOD: "#2eb67d", Tone.BAD: "#e01e5a", Tone.WARN: "#ecb22e", Tone.NEUTRAL: "#8d8d8d"}
# Slack's own limits: a section takes 3,000 characters of text and ten fields of 2,000.
SECTION, FIELDS, FIELD = 3000, 10, 2000
# How many squares a progress bar has.
BAR = 20
# How many buttons stand in a row.
LINKS = 25

QUIET = {"unfurl_links": False, "unfurl_media": False}


def payload(message: Message) -> dict[str, Any]:
    """The message in Slack's words: its title, and the rest at a bar of its colour.

    `text` is what a phone shows. Slack shows it in the channel, too, where a message has nothing but
    attachments; so the title is a block of its own, in place of it.
    """
    title = f"{_called(message)}*{_bold(message.title)}*"
    blocks: list[dict[str, Any]] = []
    if message.quote:
        blocks.append({"type": "section", "text": _mrkdwn(f"> {_escaped(message.quote, SECTION // 2)}")})
    lines = [_row(row) for row in message.rows] or [_escaped(line, FIELD) for line in message.lines]
    blocks += [{"type": "section", "text": _mrkdwn(text)} for text in _sections(lines)]
    fields = [_mrkdwn(f"*{_bold(fact.label)}*\n{_value(fact)}") for fact in message.facts]
    blocks += [
        {"type": "section", "fields": fields[first : first + FIELDS]}
        for first in range(0, len(fields), FIELDS)
    ]
    if message.links:
        blocks.append({"type": "actions", "elements": [_button(*link) for link in message.links[:LINKS]]})
    if message.footer:
        blocks.append({"type": "context", "elements": [_mrkdwn(_escaped(message.footer, FIELD))]})
    said = f"{message.title}: {message.quote}" if message.quote else message.title
    return {
        "text": _called(message) + _escaped(said, SECTION),
        "blocks": [{"type": "section", "text": _mrkdwn(title)}],
        "attachments": [{"color": COLOURS[message.tone], "blocks": blocks}] if blocks else [],
        **QUIET,
    }


def plain(message: Message, limit: int = SECTION) -> dict[str, Any]:
    """The same without any blocks, in at most so many characters."""
    return {"text": _called(message) + _escaped(message.text, limit), **QUIET}


# -------------------------------------------------------------------------------- one message for each job


def root_message(
    job: Snapshot,
    *,
    figures: str = "",
    cause: str | None = None,
    open: Mapping[str, str] | None = None,
    page: str = "",
) -> Message:
    """What the one message about a job says: how it is now, whatever happened before.

    `figures` are the last ones known, `cause` is why it ended badly, both in words; `open` are the problems
    that nobody has seen the end of, each with a line that tells of it; `page` is where people reach ftwatch's
    own page, empty where they do not. It mentions nobody: an edit would not notify them.
    """
    still = open or {}
    icon, said, tone = STATUS_WORDS[job.status]
    if job.status is Status.UNKNOWN:
        said = f"{said}: {clean(job.raw_status or '', 40) or '?'}"
    if "gone" in still:
        icon, said, tone = "👻", "is gone: the provider no longer knows it", Tone.WARN
    elif still and tone is not Tone.BAD:
        icon, tone = "⚠️", Tone.WARN
    bad = job.error if job.status in (Status.FAILED, Status.CANCELLED) else None
    return Message(
        title=clean(f"{icon} {clean(job.title, 80) or clean(job.id, 80)} {said}", 150),
        tone=tone,
        quote=clean(bad.message, 1000) if bad and bad.message else None,
        lines=tuple(clean(line, 300) for name, line in still.items() if name != "gone"),
        facts=tuple(_facts(job, figures, cause)),
        links=tuple(links_of(job, page)),
        thread=str(job.key),
        footer=f"{clean(job.provider, 64)} · {clean(job.id, 80)}",
    )


def root_payload(job: Snapshot, message: Message) -> dict[str, Any]:
    """That message in Slack's words, with a bar of how far the job is."""
    made = payload(message)
    if bar := _bar(job):
        made["attachments"][0]["blocks"].insert(
            1 if message.quote else 0, {"type": "section", "text": _mrkdwn(bar)}
        )
    return made


def _facts(job: Snapshot, figures: str, cause: str | None) -> Iterator[Fact]:
    if job.fine_tuned_model:
        yield Fact("Model", clean(job.fine_tuned_model), is_code=True)
    if job.model:
        yield Fact("Base model", clean(job.model))
    if cause:
        yield Fact("Cause", clean(cause, 80))
    if figures:
        yield Fact("Final" if job.status.is_terminal else "Last figures", figures)
    if job.status.is_terminal and (lasted := result.duration(job, None)):
        yield Fact("Duration", lasted)
    if job.status.is_terminal and job.trained_tokens:
        yield Fact("Tokens", f"{job.trained_tokens:,}")
    if job.owner:
        yield Fact("Owner", clean(job.owner, 80))
    if job.labels:
        labels = sorted(job.labels.items())[:5]
        yield Fact("Labels", ", ".join(f"{clean(name, 40)}={clean(value, 60)}" for name, value in labels))


def _bar(job: Snapshot) -> str:
    """How far it is, and when it will be done: in the reader's own time, as Slack shows it."""
    if job.status.is_terminal:
        return ""
    parts = []
    progress = job.progress
    share = progress.percent if progress else None
    if progress and share is None and progress.step is not None and progress.total_steps:
        share = 100 * progress.step / progress.total_steps
    if share is not None:
        share = min(max(share, 0.0), 100.0)
        full = int(share * BAR / 100)
        parts.append(f"{'▓' * full}{'░' * (BAR - full)} {share:.0f} %")
    if progress and progress.step is not None:
        parts.append(
            f"step {progress.step:,}" + (f" of {progress.total_steps:,}" if progress.total_steps else "")
        )
    if job.estimated_finish and (moment := _moment(job.estimated_finish)):
        parts.append(f"done about {moment}")
    return " · ".join(parts)


def _moment(at: int) -> str:
    """A moment that Slack shows in the reader's own time; nothing for one that no clock has."""
    try:
        utc = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""
    return f"<!date^{at:d}^{{date_short_pretty}} {{time}}|{utc}>"


# ------------------------------------------------------------------------------------------------- the text


def _sections(lines: Sequence[str]) -> Iterator[str]:
    """Lines in as few texts as a section can hold."""
    text = ""
    for line in lines:
        if text and len(text) + len(line) >= SECTION:
            yield text
            text = ""
        text += f"\n{line}" if text else line
    if text:
        yield text


def _called(message: Message) -> str:
    """Whom a message mentions, as what goes before its text."""
    # Two words may lead to one and the same.
    words = dict.fromkeys(mark(word) or _escaped(word, FIELD) for word in message.mention)
    return "".join(f"{word} " for word in words)


def _row(row: Row) -> str:
    """A line of a digest; where one begins is seen by its time, on a phone as well."""
    at = f"`{row.at}` " if row.at else ""
    return at + _escaped(str(replace(row, at="")), FIELD)


def _button(text: str, url: str) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": text}, "url": url}


def _value(fact: Fact) -> str:
    shown = _escaped(fact.value, FIELD // 2)
    # What somebody may want to copy.
    return f"`{shown.replace('`', 'ˋ')}`" if fact.is_code else shown


def _mrkdwn(text: str) -> dict[str, Any]:
    # `verbatim` keeps Slack from finding links, channels and people in what strangers wrote.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _bold(text: str) -> str:
    """Text that is to stand between two asterisks: one of its own would end the bold."""
    return _escaped(text, FIELD).replace("*", "∗")


def _escaped(text: str, limit: int) -> str:
    """Text as Slack's mrkdwn, cut so that with what escaping adds it is no longer than `limit`."""
    parts: list[str] = []
    length = 0
    for c in text:
        part = _ENTITIES.get(c, c)
        if (length := length + len(part)) > limit:
            while parts and length > limit:
                length -= len(parts.pop())
            parts.append("…")
            break
        parts.append(part)
    return "".join(parts)


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
