"""Who said that they know of what is open about a job. What that spares people is `core.decide`'s affair.

The ack that holds stands in what is known of the job, so that it goes when the job moves on; here is kept
who acknowledged what, and when.
"""

import msgspec
from msgspec.structs import replace

from ftwatch.core.ack import acknowledge, reason
from ftwatch.core.job import JobKey
from ftwatch.core.known import Ack, Known
from ftwatch.store.reminders import Reminders
from ftwatch.store.sqlite import Database

__all__ = ["Acks", "forget_acks", "rename_acks"]

_encode = msgspec.json.Encoder().encode
_known = msgspec.json.Decoder(Known).decode
_alerts = msgspec.json.Decoder(dict[str, str]).decode


class Acks:
    """What was acknowledged."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, key: JobKey, author: str, comment: str, now: float) -> Ack | None:
        """Acknowledges what is open about a job; None, and nothing written, where nothing is.

        Raises ValueError where there is no such job, or nobody who does it.
        """
        with self._db.transaction():
            row = self._db.row("SELECT known FROM jobs WHERE provider = ? AND id = ? AND NOT ignored", *key)
            if row is None:
                raise ValueError(f"no job is called {key}")
            known = _known(row[0])
            ack = acknowledge(known, author, comment, now)
            if ack is None:
                return None
            # Whoever decides about the job at this moment has to read it again.
            self._db.execute(
                "UPDATE jobs SET known = ?, version = version + 1 WHERE provider = ? AND id = ?",
                _encode(replace(known, ack=ack)),
                *key,
            )
            self._db.execute(
                "INSERT INTO acks (provider, job, at, author, comment, state, alerts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                *key,
                ack.at,
                ack.author,
                ack.comment,
                ack.state,
                _encode(ack.alerts).decode(),
            )
            problems = [*([ack.state] if ack.state else []), *ack.alerts]
            Reminders(self._db).acknowledge(key, problems, reason(ack), now)
        return ack

    def of(self, key: JobKey) -> list[Ack]:
        """Every ack of a job, also those that hold no more, the oldest first."""
        rows = self._db.rows(
            "SELECT at, author, comment, state, alerts FROM acks WHERE provider = ? AND job = ? ORDER BY seq",
            *key,
        )
        return [
            Ack(at=at, author=author, comment=comment, state=state, alerts=_alerts(alerts))
            for at, author, comment, state, alerts in rows
        ]

    def prune(self, before: float) -> None:
        """Forgets who acknowledged what before this time, within the caller's transaction."""
        self._db.execute("DELETE FROM acks WHERE at < ?", before)


def forget_acks(db: Database, where: str, *values: object) -> None:
    """Removes acks: of a job, or of a whole provider."""
    db.execute(f"DELETE FROM acks WHERE {where}", *values)


def rename_acks(db: Database, old: str, new: str) -> None:
    """Gives a renamed provider its acks."""
    db.execute("UPDATE acks SET provider = ? WHERE provider = ?", new, old)
