"""The receivers are as strict as the real ones, and as rude as they are told to be."""

import json
import smtplib
import time
from typing import Any

import anyio.to_thread
import httpx2
import pytest

from ftwatch.core.signature import sign
from ftwatch.simulator.receivers import MOODS, MailSink, SlackSink, WebhookSink

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


def http(*, timeout: float = 60) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(trust_env=False, timeout=timeout)


def signed(body: bytes, *, id: str = "msg_1", at: float | None = None) -> dict[str, str]:
    stamp = int(at or time.time())
    return {
        "webhook-id": id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign([SECRET], id, stamp, body),
    }


async def test_only_what_is_signed_arrives() -> None:
    async with WebhookSink(SECRET).serving() as sink, http() as client:
        body = b'{"id": "evt_1"}'
        assert (await client.post(sink.url, content=body, headers=signed(body))).status_code == 200
        assert (await client.post(sink.url, content=body + b" ", headers=signed(body))).status_code == 401
        assert (await client.post(sink.url, content=body)).status_code == 401
        old = signed(body, at=time.time() - 1000)
        assert (await client.post(sink.url, content=body, headers=old)).status_code == 401
        assert [(one.id, one.what) for one in sink.arrivals] == [("msg_1", {"id": "evt_1"})]
        assert len(sink.refused) == 3


@pytest.mark.parametrize(
    ("mood", "status"), [("error", 500), ("busy", 429), ("gone", 410), ("redirect", 307)]
)
async def test_a_mood_is_an_answer(mood: str, status: int) -> None:
    async with WebhookSink(SECRET).serving() as sink, http() as client:
        sink.mood = mood
        assert (await client.post(sink.url, content=b"{}", headers=signed(b"{}"))).status_code == status
        assert sink.arrivals == []
        sink.mood = "ok"
        assert (await client.post(sink.url, content=b"{}", headers=signed(b"{}"))).status_code == 200


@pytest.mark.parametrize("mood", ["hang", "drip", "cut"])
async def test_some_moods_leave_the_sender_waiting(mood: str) -> None:
    assert mood in MOODS
    async with WebhookSink(SECRET).serving() as sink, http() as client:
        await client.get(sink.url)  # the connection stands; what is waited for from here on is the answer
        sink.mood = mood
        with pytest.raises((httpx2.HTTPError, TimeoutError)):
            with anyio.fail_after(1):
                await client.post(sink.url, content=b"{}", headers=signed(b"{}"))
        # Whoever saw the head of a 200 was told that the message was taken.
        assert len(sink.arrivals) == (mood != "hang")


def section(**more: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": "hello"}, **more}


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({"text": "hello"}, "ok"),
        ({"text": "hello", "blocks": [section()]}, "ok"),
        ({"attachments": [{"blocks": [section()]}]}, "ok"),
        ({}, "no_text"),
        ([], "invalid_payload"),
        ({"text": "x" * 40_001}, "msg_too_long"),
        ({"blocks": [section(text={"type": "mrkdwn", "text": "x" * 3001})]}, "invalid_blocks"),
        ({"blocks": [section(text={"type": "mrkdwn", "text": ""})]}, "invalid_blocks"),
        ({"blocks": [section(fields=[{"type": "mrkdwn", "text": "x"}] * 11)]}, "invalid_blocks"),
        ({"blocks": [section()] * 51}, "invalid_blocks"),
        ({"blocks": [{"type": "unheard-of"}]}, "invalid_blocks"),
    ],
)
async def test_slack_takes_what_slack_would_take(message: Any, word: str) -> None:
    async with SlackSink().serving() as sink, http() as client:
        answer = await client.post(sink.url, content=json.dumps(message).encode())
        assert answer.text == word
        assert answer.status_code == (200 if word == "ok" else 400)
        assert len(sink.arrivals) == (word == "ok")


async def test_a_letter_arrives_and_the_box_can_be_shut() -> None:
    def post(port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as server:
            server.sendmail(
                "a@example.com", ["b@example.com"], "Subject: hello\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n"
            )

    async with MailSink().serving() as sink:
        await anyio.to_thread.run_sync(post, sink.port)
        assert [(one.id, one.headers["subject"]) for one in sink.arrivals] == [("<1@x>", "hello")]
        await sink.down()
        with pytest.raises(OSError, match="refused"):
            await anyio.to_thread.run_sync(post, sink.port)
        await sink.up()
        await anyio.to_thread.run_sync(post, sink.port)
        assert len(sink.arrivals) == 2
