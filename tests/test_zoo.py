"""The zoo of bad receivers: what one delivery to each comes to, and that none of them leaves a trace.

`bench/zoo.py` does the visit, in a process of its own, so that open files and memory are the visit's alone.
"""

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
ROWS = json.loads((ROOT / "tests" / "data" / "receivers.json").read_text(encoding="utf-8"))["rows"]


@pytest.fixture(scope="module")
def verdict() -> dict[str, Any]:
    """One visit, for all tests."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "zoo.py")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if found["wrong"] else 0)
    return found


def test_the_corpus_is_in_order() -> None:
    told = [row["name"] for row in ROWS]
    assert len(set(told)) == len(told) >= 100
    assert not any(": " in name for name in told)
    assert {row["outcome"] for row in ROWS} == {"sent", "retry", "rejected"}
    assert all(("then" in row) == ("second" in row) for row in ROWS)


def test_the_bomb_is_one() -> None:
    (row,) = (row for row in ROWS if row["name"] == "590 bytes that become 256 MiB")
    packed = base64.b64decode(row["does"][-1]["base64"])
    assert len(packed) < 600
    once = zlib.decompress(packed, 31)
    size, inner = 0, zlib.decompressobj(31)
    while piece := inner.decompress(once, 2**24):
        size, once = size + len(piece), inner.unconsumed_tail
    assert size == 2**28


@pytest.mark.parametrize("name", [row["name"] for row in ROWS])
def test_a_delivery_comes_to_what_it_must(verdict: dict[str, Any], name: str) -> None:
    assert [line for line in verdict["wrong"] if line.startswith(f"{name}: ")] == []


@pytest.mark.parametrize("name", ["tasks", "files", "memory", "the trap"])
def test_nothing_is_left_behind(verdict: dict[str, Any], name: str) -> None:
    assert [line for line in verdict["wrong"] if line.startswith(f"{name}: ")] == []


def test_everybody_was_visited(verdict: dict[str, Any]) -> None:
    assert verdict["receivers"] == len(ROWS)
    assert 0 < verdict["rss_mib"] < 64
