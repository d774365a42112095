"""One request over a connection of its own, as deliveries are made: of the answer the head is enough.

Over the library's pool and layers a request would cost more than twice as much. What comes back h11 reads,
here as there; what goes is a line for each header. Where the bytes may go says the guard. Those that follow
one another over the same connection are made in `kept`, out of the same parts.
"""

import asyncio
import errno
import os
import re
import select
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import h11
import httpx2

from ftwatch.client.guard import Guard

__all__ = ["PIECE", "Answer", "Place", "Ready", "Single", "Wire"]

# A head may be so long (bytes), as with the library.
LONGEST_HEAD = 100 * 1024
PIECE = 64 * 1024
# How many addresses are kept as they were read: each receiver has one.
ADDRESSES = 256
# What may go out as a header: its name, a break, its value. A break anywhere else would begin another one.
FIELD = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+\n(?:[!-~]+(?:[ \t]+[!-~]+)*)?")
# And what as a path.
PATH = re.compile("[!-~]+")
# An address whose path and query go out as they stand: nothing in them is to be encoded or resolved.
PLAIN = re.compile(
    r"(https?://[a-z0-9.-]+(?::[0-9]+)?)((?:/[\w~:@,-][\w.~:@,-]*)+/?(?:\?[\w.~:@,/&=-]*)?)", re.ASCII
)
# How a message ends is said here alone; and which say so although nothing is sent along.
FRAMING = frozenset({"content-length", "transfer-encoding"})
SENDING = frozenset({"POST", "PUT", "PATCH"})


class Place(NamedTuple):
    """Who is at the other end of a connection."""

    is_tls: bool
    host: str
    port: int


class _Target(NamedTuple):
    """Where a URL leads. `login` is what its name and password become in the header `authorization`."""

    place: Place
    path: str
    name: str
    login: str | None


class Ready(NamedTuple):
    """A request as it goes out, to where; `said` is what h11 has to know of it to read its answer."""

    place: Place
    whole: bytes
    said: h11.Request


class Wire(Protocol):
    """A connection that requests are given to, and over which their answers come."""

    async def give(self, whole: bytes) -> "Wire":
        """Sends this without waiting for its end; what goes on as the connection. Raises OSError."""

    async def read(self, most: int) -> bytes:
        """What has come, at most so many bytes; none at the end. Raises OSError."""

    def is_quiet(self) -> bool:
        """Whether all has been sent, and nothing has come, not even the end."""

    def cut(self) -> None:
        """Whoever reads comes to the end."""

    def abort(self) -> None:
        """Ends it at once; nobody reads any more."""


class _Socket:
    """A connection without TLS on which all has been sent: the socket by itself.

    asyncio's streams would cost nearly as much as all the rest of a delivery.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    async def give(self, whole: bytes) -> Wire:
        rest = whole[_sent_at_once(self._line, whole) :]
        if not rest:
            return self
        return await _Stream(*await asyncio.open_connection(sock=self._line)).give(rest)

    async def read(self, most: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._line, most)

    def is_quiet(self) -> bool:
        return _is_silent(self._line.fileno())

    def cut(self) -> None:
        with suppress(OSError):  # The other end has done so.
            self._line.shutdown(socket.SHUT_RDWR)

    def abort(self) -> None:
        self._line.close()


class _Stream:
    """Any other: with TLS, or where something is still being sent while the answer comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.read = reader.read
        self._reader = reader
        self._writer = writer  # It closes the connection when nobody has it any more.

    async def give(self, whole: bytes) -> Wire:
        self._writer.write(whole)
        return self

    def is_quiet(self) -> bool:
        line = self._writer.transport
        if line.is_closing() or line.get_write_buffer_size() or self._reader.at_eof():
            return False
        return _is_silent(line.get_extra_info("socket").fileno())

    def cut(self) -> None:
        self._writer.transport.abort()

    def abort(self) -> None:
        self._writer.transport.abort()


