"""One request over a connection of its own, as deliveries are made: of the answer the head is enough.

The library's pool and layers are made for connections that are kept: over them a request would cost
more than twice as much. What HTTP is, h11 knows here as there; where the bytes may go, the guard.
"""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import anyio
import h11
import httpx2

from ftwatch.client.guard import Guard

__all__ = ["Answer", "Single"]

# A head may be so long (bytes), as with the library.
LONGEST_HEAD = 100 * 1024
PIECE = 64 * 1024
# How many addresses are kept as they were read: each receiver has one.
ADDRESSES = 256


class _Target(NamedTuple):
    """Where a URL leads. `login` is what its name and password become in the header `authorization`."""

    is_tls: bool
    host: str
    port: int
    path: bytes
    name: bytes
    login: str | None


class Answer(httpx2.AsyncByteStream):
    """An answer's head, and its body in pieces as they come; `aclose` ends the connection at any time.

    Header names are in lower case.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        self.status_code = 0
        self.headers: dict[str, str] = {}

    async def open(self, request: h11.Request, content: bytes) -> None:
        """Sends the request, and reads up to the end of the answer's head.

        Raises OSError, RemoteProtocolError; ValueError where the request cannot be sent.
        """
        try:
            parts = (request, h11.Data(data=content), h11.EndOfMessage())
            self._writer.write(b"".join(self._talk.send(part) or b"" for part in parts))
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from None
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                break
        self.status_code = event.status_code
        for name, value in event.headers:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises OSError, RemoteProtocolError."""
        return aiter(self)

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body, inflated where it was not to be sent that way, but was. Raises DecodingError, too."""
        if "content-encoding" not in self.headers:
            return aiter(self)
        return httpx2.Response(self.status_code, headers=self.headers, stream=self).aiter_bytes()

    async def aclose(self) -> None:
        """Ends the connection; what may still come concerns nobody."""
        self._writer.transport.abort()

    async def _next(self) -> Any:
        try:
            while (event := self._talk.next_event()) is h11.NEED_DATA:
                self._talk.receive_data(await self._reader.read(PIECE))
        except h11.RemoteProtocolError as error:
            raise httpx2.RemoteProtocolError(str(error)) from None
        return event


class Single:
    """Makes such requests, over TLS by this context, to where the guard lets them."""

    def __init__(self, context: ssl.SSLContext, guard: Guard, timeout: float) -> None:
        """`timeout`: how long it may take until there is a connection (seconds)."""
        self._context = context
        self._guard = guard
        self._timeout = timeout
        self._target = lru_cache(maxsize=ADDRESSES)(_target)

    async def ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """The answer's head; its body is still to come. Leaves no connection behind where it raises.

        Of two headers whose names differ in case only the later one goes. Raises Refused, OSError,
        httpx2.HTTPError, httpx2.InvalidURL; ValueError where one cannot be sent.
        """
        target = self._target(url)
        about = {name.lower(): (name, value) for name, value in headers.items()}
        own = {"host": target.name.decode("ascii"), "connection": "close"}
        if target.login is not None:
            own["authorization"] = target.login
        if content is not None:
            own["content-length"] = str(len(content))
        about |= {name: (name, value) for name, value in own.items()}
        try:
            request = h11.Request(method=method, target=target.path, headers=list(about.values()))
        except h11.LocalProtocolError as error:
            raise ValueError(str(error)) from None
        answer = Answer(*await self._connected(target))
        try:
            await answer.open(request, content or b"")
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def _connected(self, to: _Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            with anyio.fail_after(self._timeout):
                addresses = await self._guard.addresses(to.host, to.port)
                line, others = await self._guard.first(addresses, lambda one: _dialled(one, to.port))
                for late in others:
                    late.close()
                name = to.host if to.is_tls else None
                return await asyncio.open_connection(
                    sock=line, ssl=self._context if to.is_tls else None, server_hostname=name
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("no connection in time") from error


async def _dialled(address: str, port: int) -> socket.socket:
    """A socket that is connected. Raises OSError."""
    line = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    line.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(line, (address, port))
    except BaseException:
        line.close()
        raise
    return line


def _target(url: str) -> _Target:
    """Where a URL leads. Raises httpx2.InvalidURL, httpx2.UnsupportedProtocol."""
    read = httpx2.URL(url)
    if read.scheme not in ("http", "https"):
        raise httpx2.UnsupportedProtocol("neither http nor https")
    is_tls = read.scheme == "https"
    login = b64encode(f"{read.username}:{read.password}".encode()).decode() if read.userinfo else None
    return _Target(
        is_tls=is_tls,
        host=read.raw_host.decode("ascii"),
        port=read.port or (443 if is_tls else 80),
        path=read.raw_path,
        name=read.netloc,
        login=f"Basic {login}" if login is not None else None,
    )
