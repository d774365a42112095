"""What came in by webhook: which messages were taken already, and the mailboxes of runs without an API.

Every write takes part in the caller's transaction.
"""

from collections.abc import Callable

from ftwatch.store.sqlite import Database

__all__ = ["Inbound", "forget_inbound", "rename_inbound"]

# A sender that repeats itself does so within three days; a week is on the safe side (seconds).
REMEMBERED = 7 * 86400


class Inbound:
    """Messages by (provider, the sender's id), and documents by (provider, job)."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def take(self, provider: str, id: str, type: str, now: float) -> bool:
        """Remembers a message; False where it was taken before."""
        return bool(
            self._db.execute(
                "INSERT INTO inbound (provider, id, type, received_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (provider, id) DO NOTHING",
                provider,
                id,
                type,
                now,
            )
        )

    def since(self, provider: str, moment: float) -> list[tuple[str, str]]:
        """What was taken from a provider from a moment on (Unix seconds): the sender's id, and the type."""
        rows = self._db.rows(
            "SELECT id, type FROM inbound WHERE provider = ? AND received_at >= ? ORDER BY received_at",
            provider,
            moment,
        )
        return [(id, type) for id, type in rows]

    def put(self, provider: str, job: str, merge: Callable[[bytes | None], bytes], now: float) -> None:
        """Replaces a job's document in the mailbox by what `merge` makes of the one there."""
        row = self._db.row("SELECT document FROM mailbox WHERE provider = ? AND job = ?", provider, job)
        document = merge(row[0] if row else None)
        self._db.execute(
            "INSERT INTO mailbox (provider, job, heard_at, document) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (provider, job) DO UPDATE SET heard_at = excluded.heard_at,"
            " document = excluded.document",
            provider,
            job,
            now,
            document,
        )

    def document(self, provider: str, job: str) -> bytes | None:
        """A job's document."""
        row = self._db.row("SELECT document FROM mailbox WHERE provider = ? AND job = ?", provider, job)
        return bytes(row[0]) if row else None

    def documents(self, provider: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Up to so many documents after the job `after`, the newest jobs first, each with its job's id."""
        rows = self._db.rows(
            "SELECT job, document FROM mailbox WHERE provider = ?1"
            " AND (?2 IS NULL OR seq < (SELECT seq FROM mailbox WHERE provider = ?1 AND job = ?2))"
            " ORDER BY seq DESC LIMIT ?3",
            provider,
            after,
            limit,
        )
        return [(job, bytes(document)) for job, document in rows]

    def prune(self, now: float, retention: float) -> None:
        """Forgets messages that nobody repeats any more, and documents of jobs that are long over."""
        self._db.execute("DELETE FROM inbound WHERE received_at < ?", now - REMEMBERED)
        self._db.execute(
            "DELETE FROM mailbox WHERE heard_at < ? AND NOT EXISTS (SELECT 1 FROM jobs j"
            " WHERE j.provider = mailbox.provider AND j.id = mailbox.job AND j.active)",
            now - retention,
        )


def forget_inbound(db: Database, provider: str, job: str | None = None) -> None:
    """Removes what a job, or all of a provider's, told of itself."""
    if job is None:
        db.execute("DELETE FROM mailbox WHERE provider = ?", provider)
        db.execute("DELETE FROM inbound WHERE provider = ?", provider)
    else:
        db.execute("DELETE FROM mailbox WHERE provider = ? AND job = ?", provider, job)


def rename_inbound(db: Database, old: str, new: str) -> None:
    """Gives a renamed provider what came in under its old name; what it was told under the new one counts."""
    for table in ("inbound", "mailbox"):
        db.execute(f"UPDATE OR IGNORE {table} SET provider = ? WHERE provider = ?", new, old)
        db.execute(f"DELETE FROM {table} WHERE provider = ?", old)
