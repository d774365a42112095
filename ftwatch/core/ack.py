"""Who has seen it? What is open about a job, and how long somebody's word that they know of it holds.

An ack is about things as they are: another status, a new alert, and the job is open again. What it spares
people is `decide`'s affair, who acknowledged what and when the store's.
"""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from ftwatch.core.event import Severity, status_severity
from ftwatch.core.known import STAGE, Ack, Known
from ftwatch.core.message import clean

__all__ = ["GONE", "acknowledge", "matters", "reason", "state_of", "still", "without"]

GONE = "gone"


def acknowledge(known: Known, author: str, comment: str, now: float) -> Ack | None:
    """The ack of all that is open about a job now; None where nothing is.

    Raises ValueError where nobody is named.
    """
    name = clean(author)
    if not name:
        raise ValueError("an ack needs the name of whoever gives it")
    state = state_of(known)
    alerts = {rule: subject.partition(STAGE)[0] for rule, (subject, _) in known.alerts.items()}
    if known.ignored or (state is None and not alerts):
        return None
    return Ack(author=name, at=now, comment=clean(comment), state=state, alerts=alerts)


def state_of(known: Known) -> str | None:
    """The state of a job that somebody should see to: a status, or `gone`; None where all is well."""
    if known.gone:
        return GONE
    status = known.snapshot.status
    return str(status) if status_severity(status).rank >= Severity.WARNING.rank else None


def matters(ack: Ack) -> list[str]:
    """What it acknowledges, a few words each: the job's state, and `alert stuck`."""
    return [*([ack.state] if ack.state else []), *(f"alert {rule}" for rule in ack.alerts)]


def reason(ack: Ack) -> str:
    """Why people are not told what they know of already."""
    said = f": {ack.comment}" if ack.comment else ""
    return f"acknowledged by {ack.author}{said}"


def still(before: Known | None, after: Known) -> Ack | None:
    """What holds of a job's ack once it has become `after`: nothing, where that is another state."""
    if after.ack is None or before is None or _state(before) != _state(after):
        return None
    return after.ack


def without(ack: Ack | None, alerts: Mapping[str, Any]) -> Ack | None:
    """What is left of an ack when only these alerts still fire."""
    if ack is None or ack.alerts.keys() <= alerts.keys():
        return ack
    left = {rule: subject for rule, subject in ack.alerts.items() if rule in alerts}
    return replace(ack, alerts=left) if left or ack.state else None


def _state(known: Known) -> tuple[object, ...]:
    return known.snapshot.status, known.status_since, known.gone, known.ignored
