"""What opens and what closes: every sort of event has its bearing, and no account holds what is over."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core.closure import Account, bearing_of
from ftwatch.core.event import Event
from ftwatch.core.sample import SAMPLES, sample

ALL, STATES = "all", "gone paused unknown"
# Of each sample: what it opens, whether the end of that is told, what it closes, whether it is but an end.
BEARINGS = {
    "created": (None, "", False),
    "continued": (None, "", False),
    "validating_files": (None, STATES, False),
    "queued": (None, STATES, False),
    "running": (None, STATES, False),
    "checkpoint": (None, "", False),
    "succeeded": (None, ALL, True),
    "failed": ("failed possible", ALL, False),
    "cancelled": (None, ALL, True),
    "paused": ("paused sure", "gone unknown", False),
    "pausing": (None, "", False),
    "cancelling": (None, STATES, False),
    "unknown": ("unknown sure", "gone paused", False),
    "updated": (None, "", False),
    "incomplete": (None, ALL, True),
    "gone": ("gone possible", "", False),
    "returned": (None, "gone", True),
    "stuck": ("stuck sure", "", False),
    "stuck-resolved": (None, "stuck", True),
    "silent": ("silent sure", "", False),
    "silent-resolved": (None, "silent", True),
    "retiring": ("retiring possible", "", False),
    "retiring-resolved": (None, "retiring", True),
    "flapping": ("flapping possible", "", False),
    "flapping-resolved": (None, "flapping", True),
    "watching": (None, "", False),
    "degraded": ("degraded sure", "", False),
    "recovered": (None, "degraded", True),
    "unreadable": ("unreadable none", "", False),
    "drift": ("drift none", "", False),
    "retired": (None, "degraded", True),
    "dead": ("dead none", "", False),
    "failing": ("failing sure", "", False),
    "disabled": ("disabled sure", "", False),
    "enabled": (None, "disabled failing", True),
    "rejected": ("rejected sure", "", False),
    "accepted": (None, "rejected", True),
    "full": ("full sure", "", False),
    "room": (None, "full", True),
    "test": ("test none", "", False),
    "report": (None, "", False),
}


def account(**open: Any) -> Account:
    return Account(kind="pager", open=open)


def at(name: str, sequence: int) -> Event:
    """A sample as the event of its job with this number."""
    event = sample(name)
    return replace(event, data=replace(event.data, sequence=sequence))


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sort_of_event_has_its_bearing(name: str) -> None:
    bearing = bearing_of(sample(name))
    opens, closes, is_end = BEARINGS[name]
    assert (f"{bearing.opens} {bearing.ending}" if bearing.opens else None) == opens
    assert (ALL if bearing.closes is None else " ".join(sorted(bearing.closes))) == closes
    assert bearing.is_end is is_end


def test_what_warns_opens_something_and_what_opens_warns() -> None:
    for name in SAMPLES:
        event = sample(name)
        warns = event.severity.rank >= events.Severity.WARNING.rank
        assert warns == (bearing_of(event).opens is not None) or event.type == events.TEST, name


def test_whatever_may_end_is_ended_by_an_event_that_tells_of_nothing_else() -> None:
    bearings = [bearing_of(sample(name)) for name in SAMPLES]
    closed = {name for one in bearings if one.is_end for name in one.closes or ()}
    began = {one.opens for one in bearings if one.opens and one.ending != "none"}
    # A job's own states end with the job at the latest.
    assert began - closed == {"failed", "paused", "unknown"}


def test_a_foreign_event_opens_and_closes_nothing() -> None:
    event = replace(sample("degraded"), type="invoice.paid")
    assert bearing_of(event) == bearing_of(sample("updated"))


def test_an_alert_of_any_rule_opens_and_its_end_closes_it() -> None:
    fired = replace(sample("stuck"), type="fine_tuning.alert.diverging")
    over = replace(sample("stuck-resolved"), type="fine_tuning.alert.diverging.resolved")
    opened, closed = account().after(fired, "a")
    assert (opened.open, closed) == ({"diverging": "a"}, {})
    assert opened.after(over, None) == (account(), {"diverging": "a"})


@pytest.mark.parametrize(
    ("open", "name", "left", "closed"),
    [
        ({"failed": 1}, "running", ["failed"], []),
        ({"failed": 1}, "succeeded", [], ["failed"]),
        ({"failed": 1}, "cancelled", [], ["failed"]),
        ({"failed": 1}, "failed", ["failed"], []),
        ({"paused": 1, "stuck": 2}, "running", ["stuck"], ["paused"]),
        ({"paused": 1, "stuck": 2}, "failed", ["failed"], ["paused", "stuck"]),
        ({"failed": 1, "stuck": 2}, "stuck-resolved", ["failed"], ["stuck"]),
        ({"gone": 1}, "returned", [], ["gone"]),
        ({"gone": 1, "failed": 2}, "updated", ["gone", "failed"], []),
        ({"drift": 1}, "dead", ["drift"], []),
    ],
)
def test_an_account_after_an_event(
    open: dict[str, Any], name: str, left: list[str], closed: list[str]
) -> None:
    after, over = account(**open).after(sample(name), "new")
    assert (list(after.open), list(over)) == (left, closed)
    assert after.open.get("failed") in (None, "new" if name == "failed" else open.get("failed"))


def test_what_was_over_before_it_could_be_told_is_past() -> None:
    after, _ = account().after(at("succeeded", 7), None)
    assert after.is_past(at("failed", 6))
    assert after.is_past(at("paused", 5))
    assert not after.is_past(at("failed", 8))
    assert not after.is_past(at("succeeded", 6)), "an end is told all the same"
    assert not account().is_past(at("failed", 1))
    # What ftwatch says of itself has no number.
    assert not after.is_past(sample("degraded"))


def test_an_account_is_found_again_by_its_own_kind_alone() -> None:
    after, _ = account().after(at("failed", 4), {"labels": {"a": "b"}})
    assert Account.read("pager", after.memory) == after
    assert Account.read("phone", after.memory) == Account(kind="phone")
    for memory in ({}, {"event": "x", "taken": [1]}, {"kind": "pager", "open": [1]}, {"kind": 3}):
        assert Account.read("pager", memory) == account()


@given(st.lists(st.sampled_from([name for name in SAMPLES if sample(name).job])))
def test_after_a_good_end_nothing_is_open_whatever_came_before(names: list[str]) -> None:
    one = account()
    for number, name in enumerate([*names, "succeeded"], start=1):
        one, closed = one.after(at(name, number), number)
        assert not set(closed) & set(one.open)
    assert one.open == {}
    assert one.end == len(names) + 1


def test_what_ftwatch_says_of_one_thing_keeps_its_order() -> None:
    pairs = [("degraded", "recovered"), ("failing", "enabled"), ("rejected", "accepted"), ("full", "room")]
    lanes = set()
    for began, ended in pairs:
        assert sample(began).lane == sample(ended).lane
        lanes.add(sample(began).lane)
    assert sample("disabled").lane == sample("failing").lane
    assert sample("failed").lane == "openai-prod/ftjob-sample4w9Zq2"
    assert len(lanes) == 4
    # A fact without an end waits for nobody.
    for name in ("dead", "test"):
        assert sample(name).lane == sample(name).id
