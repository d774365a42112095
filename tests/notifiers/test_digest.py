"""The digest after an outage: every event is named, in every kind that folds, within the service's limits."""

import json
from email import message_from_string, policy
from typing import Any

import pytest

from ftwatch.core.event import Event
from ftwatch.core.message import Tone, compose
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.plugins import Secret, kinds, load_kind

TOLD = [sample(name) for name in ("running", "failed", "succeeded", "stuck", "degraded")]


async def rendered(kit: Any, kind: str, told: list[Event], **options: Any) -> str:
    async with kit.made(kind, **options) as notifier:
        text = str(notifier.render(*told))
    if kind == "email":
        letter = message_from_string(text, policy=policy.default)
        text = text.partition("\n\n")[0] + "\n\n" + letter.get_body(("plain",)).get_content()
    return text


MANY = [sample(SAMPLES[number % len(SAMPLES)]) for number in range(200)]


def test_a_digest_counts_the_ends_and_names_everything() -> None:
    message = compose(*TOLD)
    assert message.title.endswith("5 messages that could not be sent in time: 1 failed, 1 succeeded, 3 other")
    assert message.tone is Tone.BAD
    assert len(message.lines) == 5
    for event, line in zip(TOLD, message.lines, strict=True):
        assert compose(event).title in line
    assert "line 17 is not valid JSON" in message.lines[1], "the provider's own sentence"
    assert "ft:gpt-4.1-mini" in message.lines[2], "and the model"
    assert all(line in message.text for line in message.lines)


def test_a_digest_of_good_news_does_not_shout() -> None:
    assert compose(sample("running"), sample("succeeded")).tone is Tone.NEUTRAL
    assert compose(sample("running"), sample("paused")).tone is Tone.WARN


@pytest.mark.parametrize("kind", ["slack", "email", "apprise"])
async def test_every_kind_that_folds_names_all_that_it_takes(kit: Any, kind: str) -> None:
    options = {
        "slack": {"webhook_url": Secret("http://x")},
        "email": {"host": "h", "from_": "f@example.com", "to": ("a@example.com",)},
        "apprise": {"url": Secret("json://h")},
    }[kind]
    told = MANY[: load_kind("notifier", kind).folds]
    shown = await rendered(kit, kind, told, **options)
    for event in told:
        assert compose(event).title.split(" ", 1)[1][:20] in shown


async def test_a_full_digest_keeps_to_slacks_limits(kit: Any) -> None:
    told: list[Event] = MANY[:100]
    shown = json.loads(await rendered(kit, "slack", told, webhook_url=Secret("http://x")))
    blocks = shown["attachments"][0]["blocks"]
    assert len(blocks) <= 50
    texts = [block["text"]["text"] for block in blocks if block["type"] == "section"]
    assert all(0 < len(text) <= 3000 for text in texts)
    assert sum(text.count("\n") + 1 for text in texts[1:]) == 100


async def test_a_digest_of_other_events_is_another_letter(kit: Any) -> None:
    options: dict[str, Any] = {"host": "h", "from_": "f@example.com", "to": ("a@example.com",)}
    told = (TOLD, TOLD, TOLD[:4], TOLD[:1])
    letters = [await rendered(kit, "email", some, **options) for some in told]
    ids = [next(line for line in letter.splitlines() if line.startswith("Message-ID")) for letter in letters]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_who_folds_says_so_and_machines_get_every_event_on_its_own() -> None:
    folding = {kind for kind in kinds("notifier") if getattr(load_kind("notifier", kind), "folds", 0)}
    assert folding == {"slack", "email", "apprise"}
    for kind in folding:
        assert load_kind("notifier", kind).retry.fold == 900
