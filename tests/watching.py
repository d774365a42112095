"""The real poller and store over a simulated service of any kind, on one clock that waits to be moved."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ftwatch import config
from ftwatch.assembly import Letterbox, make_client, make_provider
from ftwatch.core.event import Event
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.rule import Stuck
from ftwatch.plugins import load_kind
from ftwatch.poller import Poller
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream
from ftwatch.store import Receipt, Store, inline
from ftwatch.web.hooks import mail_of

KEY = "sk-simulated-key-0123456789"


def deliver(upstream: Upstream, store: Store, provider: str) -> list[str]:
    """Brings what jobs have told of themselves into their mailbox; whose they are."""
    kind, now, told = load_kind("provider", upstream.dialect.kind), upstream.now(), []
    for body in upstream.pushes():
        hook = kind.hook(body)
        store.receive(Receipt(provider=provider, id=None, type=hook.type, mail=mail_of(kind, hook, now)), now)
        told += [job for job, _ in hook.documents]
    return told


class OneClock:
    """The service's clock as ftwatch's own."""

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock
        self._began = clock.now()

    def now(self) -> float:
        return self._clock.now()

    def ticks(self) -> float:
        return self._clock.now() - self._began + 1000.0

    def forget(self, seconds: float) -> None:
        """So much of the time was set, and did not pass."""
        self._began += seconds

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self._clock.move(seconds)


class Watched:
    """A service, and a poller that watches it into a store."""

    def __init__(self, upstream: Upstream, store: Store, make: Any) -> None:
        self.upstream, self.store, self._make = upstream, store, make
        assert isinstance(upstream.clock, StillClock)
        self.clock = OneClock(upstream.clock)
        self.seq = 0
        self.poller: Poller = make(self)

    def restart(self) -> None:
        """A new process: nothing is remembered but what the store has."""
        self.poller = self._make(self)

    def move(self, seconds: float) -> None:
        """Lets time pass, for the service and for ftwatch."""
        assert isinstance(self.upstream.clock, StillClock)
        self.upstream.clock.move(seconds)
        self.upstream.dialect.write(self.upstream)
        told = deliver(self.upstream, self.store, "acme")
        if told:
            self.poller.hear(told)

    def set_clock(self, seconds: float) -> None:
        """Somebody sets the time; no time passes."""
        assert isinstance(self.upstream.clock, StillClock)
        self.upstream.clock.move(seconds)
        self.clock.forget(seconds)

    async def round(self, after: float = 0.0) -> list[Event]:
        """Lets time pass, polls until nothing is due; the events that were recorded."""
        self.move(after)
        for _ in range(2000):
            if not await self.poller.poll_once():
                break
        else:
            raise AssertionError("the poller never rests")
        found = self.store.history.events(after=self.seq, limit=100_000)
        self.seq = self.store.history.last_seq()
        return [event for _, event in found]

    async def rounds(self, seconds: float, step: float = 30.0) -> list[Event]:
        """Polls again and again while so much time passes."""
        events: list[Event] = []
        for _ in range(int(seconds // step)):
            events += await self.round(step)
        return events


@asynccontextmanager
async def watched(
    kind: str, folder: Path, *, routing: Routing | None = None, **more: Any
) -> AsyncIterator[Watched]:
    """A service of this kind, watched; `more` are options of the provider in the config."""
    dialect = dialect_of(kind)
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect)
    async with upstream.serving():
        options = {**dialect.options(upstream.url, KEY, folder), "rate": "60000/min", **more}
        file = folder / "ftwatch.yaml"
        file.write_text(json.dumps({"providers": {"acme": options}, "notifiers": {"console": {}}}))
        made = config.load(file, environ={}, secrets=True)
        (provider,) = made.providers.values()
        store = Store(folder / "ftwatch.db")
        try:
            async with make_client(made.client) as client:

                def make(watched: Watched) -> Poller:
                    return Poller(
                        provider,
                        make_provider(provider, client, made.folder, Letterbox("acme", store, inline)),
                        store,
                        inline,
                        routing=routing or Routing(recipients=(Recipient(name="slack", kind="slack"),)),
                        rules=(Stuck(),),
                        clock=watched.clock,
                        bell=lambda owed: None,
                    )

                yield Watched(upstream, store, make)
        finally:
            store.close()


def told(events: list[Event]) -> list[str]:
    """What events say, in short: `validating_files`, `running (skipped)`."""
    return [
        event.type.removeprefix("fine_tuning.job.") + (" (skipped)" if event.data.skipped is True else "")
        for event in events
    ]
