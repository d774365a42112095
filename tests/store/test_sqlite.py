"""The file itself: one writer, all or nothing, and a clear word about versions."""

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ftwatch.store import sqlite
from ftwatch.store.sqlite import Database, Locked, StoreError, TooNew


def test_a_fresh_file_is_durable_private_and_migrated(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ftwatch.db"
    db = Database(path)
    assert db.row("PRAGMA journal_mode") == ("wal",)
    assert db.row("PRAGMA synchronous") == (2,)
    assert db.version >= 1
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
    db.close()
    db.close()


def test_a_second_writer_is_refused_with_a_sentence_and_a_reader_is_not(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    db = Database(path)
    with pytest.raises(Locked, match=rf"another ftwatch \(process {os.getpid()}\) is using .*stop it first"):
        Database(path)
    reader = Database(path, mode="read")
    assert reader.rows("SELECT * FROM jobs") == []
    with pytest.raises(StoreError, match="readonly"), reader.transaction():
        reader.execute("DELETE FROM jobs")
    reader.close()
    db.close()
    Database(path).close()


def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    code = (
        "import os, sys; from pathlib import Path; from ftwatch.store.sqlite import Database;"
        "db = Database(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    Database(path).close()


def test_nothing_of_a_failed_transaction_stays(tmp_path: Path) -> None:
    db = Database(tmp_path / "ftwatch.db")

    def write(*keys: str) -> None:
        with db.transaction():
            for key in keys:
                db.execute("INSERT INTO meta (key, value) VALUES (?, 'x')", key)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write("a")
    with pytest.raises(StoreError):
        write("a", "a")
    assert db.rows("SELECT * FROM meta") == []
    db.close()


def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    for mode in ("write", "read"):
        with pytest.raises(TooNew, match=r"schema 999.*run the newer ftwatch"):
            Database(path, mode=mode)  # type: ignore[arg-type]


def test_a_file_that_is_no_database_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    path.write_text("hello, this is not a database, whatever its name says" * 30)
    with pytest.raises(StoreError, match=r"cannot open .*not a database"):
        Database(path)


def test_reading_what_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has `ftwatch run` been started"):
        Database(tmp_path / "none.db", mode="read")
    assert not (tmp_path / "none.db").exists()


def test_before_a_migration_the_file_is_kept_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ftwatch.db"
    db = Database(path)
    with db.transaction():
        db.execute("INSERT INTO meta (key, value) VALUES ('a', 'b')")
    db.close()
    steps = [*sqlite._migrations(), (2, "CREATE TABLE later (x);\nDELETE FROM meta;\n")]
    monkeypatch.setattr(sqlite, "_migrations", lambda: steps)
    db = Database(path)
    assert (db.version, db.rows("SELECT * FROM meta")) == (2, [])
    db.close()
    kept = tmp_path / "ftwatch.db.v1.bak"
    with contextlib.closing(sqlite3.connect(kept)) as old:
        assert old.execute("SELECT * FROM meta").fetchall() == [("a", "b")]
        assert old.execute("PRAGMA user_version").fetchone() == (1,)


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ftwatch.db"
    Database(path).close()
    good = sqlite._migrations()
    monkeypatch.setattr(sqlite, "_migrations", lambda: [*good, (2, "DROP TABLE jobs;\nNONSENSE;\n")])
    with pytest.raises(StoreError):
        Database(path)
    monkeypatch.setattr(sqlite, "_migrations", lambda: good)
    db = Database(path)
    assert db.rows("SELECT * FROM jobs") == []
    db.close()


@pytest.mark.parametrize(
    ("mount", "refused"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False), ("zfs", False)],
)
def test_a_network_is_no_place_for_a_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mount: str, refused: bool
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\n/dev/x / ext4 rw 0 0\nserver:/x {tmp_path} {mount} rw 0 0\n")
    monkeypatch.setattr(sqlite, "MOUNTS", mounts)
    if refused:
        with pytest.raises(StoreError, match=rf"network file system \({mount}\).*local disk"):
            Database(tmp_path / "ftwatch.db")
    else:
        Database(tmp_path / "ftwatch.db").close()
