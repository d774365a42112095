"""A signed webhook: the event's wire form, posted by the Standard Webhooks specification."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from ftwatch.client import Unreachable, failure_of, outcome_of
from ftwatch.core.delivery import Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, wire
from ftwatch.core.signature import BadSecret, fresh_secret, message_id, sign, signing_key
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["Webhook"]

# A receiver's answer is only looked at for its status and a few words.
LARGEST_ANSWER = 64 * 1024
RESERVED = ("webhook-", "ftwatch-", "content-", "host", "transfer-encoding", "connection")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: webhook` can be told.

    `secret` is `whsec_` and base64 of 24 to 64 bytes; several of them sign at once, for a changeover.
    `headers` go along with every request.
    """

    url: Secret
    secret: Secret | tuple[Secret, ...]
    headers: dict[str, str | Secret] = field(default_factory=dict)
    timeout: Duration = Duration(seconds=20)

    def __post_init__(self) -> None:
        for name in self.headers:
            if name.lower().startswith(RESERVED):
                raise ValueError(f"the header {name!r} is set by ftwatch itself")
            if not name.isprintable() or ":" in name or " " in name:
                raise ValueError(f"{name!r} is no name of a header")

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with values that only show once secrets are had: (field, sentence)."""
        for secret in _tuple(self.secret):
            try:
                signing_key(secret.reveal())
            except BadSecret as error:
                yield "secret", f"{error}; here is a fresh one: {fresh_secret(os.urandom(32))}"
        for name, value in self.headers.items():
            if not _shown(value).isprintable():
                yield "headers", f"the header {name!r} holds characters that no header may"


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


def _tuple(given: Secret | tuple[Secret, ...]) -> tuple[Secret, ...]:
    return given if isinstance(given, tuple) else (given,)


def _shown(value: str | Secret) -> str:
    return value if isinstance(value, str) else value.reveal()


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

    def freeze(self, event: Event) -> bytes:
        """The wire form itself."""
        return wire(event)

    async def send(
        self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None, manual: bool = False
    ) -> Result:
        """Posts one event; every try has its own timestamp, and the same id and bytes.

        `manual` adds a header for the receiver: somebody had it sent again.
        """
        (event,) = events
        content = body if body is not None else self.freeze(event)
        try:
            url, headers = self._options.url.reveal(), self._headers(event, content)
            if manual:
                headers["ftwatch-replay"] = "manual"
        except (LookupError, BadSecret) as error:
            return Result(Rejected(str(error)))
        try:
            response = await self._spec.client.request(
                "POST",
                url,
                headers=headers,
                content=content,
                deadline=self.timeout,
                cap=LARGEST_ANSWER,
                head_is_enough=True,
            )
        except Unreachable as error:
            return Result(failure_of(error))
        return Result(_obeyed(outcome_of(response), response.headers.get("webhook-delivery", "")))

    def render(self, event: Event) -> str:
        """The request as it would be sent, for `ftwatch render`."""
        content = self.freeze(event)
        head = "\n".join(f"{name}: {value}" for name, value in self._headers(event, content).items())
        return f"{head}\n\n{content.decode()}"

    def _headers(self, event: Event, content: bytes) -> dict[str, str]:
        secrets = [secret.reveal() for secret in _tuple(self._options.secret)]
        for secret in secrets:
            signing_key(secret)
        id, now = message_id(self._spec.name, event.id), int(time.time())
        return {
            **{name: _shown(value) for name, value in self._options.headers.items()},
            "content-type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(secrets, id, now, content),
        }
