"""Cut the power again and again, under the real poller, store and dispatchers on a virtual clock.

The database runs over a file layer that remembers what was synced. When the power goes, at any write, only
that is sure to be there: of everything written since, each sector may have reached the disk or not, in any
order. What was acknowledged must be there nevertheless, and the file must be whole.

    python bench/powercut.py [--cuts 200] [--seed 1]        (needs the package apsw)
"""

import argparse
import json
import logging
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import apsw
import structlog
from bugs import BUGS, plant
from simulate import DAY, MEMORY, Died, Life, Provider, Receiver, World, is_death, judge

import ftwatch.store
from ftwatch.store.sqlite import Database

SECTOR = 512


class Disk:
    """What is written, and what of it is sure to stay. `image` is what a cut leaves."""

    def __init__(self, luck: random.Random, cut_at: int) -> None:
        self.luck = luck
        self.left = cut_at
        self.synced: dict[str, bytearray] = {}
        self.waiting: dict[str, list[tuple[str, int, bytes]]] = {}
        self.image: dict[str, bytes] | None = None
        self.writes = self.syncs = 0

    def load(self, path: str) -> None:
        """A file as it lay there when the power came back."""
        if path not in self.synced:
            file = Path(path)
            self.synced[path] = bytearray(file.read_bytes()) if file.exists() else bytearray()
            self.waiting[path] = []

    def note(self, path: str, kind: str, at: int, data: bytes = b"") -> None:
        """A write that nobody has waited for yet; the power may go right after it."""
        self.writes += 1
        self.waiting[path].append((kind, at, data))
        self._count()

    def sync(self, path: str) -> None:
        """Everything written to this file is sure from now on."""
        self.syncs += 1
        for write in self.waiting[path]:
            _apply(self.synced[path], write)
        self.waiting[path] = []
        self._count()

    def delete(self, path: str) -> None:
        """The file is gone; SQLite syncs the folder where that matters."""
        self.synced.pop(path, None)
        self.waiting.pop(path, None)
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.image = {path: self._survives(path) for path in self.synced}

    def _survives(self, path: str) -> bytes:
        content = bytearray(self.synced[path])
        waiting = list(self.waiting[path])
        if self.luck.random() < 0.5:
            self.luck.shuffle(waiting)
        for kind, at, data in waiting:
            if kind == "size":
                if self.luck.random() < 0.5:
                    _apply(content, (kind, at, data))
                continue
            for offset in range(0, len(data), SECTOR):
                if self.luck.random() < 0.5:
                    _apply(content, ("data", at + offset, data[offset : offset + SECTOR]))
        return bytes(content)


def _apply(content: bytearray, write: tuple[str, int, bytes]) -> None:
    kind, at, data = write
    if kind == "size":
        del content[at:]
        return
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


DISK: Disk


