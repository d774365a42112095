"""E-mail over SMTP: plain text and HTML, one thread a job.

A header is only ever set through the standard library's policy, and every word of a stranger has lost its
line breaks before (`core.message.clean`), so that no name can add a header or a recipient.
"""

import smtplib
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from html import escape
from typing import Any, ClassVar, Literal

import anyio
import anyio.to_thread

from ftwatch.core.delivery import Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, digest
from ftwatch.core.message import Message, Tone, clean, compose
from ftwatch.core.signature import message_id
from ftwatch.core.span import DAY, MINUTE
from ftwatch.log import redacted
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["Email"]

COLOURS = {Tone.GOOD: "#1a7f4b", Tone.BAD: "#c62839", Tone.WARN: "#9a6700", Tone.NEUTRAL: "#57606a"}
PORTS = {"starttls": 587, "tls": 465, "plain": 25}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: email` can be told. `security` is starttls (demanded, not merely tried), tls or plain."""

    host: str
    port: int | None = None
    security: Literal["starttls", "tls", "plain"] = "starttls"
    username: str | None = None
    password: Secret | None = None
    from_: str = field(metadata={"key": "from"})
    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    ca_file: str | None = None
    timeout: Duration = Duration(seconds=30)

    def __post_init__(self) -> None:
        if not self.to:
            raise ValueError("to names at least one address")
        for address in (self.from_, *self.to, *self.cc):
            _address(address)
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError(f"{self.port} is no port")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")


def _address(text: str) -> Address:
    """One address with or without a name. Raises ValueError with a sentence."""
    try:
        ((name, spec),) = getaddresses([text])
        if not spec or "@" not in spec or not text.isprintable():
            raise ValueError
        return Address(display_name=name, addr_spec=spec)
    except (ValueError, IndexError):
        raise ValueError(f"{text!r} is no e-mail address") from None


class Email:
    """One letter box, or several that get the same letter."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy(span=DAY, fold=15 * MINUTE)
    folds: ClassVar[int] = 200
    names_bundles: ClassVar[bool] = True
    address: ClassVar[str] = "to"
    concurrency: ClassVar[int] = 2

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._limit = self._options.timeout.total_seconds()
        # A thread cannot be cut off; its own socket time-outs end it before the dispatcher gives up on it.
        self.timeout = self._limit * 3
        self._threads = anyio.CapacityLimiter(self.concurrency)

    def freeze(self, event: Event) -> None:
        """Nothing: a letter is written when it is sent."""

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        bundle: str | None = None,
    ) -> Result:
        """Sends one letter. `memory` holds who already took it, where a server refused only some."""
        name = _name(events)
        taken = set(memory.get("taken", ())) if memory.get("event") == name else set()
        try:
            letter = self._letter(*events, bundle=bundle)
            password = self._options.password.reveal() if self._options.password else None
        except LookupError as error:
            return Result(Rejected(str(error)))
        people = [_address(text).addr_spec for text in (*self._options.to, *self._options.cc)]
        waiting = [person for person in people if person not in taken]
        outcome, refused = await anyio.to_thread.run_sync(
            self._deliver, letter, waiting, password, limiter=self._threads, abandon_on_cancel=True
        )
        if isinstance(outcome, Sent) or not refused:
            return Result(outcome)
        taken |= {person for person in waiting if person not in refused}
        return Result(outcome, {"event": name, "taken": sorted(taken)})

    def render(self, *events: Event) -> str:
        """The letter as it would be sent, for `ftwatch render`."""
        return self._letter(*events).as_string()

    # ------------------------------------------------------------------------------------- writing

    def _letter(self, *events: Event, bundle: str | None = None) -> EmailMessage:
        message, name = compose(*events, most=self.folds, bundle=bundle), _name(events)
        sender = _address(self._options.from_)
        letter = EmailMessage(policy=SMTP)
        letter["From"] = sender
        letter["To"] = [_address(text) for text in self._options.to]
        if self._options.cc:
            letter["Cc"] = [_address(text) for text in self._options.cc]
        # Encoded by ourselves: the library would decode what a stranger's name has in encoded words, line
        # breaks included, and a name could add a header.
        subject = Header(clean(message.title, 150), "utf-8", header_name="Subject")
        letter.set_raw("Subject", subject.encode(linesep="\r\n"))
        letter["Date"] = format_datetime(datetime.fromtimestamp(events[-1].data.observed_at, UTC))
        letter["Message-ID"] = f"<{message_id(self._spec.name, name)}@{sender.domain}>"
        if message.thread:
            # The thread's root is a letter that nobody gets: every letter of a job answers it.
            root = f"<thread.{digest(self._spec.name, message.thread)}@{sender.domain}>"
            letter["In-Reply-To"] = root
            letter["References"] = root
        letter["Auto-Submitted"] = "auto-generated"
        letter["X-Auto-Response-Suppress"] = "All"
        letter["X-Ftwatch-Event"] = name
        letter.set_content(_plain(message))
        letter.add_alternative(_html(message), subtype="html")
        return letter

    # ------------------------------------------------------------------------------------- posting

    def _deliver(
        self, letter: EmailMessage, people: list[str], password: str | None
    ) -> tuple[Outcome, list[str]]:
        """Runs in a thread. The outcome, and who was refused while others were not."""
        options = self._options
        port = options.port or PORTS[options.security]
        try:
            with self._connect(options.host, port) as server:
                if options.security == "starttls":
                    server.starttls(context=self._tls())
                if options.username is not None and password is not None:
                    try:
                        server.login(options.username, password)
                    except smtplib.SMTPServerDisconnected:
                        return Rejected("hung up on at the login: are username and password right?"), []
                sender = _address(options.from_).addr_spec
                # Not `send_message`, which would write `>From` for a line that begins with From.
                refused = server.sendmail(sender, people, letter.as_bytes())
        except smtplib.SMTPRecipientsRefused as error:
            return _refusal(error.recipients), []
        except smtplib.SMTPResponseException as error:
            return _answer(error.smtp_code, error.smtp_error), []
        except smtplib.SMTPNotSupportedError as error:
            return Rejected(clean(error, 200)), []
        except ssl.SSLCertVerificationError as error:
            return Rejected(f"TLS: {error.verify_message}"), []
        except (smtplib.SMTPException, OSError) as error:
            return Retry(_sentence(error), unreachable=True), []
        except UnicodeEncodeError:
            return Rejected("an address holds letters that plain SMTP cannot carry"), []
        if refused:
            return _refusal(refused), list(refused)
        return Sent("accepted"), []

    def _connect(self, host: str, port: int) -> smtplib.SMTP:
        if self._options.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=self._limit, context=self._tls())
        return smtplib.SMTP(host, port, timeout=self._limit)

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._options.ca_file)


def _name(events: Sequence[Event]) -> str:
    """What stands for these events: the id of one, for a digest one made of all of theirs."""
    return events[0].id if len(events) == 1 else "evt_" + digest([event.id for event in events])


def _answer(code: int, said: Any) -> Outcome:
    """What a server's answer means: 4xx may pass, 5xx will not."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    reason = clean(redacted(f"SMTP {code}: {text}"), 200)
    return Retry(reason) if 400 <= code < 500 or code == -1 else Rejected(reason)


def _refusal(refused: dict[str, tuple[int, bytes]]) -> Outcome:
    """Some recipient was refused: worth a retry if any refusal may pass."""
    outcomes = [_answer(code, said) for code, said in refused.values()]
    return next((outcome for outcome in outcomes if isinstance(outcome, Retry)), outcomes[0])


def _sentence(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, socket.gaierror):
        return "the mail server's name cannot be resolved"
    if isinstance(error, OSError) and error.strerror:
        return clean(error.strerror, 120).lower()
    return f"the conversation broke off ({type(error).__name__})"


# --------------------------------------------------------------------------------------- the letter's face


def _plain(message: Message) -> str:
    return message.text + "\n"


def _html(message: Message) -> str:
    """A letter that reads well on a phone, in light and in dark; every value is escaped."""
    colour = COLOURS[message.tone]
    parts = [f'<h2 style="margin:0 0 12px;font-size:18px;line-height:1.3">{escape(message.title)}</h2>']
    if message.quote:
        parts.append(
            f'<p style="margin:0 0 12px;padding:8px 12px;border-left:3px solid {colour};'
            f'background:rgba(127,127,127,.12)">{escape(message.quote)}</p>'
        )
    if message.lines:
        items = "".join(
            f'<li style="margin:0 0 6px;word-break:break-word">{escape(line)}</li>' for line in message.lines
        )
        parts.append(f'<ul style="margin:0 0 12px;padding:0;list-style:none">{items}</ul>')
    if message.facts:
        rows = "".join(
            '<tr><td style="padding:3px 16px 3px 0;opacity:.7;vertical-align:top;white-space:nowrap">'
            f'{escape(fact.label)}</td><td style="padding:3px 0;word-break:break-word">{escape(fact.value)}'
            "</td></tr>"
            for fact in message.facts
        )
        parts.append(f'<table role="presentation" style="border-collapse:collapse">{rows}</table>')
    if message.link:
        text, url = message.link
        if url.startswith(("https://", "http://")):
            parts.append(
                f'<p style="margin:16px 0 0"><a href="{escape(url)}" style="display:inline-block;'
                f"padding:8px 14px;border-radius:6px;background:{colour};color:#fff;text-decoration:none"
                f'">{escape(text)}</a></p>'
            )
    if message.footer:
        parts.append(f'<p style="margin:16px 0 0;font-size:12px;opacity:.6">{escape(message.footer)}</p>')
    return (
        '<!doctype html><html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width"></head>'
        '<body style="margin:0;padding:16px;font:15px/1.5 system-ui,-apple-system,Roboto,sans-serif">'
        f'<div style="max-width:560px;border-top:4px solid {colour};padding-top:14px">{"".join(parts)}</div>'
        "</body></html>\n"
    )
