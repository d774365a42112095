"""What the page asks for: a screenful at a time, never more, however much is kept. Only reads.

Every query here is bounded by what is shown, or runs over an index alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core.delivery import Breaker, Delivery
from ftwatch.core.event import Event, decode
from ftwatch.core.job import TERMINAL, JobKey
from ftwatch.core.known import Known
from ftwatch.store.history import Attempt, Row
from ftwatch.store.outbox import _COLUMNS, _delivery
from ftwatch.store.sqlite import Database

__all__ = ["GONE", "Count", "Cursor", "Fate", "Glance", "Lane", "Letter", "Point", "Wanted"]

# The word for jobs that their provider no longer knows, where statuses are chosen.
GONE = "gone"

NOTHING = (0, 0, None)
_DOCUMENT = "CAST(known AS TEXT)"
_ENDED = ", ".join(f"'{status}'" for status in sorted(TERMINAL))

_decode_known = msgspec.json.Decoder(Known).decode
_decode_breaker = msgspec.json.Decoder(Breaker).decode
_metrics = msgspec.json.Decoder(dict[str, float]).decode


class Cursor(NamedTuple):
    """A place in the list of jobs: active ones come first, those that changed last before the others."""

    active: bool
    moment: float
    provider: str
    id: str


class Wanted(Struct, frozen=True, kw_only=True):
    """Which jobs to show. What is None does not matter; `text` is looked for in names, ids, models, owners.

    `since`: of those that have ended only what ended then or later (Unix seconds).
    """

    provider: str | None = None
    status: str | None = None
    owner: str | None = None
    label: tuple[str, str] | None = None
    text: str | None = None
    since: float | None = None


class Count(Struct, frozen=True):
    """How many jobs of a provider have a status (GONE: it no longer knows them), and how many of late."""

    provider: str
    status: str
    active: bool
    count: int
    recent: int


class Point(Struct, frozen=True):
    """A job's figures at a step, and when it took it (Unix seconds), where that is known."""

    step: int
    at: int | None
    metrics: dict[str, float]


class Lane(Struct, frozen=True, kw_only=True):
    """What is owed to a notifier: what waits and since when, what died, when something arrived last.

    What is `held` for later on purpose is not pending.
    """

    name: str
    pending: int = 0
    held: int = 0
    oldest: float | None = None
    dead: int = 0
    delivered_at: float | None = None
    breaker: Breaker = Breaker()
    disabled: str | None = None


class Letter(Struct, frozen=True):
    """A delivery with its event (None: forgotten), why it is owed, and every try; `seq` is its place."""

    seq: int
    delivery: Delivery
    event: Event | None
    why: str
    tries: tuple[Attempt, ...] = ()


class Fate(Struct, frozen=True, kw_only=True):
    """What became of an event: its deliveries, and the notifiers that do not get it, each with the reason."""

    letters: tuple[Letter, ...] = ()
    spared: dict[str, str] = field(default_factory=dict)


