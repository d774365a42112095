"""The thread that the store has to itself: one call at a time. Knows nothing of what it runs."""

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel

from ftwatch.store import Runner, T, Ts

__all__ = ["threaded"]


class _Call(NamedTuple):
    """One call, and where its result is waited for."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    function: Callable[[], Any]


class _Worker:
    """Runs what it is given, in the order in which it was asked for. Its thread ends when nobody has it any
    more.

    A call that has begun is waited for, cancelled or not: what it does to a database it does whole.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        # No daemon waits for the thread at its end: a disk that hangs would keep it for ever.
        threading.Thread(target=_work, args=(self._calls,), name="store", daemon=True).start()
        weakref.finalize(self, self._calls.put, None)

    async def __call__(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        await anyio.lowlevel.checkpoint_if_cancelled()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.put(_Call(loop, future, lambda: function(*args)))
        with anyio.CancelScope(shield=True):
            await future
        return future.result()


def threaded() -> Runner:
    """A runner that gives the store a worker thread, one call at a time."""
    return _Worker()


def _work(calls: "queue.SimpleQueue[_Call | None]") -> None:
    while (call := calls.get()) is not None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = call.function()
        except StopIteration as stopped:
            # No future takes one: it would end the coroutine that waits for it.
            error = RuntimeError(f"StopIteration in the store: {stopped}")
        except BaseException as raised:
            error = raised
        with suppress(RuntimeError):  # The loop was closed meanwhile: nobody waits any more.
            call.loop.call_soon_threadsafe(_land, call.future, result, error)
        # Until the next call nothing of this one is kept.
        del call, result, error


def _land(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return  # Who waited for it was ended together with everything else.
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
