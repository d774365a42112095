"""What did a receiver get? One message read back, the same whichever way it came. Pure.

Only what stands in the message itself is used: a reader of Slack or mail knows no more.
"""

from dataclasses import dataclass, field
from email.message import EmailMessage
from html import unescape
from typing import Any

from ftwatch.core.event import Event, decode
from ftwatch.core.message import compose
from ftwatch.simulator.receivers import Arrival

__all__ = ["About", "Told", "read"]

About = tuple[str, str]
"""What a message is about: a provider's name, and the id of a job there or nothing."""


@dataclass(frozen=True)
class Told:
    """One message. `word` is the provider's own for the status that it brings, where that is another one."""

    channel: str
    about: About
    title: str
    quote: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    was_late: bool = False
    word: str = ""
    step: int | None = None
    """Of a checkpoint."""


def read(arrival: Arrival) -> Told:
    """The message that arrived."""
    if arrival.sink == "webhook":
        return _of_event(decode(arrival.body))
    return _of_slack(arrival.what) if arrival.sink == "slack" else _of_letter(arrival.what)


def _of_event(event: Event) -> Told:
    message, job, saved = compose(event), event.job, event.data.checkpoint or None
    skipped = event.data.skipped is True
    # The job of a state found afterwards is what it has become since, and so is its word.
    word = job.raw_status if job and event.status and not skipped else None
    return Told(
        "webhook",
        (event.data.provider or "", event.data.id if job else ""),
        message.title,
        message.quote or "",
        {fact.label: fact.value for fact in message.facts},
        was_late=skipped,
        word=word if word and word != event.status else "",
        step=saved.step if saved else None,
    )


def _of_slack(what: dict[str, Any]) -> Told:
    if "attachments" not in what:
        return Told("slack", ("", ""), what["text"])
    (head,), blocks = what["blocks"], what["attachments"][0]["blocks"]
    title = unescape(head["text"]["text"]).strip("*")
    said = unescape(blocks[0].get("text", {}).get("text", ""))
    quote = said.removeprefix("> ") if said.startswith("> ") else ""
    facts = {}
    for shown in (shown for block in blocks for shown in block.get("fields", ())):
        label, _, value = unescape(shown["text"]).partition("\n")
        facts[label.strip("*")] = value.strip("`")
    footer = unescape(blocks[-1]["elements"][0]["text"])
    about, was_late = _of_footer(footer, title)
    return Told("slack", about, title, quote, facts, was_late)


def _of_letter(letter: EmailMessage) -> Told:
    body = letter.get_body(("plain",))
    assert body is not None
    title, *lines, footer = body.get_content().strip().splitlines()
    quote = lines.pop(0).strip("“”") if lines and lines[0].startswith("“") else ""
    facts = dict(line.split(": ", 1) for line in lines if ": " in line)
    about, was_late = _of_footer(footer, title)
    return Told("mail", about, title, quote, facts, was_late)


def _of_footer(footer: str, title: str) -> tuple[About, bool]:
    """What the last line says: whose job it is; of a message about a provider only the title says that."""
    provider, *rest = footer.split(" · ")
    if not rest:
        return (title.split()[1], ""), False
    return (provider, rest[0]), len(rest) > 1
