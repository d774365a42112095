"""Whose turn it is: of few each job's own; in a crowd a line in which nobody is passed over."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.watched import Watched, watched
from ftwatch.poller.agenda import LISTED, SHARE, Agenda


class Clock:
    """A clock that is set by hand, with luck from a seed."""

    def __init__(self, seed: int = 0) -> None:
        self.at = 1000.0
        self.luck = random.Random(seed).random

    def now(self) -> float:
        return 1_790_000_000.0 + self.at

    def ticks(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def job(id: str, status: Status = Status.RUNNING) -> Watched:
    return watched(Known(snapshot=Snapshot(id=id, provider="p", kind="toy", status=status), status_since=0.0))


def jobs(count: int) -> dict[str, Watched]:
    return {f"j{number}": job(f"j{number}") for number in range(count)}


class Crowd:
    """An agenda of so many jobs, all but `unlisted` watched through the listing."""

    def __init__(self, count: int, rate: float = 1.0, seed: int = 0) -> None:
        self.clock = Clock(seed)
        self.agenda = Agenda(30.0, self.clock, rate=rate)
        self.active = jobs(count)
        self.unlisted: set[str] = set()
        self.agenda.plan(self.active, crowded=True)

    def next(self) -> list[str]:
        """Lets time pass until something is due, and asks for that."""
        self.clock.at = max(self.clock.at, self.agenda.next_due())
        self.agenda.plan(self.active, crowded=True)
        begun = self.agenda.begin(self.agenda.due(32))
        self.agenda.done(begun, (), {}, self.active, self.active.keys() - self.unlisted)
        return list(begun)


def test_in_a_crowd_each_is_looked_at_in_its_time() -> None:
    crowd = Crowd(300)
    seen, begun = Counter[str](), crowd.clock.at
    while crowd.clock.at < begun + 300 / SHARE:
        seen.update(crowd.next())
    assert set(seen) == set(crowd.active)
    assert max(seen.values()) <= 2
    assert sum(seen.values()) == pytest.approx(300, rel=0.05)


def test_few_that_count_as_a_crowd_are_looked_at_every_ten_minutes() -> None:
    crowd = Crowd(30, rate=10.0)
    begun = crowd.clock.at
    while crowd.clock.at < begun + 600.0:
        assert len(crowd.next()) <= 1
    assert 600.0 <= crowd.clock.at - begun <= 640.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=60), st.integers(0, 99))
def test_nobody_in_line_is_passed_over(events: list[tuple[bool, int]], seed: int) -> None:
    """Whoever is active all the while comes at least once while the line moves as often as there are jobs."""
    crowd = Crowd(20, seed=seed)
    stayed, seen = set(crowd.active), set[str]()
    crowd.agenda._place = seed % 20
    for number, (is_new, place) in enumerate(events):
        if is_new:
            crowd.active[f"new{number}"] = job(f"new{number}")
        elif len(crowd.active) > 2:
            del crowd.active[gone := list(crowd.active)[place % len(crowd.active)]]
            stayed.discard(gone)
        seen.update(crowd.next())
    for _ in range(len(crowd.active)):
        seen.update(crowd.next())
    assert stayed <= seen


def test_who_is_not_on_the_listing_keeps_a_turn_of_its_own() -> None:
    crowd = Crowd(100)
    crowd.unlisted = {"j7"}
    crowd.agenda.ask_for(["j7", "j8"])
    assert set(crowd.next()) == {"j7", "j8"}
    turns = crowd.agenda.turns(crowd.active)
    assert turns.keys() == crowd.active.keys()
    assert turns["j7"].at - crowd.clock.at <= 66.0
    assert turns["j7"].why != LISTED
    assert turns["j8"].why == LISTED


def test_it_is_told_when_each_comes() -> None:
    crowd = Crowd(50)
    for _ in range(3):
        crowd.next()
    said = crowd.agenda.turns(crowd.active)
    for _ in range(50):
        crowd.clock.at = crowd.agenda.next_due()
        (id,) = crowd.next()
        assert said[id].at == pytest.approx(crowd.clock.at, abs=50 * 3.4)
        assert said[id].why == LISTED


def test_once_they_are_few_again_all_are_looked_at_within_the_usual_pace() -> None:
    crowd = Crowd(50)
    crowd.next()
    crowd.agenda.plan(crowd.active, crowded=False)
    turns = crowd.agenda.turns(crowd.active)
    assert turns.keys() == crowd.active.keys()
    assert all(turn.at <= crowd.clock.at + 30.0 for turn in turns.values())
    assert len({turn.at for turn in turns.values()}) > 40
    assert turns["j3"].why == "there are few jobs again"


def test_who_does_not_answer_in_a_crowd_is_asked_again_and_then_stands_in_line() -> None:
    crowd = Crowd(100)
    crowd.agenda.ask_for(["j1"])
    crowd.agenda.done(crowd.agenda.begin(["j1"]), {"j1"}, {}, crowd.active, crowd.active.keys())
    assert crowd.agenda.owes
    assert crowd.agenda.turns(crowd.active)["j1"].at - crowd.clock.at <= 33.0
    assert crowd.agenda.due(32) == []
    crowd.clock.at += 33.0
    assert "j1" in crowd.next()
    assert not crowd.agenda.owes
    assert crowd.agenda.turns(crowd.active)["j1"].why == LISTED


def test_what_is_wanted_in_a_crowd_is_not_its_turn() -> None:
    crowd = Crowd(100)
    crowd.agenda.ask_for(["j1"])
    assert not crowd.agenda.has_turn("j1")
    crowd.clock.at = crowd.agenda.next_due() + 40.0
    crowd.agenda.plan(crowd.active, crowded=True)
    (own,) = [id for id in crowd.active if crowd.agenda.has_turn(id)]
    assert own == "j99"
