"""The promises, on the real daemon: the scripts of `bench/`, smaller; anyone can run them larger."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"


def run(script: str, *args: str) -> dict[str, Any]:
    """Runs a script of bench/, and reads the verdict that it prints."""
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *args], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.stdout.startswith("{"), done.stderr
    verdict: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return verdict


@pytest.mark.timeout(300)
def test_nothing_is_lost_however_often_it_is_killed() -> None:
    found = run("kills.py", "--kills", "12")
    assert found["messages"] > 20
    for wrong in ("lost", "phantom", "disordered", "two_bodies"):
        assert found[wrong] == []
    assert found["forged"] == 0


@pytest.mark.timeout(300)
def test_no_webhook_is_lost_or_doubled_however_often_it_is_killed() -> None:
    found = run("hooks.py", "--kills", "8")
    assert found["webhooks"] > 5
    for wrong in ("lost", "phantom", "two_bodies", "doubled"):
        assert found[wrong] == []
    assert found["forged"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own needs root")
@pytest.mark.timeout(300)
def test_a_full_disk_is_told_survived_and_left_again() -> None:
    found = run("full.py", "--cycles", "2")
    assert found["problems"] == []
    for wrong in ("lost", "phantom", "disordered", "two_bodies"):
        assert found[wrong] == []


@pytest.mark.parametrize("seed", ["1", "6", "11"])
def test_weeks_of_trouble_on_a_virtual_clock_lose_nothing(seed: str) -> None:
    found = run("simulate.py", "--days", "14", "--seed", seed)
    assert found["deaths"] > 20
    assert found["transitions"] > 100
    for wrong in ("lost", "phantom", "disordered", "two_bodies"):
        assert found[wrong] == []


@pytest.mark.timeout(300)
def test_the_main_job_end_to_end_through_a_kill_and_a_dead_receiver() -> None:
    found = run("acceptance.py", "--jobs", "6", "--dead", "5")
    assert found["jobs"] == 6
    assert found["told"] == found["transitions"] > 20
    assert found["webhooks"] >= found["told"], "and checkpoints, and progress"
    assert found["lost"] == found["refused"] == found["unverified"] == []
    assert found["verified"] == found["webhooks"] + found["duplicates"]
    assert found["two_bodies"] == 0
