"""A simulated service's webhooks: where they go, by OpenAI's API for that; signed, sent, and sent again.

Times in what is signed are the real ones, since receivers look at their own clocks; jobs end by the
simulation's.
"""

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from json import dumps
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.client import Client, Unreachable
from ftwatch.core.signature import fresh_secret, sign
from ftwatch.simulator.script import ENDED

if TYPE_CHECKING:
    from ftwatch.simulator.upstream import Upstream

__all__ = ["TYPES", "Hooks", "Try", "routes"]

TYPES = (
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "eval.run.succeeded",
    "eval.run.failed",
    "eval.run.canceled",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
    "realtime.call.incoming",
    "video.completed",
    "video.failed",
    "agent.environment.ready",
    "agent.environment.failed",
    "agent.environment.suspended",
    "agent.environment.expired",
    "agent.session.created",
    "agent.session.action_required",
    "agent.session.in_progress",
    "agent.session.idle",
    "agent.session.failed",
    "safety.alert.created",
)
AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
LONGEST_NAME, LONGEST_URL = 256, 2048
# How long a receiver has for its answer, and how often jobs are looked at for their ends (real seconds).
PATIENCE, TICK = 5.0, 0.05
DAY = 86400.0


@dataclass
class _Endpoint:
    """Where webhooks go. `secrets` are what they are signed with, each until a moment of the simulation."""

    id: str
    name: str
    url: str
    types: tuple[str, ...]
    created_at: float
    updated_at: float
    secrets: list[tuple[str, float]]

    def shown(self, *, with_secret: bool = False) -> dict[str, Any]:
        """As the API shows it."""
        secret, _ = self.secrets[0]
        return {
            "object": "webhook_endpoint",
            "id": self.id,
            "name": self.name,
            "url": self.url,
            "event_types": list(self.types),
            "created_at": int(self.created_at),
            "updated_at": int(self.updated_at),
            "signing_secret_hint": f"whsec_…{secret[-4:]}",
            **({"signing_secret": secret} if with_secret else {}),
        }


@dataclass(frozen=True)
class Try:
    """One try of one webhook, whose `id` is the same at every try, and how it was answered, if it was."""

    id: str
    type: str
    url: str
    status: int | None
    said: str = ""


