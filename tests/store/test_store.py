"""The store: what belongs together is committed together, and a lost race is said to be lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch.core.announce import Announcement, ProviderState
from ftwatch.core.decide import decide
from ftwatch.core.job import JobKey, Progress, Snapshot, Status
from ftwatch.core.known import Assignment, Decision, Look, Policy
from ftwatch.core.route import Recipient, Routing, Silence, parse_match
from ftwatch.core.route.hold import Hold
from ftwatch.store import Batch, Store, StoreError

NOW = 1_795_000_000.0
POLICY = Policy(routing=Routing(recipients=(Recipient(name="slack", kind="slack"),)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ftwatch.db")
    yield store
    store.close()


def happen(
    store: Store,
    id: str,
    status: Status,
    *,
    at: float = NOW,
    policy: Policy = POLICY,
    **more: Any,
) -> Decision:
    """Decides about a look and commits what follows."""
    known = store.jobs.load("p", [id]).get(id)
    model = "ft:m" if status is Status.SUCCEEDED else None
    snapshot = Snapshot(id=id, provider="p", kind="toy", status=status, fine_tuned_model=model, **more)
    asked = (known.asked if known else 0) + 1
    look = Look(key=JobKey("p", id), asked=asked, at=at, snapshot=snapshot)
    decision = decide(known, look, policy, at)
    assert store.commit(Batch(decisions=[decision]), at) == set()
    return decision


def test_a_job_is_read_back_as_it_was_decided(store: Store) -> None:
    decision = happen(store, "a", Status.RUNNING, metadata={"team": "search"}, result_files=("f",))
    known = store.jobs.load("p", ["a", "b"])
    assert decision.known is not None
    assert known == {"a": replace(decision.known, version=1)}
    assert store.jobs.active("p") == known
    happen(store, "a", Status.FAILED)
    assert store.jobs.active("p") == {}
    assert store.jobs.counts("p") == (0, 1)


def test_a_decision_about_an_older_version_writes_nothing(store: Store) -> None:
    happen(store, "a", Status.QUEUED)
    known = store.jobs.load("p", ["a"])["a"]
    snapshot = replace(known.snapshot, status=Status.RUNNING)
    look = Look(key=known.snapshot.key, asked=2, at=NOW, snapshot=snapshot)
    first, second = decide(known, look, POLICY, NOW), decide(known, look, POLICY, NOW)
    assert store.commit(Batch(decisions=[first]), NOW) == set()
    before = store.history.last_seq()
    assert store.commit(Batch(decisions=[second]), NOW) == {JobKey("p", "a")}
    assert store.history.last_seq() == before
    assert len(store.history.deliveries()) == 2


def test_of_one_commit_only_what_was_lost_is_left_out(store: Store) -> None:
    made = []
    for id, status in (("a", Status.QUEUED), ("b", Status.QUEUED), ("c", None)):
        if status is not None:
            happen(store, id, status)
        known = store.jobs.load("p", [id]).get(id)
        snapshot = Snapshot(id=id, provider="p", kind="toy", status=Status.RUNNING)
        look = Look(key=JobKey("p", id), asked=2, at=NOW, snapshot=snapshot)
        made.append(decide(known, look, POLICY, NOW))
    # Somebody else was sooner with the first one.
    assert store.commit(Batch(decisions=made[:1]), NOW) == set()
    before = store.history.last_seq()
    assert store.commit(Batch(decisions=made), NOW) == {JobKey("p", "a")}
    told = [(event.type, event.data.id) for _, event in store.history.events(after=before, limit=10)]
    assert told == [("fine_tuning.job.running", "b"), ("fine_tuning.job.created", "c")]
    assert {id: known.version for id, known in store.jobs.load("p", ["a", "b", "c"]).items()} == {
        "a": 2,
        "b": 2,
        "c": 1,
    }


def test_what_is_owed_is_seen_by_what_comes_after_it_in_the_same_commit(store: Store) -> None:
    held = Hold(bundle="quiet", until=NOW + 3600, why="at night")
    lanes = {"evt_1": "p/a", "evt_2": "p/b", "evt_3": "p/a"}
    owed = [Assignment("evt_1", "slack", "", held), Assignment("evt_2", "slack", "", held)]
    with store.db.transaction():
        store.outbox.owe([*owed, Assignment("evt_3", "slack", "")], lanes, NOW)
    rows = store.db.rows("SELECT event_id, bundle, due_at FROM deliveries ORDER BY seq")
    assert rows == [("evt_1", None, NOW), ("evt_2", "quiet", NOW + 3600), ("evt_3", None, NOW)]


def test_two_first_sights_of_one_job_are_a_race_too(store: Store) -> None:
    decision = happen(store, "a", Status.QUEUED)
    assert store.commit(Batch(decisions=[decision]), NOW) == {JobKey("p", "a")}


def test_an_error_half_way_leaves_nothing_behind(store: Store) -> None:
    store.db.execute("CREATE TRIGGER no BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreError):
        happen(store, "a", Status.RUNNING)
    assert store.jobs.load("p", ["a"]) == {}
    assert store.history.events() == []


def test_events_come_back_in_order_with_their_deliveries_and_verdicts(store: Store) -> None:
    happen(store, "a", Status.QUEUED)
    happen(store, "b", Status.QUEUED)
    silence = Silence(match=parse_match({"severity": "info"}), comment="shh")
    quiet = replace(POLICY, routing=replace(POLICY.routing, silences=(silence,)))
    happen(store, "a", Status.RUNNING, policy=quiet)
    found = store.history.events(job=JobKey("p", "a"))
    assert [event.type for _, event in found] == ["fine_tuning.job.created", "fine_tuning.job.running"]
    created, running = (event for _, event in found)
    assert [d.state for d in store.history.deliveries(event=created.id)] == ["pending"]
    assert store.history.deliveries(event=running.id) == []
    assert store.history.verdicts(running.id) == [("slack", "silenced by shh")]
    assert [event.id for _, event in store.history.events(newest=True, limit=1)] == [running.id]
    assert store.history.event(created.id) == created
    assert store.history.event("evt_none") is None


@pytest.mark.parametrize(
    ("selector", "ids"),
    [
        ("ftjob-abc1", ["ftjob-abc1"]),
        ("p/ftjob-abc1", ["ftjob-abc1"]),
        ("ftjob-abc", ["ftjob-abc1", "ftjob-abc2"]),
        ("ftjob-abc2", ["ftjob-abc2"]),
        ("nightly", ["ftjob-xyz"]),
        ("https://platform.example.com/finetune/ftjob-xyz/", ["ftjob-xyz"]),
        ("nothing", []),
        ("%", []),
        ("", ["ftjob-abc1", "ftjob-abc2", "ftjob-xyz"]),
    ],
)
def test_a_job_is_found_by_whatever_names_it(store: Store, selector: str, ids: list[str]) -> None:
    happen(store, "ftjob-abc1", Status.RUNNING)
    happen(store, "ftjob-abc2", Status.RUNNING)
    happen(store, "ftjob-xyz", Status.RUNNING, name="nightly")
    assert sorted(row.known.snapshot.id for row in store.history.find(selector)) == ids


def test_a_renamed_provider_keeps_its_jobs(store: Store) -> None:
    happen(store, "a", Status.RUNNING)
    store.commit(Batch(announcements=[]), NOW)
    assert not store.jobs.rename("p", "q"), "nothing to take before the provider was ever stored"
    store.commit(Batch(announcements=[Announcement(state=ProviderState(name="p", baseline_at=NOW))]), NOW)
    assert store.jobs.rename("p", "q")
    assert store.jobs.load("q", ["a"])["a"].snapshot.key == JobKey("q", "a")
    assert store.jobs.provider("q").baseline_at == NOW
    assert not store.jobs.rename("p", "q")


def test_what_is_old_and_owed_to_nobody_is_forgotten_but_never_the_dead(store: Store) -> None:
    for id in ("done", "dead", "owed"):
        happen(store, id, Status.QUEUED)
    by_job = {d.lane: d for d in store.history.deliveries()}
    store.db.execute("UPDATE deliveries SET state = 'delivered' WHERE id = ?", by_job["p/done"].id)
    store.db.execute("UPDATE deliveries SET state = 'dead' WHERE id = ?", by_job["p/dead"].id)
    assert store.prune(NOW + 89 * 86400, 90 * 86400) == 0
    assert store.prune(NOW + 91 * 86400, 90 * 86400) == 1
    assert {d.lane for d in store.history.deliveries()} == {"p/dead", "p/owed"}
    assert set(store.jobs.load("p", ["done"])) == {"done"}, "the job itself stays known"


def test_movement_thins_out_after_a_week(store: Store) -> None:
    happen(store, "a", Status.RUNNING)
    happen(store, "a", Status.RUNNING, progress=Progress(step=1))
    assert len(store.history.events()) == 2
    assert store.prune(NOW + 8 * 86400, 90 * 86400) == 1
    assert [event.type for _, event in store.history.events()] == ["fine_tuning.job.created"]


@pytest.mark.parametrize("step", [3600.0, -3600.0, 315e6, -315e6])
def test_what_waits_moves_along_with_a_clock_that_is_set(store: Store, step: float) -> None:
    happen(store, "a", Status.QUEUED)
    (before,) = store.history.deliveries()
    assert store.outbox.shift(step) == 1
    (after,) = store.history.deliveries()
    assert after.due_at == before.due_at + step
    assert store.outbox.next_due("slack", NOW) == before.due_at + step


def test_a_clock_that_was_set_back_while_nobody_looked_stalls_nothing(store: Store) -> None:
    happen(store, "a", Status.QUEUED)
    store.mark(NOW + 60)
    assert store.wake(NOW + 120) == 0.0
    assert store.wake(NOW - 86400) == -86400 - 120
    assert [claim.delivery.lane for claim in store.outbox.due("slack", NOW - 86400, limit=9, lease=9)] == [
        "p/a"
    ]
