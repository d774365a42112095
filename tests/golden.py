"""Golden files: what is sent, for every sort of event, compared byte for byte.

`make golden` writes them anew, for the eye to judge: the difference is what a change means for who reads it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftwatch.core import announce
from ftwatch.core.event import Event
from ftwatch.core.route import Routing
from ftwatch.core.sample import NOW, SAMPLES, sample

__all__ = ["DIGEST", "EVENTS", "FOLDER", "PAGE", "golden", "same"]

FOLDER = Path(__file__).parent / "data" / "golden"
PAGE = "https://ftwatch.example.com"


def _relayed() -> Event:
    said = '{"type":"response.completed","id":"evt_1","data":{"id":"resp_1"}}'
    announced = announce.relayed(
        *("openai-prod", "openai", "evt_1", "response.completed", "resp_1", said, Routing(), NOW),
        created_at=NOW,
    )
    return announced.events[0]


# One event of every sort.
EVENTS: dict[str, Event] = {**{name: sample(name) for name in SAMPLES}, "relayed": _relayed()}
# Several at once, as after an outage.
DIGEST = tuple(EVENTS[name] for name in ("running", "failed", "succeeded", "degraded", "stuck"))


def same(name: str, found: str) -> None:
    """Compares a text with the golden file of this name."""
    file = FOLDER / name
    if os.environ.get("GOLDEN") == "write":
        file.write_bytes(found.encode())
    kept = file.read_bytes().decode() if file.exists() else ""
    assert found == kept, f"{_difference(file.name, kept, found)}\n`make golden` writes it anew"


def _difference(name: str, kept: str, found: str) -> str:
    """Where the first difference is, and what stands there."""
    at = next((at for at, (a, b) in enumerate(zip(kept, found, strict=False)) if a != b), None)
    at = min(len(kept), len(found)) if at is None else at
    line = kept.count("\n", 0, at) + 1
    near = slice(max(0, at - 100), at + 200)
    return f"{name}, line {line}: it was\n{kept[near]!r}\nand is\n{found[near]!r}"


def golden(name: str, found: Mapping[str, Any]) -> None:
    """The same of JSON: a line for each sort of event."""
    rows = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.items()]
    same(f"{name}.json", "{\n" + ",\n".join(rows) + "\n}\n")
