"""What is taken of a push: the names it may use, the sort of their values, and how much of each is kept.

What has the shape of a secret, or the name of one, is struck before anything is kept.
"""

import json
import sys
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from ftwatch.log import shapeless
from ftwatch.wire import lenient
from ftwatch.wire.trainlog import FIGURES

__all__ = ["NAME", "OF_ATTEMPT", "SENTENCE", "WORD", "Fields", "strange", "text", "whole_number"]

# How long a word, a name, a sentence and a web address may be (characters).
WORD, NAME, SENTENCE, ADDRESS = 100, 500, 2000, 2000
# How large (bytes of JSON) a map or a list may be; most hold less than a tenth of it.
LARGEST = {"metadata": 4096, "labels": 4096, "hyperparameters": 8192, "result_files": 4096}
# So many names that nobody knows are told of.
MOST_STRANGE = 20


class Fields:
    """What a push says of its run.

    `kept` are values under our names, `cleared` the names under which a null stands, `refused` those whose
    values are not kept, or not whole, each with a few words.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.kept: dict[str, Any] = {}
        self.cleared: list[str] = []
        self.refused: dict[str, str] = {}
        for name, reader in READERS.items():
            value = told.get(name)
            if value is None:
                self.cleared += [name] if name in told else []
                continue
            if name in LARGEST and isinstance(value, dict | list):
                value = self._cut(name, value, LARGEST[name])
            found = reader(value)
            if found is not None:
                self.kept[name] = found
            elif value not in ("", 0, {}, []):
                self.refused[name] = f"{name}, of another sort than it should be"

    def _cut(self, name: str, value: dict[str, Any] | list[Any], most: int) -> dict[str, Any] | list[Any]:
        """As many entries of a map or a list as fit: before much work is done for what is not kept."""
        entries: list[Any] = list(value.items()) if isinstance(value, dict) else value
        size = 0
        for kept, entry in enumerate(entries):
            size += _size(entry)
            if size > most:
                left = len(entries) - kept
                self.refused[name] = f"{left:,} entries of {name}, which is larger than {most // 1024} KiB"
                return dict(entries[:kept]) if isinstance(value, dict) else entries[:kept]
        return value


def strange(told: Mapping[str, Any]) -> dict[str, str]:
    """The names in a push that are none of ours, each with a few words."""
    found = (name for name in told if name not in KNOWN and name.lower() not in FIGURES)
    names = (shapeless(lenient.whole_text(name)[:WORD]) for name in islice(found, MOST_STRANGE))
    return {name: f"{name}, a name nobody knows" for name in names}


def _size(value: object) -> int:
    """How long this is as JSON."""
    try:
        return len(json.dumps(value))
    except RecursionError:
        return sys.maxsize


def text(value: object, most: int) -> str | None:
    """A text of bounded length, without what has the shape of a secret."""
    found = lenient.some(value)
    return shapeless(found[:most]) if found is not None else None


def whole_number(value: object) -> int | None:
    """A whole number that can be stored."""
    return lenient.whole(lenient.number(value))


def _name(value: object) -> str | None:
    return text(value, NAME)


def _address(value: object) -> str | None:
    return text(value, ADDRESS)


def _percent(value: object) -> float | None:
    found = lenient.finite(value)
    return found if found is not None and 0 <= found <= 100 else None


def _error(value: object) -> dict[str, str] | None:
    """A sentence, or an object as OpenAI has it. Prose speaks of tokens that are no secrets: shapes go."""
    if not isinstance(value, dict):
        value = {"message": str(value) if isinstance(value, int | float) else value}
    found = {"code": _name(value.get("code")), "param": _name(value.get("param"))}
    found["message"] = text(value.get("message"), SENTENCE)
    return {name: said for name, said in found.items() if said is not None} or None


def _strings(value: object) -> dict[str, str] | None:
    return lenient.strings(lenient.plain(value)) if isinstance(value, dict) else None


def _files(value: object) -> list[str] | None:
    named = value if isinstance(value, list) else [value]
    return [said for said in map(_name, named) if said is not None] or None


# What is kept of a push besides its id, status and figures.
READERS: dict[str, Callable[[object], Any]] = {
    **dict.fromkeys(("name", "owner", "organization_id", "model", "fine_tuned_model"), _name),
    **dict.fromkeys(("method", "phase", "training_file", "validation_file"), _name),
    **dict.fromkeys(("created_at", "started_at", "finished_at", "estimated_finish"), lenient.moment),
    **dict.fromkeys(("step", "total_steps", "trained_tokens"), lenient.count),
    **dict.fromkeys(("metadata", "labels"), _strings),
    "url": _address,
    "seed": whole_number,
    "epoch": lenient.finite,
    "percent": _percent,
    "error": _error,
    "hyperparameters": lenient.settings,
    "result_files": _files,
}
# What else a push may hold; figures stand beside these, or below `metrics`.
KNOWN = {
    *READERS,
    *("id", "status", "at", "time", "timestamp", "message", "level", "metrics", "checkpoint"),
}
# What is said of one attempt, and not of the next one.
OF_ATTEMPT = {
    *("step", "epoch", "percent", "trained_tokens", "started_at", "finished_at", "estimated_finish"),
    *("phase", "error", "fine_tuned_model", "result_files"),
}
