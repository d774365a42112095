"""Uvicorn within the daemon's own loop: no signals of its own, no ticking, and a limit on everything.

A connection has a deadline for its headers, a request for its body (`read_body`); how many there may be, and
how large, is bounded. What the requests mean is the applications' affair.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["LARGEST_HEAD", "read_body", "serving"]

LARGEST_HEAD = 16 * 1024
LARGEST_BODY = 256 * 1024
# How long (seconds) a request's headers, and then its body, may take to come in.
PATIENCE = 10.0
CONNECTIONS = 512
# How long requests under way may take to end when the server does (seconds).
GRACE = 2

# Its complaints about strangers' requests are no news; what goes wrong in ours is logged by the middleware.
logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)


class _Protocol(H11Protocol):
    """One connection. It is closed where headers do not arrive whole in time: a drip keeps no place."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_waiting()
        elif before is None or before.response_complete:
            self._await_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.conn.trailing_data[0]:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """A server that leaves the signals alone and sleeps until it is to end."""

    def __init__(self, config: uvicorn.Config, ends: anyio.Event) -> None:
        super().__init__(config)
        self.listens = anyio.Event()
        self._ends = ends

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def main_loop(self) -> None:
        # The original wakes up ten times a second, for ever, to look whether it should end.
        await self._ends.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def serving(application: ASGIApp, listener: socket.socket, ends: anyio.Event) -> AsyncIterator[None]:
    """Serves on `listener` for as long as the context lasts.

    Then `ends` is set, by which long answers know that they are to end; others have GRACE seconds.
    """
    config = uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Its clock stands still with the loop that is not there; `access` says the date.
        date_header=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=LARGEST_HEAD,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, ends)

    async def serve() -> None:
        with anyio.CancelScope(shield=True):  # who is being answered gets the rest of it
            await server.serve([listener])

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        try:
            await server.listens.wait()
            yield
        finally:
            ends.set()


async def read_body(request: Request, largest: int = LARGEST_BODY) -> bytes:
    """The request's whole body. Raises HTTPException: 413 where it is too large, 408 where it is too slow."""
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > largest:
        raise too_large(largest)
    body = bytearray()
    try:
        with anyio.fail_after(PATIENCE):
            async for part in request.stream():
                body += part
                if len(body) > largest:
                    raise too_large(largest)
    except TimeoutError:
        raise HTTPException(408, "the body took too long", {"connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the sender hung up", {"connection": "close"}) from None
    return bytes(body)


def too_large(largest: int) -> HTTPException:
    """The refusal of a body of more than `largest` bytes."""
    sentence = f"the body is larger than {largest // 1024} KiB"
    return HTTPException(413, sentence, {"connection": "close"})
