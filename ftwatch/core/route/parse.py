"""What did they write? Matchers in the YAML's words and in Alertmanager's, checked for what never matches."""

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from ftwatch.core import event as events
from ftwatch.core.event import Severity
from ftwatch.core.job import Status
from ftwatch.core.route.match import BARE_KEY, FREE_KEYS, KEYS, REGEX, Match, Matcher, Op, make_matcher

__all__ = ["check_key", "check_value", "did_you_mean", "parse_match", "parse_matcher"]

# The keys whose exact values are a closed set, so that a slip of the pen is found before it costs an event.
CLOSED: dict[str, tuple[str, ...]] = {
    "severity": tuple(Severity),
    "status": tuple(Status),
    "previous_status": tuple(Status),
    "job.status": tuple(Status),
    "skipped": ("true", "false"),
}
JOB_TYPES = (
    *(events.CREATED, events.UPDATED, events.GONE, events.RETURNED),
    *(events.JOB + status for status in Status),
)

_QUOTED = r'"(?:\\.|[^"\\])*"'
_WORDS = re.compile(
    rf'\s*(?P<key>{_QUOTED}|{BARE_KEY.pattern})\s*(?P<op>=~|!~|!=|=)\s*(?P<value>{_QUOTED}|[^",{{}}]*)\s*',
    re.DOTALL,
)


def parse_match(given: Mapping[Any, Any] | str | Sequence[str]) -> Match:
    """The match in the YAML's words (a mapping, nested or dotted) or in Alertmanager's (strings).

    Raises ValueError with a sentence that names what is wrong.
    """
    if isinstance(given, Mapping):
        leaves = list(_flatten(given))
    else:
        texts = [given] if isinstance(given, str) else list(given)
        matchers = [found for text in texts for found in _read(text)]
        floors = [matcher for matcher in matchers if matcher.key == "min_severity"]
        leaves = [("min_severity", matcher.value) for matcher in floors]
        return _gather(leaves, [matcher for matcher in matchers if matcher.key != "min_severity"])
    return _gather(leaves, [])


def parse_matcher(text: str) -> Matcher:
    """One matcher in Alertmanager's words: `labels.team="search"`, `model=~"gpt.*"`, `!=`, `!~`.

    Raises ValueError with a sentence that names what is wrong.
    """
    found = _read(text)
    if len(found) != 1:
        raise ValueError(f"{text!r} is not one matcher")
    if found[0].key == "min_severity":
        raise ValueError('"min_severity" is a threshold, not a matcher')
    return found[0]


def check_key(key: str, keys: Sequence[str] = KEYS) -> None:
    """Raises ValueError where no matcher may ask for `key`. `keys` narrows the choice (`JOB_KEYS`)."""
    if key in keys or any(key.startswith(free) and len(key) > len(free) for free in FREE_KEYS):
        return
    if key in KEYS:
        raise ValueError(f"{key!r} is a key of events, and this asks for jobs: {', '.join(keys)} …")
    if key in ("labels", "metadata"):
        raise ValueError(f"{key!r} needs the name of one of its keys: {key}.team")
    known = [*keys, "labels.", "metadata.", "min_severity"]
    hint = did_you_mean(key, known) or f"; the keys are {', '.join(keys)}, labels.<key>, metadata.<key>"
    raise ValueError(f"nothing has a key {key!r}{hint}")


def check_value(key: str, value: str, *, regex: bool = False) -> None:
    """Raises ValueError where `value` can never match `key`, or is no regular expression."""
    if regex or value.startswith(REGEX):
        _compiled(value if regex else value[len(REGEX) :])
        return
    if "*" in value or "?" in value or not value:
        return
    if key in CLOSED and value not in CLOSED[key]:
        choice = ", ".join(CLOSED[key])
        raise ValueError(
            f"{key} is never {value!r}{did_you_mean(value, CLOSED[key]) or f': it is one of {choice}'}"
        )
    if key == "type" and value.startswith(events.JOB) and value not in JOB_TYPES:
        raise ValueError(f"no event has the type {value!r}{did_you_mean(value, JOB_TYPES)}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "name"?` for the nearest known word, or nothing where none is near."""
    folded = {name.casefold(): str(name) for name in known}
    near = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def _gather(leaves: Iterable[tuple[str, Any]], matchers: list[Matcher]) -> Match:
    floor: Severity | None = None
    for key, value in leaves:
        if key == "min_severity":
            floor = _severity(value)
        else:
            matchers.append(_matcher(key, value))
    return Match(tuple(matchers), floor)


def _severity(value: Any) -> Severity:
    try:
        return Severity(value)
    except ValueError:
        choice = ", ".join(Severity)
        raise ValueError(f"{value!r} is no severity: it is one of {choice}") from None


def _flatten(given: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in given.items():
        name = f"{prefix}{_text(key)}"
        if isinstance(value, Mapping):
            yield from _flatten(value, name + ".")
        else:
            yield name, value


def _matcher(key: str, value: Any, op: Op = "=") -> Matcher:
    check_key(key)
    values = tuple(_text(one) for one in value) if isinstance(value, (list, tuple)) else (_text(value),)
    if not values:
        raise ValueError(f"{key!r} has an empty list: nothing would match")
    for one in values:
        check_value(key, one, regex=op in ("=~", "!~"))
    return make_matcher(key, values, op)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case None:
            raise ValueError("a value is missing: write '' for an empty one")
    raise ValueError(f"a matcher compares text, not a {type(value).__name__}")


def _read(text: str) -> list[Matcher]:
    """The matchers in one string, several of them between commas, in braces or not."""
    rest = text.strip()
    if rest.startswith("{") and rest.endswith("}"):
        rest = rest[1:-1].strip().removesuffix(",")
    found = []
    while True:
        words = _WORDS.match(rest)
        if words is None:
            raise ValueError(f'{text!r} is no matcher: write key="value", key!="value", key=~"regex"')
        key, value, op = _unquote(words["key"]), words["value"], words["op"]
        if value.startswith(("=", "~", "!")):
            raise ValueError(f"{text!r}: the comparisons are {' '.join(get_args(Op))}")
        value = _unquote(value)
        found.append(
            Matcher(key, "=", value) if key == "min_severity" and op == "=" else _worded(key, value, op)
        )
        rest = rest[words.end() :]
        if not rest:
            return found
        if not rest.startswith(","):
            raise ValueError(f"{text!r}: a comma is missing before {rest[:20]!r}")
        rest = rest[1:]


def _worded(key: str, value: str, op: str) -> Matcher:
    if key == "min_severity":
        if op != "=":
            raise ValueError('write min_severity="warning", with =')
        return Matcher(key, "=", value)
    return _matcher(key, value, next(known for known in get_args(Op) if known == op))


def _unquote(text: str) -> str:
    if not (text.startswith('"') and text.endswith('"') and len(text) > 1):
        return text.strip()
    # As in Alertmanager, a backslash escapes itself, the quote and n; before anything else it stays (\d).
    names = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
    return re.sub(r"\\.", lambda found: names.get(found[0], found[0]), text[1:-1], flags=re.DOTALL)


def _compiled(expression: str) -> None:
    try:
        with warnings.catch_warnings(action="error"):
            re.compile(expression)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"{expression!r} is no regular expression: {error}") from None
