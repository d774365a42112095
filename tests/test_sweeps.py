"""Sweeps: one message when all of a group's jobs are over, its first failure at once, and nothing lost."""

from datetime import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ftwatch.core.job import Status
from ftwatch.core.route import Route
from ftwatch.core.route.hold import Digest, Group, Quiet
from tests.test_holding import Desk, at, person

NOON = "2026-11-26 12:00"
GRID = {"sweep": "lr-grid"}
SWEEP = (Route(notify=("anna",), group=Group(by=("labels.sweep",), wait=30.0, all_terminal=True)),)


def desk_of(folder: Path, now: str = NOON, **holding: Any) -> Desk:
    recipient = person(**holding) if holding else replace(person(), holding=None)
    return Desk(folder, recipient, at(now), routes=SWEEP)


def titles(desk: Desk) -> list[str]:
    return [title for _, title, _ in desk.pigeon.messages]


async def test_a_sweep_is_one_message_when_all_of_it_is_over(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    for number in range(5):
        desk.happen(f"j{number}", Status.QUEUED, Status.RUNNING, labels=GRID)
        await desk.round(60)
    desk.happen("other", Status.RUNNING, labels={"sweep": "another"})
    for number in range(5):
        assert desk.pigeon.messages == []
        desk.happen(f"j{number}", Status.SUCCEEDED, labels=GRID)
        await desk.round(600)
    assert titles(desk) == ["🧪 Sweep lr-grid: 5 ok"]
    assert len(desk.pigeon.news) == 15
    assert {owed.state for owed in desk.store.history.deliveries()} == {"delivered", "folded", "pending"}
    assert {owed.reason for owed in desk.store.history.deliveries(state="pending")} == {
        "held until its sweep is over"
    }


async def test_its_first_failure_is_told_at_once_and_stands_in_the_table_all_the_same(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    for number in range(4):
        desk.happen(f"j{number}", Status.RUNNING, labels=GRID)
    for number in range(2):
        desk.happen(f"j{number}", Status.FAILED, labels=GRID)
        await desk.round(60)
    # The second failure waits for the rest; what was held of the first one's job goes before it.
    assert desk.pigeon.told == ["j0 created", "j0 failed"]
    for number in range(2, 4):
        desk.happen(f"j{number}", Status.SUCCEEDED, labels=GRID)
    await desk.round(15)
    assert len(desk.pigeon.messages) == 2, "it might go on"
    await desk.round(30)
    assert titles(desk)[-1] == "🧪 Sweep lr-grid: 2 ok, 2 failed"
    assert len(desk.pigeon.messages) == 3
    assert {event.data.id for event in desk.pigeon.messages[-1][2]} == {"j0", "j1", "j2", "j3"}
    # The next sweep of that name has a first failure of its own.
    await desk.round(30)
    desk.happen("k0", Status.RUNNING, Status.FAILED, labels=GRID)
    desk.happen("k1", Status.RUNNING, labels=GRID)
    await desk.round(1)
    assert desk.pigeon.told[-1] == "k0 failed"
    # Whoever has it sent again gets each event once.
    assert desk.store.outbox.replay("anna", 0.0, desk.clock.now()) == 10


async def test_what_is_wrong_with_a_job_that_goes_on_is_told_at_once(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("j0", Status.QUEUED, labels=GRID)
    desk.happen("j1", Status.PAUSED, labels=GRID)
    await desk.round(1)
    assert desk.pigeon.told == ["j1 created", "j1 paused"]


async def test_without_the_label_nothing_waits(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("j0", Status.RUNNING, Status.SUCCEEDED)
    await desk.round(1)
    assert desk.pigeon.told == ["j0 created", "j0 succeeded"]


async def test_a_sweep_that_never_ends_is_told_after_a_week_as_far_as_it_is(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("j0", Status.RUNNING, Status.SUCCEEDED, labels=GRID)
    desk.happen("j1", Status.RUNNING, labels=GRID)
    await desk.until(at(NOON) + 6.9 * 86400, 3600)
    assert desk.pigeon.messages == []
    await desk.until(at(NOON) + 7.1 * 86400, 3600)
    assert titles(desk) == ["🧪 Sweep lr-grid: 1 ok, 1 without an end"]


async def test_a_restart_changes_nothing_and_another_config_ends_it(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("j0", Status.RUNNING, Status.SUCCEEDED, labels=GRID)
    desk.happen("j1", Status.RUNNING, labels=GRID)
    await desk.round(60)
    desk.configure()
    await desk.round(60)
    assert desk.pigeon.messages == []
    by_name = Group(by=("name",), all_terminal=True)
    desk.configure(routes=(Route(notify=("anna",), group=by_name),))
    await desk.round(60)
    assert len(desk.pigeon.news) == 3


async def test_at_night_a_sweep_waits_for_the_morning(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, "2026-11-26 23:00", quiet=Quiet(begin=time(22), end=time(7, 30)))
    desk.happen("j0", Status.RUNNING, Status.SUCCEEDED, labels=GRID)
    await desk.until(at("2026-11-27 07:29"))
    assert desk.pigeon.messages == []
    await desk.until(at("2026-11-27 07:31"), 60)
    assert titles(desk) == ["🧪 Sweep lr-grid: 1 ok"]


async def test_who_wants_a_digest_gets_the_sweep_at_its_time(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, digest=Digest(at=time(9)))
    desk.happen("j0", Status.RUNNING, Status.FAILED, labels=GRID)
    await desk.until(at("2026-11-27 08:59"))
    assert desk.pigeon.messages == []
    await desk.until(at("2026-11-27 09:02"), 30)
    assert titles(desk) == ["📬 2 messages in this digest: 1 failed, 1 other"]
    assert desk.store.db.rows("SELECT * FROM heralds") == []


async def test_an_alert_at_night_does_not_wait_for_the_sweep(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, "2026-11-26 23:00", quiet=Quiet(begin=time(22), end=time(7, 30)))
    desk.happen("j0", Status.RUNNING, labels=GRID)
    desk.happen("j1", Status.RUNNING, Status.PAUSED, labels=GRID)
    await desk.until(at("2026-11-27 07:31"), 600)
    assert desk.pigeon.told == ["j1 created", "j1 paused"]
