"""One loop per notifier: due, send, settle. Decides nothing about jobs, knows no service.

When a round begins and what it does stands here; what is taken and what becomes of it in `claims`, how one
message is tried in `courier`. Within a round every claim belongs to another job's lane, so that order is kept
by the store alone; results are settled together as they come in.
"""

import math
from collections import deque
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import anyio
import structlog

from ftwatch.config import NotifierConfig
from ftwatch.core.clock import Clock
from ftwatch.core.delivery import SWEEP, Claim, Outcome, Retry, Sent
from ftwatch.core.event import decode
from ftwatch.core.route import Routing
from ftwatch.dispatcher.claims import LEASE, LONGEST_NAP, Claims, Taken
from ftwatch.dispatcher.courier import Courier, Try
from ftwatch.duties import Duties
from ftwatch.plugins import Notifier
from ftwatch.store import Damaged, Runner, Store, StoreError
from ftwatch.upkeep import Upkeep

if TYPE_CHECKING:
    from ftwatch.plots import Plots

__all__ = ["Dispatcher"]

log = structlog.get_logger("ftwatch.dispatcher")

# How many rounds of one notifier may overlap: a receiver that hangs on one job holds up only its round.
ROUNDS = 3
# Who has taken a message and finds no place after so many seconds gives it back: nobody is held up by who is
# slow.
PATIENCE = 5.0
# How long those that have ended wait for others of their round, to be settled with them (seconds).
GATHER = 0.05


def _blames_receiver(outcome: Outcome) -> bool:
    """Whether it says something about the next messages as well: the receiver fails, or wants no more."""
    return isinstance(outcome, Retry) or outcome.disable


