"""What does ftwatch say about itself? Events about a provider, a notifier or the config.

A provider's health is a small state of its own, so that "degraded" is told once and its end to the same
readers. Like `decide`, everything here is a function of its arguments, committed whole or not at all.
"""

from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core.decide import assign
from ftwatch.core.decide.telling import CLOCK_SKEW
from ftwatch.core.delivery import Delivery, Settlement
from ftwatch.core.event import Data, Event, Report, Severity, event_id
from ftwatch.core.flapping import Flapping
from ftwatch.core.known import Assignment, Refusal
from ftwatch.core.report import report_event
from ftwatch.core.route import Routing
from ftwatch.core.span import span

__all__ = [
    "REMEMBERED",
    "Announcement",
    "ProviderState",
    "about_notifier",
    "about_ourselves",
    "dead",
    "degraded",
    "drifted",
    "recovered",
    "relayed",
    "reported",
    "retired",
    "settled",
    "unreadable",
    "watching",
]

# How many unreadable entries, and how many unknown words, a provider's state remembers, so that each is told
# once.
REMEMBERED = 200


class ProviderState(Struct, frozen=True, kw_only=True):
    """What is remembered of a provider. `version` is for compare-and-swap (0: not stored yet).

    `baseline_at`: when the first complete listing ended (Unix seconds); `cursor` is where an unfinished one
    goes on; `scope` stands for the `watch` it was made under. `words` are unknown statuses already told,
    `unreadable` the fingerprints of entries already told, `told` who knows that it is degraded. `drift` is
    how the listing was said to have changed, `drifts` what else has; `retired_at`: the service has ended.
    `successors` are jobs that it started anew under another id, and the ids they had before; `ends` is
    when its models stop answering, as it says itself (Unix seconds; None: not known yet); `judged` stands
    for the rules that every finished job was last judged by. `flaps` are when it was degraded lately; while
    it `is_flapping`, nobody who knows is told what it does, and `recovered_at` is when it last came back.
    """

    name: str
    version: int = 0
    link: str | None = None
    baseline_at: float | None = None
    cursor: str | None = None
    scope: str = ""
    asked: int = 0
    degraded_at: float | None = None
    reason: str = ""
    told: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    drift: str = ""
    drifts: tuple[str, ...] = ()
    retired_at: float | None = None
    successors: dict[str, str] = field(default_factory=dict)
    ends: dict[str, int] | None = None
    judged: str = ""
    flaps: tuple[float, ...] = ()
    is_flapping: bool = False
    recovered_at: float | None = None


class Announcement(Struct, frozen=True, kw_only=True):
    """An event of ftwatch's own with who gets it, to commit together with the `state` it leaves."""

    state: ProviderState | None = None
    events: tuple[Event, ...] = ()
    deliveries: tuple[Assignment, ...] = ()
    verdicts: tuple[Refusal, ...] = ()


def watching(
    state: ProviderState, kind: str, active: int, finished: int, routing: Routing, now: float, *, tell: bool
) -> Announcement:
    """The baseline is complete; `tell` its one summary."""
    done = replace(state, baseline_at=now, cursor=None)
    if not tell:
        return Announcement(state=done)
    note = f"{active} active, {finished} finished recorded"
    return _about_provider(done, kind, events.WATCHING, Severity.INFO, note, routing, now)


def degraded(
    state: ProviderState,
    kind: str,
    reason: str,
    routing: Routing,
    now: float,
    rule: Flapping | None = None,
) -> Announcement:
    """No good look for too long. Told once, until it has recovered.

    By `rule` one that comes and goes is told of once as such; the rest is folded until it has settled.
    """
    if state.degraded_at is not None:
        return Announcement()
    if rule is not None and state.is_flapping:
        after = replace(state, degraded_at=now, reason=reason)
        return _fold(after, kind, events.DEGRADED, Severity.WARNING, reason, routing, now)
    flaps = (*state.flaps, now)[-rule.times :] if rule is not None else ()
    is_flapping = rule is not None and rule.is_it(flaps, now)
    after = replace(state, degraded_at=now, reason=reason, flaps=flaps, is_flapping=is_flapping)
    note = reason
    if rule is not None and is_flapping:
        note = f"it comes and goes, {len(flaps)} times within {span(rule.within)}: {reason}"
    return _told_of(after, kind, events.DEGRADED, Severity.WARNING, note, routing, now)


