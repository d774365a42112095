"""What one notifier takes to send, and what becomes of it: its claims, and how its receiver is.

How much is taken, and whether as one message, depends on whether the receiver answers; so both are here.
Nothing is sent here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

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
    SHORT_OUTAGE,
    SWEEP,
    Breaker,
    Claim,
    Outcome,
    Rejected,
    Sent,
    State,
    fold,
    settle,
    shifted,
    trip,
)
from ftwatch.core.event import Severity, decode
from ftwatch.core.route import Routing
from ftwatch.core.span import span
from ftwatch.dispatcher.courier import Try
from ftwatch.plugins import Memory, Notifier
from ftwatch.store import Batch, Damaged, Runner, Settled, Store, StoreError

__all__ = ["LEASE", "LONGEST_NAP", "Claims", "Taken"]

log = structlog.get_logger("ftwatch.dispatcher")

# How long nobody looks by himself whether something is due, and a probe may be under way (seconds).
LONGEST_NAP = 60.0
# How much longer than its own time-out a claim is held, so that nobody takes it while it is settled.
LEASE = 60.0
# So many messages about what was found out long after it happened make one digest, of at most so many.
CROWD, LARGEST_DIGEST = 20, 10_000
# Where nothing is amiss, a round takes so many at once, or so many for each place, which wait for one: one
# transaction is for many, and so is each who sends.
AHEAD, AHEAD_EACH = 128, 6


class Taken(Struct, frozen=True):
    """What is to be sent now (`is_digest`: as one), and what the notifier remembers of it, by lane.

    `is_full`: no more could be taken at once, so there may be more.
    """

    claims: Sequence[Claim] = ()
    memories: dict[str, Memory] = {}
    is_digest: bool = False
    is_full: bool = False


def _owed(told: Iterable[Announcement | None]) -> frozenset[str]:
    """The names of the notifiers that are to tell these."""
    return frozenset(one.notifier for said in told if said is not None for one in said.deliveries)


class Claims:
    """The claims of one notifier, of which each round takes up to `share` while its receiver is not well.

    `bell` is the dispatcher's. `stopping`: nothing more is to be taken.
    """

    def __init__(
        self,
        config: NotifierConfig,
        notifier: Notifier,
        store: Store,
        run: Runner,
        clock: Clock,
        *,
        routing: Routing,
        bell: Callable[[Collection[str]], None],
        share: int,
    ) -> None:
        self._config = config
        self._notifier = notifier
        self._store = store
        self._run = run
        self._clock = clock
        self._routing = routing
        self._bell = bell
        self._share = share
        self._log = log.bind(notifier=config.name)
        self._folds: int = getattr(notifier, "folds", 0)
        self._breaker: Breaker | None = None
        self._draining = False
        self._fold_until: float | None = None
        self.stopping = False

    @property
    def routing(self) -> Routing:
        """Who gets what, with the silences that stand at this moment."""
        return self._store.silences.over(self._routing)

    @property
    def only_probes(self) -> bool:
        """Whether the receiver is out of reach, so that only a probe may leave."""
        return self._breaker is not None and self._breaker.is_open

    @property
    def probe_at(self) -> float | None:
        """When the next probe may leave (Unix seconds), where only probes may."""
        return self._breaker.probe_at if self._breaker is not None else None

    def shift(self, seconds: float) -> None:
        """The machine's clock was set by so much; the store knows it already."""
        if self._breaker is not None:
            self._breaker = shifted(self._breaker, seconds)

    # ------------------------------------------------------------------------------------- taking

    async def take(self) -> Taken:
        """What to send now."""
        name, now = self._config.name, self._clock.now()
        outbox = self._store.outbox
        if self._breaker is None:
            self._breaker = await self._run(outbox.breaker, name)
        if self.stopping:
            return Taken()
        before = self._breaker
        probe, limit = before.is_open, self._share
        if probe:
            if now < (self._breaker.probe_at or 0.0) <= now + LONGEST_NAP:
                return Taken()
            self._breaker = msgspec.structs.replace(self._breaker, probe_at=now + LONGEST_NAP)
            limit = 1
        elif self._draining:
            # A receiver that has just come back is not to be drowned in what it missed.
            await self._clock.sleep(limit / self._config.retry.drain)
        elif self._folds <= 1 and before.failing_since is None:
            limit = max(AHEAD, AHEAD_EACH * self._notifier.concurrency)
        lease = self._notifier.timeout + LEASE
        after = self._config.retry.fold
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

        def take() -> Taken | None:
            if outbox.disabled(name) is not None:
                return None
            claims, is_digest = choose()
            lanes = {claim.delivery.lane for claim in (claims[:1] if is_digest else claims)}
            return Taken(claims, outbox.memory(name, list(lanes)), is_digest)

        breaker = self._breaker
        taken = await self._run(take)
        if taken is None:
            if self._breaker is breaker:
                self._breaker = before
            return Taken()
        if answers and len(taken.claims) < self._folds:
            self._fold_until = None
        is_full = len(taken.claims) == limit
        self._draining = self._draining and (taken.is_digest or is_full)
        return msgspec.structs.replace(taken, is_full=is_full)

    def _room(self, limit: int, now: float) -> int:
        """How many messages may leave now, where somebody wants no more than so many: the rest is gathered.

        Errors always may.
        """
        throttle = self._config.throttle
        if throttle is None:
            return limit
        count, seconds = throttle
        until = self._store.outbox.full_until(self._config.name, now, count, seconds)
        if until is not None:
            why = f"more than {count} messages in {span(seconds)}: held for one"
            self._store.outbox.gather(self._config.name, "throttle", why, until, now)
        # One at a time, since each of them may be the last one that there is room for.
        return 1

    # ------------------------------------------------------------------------------------- settling

    async def settle(self, tries: Sequence[Try], *, folded: Sequence[Claim] = ()) -> list[Settled]:
        """Settles finished tries in one transaction, and tries that again until the store takes it.

        `folded` are the other claims that went along in a digest. Returns what became of the tries.
        """
        now = self._clock.now()
        before = self._breaker or Breaker()
        breaker, batch, disabled = before, [], None
        for tried in tries:
            outcome = tried.result.outcome
            breaker = trip(breaker, outcome, now, self._config.retry)
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
                if self.stopping:
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
        meter, name, settled = self._store.meter, self._config.name, (*tries, *along)
        for outcome, times in Counter(done.outcome for done in tries).items():
            meter.attempts.add(name, outcome, times=times)
        for state, times in Counter(done.settlement.state for done in settled).items():
            if state is not State.PENDING:
                meter.deliveries.add(name, state, times=times)
        meter.attempt_seconds.add_each([done.took for done in tries], name)
        told = (State.DELIVERED, State.FOLDED)
        meter.delivery_seconds.add_each(
            [
                done.at + done.took - done.claim.delivery.created_at
                for done in settled
                if done.settlement.state in told and not done.claim.delivery.is_replay
            ],
            name,
        )

    def _health(self, before: Breaker, after: Breaker, outcome: Outcome, now: float) -> Announcement | None:
        """What others are told about this notifier: nothing arrives any more, or it does again."""
        name, routing = self._config.name, self.routing
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

    def _folded(self, claim: Claim, tried: Try, now: float) -> Settled:
        settlement = fold(claim.delivery, tried.claim.delivery.id, now)
        return Settled(claim=claim, settlement=settlement, outcome="folded", at=tried.at, took=tried.took)

    def _settled(self, tried: Try, outcome: Outcome, now: float) -> Settled:
        claim, delivery = tried.claim, tried.claim.delivery
        new = settle(delivery, outcome, self._config.retry, now, self._clock.luck(), probe=claim.probe)
        said: Announcement | None = None
        if new.state is State.DEAD:
            said = announce.dead(delivery, decode(claim.event), new, self.routing, now)
        facts = {"delivery": delivery.id, "type": tried.type, "took": round(tried.took, 3)}
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
        name = self._config.name
        said = announce.about_notifier(
            name, events.DISABLED, Severity.ERROR, reason, self.routing, now, link=f"{name}:{now}"
        )

        def commit() -> None:
            self._store.outbox.disable(name, reason)
            self._store.commit(Batch(announcements=[said]), now)

        await self._run(commit)
        return said
