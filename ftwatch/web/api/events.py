"""Events, in their wire form, byte for byte as they were frozen; and what became of each."""

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch import answers
from ftwatch.answers import Placed
from ftwatch.core.event import Severity
from ftwatch.store import Store
from ftwatch.web.api.answering import found, paged
from ftwatch.web.api.asking import PAGE, Limit, Nothing, Seq, asked, refused, resolved

__all__ = ["listed", "one"]

# As long as the name of a type, or a glob of some, may be.
LONGEST = 200


class Order(StrEnum):
    """Which come first."""

    NEWEST = "newest"
    OLDEST = "oldest"


class Wanted(Struct):
    """Which events somebody wants to hear of."""

    job: str | None = None
    provider: str | None = None
    type: Annotated[str, Meta(max_length=LONGEST)] | None = None
    severity: tuple[Severity, ...] = ()


class Listed(Wanted):
    """Which events to list."""

    order: Order = Order.NEWEST
    after: Seq | None = None
    limit: Limit = PAGE


async def listed(request: Request) -> Response:
    """The events, the newest first or the oldest."""
    query = asked(request, Listed)

    def question(store: Store) -> Any:
        stretch = store.listing.events(
            job=resolved(store, query.job).known.snapshot.key if query.job else None,
            provider=query.provider,
            type=query.type,
            severities=query.severity,
            newest=query.order is Order.NEWEST,
            after=query.after,
            limit=query.limit,
        )
        return paged(stretch, lambda seq, body: Placed(seq, Raw(body)))

    return await found(request, question)


async def one(request: Request) -> Response:
    """An event, who was told of it, who was not, and why; every try."""
    asked(request, Nothing)
    id = request.path_params["id"]

    def question(store: Store) -> Any:
        event = store.listing.event_at(id)
        if event is None:
            raise refused(f"no event has the id {id!r}", 404)
        return answers.happening(*event, store)

    return await found(request, question)
