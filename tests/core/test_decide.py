"""decide: what one look makes of a job. Every promise about events has its case here."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.decide import decide
from ftwatch.core.job import TERMINAL, JobError, Progress, Snapshot, Status
from ftwatch.core.journal import Journal, Line
from ftwatch.core.known import Decision, Known, Look, Policy
from ftwatch.core.route import Recipient, Route, Routing, Silence, parse_match
from ftwatch.core.rule import Silent, Stuck

NOW = 1_795_000_000.0
SLACK = Recipient(name="slack", kind="slack")
PIPELINE = Recipient(name="pipeline", kind="webhook", audience="machines")
EVERYBODY = Routing(recipients=(SLACK, PIPELINE))
POLICY = Policy(routing=EVERYBODY, rules=(Stuck(),))


def snapshot(status: Status = Status.RUNNING, **fields: Any) -> Snapshot:
    base: dict[str, Any] = {
        "id": "ftjob-1",
        "provider": "p",
        "kind": "openai",
        "created_at": int(NOW) - 100,
        "raw_status": str(status),
    }
    if status is Status.SUCCEEDED:
        base["fine_tuned_model"] = "ft:m"
    return Snapshot(**{**base, "status": status, **fields})


class History:
    """One job's decisions, one after another, as a store would keep them."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.known: Known | None = None
        self.now = NOW
        self.asked = 0
        self.decisions: list[Decision] = []

    def look(self, what: Snapshot | Status | None, *, after: float = 1.0, **more: Any) -> list[str]:
        """Takes one look `after` seconds later; returns the types of the events it made."""
        self.now += after
        self.asked += 1
        seen = snapshot(what) if isinstance(what, Status) else what
        key = snapshot().key
        look = Look(key=key, asked=more.pop("asked", self.asked), at=self.now, snapshot=seen, **more)
        return self._keep(decide(self.known, look, self.policy, self.now))

    def wait(self, seconds: float) -> list[str]:
        """Lets time go by; returns the types of the events that it made."""
        self.now += seconds
        return self._keep(decide(self.known, None, self.policy, self.now))

    def _keep(self, decision: Decision) -> list[str]:
        if decision.known is not None:
            self.known = replace(decision.known, version=decision.known.version + 1)
        self.decisions.append(decision)
        return [event.type.removeprefix("fine_tuning.") for event in decision.events]

    @property
    def told(self) -> list[tuple[str, str]]:
        """(notifier, reason) of the last decision's deliveries."""
        return [(owed.notifier, owed.reason) for owed in self.decisions[-1].deliveries]


# ------------------------------------------------------------------------------------------ first sight


@pytest.mark.parametrize(
    ("status", "types"),
    [
        (Status.VALIDATING_FILES, ["job.created"]),
        (Status.QUEUED, ["job.created"]),
        (Status.RUNNING, ["job.created"]),
        (Status.PAUSED, ["job.created", "job.paused"]),
        (Status.FAILED, ["job.created", "job.failed"]),
        (Status.SUCCEEDED, ["job.created", "job.succeeded"]),
        (Status.UNKNOWN, ["job.created", "job.unknown"]),
    ],
)
def test_a_first_sight_tells_of_creation_and_of_what_lies_beyond_the_first_states(
    status: Status, types: list[str]
) -> None:
    history = History()
    assert history.look(status) == types
    created = history.decisions[0].events[0]
    assert created.data.status == (status if len(types) == 1 else None)
    assert created.data.previous_status is None
    assert created.changes == ()
    assert created.data.skipped is status.is_terminal
    assert [event.data.sequence for event in history.decisions[0].events] == [1, 2][: len(types)]


def test_a_baseline_is_recorded_and_told_to_nobody() -> None:
    history = History(Policy(routing=EVERYBODY, baseline=True))
    assert history.look(Status.FAILED) == []
    assert history.known is not None
    assert history.known.snapshot.status is Status.FAILED


def test_a_run_between_two_looks_is_told_where_its_start_time_proves_it() -> None:
    history = History()
    history.look(Status.QUEUED)
    assert history.look(snapshot(Status.FAILED, started_at=int(NOW))) == ["job.running", "job.failed"]
    ran, failed = history.decisions[-1].events
    assert ran.data.skipped is True
    assert ran.data.occurred_at == int(NOW)
    assert failed.data.previous_status is Status.RUNNING
    assert failed.changes[0].before == "running"


