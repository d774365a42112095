"""Is it alive, is it ready? For probes, which carry no token: nothing here names a job."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ftwatch import __version__

__all__ = ["routes"]


async def healthz(request: Request) -> Response:
    """Alive: the process answers."""
    return JSONResponse({"status": "ok", "version": __version__})


routes: list[BaseRoute] = [Route("/healthz", healthz)]
