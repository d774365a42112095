"""Requests over connections that are kept for the next one, as all are made but deliveries.

A connection that waits is used again as long as nothing has come over it since, not even its end; who was
answered last waits at hand. What the library's pool does beyond that, for limits, proxies and other versions
of HTTP, would be two thirds of what a request costs. Where bytes may go says the guard (`single`).

An answer whose head is as plain as can be is read here; of all others h11 says what they mean.
"""

import asyncio
import re
from functools import lru_cache
from typing import NamedTuple

import h11
import httpx2

from ftwatch.client.single import PIECE, Answer, Place, Ready, Single, Wire

__all__ = ["Kept"]

# So many connections wait at most, and so long (seconds).
MOST, LONGEST = 50, 120.0
# How many requests are kept to be sent again: who asks for pages asks for the same ones.
PREPARED = 256
# A plain head: status line and headers of printable characters, each on a line of its own that ends as it
# should. It is no longer than this (bytes).
HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\t -~]*\r\n((?:[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~]*\r\n)*)\r\n"
)
LONGEST_HEAD = 16 * 1024
# And it says in one way alone how long its body is, and that the connection goes on.
LENGTH = re.compile("[0-9]{1,15}")
BODILESS = frozenset({204, 304})

Headers = tuple[tuple[str, str], ...]


class _Line(NamedTuple):
    """A connection that waits, until when (seconds of the event loop)."""

    place: Place
    wire: Wire
    until: float


class _Answer(Answer):
    """An answer after which its connection may be used again, if it was read to its end."""

    def __init__(self, kept: "Kept", place: Place, wire: Wire) -> None:
        super().__init__(wire)
        self._kept = kept
        self._place = place
        self._is_closed = False
        # Of a plain answer: what has come of the body, and how much of it is still to be read (bytes).
        self._come = b""
        self._left: int | None = None
        self._is_odd = False

    async def open(self, said: h11.Request, come: bytes = b"") -> None:
        end = -1
        while end < 0 and len(come) < LONGEST_HEAD:
            piece = await self._wire.read(PIECE)
            come += piece
            end = come.find(b"\r\n\r\n")
            if not piece:
                break
        plain = _plain(come[: end + 4]) if end >= 0 and said.method != b"HEAD" else None
        if plain is None:
            self._is_odd = True
            return await super().open(said, come)
        self.status_code, self.headers, self._left = plain
        self._come = come[end + 4 :]
        return None

    async def __anext__(self) -> bytes:
        if self._left is None:
            return await super().__anext__()
        if not self._left:
            raise StopAsyncIteration
        come = self._come or await self._wire.read(PIECE)
        if not come:
            raise httpx2.RemoteProtocolError("the answer broke off")
        piece, self._come = come[: self._left], come[self._left :]
        self._left -= len(piece)
        return piece

    async def aclose(self) -> None:
        """Gives the connection back, or ends it where something may still come."""
        if not self._is_closed:
            self._is_closed = True
            self._kept.back(self._place, self._wire, is_over=self._is_over)

    @property
    def _is_over(self) -> bool:
        """Whether all of it was read, and nothing came after it."""
        if not self._is_odd:
            return self._left == 0 and not self._come
        states = {self._talk.our_state, self._talk.their_state}
        return states == {h11.DONE} and not self._talk.trailing_data[0]


class Kept:
    """Makes such requests. `close` ends all connections; what is under way fails."""

    def __init__(self, single: Single) -> None:
        self._single = single
        self._prepared = lru_cache(maxsize=PREPARED)(self._ready)
        # Those that wait, the longest first; and those in use.
        self._waiting: list[_Line] = []
        self._used: set[Wire] = set()
        self._is_closed = False

    def close(self) -> None:
        """Ends all connections."""
        self._is_closed = True
        for line in self._waiting:
            line.wire.abort()
        self._waiting.clear()
        for wire in self._used:
            wire.cut()

    async def ask(self, method: str, url: str, headers: Headers, content: bytes | None) -> Answer:
        """The answer's head; read its body, and close it. Raises what `Single.ask` does."""
        make = self._prepared if content is None else self._ready
        ready = make(method, url, headers, content)
        line = self._taken(ready.place)
        if line is None:
            wire = await self._single.sent(ready)
        else:
            try:
                wire = await line.wire.give(ready.whole)
            except BaseException:
                line.wire.abort()
                raise
        self._used.add(wire)
        answer = _Answer(self, ready.place, wire)
        try:
            await answer.open(ready.said)
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def back(self, place: Place, wire: Wire, *, is_over: bool) -> None:
        """A connection is not in use any more. `is_over`: nothing of its last answer may still come."""
        self._used.discard(wire)
        if self._is_closed or not is_over:
            wire.abort()
            return
        self._waiting.append(_Line(place, wire, asyncio.get_running_loop().time() + LONGEST))
        if len(self._waiting) > MOST:
            self._waiting.pop(0).wire.abort()

    def _taken(self, place: Place) -> _Line | None:
        """A connection to there that waits; None where there is none that can be used again."""
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0].until <= now:
            self._waiting.pop(0).wire.abort()
        for line in reversed([line for line in self._waiting if line.place == place]):
            self._waiting.remove(line)
            if line.wire.is_quiet():
                return line
            line.wire.abort()
        return None

    def _ready(self, method: str, url: str, headers: Headers, content: bytes | None) -> Ready:
        return self._single.ready(method, url, dict(headers), content, connection="keep-alive")


def _plain(head: bytes) -> tuple[int, dict[str, str], int] | None:
    """Status, headers and the length of the body (bytes) by a head that is plain; None for any other."""
    found = HEAD.fullmatch(head)
    if found is None:
        return None
    status, headers = int(found[1]), dict[str, str]()
    for line in found[2].decode("ascii").split("\r\n")[:-1]:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    length = headers.get("content-length", "")
    goes_on = headers.get("connection", "keep-alive").lower() == "keep-alive"
    if status in BODILESS or "transfer-encoding" in headers or not goes_on or not LENGTH.fullmatch(length):
        return None
    return status, headers, int(length)
