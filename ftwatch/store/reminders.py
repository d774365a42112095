"""Whom to remind of what. Whether a reminder is due, and what becomes of it, is `core.remind`'s affair.

A reminder is one more delivery of the event that told of the problem. It stands in the job's own lane, so
that it cannot come after the problem's end, and gives way to whatever is newer.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from ftwatch.core.announce import ProviderState
from ftwatch.core.delivery import REMINDER
from ftwatch.core.event import Event, decode
from ftwatch.core.job import JobKey
from ftwatch.core.known import Assignment, Known
from ftwatch.core.remind import LONGEST_AHEAD, Next, is_near, next_of
from ftwatch.core.route import Routing
from ftwatch.core.signature import message_id
from ftwatch.store.sqlite import Database

__all__ = ["Reminder", "Reminders", "withdraw"]

_decode_known = msgspec.json.Decoder(Known).decode
_decode_state = msgspec.json.Decoder(ProviderState).decode


class Reminder(Struct, frozen=True, kw_only=True):
    """Whom an event's problem is told again: how often it was, and when it will be (Unix seconds; None: no
    more). `reason` is why not now, or not any more.
    """

    notifier: str
    count: int
    due_at: float | None
    reason: str


class Reminders:
    """Reminders."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def begin(self, owed: Assignment, lane: str, now: float) -> None:
        """Notes that somebody is to be reminded of what they are told of, within the caller's transaction."""
        assert owed.remind is not None
        self._db.execute(
            "INSERT INTO reminders (notifier, lane, problem, event_id, due_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (notifier, lane, problem) DO UPDATE"
            " SET event_id = excluded.event_id, due_at = excluded.due_at, held = 0, count = 0, reason = ''",
            owed.notifier,
            lane,
            owed.problem,
            owed.event_id,
            now + owed.remind,
        )

    def next_due(self, notifier: str) -> float | None:
        """When somebody may have to be reminded next."""
        row = self._db.row(
            "SELECT MIN(due_at) FROM reminders WHERE notifier = ? AND due_at IS NOT NULL", notifier
        )
        return float(row[0]) if row and row[0] is not None else None

    def of(self, event: str) -> list[Reminder]:
        """Who is or was reminded of what began with an event."""
        rows = self._db.rows(
            "SELECT notifier, count, due_at, reason FROM reminders WHERE event_id = ? ORDER BY notifier",
            event,
        )
        return [Reminder(notifier=n, count=count, due_at=at, reason=why) for n, count, at, why in rows]

    def keep(self, notifier: str, routing: Routing, now: float) -> int:
        """Owes a notifier the reminders that are due, as one message; returns how many."""
        due = self.next_due(notifier)
        if due is None or due > now:
            return 0
        told = 0
        with self._db.transaction():
            for lane, problem, event_id, due_at, count, was_held, body in self._db.rows(
                "SELECT r.lane, r.problem, r.event_id, r.due_at, r.count, r.held, e.body FROM reminders r"
                " LEFT JOIN events e ON e.id = r.event_id"
                " WHERE r.notifier = ? AND r.due_at <= ? ORDER BY r.due_at",
                notifier,
                now + LONGEST_AHEAD,
            ):
                following = GONE
                if body is not None:
                    following = self._next(notifier, lane, decode(body), routing, now, bool(was_held))
                if due_at > now and not is_near(due_at, following, now):
                    continue
                if following.tell:
                    self._owe(notifier, lane, event_id, count + 1, now)
                    told += 1
                elif following.due_at is None:
                    withdraw(self._db, notifier, lane, following.reason, now)
                self._db.execute(
                    "UPDATE reminders SET due_at = ?, count = ?, held = ?, reason = ?"
                    " WHERE notifier = ? AND lane = ? AND problem = ?",
                    following.due_at,
                    count + following.tell,
                    following.is_held,
                    following.reason,
                    notifier,
                    lane,
                    problem,
                )
        return told

    def _next(
        self, notifier: str, lane: str, event: Event, routing: Routing, now: float, was_held: bool
    ) -> Next:
        known, is_degraded = None, False
        if event.key is not None:
            row = self._db.row("SELECT known FROM jobs WHERE provider = ? AND id = ?", *event.key)
            known = _decode_known(row[0]) if row else None
        else:
            row = self._db.row("SELECT state FROM providers WHERE name = ?", event.data.id)
            state = _decode_state(row[0]) if row is not None else None
            is_degraded = state is not None and (state.degraded_at is not None or state.is_flapping)
        waiting = self._db.row(
            "SELECT 1 FROM deliveries WHERE notifier = ? AND lane = ? AND state = 'pending' LIMIT 1",
            notifier,
            lane,
        )
        return next_of(
            event,
            notifier,
            routing,
            now,
            known=known,
            is_degraded=is_degraded,
            is_waiting=waiting is not None,
            was_held=was_held,
        )

    def _owe(self, notifier: str, lane: str, event_id: str, number: int, now: float) -> None:
        self._db.execute(
            "INSERT INTO deliveries"
            " (id, event_id, notifier, lane, why, state, reason, bundle, due_at, created_at)"
            " VALUES (?, ?, ?, ?, ?, 'pending', '', ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            message_id(notifier, event_id, "reminder", now),
            event_id,
            notifier,
            lane,
            f"reminder {number}",
            f"{REMINDER}{int(now)}",
            now,
            now,
        )

    def acknowledge(self, key: JobKey, problems: Sequence[str], reason: str, now: float) -> None:
        """Ends the reminders of these problems of a job, within the caller's transaction: somebody knows."""
        for problem in problems:
            for (notifier,) in self._db.rows(
                "SELECT notifier FROM reminders WHERE lane = ? AND problem = ? AND due_at IS NOT NULL",
                str(key),
                problem,
            ):
                withdraw(self._db, notifier, str(key), reason, now)
        self._db.execute_many(
            "UPDATE reminders SET due_at = NULL, reason = ?"
            " WHERE lane = ? AND problem = ? AND due_at IS NOT NULL",
            [(reason, str(key), problem) for problem in problems],
        )

    def shift(self, seconds: float) -> None:
        """Moves reminders along with a clock that was set, within the caller's transaction."""
        self._db.execute("UPDATE reminders SET due_at = due_at + ? WHERE due_at IS NOT NULL", seconds)

    def prune(self) -> None:
        """Forgets those of events that are forgotten, within the caller's transaction."""
        self._db.execute(
            "DELETE FROM reminders WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.id = reminders.event_id)"
        )


GONE = Next(False, None, "it was forgotten what began then")


def withdraw(db: Database, notifier: str, lane: str, why: str, now: float) -> None:
    """Takes back a reminder that has not left yet, within the caller's transaction."""
    db.execute(
        "UPDATE deliveries SET state = 'superseded', reason = ?, settled_at = ?, epoch = epoch + 1"
        " WHERE notifier = ? AND lane = ? AND state = 'pending' AND claimed_until IS NULL"
        f" AND bundle LIKE '{REMINDER}%'",
        why,
        now,
        notifier,
        lane,
    )
