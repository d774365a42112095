"""Reminders: the real store and dispatcher, told again until somebody knows, and never of what is over."""

from datetime import time
from pathlib import Path

from msgspec.structs import replace

from ftwatch.core import announce
from ftwatch.core.job import JobKey, Status
from ftwatch.core.route import Recipient, Route, Silence, parse_match
from ftwatch.core.route.hold import Holding, Quiet
from ftwatch.store import Batch, Store
from tests.test_holding import Desk, at, person

HOUR = 3600.0
REMIND = (Route(notify=("anna",), remind=4 * HOUR),)
NOON = "2026-11-26 12:00"


def desk_of(folder: Path, **more: object) -> Desk:
    return Desk(folder, replace(person(), holding=None), at(NOON), **({"routes": REMIND} | more))


def titles(desk: Desk) -> list[str]:
    return [title for _, title, _ in desk.pigeon.messages]


def reminded(desk: Desk) -> list[float]:
    """After how many hours since noon a reminder came."""
    return [(when - at(NOON)) / HOUR for when, title, _ in desk.pigeon.messages if "Reminder" in title]


async def test_what_failed_is_told_again_until_somebody_knows(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.until(at(NOON) + 9 * HOUR)
    assert reminded(desk) == [4.0, 8.0]
    assert titles(desk)[-1] == "🔔 Reminder: a failed"
    (_, event) = desk.store.history.events(newest=True, limit=1)[0]
    (kept,) = desk.store.reminders.of(event.id)
    assert (kept.count, kept.due_at, kept.reason) == (2, at(NOON) + 12 * HOUR, "")
    assert [owed.state for owed in desk.store.history.deliveries(event=event.id)] == ["delivered"] * 3
    desk.store.acks.add(JobKey("p", "a"), "kim", "on it", desk.clock.now())
    (kept,) = desk.store.reminders.of(event.id)
    await desk.until(at(NOON) + 48 * HOUR)
    assert reminded(desk) == [4.0, 8.0]
    assert [kept] == desk.store.reminders.of(event.id)
    assert (kept.count, kept.due_at, kept.reason) == (2, None, "acknowledged by kim: on it")


async def test_it_ends_with_the_problem(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.PAUSED)
    await desk.until(at(NOON) + 5 * HOUR)
    desk.happen("a", Status.RUNNING)
    await desk.until(at(NOON) + 30 * HOUR)
    assert reminded(desk) == [4.0]


async def test_a_long_absence_makes_one_reminder(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.round()
    desk.store.close()
    desk.clock.at += 90 * HOUR
    desk.store = Store(tmp_path / "ftwatch.db")
    desk.configure()
    await desk.round()
    await desk.round()
    assert reminded(desk) == [90.0]
    await desk.until(at(NOON) + 95 * HOUR)
    assert reminded(desk) == [90.0, 94.0]


async def test_reminders_of_about_one_time_are_one_message(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    for number in range(5):
        desk.happen(f"j{number}", Status.RUNNING, Status.FAILED)
        await desk.round(60)
    before = len(desk.pigeon.messages)
    await desk.until(at(NOON) + 4.5 * HOUR, 60)
    assert titles(desk)[before:] == ["📬 5 messages about what is still open: 5 failed"]


async def test_silence_keeps_reminders_back_and_ends_none(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.round()
    silence = Silence(match=parse_match("id=a"), until=at(NOON) + 6 * HOUR, comment="hush", id="sil_1")
    desk.configure(silences=(silence,))
    await desk.until(at(NOON) + 5.5 * HOUR)
    assert reminded(desk) == []
    (_, event) = desk.store.history.events(newest=True, limit=1)[0]
    assert desk.store.reminders.of(event.id)[0].reason == "silenced by hush"
    await desk.until(at(NOON) + 11 * HOUR)
    assert reminded(desk) == [6.0, 10.0]


async def test_at_night_nobody_is_reminded(tmp_path: Path) -> None:
    night = Holding(zone=person().holding.zone, quiet=Quiet(begin=time(22), end=time(7, 30)))  # type: ignore[union-attr]
    desk = desk_of(tmp_path)
    desk.recipient = replace(desk.recipient, holding=night)
    desk.configure()
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.until(at(NOON) + 24 * HOUR)
    # At noon, at four, at eight, and once the night is over; what was over by then would not have come.
    assert reminded(desk) == [4.0, 8.0, 19.5, 23.5]


async def test_an_outage_heaps_up_no_reminders_and_an_ack_takes_one_back(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.until(at(NOON) + 3 * HOUR)
    desk.pigeon.fails = True
    await desk.until(at(NOON) + 30 * HOUR)
    pending = desk.store.history.deliveries(state="pending")
    assert len(pending) == 1
    desk.store.acks.add(JobKey("p", "a"), "kim", "", desk.clock.now())
    await desk.until(at(NOON) + 31 * HOUR)
    assert desk.store.history.deliveries(state="pending") == []
    (taken,) = desk.store.history.deliveries(state="superseded")
    assert (taken.id, taken.reason) == (pending[0].id, "acknowledged by kim")


async def test_a_reminder_gives_way_to_what_is_newer(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.PAUSED)
    await desk.until(at(NOON) + 3 * HOUR)
    desk.pigeon.fails = True
    await desk.until(at(NOON) + 5 * HOUR)
    desk.happen("a", Status.RUNNING)
    desk.pigeon.fails = False
    await desk.until(at(NOON) + 9 * HOUR)
    assert desk.pigeon.told == ["a created", "a paused", "a running"]
    (taken,) = desk.store.history.deliveries(state="superseded")
    assert taken.reason == "something newer is told"


async def test_a_provider_is_reminded_of_until_it_answers(tmp_path: Path) -> None:
    desk = desk_of(tmp_path, routes=(Route(notify=("anna",), remind=HOUR),))

    def say(make: object, *more: object) -> None:
        state = desk.store.jobs.provider("p")
        said = make(state, "toy", *more, desk.routing, desk.clock.now())  # type: ignore[operator]
        desk.store.commit(Batch(announcements=[said]), desk.clock.now())

    say(announce.degraded, "HTTP 503")
    await desk.until(at(NOON) + 2.5 * HOUR)
    assert reminded(desk) == [1.0, 2.0]
    say(announce.recovered)
    await desk.until(at(NOON) + 9 * HOUR)
    assert reminded(desk) == [1.0, 2.0]


async def test_a_config_without_it_ends_it_and_programs_have_none(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.round()
    mixed = (Route(match=parse_match("id=b"), notify=("anna",), remind=HOUR), Route(notify=("anna",)))
    desk.configure(routes=mixed)
    await desk.until(at(NOON) + 9 * HOUR)
    assert reminded(desk) == []
    (_, event) = desk.store.history.events(newest=True, limit=1)[0]
    assert desk.store.reminders.of(event.id)[0].reason == "no route reminds of it any more"
    other = tmp_path / "other"
    machine = Desk(other, Recipient(name="anna", kind="toy", audience="machines"), at(NOON), routes=REMIND)
    machine.happen("a", Status.RUNNING, Status.FAILED)
    await machine.until(at(NOON) + 9 * HOUR)
    assert reminded(machine) == []


async def test_a_clock_that_was_set_a_rename_and_a_replay(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.until(at(NOON) + 4.5 * HOUR)
    desk.store.outbox.shift(HOUR)
    (_, event) = desk.store.history.events(newest=True, limit=1)[0]
    (kept,) = desk.store.reminders.of(event.id)
    assert kept.due_at == at(NOON) + 9 * HOUR
    # A reminder is none of the messages that are sent again.
    assert desk.store.outbox.replay("anna", 0.0, desk.clock.now()) == 2
    desk.store.commit(Batch(announcements=[announce.Announcement(state=desk.store.jobs.provider("p"))]), 0)
    assert desk.store.rename("p", "q")
    assert desk.store.db.rows("SELECT lane FROM reminders") == [("q/a",)]
    desk.store.forget("q", "a")
    assert desk.store.db.rows("SELECT * FROM reminders") == []


async def test_retention_takes_reminders_along(tmp_path: Path) -> None:
    desk = desk_of(tmp_path)
    desk.happen("a", Status.RUNNING, Status.FAILED)
    await desk.round()
    desk.store.prune(desk.clock.now() + 200 * 86400, 90 * 86400.0)
    assert desk.store.db.rows("SELECT * FROM reminders") == []
