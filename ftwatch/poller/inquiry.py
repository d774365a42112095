"""Asking for single jobs: their documents and their logs, and committing what comes of both.

Each answer becomes a look. Which jobs are due is the agenda's affair, which of them the listing shows the
walk's.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

import structlog
from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core.clock import Clock
from ftwatch.core.decide import is_forward
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Journal
from ftwatch.core.known import Look
from ftwatch.core.watched import Watched
from ftwatch.plugins import Heard, NotFound, Provider, ProviderError, Pushed
from ftwatch.poller.abreast import abreast
from ftwatch.poller.agenda import Agenda
from ftwatch.poller.ear import Ear
from ftwatch.poller.ledger import Ledger
from ftwatch.poller.listing import Listing, fingerprint
from ftwatch.poller.logbook import Logbook

__all__ = ["FEW", "Inquiry"]

log = structlog.get_logger("ftwatch.poller")

# Up to this many active jobs are asked for one by one; more are watched through the listing.
FEW = 20
# How many jobs are asked for in one round, and how many of these at once.
ROUND, AT_ONCE = 32, 8
# So many jobs vanishing together, and more than half, are no vanished jobs but a broken account.
MANY_MISSING = 5
# How seldom the log of a job that goes on running is asked for (seconds).
LOG_PACE = 60.0
# How often a changed job's log may fail before the change is told without it.
PATIENCE = 3


class Inquiry:
    """Single jobs of one provider. `contradicted` are those about which the listing was seen to lie."""

    def __init__(
        self,
        config: ProviderConfig,
        provider: Provider,
        ledger: Ledger,
        listing: Listing,
        clock: Clock,
        *,
        good: Callable[[], None],
    ) -> None:
        """`good` is told of every whole answer."""
        self.agenda = Agenda(config.poll, clock, rate=config.rate)
        self.logbook = Logbook(provider, wanted=config.job_log)
        self.contradicted: set[str] = set()
        self._ear = Ear(clock)
        # Hooks of runs without an API are all that is heard of them, and no word on others.
        self._is_pushed = isinstance(provider, Pushed)
        # To ask whether it is one takes as long as to read an answer.
        self._hears = provider if isinstance(provider, Heard) else None
        self._config = config
        self._provider = provider
        self._ledger = ledger
        self._listing = listing
        self._clock = clock
        self._good = good
        self._log = log.bind(provider=config.name)
        self._asked = 0
        self._missing: set[str] = set()
        self._logless: dict[str, int] = {}
        self._log_at: dict[str, float] = {}
        # Ended jobs of which nothing is known yet but that they exist.
        self._unmet: set[str] = set()
        # What the listing shows those to be that it asks for.
        self._shown: dict[str, Status] = {}

    def reopen(self, asked: int) -> None:
        """The store was read anew; `asked` is the highest order number of any look in it."""
        self._asked = asked
        self._unmet.clear()
        self._shown.clear()
        self.logbook.forget_all()

    @property
    def is_crowded(self) -> bool:
        """Whether the active jobs are so many that pages of the listing are the cheaper way to watch them.

        Where the listing is the truth, one page is as good as a look at each of its jobs.
        """
        active, pages = len(self._ledger.active), max(1, self._listing.span(self._ledger.active.keys()))
        if self._provider.list_is_truth:
            return active > pages
        return active > max(pages, 1, min(FEW, self._config.rate * self._config.poll / 2))

    def hear(self, jobs: Sequence[str]) -> None:
        """A webhook told of these jobs."""
        if not self._is_pushed:
            self._ear.heard(jobs)
        self.agenda.ask_for(jobs)

    def listed(self, id: str, mark: bytes, status: Status | None) -> None:
        """The listing shows a job with bytes that are new (`mark`); its look settles them."""
        self.agenda.listed(id, mark)
        if status is not None:
            self._shown[id] = status

    # ------------------------------------------------------------------------------------------- asking

    async def ask(self) -> bool:
        """Asks for every single job that is due. True when more are waiting. Raises ProviderError."""
        active, crowded = self._ledger.active, self.is_crowded
        self.agenda.plan(active, crowded=crowded, relaxed=self._ear.is_relied_on)
        # In a crowd the pages of the listing have their turn after a few of them.
        limit = max(1, min(ROUND, int(self._config.rate))) if crowded else ROUND
        begun = self.agenda.begin(self.agenda.due(limit))
        if not begun:
            return False
        answers: dict[str, Look] = {}
        # Runs that push say at every step how far they are. That alone is told as often as it is of others.
        calm = {id for id in begun if self._is_pushed and not self.agenda.has_turn(id)}

        async def one(id: str) -> None:
            look = await self._retrieve(id, begun[id])
            if look is not None:
                answers[id] = replace(look, calm=id in calm)

        errors = await self._at_once(begun, one)
        missing = {id for id, look in answers.items() if look.snapshot is None and id in active}
        self._missing = ((self._missing - answers.keys()) | missing) & active.keys()
        implausible = len(self._missing) >= MANY_MISSING and len(self._missing) * 2 > len(active)
        told = len(active)
        await self.integrate([look for id, look in answers.items() if not (implausible and id in missing)])
        # Their own turns stay where they are.
        turned = {id: mark for id, mark in begun.items() if id not in calm or id in errors}
        listed = self._listing.shown(turned) if crowded else frozenset()
        self.agenda.done(turned, errors, answers, self._ledger.active, listed)
        for id in begun:
            if id not in active:
                self._log_at.pop(id, None)
                self._logless.pop(id, None)
        if implausible:
            raise ProviderError(
                f"{len(self._missing)} of {told} active jobs vanished together:"
                " is this still the right key, project and base URL?",
                denied=True,
            )
        if errors and (not answers or any(error.denied for error in errors.values())):
            raise next(iter(errors.values()))
        for id, error in errors.items():
            self._log.warning("one job did not answer", job=id, error=error.reason)
        return bool(self.agenda.waiting) and not errors

    async def _at_once(
        self, ids: Iterable[str], ask: Callable[[str], Awaitable[None]]
    ) -> dict[str, ProviderError]:
        """Asks about several jobs, some at a time; which of them failed, and how."""
        asked = list(ids)
        answers = await abreast([partial(ask, id) for id in asked], AT_ONCE)
        errors: dict[str, ProviderError] = {}
        for id, answer in zip(asked, answers, strict=True):
            if isinstance(answer, ProviderError):
                errors[id] = answer
            elif answer is not None:
                raise answer
        return errors

    async def _retrieve(self, id: str, mark: bytes | None) -> Look | None:
        """One look at one job; None when what came cannot be read."""
        asked, key = self._next(), JobKey(self._config.name, id)
        known, shown = self._ledger.active.get(id), self._shown.pop(id, None)
        try:
            if self.logbook.asks and known is not None and shown not in (None, known.status):
                (raw, snapshot), early = await self._with_log(id)
            else:
                (raw, snapshot), early = await self._document(id), None
        except NotFound:
            return Look(key=key, asked=asked, at=self._clock.now(), snapshot=None)
        if snapshot is None:
            return None
        if snapshot.id != id:
            raise ProviderError(f"asked for job {id}, and was told about another one")
        # After the document, never before: a log that knows more can wait, one that knows less cannot. But
        # the listing's word is as good: if it was the same, the log that was asked for after it knows enough.
        if early is not None and snapshot.status is not shown:
            self.logbook.unread(id)
            early = None
        journal = self.logbook.told(raw)
        is_news = id in self._unmet
        if known is not None:
            # Of a success that is held back nothing was told yet.
            is_news = is_news or known.is_held or snapshot.status is not known.status
        if self._wants_log(id, known, snapshot, is_news=is_news):
            read = await self._read_log(id, is_news=is_news, early=early)
            if read is not None:
                journal = read if journal is None else journal.joined(read)
        self._unmet.discard(id)
        return Look(
            key=key,
            asked=asked,
            at=self._clock.now(),
            snapshot=snapshot,
            fingerprint=mark,
            journal=journal,
            heard_at=self._heard_at(raw),
        )

    def _heard_at(self, raw: bytes) -> float | None:
        return self._hears.heard_at(raw) if self._hears is not None else None

    # --------------------------------------------------------------------------------------------- logs

    def _wants_log(self, id: str, known: Watched | None, snapshot: Snapshot, *, is_news: bool) -> bool:
        """Whether the job's log may say something new: its state changed, or it runs and was not read lately.

        What waits has nothing to say that its state does not.
        """
        if not self.logbook.asks or (known is None and snapshot.status.is_terminal and not is_news):
            return False
        ticks = self._clock.ticks()
        runs = snapshot.status not in (Status.VALIDATING_FILES, Status.QUEUED)
        if not is_news and not (runs and ticks >= self._log_at.get(id, 0.0)):
            return False
        self._log_at[id] = ticks + max(LOG_PACE, self._config.poll)
        return True

    async def _document(self, id: str) -> tuple[bytes, Snapshot | None]:
        """A job's document, and the job in it where that can be read. Raises ProviderError, NotFound."""
        raw = await self._provider.retrieve(id)
        self._good()
        return raw, self._listing.read(raw)

    async def _with_log(self, id: str) -> tuple[tuple[bytes, Snapshot | None], Journal | Exception]:
        """A job's document, and what its log came to that was asked for at the same time.

        Raises what asking for the document does.
        """
        asks: list[Callable[[], Awaitable[Any]]] = [
            partial(self._document, id),
            partial(self.logbook.read, id, partial(self._read_before, id)),
        ]
        document, log = await abreast(asks)
        if isinstance(document, Exception):
            raise document
        return document, log

    async def _read_before(self, id: str) -> set[str]:
        return await self._ledger.run(self._ledger.store.journals.keys, JobKey(self._config.name, id))

    async def _read_log(
        self, id: str, *, is_news: bool, early: Journal | Exception | None = None
    ) -> Journal | None:
        """What is new in a job's log; None where it cannot be had. `early`: it was asked for already.

        A change is not told without its log before that has failed several times. Raises ProviderError.
        """
        try:
            if isinstance(early, Exception):
                raise early
            read = early or await self.logbook.read(id, partial(self._read_before, id))
        except ProviderError as error:
            failed = self._logless[id] = self._logless.get(id, 0) + 1
            if is_news and failed < PATIENCE:
                raise
            self._log.warning("the log of a job cannot be read", job=id, error=error.reason)
            return None
        self._logless.pop(id, None)
        return read

    async def with_logs(self, looks: Sequence[Look]) -> list[Look]:
        """First looks at jobs that have ended already, with what their logs prove of their lives.

        Those whose logs do not answer are left out, and asked for on their own.
        """
        ended = {look.key.id for look in looks if look.snapshot and look.snapshot.status.is_terminal}
        if not self.logbook.asks or not ended:
            return list(looks)
        found: dict[str, Journal] = {}

        async def one(id: str) -> None:
            journal = await self._read_log(id, is_news=True)
            if journal is not None:
                found[id] = journal

        failed = await self._at_once(ended, one)
        self._unmet.update(failed)
        self.agenda.ask_for(failed)
        return [
            replace(look, journal=found[look.key.id]) if look.key.id in found else look
            for look in looks
            if look.key.id not in failed
        ]

    # ------------------------------------------------------------------------------------------- looks

    def look(self, snapshot: Snapshot, raw: bytes, journal: Journal | None = None) -> Look:
        """A look at a job that a listing showed, in these bytes."""
        return Look(
            key=snapshot.key,
            asked=self._next(),
            at=self._clock.now(),
            snapshot=snapshot,
            listed=not self._provider.list_is_truth,
            fingerprint=fingerprint(raw),
            journal=journal,
            heard_at=self._heard_at(raw),
        )

    def _next(self) -> int:
        """The order number of a look that is asked for now."""
        now = int(self._clock.now() * 1000)
        self._asked = now if now > self._asked else self._asked + 1
        return self._asked

    async def integrate(self, looks: Sequence[Look], *, baseline: bool = False) -> None:
        """Commits what these looks lead to. A job that a retrieve moved back shows that the list lies."""
        if not looks:
            return
        decisions = await self._ledger.take({look.key.id: look for look in looks}, baseline=baseline)
        self.logbook.kept([look.key.id for look in looks if look.journal is not None])
        for decision in decisions:
            if decision.successors:
                self.agenda.ask_for(decision.successors)
            for event in decision.events:
                status, before = event.status, event.data.previous_status
                if status is None:
                    continue
                if status.is_terminal and not baseline:
                    self._ear.ended(event.data.id)
                if before and not is_forward(before, status):
                    self.contradicted.add(event.data.id)
