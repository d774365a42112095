"""`push`: what runs tell of themselves, through a real mailbox, the real poller and the real store."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.event import Event
from ftwatch.core.job import JobKey, Status
from ftwatch.core.known import Known
from ftwatch.plugins import Duration, NotFound, ProviderError, load_kind
from ftwatch.store import Full, Receipt
from ftwatch.web.hooks import mail_of
from ftwatch.wire.push import run as runs
from tests.watching import Watched, told, watched

KEY = JobKey("acme", "run-42")


class Box:
    """A machine whose runs push, and who watches them."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.store = watched.store

    @property
    def now(self) -> float:
        return self.watched.clock.now()

    def push(self, *, heard: bool = True, provider: str = "acme", **said: Any) -> None:
        """A push is taken; `heard`: and whoever took it lived to say so to the poller."""
        body = json.dumps({"id": "run-42", **said}).encode()
        kind = load_kind("provider", "push")
        hook = kind.hook(body)
        mail = mail_of(kind, hook, self.now)
        self.store.receive(Receipt(provider=provider, id=None, type=hook.type, mail=mail), self.now)
        if heard:
            self.watched.poller.hear([job for job, _ in hook.documents])

    async def say(self, *, after: float = 1.0, **said: Any) -> list[str]:
        """Pushes and looks; what is told."""
        self.watched.move(after)
        self.push(**said)
        return told(await self.watched.round())

    async def wait(self, seconds: float, step: float = 30.0) -> list[Event]:
        """Lets time pass while nobody pushes."""
        return await self.watched.rounds(seconds, step)

    @property
    def known(self) -> Known:
        return self.store.jobs.load(*KEY[:1], [KEY.id])[KEY.id]


def is_in_files(text: str, folder: Path) -> bool:
    """Whether anything of the database holds this."""
    return any(text.encode() in path.read_bytes() for path in folder.glob("ftwatch.db*"))


@asynccontextmanager
async def box(folder: Path, **more: Any) -> AsyncIterator[Box]:
    """A box that has been watched for a moment, and has no runs yet."""
    async with watched("push", folder, **more) as it:
        await it.round()
        yield Box(it)


# ---------------------------------------------------------------------------------------- a life, and gaps


