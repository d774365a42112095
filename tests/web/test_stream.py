"""The live stream: at once, from where one left off, many at one reading; who is slow loses only itself."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from ftwatch.core import announce
from ftwatch.core.event import Event, encode
from ftwatch.core.sample import sample
from ftwatch.store import Batch, Store
from ftwatch.web import stream
from tests.web.served import CLOSED, NOW, TOKEN, Served, served

PATIENCE = 20.0


class Line:
    """One listener's end: what came, piece by piece."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines

    async def piece(self) -> dict[str, str]:
        """The next piece; a comment is under ""."""
        found: dict[str, str] = {}
        with anyio.fail_after(PATIENCE):
            async for line in self._lines:
                if not line and found:
                    return found
                name, _, value = line.partition(": ")
                assert name not in found, "a piece has one line of each"
                found[name] = value
        raise EOFError

    async def event(self) -> dict[str, Any]:
        """The next event."""
        piece = await self.piece()
        assert piece["event"] == "event", piece
        document: dict[str, Any] = json.loads(piece["data"])
        assert piece["id"] == document["id"]
        return document


async def lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines as the standard has them: other signs that end one elsewhere do not end it here."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode()


@asynccontextmanager
async def listening(it: Served, query: str = "", last: str = "") -> AsyncIterator[Line]:
    """A listener that has been let in."""
    headers = {"last-event-id": last} if last else {}
    async with it.client.stream("GET", f"/api/v1/events/stream{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        line = Line(lines(answer.aiter_bytes()))
        assert (await line.piece()) == {"retry": "3000"}
        yield line


async def until(true: Callable[[], Any]) -> None:
    """Waits until something is true; fails when it never is."""
    with anyio.fail_after(PATIENCE):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def name_of(event: dict[str, Any]) -> str:
    return f"{event['type'].rpartition('.')[2]} {event['data']['id']}"


async def test_what_happens_is_told_at_once_in_its_wire_form(tmp_path: Path) -> None:
    async with served(tmp_path) as it, listening(it) as line:
        decision = await it.happen("a", "queued", name="two\nlines \u2028 ü")
        piece = await line.piece()
        assert piece == {
            "id": decision.events[0].id,
            "event": "event",
            "data": encode(decision.events[0]).decode(),
        }


async def test_who_comes_again_is_told_what_was_missed_once(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        first = (await it.happen("a", "queued")).events[0]
        for number, status in enumerate(("running", "paused", "running")):
            await it.happen("a", status, at=NOW + 1 + number)
        async with listening(it, last=first.id) as line:
            await it.happen("a", "failed", at=NOW + 9)
            assert [name_of(await line.event()) for _ in range(4)] == [
                "running a",
                "paused a",
                "running a",
                "failed a",
            ]


async def test_a_page_that_knows_a_place_goes_on_from_there(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "queued")
        (seen,) = (await it.get("events"))["data"]
        await it.happen("a", "running", at=NOW + 1)
        async with listening(it, f"?after={seen['seq']}") as line:
            assert name_of(await line.event()) == "running a"
        # A place that there is not yet is the end.
        async with listening(it, "?after=99999") as line:
            await it.happen("a", "failed", at=NOW + 2)
            assert name_of(await line.event()) == "failed a"


async def test_an_unknown_event_is_a_gap_and_the_stream_begins_now(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "queued")
        async with listening(it, last="evt_nobody") as line:
            gap = await line.piece()
            assert gap["event"] == "gap"
            assert "id" not in gap
            assert json.loads(gap["data"])["error"].startswith("that event is not known here")
            await it.happen("a", "failed", at=NOW + 1)
            assert name_of(await line.event()) == "failed a"


async def test_too_much_is_not_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MISSED", 4)
    monkeypatch.setattr(stream, "CHUNK", 2)
    async with served(tmp_path) as it:
        first = (await it.happen("a", "queued")).events[0]
        for number in range(9):
            await it.happen("a", ("running", "paused")[number % 2], at=NOW + 1 + number)
        async with listening(it, last=first.id) as line:
            for _ in range(4):
                await line.event()
            gap = await line.piece()
            assert (
                json.loads(gap["data"])["error"]
                == "more than 4 events were missed: the rest is not told again"
            )
            await it.happen("a", "failed", at=NOW + 99)
            assert name_of(await line.event()) == "failed a"


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["created a", "created b", "failed a", "failed b"]),
        ("?job=known", ["known"]),
        ("?provider=other", ["created b", "failed b"]),
        ("?type=*.failed", ["failed a", "failed b"]),
        ("?severity=error&provider=openai", ["failed a"]),
    ],
)
async def test_who_wants_less_is_told_less(query: str, wanted: list[str], tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("known", "queued")
        async with listening(it, query) as line:
            await it.happen("a", "running", at=NOW + 1)
            await it.happen("b", "running", provider="other", at=NOW + 2)
            await it.happen("a", "failed", at=NOW + 3)
            await it.happen("b", "failed", provider="other", at=NOW + 4)
            await it.happen("known", "failed", at=NOW + 5)
            if query == "?job=known":
                assert name_of(await line.event()) == "failed known"
            else:
                assert [name_of(await line.event()) for _ in wanted] == wanted


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("?typ=x", 400, "there is no parameter 'typ'; did you mean 'type'?"),
        ("?order=oldest", 400, "there is no parameter 'order'"),
        ("?job=nope", 404, "no job is called 'nope'"),
    ],
)
async def test_what_cannot_be_streamed_is_said(query: str, status: int, said: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert (await it.refused("GET", f"events/stream{query}", status)).startswith(said)


# ------------------------------------------------------------------------------------ many, few, nobody


class Spy:
    """Counts what is asked of the store."""

    def __init__(self, it: Served) -> None:
        self.count = 0
        ask = it.house.read

        async def read(question: Callable[[Store], Any]) -> Any:
            self.count += 1
            return await ask(question)

        it.house.read = read  # type: ignore[method-assign]


async def test_many_listen_at_one_reading(tmp_path: Path) -> None:
    async with served(tmp_path) as it, anyio.create_task_group() as group:
        told: list[str] = []
        ready = anyio.Event()
        is_over = anyio.Event()

        async def listen() -> None:
            async with listening(it) as line:
                if tail_of(it).listeners == 30:
                    ready.set()
                told.append(name_of(await line.event()))
                if len(told) == 30:
                    is_over.set()

        for _ in range(30):
            group.start_soon(listen)
        with anyio.fail_after(PATIENCE):
            await ready.wait()
        spy = Spy(it)
        await it.happen("a", "queued")
        with anyio.fail_after(PATIENCE):
            await is_over.wait()
        # Once for what is new, and once more to see that this was all.
        assert (told, spy.count) == (["created a"] * 30, 2)


def tail_of(it: Served) -> stream.Tail:
    tail: stream.Tail = it.application.state.tail
    return tail


async def test_nobody_listens_and_nothing_is_read(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        async with listening(it) as line:
            await it.happen("a", "queued")
            await line.event()
        await until(lambda: not tail_of(it).listeners)
        spy = Spy(it)
        for number in range(5):
            await it.happen(f"b{number}", "queued")
        await anyio.sleep(0.1)
        assert spy.count == 0
        # Who comes then is told what happens from then on, and nothing twice.
        async with listening(it) as line:
            await it.happen("c", "queued")
            assert name_of(await line.event()) == "created c"


async def test_there_is_room_for_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LISTENERS", 1)
    async with served(tmp_path) as it:
        async with listening(it):
            assert await it.refused("GET", "events/stream", 503) == "1 listen already"
        await until(lambda: not tail_of(it).listeners)
        async with listening(it):
            pass


async def test_an_idle_line_shows_that_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING", 0.01)
    async with served(tmp_path) as it, listening(it) as line:
        assert await line.piece() == {"": "ping"}
        await it.happen("a", "queued")
        while "data" not in (piece := await line.piece()):
            assert piece == {"": "ping"}
        assert name_of(json.loads(piece["data"])) == "created a"


async def test_who_only_looks_at_the_head_is_not_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        answer = await it.ask("HEAD", "events/stream")
        assert (answer.status_code, answer.content) == (200, b"")
        assert tail_of(it).listeners == 0


async def test_the_token_is_needed_here_too(tmp_path: Path) -> None:
    async with served(tmp_path, web=CLOSED) as it:
        await it.refused("GET", "events/stream", 401)
        it.client.headers["authorization"] = f"Bearer {TOKEN}"
        async with listening(it):
            pass


# --------------------------------------------------------------------------------------------- the end


async def test_it_ends_with_the_server_and_whole(tmp_path: Path) -> None:
    async with served(tmp_path) as it, listening(it) as line:
        await it.happen("a", "queued")
        await line.event()
        it.ends.set()
        # Cut off, the answer would lack its end, and the client would complain.
        with pytest.raises(EOFError):
            await line.piece()


class Slow:
    """Who takes nothing from some piece on."""

    def __init__(self, after: int) -> None:
        self.taken: list[bytes] = []
        self.waits, self.goes_on = anyio.Event(), anyio.Event()
        self._after = after

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.taken.append(message["body"])
            if len(self.taken) == self._after:
                self.waits.set()
                await self.goes_on.wait()

    async def receive(self) -> Any:
        await anyio.sleep_forever()


def live(it: Served) -> Any:
    house: Any = it.house
    return stream._Live(house, tail_of(it), it.ends, lambda _: True, 0, is_lost=False)


async def test_who_takes_too_long_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PATIENCE", 0.05)
    async with served(tmp_path) as it:
        slow = Slow(after=1)
        with anyio.fail_after(PATIENCE):
            await live(it)({}, slow.receive, slow.send)
        assert tail_of(it).listeners == 0


async def test_who_falls_too_far_behind_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEPT", 3)
    async with served(tmp_path) as it, anyio.create_task_group() as group:
        slow = Slow(after=2)

        async def listen() -> None:
            await live(it)({}, slow.receive, slow.send)
            slow.taken.append(b"dropped")

        group.start_soon(listen)
        async with listening(it) as line:
            # It is let in once it was told how soon to come again.
            await until(lambda: slow.taken)
            for number in range(10):
                await it.happen("a", ("running", "paused")[number % 2], at=NOW + number)
                await line.event()
            slow.goes_on.set()
            await until(lambda: slow.taken[-1] == b"dropped")
        assert sum(b"data: " in one for one in slow.taken) < 10


async def test_who_is_stuck_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async with served(tmp_path) as it, anyio.create_task_group() as group:
        slow = Slow(after=1)
        group.start_soon(live(it), {}, slow.receive, slow.send)
        await slow.waits.wait()
        it.ends.set()


# -------------------------------------------------------------------------------------------- the form


@pytest.mark.parametrize("sign", ["\n", "\r", "\0"])
async def test_a_strangers_id_cannot_break_the_line(sign: str, tmp_path: Path) -> None:
    event: Event = replace(sample("failed"), id=f"x{sign}data: {{}}")
    made = stream.piece(1, encode(event))
    assert made.data.startswith(b"event: event\ndata: {")
    assert made.data.count(b"\n") == 3
    assert b"\r" not in made.data
    assert b"\0" not in made.data


async def test_events_about_ourselves_are_told_too(tmp_path: Path) -> None:
    async with served(tmp_path) as it, listening(it, "?type=ftwatch.*") as line:
        said = announce.about_ourselves(
            "config", "ftwatch.config.accepted", sample("failed").severity, "x", it.house.config.routing, NOW
        )
        await it.happen("a", "queued")
        await it.house.work(it.store.commit, Batch(announcements=[said]), NOW)
        assert (await line.event())["type"] == "ftwatch.config.accepted"
