"""The live stream of events, /api/v1/events/stream (server-sent events).

Nobody polls: the store rings a bell when it has committed something new, whoever streams wakes up, and the
first of them reads it for all. What was read is kept for a while (`Tail`), so that each is told at its own
pace; who falls behind that, or takes too long over a piece, is dropped, and comes again with the id of the
event that it saw last.
"""

import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import takewhile

import anyio
import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ftwatch.core.event import Event, decode
from ftwatch.core.job import JobKey
from ftwatch.core.route import Matcher
from ftwatch.store import Store, StoreError
from ftwatch.web.api.answering import house_of
from ftwatch.web.api.asking import Seq, asked, resolved
from ftwatch.web.api.events import Wanted
from ftwatch.web.house import House

__all__ = ["Tail", "routes"]

# How many may listen at once.
LISTENERS = 128
# After so many seconds without news a comment shows both ends, and what is between, that the line is open.
PING = 15.0
# How long one piece may take to be taken (seconds).
PATIENCE = 30.0
# So many events of the past are looked through for whoever comes again; so many, and so many bytes, are kept
# for those who stream.
MISSED, KEPT, KEPT_BYTES = 2000, 1000, 4 * 1024 * 1024
CHUNK = 200
# How soon a browser comes again when the line broke (milliseconds).
RETRY = 3000

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    # Some proxies hold back what is small.
    "x-accel-buffering": "no",
}


class Piece(Struct, frozen=True):
    """An event as it is sent, and what it is chosen by."""

    seq: int
    data: bytes
    type: str
    severity: str
    provider: str
    job: JobKey | None


def piece(seq: int, body: bytes) -> Piece:
    """What is sent of an event: its id, by which to go on, and its wire form on one line."""
    event: Event = decode(body)
    # Somebody else's id may have any sign in it; one that would break the line cannot be gone on from.
    id = f"id: {event.id}\n" if re.fullmatch(r"[^\x00\r\n]+", event.id) else ""
    data = f"{id}event: event\ndata: ".encode() + body + b"\n\n"
    return Piece(seq, data, event.type, event.severity, event.data.provider or "", event.key)


class Tail:
    """The last events, read once for all who stream."""

    def __init__(self, house: House) -> None:
        self.listeners = 0
        self._house = house
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._one_at_a_time = anyio.Lock()
        self._read_at: anyio.Event | None = None
        # Everything after this place, and up to the other, is in the tail.
        self._begin = self._end = 0

    async def catch_up(self, news: anyio.Event) -> None:
        """Reads what was committed before `news` was asked for, unless somebody has. Raises StoreError."""
        async with self._one_at_a_time:
            if self._read_at is news:
                return
            if not self.listeners:
                # What happened while nobody listened is nothing that anybody waits for.
                self.forget()
                self._begin = self._end = await self._house.read(lambda store: store.history.last_seq())
            while more := await self._house.read(partial(_news, self._end)):
                for seq, body in more:
                    self._add(piece(seq, body))
            self._read_at = news

    def forget(self) -> None:
        """Lets go of what was read."""
        self._pieces.clear()
        self._size, self._read_at, self._begin = 0, None, self._end

    def _add(self, new: Piece) -> None:
        self._pieces.append(new)
        self._size += len(new.data)
        self._end = new.seq
        while len(self._pieces) > KEPT or (self._size > KEPT_BYTES and len(self._pieces) > 1):
            gone = self._pieces.popleft()
            self._size -= len(gone.data)
            self._begin = gone.seq

    @property
    def end(self) -> int:
        """The place of the last event that was read."""
        return self._end

    def after(self, place: int) -> Sequence[Piece] | None:
        """All that was read after a place; None where some of that is not kept any more."""
        if place < self._begin:
            return None
        new = list(takewhile(lambda one: one.seq > place, reversed(self._pieces)))
        return new[::-1]


class Streamed(Wanted):
    """Which events to stream; `after` that place too, where no Last-Event-ID says better."""

    after: Seq | None = None


