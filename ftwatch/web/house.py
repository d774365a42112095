"""What the web needs of the daemon: one protocol, so that nothing here knows how the daemon is built."""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import anyio

from ftwatch.config import Config
from ftwatch.control import Operation
from ftwatch.core.clock import Clock
from ftwatch.dispatcher import Dispatcher
from ftwatch.poller import Poller
from ftwatch.store import Runner, Store

__all__ = ["House"]

T = TypeVar("T")


class House(Protocol):
    """The daemon, as the web sees it. `config` and the loops are those of the generation that runs now.

    `store` is written by way of `work`, as everybody does it; `read` asks a connection and a thread of its
    own, so that no page that somebody looks at can hold up a delivery. `operations` are those of the control
    socket, by the same names. Between two generations `pollers` and `dispatchers` are empty.
    """

    started_at: float
    generation: int
    store: Store
    work: Runner

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def config(self) -> Config:
        """The config in force."""
        ...

    @property
    def pollers(self) -> Mapping[str, Poller]:
        """Who watches each provider now."""
        ...

    @property
    def dispatchers(self) -> Mapping[str, Dispatcher]:
        """Who delivers to each notifier now."""
        ...

    @property
    def operations(self) -> Mapping[str, Operation]:
        """What the control socket offers, each raising control.Refused with a sentence."""
        ...

    async def read(self, question: Callable[[Store], T]) -> T:
        """What `question` finds in the store, of which it may only read. Raises StoreError."""
        ...

    def late(self) -> list[str]:
        """Which loops have not given the sign of life that they promised."""
        ...

    def ring(self) -> None:
        """Something new may be due."""
        ...

    def news(self) -> anyio.Event:
        """What is set once new events have been committed; ask for it before looking for them."""
        ...
