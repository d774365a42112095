"""Why do we hear of it only now? The times in which nobody could look, and what happened in one of them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from ftwatch.core.event import LATE, Event, Gap
from ftwatch.core.span import MINUTE

__all__ = ["SHORTEST_GAP", "gap_of", "remembered", "why_late"]

# A shorter time without a look explains nothing (seconds).
SHORTEST_GAP = MINUTE
# So long before a gap something may have happened that the last look did not show yet.
UNNOTICED = 10 * MINUTE
# So many gaps are remembered.
MOST = 10


def gap_of(happened: int, now: float, gaps: Sequence[Gap]) -> Gap | None:
    """The gap that hid what happened then and is found out `now`; None where none did. The last counts."""
    if now - happened < SHORTEST_GAP:
        return None
    hid = [gap for gap in gaps if gap.since - UNNOTICED <= happened <= gap.until]
    return max(hid, key=lambda gap: gap.until, default=None)


def remembered(gaps: Sequence[Gap], new: Gap) -> tuple[Gap, ...]:
    """The gaps with one more; too short a one counts for nothing, and the oldest are forgotten."""
    if new.until - new.since < SHORTEST_GAP:
        return tuple(gaps)
    return (*gaps, new)[-MOST:]


def why_late(event: Event, told: float | None = None, *, always: bool = False) -> str | None:
    """Why something is told so late, in a few words; None where it is not, or nobody knows why.

    `told` is now, as far as that is known. `always`: also of what is a little late.
    """
    gap, happened = event.data.gap or None, event.created_at
    told = event.data.observed_at if told is None else max(told, event.data.observed_at)
    if gap is None or (told - happened < LATE and not always):
        return None
    match gap.cause:
        case "down":
            why = "ftwatch was down"
        case "unanswered":
            why = f"{event.data.provider} did not answer"
        case "denied":
            why = f"{event.data.provider} denied access"
    is_one_day = len({_clock(at, day=True)[:5] for at in (happened, told, gap.since, gap.until)}) == 1
    first, last, since, until = (
        _clock(at, day=not is_one_day) for at in (happened, told, gap.since, gap.until)
    )
    word = str(event.status or event.type.rpartition(".")[2]).replace("_", " ")
    return f"{word} {first}, told {last}: {why} {since}\u2013{until}"


def _clock(at: float, *, day: bool) -> str:
    """The time of the day in UTC; one that no calendar knows is shown as it is."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M" if day else "%H:%M")
    except (OverflowError, ValueError, OSError):
        return f"@{at:g}"
