"""Messages: what a person reads at three in the morning, and what must never reach them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.event import Event
from ftwatch.core.job import JobError
from ftwatch.core.message import Tone, clean, compose
from ftwatch.core.sample import SAMPLES, sample

TITLES = {
    "created": "🆕 support-bot-v7 is queued",
    "validating_files": "🔎 support-bot-v7 is validating its files",
    "queued": "⏳ support-bot-v7 is queued",
    "running": "▶️ support-bot-v7 is running",
    "succeeded": "✅ support-bot-v7 succeeded",
    "failed": "❌ support-bot-v7 failed",
    "cancelled": "🛑 support-bot-v7 was cancelled",
    "paused": "⏸️ support-bot-v7 is paused",
    "pausing": "⏸️ support-bot-v7 is pausing",
    "cancelling": "🛑 support-bot-v7 is being cancelled",
    "unknown": "❓ support-bot-v7 has a status nobody knows: defrosting",
    "updated": "✏️ support-bot-v7 changed: team",
    "incomplete": "✅ support-bot-v7 succeeded, but its model has not arrived",
    "gone": "👻 support-bot-v7 is gone: the provider no longer knows it",
    "returned": "↩️ support-bot-v7 is back, and is running",
    "stuck": "⚠️ support-bot-v7 is stuck: queued for more than 1h",
    "stuck-resolved": "✅ support-bot-v7 is no longer stuck",
    "watching": "👀 openai-prod is being watched",
    "degraded": "⚠️ openai-prod cannot be watched",
    "recovered": "✅ openai-prod can be watched again",
    "unreadable": "⚠️ openai-prod sent something unreadable",
    "drift": "⚠️ openai-prod has changed its interface",
    "dead": "📭 oncall did not take a message",
    "failing": "📪 oncall takes no messages",
    "full": "💽 The disk is full: no job is looked at",
    "room": "✅ The disk has room again",
    "disabled": "🔕 oncall wants no more messages",
    "enabled": "✅ oncall takes messages again",
    "rejected": "⚠️ The config has mistakes: the old one stays in force",
    "accepted": "✅ The config is in force again",
    "test": "👋 ftwatch can reach you",
}


def test_every_sort_of_event_has_its_title() -> None:
    assert {name: compose(sample(name)).title for name in SAMPLES} == TITLES


def test_a_failure_says_why_where_and_after_how_long() -> None:
    message = compose(sample("failed"))
    assert message.tone is Tone.BAD
    assert message.quote == "The job failed due to an invalid training file: line 17 is not valid JSON."
    facts = {fact.label: fact.value for fact in message.facts}
    assert facts["Error"] == "invalid_training_file in training_file"
    assert facts["Duration"] == "1h 59m"
    assert message.link == ("Open the job", "https://platform.openai.com/finetune/ftjob-sample4w9Zq2")
    assert message.thread == "openai-prod/ftjob-sample4w9Zq2"


def test_a_success_names_its_model() -> None:
    facts = {fact.label: fact.value for fact in compose(sample("succeeded")).facts}
    assert facts["Model"] == "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg"
    assert facts["Trained tokens"] == "5,768,000"


def test_what_moved_and_what_changed_is_told_once() -> None:
    lines = compose(sample("running")).text.splitlines()
    assert "Progress: step 120 of 600, 20 %, about 40m left" in lines
    assert "hyperparameters.n_epochs: auto → 3" in lines
    updated = compose(sample("updated")).text
    assert updated.count("search → ads") == 1, "metadata and the labels made of it are one change"


def told(**job: Any) -> Event:
    event = sample("failed")
    assert event.job is not None
    return replace(event, data=replace(event.data, job=replace(event.job, **job)))


@pytest.mark.parametrize(
    "bad", ["\x1b[2J", "\r\nBcc: x", "\u202e", "\u2028", "\x00", "\ufeff", "\u200b", "\x9b"]
)
def test_what_strangers_wrote_is_one_harmless_line(bad: str) -> None:
    event = told(name=f"a{bad}b", error=JobError(code=f"c{bad}", message=f"m{bad}n"), provider=f"p{bad}")
    message = compose(event)
    for text in (message.title, message.quote or "", message.footer, *(fact.value for fact in message.facts)):
        assert not set(bad) & set(text) - set("[2JBcc: x")
        assert "\n" not in text


def test_endless_text_ends() -> None:
    message = compose(told(name="n" * 100_000, error=JobError(message="e" * 100_000)))
    assert len(message.title) < 150
    assert len(message.text) < 6000


@given(st.text(st.characters(codec=None), max_size=60), st.integers(4, 40))
def test_clean_text_is_short_printable_and_stays_as_it_is(text: str, limit: int) -> None:
    shown = clean(text, limit)
    assert len(shown) <= limit
    assert "\n" not in shown
    assert "\x1b" not in shown
    shown.encode()
    assert clean(shown, limit) == shown
