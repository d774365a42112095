"""The digest after an outage: every event is named, in every kind that folds, within the service's limits."""

import json
from email import message_from_string, policy
from typing import Any

import pytest
from msgspec.structs import replace

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
    assert sum(text.count("\n") + 1 for text in texts) == 100


async def test_a_digest_of_other_events_is_another_letter(kit: Any) -> None:
    options: dict[str, Any] = {"host": "h", "from_": "f@example.com", "to": ("a@example.com",)}
    told = (TOLD, TOLD, TOLD[:4], TOLD[:1])
    letters = [await rendered(kit, "email", some, **options) for some in told]
    ids = [next(line for line in letter.splitlines() if line.startswith("Message-ID")) for letter in letters]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_who_folds_says_so_and_machines_get_every_event_on_its_own() -> None:
    folding = {kind for kind in kinds("notifier") if getattr(load_kind("notifier", kind), "folds", 0)}
    assert folding == {"slack", "email", "apprise", "ntfy"}
    for kind in folding:
        assert load_kind("notifier", kind).retry.fold == 900


def of_many_jobs(count: int) -> list[Event]:
    """The lives of so many jobs: each ran, one in ten failed."""
    told = []
    for number in range(count):
        for name in ("running", "failed" if number % 10 == 0 else "succeeded"):
            event = sample(name)
            assert event.job is not None
            job = replace(event.job, id=f"ftjob-{number}", name=f"run-{number}")
            told.append(replace(event, id=f"evt_{number}{name}", data=replace(event.data, job=job)))
    return told


def test_more_than_can_be_named_is_summed_up_the_worst_first() -> None:
    told = of_many_jobs(1000)
    message = compose(*told, most=100)
    assert "2000 messages" in message.title
    assert "100 failed, 900 succeeded" in message.title
    assert len(message.lines) == 100
    assert all("failed" in line for line in message.lines[:99]), "what ended badly is named"
    assert message.lines[-1] == "and 901 more: `ftwatch jobs` and `ftwatch events` show them"
    few = compose(*told[:40], most=30)
    assert len(few.lines) == 20, "one line for each job"


def test_what_was_found_out_late_says_so() -> None:
    late = [replace(event, created_at=event.data.observed_at - 3600) for event in of_many_jobs(3)]
    assert compose(*late).title.startswith("📬 6 messages about what happened meanwhile: 1 failed")


@pytest.mark.parametrize("kind", ["slack", "email", "apprise", "ntfy"])
async def test_a_summary_of_thousands_fits(kit: Any, kind: str) -> None:
    options = {
        "slack": {"webhook_url": Secret("http://x")},
        "email": {"host": "h", "from_": "f@example.com", "to": ("a@example.com",)},
        "apprise": {"url": Secret("json://h")},
        "ntfy": {"topic": Secret("t")},
    }[kind]
    shown = await rendered(kit, kind, of_many_jobs(2000), **options)
    assert "run-0" in shown
    assert len(shown) < 100_000
