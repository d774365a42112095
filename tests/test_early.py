"""What a page shows of a job is known before its document says it: the log is asked for along with that."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ftwatch.core.job import JobKey, Status
from ftwatch.core.journal import Line
from ftwatch.plugins import LogPage, NotFound, ProviderError
from ftwatch.poller.abreast import abreast
from ftwatch.store import Store
from tests.accounts import Account, Watch

KEY = JobKey("p", "j1")


class Logged(Account):
    """An account whose jobs have logs. `wait` is awaited in every question, once it has been noted."""

    log_parts = ("events", "checkpoints")
    log_is_cheap = True
    log_fails: ProviderError | None = None

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.lines: dict[str, list[str]] = {}
        self.wait: Callable[[str], Any] | None = None

    async def _asked(self, what: str) -> None:
        self.asked.append(what)
        if self.wait is not None:
            await self.wait(what)

    async def retrieve(self, id: str) -> bytes:
        raw = await super().retrieve(id)
        if self.wait is not None:
            await self.wait(id)
        return raw

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        await self._asked(f"{id} {part}")
        if self.log_fails:
            raise self.log_fails
        return json.dumps(self.lines.get(id, []) if part == "events" else []).encode()

    def read_log(self, part: str, body: bytes) -> LogPage:
        lines = [Line(key=text, at=number, message=text) for number, text in enumerate(json.loads(body))]
        return LogPage(lines=tuple(lines), next=None, newest_first=False)


@asynccontextmanager
async def watching(store: Store, clock: Any, before: Status = Status.QUEUED) -> AsyncIterator[Watch]:
    """One job, which is known and whose page is."""
    account = Logged()
    account.put("j1", before)
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    account.asked.clear()
    with anyio.fail_after(20):
        yield watch


def only(asked: list[str]) -> list[str]:
    return [what for what in asked if what != "page"]


async def test_what_a_page_shows_to_have_changed_is_asked_for_with_its_log_at_once(
    store: Store, clock: Any
) -> None:
    async with watching(store, clock) as watch:
        account = watch.account
        everything = anyio.Event()

        async def wait(_: str) -> None:
            if len(only(account.asked)) == 3:
                everything.set()
            await everything.wait()

        account.wait = wait
        account.put("j1", Status.SUCCEEDED)
        account.lines["j1"] = ["began", "ended"]
        assert await watch.round(150) == ["job.succeeded j1"]
        assert only(account.asked) == ["j1", "j1 events", "j1 checkpoints"]
        assert store.journals.keys(KEY) == {"began", "ended"}


async def test_without_a_page_a_log_comes_after_its_document(store: Store, clock: Any) -> None:
    async with watching(store, clock) as watch:
        account, done = watch.account, list[str]()

        async def wait(what: str) -> None:
            await anyio.sleep(0.01)
            done.append(what)
            assert what == "j1" or "j1" in done

        account.wait = wait
        account.put("j1", Status.SUCCEEDED)
        watch.poller.poke("j1")
        assert await watch.round() == ["job.succeeded j1"]
        assert only(account.asked) == ["j1", "j1 events", "j1 checkpoints"]


async def test_a_log_that_was_read_is_asked_for_part_by_part(store: Store, clock: Any) -> None:
    """Where its first part says nothing new, the others are not asked for."""
    async with watching(store, clock) as watch:
        account = watch.account
        account.put("j1", Status.RUNNING)
        account.lines["j1"] = ["began"]
        assert await watch.round(150) == ["job.running j1"]
        account.asked.clear()
        account.put("j1", Status.FAILED)
        assert await watch.round(150) == ["job.failed j1"]
        assert only(account.asked) == ["j1", "j1 events"]


async def test_a_log_that_may_know_less_than_the_document_is_read_again(store: Store, clock: Any) -> None:
    async with watching(store, clock) as watch:
        account = watch.account
        account.stale["j1"] = {**account.jobs["j1"], "status": Status.RUNNING}
        account.put("j1", Status.SUCCEEDED)
        account.lines["j1"] = ["began"]

        async def wait(what: str) -> None:
            if what == "j1 checkpoints":
                account.lines["j1"] = ["began", "ended"]

        account.wait = wait
        assert await watch.round(150) == ["job.succeeded j1"]
        assert only(account.asked) == ["j1", *["j1 events", "j1 checkpoints"] * 2]
        assert store.journals.keys(KEY) == {"began", "ended"}


async def test_a_page_that_is_ahead_of_the_document_decides_nothing(store: Store, clock: Any) -> None:
    async with watching(store, clock, Status.RUNNING) as watch:
        account = watch.account
        account.stale["j1"] = {**account.jobs["j1"], "status": Status.SUCCEEDED}
        account.lines["j1"] = ["ended"]
        assert await watch.round(150) == []
        account.put("j1", Status.SUCCEEDED)
        assert await watch.round(150) == ["job.succeeded j1"]
        assert store.journals.keys(KEY) == {"ended"}


async def test_a_log_that_fails_holds_its_change_up_and_then_does_not(store: Store, clock: Any) -> None:
    async with watching(store, clock) as watch:
        account = watch.account
        assert isinstance(account, Logged)
        account.put("j1", Status.SUCCEEDED)
        account.log_fails = ProviderError("HTTP 500")
        told = [await watch.round(150) for _ in range(3)]
        assert told == [[], [], ["job.succeeded j1"]]
        assert only(account.asked).count("j1") == 3


@pytest.mark.parametrize("error", [ProviderError("HTTP 500"), NotFound("j1")])
async def test_a_document_that_fails_says_what_follows(
    store: Store, clock: Any, error: ProviderError | NotFound
) -> None:
    async with watching(store, clock) as watch:
        account = watch.account
        account.put("j1", Status.SUCCEEDED)
        account.lines["j1"] = ["ended"]

        async def wait(what: str) -> None:
            if what == "j1":
                raise error

        account.wait = wait
        assert await watch.round(150) == []
        assert store.journals.keys(KEY) == set()
        account.wait = None
        assert await watch.round(150) == ["job.succeeded j1"]
        assert store.journals.keys(KEY) == {"ended"}


async def test_a_poll_that_is_cancelled_loses_nothing(store: Store, clock: Any) -> None:
    async with watching(store, clock) as watch:
        account = watch.account
        account.put("j1", Status.SUCCEEDED)
        account.lines["j1"] = ["ended"]
        async with anyio.create_task_group() as group:

            async def wait(_: str) -> None:
                if len(only(account.asked)) == 3:
                    group.cancel_scope.cancel()
                await anyio.sleep_forever()

            account.wait = wait
            group.start_soon(watch.round, 150)
        account.wait = None
        watch.poller.poke()
        watch.poller.poke("j1")
        assert await watch.round() == ["job.succeeded j1"]
        assert store.journals.keys(KEY) == {"ended"}


async def test_a_page_that_showed_an_end_is_known_once_the_job_itself_has_said_so(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = Account(page_size=10)
    for number in range(5):
        account.put(f"j{number}")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    strange: list[str] = []
    monkeypatch.setattr(store.jobs, "fingerprints", lambda provider, ids: strange.extend(ids) or {})
    account.put("j2", Status.FAILED)
    assert await watch.round(150) == ["job.failed j2"]
    split = account.split_pages
    assert await watch.round(150) == []
    assert account.split_pages == split
    account.put("j3", Status.FAILED)
    assert await watch.round(150) == ["job.failed j3"]
    assert strange == []


async def test_who_is_held_back_is_not_asked_for_with_every_change(store: Store, clock: Any) -> None:
    account = Account(page_size=30)
    for number in range(25):
        account.put(f"j{number:02}")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    account.put("j03", Status.SUCCEEDED, fine_tuned_model=None)
    assert await watch.round(40) == []
    assert watch.poller._ledger.active["j03"].is_held
    watch.poller.poke()
    account.put("j05", Status.FAILED)
    account.asked.clear()
    assert await watch.round() == ["job.failed j05"]
    assert "j03" not in account.asked


async def test_of_several_questions_so_many_are_asked_at_once_and_each_has_its_answer() -> None:
    under_way = most = 0

    async def ask(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await anyio.lowlevel.checkpoint()
        under_way -= 1
        if number == 3:
            raise ValueError(number)
        return number

    for at_once, expected in ((1, 1), (2, 2), (None, 6)):
        most = 0
        found = await abreast([lambda number=number: ask(number) for number in range(6)], at_once)
        assert [repr(one) for one in found] == ["0", "1", "2", "ValueError(3)", "4", "5"]
        assert most == expected
    assert await abreast([]) == []
