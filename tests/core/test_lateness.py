"""Why something is heard of only now: which gap hid it, and what a message says of that."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.decide import decide
from ftwatch.core.event import Event, Gap, decode, encode
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.lateness import gap_of, remembered, why_late
from ftwatch.core.message import compose
from ftwatch.core.route import Routing
from ftwatch.core.sample import sample


def at(text: str, day: int = 26) -> int:
    hours, minutes = map(int, text.split(":"))
    return int(datetime(2026, 11, day, hours, minutes, tzinfo=UTC).timestamp())


DOWN = Gap(since=at("01:50"), until=at("08:19"), cause="down")


def late(happened: int, seen: int, gap: Gap | None = DOWN, name: str = "failed") -> Event:
    made = sample(name)
    more: dict[str, Any] = {"gap": gap} if gap is not None else {}
    return replace(made, created_at=happened, data=replace(made.data, observed_at=seen, **more))


FAILED = late(at("02:14"), at("08:19"))


@pytest.mark.parametrize(
    ("happened", "now", "found"),
    [
        (at("02:14"), at("08:20"), DOWN),
        (at("08:19"), at("08:25"), DOWN),
        (at("01:41"), at("08:20"), DOWN),
        (at("01:39"), at("08:20"), None),
        (at("08:20"), at("08:40"), None),
        # What is found out within a minute is not late, whatever was before.
        (at("08:19"), at("08:19") + 59, None),
    ],
)
def test_which_gap_hid_it(happened: int, now: int, found: Gap | None) -> None:
    assert gap_of(happened, now, (DOWN,)) == found


def test_of_several_gaps_the_last_counts() -> None:
    later = Gap(since=at("02:00"), until=at("09:00"), cause="unanswered")
    assert gap_of(at("02:14"), at("09:01"), (DOWN, later)) == later
    assert gap_of(at("02:14"), at("09:01"), (later, DOWN)) == later


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=30))
def test_few_gaps_are_remembered_and_no_short_ones(spans: list[tuple[int, int]]) -> None:
    gaps: tuple[Gap, ...] = ()
    for since, length in spans:
        gaps = remembered(gaps, Gap(since=since, until=since + length, cause="down"))
    assert len(gaps) <= 10
    assert all(gap.until - gap.since >= 60 for gap in gaps)
    assert [*gaps] == [
        Gap(since=since, until=since + length, cause="down") for since, length in spans if length >= 60
    ][-10:]


def test_it_says_when_it_was_when_it_is_told_and_why() -> None:
    assert why_late(FAILED, at("08:20")) == "failed 02:14, told 08:20: ftwatch was down 01:50\u201308:19"
    gap = replace(DOWN, cause="unanswered")
    said = "failed 02:14, told 08:19: openai-prod did not answer 01:50\u201308:19"
    assert why_late(late(at("02:14"), at("08:19"), gap)) == said
    gap = replace(DOWN, cause="denied")
    assert "openai-prod denied access" in (why_late(late(at("02:14"), at("08:19"), gap)) or "")
    # Over midnight the days are said, too.
    said = "failed 11-26 02:14, told 11-27 09:00: ftwatch was down 11-26 01:50\u201311-26 08:19"
    assert why_late(FAILED, at("09:00", 27)) == said
    assert why_late(late(at("02:14"), at("08:19"), None)) is None


def test_what_is_a_little_late_is_no_matter_unless_somebody_says_so() -> None:
    little = late(at("08:10"), at("08:19"))
    assert why_late(little, at("08:20")) is None
    assert why_late(little, at("08:20"), always=True) is not None
    assert "Late" not in {fact.label for fact in compose(little).facts}
    assert "Late" in {fact.label for fact in compose(little, bundle="late").facts}


@pytest.mark.parametrize("happened", [-(10**15), 10**15])
def test_a_time_that_no_calendar_knows_breaks_nothing(happened: int) -> None:
    assert why_late(late(happened, at("08:19")), 2.0 * 10**15) is not None


def test_messages_and_digests_say_it() -> None:
    single = compose(FAILED, told=at("08:20"))
    facts = {fact.label: fact.value for fact in single.facts}
    assert facts["Late"] == "failed 02:14, told 08:20: ftwatch was down 01:50\u201308:19 UTC"
    several = compose(
        FAILED, late(at("08:00"), at("08:19"), None, "running"), bundle="late", told=at("08:20")
    )
    first, second = several.rows
    assert first.said.endswith("; failed 02:14, told 08:20: ftwatch was down 01:50\u201308:19")
    assert second.said == ""


def test_the_decision_notes_it_in_the_event() -> None:
    job = Snapshot(id="a", provider="p", kind="toy", status=Status.RUNNING, created_at=at("01:00"))
    known = Known(snapshot=job, status_since=at("01:00"), sequence=1, link="evt_x")
    over = replace(job, status=Status.FAILED, finished_at=at("02:14"))
    look = Look(key=job.key, asked=1, at=at("08:20"), snapshot=over)
    policy = Policy(routing=Routing(), gaps=(DOWN,))
    (event,) = decide(known, look, policy, at("08:20")).events
    assert event.data.gap == DOWN
    assert decode(encode(event)) == event
    # Without an end that the provider dates nobody knows that it is late.
    unknown = replace(look, snapshot=replace(over, finished_at=None))
    (event,) = decide(known, unknown, policy, at("08:20")).events
    assert not event.data.gap
    assert b'"gap"' not in encode(event)
