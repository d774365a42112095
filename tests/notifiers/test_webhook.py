"""Webhooks: every answer's meaning, and the same id and bytes however often."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import encode
from ftwatch.core.sample import sample
from ftwatch.core.signature import fresh_secret, message_id, verify
from ftwatch.notifiers.webhook import Tls
from ftwatch.plugins import Duration, Form, Secret, load_kind

ONE, TWO = fresh_secret(b"1" * 32), fresh_secret(b"2" * 32)
EVENT = sample("failed")


def options(url: str, **more: Any) -> dict[str, Any]:
    return {"url": Secret(url), "secret": Secret(ONE), "timeout": Duration(seconds=0.4), **more}


async def test_what_is_posted_is_signed_by_every_secret_at_its_own_time(kit: Any) -> None:
    async with (
        kit.receiving() as there,
        kit.made(
            "webhook", **options(there.url, secret=(Secret(ONE), Secret(TWO)), headers={"x-team": "ml"})
        ) as hook,
    ):
        for _ in range(2):
            result = await hook.send([EVENT], {}, body=hook.freeze(EVENT))
            assert isinstance(result.outcome, Sent)
    (first, headers, body), (_, again, same) = there.requests
    assert first == "POST /hook HTTP/1.1"
    assert body == same == encode(EVENT)
    assert headers["webhook-id"] == again["webhook-id"] == message_id("mine", EVENT.id)
    assert headers["x-team"] == "ml"
    assert headers["content-type"] == "application/json"
    for secret in (ONE, TWO):
        verify(
            secret,
            headers["webhook-id"],
            headers["webhook-timestamp"],
            body,
            headers["webhook-signature"],
            time.time(),
        )
    assert json.loads(body)["data"]["job"]["error"]["code"] == "invalid_training_file"


async def test_a_post_of_an_events_bytes_is_what_sending_it_is(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        assert hook.posts
        for manual in (False, True):
            id, body = message_id("mine", EVENT.id), encode(EVENT)
            one = await hook.send([EVENT], {}, body=body, manual=manual)
            assert await hook.post(id, body, manual=manual) == one
    for sent, posted in (there.requests[:2], there.requests[2:]):
        for request in (sent, posted):
            verify(
                ONE,
                request[1]["webhook-id"],
                request[1].pop("webhook-timestamp"),
                request[2],
                request[1].pop("webhook-signature"),
                time.time(),
            )
        assert sent == posted
    assert there.requests[2][1]["ftwatch-replay"] == "manual"


@pytest.mark.parametrize(
    "given", [{"body": Form({"text": "{{ title }}"})}, {"tls": Tls(ca_file="/nowhere.pem")}]
)
async def test_what_needs_more_than_the_bytes_is_not_posted(given: dict[str, Any], kit: Any) -> None:
    async with kit.made("webhook", **options("https://127.0.0.1:9/hook"), **given) as hook:
        assert not hook.posts


@pytest.mark.parametrize(
    ("status", "kind", "trait"),
    [
        (200, Sent, None),
        (204, Sent, None),
        (301, Rejected, None),
        (400, Rejected, None),
        (401, Rejected, None),
        (404, Rejected, None),
        (410, Rejected, "disable"),
        (422, Rejected, None),
        (429, Retry, "throttled"),
        (500, Retry, None),
        (502, Retry, None),
        (503, Retry, None),
    ],
)
async def test_an_answer_has_its_meaning(kit: Any, status: int, kind: type, trait: str | None) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        there.answer = there.say(status, b"because" if status != 204 else b"")
        outcome = (await hook.send([EVENT], {})).outcome
    assert isinstance(outcome, kind)
    for name in ("disable", "throttled", "unreachable"):
        assert getattr(outcome, name, False) is (name == trait)
    if status not in (200, 204, 301, 410):
        assert outcome.reason == f"HTTP {status}: because"


async def test_a_wish_to_wait_is_heard(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        there.answer = there.say(429, retry_after="17")
        assert (await hook.send([EVENT], {})).outcome.after == 17


async def hang(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(100):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.05)


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
    await writer.drain()


async def garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(bytes(range(256)) * 10)
    await writer.drain()


async def nothing(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def bomb(writer: asyncio.StreamWriter) -> None:
    body = gzip.compress(bytes(50 * 1024 * 1024), 9)
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    )
    await writer.drain()


async def test_a_replay_is_marked_and_otherwise_the_same(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        await hook.send([EVENT], {})
        await hook.send([EVENT], {}, manual=True)
    (_, plain, first), (_, marked, second) = there.requests
    assert "ftwatch-replay" not in plain
    assert marked["ftwatch-replay"] == "manual"
    assert (first, plain["webhook-id"]) == (second, marked["webhook-id"])


@pytest.mark.parametrize(
    ("header", "status", "outcome"),
    [
        ("abort-message", 500, Rejected("HTTP 500: no; it asked not to be sent this again", final=True)),
        ("abort-message", 404, Rejected("HTTP 404: no; it asked not to be sent this again", final=True)),
        ("abort-message", 200, Sent("HTTP 200")),
        ("Disable ", 503, Rejected("HTTP 503: no; it asked for no more", final=True, disable=True)),
        ("disable", 200, Sent("HTTP 200, and it asked for no more", disable=True)),
        ("something else", 200, Sent("HTTP 200")),
    ],
)
async def test_a_receivers_word_on_a_messages_fate_is_obeyed(
    kit: Any, header: str, status: int, outcome: Any
) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        there.answer = there.say(status, b"no", webhook_delivery=header)
        assert (await hook.send([EVENT], {})).outcome == outcome


@pytest.mark.parametrize("rude", [drip, half, flood, bomb])
async def test_a_complete_head_is_an_answer_whatever_the_body_does(kit: Any, rude: Any) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        there.answer = rude
        assert (await hook.send([EVENT], {})).outcome == Sent("HTTP 200")


@pytest.mark.parametrize("rude", [hang, garbage, nothing])
async def test_what_has_no_head_is_no_delivery(kit: Any, rude: Any) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        there.answer = rude
        outcome = (await hook.send([EVENT], {})).outcome
    assert isinstance(outcome, Retry)
    assert outcome.unreachable
    assert "127.0.0.1" not in outcome.reason


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"secret": Secret("hunter2")}, "secret"),
        ({"secret": (Secret(ONE), Secret("whsec_AAAA"))}, "secret"),
        ({"headers": {"x-a": Secret("a\r\nb: c")}}, "headers"),
    ],
)
def test_what_cannot_work_is_said_with_a_way_out(more: dict[str, Any], field: str) -> None:
    made = load_kind("notifier", "webhook").Options(**{**options("http://x"), **more})
    ((name, sentence),) = made.problems()
    assert name == field
    assert "hunter2" not in sentence
    if field == "secret":
        assert "whsec_" in sentence.rpartition("fresh one: ")[2], "with a fresh one to copy"


@pytest.mark.parametrize("name", ["webhook-id", "Content-Type", "a b", "a\n", "host"])
def test_a_header_of_our_own_cannot_be_set(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        load_kind("notifier", "webhook").Options(**options("http://x", headers={name: "x"}))
