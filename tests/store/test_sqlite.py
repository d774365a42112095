"""The file itself: one writer, all or nothing, and a clear word about versions."""

import contextlib
import os
import random
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ftwatch.store import place, sqlite
from ftwatch.store.failure import Damaged, Full, Locked, StoreError, TooNew
from ftwatch.store.sqlite import Database


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
    before = path.read_bytes()
    with pytest.raises(Damaged, match=r"file is not a database.*Restore a backup: mkdir damaged; mv "):
        Database(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url)")
    before = path.read_bytes()
    for mode in ("write", "read"):
        with pytest.raises(StoreError, match=r"database of another program: point `store\.path`"):
            Database(path, mode=mode)  # type: ignore[arg-type]
    assert path.read_bytes() == before


def test_a_file_is_signed_also_one_of_the_first_version(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    Database(path).close()
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA application_id = 0")
    db = Database(path)
    assert db.row("PRAGMA application_id") == (int.from_bytes(b"ftwa"),)
    db.close()


def filled(path: Path) -> None:
    db = Database(path)
    with db.transaction():
        for number in range(400):
            db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", f"key {number}", "x" * 200)
    db.close()


def test_a_damaged_file_is_refused_and_names_the_way_back(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    filled(path)
    (tmp_path / "ftwatch.db.v1.bak").touch()
    content = bytearray(path.read_bytes())
    for at in range(8192, len(content) - 4096, 4096):
        content[at : at + 64] = bytes(range(64))
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"damaged \(.*Restore a backup, for instance ftwatch\.db\.v1\.bak"):
        Database(path)
    assert path.read_bytes() == bytes(content)


def test_random_damage_is_refused_or_hurts_nothing(tmp_path: Path) -> None:
    """Five hundred ways to spoil a file: it is refused, or everything that was committed is there."""
    dice = random.Random(7)
    original = tmp_path / "original.db"
    filled(original)
    whole = original.read_bytes()
    refused = 0
    for number in range(500):
        path = tmp_path / f"{number}.db"
        content = bytearray(whole)
        match number % 4:
            case 0:
                for _ in range(dice.randint(1, 50)):
                    content[dice.randrange(len(content))] ^= dice.randint(1, 255)
            case 1:
                del content[dice.randrange(len(content)) :]
            case 2:
                at = dice.randrange(0, len(content), 4096)
                content[at : at + 4096] = dice.randbytes(4096)
            case 3:
                at, other = (dice.randrange(0, len(content), 4096) for _ in range(2))
                content[at : at + 4096] = content[other : other + 4096]
        path.write_bytes(content)
        try:
            db = Database(path)
        except StoreError:
            refused += 1
        else:
            # A changed byte inside a value is beyond what any check of structure can see.
            assert db.row("SELECT COUNT(*) FROM meta") == (400,) or not content
            db.close()
        for left in tmp_path.glob(f"{number}.db*"):
            left.unlink()
    assert refused > 250


def test_a_failing_disk_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = Database(tmp_path / "ftwatch.db")
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"

    def fails() -> None:
        with db.transaction():
            raise error

    with pytest.raises(Damaged, match=r"the disk under .* failed \(SQLITE_IOERR_FSYNC\)"):
        fails()
    # SQLite's own helper files say the same when there is no room for them.
    monkeypatch.setattr(place.Room, "free", 0)
    with pytest.raises(Full):
        fails()
    assert db.was_full
    db.close()


def test_room_is_kept_and_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = place.Room(tmp_path / "ftwatch.db")
    assert room.keep()
    assert room.keep(), "once is enough"
    assert room.ballast.stat().st_size == room.size == 8 * place.MIB
    monkeypatch.setattr(place.Room, "free", room.size // 5)
    assert room.is_short
    assert not room.is_ample
    assert room.give()
    assert not room.ballast.exists()
    assert not room.give()
    assert not room.keep(), "where there is little room, none is taken"
    monkeypatch.setattr(place.Room, "free", 3 * room.size)
    assert room.keep()


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
    latest = sqlite._migrations()[-1][0]
    steps = [*sqlite._migrations(), (latest + 1, "CREATE TABLE later (x);\nDELETE FROM meta;\n")]
    monkeypatch.setattr(sqlite, "_migrations", lambda: steps)
    db = Database(path)
    assert (db.version, db.rows("SELECT * FROM meta")) == (latest + 1, [])
    db.close()
    kept = tmp_path / f"ftwatch.db.v{latest}.bak"
    with contextlib.closing(sqlite3.connect(kept)) as old:
        assert old.execute("SELECT * FROM meta").fetchall() == [("a", "b")]
        assert old.execute("PRAGMA user_version").fetchone() == (latest,)


def test_a_migration_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ftwatch.db"
    Database(path).close()
    good = sqlite._migrations()
    later = good[-1][0] + 1
    monkeypatch.setattr(sqlite, "_migrations", lambda: [*good, (later, "DROP TABLE jobs;\nNONSENSE;\n")])
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
    monkeypatch.setattr(place, "MOUNTS", mounts)
    if refused:
        with pytest.raises(StoreError, match=rf"network file system \({mount}\).*local disk"):
            Database(tmp_path / "ftwatch.db")
    else:
        Database(tmp_path / "ftwatch.db").close()
