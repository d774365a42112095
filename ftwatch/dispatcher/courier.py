"""One try of a message: its bytes, its picture, one call of the notifier under one deadline.

A notifier is a guest: whatever it raises is an outcome, not a crash. Nothing is taken or settled here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import structlog
from msgspec import Struct

from ftwatch.config import NotifierConfig
from ftwatch.core.clock import Clock
from ftwatch.core.delivery import REMINDER, Claim, Retry, Sent
from ftwatch.core.event import Event, decode, outline, wire
from ftwatch.core.message import Picture
from ftwatch.log import redacted
from ftwatch.plugins import Memory, Notifier, Posting, Result
from ftwatch.store import Runner, Store

if TYPE_CHECKING:
    from ftwatch.plots import Plots

__all__ = ["Courier", "Drawn", "Try"]

log = structlog.get_logger("ftwatch.dispatcher")

# A picture, and why there is none although there should be.
Drawn = tuple[Picture | None, str]


class Try(Struct, frozen=True, gc=False):
    """One finished try of an event of this `type`."""

    claim: Claim
    type: str
    result: Result
    at: float
    took: float


def _hushed(result: Result) -> Result:
    """The same with no secret in its reason: receivers repeat what they were sent, and reasons are kept."""
    outcome = result.outcome
    name, said = ("note", outcome.note) if isinstance(outcome, Sent) else ("reason", outcome.reason)
    hushed = redacted(said)
    if hushed == said:
        return result
    return Result(msgspec.structs.replace(outcome, **{name: hushed}), result.memory)


class Courier:
    """Tries to send messages by one notifier. `remark` and `plots` are the dispatcher's."""

    def __init__(
        self,
        config: NotifierConfig,
        notifier: Notifier,
        store: Store,
        run: Runner,
        clock: Clock,
        *,
        remark: Callable[..., str] | None,
        plots: "Plots | None",
    ) -> None:
        self._config = config
        self._notifier = notifier
        self._store = store
        self._run = run
        self._clock = clock
        self._log = log.bind(notifier=config.name)
        self._remark = remark
        self._plots = plots if getattr(notifier, "shows_pictures", False) else None
        self._sends_wire: bool = getattr(notifier, "sends_wire", False)
        self._posting = notifier if isinstance(notifier, Posting) and notifier.posts else None
        self._marks_replays: bool = getattr(notifier, "marks_replays", False)
        self._names_bundles: bool = getattr(notifier, "names_bundles", False)
        self._marks_repeats: bool = getattr(notifier, "marks_repeats", False)

    async def freeze(self, claims: Sequence[Claim]) -> dict[int, bytes]:
        """The bytes that every try of a claim sends, by its number, stored before the first one.

        A notifier that sends the wire form as it is gets the very bytes that were committed with the event; a
        relayed webhook's stand in the event itself. Nothing need be stored twice for that.
        """
        bodies: dict[int, bytes] = {}
        new: list[tuple[Claim, bytes]] = []
        for claim in () if self._sends_wire else claims:
            body = claim.body
            if body is None:
                event = decode(claim.event)
                try:
                    body = self._notifier.freeze(event)
                except Exception:  # a guest: `send` will fail in turn, and say how
                    self._log.exception("freezing failed", event_id=event.id)
                if body is not None and body != wire(event, claim.event):
                    new.append((claim, body))
            if body is not None:
                bodies[claim.seq] = body
        if new:
            await self._run(self._store.outbox.freeze, new)
        return bodies

    async def deliver(self, claim: Claim, memory: Memory, body: bytes | None) -> Try:
        """One try of one message. `body`: what was frozen of it."""
        if self._posting is not None and claim.body is None:
            return await self._post(self._posting, claim)
        # Read only now, and gone soon: a hundred events that wait would cost more than the reading.
        event = decode(claim.event)
        if body is None and self._sends_wire:
            body = claim.body or wire(event, claim.event)
        drawn = await self._picture(claim, event)
        return await self.attempt(claim, [event], memory, body, claim.delivery.bundle, drawn)

    async def _post(self, notifier: Posting, claim: Claim) -> Try:
        type, body = outline(claim.event)
        id, manual = claim.delivery.id, claim.delivery.is_replay
        return await self._tried(claim, type, lambda: notifier.post(id, body, manual=manual))

    async def _picture(self, claim: Claim, event: Event) -> Drawn:
        """The picture that goes along, and why there is none although there should be."""
        if self._plots is None or (claim.delivery.bundle or "").startswith(REMINDER):
            return None, ""
        return await self._plots.picture(event)

    async def attempt(
        self,
        claim: Claim,
        events: Sequence[Event],
        memory: Memory,
        body: bytes | None,
        bundle: str | None,
        drawn: Drawn = (None, ""),
    ) -> Try:
        """One try under one deadline. Never raises, but is cancelled with the daemon."""
        more: dict[str, Any] = {}
        if self._marks_replays and claim.delivery.is_replay:
            more["manual"] = True
        if self._marks_repeats and claim.epoch > 1:
            more["again"] = True
        if self._names_bundles and bundle is not None:
            more["bundle"] = bundle
        picture, undrawn = drawn
        if picture is not None:
            more["picture"] = picture

        async def send() -> Result:
            result = await self._in_time(lambda: self._notifier.send(events, memory, body=body, **more))
            return self._noted(result, events, undrawn)

        return await self._tried(claim, events[0].type, send)

    async def _in_time(self, send: Callable[[], Awaitable[Result]]) -> Result:
        timeout = self._notifier.timeout
        with anyio.move_on_after(timeout):
            return await send()
        return Result(Retry(f"no end within {timeout:g} s", unreachable=True))

    def _noted(self, result: Result, events: Sequence[Event], undrawn: str) -> Result:
        """The result, which says why a message is not in the config's words, or without its picture."""
        outcome = result.outcome
        if not isinstance(outcome, Sent) or outcome.idle:
            return result
        plain = self._remark(*events) if self._remark is not None else ""
        missing = f"without its picture: {undrawn}" if undrawn else ""
        if not plain and not missing:
            return result
        said = "; ".join(filter(None, (outcome.note, plain, missing)))
        return Result(msgspec.structs.replace(outcome, note=said), result.memory)

    async def _tried(self, claim: Claim, type: str, send: Callable[[], Awaitable[Result]]) -> Try:
        """What came of one try."""
        at, begun = self._clock.now(), self._clock.ticks()
        name, tried = self._config.name, self._store.meter.tried
        tried[name] = max(tried.get(name, 0.0), begun + self._notifier.timeout)
        try:
            result = _hushed(await send())
        except Exception as error:  # a guest may not crash the house
            self._log.exception("the notifier raised", event_id=claim.delivery.event_id)
            result = Result(Retry(f"{error.__class__.__name__} in the code of {self._config.kind!r}"))
        return Try(claim, type, result, at, self._clock.ticks() - begun)
