"""What does a run look like? Its figures over the steps as an SVG picture, and as a line of a few pixels.

Pure text: the page shows it as it is, a message turns it into an image. Every colour stands in a presentation
attribute, so that the picture needs no stylesheet; each also has a class, by which a page dresses it anew.
Which points are drawn says `points`, where they stand `scale`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Literal

from msgspec import Struct

from ftwatch.core.chart.points import RESTLESS, Point, drawable, smoothed, unbroken
from ftwatch.core.chart.scale import Scale, linear, number, upright, written
from ftwatch.core.journal import METRICS
from ftwatch.core.message import clean

__all__ = ["Curve", "Mark", "Panel", "Theme", "chart", "number", "panels", "sparkline", "step_at"]

Theme = Literal["light", "dark"]

# A column of so many pixels has points of its own: the lowest and the highest value in it stay.
COLUMN = 2
SPARKS = 32
# So many marks of a sort are drawn; of more some are left out, evenly, but never the last.
MOST_MARKS = 60

LEFT, RIGHT, TOP, BOTTOM = 52, 92, 22, 34
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"

_COLOURS: dict[Theme, dict[str, str]] = {
    "light": {
        "back": "#ffffff",
        "ink": "#55595f",
        "grid": "#e6e4de",
        "c0": "#0a5fc0",
        "c1": "#b8500a",
        "c2": "#7a3fb4",
        "checkpoint": "#1b7a48",
        "alert": "#a35c00",
        "state": "#6b7077",
    },
    "dark": {
        "back": "#16191d",
        "ink": "#a7adb5",
        "grid": "#2c3138",
        "c0": "#6bb1ff",
        "c1": "#ffa45c",
        "c2": "#c79bff",
        "checkpoint": "#5fcf90",
        "alert": "#f2b65a",
        "state": "#8d949d",
    },
}

_WORDS = {
    "checkpoint": ("checkpoint", "checkpoints"),
    "alert": ("alert", "alerts"),
    "state": ("change of state", "changes of state"),
}
_SHORT = {"train": "train", "valid": "valid", "full_valid": "full valid"}
_PANELS = (
    ("Loss", ("train_loss", "valid_loss", "full_valid_loss")),
    ("Accuracy", ("train_accuracy", "valid_accuracy", "full_valid_accuracy")),
    ("Reward", ("train_reward", "valid_reward")),
    ("Learning rate", ("learning_rate",)),
    ("Gradient norm", ("grad_norm",)),
)


class Curve(Struct, frozen=True):
    """One figure over the steps: its name and its points (step, value), in the order of the steps.

    A value that is no finite number is a gap.
    """

    name: str
    points: Sequence[Point]


class Mark(Struct, frozen=True):
    """Something that happened at a step: a checkpoint, an alert, a change of state, in a few words."""

    kind: Literal["checkpoint", "alert", "state"]
    at: float
    label: str


class Panel(Struct, frozen=True):
    """Curves that share a scale, under one title."""

    title: str
    curves: tuple[Curve, ...]


def panels(series: Iterable[tuple[int, Mapping[str, float]]]) -> list[Panel]:
    """What a job's series (step, figures by name) gives to draw, losses first."""
    found: dict[str, list[Point]] = {name: [] for name in METRICS}
    for step, metrics in series:
        for name, value in metrics.items():
            if name in found:
                found[name].append((step, value))
    made = []
    for title, names in _PANELS:
        curves = tuple(Curve(_called(name), found[name]) for name in names if found[name])
        if curves:
            made.append(Panel(title, curves))
    return made


def _called(name: str) -> str:
    head = name.rpartition("_")[0]
    return _SHORT.get(head, name.replace("_", " "))


def step_at(moment: float, timed: Sequence[Point]) -> float | None:
    """The step that a run had reached at `moment`, by its points (time, step); None before the first."""
    before = [point for point in timed if point[0] <= moment]
    if not before:
        return None
    at, step = before[-1]
    after = next((point for point in timed if point[0] > moment), None)
    if after is None or after[0] <= at:
        return step
    return step + (after[1] - step) * (moment - at) / (after[0] - at)


# ------------------------------------------------------------------------------------------ the picture


