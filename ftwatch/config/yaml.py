"""Text to nodes that know their place. YAML 1.2 scalars, no tags, no duplicate keys, everything bounded.

PyYAML only finds the tokens: values are read here, because `on`, `010` and `12:30` are what they look like.
What people trip over is reported with a hint, repaired in place (by as many letters as it replaces, so that
columns stay true) and read on, so that one slip does not hide the next.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import yaml

from ftwatch.config.slips import UNQUOTED_TEMPLATE, Slip, diagnose, shown, shown_key

__all__ = ["Document", "List", "Map", "Node", "Place", "Scalar", "parse"]

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_ALIASES = 50
MAX_NODES = 100_000
MAX_REPAIRS = 50

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Said as it is: `[^…]` of all the others would take longer to compile than the rest of the patterns here.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")

# A comment right where a value should be; one that begins with a space is meant as one.
_COMMENT = re.compile(r"[ \t]*:?[ \t]*(#[^\s#][^\n]*)")
_NULL = re.compile(r"~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,20}")
_OCTAL = re.compile(r"0o[0-7]{1,20}")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]{1,99}|[0-9]{1,99}(?:\.[0-9]{0,99})?)(?:[eE][-+]?[0-9]{1,9})?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class Place(NamedTuple):
    """Where something stands; both count from 1, 0 is nowhere."""

    line: int
    column: int


@dataclass(frozen=True, eq=False)
class Scalar:
    """A leaf. `broken`: a mistake in it was reported, so nothing it seems to say counts."""

    at: Place
    text: str
    plain: bool = True
    broken: bool = False
    hint: str = ""
    size: int = 1

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all was written."""
        return self.plain and self.text == ""

    @property
    def value(self) -> str | int | float | bool | None:
        """What it says by the rules of YAML 1.2."""
        text = self.text
        if not self.plain:
            return text
        if text == "" or _NULL.fullmatch(text):
            return None
        if _BOOL.fullmatch(text):
            return text.lower() == "true"
        if _INT.fullmatch(text):
            return int(text)
        if _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text


@dataclass(frozen=True, eq=False)
class List:
    """A sequence."""

    at: Place
    items: list["Node"] = field(default_factory=list)
    size: int = 1


@dataclass(frozen=True, eq=False)
class Map:
    """A mapping; every key with the node it was written as."""

    at: Place
    entries: dict[str, tuple[Scalar, "Node"]] = field(default_factory=dict)
    size: int = 1

    def get(self, key: str) -> "Node | None":
        """The value under a key."""
        entry = self.entries.get(key)
        return entry[1] if entry else None

    def place(self, key: str) -> Place:
        """Where a key is written, else where the mapping begins."""
        entry = self.entries.get(key)
        return entry[0].at if entry else self.at


Node = Scalar | List | Map


@dataclass(frozen=True)
class Document:
    """What was read: `root` None where nothing could be, and the mistakes on the way."""

    root: Node | None
    problems: list[tuple[Place, str]]


class _Stop(Exception):
    """Reading on would tell nothing more."""


