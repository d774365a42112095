"""Which messages have a picture, and what becomes of those whose picture cannot be drawn."""

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from ftwatch import plots
from ftwatch.config import NotifierConfig, PlotsConfig
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Outcome, RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal, Line
from ftwatch.core.known import Look, Policy
from ftwatch.core.message import Picture
from ftwatch.core.plot import is_drawn
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.dispatcher import Dispatcher
from ftwatch.plots import Plots
from ftwatch.plots.image import Undrawable
from ftwatch.plugins import Memory, Result
from ftwatch.store import Batch, Store, inline

KEY = JobKey("openai-prod", "ftjob-sample4w9Zq2")
END = sample("succeeded")
ROUTING = Routing(recipients=(Recipient(name="wall", kind="toy"),))


def journal(*losses: float, **more: Any) -> Journal:
    lines = (
        Line(key=f"l{step}", at=1_795_380_000 + step, step=step, metrics={"train_loss": loss})
        for step, loss in enumerate(losses, start=1)
    )
    return Journal(lines=tuple(lines), **more)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ftwatch.db")
    saved = (Checkpoint(id="c", step=3),)
    with store.db.transaction():
        store.journals.add(KEY, 0, journal(2.0, 1.5, 1.0, 0.8, checkpoints=saved), 1_795_380_000.0)
    yield store
    store.close()


def made(store: Store, wanted: bool | None = None, **more: Any) -> Plots:
    return Plots(PlotsConfig(wanted=wanted), store, inline, **more)


def test_only_ends_and_alerts_are_drawn() -> None:
    drawn = {name for name in SAMPLES if is_drawn(sample(name))}
    assert drawn == {
        "succeeded",
        "failed",
        "cancelled",
        "incomplete",
        "stuck",
        "silent",
        "retiring",
        "flapping",
    }


async def test_the_end_of_a_run_shows_how_it_went(store: Store) -> None:
    picture, missing = await made(store).picture(END)
    assert missing == ""
    assert isinstance(picture, Picture)
    assert picture.alt == "train: from 2 at step 1 to 0.8 at step 4, lowest 0.8 at step 4; 1 checkpoint."


async def test_what_begins_has_nothing_to_show(store: Store) -> None:
    assert await made(store).picture(sample("running")) == (None, "")
    assert await made(store).picture(sample("degraded")) == (None, "")


async def test_who_wants_none_gets_none(store: Store) -> None:
    assert await made(store, wanted=False).picture(END) == (None, "")


async def test_without_figures_there_is_nothing_to_say(store: Store) -> None:
    assert END.job is not None
    other = replace(END, data=replace(END.data, job=replace(END.job, id="another")))
    assert await made(store).picture(other) == (None, "")
    with store.db.transaction():
        store.journals.add(JobKey(KEY.provider, "another"), 0, journal(2.0), 1_795_380_000.0)
    assert await made(store).picture(other) == (None, ""), "one point is no curve"


async def test_where_it_is_not_installed_only_who_asked_for_it_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "is_possible", lambda: False)
    assert await made(store).picture(END) == (None, "")
    _, missing = await made(store, wanted=True).picture(END)
    assert missing == "resvg-py is not installed: pip install 'ftwatch[plots]'"


@pytest.mark.parametrize(
    ("error", "said"),
    [(Undrawable("too large\x1b[2J"), "too large [2J"), (RuntimeError("boom"), "RuntimeError while drawing")],
)
async def test_what_goes_wrong_is_said(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def broken(*args: Any) -> Picture:
        raise error

    monkeypatch.setattr(plots, "draw", broken)
    assert await made(store).picture(END) == (None, said)


async def test_nobody_waits_long_for_a_picture_and_not_twice_for_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, go, begun = plots.draw, threading.Event(), threading.Event()

    def slow(*args: Any) -> Picture:
        begun.set()
        go.wait()
        return real(*args)

    mine = made(store, limit=0.05)
    monkeypatch.setattr(plots, "draw", slow)
    try:
        # On a busy machine the time may be over before the thread has begun: nobody hangs in it then.
        while not begun.is_set():
            assert await mine.picture(END) == (None, "not drawn within 0.05 s")
        monkeypatch.setattr(mine, "_limit", 60.0)
        assert await mine.picture(END) == (None, "an earlier picture is still being drawn")
    finally:
        go.set()
    while mine._is_drawing:
        await anyio.lowlevel.checkpoint()
    assert (await mine.picture(END))[1] == ""


# ------------------------------------------------------------------------------------------ the dispatcher


class Wall:
    """A notifier that shows pictures, and keeps what it is given."""

    timeout, concurrency = 5.0, 1
    shows_pictures = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, Picture | None]] = []

    def freeze(self, event: Event) -> None:
        return None

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        picture: Picture | None = None,
    ) -> Result:
        await anyio.lowlevel.checkpoint()
        (event,) = events
        self.seen.append((event.type.rpartition(".")[2], picture))
        outcome: Outcome = Sent("ok")
        return Result(outcome)


class Blind(Wall):
    """One that shows none: it would not know what to do with it."""

    shows_pictures = False

    async def send(  # type: ignore[override]
        self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None
    ) -> Result:
        return await super().send(events, memory)


async def told(store: Store, wall: Wall, clock: Any) -> list[str]:
    """What stands in the attempts after a job has begun and ended."""
    known = None
    for number, status in enumerate((Status.RUNNING, Status.FAILED)):
        snapshot = Snapshot(id=KEY.id, provider=KEY.provider, kind="openai", status=status)
        look = Look(key=KEY, asked=number + 1, at=clock.now(), snapshot=snapshot)
        decision = decide(known, look, Policy(routing=ROUTING), clock.now())
        assert not store.commit(Batch(decisions=[decision]), clock.now())
        known = store.jobs.load(KEY.provider, [KEY.id])[KEY.id]
    dispatcher = Dispatcher(
        NotifierConfig(name="wall", kind="toy", retry=RetryPolicy()),
        wall,
        store,
        inline,
        routing=ROUTING,
        clock=clock,
        bell=lambda owed: None,
        plots=made(store, wanted=True),
    )
    while await dispatcher.dispatch_once():
        pass
    letters = store.history.deliveries(notifier="wall")[::-1]
    return [attempt.reason for letter in letters for attempt in store.history.attempts(letter.id)]


async def test_the_picture_goes_along_with_the_message_of_the_end(store: Store, clock: Any) -> None:
    wall = Wall()
    assert await told(store, wall, clock) == ["ok", "ok"]
    assert [(name, picture is not None) for name, picture in wall.seen] == [
        ("created", False),
        ("failed", True),
    ]


async def test_who_shows_none_is_given_none(store: Store, clock: Any) -> None:
    blind = Blind()
    assert await told(store, blind, clock) == ["ok", "ok"]
    assert [picture for _, picture in blind.seen] == [None, None]


async def test_a_message_whose_picture_fails_goes_out_and_its_record_says_why(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    wall = Wall()
    said = "resvg-py is not installed: pip install 'ftwatch[plots]'"
    monkeypatch.setattr(plots, "is_possible", lambda: True)
    assert await told(store, wall, clock) == ["ok", f"ok; without its picture: {said}"]
    assert [picture for _, picture in wall.seen] == [None, None]
