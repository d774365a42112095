"""What is held is never lost and keeps its order: the real store and dispatcher, over random policies."""

import os
import random
from collections.abc import Callable, Sequence
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from ftwatch.config import NotifierConfig
from ftwatch.core.decide import decide
from ftwatch.core.delivery import REMINDER, SWEEP, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, decode
from ftwatch.core.flapping import FOLDED, Flapping
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.message import compose
from ftwatch.core.route import Recipient, Route, Routing, Silence, parse_match
from ftwatch.core.route.hold import Digest, Group, Holding, Quiet
from ftwatch.core.rule import Stuck
from ftwatch.dispatcher import Dispatcher
from ftwatch.plugins import Memory, Result
from ftwatch.store import Batch, Store, inline

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "UTC")
LIFE = (Status.QUEUED, Status.RUNNING, Status.SUCCEEDED)
ERRORS = parse_match("min_severity=error")
NIGHT = Quiet(begin=time(22), end=time(7, 30), passes=ERRORS)


class Clock:
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    ticks = now

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Pigeon:
    """A notifier for people: remembers each message that it took, by the ids of its events."""

    timeout, concurrency, folds, names_bundles = 5.0, 6, 100, True

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.messages: list[tuple[float, str, list[Event]]] = []
        self.news: list[Event] = []
        self.reminders: list[tuple[float, str]] = []
        self.fails = False
        self.heralds: Callable[[str], Sequence[str]] = lambda bundle: ()

    def freeze(self, event: Event) -> None:
        return None

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        bundle: str | None = None,
    ) -> Result:
        await anyio.lowlevel.checkpoint()
        if self.fails:
            return Result(Retry("HTTP 500"))
        self.messages.append((self.clock.now(), compose(*events, bundle=bundle).title, list(events)))
        if bundle is not None and bundle.startswith(REMINDER):
            self.reminders += [(self.clock.now(), event.data.id) for event in events]
        elif bundle is not None and bundle.startswith(SWEEP):
            # The failure that has a message of its own stands in the table of its sweep, too.
            heralds = self.heralds(bundle)
            self.news += [event for event in events if event.id not in heralds]
        else:
            self.news += events
        return Result(Sent())

    @property
    def told(self) -> list[str]:
        """All that was news, without reminders."""
        return [f"{event.data.id} {event.type.rpartition('.')[2]}" for event in self.news]


class Desk:
    """A store, jobs that move, and the dispatcher of one notifier."""

    def __init__(self, folder: Path, recipient: Recipient, now: float, **more: Any) -> None:
        self.clock, self.store = Clock(now), Store(folder / "ftwatch.db")
        self.pigeon = Pigeon(self.clock)
        self.pigeon.heralds = lambda bundle: [
            decode(body).id for body in self.store.sweeps.heralds(recipient.name, bundle)
        ]
        self.throttle = more.pop("throttle", None)
        self.recipient, self.more = recipient, more
        self.known: dict[str, Known] = {}
        self.asked = 0
        self.configure()

    def configure(self, **more: Any) -> None:
        """Goes on with another config, or begins with its own."""
        self.routing = Routing(recipients=(self.recipient,), **(self.more | more))
        config = NotifierConfig(
            name=self.recipient.name,
            kind="toy",
            retry=RetryPolicy(jitter=0, fold=900.0),
            throttle=self.throttle,
        )
        self.dispatcher = Dispatcher(
            config,
            self.pigeon,
            self.store,
            inline,
            routing=self.routing,
            clock=self.clock,
            bell=lambda owed: None,
        )

    def happen(self, job: str, *statuses: Status, labels: dict[str, str] | None = None, age: int = 0) -> None:
        for status in statuses:
            self.asked += 1
            now = self.clock.now()
            snapshot = Snapshot(
                id=job,
                provider="p",
                kind="toy",
                status=status,
                labels=labels or {},
                created_at=int(now) - age,
                fine_tuned_model="ft:m" if status is Status.SUCCEEDED else None,
            )
            look = Look(key=JobKey("p", job), asked=self.asked, at=now, snapshot=snapshot)
            policy = Policy(routing=self.store.silences.over(self.routing), rules=(Stuck(), Flapping()))
            decision = decide(self.known.get(job), look, policy, now)
            assert not self.store.commit(Batch(decisions=[decision]), now)
            self.known.update(self.store.jobs.load("p", [job]))

    async def round(self, after: float = 0.0) -> None:
        self.clock.at += after
        for _ in range(200):
            if not await self.dispatcher.dispatch_once():
                return
        pytest.fail("the dispatcher never rests")

    async def until(self, moment: float, step: float = 600.0) -> None:
        while self.clock.at < moment:
            await self.round(min(step, moment - self.clock.at))