class Dispatcher:
    """Delivers to one notifier. `bell` is rung with the names of those whom a settlement owes something.

    `remark` says of what was sent why it is not in the config's words, if that is so; `plots` draws the
    pictures, where the kind shows any.
    """

    def __init__(
        self,
        config: NotifierConfig,
        notifier: Notifier,
        store: Store,
        run: Runner,
        *,
        routing: Routing,
        clock: Clock,
        bell: Callable[[Collection[str]], None],
        remark: Callable[..., str] | None = None,
        plots: "Plots | None" = None,
    ) -> None:
        self.config = config
        self._notifier = notifier
        self._store = store
        self._run = run
        self._clock = clock
        self._log = log.bind(notifier=config.name)
        self._courier = Courier(config, notifier, store, run, clock, remark=remark, plots=plots)
        share = max(1, notifier.concurrency // ROUNDS)
        self._claims = Claims(config, notifier, store, run, clock, routing=routing, bell=bell, share=share)
        self._upkeep = Upkeep.of(config.name, notifier, store, run, clock)
        self._duties = Duties.of(config, store, routing)
        self._at_once = max(1, notifier.concurrency)
        self._places = anyio.Semaphore(self._at_once, fast_acquire=True)
        # How often the receiver was at fault: what was taken before that is not begun after it.
        self._faults = 0
        self._rings = 0
        self._resting: list[anyio.Event] = []
        self._looks_at = math.inf
        self._sooner = anyio.Event()

    # --------------------------------------------------------------------------------------- the loop

    async def run(self, beat: Callable[[float], None]) -> None:
        """Delivers until `stop`. `beat(seconds)` says that the loop lives, and when it will say so next."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            for _ in range(min(ROUNDS, self._notifier.concurrency)):
                group.start_soon(self._loop, beat)

    async def _loop(self, beat: Callable[[float], None]) -> None:
        while not self._claims.stopping:
            heard = self._rings
            try:
                again = await self.dispatch_once()
                nap = 0.0 if again else await self._nap()
            except Damaged:
                raise
            except StoreError as error:
                self._log.error("the store refused; trying again", error=str(error))
                nap = 5.0
            beat(nap + self._notifier.timeout + LEASE * 5)
            if nap and not self._claims.stopping and heard == self._rings:
                await self._rest(nap)

    async def _rest(self, seconds: float) -> None:
        """Waits until it is this one that is woken: by news, or in so many seconds by the watch."""
        at = anyio.current_time() + seconds
        if at < self._looks_at:
            self._looks_at = at
            self._sooner.set()
        woken = anyio.Event()
        self._resting.append(woken)
        await woken.wait()

    async def _watch(self) -> None:
        """Rings when something may be due: one look is enough for all loops, and one timer."""
        while not self._claims.stopping:
            self._sooner = anyio.Event()
            with anyio.move_on_after(self._looks_at - anyio.current_time()) as scope:
                await self._sooner.wait()
            if scope.cancelled_caught:
                self._looks_at = math.inf
                self.ring()

    def heeds(self, owed: Collection[str]) -> bool:
        """Whether it concerns this one that these notifiers are owed something new."""
        return self.config.name in owed or self._duties is not None

    def ring(self) -> None:
        """Something new may be due: one of those who rest looks, and wakes the next if there is more."""
        self._rings += 1
        if self._resting:
            self._resting.pop().set()

    def _ring_all(self) -> None:
        while self._resting:
            self.ring()
        self.ring()

    def shift(self, seconds: float) -> None:
        """The machine's clock was set by so much; the store knows it already."""
        self._claims.shift(seconds)
        self._ring_all()

    def stop(self) -> None:
        """Takes nothing more; what is under way is finished and settled."""
        self._claims.stopping = True
        self._sooner.set()
        self._ring_all()

    async def _nap(self) -> float:
        """How long nothing is due (seconds)."""
        name, now = self.config.name, self._clock.now()
        outbox, duties = self._store.outbox, self._duties

        def times() -> tuple[float | None, float | None] | None:
            if outbox.disabled(name) is not None:
                return None
            return outbox.next_due(name, now), duties.due_at(now) if duties is not None else None

        found = await self._run(times)
        if found is None:
            return LONGEST_NAP
        due, duty = found
        longest = LONGEST_NAP
        if duty is not None:
            longest = min(max(duty - now, 0.01), LONGEST_NAP)
        if self._upkeep is not None:
            longest = min(max(self._upkeep.due_at - now, 0.01), longest)
        if due is None:
            return longest
        if self._claims.probe_at is not None:
            due = max(due, self._claims.probe_at)
        return min(max(due - now, 0.01), longest)

    async def dispatch_once(self) -> bool:
        """One round: takes what is due, sends it, settles it. True: go again at once."""
        taken = await self._claims.take()
        if not taken.claims:
            return False if self._claims.stopping else await self._idle()
        if taken.is_full or self._looks_at == math.inf:
            # There may be more; or nobody has said yet when to look again, and this one may hang.
            self.ring()
        await (self._send_digest(taken) if taken.is_digest else self._send_each(taken))
        return not self._claims.only_probes

    async def _idle(self) -> bool:
        """What there is to do when nothing is due. True: something is, by now."""
        duties = self._duties
        if duties is not None and await self._run(duties.see_to, self._claims.routing, self._clock.now()):
            return True
        if self._upkeep is not None and not self._claims.only_probes:
            await self._upkeep.round()
        return False

    async def _send_each(self, taken: Taken) -> None:
        """Sends each claim on its own, as many at once as there are places, and settles what has ended.

        What ends at nearly the same time is settled together. Who waits for a place when the receiver fails,
        or when all are to stop, is given back untried.
        """
        claims, faults, patience = taken.claims, self._faults, self._clock.ticks() + PATIENCE
        bodies = await self._courier.freeze(claims)

        waiting = deque(claims)
        done: list[Try] = []
        untried: list[Claim] = []
        landed, all_landed = anyio.Event(), anyio.Event()

        async def work() -> None:
            async with self._places:
                while waiting:
                    claim = waiting.popleft()
                    if self._claims.stopping or self._faults != faults or self._clock.ticks() > patience:
                        untried.append(claim)
                    else:
                        memory = taken.memories.get(claim.delivery.lane, {})
                        tried = await self._courier.deliver(claim, memory, bodies.get(claim.seq))
                        self._faults += _blames_receiver(tried.result.outcome)
                        done.append(tried)
                    if not landed.is_set():
                        landed.set()
            if len(done) + len(untried) == len(claims):
                all_landed.set()

        settled = 0
        async with anyio.create_task_group() as group:
            if len(claims) == 1:
                await work()  # It holds up nobody, and leaves without a turn of the event loop.
            else:
                for _ in range(min(len(claims), self._at_once)):
                    group.start_soon(work)
            while settled + len(untried) < len(claims):
                await landed.wait()
                with anyio.move_on_after(GATHER):
                    await all_landed.wait()
                landed = anyio.Event()
                some = done[settled:]
                settled += len(some)
                if some:
                    with anyio.CancelScope(shield=True):  # what was sent must be known as sent
                        await self._claims.settle(some)
                if settled + len(untried) < len(claims):
                    self.ring()  # Of the same jobs more may leave now, while others of this round go on.
        if untried:
            with anyio.CancelScope(shield=True):
                await self._run(self._store.outbox.postpone, untried, 0.0)

    async def _send_digest(self, taken: Taken) -> None:
        """Sends all claims as one message. Where it fails, only the first one has been tried."""
        carrier, *others = claims = taken.claims
        memory = taken.memories.get(carrier.delivery.lane, {})
        bodies = [claim.event for claim in claims]
        # After an outage what was held for several reasons leaves together, and none of them is the reason.
        bundles = {claim.delivery.bundle for claim in claims}
        bundle = bundles.pop() if len(bundles) == 1 else None
        if bundle is not None and bundle.startswith(SWEEP):
            # What was told of it at once stands in its table, too.
            bodies += await self._run(self._store.sweeps.heralds, self.config.name, bundle)
        tried = await self._courier.attempt(carrier, [decode(body) for body in bodies], memory, None, bundle)
        arrived = isinstance(tried.result.outcome, Sent)
        with anyio.CancelScope(shield=True):
            (done,) = await self._claims.settle([tried], folded=others if arrived else ())
            if not arrived:
                await self._run(self._store.outbox.postpone, others, done.settlement.due_at)
