"""What of an active job is kept in memory? That by which its next look is planned, and nothing else."""

from msgspec import Struct

from ftwatch.core.hazard import since
from ftwatch.core.job import Status
from ftwatch.core.known import Known

__all__ = ["Watched", "watched"]


class Watched(Struct, frozen=True, kw_only=True, gc=False):
    """An active job in few bytes; all else that is known of it is read when it is decided about.

    Whoever names the job in memory names it by this very `id`, so that its text is there once. `status` is
    the last one that the provider told, `since` (Unix seconds, as all times here) when it came to be that, as
    `core.hazard` has it. At `wake_at` it wants to be decided about although nothing came.
    """

    id: str
    status: Status
    since: float
    wake_at: float | None = None

    @property
    def is_held(self) -> bool:
        """Whether it has ended, and others are not told yet: its model has not arrived."""
        return self.status.is_terminal


def watched(known: Known, before: Watched | None = None) -> Watched:
    """What is kept of an active job, `before` until now."""
    return Watched(
        id=known.snapshot.id if before is None else before.id,
        status=known.latest,
        since=since(known),
        wake_at=known.wake_at,
    )
