"""How much is there of everything? What metrics and probes ask, answered from indexes alone. Only reads."""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.announce import ProviderState
from ftwatch.core.delivery import LEAPFROG_AFTER, Breaker
from ftwatch.core.job import Status
from ftwatch.store.outbox import _HEAD
from ftwatch.store.sqlite import Database

__all__ = ["Census", "Waiting"]

GONE = "gone"

_decode_state = msgspec.json.Decoder(ProviderState).decode
_decode_breaker = msgspec.json.Decoder(Breaker).decode


class Waiting(Struct, frozen=True):
    """Deliveries that wait for one notifier: how many, and when the oldest was owed first (Unix seconds)."""

    count: int
    since: float


class Census:
    """Numbers of a store."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def jobs(self) -> dict[tuple[str, str], int]:
        """How many watched jobs there are by provider and status; `gone` for those that vanished."""
        counts: dict[tuple[str, str], int] = {}
        for provider, status, active, count in self._db.rows(
            "SELECT provider, status, active, COUNT(*) FROM jobs WHERE NOT ignored"
            " GROUP BY provider, status, active"
        ):
            # Whoever has not ended and yet need not be asked about has vanished.
            shown = status if active or Status(status).is_terminal else GONE
            counts[provider, shown] = counts.get((provider, shown), 0) + count
        return counts

    def providers(self) -> dict[str, ProviderState]:
        """What is remembered of every provider, by its name."""
        rows = self._db.rows("SELECT name, version, state FROM providers")
        return {name: replace(_decode_state(state), version=version) for name, version, state in rows}

    def notifiers(self) -> dict[str, tuple[Breaker, str | None]]:
        """Every notifier's breaker, and why it is switched off if it is, by its name."""
        rows = self._db.rows("SELECT name, breaker, disabled FROM notifiers")
        return {name: (_decode_breaker(breaker), disabled) for name, breaker, disabled in rows}

    def waiting(self) -> dict[str, Waiting]:
        """What waits for each notifier for which anything does, by its name."""
        found = {}
        for name, count, first in self._db.rows(
            "SELECT notifier, COUNT(*), MIN(seq) FROM deliveries WHERE state = 'pending' GROUP BY notifier"
        ):
            row = self._db.row("SELECT created_at FROM deliveries WHERE seq = ?", first)
            found[name] = Waiting(count, row[0] if row else 0.0)
        return found

    def dead(self) -> dict[str, int]:
        """How many dead letters each notifier has that has any, by its name."""
        return dict(
            self._db.rows("SELECT notifier, COUNT(*) FROM deliveries WHERE state = 'dead' GROUP BY notifier")
        )

    def is_overdue(self, notifier: str, before: float, now: float) -> bool:
        """Whether something that could leave, and that nobody holds, has been due since before then."""
        found = self._db.row(
            "SELECT 1 FROM deliveries d WHERE d.notifier = :notifier AND d.state = 'pending'"
            " AND d.due_at < :before AND (d.claimed_until IS NULL OR d.claimed_until <= :now)"
            f" AND {_HEAD} LIMIT 1",
            notifier=notifier,
            before=before,
            now=now,
            passing=now - LEAPFROG_AFTER,
        )
        return found is not None
