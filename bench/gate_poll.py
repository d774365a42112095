"""What a look at many jobs costs: CPU per job, beside the loop of a user with the official `openai` package.

    python bench/gate_poll.py [--small]

Both list the same 10,000 jobs, in turn and with gzip. `unchanged`: nothing has changed; `one in a hundred
changed`: a job on every page has ended, and what ftwatch decides and commits of that is counted too. The
third row sets the whole walk against its bare requests: the same pages, asked for with the same client by
nobody who wants to know what is in them.
"""

import asyncio
import statistics
import time
import urllib.request
from typing import Any

from gauge import Child, asked, given, median_ratio, reply, say, upstream, verdict

ROUNDS = 7
JOBS, SMALL = 10_000, 300
PAGE = 100
SDK = "openai package, `jobs.list()`"


def change(base: str, count: int) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{base}/change?count={count}", method="POST")).read()


def sdk(base: str) -> None:
    """The loop of a user: list everything, compare the statuses, keep what became of them."""
    import openai

    client = openai.OpenAI(api_key="sk-bench", base_url=base)
    known: dict[str, str] = {}
    for _ in asked():
        begun = time.process_time()
        for job in client.fine_tuning.jobs.list(limit=PAGE):
            if known.get(job.id) != job.status:
                known[job.id] = job.status
        reply(time.process_time() - begun)


async def ours(base: str) -> None:
    """The real poller, told to walk the whole listing; or its requests alone."""
    from watcher import Watcher

    async with Watcher.over(base) as watcher:
        await watcher.baseline()
        asks: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        request = watcher.client.request

        async def noting(*args: Any, **more: Any) -> Any:
            asks.append((args, more))
            return await request(*args, **more)

        watcher.client.request = noting  # type: ignore[method-assign]
        await watcher.sweep()
        watcher.client.request = request  # type: ignore[method-assign]
        for question in asked():
            begun = time.process_time()
            if question["what"] == "walk":
                await watcher.sweep()
            else:
                for args, more in asks:
                    await request(*args, **more)
            reply(time.process_time() - begun)


def main() -> None:
    options = given(__doc__)
    if options.who == "sdk":
        return sdk(*options.rest)
    if options.who == "ours":
        return asyncio.run(ours(*options.rest))
    jobs, rounds = (SMALL, 2) if options.small else (JOBS, ROUNDS)
    pages = jobs // PAGE
    took: dict[str, list[float]] = {"sdk": [], "walk": [], "bare": [], "sdk moved": [], "walk moved": []}
    with (
        upstream(jobs, pages * (rounds + 2), "gzip", "spread") as base,
        Child(__file__, "--as", "sdk", base) as theirs,
        Child(__file__, "--as", "ours", base) as us,
    ):
        theirs.ask(), us.ask(what="walk"), us.ask(what="bare")  # what is done once is done
        for _ in range(rounds):
            took["sdk"].append(theirs.ask())
            took["walk"].append(us.ask(what="walk"))
            took["bare"].append(us.ask(what="bare"))
        for _ in range(rounds):
            change(base, pages)
            took["sdk moved"].append(theirs.ask())
            took["walk moved"].append(us.ask(what="walk"))
    per_job = {what: statistics.median(seconds) / jobs * 1e6 for what, seconds in took.items()}
    say(
        [
            verdict(
                "CPU per job, unchanged",
                wanted=">= 25",
                ratio=median_ratio(took["sdk"], took["walk"]),
                ours=per_job["walk"],
                theirs=per_job["sdk"],
                unit="µs",
                peer=SDK,
            ),
            verdict(
                "CPU per job, one in a hundred changed",
                wanted=">= 12",
                ratio=median_ratio(took["sdk moved"], took["walk moved"]),
                ours=per_job["walk moved"],
                theirs=per_job["sdk moved"],
                unit="µs",
                peer=SDK,
            ),
            verdict(
                "an unchanged walk against its bare requests",
                wanted="<= 1.25",
                ratio=median_ratio(took["walk"], took["bare"]),
                ours=per_job["walk"],
                theirs=per_job["bare"],
                unit="µs",
                peer="the same client, nothing read",
            ),
        ]
    )
    return None


if __name__ == "__main__":
    main()
