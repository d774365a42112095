"""The SQLite file: opened safely, one writer, transactions, migrations. No table is named here."""

import fcntl
import importlib.resources
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

__all__ = ["Database", "Full", "Locked", "StoreError", "TooNew"]

# Pages of write-ahead log between checkpoints: fewer, larger checkpoints cost less than the default's 1,000.
CHECKPOINT = 4000
MOUNTS = Path("/proc/self/mounts")
NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs"}
)


class StoreError(Exception):
    """The store cannot do its work; the sentence says what to do about it. Nothing was committed."""


class Locked(StoreError):
    """Another ftwatch holds the database."""


class Full(StoreError):
    """The disk is full."""


class TooNew(StoreError):
    """The file was written by a newer ftwatch."""


class Database:
    """One connection to one file.

    `write` takes the writer's lock for as long as the database is open; without it the file is only read.
    """

    def __init__(self, path: Path, *, mode: Literal["write", "read"] = "write") -> None:
        self.path = path
        self._lock: int | None = None
        try:
            if mode == "write":
                path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                _refuse_network(path)
                self._lock = _lock(path)
            elif not path.exists():
                raise StoreError(f"there is no database at {path} yet: has `ftwatch run` been started?")
            self._connect(mode)
            if mode == "write":
                self._migrate()
            else:
                self._check_version()
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise StoreError(f"cannot open {path}: {error}") from error
        except StoreError:
            self.close()
            raise

    def _connect(self, mode: str) -> None:
        if mode == "write":
            # The file holds names and metadata of strangers' jobs: not for everyone's eyes.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o640))
        self._connection = connection = sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={'rw' if mode == 'write' else 'ro'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )
        if mode == "write":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        connection.execute("PRAGMA busy_timeout = 10000")

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
    def transaction(self) -> Iterator[None]:
        """All or nothing: commits at the end, rolls back on any error."""
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
            raise _explained(error, self.path) from error

    def execute(self, sql: str, *values: Any, **named: Any) -> int:
        """Runs one statement and says how many rows it changed."""
        return self._connection.execute(sql, named or values).rowcount

    def execute_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Runs one statement for every row."""
        self._connection.executemany(sql, rows)

    def rows(self, sql: str, *values: Any, **named: Any) -> list[tuple[Any, ...]]:
        """Every row that a query gives; its values are `?` in order, or `:name`."""
        try:
            return self._connection.execute(sql, named or values).fetchall()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    def row(self, sql: str, *values: Any, **named: Any) -> tuple[Any, ...] | None:
        """The first row that a query gives, if any."""
        found = self.rows(sql, *values, **named)
        return found[0] if found else None

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
        for number, script in steps:
            if number > self.version:
                with self.transaction():
                    for statement in _statements(script):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {number}")


def _refuse_network(path: Path) -> None:
    """Locks and write-ahead logs are not to be trusted over a network; refuses a database that lies there."""
    kind = _file_system(path.parent.resolve(), MOUNTS)
    if kind in NETWORKS or kind.startswith("fuse.ssh"):
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where a database can be damaged:"
            " point `store.path` at a local disk"
        )


def _file_system(folder: Path, mounts: Path) -> str:
    """The kind of file system that a folder lies on, by the kernel's list of mounts; "" if unknown."""
    best, kind = "", ""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Blanks in a path stand there as octal numbers.
        at = fields[1].encode("ascii", "surrogateescape").decode("unicode_escape")
        inside = at == "/" or str(folder) == at or str(folder).startswith(at.rstrip("/") + "/")
        if inside and len(at) >= len(best):
            best, kind = at, fields[2]
    return kind


def _lock(path: Path) -> int:
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        whose = f" (process {holder})" if holder.isdigit() else ""
        raise Locked(
            f"another ftwatch{whose} is using {path}: stop it first, or give this one its own `store.path`"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


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


def _explained(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
        return Full(f"no room left on the disk of {path}")
    if code is not None and code & 0xFF == sqlite3.SQLITE_BUSY:
        return Locked(f"{path} is busy: another program holds a transaction open")
    return StoreError(f"{path}: {error}")
