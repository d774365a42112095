"""A house for the web's tests: a real store, a real listener on loopback, and loops that only remember."""

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio

from ftwatch import config
from ftwatch.store import Store, inline
from ftwatch.web import application, serving

T = TypeVar("T")

WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
TOKEN = "a-token-for-tests-0123456789"


class Hands:
    """A clock that is set by hand."""

    def __init__(self, now: float) -> None:
        self.at = now

    def now(self) -> float:
        return self.at

    def ticks(self) -> float:
        return self.at

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Listening:
    """In a poller's place: remembers what it was told of."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.good_at: float | None = None
        self.problem: str | None = None

    def hear(self, jobs: list[str]) -> None:
        self.heard += jobs


class TestHouse:
    """What the web needs of the daemon, with everything in sight."""

    __test__ = False

    def __init__(self, folder: Path, text: str, now: float) -> None:
        file = folder / "ftwatch.yaml"
        file.write_text(text)
        self.config = config.load(file, environ={"HOME": str(folder)}, secrets=True)
        self.store = Store(folder / "ftwatch.db")
        self.work = inline
        self.clock = Hands(now)
        self.started_at, self.generation = now, 1
        self.pollers: Mapping[str, Any] = {name: Listening() for name in self.config.providers}
        self.dispatchers: Mapping[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self.hanging: list[str] = []
        self.rung = 0
        self.port = 0

    async def read(self, question: Callable[[Store], T]) -> T:
        return question(self.store)

    def late(self) -> list[str]:
        return self.hanging

    def ring(self) -> None:
        self.rung += 1

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def house(folder: Path, text: str, now: float = 1_795_000_000.0) -> AsyncIterator[TestHouse]:
    """A house whose web listens for as long as the context lasts."""
    made = TestHouse(folder, text, now)
    listener = socket.create_server(("127.0.0.1", 0))
    made.port = listener.getsockname()[1]
    ends = anyio.Event()
    try:
        async with serving(application(made, ends), listener, ends):
            yield made
    finally:
        made.store.close()