class Files(apsw.VFS):
    """SQLite's own file layer, with a disk that forgets."""

    def __init__(self) -> None:
        super().__init__("forgetful", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return File(name, flags)

    def xDelete(self, name: str, syncdir: bool) -> None:
        super().xDelete(name, syncdir)
        DISK.delete(name)


class File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        self.path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        DISK.load(self.path)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        DISK.note(self.path, "data", offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        DISK.note(self.path, "size", size)

    def xSync(self, flags: int) -> None:
        DISK.sync(self.path)


class Cursor:
    """What the store reads off a statement."""

    def __init__(self, rows: list[tuple[Any, ...]], changes: int) -> None:
        self._rows = rows
        self.rowcount = changes

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


class Connection:
    """APSW's connection, as far as the store uses the standard library's. Without power it is dead."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path), vfs="forgetful")

    def execute(self, sql: str, values: Any = ()) -> Cursor:
        try:
            before = self._connection.total_changes()
            rows = list(self._connection.execute(sql, values))
            changed = self._connection.changes() if self._connection.total_changes() > before else 0
        except apsw.Error as error:
            _dead()
            raised = sqlite3.OperationalError(str(error))
            raised.sqlite_errorcode = error.extendedresult  # type: ignore[attr-defined]
            raised.sqlite_errorname = type(error).__name__
            raise raised from None
        _dead()
        return Cursor(rows, changed)

    def executemany(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        for row in rows:
            self.execute(sql, row)

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction and DISK.image is None

    def close(self) -> None:
        self._connection.close(True)


def _dead() -> None:
    if DISK.image is not None:
        raise Died


class PoweredDatabase(Database):
    """The store's own code over the disk that forgets."""

    synchronous = "FULL"

    def _open(self, mode: str) -> Any:
        return Connection(self.path)

    def _connect(self, mode: str) -> None:
        super()._connect(mode)
        self._connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        # Checkpoints are where most can go wrong; they are to happen often.
        self._connection.execute("PRAGMA wal_autocheckpoint = 20")


class PoweredLife(Life):
    """One life between two cuts: no other death, but every acknowledgement is remembered."""

    def __init__(self, acknowledged: set[str], settled: set[str], *args: Any) -> None:
        self.acknowledged, self.settled = acknowledged, settled
        super().__init__(*args)

    def _mine(self) -> None:
        commit, settle = self.store.commit, self.store.settle

        def remembering(batch: Any, now: float) -> Any:
            lost = commit(batch, now)
            for one in (*batch.decisions, *batch.announcements):
                known = getattr(one, "known", None)
                if known is None or known.snapshot.key not in lost:
                    self.acknowledged.update(event.id for event in one.events)
            return lost

        def settling(batch: Any, *args: Any, **more: Any) -> None:
            settle(batch, *args, **more)
            self.settled.update(
                done.claim.delivery.id for done in batch if done.settlement.state == "delivered"
            )

        self.store.commit, self.store.settle = remembering, settling  # type: ignore[method-assign]


async def main(cuts: int, seed: int) -> dict[str, Any]:
    global DISK
    world = World(seed)
    luck = random.Random(seed)
    provider = Provider(world)
    receivers = {"strict": Receiver(world, grumpy=False), "grumpy": Receiver(world, grumpy=True)}
    acknowledged: set[str] = set()
    settled: set[str] = set()
    damaged: list[str] = []
    unkept: list[str] = []
    survived = writes = syncs = 0
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:

        def begin(number: int) -> PoweredLife:
            path = Path(folder) / str(number) / "ftwatch.db"
            return PoweredLife(acknowledged, settled, world, path, provider, receivers)

        DISK = Disk(luck, -1)
        life: PoweredLife | None = begin(0)
        assert life is not None
        world.calm = True
        await life.round()
        world.calm = False
        DISK.left = luck.randint(50, 3000)
        while survived < cuts:
            if world.dice.random() < 0.03:
                world.create()
            world.advance(world.dice.uniform(60, 900))
            try:
                # The power may go while the file is being opened, too.
                life = life or begin(survived)
                life.store.mark(world.now())
                await life.round()
            except (Died, BaseExceptionGroup) as error:
                if not is_death(error):
                    raise
                if DISK.image is None:
                    # A receiver's own idea of dying; the machine goes on.
                    if life is not None:
                        life.store.close()
                    life = None
                    continue
                survived += 1
                world.deaths += 1
                writes, syncs = writes + DISK.writes, syncs + DISK.syncs
                after = Path(folder) / str(survived)
                after.mkdir()
                for name, content in DISK.image.items():
                    if not name.endswith("-shm"):
                        (after / Path(name).name).write_bytes(content)
                if life is not None:
                    # The process is gone with the power; its lock goes with it.
                    life.store.db.close()
                _check(after / "ftwatch.db", acknowledged, settled, damaged, unkept)
                DISK = Disk(luck, luck.randint(50, 3000))
                life = None
        DISK.left = -1
        world.calm = True
        life = life or begin(survived)
        while any(world.lives.values()):
            world.advance(DAY / 4)
            await life.round()
        for _ in range(300):
            world.advance(1800)
            await life.round()
        verdict = judge(world, receivers, life.store)
        life.store.close()
    return {
        **verdict,
        "cuts": survived,
        "writes": writes,
        "syncs": syncs,
        "acknowledged": len(acknowledged),
        "damaged": damaged[:20],
        "unkept": unkept[:20],
    }


def _check(
    path: Path, acknowledged: set[str], settled: set[str], damaged: list[str], unkept: list[str]
) -> None:
    """Looks at a copy of what the cut left, with the standard library and before anybody mends anything."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        copy = Path(folder) / "ftwatch.db"
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            if source.exists():
                copy.with_name(copy.name + suffix).write_bytes(source.read_bytes())
        connection = sqlite3.connect(copy)
        try:
            found = connection.execute("PRAGMA integrity_check").fetchall()
            if found != [("ok",)]:
                damaged.append(f"{path.parent.name}: {found[0][0]}")
                return
            there = {id for (id,) in connection.execute("SELECT id FROM events")}
            unkept += [f"{path.parent.name}: event {id}" for id in acknowledged - there]
            over = {id for (id,) in connection.execute("SELECT id FROM deliveries WHERE state = 'delivered'")}
            unkept += [f"{path.parent.name}: settled {id}" for id in settled - over]
            # What the cut took must not be asked for again and again.
            acknowledged &= there
            settled &= over
        except sqlite3.Error as error:
            damaged.append(f"{path.parent.name}: {error}")
        finally:
            connection.close()


WRONG = ("lost", "phantom", "disordered", "two_bodies", "damaged", "unkept")

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--bug", choices=BUGS, help="Plant this one, which has to be found.")
    given = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    files = Files()
    ftwatch.store.Database = PoweredDatabase  # type: ignore[misc]
    if given.bug:
        plant(given.bug)
    begun = time.monotonic()
    result = {"seed": given.seed, **anyio.run(main, given.cuts, given.seed)}
    print(json.dumps({**result, "seconds": round(time.monotonic() - begun, 1)}, indent=2))
    sys.exit(1 if any(result[key] for key in WRONG) else 0)
