"""A webhook: the event's wire form, signed by the Standard Webhooks specification, or a body of the config's.

What is posted where, and what the answer means, stands here; how a body is made in `form`, what is known of
receivers that are choosy in a module named after each.
"""

import base64
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import anyio.to_thread

from ftwatch.client import Client, Trust, Unreachable, failure_of, outcome_of
from ftwatch.client.api import can_be_sent
from ftwatch.client.trust import context_of, pem_text, trust_from
from ftwatch.core.delivery import Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, wire
from ftwatch.core.message import clean
from ftwatch.core.signature import BadSecret, fresh_secret, message_id, sign, signing_key
from ftwatch.log import HIDDEN, hide
from ftwatch.notifiers.webhook import frozen
from ftwatch.plugins import Audience, Duration, Form, Memory, NotifierSpec, Result, Secret

if TYPE_CHECKING:
    from ftwatch.notifiers.webhook.form import Body

__all__ = ["Webhook"]

# A receiver's answer is only looked at for its status and a few words.
LARGEST_ANSWER = 64 * 1024
RESERVED = ("webhook-", "ftwatch-", "content-", "host", "transfer-encoding", "connection")

Problem = tuple[str | tuple[str | int, ...], str]


@dataclass(frozen=True, kw_only=True)
class Auth:
    """Who asks, in the header `authorization`: a user and password (Basic), or a token (Bearer)."""

    username: str | None = None
    password: Secret | None = None
    bearer: Secret | None = None

    def __post_init__(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if (self.username is None) == (self.bearer is None):
            raise ValueError("give username and password, or bearer")
        if self.username is not None and (":" in self.username or not self.username.isprintable()):
            raise ValueError(f"{self.username!r} is no user name: it may hold no colon")

    def header(self) -> str:
        """The header's value. Raises LookupError where a secret cannot be had."""
        if self.bearer is not None:
            return f"Bearer {self.bearer.reveal()}"
        assert self.password is not None
        value = f"Basic {base64.b64encode(f'{self.username}:{self.password.reveal()}'.encode()).decode()}"
        # A receiver that repeats it repeats the password.
        hide(value)
        return value

    def shown(self) -> str:
        """The same for people."""
        return f"{'Bearer' if self.bearer is not None else 'Basic'} {HIDDEN}"


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Whom to believe instead of the system's authorities, and what to show of oneself: PEM files.

    `key_file` None: the key stands in `cert_file`.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = field(default=None, metadata={"private": True})
    key_password: Secret | None = None

    def __post_init__(self) -> None:
        if self.cert_file is None and (self.key_file or self.key_password):
            raise ValueError("a key needs its certificate: give cert_file")
        if self.cert_file is None and self.ca_file is None:
            raise ValueError("give ca_file, cert_file or both")

    def trust(self) -> Trust:
        """What stands in the files now. Blocking.

        Raises ValueError, with a sentence, where one cannot be read, LookupError where there is no password.
        """
        return trust_from(
            authorities=self.ca_file,
            certificate=self.cert_file,
            key=self.key_file,
            password=self.key_password.reveal() if self.key_password else None,
        )


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: webhook` can be told.

    `secret` is `whsec_` and base64 of 24 to 64 bytes; several of them sign at once, for a changeover. Only
    with a `body` of one's own it may be left out. `headers` go along with every request.
    """

    url: Secret
    secret: Secret | tuple[Secret, ...] | None = None
    body: Form | None = None
    headers: dict[str, str | Secret] = field(default_factory=dict)
    auth: Auth | None = None
    tls: Tls | None = None
    timeout: Duration = Duration(seconds=20)

    def __post_init__(self) -> None:
        if self.secret is None and self.body is None:
            raise ValueError("it needs secret, secret_file or secret_credential, unless it has a body")
        for name in self.headers:
            if name.lower().startswith(RESERVED):
                raise ValueError(f"the header {name!r} is set by ftwatch itself")
            if not name.isprintable() or ":" in name or " " in name:
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() == "authorization" and self.auth is not None:
                raise ValueError("auth and the header authorization say the same: give one of them")

    @cached_property
    def form(self) -> "Body | None":
        """The body's form, ready to be filled in; made but once."""
        if self.body is None:
            return None
        # Imported late: the template engine takes as long to load as all the rest, and few need it.
        from ftwatch.notifiers.webhook.form import Body

        return Body(self.body)

    def problems(self) -> Iterator[Problem]:
        """What is wrong with these options, as (option, sentence)."""
        for path, sentence in self.form.problems if self.form else ():
            yield ("body", *path), sentence
        checks: Sequence[Callable[[], Iterator[Problem]]]
        checks = (self._signing, self._sendable, self._safe, self._one_login)
        for check in checks:
            # Each that needs a secret which this shell does not have is left to one that has it.
            with suppress(LookupError):
                yield from check()

    def objections(self, samples: Mapping[str, Event]) -> Iterator[Problem]:
        """What cannot be made of events that may come, as (option, sentence): each said once."""
        found: dict[Problem, list[str]] = {}
        for name, event in samples.items():
            for problem in self._against(event):
                found.setdefault(problem, []).append(name)
        for (path, sentence), names in found.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield path, f"{sentence} (sample {names[0]}{more})"

    def _against(self, event: Event) -> Iterator[Problem]:
        from ftwatch.notifiers.webhook.github import is_dispatch, objections

        tree = None
        if self.form is not None:
            from ftwatch.notifiers.webhook.form import Unfilled

            if self.form.problems:
                return
            try:
                tree = self.form.fill(event)
                self.form.freeze(event)
            except Unfilled as error:
                yield ("body", *error.path), error.sentence
                return
        with suppress(LookupError):
            if is_dispatch(self.url.reveal()):
                yield from ((("body", *path), sentence) for path, sentence in objections(tree))

    def _signing(self) -> Iterator[Problem]:
        for secret in _tuple(self.secret):
            try:
                signing_key(secret.reveal())
            except BadSecret as error:
                yield "secret", f"{error}; here is a fresh one: {fresh_secret(os.urandom(32))}"

    def _sendable(self) -> Iterator[Problem]:
        for name, value in self.headers.items():
            if not _shown(value).isprintable():
                yield "headers", f"the header {name!r} holds characters that no header may"
        if self.auth is not None and not can_be_sent(self.auth.header()):
            yield "auth.bearer", "holds a character that no header can carry"

    def _safe(self) -> Iterator[Problem]:
        if self.tls is None:
            return
        fine = True
        for name in ("ca_file", "cert_file", "key_file"):
            path = getattr(self.tls, name)
            try:
                pem_text(path) if path else None
            except ValueError as error:
                fine = False
                yield f"tls.{name}", str(error)
        try:
            context_of(self.tls.trust()) if fine else None
        except ValueError as error:
            yield "tls", str(error)
        if urlsplit(self.url.reveal()).scheme != "https":
            yield "tls", "is for an https address, and the url is none"

    def _one_login(self) -> Iterator[Problem]:
        if self.auth is not None and "@" in urlsplit(self.url.reveal()).netloc:
            yield "auth", "the url holds a user name, too: give one of them"


def _obeyed(outcome: Outcome, wish: str) -> Outcome:
    """What a receiver says about the rest of a message's life, in the header `webhook-delivery`."""
    match wish.strip().lower(), outcome:
        case "disable", Sent(note):
            return Sent(f"{note}, and it asked for no more", disable=True)
        case "disable", Retry(reason) | Rejected(reason):
            return Rejected(f"{reason}; it asked for no more", final=True, disable=True)
        case "abort-message", Retry(reason) | Rejected(reason):
            return Rejected(f"{reason}; it asked not to be sent this again", final=True)
    return outcome


def _tuple(given: Secret | tuple[Secret, ...] | None) -> tuple[Secret, ...]:
    if given is None:
        return ()
    return given if isinstance(given, tuple) else (given,)


def _shown(value: str | Secret) -> str:
    return value if isinstance(value, str) else value.reveal()


class _Unmade(Exception):
    """There is no body for an event; with a sentence."""


class Webhook:
    """One receiver of webhooks."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "machines"
    retry: ClassVar[RetryPolicy] = RetryPolicy()
    concurrency: ClassVar[int] = 16
    marks_replays: ClassVar[bool] = True

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self.timeout = self._options.timeout.total_seconds()
        self.sends_wire = self._options.form is None
        # To read the files of `tls` takes as long as it takes: that needs the dispatcher's deadline.
        self.posts = self.sends_wire and self._options.tls is None
        self._branches: list[tuple[Trust, Client]] = []

    def freeze(self, event: Event) -> bytes | None:
        """The wire form itself, or the body; None where that cannot be made, which `send` will say."""
        try:
            return self._made(event)
        except _Unmade:
            return None

    async def send(
        self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None, manual: bool = False
    ) -> Result:
        """Posts one event; every try has its own timestamp, and the same id and bytes."""
        (event,) = events
        try:
            content = self._whole(event, body if body is not None else self._made(event))
        except (LookupError, ValueError, _Unmade) as error:
            return Result(Rejected(str(error)))
        return await self.post(message_id(self._spec.name, event.id), content, manual=manual)

    async def post(self, id: str, body: bytes, *, manual: bool = False) -> Result:
        """Posts these bytes under this id.

        `manual` adds a header for the receiver: somebody had it sent again.
        """
        try:
            auth = self._options.auth
            url = self._options.url.reveal()
            headers = self._headers(id, body, auth.header() if auth else None)
            if manual:
                headers["ftwatch-replay"] = "manual"
        except (LookupError, ValueError) as error:
            return Result(Rejected(str(error)))
        try:
            client = await self.client()
        except LookupError as error:
            return Result(Rejected(str(error)))
        except ValueError as error:
            # Somebody may be replacing the files right now.
            return Result(Retry(f"tls: {error}"))
        try:
            response = await client.request(
                "POST",
                url,
                headers=headers,
                content=body,
                deadline=self.timeout,
                cap=LARGEST_ANSWER,
                head_is_enough=True,
            )
        except Unreachable as error:
            return Result(failure_of(error))
        return Result(_obeyed(outcome_of(response), response.headers.get("webhook-delivery", "")))

    async def client(self) -> Client:
        """What to reach the receiver with, as the files of `tls` are now: they are renewed now and again.

        Raises ValueError, with a sentence, where they cannot be used, LookupError where there is no password.
        """
        root: Client = self._spec.client
        if self._options.tls is None:
            return root
        trust = await anyio.to_thread.run_sync(self._options.tls.trust)
        if not self._branches or self._branches[-1][0] != trust:
            self._branches.append((trust, root.trusting(trust)))
        client = self._branches[-1][1]
        # What was replaced may still be in use; what it had replaced no longer is.
        while len(self._branches) > 2:
            await root.part(self._branches.pop(0)[1])
        return client

    def render(self, event: Event) -> str:
        """The request as it would be sent, for `ftwatch render`. Raises LookupError where there is none."""
        try:
            made = self._made(event)
        except _Unmade as error:
            raise LookupError(str(error)) from None
        content = frozen.mask(made) if self._options.body else made
        auth = self._options.auth
        id = message_id(self._spec.name, event.id)
        headers = self._headers(id, content, auth.shown() if auth else None)
        head = "\n".join(f"{name}: {value}" for name, value in headers.items())
        return f"{head}\n\n{content.decode()}"

    def _made(self, event: Event) -> bytes:
        """What to freeze. Raises _Unmade."""
        form = self._options.form
        if form is None:
            return wire(event)
        from ftwatch.notifiers.webhook.form import Unfilled

        try:
            return form.freeze(event)
        except Unfilled as error:
            where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path)
            raise _Unmade(clean(f"body{where}: {error.sentence}", 300)) from None

    def _whole(self, event: Event, kept: bytes) -> bytes:
        """What is sent for frozen bytes. Raises LookupError, _Unmade."""
        if not frozen.is_parted(kept) or kept == wire(event):
            return kept  # A stranger's, if it is relayed: it may look like anything.
        try:
            return frozen.complete(kept, self._options.body.tree if self._options.body else None)
        except frozen.Changed:
            # The config has changed since: what was frozen cannot be completed any more.
            return self._whole(event, self._made(event))

    def _headers(self, id: str, content: bytes, authorization: str | None) -> dict[str, str]:
        secrets = [secret.reveal() for secret in _tuple(self._options.secret)]
        now = int(time.time())
        headers = {name: _shown(value) for name, value in self._options.headers.items()}
        if authorization is not None:
            headers["authorization"] = authorization
        headers |= {"content-type": "application/json", "webhook-id": id}
        if secrets:
            headers["webhook-timestamp"] = str(now)
            headers["webhook-signature"] = sign(secrets, id, now, content)
        return headers
