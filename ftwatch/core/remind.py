"""What is still broken? Who was told of it is told again, now and again, until somebody has seen to it.

A reminder is no event, since nothing has happened: it is the event that told of the problem, told once more.
"""

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core import ack as acks
from ftwatch.core.closure import lasting
from ftwatch.core.event import ALERT, Event
from ftwatch.core.known import Known
from ftwatch.core.route import Routing, held_for, route_for, silence_of

__all__ = ["LONGEST_AHEAD", "Next", "is_near", "next_of", "over"]

# What is due so much later (seconds, or as a part of the time between two) comes along with what is due.
LONGEST_AHEAD, AHEAD = 600.0, 0.1

OVER = "it is over"


class Next(Struct, frozen=True):
    """What becomes of a reminder that is due: whether it is told, when the next one is due (Unix seconds;
    None: never again), and why it is not told, if it is not. `is_held`: but for the time of the day it were.
    """

    tell: bool
    due_at: float | None
    reason: str = ""
    is_held: bool = False


def next_of(
    event: Event,
    notifier: str,
    routing: Routing,
    now: float,
    *,
    known: Known | None,
    is_degraded: bool,
    is_waiting: bool,
    was_held: bool = False,
) -> Next:
    """What becomes of a reminder of `event` at `now`.

    `known` is the event's job as it is by now, `is_degraded` how its provider is. `is_waiting`: something of
    the same subject has not arrived there yet; `was_held`: the reminder has waited for a time of the day
    already. Whatever time went by, it is one reminder.
    """
    why = over(event, known, is_degraded=is_degraded)
    if why is not None:
        return Next(False, None, why)
    route = route_for(event, notifier, routing)
    if route is None or route.remind is None:
        return Next(False, None, "no route reminds of it any more")
    later = now + route.remind
    silence = silence_of(event, routing, now)
    if silence is not None:
        until = later if silence.until is None else min(silence.until, later)
        return Next(False, until, f"silenced by {silence.title}")
    if is_waiting:
        return Next(False, later, "what was told before has not arrived")
    recipient = next(one for one in routing.recipients if one.name == notifier)
    if was_held and recipient.holding is not None:
        # Its digest leaves now; the next one is another's.
        recipient = replace(recipient, holding=replace(recipient.holding, digest=None))
    held = held_for(event, recipient, now)
    if held is not None:
        return Next(False, held.until, held.why, True)
    return Next(True, later)


def is_near(due_at: float, following: Next, now: float) -> bool:
    """Whether a reminder that is due later may as well be told with those that are due `now`."""
    if not following.tell or following.due_at is None:
        return False
    return due_at - now <= min(LONGEST_AHEAD, AHEAD * (following.due_at - now))


def over(event: Event, known: Known | None, *, is_degraded: bool) -> str | None:
    """Why nobody need be reminded of what began with an event; None while it lasts, and none knows of it."""
    if event.job is None:
        return None if is_degraded else OVER
    if known is None or known.ignored or known.forgotten:
        return "the job is not watched any more"
    problem, ack = lasting(event), known.ack
    if event.type.startswith(ALERT):
        if problem not in known.alerts:
            return OVER
        return acks.reason(ack) if ack is not None and problem in ack.alerts else None
    state = acks.state_of(known)
    if state != problem:
        return OVER
    return acks.reason(ack) if ack is not None and ack.state == state else None