def at(text: str, zone: str = "Europe/Berlin") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def person(**holding: Any) -> Recipient:
    return Recipient(name="anna", kind="toy", holding=Holding(zone=ZoneInfo("Europe/Berlin"), **holding))


async def test_the_night_is_told_in_the_morning_in_one_piece(tmp_path: Path) -> None:
    desk = Desk(tmp_path, person(quiet=NIGHT), at("2026-11-26 23:00"))
    for job in ("a", "b"):
        desk.happen(job, *LIFE)
    await desk.until(at("2026-11-27 07:29"))
    assert desk.pigeon.messages == []
    await desk.until(at("2026-11-27 07:31"), 60)
    ((_, title, events),) = desk.pigeon.messages
    assert title.startswith("📬 6 messages from the quiet hours")
    assert len(events) == 6
    states = [one.state for one in desk.store.history.deliveries()]
    assert sorted(states) == ["delivered"] + ["folded"] * 5
    await desk.until(at("2026-11-28 09:00"))
    assert len(desk.pigeon.messages) == 1


async def test_a_failure_passes_and_takes_its_job_along(tmp_path: Path) -> None:
    desk = Desk(tmp_path, person(quiet=NIGHT), at("2026-11-26 23:00"))
    desk.happen("a", Status.QUEUED, Status.RUNNING)
    desk.happen("b", Status.QUEUED)
    await desk.round()
    assert desk.pigeon.told == []
    desk.happen("a", Status.FAILED)
    await desk.round()
    assert desk.pigeon.told == ["a created", "a running", "a failed"]
    await desk.until(at("2026-11-27 08:00"))
    assert desk.pigeon.told[3:] == ["b created"]


async def test_a_digest_gathers_the_day(tmp_path: Path) -> None:
    plan = Digest(at=time(9), days=frozenset(range(5)), passes=ERRORS)
    desk = Desk(tmp_path, person(digest=plan), at("2026-11-27 10:00"))  # a Friday
    desk.happen("a", *LIFE)
    await desk.until(at("2026-11-30 08:59"), 3600)
    assert desk.pigeon.told == []
    desk.happen("b", Status.QUEUED)
    await desk.until(at("2026-11-30 09:01"), 60)
    ((_, title, events),) = desk.pigeon.messages
    assert title.startswith("📬 4 messages in this digest: 1 succeeded")
    assert len(events) == 4


async def test_simultaneous_events_of_a_group_are_one_message(tmp_path: Path) -> None:
    route = Route(notify=("anna",), group=Group(by=("labels.team",), wait=30.0))
    desk = Desk(tmp_path, replace(person(), holding=None), at("2026-11-26 12:00"), routes=(route,))
    for number in range(4):
        desk.happen(f"a{number}", Status.RUNNING, labels={"team": "a"})
        desk.happen(f"b{number}", Status.RUNNING, labels={"team": "b"})
        await desk.round(5)
    assert desk.pigeon.messages == []
    await desk.round(15)
    assert [len(events) for _, _, events in desk.pigeon.messages] == [4, 4]
    assert {frozenset(e.data.id[0] for e in events) for _, _, events in desk.pigeon.messages} == {
        frozenset("a"),
        frozenset("b"),
    }


