"""The store's thread: one call at a time, in order, and none is left half done."""

import gc
import threading
import time

import anyio
import anyio.to_thread
import pytest

from ftwatch.daemon import threaded


async def test_calls_run_one_by_one_in_their_order_in_one_thread() -> None:
    run = threaded()
    done: list[tuple[int, int]] = []

    def work(number: int) -> int:
        time.sleep(0.001)
        done.append((number, threading.get_ident()))
        return number * 2

    found: dict[int, int] = {}

    async def ask(number: int) -> None:
        found[number] = await run(work, number)

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(ask, number)
    assert [number for number, _ in done] == list(range(20))
    assert found == {number: number * 2 for number in range(20)}
    assert len({thread for _, thread in done}) == 1
    assert done[0][1] != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)])
async def test_what_a_call_raises_is_raised_where_it_was_asked_for(error: BaseException) -> None:
    run = threaded()

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        await run(fail)
    assert raised.value is error
    assert await run(lambda: 1) == 1


async def test_no_future_takes_a_stop_iteration() -> None:
    run = threaded()
    with pytest.raises(RuntimeError, match="StopIteration in the store"):
        await run(lambda: next(iter(())))
    assert await run(lambda: 1) == 1


async def test_what_has_begun_is_waited_for_and_told_though_it_is_cancelled() -> None:
    run, go_on, begun = threaded(), threading.Event(), threading.Event()
    told: list[str] = []

    def work() -> str:
        begun.set()
        assert go_on.wait(10)
        return "whole"

    async def ask() -> None:
        told.append(await run(work))
        await anyio.lowlevel.checkpoint()
        told.append("went on")

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        assert await anyio.to_thread.run_sync(begun.wait, 10)
        group.cancel_scope.cancel()
        go_on.set()
    assert told == ["whole"]


async def test_who_is_cancelled_already_begins_nothing() -> None:
    run, done = threaded(), list[int]()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await run(done.append, 1)
    await run(done.append, 2)
    assert done == [2]


async def test_the_thread_ends_with_its_last_owner() -> None:
    run = threaded()
    thread = await run(threading.current_thread)
    del run
    gc.collect()
    await anyio.to_thread.run_sync(thread.join, 10)
    assert not thread.is_alive()
