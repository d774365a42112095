"""Does it go back and forth? A job or a provider whose state comes and goes is told of once, and once when it
has settled; what it does meanwhile is recorded, and folded into that.
"""

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct

from ftwatch.core.event import Severity
from ftwatch.core.job import Status
from ftwatch.core.rule import NOTHING, Facts, Finding, Relapse
from ftwatch.core.span import HOUR, span

__all__ = ["FOLDED", "Flapping", "is_relapse", "remember"]

# Why people are not told of what is folded.
FOLDED = "folded: it is flapping, which was told"
# So many relapses are remembered.
MOST = 10

# How far along a job is in a status that goes on: what leads back to an earlier one is a relapse.
_FAR = {
    Status.VALIDATING_FILES: 0,
    Status.QUEUED: 1,
    Status.RUNNING: 2,
    Status.PAUSING: 2,
    Status.PAUSED: 2,
    Status.CANCELLING: 3,
}


def is_relapse(before: Status | None, after: Status) -> bool:
    """Whether a job leads back to where it was before: it was paused or unknown, or further, or had ended."""
    if before is None or after.is_terminal or before is after or after is Status.UNKNOWN:
        return False
    if before.is_terminal or before is Status.UNKNOWN:
        return True
    is_resumed = after is Status.RUNNING and before in (Status.PAUSING, Status.PAUSED)
    return is_resumed or _FAR[after] < _FAR[before]


def remember(relapses: Sequence[Relapse], new: Sequence[Relapse]) -> tuple[Relapse, ...]:
    """The last relapses."""
    return (*relapses, *new)[-MOST:]


class Flapping(Struct, frozen=True, kw_only=True):
    """A state comes and goes `times` times `within` so many seconds; over once it is still for so long."""

    name: ClassVar[str] = "flapping"

    severity: Severity = Severity.WARNING
    times: int = 3
    within: float = HOUR

    def judge(self, facts: Facts, now: float) -> Finding:
        """Fires while a job's state comes and goes; an end that it had not had before is the end of it."""
        if not facts.relapses:
            return NOTHING
        lately = [one for one in facts.relapses if now - self.within < one.at <= now]
        if not lately or not (self.is_it([one.at for one in lately], now) or self.name in facts.firing):
            return NOTHING
        status = facts.snapshot.status
        if status.is_terminal and all(one.left is not status for one in facts.relapses):
            return Finding(is_over=True)
        return Finding(
            note=f"back and forth {len(lately)} times within {span(self.within)}",
            subject=self.name,
            wake_at=lately[-1].at + self.within,
        )

    def is_it(self, relapses: Sequence[float], now: float) -> bool:
        """Whether a state that went back at these times (Unix seconds) is flapping now."""
        return sum(now - self.within < at <= now for at in relapses) >= self.times
