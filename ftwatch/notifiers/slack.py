"""Slack, by an incoming webhook: Block Kit for the eye, plain text for the phone's notification.

What strangers wrote is shown as text: `&`, `<` and `>` are escaped, so that neither links nor `<!channel>`
come alive, and Slack is told not to look for names and addresses in it.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ftwatch.client import Response, Unreachable, failure_of, outcome_of
from ftwatch.core.delivery import Outcome, Rejected, RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.core.message import Message, Tone
from ftwatch.core.span import DAY, MINUTE
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["Slack"]

COLOURS = {Tone.GOOD: "#2eb67d", Tone.BAD: "#e01e5a", Tone.WARN: "#ecb22e", Tone.NEUTRAL: "#8d8d8d"}
# Slack's own limits: a section takes 3,000 characters of text and ten fields of 2,000.
SECTION, FIELDS, FIELD = 3000, 10, 2000
LARGEST_ANSWER = 64 * 1024

# Words of Slack that mean that this webhook will never work again.
_GONE = (
    "no_service",
    "no_active_hooks",
    "no_team",
    "team_disabled",
    "channel_is_archived",
    "channel_not_found",
)
_NO_BLOCKS = ("invalid_blocks", "invalid_payload", "invalid_attachments")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: slack` can be told. `webhook_url` is the address that Slack gives for one channel."""

    webhook_url: Secret
    timeout: Duration = Duration(seconds=15)


class Slack:
    """One channel."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy(span=DAY, drain=1.0, fold=15 * MINUTE)
    folds: ClassVar[int] = 100
    names_bundles: ClassVar[bool] = True
    # About one message a second is what a channel takes.
    concurrency: ClassVar[int] = 1

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self.timeout = 2 * self._options.timeout.total_seconds()

    def freeze(self, event: Event) -> None:
        """Nothing: a message is rendered when it is sent."""

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        bundle: str | None = None,
    ) -> Result:
        """Posts a message; in plain text where Slack does not take the blocks."""
        message = self._spec.compose(*events, most=self.folds, bundle=bundle)
        try:
            url = self._options.webhook_url.reveal()
        except LookupError as error:
            return Result(Rejected(str(error)))
        outcome = await self._post(url, _payload(message))
        if isinstance(outcome, Rejected) and any(word in outcome.reason for word in _NO_BLOCKS):
            plain = await self._post(url, {"text": _escaped(message.text, SECTION), **_QUIET})
            outcome = Sent("as plain text") if isinstance(plain, Sent) else outcome
        return Result(outcome)

    def render(self, *events: Event) -> str:
        """The JSON as it would be posted, for `ftwatch render`."""
        return json.dumps(
            _payload(self._spec.compose(*events, most=self.folds)), indent=2, ensure_ascii=False
        )

    async def _post(self, url: str, payload: dict[str, Any]) -> Outcome:
        try:
            response: Response = await self._spec.client.request(
                "POST",
                url,
                headers={"content-type": "application/json; charset=utf-8"},
                content=json.dumps(payload).encode(),
                deadline=self._options.timeout.total_seconds(),
                cap=LARGEST_ANSWER,
                head_is_enough=True,
            )
        except Unreachable as error:
            return failure_of(error)
        outcome = outcome_of(response)
        if isinstance(outcome, Rejected) and any(word in outcome.reason for word in _GONE):
            return Rejected(outcome.reason, disable=True)
        return outcome


_QUIET = {"unfurl_links": False, "unfurl_media": False}


def _payload(message: Message) -> dict[str, Any]:
    """The message in Slack's words. `text` is what a phone shows; the blocks say the rest."""
    title = f"*{_bold(message.title)}*"
    if message.quote:
        title += f"\n> {_escaped(message.quote, SECTION // 2)}"
    blocks: list[dict[str, Any]] = [{"type": "section", "text": _mrkdwn(title)}]
    blocks += [{"type": "section", "text": _mrkdwn(text)} for text in _sections(message.lines)]
    if message.facts:
        fields = [
            _mrkdwn(f"*{_bold(fact.label)}*\n{_escaped(fact.value, FIELD // 2)}")
            for fact in message.facts[:FIELDS]
        ]
        blocks.append({"type": "section", "fields": fields})
    if message.link:
        text, url = message.link
        button = {"type": "button", "text": {"type": "plain_text", "text": text}, "url": url}
        blocks.append({"type": "actions", "elements": [button]})
    if message.footer:
        blocks.append({"type": "context", "elements": [_mrkdwn(_escaped(message.footer, FIELD))]})
    said = f"{message.title}: {message.quote}" if message.quote else message.title
    return {
        "text": _escaped(said, SECTION),
        "attachments": [{"color": COLOURS[message.tone], "blocks": blocks}],
        **_QUIET,
    }


def _sections(lines: Sequence[str]) -> Iterator[str]:
    """Lines in as few texts as a section can hold."""
    text = ""
    for line in lines:
        shown = _escaped(line, FIELD)
        if text and len(text) + len(shown) >= SECTION:
            yield text
            text = ""
        text += f"\n{shown}" if text else shown
    if text:
        yield text


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