def test_nothing_is_invented_where_nothing_proves_it() -> None:
    history = History()
    history.look(Status.QUEUED)
    assert history.look(Status.SUCCEEDED) == ["job.succeeded"]
    assert history.decisions[-1].events[0].data.previous_status is Status.QUEUED


# ------------------------------------------------------------------------------------------ transitions


def test_a_transition_carries_its_changes_and_links_to_the_one_before() -> None:
    history = History()
    history.look(Status.QUEUED)
    history.look(Status.RUNNING)
    history.look(snapshot(Status.SUCCEEDED, finished_at=int(NOW) + 2))
    done = history.decisions[-1].events[0]
    assert done.type == "fine_tuning.job.succeeded"
    assert done.severity == "notice"
    assert done.created_at == done.data.occurred_at == int(NOW) + 2
    assert [(change.field, change.before, change.after) for change in done.changes] == [
        ("status", "running", "succeeded"),
        ("fine_tuned_model", None, "ft:m"),
        ("finished_at", None, int(NOW) + 2),
    ]
    assert done.data.sequence == 3
    ids = [event.id for decision in history.decisions for event in decision.events]
    assert len(set(ids)) == 3


def test_the_same_history_makes_the_same_ids_anywhere() -> None:
    def ids() -> list[str]:
        history = History()
        for status in (Status.QUEUED, Status.RUNNING, Status.PAUSED, Status.RUNNING, Status.FAILED):
            history.look(status)
        return [event.id for decision in history.decisions for event in decision.events]

    assert ids() == ids()
    assert len(set(ids())) == 5


def test_a_time_that_cannot_be_is_replaced_by_the_look() -> None:
    history = History()
    history.look(Status.RUNNING)
    history.look(snapshot(Status.FAILED, finished_at=int(NOW) + 10_000))
    assert history.decisions[-1].events[0].created_at == int(history.now)
    assert history.decisions[-1].events[0].data.observed_at == int(history.now)


def test_movement_is_detail_and_no_link() -> None:
    history = History()
    history.look(Status.RUNNING)
    link = history.known.link if history.known else None
    assert history.look(snapshot(progress=Progress(step=1))) == ["job.updated"]
    moved = history.decisions[-1].events[0]
    assert moved.severity == "detail"
    assert history.known is not None
    assert history.known.link == link
    history.look(snapshot(progress=Progress(step=2)))
    assert history.decisions[-1].events[0].id != moved.id
    assert history.told == []


def test_a_result_that_arrives_late_is_worth_a_notice() -> None:
    history = History(Policy(routing=EVERYBODY, settle=0))
    history.look(Status.RUNNING)
    assert history.look(snapshot(Status.SUCCEEDED, fine_tuned_model=None)) == ["job.succeeded"]
    assert history.decisions[-1].events[0].data.incomplete == ("fine_tuned_model",)
    assert history.look(Status.SUCCEEDED) == ["job.updated"]
    assert history.decisions[-1].events[0].severity == "notice"


# ------------------------------------------------------------------------------------------ order of looks


def test_an_answer_asked_for_earlier_rolls_nothing_back() -> None:
    history = History()
    history.look(Status.QUEUED)
    history.look(Status.SUCCEEDED, asked=50)
    assert history.look(Status.RUNNING, asked=49) == []
    assert history.known is not None
    assert history.known.snapshot.status is Status.SUCCEEDED


def test_a_listing_never_moves_a_job_back_but_a_retrieve_may() -> None:
    history = History()
    history.look(Status.RUNNING)
    history.look(Status.FAILED)
    assert history.look(Status.RUNNING, listed=True) == []
    assert history.look(Status.RUNNING) == ["job.running"]
    assert history.look(Status.QUEUED, listed=True) == []
    assert history.look(Status.SUCCEEDED, listed=True) == ["job.succeeded"]


def test_a_listing_moves_no_job_to_and_fro_between_running_and_paused() -> None:
    history = History()
    for status in (Status.RUNNING, Status.PAUSED, Status.RUNNING):
        history.look(status)
    assert history.look(Status.PAUSED, listed=True) == []
    assert history.look(Status.PAUSING, listed=True) == []
    assert history.look(Status.PAUSED) == ["job.paused"]
    assert history.look(Status.RUNNING, listed=True) == []


