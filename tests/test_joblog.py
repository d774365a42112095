"""What a job's own log adds: states between two looks, checkpoints, figures, and what it never invents."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ftwatch.config import NotifierConfig
from ftwatch.core.delivery import RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.core.job import JobKey, Status
from ftwatch.core.route import Recipient, Routing
from ftwatch.dispatcher import Dispatcher
from ftwatch.plugins import Result
from ftwatch.simulator.script import Script
from ftwatch.store import inline
from tests.watching import told, watched

LIFE = Script(
    "life",
    (
        (0, "validating_files"),
        (60, "queued"),
        (180, "running"),
        (400, "paused"),
        (500, "running"),
        (900, "succeeded"),
    ),
)


def news(events: list[Event]) -> list[str]:
    """What is told of states."""
    return [
        word
        for event, word in zip(events, told(events), strict=True)
        if event.type.startswith("fine_tuning.job.") and "updated" not in word
    ]


async def test_states_between_two_looks_are_told_in_order_at_their_times(tmp_path: Path) -> None:
    async with watched("openai", tmp_path) as watch:
        await watch.round()
        await watch.round(100)
        job = watch.upstream.create(LIFE, suffix="bot")
        assert news(await watch.round(30)) == ["created"]
        events = await watch.round(2000)
        assert news(events) == [
            "queued (skipped)",
            "running (skipped)",
            "paused (skipped)",
            "running (skipped)",
            "succeeded",
        ]
        of_states = [event for event in events if event.status is not None]
        assert [event.data.occurred_at - int(job.created_at) for event in of_states] == [
            60,
            180,
            400,
            500,
            900,
        ]
        assert [event.data.sequence for event in events] == list(range(2, 2 + len(events)))
        before = ["validating_files", "queued", "running", "paused", "running"]
        assert [event.data.previous_status for event in of_states] == before
        assert of_states[-1].data.summary.queued_for == 180
        assert of_states[-1].data.summary.ran_for == 720
        assert of_states[-1].data.summary.metrics["train_loss"] > 0
        assert await watch.round(100) == []


async def test_a_day_of_downtime_is_told_afterwards(tmp_path: Path) -> None:
    async with watched("openai", tmp_path) as watch:
        known = watch.upstream.create(LIFE)
        assert told(await watch.round(200)) == ["ftwatch.provider.watching"]
        unmet = watch.upstream.create(LIFE)
        watch.restart()
        events = await watch.round(86_400)
        of = {
            job.id: [e for e in events if e.data.id == job.id and e.type.startswith("fine_tuning.job.")]
            for job in (known, unmet)
        }
        assert told(of[known.id]) == ["paused (skipped)", "running (skipped)", "succeeded"]
        assert told(of[unmet.id]) == [
            "created (skipped)",
            "validating_files (skipped)",
            "queued (skipped)",
            "running (skipped)",
            "paused (skipped)",
            "running (skipped)",
            "succeeded",
        ]


async def test_what_was_before_the_baseline_is_no_news(tmp_path: Path) -> None:
    async with watched("openai", tmp_path) as watch:
        watch.upstream.create(LIFE)
        assert told(await watch.round(620)) == ["ftwatch.provider.watching"]
        assert news(await watch.round(30)) == []
        assert news(await watch.round(600)) == ["succeeded"]


async def test_without_a_log_nothing_is_invented(tmp_path: Path) -> None:
    async with watched("openai", tmp_path, job_log=False) as watch:
        await watch.round()
        watch.upstream.create(LIFE)
        assert news(await watch.round(130)) == ["created"]
        assert news(await watch.round(2000)) == ["succeeded"]
        assert not any("events" in asked or "checkpoints" in asked for asked in watch.upstream.requests)


async def test_figures_and_checkpoints_are_kept_and_checkpoints_told(tmp_path: Path) -> None:
    async with watched("openai", tmp_path) as watch:
        await watch.round()
        job = watch.upstream.create("happy")
        events = await watch.rounds(1200)
        key = JobKey("acme", job.id)
        saved = [event.data.checkpoint for event in events if event.type == "fine_tuning.checkpoint.created"]
        assert [one.step for one in saved] == [100, 200, 300]
        assert all(one.model for one in saved)
        assert [one.step for one in watch.store.journals.saved(key)] == [100, 200, 300]
        series = watch.store.journals.series(key)
        assert [step for step, _ in series] == list(range(30, 301, 30))
        assert all({"train_loss", "valid_loss"} <= figures.keys() for _, figures in series)
        lines = watch.store.journals.lines(key)
        assert [line.status for line in lines if line.status] == [
            Status.VALIDATING_FILES,
            Status.QUEUED,
            Status.RUNNING,
        ]
        progress = [event.data.job.progress.step for event in events if event.data.job.progress]
        assert progress == sorted(progress)
        assert progress[-1] >= 240


async def test_looking_again_and_again_tells_nothing_twice(tmp_path: Path) -> None:
    async with watched("openai", tmp_path, discover="30s") as watch:
        await watch.round()
        watch.upstream.create(LIFE)
        events = await watch.rounds(600)
        watch.restart()
        events += await watch.rounds(600)
        assert [word.removesuffix(" (skipped)") for word in news(events)] == [
            "created",
            "queued",
            "running",
            "paused",
            "running",
            "succeeded",
        ]
        ids = [event.id for event in events]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("trouble", ["error", "garbage"])
async def test_a_log_that_fails_delays_a_change_but_does_not_hide_it(tmp_path: Path, trouble: str) -> None:
    async with watched("openai", tmp_path) as watch:
        await watch.round()
        job = watch.upstream.create(LIFE)
        assert news(await watch.round(130)) == ["created"]
        events = watch.upstream.dialect.events
        broken = True

        def spoilt(job, now):
            if broken:
                raise RuntimeError("the log is out of order")
            return events(job, now)

        watch.upstream.dialect.events = spoilt
        try:
            assert news(await watch.round(2000)) == []
            broken = trouble == "garbage"
            rest = await watch.rounds(200)
        finally:
            del watch.upstream.dialect.events
        if broken:
            assert news(rest) == ["succeeded"], "after some tries it is told without"
        else:
            assert news(rest)[-1] == "succeeded"
            assert "running (skipped)" in news(rest)
        assert job.id


async def test_many_jobs_after_a_day_are_all_told_and_make_one_summary(tmp_path: Path) -> None:
    async with watched("openai", tmp_path) as watch:
        jobs = [watch.upstream.create(LIFE, suffix=f"run-{number}") for number in range(150)]
        assert told(await watch.round(200)) == ["ftwatch.provider.watching"]
        watch.restart()
        begun = watch.clock.ticks()
        events = await watch.round(86_400)
        assert watch.clock.ticks() - begun - 86_400 < 60, "no waiting that the budget does not ask for"
        of: dict[str, list[str]] = {job.id: [] for job in jobs}
        for event, word in zip(events, told(events), strict=True):
            if event.type.startswith("fine_tuning.job.") and "updated" not in word:
                of[event.data.id].append(word)
        assert set(map(tuple, of.values())) == {("paused (skipped)", "running (skipped)", "succeeded")}
        # One round of the people's notifier, and all of it is one message.
        sent: list[int] = []

        class Folding:
            audience, retry, folds, concurrency = "people", RetryPolicy(fold=900.0), 100, 4
            timeout = 10.0

            def freeze(self, event: object) -> None:
                return None

            async def send(self, some: Sequence[Event], memory: object, *, body: object = None) -> Result:
                sent.append(len(some))
                return Result(Sent())

        dispatcher = Dispatcher(
            NotifierConfig(name="slack", kind="toy", retry=RetryPolicy(fold=900.0)),
            Folding(),  # type: ignore[arg-type]
            watch.store,
            inline,
            routing=Routing(recipients=(Recipient(name="slack", kind="slack"),)),
            clock=watch.clock,
            bell=lambda: None,
        )
        while await dispatcher.dispatch_once():
            pass
        assert len(sent) == 1
        owed = [one for one in watch.store.history.deliveries(limit=100_000) if one.created_at > begun]
        assert {str(one.state) for one in owed} <= {"delivered", "folded"}
