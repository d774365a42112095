"""Deliveries and every try of them; sent again, or given up."""

from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch import answers
from ftwatch.core.delivery import Delivery, State
from ftwatch.core.route import did_you_mean
from ftwatch.plugins import Duration
from ftwatch.store import Store
from ftwatch.web.api.answering import answered, done, found, house_of, paged
from ftwatch.web.api.asking import PAGE, Limit, Nothing, Seq, asked, body_of, refused, resolved

__all__ = ["drop", "listed", "one", "replay", "retry"]


class Listed(Struct):
    """Which deliveries to list."""

    state: tuple[State, ...] = ()
    notifier: str | None = None
    job: str | None = None
    after: Seq | None = None
    limit: Limit = PAGE


class Replay(Struct):
    """What to send again: `since` is Unix seconds, or a span before now."""

    notifier: str
    since: float | str
    dead: bool = False


async def listed(request: Request) -> Response:
    """The deliveries, the newest first."""
    query = asked(request, Listed)

    def question(store: Store) -> Any:
        stretch = store.listing.deliveries(
            states=query.state,
            notifier=query.notifier,
            job=resolved(store, query.job).known.snapshot.key if query.job else None,
            after=query.after,
            limit=query.limit,
        )
        return paged(stretch, lambda _, delivery: answers.owed(*delivery, store))

    return await found(request, question)


async def one(request: Request) -> Response:
    """A delivery, by its id or the beginning of it, and every try."""
    asked(request, Nothing)
    id = request.path_params["id"]

    def question(store: Store) -> Any:
        delivery = _meant(store, id)
        because = store.history.reasons(delivery.event_id).get(delivery.id, "")
        return answers.owed(delivery, because, store)

    return await found(request, question)


async def retry(request: Request) -> Response:
    """Sends a dead or waiting delivery again, now."""
    return await _change(request, "outbox.retry")


async def drop(request: Request) -> Response:
    """Gives a dead or waiting delivery up for good."""
    return await _change(request, "outbox.drop")


async def _change(request: Request, operation: str) -> Response:
    asked(request, Nothing)
    await body_of(request, Nothing)
    id = request.path_params["id"]
    delivery = await house_of(request).read(lambda store: _meant(store, id))
    if delivery.id != id:
        raise refused(f"write the whole id of what should be changed: {delivery.id}")
    changed = await done(request, operation, ids=[delivery.id])
    if not changed["ids"]:
        raise refused(f"{delivery.id} is {delivery.state}: only what is pending or dead can be changed", 409)
    return answered(changed)


async def replay(request: Request) -> Response:
    """Sends a notifier again what it was owed since then: the same events, ids and bytes."""
    asked(request, Nothing)
    body, house = await body_of(request, Replay), house_of(request)
    since = _since(body.since, house.clock.now())
    names = house.config.notifiers
    if body.notifier not in names:
        hint = did_you_mean(body.notifier, names) or f"; there are: {', '.join(sorted(names)) or 'none'}"
        raise refused(f"no notifier is called {body.notifier!r}{hint}", 404)
    return answered(await done(request, "replay", notifier=body.notifier, since=since, dead=body.dead))


def _since(said: float | str, now: float) -> float:
    """Unix seconds."""
    if not isinstance(said, str):
        return said
    try:
        return now - Duration.parse(said).total_seconds()
    except ValueError as error:
        raise refused(f"since: {error}") from None


def _meant(store: Store, id: str) -> Delivery:
    """The one delivery that is meant. Raises HTTPException (404, 409)."""
    owed = store.history.deliveries(id=id, limit=2)
    if not owed:
        raise refused(f"no delivery has the id {id!r}", 404)
    if len(owed) > 1 and owed[0].id != id:
        raise refused(f"{id!r} is the beginning of several ids; write more of it", 409)
    return owed[0]