# ------------------------------------------------------------------------------------------ gone


def test_two_404s_a_minute_apart_make_a_job_gone_and_it_may_return() -> None:
    history = History()
    history.look(Status.RUNNING)
    assert history.look(None) == []
    assert history.look(None, after=30) == []
    assert history.look(None, after=31) == ["job.gone"]
    assert history.look(None, after=600) == []
    assert history.look(Status.RUNNING) == ["job.returned"]
    assert history.look(Status.FAILED) == ["job.failed"]


def test_a_look_in_between_starts_the_count_anew() -> None:
    history = History()
    history.look(Status.RUNNING)
    history.look(None)
    history.look(Status.RUNNING, after=40)
    assert history.look(None, after=40) == []


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_a_finished_job_is_never_gone(status: Status) -> None:
    history = History()
    history.look(status)
    history.look(None)
    assert history.look(None, after=600) == []


# ------------------------------------------------------------------------------------------ unknown words


def test_an_unknown_word_is_told_once_for_a_provider() -> None:
    odd = snapshot(Status.UNKNOWN, raw_status="defrosting")
    history = History()
    history.look(Status.RUNNING)
    assert history.look(odd) == ["job.unknown"]
    assert history.decisions[-1].words == ("defrosting",)
    assert history.look(Status.RUNNING) == ["job.running"]

    again = History(Policy(routing=EVERYBODY, words=("defrosting",)))
    again.look(Status.RUNNING)
    assert again.look(odd) == ["job.updated"]
    assert again.decisions[-1].events[0].severity == "detail"
    assert again.decisions[-1].events[0].changes[0].after == "unknown"


# ------------------------------------------------------------------------------------------ settle


def test_a_success_waits_for_its_model_and_is_told_whole() -> None:
    history = History()
    history.look(Status.RUNNING)
    assert history.look(snapshot(Status.SUCCEEDED, fine_tuned_model=None)) == []
    assert history.known is not None
    assert history.known.is_active
    assert history.known.wake_at == history.now + 120
    assert history.look(Status.SUCCEEDED, after=30) == ["job.succeeded"]
    assert history.decisions[-1].events[0].data.incomplete is not None
    assert not history.decisions[-1].events[0].data.incomplete


@pytest.mark.parametrize("first", [True, False], ids=["at first sight", "later"])
def test_a_success_without_a_model_is_told_in_the_end(first: bool) -> None:
    history = History()
    if not first:
        history.look(Status.RUNNING)
    assert history.look(snapshot(Status.SUCCEEDED, fine_tuned_model=None)) == []
    assert history.wait(60) == []
    assert history.wait(61)[-1] == "job.succeeded"
    assert history.decisions[-1].events[-1].data.incomplete == ("fine_tuned_model",)
    assert history.known is not None
    assert not history.known.is_active
    assert history.wait(600) == []


# ------------------------------------------------------------------------------------------ rules


def test_a_stuck_job_fires_on_silence_once_and_its_end_is_told_to_who_was_told() -> None:
    quiet = Routing(
        recipients=(SLACK, PIPELINE),
        routes=(Route(match=parse_match({"type": "fine_tuning.alert.stuck"}), notify=("slack", "pipeline")),),
    )
    history = History(Policy(routing=quiet, rules=(Stuck(queued=3600),)))
    history.look(Status.QUEUED)
    assert history.known is not None
    assert history.known.wake_at == int(NOW) - 100 + 3600
    assert history.wait(3600) == ["alert.stuck"]
    assert history.decisions[-1].events[0].note == "queued for more than 1h"
    assert history.wait(3600) == []
    assert history.look(Status.RUNNING) == ["job.running", "alert.stuck.resolved"]
    assert history.told == [("slack", "closure"), ("pipeline", "closure")]


def test_a_baseline_does_not_raise_alarms_about_the_past() -> None:
    policy = Policy(routing=EVERYBODY, rules=(Stuck(),), baseline=True)
    history = History(policy)
    assert history.look(snapshot(Status.QUEUED, created_at=1)) == []
    assert history.wait(12 * 3600) == ["alert.stuck"]


# ------------------------------------------------------------------------------------------ who is told


