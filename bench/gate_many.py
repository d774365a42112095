"""What a million known jobs cost: CPU per job, memory, and time at the start, beside what a thousand cost.

    python bench/gate_many.py [--small] [--pictures FOLDER]

The store is filled through its own `Jobs.swap`, since to read a million jobs first would measure something
else. CPU is that of whole walks over listings in which nothing has changed, from one thousand jobs to a
million; `--pictures` draws it (`growth.svg`). The start is the time from the beginning of `ftwatch run` to
its first request, with a million finished jobs in the store and with none.
"""

import asyncio
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gauge import MEASURED, Child, asked, given, median_ratio, pin, reply, resident, say, upstream, verdict

SIZES, SMALL = (1_000, 10_000, 100_000, 1_000_000), (200, 1_000)
ROUNDS = 5
# A walk over few jobs is repeated until it is long enough to be measured.
WALKED = 100_000


async def fill(folder: str, count: str) -> None:
    """A store that knows so many finished jobs, and has its baseline behind it."""
    from msgspec.structs import replace
    from upstream import CREATED, body
    from watcher import Watcher

    from ftwatch.core.known import Known
    from ftwatch.poller.listing import fingerprint

    with upstream(1, 0) as base:
        async with Watcher.over(base, folder=Path(folder)) as watcher:
            await watcher.baseline()
            one = watcher.provider.read(body(1, ended=True))
            now = watcher.clock.now()
            for start in range(2, int(count) + 1, 10_000):
                with watcher.store.db.transaction():
                    for number in range(start, min(start + 10_000, int(count) + 1)):
                        raw = body(number, ended=True)
                        job = replace(one, id=f"ftjob-{number:024d}", created_at=CREATED + number)
                        known = Known(snapshot=job, status_since=now, asked=1, fingerprint=fingerprint(raw))
                        watcher.store.jobs.swap([known], now)


async def walk(folder: str, base: str) -> None:
    """The real poller over this store: walks when it is asked to."""
    from watcher import Watcher

    async with Watcher.over(base, folder=Path(folder)) as watcher:
        await watcher.sweep()
        await watcher.sweep()
        for question in asked():
            begun = time.process_time()
            for _ in range(question["times"]):
                await watcher.sweep()
            reply({"seconds": time.process_time() - begun, "rss": resident()})


def start(folder: Path) -> float:
    """Seconds from the start of `ftwatch run` over this store to its first request."""
    from watcher import write_config

    with socket.create_server(("127.0.0.1", 0)) as server:
        write_config(folder, f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        command = [sys.executable, "-m", "ftwatch", "-c", str(folder / "ftwatch.yaml"), "run"]
        begun = time.monotonic()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        pin(MEASURED, process.pid)
        connection, _ = server.accept()
        with connection:
            connection.recv(1)
            took = time.monotonic() - begun
        process.kill()
        process.wait()
        return took


def drawn(points: list[tuple[int, float]]) -> str:
    """CPU per job (µs) over the number of jobs, as a picture."""
    width, height, left, low = 560, 240, 60, 200
    most = max(cost for _, cost in points) * 1.25
    places = [
        (left + place * (width - left - 40) / (len(points) - 1), low - cost / most * (low - 30), jobs, cost)
        for place, (jobs, cost) in enumerate(points)
    ]

    def parts() -> Iterator[str]:
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
            ' font-size="13" fill="#444"><title>CPU per unchanged job, by how many are known</title>'
        )
        yield f'<rect width="{width}" height="{height}" fill="#fff"/>'
        yield f'<text x="{left}" y="18">CPU per unchanged job and walk (µs)</text>'
        yield f'<path d="M{left} 30V{low}H{width - 20}" fill="none" stroke="#999"/>'
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y, _, _ in places)
        yield f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>'
        for x, y, jobs, cost in places:
            yield f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="#2563eb"/>'
            yield f'<text x="{x:.0f}" y="{y - 10:.0f}" text-anchor="middle">{cost:.1f}</text>'
            yield f'<text x="{x:.0f}" y="{low + 20}" text-anchor="middle">{jobs:,}</text>'
        yield f'<text x="{width - 20}" y="{height - 4}" text-anchor="end">known jobs</text></svg>'

    return "\n".join(parts()) + "\n"


def main() -> None:
    options = given(__doc__)
    if options.who is not None:
        return asyncio.run({"fill": fill, "walk": walk}[options.who](*options.rest))
    sizes, rounds = (SMALL, 1) if options.small else (SIZES, ROUNDS)
    few, many = sizes[0], sizes[-1]
    took: dict[int, list[float]] = {size: [] for size in sizes}
    rss: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as made:
        folders = {size: Path(made) / str(size) for size in sizes}
        with ExitStack() as stack:
            children = {}
            for size, folder in folders.items():
                folder.mkdir()
                subprocess.run([sys.executable, __file__, "--as", "fill", str(folder), str(size)], check=True)
                base = stack.enter_context(upstream(size, 0, "gzip"))
                children[size] = stack.enter_context(Child(__file__, "--as", "walk", str(folder), base))
            for _ in range(rounds):
                for size, child in children.items():
                    times = max(1, WALKED // size) if not options.small else 1
                    answer: dict[str, Any] = child.ask(times=times)
                    took[size].append(answer["seconds"] / times / size * 1e6)
                    rss[size] = answer["rss"]
        begun: dict[str, list[float]] = {"none": [], "many": []}
        for number in range(rounds):
            empty = Path(made) / f"empty-{number}"
            empty.mkdir()
            begun["none"].append(start(empty))
            begun["many"].append(start(folders[many]))
    later = statistics.median(b - a for a, b in zip(begun["none"], begun["many"], strict=True))
    held = (rss[many] - rss[few]) / (many - few)
    if options.pictures:
        points = [(size, statistics.median(costs)) for size, costs in took.items()]
        (options.pictures / "growth.svg").write_text(drawn(points), "utf-8")
    say(
        [
            verdict(
                f"CPU per unchanged job, with {many:,} known",
                wanted="<= 1.6",
                ratio=median_ratio(took[many], took[few]),
                ours=statistics.median(took[many]),
                theirs=statistics.median(took[few]),
                unit="µs",
                peer=f"with {few:,} known",
            ),
            verdict(
                f"memory per finished job, {many:,} known and walked",
                wanted="<= 20",
                ratio=held,
                ours=held,
                unit="B",
            ),
            verdict(
                f"start with {many:,} known jobs, later than with none by",
                wanted="<= 0.2",
                ratio=later,
                ours=later,
                unit="s",
            ),
        ]
    )
    return None


if __name__ == "__main__":
    main()
