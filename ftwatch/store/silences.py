"""Silences that somebody asked for while ftwatch ran. What one mutes is `core.route`'s affair.

Those that stand are kept in memory, too: they are asked about at every decision, on whatever thread, and only
whoever holds the database's lock can change them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.job import JobKey
from ftwatch.core.route import Match, Routing, Silence
from ftwatch.store.sqlite import Database

__all__ = ["Kept", "Silences", "forget_silences", "rename_silences"]

# So many may stand at once: each of them is compared with each event.
MOST = 1_000

_COLUMNS = "id, matchers, until, until_end, comment, author, created_at, expired_at"

_encode = msgspec.json.Encoder().encode
_match = msgspec.json.Decoder(Match).decode


class Kept(Struct, frozen=True):
    """A silence as it is kept: since when, and when it was taken away or its job ended (Unix seconds)."""

    silence: Silence
    created_at: float
    expired_at: float | None

    def stands(self, now: float) -> bool:
        """Whether it mutes anything yet."""
        until = self.silence.until
        return self.expired_at is None and (until is None or now < until)


class Silences:
    """What is kept of silences. `refresh` has to follow every transaction that may have changed any.

    `ending` are the jobs with which some of them end.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._standing: tuple[Silence, ...] = ()
        self.ending: set[JobKey | None] = set()

    def refresh(self) -> None:
        """Reads anew which silences stand; some of them may have run out meanwhile."""
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM silences WHERE expired_at IS NULL ORDER BY created_at")
        self._standing = tuple(_kept(row).silence for row in rows)
        self.ending = {one.job for one in self._standing if one.until_end}

    def over(self, routing: Routing) -> Routing:
        """The config's routing with what stands here on top, of a store that writes; on any thread.

        Asks no database: what stands is what `refresh` found.
        """
        if not self._standing:
            return routing
        return replace(routing, silences=(*routing.silences, *self._standing))

    def all(self) -> list[Kept]:
        """Every silence that is kept, also those that are over, the oldest first."""
        return [_kept(row) for row in self._db.rows(f"SELECT {_COLUMNS} FROM silences ORDER BY created_at")]

    def add(self, silence: Silence, now: float) -> None:
        """Keeps one more.

        Raises ValueError where it would end with a job that is over, or where there are too many.
        """
        job = silence.job
        with self._db.transaction():
            if silence.until_end and job is not None:
                row = self._db.row("SELECT active FROM jobs WHERE provider = ? AND id = ?", *job)
                if row is not None and not row[0]:
                    raise ValueError(f"{job} is over, or not watched: no end of it will come")
            self._close(now)
            row = self._db.row("SELECT COUNT(*) FROM silences WHERE expired_at IS NULL")
            if row is not None and row[0] >= MOST:
                raise ValueError(
                    f"{MOST} silences stand already: `ftwatch silence expire` what is not needed"
                )
            self._db.execute(
                "INSERT INTO silences"
                " (id, matchers, provider, job, until, until_end, comment, author, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                silence.id,
                _encode(silence.match).decode(),
                silence.match.named("provider"),
                silence.match.named("id"),
                silence.until,
                silence.until_end,
                silence.comment,
                silence.author,
                now,
            )
        self.refresh()

    def expire(self, ids: Sequence[str], now: float) -> list[str]:
        """Takes silences away (they stay listed as over); returns which of them stood."""
        with self._db.transaction():
            done = [
                id
                for id in ids
                if self._db.execute(
                    "UPDATE silences SET expired_at = ?"
                    " WHERE id = ? AND expired_at IS NULL AND (until IS NULL OR until > ?)",
                    now,
                    id,
                    now,
                )
            ]
        self.refresh()
        return done

    def end(self, job: JobKey, now: float) -> bool:
        """Takes away what was to end with this job, within the caller's transaction; says whether any was."""
        if job not in self.ending:
            return False
        self._db.execute(
            "UPDATE silences SET expired_at = ?"
            " WHERE provider = ? AND job = ? AND until_end AND expired_at IS NULL",
            now,
            *job,
        )
        return True

    def prune(self, now: float, before: float) -> None:
        """Forgets what was over before this time, within the caller's transaction."""
        self._close(now)
        self._db.execute("DELETE FROM silences WHERE expired_at < ?", before)

    def _close(self, now: float) -> None:
        """Notes which ones have run out, so that no event is compared with them for ever."""
        self._db.execute(
            "UPDATE silences SET expired_at = until WHERE expired_at IS NULL AND until <= ?", now
        )


def forget_silences(db: Database, provider: str, job: str | None = None) -> None:
    """Removes every silence that names this one job, or this provider."""
    if job is None:
        db.execute("DELETE FROM silences WHERE provider = ?", provider)
    else:
        db.execute("DELETE FROM silences WHERE provider = ? AND job = ?", provider, job)


def rename_silences(db: Database, old: str, new: str) -> None:
    """Lets what names a renamed provider go on meaning it."""
    for id, matchers in db.rows("SELECT id, matchers FROM silences"):
        match = _match(matchers)
        renamed = replace(
            match,
            matchers=tuple(
                replace(one, value=_renamed(one.value, old, new)) if one.key == "provider" else one
                for one in match.matchers
            ),
        )
        if renamed != match:
            db.execute(
                "UPDATE silences SET matchers = ?, provider = ? WHERE id = ?",
                _encode(renamed).decode(),
                renamed.named("provider"),
                id,
            )


def _renamed(value: str | tuple[str, ...], old: str, new: str) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return new if value == old else value
    return tuple(new if one == old else one for one in value)


def _kept(row: tuple[Any, ...]) -> Kept:
    id, matchers, until, until_end, comment, author, created_at, expired_at = row
    silence = Silence(
        match=_match(matchers),
        until=until,
        until_end=bool(until_end),
        comment=comment,
        author=author,
        id=id,
    )
    return Kept(silence, created_at, expired_at)
