"""E-mail over SMTP: plain text and HTML, one thread a job; how a letter looks stands in `page`.

What makes a thread is the reference to an earlier letter and, for some programs, the subject as well: all
letters of a job have the same, and say at once in their first line what happened.

A header is only ever set through the standard library's policy, and every word of a stranger has lost its
line breaks before (`core.message.clean`), so that no name can add a header or a recipient.
"""

import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, getaddresses
from typing import Any, ClassVar, Literal

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ftwatch.core.delivery import REMINDER, Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, digest
from ftwatch.core.message import Message, Picture, clean
from ftwatch.core.signature import message_id
from ftwatch.core.span import DAY, MINUTE
from ftwatch.log import redacted
from ftwatch.notifiers.email.page import page
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["Email"]

# What is remembered of a job's thread.
THREAD = ("first", "subject")
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
    shows_pictures: ClassVar[bool] = True
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
        picture: Picture | None = None,
    ) -> Result:
        """Sends one letter, with the picture in it.

        `memory` holds who already took it, where a server refused only some; and of a job its first letter,
        with the subject that all of them have.
        """
        name, thread = _name(events, bundle), {key: memory[key] for key in THREAD if key in memory}
        taken = set(memory.get("taken", ())) if memory.get("event") == name else set()
        try:
            message = self._spec.compose(*events, most=self.folds, bundle=bundle)
            message = replace(message, picture=picture)
            letter = self._letter(message, events, thread, name)
            password = self._options.password.reveal() if self._options.password else None
        except LookupError as error:
            return Result(Rejected(str(error)))
        people = [_address(text).addr_spec for text in (*self._options.to, *self._options.cc)]
        waiting = [person for person in people if person not in taken]
        outcome, refused = await anyio.to_thread.run_sync(
            self._deliver, letter, waiting, password, limiter=self._threads, abandon_on_cancel=True
        )
        if isinstance(outcome, Sent):
            return Result(outcome, None if thread else _begun(letter, message, events))
        if not refused:
            return Result(outcome)
        taken |= {person for person in waiting if person not in refused}
        return Result(outcome, {**thread, "event": name, "taken": sorted(taken)})

    def render(self, *events: Event, picture: Picture | None = None) -> str:
        """The letter as it would be sent, for `ftwatch render`."""
        message = self._spec.compose(*events, most=self.folds)
        return self._letter(replace(message, picture=picture), events, {}, _name(events)).as_string()

    # ------------------------------------------------------------------------------------- writing

    def _letter(
        self, message: Message, events: Sequence[Event], thread: Mapping[str, str], name: str
    ) -> EmailMessage:
        sender = _address(self._options.from_)
        letter = EmailMessage(policy=SMTP)
        letter["From"] = sender
        letter["To"] = [_address(text) for text in self._options.to]
        if self._options.cc:
            letter["Cc"] = [_address(text) for text in self._options.cc]
        # Encoded by ourselves: the library would decode what a stranger's name has in encoded words, line
        # breaks included, and a name could add a header.
        # What the thread is called, unless the config has words of its own for this one.
        said = (thread.get("subject") or message.topic) if message.topic else message.title
        subject = Header(clean(said, 150), "utf-8", header_name="Subject")
        letter.set_raw("Subject", subject.encode(linesep="\r\n"))
        letter["Date"] = format_datetime(datetime.fromtimestamp(events[-1].data.observed_at, UTC))
        letter["Message-ID"] = f"<{message_id(self._spec.name, name)}@{sender.domain}>"
        if message.thread:
            # The thread's root is a letter that nobody gets, so that a thread holds whose beginning somebody
            # never had; what comes after it is the first one that was sent.
            chain = [f"<thread.{digest(self._spec.name, message.thread)}@{sender.domain}>"]
            chain += [thread["first"]] if "first" in thread else []
            letter["In-Reply-To"] = chain[-1]
            letter["References"] = " ".join(chain)
        letter["List-Id"] = f"ftwatch {self._spec.name} <{self._spec.name}.ftwatch.{sender.domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter["X-Auto-Response-Suppress"] = "All"
        letter["X-Ftwatch-Event"] = name
        letter.set_content(message.text + "\n")
        # Another one in every letter: some programs show the thread's first picture for all of one name.
        content_id = f"picture.{digest(self._spec.name, name)}@{sender.domain}"
        letter.add_alternative(page(message, content_id), subtype="html")
        if message.picture is not None:
            _, html = letter.iter_parts()
            html.add_related(
                message.picture.png,
                "image",
                "png",
                cid=f"<{content_id}>",
                filename=message.picture.name,
                disposition="inline",
            )
            html.set_param("type", "text/html")
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


def _begun(letter: EmailMessage, message: Message, events: Sequence[Event]) -> Memory | None:
    """What to remember of a job's first letter."""
    if len(events) > 1 or events[0].key is None:
        return None
    return {"first": str(letter["Message-ID"]), "subject": message.topic}


def _name(events: Sequence[Event], bundle: str | None = None) -> str:
    """What stands for these events: the id of one, for a digest or a reminder one made of all of theirs."""
    ids = [event.id for event in events]
    if bundle is not None and bundle.startswith(REMINDER):
        return "evt_" + digest(ids, bundle)
    return ids[0] if len(ids) == 1 else "evt_" + digest(ids)


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
