"""Silences and acks in the store: they count at once, end when they should, and go when they must."""

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.announce import Announcement, ProviderState
from ftwatch.core.decide import decide
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Decision, Look, Policy
from ftwatch.core.route import Recipient, Routing, Silence
from ftwatch.core.silence import make_silence
from ftwatch.store import Batch, Store, StoreError
from ftwatch.store import silences as module

NOW = 1_795_000_000.0
DAY = 86400.0
ROUTING = Routing(recipients=(Recipient(name="slack", kind="slack"),))
ONE = ['provider="p"', 'id="a"']


def ask(store: Store, *words: str, now: float = NOW, **more: Any) -> Silence:
    """Somebody asks for a silence."""
    asked = {"until": None, "until_end": False, "comment": "", "author": "anna", **more}
    silence = make_silence(words, providers=["p", "q", "old"], now=now, **asked)
    store.silences.add(silence, now)
    return silence


def decided(store: Store, id: str, status: Status, *, at: float = NOW) -> Decision:
    """A look at a job, decided as a poller does, and not yet committed."""
    known = store.jobs.load("p", [id]).get(id)
    model = "ft:m" if status is Status.SUCCEEDED else None
    snapshot = Snapshot(id=id, provider="p", kind="toy", status=status, fine_tuned_model=model)
    look = Look(key=snapshot.key, asked=(known.asked if known else 0) + 1, at=at, snapshot=snapshot)
    return decide(known, look, Policy(routing=store.silences.over(ROUTING)), at)


def happen(store: Store, id: str, status: Status, *, at: float = NOW) -> list[str]:
    """A look at a job; returns the types of the events that slack is owed."""
    decision = decided(store, id, status, at=at)
    assert store.commit(Batch(decisions=[decision]), at) == set()
    owed = {one.event_id for one in decision.deliveries}
    return [event.type.rpartition(".")[2] for event in decision.events if event.id in owed]


# -------------------------------------------------------------------------------------------- silences


def test_a_silence_counts_at_once_and_no_longer_than_it_stands(store: Store) -> None:
    assert happen(store, "a", Status.QUEUED) == ["created"]
    silence = ask(store, *ONE, comment="planned")
    assert happen(store, "a", Status.RUNNING) == []
    event = store.history.events(newest=True, limit=1)[0][1]
    assert store.history.verdicts(event.id) == [("slack", f"silenced by planned ({silence.id}, by anna)")]
    assert happen(store, "b", Status.RUNNING) == ["created"]
    assert store.silences.expire([silence.id], NOW) == [silence.id]
    assert happen(store, "a", Status.PAUSED) == ["paused"]


def test_it_stands_on_top_of_those_of_the_config(store: Store) -> None:
    assert store.silences.over(ROUTING) is ROUTING
    mine = ask(store, *ONE)
    given = Silence(match=mine.match, id="config-1")
    assert store.silences.over(replace(ROUTING, silences=(given,))).silences == (given, mine)