async def test_no_more_than_so_many_in_an_hour_but_for_errors(tmp_path: Path) -> None:
    desk = Desk(tmp_path, replace(person(), holding=None), at("2026-11-26 12:00"), throttle=(3, 3600.0))
    for number in range(10):
        desk.happen(f"j{number}", Status.RUNNING)
        await desk.round(10)
    assert len(desk.pigeon.messages) == 3
    desk.happen("j9", Status.FAILED)
    await desk.round(10)
    assert desk.pigeon.told[-2:] == ["j9 running", "j9 failed"] or desk.pigeon.told[-1] == "j9 failed"
    await desk.until(at("2026-11-26 13:30"))
    assert len(desk.pigeon.told) == len(set(desk.pigeon.told))
    assert any("too many at once" in title for _, title, _ in desk.pigeon.messages)
    assert {state.state for state in desk.store.history.deliveries()} == {"delivered", "folded"}


async def test_a_digest_that_cannot_be_sent_is_tried_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, person(quiet=NIGHT), at("2026-11-26 23:00"))
    desk.happen("a", *LIFE)
    desk.pigeon.fails = True
    await desk.until(at("2026-11-27 07:31"), 60)
    assert desk.pigeon.messages == []
    desk.pigeon.fails = False
    await desk.until(at("2026-11-27 07:50"), 60)
    assert desk.pigeon.told == ["a created", "a running", "a succeeded"]


async def test_a_machine_that_knows_no_digest_gets_each_at_that_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path, person(quiet=NIGHT), at("2026-11-26 23:00"))
    desk.pigeon.folds = 0  # type: ignore[misc]
    desk.dispatcher._claims._folds = 0
    desk.happen("a", *LIFE)
    await desk.until(at("2026-11-27 07:29"))
    assert desk.pigeon.messages == []
    await desk.until(at("2026-11-27 07:40"), 60)
    assert [len(events) for _, _, events in desk.pigeon.messages] == [1, 1, 1]
    assert desk.pigeon.told == ["a created", "a running", "a succeeded"]


async def test_a_clock_that_was_set_moves_no_morning(tmp_path: Path) -> None:
    desk = Desk(tmp_path, person(quiet=NIGHT), at("2026-11-26 23:00"))
    desk.happen("a", Status.QUEUED)
    desk.store.outbox.shift(7200)
    (owed,) = desk.store.history.deliveries()
    assert owed.due_at == at("2026-11-27 07:30")


async def test_a_reason_says_what_it_waits_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, person(quiet=NIGHT), at("2026-11-26 23:00"))
    desk.happen("a", Status.QUEUED)
    (owed,) = desk.store.history.deliveries()
    assert (owed.state, owed.reason, owed.bundle) == ("pending", "held until the quiet hours end", "quiet")


# ------------------------------------------------------------------------------- nothing is ever lost


def policy_of(luck: random.Random) -> tuple[Recipient, dict[str, Any]]:
    """A random way of wanting to be told."""

    def moment() -> time:
        return time(luck.randrange(24), luck.choice((0, 15, 30, 59)))

    def days() -> frozenset[int]:
        return frozenset(luck.sample(range(7), luck.randint(1, 7)))

    def passes() -> Any:
        return luck.choice((None, ERRORS, parse_match("type=fine_tuning.job.succeeded")))

    quiet = Quiet(begin=moment(), end=moment(), days=days(), passes=passes()) if luck.random() < 0.6 else None
    digest = Digest(at=moment(), days=days(), passes=passes()) if luck.random() < 0.3 else None
    holding = Holding(zone=ZoneInfo(luck.choice(ZONES)), quiet=quiet, digest=digest)
    group = Group(by=("labels.team",), wait=luck.choice((1.0, 30.0, 900.0))) if luck.random() < 0.6 else None
    if group is not None and luck.random() < 0.5:
        group = replace(group, all_terminal=True)
    remind = luck.choice((None, 4 * 3600.0, 86400.0))
    route = Route(notify=("anna",), group=group, max_age=luck.choice((None, 3600.0)), remind=remind)
    silence = Silence(match=parse_match("labels.team=c"), comment="c is noisy", id="sil_c")
    more: dict[str, Any] = {"silences": (silence,)}
    if luck.random() < 0.7:
        more["routes"] = (route,)
    if luck.random() < 0.4:
        more["throttle"] = (luck.randint(1, 5), luck.choice((600.0, 3600.0)))
    return Recipient(name="anna", kind="toy", holding=holding), more


