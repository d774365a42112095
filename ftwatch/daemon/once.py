"""`ftwatch once`: one round of everything, for cron; over a copy, and sending nothing, for a look ahead."""

import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import anyio
from msgspec import Struct

from ftwatch import log as logs
from ftwatch.assembly import load_whole, make_client, make_loops, open_store
from ftwatch.config import Config
from ftwatch.core.event import Event
from ftwatch.daemon.clock import WallClock
from ftwatch.store import Store, inline

__all__ = ["Round", "once"]


class Round(Struct, frozen=True, kw_only=True):
    """What one round of everything came to: problems by provider, new events, deliveries still owed."""

    problems: dict[str, str]
    events: tuple[Event, ...]
    waiting: int


def once(path: Path, *, wait_lock: float = 0.0, dry_run: bool = False) -> Round:
    """`ftwatch once`: one round of everything. `dry_run` looks and decides, over a copy, and sends nothing.

    Raises ConfigError, StoreError.
    """
    config = load_whole(path)
    logs.configure(config.log.level, config.log.format)
    with ExitStack() as stack:
        if dry_run:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ftwatch.db"
            if config.store.path.exists():
                original = Store(config.store.path, mode="read")
                original.db.copy_to(copy)
                original.close()
            store = Store(copy)
        else:
            store = open_store(config, wait_lock)
        stack.callback(store.close)
        return anyio.run(_round, config, store, dry_run)


async def _round(config: Config, store: Store, dry_run: bool) -> Round:
    before = store.history.last_seq()
    async with make_client(config.client) as client:
        dispatchers, pollers = make_loops(config, client, store, inline, WallClock(), lambda owed: None)

        async def repeat(step: Callable[[], Awaitable[bool]]) -> None:
            while await step():
                pass

        async with anyio.create_task_group() as group:
            for poller in pollers.values():
                group.start_soon(repeat, poller.poll_once)
        if not dry_run:
            async with anyio.create_task_group() as group:
                for dispatcher in dispatchers.values():
                    group.start_soon(repeat, dispatcher.dispatch_once)
    return Round(
        problems={name: poller.problem for name, poller in pollers.items() if poller.problem},
        events=tuple(event for _, event in store.history.events(after=before, limit=10_000)),
        waiting=sum(health.counts.get("pending", 0) for health in store.history.notifiers()),
    )
