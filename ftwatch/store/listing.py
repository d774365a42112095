"""Questions that are answered page by page: jobs, events, deliveries, what is kept of one job. Only reads.

A page goes on where the one before it ended: of the jobs by when they last changed, of all else by its place
in the order it was recorded in. However little matches, a question looks at a bounded number of rows; whoever
wants more goes on from there.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar, cast

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core.delivery import Delivery, State
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.core.known import Known
from ftwatch.core.route import Match, Matcher, watches
from ftwatch.store.history import Row
from ftwatch.store.journal import by_step
from ftwatch.store.outbox import _COLUMNS, _delivery
from ftwatch.store.sqlite import Database

__all__ = ["Listing", "Place", "Point", "Stretch"]

# How many rows one question looks at, at most: of jobs, of jobs that each have to be compared, of others.
JOBS, COMPARED, OTHERS = 20_000, 5_000, 10_000
# The states of which there are few, and an index.
INDEXED = frozenset({State.PENDING, State.DEAD})
# So many jobs are read at once where each has to be compared.
CHUNK = 250

# Where a job stands in the listing: when it last changed (Unix seconds), and its row.
Place = tuple[float, int]

P = TypeVar("P")
T = TypeVar("T")

_decode_known = msgspec.json.Decoder(Known).decode
_checkpoint = msgspec.json.Decoder(Checkpoint).decode
_metrics = msgspec.json.Decoder(dict[str, float]).decode


class Stretch(Struct, Generic[P, T], frozen=True):
    """What was found, each with its place; `rest` is the place after which to go on, None at the end."""

    found: list[tuple[P, T]]
    rest: P | None


class Point(Struct, frozen=True):
    """A job's figures at one step; `at` is Unix seconds, where it is known."""

    step: int
    at: int | None
    metrics: dict[str, float]


