"""The top line of every page: can I trust it? What is seen, what arrives, what waits; and what is wrong."""

from collections.abc import Mapping

from msgspec import Struct

from ftwatch.config import Config
from ftwatch.core.announce import ProviderState
from ftwatch.core.message import clean
from ftwatch.core.span import MINUTE, span
from ftwatch.store import Store
from ftwatch.store.glance import Glance, Lane
from ftwatch.web.house import House
from ftwatch.web.pages.shown import WORD, Moment, ago, lasting, soon

__all__ = ["Facts", "Line", "Looks", "Receiver", "Seen", "Trust", "facts", "looks", "trust"]

# Something that waits longer than this (seconds) is worth a word; so is a look that is late by it.
PATIENCE = MINUTE


class Looks(Struct, frozen=True, kw_only=True):
    """How a provider is watched at this moment: Unix seconds, `every` is its slowest pace in seconds."""

    name: str
    kind: str
    good_at: float | None
    problem: str | None
    next_look: float
    every: float


class Facts(Struct, frozen=True, kw_only=True):
    """What the top line is made of, from the store and from the loops."""

    lanes: tuple[Lane, ...]
    states: Mapping[str, ProviderState]
    looks: tuple[Looks, ...]
    notifiers: tuple[str, ...]
    is_full: bool
    late: tuple[str, ...]
    started_at: float
    is_between: bool


class Line(Struct, frozen=True):
    """One thing that is wrong: how badly (`bad`, `warn`), of what, and a sentence."""

    kind: str
    about: str
    said: str


class Seen(Struct, frozen=True, kw_only=True):
    """A provider: when it was last seen well, when it is looked at next, what is wrong with it."""

    name: str
    kind: str
    good: Moment | None
    next: Moment | None
    state: str
    sort: str


class Receiver(Struct, frozen=True, kw_only=True):
    """A notifier: when something last arrived, how much waits and how much died, what is wrong with it.

    `listed`: the config still has it.
    """

    name: str
    listed: bool
    last: Moment | None
    pending: int
    held: int
    oldest: Moment | None
    dead: int
    state: str
    sort: str


class Trust(Struct, frozen=True, kw_only=True):
    """The top line: one sentence, and behind it everything that it is made of."""

    kind: str
    sentence: str
    wrong: tuple[Line, ...]
    seen: tuple[Seen, ...]
    receivers: tuple[Receiver, ...]
    pending: int
    held: int
    oldest: Moment | None
    dead: int


def looks(house: House) -> tuple[Looks, ...]:
    """How each provider is watched."""
    return tuple(
        Looks(
            name=name,
            kind=poller.config.kind,
            good_at=poller.good_at,
            problem=poller.problem,
            next_look=poller.next_look,
            every=max(poller.config.poll, poller.config.discover),
        )
        for name, poller in house.pollers.items()
    )


def facts(store: Store, config: Config, house: House, seen: tuple[Looks, ...], now: float) -> Facts:
    """Everything that the top line is made of; asks the store, so run it there."""
    return Facts(
        lanes=tuple(Glance(store.db).lanes(config.notifiers, now)),
        states={state.name: state for state in store.history.providers()},
        looks=seen,
        notifiers=tuple(config.notifiers),
        is_full=house.store.is_full,
        late=tuple(house.late()),
        started_at=house.started_at,
        is_between=not house.pollers and bool(config.providers),
    )


def trust(found: Facts, now: float) -> Trust:
    """The top line as it is shown."""
    seen = [_seen(one, found, now) for one in found.looks]
    receivers = [_receiver(lane, found, now) for lane in found.lanes]
    wrong = [Line("bad", loop, f"No sign of life from {clean(loop, WORD)}.") for loop in found.late]
    if found.is_full:
        wrong.append(Line("bad", "disk", "The disk is full: no job is looked at until there is room."))
    both = [(one.sort, one.name, one.state) for one in seen]
    both += [(one.sort, one.name, one.state) for one in receivers]
    wrong += [Line(sort, name, f"{name} {state}.") for sort, name, state in both if sort in ("bad", "warn")]
    dead, pending = sum(lane.dead for lane in found.lanes), sum(lane.pending for lane in found.lanes)
    if dead:
        waits = "1 dead letter waits" if dead == 1 else f"{dead:,} dead letters wait"
        wrong.append(Line("warn", "deliveries", f"{waits} for your word."))
    wrong.sort(key=lambda line: line.kind != "bad")
    kind = wrong[0].kind if wrong else "good"
    return Trust(
        kind=kind,
        sentence=wrong[0].said if wrong else _calm(found, pending, now),
        wrong=tuple(wrong),
        seen=tuple(seen),
        receivers=tuple(receivers),
        pending=pending,
        held=sum(lane.held for lane in found.lanes),
        oldest=lasting(
            min((lane.oldest for lane in found.lanes if lane.oldest is not None), default=None), now
        ),
        dead=dead,
    )


