"""Walking the listing: the baseline once, then its head for new jobs, and all of it now and again.

What a page shows of a known job only asks for a retrieve, whose answer counts; what is new is taken from the
page. Asks for pages alone.
"""

from collections.abc import Callable

import structlog
from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core import announce
from ftwatch.core.announce import Announcement
from ftwatch.core.clock import Clock
from ftwatch.plugins import Page, Provider, ProviderError
from ftwatch.poller.inquiry import Inquiry
from ftwatch.poller.ledger import Ledger
from ftwatch.poller.listing import Listing, Window, fingerprint

__all__ = ["Walk"]

log = structlog.get_logger("ftwatch.poller")

# Every so often (seconds) the whole listing is walked, not only its head.
DEEP = 1800.0
# When so many listed changes wait for their retrieve, a forward move is taken from the list.
CROWD = 50
PAGES = 100_000
CIRCLE = "the listing leads back to where it was: its cursor runs in a circle"


class Walk:
    """One provider's listings, which begin at its `heads`. `at` (ticks) is when the next walk is due."""

    def __init__(
        self,
        config: ProviderConfig,
        provider: Provider,
        ledger: Ledger,
        listing: Listing,
        inquiry: Inquiry,
        clock: Clock,
        *,
        good: Callable[[], None],
    ) -> None:
        self.at = 0.0
        self._heads: tuple[str | None, ...] = getattr(provider, "heads", (None,))
        self._newest_first: bool = getattr(provider, "newest_first", True)
        self._deep_at = 0.0
        self._hastened = False
        self._config = config
        self._provider = provider
        self._ledger = ledger
        self._listing = listing
        self._inquiry = inquiry
        self._clock = clock
        self._good = good
        self._log = log.bind(provider=config.name)
        self._passed: set[str] = set()

    def reopen(self) -> None:
        """The store was read anew: every page counts as new."""
        self._listing.forget()
        self._passed.clear()

    def hasten(self, *, deep: bool) -> None:
        """Asks for a walk now, and for another one where one is under way."""
        self.at, self._hastened = 0.0, True
        self._deep_at = 0.0 if deep else self._deep_at

    async def walk(self) -> bool:
        """Looks at the listing where that is due. True: the baseline is not complete yet."""
        ticks = self._clock.ticks()
        if self._ledger.state.baseline_at is None:
            return await self._baseline()
        if ticks < self.at:
            return False
        deep = ticks >= self._deep_at or not self._newest_first
        self._hastened = False
        await self._sweep(deep=deep)
        if deep:
            self._deep_at = ticks + DEEP
        pace = self._config.poll if self._inquiry.is_crowded else self._config.discover
        self._after(min(pace, self._config.discover))
        return False

    def _after(self, seconds: float) -> None:
        at = self._clock.ticks() + seconds * (0.9 + 0.2 * self._clock.luck())
        self.at = 0.0 if self._hastened else at

    # ------------------------------------------------------------------------------------- the baseline

    async def _baseline(self) -> bool:
        """One page more of the first complete listing; its place survives a restart."""
        state = self._ledger.state
        cursor = state.cursor if state.cursor is not None else self._heads[0]
        try:
            # Where its own bytes lead does not matter before everything has been seen once.
            self._listing.forget()
            page = await self._listing.page(cursor)
            self._good()
            assert isinstance(page, Page)
        except ProviderError as error:
            if error.missing and state.cursor is not None and cursor not in self._heads:
                self._passed.clear()
                await self._ledger.announce(Announcement(state=replace(state, cursor=None)))
                return True
            raise
        ended = await self._take(page, baseline=True)
        state = self._ledger.state
        following = self._following(cursor, None if ended else page.next)
        if following is not None:
            if following in self._passed:
                raise ProviderError(CIRCLE)
            self._passed.add(following)
            await self._ledger.announce(Announcement(state=replace(state, cursor=following)))
            return True
        active, finished = await self._ledger.run(self._ledger.store.jobs.counts, self._config.name)
        # These pages were taken as a baseline, without a word on who stands on them.
        self._listing.forget()
        said = announce.watching(
            state,
            self._config.kind,
            active,
            finished,
            self._ledger.routing,
            self._clock.now(),
            tell=self._config.baseline == "summary",
        )
        await self._ledger.announce(said)
        self._log.info("watching", active=active, finished=finished)
        self._deep_at = self._clock.ticks() + DEEP
        self._after(self._config.discover)
        return False

    def _following(self, cursor: str | None, next: str | None) -> str | None:
        """Where the baseline goes on: on this listing, else at the head of the one after it."""
        if next is not None or len(self._heads) == 1:
            return next
        begun = [number for number, head in enumerate(self._heads) if head in self._passed or head == cursor]
        number = max(begun, default=0) + 1
        return self._heads[number] if number < len(self._heads) else None

    # --------------------------------------------------------------------------------------- the sweep

    async def _sweep(self, *, deep: bool) -> None:
        """Walks every listing; a known job that stands on none of them any more is asked for by its id."""
        missed = set(self._ledger.active)
        seen: set[str | None] = set()
        whole = True
        for head in self._heads:
            whole = await self._sweep_one(head, missed, seen, deep=deep) and whole
        if whole:
            self._inquiry.agenda.ask_for(missed)
            self._listing.keep(seen)

    async def _sweep_one(
        self, head: str | None, missed: set[str], seen: set[str | None], *, deep: bool
    ) -> bool:
        """Walks one listing until nothing more is to be learned, or to its end (`deep`). True: to its end."""
        anchor = head
        try:
            while anchor not in seen:
                if len(seen) > PAGES:
                    raise ProviderError(f"the listing does not end within {PAGES:,} pages")
                seen.add(anchor)
                page, has_new = await self._listing.page(anchor, self._ledger.active.keys()), False
                self._good()
                if isinstance(page, Page):
                    page, has_new = await self._meet(anchor, page, missed)
                missed.difference_update(page.active)
                if page.next is None:
                    return True
                if not (deep or has_new or (missed and self._inquiry.is_crowded)):
                    return False
                anchor = page.next
        except ProviderError as error:
            if error.missing and anchor != head:
                # The provider forgot the job that anchored a page: nothing follows but a new walk.
                self._listing.forget()
                self.at = 0.0
                return False
            raise
        raise ProviderError(CIRCLE)

    async def _meet(self, anchor: str | None, page: Page, missed: set[str]) -> tuple[Window, bool]:
        """Deals with a page whose bytes are new. Its window, and whether it held a job never seen before."""
        ids = self._listing.identified(page.entries)
        known = await self._ledger.run(self._ledger.store.jobs.fingerprints, self._config.name, list(ids))
        fresh = {id: raw for id, raw in ids.items() if id not in known}
        ended = await self._take_new(fresh, baseline=False)
        await self._changed(
            {
                id: (raw, mark)
                for id, raw in ids.items()
                if id in known and known[id] != (mark := fingerprint(raw))
            }
        )
        missed.difference_update(ids)
        active = frozenset(ids.keys() & self._ledger.active.keys())
        window = self._listing.dealt_with(anchor, page, ids, active, ended=ended)
        return window, bool(fresh) and not ended

    async def _take(self, page: Page, *, baseline: bool) -> bool:
        """Takes the unknown jobs of a baseline page. True when the watched range ends on it."""
        ids = self._listing.identified(page.entries)
        known = await self._ledger.run(self._ledger.store.jobs.load, self._config.name, list(ids))
        # Under a wider watch, what was ignored so far is looked at again, as part of the baseline.
        fresh = {id: raw for id, raw in ids.items() if id not in known or known[id].ignored}
        return await self._take_new(fresh, baseline=baseline and self._config.baseline != "all")

    async def _take_new(self, entries: dict[str, bytes], *, baseline: bool) -> bool:
        """First looks at jobs, taken from the list. True when one lies before the watched range."""
        horizon = self._clock.now() - self._config.since if self._config.since else None
        looks, ended = [], False
        for raw in reversed(entries.values()):  # oldest first, as they happened
            snapshot = self._listing.read(raw)
            if snapshot is None:
                continue
            if horizon is not None and snapshot.created_at is not None and snapshot.created_at < horizon:
                ended = self._newest_first
                continue
            journal = None if baseline else self._inquiry.logbook.told(raw)
            looks.append(self._inquiry.look(snapshot, raw, journal))
        if not baseline:
            looks = await self._inquiry.with_logs(looks)
        await self._inquiry.integrate(looks, baseline=baseline)
        return ended

    async def _changed(self, entries: dict[str, tuple[bytes, bytes]]) -> None:
        """Entries of known jobs whose bytes are new: each asks for a retrieve, whose answer counts.

        Where jobs have logs it does so even for an end: what lay before it is told before it, or never.
        """
        inquiry, agenda = self._inquiry, self._inquiry.agenda
        truth, asks = self._provider.list_is_truth, inquiry.logbook.asks
        crowd = len(entries) + agenda.waiting > CROWD
        looks = []
        for id, (raw, mark) in entries.items():
            if (truth or (crowd and id not in inquiry.contradicted)) and not asks:
                snapshot = self._listing.read(raw)
                if snapshot is not None:
                    looks.append(inquiry.look(snapshot, raw, inquiry.logbook.told(raw)))
                    if truth or snapshot.status.is_terminal:
                        continue
            agenda.listed(id, mark)
        await inquiry.integrate(looks)
