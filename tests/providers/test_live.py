"""What every kind promises of its asking: the real provider, over sockets, against the simulated service.

The service's dialect stands in `ftwatch/simulator/dialects/`; a case file may say `SERVED = False` for a kind
that asks nobody (files on a disk): then only what is about jobs is held against it. `FORGETS = False`: what
was once told of a job stays, whatever becomes of the job.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ftwatch import config
from ftwatch.assembly import Letterbox, make_client, make_provider
from ftwatch.core.job import Status
from ftwatch.plugins import JobLog, NotFound, ProviderError, TellingDocument, Unreadable
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream
from ftwatch.store import Store, inline
from tests.watching import deliver, watched

KEY = "sk-simulated-key-0123456789"
LIVES = ("happy", "fails", "invalid", "cancelled", "paused", "slow")


class Site:
    """A service of one kind and a provider that watches it; `move` lets time pass."""

    def __init__(self, upstream: Upstream, provider: Any, config: Any, store: Store) -> None:
        self.upstream = upstream
        self.provider = provider
        self.config = config
        self._store = store

    def move(self, seconds: float) -> None:
        assert isinstance(self.upstream.clock, StillClock)
        self.upstream.clock.move(seconds)
        self.upstream.dialect.write(self.upstream)
        deliver(self.upstream, self._store, "acme")

    async def listed(self) -> list[Any]:
        """Every job of every listing, page by page."""
        found = []
        for head in getattr(self.provider, "heads", (None,)):
            anchor, seen = head, set()
            while anchor not in seen:
                seen.add(anchor)
                page = self.provider.split(await self.provider.page(anchor))
                found += [self.provider.read(raw) for raw in page.entries]
                if page.next is None:
                    break
                anchor = page.next
        return found

    async def job(self, id: str) -> Any:
        return self.provider.read(await self.provider.retrieve(id))


@asynccontextmanager
async def site(kind: str, folder: Path, key: str = KEY, **more: Any) -> AsyncIterator[Site]:
    dialect = dialect_of(kind)
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect, **more)
    async with upstream.serving():
        options = dialect.options(upstream.url, key, folder)
        file = folder / "ftwatch.yaml"
        written = {"providers": {"acme": {**options, "rate": "60000/min"}}, "notifiers": {"console": {}}}
        file.write_text(json.dumps(written))
        made = config.load(file, environ={}, secrets=True)
        (provider,) = made.providers.values()
        store = Store(folder / "ftwatch.db")
        try:
            async with make_client(made.client) as client:
                mailbox = Letterbox("acme", store, inline)
                yield Site(upstream, make_provider(provider, client, made.folder, mailbox), provider, store)
        finally:
            store.close()


def is_served(make: Any, kind: str) -> bool:
    return bool(getattr(make.case(kind), "SERVED", True))


async def test_its_jobs_are_listed_and_asked_for(kind: str, tmp_path: Path) -> None:
    async with site(kind, tmp_path, page_cap=2) as it:
        for number in range(5):
            it.upstream.create("happy", suffix=f"run-{number}")
            it.move(10)
        if it.upstream.dialect.pages and getattr(it.provider, "heads", (None,)) == (None,):
            first = it.provider.split(await it.provider.page(None))
            assert len(first.entries) == 2
            assert first.next is not None
        jobs = await it.listed()
        assert len(jobs) == len({job.id for job in jobs}) == 5
        for job in jobs:
            found = await it.job(job.id)
            assert (found.id, found.provider, found.kind) == (job.id, "acme", kind)
        names = [job.name for job in jobs if job.name]
        assert not names or {f"run-{number}" for number in range(5)} == set(names)
        if getattr(it.provider, "newest_first", True) and getattr(it.provider, "heads", (None,)) == (None,):
            times = [job.created_at for job in jobs if job.created_at is not None]
            assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("life", LIVES)
async def test_every_state_of_a_life_is_seen(kind: str, life: str, tmp_path: Path) -> None:
    async with site(kind, tmp_path) as it:
        made = it.upstream.create(life, suffix="run")
        shows = it.upstream.dialect.shows
        it.move(1)
        (id,) = [job.id for job in await it.listed()]
        truth = [(at, status) for at, status in made.script.states]
        for at, status in truth:
            it.move(made.created_at + at + 1 - it.upstream.now())
            job = await it.job(id)
            wanted = Status(shows.get(status, status))
            assert job.status is wanted, f"{status} of {life}"
            assert (job.error is not None) == (wanted is Status.FAILED), "an error is told of what failed"
            if wanted is Status.SUCCEEDED and it.upstream.dialect.tells_model:
                assert job.fine_tuned_model
            if not wanted.is_terminal:
                assert job.finished_at is None
                assert job.fine_tuned_model is None or wanted is Status.PAUSED


async def test_a_job_that_is_gone_is_not_found(kind: str, tmp_path: Path, make: Any) -> None:
    if not getattr(make.case(kind), "FORGETS", True):
        return
    async with site(kind, tmp_path) as it:
        it.upstream.create("slow")
        it.move(1)
        (id,) = [job.id for job in await it.listed()]
        it.upstream.jobs.clear()
        it.move(1)
        with pytest.raises(NotFound):
            await it.provider.retrieve(id)
        assert await it.listed() == []


async def test_a_wrong_key_is_denied(kind: str, tmp_path: Path, make: Any) -> None:
    if not is_served(make, kind):
        return
    async with site(kind, tmp_path, key="sk-wrong-key-9876543210") as it:
        it.upstream.create("slow")
        with pytest.raises(ProviderError) as caught:
            await it.listed()
        assert caught.value.denied
        assert "wrong-key" not in caught.value.reason


@pytest.mark.parametrize("trouble", ["error", "html", "truncated", "garbage", "missing", "closed", "busy"])
async def test_trouble_decides_nothing(kind: str, trouble: str, tmp_path: Path, make: Any) -> None:
    if not is_served(make, kind):
        return
    async with site(kind, tmp_path) as it:
        it.upstream.create("slow")
        it.move(1)
        ids = [job.id for job in await it.listed()]
        it.upstream.trouble(trouble)
        with pytest.raises(ProviderError) as caught:
            await it.listed()
        error = caught.value
        assert error.reason.isprintable()
        assert "\n" not in error.reason
        assert error.closed == (trouble == "closed")
        assert error.throttled == (trouble == "busy")
        if trouble == "busy":
            assert error.retry_after == 1
        assert not error.denied
        if trouble != "truncated":  # which is about listings
            with pytest.raises(ProviderError):
                await it.job(ids[0])


async def test_one_spoilt_entry_hides_no_other(kind: str, tmp_path: Path, make: Any) -> None:
    if not is_served(make, kind):
        return
    async with site(kind, tmp_path) as it:
        it.upstream.create("slow")
        it.move(1)
        (id,) = [job.id for job in await it.listed()]
        it.upstream.trouble("spoiled")
        found = set()
        for head in getattr(it.provider, "heads", (None,)):
            for raw in it.provider.split(await it.provider.page(head)).entries:
                with suppress(Unreadable):
                    found.add(it.provider.identify(raw))
        assert id in found


async def test_its_log_tells_of_states_and_figures(kind: str, tmp_path: Path) -> None:
    async with site(kind, tmp_path) as it:
        if not isinstance(it.provider, JobLog):
            return
        it.upstream.create("happy")
        it.move(1)
        (id,) = [job.id for job in await it.listed()]
        it.move(1000)
        lines, checkpoints = [], []
        for part in it.provider.log_parts:
            anchor, seen = None, set()
            while anchor not in seen:
                seen.add(anchor)
                page = it.provider.read_log(part, await it.provider.log(id, part, anchor))
                lines += page.lines
                checkpoints += page.checkpoints
                if page.next is None:
                    break
                anchor = page.next
        assert lines or checkpoints
        tells = it.upstream.dialect.log_tells
        if "states" in tells:
            assert Status.RUNNING in {line.status for line in lines}
        if "figures" in tells:
            assert any("train_loss" in line.metrics and line.step is not None for line in lines)
        if "checkpoints" in tells:
            assert len(checkpoints) >= 3
        for line in lines:
            assert line.status is None or not line.status.is_terminal or "ends" in tells


async def test_its_document_tells_what_it_may(kind: str, tmp_path: Path) -> None:
    async with site(kind, tmp_path) as it:
        if not isinstance(it.provider, TellingDocument):
            return
        it.upstream.create("happy")
        it.move(1)
        (id,) = [job.id for job in await it.listed()]
        it.move(1000)
        told = it.provider.inline(await it.provider.retrieve(id))
        assert told.lines or told.checkpoints


@pytest.mark.parametrize("life", ["happy", "fails", "cancelled"])
async def test_a_whole_life_is_told_in_order_by_the_real_poller(kind: str, life: str, tmp_path: Path) -> None:
    async with watched(kind, tmp_path, poll="30s", discover="30s") as it:
        await it.round()
        made = it.upstream.create(life, suffix="run")
        shows = it.upstream.dialect.shows
        truth = [shows.get(status, status) for _, status in made.script.states]
        truth = [status for number, status in enumerate(truth) if number == 0 or status != truth[number - 1]]
        truth = [status for status in truth if status != "cancelling"]
        events = await it.rounds(1500)
        said = [
            str(event.status)
            for event in events
            if event.type.startswith("fine_tuning.job.") and event.status is not None
        ]
        # On the way to its end a service may tell more than the script does.
        assert [status for status in said if status != "cancelling"] == truth
        assert [event.data.sequence for event in events if event.job] == list(range(1, len(events) + 1))
        for end in (event for event in events if event.status and event.status.is_terminal):
            assert (end.data.summary.cause is None) == (life == "happy")
            assert await it.rounds(300) == [], "what is over is over"
        assert it.poller.problem is None
