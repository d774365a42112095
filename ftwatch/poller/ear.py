"""Whether a provider's webhooks can be relied on, so that its jobs need be asked about less often.

Hooks tell of ends alone. They are relied on once one came, and until a job's end was found out by looking and
no hook told of it for a while. Asks nobody.
"""

from collections.abc import Iterable

from ftwatch.core.clock import Clock
from ftwatch.core.span import MINUTE

__all__ = ["Ear"]

# How long a hook may be late for an end that was seen already, and how long one that came counts (seconds).
PATIENCE, MEMORY = 2 * MINUTE, 10 * MINUTE
# How many jobs' hooks are remembered.
MOST = 1000


class Ear:
    """What was heard of one provider's jobs, and what should have been."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._relied = False
        self._heard: dict[str, float] = {}
        self._owed: dict[str, float] = {}

    def heard(self, jobs: Iterable[str]) -> None:
        """A hook told of these jobs."""
        ticks = self._clock.ticks()
        for id in jobs:
            self._owed.pop(id, None)
            self._heard.pop(id, None)
            self._heard[id] = ticks
        while len(self._heard) > MOST:
            del self._heard[next(iter(self._heard))]
        self._relied = True

    def ended(self, id: str) -> None:
        """A look found out that a job has ended: a hook should tell the same."""
        if self._relied and (ticks := self._clock.ticks()) - self._heard.get(id, -MEMORY) >= MEMORY:
            self._owed[id] = ticks + PATIENCE

    @property
    def is_relied_on(self) -> bool:
        """Whether hooks tell of ends soon enough."""
        ticks = self._clock.ticks()
        if self._relied and any(until <= ticks for until in self._owed.values()):
            # Silent: from now on looks find out, until a hook is heard again.
            self._relied = False
            self._owed.clear()
        return self._relied