def settled(
    state: ProviderState, kind: str, routing: Routing, now: float, rule: Flapping | None
) -> Announcement:
    """Whether one that came and went does so no more: told once, whether it answers now or not."""
    if not state.is_flapping or rule is None:
        return Announcement()
    is_down = state.degraded_at is not None
    since = state.degraded_at if state.degraded_at is not None else state.recovered_at
    if since is not None and since <= now < since + rule.within:
        return Announcement()
    after = replace(state, is_flapping=False, flaps=(), recovered_at=None)
    still = span(now - (since if since is not None else now))
    if is_down:
        note = f"it came and went, and has not answered for {still}: {state.reason}"
        return _told_of(after, kind, events.DEGRADED, Severity.WARNING, note, routing, now, state.told)
    note = f"it came and went, and has answered for {still}"
    after = replace(after, told=())
    return _about_provider(after, kind, events.RECOVERED, Severity.NOTICE, note, routing, now, state.told)


def retired(state: ProviderState, kind: str, reason: str, routing: Routing, now: float) -> Announcement:
    """The service says that it has ended for good. Told once; who heard that it was degraded hears it too."""
    if state.retired_at is not None:
        return Announcement()
    after = replace(state, retired_at=now, degraded_at=None, is_flapping=False, flaps=(), reason=reason)
    return _told_of(after, kind, events.RETIRED, Severity.NOTICE, reason, routing, now, state.told)


def recovered(
    state: ProviderState, kind: str, routing: Routing, now: float, rule: Flapping | None = None
) -> Announcement:
    """Good looks again: told to whoever knows that it was degraded or had ended, and to whom routes name.

    By `rule` that is folded as long as it comes and goes.
    """
    since = state.degraded_at if state.degraded_at is not None else state.retired_at
    if since is None:
        return Announcement()
    note = f"after {span(now - since)} of: {state.reason}"
    if rule is not None and state.is_flapping:
        after = replace(state, degraded_at=None, recovered_at=now)
        return _fold(after, kind, events.RECOVERED, Severity.NOTICE, note, routing, now)
    after = replace(state, degraded_at=None, retired_at=None, is_flapping=False, reason="", told=())
    return _about_provider(after, kind, events.RECOVERED, Severity.NOTICE, note, routing, now, state.told)


def unreadable(
    state: ProviderState, kind: str, entries: dict[str, str], routing: Routing, now: float
) -> Announcement:
    """Entries that are no jobs: `entries` maps fingerprints to what is wrong. Each is told once."""
    new = {mark: reason for mark, reason in entries.items() if mark not in state.unreadable}
    if not new:
        return Announcement()
    after = replace(state, unreadable=(*state.unreadable, *new)[-REMEMBERED:])
    first = next(iter(new.values()))
    count = "one entry" if len(new) == 1 else f"{len(new)} entries"
    note = f"{count} of the listing cannot be read: {first}"
    return _about_provider(after, kind, events.UNREADABLE, Severity.WARNING, note, routing, now)


def drifted(
    state: ProviderState, kind: str, about: str, what: str, routing: Routing, now: float
) -> Announcement:
    """The provider's interface is not what it was. `about` is what of it; the same is told once."""
    if what == state.drift or about in state.drifts:
        return Announcement()
    if about == "listing":
        after = replace(state, drift=what)
    else:
        after = replace(state, drifts=(*state.drifts, about)[-REMEMBERED:])
    return _about_provider(after, kind, events.DRIFT, Severity.WARNING, what, routing, now)


