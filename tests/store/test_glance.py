"""What the page asks the store: the right jobs in the right order, and never more than a screenful."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.announce import Announcement
from ftwatch.core.delivery import Rejected, RetryPolicy, Sent, settle
from ftwatch.core.event import Data, Event, Severity, event_id
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Journal, Line, keyed
from ftwatch.core.known import Assignment, Decision, Known, Refusal
from ftwatch.store import Batch, Settled, Store
from ftwatch.store.glance import GONE, Count, Cursor, Glance, Wanted
from ftwatch.store.history import Row

NOW = 1_795_000_000.0
DAY = 86_400.0


def known(
    id: str, status: Status = Status.RUNNING, *, provider: str = "p", gone: bool = False, **more: Any
) -> Known:
    since = more.pop("since", NOW - 100)
    sequence = more.pop("sequence", 1)
    job = Snapshot(id=id, provider=provider, kind="openai", status=status, **more)
    return Known(snapshot=job, status_since=since, sequence=sequence, gone=gone)


def put(store: Store, *jobs: Known, at: float = NOW) -> None:
    store.commit(Batch(decisions=[Decision(known=one) for one in jobs]), at)


def shown(store: Store, limit: int = 100, **wanted: Any) -> list[str]:
    return [
        row.known.snapshot.id for _, row in Glance(store.db).jobs(Wanted(**wanted), after=None, limit=limit)
    ]


# ----------------------------------------------------------------------------------------------- order


def test_active_jobs_come_first_then_those_that_ended_last(store: Store) -> None:
    put(
        store,
        known("old", Status.SUCCEEDED, finished_at=int(NOW - 5000)),
        known("new", Status.FAILED, finished_at=int(NOW - 50)),
        known("waits", Status.QUEUED, since=NOW - 9000),
        known("runs", since=NOW - 10),
    )
    assert shown(store) == ["runs", "waits", "new", "old"]


@pytest.mark.parametrize(
    ("job", "moment"),
    [
        (known("j", since=NOW - 7), NOW - 7),
        (known("j", since=NOW + 9999), NOW),
        (known("j", Status.FAILED, finished_at=int(NOW - 70)), NOW - 70),
        (known("j", Status.FAILED, finished_at=2**40), NOW),
        (known("j", Status.FAILED, since=NOW - 30), NOW - 30),
        (known("j", Status.FAILED, since=NOW - 30, sequence=0, created_at=12345), 12345),
        (known("j", Status.FAILED, since=NOW - 30, sequence=0), 0),
        (known("j", Status.PAUSED, since=NOW - 30, gone=True), NOW),
    ],
)
def test_a_job_has_its_place_by_when_it_came_to_be_so(store: Store, job: Known, moment: float) -> None:
    put(store, job)
    ((place, _),) = Glance(store.db).jobs(Wanted(), after=None, limit=5)
    assert place == Cursor(job.is_active, moment, "p", "j")


def test_the_places_of_an_older_database_are_worked_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "ftwatch.db")
    jobs = [
        known("a", since=NOW - 7),
        known("b", Status.FAILED, finished_at=int(NOW - 70)),
        known("c", Status.FAILED, since=NOW - 30),
        known("d", Status.FAILED, since=NOW - 30, sequence=0, created_at=12345),
        known("e", Status.FAILED, since=NOW - 30, sequence=0),
        known("f", Status.PAUSED, gone=True),
        known("g", Status.FAILED, finished_at=2**40),
    ]
    put(store, *jobs)
    before = store.db.rows("SELECT id, moment FROM jobs ORDER BY id")
    for statement in (
        "DROP INDEX jobs_shown",
        "DROP INDEX deliveries_last",
        "DROP INDEX deliveries_waiting",
        "DROP TABLE heralds",
        "DROP TABLE reminders",
        "DROP INDEX jobs_recipe",
        "DROP INDEX jobs_asked",
        "ALTER TABLE jobs DROP COLUMN moment",
        "ALTER TABLE jobs DROP COLUMN recipe",
        "PRAGMA user_version = 6",
    ):
        store.db.execute(statement)
    store.close()
    store = Store(tmp_path / "ftwatch.db")
    assert store.db.rows("SELECT id, moment FROM jobs ORDER BY id") == before
    store.close()


def test_page_by_page_each_job_comes_once(store: Store) -> None:
    dice = random.Random(5)
    put(
        store,
        *(
            known(
                f"j{number}",
                dice.choice(list(Status)),
                provider=dice.choice("pqr"),
                since=NOW - dice.randrange(4),
                finished_at=int(NOW - dice.randrange(5)),
            )
            for number in range(300)
        ),
    )
    glance, seen, after = Glance(store.db), list[Cursor](), None
    while found := glance.jobs(Wanted(), after=after, limit=dice.randrange(1, 40)):
        seen += [place for place, _ in found]
        after = found[-1][0]
    assert len(seen) == len(set(seen)) == 300
    assert seen == sorted(seen, reverse=True)


def test_of_ended_jobs_only_the_recent_ones_are_asked_for(store: Store) -> None:
    put(
        store,
        known("runs", since=NOW - 9 * DAY),
        known("today", Status.FAILED, finished_at=int(NOW - 100)),
        known("before", Status.FAILED, finished_at=int(NOW - 2 * DAY)),
    )
    assert shown(store, since=NOW - DAY) == ["runs", "today"]
    assert shown(store, since=NOW - DAY, limit=1) == ["runs"]


def test_what_is_ignored_is_not_shown(store: Store) -> None:
    put(store, Known(snapshot=known("j").snapshot, status_since=NOW, ignored=True))
    assert shown(store) == []
    assert Glance(store.db).job(JobKey("p", "j")) is None
    assert Glance(store.db).counts(NOW) == []


# --------------------------------------------------------------------------------------------- filters


NAMES = ["support-bot", "100%", "a_b", "aXb", 'quo"te', "back\\slash", "Straße", "new\nline", "", None]


def test_filters_find_just_what_they_say(store: Store) -> None:
    """Against the same said in Python."""
    jobs = [
        known(
            f"id{number}",
            status,
            provider="pq"[number % 2],
            name=name,
            owner=NAMES[(number + 3) % len(NAMES)],
            model=NAMES[(number + 5) % len(NAMES)],
            labels={NAMES[(number + 1) % 8] or "": NAMES[(number + 2) % len(NAMES)] or "x"},
            metadata={"note": "support-bot"},
            gone=number % 11 == 0,
        )
        for number, (name, status) in enumerate(itertools.product(NAMES, list(Status)))
    ]
    put(store, *jobs)
    texts = [name for name in NAMES if name] + ["SUPPORT", "%", "_", "\\", '"', "id1", "nothing"]
    checked = 0
    for provider, status, text in itertools.product(
        (None, "p"), (None, Status.FAILED, Status.RUNNING, GONE), (None, *texts)
    ):
        for sort in ("text", "owner", "label"):
            if text is None and sort != "text":
                continue
            label = (text, "a_b") if sort == "label" and text else None
            owner = text if sort == "owner" else None
            words = text if sort == "text" else None
            found = set(
                shown(store, 1000, provider=provider, status=status, text=words, owner=owner, label=label)
            )
            expected = {
                one.snapshot.id for one in jobs if _is_wanted(one, provider, status, words, owner, label)
            }
            assert found == expected, (provider, status, words, owner, label)
            checked += bool(found)
    assert checked > 60


def _is_wanted(
    one: Known,
    provider: str | None,
    status: str | None,
    text: str | None,
    owner: str | None,
    label: tuple[str, str] | None,
) -> bool:
    job = one.snapshot
    is_gone = one.gone and not job.status.is_terminal
    searched = [job.id, job.name, job.model, job.fine_tuned_model, job.owner]
    return (
        (provider is None or job.provider == provider)
        and (status is None or (is_gone if status == GONE else job.status == status and not is_gone))
        and (text is None or any(text.lower() in (place or "").lower() for place in searched))
        and (owner is None or job.owner == owner)
        and (label is None or job.labels.get(label[0]) == label[1])
    )


def test_jobs_are_counted_by_sort_and_age(store: Store) -> None:
    put(
        store,
        known("a", provider="q"),
        known("b", provider="q"),
        known("c", Status.FAILED, finished_at=int(NOW - 10)),
        known("d", Status.FAILED, finished_at=int(NOW - 2 * DAY)),
        known("e", Status.PAUSED, gone=True),
    )
    assert sorted(Glance(store.db).counts(NOW - DAY), key=lambda one: one.status) == [
        Count("p", "failed", False, 2, 1),
        Count("p", GONE, False, 1, 1),
        Count("q", "running", True, 2, 2),
    ]


def test_one_job_is_found_by_its_key(store: Store) -> None:
    put(store, known("j", name="x"))
    row = Glance(store.db).job(JobKey("p", "j"))
    assert isinstance(row, Row)
    assert row.known.snapshot.name == "x"
    assert row.known.version == 1
    assert Glance(store.db).job(JobKey("q", "j")) is None


def test_the_list_reads_no_more_than_it_shows(store: Store) -> None:
    """The plans of the questions: an index in its order, no sort of its own."""
    put(store, *(known(f"j{number}") for number in range(50)))
    plans = []

    def traced(sql: str, *values: Any) -> Any:
        plans.append(
            (sql, [row[3] for row in store.db._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)])
        )
        return store.db._connection.execute(sql, values).fetchall()

    glance = Glance(store.db)
    glance._db = type("Traced", (), {"rows": staticmethod(traced), "row": store.db.row})()  # type: ignore[assignment]
    glance.jobs(Wanted(), after=Cursor(True, NOW, "p", "j"), limit=5)
    glance.lanes(["x"], NOW)
    glance.counts(NOW)
    assert plans
    for sql, plan in plans:
        assert not any(step.startswith("SCAN jobs") and "INDEX" not in step for step in plan), (sql, plan)
        assert not any("SCAN d" in step and "INDEX" not in step for step in plan), (sql, plan)
    assert not any("B-TREE" in step for step in plans[0][1])


# --------------------------------------------------------------------------------------------- figures


def logged(store: Store, steps: range, attempt: int = 0) -> JobKey:
    job = known("j")
    lines = keyed(Line(step=step, at=step, metrics={"train_loss": float(step)}) for step in steps)
    version = store.jobs.load("p", ["j"])
    stored = Known(
        snapshot=job.snapshot,
        status_since=NOW,
        attempt=attempt,
        version=version["j"].version if version else 0,
    )
    store.commit(Batch(decisions=[Decision(known=stored, journal=Journal(lines=lines))]), NOW)
    return job.snapshot.key


@pytest.mark.parametrize(
    "steps", [range(7, 8), range(1, 11), range(1, 33), range(5000), range(3, 30_000, 977)]
)
def test_a_trace_has_few_points_the_last_among_them(store: Store, steps: range) -> None:
    found = Glance(store.db).trace(logged(store, steps), "train_loss", 32)
    assert len(found) <= 33
    assert len(found) >= min(len(steps), 16)
    assert found == sorted(found)
    assert all(step == value and step in steps for step, value in found)
    assert found[0][0] == steps[0]
    assert found[-1][0] == steps[-1]


def test_a_trace_is_of_the_last_attempt_and_of_one_figure(store: Store) -> None:
    key = logged(store, range(100))
    logged(store, range(200, 205), attempt=1)
    assert [step for step, _ in Glance(store.db).trace(key, "train_loss", 32)] == [200, 201, 202, 203, 204]
    assert Glance(store.db).trace(key, "valid_loss", 32) == []
    assert Glance(store.db).trace(JobKey("p", "other"), "train_loss", 32) == []
    assert [point.step for point in Glance(store.db).series(key)] == [200, 201, 202, 203, 204]
    assert Glance(store.db).series(key)[0].at == 200


# ------------------------------------------------------------------------------------------- deliveries


def event(number: int, volatile: bool = False) -> Event:
    job = known("j").snapshot
    return Event(
        id=event_id(job.key, "fine_tuning.job.running", (), number),
        type="fine_tuning.job.running",
        created_at=int(NOW) + number,
        severity=Severity.INFO,
        data=Data(id="j", provider="p", occurred_at=0, observed_at=0, job=job),
    )


def owe(store: Store, *numbers: int, notifier: str = "hook") -> list[Event]:
    made = [event(number) for number in numbers]
    said = Announcement(
        events=tuple(made),
        deliveries=tuple(Assignment(one.id, notifier, "route 1") for one in made),
        verdicts=tuple(Refusal(one.id, "mail", "no route matches") for one in made),
    )
    store.commit(Batch(announcements=[said]), NOW)
    return made


def tried(store: Store, at: float, outcome: Any, limit: int = 100, notifier: str = "hook") -> None:
    for claim in store.outbox.backlog(notifier, at, until=at, limit=limit, lease=1):
        done = settle(claim.delivery, outcome, RetryPolicy(), at, 0.5)
        store.settle([Settled(claim=claim, settlement=done, outcome="x", at=at, took=0.5)], None, at)


def test_every_event_has_its_fate(store: Store) -> None:
    made = owe(store, *range(5))
    tried(store, NOW + 1, Sent("HTTP 200"), limit=2)
    fates = Glance(store.db).fates(made)
    assert list(fates) == [one.id for one in made]
    states = [[str(letter.delivery.state) for letter in fate.letters] for fate in fates.values()]
    assert states == [["delivered"], ["delivered"], ["pending"], ["pending"], ["pending"]]
    first = fates[made[0].id]
    assert first.letters[0].why == "route 1"
    assert [one.at for one in first.letters[0].tries] == [NOW + 1]
    assert first.letters[0].event == made[0]
    assert first.spared == {"mail": "no route matches"}


def test_more_events_than_a_statement_takes_have_their_fates(store: Store) -> None:
    made = owe(store, *range(450))
    assert all(fate.letters and fate.spared for fate in Glance(store.db).fates(made).values())


def test_lanes_say_what_waits_what_died_and_what_arrived(store: Store) -> None:
    owe(store, 1, 2, 3)
    tried(store, NOW + 10, Sent(), limit=1)
    tried(store, NOW + 20, Rejected("no", final=True), limit=1)
    owe(store, 4, notifier="orphan")
    lanes = {lane.name: lane for lane in Glance(store.db).lanes(["mail", "hook"], NOW)}
    assert list(lanes) == ["mail", "hook", "orphan"]
    hook = lanes["hook"]
    assert (hook.pending, hook.oldest, hook.dead, hook.delivered_at) == (1, NOW, 1, NOW + 10.5)
    assert (lanes["mail"].pending, lanes["mail"].oldest, lanes["mail"].delivered_at) == (0, None, None)
    assert lanes["orphan"].pending == 1


def test_what_is_held_on_purpose_does_not_wait(store: Store) -> None:
    owe(store, 1, 2, 3)
    store.db.execute("UPDATE deliveries SET bundle = 'quiet', due_at = ? WHERE seq > 1", NOW + 3600)
    store.db.execute("UPDATE deliveries SET created_at = ? WHERE seq > 1", NOW - 50)
    ((lane),) = Glance(store.db).lanes(["hook"], NOW)
    assert (lane.pending, lane.held, lane.oldest) == (1, 2, NOW)
    ((lane),) = Glance(store.db).lanes(["hook"], NOW + 7200)
    assert (lane.pending, lane.held, lane.oldest) == (3, 0, NOW - 50)


def test_dead_letters_come_newest_first_and_what_waits_by_its_time(store: Store) -> None:
    made = owe(store, *range(6))
    tried(store, NOW, Rejected("no", final=True), limit=4)
    glance = Glance(store.db)
    dead = glance.dead(limit=3)
    assert [letter.event for letter in dead] == made[3:0:-1]
    assert [letter.event for letter in glance.dead(before=dead[-1].seq, limit=3)] == made[:1]
    assert glance.dead(notifier="other", limit=3) == []
    assert [letter.event for letter in glance.waiting(1)] == made[4:5]


def test_a_letter_whose_event_is_forgotten_is_shown_all_the_same(store: Store) -> None:
    owe(store, 1)
    store.db.execute("DELETE FROM events")
    assert [letter.event for letter in Glance(store.db).waiting(5)] == [None]


def test_a_story_leaves_out_the_moving_bar(store: Store) -> None:
    made = owe(store, 1, 2, 3)
    store.db.execute("UPDATE events SET volatile = 1 WHERE id = ?", made[1].id)
    assert Glance(store.db).story(JobKey("p", "j"), 10) == [made[2], made[0]]
    assert Glance(store.db).story(JobKey("p", "j"), 1) == [made[2]]
