"""Earlier runs of a recipe: what the store knows of them reaches the event that tells of a job's end."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ftwatch.config import ProviderConfig
from ftwatch.core.compare import LOSSES, recipe
from ftwatch.core.event import Event, Summary
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Journal, Line
from ftwatch.core.known import Look
from ftwatch.core.route import Routing
from ftwatch.poller.ledger import Ledger
from ftwatch.store import Store

NOW = 1_795_387_800.0


class Clock:
    def now(self) -> float:
        return NOW

    def ticks(self) -> float:
        return NOW


async def inline(work: Any, *args: Any, **more: Any) -> Any:
    return work(*args, **more)


class Watch:
    """A ledger over a store, and looks in their order."""

    def __init__(self, store: Store, settle: float = 0.0) -> None:
        self.asked = 0
        self.ledger = Ledger(
            ProviderConfig(name="mine", kind="openai", settle=settle),
            store,
            inline,
            routing=Routing(),
            rules=(),
            clock=Clock(),  # type: ignore[arg-type]
            bell=lambda owed: None,
        )

    async def see(self, job: Snapshot, *losses: float, baseline: bool = False) -> list[Event]:
        self.asked += 1
        lines = tuple(
            Line(key=f"{self.asked}-{n}", step=self.asked * 100 + n, metrics={"train_loss": loss})
            for n, loss in enumerate(losses)
        )
        look = Look(key=job.key, asked=self.asked, at=NOW, snapshot=job, journal=Journal(lines=lines))
        decisions = await self.ledger.take({job.id: look}, baseline=baseline)
        return [event for decision in decisions for event in decision.events]


def running(id: str, name: str) -> Snapshot:
    return Snapshot(
        id=id, provider="mine", kind="openai", name=name, model="m", status=Status.RUNNING, started_at=1000
    )


def ended(job: Snapshot, at: int, status: Status = Status.SUCCEEDED, model: str | None = "ft:x") -> Snapshot:
    return replace(job, status=status, finished_at=at, fine_tuned_model=model, trained_tokens=at)


def summary(events: list[Event]) -> Summary:
    (told,) = (event.data.summary for event in events if event.data.summary)
    assert told
    return told


async def test_the_end_of_a_run_is_compared_with_the_last_one_of_its_recipe(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    watch = Watch(store)
    await watch.ledger.open()
    for number, loss in ((6, 0.5), (7, 0.4)):
        job = running(f"j{number}", f"bot-v{number}")
        await watch.see(job, 2.0, 1.0)
        told = summary(await watch.see(ended(job, 1000 + number * 100), loss))
        assert told.first == {"train_loss": 2.0}
        assert told.metrics == {"train_loss": loss}
    assert told.last_run is not None
    assert told.last_run.job == "j6"
    assert (told.last_run.ran_for, told.last_run.metrics) == (600, {"train_loss": 0.5})
    other = running("k1", "another-v7")
    await watch.see(other)
    assert summary(await watch.see(ended(other, 2000))).last_run is None
    bad = running("j8", "bot-v8")
    await watch.see(bad)
    assert summary(await watch.see(ended(bad, 2000, Status.FAILED))).last_run is None
    store.forget("mine", "j7")
    assert [run.id for run in store.jobs.earlier("mine", recipe(running("j9", "bot-v9")) or "")] == ["j6"]
    store.close()


async def test_a_success_that_was_held_back_and_one_of_the_baseline_count_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    watch = Watch(store, settle=60.0)
    await watch.ledger.open()
    await watch.see(ended(running("j1", "bot-1"), 1100), baseline=True)
    job = running("j2", "bot-2")
    await watch.see(job)
    assert not [event for event in await watch.see(ended(job, 1200, model=None)) if event.data.summary]
    watch.ledger._clock.now = lambda: NOW + 61  # type: ignore[method-assign]
    decisions = await watch.ledger.take({"j2": None})
    told = summary([event for decision in decisions for event in decision.events])
    assert told.last_run is not None
    assert told.last_run.job == "j1"
    store.close()


def test_the_first_figures_are_those_of_the_last_attempt(tmp_path: Path) -> None:
    store, key = Store(tmp_path / "a.db"), JobKey("mine", "j")
    assert store.journals.first(key, LOSSES) == {}
    for attempt, loss in ((0, 9.0), (1, 3.0)):
        lines = (
            Line(key=f"{attempt}a", step=1, metrics={"train_loss": loss}),
            Line(key=f"{attempt}b", step=2, metrics={"train_loss": loss - 1, "valid_loss": loss + 1}),
        )
        with store.db.transaction():
            store.journals.add(key, attempt, Journal(lines=lines), NOW)
    assert store.journals.first(key, LOSSES) == {"train_loss": 3.0, "valid_loss": 4.0}
    store.close()


def test_looking_for_earlier_runs_goes_by_an_index(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    plan = store.db.rows(
        "EXPLAIN QUERY PLAN SELECT known FROM jobs WHERE provider = ? AND recipe = ? AND status = 'succeeded'"
        " AND id <> ? AND NOT ignored ORDER BY changed_at DESC LIMIT ?",
        *("mine", "m|bot", "j", 20),
    )
    assert "jobs_recipe" in str(list(plan))
    assert "TEMP B-TREE" not in str(list(plan))
    store.close()
