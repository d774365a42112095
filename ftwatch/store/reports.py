"""What a report is made of, and when a notifier had its last one. What it says is `core.report`'s affair."""

from collections.abc import Iterator

from msgspec.json import Decoder

from ftwatch.core import ack as acks
from ftwatch.core.event import JOB, Event, Report, decode
from ftwatch.core.job import Status
from ftwatch.core.known import Known
from ftwatch.core.report import ended, make_report
from ftwatch.core.span import spoken
from ftwatch.store.census import Census
from ftwatch.store.sqlite import Database

__all__ = ["Reports"]

_decode_known = Decoder(Known).decode
_ENDS = tuple(JOB + status for status in Status if status.is_terminal)


class Reports:
    """Reports."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def last(self, notifier: str) -> float | None:
        """When a notifier had its last report, or was first to have one (Unix seconds)."""
        row = self._db.row("SELECT value FROM meta WHERE key = ?", f"report:{notifier}")
        return float(row[0]) if row else None

    def note(self, notifier: str, at: float) -> None:
        """Remembers that a notifier has had its report."""
        with self._db.transaction():
            self._db.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                f"report:{notifier}",
                str(at),
            )

    def make(self, since: float, until: float) -> Report:
        """What came of all jobs between these times."""
        bodies = self._db.rows(
            "SELECT body FROM events WHERE recorded_at >= ? AND recorded_at < ? AND type IN (?, ?, ?)"
            " ORDER BY seq",
            since,
            until,
            *_ENDS,
        )
        events = ended(decode(body) for (body,) in bodies)
        row = self._db.row("SELECT COUNT(*) FROM jobs WHERE active AND NOT ignored")
        return make_report(events, row[0] if row else 0, list(self._open(events, until)), since, until)

    def _open(self, events: list[Event], now: float) -> Iterator[str]:
        """What somebody should see to, the gravest first."""
        census = Census(self._db)
        for name, state in census.providers().items():
            if state.degraded_at is not None:
                yield f"{name} cannot be watched for {spoken(now - state.degraded_at)}: {state.reason}"
        for name, (breaker, disabled) in census.notifiers().items():
            if disabled is not None:
                yield f"{name} is switched off: {disabled}"
            elif breaker.failing_since is not None:
                yield f"{name} takes no messages for {spoken(now - breaker.failing_since)}"
        for name, count in census.dead().items():
            yield f"{name} has {count} dead letter{'s' if count > 1 else ''}: `ftwatch outbox list`"
        for event in events:
            if event.status is not Status.FAILED or event.key is None:
                continue
            row = self._db.row(
                "SELECT known FROM jobs WHERE provider = ? AND id = ? AND NOT ignored", *event.key
            )
            known = _decode_known(row[0]) if row is not None else None
            if known is not None and known.snapshot.status is Status.FAILED and known.ack is None:
                yield f"{known.snapshot.title} failed, and nobody has acknowledged it"
        for (body,) in self._db.rows(
            "SELECT known FROM jobs WHERE NOT ignored AND status NOT IN ('succeeded', 'failed', 'cancelled')"
            " AND (NOT active OR status IN ('paused', 'unknown') OR instr(known, ?) > 0)",
            b'"alerts":{"',
        ):
            known = _decode_known(body)
            if known.ack is None:
                parts = [*filter(None, (acks.state_of(known),)), *known.alerts]
                yield f"{known.snapshot.title} is {', '.join(parts)} for {spoken(now - known.status_since)}"
