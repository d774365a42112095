"""Requests over connections that are kept for the next one, as all are made but deliveries.

A connection that waits is used again as long as nothing has come over it since, not even its end; who was
answered last waits at hand. What the library's pool does beyond that, for limits, proxies and other versions
of HTTP, would be two thirds of what a request costs. Where bytes may go says the guard (`single`).
"""

import asyncio
from functools import lru_cache
from typing import NamedTuple

import h11

from ftwatch.client.single import Answer, Place, Ready, Single, Wire, talk

__all__ = ["Kept"]

# So many connections wait at most, and so long (seconds).
MOST, LONGEST = 50, 120.0
# How many requests are kept to be sent again: who asks for pages asks for the same ones.
PREPARED = 256

Headers = tuple[tuple[str, str], ...]


class _Line(NamedTuple):
    """A connection that waits, until when (seconds of the event loop)."""

    place: Place
    wire: Wire
    talk: h11.Connection
    until: float


class _Answer(Answer):
    """An answer after which its connection may be used again, if it was read to its end."""

    def __init__(self, kept: "Kept", place: Place, wire: Wire, talk: h11.Connection) -> None:
        super().__init__(wire, talk)
        self._kept = kept
        self._place = place
        self._is_closed = False

    async def aclose(self) -> None:
        """Gives the connection back, or ends it where something may still come."""
        if not self._is_closed:
            self._is_closed = True
            self._kept.back(self._place, self._wire, self._talk)


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
            wire, reading = await self._single.sent(ready), talk()
        else:
            reading = line.talk
            reading.start_next_cycle()
            try:
                wire = await line.wire.give(ready.whole)
            except BaseException:
                line.wire.abort()
                raise
        self._used.add(wire)
        answer = _Answer(self, ready.place, wire, reading)
        try:
            await answer.open(ready.said)
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def back(self, place: Place, wire: Wire, talk: h11.Connection) -> None:
        """A connection is not in use any more."""
        self._used.discard(wire)
        is_over = talk.our_state is h11.DONE and talk.their_state is h11.DONE
        if self._is_closed or not is_over or talk.trailing_data[0]:
            wire.abort()
            return
        until = asyncio.get_running_loop().time() + LONGEST
        self._waiting.append(_Line(place, wire, talk, until))
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
