"""A plot for a terminal: curves of Braille dots, by plotille (extra `plots`), with scales of our own."""

import importlib.util
import math
from collections.abc import Sequence

from ftwatch.core.chart import Mark
from ftwatch.core.chart.points import drawable, smoothed, unbroken
from ftwatch.core.chart.scale import Scale, linear, number, upright, written
from ftwatch.core.plot import Plot

__all__ = ["MISSING", "drawn", "is_possible"]

MISSING = "plotille is not installed: pip install 'ftwatch[plots]'"

# How high a plot is (lines), and how wide at most and at least (columns), without what stands beside it.
HEIGHT, WIDEST, NARROWEST = 12, 100, 20
COLOURS = ("bright_blue", "bright_yellow", "bright_magenta")
SIGNS = {"checkpoint": "◆", "alert": "▲", "state": "●"}


def is_possible() -> bool:
    """Whether what draws is installed."""
    return importlib.util.find_spec("plotille") is not None


def drawn(plot: Plot, columns: int, *, colours: bool) -> list[str]:
    """The lines that show a plot in so many columns; none where these are too few."""
    from plotille import Canvas  # type: ignore[import-untyped]

    curves = [(curve, drawable(curve.points)) for curve in plot.panel.curves]
    curves = [(curve, points) for curve, points in curves if points]
    if not curves:
        return []
    marks = [mark for mark in plot.marks if math.isfinite(mark.at)]
    steps = [x for _, points in curves for x, _ in points]
    across = linear([*steps, *(mark.at for mark in marks)], whole=True)
    up = upright([y for _, points in curves for _, y in points])
    names = [f"{curve.name} {points[-1][1]:.4g}" for curve, points in curves]
    labels = written(up.ticks)
    left, right = max(map(len, labels), default=0), max(map(len, names), default=0)
    width = min(columns - left - right - 5, WIDEST)
    if width < NARROWEST:
        return []
    canvas = Canvas(width, HEIGHT)
    ends: list[tuple[float, str]] = []
    for place, (curve, points) in enumerate(curves):
        colour = COLOURS[place % len(COLOURS)] if colours else None
        for run in unbroken(curve.points, across.place, width):
            _line(canvas, [(across.place(x), up.place(y)) for x, y in smoothed(run)], colour)
        ends.append((up.place(points[-1][1]), _painted(names[place], colour)))
    beside = _apart(ends)
    scale = {_row(up.place(tick)): label for tick, label in zip(up.ticks, labels, strict=True)}
    title = f"{plot.panel.title} (log)" if up.is_log else plot.panel.title
    rows = [
        f"{scale.get(row, ''):>{left}} {'┤' if row in scale else '│'}{text} {beside.get(row, '')}".rstrip()
        # A blank of Braille is dots in some fonts, and no blank to who copies it.
        for row, text in enumerate(canvas.plot(linesep="\n").replace("\u2800", " ").split("\n"))
    ]
    below = " " * (left + 1)
    return [title, *rows, f"{below}└{_axis(marks, across, width)}", f"{below} {_steps(across, width)}"]


def _line(canvas: object, run: Sequence[tuple[float, float]], colour: str | None) -> None:
    """A run of points between 0 and 1; one alone is a dot."""
    for before, after in zip(run, run[1:] or run, strict=False):
        canvas.line(*before, *after, color=colour)  # type: ignore[attr-defined]


def _painted(text: str, colour: str | None) -> str:
    from plotille import color

    return color(text, fg=colour) if colour else text


def _apart(ends: Sequence[tuple[float, str]]) -> dict[int, str]:
    """What stands at the end of which row: each as near to its own as the others let it."""
    found: dict[int, str] = {}
    last = -1
    for left, (place, text) in zip(range(len(ends), 0, -1), sorted(ends, reverse=True), strict=True):
        last = min(max(_row(place), last + 1), HEIGHT - left)
        found[last] = text
    return found


def _row(place: float) -> int:
    return min(int((1 - place) * HEIGHT), HEIGHT - 1)


def _axis(marks: Sequence[Mark], across: Scale, width: int) -> str:
    """The lower edge, with what happened meanwhile."""
    line = ["─"] * width
    for kind in ("state", "checkpoint", "alert"):
        for mark in marks:
            if mark.kind == kind:
                line[min(int(across.place(mark.at) * width), width - 1)] = SIGNS[kind]
    said = [f"{SIGNS[kind]} {kind}" for kind in SIGNS if any(mark.kind == kind for mark in marks)]
    return f"{''.join(line)}  {'  '.join(said)}".rstrip()


def _steps(across: Scale, width: int) -> str:
    """Steps below the edge, as many as have room."""
    line = ""
    for tick in across.ticks:
        label = number(tick)
        at = max(0, min(int(across.place(tick) * width), width - 1) - len(label) // 2)
        if at >= len(line) + (1 if line else 0):
            line = line.ljust(at) + label
    return f"{line}  step"
