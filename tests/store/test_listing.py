"""Pages of what is kept: nothing twice, nothing left out, and never more looked at than is bounded."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftwatch.core.decide import decide
from ftwatch.core.delivery import State
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Look, Policy
from ftwatch.core.route import Recipient, Routing, parse_match
from ftwatch.store import Batch, Store, listing

NOW = 1_795_000_000.0
ROUTING = Routing(
    recipients=(Recipient(name="console", kind="console"), Recipient(name="mail", kind="email"))
)


def happen(store: Store, id: str, status: str, at: float = NOW, **more: Any) -> None:
    known = store.jobs.load("p", [id]).get(id)
    job = Snapshot(id=id, provider="p", kind="openai", status=Status(status), **more)
    look = Look(key=job.key, asked=(known.asked if known else 0) + 1, at=at, snapshot=job)
    store.commit(Batch(decisions=[decide(known, look, Policy(routing=ROUTING), at)]), at)


def whole(ask: Callable[[Any], listing.Stretch[Any, Any]]) -> tuple[list[Any], int]:
    """All that is found, and on how many pages."""
    found, pages, after = [], 0, None
    while True:
        stretch = ask(after)
        pages += 1
        found += [what for _, what in stretch.found]
        if stretch.rest is None:
            return found, pages
        assert stretch.rest != after
        after = stretch.rest


@settings(max_examples=30)
@given(
    changes=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), max_size=40),
    limit=st.integers(1, 7),
    active=st.booleans(),
    window=st.integers(1, 9),
)
def test_every_job_is_on_one_page(
    tmp_path_factory: pytest.TempPathFactory, changes: list[Any], limit: int, active: bool, window: int
) -> None:
    store = Store(tmp_path_factory.mktemp("s") / "ftwatch.db")
    before = listing.JOBS, listing.COMPARED
    listing.JOBS = listing.COMPARED = window
    try:
        for step, (number, later) in enumerate(changes):
            # Many change at the same moment, and some end.
            status = "failed" if number % 3 == 0 else "running"
            happen(store, f"j{number}", status, at=NOW + step // 5 + later, seed=step)
        wanted = {f"j{number}" for number, _ in changes if not (active and number % 3 == 0)}
        for match in (None, parse_match("id=j*")):
            rows, _ = whole(
                lambda after, match=match: store.listing.jobs(
                    active=active, match=match, after=after, limit=limit
                )
            )
            assert sorted(row.known.snapshot.id for row in rows) == sorted(wanted)
            times = [row.changed_at for row in rows]
            assert times == sorted(times, reverse=True)
    finally:
        listing.JOBS, listing.COMPARED = before
        store.close()


def test_looking_in_vain_ends_after_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "JOBS", 10)
    monkeypatch.setattr(listing, "COMPARED", 5)
    monkeypatch.setattr(listing, "OTHERS", 7)
    for number in range(20):
        happen(store, f"j{number}", "running", at=NOW + number)
    happen(store, "j0", "failed", at=NOW - 1)
    for ask, count, pages in [
        (lambda after: store.listing.jobs(statuses=[Status.FAILED], after=after, limit=9), 1, 3),
        (lambda after: store.listing.jobs(match=parse_match("id=j0"), after=after, limit=9), 1, 5),
        (lambda after: store.listing.jobs(match=parse_match("id=nobody"), after=after, limit=9), 0, 5),
        (lambda after: store.listing.jobs(active=True, after=after, limit=100), 19, 1),
        (lambda after: store.listing.events(type="x*", after=after, limit=9), 0, 3),
        (lambda after: store.listing.events(type="*.failed", after=after, limit=9, newest=True), 1, 3),
        (lambda after: store.listing.events(severities=["error"], after=after, limit=9), 1, 3),
        (lambda after: store.listing.events(job=JobKey("p", "j0"), type="x", after=after, limit=9), 0, 3),
        (lambda after: store.listing.events(job=JobKey("p", "j0"), after=after, limit=9), 2, 1),
        (lambda after: store.listing.deliveries(states=[State.DELIVERED], after=after, limit=9), 0, 6),
        (lambda after: store.listing.deliveries(states=[State.PENDING], after=after, limit=100), 42, 1),
        (lambda after: store.listing.deliveries(notifier="mail", after=after, limit=100), 21, 6),
    ]:
        found, on = whole(ask)
        assert (len(found), on) == (count, pages)


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_events_go_on_in_both_directions(store: Store, newest: bool, limit: int) -> None:
    for number in range(10):
        happen(store, f"j{number % 2}", "running", at=NOW + number, seed=number)
    everything, _ = whole(lambda after: store.listing.events(newest=newest, after=after, limit=limit))
    assert len(everything) == len(set(everything)) == 10
    (last, _), *_ = store.listing.events(newest=True, limit=1).found
    assert store.listing.events(after=last, limit=9).found == []
    assert store.listing.events(after=0, newest=True, limit=9).found == []


def test_no_page_is_sorted_or_searched_through(store: Store) -> None:
    happen(store, "j", "running")
    plans = {
        "jobs": (
            "SELECT rowid FROM jobs WHERE NOT ignored AND (changed_at, rowid) < (1, 1)"
            " ORDER BY changed_at DESC, rowid DESC LIMIT 9"
        ),
        "active": (
            "SELECT rowid FROM jobs INDEXED BY jobs_active WHERE NOT ignored AND active"
            " ORDER BY changed_at DESC, rowid DESC LIMIT 9"
        ),
        "dead": "SELECT seq FROM deliveries d WHERE d.notifier = 'x' AND d.state = 'dead' ORDER BY seq DESC",
    }
    said = {
        name: " ".join(row[3] for row in store.db.rows("EXPLAIN QUERY PLAN " + sql))
        for name, sql in plans.items()
    }
    assert said["jobs"] == "SEARCH jobs USING INDEX jobs_changed (changed_at<?)"
    assert "jobs_active" in said["active"]
    assert "deliveries_dead" in said["dead"]


def test_what_is_forgotten_is_not_listed(store: Store) -> None:
    happen(store, "a", "running")
    happen(store, "b", "running", at=NOW + 1)
    store.forget("p", "b")
    found, _ = whole(lambda after: store.listing.jobs(after=after, limit=1))
    assert [row.known.snapshot.id for row in found] == ["a"]
    assert store.listing.job(JobKey("p", "b")) is None


def test_an_empty_store_has_one_empty_page(store: Store) -> None:
    for ask in (
        lambda after: store.listing.jobs(after=after, limit=9),
        lambda after: store.listing.events(type="x", after=after, limit=9),
        lambda after: store.listing.deliveries(notifier="x", after=after, limit=9),
        lambda after: store.listing.log(JobKey("p", "j"), after=after, limit=9),
        lambda after: store.listing.series(JobKey("p", "j"), after=after, limit=9),
        lambda after: store.listing.checkpoints(JobKey("p", "j"), after=after, limit=9),
    ):
        assert whole(ask) == ([], 1)


# -------------------------------------------------------------------------------------------- the bell


def test_the_bell_is_rung_once_new_events_stand(store: Store) -> None:
    heard: list[int] = []
    store.bell = lambda: heard.append(store.history.last_seq())
    happen(store, "a", "running")
    assert heard == [1]
    # What is no news rings no bell, nor does what was not committed.
    happen(store, "a", "running", at=NOW + 1)
    assert heard == [1]

    def fail(*_: Any) -> bool:
        raise RuntimeError

    store.jobs.swap = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        happen(store, "a", "failed", at=NOW + 2)
    assert heard == [1]


def test_only_another_connection_sees_that_somebody_wrote(store: Store) -> None:
    other = Store(store.db.path, mode="read")
    before = other.db.written_by_others
    assert other.db.written_by_others == before
    happen(store, "a", "running")
    assert other.db.written_by_others != before
    other.close()
