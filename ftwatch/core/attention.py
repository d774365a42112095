"""When is a job worth the next look? Sooner where news is likely, later where nothing has moved for hours.

Pure: spans in seconds, moments in Unix seconds. What a look costs, and whether there is budget for it, is the
poller's affair.
"""

from msgspec import Struct

from ftwatch.core.known import Look
from ftwatch.core.span import HOUR, MINUTE, span
from ftwatch.core.watched import Watched

__all__ = ["Attention", "attention"]

# So soon after a change another one is likely: a queue that has begun to move goes on moving.
JUST_CHANGED = 5 * MINUTE
# So long around the time that the provider expects the end.
AROUND_THE_END = 5 * MINUTE
# What has been still for so long will be so for a while; but nothing waits longer than twice the aim.
STILL = 3 * HOUR
QUICK, SLOW = 0.5, 2.0
SOONEST = 1.0


class Attention(Struct, frozen=True):
    """How long until the next look (seconds), and why that long."""

    seconds: float
    why: str


def attention(job: Watched, look: Look | None, poll: float, now: float) -> Attention:
    """When to look at an active job again after a look (None: it could not be read).

    `poll` is the aim between two looks.
    """
    quick = max(SOONEST, poll * QUICK)
    if job.is_held:
        return Attention(quick, "it succeeded, and its model has not arrived")
    snapshot = look.snapshot if look is not None else None
    if look is not None and snapshot is None:
        return Attention(poll, "it was missing at the last look")
    finish = snapshot.estimated_finish if snapshot is not None else None
    if finish is not None and abs(finish - now) <= AROUND_THE_END:
        return Attention(quick, "it is expected to end about now")
    age = now - job.since
    if 0 <= age <= JUST_CHANGED:
        return Attention(quick, f"it changed {span(age)} ago")
    if age >= STILL and not (finish is not None and finish <= now):
        return Attention(poll * SLOW, f"nothing has moved for {span(age)}")
    return Attention(poll, "the usual pace")
