"""Months in seconds: the real poller, store and dispatcher on a virtual clock, with everything going wrong.

One seed decides all: how jobs live, whether they have logs, when the provider refuses, lies, lags or forgets,
when receivers fail before or after they took a message, when the clock steps, and at which statement of which
transaction the process dies. Then the same questions as ever: is anything lost, invented, out of order, or
told twice with different words?

    python bench/simulate.py [--days 60] [--seed 1]
"""

import argparse
import gc
import hashlib
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import structlog
from bugs import BUGS, plant

from ftwatch.config import NotifierConfig, ProviderConfig
from ftwatch.core.delivery import Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, decode, encode
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.journal import Line
from ftwatch.core.route import Recipient, Route, Routing, parse_match
from ftwatch.core.rule import Stuck
from ftwatch.core.signature import message_id
from ftwatch.daemon.clock import Anchor
from ftwatch.dispatcher import Dispatcher
from ftwatch.plugins import LogPage, Memory, NotFound, Page, ProviderError, Result, Unreadable
from ftwatch.poller import Poller
from ftwatch.store import Store, inline

DAY = 86400.0
# Where files are kept in memory: what a sync costs is no question here.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
LATE = DAY
ENDED = ("succeeded", "failed", "cancelled")
LIVES = [
    ["validating_files", "queued", "running", "succeeded"],
    ["queued", "running", "paused", "running", "failed"],
    ["queued", "cancelled"],
    ["validating_files", "failed"],
    ["queued", "running", "pausing", "paused", "queued", "running", "succeeded"],
]


# What no run may find anything of.
WRONG = ("lost", "phantom", "disordered", "two_bodies", "late")


class Died(BaseException):
    """The process was killed here. No `except Exception` may hold it up."""


class World:
    """The virtual clock, the jobs as they truly are, and the dice."""

    def __init__(self, seed: int, *, away: float = 0.01, gaps: float = 0.0) -> None:
        self.dice = random.Random(seed)
        self.logging = bool(seed % 2)
        self.away = away
        self.gaps = gaps
        self.time = 1_790_000_000.0
        self.step = 0.0
        self.jobs: dict[str, dict[str, Any]] = {}
        self.lives: dict[str, list[tuple[float, str]]] = {}
        self.truth: dict[str, list[str]] = {}
        self.logs: dict[str, list[tuple[float, str]]] = {}
        self.hidden: dict[str, float] = {}
        self._shown: tuple[str, ...] = ()
        self._places: dict[str, int] = {}
        self.calm = False
        self.deaths = 0
        self.committed: dict[str, float] = {}

    # the clock that ftwatch is given

    def now(self) -> float:
        return self.time + self.step

    def ticks(self) -> float:
        return self.time

    def luck(self) -> float:
        return self.dice.random()

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    def chance(self, share: float) -> bool:
        return not self.calm and self.dice.random() < share

    # what happens

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for id, life in self.lives.items():
            while life and life[0][0] <= self.time:
                self._become(id, life.pop(0)[1])

    def create(self) -> None:
        id = f"job-{len(self.jobs):04d}"
        at, life = self.time, []
        for status in self.dice.choice(LIVES):
            life.append((at, status))
            at += self.dice.expovariate(1 / (4 * 3600))
        self.jobs = {id: {"id": id, "created_at": int(self.time)}, **self.jobs}
        self.truth[id] = []
        self.logs[id] = []
        self.lives[id] = life
        self.advance(0)

    def _become(self, id: str, status: str) -> None:
        self.truth[id].append(status)
        self.logs[id].append((self.time, status))
        job = self.jobs[id]
        job["status"] = status
        if status in ENDED:
            job["finished_at"] = int(self.time)
        if status == "succeeded":
            job["fine_tuned_model"] = "ft:x"

    def hide(self) -> None:
        """A job that a provider forgets for an hour: asked for it, it says 404."""
        alive = [id for id, job in self.jobs.items() if job["status"] not in ENDED]
        if alive:
            self.hidden[self.dice.choice(alive)] = self.time + 3600

    def is_hidden(self, id: str) -> bool:
        return self.hidden.get(id, 0) > self.time and not self.calm

    def shown(self) -> tuple[tuple[str, ...], dict[str, int]]:
        """The ids that a listing shows, newest first, and where each of them stands."""
        hidden = {id for id in self.hidden if self.is_hidden(id)}
        if len(self._shown) != len(self.jobs) - len(hidden) or not hidden.isdisjoint(self._places):
            self._shown = tuple(id for id in self.jobs if id not in hidden)
            self._places = {id: place for place, id in enumerate(self._shown)}
        return self._shown, self._places


