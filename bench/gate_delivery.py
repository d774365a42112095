"""How fast what is owed goes out, durably: beside the same client from memory, and beside Apprise.

    python bench/gate_delivery.py [--small]

`durable` is the real dispatcher with the real webhook notifier over the real store: deliveries of as many
jobs, committed before the clock starts, are taken, signed, posted and settled with an fsync. `memory` is a
loop over the same notifier's `send` with the same events and as many workers as there are slots, and no
store. Apprise posts a title and a line by its `json://`, sixteen at once. All in turn, to the same receiver
on the other core. The last rows commit very many deliveries and let them out again: how much memory that
takes at most, and whether each of them arrives.
"""

import asyncio
import logging
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gauge import SERVER, Child, Row, asked, given, median_ratio, reply, resident, say, verdict

ROUNDS, COUNT = 5, 1500
PENDING = 100_000
SLOTS = (16, 64)
CONFIG = """
providers:
  bench: {{kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: sk-bench-0000}}
notifiers:
  hook:
    kind: webhook
    url: "http://127.0.0.1:{port}/hook"
    secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
store: {{path: "{folder}/ftwatch.db"}}
"""
LINE = "gpt-4.1-mini-2025-04-14, support-bot-v7: from running to succeeded after 1 h 51 min"


class Sender:
    """What ftwatch sends with, put together as the daemon does it, and events to send."""

    def __init__(self, config: Any, store: Any, client: Any) -> None:
        from ftwatch.daemon import WallClock, threaded

        self.config, self.store, self.client = config, store, client
        self.clock, self.run = WallClock(), threaded()
        self.made = 0

    def events(self, count: int) -> Iterator[Any]:
        """So many events, each the end of another job."""
        from msgspec.structs import replace

        from ftwatch.core.event import event_id
        from ftwatch.core.sample import sample

        event = sample("succeeded")
        for _ in range(count):
            self.made += 1
            id = f"ftjob-{self.made:024d}"
            data = replace(event.data, id=id, job=replace(event.job, id=id))
            yield replace(event, id=event_id(id, event.type), created_at=int(time.time()), data=data)

    async def owe(self, count: int) -> None:
        """Commits so many deliveries, a hundred at a time."""
        from ftwatch.core.announce import Announcement
        from ftwatch.core.known import Assignment
        from ftwatch.store import Batch

        for begun in range(0, count, 100):
            events = tuple(self.events(min(100, count - begun)))
            owed = tuple(Assignment(event.id, "hook", "bench") for event in events)
            said = Announcement(events=events, deliveries=owed)
            await self.run(self.store.commit, Batch(announcements=[said]), self.clock.now())

    def notifier(self, slots: int) -> Any:
        from ftwatch.assembly import make_notifier

        notifier = make_notifier(self.config, "hook", self.client)
        notifier.concurrency = slots
        return notifier

    async def durable(self, slots: int, count: int) -> list[float]:
        """Sends what is owed; the seconds and the CPU seconds until the last of it is settled."""
        from ftwatch.dispatcher import Dispatcher

        def settled() -> int:
            return sum(n for (_, state), n in self.store.meter.deliveries.items() if state == "delivered")

        def beat(seconds: float) -> None:
            if settled() >= wanted:
                dispatcher.stop()

        wanted = settled() + count
        dispatcher = Dispatcher(
            self.config.notifiers["hook"],
            self.notifier(slots),
            self.store,
            self.run,
            routing=self.config.routing,
            clock=self.clock,
            bell=lambda owed: None,
        )
        begun, used = time.perf_counter(), time.process_time()
        await dispatcher.run(beat)
        return [time.perf_counter() - begun, time.process_time() - used]

    async def memory(self, slots: int, count: int) -> list[float]:
        """Sends as many events from memory; the seconds and the CPU seconds that it took."""
        from ftwatch.core.delivery import Sent

        notifier = self.notifier(slots)
        supply = iter([(event, notifier.freeze(event)) for event in self.events(count)])

        async def work() -> None:
            for event, body in supply:
                result = await notifier.send([event], {}, body=body)
                assert isinstance(result.outcome, Sent), result

        begun, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(slots)))
        return [time.perf_counter() - begun, time.process_time() - used]


async def ours(port: str) -> None:
    """Sends as it is asked to."""
    import structlog

    from ftwatch.assembly import make_client, open_store
    from ftwatch.config import load

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ftwatch.yaml"
        path.write_text(CONFIG.format(port=port, folder=folder))
        config = load(path)
        store = open_store(config, 0.0)
        async with make_client(config.client) as client:
            sender = Sender(config, store, client)
            for question in asked():
                slots, count = question["slots"], question["count"]
                if question["what"] == "durable":
                    await sender.owe(count)
                    reply(await sender.durable(slots, count))
                else:
                    reply(await sender.memory(slots, count))
        store.close()


