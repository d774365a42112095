"""What a page of the API costs with 10,000 jobs: time, and bytes, question by question.

The real listener on loopback over a real store; the daemon polls nobody meanwhile. Processor time is that of
both ends, and what counts where the machine is busy with something else.

    python bench/api.py [--jobs 10000] [--listeners 100]
"""

import argparse
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2

from ftwatch.config import load
from ftwatch.core.decide import decide
from ftwatch.core.job import Method, Progress, Snapshot, Status
from ftwatch.core.known import Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.daemon import Daemon
from ftwatch.store import Batch, Store
from ftwatch.web import application, serving

ROUNDS = 15
NOW = 1_795_000_000.0
ROUTING = Routing(recipients=(Recipient(name="console", kind="console"),))
CONFIG = "providers: {openai: {api_key: none}}\nnotifiers: {console: {}}\nweb: {listen: '127.0.0.1:0'}\n"
QUESTIONS = (
    "jobs",
    "jobs?limit=200",
    "jobs?status=running",
    "jobs?status=paused",
    "jobs?active=true",
    "jobs?match=labels.team%3D%22t3%22",
    "jobs?match=name%3D%22nobody*%22",
    "jobs?include=next_look",
    "jobs/find?job=ftjob-004321",
    "jobs/openai/ftjob-004321?include=history,log,metrics,checkpoints,deliveries",
    "events",
    "events?type=*.paused",
    "deliveries",
    "deliveries?state=dead",
    "status",
    "silences",
)


def job(number: int) -> Snapshot:
    """A job as large as they are."""
    status = Status.RUNNING if number % 20 == 0 else Status.SUCCEEDED
    settings = {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 2.0}
    return Snapshot(
        id=f"ftjob-{number:06}",
        provider="openai",
        kind="openai",
        status=status,
        name=f"support-bot-v{number}",
        owner="ann",
        model="gpt-4.1-mini-2025-04-14",
        fine_tuned_model=f"ft:gpt-4.1-mini:org::{number}" if status is Status.SUCCEEDED else None,
        created_at=1_794_000_000 + number,
        hyperparameters=settings,
        method=Method(type="supervised", supervised={"hyperparameters": settings}),
        training_file="file-abc123",
        result_files=("file-def456",),
        metadata={"team": f"t{number % 7}"},
        labels={"team": f"t{number % 7}", "env": "prod"},
        progress=Progress(step=number, total_steps=20_000),
        url=f"https://platform.example.com/finetune/ftjob-{number:06}",
    )


def fill(store: Store, jobs: int) -> None:
    """Commits so many jobs, five hundred at a time, as a first listing does."""
    for start in range(0, jobs, 500):
        looks = [
            Look(key=one.key, asked=number + 1, at=NOW, snapshot=one)
            for number in range(start, min(start + 500, jobs))
            for one in [job(number)]
        ]
        made = [decide(None, look, Policy(routing=ROUTING), NOW + start) for look in looks]
        store.commit(Batch(decisions=made), NOW + start)


@asynccontextmanager
async def serving_jobs(folder: Path, jobs: int):
    """The daemon's web over so many jobs."""
    path = folder / "ftwatch.yaml"
    path.write_text(f"{CONFIG}store: {{path: {folder}/ftwatch.db}}\nsocket: {folder}/s\n")
    config = load(path, secrets=True)
    store = Store(config.store.path)
    fill(store, jobs)
    house, ends = Daemon(path, config, store), anyio.Event()
    store.bell = house.bell.from_any_thread()
    house.listener.take(config)
    base = f"http://127.0.0.1:{house.listener.port}/api/v1/"
    async with (
        httpx2.AsyncClient(base_url=base, timeout=60, trust_env=False) as client,
        serving(application(house, ends), house.listener._socket, ends),
    ):
        yield house, client
    store.close()


async def main(jobs: int, listeners: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with serving_jobs(Path(folder), jobs) as (house, client):
            print(f"{jobs} jobs; milliseconds, medians of {ROUNDS}")
            print(f"{'question':<78} {'wall':>7} {'cpu':>7} {'304 cpu':>7} {'bytes':>8}")
            for question in QUESTIONS:
                answer, wall, cpu = await asked_again(client, question, {})
                tag = answer.headers["etag"]
                _, _, spared = await asked_again(client, question, {"if-none-match": tag})
                print(f"{question:<78} {wall:>7.1f} {cpu:>7.1f} {spared:>7.1f} {len(answer.content):>8}")
            print(f"\n{listeners} listeners: an event is committed, and every one of them has it after")
            print(await live(house, client, listeners))


async def asked_again(
    client: httpx2.AsyncClient, question: str, headers: dict[str, str]
) -> tuple[httpx2.Response, float, float]:
    """The last answer, and the medians of the time that passed and of the processor's."""
    wall, cpu = [], []
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        answer = await client.get(question, headers=headers)
        wall.append((time.perf_counter() - begun) * 1000)
        cpu.append((time.process_time() - used) * 1000)
        assert answer.status_code in (200, 304), answer.text
    return answer, statistics.median(wall), statistics.median(cpu)


async def live(house: Daemon, client: httpx2.AsyncClient, listeners: int) -> str:
    """How long news take to reach everybody who streams."""
    heard: list[float] = []
    rounds, ready = 10, 0

    async def listen() -> None:
        nonlocal ready
        async with client.stream("GET", "events/stream") as answer:
            ready += 1
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    heard.append(time.perf_counter())  # noqa: PERF401

    took, used = [], []
    async with anyio.create_task_group() as group:
        for _ in range(listeners):
            group.start_soon(listen)
        while ready < listeners:  # noqa: ASYNC110
            await anyio.sleep(0.01)
        for number in range(rounds):
            heard.clear()
            one = job(10**6 + number)
            look = Look(key=one.key, asked=1, at=NOW, snapshot=one)
            decision = decide(None, look, Policy(routing=ROUTING), NOW)
            begun, spent = time.perf_counter(), time.process_time()
            await house.work(house.store.commit, Batch(decisions=[decision]), NOW)
            while len(heard) < listeners * len(decision.events):  # noqa: ASYNC110
                await anyio.sleep(0.001)
            took.append((max(heard) - begun) * 1000)
            used.append((time.process_time() - spent) * 1000)
        group.cancel_scope.cancel()
    wall, cpu = statistics.median(took), statistics.median(used)
    return f"{wall:.1f} ms later; both ends used {cpu:.1f} ms of the processor for it (medians of {rounds})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--listeners", type=int, default=100)
    asked = parser.parse_args()
    anyio.run(main, asked.jobs, asked.listeners)
