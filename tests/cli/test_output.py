"""What a terminal is given: inert text, aligned tables, JSON that it cannot obey."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.cli import Exit
from ftwatch.cli import output as out
from ftwatch.cli.output import as_json, local, plain, table, tell_wire, utc

HOSTILE = "a\x1b[31mred\x1b[0m\r\n\x07\u202e\u2028\x9b1m\ud800"


@given(st.text(st.characters(codec=None)))
def test_plain_text_only_shows(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    shown.encode()
    assert plain(shown) == shown
    if text.isprintable():
        assert shown == text


def test_json_says_the_same_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": HOSTILE, "emoji": "✅", "tag": "\U000e0041", "list": [1, None, 2.5]}
    as_json(value)
    shown = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert json.loads(shown) == value
    assert "✅" in shown
    tell_wire(json.dumps({"x": "\x9b\u202e\x7f\U000e0041"}, ensure_ascii=False).encode())
    shown = capsys.readouterr().out
    assert shown == '{"x": "\\u009b\\u202e\\u007f\\udb40\\udc41"}\n'
    assert json.loads(shown) == {"x": "\x9b\u202e\x7f\U000e0041"}


def test_a_piped_table_is_aligned_text_of_any_width(capsys: pytest.CaptureFixture[str]) -> None:
    table([["日本", None, "x" * 300], ["b", "two\nlines", 7]], ["name", "note", "long"])
    assert capsys.readouterr().out.splitlines() == [
        "NAME  NOTE   LONG",
        "日本         " + "x" * 300,
        "b     two    7",
        "      lines",
    ]


def test_markup_is_text(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["[bold]x[/bold]", ":smile:", "[link=http://x]y[/link]", HOSTILE]]
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stdout, "isatty", lambda is_terminal=is_terminal: is_terminal)
        table(rows, ["a", "b", "c", "d"])
        shown = capsys.readouterr().out.replace("\n", "")
        assert "[bold]x[/bold]" in shown
        assert ":smile:" in shown
        assert not any(c in shown for c in "\r\x07\u202e\x9b")


def on_terminal(folder: Path, *args: str, **environ: str) -> bytes:
    """What `ftwatch` writes to a terminal."""
    mine, theirs = pty.openpty()
    try:
        code = subprocess.run(
            [sys.executable, "-m", "ftwatch", *args],
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environ},
            check=False,
        ).returncode
        assert code == Exit.OK
        return os.read(mine, 65536)
    finally:
        os.close(mine)
        os.close(theirs)


def test_colours_only_where_they_are_wanted(world: Any) -> None:
    world.happen("ftjob-a", "running", name="bot")
    world.happen("ftjob-b", "failed", name=HOSTILE.replace("\ud800", ""))
    coloured = on_terminal(world.folder, "jobs")
    assert b"\x1b[36mrunning" in coloured
    assert b"\x1b[31mred" not in coloured
    grey = on_terminal(world.folder, "jobs", NO_COLOR="1")
    assert b"running" in grey
    assert b"\x1b[3" not in grey


def test_times(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert local(1_795_000_000) == "2026-11-18 11:06:40"
    assert utc(1_795_000_000.7) == "2026-11-18T11:06:40Z"
    assert (local(None), utc(None)) == ("", None)
    assert local(1e30) == utc(1e30) == f"@{1e30:.0f}"
    assert out.ago(None) == "never"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_its_script(tool: Any, shell: str) -> None:
    said = tool("completion", shell)
    assert said.code == Exit.OK
    assert "_FTWATCH_COMPLETE" in said.out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ftwatch n", ["notify"]),
        ("ftwatch show ftjob", ["ftjob-b", "ftjob-a"]),
        ("ftwatch -c ftwatch.yaml wait bo", ["bot"]),
        ("ftwatch wait -c nowhere.yaml bo", []),
        ("ftwatch render c", ["console"]),
        ("ftwatch render console --sample faile", ["failed"]),
        ("ftwatch why x", []),
    ],
)
def test_a_shell_is_offered_what_there_is(
    tool: Any, world: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch, line: str, offered: list[str]
) -> None:
    world.happen("ftjob-a", "running", name="bot")
    world.happen("ftjob-b", "running", name="bo\x1b$(reboot)", at=1_795_000_060.0)
    monkeypatch.setenv("_FTWATCH_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    said = tool()
    assert said.out.split() == [f"plain,{name}" for name in offered]
    assert said.err == ""
