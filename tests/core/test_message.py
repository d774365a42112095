"""Messages: what a person reads at three in the morning, and what must never reach them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ftwatch.core.event import Event, SavedModel, Summary
from ftwatch.core.job import JobError
from ftwatch.core.message import Tone, clean, compose
from ftwatch.core.result import figures
from ftwatch.core.sample import SAMPLES, sample

TITLES = {
    "created": "🆕 support-bot-v7 is queued",
    "continued": "🆕 support-bot-v7 is queued, continues ftjob-sample0ld",
    "checkpoint": "💾 support-bot-v7 has a checkpoint at step 200",
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
    "silent": "⚠️ llama-sft is silent: nothing heard for more than 10m",
    "silent-resolved": "✅ llama-sft is no longer silent",
    "retiring": "⚠️ support-bot-v7 stops answering on 2027-01-14 (base gpt-4.1-mini is retired)",
    "retiring-resolved": "📅 support-bot-v7 no longer has that end ahead",
    "watching": "👀 openai-prod is being watched",
    "degraded": "⚠️ openai-prod cannot be watched",
    "recovered": "✅ openai-prod can be watched again",
    "unreadable": "⚠️ openai-prod sent something unreadable",
    "drift": "⚠️ openai-prod has changed its interface",
    "retired": "🏁 openai-prod has ended: fine-tuning is no longer offered",
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


def facts(event: Event) -> dict[str, str]:
    return {fact.label: fact.value for fact in compose(event).facts}


def test_every_sort_of_event_has_its_title() -> None:
    assert {name: compose(sample(name)).title for name in SAMPLES} == TITLES


def test_a_failure_says_why_where_and_after_how_long() -> None:
    message = compose(sample("failed"))
    assert message.tone is Tone.BAD
    assert message.quote == "The job failed due to an invalid training file: line 17 is not valid JSON."
    told = facts(sample("failed"))
    assert told["Cause"] == "invalid data"
    assert told["Error"] == "invalid_training_file in training_file"
    assert told["Duration"] == "1h 50m, after 9m in the queue"
    assert message.link == ("Open the job", "https://platform.openai.com/finetune/ftjob-sample4w9Zq2")
    assert message.thread == "openai-prod/ftjob-sample4w9Zq2"


def test_a_success_says_what_came_of_it() -> None:
    assert facts(sample("succeeded")) == {
        "Model": "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg",
        "Base model": "gpt-4.1-mini-2025-04-14",
        "Duration": "1h 50m, after 9m in the queue",
        "Trained tokens": "5,768,000",
        "Final": "train loss 0.412, valid loss 0.487, valid accuracy 0.871",
        "Labels": "env=prod, team=search",
    }


def summed_up(name: str, summary: Summary | UnsetType) -> Event:
    event = sample(name)
    return replace(event, data=replace(event.data, summary=summary))


@pytest.mark.parametrize(
    ("cause", "name", "words"),
    [
        ("quota_or_billing", "failed", "quota or billing"),
        ("quota_or_billing", "cancelled", "quota or billing"),
        ("hardware_restart", "failed", "trouble on the service's side"),
        ("user_cancel", "cancelled", None),
        ("user_cancel", "failed", "somebody cancelled it"),
        ("unknown", "failed", None),
        (None, "failed", None),
        ("sun_spots", "failed", "sun spots"),
        ("x\x1b[2J", "failed", "x [2J"),
    ],
)
def test_a_cause_is_told_in_plain_words_where_it_says_more_than_the_status(
    cause: str | None, name: str, words: str | None
) -> None:
    assert facts(summed_up(name, Summary(cause=cause))).get("Cause") == words


@pytest.mark.parametrize(
    ("summary", "lasted"),
    [
        (UNSET, "1h 59m"),
        (Summary(), "1h 59m"),
        (Summary(ran_for=60), "1m"),
        (Summary(ran_for=60, queued_for=0), "1m"),
        (Summary(ran_for=0, queued_for=3600), "0s, after 1h in the queue"),
        (Summary(queued_for=3600), "1h 59m, 1h of it in the queue"),
    ],
)
def test_how_long_it_took_is_told_as_far_as_it_is_known(summary: Summary | UnsetType, lasted: str) -> None:
    assert facts(summed_up("succeeded", summary))["Duration"] == lasted


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        ({}, ""),
        ({"learning_rate": 1e-5, "grad_norm": 3.0}, ""),
        ({"train_loss": 0.0312345, "train_accuracy": 0.98765}, "train loss 0.0312, train accuracy 0.988"),
        (
            {"valid_loss": 2.0, "full_valid_loss": 1.5, "valid_accuracy": 0.5, "train_accuracy": 1.0},
            "valid loss 1.5, valid accuracy 0.5",
        ),
        ({"train_reward": 0.4, "valid_reward": 0.7}, "valid reward 0.7"),
        ({"train_loss": float("inf"), "valid_loss": float("nan")}, "train loss inf, valid loss nan"),
    ],
)
def test_the_most_telling_figures_are_shown_in_few_digits(metrics: dict[str, float], line: str) -> None:
    assert figures(metrics) == line
    assert facts(summed_up("succeeded", Summary(metrics=metrics))).get("Final", "") == line


def test_a_checkpoint_says_what_it_is_called_and_how_good_it_is() -> None:
    event = sample("checkpoint")
    assert facts(event)["Checkpoint"].endswith(":ckpt-step-200")
    assert facts(event)["Figures"] == "train loss 0.731, valid loss 0.805"
    saved = SavedModel(id=None, step=None, model=None, metrics={})
    bare = replace(event, data=replace(event.data, checkpoint=saved))
    assert compose(bare).title == "💾 support-bot-v7 has a checkpoint"
    assert not {"Checkpoint", "Figures"} & facts(bare).keys()


def test_a_model_that_ends_is_named_and_nothing_else_of_its_job_is_told_again() -> None:
    assert facts(sample("retiring")) == {
        "Model": "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg",
        "Base model": "gpt-4.1-mini-2025-04-14",
        "Labels": "env=prod, team=search",
    }


def test_which_job_is_continued_is_told_later_too() -> None:
    event = sample("running")
    event = replace(event, data=replace(event.data, continues="ft-old"))
    assert facts(event)["Continues"] == "ft-old"


def test_the_end_of_a_service_is_one_calm_line() -> None:
    event = sample("retired")
    message = compose(event)
    assert (message.tone, message.quote) == (Tone.NEUTRAL, None)
    told = compose(replace(event, data=replace(event.data, note="x" * 500)))
    assert told.title == "🏁 openai-prod has ended"
    assert told.quote == "x" * 500


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
