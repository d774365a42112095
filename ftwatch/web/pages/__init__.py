"""The page: server-rendered, for people. One module a page (`jobs`, `job`, `deliveries`, `config`).

What they have in common is `frame` with its `trust`, `shown` and `actions`; what is shown of a job, `row` and
`story`; what an address of the list asks for, `asked`.

A page asks the store once, shapes the answer by a pure function, and fills a template that decides nothing.
Nothing here changes anything: what a button does is a request to the JSON API.
"""

from msgspec import Struct
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ftwatch.web.pages.config import config
from ftwatch.web.pages.deliveries import deliveries
from ftwatch.web.pages.frame import MARK, page, static
from ftwatch.web.pages.job import job
from ftwatch.web.pages.jobs import jobs

__all__ = ["missing", "routes"]


class Missing(Struct, frozen=True):
    """What is said where there is nothing to be shown."""

    title: str
    said: str


async def missing(request: Request, error: HTTPException) -> Response:
    """The page for an address that leads nowhere, or asks for what cannot be."""
    title = "Not found" if error.status_code == 404 else "That cannot be shown"
    said = f"{error.detail[:1].upper()}{error.detail[1:]}."
    return await page(
        request,
        "missing.html",
        lambda store: Missing(title, said),
        lambda view, frame: view,
        status=error.status_code,
    )


async def _icon(request: Request) -> Response:
    """Browsers ask for it here, whatever a page says."""
    return RedirectResponse(f"/static/{MARK}/mark.svg", 308)


class _Anything(Convertor[str]):
    """The rest of a path, whatever is in it: a job's id may have a line break."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("anything", _Anything())

routes: list[BaseRoute] = [
    Route("/", jobs),
    Route("/jobs/{provider}/{id:anything}", job),
    Route("/deliveries", deliveries),
    Route("/config", config),
    Route("/favicon.ico", _icon),
    static,
]
