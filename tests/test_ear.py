"""Whether webhooks can be relied on, and what that means for the pace of looks."""

from typing import Any

from msgspec.structs import replace

from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.watched import Watched, watched
from ftwatch.poller.agenda import RELAXED, Agenda
from ftwatch.poller.ear import MEMORY, PATIENCE, Ear


class Clock:
    """Set by hand."""

    def __init__(self) -> None:
        self.at = 10_000.0

    def now(self) -> float:
        return self.at

    ticks = now

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def ear() -> tuple[Ear, Clock]:
    clock = Clock()
    return Ear(clock), clock


def test_nothing_is_relied_on_before_a_hook_came() -> None:
    it, _ = ear()
    assert not it.is_relied_on
    it.ended("j1")
    assert not it.is_relied_on
    it.heard(["j1"])
    assert it.is_relied_on


def test_an_end_that_a_hook_told_of_is_in_order() -> None:
    it, clock = ear()
    it.heard(["j1"])
    it.ended("j1")
    clock.at += PATIENCE + 1
    assert it.is_relied_on


def test_a_hook_may_be_late_for_a_while() -> None:
    it, clock = ear()
    it.heard(["other"])
    it.ended("j1")
    clock.at += PATIENCE - 1
    assert it.is_relied_on
    it.heard(["j1"])
    clock.at += PATIENCE
    assert it.is_relied_on


def test_an_end_that_no_hook_told_of_ends_it_until_one_comes_again() -> None:
    it, clock = ear()
    it.heard(["other"])
    it.ended("j1")
    clock.at += PATIENCE
    assert not it.is_relied_on
    clock.at += 100_000
    assert not it.is_relied_on
    it.heard(["j2"])
    assert it.is_relied_on


def test_a_hook_of_long_ago_is_not_about_this_end() -> None:
    it, clock = ear()
    it.heard(["j1"])
    clock.at += MEMORY
    it.ended("j1")  # it was resumed, and has ended again
    clock.at += PATIENCE
    assert not it.is_relied_on


def test_what_is_remembered_is_bounded() -> None:
    it, _ = ear()
    it.heard(f"j{number}" for number in range(5000))
    assert len(it._heard) <= 1000


# -------------------------------------------------------------------------------------------- the pace


def known(status: Status, **more: Any) -> Watched:
    job = Snapshot(id="j1", provider="p", kind="openai", status=status)
    return watched(replace(Known(snapshot=job, status_since=0.0), **more))


def wait_after(agenda: Agenda, clock: Clock, job: Watched) -> float:
    active = {"j1": job}
    agenda.done(agenda.begin(["j1"]), (), {}, active)
    return agenda.turns(active)["j1"].at - clock.ticks()


def test_running_jobs_are_asked_about_less_often_while_hooks_come() -> None:
    clock = Clock()
    agenda = Agenda(30.0, clock)
    running = known(Status.RUNNING)
    agenda.plan({"j1": running}, crowded=False)
    usual = wait_after(agenda, clock, running)
    agenda.plan({"j1": running}, crowded=False, relaxed=True)
    relaxed = wait_after(agenda, clock, running)
    assert relaxed == 30.0 * RELAXED > usual
    assert agenda.turns({"j1": running})["j1"].why == "webhooks tell of its end"
    # What waits in a queue is told by no hook.
    assert wait_after(agenda, clock, known(Status.QUEUED)) == usual
    # Silent hooks bring every look forward.
    wait_after(agenda, clock, running)
    agenda.plan({"j1": running}, crowded=False, relaxed=False)
    assert agenda.turns({"j1": running})["j1"].at - clock.ticks() <= 30.0


def test_nobody_waits_longer_than_five_minutes_for_it_nor_less_than_asked_for() -> None:
    clock = Clock()
    for poll, wanted in ((200.0, 300.0), (3600.0, 3600.0)):
        agenda = Agenda(poll, clock)
        job = known(Status.RUNNING, status_since=clock.at - 3000)
        agenda.plan({"j1": job}, crowded=False, relaxed=True)
        assert wait_after(agenda, clock, job) == wanted
