"""What goes back and forth is told of once, and once when it has settled; nothing of it is lost."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core import announce
from ftwatch.core.announce import Announcement, ProviderState
from ftwatch.core.decide import decide
from ftwatch.core.flapping import FOLDED, Flapping, is_relapse
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.journal import Journal, Line
from ftwatch.core.known import Decision, Known, Look, Policy
from ftwatch.core.route import Match, Matcher, Recipient, Route, Routing
from ftwatch.core.rule import Relapse, Rule

NOW = 1_795_000_000.0
RULE = Flapping()
ROUTING = Routing(
    recipients=(
        Recipient(name="slack", kind="slack"),
        Recipient(name="hook", kind="webhook", audience="machines"),
        Recipient(name="narrow", kind="email", closure=False),
    ),
    routes=(
        Route(notify=("slack", "hook")),
        Route(notify=("narrow",), match=Match((Matcher("type", "=", "fine_tuning.job.running"),))),
    ),
)
JOB = Snapshot(id="a", provider="p", kind="toy", status=Status.RUNNING, created_at=int(NOW))
GOES_ON = [status for status in Status if not status.is_terminal]


class Life:
    """A job as its statuses come, and what people and programs hear of it."""

    def __init__(self, rules: tuple[Rule, ...] = (RULE,)) -> None:
        self.rules = rules
        self.known: Known | None = None
        self.at = NOW
        self.decisions: list[Decision] = []

    def see(self, status: Status | None, after: float = 60.0, **more: Any) -> list[str]:
        """What `slack` is told when the job has this status by then (None: only time went by)."""
        self.at += after
        policy = Policy(routing=ROUTING, rules=self.rules, settle=0)
        look = None
        if status is not None:
            asked = (self.known.asked if self.known else 0) + 1
            job = replace(JOB, status=status, **more)
            look = Look(key=JOB.key, asked=asked, at=self.at, snapshot=job)
        decision = decide(self.known, look, policy, self.at)
        self.decisions.append(decision)
        self.known = decision.known or self.known
        return self.told("slack", self.decisions[-1:])

    def told(self, name: str, decisions: Sequence[Decision] | None = None) -> list[str]:
        """What somebody was told, in short."""
        found = []
        for decision in self.decisions if decisions is None else decisions:
            types = {event.id: event.type.removeprefix("fine_tuning.") for event in decision.events}
            found += [types[owed.event_id] for owed in decision.deliveries if owed.notifier == name]
        return found


def test_back_and_forth_is_told_once_and_once_when_it_has_settled() -> None:
    life = Life()
    assert life.see(Status.RUNNING) == ["job.created"]
    for _ in range(2):
        assert life.see(Status.PAUSED) == ["job.paused"]
        assert life.see(Status.RUNNING) == ["job.running"]
    assert life.see(Status.PAUSED) == ["job.paused"]
    assert life.see(Status.RUNNING) == ["job.running", "alert.flapping"]
    for _ in range(5):
        assert life.see(Status.PAUSED) == []
        assert life.see(Status.RUNNING) == []
    assert life.known is not None
    assert life.known.wake_at == life.at + 3600
    assert life.see(None, 3599) == []
    assert life.see(None, 1) == ["alert.flapping.resolved"]
    (event,) = life.decisions[-1].events
    assert event.note == "running"
    # What comes after is told as ever.
    assert life.see(Status.PAUSED) == ["job.paused"]
    assert life.see(Status.RUNNING) == ["job.running"]


def test_what_is_folded_is_recorded_with_its_reason_and_programs_get_it() -> None:
    life = Life()
    life.see(Status.RUNNING)
    for _ in range(6):
        life.see(Status.PAUSED)
        life.see(Status.RUNNING)
    made = [event for decision in life.decisions for event in decision.events]
    refused = [one for decision in life.decisions for one in decision.verdicts if one.notifier == "slack"]
    assert len(made) == len(life.told("slack")) + len(refused)
    assert {one.reason for one in refused} == {FOLDED}
    assert len(refused) == 6
    assert life.told("hook").count("job.running") == 6
    # Who was not told that it flaps hears of each time.
    assert life.told("narrow").count("job.running") == 6


def test_an_end_is_told_whatever_was_before_and_ends_it() -> None:
    for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED):
        life = Life()
        life.see(Status.RUNNING)
        for _ in range(4):
            life.see(Status.PAUSED)
            life.see(Status.RUNNING)
        assert life.see(status, fine_tuned_model="ft:m") == [f"job.{status}"]
        assert life.known is not None
        assert life.known.alerts == {}
        assert life.see(None, 7200) == []


def test_an_end_that_comes_again_and_again_is_told_once_while_it_flaps() -> None:
    life = Life()
    life.see(Status.RUNNING)
    told = []
    for _ in range(6):
        told += life.see(Status.FAILED)
        told += life.see(Status.RUNNING)
    told += life.see(Status.FAILED)
    assert told == [*["job.failed", "job.running"] * 3, "alert.flapping"]
    assert life.see(None, 3600) == ["alert.flapping.resolved"]
    assert life.decisions[-1].events[0].note == "failed"
    # Another end than those that came again is news.
    life.see(Status.RUNNING, 3600)
    assert life.see(Status.SUCCEEDED, fine_tuned_model="ft:m") == ["job.succeeded"]


def test_slowly_is_not_flapping_and_without_the_rule_nothing_is() -> None:
    life = Life()
    life.see(Status.RUNNING)
    for _ in range(8):
        assert life.see(Status.PAUSED, 1000) == ["job.paused"]
        assert life.see(Status.RUNNING, 1000) == ["job.running"]
    off = Life(rules=())
    off.see(Status.RUNNING)
    for _ in range(8):
        assert off.see(Status.PAUSED) == ["job.paused"]
        assert off.see(Status.RUNNING) == ["job.running"]


def test_a_rule_that_was_taken_away_folds_nothing_any_more() -> None:
    life = Life()
    life.see(Status.RUNNING)
    for _ in range(4):
        life.see(Status.PAUSED)
        life.see(Status.RUNNING)
    life.rules = ()
    assert life.see(Status.PAUSED) == ["job.paused"]


def test_what_a_log_tells_of_long_ago_is_no_flapping_now() -> None:
    ways = [Status.RUNNING, Status.QUEUED] * 5
    lines = tuple(
        Line(key=str(number), at=int(NOW) - 90_000 + number * 60, status=status)
        for number, status in enumerate(ways)
    )
    known = Known(
        snapshot=replace(JOB, status=Status.QUEUED, created_at=int(NOW) - 99_999),
        status_since=0,
        sequence=1,
        link="evt_1",
    )
    look = Look(
        key=JOB.key,
        asked=1,
        at=NOW,
        snapshot=replace(known.snapshot, status=Status.RUNNING),
        journal=Journal(lines=lines),
    )
    decision = decide(known, look, Policy(routing=ROUTING, rules=(RULE,)), NOW)
    assert decision.known is not None
    assert decision.known.alerts == {}


def test_which_way_is_back() -> None:
    back = {(one, other) for one in Status for other in Status if is_relapse(one, other)}
    assert {
        (Status.RUNNING, Status.QUEUED),
        (Status.PAUSED, Status.RUNNING),
        (Status.UNKNOWN, Status.RUNNING),
        (Status.FAILED, Status.RUNNING),
        (Status.CANCELLING, Status.RUNNING),
    } <= back
    assert not back & {
        (Status.QUEUED, Status.RUNNING),
        (Status.RUNNING, Status.PAUSED),
        (Status.PAUSED, Status.CANCELLING),
        (Status.RUNNING, Status.UNKNOWN),
    }
    assert all(not b.is_terminal and a is not b for a, b in back)
    assert not is_relapse(None, Status.RUNNING)


@given(st.lists(st.tuples(st.sampled_from(list(Status)), st.floats(1, 4000)), max_size=40))
def test_every_event_is_told_or_has_its_reason_whatever_comes(course: list[tuple[Status, float]]) -> None:
    life = Life()
    for status, after in course:
        life.see(status, after, fine_tuned_model="ft:m" if status is Status.SUCCEEDED else None)
        assert life.known is not None
        assert len(life.known.relapses) <= 10
    for decision in life.decisions:
        for event in decision.events:
            names = [owed.notifier for owed in decision.deliveries if owed.event_id == event.id]
            names += [one.notifier for one in decision.verdicts if one.event_id == event.id and one.reason]
            assert sorted(names) == ["hook", "narrow", "slack"]
    while life.known is not None and life.known.wake_at is not None:
        life.see(None, max(0.0, life.known.wake_at - life.at))
    alerts = [word for word in life.told("slack") if word.startswith("alert.flapping")]
    # What was told as flapping settles, or has come to its end.
    ends = [word for word in life.told("slack") if word in ("job.succeeded", "job.failed", "job.cancelled")]
    begun, over = (alerts.count(f"alert.flapping{end}") for end in ("", ".resolved"))
    assert over <= begun <= over + len(ends)
    assert life.known is None or not life.known.alerts


# ------------------------------------------------------------------------------------------ providers


class Service:
    """A provider that is down and up again, and what people are told."""

    def __init__(self, rule: Flapping | None = RULE) -> None:
        self.rule, self.at = rule, NOW
        self.state = ProviderState(name="p")
        self.refused: list[str] = []
        self.events = 0

    def take(self, said: Announcement) -> list[tuple[str, str | None]]:
        if said.state is not None:
            self.state = said.state
        self.events += len(said.events)
        self.refused += [one.reason for one in said.verdicts if one.notifier == "slack"]
        told = {owed.event_id for owed in said.deliveries if owed.notifier == "slack"}
        return [(event.type.rpartition(".")[2], event.note) for event in said.events if event.id in told]

    def down(self, after: float = 300.0) -> list[tuple[str, str | None]]:
        self.at += after
        return self.take(announce.degraded(self.state, "toy", "HTTP 503", ROUTING, self.at, self.rule))

    def up(self, after: float = 300.0) -> list[tuple[str, str | None]]:
        self.at += after
        return self.take(announce.recovered(self.state, "toy", ROUTING, self.at, self.rule))

    def wait(self, after: float) -> list[tuple[str, str | None]]:
        self.at += after
        return self.take(announce.settled(self.state, "toy", ROUTING, self.at, self.rule))


def test_a_provider_that_comes_and_goes_is_told_of_once() -> None:
    it = Service()
    for _ in range(2):
        assert it.down() == [("degraded", "HTTP 503")]
        assert it.up() == [("recovered", "after 5m of: HTTP 503")]
    assert it.down() == [("degraded", "it comes and goes, 3 times within 1h: HTTP 503")]
    for _ in range(4):
        assert it.up() == []
        assert it.wait(0) == []
        assert it.down() == []
    assert it.up() == []
    assert it.refused == [FOLDED] * 9
    assert it.wait(3599) == []
    assert it.wait(1) == [("recovered", "it came and went, and has answered for 1h")]
    assert it.wait(10) == []
    assert it.down() == [("degraded", "HTTP 503")]


def test_one_that_stays_down_is_told_so() -> None:
    it = Service()
    for _ in range(3):
        it.down()
        it.up()
    it.down()
    assert it.wait(3600) == [("degraded", "it came and went, and has not answered for 1h: HTTP 503")]
    assert it.up()[0][0] == "recovered"


def test_without_the_rule_each_time_is_told() -> None:
    it = Service(rule=None)
    for _ in range(9):
        assert it.down()[0][0] == "degraded"
        assert it.up()[0][0] == "recovered"
    assert it.wait(9999) == []


def test_one_that_ends_for_good_says_so_whatever_was_before() -> None:
    it = Service()
    for _ in range(4):
        it.down()
        it.up()
    it.down()
    said = it.take(announce.retired(it.state, "toy", "gone for good", ROUTING, it.at + 1))
    assert said == [("retired", "gone for good")]
    assert not it.state.is_flapping


@pytest.mark.parametrize("relapses", [(), (Relapse(NOW - 10, Status.PAUSED),)])
def test_a_state_is_written_and_read_as_it_was(relapses: tuple[Relapse, ...]) -> None:
    import msgspec

    known = Known(snapshot=JOB, status_since=NOW, relapses=relapses)
    assert msgspec.json.decode(msgspec.json.encode(known), type=Known) == known
