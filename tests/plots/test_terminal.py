"""A plot in a terminal: inside its width, with colours only when asked, whatever the figures are."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from ftwatch.core.chart import Curve, Mark, Panel
from ftwatch.core.plot import Plot
from ftwatch.core.sample import sample_plot
from ftwatch.plots.terminal import drawn

anything = st.floats(allow_nan=True, allow_infinity=True)


def plot(*curves: list[tuple[float, float]], marks: tuple[Mark, ...] = ()) -> Plot:
    names = ("train", "valid", "full valid")
    return Plot(Panel("Loss", tuple(map(Curve, names, curves))), marks)


def first_dot(line: str) -> int | None:
    """Where the first sign of Braille stands."""
    return next((place for place, c in enumerate(line) if "\u2800" < c < "\u2900"), None)


def test_a_falling_loss_falls_and_ends_at_its_label() -> None:
    shown = drawn(sample_plot(), 70, colours=False)
    assert shown[0] == "Loss"
    begins = [place for line in shown[1:-2] if (place := first_dot(line)) is not None]
    assert begins == sorted(begins), "from the left above to the right below"
    assert [line.split()[-2:] for line in shown if line.endswith(("4871", "4123"))] == [
        ["valid", "0.4871"],
        ["train", "0.4123"],
    ]
    assert shown[-2].count("◆") == 4, "three checkpoints, and what they are"
    assert shown[-1].endswith("600  step")
    assert max(map(cell_len, shown)) <= 70


def test_the_labels_stand_in_the_order_of_what_they_name() -> None:
    shown = "\n".join(
        drawn(plot([(1, 2), (9, 1.00)], [(1, 2), (9, 1.01)], [(1, 2), (9, 1.02)]), 80, colours=False)
    )
    places = [shown.index(name) for name in ("full valid 1.02", " valid 1.01", "train 1\n")]
    assert places == sorted(places)


def test_without_room_nothing_is_drawn() -> None:
    assert drawn(sample_plot(), 30, colours=False) == []


def test_without_a_number_nothing_is_drawn() -> None:
    assert drawn(plot([(1, math.nan)]), 80, colours=False) == []
    assert drawn(plot([]), 80, colours=False) == []


def test_colours_are_for_who_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in "".join(drawn(sample_plot(), 80, colours=True))
    assert "\x1b" not in "".join(drawn(sample_plot(), 80, colours=False))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.tuples(anything, anything), max_size=20), min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from(["checkpoint", "alert", "state"]), anything), max_size=4),
    st.integers(0, 200),
)
def test_whatever_the_figures_are_it_stays_in_its_width(
    curves: list[list[tuple[float, float]]], marks: list[tuple[Any, float]], columns: int
) -> None:
    made = tuple(Mark(kind, at, "") for kind, at in marks)
    shown = drawn(plot(*(sorted(c, key=lambda p: p[0]) for c in curves), marks=made), columns, colours=False)
    assert all(line.isprintable() for line in shown)
    assert max(map(cell_len, shown[1:-2]), default=0) <= columns
