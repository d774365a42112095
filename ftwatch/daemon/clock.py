"""The real clock, and who has to show signs of life."""

import random
import time
from collections.abc import Callable

import anyio

from ftwatch.core.clock import Clock

__all__ = ["Anchor", "Pulse", "WallClock"]

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
