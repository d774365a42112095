"""One loop per provider: fetch, decide, commit. Knows no wire format, sends nothing.

A round is `Poller.poll_once`: it walks the listing when that is due, asks for single jobs, and commits every
page and every answer on its own, so that a failure half way loses only what had not been read yet. The loop
in `Poller.run` adds nothing but waiting.
"""

from collections.abc import Callable, Sequence

import anyio
import structlog
from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core import announce
from ftwatch.core.announce import Announcement
from ftwatch.core.clock import Clock
from ftwatch.core.job import JobKey, Snapshot
from ftwatch.core.known import Look
from ftwatch.core.pace import backoff
from ftwatch.core.route import Routing
from ftwatch.core.rule import Rule
from ftwatch.core.span import HOUR
from ftwatch.plugins import NotFound, Page, Provider, ProviderError
from ftwatch.poller.ledger import Ledger
from ftwatch.poller.listing import Listing, Window, fingerprint
from ftwatch.store import Damaged, Runner, Store, StoreError

__all__ = ["Poller"]

log = structlog.get_logger("ftwatch.poller")

# Up to this many active jobs are asked for one by one; more are watched through the listing, and then each
# of them is still asked for itself this often (seconds), because a listing may lag behind.
FEW = 20
NOW_AND_AGAIN = 600.0
# Every so often (seconds) the whole listing is walked, not only its head.
DEEP = 1800.0
# When so many listed changes wait for their retrieve, a forward move is taken from the list.
CROWD = 50
# How many jobs are asked for in one round, and how many of these at once.
ROUND, AT_ONCE = 32, 8
# So many jobs vanishing together, and more than half, are no vanished jobs but a broken account.
MANY_MISSING = 5
LONGEST_NAP = 60.0
# How long a store that refused something (a full disk) is left alone (seconds).
STORE_PAUSE = 5.0
PAGES = 100_000
CIRCLE = "the listing leads back to where it was: its cursor runs in a circle"


