"""An ftwatch that is broken on purpose, or dies at a chosen point, for harnesses to start.

    python bench/child.py [--bug NAME] [--die POINT --on N] ARGUMENTS OF FTWATCH...

A point is a function and a side of it: `after ftwatch.store:Store.commit` dies by SIGKILL right after the
N-th commit. `POINTS` names the ones that matter, `HOOKS` those on the way of a webhook through the house;
ftwatch itself knows nothing of them.
"""

import argparse
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from bugs import BUGS, plant

__all__ = ["AT_THE_START", "HOOKS", "POINTS"]

# Every place where what is in memory, in the database and in the world differ from one another.
AT_THE_START = (
    "ftwatch.store.place:lock",
    "ftwatch.store.sqlite:Database._look_through",
    "ftwatch.store.sqlite:Database._migrate",
    "ftwatch.store.place:Room.keep",
    "ftwatch.store.outbox:Outbox.release",
    "ftwatch.store:Store.wake",
    "ftwatch.store:Store.mark",
    "ftwatch.store:Store.prune",
)
LATER = (
    "ftwatch.store:Store.commit",
    "ftwatch.store:Store._record",
    "ftwatch.store.jobs:Jobs.swap",
    "ftwatch.store.jobs:Jobs.swap_provider",
    "ftwatch.poller.ledger:Ledger._decide_and_commit",
    "ftwatch.poller.inquiry:Inquiry._retrieve",
    "ftwatch.poller.inquiry:Inquiry._read_log",
    "ftwatch.poller.listing:Listing.page",
    "ftwatch.store.outbox:Outbox._take",
    "ftwatch.store.outbox:Outbox.memory",
    "ftwatch.notifiers.webhook:Webhook.send",
    "ftwatch.client:Client.request",
    "ftwatch.dispatcher.claims:Claims.settle",
    "ftwatch.store:Store.settle",
    "ftwatch.store.outbox:Outbox.settle",
    "ftwatch.store.outbox:Outbox.put_breaker",
    "ftwatch.daemon:Daemon._reload",
)
IN_A_HOOK = (
    "ftwatch.web.hooks:message_of",
    "ftwatch.core.announce:relayed",
    "ftwatch.store.inbound:Inbound.take",
    "ftwatch.store:Store._record",
    "ftwatch.store:Store.receive",
    "ftwatch.web.hooks:_take",
    "ftwatch.notifiers.webhook:Webhook.send",
    "ftwatch.store:Store.settle",
)
POINTS = tuple(f"{side} {function}" for function in (*AT_THE_START, *LATER) for side in ("before", "after"))
HOOKS = tuple(f"{side} {function}" for function in IN_A_HOOK for side in ("before", "after"))


def mine(point: str, on: int) -> None:
    """Lets this process die the `on`-th time that it comes to a point."""
    side, _, name = point.partition(" ")
    module, _, path = name.partition(":")
    holder: Any = importlib.import_module(module)
    *owners, attribute = path.split(".")
    for owner in owners:
        holder = getattr(holder, owner)
    true: Callable[..., Any] = getattr(holder, attribute)
    passed = 0

    def passing(here: str) -> None:
        nonlocal passed
        if here == side:
            passed += 1
            if passed == on:
                os.kill(os.getpid(), signal.SIGKILL)

    @wraps(true)
    async def waiting(*args: Any, **more: Any) -> Any:
        passing("before")
        done = await true(*args, **more)
        passing("after")
        return done

    @wraps(true)
    def plain(*args: Any, **more: Any) -> Any:
        passing("before")
        done = true(*args, **more)
        passing("after")
        return done

    setattr(holder, attribute, waiting if inspect.iscoroutinefunction(true) else plain)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bug", choices=BUGS)
    parser.add_argument("--die", choices=(*POINTS, *HOOKS), metavar="POINT")
    parser.add_argument("--on", type=int, default=1)
    given, rest = parser.parse_known_args()
    if given.bug:
        plant(given.bug)
    if given.die:
        mine(given.die, given.on)
    from ftwatch.cli import main as ftwatch

    sys.argv = ["ftwatch", *rest]
    ftwatch()


if __name__ == "__main__":
    main()
