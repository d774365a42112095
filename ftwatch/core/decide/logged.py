"""What does a job's own log add? To what is known of the job, to its document, to what its end came to."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.cause import cause_of
from ftwatch.core.compare import LOSSES, Background, compared
from ftwatch.core.event import Summary
from ftwatch.core.job import JobError, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal, Line, attempts_ago, caught_up, since
from ftwatch.core.known import Known

__all__ = ["Reading", "read_journal", "summary"]


class Reading(Struct, frozen=True, gc=False):
    """What is known with the log, the document with what the log filled in, and what that was."""

    known: Known
    snapshot: Snapshot
    filled: dict[str, Any]


def read_journal(
    known: Known,
    snapshot: Snapshot,
    journal: Journal | None,
    before: Snapshot | None,
    saved: Checkpoint | None = None,
) -> Reading:
    """Reads what is new in a job's log beside what its document says. `saved` is the checkpoint that counts.

    The document's word counts where it has one; what the log filled in stays until it has.
    """
    learned: dict[str, Any] = {}
    if journal is not None:
        learned = _learned(known, snapshot, journal, before)
    elif known.metrics and _is_anew(before, (), snapshot):
        learned = {"metrics": {}}
    lines = journal.lines if journal is not None else ()
    fill = _fill(known, snapshot, lines, saved) if lines or known.filled or saved is not None else {}
    if fill.keys() != set(known.filled):
        learned["filled"] = tuple(fill)
    known = replace(known, **learned) if learned else known
    return Reading(known, replace(snapshot, **fill) if fill else snapshot, fill)


def _learned(known: Known, snapshot: Snapshot, journal: Journal, before: Snapshot | None) -> dict[str, Any]:
    """What the lines of a log change in what is known."""
    states = tuple(
        line
        for place, line in enumerate(journal.lines)
        if line.status is not None and not _is_past(line, known.arrival, is_late=place < journal.late)
    )
    ago = attempts_ago(journal.lines)
    metrics = {} if any(ago) or _is_anew(before, states, snapshot) else dict(known.metrics)
    for line, attempts in zip(journal.lines, ago, strict=True):
        if not attempts:
            metrics.update(line.metrics)
    rest, arrival, unproved = (*known.states, *states), known.arrival, known.unproved
    if before is not None:
        if unproved:
            rest, unproved, last = caught_up(rest, unproved)
            arrival = last if not unproved else None
        elif arrival is None:
            # Nothing was told of it yet: what was so when it was seen first is no news.
            rest, arrival = since(rest, before.status, known.asked / 1000)
    return {"metrics": metrics, "states": rest, "arrival": arrival, "unproved": unproved, "logged": True}


def _fill(
    known: Known, snapshot: Snapshot, lines: Sequence[Line], saved: Checkpoint | None
) -> dict[str, Any]:
    """What the document does not say, and the log does or has done."""
    fill: dict[str, Any] = {}
    if snapshot.started_at is None:
        began = [line.at for line in lines if line.status is Status.RUNNING and line.at is not None]
        kept = _filled("started_at", known)
        is_anew = known.snapshot.status.is_terminal and not snapshot.status.is_terminal
        fill["started_at"] = began[0] if began and (kept is None or is_anew) else kept
    if snapshot.progress is None and not snapshot.status.is_terminal:
        fill["progress"] = _progress(lines) or _filled("progress", known)
    if snapshot.error is None and snapshot.status is Status.FAILED:
        said = [line.message for line in lines if line.level == "error" and line.message]
        fill["error"] = JobError(message=said[-1]) if said else _filled("error", known)
    if snapshot.status is Status.SUCCEEDED:
        if snapshot.fine_tuned_model is None:
            fill["fine_tuned_model"] = (saved and saved.model) or _filled("fine_tuned_model", known)
        if not snapshot.result_files:
            fill["result_files"] = (saved and saved.files) or _filled("result_files", known)
    return {name: value for name, value in fill.items() if value is not None}


def _is_anew(before: Snapshot | None, states: Sequence[Line], snapshot: Snapshot) -> bool:
    """Whether a job that had ended runs again, or has done so meanwhile."""
    if before is None or not before.status.is_terminal:
        return False
    return not snapshot.status.is_terminal or any(
        line.status is not None and not line.status.is_terminal for line in states
    )


def _is_past(line: Line, arrival: Line | None, *, is_late: bool) -> bool:
    """Whether a line comes too late: by the provider's own clock it lies before what was told already.

    Within a second the order of the log counts: `is_late`, where it stands before a line that was read
    earlier.
    """
    if arrival is None or arrival.at is None or line.at is None:
        return False
    return line.at < arrival.at or (is_late and line.at == arrival.at)


def _filled(name: str, known: Known) -> Any:
    """What the log filled in before, and the document still does not say."""
    return getattr(known.held or known.snapshot, name) if name in known.filled else None


def _progress(lines: Sequence[Line]) -> Progress | None:
    """How far the run is, by the last line that says so."""
    line = next((line for line in reversed(lines) if line.step is not None and line.metrics), None)
    if line is None or line.step is None:
        return None
    percent = round(100 * line.step / line.total, 1) if line.total and line.step <= line.total else None
    return Progress(step=line.step, total_steps=line.total, percent=percent)


def summary(job: Snapshot, known: Known, lines: Sequence[Line], background: Background) -> Summary:
    """What a job that ended came to; `lines` are the last ones of its log, `background` what came before."""
    began, ended = job.started_at, job.finished_at
    is_success = job.status is Status.SUCCEEDED
    step, total = (None, None) if is_success else _reached(job, known, lines)
    return Summary(
        cause=None if is_success else cause_of(job, lines),
        queued_for=began - job.created_at if began and job.created_at and began >= job.created_at else None,
        ran_for=ended - began if began and ended and ended >= began else None,
        metrics=known.metrics,
        step=step,
        total_steps=total,
        first=_first(lines, background) if lines or background.first else {},
        last_run=compared(job, background.earlier) if is_success else None,
    )


def _first(lines: Sequence[Line], background: Background) -> dict[str, float]:
    """The first losses of the last attempt: what was kept of them, or what only now came with its log."""
    ago, found = attempts_ago(lines), {} if any(attempts_ago(lines)) else dict(background.first)
    for line, attempts in zip(lines, ago, strict=True):
        for name in LOSSES if not attempts else ():
            if name in line.metrics:
                found.setdefault(name, line.metrics[name])
    return {name: found[name] for name in LOSSES if name in found}


def _reached(job: Snapshot, known: Known, lines: Sequence[Line]) -> tuple[int | None, int | None]:
    """How far a run came that did not succeed, and how far it had to go, by the last word on it."""
    for progress in (job.progress, _progress(lines), known.snapshot.progress):
        if progress is not None and progress.step is not None:
            return progress.step, progress.total_steps
    return None, None
