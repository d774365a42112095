"""What is drawn of a job: the first sort of figures that it has, and what happened at which step."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.chart import Mark, chart
from ftwatch.core.journal import METRICS, Checkpoint
from ftwatch.core.plot import Step, marks_of, plot_of
from ftwatch.core.sample import SAMPLES, sample

integers = st.integers(-(2**63), 2**63 - 1)
figures = st.dictionaries(st.sampled_from([*METRICS, "their_own"]), st.floats(), max_size=4)
series = st.lists(st.tuples(integers, st.none() | integers, figures), max_size=20)
saved = st.builds(Checkpoint, step=st.none() | integers)


def steps(*losses: float, at: int = 1000) -> list[Step]:
    return [(step, at + 60 * step, {"train_loss": loss}) for step, loss in enumerate(losses, start=1)]


def test_losses_come_first_and_other_figures_where_there_are_none() -> None:
    found = plot_of([(1, None, {"train_loss": 2.0, "train_accuracy": 0.1}), (2, None, {"train_loss": 1.0})])
    assert found is not None
    assert found.panel.title == "Loss"
    found = plot_of([(1, None, {"train_reward": 0.1}), (2, None, {"train_reward": 0.2})])
    assert found is not None
    assert found.panel.title == "Reward"


def test_without_a_curve_there_is_nothing_to_draw() -> None:
    nan = float("nan")
    assert plot_of([]) is None
    assert plot_of(steps(2.0)) is None
    assert plot_of(steps(2.0, nan, nan)) is None
    assert plot_of([(1, None, {"train_loss": 1.0}), (2, None, {"valid_loss": 1.0})]) is None


def test_marks_stand_where_the_run_was() -> None:
    def when(name: str, at: int) -> Any:
        event = sample(name)
        return replace(event, data=replace(event.data, occurred_at=at))

    story = [when("running", 900), when("stuck", 1090), when("paused", 1120), when("stuck-resolved", 1130)]
    marks = list(marks_of(steps(2.0, 1.0, 0.5), [Checkpoint(step=3), Checkpoint()], story))
    assert [(mark.kind, mark.at) for mark in marks] == [("checkpoint", 3.0), ("alert", 1.5), ("state", 2.0)]
    assert marks[1].label.startswith("Alert: stuck: ")


@given(series, st.lists(saved, max_size=4), st.lists(st.sampled_from(SAMPLES), max_size=4))
def test_whatever_is_told_there_is_a_plot_or_none(
    told: list[Step], kept: list[Checkpoint], names: list[str]
) -> None:
    found = plot_of(told, kept, [sample(name) for name in names])
    if found is not None:
        assert all(isinstance(mark, Mark) for mark in found.marks)
        assert chart(found.panel.curves, found.marks, title=found.panel.title, legend=True).endswith("</svg>")
