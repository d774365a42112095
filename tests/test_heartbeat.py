"""The dead man's switch: a sign of life while all is well, silence otherwise, and its address in no log."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ftwatch import config
from ftwatch.client import Response, Unreachable
from ftwatch.daemon.heartbeat import AGAIN, Heartbeat
from ftwatch.web.health import FRESH
from tests.web.house import TestHouse
from tests.web.test_health import look

URL = "https://hc.example.com/ping/5e0d2a2e-secret-0123"
CONFIG = f"""
providers: {{oa: {{kind: openai, api_key: sk-secret-0123456789}}}}
notifiers: {{console: {{}}}}
web: {{heartbeat_url: "{URL}", heartbeat: 60s}}
"""


class Enough(Exception):
    """The test has seen what it wanted."""


class Ear:
    """In the client's place: notes when it was asked, and says what it was told to say."""

    def __init__(self, house: TestHouse, *answers: int | Unreachable, until: float) -> None:
        self.house, self.answers, self.until = house, list(answers), until
        self.began = house.clock.now()
        self.heard: list[float] = []
        self.asked: list[tuple[str, str]] = []

    async def request(self, method: str, url: str, **more: Any) -> Response:
        self.heard.append(self.house.clock.now() - self.began)
        self.asked.append((method, url))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Unreachable):
            raise answer
        return Response(answer, {}, b"")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[TestHouse]:
    made = TestHouse(tmp_path, CONFIG, 1_795_000_000.0)
    yield made
    made.store.close()


async def beats(house: TestHouse, *answers: int | Unreachable, seconds: float, plan: Any = None) -> Ear:
    """Lets the heart beat for so long; `plan` changes the world by the seconds that have gone by."""
    ear = Ear(house, *answers, until=seconds)
    sleep = house.clock.sleep

    async def timed(pause: float) -> None:
        await sleep(pause)
        gone = house.clock.now() - ear.began
        if plan is not None:
            plan(gone)
        if gone >= seconds:
            raise Enough

    house.clock.sleep = timed  # type: ignore[method-assign]
    with pytest.raises(Enough):
        await Heartbeat(house).run(ear, house.config.web)  # type: ignore[arg-type]
    house.clock.sleep = sleep  # type: ignore[method-assign]
    return ear


async def test_it_beats_as_often_as_it_should(house: TestHouse) -> None:
    look(house, "oa")
    ear = await beats(house, seconds=200)
    assert ear.heard == [0, 60, 120, 180]
    assert set(ear.asked) == {("GET", URL)}


async def test_it_is_silent_while_not_ready(house: TestHouse) -> None:
    def plan(gone: float) -> None:
        if gone == 2 * AGAIN:
            look(house, "oa")
        house.store.is_full = 100 < gone < 300

    ear = await beats(house, seconds=400, plan=plan)
    assert ear.heard == [20, 80, 300, 360]


async def test_what_was_not_heard_is_said_once_and_tried_again_soon(house: TestHouse) -> None:
    look(house, "oa")
    with capture_logs() as lines:
        ear = await beats(house, 500, Unreachable("connection refused"), 404, 200, seconds=95)
    assert ear.heard == [0, 10, 20, 30, 90]
    said = [(line["log_level"], line["event"], line.get("error")) for line in lines]
    assert said == [
        ("warning", "the heartbeat was not heard", "HTTP 500"),
        ("info", "the heartbeat is heard again", None),
    ]


async def test_a_reload_makes_it_neither_late_nor_hasty(house: TestHouse) -> None:
    look(house, "oa")
    ear, heartbeat = Ear(house, until=0), Heartbeat(house)
    sleep = house.clock.sleep
    left = [1]

    async def cut(pause: float) -> None:
        if not left[0]:
            raise Enough
        left[0] -= 1
        await sleep(pause)

    house.clock.sleep = cut  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(Enough):
            await heartbeat.run(ear, house.config.web)  # type: ignore[arg-type]
        left[0] = 1
        house.clock.at += FRESH
    assert ear.heard == [0, 60]


async def test_without_an_address_there_is_none(house: TestHouse) -> None:
    ear = Ear(house, until=0)
    await Heartbeat(house).run(ear, None)  # type: ignore[arg-type]
    await Heartbeat(house).run(ear, config.WebConfig())  # type: ignore[arg-type]
    assert ear.heard == []


def test_who_has_no_web_loads_none() -> None:
    code = "import sys, ftwatch.daemon; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"ftwatch.web", "prometheus_client", "starlette", "uvicorn"} & set(loaded.split())
