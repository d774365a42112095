"""What of an active job is kept in memory? That by which its next look is planned, and nothing else."""

from msgspec import Struct

from ftwatch.core.hazard import since
from ftwatch.core.job import Status
from ftwatch.core.known import Known

__all__ = ["Watched", "watched"]


class Watched(Struct, frozen=True, kw_only=True, gc=False):
    """An active job in a hundred bytes; all else that is known of it is read when it is decided about.

    Whoever names the job in memory names it by this very `id`, so that its text is there once.
    `latest` is the last status that the provider told, `status` the one that others know (a success may be
    held back from them: `is_held`), since `status_since` (Unix seconds, as all times here). `since`: when it
    came to be what it is, as `core.hazard` has it.
    """

    id: str
    status: Status
    latest: Status
    status_since: float
    since: float
    is_held: bool = False
    missing_at: float | None = None
    estimated_finish: int | None = None
    wake_at: float | None = None


def watched(known: Known, before: Watched | None = None) -> Watched:
    """What is kept of a job, `before` until now."""
    began = since(known)
    return Watched(
        id=known.snapshot.id if before is None else before.id,
        status=known.snapshot.status,
        latest=known.latest,
        status_since=known.status_since,
        # Mostly the same moment: then it is kept once.
        since=known.status_since if began == known.status_since else began,
        is_held=known.held is not None,
        missing_at=known.missing_at,
        estimated_finish=known.snapshot.estimated_finish,
        wake_at=known.wake_at,
    )
