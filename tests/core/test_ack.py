"""ack: what is open about a job, whom somebody's word spares what, and how long it holds."""

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.ack import acknowledge, matters
from ftwatch.core.decide import decide
from ftwatch.core.event import Severity
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Ack, Decision, Known, Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.rule import Facts, Finding

NOW = 1_795_000_000.0
ROUTING = Routing(
    recipients=(
        Recipient(name="slack", kind="slack"),
        Recipient(name="mail", kind="email", closure=False),
        Recipient(name="hook", kind="webhook", audience="machines"),
    )
)
JOB = Snapshot(id="a", provider="p", kind="toy", status=Status.RUNNING)


class Sick(Struct, frozen=True):
    """A rule that says what it is told to: (subject, stage), or None while all is well."""

    name: ClassVar[str] = "sick"
    severity: ClassVar[Severity] = Severity.WARNING
    says: tuple[str, str] | None

    def judge(self, facts: Facts, now: float) -> Finding:
        if self.says is None:
            return Finding()
        return Finding(note="it is sick", subject=self.says[0], stage=self.says[1])


class Patient:
    """A running job, judged again and again."""

    def __init__(self) -> None:
        self.known = Known(snapshot=JOB, status_since=NOW, version=1)
        self.asked = 0

    def judge(self, *says: str, look: Snapshot | None = None) -> list[tuple[str, tuple[str, ...]]]:
        """What the rule says now (nothing: all is well); returns the events made, and who is told of each."""
        policy = Policy(routing=ROUTING, rules=(Sick((says[0], says[1]) if says else None),))
        self.asked += 1
        seen = Look(key=JOB.key, asked=self.asked, at=NOW + self.asked, snapshot=look) if look else None
        decision = decide(self.known, seen, policy, NOW + self.asked)
        assert decision.known is not None
        self.known = decision.known
        self.decision = decision
        return [
            (
                event.type.removeprefix("fine_tuning."),
                tuple(owed.notifier for owed in decision.deliveries if owed.event_id == event.id),
            )
            for event in decision.events
        ]

    def acknowledge(self, comment: str = "") -> Ack | None:
        """Anna has seen it."""
        self.known = replace(self.known, ack=acknowledge(self.known, "anna", comment, NOW))
        return self.known.ack


ALL = ("slack", "mail", "hook")


def test_a_new_stage_of_what_was_acknowledged_is_told_to_programs_alone() -> None:
    patient = Patient()
    assert patient.judge("flu", "1") == [("alert.sick", ALL)]
    assert patient.judge("flu", "2") == [("alert.sick", ALL)]
    patient.acknowledge("on it")
    assert patient.judge("flu", "3") == [("alert.sick", ("hook",))]
    reasons = {one.notifier: one.reason for one in patient.decision.verdicts}
    assert reasons == dict.fromkeys(["slack", "mail"], "acknowledged by anna: on it")
    assert patient.judge("flu", "3") == []
    # Its end is told: to whom it goes anyway, and to people who know of its beginning.
    assert patient.judge() == [("alert.sick.resolved", ALL)]
    assert patient.known.ack is None
    assert patient.judge("flu", "1") == [("alert.sick", ALL)], "it is ill again, and nobody knows"


def test_the_end_of_what_was_acknowledged_is_owed_to_who_was_told() -> None:
    patient = Patient()
    patient.judge("flu", "1")
    patient.acknowledge()
    patient.judge("flu", "2")
    assert set(patient.known.alerts["sick"][1]) == set(ALL)


def test_another_subject_is_another_alert() -> None:
    patient = Patient()
    patient.judge("flu", "1")
    patient.acknowledge()
    assert patient.judge("cold", "1") == [("alert.sick.resolved", ALL), ("alert.sick", ALL)]
    assert patient.known.ack is None
    assert patient.judge("cold", "2") == [("alert.sick", ALL)]


def test_an_alert_that_fires_after_the_ack_is_not_acknowledged() -> None:
    patient = Patient()
    patient.known = replace(patient.known, snapshot=replace(JOB, status=Status.PAUSED))
    ack = patient.acknowledge()
    assert ack is not None
    assert ack.alerts == {}
    assert patient.judge("flu", "1") == [("alert.sick", ALL)]
    assert patient.known.ack == ack, "of the pause somebody still knows"


@pytest.mark.parametrize("status", [Status.PAUSED, Status.FAILED, Status.QUEUED])
def test_an_ack_is_about_the_status_as_it_is(status: Status) -> None:
    patient = Patient()
    patient.judge("flu", "1")
    ack = patient.acknowledge()
    patient.judge("flu", "1", look=replace(JOB, trained_tokens=7))
    assert patient.known.ack == ack, "a field is no state"
    patient.judge("flu", "1", look=replace(JOB, status=status))
    assert patient.known.ack is None
    assert patient.judge("flu", "2") == [("alert.sick", ALL)]


