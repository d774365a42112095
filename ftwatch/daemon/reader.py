"""A second connection to the store, which only reads, in a thread of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread

from ftwatch.store import Store, StoreError

__all__ = ["Reader"]

T = TypeVar("T")


class Reader:
    """Answers questions one at a time, and never holds up who writes. Opened by the first question."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Store | None = None
        self._one = anyio.CapacityLimiter(1)

    async def read(self, question: Callable[[Store], T]) -> T:
        """What `question` finds. Raises StoreError."""
        return await anyio.to_thread.run_sync(self._ask, question, limiter=self._one)

    def _ask(self, question: Callable[[Store], T]) -> T:
        if self._store is None:
            self._store = Store(self._path, mode="read")
        try:
            return question(self._store)
        except StoreError:
            # The next question may find it well again.
            self._store.close()
            self._store = None
            raise

    def close(self) -> None:
        """Closes the connection."""
        if self._store is not None:
            self._store.close()
            self._store = None
