"""From a chart as SVG to a PNG file, by resvg (extra `plots`). Blocking, and bounded by what it is given.

The letters come from two small fonts beside this file, and no other is looked for: a bare container has none,
and a picture should not look different on every machine. `tools/font.py` makes them.
"""

import importlib.util
from pathlib import Path

from ftwatch.core.chart import Theme, chart, described
from ftwatch.core.message import Picture
from ftwatch.core.plot import Plot

__all__ = ["MISSING", "Undrawable", "draw", "is_possible", "rasterized"]

# How large a picture is shown, and how many pixels of its own it has for each of those.
WIDTH, HEIGHT, SCALE = 420, 250, 2
# The most characters of SVG, and the most bytes of PNG.
LARGEST_SVG, LARGEST = 512 * 1024, 1024 * 1024

FAMILY = "ftwatch Sans"
FONTS = [str(Path(__file__).parent / "font" / name) for name in ("ftwatch-sans.ttf", "ftwatch-sans-bold.ttf")]

MISSING = "resvg-py is not installed: pip install 'ftwatch[plots]'"


class Undrawable(Exception):
    """There is no picture, for the reason that it says."""


def is_possible() -> bool:
    """Whether what draws is installed."""
    return importlib.util.find_spec("resvg_py") is not None


def draw(plot: Plot, theme: Theme = "light") -> Picture:
    """The picture of a plot. Raises Undrawable."""
    curves, marks = plot.panel.curves, plot.marks
    svg = chart(curves, marks, title=plot.panel.title, theme=theme, width=WIDTH, height=HEIGHT, legend=True)
    return Picture(rasterized(svg), plot.panel.title, described(curves, marks), WIDTH, HEIGHT)


def rasterized(svg: str) -> bytes:
    """An SVG document as a PNG file. Raises Undrawable."""
    if len(svg) > LARGEST_SVG:
        raise Undrawable(f"the picture is too large: {len(svg):,} characters of SVG")
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise Undrawable(MISSING) from None
    try:
        png = svg_to_bytes(
            svg_string=svg,
            zoom=SCALE,
            skip_system_fonts=True,
            font_files=FONTS,
            font_family=FAMILY,
            sans_serif_family=FAMILY,
            serif_family=FAMILY,  # where a name leads to none
        )
    except Exception as error:
        raise Undrawable(f"resvg does not draw it: {error}") from error
    except BaseException as error:
        # A panic in Rust is no Exception, although only the one call has failed.
        if type(error).__name__ != "PanicException":
            raise
        raise Undrawable("resvg broke down over it") from error
    if len(png) > LARGEST:
        raise Undrawable(f"the picture is too large: {len(png):,} bytes of PNG")
    return png
