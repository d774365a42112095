"""The real clock, the store's worker thread, and who has to show signs of life."""

import random
import time
from collections.abc import Callable

import anyio
import anyio.to_thread

from ftwatch.store import Runner, T, Ts

__all__ = ["Pulse", "WallClock", "threaded"]


class WallClock:
    """The machine's own time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def ticks(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def luck(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await anyio.sleep(seconds)


def threaded() -> Runner:
    """A runner that gives the store a worker thread, one call at a time."""
    limiter = anyio.CapacityLimiter(1)

    async def run(function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=limiter)

    return run


class Pulse:
    """Who said to be alive until when: the watchdog is fed only while everybody keeps their word."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def of(self, name: str) -> Callable[[float], None]:
        """The `beat(seconds)` that a loop of this name is given."""

        def beat(seconds: float) -> None:
            self._until[name] = time.monotonic() + seconds

        beat(300.0)
        return beat

    def clear(self) -> None:
        """Forgets everybody, between two generations."""
        self._until.clear()

    def late(self) -> list[str]:
        """Whose word is broken."""
        now = time.monotonic()
        return [name for name, until in self._until.items() if until < now]
