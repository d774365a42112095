"""What came of a sweep? One message about all of its jobs: how each ended, the best one first."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ftwatch.core import result
from ftwatch.core.compare import LOSSES
from ftwatch.core.delivery import SWEEP
from ftwatch.core.event import Event
from ftwatch.core.job import Status
from ftwatch.core.message.parts import TITLE, Fact, Message, Row, Tone, clean

__all__ = ["about_sweep"]

# How much a line tells of a job.
LINE = 110
_ORDER = {Status.SUCCEEDED: 0, Status.FAILED: 2, Status.CANCELLED: 3}


def about_sweep(told: Sequence[Event], bundle: str, most: int) -> Message:
    """The message about a sweep by the last word on each of its jobs, in at most so many lines."""
    last: dict[str, Event] = {}
    for event in told:
        if event.is_over or event.lane not in last or not last[event.lane].is_over:
            last[event.lane] = event
    loss = next((name for name in LOSSES if any(_figure(one, name) is not None for one in last.values())), "")
    ordered = sorted(last.values(), key=lambda event: _rank(event, loss))
    counts = {
        "ok": sum(event.status is Status.SUCCEEDED for event in ordered),
        "failed": sum(event.status is Status.FAILED for event in ordered),
        "cancelled": sum(event.status is Status.CANCELLED for event in ordered),
    }
    counts["without an end"] = len(ordered) - sum(counts.values())
    said = [f"{count} {word}" for word, count in counts.items() if count]
    best = ordered[0] if ordered[0].status is Status.SUCCEEDED else None
    figure = _figure(best, loss) if best is not None else None
    if figure is not None:
        said.append(f"best {loss.removeprefix('full_').removesuffix('_loss')} {figure:.3g}")
    name, rows = bundle.removeprefix(SWEEP).partition(" ")[2], [_row(event) for event in ordered]
    if len(rows) > most:
        rest = len(rows) - most + 1
        rows = [*rows[: most - 1], Row("", f"and {rest} more: `ftwatch jobs` shows them")]
    return Message(
        title=clean(f"\U0001f9ea Sweep {name}: {', '.join(said)}", TITLE),
        tone=Tone.GOOD if counts["ok"] == len(ordered) else Tone.WARN if counts["ok"] else Tone.BAD,
        lines=tuple(map(str, rows)),
        rows=tuple(rows),
        facts=_best(best) if figure is not None else (),
        footer="ftwatch \u00b7 times in UTC",
    )


def _best(event: Event | None) -> tuple[Fact, ...]:
    job = event.job if event is not None else None
    if job is None:
        return ()
    model = (Fact("Model", clean(job.fine_tuned_model), is_code=True),) if job.fine_tuned_model else ()
    return (Fact("Best", clean(job.title, 80)), *model)


def _figure(event: Event, name: str) -> float | None:
    """A final figure of a run that succeeded."""
    summary = event.data.summary or None
    if summary is None or event.status is not Status.SUCCEEDED:
        return None
    found = summary.metrics.get(name)
    return found if found is not None and found == found else None


def _rank(event: Event, loss: str) -> tuple[float, ...]:
    """Those that succeeded by their loss, then what has no end, what failed, what was cancelled."""
    figure = _figure(event, loss)
    place = _ORDER.get(event.status, 1) if event.status is not None else 1
    return (place, figure is None, figure or 0.0, event.created_at)


def _row(event: Event) -> Row:
    """How one job ended, as a line."""
    job, summary = event.job, event.data.summary or None
    assert job is not None
    status = event.status or job.status
    parts = [f"{status}".replace("_", " ")]
    if event.status is not None and event.status.is_terminal and (took := result.duration(job, summary)):
        parts[0] += f" in {took}" if event.status is Status.SUCCEEDED else f" after {took}"
    if event.status is Status.SUCCEEDED and summary is not None:
        parts.append(result.figures(summary.metrics))
    elif event.status is Status.FAILED:
        error = job.error.message if job.error else None
        parts.append(clean(error or result.cause(event) or "", LINE))
    at = datetime.fromtimestamp(event.created_at, UTC).strftime("%m-%d %H:%M")
    return Row(at, clean(job.title, LINE), "; ".join(filter(None, parts)))
