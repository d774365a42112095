"""HTTP: inbound hooks, health, metrics, JSON API and the page; embedded in the daemon, off without `web:`.

Whatever changes something goes through the daemon's own operations; who may ask is settled in `access`, once
for all routes. Nothing here decides about jobs or sends anything.
"""

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ftwatch.web import api, health, hooks, metrics, pages, stream
from ftwatch.web.access import Access, refusal, wants_page
from ftwatch.web.house import House
from ftwatch.web.server import serving

__all__ = ["House", "application", "serving"]


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
    inner = Starlette(routes=routes, exception_handlers={HTTPException: _refused})
    inner.state.house = house
    inner.state.ends = ends
    inner.state.gate = hooks.Gate()
    inner.state.examiner = health.Examiner(house)
    inner.state.figures = metrics.Figures(house, inner.state.examiner)
    return Access(inner, house)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code in (400, 404) and wants_page(request):
        return await pages.missing(request, error)
    return refusal(request, error)
