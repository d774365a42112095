"""What has this process done, and how long did it take? Numbers, counted in passing where it happens.

Who does something counts it here and who wants to know reads it here, so that neither knows the other.
Nothing here waits, asks for the time, or fails. Labels are names of the config and words of our own: a
stranger's word is never one, so that nobody can make new ones without end.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple, Protocol

__all__ = ["Allowance", "Counter", "Heard", "Histogram", "Look", "Meter"]

# Upper bounds of what is counted together (seconds).
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
USUAL = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)
LONG = (*USUAL, 60.0, 300.0, 600.0)
PATIENT = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)

Labels = tuple[str, ...]


class Heard(Protocol):
    """Told how a request ended, and after how many seconds (None: it was not made)."""

    def __call__(self, outcome: str, seconds: float | None) -> None:
        """Takes note of it."""
        ...


class Allowance(NamedTuple):
    """What a rate budget allows: how many requests at once, how many a second, none for how many seconds."""

    requests: float
    requests_per_second: float
    blocked_seconds: float


class Look(NamedTuple):
    """When a provider last answered whole: Unix seconds, and monotonic ones."""

    at: float
    ticks: float


class Counter:
    """How often, by labels. Only goes up."""

    def __init__(self) -> None:
        self._counts: dict[Labels, int] = {}

    def add(self, *labels: str, times: int = 1) -> None:
        """Once more, or so many times."""
        self._counts[labels] = self._counts.get(labels, 0) + times

    def items(self) -> list[tuple[Labels, int]]:
        """Every count by its labels."""
        # A copy in one step: the store counts in a thread of its own.
        return list(self._counts.items())


class Histogram:
    """How many took how long, by labels. `bounds` (seconds) are the upper ends of what is counted as one."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self._rows: dict[Labels, tuple[list[int], list[float]]] = {}

    def add(self, seconds: float, *labels: str) -> None:
        """One that took so long; a clock that was set meanwhile makes that no less than nothing."""
        self.add_each((seconds,), *labels)

    def add_each(self, many: Sequence[float], *labels: str) -> None:
        """Several, each of which took so long."""
        if not many:
            return
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = ([0] * (len(self.bounds) + 1), [0.0])
        counts, total = row
        for seconds in many:
            counts[bisect_left(self.bounds, seconds)] += 1
            total[0] += max(seconds, 0.0)

    def items(self) -> list[tuple[Labels, list[int], float]]:
        """For each set of labels: how many took up to each bound, and at all; the sum of all (seconds)."""
        rows = list(self._rows.items())
        return [(labels, list(accumulate(counts)), total[0]) for labels, (counts, total) in rows]


class Meter:
    """Everything that one process counts, from its start on; a reload changes nothing of it.

    `looked` is each provider's last whole answer; `tried` says by when (ticks) each notifier's last try is
    over at the latest; `allowances` say what a provider's budget allows at the moment.
    """

    def __init__(self) -> None:
        self.looked: dict[str, Look] = {}
        self.tried: dict[str, float] = {}
        self.allowances: dict[str, Callable[[], Allowance]] = {}
        # By provider and outcome: ok, refused, throttled, failed, unreachable; paced, if by our own budget.
        self.requests = Counter()
        self.request_seconds = Histogram(USUAL)
        # From the first answer of what is committed together to its commit, by provider.
        self.look_seconds = Histogram(LONG)
        # By provider ("": about ftwatch itself) and type.
        self.events = Counter()
        # By provider and verdict.
        self.hooks = Counter()
        # By notifier and outcome: sent, retry, rejected.
        self.attempts = Counter()
        self.attempt_seconds = Histogram(LONG)
        # By notifier and the state that a delivery ended in.
        self.deliveries = Counter()
        # From an event's commit to its arrival, by notifier.
        self.delivery_seconds = Histogram(PATIENT)
        # By what was committed: looks, deliveries, hooks.
        self.commit_seconds = Histogram(QUICK)

    def hears(self, provider: str) -> Heard:
        """Who is to be told of every request to a provider."""

        def heard(outcome: str, seconds: float | None) -> None:
            self.requests.add(provider, outcome)
            if seconds is not None:
                self.request_seconds.add(seconds, provider)

        return heard
