"""Answers: JSON, with a tag by which whoever has it already is spared it; and who did what, in the log."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import msgspec
import structlog
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from ftwatch import control
from ftwatch.answers import Page, page
from ftwatch.store import Store
from ftwatch.store.listing import Stretch
from ftwatch.web.access import visitor_of
from ftwatch.web.api.asking import refused
from ftwatch.web.house import House

__all__ = ["answered", "conditional", "done", "found", "house_of", "paged"]

log = structlog.get_logger("ftwatch.web")

T = TypeVar("T")

# How many answers' tags are remembered.
TAGS = 256

_seen: WeakKeyDictionary[Store, dict[str, tuple[int, str]]] = WeakKeyDictionary()


def house_of(request: Request) -> House:
    """The daemon."""
    house: House = request.app.state.house
    return house


def answered(what: Any, status: int = 200) -> Response:
    """What is said, as JSON."""
    return Response(msgspec.json.encode(what), status, media_type="application/json")


async def found(request: Request, question: Callable[[Store], Any], *, stands_alone: bool = True) -> Response:
    """What `question` finds in the store, as JSON, or 304 for whoever has just that.

    `stands_alone`: it depends on nothing but the store. As long as nobody wrote, it need not be asked again.
    """
    house, wanted = house_of(request), _wanted(request)
    target = f"{request.url.path}?{request.url.query}"

    def ask(store: Store) -> tuple[str, bytes | None]:
        # Whether somebody else wrote is something that only another connection than theirs can tell.
        tells = stands_alone and store is not house.store
        version = store.db.written_by_others if tells else 0
        tags = _seen.setdefault(store, {}) if tells else {}
        known = tags.get(target)
        if known is not None and known[0] == version and known[1] in wanted:
            return known[1], None
        body = msgspec.json.encode(question(store))
        tag = _tag(body)
        if len(tags) >= TAGS:
            tags.clear()
        tags[target] = version, tag
        return tag, body

    tag, body = await house.read(ask)
    return _tagged(tag, body, wanted)


def conditional(request: Request, what: Any) -> Response:
    """What is said, as JSON, or 304 for whoever has just that."""
    body = what if isinstance(what, bytes) else msgspec.json.encode(what)
    return _tagged(_tag(body), body, _wanted(request))


def paged(stretch: Stretch[int, T], tell: Callable[[int, T], Any]) -> Page[Raw]:
    """A page of what was found, each as `tell` has it."""
    return page(
        ((str(place), tell(place, what)) for place, what in stretch.found),
        None if stretch.rest is None else str(stretch.rest),
    )


async def done(request: Request, operation: str, **asked: Any) -> dict[str, Any]:
    """What one of the daemon's operations answers; the log says who wanted it. Raises HTTPException (409)."""
    visitor = visitor_of(request)
    try:
        answer = await house_of(request).operations[operation](**asked)
    except control.Refused as error:
        raise refused(str(error), 409) from None
    log.info("done over the web", operation=operation, by=visitor.name, way=visitor.way, asked=asked)
    return answer


def _tag(body: bytes) -> str:
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def _wanted(request: Request) -> frozenset[str]:
    """The tags of what the asker has."""
    given = request.headers.get("if-none-match", "")
    return frozenset(tag.strip().removeprefix("W/") for tag in given.split(",") if tag.strip())


def _tagged(tag: str, body: bytes | None, wanted: frozenset[str]) -> Response:
    # May be kept by whoever asked, and by nobody between; asked for again each time.
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if body is None or tag in wanted or "*" in wanted:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
