"""Routes, silences and watches: from nodes to matchers, each mistake at the word that is wrong."""

import re
from collections.abc import Callable, Iterator

from ftwatch.config import values
from ftwatch.config.report import Broken, Desk
from ftwatch.config.yaml import List, Map, Node, Scalar
from ftwatch.core.event import Severity
from ftwatch.core.route import (
    JOB_KEYS,
    KEYS,
    Match,
    Matcher,
    check_key,
    check_value,
    did_you_mean,
    parse_match,
)
from ftwatch.core.route.match import make_matcher
from ftwatch.plugins import Duration

__all__ = ["read_match", "read_watch"]


def read_match(key: str, node: Node, desk: Desk) -> Match:
    """A match in the YAML's words (a mapping) or in Alertmanager's (a string, or a list of them)."""
    return _read(key, node, desk, KEYS)


def read_watch(key: str, node: Node, desk: Desk) -> tuple[Match | None, float | None]:
    """A provider's `watch`: a match on the job's own keys, and `since` in seconds."""
    since = None
    if isinstance(node, Map) and (written := node.get("since")) is not None:
        since = values.value("since", Duration, written, desk).total_seconds()
        node = Map(node.at, {name: entry for name, entry in node.entries.items() if name != "since"})
        if not node.entries:
            return None, since
    return _read(key, node, desk, JOB_KEYS), since


def _read(key: str, node: Node, desk: Desk, keys: tuple[str, ...]) -> Match:
    fine = True
    matchers: list[Matcher] = []
    floor: Severity | None = None
    for read, *about in _parts(key, node):
        try:
            part = read(*about, desk, keys)
        except Broken:
            fine = False
            continue
        matchers += part.matchers
        floor = part.min_severity or floor
    if not fine:
        raise Broken
    if not matchers and floor is None:
        raise desk.error(node.at, f"{key} is empty: say what should match")
    return Match(tuple(matchers), floor)


def _parts(key: str, node: Node) -> Iterator[tuple[Callable[..., Match], str, Node, Node]]:
    """All that can be right or wrong on its own: its reader, its name, where that stands, its value."""
    if isinstance(node, Map):
        for name, written, inner in _flatten(node, ""):
            yield _one, name, written, inner
    else:
        for item in node.items if isinstance(node, List) else [node]:
            yield _words, key, item, item


def _flatten(node: Map, prefix: str) -> Iterator[tuple[str, Scalar, Node]]:
    for name, (written, inner) in node.entries.items():
        if isinstance(inner, Map) and inner.entries:
            yield from _flatten(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, written, inner


def _one(name: str, written: Node, node: Node, desk: Desk, keys: tuple[str, ...]) -> Match:
    """One key of a mapping, with one value or any of several."""
    if name == "min_severity" and keys is KEYS:
        severity = values.value(name, Severity, node, desk)
        return Match((), severity)
    try:
        check_key(name, keys)
    except ValueError as error:
        raise desk.error(written.at, str(error)) from None
    items: list[Node] = node.items if isinstance(node, List) else [node]
    if not items:
        raise desk.error(node.at, f"{name} has an empty list: nothing would match")
    texts = []
    fine = True
    for item in items:
        try:
            texts.append(_value(name, item, desk))
        except Broken:
            fine = False
    if not fine:
        raise Broken
    return Match((make_matcher(name, texts),))


def _value(name: str, node: Node, desk: Desk) -> str:
    text = values.text(name, node, desk)
    try:
        check_value(name, text)
    except ValueError as error:
        raise desk.error(node.at, str(error)) from None
    _known_provider(name, text, node, desk)
    return text


def _words(key: str, _: Node, node: Node, desk: Desk, keys: tuple[str, ...]) -> Match:
    text = values.text(key, node, desk)
    try:
        match = parse_match(text)
        for matcher in match.matchers:
            check_key(matcher.key, keys)
        if match.min_severity is not None and keys is not KEYS:
            check_key("min_severity", keys)
    except ValueError as error:
        raise desk.error(node.at, str(error)) from None
    for matcher in match.matchers:
        if matcher.op in ("=", "!="):
            _known_provider(matcher.key, matcher.values[0], node, desk)
    return match


def _known_provider(key: str, text: str, node: Node, desk: Desk) -> None:
    """A provider that the file does not define is a slip of the pen: nothing would ever match."""
    if key == "provider" and text and text not in desk.providers and not re.search(r"[*?]|^re:", text):
        hint = did_you_mean(text, desk.providers)
        if text in desk.groups:
            hint = f", only {' and '.join(desk.groups[text])}; write {text}-*"
        raise desk.error(node.at, f"there is no provider {text!r}{hint}")