def parse(raw: bytes) -> Document:
    """The nodes of one YAML document in UTF-8. Never raises: what is wrong stands in `problems`."""
    if len(raw) > MAX_BYTES:
        return Document(None, [(Place(0, 0), f"the file is larger than {MAX_BYTES // 1024} KiB")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        return Document(None, [(_Lines(before).place(len(before)), "this is not UTF-8 text")])
    lines = _Lines(text)
    if odd := _UNPRINTABLE.search(text):
        sentence = f"the invisible character U+{ord(odd[0]):04X} may not stand here"
        return Document(None, [(lines.place(odd.start()), sentence)])
    slips: dict[int, Slip] = {}
    while True:
        composer = _Composer(text, lines, slips)
        try:
            root = composer.compose()
        except _Stop:
            root = None
        except yaml.MarkedYAMLError as error:
            slip = diagnose(text, error)
            if slip.repaired is not None and slip.at not in slips and len(slips) < MAX_REPAIRS:
                slips[slip.at] = slip
                text = slip.repaired
                continue
            # A repair that leads to the next failure on its own line has made things no clearer.
            root, composer.problems = None, []
            if not any(lines.place(at).line == lines.place(slip.at).line for at in slips):
                slips[slip.at] = slip
        except yaml.YAMLError:
            root, composer.problems = None, [(Place(1, 1), "this is no YAML")]
        told = [(lines.place(at), slip.sentence) for at, slip in slips.items()]
        return Document(root, sorted([*told, *composer.problems]))


class _Lines:
    """Offsets to places, by the line breaks that editors count."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer(r"\r\n|\n|\r", text))]

    def place(self, offset: int) -> Place:
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)


class _Composer:
    """Events to nodes, without recursion in the parser and within bounds."""

    def __init__(self, text: str, lines: _Lines, slips: dict[int, Slip]) -> None:
        self.problems: list[tuple[Place, str]] = []
        self._text = text
        self._lines = lines
        self._broken = sorted(slip.at for slip in slips.values())
        self._anchors: dict[str, Node] = {}
        self._nodes = self._aliases = 0
        self._events: Iterator[Any] = iter(())

    def compose(self) -> Node | None:
        """The document's root, None where the file says nothing."""
        loader = _LOADER(self._text)
        try:
            self._events = iter(loader.get_event, None)
            root = None
            for event in self._events:
                if isinstance(event, yaml.DocumentStartEvent):
                    if root is not None:
                        self._stop(event, "a second document begins here; a config is one")
                elif isinstance(event, yaml.NodeEvent):
                    root = self._node(event, 0)
            return root
        finally:
            loader.dispose()

    def _node(self, event: Any, depth: int) -> Node:
        at = self._place(event)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values: this is no config")
        if depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, at)
        broken = self._is_tagged(event, at)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, at, broken)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(at, depth)
        else:
            node = self._map(at, depth)
        if node.size > MAX_NODES:
            self._stop(event, "the aliases in here unfold into too much")
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return Scalar(at, "", broken=True) if broken else node

    def _scalar(self, event: Any, at: Place, broken: bool) -> Scalar:
        start, end = event.start_mark.index, event.end_mark.index
        inside = bisect_right(self._broken, end) - bisect_right(self._broken, start - 1)
        plain = not event.style
        node = Scalar(at, event.value, plain, broken or bool(inside))
        if plain and event.anchor and event.value == "":
            return replace(
                node, hint=f'; & starts an anchor: as text, quote it: "{shown("&" + event.anchor)}"'
            )
        return node

    def _blank(self, node: Node, after: int, at: Place) -> Node:
        """A value that is not there gets the place of the comment that swallowed it, else `at`."""
        if not (isinstance(node, Scalar) and node.is_blank) or node.hint or node.broken:
            return node
        comment = _COMMENT.match(self._text, after)
        if comment is None:
            return replace(node, at=at)
        place, said = self._lines.place(comment.start(1)), comment[1].rstrip(" ]},")
        return replace(node, at=place, hint=f'; # starts a comment: as text, quote it: "{shown(said)}"')

    def _list(self, at: Place, depth: int) -> List:
        items, size = [], 1
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            item = self._node(event, depth + 1)
            items.append(self._blank(item, event.start_mark.index, self._place(event)))
            size += items[-1].size
        return List(at, items, size)

    def _map(self, at: Place, depth: int) -> Map:
        entries: dict[str, tuple[Scalar, Node]] = {}
        merged: list[Node] = []
        size = 1
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            begin = event.start_mark.index
            key = self._node(event, depth + 1)
            value = self._blank(self._node(next(self._events), depth + 1), event.end_mark.index, key.at)
            size += value.size + 1
            if isinstance(key, Map) and self._text[begin - 1 : begin + 1] == "{{":
                place = self._lines.place(begin - 1)
                self.problems.append((place, UNQUOTED_TEMPLATE))
            elif not isinstance(key, Scalar):
                self.problems.append((key.at, "a key is a word, not a list or a mapping"))
            elif key.broken:
                pass
            elif key.plain and key.text == "<<":
                merged += value.items if isinstance(value, List) else [value]
            elif key.text in entries:
                name, first = shown_key(key.text), entries[key.text][0].at
                self.problems.append((key.at, f"{name!r} stands here twice, first on line {first.line}"))
            else:
                entries[key.text] = (key, value)
        for base in merged:
            if isinstance(base, Map):
                entries = {**base.entries, **entries}
            elif not (isinstance(base, Scalar) and base.broken):
                self.problems.append((base.at, "<< takes a mapping, or a list of mappings"))
        return Map(at, entries, size)

    def _alias(self, event: Any, at: Place) -> Node:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            self._stop(event, f"more than {MAX_ALIASES} aliases")
        node = self._anchors.get(event.anchor)
        if node is None:
            name = shown("*" + event.anchor)
            self.problems.append(
                (at, f'{name} asks for an anchor that is not there; as text, quote it: "{name}"')
            )
            return Scalar(at, "", broken=True)
        return node

    def _is_tagged(self, event: Any, at: Place) -> bool:
        if event.tag is None or event.tag == "!":
            return False
        tag = shown(event.tag.replace("tag:yaml.org,2002:", "!!"))
        self.problems.append((at, f'tags such as {tag} are not used here; as text, quote it: "{tag}"'))
        return True

    def _place(self, event: Any) -> Place:
        return self._lines.place(event.start_mark.index)

    def _stop(self, event: Any, sentence: str) -> None:
        self.problems.append((self._place(event), sentence))
        raise _Stop
