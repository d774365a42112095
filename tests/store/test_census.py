"""The census: right numbers, each from an index alone."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.announce import ProviderState
from ftwatch.core.decide import decide
from ftwatch.core.delivery import LEAPFROG_AFTER, Breaker
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Look, Policy
from ftwatch.core.route import Recipient, Routing, parse_match
from ftwatch.store import Batch, Store, Waiting

NOW = 1_795_000_000.0
ROUTING = Routing(recipients=(Recipient(name="slack", kind="slack"), Recipient(name="mail", kind="email")))


def happen(store: Store, id: str, status: Status | None, at: float = NOW, **policy: Any) -> None:
    """Commits what a look leads to; without a status the job was not found."""
    known = store.jobs.load("p", [id]).get(id)
    asked = (known.asked if known else 0) + 1
    found = Snapshot(id=id, provider="p", kind="toy", status=status) if status else None
    look = Look(key=JobKey("p", id), asked=asked, at=at, snapshot=found)
    decision = decide(known, look, Policy(routing=ROUTING, **policy), at)
    assert store.commit(Batch(decisions=[decision]), at) == set()


def test_jobs_are_counted_by_status_and_those_that_vanished_apart(store: Store) -> None:
    for id, status in (("a", Status.RUNNING), ("b", Status.RUNNING), ("c", Status.FAILED)):
        happen(store, id, status)
    happen(store, "d", Status.SUCCEEDED)  # held back: its model has not arrived
    happen(store, "gone", Status.QUEUED)
    for later in (10.0, 100.0):
        happen(store, "gone", None, NOW + later)
    happen(store, "not ours", Status.RUNNING, watch=parse_match("name=ours"))
    assert store.census.jobs() == {
        ("p", "running"): 2,
        ("p", "failed"): 1,
        ("p", "succeeded"): 1,
        ("p", "gone"): 1,
    }


def test_what_waits_and_what_died_is_counted_by_notifier(store: Store) -> None:
    happen(store, "a", Status.RUNNING)
    happen(store, "b", Status.FAILED, NOW + 50)
    ids = [delivery.id for delivery in store.history.deliveries(notifier="mail")]
    store.db.execute("UPDATE deliveries SET state = 'dead' WHERE id = ?", ids[0])
    waiting = store.census.waiting()
    assert waiting["slack"] == Waiting(len(ids), NOW)
    assert waiting["mail"] == Waiting(len(ids) - 1, NOW)
    assert store.census.dead() == {"mail": 1}


def test_what_is_remembered_of_providers_and_notifiers(store: Store) -> None:
    assert store.census.providers() == {}
    assert store.census.notifiers() == {}
    store.jobs.swap_provider(ProviderState(name="p", degraded_at=NOW))
    store.outbox.disable("mail", "HTTP 410")
    assert store.census.providers()["p"].degraded_at == NOW
    assert store.census.notifiers() == {"mail": (Breaker(), "HTTP 410")}


def test_overdue_is_what_could_leave_and_nobody_takes(store: Store) -> None:
    happen(store, "a", Status.RUNNING)
    census = store.census

    def overdue(at: float) -> bool:
        return census.is_overdue("slack", at - 300, at)

    assert not overdue(NOW + 299)
    assert overdue(NOW + 301)
    assert not census.is_overdue("nobody", NOW + 1, NOW + 301)
    # Somebody has it in hand.
    (claim,) = store.outbox.due("slack", NOW + 301, limit=5, lease=60)
    assert not overdue(NOW + 302)
    assert overdue(NOW + 400)
    # Put off for later, and what comes after it waits for it.
    store.outbox.postpone([claim], NOW + 3600)
    happen(store, "a", Status.FAILED, NOW + 1)
    assert not overdue(NOW + 1000)
    # What the receiver refused lets the others pass after a while.
    store.db.execute("UPDATE deliveries SET rejected_at = ? WHERE id = ?", NOW + 500, claim.delivery.id)
    assert not overdue(NOW + 500 + LEAPFROG_AFTER - 1)
    assert overdue(NOW + 500 + LEAPFROG_AFTER + 1)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("jobs", "COVERING INDEX jobs_counted"),
        ("waiting", "INDEX deliveries_due"),
        ("dead", "INDEX deliveries_dead"),
    ],
)
def test_counting_walks_an_index_and_no_table(
    store: Store, query: str, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    rows = store.db.rows
    monkeypatch.setattr(store.db, "rows", lambda sql, *values: asked.append(sql) or rows(sql, *values))
    getattr(store.census, query)()
    (plan,) = rows(f"EXPLAIN QUERY PLAN {asked[0]}")
    assert plan[3].endswith(f"USING {index}")


def test_an_older_database_gets_the_index(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    schema = Path(__file__).parents[1] / "data" / "schemas" / "0004.sql"
    with closing(sqlite3.connect(path)) as file:
        file.executescript(schema.read_text())
        file.execute("PRAGMA user_version = 4")
        file.commit()
    store = Store(path)
    found = store.db.row("SELECT 1 FROM sqlite_schema WHERE name = 'jobs_counted'")
    store.close()
    assert found
