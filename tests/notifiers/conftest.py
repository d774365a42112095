"""What the notifiers' tests share: making one, a raw HTTP receiver, and a hostile event."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch.client import Client
from ftwatch.core.event import Event
from ftwatch.core.job import JobError
from ftwatch.core.sample import sample
from ftwatch.plugins import NotifierSpec, load_kind

HOSTILE = (
    "*bold* _it_ `code` <!channel> <@U1> <https://evil.example|click> &amp; <script>alert(1)</script> "
    "=?utf-8?q?=0ABcc:_x?= \r\nBcc: victim@example.com\r\n\x1b[2J\x07 \u202egpj.exe "
    "{{7*7}} ${HOME} $(id) '; --"
)


class Receiver:
    """Answers every request with the bytes it is told to, and keeps what came."""

    def __init__(self) -> None:
        self.answer: bytes | Callable[[asyncio.StreamWriter], Any] = self.say(200)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.url = ""

    @staticmethod
    def say(status: int, body: bytes = b"ok", **headers: str) -> bytes:
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            pairs = (line.partition(": ") for line in lines)
            headers = {name.lower(): value for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.requests.append((first, headers, body))
            if callable(self.answer):
                await self.answer(writer)
            else:
                writer.write(self.answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        server.close()


@asynccontextmanager
async def made(kind: str, folder: Path | str = ".", **options: Any) -> AsyncIterator[Any]:
    """A notifier of a kind, with a client of its own."""
    found = load_kind("notifier", kind)
    async with Client() as client:
        yield found(
            NotifierSpec(
                name="mine", kind=kind, options=found.Options(**options), client=client, folder=str(folder)
            )
        )


def hostile_event() -> Event:
    event = sample("failed")
    assert event.job is not None
    job = replace(
        event.job,
        name=HOSTILE,
        model=HOSTILE,
        error=JobError(code=HOSTILE, message=HOSTILE * 50, param=HOSTILE),
        labels={HOSTILE: HOSTILE},
        metadata={"k": HOSTILE},
    )
    return replace(event, data=replace(event.data, name=HOSTILE, job=job))


@pytest.fixture
def hostile() -> Event:
    return hostile_event()


@pytest.fixture
def kit() -> Any:
    """The helpers of this folder, as one object (test modules cannot import each other)."""

    class Kit:
        receiving = staticmethod(receiving)
        made = staticmethod(made)
        text = HOSTILE

    return Kit
