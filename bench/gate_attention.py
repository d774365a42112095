"""How soon is a change seen, if only so many requests may be made? And how fast is a long listing read?

The first is simulated: the real poller over a provider in memory, on a virtual clock, at 60 requests a minute
with 200 active jobs among 10,000, beside a walk from the newest job down to the oldest active one, and beside
the least mean delay that any order of requests can have if it knows all chances of news. The second is real:
a listing of 10,000 jobs behind an API that takes 100 ms for every answer, with 500 changes in it, read by the
daemon's poller to which its pages are known, and by the loop of a user of the official package.

    python bench/gate_attention.py [--small]
"""

import asyncio
import heapq
import json
import logging
import math
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import structlog
from gauge import Child, Row, asked, given, median_ratio, reply, say, upstream, verdict

from ftwatch.core.event import decode
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.pace import Budget
from ftwatch.plugins import NotFound, Page

PAGE = 100
HISTORY = 10_000
ACTIVE = 200
# Median and spread (of the logarithm) of how long jobs stay what they are, in seconds.
PHASES = (("validating_files", 90.0, 0.6), ("queued", 180.0, 1.0), ("running", 2100.0, 0.9))
RANK = {name: place for place, (name, _, _) in enumerate(PHASES)} | {"succeeded": len(PHASES)}
LIFE = sum(median * math.exp(spread**2 / 2) for _, median, spread in PHASES)
EPOCH = 1_790_000_000.0


