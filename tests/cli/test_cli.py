"""The frame: commands by name, exit codes, sentences instead of tracebacks; and a help that loads nothing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

import ftwatch
from ftwatch import __version__
from ftwatch.cli import COMMANDS, LATER, Exit, cli, main
from ftwatch.control import NoDaemon, Refused
from ftwatch.store import Full, Locked, StoreError, TooNew

HEAVY = ("pydantic", "httpx2", "apprise", "structlog", "rich", "msgspec", "anyio", "yaml", "sqlite3")


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["nonsense"]])
def test_help_loads_no_library(args: list[str]) -> None:
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))\n"
        f"from ftwatch.cli import main\nmain({args!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


PAGE = Path(ftwatch.__file__).with_name("help.txt")


def _run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What an interpreter says, where nothing tells it how wide the terminal is."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "_FTWATCH_COMPLETE")}
    return subprocess.run(
        [sys.executable, *args],
        capture_output=True, text=True, check=False, env={**kept, **environ},
    )  # fmt: skip


def test_the_golden_help_is_what_click_says(tool: Any) -> None:
    said = tool("--help").out
    if os.environ.get("GOLDEN") == "write":
        PAGE.write_text(said, "ascii")
    assert PAGE.read_text("ascii") == said, "`make golden` writes it anew"


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_alone_loads_not_even_click(option: str) -> None:
    done = _run("-m", "ftwatch", option)
    assert (done.returncode, done.stdout, done.stderr) == (0, PAGE.read_text("ascii"), "")
    code = (
        f"import sys\nsys.argv[1:] = [{option!r}]\nfrom ftwatch.__main__ import main\nmain()\n"
        "print([name for name in ('click', 'ftwatch.cli') if name in sys.modules], file=sys.stderr)"
    )
    assert _run("-c", code).stderr == "[]\n"


def test_help_for_a_narrow_terminal_is_wrapped_by_click() -> None:
    narrow = _run("-m", "ftwatch", "--help", COLUMNS="50").stdout
    assert narrow != PAGE.read_text("ascii")
    assert max(map(len, narrow.splitlines())) <= 50


def test_help_that_nobody_reads_to_its_end_is_no_failure() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "ftwatch", "--help"],
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_every_command_is_there_with_its_own_help(tool: Any) -> None:
    assert list(COMMANDS) == cli.list_commands(click.Context(cli))
    for name in COMMANDS:
        said = tool(name, "--help")
        assert said.code == Exit.OK
        assert "--config FILE" in said.out


def test_the_version(tool: Any) -> None:
    assert tool("--version").out == f"ftwatch, version {__version__}\n"


@pytest.mark.parametrize("name", sorted(LATER))
def test_what_is_to_come_says_so_and_is_not_listed(tool: Any, name: str) -> None:
    said = tool(name)
    assert (said.code, said.out) == (Exit.USAGE, "")
    assert "not in this version" in said.err
    assert f"  {name} " not in tool("--help").out


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["jbos"], "did you mean 'jobs'?"),
        (["zzzzz"], "No such command 'zzzzz'"),
        (["run", "--wait-lock", "5 parsecs"], "is no duration"),
        (["jobs", "--limt", "3"], "No such option"),
    ],
)
def test_a_slip_is_a_usage_error(tool: Any, args: list[str], sentence: str) -> None:
    said = tool(*args)
    assert said.code == Exit.USAGE
    assert sentence in said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Locked("another one holds it"), 75),
        (Full("the disk is full"), 75),
        (StoreError("broken"), 1),
        (TooNew("too new"), 1),
        (NoDaemon("nobody there"), 4),
        (Refused("it will not"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_what_may_be_expected_is_a_sentence_and_a_code(
    tool: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*args: Any, **more: Any) -> int:
        raise error

    monkeypatch.setattr("ftwatch.daemon.serve", fail)
    Path("ftwatch.yaml").write_text("providers: {openai: {}}\n")
    said = tool("run")
    assert said.code == code
    assert "Traceback" not in said.err
    assert str(error) in said.err


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **more: Any) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("ftwatch.config.schema", fail)
    with pytest.raises(ZeroDivisionError):
        main(["schema"])


@pytest.mark.parametrize("command", ["run", "once", "check", "jobs", "status", "reload", "events"])
def test_without_a_config_every_command_says_where_it_looked(tool: Any, command: str) -> None:
    said = tool(command)
    assert said.code == Exit.USAGE
    assert "no config here: looked for ftwatch.yaml" in said.err


def test_every_mistake_of_the_config_is_told_and_nothing_starts(tool: Any) -> None:
    Path("ftwatch.yaml").write_text("provders: {}\nnotifiers: {slack: {webhook: x}}\n")
    for command in ("run", "check"):
        said = tool(command)
        assert (said.code, said.out) == (Exit.USAGE, "")
        assert "ftwatch.yaml:1:1: error:" in said.err
        assert "ftwatch.yaml:2:" in said.err


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_config_may_be_named_before_and_behind_the_command(tool: Any, place: int) -> None:
    Path("other.yaml").write_text("providers: {openai: {}}\nnotifiers: {console: {}}\n")
    args = ["route", "show"]
    args[place:place] = ["-c", "other.yaml"]
    assert "console" in tool(*args).out


def test_who_stops_reading_is_no_error(world: Any) -> None:
    for number in range(3):
        world.happen(f"ftjob-{number}", "running")
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m ftwatch events -o json | head -c 10"],
        capture_output=True,
        text=True,
        cwd=world.folder,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_unicode_is_served_too(world: Any) -> None:
    world.happen("ftjob-1", "running", name="caf\u00e9 \u2603")
    done = subprocess.run(
        [sys.executable, "-m", "ftwatch", "jobs"],
        capture_output=True,
        cwd=world.folder,
        env={"PYTHONIOENCODING": "latin-1", "PATH": "/bin", "HOME": str(world.folder)},
        check=False,
    )
    assert done.returncode == 0
    assert b"caf\xe9 \\u2603" in done.stdout