def relayed(
    provider: str,
    kind: str,
    id: str,
    type: str,
    about: str,
    body: str,
    routing: Routing,
    now: float,
    *,
    created_at: int | None,
) -> Announcement:
    """A verified webhook that is about no fine-tuning job, to be passed on as it is to whom a route names.

    `id` is the sender's own: it makes ours, so that a message taken twice is one event.
    """
    moment = created_at if created_at is not None and 0 < created_at <= now + CLOCK_SKEW else int(now)
    event = Event(
        id=event_id(f"inbound:{provider}:{id}", type),
        type=type,
        created_at=moment,
        severity=Severity.DETAIL,
        data=Data(
            id=about or provider,
            provider=provider,
            kind=kind,
            occurred_at=moment,
            observed_at=int(now),
            received=body,
        ),
    )
    return _announce(event, routing, now)


def dead(delivery: Delivery, event: Event, settled: Settlement, routing: Routing, now: float) -> Announcement:
    """A delivery became a dead letter. The death of such a notice makes no other."""
    if event.type == events.DEAD:
        return Announcement()
    about = event.job.title if event.job else event.data.id
    tries = "one try" if settled.attempts == 1 else f"{settled.attempts} tries"
    note = f"{event.type} of {about} did not arrive after {tries}: {settled.reason}"
    return about_notifier(
        delivery.notifier, events.DEAD, Severity.ERROR, note, routing, now, link=f"{delivery.id}:{int(now)}"
    )


def about_notifier(
    name: str,
    kind: str,
    severity: Severity,
    note: str,
    routing: Routing,
    now: float,
    *,
    link: str,
    also: tuple[str, ...] = (),
) -> Announcement:
    """An event about a notifier; it never goes out over the one it is about.

    `also` are those who were told of its beginning, and are told its end.
    """
    event = _event(name, kind, severity, note, now, link, notifier=name)
    return _announce(event, routing, now, also)


def about_ourselves(
    what: Literal["config", "store"],
    kind: str,
    severity: Severity,
    note: str,
    routing: Routing,
    now: float,
    also: tuple[str, ...] = (),
) -> Announcement:
    """The config was rejected, or accepted again; the disk is full, or has room again.

    `also` are those who were told of its beginning, and are told its end.
    """
    return _announce(_event(what, kind, severity, note, now, f"{what}:{now}"), routing, now, also)


def reported(notifier: str, made: Report, routing: Routing, now: float) -> Announcement:
    """A notifier's report, which goes to it alone."""
    return _announce(report_event(notifier, made), routing, now)


def _told_of(
    state: ProviderState,
    kind: str,
    type: str,
    severity: Severity,
    note: str,
    routing: Routing,
    now: float,
    also: tuple[str, ...] = (),
) -> Announcement:
    """An event about a provider's state; who is told of it is remembered."""
    said = _about_provider(state, kind, type, severity, note, routing, now, also)
    told = tuple(assignment.notifier for assignment in said.deliveries)
    return replace(said, state=replace(said.state or state, told=told))


def _fold(
    state: ProviderState, kind: str, type: str, severity: Severity, note: str, routing: Routing, now: float
) -> Announcement:
    """An event about one that comes and goes, as whoever was told knows."""
    return _about_provider(state, kind, type, severity, note, routing, now, (), state.told)


def _about_provider(
    state: ProviderState,
    kind: str,
    type: str,
    severity: Severity,
    note: str,
    routing: Routing,
    now: float,
    also: tuple[str, ...] = (),
    folded: tuple[str, ...] = (),
) -> Announcement:
    link = state.link or f"provider:{state.name}"
    event = _event(state.name, type, severity, note, now, link, provider=state.name, kind=kind)
    said = _announce(event, routing, now, also, folded)
    return replace(said, state=replace(state, link=event.id))


def _event(id: str, type: str, severity: Severity, note: str, now: float, link: str, **about: Any) -> Event:
    moment = int(now)
    return Event(
        id=event_id(link, type, (), note),
        type=type,
        created_at=moment,
        severity=severity,
        data=Data(id=id, occurred_at=moment, observed_at=moment, note=note, **about),
    )


def _announce(
    event: Event, routing: Routing, now: float, also: tuple[str, ...] = (), folded: tuple[str, ...] = ()
) -> Announcement:
    deliveries, verdicts = assign(event, routing, now, also, folded=folded)
    return Announcement(events=(event,), deliveries=tuple(deliveries), verdicts=tuple(verdicts))
