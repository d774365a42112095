"""A day of downtime: how long until everything that happened meanwhile at many jobs is known and committed?

The simulated service keeps a log of each job; the real client, poller and store read it after a day in which
nobody looked. Counted are the seconds from the first request to the last commit, the requests, and whether
every state of every job was told in order.

    python bench/downtime.py [--jobs 1000]
"""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from ftwatch.simulator.script import Script
from tests.watching import watched

LIFE = Script(
    "life",
    (
        (0, "validating_files"),
        (60, "queued"),
        (180, "running"),
        (400, "paused"),
        (500, "running"),
        (900, "succeeded"),
    ),
)
WANTED = ["paused", "running", "succeeded"]


async def main(jobs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with watched("openai", Path(folder)) as watch:
            ids = [watch.upstream.create(LIFE, suffix=f"run-{number}").id for number in range(jobs)]
            await watch.round(200)
            watch.restart()
            watch.upstream.requests.clear()
            begun = time.monotonic()
            events = await watch.round(86_400)
            took = time.monotonic() - begun
            told: dict[str, list[str]] = defaultdict(list)
            for event in events:
                if event.status is not None and event.type.startswith("fine_tuning.job."):
                    told[event.data.id].append(str(event.status))
            wrong = [id for id in ids if told[id] != WANTED]
            skipped = sum(event.data.skipped is True for event in events)
    return {
        "jobs": jobs,
        "seconds": round(took, 1),
        "requests": len(watch.upstream.requests),
        "rebuilt": skipped,
        "wrong": wrong[:20],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=1000)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found = asyncio.run(main(given.jobs))
    print(json.dumps(found, indent=2))
    sys.exit(1 if found["wrong"] else 0)
