"""yaml: text to nodes with places; values as they look; hints; bounds; one slip does not hide the next."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.config.yaml import (
    MAX_ALIASES,
    MAX_BYTES,
    MAX_DEPTH,
    Document,
    List,
    Map,
    Node,
    Place,
    Scalar,
    parse,
)


def values(node: Node | None) -> Any:
    match node:
        case Map():
            return {key: values(inner) for key, (_, inner) in node.entries.items()}
        case List():
            return [values(inner) for inner in node.items]
        case Scalar():
            return node.value
    return None


def read(text: str) -> Any:
    document = parse(text.encode())
    assert document.problems == []
    return values(document.root)


def told(text: str | bytes) -> list[str]:
    document = parse(text if isinstance(text, bytes) else text.encode())
    return [f"{place.line}:{place.column} {sentence}" for place, sentence in document.problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("1.2.3", "1.2.3"),
        ("2027-01-01", "2027-01-01"),
        ("2027-01-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("9" * 5000, "9" * 5000),
        ('"12"', "12"),
        ("'true'", "true"),
        ('"null"', "null"),
        ('""', ""),
        ("=", "="),
        ("a#b", "a#b"),
        ("a  # b", "a"),
        ("https://x.example/y?z", "https://x.example/y?z"),
        ("!!not", None),
    ],
)
def test_a_scalar_is_what_it_looks_like(written: str, value: Any) -> None:
    document = parse(f"key: {written}".encode())
    if written.startswith("!"):
        assert document.problems
    else:
        assert values(document.root) == {"key": value}
        assert type(values(document.root)["key"]) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert read("key: .nan")["key"] != read("key: .nan")["key"]


def test_block_text_is_text() -> None:
    assert read("key: |\n  12\n") == {"key": "12\n"}
    assert read("key: >-\n  true\n") == {"key": "true"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # An unquoted variable inside braces or brackets.
        ("a: {b: ${URL}}", '1:8 quote a variable inside braces and brackets: "${URL}"'),
        ("a: [${URL}]", '1:5 quote a variable inside braces and brackets: "${URL}"'),
        ("a: {b: x${URL:-y}}", '1:9 quote a variable inside braces and brackets: "${URL:-y}"'),
        # Letters that mean something at the beginning.
        ("a: @name", '1:4 nothing may begin with @; quote it: "@name"'),
        ("a: {b: @name}", '1:8 nothing may begin with @; quote it: "@name"'),
        ("a: `x`", '1:4 nothing may begin with a backtick; quote it: "`x`"'),
        ("a: %x", '1:4 nothing may begin with %; quote it: "%x"'),
        ("a: !x", '1:4 tags such as !x are not used here; as text, quote it: "!x"'),
        ("a: {b: !x}", '1:8 ! begins a tag; as text, quote it: "!x"'),
        ("a: !!str 5", '1:4 tags such as !!str are not used here; as text, quote it: "!!str"'),
        ("a: *x", '1:4 *x asks for an anchor that is not there; as text, quote it: "*x"'),
        ("a: *.example", '1:4 * begins an alias; as text, quote it: "*.example"'),
        ("a: *", '1:4 * begins an alias; as text, quote it: "*"'),
        ("a: [*-mini, b]", '1:5 *-mini asks for an anchor that is not there; as text, quote it: "*-mini"'),
        ("a: & b", '1:4 & begins an anchor; as text, quote it: "&"'),
        # Colons, quotes, brackets.
        ("a: b: c", "1:5 a second colon; quote the value if it belongs to it"),
        ("a: b\nc:d\ne: f", "2:2 a space is missing after the colon of 'c'"),
        ('a: "x\nb: y', "1:4 this quote is never closed"),
        ("a: 'it's'", "1:8 this does not fit what stands above: look at the indentation and at the quotes"),
        (
            'a: "C:\\path"',
            "1:7 in double quotes a backslash begins an escape; use single quotes, or write \\\\",
        ),
        ('a: ["b" c]', "1:9 a comma is missing before this, or the end of the ["),
        ("a: {b: c", "1:4 this { is never closed"),
        ("a: [b, #c]\n", "1:4 this [ is never closed; # starts a comment, quote what begins with it"),
        (
            "a: [b c: d\ne: f",
            "1:4 this [ is never closed",
        ),
        ("a: ]", "1:4 this ] closes nothing"),
        # Indentation.
        ("a:\n\tb: c", "2:1 a tab; indent with spaces"),
        ("\ta: b", "1:1 a tab; indent with spaces"),
        ("a:\n  b: c\n d: e", "3:2 this does not fit what stands above"),
        ("a: b\n  c: d", "2:4 no key may stand here: look at the indentation of this line and the one above"),
        ("- a\nb: c", "2:1 this does not fit what stands above"),
        # Structure.
        ("a: 1\nb: 2\na: 3", "3:1 'a' stands here twice, first on line 1"),
        ("{a: 1, 'a': 2}", "1:8 'a' stands here twice, first on line 1"),
        ("? [a]\n: b", "1:3 a key is a word, not a list or a mapping"),
        ("a: 1\n---\nb: 2", "2:1 a second document begins here; a config is one"),
        ("a:\n  <<: 5", "2:7 << takes a mapping, or a list of mappings"),
        ("a: &x [*x]", "1:8 *x asks for an anchor that is not there"),
        ("%YAML 3.0\n---\na: b", "1:1"),
        # Bytes.
        (b"a: b\nc: \xff", "2:4 this is not UTF-8 text"),
        ("a: b\x00", "1:5 the invisible character U+0000 may not stand here"),
        ("a: \x1b[31m", "1:4 the invisible character U+001B may not stand here"),
        ("a: b\ufeff", "1:5 the invisible character U+FEFF may not stand here"),
    ],
)
def test_what_people_trip_over_has_a_place_and_a_hint(text: str | bytes, expected: str) -> None:
    assert [line[: len(expected)] for line in told(text)] == [expected]


def test_a_comment_in_the_place_of_a_value_is_pointed_at() -> None:
    document = parse(b"a:\n  channel: #ml\n  b: {c: #x }\n  }\nlist:\n  - #one\n")
    root = document.root
    assert isinstance(root, Map)
    inner = root.get("a")
    assert isinstance(inner, Map)
    channel, braces, items = inner.get("channel"), inner.get("b"), root.get("list")
    assert isinstance(channel, Scalar)
    assert isinstance(braces, Map)
    assert isinstance(items, List)
    assert (channel.at, channel.hint) == (Place(2, 12), '; # starts a comment: as text, quote it: "#ml"')
    swallowed = braces.get("c")
    assert isinstance(swallowed, Scalar)
    assert swallowed.at == Place(3, 10)
    assert items.items[0].at == Place(6, 5)


def test_a_remark_after_a_colon_is_only_a_remark() -> None:
    document = parse(b"a: # what follows\n  b: 1\nc:  # nothing\n")
    assert isinstance(document.root, Map)
    blank = document.root.get("c")
    assert isinstance(blank, Scalar)
    assert blank.is_blank
    assert blank.hint == ""
    assert blank.at == Place(3, 1)


def test_one_slip_does_not_hide_the_next() -> None:
    text = "a: {b: ${X}, c: @d}\ne: f: g\nh: !i\nj: *k\nl: 1\nl: 2\n"
    document = parse(text.encode())
    assert [place for place, _ in document.problems] == [
        Place(1, 8),
        Place(1, 17),
        Place(2, 5),
        Place(3, 4),
        Place(4, 4),
        Place(6, 1),
    ]
    root = document.root
    assert isinstance(root, Map)
    assert list(root.entries) == ["a", "e", "h", "j", "l"]
    broken = root.get("e")
    assert isinstance(broken, Scalar)
    assert broken.broken


def test_places_count_letters_whatever_the_line_breaks() -> None:
    document = parse("\ufeffäöü: 'x'\r\n\"日本\": 1\r\n😀: {b: 2}".encode())
    assert document.problems == []
    root = document.root
    assert isinstance(root, Map)
    assert [key.at for key, _ in root.entries.values()] == [Place(1, 1), Place(2, 1), Place(3, 1)]
    assert [node.at for _, node in root.entries.values()] == [Place(1, 6), Place(2, 7), Place(3, 4)]


def test_anchors_and_merges() -> None:
    text = (
        "x-base: &base {a: 1, b: 2}\none: *base\ntwo:\n  <<: *base\n  b: 3\nthree:\n  <<: [*base, {c: 4}]\n"
    )
    assert read(text) == {
        "x-base": {"a": 1, "b": 2},
        "one": {"a": 1, "b": 2},
        "two": {"a": 1, "b": 3},
        "three": {"c": 4, "a": 1, "b": 2},
    }


def test_an_alias_bomb_does_not_go_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 5)}]" for n in range(1, 10)]
    assert told("\n".join(lines)) == ["8:10 the aliases in here unfold into too much"] or told(
        "\n".join(lines)
    )
    document = parse("\n".join(lines).encode())
    assert document.root is None


def test_aliases_are_counted() -> None:
    fine = "a: &a 1\nb: [" + ", ".join(["*a"] * MAX_ALIASES) + "]"
    assert told(fine) == []
    assert told(fine.replace("[", "[*a, ")) == [
        f"2:{3 + 5 + 4 * MAX_ALIASES - 3} more than {MAX_ALIASES} aliases"
    ]


def test_depth_is_bounded() -> None:
    assert told("[" * 20_000) == [f"1:{MAX_DEPTH + 2} nested deeper than {MAX_DEPTH} levels"]
    assert told("[" * MAX_DEPTH + "]" * MAX_DEPTH) == []


def test_size_is_bounded() -> None:
    assert told(b"#" * (MAX_BYTES + 1)) == [f"0:0 the file is larger than {MAX_BYTES // 1024} KiB"]
    assert told(b"#" * MAX_BYTES) == []


def test_nothing_is_nothing() -> None:
    for text in ("", "# only a remark\n", "---\n", "\ufeff"):
        document = parse(text.encode())
        assert document.problems == []
        assert document.root is None or values(document.root) is None


TOKENS = list(" :,-?#!@%&*|>\\`'\"{}[]\t\n\r\x85\u2028aé")
TOKENS += ["\n  ", "- ", ": ", "&x ", "*x", "${X}", "<<: ", "---\n", "...\n", "a: ", "\n  b: ", "!!str "]


def looks_right(document: Document, lines: int) -> None:
    for place, sentence in document.problems:
        assert sentence
        assert "\n" not in sentence
        assert 0 <= place.line <= lines
        assert place.column >= 1 or place == Place(0, 0)
    if document.root is None:
        return
    values(document.root)


@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_any_tokens_become_nodes_or_problems(text: str) -> None:
    looks_right(parse(text.encode()), text.count("\n") + text.count("\r") + 1)


@given(st.binary(max_size=200))
def test_any_bytes_become_nodes_or_problems(raw: bytes) -> None:
    looks_right(parse(raw), 201)
