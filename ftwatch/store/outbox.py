"""The dispatchers' side of the store: what is due, who holds it, what became of it."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from ftwatch.core.announce import Announcement
from ftwatch.core.delivery import (
    LEAPFROG_AFTER,
    REMINDER,
    REPLAYED,
    SWEEP,
    Breaker,
    Claim,
    Delivery,
    Settlement,
    State,
    shifted,
)
from ftwatch.core.known import Assignment, Known
from ftwatch.core.route.hold import Hold
from ftwatch.core.signature import message_id
from ftwatch.store.reminders import Reminders, withdraw
from ftwatch.store.sqlite import Database
from ftwatch.store.sweeps import herald

__all__ = ["Outbox", "Settled"]

_COLUMNS = (
    "d.id, d.event_id, d.notifier, d.lane, d.state, d.reason, d.due_at, d.attempts, d.throttles,"
    " d.first_attempt_at, d.rejected_at, d.created_at, d.settled_at, d.bundle"
)

# Only the head of a lane may leave; one rejected for some time lets the next ones pass.
_HEAD = (
    "NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.state = 'pending' AND b.notifier = d.notifier"
    " AND b.lane = d.lane AND b.seq < d.seq AND (b.rejected_at IS NULL OR b.rejected_at > :passing))"
)

# What of a bundle may leave: nothing that is not of the bundle stands before it in its lane.
_BUNDLED = (
    "AND d.bundle IS NOT NULL AND d.due_at <= :now"
    " AND NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.state = 'pending' AND b.notifier = d.notifier"
    " AND b.lane = d.lane AND b.seq < d.seq AND b.bundle IS NOT d.bundle"
    " AND (b.rejected_at IS NULL OR b.rejected_at > :passing))"
)

_encode = msgspec.json.Encoder().encode
_decode_breaker = msgspec.json.Decoder(Breaker).decode
_decode_known = msgspec.json.Decoder(Known).decode


class Settled(Struct, frozen=True, kw_only=True, gc=False):
    """One try and what it came to. `memory` None leaves the notifier's memory as it was."""

    claim: Claim
    settlement: Settlement
    outcome: str
    at: float
    took: float
    memory: dict[str, object] | None = None
    announcement: Announcement | None = None


