"""Asking several things at once. Knows nothing of what is asked."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

__all__ = ["abreast"]

T = TypeVar("T")


async def abreast(
    asks: Sequence[Callable[[], Awaitable[T]]], at_once: int | None = None
) -> list[T | Exception]:
    """What each of these comes to, in their order, so many (None: all) at once; for what failed its error."""
    found: dict[int, T | Exception] = {}
    waiting = iter(range(len(asks)))

    async def some() -> None:
        for place in waiting:
            try:
                found[place] = await asks[place]()
            except Exception as error:
                found[place] = error

    more = min(len(asks), at_once or len(asks)) - 1
    if more <= 0:
        await some()
    else:
        async with anyio.create_task_group() as group:
            for _ in range(more):
                group.start_soon(some)
            # The first one needs no task of its own, and is on its way before the others.
            await some()
    return [found[place] for place in range(len(asks))]
