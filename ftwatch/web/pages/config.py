"""The page of the config: who is watched, who is told, by which routes, and what is silent. Shows no option.

What a provider or notifier was given to do its work (keys, addresses) has no place here: only names, kinds.
"""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch.config import Config
from ftwatch.core.message import clean
from ftwatch.core.reach import ALWAYS, Reach, catalogue, in_words, make_event, reach
from ftwatch.core.route import Routing, Silence, route
from ftwatch.core.span import DAY, span
from ftwatch.store import Kept, Store
from ftwatch.store.glance import Count, Glance
from ftwatch.web.pages import shown
from ftwatch.web.pages.actions import API, expire_of
from ftwatch.web.pages.frame import Frame, page
from ftwatch.web.pages.shown import Action, Moment

__all__ = ["ConfigView", "Found", "Tested", "config", "tested", "view"]

LONGEST = 2_000

# How long a silence may be chosen to last, in words and as the API takes it.
_SPANS = [("1 hour", "1h"), ("2 hours", "2h"), ("8 hours", "8h"), ("1 day", "1d"), ("1 week", "7d")]
_GROUPS = (
    ("fine_tuning.job.", "jobs"),
    ("fine_tuning.checkpoint.", "checkpoints"),
    ("fine_tuning.alert.", "alerts"),
    ("ftwatch.", "ftwatch’s own"),
)


class Found(Struct, frozen=True, kw_only=True):
    """What the store says: how many jobs there are, and which silences are kept."""

    counts: Sequence[Count]
    kept: Sequence[Kept]


class ProviderRow(Struct, frozen=True, kw_only=True):
    """A provider: how it is, when it was seen and is looked at, how many jobs it has, what is watched."""

    name: str
    kind: str
    state: str
    sort: str
    good: Moment | None
    next: Moment | None
    jobs: str
    href: str
    pace: str
    watch: str


class NotifierRow(Struct, frozen=True, kw_only=True):
    """A notifier: how it is, what it gets under which condition."""

    name: str
    kind: str
    state: str
    sort: str
    last: Moment | None
    gets: list[tuple[str, list[str]]]
    href: str | None


class RouteRow(Struct, frozen=True, kw_only=True):
    """A route: its number, what it takes, whom it tells."""

    number: int
    takes: str
    notify: list[str]


class SilenceRow(Struct, frozen=True, kw_only=True):
    """A silence: what it mutes, until when, who asked for it and why; the config's own cannot end here."""

    match: str
    until: str
    ends: Moment | None
    comment: str
    author: str
    expire: Action | None


class Answer(Struct, frozen=True):
    """Whether a notifier would get an event, and why."""

    notifier: str
    gets: bool
    why: str


class Tested(Struct, frozen=True, kw_only=True):
    """What became of the words that were tested: an event and who gets it, or what is wrong with them."""

    words: str
    problem: str
    said: str
    answers: list[Answer]


