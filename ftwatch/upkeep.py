"""Keeps what notifiers said of jobs up to date between events: how far a job is is no news, and owes nobody
a delivery.

Nothing here can be lost: what could not be shown is shown the next time. It takes its turn in the
dispatcher's loop, so that it never overtakes what is being told.
"""

import anyio
import structlog

from ftwatch.core.clock import Clock
from ftwatch.core.delivery import Retry, Sent
from ftwatch.core.span import DAY
from ftwatch.plugins import Living, Notifier
from ftwatch.store import Runner, Store

__all__ = ["Upkeep"]

log = structlog.get_logger("ftwatch.upkeep")

# So many messages are changed in one round.
MOST = 10
# Who was left out is looked at again for so long (seconds).
AGAIN = 60.0


class Upkeep:
    """One notifier's living messages, by their memories."""

    def __init__(self, name: str, notifier: Living, store: Store, run: Runner, clock: Clock) -> None:
        self._name = name
        self._notifier = notifier
        self._store = store
        self._run = run
        self._clock = clock
        self._since = clock.now() - DAY
        self.due_at = 0.0

    @classmethod
    def of(cls, name: str, notifier: Notifier, store: Store, run: Runner, clock: Clock) -> "Upkeep | None":
        """The one that a notifier wants; most want none."""
        if not isinstance(notifier, Living) or notifier.refresh_every is None:
            return None
        return cls(name, notifier, store, run, clock)

    async def round(self) -> None:
        """Shows what has changed of jobs that were told of, if it is time to."""
        now = self._clock.now()
        every = self._notifier.refresh_every or 0.0
        if now < self.due_at <= now + DAY:
            return
        self.due_at = now + every
        outbox, since = self._store.outbox, self._since
        if await self._run(outbox.disabled, self._name) is not None:
            return
        changed = 0
        for lane, memory, known in await self._run(outbox.living, self._name, since):
            if changed == MOST:
                return
            result = None
            try:
                with anyio.move_on_after(self._notifier.timeout):
                    result = await self._notifier.refresh(known, memory)
            except Exception:  # a guest may not crash the house
                log.exception("the notifier raised", notifier=self._name)
                return
            if result is None:
                continue
            changed += 1
            if result.memory is not None:
                await self._run(outbox.remember, self._name, lane, memory, result.memory)
            if not isinstance(result.outcome, Sent):
                log.info("not brought up to date", notifier=self._name, reason=result.outcome.reason)
                if isinstance(result.outcome, Retry):
                    self.due_at = now + max(every, min(result.outcome.after or 0.0, DAY))
                return
        self._since = now - AGAIN