def chart(
    curves: Sequence[Curve],
    marks: Sequence[Mark] = (),
    *,
    title: str,
    id: str = "chart",
    theme: Theme = "light",
    width: int = 800,
    height: int = 280,
) -> str:
    """The curves and marks as one SVG element of `width` by `height` pixels.

    `title` is what it shows, in a few words; `id` begins the names by which the picture's own parts find each
    other, and must be a plain word, another one for each picture of a page. Strangers' text is escaped.
    """
    colours = _COLOURS[theme]
    drawn = [(curve, drawable(curve.points)) for curve in curves]
    drawn = [(curve, points) for curve, points in drawn if points]
    across = [x for _, points in drawn for x, _ in points]
    across += [mark.at for mark in marks if math.isfinite(mark.at)]
    name, said = escape(f"{id}-title"), escape(f"{id}-desc")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {height}"'
        f' width="{width}" height="{height}" role="img" aria-labelledby="{name} {said}"'
        f' font-family="{escape(FONT)}"'
        ' font-size="12">',
        f'<title id="{name}">{_text(title)}</title>',
        f'<desc id="{said}">{_text(_described(drawn, curves, marks), 600)}</desc>',
        f'<rect class="ch-back" width="{width}" height="{height}" fill="{colours["back"]}"/>',
    ]
    if not drawn:
        parts.append(
            f'<text class="ch-ink" x="{width / 2:g}" y="{height / 2:g}" text-anchor="middle"'
            f' fill="{colours["ink"]}">no figures yet</text></svg>'
        )
        return "".join(parts)
    sheet = _Sheet(
        width,
        height,
        colours,
        linear(across, whole=True),
        upright([y for _, points in drawn for _, y in points]),
    )
    parts += [
        *sheet.axes(title),
        *sheet.marks(marks),
        *(sheet.curve(curve, place) for place, (curve, _) in enumerate(drawn)),
        *sheet.labels(drawn),
        "</svg>",
    ]
    return "".join(parts)


