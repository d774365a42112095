"""Which pages of the listing are looked at next. Times are ticks of the monotonic clock; asks nobody.

News is worth most where much of it has piled up for long: of the pages that are due, the one with the most
news expected, times how long that would have waited, comes first.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.attention import QUICK, SLOW, SOONEST
from ftwatch.core.clock import Clock
from ftwatch.core.hazard import Hazards
from ftwatch.core.watched import Watched
from ftwatch.poller import agenda
from ftwatch.poller.listing import Listing

__all__ = ["DEEP", "Rota"]

# Every page is looked at so often (seconds), also where nothing is expected any more.
DEEP = 1800.0
# Of the requests, at most such a share goes to those of which nothing is expected.
SHARE = 0.03
# Of pages where little is expected least is known. Above 1.0, what is expected for sure weighs more.
CERTAINTY = 1.2
# Who was never looked at has waited for so long.
LONGEST = 1e9
# What is expected of a page is worked out anew after so long (seconds).
FORECAST = 5.0
# How many new jobs are expected while none came yet, and after how long older ones count half (seconds).
ARRIVALS, ARRIVALS_KEPT = 1.0, 3600.0


class _Turn(Struct, frozen=True):
    """A page's next look: when it is due, and how long after the one before.

    After `patience` seconds without a look it comes first; of the others the one whose `weight`, times the
    square of the time since its last look, is the greatest.
    """

    at: float
    pause: float
    patience: float
    weight: float


class Rota:
    """The pages' turns. `poll` and `discover` are seconds, `rate` the requests per second that there are."""

    def __init__(self, poll: float, discover: float, rate: float, listing: Listing, clock: Clock) -> None:
        self._poll = poll
        self._discover = discover
        self._rate = rate
        self._listing = listing
        self._clock = clock
        self._looked: dict[str | None, float] = {}
        self._jitter: dict[str | None, float] = {}
        self._turns: dict[str | None, _Turn] = {}
        self._forecast: dict[str | None, float] = {}
        self._forecast_of: Sequence[str | None] = ()
        self._forecast_until = 0.0
        self._arrivals, self._arrivals_at = ARRIVALS, clock.ticks()

    def looked(self, anchor: str | None) -> None:
        """A page was looked at just now."""
        ticks = self._looked[anchor] = self._clock.ticks()
        jitter = self._jitter[anchor] = 0.9 + 0.2 * self._clock.luck()
        if anchor in self._turns:
            turn = self._turns[anchor]
            self._turns[anchor] = replace(turn, at=ticks + turn.pause * jitter)

    def hasten(self, anchors: Collection[str | None]) -> None:
        """These pages are due at once."""
        for anchor in anchors:
            self._looked.pop(anchor, None)

    def arrived(self, count: int) -> None:
        """So many new jobs stood at the head."""
        ticks = self._clock.ticks()
        self._arrivals *= 0.5 ** ((ticks - self._arrivals_at) / ARRIVALS_KEPT)
        self._arrivals, self._arrivals_at = max(ARRIVALS, self._arrivals + count), ticks

    def plan(
        self,
        chain: Sequence[str | None],
        heads: Collection[str | None],
        active: Mapping[str, Watched],
        hazards: Hazards | None,
    ) -> None:
        """Gives every page its turn. `hazards` None: active jobs are asked for one by one."""
        ticks = self._clock.ticks()
        # A page that nobody knows yet gives way to another one with every new job, and its waiting goes on.
        waits_since = ticks
        for gone in self._looked.keys() - set(chain):
            looked = self._looked.pop(gone)
            self._jitter.pop(gone, None)
            if gone in self._turns and not self._turns[gone].pause:
                waits_since = min(waits_since, looked)
        news = self._news(chain, active, hazards) if hazards is not None else dict.fromkeys(chain, 0.0)
        # The least waiting in all comes of looking by the square root of what is expected.
        worth = {anchor: rate ** (CERTAINTY / 2) for anchor, rate in news.items() if rate}
        usual = sum(worth.values()) / len(worth) if worth else 0.0
        round_robin = len(worth) / (self._rate * (1 - SHARE - agenda.SHARE))
        # Where nothing is expected, a look comes once in a while, and all of these take little from others.
        still = len(chain) - len(worth)
        little = min(usual * round_robin / (SLOW * DEEP), SHARE * sum(worth.values()) / max(still, 1))
        arrivals = self._arrivals / ARRIVALS_KEPT
        behind = dict(pairwise(chain))
        self._turns = {}
        for anchor, rate in news.items():
            if self._listing.window(anchor) is None:
                # Who stands there nobody knows: it is due, and worth as much as the others.
                self._looked.setdefault(anchor, waits_since)
                at, after = 0.0, behind.get(anchor)
                if hazards is None and after in self._looked and after not in heads:
                    # Cursors may change with every answer. Where pages are not how jobs are watched, one that
                    # came before a known page has time until that one is due.
                    at = self._looked[after] + DEEP * self._jitter.get(after, 1.0)
                self._turns[anchor] = _Turn(at, 0.0, inf, usual**2 or arrivals**CERTAINTY)
                continue
            pause, patience, weight = DEEP, inf, little**2
            if rate:
                quick = max(SOONEST, self._poll * QUICK)
                pause = min(max(self._poll * usual / worth[anchor], quick), self._poll * SLOW)
                patience, weight = SLOW * max(pause, round_robin), worth[anchor] ** 2
            if anchor in heads:
                pause = min(pause, self._poll if hazards is not None else self._discover, self._discover)
                weight = (rate + arrivals) ** CERTAINTY
            at = self._looked[anchor] + pause * self._jitter[anchor] if anchor in self._looked else 0.0
            self._turns[anchor] = _Turn(at, pause, patience, weight)

    def due(self, most: int) -> list[str | None]:
        """Up to so many pages that are due: those that have waited too long, then where most is expected."""
        ticks = self._clock.ticks()
        late, rest = [], []
        for anchor, turn in self._turns.items():
            if turn.at <= ticks:
                waited = min(ticks - self._looked.get(anchor, -inf), LONGEST)
                if waited > turn.patience:
                    late.append((waited / turn.patience, anchor))
                else:
                    rest.append((turn.weight * waited * waited, anchor))
        ordered = sorted(late, key=_worth) + sorted(rest, key=_worth)
        return [anchor for _, anchor in ordered[:most]]

    def next_due(self) -> float:
        """When the next page is due."""
        return min((turn.at for turn in self._turns.values()), default=0.0)

    def _news(
        self, chain: Sequence[str | None], active: Mapping[str, Watched], hazards: Hazards
    ) -> dict[str | None, float]:
        """How many changes a second are expected on each page. A job on two in a row counts on the first."""
        ticks, now = self._clock.ticks(), self._clock.now()
        if chain is self._forecast_of and self._forecast_until - FORECAST <= ticks < self._forecast_until:
            return self._forecast
        self._forecast, self._forecast_of = dict.fromkeys(chain, 0.0), chain
        self._forecast_until = ticks + FORECAST
        hazards.lasts((job.status, now - job.since) for job in active.values())
        before: Collection[str] = ()
        for anchor in chain:
            window = self._listing.window(anchor)
            stand = window.active if window is not None else ()
            for id in stand:
                if id not in before and (job := active.get(id)) is not None:
                    self._forecast[anchor] += hazards.rate(job.status, now - job.since)
            # Pages overlap with the one that they lead to, where new jobs push others down.
            before = set(stand)
        return self._forecast


def _worth(one: tuple[float, str | None]) -> float:
    return -one[0]