def test_people_who_heard_of_the_open_state_hear_of_the_end() -> None:
    routing = Routing(
        recipients=(SLACK, PIPELINE, Recipient(name="quiet", kind="email", closure=False)),
        routes=(Route(match=parse_match({"type": "fine_tuning.job.running"}), notify=("slack", "quiet")),),
    )
    history = History(Policy(routing=routing))
    history.look(Status.QUEUED)
    history.look(Status.RUNNING)
    assert history.told == [("slack", "route 1"), ("quiet", "route 1")]
    history.look(Status.FAILED)
    assert history.told == [("slack", "closure")]
    assert [verdict.notifier for verdict in history.decisions[-1].verdicts] == ["pipeline", "quiet"]
    history.look(Status.RUNNING, asked=99)
    history.look(Status.FAILED, asked=100)
    assert history.told == [("slack", "closure")]


def test_who_heard_that_a_job_failed_hears_what_it_came_to_after_all() -> None:
    routing = Routing(
        recipients=(SLACK, PIPELINE),
        routes=(Route(match=parse_match({"type": "fine_tuning.job.failed"}), notify=("slack", "pipeline")),),
    )
    history = History(Policy(routing=routing, settle=0))
    history.look(Status.RUNNING)
    history.look(Status.FAILED)
    assert history.told == [("slack", "route 1"), ("pipeline", "route 1")]
    assert history.look(Status.RUNNING) == ["job.running"]
    assert history.told == []
    assert history.look(Status.SUCCEEDED) == ["job.succeeded"]
    assert history.told == [("slack", "closure")]
    history.look(Status.QUEUED)
    history.look(Status.CANCELLED)
    assert history.told == [("slack", "closure")], "and again, should that be no end either"


def test_a_silence_wins_over_closure() -> None:
    silence = Silence(match=parse_match({"type": "fine_tuning.job.failed"}), comment="known")
    history = History(Policy(routing=replace(EVERYBODY, silences=(silence,))))
    history.look(Status.RUNNING)
    history.look(Status.FAILED)
    assert history.told == []
    assert history.decisions[-1].verdicts[0].reason == "silenced by known"


def until_end(**match: str) -> Silence:
    """A silence that ends with the job of this module's snapshots, and with none of another."""
    asked = parse_match({"provider": "p", "id": "ftjob-1", **match})
    return Silence(match=asked, until_end=True, author="anna", id="sil_1")


def told_of(history: History) -> list[list[str]]:
    """The types of the events that slack was told of, decision by decision."""
    return [
        [
            event.type.removeprefix("fine_tuning.")
            for event in decision.events
            if any((owed.event_id, owed.notifier) == (event.id, "slack") for owed in decision.deliveries)
        ]
        for decision in history.decisions
    ]


@pytest.mark.parametrize("end", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED])
def test_a_silence_until_the_end_mutes_all_before_it_and_tells_the_end(end: Status) -> None:
    history = History(Policy(routing=replace(EVERYBODY, silences=(until_end(),)), rules=(Stuck(paused=60),)))
    for status in (Status.RUNNING, Status.PAUSED):
        history.look(status)
    history.wait(60)
    # The run before the end is rebuilt in the same decision as the end, and is not the end.
    history.look(snapshot(end, started_at=int(NOW)))
    types = [event.type.removeprefix("fine_tuning.") for event in history.decisions[-1].events]
    assert types == [f"job.{end}", "alert.stuck.resolved"]
    assert told_of(history) == [[], [], [], types]
    assert (
        history.decisions[0].verdicts[0].reason == 'silenced by provider="p", id="ftjob-1" (sil_1, by anna)'
    )


def test_what_is_rebuilt_before_the_end_is_not_the_end() -> None:
    history = History(Policy(routing=replace(EVERYBODY, silences=(until_end(),))))
    history.look(Status.QUEUED)
    assert history.look(snapshot(Status.FAILED, started_at=int(NOW))) == ["job.running", "job.failed"]
    assert told_of(history) == [[], ["job.failed"]]


def test_a_job_that_is_gone_is_over_too() -> None:
    history = History(Policy(routing=replace(EVERYBODY, silences=(until_end(),))))
    history.look(Status.RUNNING)
    history.look(None)
    assert history.look(None, after=61) == ["job.gone"]
    assert told_of(history) == [[], [], ["job.gone"]]


