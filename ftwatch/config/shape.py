"""The file as it is written: one dataclass a block, one field a key. What it becomes stands in `model`.

A reader that needs more than a type (a match, a rate) is named in the field's metadata, and describes itself
to `schema` there too.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, dataclass_transform
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ftwatch.config import values
from ftwatch.config.fitting import Limits
from ftwatch.config.report import Desk
from ftwatch.config.routing import read_match, read_watch
from ftwatch.config.yaml import List, Map, Node, Scalar
from ftwatch.core.event import Severity
from ftwatch.core.route import Match, check_key, did_you_mean
from ftwatch.core.route.hold import DAYS
from ftwatch.plugins import Duration, Secret

__all__ = [
    "LATER",
    "NAMES",
    "Client",
    "Digest",
    "Flapping",
    "Group",
    "Log",
    "Notifier",
    "Plots",
    "Provider",
    "QuietHours",
    "Report",
    "Retiring",
    "Retry",
    "Route",
    "Rules",
    "Silence",
    "Store",
    "Stuck",
    "Template",
    "Web",
]

# The keys that the design names and this version does not have yet.
LATER: dict[str, tuple[str, ...]] = {
    "file": ("templates",),
    "store": ("url", "url_file"),
    "provider": (),
    "notifier": (),
    "route": (),
    "rules": ("late", "diverging"),
}

_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*(s|min|h)")
_PER = {"s": 1.0, "min": 60.0, "h": 3600.0}
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_THROTTLE = re.compile(r"(\d{1,4})\s*/\s*(min|h|d)")
CLOCK_SCHEMA = {"type": "string", "pattern": rf"^{_CLOCK.pattern}$"}
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d)?(\.\d+)?([Zz]|[-+]\d\d:?\d\d)")

SPANS = Annotated[tuple[Duration, ...], Limits(min_length=1, max_length=10)]
NAMES = Annotated[list[str], Limits(min_length=1)]
NOTIFY_SCHEMA = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["to"]}]},
}
MATCH_SCHEMA = {
    "type": ["object", "string", "array"],
    "description": "a value, a glob, re:… or a list of these for each key; or Alertmanager's words",
}


def _duration(least: float, most: float = 10 * 365 * 86400.0) -> Callable[[str, Node, Desk], float]:
    def read(key: str, node: Node, desk: Desk) -> float:
        seconds: float = values.value(key, Duration, node, desk).total_seconds()
        if seconds < least:
            raise desk.error(node.at, f"{key} should be at least {least:g}s")
        if seconds > most:
            raise desk.error(node.at, f"{key} is longer than ten years")
        return seconds

    return read


def _rate(key: str, node: Node, desk: Desk) -> float:
    text = values.text(key, node, desk)
    found = _RATE.fullmatch(text)
    if found is None or not 0 < float(found[1]) < math.inf:
        raise desk.error(node.at, f"{key}: {text!r} is no rate: write 10/s, 600/min or 1000/h")
    return float(found[1]) / _PER[found[2]]


def _moment(key: str, node: Node, desk: Desk) -> float:
    text = values.text(key, node, desk)
    try:
        if not _ZONED.fullmatch(text):
            raise ValueError
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise desk.error(
            node.at, f"{key}: {text!r} is no moment: write 2027-01-01T00:00:00Z, with its zone"
        ) from None


def _limit(key: str, node: Node, desk: Desk) -> float | None:
    said = values.value(key, Duration | Literal[False] | None, node, desk)
    return said.total_seconds() if isinstance(said, Duration) else None


def _spans(key: str, node: Node, desk: Desk) -> tuple[float, ...]:
    found = values.value(key, SPANS, node, desk)
    seconds = tuple(one.total_seconds() for one in found)
    if not all(3600 <= one <= 10 * 365 * 86400.0 for one in seconds):
        raise desk.error(node.at, f"{key}: each should be at least 1h, and no longer than ten years")
    return seconds


def _fold(key: str, node: Node, desk: Desk) -> float | Literal[False]:
    if isinstance(node, Scalar) and node.value is False:
        return False
    return _duration(60.0)(key, node, desk)


_LISTEN = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:\[\]/@]*)):(?P<port>\d{1,5})")


def _listen(key: str, node: Node, desk: Desk) -> tuple[str, int]:
    """Where to listen: a name or an address, and a port (0: any that is free)."""
    text = values.text(key, node, desk)
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise desk.error(node.at, f"{key}: {text!r} is no address: write 127.0.0.1:8787, [::1]:8787 or :8787")
    return found["six"] or found["host"] or "::", int(found["port"])


def _url(key: str, node: Node, desk: Desk) -> str:
    """The address that people reach this by: a scheme and a host, with a port where it needs one."""
    text = values.text(key, node, desk)
    if not re.fullmatch(r"https?://[^\s/?#@]+/?", text):
        example = "https://ftwatch.example.com, without a path"
        raise desk.error(node.at, f"{key}: {text!r} should be a URL like {example}")
    return text.rstrip("/")


def _networks(key: str, node: Node, desk: Desk) -> tuple[str, ...]:
    """Addresses and networks, each once parsed and written anew."""
    found = values.value(key, tuple[str, ...], node, desk)
    try:
        return tuple(str(ip_network(one, strict=False)) for one in found)
    except ValueError as error:
        raise desk.error(node.at, f"{key}: {error}; write 10.0.0.1 or 10.0.0.0/8") from None


def _clock_time(key: str, node: Node, desk: Desk) -> time:
    text = values.text(key, node, desk)
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise desk.error(node.at, f"{key}: {text!r} is no time of the day: write 07:30 or 22:00")
    return time(int(found[1]), int(found[2]))


def _days(key: str, node: Node, desk: Desk) -> frozenset[int]:
    """`mon-fri`, `sat`, or several of these with commas; a range may go over the weekend."""
    text = values.text(key, node, desk).lower()
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise desk.error(node.at, f"{key}: {text!r} names no days: write mon-fri, or sat,sun")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0
        found |= {(begin + ahead) % 7 for ahead in range(length + 1)}
    return frozenset(found)


def _throttle(key: str, node: Node, desk: Desk) -> tuple[int, float]:
    text = values.text(key, node, desk)
    found = _THROTTLE.fullmatch(text)
    if found is None or int(found[1]) < 1:
        raise desk.error(node.at, f"{key}: {text!r} is no limit: write 10/h, 3/min or 20/d")
    return int(found[1]), {"min": 60.0, "h": 3600.0, "d": 86400.0}[found[2]]


def _zone(key: str, node: Node, desk: Desk) -> tzinfo:
    text = values.text(key, node, desk)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = did_you_mean(text, sorted(available_timezones()))
        raise desk.error(
            node.at, f"{key}: there is no zone {text!r}{near or '; write Europe/Berlin'}"
        ) from None


def _keys(key: str, node: Node, desk: Desk) -> tuple[str, ...]:
    """The keys of events, as `match` has them."""
    found: tuple[str, ...] = values.value(key, tuple[str, ...], node, desk)
    if not found:
        raise desk.error(node.at, f"{key} is empty: name what a group has in common, like labels.sweep")
    for name in found:
        try:
            check_key(name)
        except ValueError as error:
            raise desk.error(node.at, str(error)) from None
    return found


def _notified(key: str, node: Node, desk: Desk) -> list[str]:
    """Checked for its form alone: whom it names is read by who knows the notifiers."""
    others = node
    if isinstance(node, List) and any(isinstance(item, Map) for item in node.items):
        others = List(node.at, [item for item in node.items if not isinstance(item, Map)])
        if not others.items:
            return []
    values.value(key, NAMES, others, desk)
    return []


T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def _block(shape: type[T]) -> type[T]:
    """Makes a dataclass of a block. It is read once: nobody compares, hashes or shows one.

    Each method that is made here is compiled at every start, and there would be a hundred more.
    """
    return dataclass(kw_only=True, eq=False, repr=False)(shape)


def _span(default: str, least: float = 0.0) -> Any:
    seconds = Duration.parse(default).total_seconds()
    return field(default=seconds, metadata={"read": _duration(least), "type": Duration, "shown": default})


@_block
class Provider:
    """What every provider has beside the options of its kind."""

    kind: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    poll: float = _span("30s", 1.0)
    discover: float = _span("2m", 1.0)
    rate: float | None = field(
        default=None,
        metadata={
            "read": _rate,
            "schema": {"type": "string", "pattern": rf"^{_RATE.pattern}$", "default": "600/min"},
        },
    )
    baseline: Literal["silent", "summary", "all"] = "summary"
    watch: tuple[Match | None, float | None] | None = field(
        default=None, metadata={"read": read_watch, "schema": MATCH_SCHEMA}
    )
    degraded_after: float = _span("5m", 1.0)
    settle: float = _span("2m")
    job_log: bool | None = None
    was: str | None = None
    webhook_secret: Secret | tuple[Secret, ...] | None = None
    scheme: Literal["standard", "stripe", "github", "header", "bearer"] | None = None
    scheme_header: str | None = None
    tolerance: float = _span("5m", 1.0)


@_block
class Retry:
    """How often a notifier tries again; what is left out stays as its kind has it."""

    waits: Annotated[tuple[Duration, ...], Limits(min_length=1, max_length=100)] | None = None
    slow: Annotated[tuple[Duration, ...], Limits(min_length=1, max_length=100)] | None = None
    jitter: Annotated[float, Limits(ge=0, le=1)] | None = None
    throttle: float | None = field(
        default=None, metadata={"read": _duration(0.0), "type": Duration, "shown": None}
    )
    drain: float | None = field(
        default=None,
        metadata={"read": _rate, "schema": {"type": "string", "pattern": rf"^{_RATE.pattern}$"}},
    )
    span: float | None = field(
        default=None, metadata={"read": _duration(1.0), "type": Duration, "shown": None}
    )
    fold: float | Literal[False] | None = field(
        default=None, metadata={"read": _fold, "type": Duration | Literal[False], "shown": None}
    )


@_block
class QuietHours:
    """`quiet_hours` of a notifier, by the clock on the wall; what `pass` matches is told all the same."""

    begin: time = field(metadata={"key": "from", "read": _clock_time, "schema": CLOCK_SCHEMA})
    end: time = field(metadata={"key": "to", "read": _clock_time, "schema": CLOCK_SCHEMA})
    days: frozenset[int] = field(
        default=frozenset(range(7)),
        metadata={"read": _days, "schema": {"type": "string"}, "shown": "mon-sun"},
    )
    passes: Match | None = field(
        default=None, metadata={"key": "pass", "read": read_match, "schema": MATCH_SCHEMA}
    )


@_block
class Digest:
    """`digest` of a notifier: one message a day; what `pass` matches is told at once."""

    at: time = field(metadata={"read": _clock_time, "schema": CLOCK_SCHEMA})
    days: frozenset[int] = field(
        default=frozenset(range(7)),
        metadata={"read": _days, "schema": {"type": "string"}, "shown": "mon-sun"},
    )
    passes: Match | None = field(
        default=None, metadata={"key": "pass", "read": read_match, "schema": MATCH_SCHEMA}
    )


@_block
class Report:
    """`report` of a notifier: what came of all jobs since the last one."""

    at: time = field(metadata={"read": _clock_time, "schema": CLOCK_SCHEMA})
    days: frozenset[int] = field(
        default=frozenset({0}), metadata={"read": _days, "schema": {"type": "string"}, "shown": "mon"}
    )


@_block
class Template:
    """`template` of a notifier or a route: the words of messages to people."""

    title: str | None = None
    body: str | None = None

    def __post_init__(self) -> None:
        if self.title is None and self.body is None:
            raise ValueError("give title, body or both")


@_block
class Notifier:
    """What every notifier has beside the options of its kind."""

    kind: str | None = None
    retry: Retry | None = None
    closure: bool = True
    quiet_hours: QuietHours | None = None
    digest: Digest | None = None
    report: Report | None = None
    throttle: tuple[int, float] | None = field(
        default=None,
        metadata={"read": _throttle, "schema": {"type": "string", "pattern": rf"^{_THROTTLE.pattern}$"}},
    )
    timezone: tzinfo | None = field(
        default=None, metadata={"read": _zone, "schema": {"type": "string"}, "shown": None}
    )
    template: Template | None = None


@_block
class Group:
    """`group` of a route: what agrees in the values of `by` leaves together, `until` says when."""

    by: Annotated[tuple[str, ...], Limits(min_length=1, max_length=5)] = field(
        metadata={"read": _keys, "schema": {"type": "array", "items": {"type": "string"}}}
    )
    wait: float = _span("30s", 1.0)
    until: Literal["all_terminal"] | None = None


@_block
class Route:
    """One entry of `routes`."""

    match: Match | None = field(default=None, metadata={"read": read_match, "schema": MATCH_SCHEMA})
    except_: Match | None = field(
        default=None, metadata={"key": "except", "read": read_match, "schema": MATCH_SCHEMA}
    )
    min_severity: Literal["detail", "info", "notice", "warning", "error"] | None = None
    notify: list[str] = field(metadata={"read": _notified, "schema": NOTIFY_SCHEMA})
    group: Group | None = None
    max_age: float | None = field(
        default=None, metadata={"read": _duration(60.0), "type": Duration, "shown": None}
    )
    remind: float | None = field(
        default=None, metadata={"read": _duration(60.0), "type": Duration, "shown": None}
    )
    template: Template | None = None
    mention: NAMES | None = field(
        default=None,
        metadata={"schema": {"type": "array", "minItems": 1, "items": {"type": "string"}}},
    )


@_block
class Silence:
    """One entry of `silences`."""

    match: Match = field(metadata={"read": read_match, "schema": MATCH_SCHEMA})
    until: float | None = field(
        default=None,
        metadata={"read": _moment, "schema": {"type": "string", "format": "date-time"}},
    )
    comment: str = ""


@_block
class Stuck:
    """`rules.stuck`: how long a job may wait in a state; false: for ever."""

    severity: Severity = Severity.WARNING
    queued: float | None = field(default=None, metadata={"read": _limit, "type": Duration, "shown": "12h"})
    validating_files: float | None = field(
        default=None, metadata={"read": _limit, "type": Duration, "shown": "2h"}
    )
    cancelling: float | None = field(default=None, metadata={"read": _limit, "type": Duration, "shown": "1h"})
    paused: float | None = field(default=None, metadata={"read": _limit, "type": Duration, "shown": "24h"})


@_block
class Retiring:
    """`rules.retiring`: how long before a model stops answering that is told."""

    severity: Severity = Severity.WARNING
    ahead: tuple[float, ...] = field(
        default=(), metadata={"read": _spans, "type": SPANS, "shown": ["30d", "7d", "1d"]}
    )


@_block
class Flapping:
    """`rules.flapping`: how often a state comes and goes within a time before only that is told."""

    severity: Severity = Severity.WARNING
    times: Annotated[int, Limits(ge=2, le=10)] = 3
    within: float = _span("1h", 60.0)


@_block
class Rules:
    """`rules`, each on with its figures unless it is false."""

    stuck: Stuck | bool = True
    retiring: Retiring | bool = True
    flapping: Flapping | bool = True


@_block
class Store:
    """`store`."""

    path: Path | None = None
    retention: float = _span("90d", 3600.0)


@_block
class Client:
    """`client`. The proxy's URL may hold a password."""

    proxy: str | None = field(default=None, repr=False)
    no_proxy: list[str] = field(default_factory=list)
    ca_file: Path | None = None
    network: Literal["open", "strict"] = "open"


@_block
class Web:
    """`web`: the page, the API, hooks and metrics. `user_header` counts from `trusted_proxies` only."""

    listen: tuple[str, int] = field(
        default=("127.0.0.1", 8787),
        metadata={"read": _listen, "schema": {"type": "string"}, "shown": "127.0.0.1:8787"},
    )
    public_url: str | None = field(
        default=None, metadata={"read": _url, "schema": {"type": "string", "format": "uri"}}
    )
    token: Secret | None = None
    user_header: str | None = None
    trusted_proxies: tuple[str, ...] = field(
        default=(),
        metadata={"read": _networks, "schema": {"type": "array", "items": {"type": "string"}}, "shown": None},
    )
    allowed_hosts: list[str] = field(default_factory=list)
    heartbeat_url: Secret | None = None
    heartbeat: float = _span("1m", 1.0)


@_block
class Plots:
    """`plots`: the pictures in messages, which need the extra of that name."""

    theme: Literal["light", "dark"] = "light"


@_block
class Log:
    """`log`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
