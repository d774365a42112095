"""People's questions to the store: which jobs, which events, what became of a delivery. Only reads."""

from collections.abc import Iterator

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.announce import ProviderState
from ftwatch.core.delivery import Breaker, Delivery
from ftwatch.core.event import Event, decode
from ftwatch.core.job import JobKey
from ftwatch.core.known import Known
from ftwatch.store.outbox import _COLUMNS, _delivery
from ftwatch.store.sqlite import Database

__all__ = ["Attempt", "History", "NotifierHealth", "Row"]

_decode_known = msgspec.json.Decoder(Known).decode
_decode_state = msgspec.json.Decoder(ProviderState).decode
_decode_breaker = msgspec.json.Decoder(Breaker).decode


class Row(Struct, frozen=True):
    """A job in a listing: what is known of it, and when that last changed (Unix seconds)."""

    known: Known
    changed_at: float


class Attempt(Struct, frozen=True):
    """One try of a delivery: when (Unix seconds), how long it took (seconds), and what came of it."""

    at: float
    took: float
    outcome: str
    reason: str


class NotifierHealth(Struct, frozen=True, kw_only=True):
    """How a notifier does: its deliveries by state, its oldest waiting one, its breaker."""

    name: str
    counts: dict[str, int]
    oldest_pending: float | None
    last_delivered: float | None
    breaker: Breaker
    disabled: str | None


