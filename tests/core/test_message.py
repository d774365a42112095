"""Messages: what a person reads at three in the morning, and what must never reach them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from ftwatch.core.cause import Cause
from ftwatch.core.event import Event, SavedModel, Summary
from ftwatch.core.job import JobError
from ftwatch.core.message import Fact, Tone, clean, compose
from ftwatch.core.result import figures
from ftwatch.core.sample import SAMPLES, sample
from tests.golden import EVENTS, PAGE, same


def facts(event: Event) -> dict[str, str]:
    return {fact.label: fact.value for fact in compose(event).facts}


def test_every_sort_of_event_has_its_words() -> None:
    told = {name: compose(event, page=PAGE) for name, event in EVENTS.items()}
    told["a digest"] = compose(sample("running"), sample("failed"), sample("succeeded"), page=PAGE)
    shown = "\n".join(f"[{name}] {message.tone}\n{message.text}\n" for name, message in told.items())
    same("messages.txt", shown)


def test_a_failure_says_why_where_what_to_do_and_after_how_long() -> None:
    message = compose(sample("failed"))
    assert message.title == "❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)"
    assert message.tone is Tone.BAD
    assert message.quote == "The job failed due to an invalid training file: line 17 is not valid JSON."
    assert [fact.label for fact in message.facts][:4] == ["Error", "At step", "Cause", "Next"]
    told = facts(sample("failed"))
    assert told["Error"] == "invalid_training_file in training_file"
    assert told["At step"] == "120 of 600"
    assert told["Cause"] == "invalid data"
    assert told["Next"] == "Mend the data, upload it again and start a new job."
    assert message.link == ("Open job", "https://platform.openai.com/finetune/ftjob-sample4w9Zq2")
    assert message.thread == "openai-prod/ftjob-sample4w9Zq2"
    assert message.topic == "support-bot-v7 (ftjob-sample4w9Zq2)"


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_one_thing_to_do_next(cause: Cause) -> None:
    told = facts(summed_up("failed", Summary(cause=cause)))["Next"]
    assert len(told) < 90
    assert told.endswith(".")
    assert "Next" not in facts(summed_up("cancelled", Summary(cause=cause))), "somebody wanted that"


def test_how_far_a_run_came_is_told_by_the_last_word_on_it() -> None:
    assert facts(summed_up("failed", Summary(step=1200)))["At step"] == "1,200"
    assert "At step" not in facts(summed_up("failed", Summary()))
    assert sample("succeeded").data.summary.step is None  # type: ignore[union-attr]


def links(integration: dict[str, Any], page: str = "") -> list[tuple[str, str]]:
    event = told(integrations=(integration,), url=None)
    return list(compose(event, page=page).links)


@pytest.mark.parametrize(
    ("wandb", "url"),
    [
        ({"url": "https://wandb.ai/a/b/runs/c"}, "https://wandb.ai/a/b/runs/c"),
        ({"entity": "a", "project": "b", "run_id": "c/d"}, "https://wandb.ai/a/b/runs/c%2Fd"),
        ({"entity": "a", "project": "b"}, "https://wandb.ai/a/b"),
        ({"project": "b"}, None),
        ({"entity": 1, "project": ["b"]}, None),
        ({"url": "javascript:alert(1)"}, None),
        ({"url": "https://x\r\nBcc: y"}, None),
        ("b", None),
    ],
)
def test_the_run_of_a_tracker_is_a_link_where_that_says_where_it_is(wandb: Any, url: str | None) -> None:
    what = "run" if url and "/runs/" in url else "project"
    assert links({"type": "wandb", "wandb": wandb}) == ([(f"W&B {what}", url)] if url else [])


def test_the_page_is_a_link_where_there_is_one_whatever_the_job_is_called() -> None:
    event = told(id="a/../b?c", url="https://p.example/j")
    assert compose(event, page="https://w.example").links == (
        ("Open job", "https://p.example/j"),
        ("Page", "https://w.example/jobs/openai-prod/a%2F..%2Fb%3Fc"),
        ("W&B run", "https://wandb.ai/acme/support-bot/runs/sample4w"),
    )
    assert [text for text, _ in compose(event).links] == ["Open job", "W&B run"]


def test_what_a_thread_is_called_is_the_same_for_all_of_a_jobs_messages() -> None:
    of_job = [sample(name) for name in SAMPLES if sample(name).key == sample("failed").key]
    assert len({compose(event).topic for event in of_job}) == 1
    assert compose(told(name=None)).topic == "ftjob-sample4w9Zq2"


def test_a_success_says_what_came_of_it() -> None:
    message = compose(sample("succeeded"))
    assert message.title == "✅ support-bot-v7 succeeded · 1 h 50 m (queued 9 m)"
    assert message.facts[0] == Fact(
        "Model", "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg", is_code=True
    )
    assert facts(sample("succeeded")) == {
        "Model": "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg",
        "Base model": "gpt-4.1-mini-2025-04-14",
        "Tokens": "5,768,000",
        "Figures": "train loss 2.31 → 0.412, valid loss 0.487, valid accuracy 0.871",
        "Compared": "valid loss 0.487, last run 0.512; 12 m faster",
        "Owner": "anna",
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
        (UNSET, "1 h 59 m"),
        (Summary(), "1 h 59 m"),
        (Summary(ran_for=60), "1 m"),
        (Summary(ran_for=60, queued_for=0), "1 m"),
        (Summary(ran_for=0, queued_for=3600), "0 s (queued 1 h)"),
        (Summary(queued_for=3600), "1 h 59 m in all (queued 1 h)"),
    ],
)
def test_how_long_it_took_is_told_as_far_as_it_is_known(summary: Summary | UnsetType, lasted: str) -> None:
    assert compose(summed_up("succeeded", summary)).title.partition(" · ")[2] == lasted
    assert compose(summed_up("failed", summary)).title.partition(" after ")[2] == lasted


def test_how_long_a_job_took_that_has_no_times_is_not_guessed() -> None:
    event = summed_up("succeeded", UNSET)
    assert event.job is not None
    for job in (replace(event.job, finished_at=None), replace(event.job, finished_at=1)):
        assert compose(replace(event, data=replace(event.data, job=job))).title.endswith(" succeeded")


@pytest.mark.parametrize(
    ("first", "line"),
    [
        ({"train_loss": 2.3129}, "train loss 2.31 → 0.412, valid loss 0.487"),
        ({"valid_loss": 1.1}, "train loss 0.412, valid loss 1.1 → 0.487"),
        ({"train_loss": 0.4121}, "train loss 0.412, valid loss 0.487"),
    ],
)
def test_a_loss_is_told_as_a_way_where_its_beginning_is_known(first: dict[str, float], line: str) -> None:
    metrics = {"train_loss": 0.4123, "valid_loss": 0.4871}
    assert facts(summed_up("succeeded", Summary(metrics=metrics, first=first)))["Figures"] == line


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
    assert facts(summed_up("succeeded", Summary(metrics=metrics))).get("Figures", "") == line


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
        "Owner": "anna",
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
    assert "Progress: step 120 of 600, 20 %, about 40 m left" in lines
    assert "n_epochs: auto → 3" in lines
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
