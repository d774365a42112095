"""SIGTERM under load, again and again, at random moments: each daemon must end by itself, in time, with 0.

Several daemons side by side, each in a world of its own (that of `kills.py`: jobs that move on by themselves,
a receiver that fails now and then). Here the receiver is also slow at times, up to longer than a stopping
daemon may wait for it. In the end every daemon may finish its work in peace, and nothing may be missing.

    python bench/stops.py [--times 500] [--worlds 4] [--seed 1]
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import kills

# Within how many seconds of a SIGTERM a daemon is gone.
IN_TIME = 10.0
# How often the receiver is slow, how often so slow that a stopping daemon gives up on it, and by how much.
SLOW, STUCK = 0.15, 0.01
NEXT_TO_FOREVER = 15.0


class Slow(kills.World):
    """A world whose receiver takes its time: before it takes a message, or after."""

    stuck = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who still sleeps when all is over is cancelled, which is no news.
        with contextlib.suppress(asyncio.CancelledError):
            await super().serve(_Lazy(self, reader), writer)  # type: ignore[arg-type]

    async def pause(self) -> None:
        dice = 1.0 if self.calm else self.luck.random()
        if dice < STUCK:
            self.stuck += 1
            await asyncio.sleep(NEXT_TO_FOREVER)
        elif dice < SLOW:
            await asyncio.sleep(self.luck.uniform(0.1, 3.0))


class _Lazy:
    """A reader that hands out a message's body late; the requests of the poller have none."""

    def __init__(self, world: Slow, reader: asyncio.StreamReader) -> None:
        self._world, self._reader = world, reader

    async def readuntil(self, separator: bytes) -> bytes:
        head = await self._reader.readuntil(separator)
        if head.startswith(b"POST"):
            await self._world.pause()
        return head

    async def readexactly(self, count: int) -> bytes:
        return await self._reader.readexactly(count)


class Life:
    """One world, its daemon, and how that ended each time."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.luck = random.Random(seed)
        self.world = Slow(self.luck)
        self.folder = folder
        self.ends: list[float] = []
        self.wrong: list[str] = []
        self._command: list[str] = []

    async def _begin(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*self._command)

    async def _ready(self, daemon: asyncio.subprocess.Process) -> None:
        """Waits until it answers at its socket."""
        while daemon.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_unix_connection(self.folder / "ftwatch.sock")
                writer.close()
                return
            await asyncio.sleep(0.02)

    async def _stop(self, daemon: asyncio.subprocess.Process, *, early: bool = False) -> None:
        """Asks it to end, and looks at how it does. An `early` one may die of the signal itself."""
        if daemon.returncode is not None:
            self.wrong.append(f"it ended by itself with {daemon.returncode}")
            return
        begun = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(daemon.wait(), IN_TIME * 2)
        except TimeoutError:
            daemon.kill()
            await daemon.wait()
            self.wrong.append("it did not end")
            return
        self.ends.append(time.monotonic() - begun)
        if code != 0 and not (early and code == -signal.SIGTERM):
            self.wrong.append(f"exit code {code} after {self.ends[-1]:.1f} s")
        if self.ends[-1] > IN_TIME:
            self.wrong.append(f"it took {self.ends[-1]:.1f} s to end")

    async def _live(self) -> None:
        while True:
            self.world.step()
            await asyncio.sleep(self.luck.uniform(0.05, 0.3))

    async def go(self, times: int) -> dict[str, Any]:
        """Starts and stops it `times` times; the verdict."""
        server = await asyncio.start_server(self.world.serve, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = self.folder / "ftwatch.yaml"
        config.write_text(kills.CONFIG.format(base=base, secret=kills.SECRET, folder=self.folder))
        self._command = [sys.executable, "-m", "ftwatch", "-c", str(config), "run", "--wait-lock", "5s"]
        database = self.folder / "ftwatch.db"
        daemon = await self._begin()
        # The baseline must be over before the first job: what it finds is no news.
        for _ in range(300):
            await asyncio.sleep(0.1)
            if kills.is_watching(database):
                break
        living = asyncio.create_task(self._live())
        for number in range(times):
            # One time in ten it is still loading its modules, and has not yet begun to listen to signals.
            early = number % 10 == 9
            if early:
                await asyncio.sleep(self.luck.uniform(0.0, 0.5))
            else:
                await self._ready(daemon)
                await asyncio.sleep(self.luck.uniform(0.0, 2.5))
            await self._stop(daemon, early=early)
            daemon = await self._begin()
        living.cancel()
        self.world.calm = True
        while any(self.world.lives.values()):
            self.world.step()
            await asyncio.sleep(0.01)
        await kills.drained(self.world, database)
        await self._stop(daemon)
        server.close()
        return self.world.judge()


async def main(times: int, worlds: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        lives = []
        for number in range(worlds):
            home = Path(folder) / str(number)
            home.mkdir()
            lives.append(Life(seed + number, home))
        shares = [times // worlds + (number < times % worlds) for number in range(worlds)]
        verdicts = await asyncio.gather(*(life.go(share) for life, share in zip(lives, shares, strict=True)))
    ends = sorted(end for life in lives for end in life.ends)
    found: dict[str, Any] = {
        "times": times,
        "worlds": worlds,
        "stuck": sum(life.world.stuck for life in lives),
        "slowest": round(ends[-1], 2) if ends else None,
        "median": round(ends[len(ends) // 2], 2) if ends else None,
        "wrong": [f"world {n}: {line}" for n, life in enumerate(lives) for line in life.wrong],
    }
    for key, first in verdicts[0].items():
        if isinstance(first, list):
            found[key] = [f"world {n}: {one}" for n, verdict in enumerate(verdicts) for one in verdict[key]]
        else:
            found[key] = sum(verdict[key] for verdict in verdicts)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    given = parser.parse_args()
    told = {"seed": given.seed, **asyncio.run(main(given.times, given.worlds, given.seed))}
    print(json.dumps(told, indent=2))
    bad = any(told[key] for key in ("wrong", "lost", "phantom", "disordered", "two_bodies", "forged"))
    sys.exit(1 if bad else 0)
