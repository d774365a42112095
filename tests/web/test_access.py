"""Every route that there is, walked: without the token, under another name, from another site's page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import anyio
import pytest
from starlette.routing import Route

from ftwatch.web import application
from ftwatch.web.access import HOOKS, LOGIN, LOGOUT, PROBES
from tests.web.served import CLOSED, TOKEN, served

FOREIGN = "https://elsewhere.example"


def walked() -> Iterator[Any]:
    """Every method of every route of the whole application, and what the middleware answers by itself."""
    inner: Any = application(MagicMock(), anyio.Event())._application  # type: ignore[attr-defined]
    found = {(method, route.path) for route in inner.routes for method in _methods(route)}
    assert ("GET", "/api/v1/jobs") in found
    for method, path in sorted(found | {("POST", LOGIN), ("POST", LOGOUT)}):
        yield pytest.param(method, path, id=f"{method} {path}")


def _methods(route: Any) -> set[str]:
    assert isinstance(route, Route), f"{route!r} is of a sort that this walk does not know"
    assert route.methods, f"{route.path} answers to every method"
    return route.methods


def at(path: str) -> str:
    """An address of a route."""
    parts = path.replace("{id:whole}", "a/b").split("/")
    return "/".join("x" if part.startswith("{") else part for part in parts)


@pytest.mark.parametrize(("method", "path"), list(walked()))
async def test_nobody_comes_in_unasked(method: str, path: str, tmp_path: Path) -> None:
    is_probe, is_hook = path in PROBES, path.startswith(HOOKS)
    token = {"authorization": f"Bearer {TOKEN}"}
    async with served(tmp_path, web=CLOSED) as it:

        async def status(**headers: str) -> int:
            asked = {name.replace("_", "-"): value for name, value in headers.items()}
            with anyio.fail_after(20):
                async with it.client.stream(method, at(path), headers=asked) as answer:
                    return answer.status_code

        if is_probe:
            # Kubelets come by address and without a token; there is nothing to be had but numbers.
            assert await status(host="10.0.0.1:8787") in (200, 503)
            return
        assert await status(host="elsewhere.example", **token) == 421
        assert await status(host="elsewhere.example@127.0.0.1", **token) == 421
        if is_hook:
            # A hook proves itself; there is none of this name.
            assert await status() in (401, 404)
            return
        assert await status(origin=FOREIGN, **token) == 403
        assert await status(origin="null", **token) == 403
        if method not in ("GET", "HEAD"):
            assert await status(sec_fetch_site="cross-site", **token) == 403
        assert await status() == 401
        assert await status(authorization="Bearer x") == 401
        if (method, path) != ("POST", LOGIN):
            assert await status(**token) not in (401, 403, 421)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api", "/api/v2/jobs", "/hooks", "//healthz"])
async def test_what_is_not_there_is_behind_the_door_too(path: str, tmp_path: Path) -> None:
    async with served(tmp_path, web=CLOSED) as it:
        assert (await it.client.get(path)).status_code == 401