@pytest.mark.parametrize("seed", range(int(os.environ.get("HOLDING_SEEDS", "40"))))
async def test_every_event_is_delivered_folded_or_refused_with_a_reason(seed: int, tmp_path: Path) -> None:
    luck = random.Random(seed)
    recipient, more = policy_of(luck)
    # Around the days on which the clocks are set.
    start = at(luck.choice(("2026-03-28 12:00", "2026-10-24 12:00", "2026-11-26 12:00")))
    desk = Desk(tmp_path, recipient, start, **more)
    lives = [
        [Status.QUEUED, Status.RUNNING, luck.choice((Status.SUCCEEDED, Status.FAILED))] for _ in range(12)
    ]
    for life in lives:
        # Some go back and forth, quickly enough to be flapping where the clock allows it.
        life[2:2] = [Status.PAUSED, Status.RUNNING] * luck.choice((0, 0, 0, 1, 6))
    waiting = [(f"j{number}", list(life)) for number, life in enumerate(lives)]
    acked: dict[str, float] = {}
    while waiting:
        job, life = luck.choice(waiting)
        age = luck.choice((0, 0, 100, 9000))
        for _ in range(min(len(life), luck.choice((1, 1, 9)))):
            labels = {"team": luck.choice("ab") if job != "j0" else "c"}
            desk.happen(job, life.pop(0), labels=labels, age=age)
        waiting = [one for one in waiting if one[1]]
        desk.pigeon.fails = luck.random() < 0.1
        ack = desk.store.acks.add(JobKey("p", job), "kim", "", desk.clock.at) if luck.random() < 0.2 else None
        if ack is not None:
            if ack.state == "failed":
                acked[job] = desk.clock.at
            desk.known.update(desk.store.jobs.load("p", [job]))
        await desk.round(luck.choice((0, 1, 60, 1800, 7200, 20_000)))
    desk.pigeon.fails = False
    await desk.until(desk.clock.at + 16 * 86400, 3600)
    told = desk.pigeon.told
    for _, event in desk.store.history.events(limit=1000):
        owed = desk.store.history.deliveries(event=event.id, limit=-1)
        again = [one for one in owed if (one.bundle or "").startswith(REMINDER)]
        owed = [one for one in owed if one not in again]
        assert {one.state for one in again} <= {"delivered", "folded", "superseded", "pending"}
        assert not again or event.data.status in ("failed", "paused") or event.type.endswith(".stuck")
        refused = desk.store.history.verdicts(event.id)
        assert len(owed) + len(refused) == 1
        for delivery in owed:
            assert delivery.state in ("delivered", "folded"), (delivery, event.type)
            assert told.count(f"{event.data.id} {event.type.rpartition('.')[2]}") >= 1
        for _, reason in refused:
            assert reason.startswith(("silenced", "below the", "the event is about this")) or reason == FOLDED
            assert reason != FOLDED or event.status in (Status.RUNNING, Status.PAUSED)
    # What failed, and nobody knows of, is told again; what somebody knows of, or silenced, is not.
    kept = {job for _, job in desk.pigeon.reminders}
    assert "j0" not in kept
    remind = (desk.routing.routes or (Route(notify=()),))[0].remind
    for number, life in enumerate(lives[1:], start=1):
        if remind is None or life[-1] is not Status.FAILED:
            continue
        late = [
            at for at, job in desk.pigeon.reminders if job == f"j{number}" and at > acked.get(job, at - 1)
        ]
        assert bool(late) is (f"j{number}" not in acked)
    # In the order in which it happened, job by job, and nothing twice.
    assert len(desk.pigeon.news) == len({event.id for event in desk.pigeon.news})
    for number in range(12):
        places = [event.data.sequence for event in desk.pigeon.news if event.data.id == f"j{number}"]
        assert places == sorted(places)
