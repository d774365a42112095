"""Hostile files: each is read, or refused with its place and a sentence; none crashes, hangs or swells."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ftwatch.config import ConfigError, load

CORPUS = json.loads((Path(__file__).parents[1] / "data" / "yaml_hostile.json").read_text(encoding="utf-8"))
MIB = 1024 * 1024


def content(row: dict[str, Any]) -> bytes:
    """The bytes that a row stands for."""
    if "bytes" in row:
        return bytes.fromhex(row["bytes"])
    pieces = row["text"] if isinstance(row["text"], list) else [row["text"]]
    text = CORPUS["good"] if row.get("good") else ""
    for piece in pieces:
        if isinstance(piece, str):
            text += piece
        elif "repeat" in piece:
            text += piece["repeat"] * piece["times"]
        else:
            text += "".join(piece["count"].replace("{}", str(number)) for number in range(piece["times"]))
    return text.encode(row.get("encoding", "utf-8"), "surrogatepass")


def test_the_corpus_is_in_order() -> None:
    names = [row["name"] for row in CORPUS["rows"]]
    assert len(set(names)) == len(names) >= 40
    assert all(("error" in row) is not row.get("loads", False) for row in CORPUS["rows"])


@pytest.mark.timeout(30)
@pytest.mark.parametrize("row", CORPUS["rows"], ids=lambda row: row["name"])
def test_a_hostile_file_is_read_or_refused_with_its_place(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "ftwatch.yaml"
    path.write_bytes(content(row))
    load_first(tmp_path)
    tracemalloc.start()
    try:
        config = load(path, environ={})
    except ConfigError as error:
        refused = error
    else:
        assert row.get("loads"), "it loads"
        assert config.providers["p"].labels == row.get("labels", {})
        return
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 64 * MIB
    told = [problem for problem in refused.problems if problem.severity == "error"]
    places = [(problem.line, problem.column) for problem in told]
    assert not row.get("loads"), str(refused)
    assert tuple(row["at"]) in places, str(refused)[:1000]
    assert row["error"] in told[places.index(tuple(row["at"]))].sentence
    assert row.get("hides", "\0") not in str(refused)
    for problem in told:
        assert problem.sentence.isprintable()
        assert len(problem.sentence) < 500
        assert min(problem.line, problem.column) > 0 or row["at"] == [0, 0]
        assert str(problem).startswith(
            f"{path}:{problem.line}:{problem.column}: " if problem.line else f"{path}: "
        )


def load_first(folder: Path) -> None:
    """What the first load of all imports is not the file's fault."""
    fine = folder / "fine.yaml"
    fine.write_text(CORPUS["good"])
    assert load(fine, environ={}).providers
