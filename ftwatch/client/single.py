"""One request over a connection of its own, as deliveries are made: of the answer the head is enough.

The library's pool and layers are made for connections that are kept: over them a request would cost
more than twice as much. What comes back h11 reads, here as there; what goes is a line for each header. Where
the bytes may go says the guard.
"""

import asyncio
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import h11
import httpx2

from ftwatch.client.guard import Guard

__all__ = ["Answer", "Single"]

# A head may be so long (bytes), as with the library.
LONGEST_HEAD = 100 * 1024
PIECE = 64 * 1024
# How many addresses are kept as they were read: each receiver has one.
ADDRESSES = 256
# What may go out as a header: its name, a break, its value. A break anywhere else would begin another one.
FIELD = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+\n(?:[!-~]+(?:[ \t]+[!-~]+)*)?")
# How a message ends is said here alone.
FRAMING = frozenset({"content-length", "transfer-encoding"})


class _Target(NamedTuple):
    """Where a URL leads. `login` is what its name and password become in the header `authorization`."""

    is_tls: bool
    host: str
    port: int
    path: str
    name: str
    login: str | None


class _Wire(Protocol):
    """A connection that the request has been given to: the answer comes over it."""

    async def read(self, most: int) -> bytes:
        """What has come, at most so many bytes; none at the end. Raises OSError."""

    def abort(self) -> None:
        """Ends it at once."""


class _Socket:
    """A connection without TLS on which all has been sent: the socket by itself.

    asyncio's streams would cost nearly as much as all the rest of a delivery.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    async def read(self, most: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._line, most)

    def abort(self) -> None:
        self._line.close()


class _Stream:
    """Any other: with TLS, or where something is still being sent while the answer comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.read = reader.read
        self._writer = writer  # It closes the connection when nobody has it any more.

    def abort(self) -> None:
        self._writer.transport.abort()


class Answer(httpx2.AsyncByteStream):
    """An answer's head, and its body in pieces as they come; `aclose` ends the connection at any time.

    Header names are in lower case.
    """

    def __init__(self, wire: _Wire, talk: h11.Connection) -> None:
        self._wire = wire
        self._talk = talk
        self.status_code = 0
        self.headers: dict[str, str] = {}

    async def open(self) -> None:
        """Reads up to the end of the answer's head. Raises OSError, RemoteProtocolError."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                break
        self.status_code = event.status_code
        for name, value in event.headers:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        event = await self._next()
        if not isinstance(event, h11.Data):
            raise StopAsyncIteration
        return bytes(event.data)

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
        self._wire.abort()

    async def _next(self) -> Any:
        try:
            while (event := self._talk.next_event()) is h11.NEED_DATA:
                self._talk.receive_data(await self._wire.read(PIECE))
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
        self._request = lru_cache(maxsize=ADDRESSES)(_request)

    async def ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """The answer's head; its body is still to come. Leaves no connection behind where it raises.

        Of two headers whose names differ in case only the later one goes. Raises Refused, OSError,
        httpx2.HTTPError, httpx2.InvalidURL; ValueError where one cannot be sent.
        """
        target = self._target(url)
        own = {"host": target.name, "connection": "close"}
        if target.login is not None:
            own["authorization"] = target.login
        if content is not None:
            own["content-length"] = str(len(content))
        about = {name: (name, value) for name, value in own.items()}
        for name, value in headers.items():
            key = name.lower()
            if key not in own and key not in FRAMING:
                about[key] = name, value
        head = f"{method} {target.path} HTTP/1.1\r\n{_lines(about.values())}\r\n".encode("ascii")
        talk = _asked(self._request(method, target))
        answer = Answer(await self._sent(target, head + (content or b"")), talk)
        try:
            await answer.open()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def _sent(self, to: _Target, whole: bytes) -> _Wire:
        """A connection to there over which all this goes."""
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._guard.addresses(to.host, to.port)
                line, others = await self._guard.first(addresses, lambda one: _dialled(one, to.port))
                for late in others:
                    late.close()
                if not to.is_tls:
                    whole = whole[_sent_at_once(line, whole) :]
                    if not whole:
                        return _Socket(line)
                name = to.host if to.is_tls else None
                reader, writer = await asyncio.open_connection(
                    sock=line, ssl=self._context if to.is_tls else None, server_hostname=name
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("no connection in time") from error
        writer.write(whole)
        return _Stream(reader, writer)


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as they go out. Raises ValueError for what is none."""
    lines = ""
    for name, value in headers:
        if not FIELD.fullmatch(f"{name}\n{value}"):
            raise ValueError("a header holds a character that none may")
        lines += f"{name}: {value}\r\n"
    return lines


def _request(method: str, to: _Target) -> h11.Request:
    """What h11 has to know of a request to read its answer. Raises ValueError where there is none such."""
    try:
        return h11.Request(method=method, target=to.path, headers=[("host", to.name)])
    except h11.LocalProtocolError as error:
        raise ValueError(str(error)) from None


def _asked(request: h11.Request) -> h11.Connection:
    """Reads what is answered to it."""
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    talk.send(request)
    talk.send(h11.EndOfMessage())
    return talk


def _sent_at_once(line: socket.socket, content: bytes) -> int:
    """How much of this the system takes without waiting (bytes). Raises OSError, and closes the socket."""
    try:
        return line.send(content)
    except BlockingIOError:
        return 0
    except BaseException:
        line.close()
        raise


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
        path=read.raw_path.decode("ascii"),
        name=read.netloc.decode("ascii"),
        login=f"Basic {login}" if login is not None else None,
    )