class Poller:
    """Watches one provider. `bell` is rung after every commit that may owe somebody a delivery."""

    def __init__(
        self,
        config: ProviderConfig,
        provider: Provider,
        store: Store,
        run: Runner,
        *,
        routing: Routing,
        rules: tuple[Rule, ...],
        clock: Clock,
        bell: Callable[[], None],
    ) -> None:
        self.config = config
        self.problem: str | None = None
        self._ledger = Ledger(config, store, run, routing=routing, rules=rules, clock=clock, bell=bell)
        self._provider = provider
        self._listing = Listing(provider)
        self._clock = clock
        self._log = log.bind(provider=config.name)
        self._poked = anyio.Event()

        self._asked = 0
        self._look_at: dict[str, float] = {}
        self._wanted: dict[str, bytes | None] = {}
        self._contradicted: set[str] = set()
        self._stubborn: dict[str, float] = {}
        self._missing: set[str] = set()
        self._passed: set[str] = set()
        self._walk_at = self._deep_at = self._blocked_until = 0.0
        self._failures = 0
        self._failing_since: float | None = None

    # --------------------------------------------------------------------------------------- the loop

    async def run(self, beat: Callable[[float], None]) -> None:
        """Polls for ever. `beat(seconds)` says that the loop lives, and by when it will say so again."""
        while True:
            if self._ledger.store.is_full:
                # What can be kept is kept for what is under way; the provider keeps the rest until then.
                beat(LONGEST_NAP * 5)
                await self._clock.sleep(STORE_PAUSE)
                continue
            try:
                again = await self.poll_once()
            except Damaged:
                raise
            except StoreError as error:
                self._log.error("the store refused; trying again", error=str(error))
                self._ledger.close()
                beat(LONGEST_NAP * 5)
                await self._clock.sleep(STORE_PAUSE)
                continue
            if again:
                beat(LONGEST_NAP * 5)
                continue
            nap = min(max(self._next_due() - self._clock.ticks(), 0.01), LONGEST_NAP)
            beat(nap + LONGEST_NAP * 5)
            with anyio.move_on_after(nap):
                await self._poked.wait()
            self._poked = anyio.Event()

    def poke(self, id: str | None = None, *, deep: bool = False) -> None:
        """Asks for a look now: at one job, at the head of the listing, or (`deep`) at all of it."""
        if id is not None:
            self._wanted.setdefault(id, None)
        else:
            self._walk_at = 0.0
            self._deep_at = 0.0 if deep else self._deep_at
        self._poked.set()

    async def poll_once(self) -> bool:
        """One round: what is due of the listing, then what is due of single jobs. True: go again at once."""
        if not self._ledger.is_open:
            self._asked = await self._ledger.open()
            self._listing.forget()
            self._passed.clear()
        await self._wake()
        if self._clock.ticks() < self._blocked_until:
            return False
        try:
            again = await self._walk()
            again = await self._ask() or again
        except StoreError:
            raise
        except ProviderError as error:
            await self._failed(error)
            return False
        except Exception as error:  # a guest: a provider's bug is that provider's trouble
            self._log.exception("the provider raised")
            await self._failed(ProviderError(f"{type(error).__name__} in the code of {self.config.kind!r}"))
            return False
        await self._well()
        return again or self._next_due() <= self._clock.ticks()

    def _next_due(self) -> float:
        """When (ticks) something is to be done next."""
        now, ticks = self._clock.now(), self._clock.ticks()
        wanted = (self._stubborn.get(id, ticks) for id in self._wanted)
        asks = min([self._walk_at, *self._look_at.values(), *wanted])
        wakes = (known.wake_at for known in self._ledger.active.values() if known.wake_at is not None)
        return min([max(asks, self._blocked_until), *(ticks + wake - now for wake in wakes)])

    # ------------------------------------------------------------------------------------- the listing

    async def _walk(self) -> bool:
        """Looks at the listing where that is due. True: the baseline is not complete yet."""
        ticks = self._clock.ticks()
        if self._ledger.state.baseline_at is None:
            return await self._baseline()
        if ticks < self._walk_at:
            return False
        deep = ticks >= self._deep_at
        await self._sweep(deep=deep)
        if deep:
            self._deep_at = ticks + DEEP
        pace = self.config.poll if self._is_crowded else self.config.discover
        self._walk_at = self._clock.ticks() + self._jittered(min(pace, self.config.discover))
        return False

    async def _baseline(self) -> bool:
        """One page more of the first complete listing; its place survives a restart."""
        state = self._ledger.state
        try:
            # Where its own bytes lead does not matter before everything has been seen once.
            self._listing.forget()
            page = await self._listing.page(state.cursor)
            self._good()
            assert isinstance(page, Page)
        except ProviderError as error:
            if error.missing and state.cursor is not None:
                await self._ledger.announce(Announcement(state=replace(state, cursor=None)))
                return True
            raise
        ended = await self._take(page, baseline=True)
        state = self._ledger.state
        if not ended and page.next is not None:
            if page.next in self._passed:
                raise ProviderError(CIRCLE)
            self._passed.add(page.next)
            await self._ledger.announce(Announcement(state=replace(state, cursor=page.next)))
            return True
        active, finished = await self._ledger.run(self._ledger.store.jobs.counts, self.config.name)
        # These pages were taken as a baseline, without a word on who stands on them.
        self._listing.forget()
        said = announce.watching(
            state,
            self.config.kind,
            active,
            finished,
            self._ledger.routing,
            self._clock.now(),
            tell=self.config.baseline == "summary",
        )
        await self._ledger.announce(said)
        self._log.info("watching", active=active, finished=finished)
        self._deep_at = self._clock.ticks() + DEEP
        self._walk_at = self._clock.ticks() + self._jittered(self.config.discover)
        return False

    async def _sweep(self, *, deep: bool) -> None:
        """Walks the listing from its head until nothing more is to be learned, or to its end (`deep`)."""
        anchor: str | None = None
        missed = set(self._ledger.active)
        seen: set[str | None] = set()
        try:
            while anchor not in seen:
                if len(seen) > PAGES:
                    raise ProviderError(f"the listing does not end within {PAGES:,} pages")
                seen.add(anchor)
                page, has_new = await self._listing.page(anchor), False
                self._good()
                if isinstance(page, Page):
                    page, has_new = await self._meet(anchor, page, missed)
                missed.difference_update(page.active)
                if page.next is None:
                    self._wanted.update(dict.fromkeys(missed - self._wanted.keys()))
                    self._listing.keep(seen)
                    return
                if not (deep or has_new or (missed and self._is_crowded)):
                    return
                anchor = page.next
        except ProviderError as error:
            if error.missing and anchor is not None:
                # The provider forgot the job that anchored a page: nothing follows but a new walk.
                self._listing.forget()
                self._walk_at = 0.0
                return
            raise
        raise ProviderError(CIRCLE)

    async def _meet(self, anchor: str | None, page: Page, missed: set[str]) -> tuple[Window, bool]:
        """Deals with a page whose bytes are new. Its window, and whether it held a job never seen before."""
        ids = self._listing.identified(page.entries)
        known = await self._ledger.run(self._ledger.store.jobs.fingerprints, self.config.name, list(ids))
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
        known = await self._ledger.run(self._ledger.store.jobs.load, self.config.name, list(ids))
        # Under a wider watch, what was ignored so far is looked at again, as part of the baseline.
        fresh = {id: raw for id, raw in ids.items() if id not in known or known[id].ignored}
        return await self._take_new(fresh, baseline=baseline and self.config.baseline != "all")

    async def _take_new(self, entries: dict[str, bytes], *, baseline: bool) -> bool:
        """First looks at jobs, taken from the list. True when one lies before the watched range."""
        horizon = self._clock.now() - self.config.since if self.config.since else None
        looks, ended = [], False
        for raw in reversed(entries.values()):  # oldest first, as they happened
            snapshot = self._listing.read(raw)
            if snapshot is None:
                continue
            if horizon is not None and snapshot.created_at is not None and snapshot.created_at < horizon:
                ended = True
                continue
            looks.append(self._look(snapshot.key, snapshot, listed=True, fingerprint=fingerprint(raw)))
        await self._integrate(looks, baseline=baseline)
        return ended

    async def _changed(self, entries: dict[str, tuple[bytes, bytes]]) -> None:
        """Entries of known jobs whose bytes are new: each asks for a retrieve, whose answer counts."""
        truth = self._provider.list_is_truth
        crowd = len(entries) + len(self._wanted) > CROWD
        looks = []
        for id, (raw, mark) in entries.items():
            if (truth or crowd) and id not in self._contradicted:
                snapshot = self._listing.read(raw)
                if snapshot is not None:
                    looks.append(self._look(snapshot.key, snapshot, listed=True, fingerprint=mark))
                    if truth or snapshot.status.is_terminal:
                        continue
            self._wanted[id] = mark
        await self._integrate(looks)

    # ------------------------------------------------------------------------------------- single jobs

    @property
    def _is_crowded(self) -> bool:
        """Whether the active jobs are so many that pages are the cheaper way to watch them."""
        return len(self._ledger.active) > max(1, min(FEW, self.config.rate * self.config.poll / 2))

    async def _ask(self) -> bool:
        """Asks for every single job that is due. True when more are waiting."""
        ticks = self._clock.ticks()
        pace = NOW_AND_AGAIN if self._is_crowded else self.config.poll
        for id in self._look_at.keys() - self._ledger.active.keys():
            del self._look_at[id]
        for id in self._ledger.active.keys() - self._look_at.keys():
            self._look_at[id] = ticks + (self._clock.luck() * pace if self._is_crowded else 0.0)
        held = [id for id, known in self._ledger.active.items() if known.held is not None]
        for id in held:
            self._look_at[id] = min(self._look_at[id], ticks + self.config.poll)
        late = sorted((id for id, at in self._look_at.items() if at <= ticks), key=self._look_at.__getitem__)
        wanted = [id for id in self._wanted if self._stubborn.get(id, ticks) <= ticks]
        ids = list(dict.fromkeys([*wanted, *late]))[:ROUND]
        if not ids:
            return False

        answers: dict[str, Look] = {}
        errors: dict[str, ProviderError] = {}
        gate = anyio.CapacityLimiter(AT_ONCE)

        async def one(id: str) -> None:
            async with gate:
                try:
                    look = await self._retrieve(id)
                    if look is not None:
                        answers[id] = look
                except ProviderError as error:
                    errors[id] = error

        async with anyio.create_task_group() as group:
            for id in ids:
                group.start_soon(one, id)

        for id in ids:
            self._look_at[id] = self._clock.ticks() + self._jittered(pace)
            if id in errors:
                self._stubborn[id] = self._look_at[id]
            else:
                self._stubborn.pop(id, None)
                self._wanted.pop(id, None)
        missing = {id for id, look in answers.items() if look.snapshot is None and id in self._ledger.active}
        self._missing = (self._missing - answers.keys()) | missing
        implausible = len(self._missing) >= MANY_MISSING and len(self._missing) * 2 > len(self._ledger.active)
        believed = [look for id, look in answers.items() if not (implausible and id in missing)]
        await self._integrate(believed)
        if implausible:
            raise ProviderError(
                f"{len(self._missing)} of {len(self._ledger.active)} active jobs vanished together:"
                " is this still the right key, project and base URL?",
                denied=True,
            )
        if errors and (not answers or any(error.denied for error in errors.values())):
            raise next(iter(errors.values()))
        for id, error in errors.items():
            self._log.warning("one job did not answer", job=id, error=error.reason)
        return bool(self._wanted) and not errors

    async def _retrieve(self, id: str) -> Look | None:
        """One look at one job; None when what came cannot be read."""
        self._asked = max(self._asked + 1, int(self._clock.now() * 1000))
        asked, mark = self._asked, self._wanted.get(id)
        key = JobKey(self.config.name, id)
        try:
            raw = await self._provider.retrieve(id)
        except NotFound:
            return Look(key=key, asked=asked, at=self._clock.now(), snapshot=None)
        self._good()
        snapshot = self._listing.read(raw)
        if snapshot is None:
            return None
        if snapshot.id != id:
            raise ProviderError(f"asked for job {id}, and was told about another one")
        return Look(key=key, asked=asked, at=self._clock.now(), snapshot=snapshot, fingerprint=mark)

    def _look(self, key: JobKey, snapshot: Snapshot, *, listed: bool, fingerprint: bytes) -> Look:
        self._asked = max(self._asked + 1, int(self._clock.now() * 1000))
        return Look(
            key=key,
            asked=self._asked,
            at=self._clock.now(),
            snapshot=snapshot,
            listed=listed and not self._provider.list_is_truth,
            fingerprint=fingerprint,
        )

    async def _wake(self) -> None:
        """Decides about jobs that wanted it by now although nothing came."""
        now = self._clock.now()
        awake = [
            known.snapshot.id
            for known in self._ledger.active.values()
            if known.wake_at is not None and known.wake_at <= now
        ]
        if awake:
            await self._ledger.take(dict.fromkeys(awake))

    async def _integrate(self, looks: Sequence[Look], *, baseline: bool = False) -> None:
        """Commits what these looks lead to. A job that a retrieve moved back shows that the list lies."""
        if not looks:
            return
        for decision in await self._ledger.take({look.key.id: look for look in looks}, baseline=baseline):
            for event in decision.events:
                before = event.data.previous_status or None
                if event.status and before and before.is_terminal and not event.status.is_terminal:
                    self._contradicted.add(event.data.id)

    # ------------------------------------------------------------------------------------- health

    def _good(self) -> None:
        """A whole answer came, whatever may fail after it."""
        self._failing_since = None

    async def _well(self) -> None:
        """After a round without failure: tells what could not be read, and that all is well again."""
        self._failures, self.problem = 0, None
        now, kind = self._clock.now(), self.config.kind
        if self._listing.unreadable:
            entries, self._listing.unreadable = self._listing.unreadable, {}
            said = announce.unreadable(self._ledger.state, kind, entries, self._ledger.routing, now)
            await self._ledger.announce(said)
        if self._ledger.state.degraded_at is not None:
            said = announce.recovered(self._ledger.state, kind, self._ledger.routing, now)
            await self._ledger.announce(said)

    async def _failed(self, error: ProviderError) -> None:
        """After a failed round: waits longer each time, and tells once when it lasts."""
        self._failures += 1
        if self._failing_since is None:
            self._failing_since = self._clock.ticks()
        self.problem = error.reason
        pause = backoff(self._failures, self._clock.luck())
        self._blocked_until = self._clock.ticks() + max(pause, min(error.retry_after or 0.0, HOUR))
        self._log.warning("no good look", error=error.reason, again_in=round(pause, 1))
        now, kind = self._clock.now(), self.config.kind
        if error.missing:
            await self._ledger.announce(
                announce.drifted(self._ledger.state, kind, error.reason, self._ledger.routing, now)
            )
        silent = self._clock.ticks() - self._failing_since
        if (error.denied or silent >= self.config.degraded_after) and self._ledger.state.degraded_at is None:
            said = announce.degraded(self._ledger.state, kind, error.reason, self._ledger.routing, now)
            await self._ledger.announce(said)

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.9 + 0.2 * self._clock.luck())