def test_it_outlives_the_process_and_may_come_from_another(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    store = Store(path)
    silence = ask(store, *ONE, "type=~.*", "min_severity=info", until=NOW + 60)
    store.close()
    store = Store(path)
    assert store.silences.over(ROUTING).silences == (silence,)
    store.close()


def test_who_only_reads_sees_what_is_kept(store: Store) -> None:
    silence = ask(store, *ONE, until=NOW + 60)
    reader = Store(store.db.path, mode="read")
    (kept,) = reader.silences.all()
    reader.close()
    assert (kept.silence, kept.created_at, kept.expired_at) == (silence, NOW, None)
    assert [kept.stands(NOW + at) for at in (0, 59, 60)] == [True, True, False]


def test_one_that_has_run_out_cannot_be_taken_away(store: Store) -> None:
    silence = ask(store, *ONE, until=NOW + 60)
    assert store.silences.expire(["sil_none", silence.id], NOW + 60) == []
    assert store.silences.expire([silence.id], NOW + 59) == [silence.id]
    assert store.silences.expire([silence.id], NOW + 59) == []
    assert store.silences.all()[0].expired_at == NOW + 59


@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_a_silence_until_the_end_goes_with_the_job(store: Store, end: Status) -> None:
    happen(store, "a", Status.QUEUED)
    ending = ask(store, *ONE, until_end=True)
    staying = ask(store, 'provider="p"', 'id="b"', until_end=True)
    assert happen(store, "a", Status.RUNNING, at=NOW + 1) == []
    assert happen(store, "a", end, at=NOW + 2) == [str(end)]
    assert [kept.expired_at for kept in store.silences.all()] == [NOW + 2, None]
    assert store.silences.over(ROUTING).silences == (staying,)
    # Should it go on after all, it is a job like any other.
    assert happen(store, "a", Status.RUNNING, at=NOW + 3) == ["running"]
    assert ending.id != staying.id


def test_a_silence_goes_with_a_job_that_is_gone(store: Store) -> None:
    happen(store, "a", Status.RUNNING)
    ask(store, *ONE, until_end=True)
    for at in (1.0, 62.0):
        known = store.jobs.load("p", ["a"])["a"]
        look = Look(key=JobKey("p", "a"), asked=known.asked + 1, at=NOW + at, snapshot=None)
        decision = decide(known, look, Policy(routing=store.silences.over(ROUTING)), NOW + at)
        store.commit(Batch(decisions=[decision]), NOW + at)
    assert [owed.reason for owed in decision.deliveries] == ["default"]
    assert store.silences.over(ROUTING) is ROUTING


def test_what_is_rolled_back_ends_no_silence(store: Store) -> None:
    happen(store, "a", Status.RUNNING)
    silence = ask(store, *ONE, until_end=True)
    store.db.execute("CREATE TRIGGER no BEFORE UPDATE ON silences BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreError):
        happen(store, "a", Status.FAILED)
    store.db.execute("DROP TRIGGER no")
    assert store.jobs.load("p", ["a"])["a"].snapshot.status is Status.RUNNING
    assert store.silences.over(ROUTING).silences == (silence,)
    assert happen(store, "a", Status.FAILED) == ["failed"]
    assert store.silences.over(ROUTING) is ROUTING


def test_a_decision_that_lost_its_race_ends_no_silence(store: Store) -> None:
    happen(store, "a", Status.QUEUED)
    silence = ask(store, *ONE, until_end=True)
    late = decided(store, "a", Status.FAILED)
    happen(store, "a", Status.RUNNING)
    assert store.commit(Batch(decisions=[late]), NOW) == {JobKey("p", "a")}
    assert store.silences.over(ROUTING).silences == (silence,)


@pytest.mark.parametrize("status", [Status.FAILED, Status.SUCCEEDED])
def test_no_silence_waits_for_an_end_that_has_been(store: Store, status: Status) -> None:
    happen(store, "a", status)
    with pytest.raises(ValueError, match="p/a is over, or not watched"):
        ask(store, *ONE, until_end=True)
    assert store.silences.all() == []
    ask(store, *ONE)


def test_a_job_that_nobody_has_seen_may_be_silenced_until_its_end(store: Store) -> None:
    ask(store, *ONE, until_end=True)
    assert happen(store, "a", Status.FAILED) == ["failed"]
    assert store.silences.over(ROUTING) is ROUTING


def test_there_is_an_end_to_silences(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    ask(store, *ONE, until=NOW + 60)
    ask(store, "name=x")
    with pytest.raises(ValueError, match="2 silences stand already"):
        ask(store, "name=y")
    ask(store, "name=y", now=NOW + 60)
    assert len(store.silences.over(ROUTING).silences) == 2, "no event is compared with what has run out"


def test_retention_forgets_what_has_long_been_over(store: Store) -> None:
    ask(store, "name=out", until=NOW + DAY)
    taken, standing, ending = ask(store, "name=taken"), ask(store, "name=x"), ask(store, *ONE, until_end=True)
    store.silences.expire([taken.id], NOW + 2 * DAY)
    for days, left in ((91.0, 4), (91.5, 3), (92.0, 3), (92.5, 2), (2000.0, 2)):
        store.prune(NOW + days * DAY, 90 * DAY)
        assert len(store.silences.all()) == left
    assert [kept.silence for kept in store.silences.all()] == [standing, ending]
    assert store.silences.over(ROUTING).silences == (standing, ending)


def test_a_renamed_provider_takes_its_silences_and_acks_along(store: Store) -> None:
    happen(store, "a", Status.FAILED)
    store.acks.add(JobKey("p", "a"), "anna", "", NOW)
    store.commit(Batch(announcements=[Announcement(state=ProviderState(name="p", baseline_at=NOW))]), NOW)
    ask(store, *ONE, "name!=p")
    ask(store, 'provider="old"')
    assert not store.rename("nothing", "r")
    assert store.rename("p", "q")
    found = [str(silence.match) for silence in store.silences.over(ROUTING).silences]
    assert found == ['provider="q", id="a", name!="p"', 'provider="old"']
    assert len(store.acks.of(JobKey("q", "a"))) == 1
    assert store.forget("q", "a").jobs == 1
    assert [str(kept.silence.match) for kept in store.silences.all()] == ['provider="old"']


def test_what_names_a_forgotten_job_is_forgotten(store: Store) -> None:
    happen(store, "a", Status.FAILED)
    happen(store, "b", Status.FAILED)
    for id in ("a", "b"):
        ask(store, 'provider="p"', f'id="{id}"', "type=fine_tuning.alert.*", comment=f"of {id}")
        store.acks.add(JobKey("p", id), "anna", f"of {id}", NOW)
    ask(store, 'provider="p"')
    store.forget("p", "a")
    assert [kept.silence.comment for kept in store.silences.all()] == ["of b", ""]
    assert (store.acks.of(JobKey("p", "a")), len(store.acks.of(JobKey("p", "b")))) == ([], 1)
    assert len(store.silences.over(ROUTING).silences) == 2
    assert b"of a" not in store.db.path.read_bytes()
    ask(store, "name=x")
    store.forget("p")
    assert [str(kept.silence.match) for kept in store.silences.all()] == ['name="x"']
    assert store.acks.of(JobKey("p", "b")) == []


statuses = st.sampled_from([Status.QUEUED, Status.RUNNING, Status.PAUSED, Status.FAILED, Status.SUCCEEDED])


@settings(max_examples=25)
@given(st.lists(st.tuples(statuses, st.booleans()), min_size=1, max_size=6))
def test_a_silence_that_came_and_went_between_looks_leaves_no_trace(taken: list[tuple[Status, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        loud, quiet = Store(Path(folder) / "loud.db"), Store(Path(folder) / "quiet.db")
        for place, (status, comes_and_goes) in enumerate(taken):
            at = NOW + place
            if comes_and_goes:
                quiet.silences.expire([ask(quiet, "id=a", now=at).id], at)
                ask(quiet, "id=a", now=at - 2, until=at - 1)
            one, other = (decided(store, "a", status, at=at) for store in (loud, quiet))
            assert one == other
            for store, decision in ((loud, one), (quiet, other)):
                store.commit(Batch(decisions=[decision]), at)
        loud.close()
        quiet.close()


# ------------------------------------------------------------------------------------------------ acks


def test_an_ack_is_known_with_the_job_and_kept_beside_it(store: Store) -> None:
    happen(store, "a", Status.PAUSED)
    before = store.jobs.load("p", ["a"])["a"]
    key = JobKey("p", "a")
    first = store.acks.add(key, "anna", "on it", NOW + 1)
    second = store.acks.add(key, "kim", "", NOW + 2)
    known = store.jobs.load("p", ["a"])["a"]
    assert known == replace(before, ack=second, version=before.version + 2)
    assert store.acks.of(key) == [first, second]
    happen(store, "a", Status.RUNNING)
    assert store.jobs.load("p", ["a"])["a"].ack is None
    assert store.acks.of(key) == [first, second], "who knew of it is history"
    assert store.acks.add(key, "anna", "", NOW + 3) is None
    assert len(store.acks.of(key)) == 2


def test_a_decision_made_before_an_ack_is_made_again(store: Store) -> None:
    happen(store, "a", Status.PAUSED)
    late = decided(store, "a", Status.RUNNING)
    ack = store.acks.add(JobKey("p", "a"), "anna", "", NOW)
    assert store.commit(Batch(decisions=[late]), NOW) == {JobKey("p", "a")}
    assert store.jobs.load("p", ["a"])["a"].ack == ack


def test_what_nobody_knows_cannot_be_acknowledged(store: Store) -> None:
    happen(store, "a", Status.FAILED)
    store.forget("p", "a")
    for id in ("a", "b"):
        with pytest.raises(ValueError, match=f"no job is called p/{id}"):
            store.acks.add(JobKey("p", id), "anna", "", NOW)
    happen(store, "c", Status.FAILED)
    with pytest.raises(ValueError, match="needs the name"):
        store.acks.add(JobKey("p", "c"), " ", "", NOW)


def test_an_ack_is_whole_or_not_at_all(store: Store) -> None:
    happen(store, "a", Status.FAILED)
    store.db.execute("CREATE TRIGGER no BEFORE INSERT ON acks BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(StoreError):
        store.acks.add(JobKey("p", "a"), "anna", "", NOW)
    assert store.jobs.load("p", ["a"])["a"].ack is None


def test_retention_forgets_who_knew_and_not_that_somebody_does(store: Store) -> None:
    happen(store, "a", Status.FAILED)
    ack = store.acks.add(JobKey("p", "a"), "anna", "", NOW)
    store.prune(NOW + 89 * DAY, 90 * DAY)
    assert len(store.acks.of(JobKey("p", "a"))) == 1
    store.prune(NOW + 91 * DAY, 90 * DAY)
    assert store.acks.of(JobKey("p", "a")) == []
    assert store.jobs.load("p", ["a"])["a"].ack == ack


def test_a_file_of_an_older_version_says_so_to_who_only_reads(tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.db"
    schema = Path(__file__).parents[1] / "data" / "schemas" / "0002.sql"
    file = sqlite3.connect(path)
    file.executescript(schema.read_text())
    file.execute("PRAGMA user_version = 2")
    file.commit()
    file.close()
    reader = Store(path, mode="read")
    assert reader.history.jobs()
    with pytest.raises(StoreError, match="as an older ftwatch left it"):
        reader.silences.all()
    reader.close()
