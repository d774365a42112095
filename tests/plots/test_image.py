"""From SVG to PNG: letters without any system font, whatever the figures are."""

import importlib.util
import math
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from fontTools.ttLib import TTFont
from hypothesis import given, settings
from hypothesis import strategies as st

from ftwatch.core.chart import Curve, Mark, Panel
from ftwatch.core.plot import Plot
from ftwatch.core.sample import sample_plot
from ftwatch.plots import image
from ftwatch.plots.image import FONTS, Undrawable, draw, rasterized

ROOT = Path(__file__).parents[2]
NAN, INF = math.nan, math.inf
anything = st.floats(allow_nan=True, allow_infinity=True)
steps = st.integers(-(2**63), 2**63 - 1).map(float)


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def plot(*points: tuple[float, float], marks: tuple[Mark, ...] = ()) -> Plot:
    return Plot(Panel("Loss", (Curve("train", points),)), marks)


def test_a_picture_is_a_png_file_that_says_what_it_shows() -> None:
    picture = draw(sample_plot())
    assert size(picture.png) == (picture.width * image.SCALE, picture.height * image.SCALE)
    assert (picture.title, picture.name) == ("Loss", "loss.png")
    assert picture.alt.startswith("train: from 2.328 at step 2 to 0.4123 at step 600")
    assert draw(sample_plot(), "dark").png != picture.png


# ---------------------------------------------------------------------------------------------------- letters

LETTERS = '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="20" font-family="{}">{}</svg>'


def letters(family: str, text: str, weight: int = 400) -> bytes:
    return rasterized(LETTERS.format(family, f'<text y="15" font-weight="{weight}">{text}</text>'))


@pytest.mark.parametrize("family", ["system-ui, sans-serif", "sans-serif", "No Such Font", "serif"])
def test_letters_are_drawn_without_any_font_of_the_system(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, bold = letters(family, "loss 0.4"), letters(family, "loss 0.4", 600)
    blank = letters(family, "")
    assert len({drawn, bold, blank}) == 3
    # Were there others to be had, they would be seen now.
    monkeypatch.setattr(image, "FONTS", [])
    assert letters(family, "loss 0.4") == blank


def test_there_is_a_letter_for_every_sign_that_a_picture_can_have() -> None:
    names = ("train", "valid", "full valid", "learning rate", "grad norm", "checkpoint", "change of state")
    said = [*names, "Loss (log)", "Gradient norm", "step", "alert", "no figures yet", "1,2k3.5M4G-1e+300"]
    wanted = {ord(c) for text in said for c in text}
    for path in FONTS:
        assert wanted <= TTFont(path).getBestCmap().keys()


def test_the_fonts_are_what_the_script_makes_of_the_pinned_package(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("font", ROOT / "tools" / "font.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    made.make(tmp_path)
    kept = Path(FONTS[0]).parent
    assert {one.name for one in kept.iterdir()} == {one.name for one in tmp_path.iterdir()}
    for one in tmp_path.iterdir():
        assert one.read_bytes() == (kept / one.name).read_bytes(), one.name
    reserved = [TTFont(path)["name"].getDebugName(1) for path in FONTS]
    assert reserved == ["ftwatch Sans", "ftwatch Sans"], "Lato is a reserved name"


# ---------------------------------------------------------------------------------------------------- figures


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(steps, anything), min_size=1, max_size=40),
    st.lists(st.tuples(st.sampled_from(["checkpoint", "alert", "state"]), anything), max_size=5),
)
def test_there_is_a_picture_of_any_figures(
    points: list[tuple[float, float]], marks: list[tuple[Any, float]]
) -> None:
    drawn = draw(plot(*sorted(points), marks=tuple(Mark(kind, at, "\x00<>") for kind, at in marks)))
    assert size(drawn.png)


@pytest.mark.parametrize(
    "points",
    [
        [(1.0, 1e308), (2.0, -1e308)],
        [(-5.0, 2.0), (-1.0, 1.0)],
        [(1.0, 5e-324), (2.0, 1.0)],
        [(1.0, NAN), (2.0, INF), (3.0, -INF), (4.0, 1.0), (5.0, 0.5)],
        [(float(-(2**63)), 1.0), (float(2**63), 2.0)],
        [(1.0, 1.0)] * 50,
    ],
)
def test_there_is_a_picture_of_what_no_run_should_tell(points: list[tuple[float, float]]) -> None:
    assert size(draw(plot(*points)).png)


def test_very_many_points_make_no_larger_a_picture() -> None:
    points = [(float(step), (step * 7919) % 1000 / 1000 + 1000 / step) for step in range(1, 200_001)]
    assert len(draw(plot(*points)).png) < 200_000


# -------------------------------------------------------------------------------------------- what goes wrong


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(Undrawable, match=r"resvg-py is not installed: pip install 'ftwatch\[plots\]'"):
        draw(sample_plot())


def test_what_is_no_svg_is_no_picture() -> None:
    with pytest.raises(Undrawable, match="resvg does not draw it"):
        rasterized("<svg")


def test_a_picture_has_a_size_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "LARGEST", 100)
    with pytest.raises(Undrawable, match=r"the picture is too large: .* bytes of PNG"):
        draw(sample_plot())
    monkeypatch.setattr(image, "LARGEST_SVG", 100)
    with pytest.raises(Undrawable, match=r"the picture is too large: .* characters of SVG"):
        draw(sample_plot())


class PanicException(BaseException):
    """As a library in Rust raises it."""


def test_a_panic_in_the_library_costs_only_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @staticmethod
        def svg_to_bytes(**more: Any) -> bytes:
            raise PanicException

    monkeypatch.setitem(sys.modules, "resvg_py", Broken)
    with pytest.raises(Undrawable, match="resvg broke down over it"):
        draw(sample_plot())
