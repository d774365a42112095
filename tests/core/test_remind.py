"""Whom to remind of what: while it lasts, nobody knows of it, and somebody wants to be told."""

from datetime import UTC, time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.ack import acknowledge
from ftwatch.core.closure import bearing_of, lasting
from ftwatch.core.event import Event
from ftwatch.core.job import Status
from ftwatch.core.known import Known
from ftwatch.core.message import compose
from ftwatch.core.remind import LONGEST_AHEAD, Next, is_near, next_of, over
from ftwatch.core.route import Recipient, Route, Routing, Silence, parse_match, route
from ftwatch.core.route.hold import Digest, Holding, Quiet
from ftwatch.core.sample import SAMPLES, sample

NOW = 1_795_400_000.0
EVERY = 4 * 3600.0
ANNA = Recipient(name="anna", kind="slack")
HOOK = Recipient(name="hook", kind="webhook", audience="machines")
ROUTING = Routing(recipients=(ANNA, HOOK), routes=(Route(notify=("anna", "hook"), remind=EVERY),))
FAILED = sample("failed")


def known(event: Event, **more: Any) -> Known:
    assert event.job is not None
    return Known(snapshot=event.job, status_since=NOW, **more)


def asked(event: Event = FAILED, routing: Routing = ROUTING, now: float = NOW, **more: Any) -> Next:
    job = known(event) if event.job else None
    facts = {"known": job, "is_degraded": True, "is_waiting": False} | more
    return next_of(event, "anna", routing, now, **facts)


def test_what_lasts_begins_with_these() -> None:
    found = {name for name in SAMPLES if lasting(sample(name)) is not None}
    assert found == {"paused", "unknown", "failed", "gone", "stuck", "silent", "degraded"}
    assert all(bearing_of(sample(name)).opens for name in found)


def test_people_are_reminded_and_programs_are_not() -> None:
    assert route(FAILED, ROUTING, NOW).reminds == {"anna": EVERY}
    assert route(sample("succeeded"), ROUTING, NOW).reminds == {}
    assert route(FAILED, Routing(recipients=(ANNA,)), NOW).reminds == {}


def test_what_lasts_is_told_again_whatever_time_went_by() -> None:
    assert asked() == Next(True, NOW + EVERY)
    assert asked(now=NOW + 30 * 86400) == Next(True, NOW + 30 * 86400 + EVERY)
    assert asked(sample("degraded")) == Next(True, NOW + EVERY)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"known": None}, "the job is not watched any more"),
        ({"known": known(FAILED, ignored=True)}, "the job is not watched any more"),
        ({"known": known(FAILED, forgotten=True)}, "the job is not watched any more"),
        ({"known": known(sample("running"))}, "it is over"),
        ({"known": known(FAILED, gone=True)}, "it is over"),
        ({"event": sample("degraded"), "is_degraded": False}, "it is over"),
        ({"event": sample("stuck")}, "it is over"),
        ({"routing": replace(ROUTING, routes=(Route(notify=("anna",)),))}, "no route reminds of it any more"),
        ({"routing": Routing(recipients=(ANNA,))}, "no route reminds of it any more"),
        ({"routing": Routing()}, "no route reminds of it any more"),
    ],
)
def test_nobody_is_reminded_of_what_is_over(more: dict[str, Any], reason: str) -> None:
    assert asked(**more) == Next(False, None, reason)


def test_an_ack_is_enough() -> None:
    ack = acknowledge(known(FAILED), "kim", "on it", NOW)
    assert asked(known=known(FAILED, ack=ack)) == Next(False, None, "acknowledged by kim: on it")
    stuck = sample("stuck")
    firing = known(stuck, alerts={"stuck": ("queued", ("anna",))})
    assert asked(stuck, known=firing).tell
    # What was acknowledged is another state by now, or another alert.
    assert asked(known=known(FAILED, ack=replace(ack, state="paused"))).tell
    assert asked(stuck, known=replace(firing, ack=ack)).tell
    both = acknowledge(firing, "kim", "", NOW)
    assert asked(stuck, known=replace(firing, ack=both)) == Next(False, None, "acknowledged by kim")