class Listing:
    """Pages of what is known."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # --------------------------------------------------------------------------------------------- jobs

    def jobs(
        self,
        *,
        provider: str | None = None,
        statuses: Sequence[Status] = (),
        active: bool = False,
        since: float | None = None,
        match: Match | None = None,
        after: Place | None = None,
        limit: int,
    ) -> Stretch[Place, Row]:
        """Jobs, the last changed first; `since` then (Unix seconds), `match` by what it asks of jobs."""
        where, values = ["NOT ignored"], list[object]()
        # With a plus before it, a column is compared, and does not choose the order in which rows come.
        if provider is not None:
            where.append("+provider = ?")
            values.append(provider)
        if statuses:
            where.append(f"+status IN ({_marks(statuses)})")
            values += statuses
        if since is not None:
            where.append("changed_at >= ?")
            values.append(since)
        table, end = "jobs", None
        if active and match is None:
            # Few are, so that there is nothing to bound.
            table = "jobs INDEXED BY jobs_active"
        else:
            end = self._job_after(after, COMPARED if match else JOBS)
            if end is not None:
                where.append("(changed_at, rowid) >= (?, ?)")
                values += end
        if active:
            where.append("active")
        found: list[tuple[Place, Row]] = []
        place = after
        size = CHUNK if match else limit + 1
        while len(found) <= limit:
            rows = self._jobs(table, where, values, place, size)
            for rowid, changed_at, version, known in rows:
                place = (changed_at, rowid)
                if match is None or watches(match, _comparable(known)):
                    row = Row(replace(_decode_known(known), version=version), changed_at)
                    found.append((place, row))
            if len(rows) < size:
                break
        return _stretch(found, limit, end)

    def job(self, key: JobKey) -> Row | None:
        """One job."""
        row = self._db.row(
            "SELECT changed_at, version, known FROM jobs WHERE provider = ? AND id = ? AND NOT ignored", *key
        )
        return Row(replace(_decode_known(row[2]), version=row[1]), row[0]) if row else None

    def _jobs(
        self, table: str, where: list[str], values: list[object], after: Place | None, limit: int
    ) -> list[tuple[int, float, int, bytes]]:
        if after is not None:
            where, values = [*where, "(changed_at, rowid) < (?, ?)"], [*values, *after]
        # The documents are fetched when it is known which: they need not be sorted.
        return self._db.rows(
            "SELECT rowid, changed_at, version, known FROM jobs WHERE rowid IN"
            f" (SELECT rowid FROM {table} WHERE {' AND '.join(where)}"
            " ORDER BY changed_at DESC, rowid DESC LIMIT ?) ORDER BY changed_at DESC, rowid DESC",
            *values,
            limit,
        )

    def _job_after(self, place: Place | None, count: int) -> Place | None:
        """The place of the last of so many jobs; None where there are fewer."""
        where, values = ("AND (changed_at, rowid) < (?, ?)", place) if place is not None else ("", ())
        row = self._db.row(
            f"SELECT changed_at, rowid FROM jobs WHERE TRUE {where}"
            " ORDER BY changed_at DESC, rowid DESC LIMIT 1 OFFSET ?",
            *values,
            count - 1,
        )
        return (row[0], row[1]) if row else None

    # ------------------------------------------------------------------------------------------- events

    def events(
        self,
        *,
        job: JobKey | None = None,
        provider: str | None = None,
        type: str | None = None,
        severities: Sequence[str] = (),
        after: int | None = None,
        newest: bool = False,
        limit: int,
    ) -> Stretch[int, bytes]:
        """Events in their wire form, the `newest` first or the oldest; `type` may be a glob."""
        where, values = ["TRUE"], list[object]()
        if job is not None:
            where.append("provider = ? AND job = ?")
            values += job
        elif provider is not None:
            where.append("+provider = ?")
            values.append(provider)
        if severities:
            where.append(f"severity IN ({_marks(severities)})")
            values += severities
        end = None
        if provider is not None or type is not None or severities:
            end = self._window("events", after, newest, where, values)
        elif after is not None:
            where.append("seq < ?" if newest else "seq > ?")
            values.append(after)
        order = "DESC" if newest else "ASC"
        rows: Iterable[tuple[int, str]] = self._db.rows(
            f"SELECT seq, type FROM events WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?",
            *values,
            -1 if type is not None else limit + 1,
        )
        if type is not None:
            wanted = Matcher("type", "=", type)
            holds = {name: wanted.holds((name,)) for name in {name for _, name in rows}}
            rows = [(seq, name) for seq, name in rows if holds[name]][: limit + 1]
        seqs = [seq for seq, _ in rows]
        found = self._db.rows(
            f"SELECT seq, body FROM events WHERE seq IN ({_marks(seqs)}) ORDER BY seq {order}", *seqs
        )
        return _stretch(found, limit, end)

    def seq_of(self, event: str) -> int | None:
        """The place of an event."""
        row = self._db.row("SELECT seq FROM events WHERE id = ?", event)
        return int(row[0]) if row else None

    def event_at(self, id: str) -> tuple[int, bytes] | None:
        """An event's place, and its wire form."""
        row = self._db.row("SELECT seq, body FROM events WHERE id = ?", id)
        return (row[0], row[1]) if row else None

    def news(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """The next events after a place, in their wire form, the oldest first."""
        return self._db.rows("SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", after, limit)

    # --------------------------------------------------------------------------------------- deliveries

    def deliveries(
        self,
        *,
        states: Sequence[State] = (),
        notifier: str | None = None,
        job: JobKey | None = None,
        after: int | None = None,
        limit: int,
    ) -> Stretch[int, tuple[Delivery, str]]:
        """Deliveries and why each is owed, the newest first."""
        where, values = ["TRUE"], list[object]()
        if notifier is not None:
            where.append("d.notifier = ?")
            values.append(notifier)
        if job is not None:
            where.append("d.event_id IN (SELECT id FROM events WHERE provider = ? AND job = ?)")
            values += job
        are_few = job is not None or (bool(states) and INDEXED.issuperset(states))
        end = None
        if (states or notifier is not None) and not are_few:
            end = self._window("deliveries", after, True, where, values)
        elif after is not None:
            where.append("d.seq < ?")
            values.append(after)
        # Words of ours, written out one by one: so the indexes of what waits and of what died can be used.
        choices = [f"d.state = '{state}'" for state in states] or ["TRUE"]
        if not are_few:
            choices = [f"({' OR '.join(choices)})"]
        rows = [
            row
            for choice in choices
            for row in self._db.rows(
                f"SELECT d.seq, d.why, {_COLUMNS} FROM deliveries d"
                f" WHERE {' AND '.join(where)} AND {choice} ORDER BY d.seq DESC LIMIT ?",
                *values,
                limit + 1,
            )
        ]
        rows.sort(key=lambda row: -row[0])
        return _stretch([(seq, (_delivery(rest), why)) for seq, why, *rest in rows], limit, end)

    # ---------------------------------------------------------------------------------------- of one job

    def log(self, key: JobKey, *, after: int | None = None, limit: int) -> Stretch[int, Line]:
        """The lines of a job's log, the last first, without their figures."""
        rows = self._db.rows(
            "SELECT seq, key, at, level, type, message, status, step FROM job_log"
            " WHERE provider = ? AND job = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            *key,
            after if after is not None else 2**62,
            limit + 1,
        )
        found = [
            (
                seq,
                Line(
                    key=name,
                    at=at,
                    level=level,
                    type=type,
                    message=message,
                    status=Status(status) if status else None,
                    step=step,
                ),
            )
            for seq, name, at, level, type, message, status, step in rows
        ]
        return _stretch(found, limit)

    def series(self, key: JobKey, *, after: int | None = None, limit: int) -> Stretch[int, Point]:
        """A job's figures in the order of their steps, of its last attempt."""
        rows = self._db.rows(
            "SELECT step, at, metrics FROM series WHERE provider = ?1 AND job = ?2 AND step > ?3"
            " AND attempt = (SELECT MAX(attempt) FROM series WHERE provider = ?1 AND job = ?2)"
            " ORDER BY step LIMIT ?4",
            *key,
            after if after is not None else -1,
            limit + 1,
        )
        return _stretch([(step, Point(step, at, _metrics(found))) for step, at, found in rows], limit)

    def checkpoints(self, key: JobKey, *, after: int | None = None, limit: int) -> Stretch[int, Checkpoint]:
        """A job's checkpoints in the order of their steps, counted from 1."""
        rows = self._db.rows("SELECT body FROM checkpoints WHERE provider = ? AND job = ?", *key)
        found = list(enumerate(sorted((_checkpoint(body) for (body,) in rows), key=by_step), start=1))
        return _stretch(found[after or 0 :], limit)

    # ---------------------------------------------------------------------------------------- the bounds

    def _window(
        self, table: str, after: int | None, newest: bool, where: list[str], values: list[object]
    ) -> int | None:
        """Bounds a question to so many places; the last of them, None where nothing lies beyond it."""
        first, last = self._db.row(f"SELECT MIN(seq), MAX(seq) FROM {table}") or (None, None)
        if first is None or last is None:
            return None
        if newest:
            begin = (min(after, last + 1) if after is not None else last + 1) - 1
            end = begin - OTHERS + 1
            values += (end, begin)
            where.append("seq BETWEEN ? AND ?")
            return end if end > first else None
        begin = (max(after, first - 1) if after is not None else first - 1) + 1
        end = begin + OTHERS - 1
        values += (begin, end)
        where.append("seq BETWEEN ? AND ?")
        return end if end < last else None


def _stretch(found: list[tuple[P, T]], limit: int, end: P | None = None) -> Stretch[P, T]:
    """So many of what was found, and where to go on: after the last of them, else after the `end`."""
    if len(found) > limit:
        return Stretch(found[:limit], found[limit - 1][0])
    return Stretch(found, end)


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


# ---------------------------------------------------------------------------------------- to be compared


class _Error(Struct):
    code: str | None = None


class _Method(Struct):
    type: str


class _Comparable(Struct):
    """What a matcher may ask of a job: reading no more takes a quarter of the time."""

    id: str
    provider: str
    kind: str
    name: str | None = None
    owner: str | None = None
    model: str | None = None
    fine_tuned_model: str | None = None
    method: _Method | None = None
    error: _Error | None = None
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)


class _Known(Struct):
    snapshot: _Comparable


_decode_comparable: Callable[[bytes], _Known] = msgspec.json.Decoder(_Known).decode


def _comparable(known: bytes) -> Snapshot:
    return cast(Snapshot, _decode_comparable(known).snapshot)
