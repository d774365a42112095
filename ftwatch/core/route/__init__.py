"""Who should know? Routes and silences: from an event to the notifiers that get it, and why.

Everything here is a predicate on an event or a choice between names; what an event is stands in `event`, who
was told of a beginning and is owed its end in `decide`. Nothing here reads a file: `config` finds the places
of what `parse` refuses.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ftwatch.core.closure import lasting
from ftwatch.core.event import REPORT, Event, Severity
from ftwatch.core.job import JobKey
from ftwatch.core.message import Wording
from ftwatch.core.route.hold import Group, Hold, Holding, hold
from ftwatch.core.route.match import (
    JOB_KEYS,
    KEYS,
    Match,
    Matcher,
    agrees,
    covers,
    literal,
    matches,
    watches,
)
from ftwatch.core.route.parse import check_key, check_value, did_you_mean, parse_match, parse_matcher

__all__ = [
    "JOB_KEYS",
    "KEYS",
    "Match",
    "Matcher",
    "Mention",
    "Recipient",
    "Route",
    "Routed",
    "Routing",
    "Silence",
    "Verdict",
    "check_key",
    "check_value",
    "covers",
    "did_you_mean",
    "held_for",
    "literal",
    "matches",
    "mentioned",
    "parse_match",
    "parse_matcher",
    "route",
    "route_for",
    "silence_of",
    "watches",
]

OWN = "ftwatch."
AT_ONCE = Holding()
TUNING = "fine_tuning."
COMMAND = "command"

# From which rank on people and programs are told where no route says it.
FLOOR = Severity.INFO.rank

UNNAMED = "no route names it"
UNMATCHED = "no route matches"


class Mention(Struct, frozen=True):
    """Somebody whom messages notify, as a notifier's service or its options know them.

    Of what does not `match` (None: of nothing) they are not notified.
    """

    word: str
    match: Match | None = None


class Route(Struct, frozen=True, kw_only=True):
    """Events that match, and are not excepted, go to `notify` from `min_severity` on.

    `number` is which one it is in the file (0: its place among all), since one there may stand for several.
    What is older than `max_age` seconds when it is found out is told in one piece with other old news; what
    agrees with others by `group` leaves with them; of what stays broken people are told again every `remind`
    seconds. `template` has the words for people, `mention` whom they notify, by the notifiers' names.
    """

    match: Match = Match()
    except_: Match | None = None
    min_severity: Severity | None = None
    notify: tuple[str, ...]
    number: int = 0
    group: Group | None = None
    max_age: float | None = None
    remind: float | None = None
    template: Wording | None = None
    mention: Mapping[str, tuple[Mention, ...]] = {}

    @property
    def floor(self) -> Severity:
        """The severity from which this route takes: as said, else info; naming what is wanted lifts it."""
        said = self.min_severity or self.match.min_severity
        if said is not None:
            return said
        named = self.match.mentions("type") or self.match.mentions("changed")
        return Severity.DETAIL if named else Severity.INFO

    @property
    def names_types(self) -> bool:
        """Whether it says which types it wants (not only which it does not)."""
        return any(matcher.key == "type" and matcher.op in ("=", "=~") for matcher in self.match.matchers)


class Silence(Struct, frozen=True, kw_only=True):
    """Nobody hears of what matches until `until` (Unix seconds; None: until it is taken away).

    `until_end`: until the one `job` that it names is over, which is told. `author` is whoever asked for it
    while ftwatch ran; one that stands in the config has none.
    """

    match: Match
    until: float | None = None
    until_end: bool = False
    comment: str = ""
    author: str = ""
    id: str = ""

    @property
    def title(self) -> str:
        """What a person would call it: its comment, else its id, else what it matches; and whose it is."""
        if self.author:
            return f"{self.comment or self.match} ({self.id}, by {self.author})"
        return self.comment or self.id or str(self.match)

    @property
    def job(self) -> JobKey | None:
        """The one job that it is about, if it names one."""
        provider, id = self.match.named("provider"), self.match.named("id")
        return JobKey(provider, id) if provider and id else None

    def mutes(self, event: Event, now: float) -> bool:
        """Whether nobody is to hear of `event` at `now` (Unix seconds)."""
        if self.until is not None and now >= self.until:
            return False
        return not (self.until_end and event.is_over) and matches(self.match, event)


class Recipient(Struct, frozen=True, kw_only=True):
    """A notifier as routing sees it. `closure`: is owed the end of what it was told of (people only).

    `holding` is when it wants to be told (None: at once), `reports`: it wants reports. `is_target`: it is
    another one with an address of a route's or a person's, and gets what names it alone.
    """

    name: str
    kind: str
    audience: Literal["people", "machines"] = "people"
    closure: bool = True
    holding: Holding | None = None
    is_target: bool = False
    reports: bool = False


class Routing(Struct, frozen=True, kw_only=True):
    """Everything that decides who gets an event. `routes` None: nobody said, so the default holds."""

    recipients: tuple[Recipient, ...] = ()
    routes: tuple[Route, ...] | None = None
    silences: tuple[Silence, ...] = ()


class Verdict(Struct, frozen=True, gc=False):
    """Why a notifier does not get an event."""

    notifier: str
    reason: str


class Routed(Struct, frozen=True, gc=False):
    """Who gets an event, each with the reason (`route 2`, `default`), and why the others do not.

    `holds` are those of them who get it later, with what they wait for; `reminds` those who are told of it
    again, and after how many seconds, for as long as it lasts.
    """

    selected: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    holds: Mapping[str, Hold] = {}
    reminds: Mapping[str, float] = {}


def route(event: Event, routing: Routing, now: float) -> Routed:
    """Who gets `event` at `now` (Unix seconds). Every recipient is selected once or has its verdict."""
    silence = silence_of(event, routing, now) if routing.silences else None
    selected: list[tuple[str, str]] = []
    verdicts: list[Verdict] = []
    holds: dict[str, Hold] = {}
    reminds: dict[str, float] = {}
    about = event.data.notifier
    is_unrouted = routing.routes is None and event.type.startswith(TUNING)
    unrouted = _default(event)
    for recipient in routing.recipients:
        if about and about == recipient.name:
            verdicts.append(Verdict(recipient.name, "the event is about this notifier itself"))
        elif silence is not None:
            verdicts.append(Verdict(recipient.name, f"silenced by {silence.title}"))
        else:
            if is_unrouted and recipient.kind != COMMAND:
                # Where nobody wrote a route it is the same for all of them.
                chosen, reason, by = unrouted
            else:
                chosen, reason, by = _choose(event, recipient, routing.routes)
            if chosen:
                selected.append((recipient.name, reason))
                held = held_for(event, recipient, now, by) if by or recipient.holding else None
                if held is not None:
                    holds[recipient.name] = held
                remind = by.remind if by is not None and recipient.audience == "people" else None
                if remind is not None and lasting(event) is not None:
                    reminds[recipient.name] = remind
            else:
                verdicts.append(Verdict(recipient.name, reason))
    return Routed(tuple(selected), tuple(verdicts), holds, reminds)


def route_for(event: Event, name: str, routing: Routing) -> Route | None:
    """The route by which a recipient of this name gets an event, if it gets it by one."""
    recipient = next((one for one in routing.recipients if one.name == name), None)
    return _choose(event, recipient, routing.routes)[2] if recipient is not None else None


def mentioned(event: Event, name: str, routing: Routing) -> tuple[str, ...]:
    """Whom the message about an event notifies at a recipient of this name: by all routes that give it."""
    words = (
        mention.word
        for candidate in routing.routes or ()
        if name in candidate.mention and _refusal(event, candidate, 0, must_name_type=False) is None
        for mention in candidate.mention[name]
        if mention.match is None or matches(mention.match, event)
    )
    return tuple(dict.fromkeys(words)) if event.type != REPORT else ()


def held_for(event: Event, recipient: Recipient, now: float, by: Route | None = None) -> Hold | None:
    """What an event waits for that a recipient gets, by a route or without one; None where it leaves now."""
    if event.type == REPORT:
        return None  # it has a time of its own
    if recipient.holding is None and (by is None or (by.group is None and by.max_age is None)):
        return None
    group, max_age = (by.group, by.max_age) if by is not None else (None, None)
    return hold(event, recipient.holding or AT_ONCE, now, group=group, max_age=max_age)


def silence_of(event: Event, routing: Routing, now: float) -> Silence | None:
    """The silence by which nobody is to hear of an event at `now` (Unix seconds), if there is one."""
    return next((silence for silence in routing.silences if silence.mutes(event, now)), None)


def _choose(
    event: Event, recipient: Recipient, routes: tuple[Route, ...] | None
) -> tuple[bool, str, Route | None]:
    """Whether this recipient gets the event, the reason either way, and the route that gives it."""
    if event.type == REPORT:
        return _choose_report(event, recipient)
    is_own = event.type.startswith(OWN)
    is_machine = recipient.audience == "machines"
    reason = UNNAMED
    for place, candidate in enumerate(routes or (), start=1):
        number = candidate.number or place
        if recipient.name not in candidate.notify:
            continue
        refusal = _refusal(event, candidate, number, must_name_type=is_own and is_machine)
        if refusal is None:
            return True, f"route {number}", candidate
        # What a route that did match says against it tells more than that another one did not.
        reason = refusal if reason in (UNNAMED, UNMATCHED) else reason
    # ftwatch's own events go to people also where there are routes: the design's words about machines ("only
    # where a route names the type") speak of configs that have some, and a narrow set of routes must not be
    # able to hide that a provider cannot be reached or that a message was lost.
    if is_own and not is_machine and not recipient.is_target:
        return _default(event)
    if routes is not None:
        return False, reason, None
    if is_own:
        return False, "ftwatch's own events go to machines only where a route names the type", None
    if not event.type.startswith(TUNING):
        return False, "foreign events go only where a route matches them", None
    if recipient.kind == COMMAND:
        return False, "a command runs only where a route names it", None
    return _default(event)


def _choose_report(event: Event, recipient: Recipient) -> tuple[bool, str, Route | None]:
    """A report is made for one notifier, when that has asked for it; routes have no say in it."""
    if not recipient.reports:
        return False, "it asks for no report", None
    is_its_own = event.data.id in (recipient.name, "")
    return is_its_own, "report" if is_its_own else "it is another one's report", None


def _default(event: Event) -> tuple[bool, str, Route | None]:
    if event.severity.rank < FLOOR:
        return False, "below the default floor (info)", None
    return True, "default", None


def _refusal(event: Event, candidate: Route, number: int, *, must_name_type: bool) -> str | None:
    """Why a route does not take an event; None if it does."""
    if not agrees(candidate.match, event):
        return UNMATCHED
    if candidate.except_ is not None and matches(candidate.except_, event):
        return f"excepted by route {number}"
    if event.severity.rank < candidate.floor.rank:
        return f"below the floor of route {number} ({candidate.floor})"
    if must_name_type and not candidate.names_types:
        return f"route {number} names no type, as ftwatch's own events need it for machines"
    return None
