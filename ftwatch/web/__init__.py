"""HTTP: inbound hooks, health, metrics, JSON API and the page; embedded in the daemon, off without `web:`.

Whatever changes something goes through the daemon's own operations; who may ask is settled in `access`, once
for all routes. Nothing here decides about jobs or sends anything.
"""

from http import HTTPStatus
from typing import Any

import anyio
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ftwatch.store import StoreError
from ftwatch.web import api, health, hooks, metrics, pages, stream
from ftwatch.web.access import Access, failure, refusal, wants_page
from ftwatch.web.house import House
from ftwatch.web.server import serving

__all__ = ["House", "application", "serving"]

log = structlog.get_logger("ftwatch.web")


def application(house: House, ends: anyio.Event) -> ASGIApp:
    """Everything that is served. Long answers end when `ends` is set."""
    routes = [
        *health.routes,
        *metrics.routes,
        *hooks.routes,
        *stream.routes,
        *api.routes,
        *pages.routes,
    ]
    handlers: dict[Any, Any] = {HTTPException: _refused, StoreError: _failed, Exception: _failed}
    inner = Starlette(routes=routes, exception_handlers=handlers)
    inner.state.house = house
    inner.state.ends = ends
    inner.state.gate = hooks.Gate()
    inner.state.examiner = health.Examiner(house)
    inner.state.tail = stream.Tail(house)
    inner.state.figures = metrics.Figures(house, inner.state.examiner)
    return Access(inner, house)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        error = HTTPException(404, "there is nothing at this address")
    elif error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        error = HTTPException(405, f"{request.method} is not for this address: {allowed}", error.headers)
    if error.status_code in (400, 404) and wants_page(request):
        return await pages.missing(request, error)
    return refusal(request, error)


async def _failed(request: Request, error: Exception) -> Response:
    # What is nobody's fault but ours is raised again, and logged by the middleware.
    if isinstance(error, StoreError):
        log.error("a request failed", path=request.url.path, method=request.method, error=str(error))
    return refusal(request, failure(error))
