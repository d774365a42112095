"""What the pages cost: bytes, CPU and wall time of each, with many jobs and figures.

python bench/page.py [jobs]
"""

import asyncio
import math
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import anyio

from ftwatch import config
from ftwatch.core.job import Progress, Snapshot, Status
from ftwatch.core.journal import Journal, Line
from ftwatch.core.known import Decision, Known
from ftwatch.daemon import WallClock
from ftwatch.store import Batch, Store
from ftwatch.web import application

ADDRESSES = [
    "/",
    "/?show=all",
    "/?show=all&status=failed",
    "/?show=all&owner=ann",
    "/?show=all&owner=nobody",
    "/?show=all&label=team%3Dnone",
    "/?show=all&q=bot-v77",
    "/jobs/a/ftjob-00000",
    "/deliveries",
    "/config",
]
ACTIVE, STEPS, TIMES = 200, 1000, 9
CONFIG = """
providers:
  a: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: x}}
  b: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: x}}
notifiers: {{console: {{}}}}
store: {{path: "{folder}/ftwatch.db"}}
web: {{}}
"""


def filled(store: Store, count: int) -> None:
    """So many jobs: some run and have figures, the others ended in the last weeks."""
    dice, now = random.Random(1), time.time()
    for start in range(0, count, 2000):
        batch = []
        for number in range(start, min(start + 2000, count)):
            runs = number < ACTIVE
            ended = None if runs else int(now - dice.random() * 30 * 86400)
            job = Snapshot(
                id=f"ftjob-{number:05d}",
                provider="ab"[number % 2],
                kind="openai",
                status=Status.RUNNING if runs else dice.choice([Status.SUCCEEDED, Status.FAILED]),
                created_at=int(now - 40 * 86400),
                finished_at=ended,
                name=f"support-bot-v{number}",
                owner=("ann", "ben", "cleo")[number % 3],
                model="gpt-4.1-mini-2025-04-14",
                labels={"team": ("search", "ads")[number % 2]},
                progress=Progress(step=STEPS, total_steps=2 * STEPS) if runs else None,
                url="https://platform.openai.com/finetune/x",
            )
            known = Known(snapshot=job, status_since=now - 3600, sequence=3, metrics={"train_loss": 0.5})
            lines = [
                Line(key=str(step), step=step, metrics={"train_loss": 2 * math.exp(-step / 90)})
                for step in range(STEPS if runs else 0)
            ]
            batch.append(Decision(known=known, journal=Journal(lines=tuple(lines))))
        store.commit(Batch(decisions=batch), now)


async def ask(served: Any, address: str) -> bytes:
    """The page at an address."""
    parts, sent = urlsplit(address), list[Any]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": parts.query.encode(),
        "headers": [(b"host", b"localhost"), (b"accept", b"text/html")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8787),
    }
    await served(scope, receive, send)
    assert sent[0]["status"] == 200, sent
    return b"".join(message.get("body", b"") for message in sent)


async def measure(folder: Path, count: int) -> None:
    """Prints a line for each address."""
    file = folder / "ftwatch.yaml"
    file.write_text(CONFIG.format(folder=folder))
    loaded = config.load(file, environ={"HOME": str(folder)})
    store = Store(loaded.store.path)
    filled(store, count)

    async def read(question: Any) -> Any:
        return question(store)

    house = SimpleNamespace(
        config=loaded, store=store, read=read, clock=WallClock(), pollers={}, dispatchers={}, operations={},
        started_at=time.time(), generation=1, late=list, ring=None, news=None, work=None,
    )  # fmt: skip
    served = application(house, anyio.Event())  # type: ignore[arg-type]
    print(f"{'address':<36}{'kB':>8}{'CPU ms':>10}{'wall ms':>10}   (medians of {TIMES}; {count} jobs)")
    for address in ADDRESSES:
        await ask(served, address)
        cpu, wall, body = [], [], b""
        for _ in range(TIMES):
            used, began = time.process_time(), time.perf_counter()
            body = await ask(served, address)
            cpu.append(1000 * (time.process_time() - used))
            wall.append(1000 * (time.perf_counter() - began))
        said = f"{statistics.median(cpu):>10.1f}{statistics.median(wall):>10.1f}"
        print(f"{address:<36}{len(body) / 1000:>8.1f}{said}")
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
