"""Job logs, checkpoints and series of figures: what providers tell of jobs besides their states.

Takes part in the caller's transaction when it writes. What a line means is `core.journal`'s affair.
"""

from collections.abc import Sequence

import msgspec

from ftwatch.core.job import JobKey, Status
from ftwatch.core.journal import Checkpoint, Journal, Line, attempts_ago, checkpoint_key, fresh
from ftwatch.store.sqlite import Database

__all__ = ["Journals", "by_step", "forget_journal", "rename_journal"]

TABLES = ("job_log", "checkpoints", "series")
OF_JOB = "WHERE provider = ? AND job = ?"

# So many lines of one job are kept, and so many points of its series; the oldest go first.
MOST_LINES, MOST_POINTS = 5_000, 20_000
# Among so many points the first of each figure is looked for.
FIRST_POINTS = 50

_encode = msgspec.json.Encoder().encode
_checkpoint = msgspec.json.Decoder(Checkpoint).decode
_metrics = msgspec.json.Decoder(dict[str, float]).decode


class Journals:
    """What is kept of the logs of jobs."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def news(self, key: JobKey, journal: Journal) -> Journal:
        """What of a journal is not known yet."""
        if journal.is_empty:
            return journal
        rows = self._db.rows(f"SELECT key, at FROM job_log {OF_JOB}", *key)
        lines = {found for found, _ in rows}
        if len(rows) >= MOST_LINES:
            # Older ones were let go; they are no news.
            oldest = min((at for _, at in rows if at is not None), default=0)
            kept = tuple(line for line in journal.lines if line.at is None or line.at >= oldest)
            journal = Journal(lines=kept, checkpoints=journal.checkpoints)
        saved = {found for (found,) in self._db.rows(f"SELECT key FROM checkpoints {OF_JOB}", *key)}
        return fresh(journal, lines, saved)

    def keys(self, key: JobKey) -> set[str]:
        """The keys of a job's known lines, and those of its checkpoints."""
        rows = self._db.rows(
            f"SELECT key FROM job_log {OF_JOB} UNION ALL SELECT key FROM checkpoints {OF_JOB}",
            *key,
            *key,
        )
        return {found for (found,) in rows}

    def add(self, key: JobKey, attempt: int, journal: Journal, now: float) -> None:
        """Keeps what is new; what was known already stays as it was. `attempt` is the one it ends in."""
        for line, ago in zip(journal.lines, attempts_ago(journal.lines), strict=True):
            of = max(0, attempt - ago)
            self._db.execute(
                "INSERT INTO job_log"
                " (provider, job, key, attempt, at, level, type, message, status, step, recorded_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (provider, job, key) DO NOTHING",
                *key,
                line.key,
                of,
                line.at,
                line.level,
                line.type,
                line.message,
                line.status,
                line.step,
                now,
            )
            if line.step is not None and line.metrics:
                self._plot(key, of, line, now)
        for one in journal.checkpoints:
            self._db.execute(
                "INSERT INTO checkpoints (provider, job, key, attempt, recorded_at, body)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (provider, job, key) DO NOTHING",
                *key,
                checkpoint_key(one),
                attempt,
                now,
                _encode(one),
            )
        if journal.lines:
            self._trim(key)

    def _plot(self, key: JobKey, attempt: int, line: Line, now: float) -> None:
        """The last word on a figure counts; figures of one step may come on several lines."""
        where = f"{OF_JOB} AND attempt = ? AND step = ?"
        row = self._db.row(f"SELECT metrics FROM series {where}", *key, attempt, line.step)
        known = _metrics(row[0]) if row else {}
        self._db.execute(
            "INSERT INTO series (provider, job, attempt, step, at, metrics, recorded_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (provider, job, attempt, step)"
            " DO UPDATE SET metrics = excluded.metrics",
            *key,
            attempt,
            line.step,
            line.at,
            _encode({**known, **line.metrics}),
            now,
        )

    def _trim(self, key: JobKey) -> None:
        """Lines that prove a state stay: forgotten and read again, they would prove it a second time."""
        for table, order, most, which in (
            ("job_log", "seq", MOST_LINES, "status IS NULL"),
            ("series", "step", MOST_POINTS, "TRUE"),
        ):
            where = f"FROM {table} WHERE provider = ? AND job = ? AND {which}"
            row = self._db.row(f"SELECT {order} {where} ORDER BY {order} DESC LIMIT 1 OFFSET ?", *key, most)
            if row is not None:
                self._db.execute(f"DELETE {where} AND {order} <= ?", *key, row[0])

    # ------------------------------------------------------------------------------------------ reading

    def lines(self, key: JobKey, limit: int = 1000) -> list[Line]:
        """The last lines of a job's log, oldest first, without their figures."""
        rows = self._db.rows(
            "SELECT key, at, level, type, message, status, step FROM job_log"
            f" {OF_JOB} ORDER BY seq DESC LIMIT ?",
            *key,
            limit,
        )
        return [
            Line(
                key=found,
                at=at,
                level=level,
                type=type,
                message=message,
                status=Status(status) if status else None,
                step=step,
            )
            for found, at, level, type, message, status, step in reversed(list(rows))
        ]

    def saved(self, key: JobKey) -> list[Checkpoint]:
        """A job's checkpoints, in the order of their steps."""
        rows = self._db.rows(f"SELECT body FROM checkpoints {OF_JOB}", *key)
        return sorted((_checkpoint(body) for (body,) in rows), key=by_step)

    def series(self, key: JobKey, attempt: int | None = None) -> list[tuple[int, dict[str, float]]]:
        """A job's figures by step; of its last attempt unless another is named."""
        if attempt is None:
            row = self._db.row(f"SELECT COALESCE(MAX(attempt), 0) FROM series {OF_JOB}", *key)
            attempt = row[0] if row else 0
        rows = self._db.rows(
            f"SELECT step, metrics FROM series {OF_JOB} AND attempt = ? ORDER BY step",
            *key,
            attempt,
        )
        return [(step, _metrics(metrics)) for step, metrics in rows]

    def first(self, key: JobKey, names: Sequence[str]) -> dict[str, float]:
        """The first of each of these figures in a job's last attempt, looked for in its first points only."""
        found: dict[str, float] = {}
        rows = self._db.rows(
            f"SELECT metrics FROM series {OF_JOB} AND attempt = (SELECT MAX(attempt) FROM series {OF_JOB})"
            " ORDER BY step LIMIT ?",
            *key,
            *key,
            FIRST_POINTS,
        )
        for (metrics,) in rows:
            known = _metrics(metrics)
            for name in names:
                if name in known:
                    found.setdefault(name, known[name])
        return found

    # ----------------------------------------------------------------------------------------- the rest

    def prune(self, before: float) -> None:
        """Forgets what was recorded before this time; not of jobs that go on, where it would be news."""
        for table in TABLES:
            self._db.execute(
                f"DELETE FROM {table} WHERE recorded_at < ? AND NOT EXISTS (SELECT 1 FROM jobs"
                f" WHERE jobs.provider = {table}.provider AND jobs.id = {table}.job AND jobs.active)",
                before,
            )


def by_step(one: Checkpoint) -> tuple[int, int, str]:
    """What checkpoints are sorted by."""
    return one.step or 0, one.at or 0, one.id or ""


def forget_journal(db: Database, where: str, *values: object) -> None:
    """Removes journals: of a job, or of a whole provider."""
    for table in TABLES:
        db.execute(f"DELETE FROM {table} WHERE {where}", *values)


def rename_journal(db: Database, old: str, new: str) -> None:
    """Gives a renamed provider its journals."""
    for table in TABLES:
        db.execute(f"UPDATE {table} SET provider = ? WHERE provider = ?", new, old)
