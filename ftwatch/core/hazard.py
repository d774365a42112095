"""How likely is news? Learned from how long states have lasted before, by status and age. Pure.

Spans are seconds; a rate is changes per second. What is done with it is the poller's affair.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from ftwatch.core.job import Status
from ftwatch.core.known import Known
from ftwatch.core.span import HOUR, MINUTE

__all__ = ["Hazards", "since"]

# Ages are told apart by doubling: below 15 s, below 30 s, … and all above two days or so.
YOUNGEST, BANDS = 15.0, 16
# How long a state lasts as long as nothing is known: one such life counts as seen in every band.
USUAL = {
    Status.VALIDATING_FILES: 2 * MINUTE,
    Status.QUEUED: 10 * MINUTE,
    Status.RUNNING: HOUR,
}
USUALLY = 10 * MINUTE
# What was learned long ago counts half as much after so many lives more.
MEMORY = 1000


class Hazards:
    """The chance, by the second, that a job leaves its state, given how old the state is.

    It is the number of lives that ended at that age over the time that lives spent there, also those that go
    on: else whoever lives long would not count before its end.
    """

    def __init__(self) -> None:
        self._ends: defaultdict[Status, list[float]] = defaultdict(_NONE.copy)
        self._spent: defaultdict[Status, list[float]] = defaultdict(_NONE.copy)
        self._living: dict[Status, list[float]] = {}
        self._lives = 0

    def lasted(self, status: Status, seconds: float) -> None:
        """A state was left after so long."""
        if seconds < 0.0:
            seconds = 0.0
        self._ends[status][_spend(self._spent[status], seconds)] += 1
        self._lives += 1
        if self._lives >= MEMORY:
            self._fade()

    def lasts(self, ages: Iterable[tuple[Status, float]]) -> None:
        """These are the states that last, and how old they are, in place of what was said before."""
        self._living = {}
        for status, age in ages:
            _spend(self._living.setdefault(status, [0.0] * BANDS), max(age, 0.0))

    def rate(self, status: Status, age: float) -> float:
        """How likely a job that has been in a state for `age` leaves it, per second."""
        band, usual = _band(max(age, 0.0)), USUAL.get(status, USUALLY)
        ends, spent, living = (table.get(status, _NONE)[band] for table in self._tables)
        return (ends + 1) / (spent + living + usual)

    @property
    def _tables(self) -> tuple[dict[Status, list[float]], ...]:
        return self._ends, self._spent, self._living

    def _fade(self) -> None:
        self._lives //= 2
        for table in (self._ends, self._spent):
            for status, bands in table.items():
                table[status] = [value / 2 for value in bands]


def since(known: Known) -> float:
    """When (Unix seconds) a job came to be what it is, as far as is known.

    Of what was so before anybody looked, when it began is nearer to that than the first look.
    """
    job = known.snapshot
    begun = job.started_at if job.status is Status.RUNNING and job.started_at else job.created_at
    return min(known.status_since, begun) if begun and not known.sequence else known.status_since


_NONE = [0.0] * BANDS
# At which age each band begins, and how long each but the last one lasts.
_BEGINS = [0.0, *(YOUNGEST * 2.0**band for band in range(BANDS - 1))]
_WIDTHS = [after - begins for begins, after in pairwise(_BEGINS)]


def _spend(bands: list[float], seconds: float) -> int:
    """Adds a life of so many seconds to the time spent at each age; returns the last of the bands."""
    last = _band(seconds)
    for band in range(last):
        bands[band] += _WIDTHS[band]
    bands[last] += seconds - _BEGINS[last]
    return last


def _band(age: float) -> int:
    band = int(age / YOUNGEST).bit_length()
    return band if band < BANDS else BANDS - 1