def test_a_silence_is_waited_for_and_no_longer_than_one_turn() -> None:
    for until, due_at in ((None, NOW + EVERY), (NOW + 60, NOW + 60), (NOW + 9 * EVERY, NOW + EVERY)):
        silence = Silence(match=parse_match("type=*"), until=until, comment="planned")
        found = asked(routing=replace(ROUTING, silences=(silence,)))
        assert found == Next(False, due_at, "silenced by planned")


def test_nothing_is_heaped_upon_what_has_not_arrived() -> None:
    assert asked(is_waiting=True) == Next(False, NOW + EVERY, "what was told before has not arrived")


def test_quiet_hours_and_digests_count_for_reminders() -> None:
    night = Holding(zone=UTC, quiet=Quiet(begin=time(0), end=time(23, 59)))
    found = asked(routing=replace(ROUTING, recipients=(replace(ANNA, holding=night),)))
    assert (found.tell, found.reason) == (False, "held until the quiet hours end")
    assert found.due_at is not None
    assert NOW < found.due_at <= NOW + 86400
    daily = Holding(zone=UTC, digest=Digest(at=time(9)))
    found = asked(routing=replace(ROUTING, recipients=(replace(ANNA, holding=daily),)))
    assert (found.tell, found.reason, found.is_held) == (False, "held for the digest", True)
    assert found.due_at is not None
    again = replace(ROUTING, recipients=(replace(ANNA, holding=daily),))
    assert asked(routing=again, now=found.due_at, was_held=True).tell
    assert not asked(routing=again, now=found.due_at).tell


@given(every=st.floats(60, 1e7), ahead=st.floats(0, 1e5))
def test_what_comes_along_comes_little_too_early(every: float, ahead: float) -> None:
    near = is_near(NOW + ahead, Next(True, NOW + every), NOW)
    assert near is (NOW + ahead - NOW <= min(LONGEST_AHEAD, 0.1 * (NOW + every - NOW)))
    assert not is_near(NOW + ahead, Next(False, NOW + every), NOW)
    assert not is_near(NOW + ahead, Next(False, None), NOW)


def test_over_asks_for_the_state_of_the_very_problem() -> None:
    gone = sample("gone")
    assert over(gone, known(gone, gone=True), is_degraded=False) is None
    assert over(gone, known(gone), is_degraded=False) == "it is over"
    for status in (Status.PAUSED, Status.UNKNOWN):
        event = sample(status)
        assert over(event, known(event), is_degraded=False) is None


def test_a_reminder_says_since_when_and_how_it_ends() -> None:
    moment = FAILED.created_at + 8 * 3600
    message = compose(FAILED, bundle=f"remind {moment}")
    assert message.title == "🔔 Reminder: support-bot-v7 failed after 1 h 50 m (queued 9 m)"
    assert message.quote == compose(FAILED).quote
    told = {fact.label: fact.value for fact in message.facts}
    assert told["Since"].endswith(" UTC, for 8 h")
    assert told["No more of this"] == "ftwatch ack openai-prod/ftjob-sample4w9Zq2"
    several = compose(FAILED, sample("stuck"), bundle=f"remind {moment}")
    assert several.title.startswith("📬 2 messages about what is still open: 1 failed, 1 other")
    provider = compose(sample("degraded"), bundle=f"remind {moment}")
    assert "No more of this" not in {fact.label for fact in provider.facts}


@pytest.mark.parametrize("id", ["a b", "`rm -rf`", "x;y", "x\u202ey", "é" * 3])
def test_no_command_is_made_of_a_strangers_words(id: str) -> None:
    assert FAILED.job is not None
    event = replace(FAILED, data=replace(FAILED.data, job=replace(FAILED.job, id=id)))
    told = {fact.label: fact.value for fact in compose(event, bundle=f"remind {int(NOW)}").facts}
    assert told["No more of this"] == "ftwatch ack JOB"
