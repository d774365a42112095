"""Walking the listing: the baseline once, all of it once more, and then every page at its turn.

What a page shows of a known job only asks for a retrieve, whose answer counts; what is new is taken from the
page. Asks for pages alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile

import structlog
from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core import announce
from ftwatch.core.announce import Announcement
from ftwatch.core.clock import Clock
from ftwatch.core.decide import is_forward
from ftwatch.core.job import Status
from ftwatch.plugins import Page, Provider, ProviderError
from ftwatch.poller.inquiry import Inquiry
from ftwatch.poller.ledger import Ledger
from ftwatch.poller.listing import CIRCLE, PAGES, Listing, Unsettled, Window, fingerprint
from ftwatch.poller.rota import Rota

__all__ = ["Walk"]

log = structlog.get_logger("ftwatch.poller")

# So many pages are asked for at once, as far as the account's rate has room for that.
AT_ONCE = 20
# So many pages are read before the first of them is dealt with, where all are looked at.
BATCH = 40
# Pages are dealt with together as long as no more entries than this must be looked at (or one page alone).
ENTRIES = 200
# When so many listed changes wait for their retrieve, a forward move is taken from the list.
CROWD = 50


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
        self._lists_documents: bool = getattr(provider, "lists_documents", False)
        self._hastened = False
        self._wants_all = False
        self._config = config
        self._provider = provider
        self._ledger = ledger
        self._listing = listing
        self._inquiry = inquiry
        self._clock = clock
        self._good = good
        self._log = log.bind(provider=config.name)
        self._passed: set[str] = set()
        self._rota = Rota(config.poll, config.discover, config.rate, listing, clock)
        # Where a page counts as much as a job's own answer, an older one may not come after a newer one.
        at_once = 1 if provider.list_is_truth else AT_ONCE
        self._at_once = max(1, min(at_once, int(config.rate)))

    def reopen(self) -> None:
        """The store was read anew: every page counts as new."""
        self._listing.forget()
        self._passed.clear()

    def hasten(self, *, deep: bool) -> None:
        """Asks for a walk now, and for another one where one is under way."""
        self.at, self._hastened = 0.0, True
        self._wants_all = self._wants_all or deep

    async def walk(self) -> bool:
        """Looks at the listing where that is due. True: the baseline is not complete yet."""
        if self._ledger.state.baseline_at is None:
            return await self._baseline()
        if self._clock.ticks() < self.at:
            return False
        hastened, self._hastened = self._hastened, False
        if self._newest_first:
            await self._look_around(hastened=hastened)
        else:
            await self._sweep()
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
        self._passed.clear()
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
        self._after(self._config.discover)
        return False

    def _following(self, cursor: str | None, next: str | None) -> str | None:
        """Where the baseline goes on: on this listing, else at the head of the one after it."""
        if next is not None or len(self._heads) == 1:
            return next
        begun = [number for number, head in enumerate(self._heads) if head in self._passed or head == cursor]
        number = max(begun, default=0) + 1
        return self._heads[number] if number < len(self._heads) else None

    # ------------------------------------------------------------------------------------ every page in turn

    async def _look_around(self, *, hastened: bool) -> None:
        """Looks at the pages that are due, or at all of them."""
        wants_all, self._wants_all = self._wants_all, False
        crowded = self._inquiry.is_crowded
        hazards = await self._ledger.learn() if crowded else None
        if hastened:
            self._rota.hasten(self._heads)
        planned = self._listing.chain(self._heads)
        self._rota.plan(planned, self._heads, self._ledger.active, hazards)
        changed = await (self._look_at_all() if wants_all else self._look_at(self._rota.due(self._at_once)))
        chain = self._listing.chain(self._heads)
        if self._listing.window(self._heads[0]) is None:
            # It forgot what anchored a page, and may go on doing so: the new walk keeps to the usual pace.
            self._after(min(self._config.poll if crowded else self._config.discover, self._config.discover))
            return
        if changed and crowded:
            # Who stands on no page any more is asked for by its id.
            self._inquiry.agenda.ask_for(self._unplaced(chain))
        # What the listing leads to now is planned anew, at once.
        self.at = self._rota.next_due() if chain is planned and not self._hastened else 0.0

    async def _look_at_all(self) -> bool:
        """Looks at every page to the listing's end. True: something on them was new."""
        seen: set[str | None] = set()
        changed, place = False, 0
        chain = self._listing.chain(self._heads)
        while place < len(chain):
            some = [anchor for anchor in chain[place : place + BATCH] if anchor not in seen]
            place += BATCH
            seen.update(some)
            changed = await self._look_at(some) or changed
            now = self._listing.chain(self._heads)
            if now is not chain and now[:place] != chain[:place]:
                place = 0
            chain = now
        return changed

    async def _look_at(self, anchors: Sequence[str | None]) -> bool:
        """Looks at these pages, and at those after them that hold new jobs. True: something was new."""
        active = self._ledger.active.keys()
        pages = await self._listing.pages(anchors, active, self._at_once)
        whole = takewhile(lambda anchor: not isinstance(pages[anchor], Exception), anchors)
        new = {anchor: found for anchor in whole if isinstance(found := pages[anchor], Page)}
        changed, met = bool(new), await self._meet(new)
        for anchor in anchors:
            page: Page | Window | Exception = pages[anchor]
            while isinstance(page, Page):
                self._good()
                window, leads_on = met[anchor]
                self._rota.looked(anchor)
                if not leads_on or window.next is None or self._listing.window(window.next) is not None:
                    break
                anchor = window.next
                page = (await self._listing.pages([anchor], active, 1))[anchor]
                if isinstance(page, Page):
                    met |= await self._meet({anchor: page})
            if isinstance(page, ProviderError) and page.missing and anchor not in self._heads:
                # The provider forgot the job that anchored a page: nothing follows but a new walk.
                self._listing.forget()
                return True
            if isinstance(page, Exception):
                raise page
            self._good()
            self._rota.looked(anchor)
        return changed

    def _unplaced(self, anchors: Iterable[str | None]) -> set[str]:
        """The active jobs that stand on none of these pages; nobody, if one of them was not looked at.

        Who is held back stands there as over, and has turns of its own.
        """
        windows = [self._listing.window(anchor) for anchor in anchors]
        if None in windows:
            return set()
        asked = {id for id, job in self._ledger.active.items() if not job.is_held}
        return asked.difference(*(window.active for window in windows if window))

    # --------------------------------------------------------------------------------------- the sweep

    async def _sweep(self) -> None:
        """Walks listings whose new jobs may stand anywhere, to their ends.

        A known job that stands on none of them any more is asked for by its id.
        """
        seen: set[str | None] = set()
        for head in self._heads:
            if not await self._sweep_one(head, seen):
                return
        self._inquiry.agenda.ask_for(self._unplaced(seen))
        self._listing.keep(seen)

    async def _sweep_one(self, head: str | None, seen: set[str | None]) -> bool:
        """Walks one listing. True: to its end."""
        anchor = head
        try:
            while anchor not in seen:
                if len(seen) > PAGES:
                    raise ProviderError(f"the listing does not end within {PAGES:,} pages")
                seen.add(anchor)
                page = await self._listing.page(anchor, self._ledger.active.keys())
                self._good()
                if isinstance(page, Page):
                    page, _ = (await self._meet({anchor: page}))[anchor]
                if page.next is None:
                    return True
                anchor = page.next
        except ProviderError as error:
            if error.missing and anchor != head:
                # The provider forgot what anchored a page: nothing follows but a new walk.
                self._listing.forget()
                self.at = 0.0
                return False
            raise
        raise ProviderError(CIRCLE)

    # --------------------------------------------------------------------------------------------- pages

    async def _meet(self, pages: Mapping[str | None, Page]) -> dict[str | None, tuple[Window, bool]]:
        """Deals with pages whose bytes are new: their windows, and whether there may be new jobs after each.

        As many as can be share one commit. What two of them say of one job is dealt with one after the other.
        """
        met: dict[str | None, tuple[Window, bool]] = {}
        some: dict[str | None, Unsettled] = {}
        ids: set[str] = set()
        for anchor, page in pages.items():
            found = self._listing.unsettled(anchor, page, self._ledger.active.keys())
            if some and (len(ids) + len(found.ids) > ENTRIES or not ids.isdisjoint(found.ids)):
                met |= await self._meet_some(pages, some)
                some, ids = {}, set()
            some[anchor] = found
            ids.update(found.ids)
        return met | await self._meet_some(pages, some)

    async def _meet_some(
        self, pages: Mapping[str | None, Page], some: Mapping[str | None, Unsettled]
    ) -> dict[str | None, tuple[Window, bool]]:
        """As `_meet`, of those among the pages of which it is said what must be looked at."""
        ids = {id: raw for found in some.values() for id, raw in found.ids.items()}
        if not some:
            return {}
        # Where all that is new is about active jobs of the page, nobody need ask who they are, nor for what
        # was dealt with: those were the page's own bytes.
        known: dict[str, bytes | None] = {
            id: None for found in some.values() if found.rest is not None for id in found.ids
        }
        strange = [id for found in some.values() if found.rest is None for id in found.ids]
        if strange:
            jobs = self._ledger.store.jobs
            known |= await self._ledger.run(jobs.fingerprints, self._config.name, strange)
        ended, leads_on = {}, {}
        for anchor, found in some.items():
            fresh = {id: raw for id, raw in found.ids.items() if id not in known}
            ended[anchor] = await self._take_new(fresh, baseline=False)
            leads_on[anchor] = not ended[anchor] and next(reversed(found.ids), None) in fresh
            if anchor in self._heads:
                self._rota.arrived(len(fresh))
        marks = {id: fingerprint(raw) for id, raw in ids.items() if id in known}
        changed = {id: (ids[id], mark) for id, mark in marks.items() if known[id] != mark}
        over = await self._changed(changed)
        active, met = self._ledger.active, {}
        for anchor, found in some.items():
            # Who was not looked at, and has ended by another page, has its bytes looked at the next time. Who
            # is shown as over has not: once its own answer says so, too, the page is what it was.
            here = (active[id].id for id in found.ids if id in active and id not in over)
            stand = (*here, *(found.rest or ()))
            ids_read = found.ids if found.rest is None else ()
            window = self._listing.dealt_with(anchor, pages[anchor], ids_read, stand, ended=ended[anchor])
            met[anchor] = window, leads_on[anchor]
        return met

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

    async def _changed(self, entries: dict[str, tuple[bytes, bytes]]) -> set[str]:
        """Entries of known jobs whose bytes are new: each asks for a retrieve, whose answer counts.

        In a crowd a step forward is taken from the list; where entries are whole, nothing more need be asked.
        Where jobs have logs it is asked even for an end: what lay before it is told before it, or never.
        Returns those whom their entries show as over.
        """
        inquiry, agenda = self._inquiry, self._inquiry.agenda
        truth, whole = self._provider.list_is_truth, self._lists_documents
        crowd = len(entries) + agenda.waiting > CROWD or (whole and inquiry.is_crowded)
        looks, over = [], set()
        for id, (raw, mark) in entries.items():
            counts = (truth or (crowd and id not in inquiry.contradicted)) and not inquiry.logbook.asks
            snapshot = self._listing.read(raw) if counts else self._listing.glimpse(raw)
            if snapshot is not None:
                is_over = snapshot.status.is_terminal
                if is_over:
                    over.add(id)
                if counts:
                    looks.append(inquiry.look(snapshot, raw, inquiry.logbook.told(raw)))
                    if truth or is_over or (whole and self._is_step(id, snapshot.status)):
                        continue
            inquiry.listed(id, mark, snapshot.status if snapshot is not None else None)
        await inquiry.integrate(looks)
        return over

    def _is_step(self, id: str, status: Status) -> bool:
        """Whether a listed status leads a job on from what is known of it, or leaves it there."""
        known = self._ledger.active.get(id)
        return known is not None and is_forward(known.status, status)
