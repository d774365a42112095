"""What happened to a job, and who was told: events, deliveries and verdicts in words. Pure."""

from typing import Any

from msgspec import Struct

from ftwatch.core.event import ALERT, Event
from ftwatch.core.message import clean
from ftwatch.core.span import MINUTE, span
from ftwatch.store.glance import Fate, Letter
from ftwatch.web.pages import shown
from ftwatch.web.pages.shown import Moment

__all__ = ["Happening", "Told", "happening", "told"]


class Told(Struct, frozen=True, kw_only=True):
    """Somebody who was told, or is to be: what became of it, why they are owed it, every try."""

    notifier: str
    because: str
    state: str
    kind: str
    at: Moment | None
    tries: list[tuple[Moment | None, str]]


class Happening(Struct, frozen=True, kw_only=True):
    """An event: what it says, what changed, who was told and who was not, and why."""

    id: str
    title: str
    tone: str
    at: Moment | None
    severity: str
    proven: bool
    note: str
    changes: list[tuple[str, str, str]]
    told: list[Told]
    spared: list[tuple[str, str]]


def happening(event: Event, fate: Fate, now: float) -> Happening:
    title, tone = shown.headline(event, named=False)
    return Happening(
        id=event.id,
        title=title,
        tone=tone,
        at=shown.at(event.created_at, now),
        severity=event.severity,
        proven=event.data.skipped is True,
        note=clean(event.note or "", 300) if not event.type.startswith(ALERT) else "",
        changes=[
            (
                clean(change.field, 80),
                _value(change.field, change.before, now),
                _value(change.field, change.after, now),
            )
            for change in event.changes
            if change.field != "status"
        ][:20],
        told=[told(letter, now) for letter in fate.letters],
        spared=[(clean(name, shown.WORD), clean(why, 200)) for name, why in sorted(fate.spared.items())],
    )


def _value(field: str, value: Any, now: float) -> str:
    if value is None:
        return "none"
    if field.endswith(("_at", "_finish")) and isinstance(value, int) and (moment := shown.at(value, now)):
        return moment.text
    return clean(value if isinstance(value, str) else shown.as_json(value), 160) or "empty"


_FATES = {
    "delivered": "good",
    "pending": "wait",
    "dead": "bad",
    "folded": "good",
    "superseded": "off",
}


def told(letter: Letter, now: float) -> Told:
    """A delivery in words."""
    delivery = letter.delivery
    tries = "one try" if delivery.attempts == 1 else f"{delivery.attempts} tries"
    reason = clean(delivery.reason, 200)
    match delivery.state:
        case "delivered":
            late = (delivery.settled_at or delivery.created_at) - delivery.created_at
            said = "delivered" + (f" after {span(late)}" if late >= MINUTE else "")
            said += f", {tries}" if delivery.attempts > 1 else ""
        case "pending" if delivery.attempts:
            said = f"waits, {tries} so far" + (f": {reason}" if reason else "")
        case "pending":
            said = reason or "on its way"
        case "dead":
            said = f"gave up after {tries}: {reason}"
        case "folded":
            said = f"told {reason}"
        case _:
            said = reason or str(delivery.state)
    return Told(
        notifier=clean(delivery.notifier, shown.WORD),
        because=clean(letter.why, 120),
        state=said,
        kind=_FATES.get(delivery.state, "off"),
        at=shown.at(delivery.settled_at or delivery.created_at, now),
        tries=[
            (
                shown.at(one.at, now),
                f"{one.outcome} in {one.took:.2f} s" + (f": {clean(one.reason, 200)}" if one.reason else ""),
            )
            for one in letter.tries
        ],
    )
