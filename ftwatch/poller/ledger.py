"""What one provider's looks lead to: decided and committed in one step, again where a race was lost.

Never asks a provider for anything.
"""

from collections.abc import Callable, Collection
from math import inf

import anyio.lowlevel
import structlog
from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core.announce import REMEMBERED, Announcement, ProviderState
from ftwatch.core.clock import Clock
from ftwatch.core.compare import LOSSES, Background, Runs, recipe
from ftwatch.core.decide import decide
from ftwatch.core.event import Event, Gap, digest
from ftwatch.core.flapping import Flapping
from ftwatch.core.hazard import Hazards
from ftwatch.core.job import Status
from ftwatch.core.known import Decision, Known, Look, Policy
from ftwatch.core.route import Routing
from ftwatch.core.rule import Rule
from ftwatch.core.watched import Watched, watched
from ftwatch.store import Batch, Runner, Store, StoreError

__all__ = ["Ledger"]

log = structlog.get_logger("ftwatch.poller")

# A lost race is decided again; more often than this means a bug, not a race.
RACES = 5
# By how much the wall clock may stray from the monotonic one before that counts (seconds).
STRAY = 5.0

NO_RUNS = Runs()


class Ledger:
    """A provider's side of the store. `active` holds the jobs that must still be asked about, by id.

    `wake_at` (Unix seconds): before then no job wants to be decided about that nothing is heard of; None:
    nobody does. `by_checkpoint`: a job's model is named in its last checkpoint.
    """

    def __init__(
        self,
        config: ProviderConfig,
        store: Store,
        run: Runner,
        *,
        routing: Routing,
        rules: tuple[Rule, ...],
        clock: Clock,
        bell: Callable[[Collection[str]], None],
        names_models: bool = True,
        by_checkpoint: bool = False,
    ) -> None:
        self.config = config
        self.store = store
        self.run = run
        self._routing = routing
        self.active: dict[str, Watched] = {}
        self.is_open = False
        self.wake_at: float | None = None
        self.state = ProviderState(name=config.name)
        self.names_models = names_models
        self.by_checkpoint = by_checkpoint
        self.rules = rules
        # How long its jobs are what they are before they change; read from the store once it matters.
        self.hazards: Hazards | None = None
        # When its provider could not be looked at, as long as this process remembers.
        self.gaps: tuple[Gap, ...] = ()
        self._clock = clock
        # Since when jobs that tell of themselves are heard, and how far the two clocks are apart.
        self._listens_since = clock.now()
        self._apart = clock.now() - clock.ticks()
        self._bell = bell
        self._log = log.bind(provider=config.name)

    @property
    def flapping(self) -> Flapping | None:
        """The rule about what comes and goes, if it is on."""
        return next((rule for rule in self.rules if isinstance(rule, Flapping)), None)

    @property
    def routing(self) -> Routing:
        """Who gets what, with the silences that stand at this moment."""
        return self.store.silences.over(self._routing)

    async def open(self) -> int:
        """Reads what was known before this process began; returns the highest order number of any look.

        Jobs that a wider `watch` lets in are no news: a new scope means a new baseline.
        """
        name, jobs = self.config.name, self.store.jobs
        if self.config.was:
            await self.run(self.store.rename, self.config.was, name)
        state = await self.run(jobs.provider, name)
        scope = digest(repr(self.config.watch), self.config.since)
        if state.scope != scope:
            state = replace(state, scope=scope, baseline_at=None, cursor=None)
        known = await self.run(jobs.active, name)
        self.active = {one.id: one for one in map(watched, known.values())}
        self.state, self.is_open = state, True
        await self.find_wake()
        self.was_deaf()
        return await self.run(jobs.last_asked, name)

    async def learn(self) -> Hazards:
        """How long its jobs are what they are before they change, by all that is known of them."""
        if self.hazards is None:
            self.hazards = Hazards()
            for status, seconds in await self.run(self.store.jobs.lives, self.config.name):
                self.hazards.lasted(status, seconds)
        return self.hazards

    async def find_wake(self, after: float = -inf) -> None:
        """Asks the store for `wake_at`, which may be too early by now; only for one after that time."""
        self.wake_at = await self.run(self.store.jobs.next_wake, self.config.name, after)

    def was_deaf(self) -> None:
        """Nobody could be heard until now."""
        self._listens_since = self._clock.now()

    def close(self) -> None:
        """Forgets what is in memory, after the store refused something: it is read again."""
        self.is_open = False

    async def take(self, looks: dict[str, Look | None], *, baseline: bool = False) -> list[Decision]:
        """Decides about looks (None: only time went by) and commits what follows; returns what was new."""
        decisions, over = await self.run(self._decide_and_commit, looks, baseline)
        owed = {delivery.notifier for decision in decisions for delivery in decision.deliveries}
        if owed:
            self._bell(owed)
        came = [look.at for look in looks.values() if look is not None]
        if decisions and came:
            self.store.meter.look_seconds.add(self._clock.now() - min(came), self.config.name)
        for id in over:
            # Somebody else may have forgotten it meanwhile.
            self.active.pop(id, None)
        for decision in decisions:
            known = decision.known
            if known is not None:
                if known.wake_at is not None:
                    self.wake_at = min(known.wake_at, inf if self.wake_at is None else self.wake_at)
                before = self.active.get(known.snapshot.id)
                if self.hazards is not None and before is not None and before.status is not known.latest:
                    self.hazards.lasted(before.status, self._clock.now() - before.since)
                if known.is_active:
                    one = watched(known, before)
                    self.active[one.id] = one
                else:
                    self.active.pop(known.snapshot.id, None)
        if owed:
            # Who delivers goes first: nothing is done here before they have what they ask the store for.
            await anyio.lowlevel.checkpoint()
            await self.run(_nothing)
        for decision in decisions:
            self._say(decision.events)
        if any(decision.words or decision.successors for decision in decisions):
            self.state = await self.run(self.store.jobs.provider, self.config.name)
        return decisions

    async def announce(self, said: Announcement) -> None:
        """Commits the provider's new state together with its events."""
        now = self._clock.now()

        def commit() -> ProviderState:
            self.store.commit(Batch(announcements=[said]), now)
            return self.store.jobs.provider(self.config.name)

        if said.state is None and not said.events:
            return
        self.state = await self.run(commit)
        self._say(said.events)
        if said.deliveries:
            self._bell({delivery.notifier for delivery in said.deliveries})

    def _decide_and_commit(
        self, looks: dict[str, Look | None], baseline: bool
    ) -> tuple[list[Decision], set[str]]:
        """Runs where the store runs, so that nothing comes between reading, deciding and writing.

        Returns what was new, and which of these jobs nobody need ask about.
        """
        words, successors = list(self.state.words), dict(self.state.successors)
        done: list[Decision] = []
        over: set[str] = set()
        waiting = dict(looks)
        for _ in range(RACES):
            now = self._clock.now()
            known = self.store.jobs.load(self.config.name, list(waiting))
            over |= {id for id, job in known.items() if not job.is_active}
            # What one job teaches is known to the next one of the same batch.
            policy = self._policy(baseline, list(words), dict(successors))
            policy = replace(policy, backgrounds=self._backgrounds(waiting, known) if not baseline else {})
            decisions = []
            for id, look in waiting.items():
                decision = decide(known.get(id), self._whole(look), policy, now)
                policy.words.extend(decision.words)
                policy.successors.update(decision.successors)
                if not _only_confirms(known.get(id), decision):
                    decisions.append(decision)
            learned = self._learned(policy)
            lost = self.store.commit(Batch(decisions=decisions, announcements=learned), now)
            for decision in decisions:
                job = decision.known
                if job is not None and not (lost and job.snapshot.key in lost):
                    done.append(decision)
                    words += decision.words
                    successors |= decision.successors
            waiting = {key.id: waiting[key.id] for key in lost}
            if not waiting:
                return done, over
        raise StoreError(f"could not agree with another writer about {len(waiting)} jobs")

    def _policy(self, baseline: bool, words: list[str], successors: dict[str, str]) -> Policy:
        apart = self._clock.now() - self._clock.ticks()
        if abs(apart - self._apart) > STRAY:
            # The time was set, or the machine slept.
            self._apart = apart
            self.was_deaf()
        return Policy(
            routing=self.routing,
            rules=self.rules,
            settle=self.config.settle,
            watch=self.config.watch,
            baseline=baseline,
            words=words,
            ends=self.state.ends or {},
            names_models=self.names_models,
            successors=successors,
            listens_since=self._listens_since,
            gaps=(*self.store.gaps.known, *self.gaps),
        )

    def _whole(self, look: Look | None) -> Look | None:
        """A look with what the store adds: what of its log is news, and the model that a checkpoint names."""
        if look is None or look.snapshot is None:
            return look
        if look.journal is not None:
            look = replace(look, journal=self.store.journals.news(look.key, look.journal))
        if self.by_checkpoint and look.snapshot is not None and look.snapshot.status is Status.SUCCEEDED:
            news = look.journal.checkpoints if look.journal is not None else ()
            saved = [*self.store.journals.saved(look.key), *news]
            last = max(saved, key=lambda one: (one.step or 0, one.at or 0), default=None)
            look = replace(look, saved=last)
        return look

    def _backgrounds(self, looks: dict[str, Look | None], known: dict[str, Known]) -> dict[str, Background]:
        """What the store knows of the jobs that may end now: their first figures, and runs like them."""
        found = {}
        # Runs that end together are often of one recipe.
        runs: dict[str | None, Runs] = {}
        for id, look in looks.items():
            before = known.get(id)
            held = before.held if before is not None else None
            job = look.snapshot if look is not None else held
            was_over = before is not None and held is None and before.snapshot.status.is_terminal
            if job is not None and job.status.is_terminal and not was_over:
                # Of a job whose log was never read there are no figures.
                is_logged = before is not None and before.logged
                first = self.store.journals.first(job.key, LOSSES) if is_logged else {}
                like = recipe(job)
                if like is not None and like not in runs:
                    runs[like] = self.store.jobs.earlier(job.provider, like)
                found[id] = Background(first=first, earlier=runs.get(like, NO_RUNS))
        return found

    def _learned(self, policy: Policy) -> list[Announcement]:
        """What these decisions taught about the provider, to be committed with them."""
        words = tuple(dict.fromkeys(policy.words))[-REMEMBERED:]
        successors = dict(list(policy.successors.items())[-REMEMBERED:])
        if words == self.state.words and successors == self.state.successors:
            return []
        return [Announcement(state=replace(self.state, words=words, successors=successors))]

    def _say(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.data.job:
                self._log.info(event.type, event_id=event.id, job=event.data.id, status=event.status)
            else:
                self._log.info(event.type, event_id=event.id, note=event.note)


def _nothing() -> None:
    """What the store is asked for by whoever only waits for its turn."""


def _only_confirms(known: Known | None, decision: Decision) -> bool:
    """Whether a decision says nothing that is not known already, so that nothing need be written."""
    new = decision.known
    if new is None:
        return True
    if decision.events or not decision.journal.is_empty:
        return False
    return known is not None and replace(new, asked=known.asked) == known
