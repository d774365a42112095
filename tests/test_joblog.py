"""What a job's own log adds: states between two looks, checkpoints, figures, and what it never invents."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from ftwatch.config import NotifierConfig
from ftwatch.core.delivery import RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.core.job import JobKey, Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.rule import Retiring
from ftwatch.dispatcher import Dispatcher
from ftwatch.plugins import LogPage, Page, ProviderError, Result, Watching
from ftwatch.simulator.script import Script
from ftwatch.store import Store, inline
from tests.accounts import Account, Watch
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
            bell=lambda owed: None,
        )
        while await dispatcher.dispatch_once():
            pass
        assert len(sent) == 1
        owed = [one for one in watch.store.history.deliveries(limit=100_000) if one.created_at > begun]
        assert {str(one.state) for one in owed} <= {"delivered", "folded"}


class Logging(Account):
    """An account of the barest kind whose jobs have logs: lines by job, newest first."""

    log_parts = ("events",)
    log_is_cheap = True
    log_types = frozenset({"message"})

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, list[Line]] = {}
        self.log_failing: ProviderError | None = None
        self.log_asked = 0

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        self.log_asked += 1
        if self.log_failing:
            raise self.log_failing
        return msgspec.json.encode(self.logs.get(id, [])[::-1])

    def read_log(self, part: str, body: bytes) -> LogPage:
        return LogPage(lines=tuple(msgspec.json.decode(body, type=list[Line])))


async def test_a_job_that_goes_on_under_another_id_says_so_on_both_sides(store: Store, clock: Any) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.QUEUED)
    await watch.round(200)
    account.put("j1", Status.CANCELLED)
    account.logs["j1"] = [Line(key="a", message="restarted as j2", type="message", successor="j2")]
    account.put("j2", Status.QUEUED)
    account.listed = ["j1"]  # it is not on the listing yet
    told = await watch.round(60)
    assert told == ["job.cancelled j1", "job.updated j1", "job.created j2"]
    events = {event.type: event for _, event in store.history.events()}
    assert events["fine_tuning.job.updated"].note == "its provider started it anew, as j2"
    assert events["fine_tuning.job.created"].data.continues == "j1"
    assert await watch.round(600) == []


async def test_a_log_that_is_not_there_is_drift_told_once_and_not_asked_for_again(
    store: Store, clock: Any
) -> None:
    account = Logging()
    account.log_failing = ProviderError("HTTP 404: Not Found", missing=True)
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    told = await watch.round() + await watch.round(200) + await watch.round(200)
    assert told.count("ftwatch.provider.drift p") == 1
    assert account.log_asked == 1
    watch = Watch(store, clock, account)
    assert await watch.round(200) == [], "another process knows that it was told"


async def test_lines_of_a_type_that_nobody_knows_are_told_once_with_a_sample(
    store: Store, clock: Any
) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    account.logs["j1"] = [Line(key="a", message="all is well", type="horoscope")]
    await watch.round()
    await watch.round(200)
    (note,) = [event.note for _, event in store.history.events() if event.type.endswith("drift")]
    assert "'horoscope'" in note
    assert "all is well" in note
    account.logs["j1"].append(Line(key="b", message="still well", type="horoscope"))
    assert "ftwatch.provider.drift p" not in await watch.round(200)


async def test_the_error_and_the_model_may_stand_in_the_log_alone(store: Store, clock: Any) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.RUNNING)
    await watch.round(200)
    account.logs["j1"] = [Line(key="a", message="CUDA out of memory", level="error", type="message")]
    account.put("j1", Status.FAILED)
    assert await watch.round(60) == ["job.failed j1"]
    (event,) = [event for _, event in store.history.events() if event.type == "fine_tuning.job.failed"]
    assert event.job.error.message == "CUDA out of memory"
    assert event.data.summary.cause == "out_of_memory"
    account.put("j1", Status.FAILED, seed=7)
    assert await watch.round(3600) == ["job.updated j1"], "what the log said stays said"
    (changed,) = [event for _, event in store.history.events() if event.type == "fine_tuning.job.updated"]
    assert [change.field for change in changed.changes] == ["seed"]


async def test_a_model_that_will_end_is_told_long_after_its_job_has(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account, rules=(Retiring(),))
    await watch.round()
    account.put("j1", Status.SUCCEEDED, fine_tuned_model="mine-v7")
    await watch.round(200)
    end = int(clock.now()) + 40 * 86400
    account.retirements = ends({"mine-v7": end})  # type: ignore[attr-defined]
    watch = Watch(store, clock, account, rules=(Retiring(),))
    told: list[str] = []
    for _ in range(60):
        told += await watch.round(86400)
    alerts = [word for word in told if "retiring" in word]
    assert alerts == ["alert.retiring j1"] * 4, "a month, a week and a day ahead, and when it ends"


def ends(models: dict[str, int]) -> Any:
    async def retirements() -> dict[str, int]:
        return models

    return retirements


async def test_a_service_that_has_ended_is_told_calmly_and_once(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    await watch.round()
    account.failing = ProviderError("HTTP 410: it has been discontinued", closed=True)
    told: list[str] = []
    for _ in range(300):
        told += await watch.round(600)
    assert told == ["ftwatch.provider.retired p"]
    account.failing = None
    assert await watch.round(1000) == ["ftwatch.provider.recovered p"]


async def test_a_service_of_several_listings_is_walked_on_each(store: Store, clock: Any) -> None:
    class Several(Account):
        heads = ("a:", "b:")
        newest_first = False

        async def page(self, anchor: str | None) -> bytes:
            assert anchor is not None
            which, _, start = anchor.partition(":")
            mine = [id for id in self.jobs if id.startswith(which)]
            begin = int(start or 0)
            entries = [self.jobs[id] for id in mine[begin : begin + 2]]
            more = f"{which}:{begin + 2}" if begin + 2 < len(mine) else None
            self.asked.append(f"page {anchor}")
            return json.dumps({"data": entries, "next": more}).encode()

        def split(self, body: bytes) -> Page:
            document = json.loads(body)
            entries = tuple(json.dumps(entry).encode() for entry in document["data"])
            return Page(entries=entries, next=document["next"])

    account = Several()
    for number in range(5):
        account.put(f"a{number}", Status.SUCCEEDED)
        account.put(f"b{number}", Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    assert await watch.round() == ["ftwatch.provider.watching p"]
    assert store.history.events()[-1][1].note == "0 active, 10 finished recorded"
    account.jobs = {**account.jobs, "b9": {"id": "b9", "status": "running"}}  # last of all, on the last page
    assert await watch.round(200) == ["job.created b9"]
    del account.jobs["b9"]
    assert await watch.round(200) == []
    assert await watch.round(200) == ["job.gone b9"]


async def test_news_by_itself_brings_the_next_look_forward(store: Store, clock: Any) -> None:
    class Telling(Account):
        heard = False

        async def watch(self) -> AsyncIterator[str]:
            if self.heard:
                await anyio.sleep_forever()
            self.heard = True
            yield "j1"

    account = Telling()
    watch = Watch(store, clock, account, poll=3600.0)
    await watch.round()
    account.put("j1", Status.QUEUED)
    assert isinstance(account, Watching)
    with anyio.move_on_after(0.5):
        async with anyio.create_task_group() as group:
            group.start_soon(watch.poller._listen, account)
            while not watch.poller.turns():
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert watch.poller.turns()["j1"].why == "something asked for it"
    assert await watch.round() == ["job.created j1"]


async def test_a_log_that_may_not_be_read_withholds_nothing(store: Store, clock: Any) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    await watch.round()
    account.log_failing = ProviderError("HTTP 403: events are not yours", denied=True)
    await watch.round(100)
    account.put("j1", Status.FAILED)
    told = await watch.round(60)
    assert "job.failed j1" in told
    assert "ftwatch.provider.degraded p" not in told


async def test_a_log_that_is_throttled_for_ever_withholds_an_end_for_a_while_only(
    store: Store, clock: Any
) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    account.put("j2", Status.RUNNING)
    await watch.round()
    account.log_failing = ProviderError("HTTP 429", throttled=True)
    account.put("j1", Status.FAILED)
    told: list[str] = []
    for _ in range(8):
        told += await watch.round(60)
    assert "job.failed j1" in told


async def test_ended_jobs_whose_log_fails_once_keep_their_proven_states(store: Store, clock: Any) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.SUCCEEDED)
    account.logs["j1"] = [
        Line(key=str(at), at=int(clock.now()) + at, message=status, status=status)
        for at, status in ((1, Status.QUEUED), (2, Status.RUNNING))
    ]
    account.log_failing = ProviderError("HTTP 500")
    assert await watch.round(200) == []
    account.log_failing = None
    told = await watch.round(60) + await watch.round(60)
    assert told == ["job.created j1", "job.queued j1", "job.running j1", "job.succeeded j1"]


class Saving(Logging):
    """One whose jobs name their model in their last checkpoint, which stands in a list of its own."""

    log_parts = ("events", "checkpoints")
    model_from_checkpoint = True

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[Checkpoint] = []
        self.fail_checkpoints = False

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        if part == "events":
            return await super().log(id, part, anchor)
        if self.fail_checkpoints:
            raise ProviderError("HTTP 500")
        return msgspec.json.encode(self.saved[::-1])

    def read_log(self, part: str, body: bytes) -> LogPage:
        if part == "events":
            return super().read_log(part, body)
        return LogPage(checkpoints=tuple(msgspec.json.decode(body, type=list[Checkpoint])))

    def read(self, raw: bytes) -> Any:
        return msgspec.structs.replace(super().read(raw), fine_tuned_model=None)


async def test_a_model_that_was_named_before_the_end_is_the_jobs_and_stays_so(
    store: Store, clock: Any
) -> None:
    account = Saving()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.RUNNING)
    await watch.round(200)
    account.saved = [Checkpoint(id="c", step=5, model="m:5")]
    account.logs["j1"] = [Line(key="a", message="step", type="message")]
    assert "fine_tuning.checkpoint.created" in [e.type for e in await events_of(watch, 100)]
    account.put("j1", Status.SUCCEEDED)
    (end,) = await events_of(watch, 60)
    assert end.job.fine_tuned_model == "m:5"
    account.put("j1", Status.SUCCEEDED, seed=3)
    (late,) = await events_of(watch, 3600)
    assert [change.field for change in late.changes] == ["seed"]


async def events_of(watch: Watch, after: float) -> list[Any]:
    """What is told after so many seconds."""
    seq = watch.seq
    await watch.round(after)
    return [event for _, event in watch.store.history.events(after=seq, limit=100)]


async def test_what_was_read_half_is_read_again(store: Store, clock: Any) -> None:
    account = Saving()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.RUNNING)
    now = int(clock.now())
    account.logs["j1"] = [Line(key="1", at=now + 1, message="running", status=Status.RUNNING)]
    await watch.round(200)
    await watch.round(100)
    account.fail_checkpoints = True
    account.logs["j1"] = [
        Line(key=str(at), at=now + at, message=status, status=status)
        for at, status in ((1, Status.RUNNING), (2, Status.PAUSED), (3, Status.RUNNING))
    ]
    await watch.round(100)
    account.fail_checkpoints = False
    assert await watch.round(100) == ["job.paused j1", "job.running j1"]


async def test_a_line_that_a_page_left_out_is_not_told_after_what_it_came_before(
    store: Store, clock: Any
) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.PAUSING)
    now = int(clock.now())
    whole = [
        Line(key=status, at=now + at, message=status, status=status)
        for at, status in ((1, Status.PAUSING), (9, Status.PAUSED), (9, Status.QUEUED), (9, Status.RUNNING))
    ]
    account.logs["j1"] = whole[:1]
    await watch.round(200)
    assert await watch.round(100) == []
    account.put("j1", Status.RUNNING)
    account.logs["j1"] = [line for line in whole if line.status is not Status.PAUSED]
    assert await watch.round(100) == ["job.queued j1", "job.running j1"]
    account.logs["j1"] = whole
    assert await watch.round(100) == []
    account.put("j1", Status.SUCCEEDED)
    assert await watch.round(100) == ["job.succeeded j1"]


async def test_what_lies_before_a_state_that_a_lagging_log_lacks_is_not_told_after_it(
    store: Store, clock: Any
) -> None:
    account = Logging()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.PAUSING)
    now = int(clock.now())
    whole = [
        Line(key=status, at=now + at, message=status, status=status)
        for at, status in ((1, Status.PAUSING), (8, Status.PAUSED), (9, Status.QUEUED))
    ]
    account.logs["j1"] = whole[:1]
    await watch.round(200)
    await watch.round(100)
    # The log has not heard of the queue yet; and then it cannot be read any more.
    account.put("j1", Status.QUEUED)
    account.logs["j1"] = whole[:2]
    assert await watch.round(100) == ["job.queued j1"]
    account.log_failing = ProviderError("HTTP 500")
    account.put("j1", Status.SUCCEEDED)
    told = [one for _ in range(6) for one in await watch.round(100)]
    assert told == ["job.succeeded j1"]


async def test_retention_makes_no_old_checkpoint_news(store: Store, clock: Any) -> None:
    account = Saving()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    await watch.round()
    await watch.round(100)
    account.saved = [Checkpoint(id="c", step=5, model="m:5")]
    account.logs["j1"] = [Line(key="a", message="step", type="message")]
    assert len(await events_of(watch, 100)) == 1
    clock.time += 10 * 86400
    store.prune(clock.now(), 86400)
    account.logs["j1"].append(Line(key="b", message="another", type="message"))
    assert await watch.round(100) == []