class Glance:
    """Queries for the page."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # --------------------------------------------------------------------------------------------- jobs

    def jobs(self, wanted: Wanted, *, after: Cursor | None, limit: int) -> list[tuple[Cursor, Row]]:
        """Up to so many jobs from after that place on, each with its own."""
        found: list[tuple[Cursor, Row]] = []
        for active in (True, False):
            if len(found) < limit and not (active and after is not None and not after.active):
                place = after if after is not None and after.active == active else None
                found += self._jobs(wanted, active, place, limit - len(found))
        return found

    def _jobs(
        self, wanted: Wanted, active: bool, after: Cursor | None, limit: int
    ) -> list[tuple[Cursor, Row]]:
        where, values = ["NOT ignored AND active = ?"], list[object]([active])
        if after is not None:
            where.append("(moment, provider, id) < (?, ?, ?)")
            values += after[1:]
        if wanted.since is not None and not active:
            where.append("moment >= ?")
            values.append(wanted.since)
        for clause, more in _conditions(wanted):
            where.append(clause)
            values += more
        return [
            (Cursor(active, moment, provider, id), Row(replace(_decode_known(known), version=version), at))
            for moment, provider, id, version, at, known in self._db.rows(
                "SELECT moment, provider, id, version, changed_at, known FROM jobs INDEXED BY jobs_shown"
                f" WHERE {' AND '.join(where)} ORDER BY moment DESC, provider DESC, id DESC LIMIT ?",
                *values,
                limit,
            )
        ]

    def job(self, key: JobKey) -> Row | None:
        """One job."""
        row = self._db.row(
            "SELECT version, changed_at, known FROM jobs WHERE provider = ? AND id = ? AND NOT ignored", *key
        )
        return Row(replace(_decode_known(row[2]), version=row[0]), row[1]) if row else None

    def counts(self, since: float) -> list[Count]:
        """How many jobs there are of each sort; of late: what goes on, or ended since then (Unix seconds)."""
        rows = self._db.rows(
            "SELECT provider, status, 1, COUNT(*), COUNT(*) FROM jobs INDEXED BY jobs_shown"
            " WHERE NOT ignored AND active = 1 GROUP BY provider, status UNION ALL"
            f" SELECT provider, CASE WHEN status IN ({_ENDED}) THEN status ELSE '{GONE}' END AS said, 0,"
            " COUNT(*), SUM(moment >= ?) FROM jobs INDEXED BY jobs_shown WHERE NOT ignored AND active = 0"
            " GROUP BY provider, said",
            since,
        )
        return [
            Count(provider, status, bool(active), count, recent)
            for provider, status, active, count, recent in rows
        ]

    # ------------------------------------------------------------------------------------------- figures

    def trace(self, key: JobKey, figure: str, most: int) -> list[tuple[int, float]]:
        """About `most` points of a figure over the last attempt's steps, evenly, the last one among them."""
        row = self._db.row("SELECT MAX(attempt) FROM series WHERE provider = ? AND job = ?", *key)
        if row is None or row[0] is None:
            return []
        where, values = "provider = ? AND job = ? AND attempt = ?", (*key, row[0])
        ends = self._db.row(f"SELECT MIN(step), MAX(step) FROM series WHERE {where}", *values)
        if ends is None or ends[0] is None:
            return []
        first, last = ends
        size = max(1, -(-(last - first) // max(most - 1, 1)))
        rows = self._db.rows(
            "WITH RECURSIVE turn (step) AS (SELECT ?"
            " UNION ALL SELECT step + ? FROM turn WHERE step + ? < ?)"
            " SELECT s.step, s.metrics FROM turn JOIN series s ON s.rowid ="
            f" (SELECT rowid FROM series WHERE {where} AND step >= turn.step ORDER BY step LIMIT 1)"
            f" UNION ALL SELECT step, metrics FROM series WHERE {where} AND step = ?",
            *(first, size, size, last),
            *values,
            *values,
            last,
        )
        found = {step: _metrics(metrics).get(figure) for step, metrics in rows}
        return sorted((step, value) for step, value in found.items() if value is not None)

    def series(self, key: JobKey) -> list[Point]:
        """All figures of a job's last attempt, by step."""
        rows = self._db.rows(
            "SELECT step, at, metrics FROM series WHERE provider = ?1 AND job = ?2 AND attempt ="
            " (SELECT MAX(attempt) FROM series WHERE provider = ?1 AND job = ?2) ORDER BY step",
            *key,
        )
        return [Point(step, at, _metrics(metrics)) for step, at, metrics in rows]

    # -------------------------------------------------------------------------------------------- events

    def story(self, key: JobKey, limit: int) -> list[Event]:
        """A job's last events that told of more than a moving progress bar, the newest first."""
        rows = self._db.rows(
            "SELECT body FROM events WHERE provider = ? AND job = ? AND NOT volatile"
            " ORDER BY seq DESC LIMIT ?",
            *key,
            limit,
        )
        return [decode(body) for (body,) in rows]

    def fates(self, events: Sequence[Event]) -> dict[str, Fate]:
        """What became of these events, by their ids."""
        known = {event.id: event for event in events}
        letters: dict[str, list[Letter]] = {}
        spared: dict[str, dict[str, str]] = {}
        ids = list(known)
        rows = self._db.among(
            f"SELECT d.seq, d.why, {_COLUMNS} FROM deliveries d"
            " WHERE d.event_id IN ({some}) ORDER BY d.seq",
            ids,
        )
        for letter in self._letters(list(rows), known):
            letters.setdefault(letter.delivery.event_id, []).append(letter)
        for event, notifier, reason in self._db.among(
            "SELECT event_id, notifier, reason FROM verdicts WHERE event_id IN ({some})", ids
        ):
            spared.setdefault(event, {})[notifier] = reason
        return {id: Fate(letters=tuple(letters.get(id, ())), spared=spared.get(id, {})) for id in known}

    # ----------------------------------------------------------------------------------------- deliveries

    def lanes(self, names: Iterable[str], now: float) -> list[Lane]:
        """How it stands with these notifiers, then with others that something still waits for."""
        pending = {
            name: (count, held, oldest)
            for name, count, held, oldest in self._db.rows(
                "SELECT notifier, SUM(NOT held), SUM(held), MIN(CASE WHEN NOT held THEN created_at END) FROM"
                " (SELECT notifier, created_at, bundle IS NOT NULL AND due_at > ? AS held"
                " FROM deliveries INDEXED BY deliveries_waiting WHERE state = 'pending') GROUP BY notifier",
                now,
            )
        }
        dead = dict(
            self._db.rows("SELECT notifier, COUNT(*) FROM deliveries WHERE state = 'dead' GROUP BY notifier")
        )
        health = {
            name: (_decode_breaker(breaker), disabled)
            for name, breaker, disabled in self._db.rows("SELECT name, breaker, disabled FROM notifiers")
        }
        every = dict.fromkeys([*names, *sorted({*pending, *dead})])
        return [
            Lane(
                name=name,
                pending=pending.get(name, NOTHING)[0],
                held=pending.get(name, NOTHING)[1],
                oldest=pending.get(name, NOTHING)[2],
                dead=dead.get(name, 0),
                delivered_at=self._last(name),
                breaker=health.get(name, (Breaker(), None))[0],
                disabled=health.get(name, (Breaker(), None))[1],
            )
            for name in every
        ]

    def _last(self, notifier: str) -> float | None:
        row = self._db.row(
            "SELECT MAX(settled_at) FROM deliveries WHERE notifier = ? AND state = 'delivered'", notifier
        )
        return row[0] if row else None

    def dead(self, *, notifier: str | None = None, before: int | None = None, limit: int) -> list[Letter]:
        """Dead letters, the newest first, from before that place on."""
        where, values = ["d.state = 'dead'"], []
        for clause, value in (("d.notifier = ?", notifier), ("d.seq < ?", before)):
            if value is not None:
                where.append(clause)
                values.append(value)
        return self._found(f"WHERE {' AND '.join(where)} ORDER BY d.seq DESC LIMIT ?", *values, limit)

    def waiting(self, limit: int) -> list[Letter]:
        """What waits to be sent, those that are due first."""
        return self._found("WHERE d.state = 'pending' ORDER BY d.due_at, d.seq LIMIT ?", limit)

    def _found(self, which: str, *values: object) -> list[Letter]:
        rows = self._db.rows(f"SELECT d.seq, d.why, {_COLUMNS} FROM deliveries d {which}", *values)
        bodies = self._db.among("SELECT id, body FROM events WHERE id IN ({some})", [row[3] for row in rows])
        events = {id: decode(body) for id, body in bodies}
        return self._letters(rows, events)

    def _letters(self, rows: Sequence[tuple[Any, ...]], events: Mapping[str, Event]) -> list[Letter]:
        """Deliveries with their tries."""
        owed = [(seq, why, _delivery(rest)) for seq, why, *rest in rows]
        tries: dict[int, list[Attempt]] = {}
        for number, *one in self._db.among(
            "SELECT delivery, at, took, outcome, reason FROM attempts"
            " WHERE delivery IN ({some}) ORDER BY seq",
            [seq for seq, _, _ in owed],
        ):
            tries.setdefault(number, []).append(Attempt(*one))
        return [
            Letter(seq, delivery, events.get(delivery.event_id), why, tuple(tries.get(seq, ())))
            for seq, why, delivery in owed
        ]


def _conditions(wanted: Wanted) -> Iterable[tuple[str, Sequence[str]]]:
    """What `wanted` says as clauses of SQL, each with its values; the cheap ones first."""
    if wanted.provider is not None:
        yield "provider = ?", [wanted.provider]
    if wanted.status == GONE:
        yield f"active = 0 AND status NOT IN ({_ENDED})", ()
    elif wanted.status is not None:
        gone = f" AND (active OR status IN ({_ENDED}))"
        yield f"status = ?{gone}", [wanted.status]
    # Whether a document holds a text at all is soon found out; where it stands takes reading it.
    if wanted.owner is not None:
        yield f"{_DOCUMENT} LIKE ? ESCAPE '\\'", [_like(_as_json(wanted.owner))]
        yield f"json_extract({_DOCUMENT}, '$.snapshot.owner') = ?", [wanted.owner]
    if wanted.label is not None:
        key, value = wanted.label
        yield f"{_DOCUMENT} LIKE ? ESCAPE '\\'", [_like(_as_json(value))]
        yield (
            f"EXISTS (SELECT 1 FROM json_each({_DOCUMENT}, '$.snapshot.labels') l"
            " WHERE l.key = ? AND l.value = ?)",
            [key, value],
        )
    if wanted.text is not None:
        yield f"{_DOCUMENT} LIKE ? ESCAPE '\\'", [_like(_as_json(wanted.text))]
        places = ["id", "COALESCE(name, '')"] + [
            f"COALESCE(json_extract({_DOCUMENT}, '$.snapshot.{name}'), '')"
            for name in ("model", "fine_tuned_model", "owner")
        ]
        pattern = _like(wanted.text)
        yield "(" + " OR ".join(f"{place} LIKE ? ESCAPE '\\'" for place in places) + ")", [pattern] * 5


def _as_json(text: str) -> str:
    """The text as it stands in a document."""
    return msgspec.json.encode(text).decode()[1:-1]


def _like(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
