"""Models that end: who said so, for whom it holds, and when it is told."""

from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.decide import decide
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known, Policy
from ftwatch.core.retirements import TABLE, End, end_of
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.rule import Facts, Finding, Retiring
from ftwatch.core.span import DAY, HOUR

END = int(datetime(2027, 1, 14, tzinfo=UTC).timestamp())
MODEL = "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg"
JOB = Snapshot(
    id="ftjob-1",
    provider="p",
    kind="openai",
    name="support-bot-v7",
    status=Status.SUCCEEDED,
    model="gpt-4.1-mini-2025-04-14",
    fine_tuned_model=MODEL,
)


def judge(
    now: float, ends: dict[str, int] | None = None, rule: Retiring | None = None, **job: Any
) -> Finding:
    facts = Facts(snapshot=replace(JOB, **job), status_since=0.0, ends=ends or {})
    return (rule or Retiring()).judge(facts, now)


# ------------------------------------------------------------------------------------------- the table


def named(kind: str, model: str | None, tuned: str | None = "m") -> str | None:
    end = end_of(replace(JOB, kind=kind, model=model, fine_tuned_model=tuned), {})
    return None if end is None else datetime.fromtimestamp(end.at, UTC).strftime("%Y-%m-%d")


@pytest.mark.parametrize(
    ("kind", "model", "tuned", "end"),
    [
        ("openai", "gpt-4.1-mini-2025-04-14", "ft:gpt-4.1-mini-2025-04-14:a::b", "2027-01-14"),
        ("openai", "gpt-4.1-mini", "ft:gpt-4.1-mini:a::b", "2027-01-14"),
        ("openai", "gpt-4o-2024-08-06", "ft:gpt-4o-2024-08-06:a::b", "2027-01-14"),
        ("openai", "gpt-4.1-nano-2025-04-14", "ft:gpt-4.1-nano-2025-04-14:a::b", "2026-10-23"),
        ("openai", "gpt-3.5-turbo-0125", "ft:gpt-3.5-turbo-0125:a::b", "2026-10-23"),
        ("openai", "o4-mini-2025-04-16", "ft:o4-mini-2025-04-16:a::b", "2026-10-23"),
        # What was tuned on top of a tuned model has the base of that one; what names no base tells it itself.
        ("openai", "ft:gpt-4.1-nano-2025-04-14:a::b", "ft:gpt-4.1-nano-2025-04-14:a::c", "2026-10-23"),
        ("openai", None, "ft:gpt-4o-mini-2024-07-18:a::c", "2027-01-14"),
        ("azure", "gpt-4o-mini-2024-07-18.ft-1", "gpt-4o-mini-2024-07-18.ft-2", "2027-10-01"),
        # The same base is served by others, and ends there on another day or on none.
        ("azure", "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini-2025-04-14.ft-2", "2027-10-14"),
        ("azure", "gpt-4.1-nano", "gpt-4.1-nano.ft-2", "2027-10-14"),
        ("nebius", "gpt-4.1-mini", "ft:gpt-4.1-mini:a::b", None),
        ("together", "gpt-4o", "gpt-4o", None),
        # A server of one's own that only speaks like OpenAI's does not end with it.
        ("openai", "gpt-4o", "my-gpt-4o", None),
        ("openai", "gpt-5", "ft:gpt-5:a::b", None),
        ("openai", "gpt-4o-realtime", "ft:gpt-4o-realtime:a::b", None),
        ("vertex", "gemini-2.5-flash", "projects/1/locations/x/models/1", "2026-10-17"),
        ("vertex", "publishers/google/models/gemini-2.5-pro", "m", "2026-10-17"),
        ("vertex", "gemini-3.5-flash", "m", None),
        ("cohere", None, "m", "2025-09-15"),
        ("openai", "gpt-4o", None, None),
    ],
)
def test_an_end_holds_for_its_own_service_and_base(
    kind: str, model: str | None, tuned: str | None, end: str | None
) -> None:
    assert named(kind, model, tuned) == end


def test_every_row_says_who_said_so_and_is_reached() -> None:
    for row in TABLE:
        assert "https://" in row.source
        assert date(2026, 11, 26) <= row.read <= date(2100, 1, 1)
        assert row.kinds
        assert row.base
        for other in TABLE:
            if other is not row and set(other.kinds) & set(row.kinds):
                assert not any(fnmatchcase(name, glob) for name in row.base for glob in other.base)


