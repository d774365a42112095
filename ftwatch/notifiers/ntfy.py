"""ntfy: push messages to phones, of its own server or another, published as JSON.

Messages are plain text unless the config asks for Markdown; then every sign of strangers that could be one
is escaped. What closes a problem replaces the message that opened it, where server and app know how.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from ftwatch.client.api import can_be_sent, url_problem
from ftwatch.client.posting import authorization, post_json
from ftwatch.core.closure import Account, bearing_of
from ftwatch.core.delivery import REMINDER, Rejected, RetryPolicy, Sent
from ftwatch.core.event import Event, Severity, digest
from ftwatch.core.message import Message
from ftwatch.core.span import DAY, MINUTE
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret
from ftwatch.wire.markup import markdown

__all__ = ["Ntfy"]

HOME = "https://ntfy.sh"
# ntfy's own limits in bytes: a longer message becomes a file, a longer title is refused.
MESSAGE, TITLE = 4096, 1024

PRIORITIES: dict[Severity, int] = {severity: severity.rank + 1 for severity in Severity}

# The short codes by which ntfy puts a picture before the title.
SHORT_CODES = {
    "🆕": "new",
    "📊": "bar_chart",
    "🧪": "test_tube",
    "🔔": "bell",
    "🔎": "mag_right",
    "⏳": "hourglass_flowing_sand",
    "▶️": "arrow_forward",
    "⏸️": "pause_button",
    "🛑": "stop_sign",
    "✅": "white_check_mark",
    "❌": "x",
    "❓": "question",
    "💾": "floppy_disk",
    "👻": "ghost",
    "↩️": "leftwards_arrow_with_hook",
    "✏️": "pencil2",
    "⚠️": "warning",
    "📅": "date",
    "👀": "eyes",
    "🏁": "checkered_flag",
    "📭": "mailbox_with_no_mail",
    "📪": "mailbox_closed",
    "📬": "mailbox_with_mail",
    "🔕": "no_bell",
    "💽": "minidisc",
    "👋": "wave",
    "✉️": "envelope",
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: ntfy` can be told. Whoever knows the `topic` of an open server can read and write there.

    `token`, or `username` and `password`, where the server wants to know who publishes. `priority` says how
    loud our severities are, 1 to 5, where that is not the default.
    """

    topic: Secret
    url: str = HOME
    token: Secret | None = None
    username: str | None = None
    password: Secret | None = None
    priority: dict[Literal["detail", "info", "notice", "warning", "error"], Literal[1, 2, 3, 4, 5]] = field(
        default_factory=dict
    )
    markdown: bool = False
    timeout: Duration = Duration(seconds=15)

    def __post_init__(self) -> None:
        if problem := url_problem(self.url, HOME):
            raise ValueError(f"url {problem}".replace("use api_key", "use username and password"))
        if urlsplit(self.url).path not in ("", "/") or urlsplit(self.url).query:
            raise ValueError("url is the server's address alone; what follows it belongs into topic")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.token is not None and self.username is not None:
            raise ValueError("give token, or username and password, not both")

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with values that only show once secrets are had: (option, sentence)."""
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", self.topic.reveal()):
            yield "topic", "has 1 to 64 letters, digits, - and _"
        if self.token is not None and not can_be_sent(self.token.reveal()):
            yield "token", "holds characters that no header may"


class Ntfy:
    """One topic."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy(span=DAY, drain=1.0, fold=15 * MINUTE)
    folds: ClassVar[int] = 15
    names_bundles: ClassVar[bool] = True
    concurrency: ClassVar[int] = 1

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self.timeout = self._options.timeout.total_seconds()

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
        """Publishes one message; `memory` holds the sequences of those that opened what is still open."""
        options, before = self._options, Account.read(self._spec.kind, memory)
        account, sequence = _sequence(events, before, bundle)
        try:
            what = self._body(events, options.topic.reveal(), sequence, bundle)
            token = options.token.reveal() if options.token else None
            password = options.password.reveal() if options.password else None
        except LookupError as error:
            return Result(Rejected(str(error)))
        outcome = await post_json(
            self._spec.client,
            options.url.rstrip("/") + "/",
            what,
            headers=authorization(token, options.username, password),
            deadline=self.timeout,
            complaint=_complaint,
        )
        is_news = isinstance(outcome, Sent) and account.open != before.open
        return Result(outcome, account.memory if is_news else None)

    def render(self, *events: Event) -> str:
        """The JSON as it would be published, for `ftwatch render`."""
        _, sequence = _sequence(events, Account(kind=self._spec.kind))
        return json.dumps(self._body(events, "••••", sequence), indent=2, ensure_ascii=False)

    def _body(
        self, events: Sequence[Event], topic: str, sequence: str | None, bundle: str | None = None
    ) -> dict[str, Any]:
        message = self._spec.compose(*events, most=self.folds, bundle=bundle)
        worst = max((event.severity for event in events), key=lambda severity: severity.rank)
        text = _marked(message) if self._options.markdown else _lines(message)
        return {
            "topic": topic,
            "title": _cut(message.headline, TITLE),
            "message": _cut(text, MESSAGE),
            "priority": self._options.priority.get(worst.value, PRIORITIES[worst]),
            "tags": [SHORT_CODES[message.icon]] if message.icon in SHORT_CODES else [],
            "markdown": self._options.markdown,
            **({"click": message.link[1]} if message.link else {}),
            **({"sequence_id": sequence} if sequence else {}),
        }


def _sequence(
    events: Sequence[Event], before: Account, bundle: str | None = None
) -> tuple[Account, str | None]:
    """The account after these events, and which sequence of messages the one about them belongs to.

    What opens a problem, or reminds of it, begins one of its own: a message that replaces another makes no
    sound on a phone. What closes one goes on with it.
    """
    if len(events) > 1:
        return before, None
    (event,) = events
    own = digest(event.id, bundle) if bundle and bundle.startswith(REMINDER) else digest(event.id)
    account, closed = before.after(event, own)
    if bearing_of(event).opens is not None:
        return account, own
    return account, next(reversed(closed.values()), None)


def _lines(message: Message) -> str:
    """What the message says below its title; the link is what a touch opens."""
    lines = [f"“{message.quote}”"] if message.quote else []
    lines += [*message.lines, *(f"{fact.label}: {fact.value}" for fact in message.facts), message.footer]
    return "\n".join(lines)


def _marked(message: Message) -> str:
    """The same as Markdown; two blanks at the end of a line keep it one."""
    quote = f"> {markdown(message.quote)}\n\n" if message.quote else ""
    lines = [markdown(line) for line in message.lines]
    lines += [f"**{markdown(fact.label)}:** {markdown(fact.value)}" for fact in message.facts]
    return quote + "  \n".join([*lines, f"*{markdown(message.footer)}*"])


def _cut(text: str, most: int) -> str:
    """As much of a text as has so many bytes, with a mark where it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return text
    return raw[: most - len("…".encode())].decode("utf-8", "ignore").rstrip("\\") + "…"


def _complaint(answer: Any) -> str | None:
    """ntfy's own words: `{"code": 40301, "http": 403, "error": "forbidden", "link": …}`."""
    said = answer.get("error") if isinstance(answer, dict) else None
    return said if isinstance(said, str) else None
