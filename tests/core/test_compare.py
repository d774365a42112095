"""Comparisons: which runs are of one recipe, and what is said of two of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.compare import MOST, Run, Runs, compared, recipe, run_of, versus
from ftwatch.core.event import Comparison
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.message import compose
from ftwatch.core.sample import sample

JOB = sample("succeeded").job
assert JOB is not None


def named(name: str | None, **more: Any) -> Snapshot:
    assert JOB is not None
    return replace(JOB, name=name, **more)


@pytest.mark.parametrize(
    ("one", "other", "are_alike"),
    [
        ("support-bot-v7", "support-bot-v6", True),
        ("support-bot-v7", "Support-Bot", True),
        ("support bot 2026-11-20", "support-bot-2026-10-01", False),
        ("support-bot-2026-11-20", "support-bot-2026-10-01.2", True),
        ("support-bot_run12", "support-bot", True),
        ("support-bot", "sales-bot", False),
        ("rerun", "re", False),
    ],
)
def test_runs_are_alike_whose_names_differ_by_a_version(one: str, other: str, are_alike: bool) -> None:
    assert (recipe(named(one)) == recipe(named(other))) is are_alike


def test_what_the_metadata_say_counts_before_any_name() -> None:
    said = {"recipe": "nightly"}
    assert recipe(named("a", metadata=said)) == recipe(named("b", model="other", metadata=said))
    assert recipe(named("a")) != recipe(named("a", model="other"))
    for nameless in (None, "", "v7", "2026-11-20", "--"):
        assert recipe(named(nameless)) is None or nameless == "v7"


@given(st.text(max_size=300))
def test_no_name_is_too_much(name: str) -> None:
    assert len(recipe(named(name)) or "") < 450


def test_a_name_of_one_sign_takes_no_time() -> None:
    for sign in ("1", "-", "v1", "-v", " "):
        recipe(named(sign * 100_000))


RUNS = (
    Run(id="b", finished_at=200, ran_for=7200, tokens=5_000_000, metrics={"valid_loss": 0.46}),
    Run(id="a", finished_at=100, ran_for=600, metrics={"valid_loss": 0.40}),
)


def test_the_last_run_is_the_one_to_compare_with_and_the_best_is_known() -> None:
    found = compared(named("x"), RUNS)
    assert found == Comparison(
        job="b",
        runs=2,
        ran_for=7200,
        tokens=5_000_000,
        metrics={"valid_loss": 0.46},
        best={"valid_loss": 0.40},
    )
    assert compared(named("x"), RUNS[:1]) == replace(found, runs=1, best={})


def test_nothing_is_compared_with_itself_with_what_came_later_or_where_it_failed() -> None:
    assert compared(named("x"), ()) is None
    assert compared(named("x"), (replace(RUNS[0], id=named("x").id),)) is None
    assert compared(named("x"), (replace(RUNS[0], finished_at=2**40),)) is None
    assert compared(named("x", status=Status.FAILED), RUNS) is None


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefghijklmnopqrstuvwxy"), st.none() | st.integers(1, 9)), max_size=30
    ),
    st.lists(st.tuples(st.sampled_from("abcxyz"), st.none() | st.integers(1, 9)), max_size=4),
)
def test_what_is_told_to_many_is_what_each_would_be_told(
    runs: list[tuple[str, int | None]], ends: list[tuple[str, int | None]]
) -> None:
    earlier = Runs(
        Run(id=id, finished_at=at, metrics={"valid_loss": place})
        for place, (id, at) in enumerate(dict(runs).items())
    )
    for id, at in ends:
        told = compared(named("x", id=id, finished_at=at), earlier)
        others = [run for run in earlier if run.id != id][:MOST]
        before = [run for run in others if not (at and (run.finished_at or 0) > at)]
        last = max(before, key=lambda run: (run.finished_at or 0, run.id), default=None)
        assert (told.job if told else None) == (last.id if last else None)
        if told and last:
            best = min(run.metrics["valid_loss"] for run in before)
            assert told.runs == len(before)
            assert told.metrics == last.metrics
            assert told.best == ({"valid_loss": best} if len(before) > 1 else {})


@pytest.mark.parametrize(
    ("this", "last", "words"),
    [
        (
            {"metrics": {"valid_loss": 0.41}},
            {"metrics": {"valid_loss": 0.46}},
            "valid loss 0.41, last run 0.46",
        ),
        ({"metrics": {"train_loss": 1}}, {"metrics": {"valid_loss": 0.46}}, ""),
        (
            {"metrics": {"full_valid_loss": 0.3, "valid_loss": 9}},
            {"metrics": {"full_valid_loss": 0.4}, "best": {"full_valid_loss": 0.35}, "runs": 4},
            "valid loss 0.3, last run 0.4 (the best of 5)",
        ),
        (
            {"metrics": {"valid_loss": 0.41}},
            {"metrics": {"valid_loss": 0.46}, "best": {"valid_loss": 0.4}, "runs": 4},
            "valid loss 0.41, last run 0.46 (best 0.4)",
        ),
        ({"ran_for": 6000}, {"ran_for": 6720}, "12 m faster"),
        ({"ran_for": 6720}, {"ran_for": 6000}, "12 m slower"),
        ({"ran_for": 6000}, {"ran_for": 6030}, ""),
        ({"ran_for": 90}, {"ran_for": 60}, ""),
        ({"tokens": 150}, {"tokens": 100}, "50% more tokens"),
        ({"tokens": 101}, {"tokens": 100}, ""),
        ({"tokens": 50}, {"tokens": 100}, "50% fewer tokens"),
        ({}, {}, ""),
    ],
)
def test_two_runs_in_words(this: dict[str, Any], last: dict[str, Any], words: str) -> None:
    assert versus(Run(id="x", **this), Comparison(job="y", **last)) == words


def test_the_message_says_it() -> None:
    event = sample("succeeded")
    assert event.job is not None
    assert run_of(event.job, {"grad_norm": 1.0, "valid_loss": 2.0}).metrics == {"valid_loss": 2.0}
    told = {fact.label: fact.value for fact in compose(event).facts}
    assert told["Figures"] == "train loss 2.31 → 0.412, valid loss 0.487, valid accuracy 0.871"
    assert told["Compared"] == "valid loss 0.487, last run 0.512; 12 m faster"