async def test_each_push_is_told_at_once(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        assert await it.say(status="PENDING", name="sft") == ["created"]
        assert await it.say(status="RUNNING") == ["running"]
        assert await it.say(step=10, total_steps=100, metrics={"loss": 2.0}) == []
        assert await it.say(status="SUSPENDED") == ["paused"]
        assert await it.say(status="RUNNING") == ["running"]
        assert await it.say(checkpoint={"model": "/out/c-50", "step": 50}) == [
            "fine_tuning.checkpoint.created"
        ]
        assert await it.say(status="COMPLETED", fine_tuned_model="/out/sft") == ["succeeded"]
        assert await it.wait(600) == []


async def test_states_between_two_looks_are_told_skipped_and_in_order(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="PENDING")
        began = it.now
        for word in ("RUNNING", "SUSPENDED", "RUNNING", "COMPLETED"):
            it.watched.move(10)
            it.push(status=word)
        events = await it.watched.round(10)
        assert told(events) == ["running (skipped)", "paused (skipped)", "running (skipped)", "succeeded"]
        assert [event.created_at - int(began) for event in events] == [10, 20, 30, 40]
        assert events[-1].data.summary.ran_for == 30


async def test_a_run_that_is_over_before_anybody_looks_is_told_whole(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        it.push(status="RUNNING", name="sft")
        it.watched.move(5)
        it.push(step=10, metrics={"loss": 0.5}, checkpoint="/out/c-10")
        it.watched.move(5)
        it.push(status="FAILED", error="CUDA out of memory")
        events = await it.watched.round()
        assert told(events) == [
            "created (skipped)",
            "running (skipped)",
            "fine_tuning.checkpoint.created",
            "failed",
        ]
        assert events[-1].data.summary.cause == "out_of_memory"
        assert events[-1].data.summary.metrics == {"train_loss": 0.5}


@pytest.mark.parametrize("ends", [False, True])
async def test_a_crash_between_push_and_look_loses_nothing(tmp_path: Path, ends: bool) -> None:
    """Whoever took the pushes died before anybody looked: the next process finds them in the mailbox."""
    async with box(tmp_path) as it:
        it.push(heard=False, status="PENDING", name="sft")
        it.watched.move(5)
        it.push(heard=False, status="RUNNING")
        it.watched.move(5)
        it.push(heard=False, step=10, metrics={"loss": 0.5}, checkpoint="/out/c-10")
        if ends:
            it.watched.move(5)
            it.push(heard=False, status="FAILED", error="boom")
        it.watched.restart()
        events = await it.wait(150)
        life = ["created (skipped)", "queued (skipped)", "running (skipped)"] if ends else ["created"]
        end = ["failed"] if ends else []
        assert told(events) == [*life, "fine_tuning.checkpoint.created", *end]
        assert it.store.journals.series(KEY) == [(10, {"train_loss": 0.5})]
        assert [event.data.sequence for event in events if event.job] == list(range(1, len(events) + 1))


async def test_a_crash_after_each_push_of_a_life_loses_nothing(tmp_path: Path) -> None:
    async with box(tmp_path, poll="1s", discover="1s") as it:
        names: list[str] = []
        for number, word in enumerate(
            ("PENDING", "RUNNING", "PREEMPTED", "REQUEUED", "RUNNING", "COMPLETED")
        ):
            it.watched.move(20)
            it.push(heard=False, status=word, step=number, metrics={"loss": float(number)})
            it.watched.restart()
            names += [name for name in told(await it.watched.round()) if name != "updated"]
        assert names == ["created", "running", "paused", "queued", "running", "succeeded"]
        assert [step for step, _ in it.store.journals.series(KEY)] == [0, 1, 2, 3, 4, 5]


async def test_a_run_that_told_nothing_but_figures_runs(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        assert await it.say(step=1, metrics={"loss": 1.0}) == ["created"]
        assert it.known.snapshot.status is Status.RUNNING


async def test_several_runs_in_one_push(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        kind = load_kind("provider", "push")
        hook = kind.hook(json.dumps([{"id": f"r{n}", "status": "RUNNING"} for n in range(100)]).encode())
        receipt = Receipt(provider="acme", id=None, type="push", mail=mail_of(kind, hook, it.now))
        it.store.receive(receipt, it.now)
        it.watched.poller.hear([job for job, _ in hook.documents])
        events = await it.watched.round()
        assert told(events) == ["created"] * 100
        assert len({event.data.id for event in events}) == 100


async def test_a_word_that_nobody_knows_is_told_once(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING")
        assert await it.say(status="DEFROSTING") == ["unknown"]
        assert await it.say(status="DEFROSTING", step=3) == []
        assert await it.say(status="RUNNING") == ["running"]
        assert await it.say(status="DEFROSTING") == ["updated"]
        assert await it.say(id="run-43", status="DEFROSTING") == ["created", "updated"]
        assert await it.say(status="COMPLETED") == ["succeeded"]


# -------------------------------------------------------------------------------------- another attempt


async def test_a_run_that_goes_on_after_its_end_is_another_attempt(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING", step=10, metrics={"loss": 2.0}, checkpoint="/out/c-10")
        assert await it.say(status="FAILED", error="CUDA out of memory") == ["failed"]
        assert await it.say(status="RUNNING") == ["running"]
        names = await it.say(step=10, metrics={"loss": 1.5}, checkpoint="/out/c-10")
        assert names == ["fine_tuning.checkpoint.created"], "the same path, another one all the same"
        assert await it.say(status="FAILED") == ["failed"]
        assert it.known.attempt == 1
        assert it.store.journals.series(KEY, 0) == [(10, {"train_loss": 2.0})]
        assert it.store.journals.series(KEY, 1) == [(10, {"train_loss": 1.5})]
        (_, event) = it.store.history.events(type="fine_tuning.job.failed")[-1]
        assert event.job is not None
        assert event.job.error is None
        assert event.data.summary.cause == "unknown", "what the first one died of is not what this one did"


async def test_a_whole_attempt_between_two_looks_is_told_although_it_ended_the_same_way(
    tmp_path: Path,
) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING", step=10, metrics={"loss": 2.0, "eval_loss": 3.0})
        await it.say(status="COMPLETED")
        for said in (
            {"status": "PENDING"},
            {"status": "RUNNING", "step": 10, "metrics": {"loss": 1.5}},
            {"step": 20, "metrics": {"loss": 1.2}},
            {"status": "COMPLETED"},
        ):
            it.watched.move(10)
            it.push(**said)
        events = await it.watched.round()
        assert told(events) == ["queued (skipped)", "running (skipped)", "succeeded"]
        assert events[-1].data.summary.metrics == {"train_loss": 1.2}
        assert it.known.attempt == 1
        assert it.store.journals.series(KEY, 0) == [(10, {"train_loss": 2.0, "valid_loss": 3.0})]
        assert it.store.journals.series(KEY, 1) == [(10, {"train_loss": 1.5}), (20, {"train_loss": 1.2})]
        assert await it.wait(600) == []


async def test_two_attempts_between_two_looks_keep_their_figures_apart(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="PENDING")
        for number, word in enumerate(("FAILED", "FAILED", "COMPLETED")):
            it.watched.move(10)
            it.push(status="RUNNING", step=10, metrics={"loss": float(number)})
            it.watched.move(10)
            it.push(status=word)
        names = told(await it.watched.round())
        assert names == [*["running (skipped)", "failed (skipped)"] * 2, "running (skipped)", "succeeded"]
        assert it.known.attempt == 2
        for number in range(3):
            assert it.store.journals.series(KEY, number) == [(10, {"train_loss": float(number)})]


async def test_a_requeued_run_goes_on_in_the_same_attempt(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING", step=500)
        assert await it.say(status="PREEMPTED") == ["paused"]
        assert await it.say(status="REQUEUED") == ["queued"]
        assert await it.say(status="RUNNING", step=400, metrics={"loss": 1.0}) == ["running"]
        assert it.known.attempt == 0


# ------------------------------------------------------------------------------------------------- silence


async def test_silence_is_an_alert_and_the_next_push_resolves_it(tmp_path: Path) -> None:
    async with box(tmp_path, expect_every="10m") as it:
        await it.say(status="RUNNING", name="sft")
        assert told(await it.wait(590, 10)) == []
        (fired,) = await it.wait(20, 10)
        assert told([fired]) == ["fine_tuning.alert.silent"]
        assert fired.note == "nothing heard for more than 10m"
        assert fired.severity == "warning"
        assert await it.wait(3600) == [], "once"
        assert await it.say(step=7) == ["fine_tuning.alert.silent.resolved"]
        assert told(await it.wait(700)) == ["updated", "fine_tuning.alert.silent"]
        assert await it.say(status="COMPLETED") == ["succeeded", "fine_tuning.alert.silent.resolved"]
        assert await it.wait(3600) == []


async def test_who_is_heard_in_time_is_not_silent(tmp_path: Path) -> None:
    async with box(tmp_path, expect_every="60s", poll="30s") as it:
        await it.say(status="RUNNING")
        names: list[str] = []
        for _ in range(60):
            names += await it.say(after=59)
        assert names == []


async def test_a_push_that_nobody_has_looked_at_yet_breaks_the_silence(tmp_path: Path) -> None:
    """Who took it died before the look: the mailbox knows better than what was known."""
    async with box(tmp_path, expect_every="60s", poll="10m", discover="10m") as it:
        await it.say(status="RUNNING")
        it.watched.move(55)
        it.push(heard=False)
        assert told(await it.wait(40, 10)) == []
        assert told(await it.wait(60, 10)) == ["fine_tuning.alert.silent"]


@pytest.mark.parametrize("waiting", ["PENDING", "PREEMPTED", "SUSPENDED"])
async def test_who_waits_has_nobody_who_could_speak(tmp_path: Path, waiting: str) -> None:
    async with box(tmp_path, expect_every="60s") as it:
        await it.say(status="RUNNING")
        await it.say(status=waiting)
        assert told(await it.wait(3600)) == []
        await it.say(status="RUNNING")
        assert told(await it.wait(120)) == ["fine_tuning.alert.silent"]


async def test_without_expect_every_nobody_minds_silence(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING")
        assert await it.wait(86400, 600) == []


async def test_who_could_not_be_heard_was_not_silent(tmp_path: Path) -> None:
    """ftwatch was away for an hour: what was said meanwhile was said to nobody."""
    async with box(tmp_path, expect_every="10m") as it:
        await it.say(status="RUNNING")
        it.watched.move(3600)
        it.watched.restart()
        assert told(await it.watched.round()) == []
        assert told(await it.wait(570)) == []
        assert told(await it.wait(60)) == ["fine_tuning.alert.silent"]
        it.watched.move(3600)
        it.watched.restart()
        assert told(await it.wait(3600)) == [], "a restart resolves nothing, and tells nothing again"
        assert await it.say() == ["fine_tuning.alert.silent.resolved"]


@pytest.mark.parametrize("step", [365 * 86400.0, -365 * 86400.0])
async def test_a_clock_that_is_set_makes_nobody_silent(tmp_path: Path, step: float) -> None:
    async with box(tmp_path, expect_every="10m") as it:
        await it.say(status="RUNNING")
        await it.wait(300)
        it.watched.set_clock(step)
        assert told(await it.wait(300)) == []
        await it.say()
        assert told(await it.wait(570)) == []
        assert told(await it.wait(90)) == ["fine_tuning.alert.silent"], "and silence is still noticed"


async def test_on_a_full_disk_nobody_is_heard_and_nobody_is_silent(tmp_path: Path) -> None:
    async with box(tmp_path, expect_every="10m") as it:
        await it.say(status="RUNNING", step=1)
        before = it.store.inbound.document(*KEY)
        it.store.is_full = True
        with pytest.raises(Full, match="until it has room again"):
            it.push(status="FAILED")
        assert it.store.inbound.document(*KEY) == before
        it.watched.move(3600)
        it.watched.poller._ledger.was_deaf()  # as the loop does while the disk is full
        it.store.is_full = False
        assert told(await it.watched.round()) == []
        assert await it.say(status="FAILED") == ["failed"]


# ------------------------------------------------------------------------------------------ pace and bounds


async def test_mere_progress_is_told_at_the_usual_pace_and_everything_else_at_once(tmp_path: Path) -> None:
    async with box(tmp_path, poll="30s") as it:
        await it.say(status="RUNNING", step=0, total_steps=600)
        await it.wait(600)
        names: list[str] = []
        for step in range(120):
            names += await it.say(step=step, metrics={"loss": 1.0 + step})
        assert 3 <= names.count("updated") <= 6
        assert set(names) == {"updated"}
        assert len(it.store.journals.series(KEY)) == 120, "and every figure is kept"
        assert await it.say(step=121, owner="kim") == ["updated"], "what is more than that is told at once"
        assert await it.say(step=122, status="COMPLETED") == ["succeeded"]


async def test_a_sign_of_life_is_no_event(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING")
        seq = it.store.history.last_seq()
        for _ in range(50):
            assert await it.say(status="RUNNING") == []
        assert it.store.history.last_seq() == seq


async def test_a_flood_of_another_kind_costs_no_more_than_its_bounds(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING")
        for number in range(60):
            labels = {f"label-{number}-{n}": "x" * 100 for n in range(1000)}
            await it.say(labels=labels, message="y" * 100_000, metrics={"loss": 1.0}, step=number)
        raw = it.store.inbound.document(*KEY)
        assert raw is not None
        assert len(raw) <= runs.LARGEST
        dropped = [line.message for line in it.store.journals.lines(KEY) if line.type == "dropped"]
        assert dropped == ["not kept of a push: 966 entries of labels, which is larger than 4 KiB"]


# ------------------------------------------------------------------------ who is watched, renamed, forgotten


async def test_a_run_outside_the_watch_is_nobodys_business(tmp_path: Path) -> None:
    async with box(tmp_path, watch={"labels.team": "search"}) as it:
        assert await it.say(status="RUNNING", metadata={"team": "ads"}) == []
        assert await it.say(status="FAILED") == []
        assert await it.say(id="run-43", status="RUNNING", metadata={"team": "search"}) == ["created"]


async def test_a_renamed_provider_keeps_its_runs(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING", name="sft", step=1, metrics={"loss": 2.0})
        it.push(heard=False, id="run-43", status="RUNNING")
        it.push(heard=False, provider="new", id="run-44", status="RUNNING")
        it.push(heard=False, provider="new", id="run-43", status="COMPLETED")
        assert it.store.rename("acme", "new")
        assert it.store.inbound.documents("acme", None, 10) == []
        assert {job for job, _ in it.store.inbound.documents("new", None, 10)} == {
            "run-42",
            "run-43",
            "run-44",
        }
        raw = it.store.inbound.document("new", "run-43")
        assert raw is not None
        assert runs.decoded(raw).states[-1].word == "COMPLETED", "what was told last counts"


async def test_a_forgotten_run_goes_on_in_vain(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        await it.say(status="RUNNING", name="of kim", owner="kim", message="kim's")
        it.store.forget("acme", "run-42")
        assert await it.say(status="FAILED", name="of kim", error="kim's fault") == []
        assert it.store.inbound.document(*KEY) is None
        assert not is_in_files("kim", tmp_path)
        assert await it.say(id="run-43", status="RUNNING") == ["created"]


async def test_a_run_that_is_long_over_is_forgotten_and_one_that_goes_on_is_not(tmp_path: Path) -> None:
    retention = 90 * 86400.0
    async with box(tmp_path, poll="1h", discover="1h") as it:
        await it.say(status="RUNNING", step=10, metrics={"loss": 1.0})
        await it.say(id="run-43", status="RUNNING")
        await it.say(status="FAILED")
        it.watched.move(retention - 60)
        it.store.prune(it.now, retention)
        assert it.store.inbound.document(*KEY) is not None
        it.watched.move(120)
        it.store.prune(it.now, retention)
        assert it.store.inbound.document(*KEY) is None
        assert it.store.inbound.document("acme", "run-43") is not None
        await it.watched.round()
        assert await it.say(status="RUNNING", step=10, metrics={"loss": 0.5}) == ["running"], (
            "the id is known"
        )
        assert it.store.journals.series(KEY, 1) == [(10, {"train_loss": 0.5})]
        assert await it.say(status="FAILED") == ["failed"]


# --------------------------------------------------------------------------------------------- the mailbox


async def test_the_listing_comes_in_pages_newest_first(tmp_path: Path) -> None:
    async with box(tmp_path) as it:
        for number in range(120):
            it.push(heard=False, id=f"r{number:03d}", status="RUNNING")
        provider = it.watched.poller._provider
        ids, anchor = [], None
        while True:
            page = provider.split(await provider.page(anchor))
            ids.append([provider.identify(raw) for raw in page.entries])
            if page.next is None:
                break
            anchor = page.next
        assert [len(page) for page in ids] == [50, 50, 20]
        assert [id for page in ids for id in page] == [f"r{number:03d}" for number in reversed(range(120))]
        with pytest.raises(NotFound):
            await provider.retrieve("r999")


async def test_without_a_daemon_there_is_no_mailbox(make: Any) -> None:
    with pytest.raises(ProviderError, match="start `ftwatch run`"):
        await make("push").page(None)


async def test_an_expectation_below_a_second_is_none(make: Any) -> None:
    found = load_kind("provider", "push")
    assert make("push").rules == ()
    assert list(found.Options(expect_every=Duration(milliseconds=500)).problems()) == [
        ("expect_every", "should be at least 1s")
    ]
    assert list(found.Options(expect_every=Duration(seconds=1)).problems()) == []