def test_a_silence_until_the_end_of_another_job_mutes_nothing() -> None:
    other = Silence(match=parse_match({"provider": "p", "id": "ftjob-2"}), until_end=True)
    history = History(Policy(routing=replace(EVERYBODY, silences=(other,))))
    history.look(Status.RUNNING)
    assert told_of(history) == [["job.created"]]


def test_only_watched_jobs_count_and_one_that_leaves_is_not_gone() -> None:
    history = History(Policy(routing=EVERYBODY, watch=parse_match({"model": "gpt-*"})))
    assert history.look(snapshot(model="llama")) == []
    assert history.known is not None
    assert history.known.ignored
    assert history.look(snapshot(model="gpt-4")) == ["job.created"]
    assert history.look(snapshot(model="llama")) == []
    assert history.look(None, after=600) == []


# ------------------------------------------------------------------------------------------ at random


statuses = st.sampled_from(sorted(Status))
steps = st.one_of(
    st.builds(
        lambda status, model, error, tokens: snapshot(
            status, fine_tuned_model=model, error=error, trained_tokens=tokens
        ),
        statuses,
        st.sampled_from([None, "ft:m"]),
        st.sampled_from([None, JobError(message="boom")]),
        st.sampled_from([None, 10, 20]),
    ),
    st.none(),
    st.floats(0, 5000),
)


@given(st.lists(steps, max_size=12))
def test_whatever_comes_the_sequence_has_no_gap_and_no_id_comes_twice(taken: list[Any]) -> None:
    history = History()
    for step in taken:
        if isinstance(step, float):
            history.wait(step)
        else:
            history.look(step, after=70)
    made = [event for decision in history.decisions for event in decision.events]
    assert [event.data.sequence for event in made] == list(range(1, len(made) + 1))
    assert len({event.id for event in made}) == len(made)
    for event in made:
        assert event.data.job
        assert event.created_at <= history.now + 300
    # Every notifier is either owed an event or knows why not.
    for decision in history.decisions:
        for event in decision.events:
            answers = [d.notifier for d in decision.deliveries if d.event_id == event.id]
            answers += [v.notifier for v in decision.verdicts if v.event_id == event.id]
            assert sorted(answers) == ["pipeline", "slack"]


def live(taken: list[Any], *silences: Silence) -> History:
    """A history of these looks (None: a 404; a number: so many seconds of none) under these silences."""
    quiet = replace(EVERYBODY, silences=silences)
    history = History(Policy(routing=quiet, rules=(Stuck(queued=100, paused=100),)))
    for step in taken:
        if isinstance(step, float):
            history.wait(step)
        else:
            history.look(step, after=70)
    return history


@given(st.lists(steps, max_size=10))
def test_a_silence_changes_who_is_told_and_never_what_happened(taken: list[Any]) -> None:
    loud = live(taken)
    for silence in (
        until_end(),
        until_end(type="fine_tuning.alert.*"),
        Silence(match=parse_match({"id": "*"})),
    ):
        muted = live(taken, silence)
        for one, other in zip(loud.decisions, muted.decisions, strict=True):
            assert one.events == other.events
            assert set(other.deliveries) <= set(one.deliveries)
        if muted.known is not None and loud.known is not None:
            assert replace(muted.known, told=(), alerts={}) == replace(loud.known, told=(), alerts={})
            assert muted.known.alerts.keys() == loud.known.alerts.keys()


@given(st.lists(steps, max_size=10))
def test_a_silence_that_is_over_leaves_every_decision_as_it_was(taken: list[Any]) -> None:
    over = Silence(match=parse_match({"id": "*"}), until=NOW, author="anna", id="sil_1")
    assert live(taken, over).decisions == live(taken).decisions


@given(st.lists(st.tuples(statuses, st.booleans()), min_size=1, max_size=8))
def test_the_told_transitions_are_the_seen_ones(taken: list[tuple[Status, bool]]) -> None:
    """Each transition's `previous_status` is the status told before it: the chain has no hole."""
    history = History(Policy(routing=EVERYBODY, settle=0, words=("unknown",)))
    for status, _ in taken:
        history.look(status)
    chain = [event for decision in history.decisions for event in decision.events if event.status]
    for before, after in pairwise(chain):
        assert after.data.previous_status == before.status
    assert history.known is not None
    assert history.known.snapshot.status is taken[-1][0]


