"""SIGTERM under load, on the real daemon: a small `bench/stops.py`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.timeout(240)
def test_whoever_is_asked_to_end_ends_by_itself_and_loses_nothing() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / "stops.py"), "--times", "6", "--worlds", "2"],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    for wrong in ("wrong", "lost", "phantom", "disordered", "two_bodies"):
        assert found[wrong] == [], done.stdout
    assert found["forged"] == 0
    assert found["messages"] > 10
    assert done.returncode == 0, done.stderr
