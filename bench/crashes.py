"""Kill the daemon at every named point, again and again, and count what got lost.

Like `kills.py`, but nothing is left to chance: each life ends by SIGKILL right before or right after one of
the functions that `child.py` names, at its first pass or a later one. A point that no life ever came to is
told as unreached: it would prove nothing.

    python bench/crashes.py [--repeats 20] [--seed 1] [--worlds 2]
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from child import AT_THE_START, POINTS
from kills import CONFIG, SECRET, World, drained, is_watching

CHILD = Path(__file__).with_name("child.py")
# How long a life may last without coming to its point (seconds); then it is killed where it is.
PATIENCE = 5.0
SELDOM = (
    "ftwatch.store.jobs:Jobs.swap_provider",
    "ftwatch.store.outbox:Outbox.put_breaker",
    "ftwatch.daemon:Daemon._reload",
)


async def answering(path: Path, daemon: asyncio.subprocess.Process) -> None:
    """Waits until the daemon answers at its socket: before that, a signal to reload would be its end."""
    while daemon.returncode is None:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_unix_connection(path)
            writer.close()
            return
        await asyncio.sleep(0.02)


async def world_of(points: list[tuple[str, int]], seed: int) -> dict[str, Any]:
    """One world, in which the daemon dies at each of these points in turn."""
    luck = random.Random(seed)
    world = World(luck)
    reached: dict[str, int] = dict.fromkeys((point for point, _ in points), 0)
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        config = Path(folder) / "ftwatch.yaml"
        config.write_text(CONFIG.format(base=base, secret=SECRET, folder=folder))
        database = Path(folder) / "ftwatch.db"
        run = ["-c", str(config), "run", "--wait-lock", "5s"]

        async def start(*program: str) -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(sys.executable, *program, *run)

        async def live() -> None:
            while True:
                world.step()
                await asyncio.sleep(luck.uniform(0.1, 0.4))

        daemon = await start("-m", "ftwatch")
        for _ in range(100):
            await asyncio.sleep(0.1)
            if is_watching(database):
                break
        daemon.kill()
        await daemon.wait()
        living = asyncio.create_task(live())
        for number, (point, on) in enumerate(points):
            # A provider's state is written when it is degraded, and when it is not any more.
            world.denied = "swap_provider" in point and not world.denied
            daemon = await start(str(CHILD), "--die", point, "--on", str(on))
            if "_reload" in point:
                await answering(Path(folder) / "ftwatch.sock", daemon)
                if daemon.returncode is None:
                    config.write_text(config.read_text() + f"\n# {number}\n")
                    daemon.send_signal(signal.SIGHUP)
            try:
                async with asyncio.timeout(PATIENCE):
                    code = await daemon.wait()
                reached[point] += code == -signal.SIGKILL
                if code != -signal.SIGKILL:
                    raise SystemExit(f"{point}: the daemon ended by itself: {code}")
            except TimeoutError:
                daemon.kill()
                await daemon.wait()
        living.cancel()
        world.calm, world.denied = True, False
        while any(world.lives.values()):
            world.step()
            await asyncio.sleep(0.01)
        daemon = await start("-m", "ftwatch")
        await drained(world, database)
        daemon.send_signal(signal.SIGTERM)
        code = await daemon.wait()
        server.close()
    return {**world.judge(), "reached": reached, "exit_code": code}


async def main(repeats: int, seed: int, worlds: int) -> dict[str, Any]:
    luck = random.Random(seed)
    # The first pass is where a start is; a later one is in the midst of things.
    all_points = []
    for point in POINTS:
        once = point.partition(" ")[2] in (*AT_THE_START, *SELDOM)
        all_points += [(point, 1 if once else luck.choice((1, 1, 2, 3, 5))) for _ in range(repeats)]
    luck.shuffle(all_points)
    shares = [all_points[number::worlds] for number in range(worlds)]
    found = await asyncio.gather(*(world_of(share, seed + n) for n, share in enumerate(shares)))
    reached = {point: sum(one["reached"].get(point, 0) for one in found) for point in POINTS}
    merged: dict[str, Any] = {"points": len(POINTS), "deaths": sum(reached.values())}
    for key in ("jobs", "transitions", "messages", "duplicates", "forged", "exit_code"):
        merged[key] = sum(one[key] for one in found)
    for key in ("lost", "phantom", "disordered", "two_bodies"):
        merged[key] = [entry for one in found for entry in one[key]]
    return {**merged, "unreached": sorted(point for point, count in reached.items() if not count)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--worlds", type=int, default=2)
    given = parser.parse_args()
    found = {"seed": given.seed, **asyncio.run(main(given.repeats, given.seed, given.worlds))}
    print(json.dumps(found, indent=2))
    wrong = ("lost", "phantom", "disordered", "two_bodies", "forged", "exit_code", "unreached")
    sys.exit(1 if any(found[key] for key in wrong) else 0)