# ------------------------------------------------------------------------------- ends that were none


def log(*states: tuple[Status, int]) -> Journal:
    """Lines of a log, each at so many seconds."""
    return Journal(
        lines=tuple(
            Line(
                key=f"{status} {at}",
                at=int(NOW) + at,
                status=status,
                metrics={"train_loss": float(at)},
                step=at,
            )
            for status, at in states
        )
    )


def test_a_job_that_ran_again_and_ended_the_same_way_is_told_once_more() -> None:
    it, over = History(), snapshot(Status.SUCCEEDED)
    it.look(Status.RUNNING, journal=log((Status.RUNNING, 1)))
    assert it.look(over, journal=log((Status.SUCCEEDED, 2))) == ["job.succeeded"]
    assert it.look(over, journal=log()) == []
    again = it.look(over, after=9, journal=log((Status.RUNNING, 5), (Status.SUCCEEDED, 7)))
    assert again == ["job.running", "job.succeeded"]
    assert it.known is not None
    assert (it.known.attempt, it.known.metrics) == (1, {"train_loss": 7.0})
    assert it.look(over, journal=log((Status.SUCCEEDED, 7))) == []


def test_lines_that_were_forgotten_and_come_again_are_no_new_life() -> None:
    it, over = History(), snapshot(Status.SUCCEEDED)
    it.look(Status.RUNNING, journal=log((Status.RUNNING, 1)))
    it.look(over, journal=log((Status.SUCCEEDED, 2)))
    assert it.look(over, journal=log((Status.RUNNING, 1), (Status.SUCCEEDED, 2))) == []
    assert it.known is not None
    assert it.known.attempt == 0


def test_what_the_last_attempt_came_to_is_not_what_this_one_does() -> None:
    it = History()
    it.look(Status.RUNNING, journal=log((Status.RUNNING, 1)))
    it.look(Status.FAILED, journal=log((Status.FAILED, 2)))
    it.look(Status.RUNNING, journal=log())
    assert it.known is not None
    assert (it.known.attempt, it.known.metrics) == (1, {})


# ------------------------------------------------------------------------------------------- silence


def silent(listens_since: float = 0.0) -> Policy:
    return replace(POLICY, rules=(Silent(every=600),), listens_since=listens_since)


def test_a_silence_counts_from_when_somebody_listened() -> None:
    it = History(silent())
    it.look(Status.RUNNING, heard_at=NOW + 1)
    assert it.known is not None
    assert it.known.wake_at == NOW + 601
    it.policy = silent(listens_since=NOW + 3600)
    assert it.wait(3650) == []
    assert it.known.wake_at == NOW + 4200
    assert it.wait(600) == ["alert.silent"]


def test_who_is_silent_already_is_so_until_it_is_heard() -> None:
    it = History(silent())
    it.look(Status.RUNNING, heard_at=NOW + 1)
    assert it.wait(700) == ["alert.silent"]
    it.policy = silent(listens_since=NOW + 700)
    assert it.wait(1) == []
    assert it.look(Status.RUNNING, heard_at=it.now) == ["alert.silent.resolved"]


def test_a_clock_that_was_set_back_makes_nobody_wait_for_it() -> None:
    it = History(silent(listens_since=NOW))
    it.look(Status.RUNNING, heard_at=NOW + 365 * 86400)
    assert it.known is not None
    assert it.known.wake_at == NOW + 600


def test_mere_progress_may_wait_and_nothing_else_may() -> None:
    it = History()
    running = snapshot(Status.RUNNING, progress=Progress(step=1))
    it.look(running)
    moved = replace(running, progress=Progress(step=2), estimated_finish=5)
    assert it.look(moved, calm=True) == []
    assert it.look(replace(moved, owner="kim"), calm=True) == ["job.updated"]
    assert it.decisions[-1].events[0].changes[0].before in (None, 1), "nothing that was put off is lost"
    assert it.look(replace(moved, owner="kim", progress=Progress(step=3)), calm=True) == []
    assert it.look(replace(moved, owner="kim", progress=Progress(step=3))) == ["job.updated"]
    assert it.look(snapshot(Status.FAILED), calm=True) == ["job.failed"]
