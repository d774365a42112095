"""What is held in memory: for each job that runs, and by a daemon that has nothing to do.

    python bench/gate_memory.py [--small]

The bytes that a job costs are the growth of a process between a listing of few and one of many jobs that all
run, read by the real poller and walked twice; an SDK job object, kept by id, is what a user's loop holds. The
idle daemon is `ftwatch run` as it is installed, with ten active jobs among a thousand; beside it stands the
loop of a user that has listed the same.
"""

import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gauge import MEASURED, Child, asked, given, median_ratio, pin, reply, resident, say, upstream, verdict

ROUNDS = 5
FEW, MANY, SMALL = 2_000, 20_000, 400
KNOWN, ACTIVE = 1_000, 10
SETTLED = 3.0  # how long a daemon is left alone before it counts as idle (seconds)


def sdk(base: str) -> None:
    """The loop of a user: what it has listed is kept by id."""
    import openai

    client = openai.OpenAI(api_key="sk-bench", base_url=base)
    known = {job.id: job for job in client.fine_tuning.jobs.list(limit=100)}
    gc.collect()
    for _ in asked():
        reply({"rss": resident(), "jobs": len(known)})


async def ours(base: str) -> None:
    """The real poller after two walks."""
    from watcher import Watcher

    async with Watcher.over(base) as watcher:
        await watcher.baseline()
        await watcher.sweep()
        gc.collect()
        for _ in asked():
            reply({"rss": resident(), "jobs": len(watcher.poller.turns())})


def held(who: str, jobs: int) -> dict[str, Any]:
    """What a process holds that watches so many jobs, all of which run."""
    with upstream(jobs, jobs, "gzip") as base, Child(__file__, "--as", who, base) as child:
        answer: dict[str, Any] = child.ask()
        return answer


def per_job(who: str, few: int, many: int) -> float:
    """Bytes for each job, by the growth from few to many."""
    less, more = held(who, few), held(who, many)
    return float(more["rss"] - less["rss"]) / (many - few)


def daemon(base: str) -> int:
    """Bytes that `ftwatch run` holds once it has nothing to do."""
    from watcher import write_config

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_config(folder, base)
        command = [sys.executable, "-m", "ftwatch", "-c", str(folder / "ftwatch.yaml"), "run"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        pin(MEASURED, process.pid)
        assert process.stderr is not None
        for line in process.stderr:
            if '"watching"' in line:
                break
        time.sleep(SETTLED)
        held = resident(process.pid)
        process.terminate()
        process.communicate()
        return held


def loop(base: str) -> int:
    with Child(__file__, "--as", "sdk", base) as child:
        return int(child.ask()["rss"])


def main() -> None:
    options = given(__doc__)
    if options.who == "sdk":
        return sdk(*options.rest)
    if options.who == "ours":
        return asyncio.run(ours(*options.rest))
    few, many, rounds = (100, SMALL, 1) if options.small else (FEW, MANY, ROUNDS)
    bytes_ours, bytes_theirs = per_job("ours", few, many), per_job("sdk", few, many)
    idle, loops = [], []
    with upstream(KNOWN, ACTIVE, "gzip") as base:
        for _ in range(rounds):
            idle.append(daemon(base) / 2**20)
            loops.append(loop(base) / 2**20)
    say(
        [
            verdict(
                "memory per active job",
                wanted="<= 250",
                ratio=bytes_ours,
                ours=bytes_ours,
                theirs=bytes_theirs,
                unit="B",
                peer="job objects of the openai package",
            ),
            verdict(
                "memory of an idle daemon",
                wanted="<= 0.7",
                ratio=median_ratio(idle, loops),
                ours=statistics.median(idle),
                theirs=statistics.median(loops),
                unit="MiB",
                peer="a loop with the openai package",
            ),
        ]
    )
    return None


if __name__ == "__main__":
    main()
