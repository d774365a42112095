"""settle: the whole retry policy. Times in seconds; luck 0.5 is no jitter."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.delivery import (
    Breaker,
    Delivery,
    Outcome,
    Rejected,
    Retry,
    RetryPolicy,
    Sent,
    State,
    settle,
    shifted,
    trip,
)

NOW = 1_795_000_000.0
POLICY = RetryPolicy()


def delivery(**fields: Any) -> Delivery:
    base: dict[str, Any] = {
        "id": "msg_1",
        "event_id": "evt_1",
        "notifier": "n",
        "lane": "p/j",
        "due_at": NOW,
        "created_at": NOW,
    }
    return Delivery(**{**base, **fields})


def test_what_is_sent_is_delivered() -> None:
    done = settle(delivery(), Sent("HTTP 200"), POLICY, NOW, 0.5)
    assert (done.state, done.attempts, done.reason) == (State.DELIVERED, 1, "HTTP 200")


@pytest.mark.parametrize(
    ("attempts", "wait"), [(0, 5), (1, 30), (2, 120), (3, 600), (4, 1800), (10, 86400), (30, 86400)]
)
def test_waits_grow_and_the_last_one_repeats(attempts: int, wait: float) -> None:
    done = settle(delivery(attempts=attempts, first_attempt_at=NOW), Retry("HTTP 500"), POLICY, NOW, 0.5)
    assert done.state is State.PENDING
    assert done.due_at == NOW + wait
    assert done.attempts == attempts + 1


def test_a_message_dies_only_after_its_tries_and_its_span() -> None:
    long_ago = NOW - 80 * 3600
    tried = settle(delivery(attempts=3, first_attempt_at=long_ago), Retry("down"), POLICY, NOW, 0.5)
    assert tried.state is State.PENDING, "ftwatch's own downtime burns no attempt"
    spent = settle(delivery(attempts=11, first_attempt_at=long_ago), Retry("down"), POLICY, NOW, 0.5)
    assert (spent.state, spent.reason) == (State.DEAD, "down")


def test_a_shorter_span_means_fewer_tries() -> None:
    chat = RetryPolicy(span=24 * 3600)
    over = NOW - 25 * 3600
    eighth = settle(delivery(attempts=8, first_attempt_at=over), Retry("down"), chat, NOW, 0.5)
    tenth = settle(delivery(attempts=9, first_attempt_at=over), Retry("down"), chat, NOW, 0.5)
    assert (eighth.state, tenth.state) == (State.PENDING, State.DEAD)
    early = settle(delivery(attempts=9, first_attempt_at=NOW - 3600), Retry("down"), chat, NOW, 0.5)
    assert early.state is State.PENDING


def test_a_wish_is_honoured_within_reason() -> None:
    assert settle(delivery(), Retry("busy", after=90), POLICY, NOW, 0.5).due_at == NOW + 90
    assert settle(delivery(), Retry("busy", after=1), POLICY, NOW, 0.5).due_at == NOW + 5
    assert settle(delivery(), Retry("busy", after=1e9), POLICY, NOW, 0.5).due_at == NOW + 86400


def test_too_many_requests_costs_no_attempt_for_a_while() -> None:
    throttled = Retry("HTTP 429", throttled=True)
    free = settle(delivery(), throttled, POLICY, NOW, 0.5)
    assert (free.attempts, free.throttles, free.due_at) == (0, 1, NOW + 60)
    counted = settle(delivery(throttles=20), throttled, POLICY, NOW, 0.5)
    assert (counted.attempts, counted.throttles) == (1, 20)


def test_a_probe_costs_no_attempt() -> None:
    silent = Retry("connection refused", unreachable=True)
    again = settle(delivery(attempts=2, due_at=NOW + 500), silent, POLICY, NOW, 0.5, probe=True)
    assert (again.attempts, again.due_at) == (2, NOW + 500), "and its own tries stay where they were"


def test_a_rejection_takes_the_slow_lane_a_few_times() -> None:
    done = settle(delivery(), Rejected("HTTP 404"), POLICY, NOW, 0.5)
    assert (done.state, done.rejected_at) == (State.PENDING, NOW)
    last = settle(delivery(attempts=5, rejected_at=NOW - 9), Rejected("HTTP 404"), POLICY, NOW, 0.5)
    assert (last.state, last.rejected_at) == (State.DEAD, NOW - 9)


def test_who_says_gone_is_asked_once_more_before_it_is_believed() -> None:
    gone = Rejected("gone", disable=True)
    first = settle(delivery(), gone, POLICY, NOW, 0.5)
    assert (first.state, first.rejected_at) == (State.PENDING, NOW)
    assert first.due_at >= NOW + 60
    early = settle(delivery(attempts=1, rejected_at=NOW - 30), gone, POLICY, NOW, 0.5)
    assert early.state is State.PENDING
    second = settle(delivery(attempts=1, rejected_at=NOW - 61), gone, POLICY, NOW, 0.5)
    assert second.state is State.DEAD


@pytest.mark.parametrize(
    "outcome", [Rejected("no", final=True), Rejected("no more", final=True, disable=True)]
)
def test_a_final_no_is_dead_at_once(outcome: Outcome) -> None:
    assert settle(delivery(), outcome, POLICY, NOW, 0.5).state is State.DEAD


@given(
    attempts=st.integers(0, 40),
    luck=st.floats(0, 1, exclude_max=True),
    wish=st.none() | st.floats(0, 1e7),
    jitter=st.floats(0, 1),
)
def test_a_retry_always_lies_ahead_and_within_its_bounds(
    attempts: int, luck: float, wish: float | None, jitter: float
) -> None:
    policy = RetryPolicy(jitter=jitter)
    done = settle(
        delivery(attempts=attempts, first_attempt_at=NOW), Retry("x", after=wish), policy, NOW, luck
    )
    assert done.state is State.PENDING
    assert NOW < done.due_at <= NOW + 2 * 86400


def test_five_silences_in_a_row_open_the_breaker_and_one_answer_closes_it() -> None:
    silent, breaker = Retry("timed out", unreachable=True), Breaker()
    for failures in range(1, 5):
        breaker = trip(breaker, silent, NOW)
        assert (breaker.failures, breaker.is_open) == (failures, False)
    breaker = trip(breaker, silent, NOW)
    assert (breaker.open_at, breaker.probe_at) == (NOW, NOW + 30)
    later = trip(breaker, silent, NOW + 30)
    assert (later.open_at, later.probe_at) == (NOW, NOW + 60)
    bad = trip(later, Retry("HTTP 500"), NOW + 60)
    assert bad == Breaker(failing_since=NOW), "an answer, even a bad one, is an answer; but nothing arrived"
    assert trip(later, Sent(), NOW + 60) == Breaker()


def test_who_was_not_asked_has_not_answered() -> None:
    idle = Sent("not sent: it opens and closes nothing", idle=True)
    assert trip(Breaker(), idle, NOW) == Breaker()
    breaker = trip(Breaker(), Retry("HTTP 500"), NOW)
    assert trip(breaker, idle, NOW + 9) == breaker, "what fails still fails"
    for _ in range(5):
        breaker = trip(breaker, Retry("connection refused", unreachable=True), NOW)
    assert breaker.is_open
    after = trip(breaker, idle, NOW + 9)
    assert after.is_open
    assert (after.failing_since, after.probe_at) == (breaker.failing_since, NOW + 9)


def test_nothing_arrives_is_counted_from_the_first_failure_to_the_first_success() -> None:
    breaker = trip(Breaker(), Retry("HTTP 429", throttled=True), NOW)
    assert breaker == Breaker(), "who wants fewer messages takes messages"
    breaker = trip(breaker, Rejected("HTTP 404"), NOW + 10)
    for outcome in (Retry("HTTP 500"), Retry("x", unreachable=True), Retry("y", throttled=True)):
        breaker = trip(breaker, outcome, NOW + 20)
        assert breaker.failing_since == NOW + 10
    assert breaker.fails_for(60, NOW + 70)
    assert not breaker.fails_for(61, NOW + 70)
    assert shifted(breaker, -100).failing_since == NOW - 90
    assert trip(breaker, Sent(), NOW + 99) == Breaker()