@dataclass
class Hooks:
    """The endpoints of one service, newest first, and everything that was sent there.

    `waits` are the pauses (real seconds) before a webhook is sent again that nobody took.
    """

    waits: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    endpoints: dict[str, _Endpoint] = field(default_factory=dict)
    tries: list[Try] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wanted = anyio.Event()
        self._told: set[tuple[str, float]] = set()

    @asynccontextmanager
    async def sending(self, world: "Upstream") -> AsyncIterator[None]:
        """Sends what is to be sent for as long as the context lasts."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, world, group)
            yield
            group.cancel_scope.cancel()

    async def _watch(self, world: "Upstream", group: TaskGroup) -> None:
        """Sends a webhook for every job that ends, to who registered for that before it did."""
        await self._wanted.wait()
        while True:
            for one in world.history():
                if one.status not in ENDED or (one.job, one.at) in self._told:
                    continue
                self._told.add((one.job, one.at))
                type = f"fine_tuning.job.{one.status}"
                body = _event(type, one.job, one.at)
                for endpoint in list(self.endpoints.values()):
                    if type in endpoint.types and endpoint.created_at <= one.at:
                        group.start_soon(self._deliver, world, endpoint, type, body)
            await anyio.sleep(TICK)

    async def _deliver(self, world: "Upstream", endpoint: _Endpoint, type: str, body: bytes) -> None:
        """Sends one, again and again until somebody takes it, or nobody has for long enough."""
        id = _fresh("wh_")
        for pause in (0.0, *self.waits):
            await anyio.sleep(pause)
            if endpoint.id not in self.endpoints:
                return
            answered = await self.send(world, endpoint, type, body, id=id)
            if answered.status is not None and 200 <= answered.status < 300:
                return

    async def send(
        self, world: "Upstream", endpoint: _Endpoint, type: str, body: bytes, *, id: str | None = None
    ) -> Try:
        """One try, whatever comes of it."""
        id, stamp, now = id or _fresh("wh_"), int(time.time()), world.now()
        headers = {
            "content-type": "application/json",
            "user-agent": AGENT,
            "webhook-id": id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(
                [one for one, until in endpoint.secrets if now < until], id, stamp, body
            ),
        }
        try:
            async with Client() as client:
                answer = await client.request(
                    "POST",
                    endpoint.url,
                    headers=headers,
                    content=body,
                    deadline=PATIENCE,
                    head_is_enough=True,
                )
            done = Try(id, type, endpoint.url, answer.status)
        except Unreachable as error:
            done = Try(id, type, endpoint.url, None, error.reason)
        self.tries.append(done)
        return done

    # ------------------------------------------------------------------------------------------ the book

    def add(self, name: str, url: str, types: Sequence[str], now: float) -> _Endpoint:
        """Another endpoint, with a secret of its own."""
        secret = fresh_secret(os.urandom(32))
        made = _Endpoint(_fresh("whe_"), name, url, tuple(types), now, now, [(secret, float("inf"))])
        self.endpoints = {made.id: made, **self.endpoints}
        self._wanted.set()
        return made


def _fresh(prefix: str) -> str:
    return prefix + os.urandom(16).hex()


def _event(type: str, about: str, at: float) -> bytes:
    return dumps(
        {"id": _fresh("evt_"), "object": "event", "created_at": int(at), "type": type, "data": {"id": about}}
    ).encode()


# ------------------------------------------------------------------------------------------------ the API


def routes(world: "Upstream", prefix: str) -> list[Route]:
    """`/webhook_endpoints` and `/webhook_event_types`, as OpenAI's own client asks for them."""
    hooks, at = world.hooks, prefix + "/webhook_endpoints"

    def page(request: Request) -> Response:
        query, ids = request.query_params, list(hooks.endpoints)
        after, limit = query.get("after"), query.get("limit", "20")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            return world.dialect.said(400, "limit is a number from 1 to 100")
        if after is not None and after not in ids:
            return world.dialect.said(400, f"No such webhook endpoint: {after}")
        start = ids.index(after) + 1 if after is not None else 0
        shown = ids[start : start + int(limit)]
        return JSONResponse(
            {
                "object": "list",
                "data": [hooks.endpoints[id].shown() for id in shown],
                "first_id": shown[0] if shown else None,
                "last_id": shown[-1] if shown else None,
                "has_more": start + int(limit) < len(ids),
            }
        )

    async def create(request: Request) -> Response:
        said = await _body(request)
        if problem := _problem(said, ("name", "url", "event_types")):
            return world.dialect.said(400, problem)
        made = hooks.add(said["name"], said["url"], said["event_types"], world.now())
        return JSONResponse(made.shown(with_secret=True))

    async def update(request: Request, one: _Endpoint) -> Response:
        said = await _body(request)
        if problem := _problem(said, ()):
            return world.dialect.said(400, problem)
        before = one.shown()
        one.name, one.url = said.get("name", one.name), said.get("url", one.url)
        one.types = tuple(said.get("event_types", one.types))
        if one.shown() != before:
            one.updated_at = world.now()
        return JSONResponse(one.shown())

    async def retrieve(request: Request, one: _Endpoint) -> Response:
        return JSONResponse(one.shown())

    async def delete(request: Request, one: _Endpoint) -> Response:
        del hooks.endpoints[one.id]
        return JSONResponse({"id": one.id, "object": "webhook_endpoint.deleted", "deleted": True})

    async def rotate(request: Request, one: _Endpoint) -> Response:
        keeps = (await _body(request)).get("keep_old_secret_active_for_24_hours", False)
        old = [(secret, min(until, world.now() + DAY)) for secret, until in one.secrets] if keeps else []
        one.secrets = [(fresh_secret(os.urandom(32)), float("inf")), *old]
        one.updated_at = world.now()
        return JSONResponse(one.shown(with_secret=True))

    async def test(request: Request, one: _Endpoint) -> Response:
        type = (await _body(request)).get("event_type")
        if type not in TYPES:
            return world.dialect.said(400, f"{type!r} is no type of event")
        # As the samples of its documentation have it: about something that nobody knows.
        about = f"{'ftjob' if type.startswith('fine_tuning.') else type.partition('.')[0]}-abc123"
        done = await hooks.send(world, one, type, _event(type, about, world.now()))
        if done.status is None:
            return world.dialect.said(400, f"The webhook endpoint could not be reached: {done.said}")
        return JSONResponse(
            {
                "object": "webhook_endpoint.test",
                "webhook_endpoint_id": one.id,
                "event_type": type,
                "status_code": done.status,
                "success": True,
            }
        )

    def types(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": list(TYPES)})

    def about(answer: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            id = request.path_params["id"]
            if id not in hooks.endpoints:
                return world.dialect.said(404, f"No such webhook endpoint: {id}")
            found: Response = await answer(request, hooks.endpoints[id])
            return found

        return world.guarded(endpoint)

    return [
        Route(at, world.guarded(page), methods=["GET"]),
        Route(at, world.guarded(create), methods=["POST"]),
        Route(at + "/{id}", about(retrieve), methods=["GET"]),
        Route(at + "/{id}", about(update), methods=["POST"]),
        Route(at + "/{id}", about(delete), methods=["DELETE"]),
        Route(at + "/{id}/rotate_secret", about(rotate), methods=["POST"]),
        Route(at + "/{id}/test", about(test), methods=["POST"]),
        Route(prefix + "/webhook_event_types", world.guarded(types), methods=["GET"]),
    ]


async def _body(request: Request) -> dict[str, Any]:
    """The object that was sent; an empty one for nothing, or for what is none."""
    raw = await request.body()
    try:
        said = await request.json() if raw else {}
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _problem(said: dict[str, Any], needed: Sequence[str]) -> str | None:
    """What is wrong with what is said about an endpoint."""
    if lacking := [key for key in needed if key not in said]:
        return f"Missing required parameter: '{lacking[0]}'."
    name, url, types = (said.get(key) for key in ("name", "url", "event_types"))
    if name is not None and not (isinstance(name, str) and 1 <= len(name) <= LONGEST_NAME):
        return f"name is a text of 1 to {LONGEST_NAME} characters"
    if url is not None and not (isinstance(url, str) and len(url) <= LONGEST_URL and _is_fine(url)):
        return "url is an address that begins with https://"
    if types is not None and not (isinstance(types, list) and types and set(map(str, types)) <= set(TYPES)):
        return "event_types is a list of one or more types of events"
    return None


def _is_fine(url: str) -> bool:
    """Whether webhooks may go there: by https, or to this machine, where simulations live."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    )