class Provider:
    """A provider on a bad day."""

    list_is_truth = False

    def __init__(self, world: World) -> None:
        self.world = world
        self.stale: dict[str, Any] = {}

    def _trouble(self) -> None:
        dice = self.world.dice
        if self.world.chance(0.06):
            raise dice.choice(
                [
                    ProviderError("HTTP 503"),
                    ProviderError("HTTP 429", throttled=True, retry_after=dice.uniform(1, 600)),
                    ProviderError("no complete answer within 30 s"),
                    ProviderError("HTTP 401", denied=True),
                ]
            )

    async def page(self, anchor: str | None) -> bytes:
        self._trouble()
        ids, places = self.world.shown()
        if anchor is not None and anchor not in places:
            raise ProviderError("no such anchor", missing=True)
        start = places[anchor] + 1 if anchor is not None else 0
        entries = []
        for id in ids[start : start + 7]:
            fresh = dict(self.world.jobs[id])
            # A listing may lag behind what a retrieve shows.
            entries.append(self.stale.get(id, fresh) if self.world.chance(0.2) else fresh)
            if self.world.chance(0.7):
                self.stale[id] = fresh
        if self.world.chance(0.02):
            entries = entries + entries[:2] + [{"oops": self.world.dice.random()}]
        body = json.dumps({"data": entries, "more": start + 7 < len(ids)})
        return (body[: len(body) // 2] if self.world.chance(0.01) else body).encode()

    def split(self, body: bytes) -> Page:
        try:
            document = json.loads(body)
        except ValueError:
            raise ProviderError("truncated") from None
        entries = tuple(json.dumps(entry).encode() for entry in document["data"])
        ids = [entry["id"] for entry in document["data"] if "id" in entry]
        return Page(entries=entries, next=ids[-1] if document["more"] and ids else None)

    async def retrieve(self, id: str) -> bytes:
        self._trouble()
        if self.world.is_hidden(id):
            raise NotFound
        return json.dumps(self.world.jobs[id]).encode()

    def identify(self, raw: bytes) -> str:
        entry = json.loads(raw)
        if "id" not in entry:
            raise Unreadable("an entry without an id")
        return str(entry["id"])

    def read(self, raw: bytes) -> Snapshot:
        entry = json.loads(raw)
        return Snapshot(provider="p", kind="sim", **{**entry, "status": Status(entry["status"])})


class LoggingProvider(Provider):
    """One that keeps a log of each job, as badly: it lags, breaks off, and its ids change with every call."""

    log_parts = ("events",)
    log_is_cheap = True

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        self._trouble()
        world = self.world
        if world.is_hidden(id):
            raise NotFound(id)
        lines = list(world.logs[id])
        if lines and world.chance(0.2):
            lines.pop()
        if lines and world.gaps and world.chance(world.gaps):
            del lines[world.dice.randrange(len(lines))]
        lines.reverse()
        if anchor is not None and world.chance(0.1):
            raise ProviderError("Given after argument was not found in items.", missing=False)
        start = int(anchor or 0)
        body = json.dumps(
            {"lines": lines[start : start + 2], "next": start + 2, "more": start + 2 < len(lines)}
        )
        return (body[: len(body) // 2] if world.chance(0.02) else body).encode()

    def read_log(self, part: str, body: bytes) -> LogPage:
        try:
            document = json.loads(body)
        except ValueError:
            raise ProviderError("truncated") from None
        lines = tuple(
            Line(
                at=int(at),
                message=f"the job is {status}",
                status=Status(status) if status not in ENDED else None,
            )
            for at, status in document["lines"]
        )
        return LogPage(lines=lines, next=str(document["next"]) if document["more"] else None)


class Receiver:
    """A receiver on a bad day: it may fail before it takes a message, or after.

    A grumpy one says no as well, and is sent events; the other is posted their bytes.
    """

    timeout = 5.0
    concurrency = 6

    def __init__(self, world: World, *, grumpy: bool) -> None:
        self.world = world
        self.grumpy = grumpy
        self.sends_wire = self.posts = not grumpy
        self.took: list[tuple[str, Event, str]] = []
        self.slowest = 0.0
        self.away_until = 0.0

    def freeze(self, event: Event) -> bytes:
        return encode(event)

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        world = self.world
        await anyio.lowlevel.checkpoint()
        (event,) = events
        if world.chance(world.away):
            self.away_until = world.time + world.dice.uniform(60, 2 * 3600)
        if world.time < self.away_until and not world.calm:
            return Result(Retry("connection refused", unreachable=True))
        if world.chance(0.05):
            return Result(Retry("HTTP 500"))
        if world.chance(0.02):
            return Result(Retry("HTTP 429", after=world.dice.uniform(1, 300), throttled=True))
        if self.grumpy and world.chance(0.05):
            return Result(Rejected("HTTP 422"))
        assert body is not None
        self.took.append((event.id, event, hashlib.sha256(body).hexdigest()))
        self.slowest = max(self.slowest, world.time - world.committed.get(event.id, world.time))
        if world.chance(0.01):
            raise Died  # after it was taken, before anybody knew
        return Result(Retry("the connection broke")) if world.chance(0.03) else Result(Sent("HTTP 200"))

    async def post(self, id: str, body: bytes, *, manual: bool = False) -> Result:
        event = decode(body)
        assert id == message_id("strict", event.id)
        return await self.send([event], {}, body=body)


ROUTING = Routing(
    recipients=(
        Recipient(name="strict", kind="sim", audience="machines"),
        Recipient(name="grumpy", kind="sim", audience="machines"),
    ),
    routes=(Route(match=parse_match({"type": "*"}), notify=("strict", "grumpy")),),
)


class Life:
    """The process between two deaths."""

    def __init__(self, world: World, path: Path, provider: Provider, receivers: dict[str, Receiver]) -> None:
        self.world = world
        self.store = Store(path)
        self.store.wake(world.now())
        self._mine()
        self.poller = Poller(
            ProviderConfig(name="p", kind="sim", labels={}, options=None, poll=600.0, discover=600.0),
            provider,
            self.store,
            inline,
            routing=ROUTING,
            rules=(Stuck(),),
            clock=world,
            bell=lambda owed: None,
        )
        self.dispatchers = [
            Dispatcher(
                NotifierConfig(name=name, kind="sim", options=None, retry=RetryPolicy(drain=1000)),
                receiver,
                self.store,
                inline,
                routing=ROUTING,
                clock=world,
                bell=lambda owed: None,
            )
            for name, receiver in receivers.items()
        ]

    def _mine(self) -> None:
        """Lets the process die at any statement, and on either side of a commit."""
        db, world = self.store.db, self.world
        execute, transaction, record = db.execute, db.transaction, self.store._record

        def timed(said: Any, now: float) -> None:
            # A try that died was no commit; what comes of it later may have the same id.
            for one in said:
                world.committed.update((event.id, world.time) for event in one.events)
            record(said, now)

        self.store._record = timed  # type: ignore[method-assign]

        def fragile(sql: str, *values: Any, **named: Any) -> int:
            if world.chance(0.002):
                raise Died
            return execute(sql, *values, **named)

        @contextmanager
        def deadly(*, durable: bool = True) -> Iterator[None]:
            with transaction(durable=durable):
                yield
            if world.chance(0.002):
                raise Died

        db.execute, db.transaction = fragile, deadly  # type: ignore[method-assign]

    async def round(self) -> None:
        for _ in range(200):
            if not await self.poller.poll_once():
                break
        for dispatcher in self.dispatchers:
            for _ in range(200):
                if not await dispatcher.dispatch_once():
                    break


async def simulate(days: float, world: World) -> dict[str, Any]:
    provider = (LoggingProvider if world.logging else Provider)(world)
    receivers = {"strict": Receiver(world, grumpy=False), "grumpy": Receiver(world, grumpy=True)}
    Store.receivers = receivers.values()  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder) / "ftwatch.db"
        life, anchor = Life(world, path, provider, receivers), Anchor(world)
        world.calm = True
        await life.round()
        world.calm = False
        end = world.time + days * DAY
        while world.time < end or any(world.lives.values()):
            if world.time < end and world.dice.random() < 0.03:
                world.create()
            if world.chance(0.002):
                world.hide()
            if world.chance(0.004):
                world.step = world.dice.choice([-3600.0, 0.0, 3600.0, -86400.0, 3e8, -3e8])
            world.advance(world.dice.uniform(60, 900))
            try:
                step = anchor.stepped()
                if step:
                    life.store.outbox.shift(step)  # as the daemon does when the machine's time is set
                life.store.mark(world.now())
                await life.round()
            except (Died, BaseExceptionGroup) as error:
                if not is_death(error):
                    raise
                world.deaths += 1
                life.store.close()
                life, anchor = Life(world, path, provider, receivers), Anchor(world)
        world.calm = True
        for _ in range(300):
            world.advance(1800)
            await life.round()
        verdict = judge(world, receivers, life.store)
        life.store.close()
    return verdict


def is_death(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.split(Died)[1] is None
    return isinstance(error, Died)


def judge(world: World, receivers: dict[str, Receiver], store: Store) -> dict[str, Any]:
    """What was told, against what happened and what was committed."""
    found: dict[str, Any] = {"jobs": len(world.truth), "deaths": world.deaths}
    found["transitions"] = sum(len(truth) for truth in world.truth.values())
    committed = {event.id: event for _, event in store.history.events(limit=10**9)}
    lost, phantom, disordered, bodies = [], [], [], defaultdict(set)
    for name, receiver in receivers.items():
        told: dict[str, list[Event]] = defaultdict(list)
        taken = set()
        for id, event, digest in receiver.took:
            bodies[name, id].add(digest)
            if id not in taken and event.job is not None:
                told[event.job.id].append(event)
            taken.add(id)
        phantom += [f"{name}: {id}" for id in taken - committed.keys()]
        owed = store.history.deliveries(notifier=name, limit=10**9)
        dead = {delivery.event_id for delivery in owed if delivery.state == "dead"}
        refused = {id for id in committed if any(who == name for who, _ in store.history.verdicts(id))}
        lost += [f"{name}: {committed[id].type}" for id in committed.keys() - taken - dead - refused]
        found[f"{name}: taken"] = len(receiver.took)
        found[f"{name}: duplicates"] = len(receiver.took) - len(taken)
        found[f"{name}: dead letters"] = len(dead)
        if name == "strict":
            # No outage and no wait of this world lasts longer; only a clock could make it seem so.
            found["late"] = [f"{receiver.slowest / 3600:.0f} h"] if receiver.slowest > LATE else []
            for id, truth in world.truth.items():
                _judge_job(id, truth, told[id], lost, phantom, disordered)
    return {
        **found,
        "lost": lost[:20],
        "phantom": phantom[:20],
        "disordered": disordered[:20],
        "two_bodies": [key for key, digests in bodies.items() if len(digests) > 1],
    }


def _judge_job(
    id: str, truth: list[str], told: list[Event], lost: list[str], phantom: list[str], disordered: list[str]
) -> None:
    numbers = [event.data.sequence for event in told]
    if numbers != sorted(numbers):
        disordered.append(f"{id}: {numbers}")
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        lost.append(f"{id}: numbers {numbers}")
    said = [str(event.status) for event in told if event.status is not None]
    if not said or said[-1] != truth[-1]:
        lost.append(f"{id}: {said} instead of {truth}")
    remaining = iter(truth)
    if not all(status in remaining for status in said):
        phantom.append(f"{id}: {said} instead of {truth}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--away", type=float, default=0.01, help="How likely a receiver goes away.")
    parser.add_argument("--gaps", type=float, default=0.0, help="How likely a log leaves a line out.")
    parser.add_argument("--bug", choices=BUGS, help="Plant this one, which has to be found.")
    given = parser.parse_args()
    if given.bug:
        plant(given.bug)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set is a die that the seed does not throw.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.set_threshold(50_000, 50, 50)  # a tenth of the time otherwise
    begun = time.monotonic()
    world = World(given.seed, away=given.away, gaps=given.gaps)
    found = {"seed": given.seed, "days": given.days, **anyio.run(simulate, given.days, world)}
    print(json.dumps({**found, "seconds": round(time.monotonic() - begun, 1)}, indent=2))
    sys.exit(1 if any(found[key] for key in WRONG) else 0)


if __name__ == "__main__":
    main()
