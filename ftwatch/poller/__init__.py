"""One loop per provider: fetch, decide, commit. Knows no wire format, sends nothing.

A round is `Poller.poll_once`: it walks the listing when that is due, asks for single jobs, and commits every
page and every answer on its own, so that a failure half way loses only what had not been read yet. The loop
in `Poller.run` adds nothing but waiting.
"""

from collections.abc import Callable, Collection, Sequence
from math import inf

import anyio
import structlog
from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core.announce import Announcement
from ftwatch.core.clock import Clock
from ftwatch.core.event import digest
from ftwatch.core.retirements import TABLE
from ftwatch.core.route import Routing
from ftwatch.core.rule import Rule
from ftwatch.core.span import DAY, HOUR
from ftwatch.plugins import Heard, Provider, ProviderError, Retiring, Watching
from ftwatch.poller.agenda import Turn
from ftwatch.poller.health import Health
from ftwatch.poller.inquiry import Inquiry
from ftwatch.poller.ledger import Ledger
from ftwatch.poller.listing import Listing
from ftwatch.poller.walk import Walk
from ftwatch.store import Damaged, Runner, Store, StoreError

__all__ = ["Poller"]

log = structlog.get_logger("ftwatch.poller")

LONGEST_NAP = 60.0
# How long a store that refused something (a full disk) is left alone (seconds).
STORE_PAUSE = 5.0
# How long a stream of news that broke off is left alone.
STREAM_PAUSE = 10.0
# How many jobs that only time went by for, or rules changed, are decided about in one round.
WOKEN = 200


