"""Could it get there? Which events may reach a notifier, and under which condition, as far as routes say.

What a route says about type, severity or status is settled by a sample of the event; what it says about a job
that is not known yet (`labels.team`, `model` …) stays a condition, in the words of the config.
"""

from ftwatch.core.event import Event
from ftwatch.core.route import Match, Matcher, Recipient, Route, Routing, matches, route

__all__ = ["ALWAYS", "conditions"]

ALWAYS = "always"

# What a sample settles, for events about a job and for ftwatch's own, which have no job.
_SETTLED = ("type", "severity", "status")
_OPEN_OF_OWN = ("provider", "kind", "id", "name", "labels.")


def conditions(event: Event, recipient: Recipient, routing: Routing) -> list[str]:
    """Each condition under which the recipient gets such an event; nothing where it never does."""
    if routing.routes is None:
        alone = Routing(recipients=(recipient,))
        return [ALWAYS] if route(event, alone, 0).selected else []
    found = []
    for candidate in routing.routes:
        reduced, rest = _reduce(candidate, event)
        chosen = route(event, Routing(recipients=(recipient,), routes=(reduced,)), 0).selected
        if chosen:
            found.append(rest if rest and chosen[0][1] != "default" else ALWAYS)
    return found


def _reduce(candidate: Route, event: Event) -> tuple[Route, str]:
    """The route with only what `event` settles, and the rest of it in words."""
    settled = tuple(m for m in candidate.match.matchers if _is_settled(m, event))
    words = [str(m) for m in candidate.match.matchers if m not in settled]
    except_ = candidate.except_
    if except_ is not None:
        open_ = tuple(m for m in except_.matchers if not _is_settled(m, event))
        closed = Match(tuple(m for m in except_.matchers if m not in open_), except_.min_severity)
        if open_:
            if matches(closed, event):
                words.append("not " + " and ".join(map(str, open_)))
            except_ = None
    reduced = Route(
        match=Match(settled), except_=except_, min_severity=candidate.floor, notify=candidate.notify
    )
    return reduced, " and ".join(words)


def _is_settled(matcher: Matcher, event: Event) -> bool:
    if event.job is not None:
        return matcher.key in _SETTLED
    return not matcher.key.startswith(_OPEN_OF_OWN)
