"""Where do the parts of a JSON text begin and end? For texts that a strict parser refuses as a whole.

One entry with a lone surrogate, a NaN or ten thousand brackets must not hide its neighbours, so this finds
the members of a container by its brackets alone. What stands in a part is not judged here.
"""

import re
import sys
from collections.abc import Iterator

__all__ = ["Broken", "TooMany", "elements", "members"]

_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL)
# What may be passed over at once inside of a part, where only the brackets matter.
_INNER = re.compile(rb'(?:[^\[\]{}"]++|"(?:[^"\\]++|\\.)*+")++', re.DOTALL)
_BLANK = re.compile(rb"[ \t\r\n]*")
_CLOSER = {b"[": b"]", b"{": b"}"}


class Broken(ValueError):
    """The text is not the whole of such a container."""


class TooMany(ValueError):
    """The container has more parts than are taken."""


def elements(text: bytes, most: int = sys.maxsize) -> list[bytes]:
    """The elements of an array, each as it stands. Raises Broken where `text` is no whole array, TooMany."""
    return [value for _, value in _bounded(text, b"[", most)]


def members(text: bytes, most: int = sys.maxsize) -> dict[bytes, bytes]:
    """The members of an object by key (with its quotes). Raises Broken where it is no whole one, TooMany."""
    found = {}
    for key, value in _bounded(text, b"{", most):
        if key is None:
            raise Broken("a member without a key")
        found[key] = value
    return found


def _bounded(text: bytes, opener: bytes, most: int) -> Iterator[tuple[bytes | None, bytes]]:
    """As `_parts`, which are `most` in all. Raises TooMany."""
    for number, part in enumerate(_parts(text, opener)):
        if number >= most:
            raise TooMany(f"more than {most:,} parts")
        yield part


def _parts(text: bytes, opener: bytes) -> Iterator[tuple[bytes | None, bytes]]:
    """Each member of the container that `text` is: its key, if it has one, and its value."""
    closers: list[bytes] = []
    key: bytes | None = None
    start = end = at = 0
    parts = 0
    done = False
    while True:
        inner = _INNER.match(text, at) if len(closers) > 1 else None
        at = _skip(text, inner.end() if inner else at)
        if at == len(text):
            break
        token = _TOKEN.match(text, at)
        if token is None or done:
            raise Broken("no JSON")
        word = token.group()
        if not closers:
            if word != opener:
                raise Broken("another container")
            closers.append(_CLOSER[opener])
            start = end = at = token.end()
            continue
        at = token.end()
        outermost = len(closers) == 1
        if outermost and word in (b",", closers[0]):
            done = word == closers[0]
            if end > start:
                parts += 1
                yield key, text[_skip(text, start) : end]
            elif parts or not done or key is not None:
                raise Broken("a member is missing")
            key, start, end = None, at, at
            continue
        if outermost and word == b":":
            if key is not None or opener == b"[":
                raise Broken("a colon too many")
            key, start, end = text[_skip(text, start) : end], at, at
            continue
        if word in _CLOSER:
            closers.append(_CLOSER[word])
        elif word in (b"]", b"}") and closers.pop() != word:
            raise Broken("brackets do not match")
        end = at
    if not done:
        raise Broken("the text breaks off")


def _skip(text: bytes, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at
