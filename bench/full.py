"""Fill the disk again and again under a living daemon, and count what got lost.

The database lies on a small file system of its own (a tmpfs, so this needs root). It is filled to the last
byte, stays full for a while in which jobs move on and messages wait, and gets room again. The daemon has to
say both, once each time, to go on delivering in between, and to find everything that happened.

    python bench/full.py [--cycles 50] [--seed 1] [--mib 4]
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from bugs import BUGS
from kills import CONFIG, SECRET, World, drained, is_watching

CHILD = Path(__file__).with_name("child.py")
FULL, ROOM = "ftwatch.store.full", "ftwatch.store.recovered"


@contextlib.contextmanager
def small_disk(mib: float) -> Iterator[Path]:
    """A file system of a few MiB."""
    with tempfile.TemporaryDirectory() as folder:
        size = f"size={int(mib * 1024)}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """Takes every byte that is left."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65536, 4096, 512, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
    return filler


def told(world: World) -> Counter[str]:
    """How often each of the two events has arrived, told apart by their ids."""
    seen = {id: json.loads(body)["type"] for id, body in world.received}
    return Counter(type for type in seen.values() if type in (FULL, ROOM))


@contextlib.asynccontextmanager
async def daemon(config: Path, bug: str | None) -> AsyncIterator[asyncio.subprocess.Process]:
    program = [sys.executable, str(CHILD), "--bug", bug] if bug else [sys.executable, "-m", "ftwatch"]
    process = await asyncio.create_subprocess_exec(*program, "-c", str(config), "run")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(true: Callable[[], bool], seconds: float) -> bool:
    for _ in range(int(seconds * 20)):
        if true():
            return True
        await asyncio.sleep(0.05)
    return False


async def main(cycles: int, seed: int, mib: float, bug: str | None = None) -> dict[str, Any]:
    luck = random.Random(seed)
    world = World(luck)
    problems: list[str] = []
    served = 0
    with small_disk(mib) as disk, tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = Path(folder) / "ftwatch.yaml"
        config.write_text(CONFIG.format(base=base, secret=SECRET, folder=disk))
        database = disk / "ftwatch.db"
        async with daemon(config, bug) as process:
            await until(lambda: is_watching(database), 20)
            for number in range(cycles):
                world.step()
                await asyncio.sleep(luck.uniform(0.2, 1.2))
                filler = fill(disk)
                if not await until(lambda wanted=number + 1: told(world)[FULL] == wanted, 20):
                    problems.append(f"cycle {number}: a full disk was not told")
                # Somebody else takes what the daemon gave up; nothing may be taken from it then.
                if luck.random() < 0.5:
                    fill(disk)
                before = len(world.received)
                for _ in range(luck.randint(1, 3)):
                    world.step()
                    await asyncio.sleep(luck.uniform(0.1, 0.8))
                served += len(world.received) > before
                filler.unlink()
                if not await until(lambda wanted=number + 1: told(world)[ROOM] == wanted, 30):
                    problems.append(f"cycle {number}: room was not told")
                if process.returncode is not None:
                    problems.append(f"cycle {number}: it ended with {process.returncode}")
                    break
            world.calm = True
            while any(world.lives.values()):
                world.step()
                await asyncio.sleep(0.02)
            await drained(world, database)
            process.send_signal(signal.SIGTERM)
            code = await process.wait()
        server.close()
    return {"cycles": cycles, **world.judge(), "problems": problems, "exit_code": code}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--mib", type=float, default=6.0)
    parser.add_argument("--bug", choices=BUGS, help="Plant this one, which has to be found.")
    given = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("a file system of its own needs root")
    found = {"seed": given.seed, **asyncio.run(main(given.cycles, given.seed, given.mib, given.bug))}
    print(json.dumps(found, indent=2))
    wrong = ("lost", "phantom", "disordered", "two_bodies", "forged", "problems", "exit_code")
    sys.exit(1 if any(found[key] for key in wrong) else 0)