class ConfigView(Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    path: str
    generation: int
    warnings: list[str]
    providers: list[ProviderRow]
    notifiers: list[NotifierRow]
    routes: list[RouteRow]
    default: bool
    test: Tested
    silences: list[SilenceRow]
    spans: list[tuple[str, str]]
    api: str


async def config(request: Request) -> Response:
    """GET /config"""
    house = request.app.state.house
    now, loaded = house.clock.now(), house.config
    words = request.query_params.get("test", "")
    return await page(
        request,
        "config.html",
        lambda store: _found(store, now),
        lambda found, frame: view(loaded, found, frame, words, now),
    )


def _found(store: Store, now: float) -> Found:
    kept = [one for one in store.silences.all() if one.stands(now)]
    return Found(counts=Glance(store.db).counts(now - DAY), kept=kept)


def view(loaded: Config, found: Found, around: Frame, words: str, now: float) -> ConfigView:
    """The page as it is shown."""
    asked = [one.silence for one in found.kept]
    routing = Routing(
        recipients=loaded.routing.recipients,
        routes=loaded.routing.routes,
        silences=(*loaded.routing.silences, *asked),
    )
    return ConfigView(
        title="Config",
        path=str(loaded.path),
        generation=around.generation,
        warnings=[clean(problem, 300) for problem in loaded.warnings],
        providers=list(_providers(loaded, found.counts, around)),
        notifiers=list(_notifiers(loaded, around)),
        routes=[
            RouteRow(number=number, takes=clean(in_words(one), 400), notify=list(one.notify))
            for number, one in enumerate(loaded.routing.routes or (), 1)
        ],
        default=loaded.routing.routes is None,
        test=tested(loaded, routing, words, now),
        silences=[
            *(_silence(one, now, given=True) for one in loaded.routing.silences if _holds(one, now)),
            *(_silence(one, now, given=False) for one in asked),
        ],
        spans=_SPANS,
        api=f"{API}/silences",
    )


def _holds(silence: Silence, now: float) -> bool:
    return silence.until is None or silence.until > now


def _providers(loaded: Config, counts: Iterable[Count], around: Frame) -> Iterable[ProviderRow]:
    totals: dict[str, dict[str, int]] = {}
    for sort in counts:
        held = totals.setdefault(sort.provider, {})
        word = shown.pill(sort.status).word if sort.active else "finished"
        held[word] = held.get(word, 0) + sort.count
    seen = {one.name: one for one in around.trust.seen}
    for name, one in loaded.providers.items():
        held, how = totals.get(name, {}), seen.get(name)
        watch = clean(one.watch, 200) if one.watch else "every job"
        if one.since is not None:
            watch += f" of the last {span(one.since)}"
        yield ProviderRow(
            name=name,
            kind=one.kind,
            state=how.state if how else "is being set up",
            sort=how.sort if how else "wait",
            good=how.good if how else None,
            next=how.next if how else None,
            jobs=", ".join(f"{count:,} {status}" for status, count in sorted(held.items())) or "none yet",
            href=shown.href("/", provider=name, show="all"),
            pace=f"a running job every {span(one.poll)}, new ones every {span(one.discover)}",
            watch=watch,
        )


def _notifiers(loaded: Config, around: Frame) -> Iterable[NotifierRow]:
    who = reach(loaded.routing)
    for receiver in around.trust.receivers:
        one = loaded.notifiers.get(receiver.name)
        yield NotifierRow(
            name=receiver.name,
            kind=one.kind if one else "",
            state=receiver.state,
            sort=receiver.sort,
            last=receiver.last,
            gets=[_gets(found) for found in who if found.notifier == receiver.name],
            href=shown.href("/deliveries", notifier=receiver.name) if receiver.dead else None,
        )


def _gets(found: Reach) -> tuple[str, list[str]]:
    """Under which condition a notifier gets what, a line for each family of types."""
    when = "always" if found.when == ALWAYS else f"where {clean(found.when, 300)}"
    lines = []
    for prefix, title in _GROUPS:
        names = [type.removeprefix(prefix) for type in found.types if type.startswith(prefix)]
        everything = [type for type in catalogue() if type.startswith(prefix)]
        if names:
            lines.append(f"{title}: {'all' if len(names) == len(everything) else ', '.join(names)}")
    return when, lines


def _silence(silence: Silence, now: float, *, given: bool) -> SilenceRow:
    forever = "until the job ends" if silence.until_end else "until it is taken away"
    return SilenceRow(
        match=clean(silence.match, 300),
        until="" if silence.until is not None else forever,
        ends=shown.soon(silence.until, now),
        comment=clean(silence.comment, 200),
        author="the config" if given else clean(silence.author, 60),
        expire=None if given else expire_of(silence.id),
    )


def tested(loaded: Config, routing: Routing, words: str, now: float) -> Tested:
    """Who would get the event that these `key=value` words describe, and why the others would not."""
    if not words.strip():
        return Tested(words="", problem="", said="", answers=[])
    shown_words = words[:LONGEST]
    providers: Mapping[str, tuple[str, Mapping[str, str]]] = {
        name: (one.kind, one.labels) for name, one in loaded.providers.items()
    }
    try:
        if len(words) > LONGEST:
            raise ValueError(f"that is longer than {LONGEST} letters")
        event = make_event(_split(words), providers)
    except ValueError as error:
        return Tested(words=shown_words, problem=clean(error, 400), said="", answers=[])
    routed = route(event, routing, now)
    gets = dict(routed.selected)
    whys = {one.notifier: one.reason for one in routed.verdicts} | gets
    whys |= {name: f"{whys[name]}, {hold.why}" for name, hold in routed.holds.items()}
    return Tested(
        words=shown_words,
        problem="",
        said=f"{clean(event.type, 120)}, severity {event.severity}",
        answers=[Answer(name, name in gets, clean(whys[name], 200)) for name in loaded.notifiers],
    )


def _split(words: str) -> list[str]:
    """Words at spaces; what stands in quotes keeps them. Raises ValueError where one never ends."""
    try:
        return shlex.split(words)
    except ValueError as error:
        raise ValueError(f"{json.dumps(words)}: {str(error).lower()}") from None
