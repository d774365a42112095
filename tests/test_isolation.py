"""Bad receivers among good ones, on the real daemon: a small `bench/isolation.py`, without its figures."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"


@pytest.mark.timeout(120)
def test_good_receivers_get_everything_while_others_are_bad() -> None:
    done = subprocess.run(
        [
            *(sys.executable, str(BENCH / "isolation.py"), "--pairs", "1", "--endpoints", "20", "--bad", "8"),
            *("--seconds", "5", "--small"),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert found["lost"] == []
    (pair,) = found["pairs"]
    assert found["transitions"] >= 16
    assert pair["good"]["deliveries"] + pair["bad"]["deliveries"] == found["transitions"] * 6
    assert pair["bad"]["deliveries"] >= 8 * 6
    assert pair["bad"]["in_time"], "what good receivers were owed came while the others were bad"
    assert pair["bad"]["misbehaved"] == 8, "and bad they were, every one of them"
