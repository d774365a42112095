"""What came of a job? Its cause, how long it took and how good it became, each in a few plain words."""

from collections.abc import Mapping

from ftwatch.core.cause import Cause, in_words
from ftwatch.core.event import Event, Summary
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.span import span

__all__ = ["cause", "duration", "figures"]

# Of each sort of figure the most telling one is shown.
_FIGURES = (
    ("train_loss",),
    ("full_valid_loss", "valid_loss"),
    ("full_valid_accuracy", "valid_accuracy", "train_accuracy"),
    ("valid_reward", "train_reward"),
)


def cause(event: Event) -> str | None:
    """Why a job ended badly, in plain words, where that says more than its status."""
    code = event.data.summary.cause if event.data.summary else None
    if not code or code == Cause.UNKNOWN:
        return None
    if code == Cause.USER_CANCEL and event.status is Status.CANCELLED:
        return None
    return in_words(code)


def duration(job: Snapshot, summary: Summary | None) -> str | None:
    """How long an ended job took, and how much of that it only waited; None where nobody knows."""
    ran, queued = (summary.ran_for, summary.queued_for) if summary else (None, None)
    waited = span(queued) if queued and queued > 0 else None
    if ran is not None:
        return f"{span(ran)}, after {waited} in the queue" if waited else span(ran)
    if job.created_at and job.finished_at:
        whole = span(job.finished_at - job.created_at)
        return f"{whole}, {waited} of it in the queue" if waited else whole
    return f"{waited} in the queue" if waited else None


def figures(metrics: Mapping[str, float]) -> str:
    """The most telling figures in a line of few digits; nothing where there are none."""
    chosen = (next((name for name in names if name in metrics), None) for names in _FIGURES)
    return ", ".join(
        f"{name.removeprefix('full_').replace('_', ' ')} {metrics[name]:.3g}" for name in chosen if name
    )
