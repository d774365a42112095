"""What belongs to a sweep, what of it waits, and the table that tells what came of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.event import Event, Severity, Summary
from ftwatch.core.message import compose
from ftwatch.core.route.hold import LONGEST_SWEEP, Group, Holding, hold
from ftwatch.core.sample import SAMPLES, sample

NOW = 1_795_400_000.0
GRID = Group(by=("labels.sweep", "labels.team"), all_terminal=True)


def run(number: int, name: str, sweep: str = "lr-grid", **metrics: float) -> Event:
    made = sample(name)
    assert made.job is not None
    labels = {"sweep": sweep}
    job = replace(
        made.job, id=f"j{number}", name=f"grid-{number}", labels=labels, fine_tuned_model=f"ft:{number}"
    )
    summary = replace(made.data.summary or Summary(), metrics=metrics)
    data = replace(made.data, id=job.id, job=job, labels=labels, summary=summary)
    return replace(made, id=f"evt_{number}_{name}", data=data)


def test_what_tells_the_course_of_a_job_waits_and_what_is_wrong_does_not() -> None:
    waiting = set()
    for name in SAMPLES:
        made = sample(name)
        if made.job is not None:
            made = replace(made, data=replace(made.data, job=replace(made.job, labels={"sweep": "x"})))
        found = hold(made, Holding(), NOW, group=GRID)
        if found is not None:
            waiting.add(name)
            assert found.until == NOW + LONGEST_SWEEP
            assert found.is_heralded is (name == "failed")
    assert waiting == {
        "created",
        "continued",
        "validating_files",
        "queued",
        "running",
        "checkpoint",
        "succeeded",
        "failed",
        "cancelled",
        "pausing",
        "cancelling",
        "updated",
        "incomplete",
        "returned",
    }


def test_a_sweep_is_of_jobs_that_agree_and_has_a_name() -> None:
    first, second, other = run(1, "running"), run(2, "failed"), run(3, "running", "wd-grid")
    assert first.job
    assert second.job
    assert other.job
    assert GRID.sweep(first.job) == GRID.sweep(second.job) != GRID.sweep(other.job)
    assert (GRID.sweep(first.job) or "").endswith(" lr-grid")
    assert GRID.sweep(replace(first.job, labels={})) is None
    hostile = GRID.sweep(replace(first.job, labels={"sweep": "a\n\u202eb" + "x" * 999}))
    assert hostile is not None
    assert "\n" not in hostile
    assert "\u202e" not in hostile
    assert len(hostile) < 100


def bundle(*events: Event) -> str:
    assert events[0].job is not None
    return GRID.sweep(events[0].job) or ""


def test_the_table_has_the_best_one_first_and_what_failed_last() -> None:
    events = [
        run(1, "running"),
        run(1, "succeeded", valid_loss=0.52, train_loss=0.3),
        run(2, "failed"),
        run(3, "succeeded", valid_loss=0.41, train_loss=0.39),
        run(4, "cancelled"),
        run(5, "succeeded"),
        run(6, "running"),
    ]
    message = compose(*events, bundle=bundle(*events))
    assert message.title == "🧪 Sweep lr-grid: 3 ok, 1 failed, 1 cancelled, 1 without an end, best valid 0.41"
    assert [row.title for row in message.rows] == [f"grid-{number}" for number in (3, 1, 5, 6, 2, 4)]
    assert message.rows[0].said == "succeeded in 1 h 50 m (queued 9 m); train loss 0.39, valid loss 0.41"
    assert message.rows[4].said.startswith("failed after 1 h 50 m (queued 9 m); The job failed due to")
    assert message.rows[3].said == "running"
    facts = [(fact.label, fact.value) for fact in message.facts]
    assert facts == [("Best", "grid-3"), ("Model", "ft:3")]
    assert message.tone == "warn"


def test_without_losses_nothing_is_best() -> None:
    events = [run(1, "succeeded"), run(2, "succeeded")]
    message = compose(*events, bundle=bundle(*events))
    assert (message.title, message.facts, message.tone) == ("🧪 Sweep lr-grid: 2 ok", (), "good")
    assert compose(run(1, "failed"), run(2, "failed"), bundle=bundle(*events)).tone == "bad"


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -1.0])
def test_a_loss_that_is_none_is_not_the_best(loss: float) -> None:
    events = [run(1, "succeeded", valid_loss=loss), run(2, "succeeded", valid_loss=0.5)]
    title = compose(*events, bundle=bundle(*events)).title
    assert title.endswith("best valid -1" if loss == -1.0 else "best valid 0.5")


def test_a_large_sweep_is_cut_and_says_so() -> None:
    events = [run(number, "succeeded", train_loss=number / 10) for number in range(50)]
    message = compose(*events, most=10, bundle=bundle(*events))
    assert len(message.rows) == 10
    assert message.rows[-1].title == "and 41 more: `ftwatch jobs` shows them"
    assert "50 ok, best train 0" in message.title


@given(
    st.lists(st.sampled_from(["succeeded", "failed", "cancelled", "running"]), min_size=2, max_size=30),
    st.data(),
)
def test_every_job_is_counted_once(ends: list[str], data: Any) -> None:
    events = [run(number, end) for number, end in enumerate(ends)]
    events += [run(number, "running") for number in range(len(ends))]
    shuffled = data.draw(st.permutations(events))
    message = compose(*shuffled, bundle=bundle(*events))
    assert len(message.rows) == len(ends)
    words = {"succeeded": "ok", "failed": "failed", "cancelled": "cancelled", "running": "without an end"}
    for end, word in words.items():
        count = ends.count(end)
        assert (f"{count} {word}" in message.title) is (count > 0)


def test_severity_does_not_matter_for_what_a_route_let_in() -> None:
    made = replace(run(1, "running"), severity=Severity.DETAIL)
    assert hold(made, Holding(), NOW, group=GRID) is not None
