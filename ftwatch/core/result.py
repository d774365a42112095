"""What came of a job? Its cause, how long it took and how good it became, each in a few plain words."""

from collections.abc import Mapping

from ftwatch.core.cause import Cause, in_words
from ftwatch.core.event import Event, Summary
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.span import spoken

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
    """How long an ended job took, and how long it had waited before; None where nobody knows."""
    ran, queued = (summary.ran_for, summary.queued_for) if summary else (None, None)
    waited = f" (queued {spoken(queued)})" if queued and queued > 0 else ""
    if ran is not None:
        return spoken(ran) + waited
    if job.created_at and job.finished_at and job.finished_at >= job.created_at:
        whole = spoken(job.finished_at - job.created_at)
        return f"{whole} in all{waited}" if waited else whole
    return None


def figures(metrics: Mapping[str, float], first: Mapping[str, float] = {}) -> str:
    """The most telling figures in a line of few digits; nothing where there are none.

    Where the `first` ones are known a loss is told as a way: `train loss 2.31 → 0.412`.
    """
    chosen = (next((name for name in names if name in metrics), None) for names in _FIGURES)
    return ", ".join(
        f"{name.removeprefix('full_').replace('_', ' ')} {_way(name, metrics, first)}"
        for name in chosen
        if name
    )


def _way(name: str, metrics: Mapping[str, float], first: Mapping[str, float]) -> str:
    last = f"{metrics[name]:.3g}"
    began = f"{first[name]:.3g}" if name in first else last
    return last if began == last else f"{began} → {last}"
