"""The picture of a run: what is drawn is there, whatever the figures are; strangers' words do nothing."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftwatch.core.chart import Curve, Mark, chart, number, panels, sparkline, step_at

NAN, INF = math.nan, math.inf
SVG = "{http://www.w3.org/2000/svg}"

anything = st.floats(allow_nan=True, allow_infinity=True)
points = st.lists(st.tuples(anything, anything), max_size=40).map(
    lambda found: sorted(found, key=lambda p: p[0])
)
hostile = st.text(st.characters(), max_size=60)


def drawn(curves: Sequence[Curve], marks: Sequence[Mark] = (), **more: object) -> ElementTree.Element:
    """The picture, read as XML."""
    return ElementTree.fromstring(chart(curves, marks, title="Loss", **more))  # type: ignore[arg-type]


def lines(picture: ElementTree.Element, kind: str = "ch-c0") -> list[list[tuple[float, float]]]:
    """Every run of a curve's lines as coordinates."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", run)]
        for path in picture.iter(f"{SVG}path")
        if path.get("class") == kind
        for run in path.get("d", "").split("M")[1:]
    ]


def texts(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{SVG}text")]


def described(picture: ElementTree.Element) -> str:
    return picture.findtext(f"{SVG}desc") or ""


# ------------------------------------------------------------------------------------------ what is drawn


def test_a_falling_loss_falls_and_ends_at_its_label() -> None:
    picture = drawn([Curve("train", [(1, 2.0), (50, 1.0), (100, 0.5)])])
    (run,) = lines(picture)
    assert [y for _, y in run] == sorted(y for _, y in run)
    assert [x for x, _ in run] == sorted(x for x, _ in run)
    assert "train 0.5" in texts(picture)
    assert described(picture) == ("train: from 2 at step 1 to 0.5 at step 100, lowest 0.5 at step 100.")


def test_it_says_what_it_is_to_who_cannot_see_it() -> None:
    picture = drawn([Curve("train", [(1, 2.0)])], id="loss")
    assert picture.get("role") == "img"
    assert picture.get("aria-labelledby") == "loss-title loss-desc"
    assert picture.findtext(f"{SVG}title[@id='loss-title']") == "Loss"
    assert described(picture) == "train: 2 at step 1."


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "There are no figures yet."),
        ([(1, NAN)], "1 value is no number."),
        ([(NAN, 1.0)], "There are no figures yet."),
    ],
)
def test_without_a_number_there_is_no_curve(points: list[tuple[float, float]], said: str) -> None:
    picture = drawn([Curve("train", points)])
    assert lines(picture) == []
    assert texts(picture) == ["no figures yet"]
    assert described(picture) == said
    assert sparkline(points) == ""


def test_what_is_no_number_is_a_gap() -> None:
    found = [(1, 1.0), (2, 0.9), (3, NAN), (4, 0.7), (5, INF), (6, 0.5)]
    assert [len(run) for run in lines(drawn([Curve("train", found)]))] == [2, 1, 1]
    assert "2 values are no numbers" in described(drawn([Curve("train", found)]))


def test_of_many_points_the_extremes_stay() -> None:
    found = [(step, 1.0 + 0.001 * (step % 7)) for step in range(10_000)]
    found[4321] = (4321, 9.0)
    found[8765] = (8765, 0.1)
    picture = drawn([Curve("train", found)])
    raw = lines(picture)[0]
    assert len(raw) <= 700
    assert len(ElementTree.tostring(picture)) < 20_000
    top, bottom = min(y for _, y in raw), max(y for _, y in raw)
    assert top == lines(drawn([Curve("a", [(0, 0.1), (1, 9.0)])]))[0][1][1]
    assert bottom == lines(drawn([Curve("a", [(0, 0.1), (1, 9.0)])]))[0][0][1]
    assert "lowest 0.1 at step 8,765" in described(picture)


def test_a_narrow_picture_has_fewer_points() -> None:
    found = Curve("train", [(step, 1.0 + 0.001 * (step % 7)) for step in range(10_000)])
    wide, narrow = lines(drawn([found]))[0], lines(drawn([found], width=400))[0]
    assert len(narrow) < len(wide) / 2