def test_an_ack_of_a_job_that_is_gone_ends_when_it_returns() -> None:
    patient = Patient()
    for at in (1, 100):
        look = Look(key=JOB.key, asked=at, at=NOW + at, snapshot=None)
        patient.known = decide(patient.known, look, Policy(routing=ROUTING), NOW + at).known or patient.known
    assert patient.known.gone
    ack = patient.acknowledge()
    assert ack is not None
    assert ack.state == "gone"
    patient.asked = 100
    assert patient.judge(look=JOB) == [("job.returned", ALL)]
    assert patient.known.ack is None


@pytest.mark.parametrize(
    ("changes", "alerts", "found"),
    [
        ({"status": Status.RUNNING}, {}, None),
        ({"status": Status.SUCCEEDED}, {}, None),
        ({"status": Status.CANCELLED}, {}, None),
        ({"status": Status.FAILED}, {}, ["failed"]),
        ({"status": Status.PAUSED}, {}, ["paused"]),
        ({"status": Status.UNKNOWN}, {}, ["unknown"]),
        ({"status": Status.RUNNING, "gone": True}, {}, ["gone"]),
        ({"status": Status.SUCCEEDED}, {"retiring": ("m 2027\n7d", ("slack",))}, ["alert retiring"]),
        ({"status": Status.PAUSED}, {"stuck": ("paused", ())}, ["paused", "alert stuck"]),
        ({"status": Status.FAILED, "ignored": True}, {}, None),
    ],
)
def test_what_is_open_about_a_job(
    changes: dict[str, Any], alerts: dict[str, Any], found: Sequence[str] | None
) -> None:
    status = changes.pop("status")
    known = Known(snapshot=replace(JOB, status=status), status_since=NOW, alerts=alerts, **changes)
    ack = acknowledge(known, " an\x00na ", "so\nso", NOW)
    assert (matters(ack) if ack else None) == found
    if ack is not None:
        assert (ack.author, ack.comment, ack.at) == ("an na", "so so", NOW)
        assert ack.alerts == {rule: subject.partition("\n")[0] for rule, (subject, _) in alerts.items()}


def test_nobody_acknowledges_nothing() -> None:
    with pytest.raises(ValueError, match="needs the name"):
        acknowledge(Known(snapshot=replace(JOB, status=Status.FAILED), status_since=NOW), "", "", NOW)


def test_what_an_older_version_knew_has_no_ack_or_says_that_there_is_none() -> None:
    known = Known(snapshot=JOB, status_since=NOW)
    document = msgspec.json.decode(msgspec.json.encode(known))
    assert "ack" not in document
    assert msgspec.convert(document, Known) == known
    assert msgspec.convert({**document, "ack": None, "gone": False, "alerts": {}}, Known) == known


says = st.one_of(st.none(), st.tuples(st.sampled_from(["flu", "cold"]), st.sampled_from(["1", "2", "3"])))
statuses = st.sampled_from([None, Status.RUNNING, Status.PAUSED, Status.FAILED])


@given(st.lists(st.tuples(says, statuses, st.booleans()), max_size=10))
def test_an_ack_spares_people_stages_and_nothing_else(
    taken: list[tuple[tuple[str, str] | None, Status | None, bool]],
) -> None:
    acknowledged, plain = Patient(), Patient()
    for said, status, gives in taken:
        look = replace(JOB, status=status) if status else None
        acknowledged.judge(*(said or ()), look=look)
        plain.judge(*(said or ()), look=look)
        one, other = acknowledged.decision, plain.decision
        assert one.events == other.events
        assert replace(acknowledged.known, ack=None) == plain.known
        spared = spared_of(one)
        # What is to be told again is a matter of who was told.
        told, whole = (
            {replace(owed, problem="") for owed in decision.deliveries} for decision in (one, other)
        )
        assert {*spared, *told} == whole
        for owed in spared:
            event = next(event for event in one.events if event.id == owed.event_id)
            assert event.type == "fine_tuning.alert.sick"
            assert owed.notifier != "hook"
        if gives:
            acknowledged.acknowledge()


def spared_of(decision: Decision) -> list[Any]:
    """What people were spared, as it would have been owed to them."""
    from ftwatch.core.known import Assignment

    return [
        Assignment(one.event_id, one.notifier, "default")
        for one in decision.verdicts
        if one.reason.startswith("acknowledged by anna")
    ]


def test_a_look_that_says_nothing_leaves_an_ack_alone() -> None:
    patient = Patient()
    patient.judge("flu", "1")
    ack = patient.acknowledge()
    look = Look(key=JobKey("p", "a"), asked=50, at=NOW + 50, snapshot=None)
    known = decide(patient.known, look, Policy(routing=ROUTING), NOW + 50).known
    assert known is not None
    assert known.ack == ack
