"""The whole of it: can it be trusted, who gets what, and what this API offers. No secret is in any of it."""

from functools import cache
from importlib.resources import files
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ftwatch import answers
from ftwatch.config import Config
from ftwatch.core.reach import in_words, reach
from ftwatch.web.api.answering import conditional, found, house_of
from ftwatch.web.api.asking import Nothing, asked

__all__ = ["config", "document", "status"]


async def status(request: Request) -> Response:
    """Can it be trusted? Each provider, each notifier, the daemon itself."""
    asked(request, Nothing)
    house = house_of(request)
    daemon = await house.operations["ping"]()
    config, now = house.config, house.clock.now()
    return await found(request, lambda store: answers.trust(config, store, daemon, now), stands_alone=False)


async def config(request: Request) -> Response:
    """Who is watched, who is told of what: names, kinds and routes, without addresses and keys."""
    asked(request, Nothing)
    return conditional(request, _told(house_of(request).config))


async def document(request: Request) -> Response:
    """This API, as an OpenAPI document."""
    asked(request, Nothing)
    return conditional(request, _document())


@cache
def _document() -> bytes:
    return (files("ftwatch.web") / "openapi.json").read_bytes()


def _told(config: Config) -> dict[str, Any]:
    routing = config.routing
    return {
        "providers": [
            {"name": one.name, "kind": one.kind, "labels": dict(one.labels)}
            for one in config.providers.values()
        ],
        "notifiers": [
            {"name": one.name, "kind": one.kind, "audience": one.audience} for one in routing.recipients
        ],
        # Without routes the default holds, as `reach` shows it.
        "routes": None
        if routing.routes is None
        else [{"takes": in_words(route), "notify": route.notify} for route in routing.routes],
        "reach": reach(routing),
    }