class Answer(httpx2.AsyncByteStream):
    """An answer's head, and its body in pieces as they come; `aclose` ends the connection at any time.

    Header names are in lower case.
    """

    _talk: h11.Connection

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.status_code = 0
        self.headers: dict[str, str] = {}

    async def open(self, said: h11.Request, come: bytes = b"") -> None:
        """Reads up to the end of the head of the answer to this, of which so much has come already.

        Raises OSError, RemoteProtocolError.
        """
        self._talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        if come:
            self._talk.receive_data(come)
        self._talk.send(said)
        self._talk.send(h11.EndOfMessage())
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
        self._said = lru_cache(_said)

    def ready(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        content: bytes | None,
        *,
        connection: str = "close",
    ) -> Ready:
        """A request as it goes out. Of two headers whose names differ in case only the later one goes.

        Raises httpx2.InvalidURL, httpx2.UnsupportedProtocol; ValueError where it cannot be sent.
        """
        plain = PLAIN.fullmatch(url)
        target = self._target(f"{plain[1]}/")._replace(path=plain[2]) if plain else self._target(url)
        own = {"host": target.name, "connection": connection}
        if target.login is not None:
            own["authorization"] = target.login
        if content is not None or method in SENDING:
            own["content-length"] = str(len(content or b""))
        about = {name: (name, value) for name, value in own.items()}
        for name, value in headers.items():
            key = name.lower()
            if key not in own and key not in FRAMING:
                about[key] = name, value
        head = f"{method} {target.path} HTTP/1.1\r\n{_lines(about.values())}\r\n".encode("ascii")
        return Ready(target.place, head + (content or b""), self._said(method))

    async def ask(self, method: str, url: str, headers: Mapping[str, str], content: bytes | None) -> Answer:
        """The answer's head; its body is still to come. Leaves no connection behind where it raises.

        Raises Refused, OSError, httpx2.HTTPError, and what `ready` does.
        """
        ready = self.ready(method, url, headers, content)
        answer = Answer(await self.sent(ready))
        try:
            await answer.open(ready.said)
        except BaseException:
            await answer.aclose()
            raise
        return answer

    async def sent(self, ready: Ready) -> Wire:
        """A new connection, over which this goes. Raises Refused, OSError, httpx2.ConnectTimeout."""
        to = ready.place
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._guard.addresses(to.host, to.port)
                line, others = await self._guard.first(addresses, lambda one: _dialled(one, to.port))
                for late in others:
                    late.close()
                if not to.is_tls:
                    return await _Socket(line).give(ready.whole)
                streams = await asyncio.open_connection(sock=line, ssl=self._context, server_hostname=to.host)
        except TimeoutError as error:
            raise httpx2.ConnectTimeout("no connection in time") from error
        return await _Stream(*streams).give(ready.whole)


def _lines(headers: Iterable[tuple[str, str]]) -> str:
    """Headers as they go out. Raises ValueError for what is none."""
    lines = ""
    for name, value in headers:
        if not FIELD.fullmatch(f"{name}\n{value}"):
            raise ValueError("a header holds a character that none may")
        lines += f"{name}: {value}\r\n"
    return lines


def _said(method: str) -> h11.Request:
    """What h11 has to know of a request to read its answer. Raises ValueError where there is none such."""
    try:
        return h11.Request(method=method, target="/", headers=[("host", "")])
    except h11.LocalProtocolError as error:
        raise ValueError(str(error)) from None


def _is_silent(line: int) -> bool:
    """Whether nothing has come over an open socket, not even the end."""
    waiting = select.poll()
    waiting.register(line, select.POLLIN)
    return not waiting.poll(0)


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
        if not _is_near(line, address, port):
            await asyncio.get_running_loop().sock_connect(line, (address, port))
    except BaseException:
        line.close()
        raise
    return line


def _is_near(line: socket.socket, address: str, port: int) -> bool:
    """Dials; whether it is connected at once: on the same machine it is, though only a second look says so.

    Raises OSError.
    """
    for _ in range(2):
        code = line.connect_ex((address, port))
        if code in (0, errno.EISCONN):
            return True
    if code in (errno.EINPROGRESS, errno.EALREADY):
        return False
    raise OSError(code, os.strerror(code))


def _target(url: str) -> _Target:
    """Where a URL leads. Raises httpx2.InvalidURL, httpx2.UnsupportedProtocol."""
    read = httpx2.URL(url)
    if read.scheme not in ("http", "https"):
        raise httpx2.UnsupportedProtocol("neither http nor https")
    is_tls = read.scheme == "https"
    login = b64encode(f"{read.username}:{read.password}".encode()).decode() if read.userinfo else None
    path = read.raw_path.decode("ascii")
    if not PATH.fullmatch(path):
        raise ValueError("an address holds a character that none may")
    return _Target(
        place=Place(is_tls, read.raw_host.decode("ascii"), read.port or (443 if is_tls else 80)),
        path=path,
        name=read.netloc.decode("ascii"),
        login=f"Basic {login}" if login is not None else None,
    )
