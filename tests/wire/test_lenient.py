"""What the readers of every kind share: how long a listing may be."""

import json

import pytest

from ftwatch.plugins import ProviderError
from ftwatch.wire import lenient
from ftwatch.wire import openai as wire

LONG = 50_000


@pytest.mark.parametrize("start", ["", "NaN,"])
@pytest.mark.parametrize("entry", ["0", "{}"])
def test_a_listing_of_more_entries_than_jobs_can_be_is_none(start: str, entry: str) -> None:
    listing = f"[{start}{','.join([entry] * (LONG + 1))}]"
    for body in (listing, f'{{"data": {listing}, "has_more": true}}'):
        with pytest.raises(ProviderError, match="more than 50,000 entries"):
            lenient.parted(body.encode(), "data")
        with pytest.raises(ProviderError, match="more than 50,000 entries"):
            wire.split(body.encode())


def test_a_long_listing_is_read() -> None:
    entry = json.dumps({"id": "a", "status": "running", "x": [1, 2, 3]})
    body = f'{{"data": [{",".join([entry] * (LONG // 3))}]}}'.encode()
    assert lenient.may_be_long(body)
    assert len(lenient.entries(body, "data")) == len(wire.split(body).entries) == LONG // 3


def test_a_complaint_is_bounded() -> None:
    body = json.dumps({"error": {"message": "x\n" * 1_000_000}}).encode()
    said = lenient.complaint(body)
    assert said.startswith("x x x")
    assert len(said) <= 10_000


def test_only_objects_count() -> None:
    assert list(lenient.documents([b'{"a": 1}', b"7", b"{", b'{"a": 2}'])) == [{"a": 1}, {"a": 2}]
    assert lenient.objects([{"a": 1}, 7, None, []]) == [{"a": 1}]
    assert lenient.objects({"a": 1}) == []
