"""What surrounds every page: the templates, the top line, who looks, and the one question to the store."""

import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ftwatch import __version__
from ftwatch.core.message import clean
from ftwatch.core.route import Silence
from ftwatch.core.span import span
from ftwatch.store import Store
from ftwatch.web.access import csrf_token, visitor_of
from ftwatch.web.house import House
from ftwatch.web.pages.shown import Moment, at
from ftwatch.web.pages.trust import Trust, facts, looks, trust

__all__ = ["MARK", "BadQuery", "Frame", "page", "standing", "static"]

T = TypeVar("T")

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def _read() -> dict[str, bytes]:
    folder = resources.files("ftwatch.web.pages") / "static"
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(tuple(_TYPES))}


_FILES = _read()
# Part of every file's address, so that a browser may keep it for ever, and never keeps an old one.
MARK = hashlib.sha256(b"".join(_FILES[name] for name in sorted(_FILES))).hexdigest()[:12]


class BadQuery(HTTPException):
    """An address that asks for what cannot be; the sentence says what."""

    def __init__(self, sentence: str) -> None:
        super().__init__(400, sentence)


class Frame(Struct, frozen=True, kw_only=True):
    """What every page shows around itself."""

    trust: Trust
    now: Moment | None
    version: str
    generation: int
    csrf: str
    visitor: str
    can_leave: bool
    next_look: str


async def page(
    request: Request,
    template: str,
    ask: Callable[[Store], T],
    shape: Callable[[T, Frame], Any],
    *,
    status: int = 200,
) -> Response:
    """A page: what `ask` finds in the store, as `shape` makes it fit for the template.

    All of that is done where the store is read, not on the daemon's loop, which has better to do. Raises
    StoreError, and what `ask` raises.
    """
    house: House = request.app.state.house
    now, config, seen = house.clock.now(), house.config, looks(house)
    visitor, csrf, path = visitor_of(request), csrf_token(request), request.url.path

    def made(store: Store) -> str:
        found, answer = facts(store, config, house, seen, now), ask(store)
        frame = Frame(
            trust=trust(found, now),
            now=at(now, now),
            version=__version__,
            generation=house.generation,
            csrf=csrf,
            visitor=clean(visitor.name, 40) if visitor.way == "proxy" else "",
            can_leave=visitor.way == "session",
            next_look=_when(min((one.next_look for one in seen), default=None), now),
        )
        return _templates.get_template(template).render(frame=frame, view=shape(answer, frame), path=path)

    return HTMLResponse(await house.read(made), status)


def standing(store: Store, given: Sequence[Silence], now: float) -> list[Silence]:
    """The silences that mute anything now: those of the config, then those that were asked for."""
    asked_for = (kept.silence for kept in store.silences.all() if kept.stands(now))
    return [*(one for one in given if one.until is None or one.until > now), *asked_for]


def _when(at: float | None, now: float) -> str:
    """When the next look is, in words."""
    if at is None or at == float("inf"):
        return ""
    return "due now" if at - now < 1 else f"in {span(at - now)}"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("ftwatch.web.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = lambda name: f"/static/{MARK}/{name}"
    return made


_templates = _environment()


async def _static(request: Request) -> Response:
    """A file of ours. Whatever mark is asked for, today's file is given; only its own may be kept."""
    name = request.path_params["name"]
    content = _FILES.get(name)
    if content is None:
        raise HTTPException(404, "there is no such file")
    tag = f'"{MARK}"'
    lasts = request.path_params["mark"] == MARK
    headers = {"etag": tag, "cache-control": "private, max-age=31536000, immutable" if lasts else "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(content, 200, headers, media_type=_TYPES[name[name.rindex(".") :]])


static = Route("/static/{mark}/{name}", _static)
