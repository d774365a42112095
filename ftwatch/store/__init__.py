"""What is remembered: jobs, events, deliveries, in one database; plain synchronous code, no policy.

Everything that must be true together is committed together, by `Store.commit` and `Outbox.settle`. Callers
run this code through a `Runner`: a worker thread in the daemon, inline in a simulation.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Literal, Protocol, TypeVar, TypeVarTuple

from msgspec import Struct

from ftwatch.core.announce import Announcement
from ftwatch.core.delivery import Breaker
from ftwatch.core.event import encode, is_late, is_mere_progress
from ftwatch.core.job import JobKey
from ftwatch.core.known import Decision
from ftwatch.meter import Meter
from ftwatch.store.acks import Acks
from ftwatch.store.census import Census, Waiting
from ftwatch.store.failure import Damaged, Full, Locked, StoreError, TooNew
from ftwatch.store.gaps import Gaps
from ftwatch.store.history import History
from ftwatch.store.inbound import Inbound
from ftwatch.store.jobs import Jobs
from ftwatch.store.journal import Journals
from ftwatch.store.listing import Listing
from ftwatch.store.oblivion import Forgotten, forget_job, forget_provider
from ftwatch.store.outbox import Outbox, Settled
from ftwatch.store.place import Room
from ftwatch.store.reminders import Reminders
from ftwatch.store.reports import Reports
from ftwatch.store.silences import Kept, Silences
from ftwatch.store.sqlite import Database
from ftwatch.store.sweeps import Sweeps

__all__ = [
    "Batch",
    "Census",
    "Damaged",
    "Database",
    "Forgotten",
    "Full",
    "Kept",
    "Locked",
    "Receipt",
    "Room",
    "Runner",
    "Settled",
    "Store",
    "StoreError",
    "TooNew",
    "Waiting",
    "inline",
]

# How many pages of write-ahead log are allowed on a full disk.
SPARE_FRAMES = 16

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Runner(Protocol):
    """Runs one function of the store and waits for it; never two at once."""

    async def __call__(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """What `function(*args)` returns."""
        ...


async def inline(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """The runner that runs at once, on the event loop: for simulations and short commands."""
    return function(*args)


def _nobody() -> None:
    """Nobody listens."""


class Batch(Struct, frozen=True, kw_only=True):
    """What one round of a poller found out, to be committed at once."""

    decisions: Sequence[Decision] = ()
    announcements: Sequence[Announcement] = ()


class Receipt(Struct, frozen=True, kw_only=True):
    """A verified webhook. `id` is the sender's own, by which it is taken once (None: as often as it comes).

    `said` is what follows for others, `mail` what jobs told of themselves: each job's id, and how its
    document follows from the one before.
    """

    provider: str
    id: str | None
    type: str
    said: Announcement | None = None
    mail: Sequence[tuple[str, Callable[[bytes | None], bytes]]] = ()


class Store:
    """The whole store. `jobs`, `journals` and `outbox` serve the two loops, `history` people's questions,
    `census` those of probes.

    `listing` answers those that go page by page; `inbound` keeps what came in by webhook, `silences` and
    `acks` what people asked for, `reminders` whom to tell of what lasts, `sweeps`
    lets sweeps leave, `reports` makes reports, `gaps` are the times in which nobody looked.
    `meter` counts what this process commits, and whoever holds the store counts there, too, what it did to
    that end; `bell` is rung, by whoever commits, once there are new events.
    """

    def __init__(self, path: Path, *, mode: Literal["write", "read"] = "write") -> None:
        """Raises StoreError (Locked, TooNew) with a sentence."""
        self.db = Database(path, mode=mode)
        self.jobs = Jobs(self.db)
        self.journals = Journals(self.db)
        self.outbox = Outbox(self.db)
        self.history = History(self.db)
        self.listing = Listing(self.db)
        self.inbound = Inbound(self.db)
        self.silences = Silences(self.db)
        self.acks = Acks(self.db)
        self.reminders = Reminders(self.db)
        self.sweeps = Sweeps(self.db)
        self.reports = Reports(self.db)
        self.gaps = Gaps(self.db)
        self.census = Census(self.db)
        self.room = Room(path)
        self.meter = Meter()
        self.is_full = False
        self._new: list[tuple[str, str]] = []
        self.bell: Callable[[], None] = _nobody
        if mode == "write":
            self.room.keep()
            self.outbox.release()
            self.silences.refresh()

    def close(self) -> None:
        """Closes the database and gives up its lock."""
        self.db.close()

    @property
    def is_cramped(self) -> bool:
        """Whether `heed_room` may have something to do; may be asked for on any thread."""
        return self.is_full or self.db.was_full or self.room.is_short

    def heed_room(self) -> bool:
        """Notices that the disk is full, or has room again (`is_full`); says whether that changed.

        On a full disk the room that was kept free is given up, so that what is under way can be finished:
        from then on deliveries may be settled, and nothing new should be taken on.
        """
        if not self.is_full and (self.db.was_full or self.room.is_short):
            self.room.give()
            self.is_full = True
            with suppress(Full):
                self.db.spare(SPARE_FRAMES)
        elif self.is_full and self.room.is_ample and self.room.keep():
            self.db.spare()
            self.is_full = False
        else:
            return False
        self.db.was_full = False
        return True

    def mark(self, now: float) -> None:
        """Remembers that this was the time, for a start after which the clock may be another one."""
        with self.db.transaction():
            self.db.execute(
                "INSERT INTO meta (key, value) VALUES ('time', ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                str(now),
            )

    def wake(self, now: float) -> float:
        """After a start: if the clock was set back while nobody looked, what waits is moved along.

        Returns by how many seconds it was set back (0.0: it was not). Forward needs nothing: what waited is
        due, and dies of its tries, not of the time. What went by since the last sign of life is noted: nobody
        looked.
        """
        row = self.db.row("SELECT value FROM meta WHERE key = 'time'")
        if row is not None:
            self.gaps.add(float(row[0]), now)
        back = min(0.0, now - float(row[0])) if row else 0.0
        if back:
            self.outbox.shift(back)
        self.mark(now)
        return back

    def commit(self, batch: Batch, now: float) -> set[JobKey]:
        """Writes jobs, provider states, events, deliveries and verdicts in one transaction.

        Returns the jobs whose decision was made about an older version than the stored one: nothing of
        these was written, they must be read and decided again. A silence that was to end with a job that is
        over now is taken away.
        """
        lost: set[JobKey] = set()
        ended = False
        with self._committing("looks"):
            found = [(one.known, one) for one in batch.decisions if one.known is not None]
            swapped = self.jobs.swap([known for known, _ in found], now)
            kept = []
            for (known, decision), is_stored in zip(found, swapped, strict=True):
                job = known.snapshot
                if not is_stored:
                    lost.add(job.key)
                    continue
                kept.append(decision)
                if not decision.journal.is_empty:
                    self.journals.add(job.key, known.attempt, decision.journal, now)
                is_awaited = (job.provider, job.id) in self.silences.ending
                if is_awaited and any(event.is_over for event in decision.events):
                    ended = self.silences.end(job.key, now) or ended
            self._record(kept, now)
            for announcement in batch.announcements:
                if announcement.state is None or self.jobs.swap_provider(announcement.state):
                    self._record([announcement], now)
        if ended:
            self.silences.refresh()
        return lost

    def receive(self, receipt: Receipt, now: float) -> bool:
        """Takes a webhook and all that follows from it in one transaction; False: it was taken before.

        Raises Full on a full disk: what room there is belongs to what is under way.
        """
        if self.is_full:
            raise Full("the disk is full: nothing new is taken until it has room again")
        with self._committing("hooks"):
            id = receipt.id
            if id is not None and not self.inbound.take(receipt.provider, id, receipt.type, now):
                return False
            known = self.jobs.load(receipt.provider, [job for job, _ in receipt.mail])
            for job, merge in receipt.mail:
                # Of what was to be forgotten nothing is kept, whatever it goes on to say.
                if job not in known or not known[job].forgotten:
                    self.inbound.put(receipt.provider, job, merge, now)
            if receipt.said is not None:
                self._record([receipt.said], now)
        return True

    def settle(
        self,
        batch: Sequence[Settled],
        breaker: Breaker | None,
        now: float,
        *,
        said: Announcement | None = None,
        hasten: bool = False,
    ) -> None:
        """Writes what became of claims of one notifier, and what follows from it, in one transaction.

        `breaker` is the notifier's new state where it changed, `said` what is to be told about that; with
        `hasten` what waited for the receiver is due now, and the caller paces it.
        """
        with self._committing("deliveries"):
            told = [done.announcement for done in self.outbox.settle(batch) if done.announcement is not None]
            if told:
                self._record(told, now)
            if breaker is not None and batch:
                self.outbox.put_breaker(batch[0].claim.delivery.notifier, breaker)
            if hasten and batch:
                self.outbox.hasten(batch[0].claim.delivery.notifier)
            if said is not None:
                self._record([said], now)

    @contextmanager
    def _committing(self, what: str) -> Iterator[None]:
        """One transaction, of which its length and its new events are counted once it stands."""
        begun, self._new = perf_counter(), []
        with self.db.transaction():
            yield
        self.meter.commit_seconds.add(perf_counter() - begun, what)
        for provider, type in self._new:
            self.meter.events.add(provider, type)
        if self._new:
            self.bell()

    def _record(self, said: Sequence[Decision | Announcement], now: float) -> None:
        """Writes events that are new, with deliveries and verdicts, within the caller's transaction."""
        events = [event for one in said for event in one.events]
        ids = [event.id for event in events]
        recorded = {id for (id,) in self.db.among("SELECT id FROM events WHERE id IN ({some})", ids)}
        lanes: dict[str, str] = {}
        rows = []
        for event in events:
            data = event.data
            if event.id in recorded or event.id in lanes:
                continue
            lanes[event.id] = event.lane
            provider = data.provider or None
            # The type of what is relayed is a stranger's word.
            self._new.append((provider or "", "relayed" if data.received else event.type))
            rows.append(
                (
                    event.id,
                    event.type,
                    event.severity.word,
                    provider,
                    data.job.id if data.job else None,
                    int(is_mere_progress(event)),
                    int(is_late(event, now)),
                    now,
                    bytearray(encode(event)),
                )
            )
        self.db.execute_many(
            "INSERT INTO events (id, type, severity, provider, job, volatile, late, recorded_at, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        owed = [delivery for one in said for delivery in one.deliveries if delivery.event_id in lanes]
        self.outbox.owe(owed, lanes, now)
        for delivery in owed:
            if delivery.remind is not None:
                self.reminders.begin(delivery, lanes[delivery.event_id], now)
        self.db.execute_many(
            "INSERT INTO verdicts (event_id, notifier, reason) VALUES (?, ?, ?)"
            " ON CONFLICT (event_id, notifier) DO NOTHING",
            [
                (verdict.event_id, verdict.notifier, verdict.reason)
                for one in said
                for verdict in one.verdicts
                if verdict.event_id in lanes
            ],
        )

    def rename(self, old: str, new: str) -> bool:
        """Gives a renamed provider what is known of it; False when there is nothing of the old name."""
        done = self.jobs.rename(old, new)
        self.silences.refresh()
        return done

    def forget(self, provider: str, job: str | None = None) -> Forgotten:
        """Removes what is known of one job, or of a provider and all of its jobs, and overwrites it."""
        self.db.rows("PRAGMA secure_delete = ON")
        try:
            with self.db.transaction():
                if job is None:
                    return forget_provider(self.db, provider)
                return forget_job(self.db, JobKey(provider, job))
        finally:
            self.db.rows("PRAGMA secure_delete = OFF")
            # The log beside the file still holds the pages as they were.
            self.db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            self.silences.refresh()

    def prune(self, now: float, retention: float) -> int:
        """Forgets what is older than `retention` seconds and owed to nobody; dead letters stay.

        Events that told only of a moving progress bar go after 7 days. Returns how many events went.
        """
        with self.db.transaction():
            self.journals.prune(now - retention)
            self.inbound.prune(now, retention)
            self.silences.prune(now, now - retention)
            self.acks.prune(now - retention)
            gone = self.db.execute(
                "DELETE FROM events WHERE (recorded_at < ? OR (volatile AND recorded_at < ?))"
                " AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.event_id = events.id"
                " AND d.state IN ('pending', 'dead'))",
                now - retention,
                now - min(retention, 7 * 86400),
            )
            if gone:
                self.db.execute(
                    "DELETE FROM deliveries WHERE state NOT IN ('pending', 'dead')"
                    " AND NOT EXISTS (SELECT 1 FROM events e WHERE e.id = deliveries.event_id)"
                )
                self.db.execute(
                    "DELETE FROM attempts WHERE NOT EXISTS"
                    " (SELECT 1 FROM deliveries d WHERE d.seq = attempts.delivery)"
                )
                self.db.execute(
                    "DELETE FROM verdicts WHERE NOT EXISTS"
                    " (SELECT 1 FROM events e WHERE e.id = verdicts.event_id)"
                )
                self.reminders.prune()
                self.sweeps.prune()
        self.silences.refresh()
        return gone
