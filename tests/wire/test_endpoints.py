"""Answers about webhook endpoints: whatever comes is read, or refused with a sentence."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ftwatch.plugins import ProviderError
from ftwatch.wire import endpoints as wire

KEYS = st.sampled_from(
    ["id", "url", "name", "event_types", "created_at", "signing_secret", "data", "has_more", "last_id"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


@pytest.mark.parametrize("read", [wire.page, wire.made, wire.types, wire.status])
@given(value=st.dictionaries(KEYS, ANYTHING, max_size=9) | ANYTHING)
@example(value={"data": [{"id": "x", "event_types": {"a": 1}}], "has_more": True})
@example(value={"id": "x", "signing_secret": {"a": "b"}, "created_at": float("nan")})
@example(value={"status_code": 10**400})
def test_nothing_but_a_sentence_is_raised(read: Callable[[bytes], Any], value: Any) -> None:
    with suppress(ProviderError):
        read(json.dumps(value).encode())


def test_a_page_says_where_the_next_one_starts() -> None:
    def following(**more: Any) -> str | None:
        return wire.page(json.dumps({"data": [{"id": "a"}, {"id": "b"}], **more}).encode())[1]

    assert following() is None
    assert following(has_more=False, last_id="b") is None
    assert following(has_more=True, last_id="c") == "c"
    assert following(has_more=True) == "b"
    assert wire.page(b'{"data": [], "has_more": true}') == ([], None)
