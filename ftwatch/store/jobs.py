"""The pollers' side of the store: what is known of jobs and providers. Writes nothing on its own.

Every write here is a compare-and-swap on a version and takes part in the caller's transaction.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core.announce import ProviderState
from ftwatch.core.compare import MOST, Runs, recipe, run_of
from ftwatch.core.event import decode
from ftwatch.core.job import Status
from ftwatch.core.known import Known
from ftwatch.store.acks import rename_acks
from ftwatch.store.inbound import rename_inbound
from ftwatch.store.journal import rename_journal
from ftwatch.store.silences import rename_silences
from ftwatch.store.sqlite import Database

__all__ = ["Jobs"]

# So many events are enough to learn from.
LIVES = 2000


class _Ended(Struct):
    """What of a job that has ended others are compared with; all else in its row is passed over."""

    id: str
    started_at: int | None = None
    finished_at: int | None = None
    trained_tokens: int | None = None


class _Ran(Struct):
    """The same of what is known of it."""

    snapshot: _Ended
    metrics: dict[str, float] = field(default_factory=dict)


_encode = msgspec.json.Encoder().encode
_decode_known = msgspec.json.Decoder(Known).decode
_decode_ran = msgspec.json.Decoder(_Ran).decode
_decode_state = msgspec.json.Decoder(ProviderState).decode


class Jobs:
    """Jobs and providers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # --------------------------------------------------------------------------------------------- jobs

    def load(self, provider: str, ids: Sequence[str]) -> dict[str, Known]:
        """What is known of these jobs, by id; unknown ones are left out."""
        rows = self._db.among(
            "SELECT id, version, known FROM jobs WHERE provider = ? AND id IN ({some})", ids, provider
        )
        return {id: replace(_decode_known(known), version=version) for id, version, known in rows}

    def active(self, provider: str) -> dict[str, Known]:
        """Every job that its provider must still be asked about, by id."""
        rows = self._db.rows("SELECT id, version, known FROM jobs WHERE provider = ? AND active", provider)
        return {id: replace(_decode_known(known), version=version) for id, version, known in rows}

    def waking(self, provider: str, now: float, limit: int) -> list[str]:
        """The ids of jobs that wanted to be decided about by now although nothing came, ended ones too."""
        rows = self._db.rows(
            "SELECT id FROM jobs WHERE provider = ? AND wake_at <= ? ORDER BY wake_at LIMIT ?",
            provider,
            now,
            limit,
        )
        return [id for (id,) in rows]

    def next_wake(self, provider: str, after: float) -> float | None:
        """When the next of them will want to be, after that time (Unix seconds)."""
        row = self._db.row(
            "SELECT MIN(wake_at) FROM jobs WHERE provider = ? AND wake_at > ?", provider, after
        )
        return float(row[0]) if row and row[0] is not None else None

    def finished(self, provider: str, after: str, limit: int) -> list[str]:
        """The ids of watched jobs that made a model, in their order, from the one after `after` on."""
        rows = self._db.rows(
            "SELECT id FROM jobs WHERE provider = ? AND id > ? AND status = 'succeeded' AND NOT ignored"
            " ORDER BY id LIMIT ?",
            provider,
            after,
            limit,
        )
        return [id for (id,) in rows]

    def earlier(self, provider: str, recipe: str) -> Runs:
        """The last runs of a recipe that succeeded, the latest first: `MOST`, and one more, since the
        job that asks may be among them.
        """
        rows = self._db.rows(
            "SELECT known FROM jobs WHERE provider = ? AND recipe = ? AND status = 'succeeded'"
            " AND NOT ignored ORDER BY changed_at DESC LIMIT ?",
            provider,
            recipe,
            MOST + 1,
        )
        return Runs(run_of(one.snapshot, one.metrics) for one in (_decode_ran(known) for (known,) in rows))

    def lives(self, provider: str) -> list[tuple[Status, float]]:
        """How long (seconds) states lasted before jobs left them, by the last events that say so."""
        bodies = self._db.rows(
            "SELECT body FROM events WHERE provider = ? ORDER BY seq DESC LIMIT ?", provider, LIVES
        )
        begun: dict[str, int] = {}
        lived = []
        for event in (decode(body) for (body,) in reversed(bodies)):
            job, before = event.job, event.data.previous_status
            if job is None or not event.status or before is event.status:
                continue
            if before and job.id in begun:
                lived.append((before, float(max(0, event.created_at - begun[job.id]))))
            begun[job.id] = event.created_at
        return lived

    def fingerprints(self, provider: str, ids: Sequence[str]) -> dict[str, bytes | None]:
        """The fingerprint of the listed entry last dealt with, for those of these ids that are known."""
        rows = self._db.among(
            "SELECT id, fingerprint FROM jobs WHERE provider = ? AND id IN ({some})", ids, provider
        )
        return dict(rows)

    def last_asked(self, provider: str) -> int:
        """The highest order number of any look taken at a provider's jobs."""
        row = self._db.row("SELECT MAX(asked) FROM jobs WHERE provider = ? AND asked > 0", provider)
        return int(row[0] or 0) if row else 0

    def counts(self, provider: str) -> tuple[int, int]:
        """How many of a provider's watched jobs are active, and how many are not."""
        row = self._db.row(
            "SELECT COALESCE(SUM(active), 0), COUNT(*) FROM jobs WHERE provider = ? AND NOT ignored", provider
        )
        return (row[0], row[1] - row[0]) if row else (0, 0)

    def swap(self, jobs: Sequence[Known], now: float) -> list[bool]:
        """Stores each job whose stored version is still its `version`; says of each whether it was."""
        stored: dict[tuple[str, str], int] = {}
        for provider in {known.snapshot.provider for known in jobs}:
            ids = [known.snapshot.id for known in jobs if known.snapshot.provider == provider]
            rows = self._db.among(
                "SELECT id, version FROM jobs WHERE provider = ? AND id IN ({some})", ids, provider
            )
            stored |= {(provider, id): version for id, version in rows}
        swapped: list[bool] = []
        new: list[tuple[object, ...]] = []
        old: list[tuple[object, ...]] = []
        for known in jobs:
            job = known.snapshot
            key = job.provider, job.id
            is_current = stored.get(key, 0) == known.version
            swapped.append(is_current)
            if not is_current:
                continue
            stored[key] = known.version + 1
            is_active = known.is_active
            (old if known.version else new).append(
                (
                    job.status.word,
                    int(is_active),
                    int(known.ignored),
                    job.name,
                    recipe(job),
                    known.asked,
                    bytearray(known.fingerprint) if known.fingerprint is not None else None,
                    known.wake_at,
                    now,
                    _moment(known, now, is_active=is_active),
                    bytearray(_encode(known)),
                    stored[key],
                    *key,
                )
            )
        self._db.execute_many(
            "INSERT INTO jobs (status, active, ignored, name, recipe, asked, fingerprint, wake_at,"
            " changed_at, moment, known, version, provider, id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            new,
        )
        self._db.execute_many(
            "UPDATE jobs SET status = ?, active = ?, ignored = ?, name = ?, recipe = ?, asked = ?,"
            " fingerprint = ?, wake_at = ?, changed_at = ?, moment = ?, known = ?, version = ?"
            " WHERE provider = ? AND id = ?",
            old,
        )
        return swapped

    # ---------------------------------------------------------------------------------------- providers

    def provider(self, name: str) -> ProviderState:
        """What is remembered of a provider; a fresh state for one never seen."""
        row = self._db.row("SELECT version, state FROM providers WHERE name = ?", name)
        return replace(_decode_state(row[1]), version=row[0]) if row else ProviderState(name=name)

    def swap_provider(self, state: ProviderState) -> bool:
        """Stores a provider's state if its stored version is still `state.version`; says whether it was."""
        if state.version:
            changed = self._db.execute(
                "UPDATE providers SET state = ?, version = version + 1 WHERE name = ? AND version = ?",
                _encode(state),
                state.name,
                state.version,
            )
        else:
            changed = self._db.execute(
                "INSERT INTO providers (state, name, version) VALUES (?, ?, 1) ON CONFLICT (name) DO NOTHING",
                _encode(state),
                state.name,
            )
        return changed == 1

    def rename(self, old: str, new: str) -> bool:
        """Gives a renamed provider its jobs; False when there is nothing of the old name to take."""
        with self._db.transaction():
            taken = self._db.row("SELECT 1 FROM providers WHERE name = ?", new)
            if taken or not self._db.row("SELECT 1 FROM providers WHERE name = ?", old):
                return False
            for id, known in self._db.rows("SELECT id, known FROM jobs WHERE provider = ?", old):
                job = _decode_known(known)
                job = replace(job, snapshot=replace(job.snapshot, provider=new))
                self._db.execute(
                    "UPDATE jobs SET provider = ?, known = ?, version = version + 1"
                    " WHERE provider = ? AND id = ?",
                    new,
                    _encode(job),
                    old,
                    id,
                )
            rename_journal(self._db, old, new)
            rename_inbound(self._db, old, new)
            rename_acks(self._db, old, new)
            rename_silences(self._db, old, new)
            self._db.execute("UPDATE events SET provider = ? WHERE provider = ?", new, old)
            for table in ("deliveries", "memory", "reminders"):
                self._db.execute(
                    f"UPDATE {table} SET lane = ? || substr(lane, ?) WHERE substr(lane, 1, ?) = ?",
                    new,
                    len(old) + 1,
                    len(old) + 1,
                    old + "/",
                )
            state = replace(self.provider(old), name=new)
            self._db.execute(
                "UPDATE providers SET name = ?, state = ?, version = version + 1 WHERE name = ?",
                new,
                _encode(state),
                old,
            )
        return True


def _moment(known: Known, now: float, *, is_active: bool) -> float:
    """Where a job stands among others (Unix seconds): when it came to be as it is, or when it ended.

    That is never in the future. An end that nobody saw and the provider does not date is as old as its job.
    """
    job = known.snapshot
    if known.gone:
        return now
    if is_active:
        moment = known.status_since
    elif job.finished_at is not None:
        moment = float(job.finished_at)
    else:
        moment = known.status_since if known.sequence else float(job.created_at or 0)
    return moment if moment < now else now
