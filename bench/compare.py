"""CPU per job: ftwatch against the loop that a user would write with the official `openai` package.

Both watch the same upstream (a process of its own) in turn, several times; what counts is the ratio within
one run. Pages come with gzip, as from the real service. `unchanged`: a whole listing in which nothing
changed. `changed`: one in which jobs ended; for ftwatch that includes deciding, and committing snapshot,
event and delivery durably.

    python bench/compare.py [jobs] [changed]
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
ROUNDS = 5
DEFAULTS = ["10000", "500"]


def change(base: str, count: int) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{base}/change?count={count}", method="POST")).read()


def sdk(base: str, changed: int) -> dict[str, list[float]]:
    """The loop of a user: list everything, compare the statuses, print what became of them."""
    import openai

    client = openai.OpenAI(api_key="sk-bench", base_url=base)
    known: dict[str, str] = {}

    def look() -> float:
        begun = time.process_time()
        for job in client.fine_tuning.jobs.list(limit=100):
            if known.get(job.id) != job.status:
                known[job.id] = job.status
        return time.process_time() - begun

    look()
    unchanged = [look() for _ in range(ROUNDS)]
    moved = []
    for _ in range(ROUNDS):
        change(base, changed)
        moved.append(look())
    return {"unchanged": unchanged, "changed": moved}


def ours(base: str, changed: int) -> dict[str, list[float]]:
    """The real poller with the real provider and the real store, told to walk the whole listing."""
    import logging

    import structlog

    from ftwatch import assembly, poller
    from ftwatch.config import load
    from ftwatch.daemon import WallClock, threaded
    from ftwatch.store import Store

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    poller.CROWD = 1  # changes are taken from the list, as they are in a crowd

    async def watch() -> dict[str, list[float]]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ftwatch.yaml"
            path.write_text(
                "providers:\n"
                f"  bench: {{kind: openai, base_url: '{base}', rate: 1000000/min, poll: 1s}}\n"
                "notifiers:\n"
                "  hook: {kind: webhook, url: 'http://127.0.0.1:9/', secret: "
                "'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo='}\n"
                "rules: {retiring: false}\n"
            )
            config = load(path)
            store = Store(Path(folder) / "bench.db")
            async with assembly.make_client(config.client) as client:
                (provider,) = config.providers.values()
                watcher = poller.Poller(
                    provider,
                    assembly.make_provider(provider, client),
                    store,
                    threaded(),
                    routing=config.routing,
                    rules=config.rules,
                    clock=WallClock(),
                    bell=lambda: None,
                )

                async def look() -> float:
                    watcher.poke(deep=True)
                    begun = time.process_time()
                    await watcher.poll_once()
                    return time.process_time() - begun

                while await watcher.poll_once():
                    pass
                await look()
                unchanged = [await look() for _ in range(ROUNDS)]
                moved = []
                for _ in range(ROUNDS):
                    change(base, changed)
                    moved.append(await look())
            store.close()
        return {"unchanged": unchanged, "changed": moved}

    return asyncio.run(watch())


def main() -> None:
    if sys.argv[1:2] == ["--as"]:
        _, _, who, base, changed = sys.argv
        print(json.dumps({"sdk": sdk, "ours": ours}[who](base, int(changed))))
        return
    jobs, changed = (int(given) for given in [*sys.argv[1:], *DEFAULTS[len(sys.argv) - 1 :]])
    figures = {}
    for who in ("sdk", "ours"):
        command = [sys.executable, str(HERE / "upstream.py"), str(jobs), str(changed * ROUNDS), "gzip"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as upstream:
            assert upstream.stdout is not None
            base = f"http://127.0.0.1:{upstream.stdout.readline().strip()}/v1"
            run = [sys.executable, __file__, "--as", who, base, str(changed)]
            figures[who] = json.loads(subprocess.run(run, stdout=subprocess.PIPE, check=True).stdout)
            upstream.kill()
    rows = {}
    for who, took in figures.items():
        still = statistics.median(took["unchanged"])
        moved = statistics.median(took["changed"]) - still
        rows[who] = (still / jobs * 1e6, moved / changed * 1e6)
    print(f"{jobs} jobs, {changed} of them changed a round, {ROUNDS} rounds, CPU in µs (median)")
    print(f"{'':24}{'unchanged job':>16}{'changed job':>16}")
    print(f"{'openai package, loop':24}{rows['sdk'][0]:16.1f}{max(rows['sdk'][1], 0):16.1f}")
    print(f"{'ftwatch':24}{rows['ours'][0]:16.1f}{rows['ours'][1]:16.1f}")
    print(f"{'ratio, unchanged':24}{rows['sdk'][0] / rows['ours'][0]:16.1f}")


if __name__ == "__main__":
    main()
