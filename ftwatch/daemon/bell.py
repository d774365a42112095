"""A bell that the store's thread rings, and whoever waits on the event loop hears. Nobody has to look."""

import asyncio
from collections.abc import Callable

import anyio

__all__ = ["Bell"]


class Bell:
    """Rings for all who wait at that moment."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def next(self) -> anyio.Event:
        """What the next ring sets."""
        return self._event

    def ring(self) -> None:
        """Wakes whoever waits."""
        rung, self._event = self._event, anyio.Event()
        rung.set()

    def from_any_thread(self) -> Callable[[], None]:
        """The same, for other threads; made on the event loop that it is to ring on."""
        loop = asyncio.get_running_loop()

        def ring() -> None:
            loop.call_soon_threadsafe(self.ring)

        return ring
