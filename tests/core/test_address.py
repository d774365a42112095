"""The network guard's verdicts, row by row."""

import json
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.address import forbidden

ROWS = json.loads((Path(__file__).parents[1] / "data" / "addresses.json").read_text())["rows"]
# How the reason begins, or what it holds, by the corpus's word for it.
REASONS = {
    "metadata": "metadata service",
    "link-local": "link-local",
    "multicast": "multicast",
    "private": "private network",
    "reserved": "reserved",
    "no address": "no address at all",
}


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in ROWS])
def test_every_address_has_its_verdict(row: dict[str, Any]) -> None:
    for mode in ("open", "strict"):
        reason = forbidden(row["address"], strict=mode == "strict")
        if row[mode] == "allow":
            assert reason is None
        else:
            assert reason is not None
            assert REASONS[row[mode]] in reason


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_helps_it(address: IPv4Address) -> None:
    bits = int(address)
    wrapped = [
        f"::ffff:{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{bits >> 16:x}:{bits & 0xFFFF:x}",
        f"2002:{bits >> 16:x}:{bits & 0xFFFF:x}::1",
    ]
    for strict in (False, True):
        if forbidden(str(address), strict=strict):
            assert all(forbidden(one, strict=strict) for one in wrapped)


@given(st.ip_addresses())
def test_what_is_refused_when_open_is_refused_when_strict(address: object) -> None:
    if forbidden(str(address)):
        assert forbidden(str(address), strict=True)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    assert forbidden(text) is None or isinstance(forbidden(text), str)