def _calm(found: Facts, pending: int, now: float) -> str:
    """All is well, in one sentence that says what that means."""
    if found.is_between:
        return "The config is being taken anew; a moment, please."
    if not found.looks:
        return "No provider is watched."
    fresh = [one.good_at for one in found.looks if one.good_at is not None]
    if len(fresh) < len(found.looks):
        return "The first looks are under way."
    within = span(max(1.0, now - min(fresh)))
    count = len(found.looks)
    whom = {1: f"{found.looks[0].name} was", 2: "both providers were"}.get(
        count, f"all {count} providers were"
    )
    waits = f"{pending:,} on the way" if pending else "nothing waits to be sent"
    if held := sum(lane.held for lane in found.lanes):
        waits = f"{pending:,} on the way, {held:,} held for later" if pending else f"{held:,} held for later"
    return f"All is well: {whom} seen within the last {within}, {waits}."


def _seen(one: Looks, found: Facts, now: float) -> Seen:
    state, sort = _watched(one, found, now)
    return Seen(
        name=one.name,
        kind=one.kind,
        good=ago(one.good_at, now),
        next=soon(one.next_look, now),
        state=state,
        sort=sort,
    )


def _watched(one: Looks, found: Facts, now: float) -> tuple[str, str]:
    """How a provider is, in words that follow its name, and as a sort."""
    state = found.states.get(one.name)
    if state is not None and state.retired_at is not None:
        return f"has ended: {clean(state.reason, 200)}", "off"
    said = clean(one.problem, 200) if one.problem else ""
    if state is not None and state.degraded_at is not None:
        why = said or clean(state.reason, 200)
        return f"cannot be watched for {span(now - state.degraded_at)}: {why}", "bad"
    if said:
        return f"did not answer well just now: {said}", "warn"
    if one.good_at is None:
        if now - found.started_at > 5 * PATIENCE:
            return "has not been seen since the start", "warn"
        return "is being looked at for the first time", "wait"
    late = now - one.good_at - one.every
    if late > 5 * PATIENCE:
        return f"was last seen {span(now - one.good_at)} ago", "warn"
    return "is watched", "good"


def _receiver(lane: Lane, found: Facts, now: float) -> Receiver:
    state, sort = _delivers(lane, found, now)
    return Receiver(
        name=clean(lane.name, WORD),
        listed=lane.name in found.notifiers,
        last=ago(lane.delivered_at, now),
        pending=lane.pending,
        held=lane.held,
        oldest=lasting(lane.oldest, now),
        dead=lane.dead,
        state=state,
        sort=sort,
    )


def _delivers(lane: Lane, found: Facts, now: float) -> tuple[str, str]:
    """How a notifier is, in words that follow its name, and as a sort."""
    waits = f"{lane.pending:,} wait" if lane.pending != 1 else "1 waits"
    if lane.name not in found.notifiers:
        if lane.pending or lane.held:
            waits = f"{lane.pending + lane.held:,}"
            return f"is no longer in the config; what waits for it to come back: {waits}", "warn"
        return "is no longer in the config", "off"
    if lane.disabled is not None:
        return f"wants no more messages: {clean(lane.disabled, 200)}", "bad"
    breaker = lane.breaker
    if breaker.open_at is not None:
        return f"is out of reach for {span(now - breaker.open_at)}; {waits}", "bad"
    if breaker.failing_since is not None and now - breaker.failing_since > PATIENCE:
        return f"has taken nothing for {span(now - breaker.failing_since)}; {waits}", "warn"
    if lane.oldest is not None and now - lane.oldest > PATIENCE:
        return f"is behind: {waits}, the oldest for {span(now - lane.oldest)}", "warn"
    return ("delivers" if lane.delivered_at is not None else "has had nothing to deliver yet"), "good"
