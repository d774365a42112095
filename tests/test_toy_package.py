"""A notifier from somebody else's package: one file and one line of entry points, nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "ftwatch-toy"
version = "1.0"

[project.entry-points."ftwatch.notifiers"]
toy = "ftwatch_toy:Toy"

[tool.hatch.build.targets.wheel]
include = ["ftwatch_toy.py"]
"""
TOY = """
from dataclasses import dataclass
from pathlib import Path

from ftwatch.core.delivery import RetryPolicy, Sent
from ftwatch.core.message import compose
from ftwatch.plugins import Result


@dataclass(frozen=True, kw_only=True)
class Options:
    file: str


class Toy:
    Options = Options
    audience = "people"
    retry = RetryPolicy()
    concurrency = 1
    timeout = 5.0

    def __init__(self, spec):
        self.path = Path(spec.folder) / spec.options.file

    def freeze(self, event):
        return None

    async def send(self, events, memory, *, body=None):
        with self.path.open("a") as file:
            file.writelines(compose(event).title + "\\n" for event in events)
        return Result(Sent("written"))
"""
CONFIG = """
providers:
  openai: {}
notifiers:
  mine: {kind: toy, file: told.txt}
store: {path: ./ftwatch.db}
"""


@pytest.fixture
def ftwatch(tmp_path: Path) -> list[str]:
    """The toy installed beside ftwatch, and the command that runs ftwatch with it."""
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    (package / "pyproject.toml").write_text(PYPROJECT)
    (package / "ftwatch_toy.py").write_text(TOY)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([sys.executable, "-m", "pip", "install", *quiet, "--target", site, package], check=True)
    return [sys.executable, "-m", "ftwatch"]


def test_it_is_found_checked_and_told(tmp_path: Path, ftwatch: list[str]) -> None:
    (tmp_path / "ftwatch.yaml").write_text(CONFIG)

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        environment.pop("OPENAI_API_KEY", None)
        return subprocess.run(
            [*ftwatch, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )

    # There is no key, so the one thing to tell is that the provider cannot be watched.
    once = run("once")
    assert once.returncode == 4, once.stderr
    assert (tmp_path / "told.txt").read_text() == "⚠️ openai cannot be watched\n"

    (tmp_path / "ftwatch.yaml").write_text(CONFIG.replace("told.txt", "told.txt, colour: red"))
    wrong = run("once")
    assert wrong.returncode == 2
    assert "colour" in wrong.stderr
    assert "Traceback" not in wrong.stderr