def test_a_gap_as_wide_as_a_column_stays_a_gap_among_many_points() -> None:
    found = [(step, NAN if 4_000 <= step < 5_000 else 1.0) for step in range(10_000)]
    raw, smooth = lines(drawn([Curve("train", found)]))[:2], lines(drawn([Curve("train", found)]))[2:]
    assert len(raw) == len(smooth) == 2


def test_a_restless_curve_is_drawn_pale_with_its_mean_over_it() -> None:
    found = [(step, 1.0 + (-1) ** step * 0.5) for step in range(300)]
    pale, mean = lines(drawn([Curve("train", found)]))
    assert max(y for _, y in pale) - min(y for _, y in pale) > 100
    inner = [y for _, y in mean[5:-5]]
    assert max(inner) - min(inner) < 40
    assert mean[-1][0] == pale[-1][0]


@pytest.mark.parametrize(
    ("values", "is_log"),
    [
        ([10.0, 0.1], True),
        ([10.0, 0.6], False),
        ([10.0, 0.0], False),
        ([10.0, -0.1], False),
        ([1e-300, 1e-299], False),
    ],
)
def test_what_is_far_apart_and_above_zero_has_a_scale_of_ratios(values: list[float], is_log: bool) -> None:
    picture = drawn([Curve("train", list(enumerate(values)))])
    assert ("Loss (log)" in texts(picture)) is is_log


def test_equal_ratios_are_equally_far_apart() -> None:
    ((_, first), (_, second), (_, third)) = lines(drawn([Curve("a", [(0, 100.0), (1, 10.0), (2, 1.0)])]))[0]
    assert second - first == pytest.approx(third - second, abs=0.2)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.4, 2.1], ["0.0", "0.5", "1.0", "1.5", "2.0"]),
        ([0.91, 0.99], ["0.92", "0.94", "0.96", "0.98"]),
        ([3.0, 3.0], ["2.9", "3.0", "3.1"]),
        ([0.2, 11.0], ["0.2", "0.5", "1", "2", "5", "10"]),
    ],
)
def test_the_scale_has_round_values(values: list[float], labels: list[str]) -> None:
    found = texts(drawn([Curve("train", list(enumerate(values)))]))
    assert found[: len(labels)] == labels


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (1200, "1,200"),
        (9999, "9,999"),
        (12_000, "12k"),
        (3_500_000, "3.5M"),
        (1e15, "1e+15"),
        (2.5, "2.5"),
    ],
)
def test_a_step_is_written_as_people_do(value: float, said: str) -> None:
    assert number(value) == said


def test_labels_do_not_lie_over_each_other() -> None:
    same = [Curve(name, [(1, 1.0), (2, 0.5)]) for name in ("train", "valid", "full valid")]
    places = sorted(
        float(text.get("y", ""))
        for text in drawn(same).iter(f"{SVG}text")
        if (text.get("class") or "").startswith("ch-c")
    )
    assert all(after - before >= 14 for before, after in pairwise(places))
    assert places[-1] <= 280


# ---------------------------------------------------------------------------------------------- marks


def test_marks_stand_at_their_step_and_say_what_they_are() -> None:
    curve = Curve("train", [(0, 2.0), (100, 1.0)])
    marks = [
        Mark("checkpoint", 50, "checkpoint ckpt-1"),
        Mark("alert", 75, "stuck"),
        Mark("state", 0, "running"),
    ]
    picture = drawn([curve], marks)
    groups = {
        group.get("class"): group
        for group in picture.iter(f"{SVG}g")
        if group.find(f"{SVG}title") is not None
    }
    assert {name: group.findtext(f"{SVG}title") for name, group in groups.items()} == {
        "ch-checkpoint": "checkpoint ckpt-1",
        "ch-alert": "stuck",
        "ch-state": "running",
    }
    (left, _), (right, _) = lines(picture)[0]
    path = groups["ch-checkpoint"].find(f"{SVG}path")
    assert path is not None
    assert path.get("d", "").startswith(f"M{(left + right) / 2:g} ")
    assert "1 checkpoint; 1 alert; 1 change of state" in described(picture)


