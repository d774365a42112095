"""Is it true of this event, of this job? Matchers, and what they find under a key.

Who gets an event is for the package itself to say, how people write a matcher for `parse`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from ftwatch.core.event import Event, Severity
from ftwatch.core.job import Snapshot

__all__ = [
    "JOB_KEYS",
    "KEYS",
    "Match",
    "Matcher",
    "Op",
    "agrees",
    "covers",
    "literal",
    "make_matcher",
    "matches",
    "of_job",
    "values_of",
    "watches",
]

# What a matcher may ask of a job; `labels.<key>` and `metadata.<key>` come on top.
JOB_KEYS = ("provider", "kind", "id", "name", "owner", "model", "fine_tuned_model", "method", "error.code")
# What a matcher may ask of an event.
KEYS = ("type", "severity", *JOB_KEYS, "changed", "skipped", "status", "previous_status", "job.status")
FREE_KEYS = ("labels.", "metadata.")

REGEX = "re:"
# A key that needs no quotes in Alertmanager's words.
BARE_KEY = re.compile(r'[^\s=!~"{},]+')

Op = Literal["=", "!=", "=~", "!~"]


class Matcher(Struct, frozen=True):
    """A predicate on one key. Of several values (`=` any of, `!=` none of) each is exact, a glob or `re:…`.

    With `=~` and `!~` the values are anchored regular expressions. A glob knows `*` (crosses `/`) and `?`.
    """

    key: str
    op: Op
    value: str | tuple[str, ...]

    @property
    def values(self) -> tuple[str, ...]:
        """The patterns, one or several."""
        return (self.value,) if isinstance(self.value, str) else self.value

    def holds(self, found: Iterable[str]) -> bool:
        """Whether it is true of a key that has these values (none: the empty string)."""
        regex = self.op in ("=~", "!~")
        texts = tuple(found) or ("",)
        hit = any(_pattern(value, regex).fullmatch(text) for value in self.values for text in texts)
        return hit is (self.op in ("=", "=~"))

    @property
    def is_regex(self) -> bool:
        """Whether any of it is a regular expression."""
        return self.op in ("=~", "!~") or any(value.startswith(REGEX) for value in self.values)

    @property
    def literal(self) -> str | None:
        """The one value that it is true of, where there is just one."""
        if not isinstance(self.value, str):
            return None
        if self.op == "=" and not self.value.startswith(REGEX) and not set("*?") & set(self.value):
            return self.value
        if self.op == "=~":
            plain = re.sub(r"\\(.)", r"\1", self.value, flags=re.DOTALL)
            return plain if re.escape(plain) == self.value else None
        return None

    def __str__(self) -> str:
        """The matcher in Alertmanager's words, as `parse_matcher` reads them where it has one value."""
        quoted = " or ".join(_quote(value) for value in self.values)
        return f"{self.key if BARE_KEY.fullmatch(self.key) else _quote(self.key)}{self.op}{quoted}"


def make_matcher(key: str, values: Sequence[str], op: Op = "=") -> Matcher:
    """The matcher for one value or any of several, `re:…` being a regular expression."""
    if len(values) > 1:
        return Matcher(key, op, tuple(values))
    if op == "=" and values[0].startswith(REGEX):
        return Matcher(key, "=~", values[0][len(REGEX) :])
    return Matcher(key, op, values[0])


def literal(key: str, value: str) -> Matcher:
    """The matcher for just this value, whatever letters it has."""
    plain = Matcher(key, "=", value)
    return plain if plain.literal == value else Matcher(key, "=~", re.escape(value))


class Match(Struct, frozen=True):
    """Matchers, all of which must hold, and a smallest severity. Without any, it is true of everything."""

    matchers: tuple[Matcher, ...] = ()
    min_severity: Severity | None = None

    def mentions(self, key: str) -> bool:
        """Whether a matcher asks for this key."""
        return any(matcher.key == key for matcher in self.matchers)

    def named(self, key: str) -> str | None:
        """The one value of this key that it asks for, if it asks for one."""
        found = (matcher.literal for matcher in self.matchers if matcher.key == key)
        return next((value for value in found if value is not None), None)

    def __str__(self) -> str:
        floor = [f'min_severity="{self.min_severity}"'] if self.min_severity else []
        return ", ".join([*map(str, self.matchers), *floor]) or "everything"


def matches(match: Match, event: Event) -> bool:
    """Whether every matcher holds for `event`, and its severity suffices."""
    if match.min_severity is not None and event.severity.rank < match.min_severity.rank:
        return False
    return agrees(match, event)


def agrees(match: Match, event: Event) -> bool:
    """Whether every matcher holds for `event`, whatever its severity."""
    return all(matcher.holds(values_of(event, matcher.key)) for matcher in match.matchers)


def watches(match: Match, snapshot: Snapshot) -> bool:
    """Whether a provider's `watch` lets this job in. Only the keys of a job count."""
    return all(matcher.holds(of_job(snapshot, matcher.key)) for matcher in match.matchers)


def covers(match: Match, snapshot: Snapshot) -> bool:
    """Whether `match` may be true of some event of this job: what it asks of events alone is left open."""
    for matcher in match.matchers:
        if matcher.key == "job.status":
            found: tuple[str, ...] = (snapshot.status,)
        elif matcher.key in JOB_KEYS or matcher.key.startswith(FREE_KEYS):
            found = of_job(snapshot, matcher.key)
        else:
            continue
        if not matcher.holds(found):
            return False
    return True


def values_of(event: Event, key: str) -> tuple[str, ...]:
    """What an event has under a key: nothing, one value, or (for `changed`) several."""
    data = event.data
    match key:
        case "type" | "severity":
            return (getattr(event, key),)
        case "id" | "provider" | "kind" | "name":
            return (getattr(data, key) or "",)
        case "status":
            return (event.status or "",)
        case "previous_status":
            # Like `status`, a word about a transition: what merely happened in a state did not leave it.
            return ((event.status and data.previous_status) or "",)
        case "skipped":
            return ("true" if data.skipped else "false",)
        case "changed":
            return tuple(dict.fromkeys(name for change in event.changes for name in _lineage(change.field)))
        case "job.status":
            return (event.job.status if event.job else "",)
    if key.startswith("labels."):
        return ((data.labels or {}).get(key[len("labels.") :], ""),)
    return of_job(event.job, key) if event.job else ()


def of_job(job: Snapshot, key: str) -> tuple[str, ...]:
    """What a job has under a key of jobs: nothing, or one value."""
    match key:
        case "error.code":
            return ((job.error.code if job.error else None) or "",)
        case "method":
            return (job.method.type if job.method else "",)
        case _ if key in JOB_KEYS:
            return (getattr(job, key) or "",)
    table, _, name = key.partition(".")
    if table in ("labels", "metadata") and name:
        return (getattr(job, table).get(name, ""),)
    return ()


def _lineage(field: str) -> Iterator[str]:
    """`error.message` is a change of `error` too."""
    parts = field.split(".")
    for end in range(len(parts), 0, -1):
        yield ".".join(parts[:end])


@lru_cache(maxsize=4096)
def _pattern(value: str, regex: bool) -> re.Pattern[str]:
    """The anchored pattern of a matcher's value; use with `fullmatch`."""
    if regex:
        return re.compile(value)
    if value.startswith(REGEX):
        return re.compile(value[len(REGEX) :])
    first, *rest = (
        "".join("." if letter == "?" else re.escape(letter) for letter in part) for part in value.split("*")
    )
    if not rest:
        return re.compile(first, re.DOTALL)
    # Where a part was found first is where it stays: however many asterisks, no text takes long.
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