class Outbox:
    """Pending deliveries, their attempts, and what is remembered of notifiers."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # --------------------------------------------------------------------------------------------- owing

    def owe(self, owed: Sequence[Assignment], lanes: Mapping[str, str], now: float) -> None:
        """Adds deliveries, in their order, within the caller's transaction; `lanes` of events by their ids.

        What is held leaves with its bundle, when the first of that does, and not before what is held of its
        lane. What leaves at once takes that along: nobody is told of an end before its beginning. A reminder
        gives way to it.
        """
        # Mostly nobody has anything waiting, and then no lane need be looked at.
        keeping = {name for name in {one.notifier for one in owed} if self._keeps(name)}
        rows: list[tuple[object, ...]] = []
        for one in owed:
            event, notifier, hold = one.event_id, one.notifier, one.hold
            id, lane = message_id(notifier, event), lanes[event]
            if hold is None and notifier not in keeping:
                rows.append((id, event, notifier, lane, one.reason, "", "", now, now))
                continue
            # What stands before it is looked at, and what is owed since belongs to that.
            self._add(rows)
            rows = []
            is_kept = self._keeps(notifier, lane)
            if is_kept:
                withdraw(self._db, notifier, lane, "something newer is told", now)
            if hold is not None and hold.is_heralded and herald(self._db, notifier, hold.bundle, event):
                hold = hold.otherwise
            bundle, due_at = "", now
            if hold is not None:
                bundle, due_at = self._bundle(notifier, lane, hold)
                keeping.add(notifier)
            elif is_kept:
                self._release_held(notifier, lane, now)
            why = hold.why if hold else ""
            rows.append((id, event, notifier, lane, one.reason, why, bundle, due_at, now))
        self._add(rows)

    def _add(self, rows: Sequence[tuple[object, ...]]) -> None:
        self._db.execute_many(
            "INSERT INTO deliveries"
            " (id, event_id, notifier, lane, why, state, reason, bundle, due_at, created_at)"
            " VALUES (?, ?, ?, ?, ?, 'pending', ?, NULLIF(?, ''), ?, ?) ON CONFLICT (id) DO NOTHING",
            rows,
        )

    def _keeps(self, notifier: str, lane: str | None = None) -> bool:
        """Whether something waits in a bundle for a notifier: of this lane, or at all."""
        only, values = ("AND lane = ?", (notifier, lane)) if lane is not None else ("", (notifier,))
        row = self._db.row(
            f"SELECT 1 FROM deliveries WHERE notifier = ? {only} AND state = 'pending'"
            " AND bundle IS NOT NULL LIMIT 1",
            *values,
        )
        return row is not None

    def _release_held(self, notifier: str, lane: str, now: float) -> None:
        """What is held of a lane leaves now, and no more in a bundle."""
        self._db.execute(
            "UPDATE deliveries SET bundle = NULL, due_at = MIN(due_at, ?)"
            " WHERE notifier = ? AND lane = ? AND state = 'pending' AND bundle IS NOT NULL"
            f" AND bundle NOT LIKE '{REMINDER}%'",
            now,
            notifier,
            lane,
        )

    def _bundle(self, notifier: str, lane: str, hold: Hold) -> tuple[str, float]:
        """The bundle that something held belongs to, and when that leaves."""
        first = self._db.row(
            "SELECT MIN(due_at) FROM deliveries WHERE notifier = ? AND bundle = ? AND state = 'pending'",
            notifier,
            hold.bundle,
        )
        due_at = first[0] if first is not None and first[0] is not None else hold.until
        due_at = min(float(due_at), hold.until)
        if not hold.bundle.startswith(SWEEP):
            # Of a job whose sweep is not over the beginning is told with what cannot wait for that.
            self._db.execute(
                "UPDATE deliveries SET bundle = ?, due_at = ?, reason = ? WHERE notifier = ? AND lane = ?"
                f" AND state = 'pending' AND bundle LIKE '{SWEEP}%'",
                hold.bundle,
                due_at,
                hold.why,
                notifier,
                lane,
            )
        before = self._db.row(
            "SELECT bundle, due_at FROM deliveries WHERE notifier = ? AND lane = ? AND state = 'pending'"
            f" AND bundle IS NOT NULL AND bundle NOT LIKE '{REMINDER}%' ORDER BY due_at DESC LIMIT 1",
            notifier,
            lane,
        )
        if before is not None and before[1] > due_at:
            return str(before[0]), float(before[1])
        return hold.bundle, due_at

    def full_until(self, notifier: str, now: float, count: int, seconds: float) -> float | None:
        """Until when a notifier has had `count` messages within so many seconds; None while it has not."""
        row = self._db.row(
            "SELECT settled_at FROM deliveries WHERE notifier = ? AND state = 'delivered' AND settled_at > ?"
            " ORDER BY settled_at DESC LIMIT 1 OFFSET ?",
            notifier,
            now - seconds,
            count - 1,
        )
        return float(row[0]) + seconds if row else None

    def gather(self, notifier: str, bundle: str, why: str, until: float, now: float) -> int:
        """Makes a bundle, until then, of all that is due; but for errors, and what comes before one."""
        with self._db.transaction():
            return self._db.execute(
                "UPDATE deliveries SET bundle = :bundle, reason = :why, due_at = :until"
                " WHERE notifier = :notifier AND state = 'pending' AND bundle IS NULL AND due_at <= :now"
                " AND attempts = 0 AND claimed_until IS NULL AND NOT EXISTS"
                " (SELECT 1 FROM deliveries b JOIN events e ON e.id = b.event_id WHERE b.state = 'pending'"
                " AND b.notifier = deliveries.notifier AND b.lane = deliveries.lane"
                " AND b.seq >= deliveries.seq AND e.severity = 'error')",
                notifier=notifier,
                bundle=bundle,
                why=why,
                until=until,
                now=now,
            )

    # --------------------------------------------------------------------------------------------- taking

    def due(
        self,
        notifier: str,
        now: float,
        *,
        limit: int,
        lease: float,
        probe: bool = False,
        loose: bool = False,
    ) -> list[Claim]:
        """Takes up to `limit` deliveries of different lanes for `lease` seconds.

        `loose` leaves out what belongs to a bundle. `probe` takes the oldest one whether or not its time has
        come: is the receiver back? Only before its time is it a probe, which costs no try.
        """
        times = "" if probe else "AND d.due_at <= :now"
        # A probe may be sent before its time, but nothing that somebody wants to have later.
        times += " AND (d.bundle IS NULL OR (d.due_at <= :now AND NOT :loose))"
        order = "d.seq" if probe else "d.due_at, d.seq"
        return self._take(
            f"{times} AND {_HEAD} ORDER BY {order}",
            notifier,
            now,
            limit,
            lease,
            passing=now - LEAPFROG_AFTER,
            loose=loose,
        )

    def bundle_due(self, notifier: str, now: float) -> str | None:
        """The bundle that may leave first, if one may."""
        row = self._db.row(
            "SELECT d.bundle FROM deliveries d WHERE d.notifier = :notifier AND d.state = 'pending'"
            f" AND (d.claimed_until IS NULL OR d.claimed_until <= :now) {_BUNDLED} ORDER BY d.due_at LIMIT 1",
            notifier=notifier,
            now=now,
            passing=now - LEAPFROG_AFTER,
        )
        return str(row[0]) if row else None

    def bundled(self, notifier: str, bundle: str, now: float, *, limit: int, lease: float) -> list[Claim]:
        """Takes up to `limit` of a bundle that may leave, the oldest first: for one message."""
        which = f"AND d.bundle = :bundle {_BUNDLED} ORDER BY d.seq"
        passing = now - LEAPFROG_AFTER
        return self._take(which, notifier, now, limit, lease, bundle=bundle, passing=passing)

    def backlog(self, notifier: str, now: float, *, until: float, limit: int, lease: float) -> list[Claim]:
        """Takes up to `limit` of all that was owed by `until`, the oldest first, due or not: for a digest.

        What the receiver rejected stays behind, so that it cannot spoil the digest as well; so do reminders,
        which are no news.
        """
        which = (
            "AND d.rejected_at IS NULL AND d.created_at <= :until"
            f" AND (d.bundle IS NULL OR (d.due_at <= :now AND d.bundle NOT LIKE '{REMINDER}%'))"
            # A sweep that is over may stand behind one of the same job that is not.
            " AND NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.state = 'pending'"
            " AND b.notifier = d.notifier AND b.lane = d.lane AND b.seq < d.seq"
            " AND b.bundle IS NOT NULL AND b.due_at > :now)"
            " ORDER BY d.seq"
        )
        return self._take(which, notifier, now, limit, lease, until=until)

    def late(self, notifier: str, now: float, *, most: int) -> int:
        """How many deliveries are due that tell of what is long past; counted up to `most`."""
        row = self._db.row(
            "SELECT COUNT(*) FROM (SELECT 1 FROM deliveries d JOIN events e ON e.id = d.event_id"
            " WHERE d.notifier = ? AND d.state = 'pending' AND d.due_at <= ? AND d.rejected_at IS NULL"
            " AND e.late LIMIT ?)",
            notifier,
            now,
            most,
        )
        return int(row[0]) if row else 0

    def _take(
        self, which: str, notifier: str, now: float, limit: int, lease: float, **more: float | str
    ) -> list[Claim]:
        # What a power cut makes of a claim nobody needs to know: its holder is gone as well (`release`).
        with self._db.transaction(durable=False):
            rows = self._db.rows(
                f"SELECT d.seq, d.epoch, d.body, e.body, {_COLUMNS}"
                " FROM deliveries d JOIN events e ON e.id = d.event_id"
                " WHERE d.notifier = :notifier AND d.state = 'pending'"
                f" AND (d.claimed_until IS NULL OR d.claimed_until <= :now) {which} LIMIT :limit",
                notifier=notifier,
                now=now,
                limit=limit,
                **more,
            )
            self._db.execute(
                "UPDATE deliveries SET claimed_until = ?, epoch = epoch + 1"
                f" WHERE seq IN ({','.join('?' * len(rows))})",
                now + lease,
                *(row[0] for row in rows),
            )
        claims = []
        for seq, epoch, body, event, *rest in rows:
            delivery = _delivery(rest)
            claims.append(
                Claim(
                    seq=seq,
                    delivery=delivery,
                    epoch=epoch + 1,
                    until=now + lease,
                    event=event,
                    body=body,
                    probe=delivery.due_at > now,
                )
            )
        return claims

    def next_due(self, notifier: str, now: float, *, news: bool = False) -> float | None:
        """When the next delivery of a notifier may leave (Unix seconds); None when nothing waits.

        `news`: the next that is no reminder.
        """
        only = f"AND (d.bundle IS NULL OR d.bundle NOT LIKE '{REMINDER}%')" if news else ""
        row = self._db.row(
            "SELECT MIN(MAX(d.due_at, COALESCE(d.claimed_until, 0))) FROM deliveries d"
            f" WHERE d.notifier = :notifier AND d.state = 'pending' {only} AND {_HEAD}",
            notifier=notifier,
            passing=now - LEAPFROG_AFTER,
        )
        head = row[0] if row else None
        if head is None:
            return None
        row = self._db.row(
            "SELECT MIN(rejected_at) FROM deliveries"
            " WHERE notifier = ? AND state = 'pending' AND rejected_at > ?",
            notifier,
            now - LEAPFROG_AFTER,
        )
        passing = row[0] + LEAPFROG_AFTER if row and row[0] is not None else head
        return float(min(head, passing))

    def release(self) -> None:
        """Gives up every claim: who held them is gone."""
        with self._db.transaction():
            self._db.execute("UPDATE deliveries SET claimed_until = NULL WHERE claimed_until IS NOT NULL")

    def shift(self, seconds: float) -> int:
        """Moves what waits along with a clock that was set: each wait stays as long as it was.

        Returns how many deliveries were moved.
        """
        with self._db.transaction():
            Reminders(self._db).shift(seconds)
            for name, breaker in self._db.rows("SELECT name, breaker FROM notifiers"):
                self._db.execute(
                    "UPDATE notifiers SET breaker = ? WHERE name = ?",
                    _encode(shifted(_decode_breaker(breaker), seconds)),
                    name,
                )
            return self._db.execute(
                "UPDATE deliveries SET due_at = due_at + :by, claimed_until = claimed_until + :by,"
                " first_attempt_at = first_attempt_at + :by, rejected_at = rejected_at + :by"
                # What waits for a time of the day waits for what the clock says now.
                " WHERE state = 'pending' AND (bundle IS NULL OR attempts > 0"
                " OR bundle NOT IN ('quiet', 'digest'))",
                by=seconds,
            )

    def postpone(self, claims: Iterable[Claim], until: float) -> None:
        """Gives up claims that were not sent, to be taken again no earlier than `until`: no try was made."""
        with self._db.transaction():
            for claim in claims:
                self._db.execute(
                    "UPDATE deliveries SET claimed_until = NULL, due_at = MAX(due_at, ?)"
                    " WHERE seq = ? AND epoch = ?",
                    until,
                    claim.seq,
                    claim.epoch,
                )

    def freeze(self, claims: Sequence[tuple[Claim, bytes]]) -> None:
        """Stores the bytes that every attempt of a delivery will send."""
        with self._db.transaction():
            self._db.execute_many(
                "UPDATE deliveries SET body = ? WHERE seq = ? AND body IS NULL",
                [(body, claim.seq) for claim, body in claims],
            )

    # ------------------------------------------------------------------------------------------- settling

    def settle(self, batch: Sequence[Settled]) -> list[Settled]:
        """Writes what became of claims, each of another delivery, within the caller's transaction.

        Returns those of which something was written: for a claim that was taken over meanwhile its new holder
        answers.
        """
        taken = [done.claim.seq for done in batch]
        held = set(
            self._db.among(
                "SELECT seq, epoch FROM deliveries WHERE state = 'pending' AND seq IN ({some})", taken
            )
        )
        batch = [done for done in batch if (done.claim.seq, done.claim.epoch) in held]
        self._db.execute_many(
            "UPDATE deliveries SET state = ?, reason = ?, due_at = ?, attempts = ?, throttles = ?,"
            " first_attempt_at = ?, rejected_at = ?, settled_at = ?, claimed_until = NULL WHERE seq = ?",
            [
                (
                    new.state,
                    new.reason,
                    new.due_at,
                    new.attempts,
                    new.throttles,
                    new.first_attempt_at,
                    new.rejected_at,
                    done.at + done.took if new.state is not State.PENDING else None,
                    done.claim.seq,
                )
                for done in batch
                for new in (done.settlement,)
            ],
        )
        self._db.execute_many(
            "INSERT INTO attempts (delivery, at, took, outcome, reason) VALUES (?, ?, ?, ?, ?)",
            [(done.claim.seq, done.at, done.took, done.outcome, done.settlement.reason) for done in batch],
        )
        self._db.execute_many(
            "INSERT INTO memory (notifier, lane, value) VALUES (?, ?, ?)"
            " ON CONFLICT (notifier, lane) DO UPDATE SET value = excluded.value",
            [
                (done.claim.delivery.notifier, done.claim.delivery.lane, _encode(done.memory))
                for done in batch
                if done.memory is not None
            ],
        )
        return batch

    # ------------------------------------------------------------------------------------------ notifiers

    def breaker(self, notifier: str) -> Breaker:
        """Whether this notifier's receiver answers, as far as is remembered."""
        row = self._db.row("SELECT breaker FROM notifiers WHERE name = ?", notifier)
        return _decode_breaker(row[0]) if row else Breaker()

    def put_breaker(self, notifier: str, breaker: Breaker) -> None:
        """Remembers a breaker, within the caller's transaction."""
        self._db.execute(
            "INSERT INTO notifiers (name, breaker) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET breaker = excluded.breaker",
            notifier,
            _encode(breaker),
        )

    def hasten(self, notifier: str) -> None:
        """Makes what waited for a receiver due, within the caller's transaction: it is back.

        What it rejected, or asked to be sent later, keeps its time.
        """
        self._db.execute(
            "UPDATE deliveries SET due_at = MIN(due_at, created_at) WHERE notifier = ?"
            " AND state = 'pending' AND attempts > 0 AND rejected_at IS NULL AND throttles = 0",
            notifier,
        )

    def disabled(self, notifier: str) -> str | None:
        """Why this notifier is switched off, if it is."""
        row = self._db.row("SELECT disabled FROM notifiers WHERE name = ?", notifier)
        return row[0] if row else None

    def disable(self, notifier: str, reason: str | None) -> None:
        """Switches a notifier off because its receiver asked for it, or on again (None)."""
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO notifiers (name, breaker, disabled) VALUES (?, ?, ?)"
                " ON CONFLICT (name) DO UPDATE SET disabled = excluded.disabled",
                notifier,
                _encode(Breaker()),
                reason,
            )

    def memory(self, notifier: str, lanes: Sequence[str]) -> dict[str, dict[str, object]]:
        """What a notifier wanted to find again, by lane."""
        rows = self._db.among(
            "SELECT lane, value FROM memory WHERE notifier = ? AND lane IN ({some})", lanes, notifier
        )
        return {lane: msgspec.json.decode(value) for lane, value in rows}

    def living(self, notifier: str, since: float) -> list[tuple[str, dict[str, object], Known]]:
        """The lanes of jobs that a notifier remembers and that changed after `since`, with what it remembers
        of each, and what is known of it; the first to change first.
        """
        rows = self._db.rows(
            "SELECT m.lane, m.value, j.known FROM jobs j CROSS JOIN memory m"
            " ON m.notifier = ? AND m.lane = j.provider || '/' || j.id"
            " WHERE j.changed_at > ? AND NOT j.ignored ORDER BY j.changed_at",
            notifier,
            since,
        )
        return [(lane, msgspec.json.decode(value), _decode_known(known)) for lane, value, known in rows]

    def remember(self, notifier: str, lane: str, before: dict[str, object], after: dict[str, object]) -> bool:
        """Changes what a notifier remembers, if that is still what it was; says whether it was."""
        with self._db.transaction():
            changed = self._db.execute(
                "UPDATE memory SET value = ? WHERE notifier = ? AND lane = ? AND value = ?",
                _encode(after),
                notifier,
                lane,
                _encode(before),
            )
        return changed == 1

    # ---------------------------------------------------------------------------------------- by hand

    def retry(self, ids: Sequence[str], now: float) -> list[str]:
        """Makes dead or waiting deliveries due now, with all their tries anew; returns which.

        Whoever asks for that believes in the receiver: a notifier that was switched off is on again.
        """
        with self._db.transaction():
            for id in ids:
                self._db.execute(
                    "UPDATE notifiers SET disabled = NULL"
                    " WHERE name IN (SELECT notifier FROM deliveries WHERE id = ?)",
                    id,
                )
        return self._change(
            "UPDATE deliveries SET state = 'pending', reason = 'retried by hand', due_at = ?, attempts = 0,"
            " throttles = 0, first_attempt_at = NULL, rejected_at = NULL, settled_at = NULL"
            " WHERE id = ? AND state IN ('dead', 'pending')",
            ids,
            now,
        )

    def replay(self, notifier: str, since: float, now: float, *, dead: bool = False) -> int:
        """Owes a notifier again what it was owed since then (`dead`: only what died); returns how much.

        The same ids and bytes go out, and no reminders. A replay stands outside the order: it has a lane of
        its own, so that it holds up nothing new.
        """
        states = "('dead')" if dead else "('delivered', 'folded', 'dead')"
        with self._db.transaction():
            return self._db.execute(
                "UPDATE deliveries SET state = 'pending', why = 'replay by hand', reason = '', due_at = :now,"
                " attempts = 0, throttles = 0, first_attempt_at = NULL, rejected_at = NULL,"
                " settled_at = NULL,"
                f" lane = CASE WHEN lane LIKE '%{REPLAYED}' THEN lane ELSE lane || '{REPLAYED}' END"
                f" WHERE notifier = :notifier AND created_at >= :since AND state IN {states}"
                f" AND (bundle IS NULL OR bundle NOT LIKE '{REMINDER}%')",
                notifier=notifier,
                since=since,
                now=now,
            )

    def drop(self, ids: Sequence[str], now: float) -> list[str]:
        """Gives up dead or waiting deliveries for good (they stay listed as dropped); returns which."""
        return self._change(
            "UPDATE deliveries SET state = 'superseded', reason = 'dropped by hand', settled_at = ?,"
            " claimed_until = NULL, epoch = epoch + 1 WHERE id = ? AND state IN ('dead', 'pending')",
            ids,
            now,
        )

    def _change(self, sql: str, ids: Sequence[str], now: float) -> list[str]:
        with self._db.transaction():
            return [id for id in ids if self._db.execute(sql, now, id)]


def _delivery(row: Sequence[object]) -> Delivery:
    names = Delivery.__struct_fields__
    return msgspec.convert(dict(zip(names, row, strict=True)), Delivery)
