"""How likely news is, learned from how long states lasted."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.hazard import BANDS, USUAL, Hazards, since
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known


def test_what_nothing_is_known_of_is_as_usual() -> None:
    assert Hazards().rate(Status.QUEUED, 5.0) == 1 / USUAL[Status.QUEUED]
    assert Hazards().rate(Status.PAUSED, 5.0) == 1 / 600


def test_it_learns_at_which_age_states_are_left() -> None:
    hazards = Hazards()
    for _ in range(200):
        hazards.lasted(Status.RUNNING, 600.0)
    ages = [10.0, 100.0, 599.0, 5000.0]
    young, younger, due, old = (hazards.rate(Status.RUNNING, age) for age in ages)
    assert due > 10 * max(young, younger)
    assert old == 1 / USUAL[Status.RUNNING], "nobody ever was so old"


def test_who_goes_on_counts_as_well() -> None:
    hazards = Hazards()
    for _ in range(5):
        hazards.lasted(Status.RUNNING, 9000.0)
    before = hazards.rate(Status.RUNNING, 9000.0)
    hazards.lasts([(Status.RUNNING, 100_000.0)] * 50)
    assert hazards.rate(Status.RUNNING, 9000.0) < before / 3
    hazards.lasts([])
    assert hazards.rate(Status.RUNNING, 9000.0) == before


def test_a_constant_chance_is_found() -> None:
    hazards, dice = Hazards(), random.Random(1)
    for _ in range(900):
        hazards.lasted(Status.QUEUED, dice.expovariate(1 / 300))
    for age in (5.0, 50.0, 200.0, 400.0):
        assert math.isclose(hazards.rate(Status.QUEUED, age), 1 / 300, rel_tol=0.35)


def test_what_was_learned_long_ago_fades() -> None:
    hazards = Hazards()
    for _ in range(1000):
        hazards.lasted(Status.RUNNING, 60.0)
    for _ in range(6000):
        hazards.lasted(Status.RUNNING, 6000.0)
    assert hazards.rate(Status.RUNNING, 60.0) < 1 / 3600 * 2


@given(
    st.lists(st.tuples(st.sampled_from(Status), st.floats(-1e6, 1e12)), max_size=30),
    st.sampled_from(Status),
    st.floats(-1e6, 1e12),
)
def test_a_rate_is_always_a_rate(lives: list[tuple[Status, float]], status: Status, age: float) -> None:
    hazards = Hazards()
    for one, seconds in lives:
        hazards.lasted(one, seconds)
    hazards.lasts(lives)
    assert 0 < hazards.rate(status, age) < math.inf


def test_time_spent_is_the_time_lived() -> None:
    hazards = Hazards()
    hazards.lasted(Status.RUNNING, 1234.5)
    assert sum(hazards._spent[Status.RUNNING]) == pytest.approx(1234.5)
    assert len(hazards._spent[Status.RUNNING]) == BANDS


@pytest.mark.parametrize(
    ("sequence", "status", "started", "expected"),
    [
        (0, Status.RUNNING, 300, 300.0),
        (0, Status.RUNNING, None, 100.0),
        (0, Status.QUEUED, None, 100.0),
        (2, Status.RUNNING, 300, 900.0),
    ],
)
def test_what_was_so_before_anybody_looked_began_earlier(
    sequence: int, status: Status, started: int | None, expected: float
) -> None:
    job = Snapshot(id="j", provider="p", kind="toy", status=status, created_at=100, started_at=started)
    assert since(Known(snapshot=job, status_since=900.0, sequence=sequence)) == expected
