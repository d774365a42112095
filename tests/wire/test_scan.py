"""The scanner against the standard library: where that reads a text, both see the same parts."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.wire import scan

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)


def same(value: Any) -> str:
    """A value as text, because NaN equals nothing."""
    return json.dumps(value)


@given(st.lists(values), st.sampled_from([None, 2]), st.booleans())
def test_the_elements_of_an_array(array: list[Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "replace")
    assert same([json.loads(part) for part in scan.elements(text)]) == same(json.loads(text))


@given(st.dictionaries(st.text(max_size=5), values), st.sampled_from([None, 2]))
def test_the_members_of_an_object(found: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(found, indent=indent).encode()
    parts = {json.loads(key): json.loads(value) for key, value in scan.members(text).items()}
    assert same(parts) == same(json.loads(text))


@given(st.lists(values, min_size=1), st.data())
def test_a_text_that_breaks_off_is_none(array: list[Any], data: st.DataObject) -> None:
    text = json.dumps(array).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(scan.Broken):
        scan.elements(text[:cut])


@given(st.binary() | st.text(alphabet='[]{},:"\\ 1a').map(str.encode))
def test_any_bytes_are_parts_or_an_error(text: bytes) -> None:
    for read in (scan.elements, scan.members):
        try:
            read(text)
        except scan.Broken:
            continue


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b" ", b"{}", b"[", b"]", b"[]]", b"[] x", b"[1,]", b"[,1]", b"[1,,2]", b"[,]", b"[{]}]"),
        *(b'["]', b"[1:2]", b"[(]x", b'[1]"'),
    ],
)
def test_what_is_no_array(text: bytes) -> None:
    with pytest.raises(scan.Broken):
        scan.elements(text)


@pytest.mark.parametrize(
    "text", [b"[]", b"{1}", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":1:2}', b'{"a" "b"}']
)
def test_what_is_no_object(text: bytes) -> None:
    with pytest.raises(scan.Broken):
        scan.members(text)


def test_a_long_string_takes_little_more_memory_than_it_is() -> None:
    array = b'[NaN,"' + b"a" * 500_000 + b'\\""]'
    tracemalloc.start()
    try:
        assert len(scan.elements(array)) == 2
        assert tracemalloc.get_traced_memory()[1] < 5 * len(array)
    finally:
        tracemalloc.stop()


def test_depth_is_no_matter() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert scan.elements(b"[1, " + deep + b", 2]") == [b"1", deep, b"2"]
