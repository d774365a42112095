"""The SQLite file: opened safely, one writer, transactions, migrations. No table is named here."""

import importlib.resources
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from ftwatch.store import place
from ftwatch.store.failure import Damaged, Full, Locked, StoreError, TooNew

__all__ = ["Database"]

# Pages of write-ahead log between checkpoints: fewer, larger checkpoints cost less than the default's 1,000.
CHECKPOINT = 4000
# "ftwa": says that a file is ours, so that another program's is never taken for it.
OURS = 0x66747761
# How large a file may be to be looked through at every start, to the last index or at least its structure;
# `ftwatch doctor` looks through any.
LOOKED_THROUGH, LEAFED_THROUGH = 64 * 1024 * 1024, 256 * 1024 * 1024
# With less room than this a failing write is no failing disk.
SMALLEST_WRITE = 64 * 1024
# SQLite takes many more values, but a statement should stay readable in a trace.
CHUNK = 200


class Database:
    """One connection to one file.

    `write` takes the writer's lock for as long as the database is open; without it the file is only read.
    Raises StoreError: Locked, TooNew, Full, Damaged. What is damaged, or another program's, is not touched.
    """

    def __init__(self, path: Path, *, mode: Literal["write", "read"] = "write") -> None:
        self.path = path
        self.was_full = False
        self._lock: int | None = None
        try:
            if mode == "write":
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                place.refuse_network(path)
                self._lock = place.lock(path)
            elif not path.exists():
                raise StoreError(f"there is no database at {path} yet: has `ftwatch run` been started?")
            self._connect(mode)
            if mode == "write":
                self._migrate()
            else:
                self._check_version()
        except sqlite3.Error as error:
            self.close()
            raise _explained(error, path) from error
        except OSError as error:
            self.close()
            raise StoreError(f"cannot open {path}: {error.strerror}") from error
        except StoreError:
            self.close()
            raise

    def _connect(self, mode: str) -> None:
        if mode == "write":
            # The file holds names and metadata of strangers' jobs: not for everyone's eyes.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o640))
        self._connection = connection = self._open(mode)
        # A foreign schema is a program that runs in ours: it may not call anything.
        connection.execute("PRAGMA trusted_schema = OFF")
        self._refuse_foreign()
        if mode == "write":
            self._look_through()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        connection.execute("PRAGMA busy_timeout = 10000")

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={'rw' if mode == 'write' else 'ro'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )

    def _look_through(self) -> None:
        """Refuses a file that is not whole, before anything is written into it."""
        size = self.path.stat().st_size
        found = self.damage(quick=size > LOOKED_THROUGH) if size <= LEAFED_THROUGH else []
        if found:
            raise damaged(self.path, found[0])

    def _refuse_foreign(self) -> None:
        given = self.row("PRAGMA application_id")
        tables = {name for (name,) in self.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        # The first version did not sign its files.
        if given != (OURS,) and tables and (given != (0,) or not tables >= {"jobs", "deliveries"}):
            raise StoreError(
                f"{self.path} is the database of another program: point `store.path` at a file of its own"
            )

    def damage(self, *, quick: bool) -> list[str]:
        """What SQLite finds wrong with the file; looks into every page, `quick` not into every index."""
        pragma = "quick_check" if quick else "integrity_check"
        return [str(line) for (line,) in self.rows(f"PRAGMA {pragma}(20)") if line != "ok"]

    @property
    def size(self) -> int:
        """Bytes that the file and the log beside it take up."""
        sizes = 0
        for path in (self.path, self.path.with_name(self.path.name + "-wal")):
            with suppress(FileNotFoundError):
                sizes += path.stat().st_size
        return sizes

    def spare(self, frames: int | None = None) -> None:
        """Makes the write-ahead log keep to so many pages, and empties it now: for a full disk."""
        self.rows(f"PRAGMA wal_autocheckpoint = {frames or CHECKPOINT}")
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes the file and gives up the lock. Can be called twice."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def copy_to(self, path: Path) -> None:
        """Copies the whole database to a new file, consistent although others may write meanwhile."""
        copy: sqlite3.Connection | None = None
        try:
            copy = sqlite3.connect(path)
            self._connection.backup(copy)
        except sqlite3.Error as error:
            raise _explained(error, path) from error
        finally:
            if copy is not None:
                copy.close()

    # ------------------------------------------------------------------------------------- statements

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """All or nothing: commits at the end, rolls back on any error.

        Only what is not `durable` may be lost by a power cut, up to the next transaction that is.
        """
        if not durable:
            with self._unsynced(), self.transaction():
                yield
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            explained = _explained(error, self.path)
            self.was_full = self.was_full or isinstance(explained, Full)
            raise explained from error

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._connection.execute("PRAGMA synchronous = FULL")

    def execute(self, sql: str, *values: Any, **named: Any) -> int:
        """Runs one statement and says how many rows it changed."""
        return self._connection.execute(sql, named or values).rowcount

    def execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs one statement for every row.

        Of values that are no plain text, number or bytearray (bytes, truths, None, members of an enum) the
        library asks first whether they can be adapted, which takes longer than to bind several.
        """
        if rows:
            self._connection.executemany(sql, rows)

    def rows(self, sql: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
        """Every row that a query gives; its values are `?` in order, or `:name`."""
        try:
            return self._connection.execute(sql, named or values).fetchall()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        except UnicodeDecodeError:
            raise damaged(self.path, "there is text in it that is none") from None

    def row(self, sql: str, *values: Any, **named: Any) -> tuple[Any, ...] | None:
        """The first row that a query gives, if any."""
        found = self.rows(sql, *values, **named)
        return found[0] if found else None

    def among(self, sql: str, some: Sequence[Any], *values: Any) -> Iterator[tuple[Any, ...]]:
        """Every row that a query gives for some values, which take the place of its `{some}`; asked for in
        parts. Its `?` are `values`, and stand before that.
        """
        for start in range(0, len(some), CHUNK):
            part = some[start : start + CHUNK]
            yield from self.rows(sql.format(some=",".join("?" * len(part))), *values, *part)

    @property
    def written_by_others(self) -> int:
        """A number that is another one after every commit of another connection."""
        row = self.row("PRAGMA data_version")
        return int(row[0]) if row else 0

    # ------------------------------------------------------------------------------------- migrations

    @property
    def version(self) -> int:
        """How many migrations this file has seen."""
        row = self.row("PRAGMA user_version")
        return int(row[0]) if row else 0

    def _check_version(self) -> list[tuple[int, str]]:
        steps = _migrations()
        latest = steps[-1][0]
        if self.version > latest:
            raise TooNew(
                f"{self.path} has schema {self.version}, this ftwatch knows {latest}: "
                "run the newer ftwatch that wrote it"
            )
        return steps

    def _migrate(self) -> None:
        steps, before = self._check_version(), self.version
        if 0 < before < steps[-1][0]:
            # Whoever wants to go back to the version before finds the file as that version left it.
            kept = self.path.with_name(f"{self.path.name}.v{before}.bak")
            if not kept.exists():
                partial = kept.with_name(kept.name + ".partial")
                partial.unlink(missing_ok=True)
                self.copy_to(partial)
                partial.replace(kept)
        if self.row("PRAGMA application_id") != (OURS,):
            self._connection.execute(f"PRAGMA application_id = {OURS}")
        for number, script in steps:
            if number > self.version:
                with self.transaction():
                    for statement in _statements(script):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {number}")


def _migrations() -> list[tuple[int, str]]:
    folder = importlib.resources.files("ftwatch.store") / "migrations"
    found = [
        (int(file.name[:4]), file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    return sorted(found)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one, so that they all run in one transaction."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


def damaged(path: Path, what: str) -> Damaged:
    """The error for a file that is not whole, with the way back."""
    kept = sorted(path.parent.glob(f"{path.name}.v*.bak"))
    named = f", for instance {kept[-1].name}" if kept else ""
    return Damaged(
        f"{path} is damaged ({what}); nothing was changed. Restore a backup{named}:"
        f" mkdir damaged; mv {path} {path}-wal {path}-shm damaged/; cp BACKUP {path}"
    )


def _explained(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return Full(f"no room left on the disk of {path}")
        case sqlite3.SQLITE_BUSY:
            return Locked(f"{path} is busy: another program holds a transaction open")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case sqlite3.SQLITE_IOERR:
            # Some of SQLite's own helper files say so when there is no room for them.
            if place.Room(path).free < SMALLEST_WRITE:
                return Full(f"no room left on the disk of {path}")
            return Damaged(
                f"the disk under {path} failed ({error.sqlite_errorname}): look at the kernel's log"
            )
    if str(error).startswith(("no such table", "no such column")):
        return StoreError(
            f"{path} is as an older ftwatch left it ({error}): start `ftwatch run` of this one first"
        )
    if str(error).startswith("Could not decode"):
        return damaged(path, "there is text in it that is none")
    return StoreError(f"{path}: {error}")
