"""Making events: each linked to the one before, and who gets it, or why somebody does not."""

from collections.abc import Collection
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core.closure import lasting
from ftwatch.core.diff import Change, news_among
from ftwatch.core.event import Data, Event, SavedModel, Severity, Summary, event_id
from ftwatch.core.flapping import FOLDED, Flapping
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Assignment, Known, Policy, Refusal
from ftwatch.core.lateness import gap_of
from ftwatch.core.route import Routing, held_for, route
from ftwatch.core.span import MINUTE

__all__ = ["CLOCK_SKEW", "Telling", "assign"]

# How far after a look a provider's own time may lie and still be believed.
CLOCK_SKEW = 5 * MINUTE


def assign(
    event: Event,
    routing: Routing,
    now: float,
    also: Collection[str] = (),
    spared: str = "",
    folded: Collection[str] = (),
) -> tuple[list[Assignment], list[Refusal]]:
    """Who gets an event. `also` names those who were told of its beginning: they are owed the end.

    A silence still wins over that: it is the one thing that somebody asked for by name. `spared` is why
    people need not hear it, where they need not; programs do. `folded` are those who know that it is
    flapping: they hear of it again when that is over.
    """
    routed = route(event, routing, now)
    if not (also or spared or folded or routed.holds or routed.reminds):
        id = event.id
        return (
            [Assignment(id, name, reason) for name, reason in routed.selected],
            [Refusal(id, verdict.notifier, verdict.reason) for verdict in routed.verdicts],
        )
    everybody: set[str] = set()
    if spared or folded:
        everybody = {one.name for one in routing.recipients if one.audience == "people"}
    people, folded = everybody if spared else set(), everybody & {*folded}
    deliveries = [
        Assignment(
            event.id,
            name,
            reason,
            routed.holds.get(name),
            routed.reminds.get(name),
            (lasting(event) or "") if name in routed.reminds else "",
        )
        for name, reason in routed.selected
        if name not in people and name not in folded
    ]
    got = {assignment.notifier for assignment in deliveries}
    refused = {verdict.notifier: verdict.reason for verdict in routed.verdicts if verdict.notifier not in got}
    refused |= {name: spared for name, _ in routed.selected if name in people}
    refused |= {name: FOLDED for name, _ in routed.selected if name in folded}
    owed = {name for name in also if name not in folded and name in refused}
    for recipient in routing.recipients if owed else ():
        is_owed = recipient.closure and recipient.name in owed
        if is_owed and not refused[recipient.name].startswith("silenced"):
            held = held_for(event, recipient, now)
            deliveries.append(Assignment(event.id, recipient.name, "closure", held))
            del refused[recipient.name]
    return deliveries, [Refusal(event.id, name, reason) for name, reason in refused.items()]


class Telling:
    """The events of one decision, in order."""

    def __init__(self, known: Known | None, policy: Policy, now: float) -> None:
        self.policy = policy
        self.now = now
        self.sequence = known.sequence if known else 0
        self.link: str | JobKey | None = known.link if known else None
        self.told = list(known.told) if known else []
        # Who was told that the job's state comes and goes.
        self.folds: tuple[str, ...] = ()
        if known is not None and Flapping.name in known.alerts:
            is_on = any(rule.name == Flapping.name for rule in policy.rules)
            self.folds = known.alerts[Flapping.name][1] if is_on else ()
        self.relapses = known.relapses if known else ()
        self.events: list[Event] = []
        self.deliveries: list[Assignment] = []
        self.verdicts: list[Refusal] = []

    def tell(
        self,
        kind: str,
        severity: Severity,
        snapshot: Snapshot,
        status: Status | None,
        before: Status | None,
        *,
        changes: tuple[Change, ...] = (),
        occurred: int | None = None,
        skipped: bool = False,
        incomplete: tuple[str, ...] = (),
        note: str | None = None,
        also: tuple[str, ...] = (),
        summary: Summary | None = None,
        checkpoint: SavedModel | None = None,
        continues: str | None = None,
        spared: str = "",
    ) -> tuple[str, ...]:
        """Makes the job's next event and finds who gets it; returns their names."""
        self.sequence += 1
        link = self.link or snapshot.key
        news = news_among(changes, snapshot.status)
        if news or not changes:
            about = (checkpoint.step, checkpoint.model or checkpoint.id) if checkpoint else ()
            id = event_id(link, kind, news, *about)
            self.link = id
        else:
            id = event_id(link, kind, changes, self.sequence)
        moment = _believable(occurred, snapshot, self.now)
        # Fifteen keywords: more are passed by way of a dictionary.
        data = Data(
            id=snapshot.id,
            provider=snapshot.provider,
            kind=snapshot.kind,
            name=snapshot.name,
            labels=snapshot.labels,
            status=status,
            previous_status=before,
            sequence=self.sequence,
            skipped=skipped,
            occurred_at=moment,
            observed_at=int(self.now),
            changes=changes,
            summary=UNSET if summary is None else summary,
            gap=gap_of(moment, self.now, self.policy.gaps) or UNSET,
            job=snapshot,
        )
        extra: dict[str, Any] = {}
        if incomplete:
            extra["incomplete"] = incomplete
        if note is not None:
            extra["note"] = note
        if checkpoint is not None:
            extra["checkpoint"] = checkpoint
        if continues is not None:
            extra["continues"] = continues
        if extra:
            data = replace(data, **extra)
        event = Event(id=id, type=kind, created_at=moment, severity=severity, data=data)
        ended = kind.startswith(events.JOB) and status is not None and status.is_terminal
        owed = (*also, *self.told) if ended else also
        folded = self.folds if self.folds and self._is_one_of_many(kind, status) else ()
        deliveries, verdicts = assign(event, self.policy.routing, self.now, owed, spared, folded)
        self.events.append(event)
        self.deliveries += deliveries
        self.verdicts += verdicts
        names = tuple([assignment.notifier for assignment in deliveries])
        if ended and self.told:
            # It may turn out to be none: who was told of it is owed what the job comes to after all.
            self.told = [name for name in self.told if name in folded]
        people = _people(self.policy.routing)
        if people:
            self.told += [name for name in names if name in people and name not in self.told]
        return names

    def _is_one_of_many(self, kind: str, status: Status | None) -> bool:
        """Whether an event is one of those that a flapping job makes: no news to who knows that it is one.

        An end is, if the job has had it before.
        """
        if status is None or status is Status.UNKNOWN or kind != events.JOB + status:
            return False
        return not status.is_terminal or any(one.left is status for one in self.relapses)


def _people(routing: Routing) -> list[str]:
    """Who is owed the end of what was told."""
    return [one.name for one in routing.recipients if one.audience == "people" and one.closure]


def _believable(occurred: int | None, snapshot: Snapshot, now: float) -> int:
    """The provider's time where it lies between the job's creation and now (and a little), else now."""
    earliest = snapshot.created_at or 0
    if occurred is not None and earliest <= occurred <= now + CLOCK_SKEW:
        return occurred
    return int(now)
