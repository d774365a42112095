"""Every promise has a bug that breaks it, and a harness that sees it: else it would prove nothing."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"
# The smallest run of each harness that is still sure to meet what a bug breaks.
ARGUMENTS = {
    "simulate": ["simulate.py", "--days", "14", "--seed", "8"],
    "logs": ["simulate.py", "--days", "40", "--seed", "1"],
    "powercut": ["powercut.py", "--cuts", "15", "--seed", "1"],
    "full": ["full.py", "--cycles", "1", "--seed", "1"],
}


def bugs() -> dict[str, Any]:
    spec = spec_from_file_location("bugs", BENCH / "bugs.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["bugs"] = module
    spec.loader.exec_module(module)
    found: dict[str, Any] = module.BUGS
    return found


BUGS = bugs()


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    bug = BUGS[name]
    if bug.harness == "full" and os.geteuid() != 0:
        pytest.skip("a file system of its own needs root")
    if bug.harness == "powercut" and find_spec("apsw") is None:
        pytest.skip("the package apsw is not installed")
    script, *arguments = ARGUMENTS[bug.harness]
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *arguments, "--bug", name],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    assert any(verdict[key] for key in bug.seen_as), verdict


def test_every_harness_has_a_bug_to_find() -> None:
    assert {bug.harness for bug in BUGS.values()} == set(ARGUMENTS)
    assert {key for bug in BUGS.values() for key in bug.seen_as} >= {
        *("lost", "phantom", "disordered", "two_bodies", "late", "unkept", "problems")
    }
