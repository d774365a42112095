"""Sweeps that wait for their last job. What belongs to one, and what waits for it, `core.route.hold` says."""

from msgspec.json import Decoder, encode

from ftwatch.core.delivery import SWEEP
from ftwatch.core.event import Event, decode
from ftwatch.core.known import Known
from ftwatch.core.route import Routing, held_for, route_for
from ftwatch.core.route.hold import Group
from ftwatch.store.sqlite import Database

__all__ = ["Sweeps", "herald"]

_decode_known = Decoder(Known).decode
_AFTER = SWEEP[:-1] + chr(ord(SWEEP[-1]) + 1)


class Sweeps:
    """The bundles of sweeps."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def waiting(self, notifier: str, now: float) -> list[str]:
        """The bundles of sweeps that are not to leave yet."""
        rows = self._db.rows(
            "SELECT bundle, MIN(due_at) FROM deliveries WHERE notifier = ? AND state = 'pending'"
            " AND bundle >= ? AND bundle < ? GROUP BY bundle HAVING MIN(due_at) > ?",
            notifier,
            SWEEP,
            _AFTER,
            now,
        )
        return [bundle for bundle, _ in rows]

    def heralds(self, notifier: str, bundle: str) -> list[bytes]:
        """What was told at once of a sweep: the event of its first failure."""
        rows = self._db.rows(
            "SELECT e.body FROM heralds h JOIN events e ON e.id = h.event_id"
            " WHERE h.notifier = ? AND h.bundle = ?",
            notifier,
            bundle,
        )
        return [body for (body,) in rows]

    def clear(self, notifier: str, routing: Routing) -> None:
        """Forgets the heralds of sweeps that are over and told: a failure of the next one is its first."""
        for bundle, body in self._db.rows(
            "SELECT h.bundle, e.body FROM heralds h LEFT JOIN events e ON e.id = h.event_id"
            " WHERE h.notifier = ? AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.notifier = h.notifier"
            " AND d.bundle = h.bundle AND d.state = 'pending')",
            notifier,
        ):
            event = decode(body) if body is not None else None
            route = route_for(event, notifier, routing) if event is not None else None
            group = route.group if route is not None else None
            if event is None or group is None or not self._goes_on(group, event, bundle):
                with self._db.transaction():
                    self._db.execute(
                        "DELETE FROM heralds WHERE notifier = ? AND bundle = ?", notifier, bundle
                    )

    def release(self, notifier: str, bundle: str, routing: Routing, now: float) -> bool:
        """Lets a sweep leave if it is over; says whether something of it is due now.

        It is over once no job of it goes on, and nothing was told of one for a while.
        """
        rows = self._db.rows(
            "SELECT e.body, d.created_at FROM deliveries d JOIN events e ON e.id = d.event_id"
            " WHERE d.notifier = ? AND d.bundle = ? AND d.state = 'pending'",
            notifier,
            bundle,
        )
        events = [decode(body) for body, _ in rows]
        route = route_for(events[-1], notifier, routing)
        group = route.group if route is not None else None
        if group is not None and group.all_terminal:
            last = max(at for _, at in rows)
            if 0 <= now - last < group.wait or self._goes_on(group, events[-1], bundle):
                return False
        due_at = _free_at(events, notifier, routing, now)
        with self._db.transaction():
            self._db.execute(
                "UPDATE deliveries SET due_at = ? WHERE notifier = ? AND bundle = ? AND state = 'pending'",
                due_at,
                notifier,
                bundle,
            )
        return due_at <= now

    def prune(self) -> None:
        """Forgets heralds whose events are forgotten, within the caller's transaction."""
        self._db.execute(
            "DELETE FROM heralds WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.id = heralds.event_id)"
        )

    def _goes_on(self, group: Group, event: Event, bundle: str) -> bool:
        """Whether a job of the sweep is active."""
        job = event.job
        assert job is not None
        if group.sweep(job) != bundle:
            # The config groups by something else by now.
            return False
        # Most jobs are of no interest, and need not be read whole to see that.
        value = max(group.values(job), key=len)
        for (known,) in self._db.rows(
            "SELECT known FROM jobs WHERE active AND NOT ignored AND instr(known, ?) > 0",
            encode(value)[1:-1],
        ):
            if group.sweep(_decode_known(known).snapshot) == bundle:
                return True
        return False


def herald(db: Database, notifier: str, bundle: str, event_id: str) -> bool:
    """Notes the first failure of a sweep, within the caller's transaction; says whether it is the first."""
    done = db.execute(
        "INSERT INTO heralds (notifier, bundle, event_id) VALUES (?, ?, ?)"
        " ON CONFLICT (notifier, bundle) DO NOTHING",
        notifier,
        bundle,
        event_id,
    )
    return done == 1


def _free_at(events: list[Event], notifier: str, routing: Routing, now: float) -> float:
    """When people want to be told, once nothing else is waited for: now, if any of it may be told now."""
    recipient = next((one for one in routing.recipients if one.name == notifier), None)
    if recipient is None:
        return now
    holds = [held_for(event, recipient, now) for event in events]
    return min((hold.until if hold is not None else now for hold in holds), default=now)
