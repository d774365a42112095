"""Anything that Apprise reaches. The library is loaded by the first message, in a thread of our own few.

Apprise itself never retries here (the outbox does), keeps nothing on disk, and its log stays silent: it would
show whole URLs, and those hold passwords.
"""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ftwatch.core.delivery import Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, digest
from ftwatch.core.message import Message, Picture, Tone
from ftwatch.core.span import DAY, MINUTE
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["AppriseNotifier"]

# Threads for all Apprise notifiers together: a service that hangs may take one of these, never the store's.
_THREADS = 8
_limiter: anyio.CapacityLimiter | None = None

_TYPES = {Tone.GOOD: "success", Tone.BAD: "failure", Tone.WARN: "warning", Tone.NEUTRAL: "info"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: apprise` can be told: one URL in Apprise's way of writing, or several."""

    url: Secret | tuple[Secret, ...]
    timeout: Duration = Duration(seconds=60)


class AppriseNotifier:
    """One or several Apprise URLs that all get the same message."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy(span=DAY, drain=1.0, fold=15 * MINUTE)
    # Some of the services take no more than 2,000 characters.
    folds: ClassVar[int] = 8
    names_bundles: ClassVar[bool] = True
    shows_pictures: ClassVar[bool] = True
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
        picture: Picture | None = None,
    ) -> Result:
        """Sends to every URL that has not taken this event yet; `memory` holds which have.

        The picture goes along where the service takes files.
        """
        global _limiter
        if _limiter is None:
            _limiter = anyio.CapacityLimiter(_THREADS)
        name = digest([event.id for event in events])
        given = self._options.url
        try:
            urls = [secret.reveal() for secret in (given if isinstance(given, tuple) else (given,))]
        except LookupError as error:
            return Result(Rejected(str(error)))
        taken = list(memory.get("taken", ())) if memory.get("event") == name else []
        message = self._spec.compose(*events, most=self.folds, bundle=bundle)
        message, notes = replace(message, picture=picture), []
        for place, url in enumerate(urls):
            if place in taken:
                continue
            outcome = await anyio.to_thread.run_sync(
                _notify, url, message, limiter=_limiter, abandon_on_cancel=True
            )
            if not isinstance(outcome, Sent):
                which = f"URL {place + 1}: " if len(urls) > 1 else ""
                failed = _with_place(outcome, which)
                return Result(failed, {"event": name, "taken": taken} if taken else None)
            taken.append(place)
            if outcome.note and outcome.note not in notes:
                notes.append(outcome.note)
        return Result(Sent("; ".join(notes)))

    def render(self, *events: Event, picture: Picture | None = None) -> str:
        """Title and text, for `ftwatch render`; and what is attached, where the service takes it."""
        message = self._spec.compose(*events, most=self.folds)
        attached = f"\n\n[{picture.name}: {picture.alt}]" if picture else ""
        return f"{message.title}\n\n{_body(message)}{attached}"


def _with_place(outcome: Outcome, which: str) -> Outcome:
    if isinstance(outcome, Retry):
        return Retry(which + outcome.reason, unreachable=outcome.unreachable)
    if isinstance(outcome, Rejected):
        return Rejected(which + outcome.reason, final=outcome.final)
    return outcome


def _body(message: Message) -> str:
    return message.text.partition("\n")[2] or message.title


def _notify(url: str, message: Message) -> Outcome:
    """Runs in a thread. Apprise tells no more than whether it worked.

    What is not taken with its picture is tried once more without: a service may refuse the one alone.
    """
    library = _library()
    service = library.Apprise(asset=library.AppriseAsset(async_mode=False, storage_mode="memory"))
    if not service.add(url):
        return Rejected("no URL that Apprise knows, or its service needs a package that is not installed")
    said = {
        "title": message.title,
        "body": _body(message),
        "body_format": library.NotifyFormat.TEXT,
        "notify_type": library.NotifyType(_TYPES[message.tone]),
        "interpret_escapes": False,
    }
    note = ""
    if message.picture is not None and all(one.attachment_support for one in service):
        try:
            # Many services of Apprise's open a file by its path, and take nothing from memory.
            with tempfile.TemporaryDirectory(prefix="ftwatch-") as folder:
                file = Path(folder, message.picture.name)
                file.write_bytes(message.picture.png)
                if service.notify(**said, attach=str(file)):
                    return Sent()
            note = "without its picture: the service did not take it"
        except OSError as error:
            note = f"without its picture: {error.strerror or type(error).__name__}"
    if service.notify(**said):
        return Sent(note)
    return Retry("the service did not take it (Apprise does not say why)")


def _library() -> Any:
    """Apprise, with its log switched off before it can say anything."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    import apprise

    return apprise
