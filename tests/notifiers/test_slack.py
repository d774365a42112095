"""Slack: what it shows, what it must not bring to life, what its answers mean."""

import json
from typing import Any

import pytest

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Event
from ftwatch.core.sample import sample
from ftwatch.plugins import Secret

EVENT = sample("failed")


def texts(value: Any) -> list[str]:
    """Every string that Slack would show."""
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in ("url", "type") for text in texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


async def test_a_message_has_a_line_for_the_phone_and_blocks_for_the_eye(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("slack", webhook_url=Secret(there.url)) as slack:
        assert isinstance((await slack.send([EVENT], {})).outcome, Sent)
    payload = json.loads(there.requests[0][2])
    assert payload["text"].startswith("❌ support-bot-v7 failed after 1 h 50 m (queued 9 m): The job failed")
    (title,), (attachment,) = payload["blocks"], payload["attachments"]
    assert title["text"]["text"] == "*❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)*"
    assert attachment["color"] == "#e01e5a"
    assert "❌" not in json.dumps(attachment, ensure_ascii=False), "the title is shown once"
    assert [block["type"] for block in attachment["blocks"]] == ["section", "section", "actions", "context"]
    assert attachment["blocks"][2]["elements"][0]["url"] == sample("failed").job.url  # type: ignore[union-attr]
    assert payload["unfurl_links"] is False


async def test_what_strangers_wrote_mentions_and_links_nobody(kit: Any, hostile: Event) -> None:
    async with kit.receiving() as there, kit.made("slack", webhook_url=Secret(there.url)) as slack:
        await slack.send([hostile], {})
    payload = json.loads(there.requests[0][2])
    for text in texts(payload):
        assert "<" not in text
        assert "&lt;!channel&gt;" in text or "!channel" not in text
    blocks = [*payload["blocks"], *payload["attachments"][0]["blocks"]]
    marked = [block["text"] for block in blocks if "text" in block]
    assert all(text["verbatim"] for text in marked)


@pytest.mark.parametrize("word", [b"invalid_blocks", b"invalid_payload", b"invalid_attachments"])
async def test_blocks_that_slack_does_not_like_become_plain_text(kit: Any, word: bytes) -> None:
    async with kit.receiving() as there, kit.made("slack", webhook_url=Secret(there.url)) as slack:
        answers = iter([there.say(400, word), there.say(200)])

        async def answer(writer: Any) -> None:
            writer.write(next(answers))
            await writer.drain()

        there.answer = answer
        outcome = (await slack.send([EVENT], {})).outcome
    assert outcome == Sent("as plain text")
    plain = json.loads(there.requests[1][2])
    assert set(plain) == {"text", "unfurl_links", "unfurl_media"}
    assert "invalid_training_file" in plain["text"]


@pytest.mark.parametrize("word", ["no_service", "no_active_hooks", "channel_is_archived", "team_disabled"])
async def test_a_webhook_that_is_gone_is_switched_off(kit: Any, word: str) -> None:
    async with kit.receiving() as there, kit.made("slack", webhook_url=Secret(there.url)) as slack:
        there.answer = there.say(404, word.encode())
        outcome = (await slack.send([EVENT], {})).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.disable
    assert word in outcome.reason


async def test_slack_is_given_the_time_it_asks_for(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("slack", webhook_url=Secret(there.url)) as slack:
        there.answer = there.say(429, b"rate_limited", retry_after="30")
        outcome = (await slack.send([EVENT], {})).outcome
    assert isinstance(outcome, Retry)
    assert (outcome.throttled, outcome.after) == (True, 30)
