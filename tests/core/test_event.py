"""Events as they are kept: what can be told of one without reading it whole."""

import pytest
from msgspec.structs import replace

from ftwatch.core.event import decode, encode, outline, wire
from ftwatch.core.sample import SAMPLES, sample


@pytest.mark.parametrize("name", SAMPLES)
def test_the_outline_of_an_event_is_what_reading_it_tells(name: str) -> None:
    event = sample(name)
    kept = encode(event)
    assert outline(kept) == (event.type, kept)
    assert decode(kept) == event


@pytest.mark.parametrize("received", ['{"type":"batch.completed"}', "ftwatch-body:1 no json, ünd é\x00"])
def test_what_is_relayed_is_sent_as_it_came(received: str) -> None:
    event = sample("succeeded")
    event = replace(event, type="batch.completed", data=replace(event.data, received=received))
    assert outline(encode(event)) == ("batch.completed", received.encode())
    assert wire(event, encode(event)) == wire(event) == received.encode()


def test_what_was_committed_outlives_the_encoder() -> None:
    event = sample("failed")
    older = encode(event).replace(b'","', b'", "')
    assert decode(older) == event
    assert wire(event, older) == older
    assert outline(older)[1] == older
