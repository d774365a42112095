"""One loop per notifier: due, send, settle. Decides nothing about jobs, knows no service.

Within a round every claim belongs to another job's lane, so that order is kept by the store alone; results
are settled together as they come in. A notifier is a guest: whatever it raises is an outcome, not a crash.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import structlog
from msgspec import Struct

from ftwatch.config import NotifierConfig
from ftwatch.core import announce
from ftwatch.core import event as events
from ftwatch.core.announce import Announcement
from ftwatch.core.clock import Clock
from ftwatch.core.delivery import (
    OUTAGE_AFTER,
    REMINDER,
    SHORT_OUTAGE,
    SWEEP,
    Breaker,
    Claim,
    Outcome,
    Rejected,
    Retry,
    Sent,
    State,
    fold,
    settle,
    shifted,
    trip,
)
from ftwatch.core.event import Event, Severity, decode, encode, wire
from ftwatch.core.message import Picture
from ftwatch.core.route import Routing
from ftwatch.core.span import span
from ftwatch.duties import Duties
from ftwatch.log import redacted
from ftwatch.plugins import Memory, Notifier, Result
from ftwatch.store import Batch, Damaged, Runner, Settled, Store, StoreError
from ftwatch.upkeep import Upkeep

if TYPE_CHECKING:
    from ftwatch.plots import Plots

__all__ = ["Dispatcher"]

log = structlog.get_logger("ftwatch.dispatcher")

LONGEST_NAP = 60.0
# How much longer than its own time-out a claim is held, so that nobody takes it while it is settled.
LEASE = 60.0
# So many messages about what was found out long after it happened make one digest, of at most so many.
CROWD, LARGEST_DIGEST = 20, 10_000
# How many rounds of one notifier may overlap: a receiver that hangs on one job holds up only its round.
ROUNDS = 3
# Where nothing is amiss, a round takes so many at once: they wait here for a place, and one transaction is
# for many. Who has none after so many seconds is given back: nobody is held up by who is slow.
AHEAD, PATIENCE = 64, 5.0
# How long those that have ended wait for others of their round, to be settled with them (seconds).
GATHER = 0.01


# A picture, and why there is none although there should be.
_Drawn = tuple[Picture | None, str]


class _Taken(Struct, frozen=True):
    """What is to be sent now (`is_digest`: as one), and what the notifier remembers of it, by lane.

    `is_full`: no more could be taken at once, so there may be more.
    """

    claims: Sequence[Claim] = ()
    memories: dict[str, Memory] = {}
    is_digest: bool = False
    is_full: bool = False


class _Try(Struct, frozen=True):
    """One finished try."""

    claim: Claim
    event: Event
    result: Result
    at: float
    took: float


def _hushed(result: Result) -> Result:
    """The same with no secret in its reason: receivers repeat what they were sent, and reasons are kept."""
    outcome = result.outcome
    name = "note" if isinstance(outcome, Sent) else "reason"
    told = msgspec.structs.replace(outcome, **{name: redacted(getattr(outcome, name))})
    return Result(told, result.memory)


def _blames_receiver(outcome: Outcome) -> bool:
    """Whether it says something about the next messages as well: the receiver fails, or wants no more."""
    return isinstance(outcome, Retry) or outcome.disable


def _owed(told: Iterable[Announcement | None]) -> frozenset[str]:
    """The names of the notifiers that are to tell these."""
    return frozenset(one.notifier for said in told if said is not None for one in said.deliveries)


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
        self._routing = routing
        self._clock = clock
        self._bell = bell
        self._log = log.bind(notifier=config.name)
        self._remark = remark
        self._plots = plots if getattr(notifier, "shows_pictures", False) else None
        self._breaker: Breaker | None = None
        self._folds: int = getattr(notifier, "folds", 0)
        self._marks_replays: bool = getattr(notifier, "marks_replays", False)
        self._names_bundles: bool = getattr(notifier, "names_bundles", False)
        self._marks_repeats: bool = getattr(notifier, "marks_repeats", False)
        self._upkeep = Upkeep.of(config.name, notifier, store, run, clock)
        self._duties = Duties.of(config, store, routing)
        self._share = max(1, notifier.concurrency // ROUNDS)
        self._draining = False
        self._places = anyio.Semaphore(max(1, notifier.concurrency), fast_acquire=True)
        # How often the receiver was at fault: what was taken before that is not begun after it.
        self._faults = 0
        self._fold_until: float | None = None
        self._stopping = False
        self._rings = 0
        self._resting: list[anyio.Event] = []
        self._looks_at = math.inf
        self._sooner = anyio.Event()

    @property
    def routing(self) -> Routing:
        """Who gets what, with the silences that stand at this moment."""
        return self._store.silences.over(self._routing)

    # --------------------------------------------------------------------------------------- the loop

    async def run(self, beat: Callable[[float], None]) -> None:
        """Delivers until `stop`. `beat(seconds)` says that the loop lives, and when it will say so next."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch)
            for _ in range(min(ROUNDS, self._notifier.concurrency)):
                group.start_soon(self._loop, beat)

    async def _loop(self, beat: Callable[[float], None]) -> None:
        while not self._stopping:
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
            if nap and not self._stopping and heard == self._rings:
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
        while not self._stopping:
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
        if self._breaker is not None:
            self._breaker = shifted(self._breaker, seconds)
        self._ring_all()

    def stop(self) -> None:
        """Takes nothing more; what is under way is finished and settled."""
        self._stopping = True
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
        if self._breaker is not None and self._breaker.probe_at is not None:
            due = max(due, self._breaker.probe_at)
        return min(max(due - now, 0.01), longest)

    async def dispatch_once(self) -> bool:
        """One round: takes what is due, sends it, settles it. True: go again at once."""
        taken = await self._claim()
        if not taken.claims:
            return False if self._stopping else await self._idle()
        if taken.is_full or self._looks_at == math.inf:
            # There may be more; or nobody has said yet when to look again, and this one may hang.
            self.ring()
        await (self._send_digest(taken) if taken.is_digest else self._send_each(taken))
        return not (self._breaker and self._breaker.is_open)

    async def _idle(self) -> bool:
        """What there is to do when nothing is due. True: something is, by now."""
        duties = self._duties
        if duties is not None and await self._run(duties.see_to, self.routing, self._clock.now()):
            return True
        is_open = self._breaker is not None and self._breaker.is_open
        if self._upkeep is not None and not is_open:
            await self._upkeep.round()
        return False

    async def _send_each(self, taken: _Taken) -> None:
        """Sends each claim on its own, as many at once as there are places, and settles what has ended.

        What ends at nearly the same time is settled together. Who waits for a place when the receiver fails,
        or when all are to stop, is given back untried.
        """
        claims, faults, patience = taken.claims, self._faults, self._clock.ticks() + PATIENCE
        events = [decode(claim.event) for claim in claims]
        bodies = await self._freeze(claims, events)
        pairs = zip(claims, events, strict=True)
        pictures = [await self._picture(claim, event) for claim, event in pairs]

        done: list[_Try] = []
        untried: list[Claim] = []
        landed, all_landed = anyio.Event(), anyio.Event()

        async def one(claim: Claim, event: Event, body: bytes | None, drawn: _Drawn) -> None:
            memory = taken.memories.get(claim.delivery.lane, {})
            async with self._places:
                if self._stopping or self._faults != faults or self._clock.ticks() > patience:
                    untried.append(claim)
                else:
                    tried = await self._try(claim, [event], memory, body, claim.delivery.bundle, drawn)
                    self._faults += _blames_receiver(tried.result.outcome)
                    done.append(tried)
            landed.set()
            if len(done) + len(untried) == len(claims):
                all_landed.set()

        settled = 0
        async with anyio.create_task_group() as group:
            for claim, event, body, drawn in zip(claims, events, bodies, pictures, strict=True):
                group.start_soon(one, claim, event, body, drawn)
            while settled + len(untried) < len(claims):
                await landed.wait()
                with anyio.move_on_after(GATHER):
                    await all_landed.wait()
                landed = anyio.Event()
                some = done[settled:]
                settled += len(some)
                if some:
                    with anyio.CancelScope(shield=True):  # what was sent must be known as sent
                        await self._settle(some)
                if settled + len(untried) < len(claims):
                    self.ring()  # Of the same jobs more may leave now, while others of this round go on.
        if untried:
            with anyio.CancelScope(shield=True):
                await self._run(self._store.outbox.postpone, untried, 0.0)

    async def _send_digest(self, taken: _Taken) -> None:
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
        tried = await self._try(carrier, [decode(body) for body in bodies], memory, None, bundle)
        arrived = isinstance(tried.result.outcome, Sent)
        with anyio.CancelScope(shield=True):
            (done,) = await self._settle([tried], folded=others if arrived else ())
            if not arrived:
                await self._run(self._store.outbox.postpone, others, done.settlement.due_at)

    async def _picture(self, claim: Claim, event: Event) -> _Drawn:
        """The picture that goes along, and why there is none although there should be."""
        if self._plots is None or (claim.delivery.bundle or "").startswith(REMINDER):
            return None, ""
        return await self._plots.picture(event)

    # ------------------------------------------------------------------------------------- taking

    async def _claim(self) -> _Taken:
        """What to send now."""
        name, now = self.config.name, self._clock.now()
        outbox = self._store.outbox
        if self._breaker is None:
            self._breaker = await self._run(outbox.breaker, name)
        if self._stopping:
            return _Taken()
        before = self._breaker
        probe, limit = before.is_open, self._share
        if probe:
            if now < (self._breaker.probe_at or 0.0) <= now + LONGEST_NAP:
                return _Taken()
            self._breaker = msgspec.structs.replace(self._breaker, probe_at=now + LONGEST_NAP)
            limit = 1
        elif self._draining:
            # A receiver that has just come back is not to be drowned in what it missed.
            await self._clock.sleep(limit / self.config.retry.drain)
        elif self._folds <= 1 and before.failing_since is None:
            limit = AHEAD
        lease = self._notifier.timeout + LEASE
        after = self.config.retry.fold
        folds = self._folds > 1 and after is not None
        if folds and self._breaker.fails_for(after or 0.0, now):
            self._fold_until = now
        # Once it answers again, nothing of the backlog waits for the time that it was put off to.
        answers = self._breaker.failing_since is None

        def choose() -> tuple[list[Claim], bool]:
            room, until, most = self._room(limit, now), self._fold_until, self._folds
            if until is None and folds and outbox.late(name, now, most=CROWD) >= CROWD:
                # So much that was found out late is wanted in one piece; what a receiver's own outage has
                # piled up comes in as many as it takes to name it all.
                until, most = now, LARGEST_DIGEST
            if until is not None:
                due = outbox.next_due(name, now, news=True)
                if due is not None and (probe or answers or due <= now):
                    claims = outbox.backlog(name, now, until=until, limit=most, lease=lease)
                    if claims:
                        return claims, len(claims) > 1
            bundle = outbox.bundle_due(name, now) if self._folds > 1 else None
            if bundle is not None:
                claims = outbox.bundled(name, bundle, now, limit=LARGEST_DIGEST, lease=lease)
                return claims, len(claims) > 1 or bundle.startswith(SWEEP)
            return outbox.due(name, now, limit=room, lease=lease, probe=probe, loose=self._folds > 1), False

        def take() -> _Taken | None:
            if outbox.disabled(name) is not None:
                return None
            claims, is_digest = choose()
            lanes = {claim.delivery.lane for claim in (claims[:1] if is_digest else claims)}
            return _Taken(claims, outbox.memory(name, list(lanes)), is_digest)

        breaker = self._breaker
        taken = await self._run(take)
        if taken is None:
            if self._breaker is breaker:
                self._breaker = before
            return _Taken()
        if answers and len(taken.claims) < self._folds:
            self._fold_until = None
        is_full = len(taken.claims) == limit
        self._draining = self._draining and (taken.is_digest or is_full)
        return msgspec.structs.replace(taken, is_full=is_full)

    def _room(self, limit: int, now: float) -> int:
        """How many messages may leave now, where somebody wants no more than so many: the rest is gathered.

        Errors always may.
        """
        throttle = self.config.throttle
        if throttle is None:
            return limit
        count, seconds = throttle
        until = self._store.outbox.full_until(self.config.name, now, count, seconds)
        if until is not None:
            why = f"more than {count} messages in {span(seconds)}: held for one"
            self._store.outbox.gather(self.config.name, "throttle", why, until, now)
        # One at a time, since each of them may be the last one that there is room for.
        return 1

    async def _freeze(self, claims: Sequence[Claim], events: Sequence[Event]) -> list[bytes | None]:
        """The bytes that every try of a claim sends, stored before the first one where they are its own.

        A notifier that sends the wire form as it is gets the very bytes that were committed with the event,
        which outlive any change of the encoder; a relayed webhook's stand in the event itself. Nothing need
        be stored twice for that.
        """
        bodies: list[bytes | None] = []
        new: list[tuple[Claim, bytes]] = []
        for claim, event in zip(claims, events, strict=True):
            body = claim.body
            if body is None:
                try:
                    body = self._notifier.freeze(event)
                except Exception:  # a guest: `send` will fail in turn, and say how
                    self._log.exception("freezing failed", event_id=event.id)
                if body is not None and (body == claim.event or body == encode(event)):
                    body = claim.event
                elif body is not None and body != wire(event):
                    new.append((claim, body))
            bodies.append(body)
        if new:
            await self._run(self._store.outbox.freeze, new)
        return bodies

    # ------------------------------------------------------------------------------------- sending

    async def _try(
        self,
        claim: Claim,
        events: Sequence[Event],
        memory: Memory,
        body: bytes | None,
        bundle: str | None,
        drawn: _Drawn = (None, ""),
    ) -> _Try:
        """One try under one deadline. Never raises, but is cancelled with the daemon."""
        at, begun = self._clock.now(), self._clock.ticks()
        timeout, tried = self._notifier.timeout, self._store.meter.tried
        tried[self.config.name] = max(tried.get(self.config.name, 0.0), begun + timeout)
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
        result: Result | None = None
        try:
            with anyio.move_on_after(timeout) as scope:
                result = await self._notifier.send(events, memory, body=body, **more)
            if result is None or scope.cancelled_caught:
                result = Result(Retry(f"no end within {timeout:g} s", unreachable=True))
        except Exception as error:  # a guest may not crash the house
            self._log.exception("the notifier raised", event_id=claim.delivery.event_id)
            result = Result(Retry(f"{type(error).__name__} in the code of {self.config.kind!r}"))
        outcome = result.outcome
        if isinstance(outcome, Sent) and not outcome.idle:
            plain = self._remark(*events) if self._remark is not None else ""
            missing = f"without its picture: {undrawn}" if undrawn else ""
            said = "; ".join(filter(None, (outcome.note, plain, missing)))
            result = Result(msgspec.structs.replace(outcome, note=said), result.memory)
        return _Try(claim, events[0], _hushed(result), at, self._clock.ticks() - begun)

    # ------------------------------------------------------------------------------------- settling

    async def _settle(self, tries: Sequence[_Try], *, folded: Sequence[Claim] = ()) -> list[Settled]:
        """Settles finished tries in one transaction, and tries that again until the store takes it.

        `folded` are the other claims that went along in a digest. Returns what became of the tries.
        """
        now = self._clock.now()
        before = self._breaker or Breaker()
        breaker, batch, disabled = before, [], None
        for tried in tries:
            outcome = tried.result.outcome
            breaker = trip(breaker, outcome, now, self.config.retry)
            done = self._settled(tried, outcome, now)
            batch.append(done)
            over = done.settlement.state is not State.PENDING
            if isinstance(outcome, Sent | Rejected) and outcome.disable and over:
                disabled = done.settlement.reason or "it asked for no more messages"
        along = [self._folded(claim, tries[0], now) for claim in folded]
        said = self._health(before, breaker, tries[-1].result.outcome, now)
        if said is not None and not breaker.told and breaker.failing_since is not None:
            breaker = msgspec.structs.replace(breaker, told=tuple(one.notifier for one in said.deliveries))
        is_back = before.fails_for(SHORT_OUTAGE, now) and breaker.failing_since is None
        changed = breaker if breaker != before else None
        self._draining = self._draining or is_back
        self._breaker = breaker

        def commit() -> None:
            self._store.settle([*batch, *along], changed, now, said=said, hasten=is_back)

        while True:
            try:
                await self._run(commit)
                self._count(batch, along)
                break
            except Damaged:
                raise
            except StoreError as error:
                if self._stopping:
                    self._log.error("could not settle; it will be sent again", error=str(error))
                    break
                self._log.error("could not settle; trying again", error=str(error))
                await self._clock.sleep(2)
        told = [said, *(done.announcement for done in batch)]
        if disabled is not None:
            told.append(await self._switch_off(disabled, now))
        owed = _owed(told)
        if owed:
            self._bell(owed)
        return batch

    def _count(self, tries: Sequence[Settled], along: Sequence[Settled]) -> None:
        """Counts what was settled; `along` went out as lines of a digest, without a try of their own."""
        meter, name = self._store.meter, self.config.name
        for done in tries:
            meter.attempts.add(name, done.outcome)
            meter.attempt_seconds.add(done.took, name)
        for done in (*tries, *along):
            state, delivery = done.settlement.state, done.claim.delivery
            if state is not State.PENDING:
                meter.deliveries.add(name, state)
            if state in (State.DELIVERED, State.FOLDED) and not delivery.is_replay:
                meter.delivery_seconds.add(done.at + done.took - delivery.created_at, name)

    def _health(self, before: Breaker, after: Breaker, outcome: Outcome, now: float) -> Announcement | None:
        """What others are told about this notifier: nothing arrives any more, or it does again."""
        name, routing = self.config.name, self.routing
        if after.fails_for(OUTAGE_AFTER, now) and after.told is None and not isinstance(outcome, Sent):
            since = span(now - (after.failing_since or now))
            note = f"nothing has arrived for {since}: {outcome.reason}"
            return announce.about_notifier(
                name, events.FAILING, Severity.WARNING, note, routing, now, link=f"{name}:{now}"
            )
        if before.told is not None and after.failing_since is None and before.failing_since is not None:
            note = f"after {span(now - before.failing_since)}"
            return announce.about_notifier(
                name,
                events.ENABLED,
                Severity.NOTICE,
                note,
                routing,
                now,
                link=f"{name}:{now}",
                also=before.told,
            )
        return None

    def _folded(self, claim: Claim, tried: _Try, now: float) -> Settled:
        settlement = fold(claim.delivery, tried.claim.delivery.id, now)
        return Settled(claim=claim, settlement=settlement, outcome="folded", at=tried.at, took=tried.took)

    def _settled(self, tried: _Try, outcome: Outcome, now: float) -> Settled:
        claim, delivery = tried.claim, tried.claim.delivery
        new = settle(delivery, outcome, self.config.retry, now, self._clock.luck(), probe=claim.probe)
        said: Announcement | None = None
        if new.state is State.DEAD:
            said = announce.dead(delivery, tried.event, new, self.routing, now)
        facts = {"delivery": delivery.id, "type": tried.event.type, "took": round(tried.took, 3)}
        if isinstance(outcome, Sent):
            self._log.info("delivered", **facts)
        else:
            wait = None if said else round(new.due_at - now, 1)
            self._log.warning(new.state, reason=new.reason, again_in=wait, attempts=new.attempts, **facts)
        return Settled(
            claim=claim,
            settlement=new,
            outcome=type(outcome).__name__.lower(),
            at=tried.at,
            took=tried.took,
            memory=tried.result.memory,
            announcement=said if said and said.events else None,
        )

    async def _switch_off(self, reason: str, now: float) -> Announcement:
        """The receiver asked never to be called again: said once, and kept until somebody retries by hand."""
        name = self.config.name
        said = announce.about_notifier(
            name, events.DISABLED, Severity.ERROR, reason, self.routing, now, link=f"{name}:{now}"
        )

        def commit() -> None:
            self._store.outbox.disable(name, reason)
            self._store.commit(Batch(announcements=[said]), now)

        await self._run(commit)
        return said
