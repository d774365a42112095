"""Zones: what people type is the moment that they mean, and no change of the clocks moves what is due."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest

from ftwatch.cli.outbox import _since
from ftwatch.cli.output import local, utc
from ftwatch.core.delivery import Delivery, Retry, RetryPolicy, settle

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "zones.json").read_text(encoding="utf-8"))
CHANGES = [(zone, at) for zone, moments in CORPUS["changes"].items() for at in moments]

Move = Callable[[str], None]


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """Moves this process to another zone until the test is over."""

    def move(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


def test_the_corpus_is_in_order() -> None:
    names = [row["name"] for row in CORPUS["rows"]]
    assert len(set(names)) == len(names) >= 20


@pytest.mark.parametrize("row", CORPUS["rows"], ids=lambda row: row["name"])
def test_a_time_is_what_it_is_in_the_readers_zone(row: dict[str, Any], move: Move) -> None:
    move(row["zone"])
    if row["utc"] is None:
        with pytest.raises(click.BadParameter, match="neither a span"):
            _since(row["typed"])
    else:
        assert _since(row["typed"]) == row["utc"]


@pytest.mark.parametrize("row", [row for row in CORPUS["rows"] if row["utc"]], ids=lambda row: row["name"])
def test_a_moment_is_shown_as_the_wall_does_and_to_programs_in_utc(row: dict[str, Any], move: Move) -> None:
    move(row["zone"])
    assert local(row["utc"]) == row["shown"]
    assert utc(row["utc"]) == row["iso"]


@pytest.mark.parametrize(("zone", "at"), CHANGES)
def test_a_change_of_the_clocks_moves_nothing_that_is_due(zone: str, at: int, move: Move) -> None:
    move(zone)
    before = datetime.fromtimestamp(at - 1, ZoneInfo(zone)).utcoffset()
    assert before != datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset(), "the clocks are set here"
    policy = RetryPolicy(waits=(60, 1800, 7200, 86400), jitter=0)
    for tries, wait in enumerate(policy.waits):
        for now in (at - wait - 1, at - wait / 2, at - 1, at, at + 1):
            delivery = Delivery(
                id="d", event_id="e", notifier="n", lane="l", due_at=now, created_at=now, attempts=tries
            )
            assert settle(delivery, Retry("no"), policy, now, 0.5).due_at - now == wait
            asked = settle(delivery, Retry("no", after=wait + 7), policy, now, 0.5)
            assert asked.due_at - now == min(wait + 7, 86400)


@pytest.mark.parametrize(("zone", "at"), CHANGES)
def test_what_programs_read_never_goes_back_over_a_change(zone: str, at: int, move: Move) -> None:
    move(zone)
    moments = range(at - 7200, at + 7200, 600)
    told = [utc(moment) for moment in moments]
    assert told == sorted(told, key=str)
    assert len(set(told)) == len(told)
    assert [datetime.fromisoformat(str(one)).astimezone(UTC).timestamp() for one in told] == list(moments)
    for moment in moments:
        wall = datetime.fromtimestamp(moment, ZoneInfo(zone))
        assert local(moment) == wall.strftime("%Y-%m-%d %H:%M:%S")
