"""How one provider is: what is told when it cannot be watched, has changed, or has ended. Asks nobody."""

import structlog

from ftwatch.config import ProviderConfig
from ftwatch.core import announce
from ftwatch.core.clock import Clock
from ftwatch.core.event import Gap
from ftwatch.core.lateness import remembered
from ftwatch.core.pace import backoff
from ftwatch.core.span import HOUR
from ftwatch.meter import Look
from ftwatch.plugins import ProviderError
from ftwatch.poller.ledger import Ledger

__all__ = ["Health"]

log = structlog.get_logger("ftwatch.poller")

# How often a service that has ended is asked whether it truly has (seconds).
AFTER_ITS_END = HOUR / 4


class Health:
    """A provider's failures. `problem` is what is wrong now; `blocked_until` (ticks) it is left alone.

    `heard`: some answer came since somebody set it to False; `good_at`: when the last whole one came (Unix
    seconds; None: none yet).
    """

    def __init__(self, config: ProviderConfig, ledger: Ledger, clock: Clock) -> None:
        self.problem: str | None = None
        self.heard = False
        self.good_at: float | None = None
        self.blocked_until = 0.0
        self._config = config
        self._ledger = ledger
        self._clock = clock
        self._log = log.bind(provider=config.name)
        self._failures = 0
        self._failing_since: float | None = None
        self._denied = False

    def good(self) -> None:
        """A whole answer came, whatever may fail after it."""
        self.heard = True
        self._note_gap()
        self.good_at = self._clock.now()
        self._ledger.store.meter.looked[self._config.name] = Look(self.good_at, self._clock.ticks())
        self._failing_since = None

    def _note_gap(self) -> None:
        """After failures: what happened since the first one could not be seen before now."""
        if self._failing_since is None:
            return
        now, ledger = self._clock.now(), self._ledger
        since = now - (self._clock.ticks() - self._failing_since)
        # The outage may be older than this process.
        since = min(since, ledger.state.degraded_at or since)
        new = Gap(since=int(since), until=int(now), cause="denied" if self._denied else "unanswered")
        ledger.gaps = remembered(ledger.gaps, new)

    async def well(self, unreadable: dict[str, str], drift: dict[str, str]) -> None:
        """After a round without failure: tells what could not be read or has changed, and that all is well.

        `unreadable` are entries by their fingerprints, `drift` changes of the interface by what they concern.
        """
        self._failures, self.problem = 0, None
        now, kind, ledger = self._clock.now(), self._config.kind, self._ledger
        if unreadable:
            await ledger.announce(announce.unreadable(ledger.state, kind, unreadable, ledger.routing, now))
        for about, what in drift.items():
            await ledger.announce(announce.drifted(ledger.state, kind, about, what, ledger.routing, now))
        if ledger.state.degraded_at is not None or ledger.state.retired_at is not None:
            said = announce.recovered(ledger.state, kind, ledger.routing, now, ledger.flapping)
            await ledger.announce(said)
        await ledger.announce(announce.settled(ledger.state, kind, ledger.routing, now, ledger.flapping))

    async def failed(self, error: ProviderError) -> None:
        """After a failed round: waits longer each time, and tells once when it lasts."""
        self._failures += 1
        ticks = self._clock.ticks()
        if self._failing_since is None:
            self._failing_since = ticks
        self.problem, self._denied = error.reason, error.denied
        pause = backoff(self._failures, self._clock.luck())
        now, kind, ledger = self._clock.now(), self._config.kind, self._ledger
        lasts = ticks - self._failing_since >= self._config.degraded_after
        if error.closed and lasts:
            # It has ended for good: told once, calmly, and no nightly alarm.
            pause = AFTER_ITS_END
            await ledger.announce(announce.retired(ledger.state, kind, error.reason, ledger.routing, now))
        self.blocked_until = ticks + max(pause, min(error.retry_after or 0.0, HOUR))
        self._log.warning("no good look", error=error.reason, again_in=round(pause, 1))
        if error.missing:
            said = announce.drifted(ledger.state, kind, "listing", error.reason, ledger.routing, now)
            await ledger.announce(said)
        is_told = ledger.state.degraded_at is not None or ledger.state.retired_at is not None
        if (error.denied or lasts) and not is_told:
            said = announce.degraded(ledger.state, kind, error.reason, ledger.routing, now, ledger.flapping)
            await ledger.announce(said)
        if is_told:
            await ledger.announce(announce.settled(ledger.state, kind, ledger.routing, now, ledger.flapping))
