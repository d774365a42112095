"""The gates of `make bench` at their smallest: each runs and says what it found. No figure is judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
GATES = sorted(BENCH.glob("gate_*.py"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("gate", [pytest.param(gate, id=gate.stem) for gate in GATES])
def test_a_gate_runs_and_its_rows_can_be_read(gate: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(gate), "--small", "--pictures", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert rows
    for row in rows:
        assert row["gate"]
        assert row["wanted"].startswith((">= ", "<= "))
        if row["held"] is not None:
            assert row["ratio"] is not None
            assert row["ours"] is not None


def test_there_are_gates() -> None:
    assert len(GATES) >= 4