async def stream(request: Request) -> Response:
    """Events as they happen, and those that happened after the last one that the asker saw."""
    query, house, state = asked(request, Streamed), house_of(request), request.app.state
    last = request.headers.get("last-event-id", "")

    def question(store: Store) -> tuple[JobKey | None, int | None]:
        job = resolved(store, query.job).known.snapshot.key if query.job else None
        return job, store.listing.seq_of(last) if last else query.after

    job, seen = await house.read(question)
    tail: Tail = state.tail
    if tail.listeners >= LISTENERS:
        raise HTTPException(503, f"{LISTENERS} listen already", {"retry-after": "60"})
    if request.method == "HEAD":
        return Response(headers=HEADERS)
    # Whoever sees the answer begin misses nothing from then on.
    await tail.catch_up(house.news())
    is_lost = bool(last) and seen is None
    begin = tail.end if seen is None else min(seen, tail.end)
    return _Live(house, tail, state.ends, _chooser(query, job), begin, is_lost=is_lost)


def _chooser(wanted: Wanted, job: JobKey | None) -> Callable[[Piece], bool]:
    """Whether somebody wants to hear of an event."""
    type = Matcher("type", "=", wanted.type) if wanted.type is not None else None

    def chosen(one: Piece) -> bool:
        return (
            (job is None or one.job == job)
            and (wanted.provider is None or one.provider == wanted.provider)
            and (type is None or type.holds((one.type,)))
            and (not wanted.severity or one.severity in wanted.severity)
        )

    return chosen


class _Live(Response):
    """An answer that goes on until somebody ends it: who asked, or the server.

    It tells of what comes after a place; `is_lost`: where the asker was is not known any more.
    """

    def __init__(
        self,
        house: House,
        tail: Tail,
        ends: anyio.Event,
        chosen: Callable[[Piece], bool],
        place: int,
        *,
        is_lost: bool,
    ) -> None:
        super().__init__(headers=HEADERS)
        self._house, self._tail, self._ends, self._chosen = house, tail, ends, chosen
        self._place, self._is_lost = place, is_lost

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Streams."""

        async def say(data: bytes) -> None:
            with anyio.fail_after(PATIENCE):
                await send({"type": "http.response.body", "body": data, "more_body": True})

        async def until_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        async def until_the_end() -> None:
            await self._ends.wait()
            group.cancel_scope.cancel()

        self._tail.listeners += 1
        try:
            headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as group:
                group.start_soon(until_gone)
                group.start_soon(until_the_end)
                await self._tell(say)
                group.cancel_scope.cancel()
            with anyio.move_on_after(1):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._tail.listeners -= 1
            if not self._tail.listeners:
                self._tail.forget()

    async def _tell(self, say: Callable[[bytes], Awaitable[None]]) -> None:
        """Tells of what was missed, then of what happens, until the asker is too slow for it."""
        try:
            await say(f"retry: {RETRY}\n\n".encode())
            news = self._house.news()
            await self._tail.catch_up(news)
            place = await self._missed(say)
            while (more := self._tail.after(place)) is not None:
                place = more[-1].seq if more else self._tail.end
                for one in filter(self._chosen, more):
                    await say(one.data)
                with anyio.move_on_after(PING) as waited:
                    await news.wait()
                if waited.cancelled_caught:
                    await say(b": ping\n\n")
                news = self._house.news()
                await self._tail.catch_up(news)
        except (TimeoutError, StoreError):
            return  # who comes again is told from there on

    async def _missed(self, say: Callable[[bytes], Awaitable[None]]) -> int:
        """Tells of what happened since the event that was seen last; returns the place to go on from."""
        now = self._tail.end
        if self._is_lost:
            await say(_gap("that event is not known here: what came after it is not told again"))
        place, looked = self._place, 0
        while self._tail.after(place) is None:
            if looked >= MISSED:
                await say(_gap(f"more than {MISSED} events were missed: the rest is not told again"))
                return now
            for seq, body in await self._house.read(partial(_news, place)):
                place, one = seq, piece(seq, body)
                if self._chosen(one):
                    await say(one.data)
            looked += CHUNK
        return place


def _news(place: int, store: Store) -> Sequence[tuple[int, bytes]]:
    return store.listing.news(place, CHUNK)


def _gap(sentence: str) -> bytes:
    return b"event: gap\ndata: " + msgspec.json.encode({"error": sentence}) + b"\n\n"


routes: list[BaseRoute] = [Route("/api/v1/events/stream", stream)]
