"""The real clock, the store's worker thread, and who has to show signs of life."""

import random
import time
from collections.abc import Callable

import anyio
import anyio.to_thread

from ftwatch.core.clock import Clock
from ftwatch.store import Runner, T, Ts

__all__ = ["Anchor", "Pulse", "WallClock", "threaded"]

# By how much the clock on the wall may stray from the one that only goes on before that counts (seconds).
STRAY = 5.0


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


class Anchor:
    """Notices that the machine's time was set, or stood still while the machine slept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._apart = clock.now() - clock.ticks()

    def stepped(self) -> float:
        """By how many seconds the time was moved since the last call; 0.0 where it only went on."""
        apart = self._clock.now() - self._clock.ticks()
        step = apart - self._apart
        if abs(step) <= STRAY:
            return 0.0
        self._apart = apart
        return step


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