class World:
    """Jobs as they truly are, by number, oldest first; and the clock that ftwatch is given."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.time = 0.0
        self.status: list[str] = ["succeeded"] * HISTORY
        self.since: list[float] = [-1e9] * HISTORY
        self.made: list[float] = [-1e9] * HISTORY
        self.bodies: list[bytes] = [self.body(number) for number in range(HISTORY)]
        self.active: set[int] = set()
        # Every change that ever was: (when, job, rank).
        self.changes: list[tuple[float, int, int]] = []
        self._coming: list[tuple[float, int]] = []
        self._arrival = 0.0
        # Everything alive at the beginning has arrived before it.
        self.time = -8 * LIFE
        self._arrival = self.time
        self.advance(0.0)

    def advance(self, until: float) -> None:
        """Lets happen what happens by then."""
        while True:
            at = min(self._arrival, self._coming[0][0] if self._coming else math.inf)
            if at > until:
                break
            self.time = at
            if at == self._arrival:
                self.status.append(PHASES[0][0])
                self.since.append(at)
                self.made.append(at)
                self.bodies.append(b"")
                self.active.add(len(self.status) - 1)
                self._become(len(self.status) - 1, PHASES[0][0])
                self._arrival += self.dice.expovariate(ACTIVE / LIFE)
            else:
                _, number = heapq.heappop(self._coming)
                rank = RANK[self.status[number]] + 1
                self._become(number, PHASES[rank][0] if rank < len(PHASES) else "succeeded")
        self.time = max(self.time, until)

    def _become(self, number: int, status: str) -> None:
        self.status[number], self.since[number] = status, self.time
        self.changes.append((self.time, number, RANK[status]))
        if status == "succeeded":
            self.active.discard(number)
        else:
            _, median, spread = PHASES[RANK[status]]
            lasts = median * math.exp(self.dice.gauss(0.0, spread))
            heapq.heappush(self._coming, (self.time + lasts, number))
        self.bodies[number] = self.body(number)

    def body(self, number: int) -> bytes:
        document = {
            "id": f"job-{number:06}",
            "status": self.status[number],
            "created_at": int(EPOCH + max(self.made[number], -1e8)),
            "fine_tuned_model": "ft:m" if self.status[number] == "succeeded" else None,
        }
        return json.dumps(document).encode()

    # the clock

    def now(self) -> float:
        return EPOCH + self.time

    def ticks(self) -> float:
        return self.time

    def luck(self) -> float:
        return self.dice.random()

    async def sleep(self, seconds: float) -> None:
        self.advance(self.time + seconds)


class Account:
    """The world as a provider whose listing has whole documents, at so many requests a second."""

    list_is_truth = False
    lists_documents = True

    def __init__(self, world: World, rate: float) -> None:
        self.world = world
        self.budget = Budget(rate, burst=1)
        self.asked = {"pages": 0, "jobs": 0}

    async def _turn(self, what: str) -> None:
        self.asked[what] += 1
        at = self.world.time + self.budget.wait(self.world.time)
        # Those that were asked for together wait together.
        self.world.advance(max(at, self.world.time))

    async def page(self, anchor: str | None) -> bytes:
        await self._turn("pages")
        top = len(self.world.bodies) if anchor is None else int(anchor.rpartition("-")[2])
        entries = self.world.bodies[max(0, top - PAGE) : top][::-1]
        more = b"true" if top > PAGE else b"false"
        return b'{"more": ' + more + b', "data": [' + b",".join(entries) + b"]}"

    def split(self, body: bytes) -> Page:
        document = json.loads(body)
        entries = tuple(json.dumps(entry).encode() for entry in document["data"])
        return Page(entries=entries, next=document["data"][-1]["id"] if document["more"] else None)

    async def retrieve(self, id: str) -> bytes:
        await self._turn("jobs")
        number = int(id.rpartition("-")[2])
        if number >= len(self.world.bodies):
            raise NotFound
        return self.world.bodies[number]

    def identify(self, raw: bytes) -> str:
        return str(json.loads(raw)["id"])

    def read(self, raw: bytes) -> Snapshot:
        entry = json.loads(raw)
        return Snapshot(provider="p", kind="toy", **{**entry, "status": Status(entry["status"])})


def ours(seed: int, rate: float, hours: float) -> tuple[World, float, dict[tuple[int, int], float]]:
    """The real poller in a world of its own: when it was that each job was known to be so far."""
    from ftwatch.config import ProviderConfig
    from ftwatch.core.route import Routing
    from ftwatch.poller import Poller
    from ftwatch.store import Store, inline

    world = World(seed)
    account = Account(world, 1e6)
    config = ProviderConfig(name="p", kind="toy", poll=1.0, discover=1.0, rate=rate, job_log=False)

    async def watch(folder: str) -> tuple[World, float, dict[tuple[int, int], float]]:
        store = Store(Path(folder) / "attention.db")
        poller = Poller(
            config, account, store, inline, routing=Routing(), rules=(), clock=world, bell=lambda owed: None
        )  # type: ignore[arg-type]
        # The baseline, and one look at every page, without a limit; then the time counts.
        while await poller.poll_once():
            pass
        poller.poke(deep=True)
        await poller.poll_once()
        account.budget = Budget(rate, burst=1)
        begun = world.time
        while world.time < begun + hours * 3600:
            if not await poller.poll_once():
                await world.sleep(max(0.05, poller.next_look - world.now()))
        seen: dict[tuple[int, int], float] = {}
        for body, at in store.db.rows("SELECT body, recorded_at FROM events ORDER BY seq"):
            event = decode(body)
            if event.job is None or not event.status:
                continue
            number = int(event.job.id.rpartition("-")[2])
            for rank in range(RANK[event.status] + 1):
                seen.setdefault((number, rank), at - EPOCH)
        store.close()
        return world, begun, seen

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        return asyncio.run(watch(folder))


def walk(seed: int, rate: float, hours: float, begun: float) -> tuple[World, dict[tuple[int, int], float]]:
    """Page after page from the newest job down to the oldest active one, and again: when what was known."""
    world = World(seed)
    world.advance(begun)
    seen: dict[tuple[int, int], float] = {}
    top: int | None = None
    while world.time < begun + hours * 3600:
        world.advance(world.time + 1 / rate)
        top = len(world.status) if top is None else top
        for number in range(max(0, top - PAGE), top):
            rank = RANK[world.status[number]]
            while rank >= 0 and (number, rank) not in seen:
                seen[number, rank] = world.time
                rank -= 1
        top = max(0, top - PAGE)
        if top <= min(world.active, default=len(world.status)):
            top = None
    return world, seen


def bound(seed: int, rate: float, hours: float, begun: float) -> float:
    """The least mean delay of pages of 100 jobs, were every chance of news known: (Σ√L)² / (2 B Σ L)."""
    world = World(seed)
    over, under = 0.0, 0.0
    while world.time < begun + hours * 3600:
        world.advance(max(world.time + 30.0, begun))
        news: dict[int, float] = defaultdict(float)
        news[0] = ACTIVE / LIFE
        for number in world.active:
            _, median, spread = PHASES[RANK[world.status[number]]]
            news[(len(world.status) - 1 - number) // PAGE] += hazard(
                world.time - world.since[number], median, spread
            )
        over += sum(map(math.sqrt, news.values())) ** 2 / (2 * rate)
        under += sum(news.values())
    return over / under


def hazard(age: float, median: float, spread: float) -> float:
    """The chance by the second that a life of log-normal length ends at an age."""
    if age <= 0:
        return 0.0
    z = math.log(age / median) / spread
    density = math.exp(-z * z / 2) / (age * spread * math.sqrt(2 * math.pi))
    survival = math.erfc(z / math.sqrt(2)) / 2
    return density / survival if survival > 1e-12 else z / (age * spread)


def delays(world: World, begun: float, until: float, seen: dict[tuple[int, int], float]) -> list[float]:
    """How long each change went unseen (seconds); what never was seen, until the end."""
    return [
        max(0.0, seen.get((number, rank), until) - at)
        for at, number, rank in world.changes
        if begun <= at < until - 900
    ]


def simulated(hours: float, seeds: int) -> Iterator[Row]:
    """The rows of the simulation."""
    rate = 1.0
    mine: list[float] = []
    naive: list[float] = []
    least = []
    for seed in range(1, seeds + 1):
        world, begun, seen = ours(seed, rate, hours)
        # A quarter of the time is its own history, from which it learns.
        since, until = begun + hours * 900, begun + hours * 3600
        mine += delays(world, since, until, seen)
        walked, found = walk(seed, rate, hours, begun)
        naive += delays(walked, since, until, found)
        least.append(bound(seed, rate, hours, begun))
    note = f"mean {statistics.mean(mine):.2f} s against {statistics.mean(naive):.2f} s"
    yield verdict(
        "median delay of a change, 200 active jobs, 60 requests a minute (simulated)",
        ours=statistics.median(mine),
        theirs=statistics.median(naive),
        unit="s",
        peer="walk down to the oldest active job",
        ratio=statistics.median(mine) / statistics.median(naive),
        wanted="<= 0.25",
        note=note,
    )
    yield verdict(
        "mean delay of a change, the same",
        ours=statistics.mean(mine),
        theirs=statistics.mean(least),
        unit="s",
        peer="the least that is possible",
        ratio=statistics.mean(mine) / statistics.mean(least),
        wanted="<= 1.5",
    )


def sdk(base: str) -> None:
    """The loop of a user: list everything, compare the statuses, keep what became of them."""
    import openai

    client = openai.OpenAI(api_key="sk-bench", base_url=base)
    known: dict[str, str] = {}
    for _ in asked():
        begun = time.monotonic()
        for job in client.fine_tuning.jobs.list(limit=PAGE):
            if known.get(job.id) != job.status:
                known[job.id] = job.status
        reply(time.monotonic() - begun)


async def catching_up(base: str) -> None:
    """The real poller, told to look at every page, until what changed is committed."""
    from watcher import Watcher

    async with Watcher.over(base) as watcher:
        await watcher.baseline()
        for _ in asked():
            begun = time.monotonic()
            await watcher.sweep()
            reply(time.monotonic() - begun)


def caught_up(rounds: int, jobs: int) -> Row:
    """The row of a long listing."""
    changed = max(1, jobs // 20)
    took: dict[str, list[float]] = {"sdk": [], "ours": []}
    with (
        upstream(jobs, changed * (rounds + 1), "gzip", "spread", "slow") as base,
        Child(__file__, "--as", "sdk", base) as theirs,
        Child(__file__, "--as", "ours", base) as us,
    ):
        theirs.ask(), us.ask()
        for _ in range(rounds):
            change = urllib.request.Request(f"{base}/change?count={changed}", method="POST")
            urllib.request.urlopen(change).read()
            took["sdk"].append(theirs.ask())
            took["ours"].append(us.ask())
    return verdict(
        f"a listing of {jobs:,} jobs, {changed:,} changed, at 100 ms an answer: until all is committed",
        ours=statistics.median(took["ours"]),
        theirs=statistics.median(took["sdk"]),
        unit="s",
        peer="openai package, `jobs.list()`",
        ratio=median_ratio(took["sdk"], took["ours"]),
        wanted=">= 6",
    )


def main() -> None:
    if os.environ.get("PYTHONHASHSEED") != "0":
        # One seed decides all, the order of sets too.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    options = given(__doc__)
    if options.who == "sdk":
        return sdk(*options.rest)
    if options.who == "ours":
        return asyncio.run(catching_up(*options.rest))
    rows = list(simulated(0.5, 1) if options.small else simulated(4.0, 3))
    rows.append(caught_up(1, 500) if options.small else caught_up(5, HISTORY))
    say(rows)
    return None


if __name__ == "__main__":
    main()
