"""When to come again: what a receiver may say of it, and what becomes of that."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftwatch.client import Response, outcome_of, retry_after
from ftwatch.core.delivery import Delivery, Retry, RetryPolicy, State, settle

CORPUS = json.loads((Path(__file__).parent / "data" / "retry_after.json").read_text(encoding="utf-8"))
NOW = CORPUS["now"]
POLICY = RetryPolicy(waits=(30, 30), jitter=0, throttle=45)


@pytest.fixture(autouse=True)
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every date of HTTP is in UTC, wherever the reader is."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def wait(headers: dict[str, str], status: int) -> float:
    """In how many seconds the next try is due."""
    outcome = outcome_of(Response(status, headers, b""), lambda: NOW)
    assert isinstance(outcome, Retry)
    delivery = Delivery(id="d", event_id="e", notifier="n", lane="l", due_at=NOW, created_at=NOW)
    settled = settle(delivery, outcome, POLICY, NOW, 0.5)
    assert settled.state is State.PENDING
    return settled.due_at - NOW


def test_the_corpus_is_in_order() -> None:
    names = [row["name"] for row in CORPUS["rows"]]
    assert len(set(names)) == len(names) >= 25


@pytest.mark.parametrize("row", CORPUS["rows"], ids=lambda row: row["name"])
def test_what_is_said_is_a_wait_or_nothing(row: dict[str, Any]) -> None:
    assert retry_after(row["headers"], lambda: NOW) == row["wait"]


@pytest.mark.parametrize("row", CORPUS["rows"], ids=lambda row: row["name"])
def test_no_wish_is_shorter_than_our_own_wait_or_longer_than_a_day(row: dict[str, Any]) -> None:
    assert wait(row["headers"], 503) == pytest.approx(row["due"])
    # Too many requests: without a wish the notifier's own throttle counts.
    assert wait(row["headers"], 429) == pytest.approx(45 if row["wait"] is None else row["due"])
    # A gateway that did not get through wants a minute at least.
    assert wait(row["headers"], 504) == pytest.approx(max(row["due"], 60))