class History:
    """Queries for the commands, the control socket and the page."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def jobs(
        self,
        *,
        provider: str | None = None,
        status: str | None = None,
        active: bool = False,
        limit: int = 100,
    ) -> list[Row]:
        """Jobs, those that changed last first."""
        where, values = ["NOT ignored"], []
        for column, value in (("provider", provider), ("status", status)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if active:
            where.append("active")
        return [
            Row(replace(_decode_known(known), version=version), changed_at)
            for version, changed_at, known in self._db.rows(
                f"SELECT version, changed_at, known FROM jobs WHERE {' AND '.join(where)}"
                " ORDER BY changed_at DESC, provider, id LIMIT ?",
                *values,
                limit,
            )
        ]

    def find(self, selector: str) -> list[Row]:
        """Every job that `selector` may mean: an id, `provider/id`, a name, a URL, else a prefix of an id.

        The most exact reading that finds anything counts; more than one row means that it is ambiguous.
        """
        tail = selector.rstrip("/").rpartition("/")[2]
        provider, _, id = selector.partition("/")
        readings: list[tuple[str, tuple[str, ...]]] = [
            ("provider = ? AND id = ?", (provider, id)),
            ("id = ?", (selector,)),
            ("name = ?", (selector,)),
            ("id = ?", (tail,)),
            ("id >= ? AND id < ?", (selector, selector + "\U0010ffff")),
        ]
        for where, values in readings:
            rows = self._db.rows(
                f"SELECT version, changed_at, known FROM jobs WHERE {where} AND NOT ignored"
                " ORDER BY changed_at DESC LIMIT 20",
                *values,
            )
            if rows:
                return [Row(replace(_decode_known(known), version=v), at) for v, at, known in rows]
        return []

    def events(
        self,
        *,
        after: int = 0,
        job: JobKey | None = None,
        provider: str | None = None,
        type: str | None = None,
        limit: int = 100,
        newest: bool = False,
    ) -> list[tuple[int, Event]]:
        """Events with their place in the sequence of all, oldest first; `newest` takes the last `limit`."""
        where: list[str] = ["seq > ?"]
        values: list[object] = [after]
        if job is not None:
            where.append("provider = ? AND job = ?")
            values += job
        for column, value in (("provider", provider), ("type", type)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        order = "DESC" if newest else "ASC"
        rows = self._db.rows(
            f"SELECT seq, body FROM events WHERE {' AND '.join(where)} ORDER BY seq {order} LIMIT ?",
            *values,
            limit,
        )
        found = [(seq, decode(body)) for seq, body in rows]
        return found[::-1] if newest else found

    def told(self, since: float, limit: int) -> Iterator[tuple[Event, list[str]]]:
        """The last events since then that anybody was or is to be told of, and whom, the oldest first."""
        for body, names in self._db.rows(
            "SELECT body, names FROM (SELECT e.seq AS seq, e.body AS body,"
            " json_group_array(DISTINCT d.notifier) AS names"
            " FROM events e JOIN deliveries d ON d.event_id = e.id WHERE e.recorded_at >= ?"
            " GROUP BY e.seq ORDER BY e.seq DESC LIMIT ?) ORDER BY seq",
            since,
            limit,
        ):
            yield decode(body), msgspec.json.decode(names, type=list[str])

    def event(self, id: str) -> Event | None:
        """One event by its id."""
        row = self._db.row("SELECT body FROM events WHERE id = ?", id)
        return decode(row[0]) if row else None

    def last_seq(self) -> int:
        """The place of the newest event."""
        row = self._db.row("SELECT COALESCE(MAX(seq), 0) FROM events")
        return int(row[0]) if row else 0

    def deliveries(
        self,
        *,
        state: str | None = None,
        notifier: str | None = None,
        event: str | None = None,
        id: str | None = None,
        limit: int = 100,
    ) -> list[Delivery]:
        """Deliveries, the newest first. `id` may be a prefix."""
        where, values = ["1"], []
        for column, value in (("state", state), ("notifier", notifier), ("event_id", event)):
            if value is not None:
                where.append(f"d.{column} = ?")
                values.append(value)
        if id is not None:
            where.append("d.id >= ? AND d.id < ?")
            values += [id, id + "\U0010ffff"]
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM deliveries d WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?",
            *values,
            limit,
        )
        return [_delivery(row) for row in rows]

    def attempts(self, delivery: str) -> list[Attempt]:
        """Every try of a delivery, the first one first."""
        rows = self._db.rows(
            "SELECT a.at, a.took, a.outcome, a.reason FROM deliveries d JOIN attempts a ON a.delivery = d.seq"
            " WHERE d.id = ? ORDER BY a.seq",
            delivery,
        )
        return [Attempt(*row) for row in rows]

    def reasons(self, event: str) -> dict[str, str]:
        """Why an event is owed: the route, the default, closure or a reminder, by the delivery's id."""
        return dict(self._db.rows("SELECT id, why FROM deliveries WHERE event_id = ?", event))

    def outcomes(self) -> dict[str, int]:
        """How many tries there were by what came of them (sent, retry, rejected)."""
        return dict(self._db.rows("SELECT outcome, COUNT(*) FROM attempts GROUP BY outcome"))

    def verdicts(self, event: str) -> list[tuple[str, str]]:
        """Which notifiers an event does not reach, and why."""
        rows = self._db.rows("SELECT notifier, reason FROM verdicts WHERE event_id = ?", event)
        return [(notifier, reason) for notifier, reason in rows]

    def notifiers(self) -> list[NotifierHealth]:
        """How every notifier does that ever was owed anything."""
        counts: dict[str, dict[str, int]] = {}
        times: dict[str, dict[str, float]] = {}
        for name, state, count, oldest, last in self._db.rows(
            "SELECT notifier, state, COUNT(*), MIN(created_at), MAX(settled_at) FROM deliveries"
            " GROUP BY notifier, state"
        ):
            counts.setdefault(name, {})[state] = count
            times.setdefault(name, {})[state] = oldest if state == "pending" else last
        health = {
            name: (_decode_breaker(breaker), disabled)
            for name, breaker, disabled in self._db.rows("SELECT name, breaker, disabled FROM notifiers")
        }
        return [
            NotifierHealth(
                name=name,
                counts=counts.get(name, {}),
                oldest_pending=times.get(name, {}).get("pending"),
                last_delivered=times.get(name, {}).get("delivered"),
                breaker=health.get(name, (Breaker(), None))[0],
                disabled=health.get(name, (Breaker(), None))[1],
            )
            for name in sorted({*counts, *health})
        ]

    def providers(self) -> list[ProviderState]:
        """What is remembered of every provider."""
        rows = self._db.rows("SELECT version, state FROM providers ORDER BY name")
        return [replace(_decode_state(state), version=version) for version, state in rows]

    def statuses(self, provider: str) -> dict[str, int]:
        """How many of a provider's watched jobs there are by status."""
        return dict(
            self._db.rows(
                "SELECT status, COUNT(*) FROM jobs WHERE provider = ? AND NOT ignored GROUP BY status",
                provider,
            )
        )
