"""Pages whose bytes are new: what of them is looked at, and that many share one commit."""

from typing import Any

import pytest

from ftwatch.core.job import Status
from ftwatch.plugins import Page
from ftwatch.poller.listing import Listing
from ftwatch.store import Batch, Store
from tests.accounts import Account, Watch

A, B, C = b'{"id": "a", "n": 0}', b'{"id": "b", "n": 0}', b'{"id": "c", "n": 0}'
B2, C2, D = b'{"id": "b", "n": 1}', b'{"id": "c", "n": 1}', b'{"id": "d", "n": 0}'
NEXT, ACTIVE = "x", frozenset({"a", "b"})  # of the three that stand on the page


@pytest.mark.parametrize(
    ("entries", "next", "active", "ids", "rest"),
    [
        ((A, B2, C), NEXT, ACTIVE, ["b"], ("a",)),
        ((A, B, C), NEXT, ACTIVE, [], ("a", "b")),
        # Of one that had ended already, of another job, of one that cannot be read, of one that stands twice.
        ((A, B, C2), NEXT, ACTIVE, ["a", "b", "c"], None),
        ((A, D, C), NEXT, ACTIVE, ["a", "d", "c"], None),
        ((A, b"{}", C), NEXT, ACTIVE, ["a", "c"], None),
        ((B2, B2, C), NEXT, ACTIVE, ["b", "c"], None),
        # Another page, and one on which a job has ended since.
        ((B, C), NEXT, ACTIVE, ["b", "c"], None),
        ((A, B2, C), "y", ACTIVE, ["a", "b", "c"], None),
        ((A, B2, C), NEXT, frozenset({"b"}), ["a", "b", "c"], None),
    ],
)
def test_of_a_page_with_the_same_jobs_only_new_bytes_are_looked_at(
    entries: tuple[bytes, ...],
    next: str,
    active: frozenset[str],
    ids: list[str],
    rest: tuple[str, ...] | None,
) -> None:
    listing = Listing(Account())  # type: ignore[arg-type]
    listing._marks[""] = hash(b"bytes")
    listing.dealt_with(None, Page(entries=(A, B, C), next=NEXT), ["a", "b", "c"], ("a", "b"), ended=False)
    found = listing.unsettled(None, Page(entries=entries, next=next), active)
    assert (list(found.ids), found.rest) == (ids, rest)


async def test_changes_on_many_pages_share_a_commit(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(page_size=10, list_is_truth=True)
    for number in range(100):
        account.put(f"j{number:02}")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    for number in range(5, 100, 10):
        account.put(f"j{number:02}", Status.FAILED)
    commits = []

    def commit(batch: Batch, now: float, whole: Any = store.commit) -> Any:
        commits.append(len(batch.decisions))
        return whole(batch, now)

    monkeypatch.setattr(store, "commit", commit)
    watch.poller.poke(deep=True)
    told = await watch.round()
    assert sorted(told) == [f"job.failed j{number:02}" for number in range(5, 100, 10)]
    assert [count for count in commits if count] == [10]


async def test_who_stands_on_a_page_is_asked_only_where_somebody_new_may(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(page_size=10, list_is_truth=True)
    for number in range(30):
        account.put(f"j{number:02}")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    asked: list[str] = []

    def fingerprints(provider: str, ids: list[str], whole: Any = store.jobs.fingerprints) -> Any:
        asked.extend(ids)
        return whole(provider, ids)

    monkeypatch.setattr(store.jobs, "fingerprints", fingerprints)
    account.put("j05", Status.FAILED)
    assert await watch.round(150) == ["job.failed j05"]
    assert asked == []
    account.put("j30")
    assert await watch.round(150) == ["job.created j30"]
    assert "j30" in asked


async def test_the_id_of_an_active_job_is_in_memory_once(store: Store, clock: Any) -> None:
    account = Account(page_size=10, list_is_truth=True)
    for number in range(20):
        account.put(f"j{number:02}")
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j05", trained_tokens=5)
    await watch.round(150)
    ledger, listing = watch.poller._ledger, watch.poller._listing
    own = {id(name) for name in ledger.active}
    assert ledger.active["j05"].id is next(name for name in ledger.active if name == "j05")
    named = [name for window in listing._windows.values() for name in window.active]
    assert len(named) == 20
    assert {id(name) for name in named} == own
    assert watch.poller.turns().keys() == set(ledger.active)
    await watch.round(600)
    watch.poller._inquiry.agenda.plan(ledger.active, crowded=False)
    assert {id(name) for name in watch.poller._inquiry.agenda._turns} == own
