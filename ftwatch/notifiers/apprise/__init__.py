"""Anything that Apprise reaches. The library is loaded by the first message, in a thread of our own few.

Which form a service reads stands in `services`; how the library is asked, and what is learnt of the service's
answer, in `asking`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import anyio
import anyio.to_thread
from msgspec.structs import replace

from ftwatch.core.delivery import Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, digest
from ftwatch.core.message import Picture
from ftwatch.core.span import DAY, MINUTE
from ftwatch.notifiers.apprise.asking import shown, summed, tell
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["AppriseNotifier"]

# Threads for all Apprise notifiers together: a service that hangs may take one of these, never the store's.
_THREADS = 8
_limiter: anyio.CapacityLimiter | None = None


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
        """Sends to whoever has not taken this event yet; `memory` holds which URLs have, and parts of one.

        The picture goes along where the service takes files.
        """
        global _limiter
        if _limiter is None:
            _limiter = anyio.CapacityLimiter(_THREADS)
        name = digest([event.id for event in events])
        try:
            urls = [secret.reveal() for secret in self._urls]
        except LookupError as error:
            return Result(Rejected(str(error)))
        is_same = memory.get("event") == name
        taken = list(memory.get("taken", ())) if is_same else []
        parts = dict(memory.get("parts", {})) if is_same else {}
        message = self._spec.compose(*events, most=self.folds, bundle=bundle)
        message, outcomes = replace(message, picture=picture), list[Outcome]()
        for place, url in enumerate(urls):
            if place in taken:
                continue
            told = await anyio.to_thread.run_sync(
                tell, url, message, parts.pop(str(place), ()), limiter=_limiter, abandon_on_cancel=True
            )
            outcomes.append(_with_place(told.outcome, f"URL {place + 1}: " if len(urls) > 1 else ""))
            if isinstance(told.outcome, Sent):
                taken.append(place)
            elif told.taken:
                parts[str(place)] = list(told.taken)
        outcome = summed(outcomes)
        if isinstance(outcome, Sent) or not (taken or parts):
            return Result(outcome)
        return Result(outcome, {"event": name, "taken": taken, "parts": parts})

    def render(self, *events: Event, picture: Picture | None = None) -> str:
        """What each service would be given, for `ftwatch render`; as text where its URL cannot be had."""
        message = replace(self._spec.compose(*events, most=self.folds), picture=picture)
        return "\n\n".join(dict.fromkeys(shown(_revealed(secret), message) for secret in self._urls))

    @property
    def _urls(self) -> tuple[Secret, ...]:
        given = self._options.url
        return given if isinstance(given, tuple) else (given,)


def _revealed(secret: Secret) -> str | None:
    try:
        return secret.reveal()
    except LookupError:
        return None


def _with_place(outcome: Outcome, which: str) -> Outcome:
    if isinstance(outcome, Retry | Rejected):
        return replace(outcome, reason=which + outcome.reason)
    return outcome