class _Sheet:
    """What is drawn on: two scales, in a frame that leaves room for what is written around it."""

    def __init__(self, width: int, height: int, colours: dict[str, str], x: Scale, y: Scale) -> None:
        self._right, self._bottom = width - RIGHT, height - BOTTOM
        self._colours = colours
        self._x, self._y = x, y

    def _at(self, x: float) -> float:
        return LEFT + (self._right - LEFT) * self._x.place(x)

    def _up(self, y: float) -> float:
        return self._bottom - (self._bottom - TOP) * self._y.place(y)

    def axes(self, title: str) -> Iterable[str]:
        """Lines at round values, with what they are."""
        ink, grid = self._colours["ink"], self._colours["grid"]
        lines = "".join(f"M{LEFT} {_one(self._up(y))}H{_one(self._right)}" for y in self._y.ticks)
        yield f'<path class="ch-grid" d="{lines}" stroke="{grid}" fill="none"/>'
        yield f'<g class="ch-ink" fill="{ink}" text-anchor="end">'
        labels = written(self._y.ticks)
        for y, label in zip(self._y.ticks, labels, strict=True):
            yield f'<text x="{LEFT - 8}" y="{_one(self._up(y) + 4)}">{label}</text>'
        yield f'</g><g class="ch-ink" fill="{ink}" text-anchor="middle">'
        for x in self._x.ticks:
            yield f'<text x="{_one(self._at(x))}" y="{self._bottom + 18}">{number(x)}</text>'
        unit = f"{title} (log)" if self._y.is_log else title
        yield (
            f'</g><text class="ch-ink" x="{self._right + RIGHT - 6}" y="{self._bottom + 18}"'
            f' text-anchor="end" fill="{ink}">step</text>'
            f'<text class="ch-ink" x="{LEFT - 8}" y="{TOP - 9}" text-anchor="start" fill="{ink}"'
            f' font-weight="600">{_text(unit)}</text>'
        )

    def marks(self, marks: Sequence[Mark]) -> Iterable[str]:
        """What happened meanwhile; each says what it is to whoever points at it."""
        for kind in ("state", "checkpoint", "alert"):
            colour = self._colours[kind]
            for mark in _some([one for one in marks if one.kind == kind and math.isfinite(one.at)]):
                x = _one(self._at(mark.at))
                dashes = "" if kind == "alert" else ' stroke-dasharray="2 4"'
                shape = {
                    "state": f'<circle cx="{x}" cy="{self._bottom}" r="3" fill="{colour}"/>',
                    "checkpoint": f'<path d="M{x} {self._bottom - 5}l5 5-5 5-5-5z" fill="{colour}"/>',
                    "alert": f'<path d="M{x} {TOP - 12}l7 12h-14z" fill="{colour}"/>',
                }[kind]
                yield (
                    f'<g class="ch-{kind}"><title>{_text(mark.label)}</title>'
                    f'<path d="M{x} {TOP}V{self._bottom}" stroke="{colour}"{dashes}/>{shape}</g>'
                )

    def curve(self, curve: Curve, place: int) -> str:
        """One curve: a line with a gap where there was no number, a dot where a number stands alone.

        A restless one is drawn pale, and over it the mean of each point's neighbourhood.
        """
        runs = unbroken(curve.points, self._x.place, (self._right - LEFT) // COLUMN)
        if sum(map(len, runs)) < RESTLESS:
            return self._line(runs, place, 'stroke-width="1.75"')
        return self._line(runs, place, 'stroke-width="1" stroke-opacity="0.35"') + self._line(
            [smoothed(run) for run in runs], place, 'stroke-width="2"'
        )

    def _line(self, runs: Iterable[Sequence[Point]], place: int, how: str) -> str:
        path = "".join(map(self._run, runs))
        return (
            f'<path class="ch-c{place % 3}" d="{path}" fill="none" stroke="{self._colours[f"c{place % 3}"]}"'
            f' {how} stroke-linejoin="round" stroke-linecap="round"/>'
        )

    def _run(self, run: Sequence[Point]) -> str:
        points = [f"{_one(self._at(x))} {_one(self._up(y))}" for x, y in run]
        return f"M{points[0]}" + ("L" + " ".join(points[1:]) if len(points) > 1 else "h.01")

    def labels(self, drawn: Sequence[tuple[Curve, Sequence[Point]]]) -> Iterable[str]:
        """At the end of every curve a dot, its name and its last value; none over another."""
        ends = sorted((self._up(points[-1][1]), place) for place, (_, points) in enumerate(drawn))
        for (_, place), y in zip(ends, _spread([y for y, _ in ends], self._bottom - 4), strict=True):
            curve, points = drawn[place]
            x, value = points[-1]
            said = f"{curve.name} {_short(value)}"
            colour, kind = self._colours[f"c{place % 3}"], f"ch-c{place % 3}"
            yield (
                f'<circle class="{kind}" cx="{_one(self._at(x))}" cy="{_one(self._up(value))}" r="3"'
                f' fill="{colour}"/><text class="{kind}" x="{self._right + 8}" y="{_one(y + 4)}"'
                f' fill="{colour}" font-weight="600">{_text(said, 40)}</text>'
            )


def sparkline(points: Sequence[Point], *, theme: Theme = "light", width: int = 84, height: int = 22) -> str:
    """A curve as a line of a few pixels, for a place where its last value is written beside it.

    Nothing where there is no number to draw.
    """
    finite = drawable(points)
    if not finite:
        return ""
    x, y = linear([x for x, _ in finite], whole=True), upright([y for _, y in finite])
    colour = _COLOURS[theme]["c0"]

    def at(point: Point) -> str:
        across, up = (width - 6) * x.place(point[0]), (height - 6) * y.place(point[1])
        return f"{3 + across:.0f} {_one(height - 3 - up)}"

    runs = unbroken(points, x.place, SPARKS // 2)
    path = "".join(
        f"M{at(run[0])}" + ("L" + " ".join(map(at, run[1:])) if len(run) > 1 else "h.01") for run in runs
    )
    cx, cy = at(finite[-1]).split()
    return (
        f'<svg class="spark" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' aria-hidden="true"><path class="ch-c0" d="{path}" fill="none" stroke="{colour}"'
        f' stroke-width="1.5" stroke-linejoin="round" stroke-linecap="round"/>'
        f'<circle class="ch-c0" cx="{cx}" cy="{cy}" r="2" fill="{colour}"/></svg>'
    )


# ---------------------------------------------------------------------------------------------- words


def _short(value: float) -> str:
    return f"{value:.4g}"


def _one(value: float) -> str:
    """A coordinate with one digit behind the point, without a needless zero."""
    return f"{value:.1f}".removesuffix(".0")


def _text(text: str, limit: int = 200) -> str:
    """A stranger's text as an SVG document can hold it."""
    return escape(clean(text, limit).replace("\ufffe", "").replace("\uffff", ""))


def _described(
    drawn: Sequence[tuple[Curve, Sequence[Point]]],
    curves: Sequence[Curve],
    marks: Sequence[Mark],
) -> str:
    """The picture in words, for who cannot see it."""
    said = []
    for curve, points in drawn:
        (first, began), (last, ended) = points[0], points[-1]
        if len(points) == 1:
            said.append(f"{curve.name}: {_short(ended)} at step {number(last)}")
            continue
        low = min(points, key=lambda point: point[1])
        said.append(
            f"{curve.name}: from {_short(began)} at step {number(first)} to {_short(ended)} at step"
            f" {number(last)}, lowest {_short(low[1])} at step {number(low[0])}"
        )
    gaps = sum(not math.isfinite(y) for curve in curves for _, y in curve.points)
    if gaps:
        said.append("1 value is no number" if gaps == 1 else f"{gaps} values are no numbers")
    for kind, (one, several) in _WORDS.items():
        count = sum(mark.kind == kind for mark in marks)
        if count:
            said.append(f"{count} {one if count == 1 else several}")
    return "; ".join(said) + "." if said else "There are no figures yet."


def _some(marks: list[Mark]) -> list[Mark]:
    if len(marks) <= MOST_MARKS:
        return marks
    return [marks[round(i * (len(marks) - 1) / (MOST_MARKS - 1))] for i in range(MOST_MARKS)]


def _spread(places: Sequence[float], lowest: float, apart: float = 15.0) -> list[float]:
    """Places from top to bottom, moved so that each is that far from the next and none below `lowest`."""
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + apart) if moved else place)
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], lowest - apart * (len(moved) - 1 - index))
    return moved
