"""Where does a value stand, and what is written beside it? Scales with round values on them."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

__all__ = ["LARGEST", "Scale", "linear", "number", "upright", "written"]

# From such a ratio of the highest to the lowest on, equal steps of a scale mean equal ratios.
LOGARITHMIC = 20.0
# No picture needs to tell larger numbers apart, and the difference of two of them is still one.
LARGEST = 1e300
# Nor any two that lie closer together: below that a float loses its digits.
SMALLEST = 1e-290


class Scale(NamedTuple):
    """From values to a place between 0 and 1; `ticks` are what is written beside it."""

    place: Callable[[float], float]
    ticks: tuple[float, ...]
    is_log: bool


def linear(values: Sequence[float], *, whole: bool = False) -> Scale:
    """Equal steps for equal differences; `whole` counts in whole numbers and leaves no margin."""
    low, high = (min(max(one, -LARGEST), LARGEST) for one in (min(values), max(values)))
    if not whole and 0 <= low <= high / 4:
        low = 0.0
    if high - low <= max(abs(high) * 1e-9, SMALLEST):
        margin = max(abs(high) / 20, SMALLEST) if abs(high) > SMALLEST else 1.0
        low, high = low - margin, high + margin
    elif not whole:
        margin = (high - low) / 20
        low, high = (low if low == 0 else low - margin), high + margin
    size = _round_up((high - low) / (8 if whole else 5))
    if whole:
        size = max(size, 1.0)
    first, last = math.ceil(low / size), math.floor(high / size)
    # At the edge of what a float can tell apart a scale may have more steps than there are numbers.
    ticks = tuple(i * size for i in range(first, min(last, first + 20) + 1))
    return Scale(lambda v: min(max((v - low) / (high - low), 0.0), 1.0), ticks, is_log=False)


def upright(values: Sequence[float]) -> Scale:
    """The scale for values: by ratios where all are above zero and far apart, else by differences."""
    low, high = min(values), max(values)
    if low < SMALLEST or high / low < LOGARITHMIC:
        return linear(values)
    bottom, top = math.log10(low), math.log10(high)
    margin = (top - bottom) / 20
    bottom, top = bottom - margin, top + margin
    decades = range(math.floor(bottom), math.ceil(top) + 1)
    every = math.ceil(len(decades) / 7)
    factors = (1, 2, 5) if top - bottom <= 2.6 else (1,)
    # As text, because 10 to the power of a large number may be no float.
    ticks = [float(f"{factor}e{k}") for k in decades if k % every == 0 for factor in factors]
    ticks = [tick for tick in ticks if 0 < tick < math.inf and bottom <= math.log10(tick) <= top]

    def place(value: float) -> float:
        return min(max((math.log10(value) - bottom) / (top - bottom), 0.0), 1.0)

    return Scale(place, tuple(ticks), is_log=True)


def _round_up(size: float) -> float:
    """The next larger of 1, 2, 5, 10, 20, 50 …, at any order of magnitude."""
    exponent = math.floor(math.log10(size))
    base = float(f"1e{exponent}")
    return next(factor * base for factor in (1, 2, 5, 10) if factor * base >= size * 0.999)


def number(value: float) -> str:
    """A step as people write it: `1,200`, `12k`, `3.5M`."""
    size = abs(value)
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= 10_000 and size >= unit:
            return f"{value / unit:.3g}{letter}" if size < 1e13 else f"{value:.2g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"


def written(ticks: Sequence[float]) -> list[str]:
    """What is written beside a scale: as many digits as tell its ticks apart."""
    apart = min((after - before for before, after in pairwise(ticks)), default=0.0)
    if ticks and apart > 0 and apart >= 1e-4 and max(map(abs, ticks)) < 10_000:
        digits = max(0, -math.floor(math.log10(apart) + 1e-9))
        if len({round(after - before, 9) for before, after in pairwise(ticks)}) == 1:
            return [f"{tick:.{digits}f}" for tick in ticks]
    return [f"{tick:.3g}" for tick in ticks]
