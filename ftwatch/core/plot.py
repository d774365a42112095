"""What is drawn of a job: its first sort of figures, losses if it has any, and what happened meanwhile.

Which points and marks there are is said here, how they look in `chart`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from ftwatch.core.chart import Mark, Panel, panels, step_at
from ftwatch.core.event import ALERT, Event
from ftwatch.core.job import Status
from ftwatch.core.journal import Checkpoint

__all__ = ["Plot", "Step", "is_drawn", "marks_of", "plot_of"]

# A step, when it was taken (Unix seconds, where that is known), and its figures by name.
Step = tuple[int, int | None, Mapping[str, float]]

# A single point is no curve.
FEWEST = 2


class Plot(Struct, frozen=True):
    """Curves that share a scale, and the marks among them."""

    panel: Panel
    marks: tuple[Mark, ...] = ()


def is_drawn(event: Event) -> bool:
    """Whether a message about this has a picture of how the run went: at its end, and at an alert."""
    if event.job is None:
        return False
    if event.type.startswith(ALERT):
        return not event.type.endswith(".resolved")
    return event.status is not None and event.status.is_terminal


def plot_of(
    series: Sequence[Step], saved: Iterable[Checkpoint] = (), story: Iterable[Event] = ()
) -> Plot | None:
    """What is drawn of a job's series in the order of its steps; None where there is no curve in it."""
    first = next(iter(panels((step, metrics) for step, _, metrics in series)), None)
    if first is None:
        return None
    numbers = (sum(math.isfinite(y) for _, y in curve.points) for curve in first.curves)
    if max(numbers) < FEWEST:
        return None
    return Plot(first, tuple(marks_of(series, saved, story)))


def marks_of(series: Sequence[Step], saved: Iterable[Checkpoint], story: Iterable[Event]) -> Iterator[Mark]:
    """Checkpoints at their steps; alerts and states at the step that the run had reached by then."""
    for one in saved:
        if one.step is not None:
            yield Mark("checkpoint", float(one.step), f"Checkpoint at step {one.step:,}")
    timed = [(float(at), float(step)) for step, at, _ in series if at is not None]
    for event in story:
        step = step_at(event.data.occurred_at, timed)
        if step is None:
            continue
        if event.type.startswith(ALERT) and not event.type.endswith(".resolved"):
            yield Mark("alert", step, f"Alert: {event.type.removeprefix(ALERT)}: {event.note or ''}")
        elif event.status in (Status.PAUSED, Status.RUNNING) and step > timed[0][1]:
            yield Mark("state", step, str(event.status))