async def apprise(port: str) -> None:
    """Posts by Apprise, so many at once."""
    from apprise import Apprise

    peer = Apprise()
    peer.add(f"json://127.0.0.1:{port}/hook")

    async def work(supply: Iterator[int]) -> None:
        for _ in supply:
            assert await peer.async_notify(title="fine_tuning.job.succeeded", body=LINE)

    for question in asked():
        supply = iter(range(question["count"]))
        begun, used = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(supply) for _ in range(question["slots"])))
        reply([time.perf_counter() - begun, time.process_time() - used])


def paces(port: str, receiver: Child, *, rounds: int, count: int) -> list[Row]:
    """The rows about how fast it goes."""
    cells: list[tuple[str, str, int, int]] = [
        (f"{what} {slots}", what, slots, count) for slots in SLOTS for what in ("durable", "memory")
    ]
    cells.append(("durable 1", "durable", 1, count // 2))
    cells.append(("apprise", "apprise", 16, count // 4))
    paces: dict[str, list[float]] = {name: [] for name, *_ in cells}
    thrift: dict[str, list[float]] = {name: [] for name, *_ in cells}
    with Child(__file__, "--as", "ours", port) as us, Child(__file__, "--as", "apprise", port) as peer:
        for number in range(rounds + 1):
            for name, what, slots, much in cells:
                much = much if number else max(much // 10, 20)  # the first round only warms up
                seconds, cpu = (peer if what == "apprise" else us).ask(what=what, slots=slots, count=much)
                came = receiver.ask(posts=much)
                assert came["posts"] == much, (name, came)
                if number:
                    paces[name].append(much / seconds)
                    thrift[name].append(much / cpu)
    middle = {name: statistics.median(some) for name, some in paces.items()}
    rows = [
        verdict(
            f"durable deliveries, {slots} slots",
            wanted=">= 0.85",
            ratio=median_ratio(paces[f"durable {slots}"], paces[f"memory {slots}"]),
            ours=middle[f"durable {slots}"],
            theirs=middle[f"memory {slots}"],
            unit="/s",
            peer="the same client, from memory",
        )
        for slots in SLOTS
    ]
    rows.append(
        verdict(
            "durable deliveries, 64 slots against one",
            wanted=">= 1.0",
            ratio=median_ratio(paces["durable 64"], paces["durable 1"]),
            ours=middle["durable 64"],
            theirs=middle["durable 1"],
            unit="/s",
            peer="one slot",
        )
    )
    rows.append(
        verdict(
            "durable deliveries per CPU second",
            wanted=">= 2.2",
            ratio=median_ratio(thrift["durable 16"], thrift["apprise"]),
            ours=statistics.median(thrift["durable 16"]),
            theirs=statistics.median(thrift["apprise"]),
            unit="/CPU-s",
            peer="Apprise, `json://`, from memory",
        )
    )
    return rows


def most_held(pid: int) -> int:
    """Bytes of memory that a process has held in RAM at most, since it began."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def crowd(port: str, receiver: Child, *, count: int) -> list[Row]:
    """The rows about very many that wait: the most memory held while they come and while they leave."""
    with Child(__file__, "--as", "ours", port) as us:
        us.ask(what="durable", slots=16, count=200)
        receiver.ask(posts=200)
        before = resident(us.pid)
        us.ask(what="durable", slots=16, count=count)
        most = most_held(us.pid)
    came = receiver.ask(posts=count)
    lost = count - came["ids"]
    grown = (most - before) / 1e6
    return [
        verdict(
            f"memory for {count:,} pending deliveries",
            wanted="<= 60",
            ratio=grown,
            ours=grown,
            unit="MB",
            note=f"{came['posts'] - came['ids']} sent twice",
        ),
        verdict(
            f"lost of {count:,} pending deliveries", wanted="<= 0", ratio=lost, ours=lost, unit="deliveries"
        ),
    ]


def main() -> None:
    options = given(__doc__)
    if options.who == "ours":
        return asyncio.run(ours(*options.rest))
    if options.who == "apprise":
        return asyncio.run(apprise(*options.rest))
    rounds, count, pending = (1, 40, 400) if options.small else (ROUNDS, COUNT, PENDING)
    with Child("receiver.py", core=SERVER) as receiver:
        port = str(receiver.heard())
        rows = paces(port, receiver, rounds=rounds, count=count)
        rows += crowd(port, receiver, count=pending)
    say(rows)
    return None


if __name__ == "__main__":
    main()