class Poller:
    """Watches one provider. `bell` is rung after a commit, with the names of whom it owes a delivery."""

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
        bell: Callable[[Collection[str]], None],
    ) -> None:
        self.config = config
        self._provider = provider
        self._retiring = provider if isinstance(provider, Retiring) else None
        self._is_heard = isinstance(provider, Heard)
        self._clock = clock
        self._log = log.bind(provider=config.name)
        self._ledger = Ledger(
            config,
            store,
            run,
            routing=routing,
            rules=(*rules, *getattr(provider, "rules", ())),
            clock=clock,
            bell=bell,
            names_models=getattr(provider, "names_models", True),
            by_checkpoint=getattr(provider, "model_from_checkpoint", False),
        )
        self._health = Health(config, self._ledger, clock)
        self._listing = Listing(provider)
        self._inquiry = Inquiry(config, provider, self._ledger, self._listing, clock, good=self._health.good)
        self._walk = Walk(
            config, provider, self._ledger, self._listing, self._inquiry, clock, good=self._listed_well
        )
        self._poked = anyio.Event()
        self._ends_at = 0.0
        self._mark = self._judged = ""
        # What finished jobs are judged by, but for what the provider says of its models.
        self._criteria = repr(self._ledger.rules), repr(TABLE)

    @property
    def problem(self) -> str | None:
        """What is wrong with the provider now, if anything is."""
        return self._health.problem

    @property
    def good_at(self) -> float | None:
        """When its last whole answer came (Unix seconds); None where none came since the start."""
        return self._health.good_at

    @property
    def next_look(self) -> float:
        """When it asks its provider next (Unix seconds), if nothing asks for it before."""
        return self._clock.now() + max(0.0, self._next_ask() - self._clock.ticks())

    # --------------------------------------------------------------------------------------- the loop

    async def run(self, beat: Callable[[float], None]) -> None:
        """Polls for ever. `beat(seconds)` says that the loop lives, and by when it will say so again."""
        async with anyio.create_task_group() as group:
            if isinstance(self._provider, Watching):
                group.start_soon(self._listen, self._provider)
            await self._poll(beat)

    async def _poll(self, beat: Callable[[float], None]) -> None:
        while True:
            if self._ledger.store.is_full:
                # What can be kept is kept for what is under way; the provider keeps the rest until then. Who
                # has no provider cannot be heard meanwhile.
                self._ledger.was_deaf()
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

    async def _listen(self, provider: Watching) -> None:
        """Looks at jobs as soon as the service says that something happened to them."""
        while True:
            try:
                async for id in provider.watch():
                    self.poke(id)
            except ProviderError as error:
                self._log.debug("the stream of news broke off", error=error.reason)
            except Exception:  # a guest: polling goes on without its news
                self._log.exception("the provider raised in its stream of news")
            await self._clock.sleep(STREAM_PAUSE)

    def poke(self, id: str | None = None, *, deep: bool = False) -> None:
        """Asks for a look now: at one job, at the head of the listing, or (`deep`) at all of it."""
        if id is not None:
            self._inquiry.agenda.ask_for([id])
        else:
            self._walk.hasten(deep=deep)
        self._poked.set()

    def hear(self, jobs: Sequence[str]) -> None:
        """A webhook told of these jobs: they are looked at now, and others less often while hooks come."""
        self._inquiry.hear(jobs)
        self._poked.set()

    def turns(self) -> dict[str, Turn]:
        """When each active job is looked at next (ticks), and why then."""
        return self._inquiry.agenda.turns(self._ledger.active)

    async def poll_once(self) -> bool:
        """One round: what is due of the listing, then what is due of single jobs. True: go again at once."""
        if not self._ledger.is_open:
            self._inquiry.reopen(await self._ledger.open())
            self._walk.reopen()
        woken = await self._wake()
        self._health.heard = False
        if self._clock.ticks() < self._health.blocked_until:
            return woken
        try:
            again = await self._walk.walk()
            again = await self._inquiry.ask() or again
            await self._ask_for_ends()
            again = await self._judge_anew() or again
        except StoreError:
            raise
        except ProviderError as error:
            await self._health.failed(error)
            return woken
        except Exception as error:  # a guest: a provider's bug is that provider's trouble
            self._log.exception("the provider raised")
            said = f"{type(error).__name__} in the code of {self.config.kind!r}"
            await self._health.failed(ProviderError(said))
            return woken
        if self._health.heard:
            unreadable, self._listing.unreadable = self._listing.unreadable, {}
            await self._health.well(unreadable, self._inquiry.logbook.drift())
        return again or woken or self._next_due() <= self._clock.ticks()

    def _listed_well(self) -> None:
        """The listing answered; that says little where the jobs themselves do not."""
        if not self._inquiry.agenda.owes:
            self._health.good()

    def _next_due(self) -> float:
        """When (ticks) something is to be done next."""
        now, ticks, wake_at = self._clock.now(), self._clock.ticks(), self._ledger.wake_at
        asks = self._next_ask()
        return min(asks, ticks + wake_at - now) if wake_at is not None else asks

    def _next_ask(self) -> float:
        """When (ticks) the provider is asked next."""
        return max(min(self._walk.at, self._inquiry.agenda.next_due()), self._health.blocked_until)

    async def _wake(self) -> bool:
        """Decides about jobs that wanted it by now although nothing came. True: there may be more."""
        now, ledger, jobs = self._clock.now(), self._ledger, self._ledger.store.jobs
        if ledger.wake_at is None or ledger.wake_at > now:
            return False
        awake = [id for id, job in ledger.active.items() if job.wake_at is not None and job.wake_at <= now]
        # Of those that have ended only the store knows; a model of theirs may end, too.
        awake += await ledger.run(jobs.waking, self.config.name, now, WOKEN)
        if self._is_heard:
            # What they told since the last look comes first: nobody is silent who was not listened to.
            heard = [id for id in awake if id in ledger.active]
            self._inquiry.agenda.ask_for(heard)
            awake = [id for id in awake if id not in ledger.active]
        decided = await ledger.take(dict.fromkeys(awake)) if awake else []
        await ledger.find_wake()
        if not decided and ledger.wake_at is not None and ledger.wake_at <= now:
            # Nobody had anything to say; whoever wanted to be asked now is not asked without end.
            await ledger.find_wake(now)
            ledger.wake_at = min(now + LONGEST_NAP, inf if ledger.wake_at is None else ledger.wake_at)
        return len(awake) >= WOKEN

    async def _judge_anew(self) -> bool:
        """Lets the rules look at finished jobs, some at a time, once they or what they go by have changed.

        True: there are more.
        """
        ledger, state = self._ledger, self._ledger.state
        mark = digest(*self._criteria, state.ends)
        if state.baseline_at is None or state.judged == mark:
            return False
        if self._retiring is not None and state.ends is None:
            # Judged without, models that are to end would seem not to.
            return False
        if self._mark != mark:
            self._mark, self._judged = mark, ""
        ids = await ledger.run(ledger.store.jobs.finished, self.config.name, self._judged, WOKEN)
        if ids:
            await ledger.take(dict.fromkeys(ids))
            self._judged = ids[-1]
            return True
        await ledger.announce(Announcement(state=replace(ledger.state, judged=mark)))
        return False

    async def _ask_for_ends(self) -> None:
        """Asks once a day when the provider's models end, where it says so."""
        if self._retiring is None or self._clock.ticks() < self._ends_at:
            return
        self._ends_at = self._clock.ticks() + DAY
        state = self._ledger.state
        try:
            ends = await self._retiring.retirements()
        except ProviderError as error:
            self._log.debug("no word on when models end", error=error.reason)
            self._ends_at = self._clock.ticks() + HOUR
            # The table of what is known goes on counting.
            ends = state.ends or {}
        if ends != state.ends:
            await self._ledger.announce(Announcement(state=replace(self._ledger.state, ends=ends)))
