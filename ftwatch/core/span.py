"""How long is it? Spans of time, in seconds and in words."""

import re
from itertools import pairwise

__all__ = ["DAY", "HOUR", "MINUTE", "span", "spoken"]

MINUTE, HOUR, DAY = 60, 3600, 86400


def span(seconds: float) -> str:
    """A span as a person says it, in at most two neighbouring units: `45s`, `12m`, `1h 5m`, `3d 4h`."""
    whole = max(0, round(seconds))
    units = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m"), (1, "s"))
    for (size, unit), (smaller, small) in pairwise(units):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit} {rest}{small}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def spoken(seconds: float) -> str:
    """The same as running text has it: `45 s`, `12 m`, `1 h 5 m`, `3 d 4 h`."""
    return re.sub(r"(?<=\d)(?=[a-z])", " ", span(seconds))