def test_of_very_many_marks_some_are_drawn_the_last_among_them() -> None:
    marks = [Mark("checkpoint", step, f"at {step}") for step in range(1000)]
    picture = drawn([Curve("train", [(0, 2.0), (1000, 1.0)])], marks)
    said = [group.findtext(f"{SVG}title") for group in picture.iter(f"{SVG}g")]
    shown = [text for text in said if text]
    assert len(shown) == 60
    assert shown[-1] == "at 999"
    assert "1000 checkpoints" in described(picture)


@pytest.mark.parametrize(
    ("moment", "step"),
    [(99, None), (100, 10), (150, 15), (200, 20), (999, 20)],
)
def test_a_moment_has_its_step(moment: float, step: float | None) -> None:
    assert step_at(moment, [(100, 10), (200, 20)]) == step
    assert step_at(moment, []) is None


# ------------------------------------------------------------------------------------------- what is what


def test_a_series_becomes_panels_losses_first() -> None:
    series = [
        (1, {"train_loss": 2.0, "learning_rate": 1e-4, "train_accuracy": 0.1}),
        (2, {"train_loss": 1.5, "valid_loss": 1.6, "something else": 3.0}),
    ]
    found = panels(series)
    assert [panel.title for panel in found] == ["Loss", "Accuracy", "Learning rate"]
    assert [curve.name for curve in found[0].curves] == ["train", "valid"]
    assert found[0].curves[0].points == [(1, 2.0), (2, 1.5)]
    assert [curve.name for curve in found[2].curves] == ["learning rate"]


def test_a_sparkline_is_small_and_ends_where_the_curve_does() -> None:
    found = sparkline([(step, 1 / (step + 1)) for step in range(5_000)])
    picture = ElementTree.fromstring(found)
    assert len(found) < 1200
    assert picture.get("aria-hidden") == "true"
    ((_, *_, (x, _)),) = [
        [(float(a), float(b)) for a, b in re.findall(r"([\d.]+) ([\d.]+)", picture.find("path").get("d"))]  # type: ignore[union-attr,arg-type]
    ]
    dot = picture.find("circle")
    assert dot is not None
    assert float(dot.get("cx", "")) == x


# ---------------------------------------------------------------------------------------------- colours


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_written_can_be_read_in_both_themes(theme: str) -> None:
    curves = [Curve(name, [(1, 2.0), (2, 1.0)]) for name in ("train", "valid", "full valid")]
    picture = drawn(curves, [Mark("alert", 1, "stuck"), Mark("checkpoint", 1, "x")], theme=theme)
    back = next(one.get("fill", "") for one in picture.iter(f"{SVG}rect"))
    inks = {
        one.get(key)
        for one in picture.iter()
        for key in ("fill", "stroke")
        if "ch-grid" not in str(one.attrib)
    }
    for ink in inks - {None, "none", back}:
        low, high = sorted((luminance(str(ink)), luminance(back)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, back)


def test_no_style_stands_in_the_picture() -> None:
    text = chart([Curve("train", [(1, 2.0), (2, 1.0)])], [Mark("alert", 1, "x")], title="Loss")
    assert "style" not in text
    assert "<script" not in text


# ------------------------------------------------------------------------------------------- strangers


@given(points, points, hostile, hostile)
@example([], [(1.1e300, 0.0)], "", "")
def test_every_figure_and_every_name_gives_a_picture(
    some: list[tuple[float, float]], more: list[tuple[float, float]], name: str, label: str
) -> None:
    marks = [Mark("alert", x, label) for x, _ in more[:5]]
    text = chart([Curve(name, some), Curve("valid", more)], marks, title=name)
    picture = ElementTree.fromstring(text)
    for element in picture.iter():
        assert element.tag in {
            SVG + tag for tag in ("svg", "title", "desc", "rect", "path", "g", "text", "circle")
        }
        assert not any(key.startswith("on") for key in element.attrib)
    numbers = re.findall(
        r"[MLHV ](-?[\d.]+|nan|-?inf)", " ".join(p.get("d", "") for p in picture.iter(f"{SVG}path"))
    )
    assert all(-20 <= float(one) <= 820 for one in numbers)
    if small := sparkline(some):
        ElementTree.fromstring(small)


def test_a_name_of_markup_is_text() -> None:
    text = chart([Curve('"><script>alert(1)</script>', [(1, 2.0)])], title="<b>&\u202eLoss")
    assert "<script" not in text
    assert "&lt;b&gt;&amp;Loss" in text
    assert "\u202e" not in text
