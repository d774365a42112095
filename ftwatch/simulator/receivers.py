"""Receivers that show what arrives: a webhook sink that verifies, a letter box, a Slack-shaped sink.

Each keeps its arrivals in order, and can be in a mood: away, silent, slow, rude. Strict where the real ones
are strict, so that what passes here passes there.
"""

import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import anyio
import anyio.to_thread
from aiosmtpd.controller import Controller
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from ftwatch.core.signature import BadSignature, verify
from ftwatch.simulator.serving import Place

__all__ = ["MOODS", "Arrival", "MailSink", "SlackSink", "WebhookSink"]

MOODS = ("ok", "error", "busy", "gone", "redirect", "hang", "drip", "cut")
# Slack's limits, as its documentation gives them.
BLOCKS, SECTION, FIELDS, FIELD, HEADER, BUTTON = 50, 3000, 10, 2000, 150, 75


@dataclass(frozen=True)
class Arrival:
    """One message that came: `id` is the same for every try, `what` the parsed body."""

    at: float
    sink: str
    id: str
    what: Any
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """What stands for its bytes."""
        return hashlib.sha256(self.body).hexdigest()


async def _drops() -> AsyncIterator[bytes]:
    while True:
        yield b"."
        await anyio.sleep(0.2)


async def _half() -> AsyncIterator[bytes]:
    yield b"half of an"
    raise ConnectionResetError("this receiver hangs up half way")


def _rudely(mood: str) -> Response | None:
    """The answer of a receiver that is not at its best; None when it is."""
    match mood:
        case "error":
            return PlainTextResponse("something broke", 500)
        case "busy":
            return PlainTextResponse("slow down", 429, {"retry-after": "1"})
        case "gone":
            return PlainTextResponse("no more of this", 410)
        case "redirect":
            return RedirectResponse("http://127.0.0.1:9/elsewhere", 307)
    return None


class _Sink:
    """What the two receivers that speak HTTP have in common."""

    name = "sink"

    def __init__(self, port: int = 0, on_arrival: Callable[[Arrival], None] | None = None) -> None:
        self.arrivals: list[Arrival] = []
        self.refused: list[str] = []
        self.mood = "ok"
        self._on_arrival = on_arrival
        self.place = Place(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]), port)

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"{self.place.url}/hook"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Any]:
        """Receives for as long as the context lasts."""
        async with self.place.serving():
            yield self

    async def _take(self, request: Request) -> Response:
        rude = _rudely(self.mood)
        if rude is not None:
            return rude
        try:
            body = await request.body()
            while self.mood == "hang" and not await request.is_disconnected():  # noqa: ASYNC110
                await anyio.sleep(0.1)
        except ClientDisconnect:
            return PlainTextResponse("", 400)
        answer = self.receive(body, {name.lower(): value for name, value in request.headers.items()})
        # Who has seen a good head has been told that the message was taken; so it was.
        if self.mood == "drip" and answer.status_code == 200:
            return StreamingResponse(_drops())
        if self.mood == "cut" and answer.status_code == 200:
            return StreamingResponse(_half(), headers={"content-length": "1000"})
        return answer

    def receive(self, body: bytes, headers: dict[str, str]) -> Response:
        """What this receiver makes of a request."""
        raise NotImplementedError

    def _keep(self, id: str, what: Any, body: bytes, headers: dict[str, str]) -> None:
        arrival = Arrival(time.time(), self.name, id, what, body, headers)
        self.arrivals.append(arrival)
        if self._on_arrival is not None:
            self._on_arrival(arrival)


class WebhookSink(_Sink):
    """Takes webhooks that are signed with its secret, and refuses all others."""

    name = "webhook"

    def __init__(self, secret: str, **more: Any) -> None:
        super().__init__(**more)
        self.secret = secret

    def receive(self, body: bytes, headers: dict[str, str]) -> Response:
        """Verifies the signature before anything else."""
        id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        try:
            verify(self.secret, id, stamp, body, headers.get("webhook-signature", ""), time.time())
        except BadSignature as error:
            self.refused.append(str(error))
            return PlainTextResponse(str(error), 401)
        self._keep(id, json.loads(body), body, headers)
        return PlainTextResponse("thank you")


class SlackSink(_Sink):
    """Behaves as Slack's incoming webhooks do, limits included."""

    name = "slack"

    def receive(self, body: bytes, headers: dict[str, str]) -> Response:
        """Takes a message that Slack would show; says why not in Slack's words."""
        try:
            what = json.loads(body)
        except ValueError:
            return self._refuse("invalid_payload")
        if not isinstance(what, dict):
            return self._refuse("invalid_payload")
        attachments = what.get("attachments", [])
        blocks = [*what.get("blocks", []), *(block for one in attachments for block in one.get("blocks", []))]
        if not what.get("text") and not blocks:
            return self._refuse("no_text")
        if len(what.get("text", "")) > 40_000:
            return self._refuse("msg_too_long")
        if len(blocks) > BLOCKS or any(_is_broken(block) for block in blocks):
            return self._refuse("invalid_blocks")
        self._keep(hashlib.sha256(body).hexdigest()[:16], what, body, headers)
        return PlainTextResponse("ok")

    def _refuse(self, word: str) -> Response:
        self.refused.append(word)
        return PlainTextResponse(word, 400)


def _is_broken(block: Any) -> bool:
    """Whether Slack would refuse this block."""
    match block:
        case {"type": "section"}:
            texts, fields = block.get("text"), block.get("fields", [])
            if texts is None and not fields:
                return True
            return (
                (texts is not None and not 1 <= len(texts["text"]) <= SECTION)
                or len(fields) > FIELDS
                or any(not 1 <= len(one["text"]) <= FIELD for one in fields)
            )
        case {"type": "header", "text": {"type": "plain_text", "text": str(text)}}:
            return not 1 <= len(text) <= HEADER
        case {"type": "context", "elements": [*elements]}:
            return not 1 <= len(elements) <= 10
        case {"type": "actions", "elements": [*elements]}:
            return not 1 <= len(elements) <= 25 or any(
                not 1 <= len(one["text"]["text"]) <= BUTTON or len(one.get("url", "")) > 3000
                for one in elements
            )
        case {"type": "divider"}:
            return False
    return True


class MailSink:
    """A mail server on loopback that keeps every letter."""

    name = "mail"

    def __init__(self, port: int = 0, on_arrival: Callable[[Arrival], None] | None = None) -> None:
        self.port = port
        self.arrivals: list[Arrival] = []
        self._on_arrival = on_arrival
        self._controller: Controller | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["MailSink"]:
        """Receives for as long as the context lasts; the server has a thread of its own."""
        await self.up()
        try:
            yield self
        finally:
            with anyio.CancelScope(shield=True):
                await self.down()

    async def up(self) -> None:
        """Opens the port."""
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                self.port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        await anyio.to_thread.run_sync(self._controller.start)

    async def down(self) -> None:
        """Closes the port: connections are refused from now on."""
        if self._controller is not None:
            await anyio.to_thread.run_sync(self._controller.stop)
            self._controller = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Takes a letter (aiosmtpd calls this)."""
        letter = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(letter, EmailMessage)
        headers = {name.lower(): str(value) for name, value in letter.items()}
        arrival = Arrival(
            time.time(), self.name, headers.get("message-id", ""), letter, envelope.content, headers
        )
        self.arrivals.append(arrival)
        if self._on_arrival is not None:
            self._on_arrival(arrival)
        return "250 taken"