def test_the_service_knows_its_own_ends_best() -> None:
    tuned, base = {MODEL: 1}, {"gpt-4.1-mini-2025-04-14": 2}
    assert end_of(JOB, base | tuned) == End(1)
    assert end_of(JOB, base) == End(2, "gpt-4.1-mini-2025-04-14")
    assert end_of(JOB, {"gpt-4.1-mini": 3}) == End(END, "gpt-4.1-mini"), "that is another model's"
    assert end_of(replace(JOB, model=MODEL), base) == End(2, "gpt-4.1-mini-2025-04-14")
    assert end_of(replace(JOB, kind="nebius"), {}) is None


# -------------------------------------------------------------------------------------------- the rule


def test_it_is_told_once_for_each_span_ahead_and_at_the_end() -> None:
    began = judge(END - 90 * DAY)
    assert (began.note, began.wake_at) == (None, END - 30 * DAY)
    assert judge(END - 30 * DAY - 1).note is None
    month = judge(END - 30 * DAY)
    assert month.note == "support-bot-v7 stops answering on 2027-01-14 (base gpt-4.1-mini is retired)"
    assert (month.stage, month.wake_at) == ("30d", END - 7 * DAY)
    assert month.subject == f"{MODEL} 2027-01-14"
    week, day = judge(END - 7 * DAY), judge(END - DAY + 5)
    assert (week.stage, week.wake_at) == ("7d", END - DAY)
    assert (day.stage, day.wake_at) == ("1d", END)
    ended = judge(END)
    assert ended.note == "support-bot-v7 has stopped answering on 2027-01-14 (base gpt-4.1-mini is retired)"
    assert (ended.stage, ended.wake_at) == ("ended", END + DAY)
    assert {one.subject for one in (month, week, day, ended)} == {month.subject}
    assert judge(END + DAY) == Finding(is_over=True)
    assert judge(END + 900 * DAY) == Finding(is_over=True), "what ended long ago is no news"


def test_only_a_model_that_exists_can_end() -> None:
    for status in Status:
        assert (judge(END - HOUR, status=status).note is not None) == (status is Status.SUCCEEDED)
    assert judge(END - HOUR, fine_tuned_model=None) == Finding()
    assert judge(END - HOUR, kind="nebius") == Finding()


def test_another_day_is_another_subject() -> None:
    sooner = judge(END - 20 * DAY, {MODEL: END - 13 * DAY})
    assert sooner.subject == f"{MODEL} 2027-01-01"
    assert sooner.note == "support-bot-v7 stops answering on 2027-01-01"
    assert judge(END - 20 * DAY, {MODEL: END + 900 * DAY}).note is None
    same = judge(END - 20 * DAY, {MODEL: END + HOUR})
    assert same.subject == judge(END - 20 * DAY).subject, "the same day is the same news, whoever says it"


def test_spans_may_stand_in_any_order() -> None:
    rule = Retiring(ahead=(DAY, 60 * DAY))
    assert judge(END - 61 * DAY, rule=rule).wake_at == END - 60 * DAY
    assert judge(END - 2 * DAY, rule=rule).stage == "60d"


def test_no_name_makes_it_another_alert_every_time() -> None:
    assert "\n" not in judge(END - HOUR, kind="cohere", fine_tuned_model="a\nb", ends={"a\nb": END}).subject


@given(st.integers(-(2**70), 2**70), st.floats(-1e12, 1e12))
def test_no_moment_makes_it_stumble(end: int, now: float) -> None:
    finding = judge(now, {MODEL: end})
    assert finding.wake_at is None or finding.wake_at > now


def test_from_first_sight_to_the_end_nobody_is_told_twice() -> None:
    routing = Routing(recipients=(Recipient(name="slack", kind="slack"),))
    policy = Policy(routing=routing, rules=(Retiring(),))
    now: float | None = END - 40 * DAY
    known, told, moments = Known(snapshot=JOB, status_since=now), [], []
    while now is not None:
        decision = decide(known, None, policy, now)
        assert decision.known is not None
        known = decision.known
        told += [event.type.removeprefix("fine_tuning.") for event in decision.events]
        again = decide(known, None, policy, now + 1)
        assert again.events == ()
        moments.append(now)
        now = known.wake_at
    assert told == ["alert.retiring"] * 4
    assert all(before < after for before, after in pairwise(moments))


def test_what_ended_before_it_was_seen_is_not_told() -> None:
    policy = Policy(routing=Routing(), rules=(Retiring(),))
    known = Known(snapshot=JOB, status_since=END + 2 * DAY)
    assert decide(known, None, policy, END + 2 * DAY).events == ()
