"""Which points of a curve are drawn? As few as show all that there is to see, and none that is no number."""

import math
from collections.abc import Callable, Iterable, Sequence

from ftwatch.core.chart.scale import LARGEST

__all__ = ["RESTLESS", "Point", "drawable", "smoothed", "unbroken"]

# A curve of so many points is smoothed, over its pale self.
RESTLESS = 120

# A step, and the value there.
Point = tuple[float, float]


def drawable(points: Iterable[Point]) -> list[Point]:
    """What can be drawn, no number larger than LARGEST."""
    return [(x, min(max(y, -LARGEST), LARGEST)) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def unbroken(points: Sequence[Point], place: Callable[[float], float], columns: int) -> list[list[Point]]:
    """The points as unbroken runs; of many only the first, the last, and each column's extremes."""
    known = [(x, y) for x, y in points if math.isfinite(x)]
    if len(known) > 2 * columns:
        known = _thinned(known, place, columns)
    runs: list[list[Point]] = [[]]
    for x, y in known:
        if math.isfinite(y):
            runs[-1].append((x, min(max(y, -LARGEST), LARGEST)))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _thinned(points: Sequence[Point], place: Callable[[float], float], columns: int) -> list[Point]:
    """The lowest and the highest of every column in their order; a column without a number stays a gap."""
    held: dict[int, list[Point]] = {}
    for point in points:
        held.setdefault(int(place(point[0]) * columns), []).append(point)
    kept: list[Point] = []
    for _, column in sorted(held.items()):
        finite = [point for point in column if math.isfinite(point[1])]
        if finite:
            extremes = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])}
            kept += sorted(extremes)
        else:
            kept.append(column[0])
    first, last = (next((p for p in some if math.isfinite(p[1])), None) for some in (points, points[::-1]))
    if first is not None and last is not None:
        kept = [first, *(point for point in kept if point not in (first, last)), last]
    return kept


def smoothed(run: Sequence[Point]) -> list[Point]:
    """Points at the mean of their neighbourhood, smaller near the ends: as many as a calm line needs."""
    most, last = max(1, len(run) // 50), len(run) - 1
    smooth = []
    for index in dict.fromkeys([*range(0, last, max(1, len(run) // RESTLESS)), last]):
        reach = min(most, index, last - index)
        near = [y for _, y in run[index - reach : index + reach + 1]]
        smooth.append((run[index][0], math.fsum(y / len(near) for y in near)))
    return smooth
