"""What a log proves: in the log's order, no more than it says, and nothing twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.job import TERMINAL, Status
from ftwatch.core.journal import (
    Checkpoint,
    Journal,
    Line,
    attempts_ago,
    between,
    caught_up,
    checkpoint_key,
    fresh,
    goes_on,
    keyed,
    restarts,
    series,
    since,
)

V, Q, R = Status.VALIDATING_FILES, Status.QUEUED, Status.RUNNING
P, S, F, C = Status.PAUSED, Status.SUCCEEDED, Status.FAILED, Status.CANCELLED


def lines(*statuses: Status) -> list[Line]:
    return [Line(key=str(number), at=number * 10, status=status) for number, status in enumerate(statuses)]


@pytest.mark.parametrize(
    ("states", "before", "after", "told", "left"),
    [
        ([V, Q, R], V, S, [Q, R], []),
        ([Q, R], V, R, [Q], []),
        ([Q, R, P, R], V, S, [Q, R, P, R], []),
        ([P, R], R, R, [P], []),
        ([P], R, R, [], [P]),
        ([], R, S, [], []),
        ([R], R, S, [], []),
        ([Q, R, P], Q, R, [], [P]),
        ([R, S, Q, R], Q, R, [R, S, Q], []),
        ([S], R, S, [], []),
        ([S], R, R, [], [S]),
        ([R, S], Q, F, [R], [S]),
        ([P, Q, R], R, F, [P, Q, R], []),
        ([R], Q, C, [R], []),
        ([V, Q, R, P], None, S, [V, Q, R, P], []),
    ],
)
def test_the_states_between_two_looks(
    states: list[Status], before: Status | None, after: Status, told: list[Status], left: list[Status]
) -> None:
    proof = between(lines(*states), before, after)
    assert [line.status for line in proof.states] == told
    assert [line.status for line in proof.left] == left


@pytest.mark.parametrize(
    ("states", "status", "looked", "rest"),
    [
        ([V, Q, R], R, 1000.0, []),
        ([V, Q, R, P, R], R, 25.0 - 60, [P, R]),
        ([V, Q, R, P, R], R, 1000.0, []),
        ([V, Q, R, P, R], R, -1e9, []),
        ([V, Q], R, 1000.0, []),
        ([Q, R, P], Q, 1000.0, [R, P]),
        ([P], R, 1000.0, [P]),
    ],
)
def test_what_came_after_a_status_that_is_known_from_elsewhere(
    states: list[Status], status: Status, looked: float, rest: list[Status]
) -> None:
    left, arrival = since(lines(*states), status, looked)
    assert [line.status for line in left] == rest
    assert (arrival is not None) == (status in states)


ANY = st.lists(st.sampled_from([V, Q, R, P, S, F, C]), max_size=8)


@given(ANY, st.sampled_from([None, V, Q, R, P, S]), st.sampled_from([V, Q, R, P, S, F, C]))
def test_whatever_a_log_says_its_order_is_kept_and_no_end_is_taken_from_it_alone(
    states: list[Status], before: Status | None, after: Status
) -> None:
    proof = between(lines(*states), before, after)
    told = [line.status for line in proof.states]
    remaining = iter(states)
    assert all(status in remaining for status in told), "a part of the log, in its order"
    assert all(one is not other for one, other in zip([before, *told], told, strict=False))
    assert not told or told[-1] is not after
    if told and told[-1] in TERMINAL:
        assert after in states, "an end counts only where the log says that the job came back from it"
    keys = {line.key for line in proof.states}
    assert keys.isdisjoint({line.key for line in proof.left})


def test_lines_without_ids_are_told_apart_by_what_they_say() -> None:
    same = [Line(at=1, message="step"), Line(at=1, message="step"), Line(at=2, message="step")]
    known = keyed(same)
    assert len({line.key for line in known}) == 3
    assert keyed(same) == known, "the same lines have the same keys whenever they are read"
    assert keyed([Line(key="a", message="x"), Line(key="a", message="x")])[0].key == "a"


def test_news_is_what_was_not_known() -> None:
    saved = Checkpoint(id="anew-each-time", step=88, model="m")
    journal = Journal(lines=keyed(lines(V, Q)), checkpoints=(saved,))
    assert fresh(journal, set(), set()) == journal
    assert fresh(journal, {"0"}, {checkpoint_key(saved)}) == Journal(lines=journal.lines[1:])
    assert fresh(journal, {"1"}, {checkpoint_key(saved)}) == Journal(lines=journal.lines[:1], late=1)


def test_the_last_word_on_a_step_counts() -> None:
    told = [
        Line(step=2, metrics={"train_loss": 0.5}),
        Line(step=1, metrics={"train_loss": 0.9}),
        Line(step=2, metrics={"valid_loss": 0.6}),
        Line(step=2, metrics={"train_loss": 0.4}),
        Line(message="no figures"),
    ]
    assert series(told) == [(1, {"train_loss": 0.9}), (2, {"train_loss": 0.4, "valid_loss": 0.6})]


@pytest.mark.parametrize(
    ("states", "told", "rest", "waiting"),
    [
        ([V, Q, R], [R], [], []),
        ([V, Q, R, P], [R], [P], []),
        ([Q, R, P, Q, R, S], [R, P, Q, R], [S], []),
        ([Q, R, P, Q, R], [R, R], [], []),
        ([Q, R], [R, P], [], [P]),
        ([], [Q], [], [Q]),
        ([R, P], [], [R, P], []),
    ],
)
def test_a_log_catches_up_with_what_was_told_without_it(
    states: list[Status], told: list[Status], rest: list[Status], waiting: list[Status]
) -> None:
    left, missing, last = caught_up(lines(*states), told)
    assert [line.status for line in left] == rest
    assert list(missing) == waiting
    assert last is None or last.status in told


def test_two_parts_of_a_log_are_one_story_told_once() -> None:
    one = Journal(lines=keyed(lines(Q, R)), checkpoints=(Checkpoint(id="a", step=1),))
    other = Journal(lines=keyed(lines(Q, R, P)), checkpoints=(Checkpoint(id="b", step=1),))
    both = one.joined(other)
    assert [line.status for line in both.lines] == [Q, R, P]
    assert len(both.checkpoints) == 1


# -------------------------------------------------------------------------------------------- attempts


@pytest.mark.parametrize(
    ("lived", "count"),
    [
        ([], 0),
        ([R], 0),
        ([Q, R, S], 0),
        ([R, P, Q, R, S], 0),
        ([R, F, R], 1),
        ([F, Q, R, S], 1),
        ([R, F, C, R], 1),
        ([R, F, Q, R, F, R, S], 2),
        ([S, Status.UNKNOWN], 1),
    ],
)
def test_who_goes_on_after_an_end_began_anew(lived: list[Status], count: int) -> None:
    assert restarts(lived) == count


@pytest.mark.parametrize(
    ("log", "ago"),
    [
        ([], []),
        ([None, None], [0, 0]),
        ([R, None, S], [0, 0, 0]),
        ([R, None, F, R, None], [1, 1, 1, 0, 0]),
        ([None, F, Q, R, None, F, R, None, S], [2, 2, 1, 1, 1, 1, 0, 0, 0]),
        ([F, C, R], [1, 1, 0]),
    ],
)
def test_each_line_is_of_the_attempt_it_was_written_in(log: list[Status | None], ago: list[int]) -> None:
    assert attempts_ago([Line(key=str(n), status=status) for n, status in enumerate(log)]) == ago


@pytest.mark.parametrize(
    ("log", "end", "is_so"),
    [
        ([(R, 11)], 10, True),
        ([(R, 11), (S, 12)], 10, True),
        ([(R, 10)], 10, False),
        ([(R, 9), (S, 10)], 10, False),
        ([(S, 12)], 10, False),
        ([(None, 12)], 10, False),
        ([(R, None)], 10, False),
        ([(R, 11)], None, False),
    ],
)
def test_a_log_that_goes_on_after_the_end(
    log: list[tuple[Status | None, int | None]], end: int | None, is_so: bool
) -> None:
    found = [Line(key=str(n), status=status, at=at) for n, (status, at) in enumerate(log)]
    assert goes_on(found, Line(key="end", status=S, at=end)) == is_so
    assert not goes_on(found, None)


def test_a_checkpoint_with_a_key_is_known_by_it() -> None:
    assert checkpoint_key(Checkpoint(key="k", step=3, model="m", id="i")) == "k"
    assert checkpoint_key(Checkpoint(step=3, model="m", id="i")) == "3 m"
