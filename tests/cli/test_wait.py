"""wait: with nothing but a key, with a config, with a daemon; each way it can end."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import to_builtins

from ftwatch import control
from ftwatch.cli import Exit, sources
from ftwatch.store import Store
from tests.cli.conftest import Service

PATIENCE = 30.0


@pytest.fixture
def key(service: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment that the service accepts, and no config."""
    service.key = "sk-right"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{service.url}/v1")


pytestmark = pytest.mark.usefixtures("key")


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("succeeded", Exit.OK, "succeeded: ft:m"),
        ("failed", Exit.NO, "failed: no luck"),
        ("cancelled", Exit.NO, "was cancelled"),
    ],
)
def test_a_key_is_enough(tool: Any, service: Any, end: str, code: int, words: str) -> None:
    service.put(
        "ftjob-a",
        "queued",
        "running",
        "running",
        end,
        fine_tuned_model="ft:m",
        error={"message": "no luck"} if end == "failed" else None,
    )
    said = tool("wait", "ftjob-a", "--poll", "10ms")
    assert said.code == code
    lines = [line[10:] for line in said.out.splitlines()]
    assert [line.split()[-1] for line in lines[:2]] == ["queued", "running"]
    assert len(lines) == 3
    assert lines[2].endswith(words)
    assert said.err == ""


@pytest.mark.parametrize(
    "selector",
    ["ftjob-a", "ftjob-", "bot", "openai/ftjob-a", "https://platform.example.com/finetune/ftjob-a"],
)
def test_a_job_is_named_as_people_name_it(tool: Any, service: Any, selector: str) -> None:
    service.put("ftjob-a", "succeeded", user_provided_suffix="bot")
    service.put("other", "failed")
    assert tool("wait", selector).code == Exit.OK


def test_several_jobs_must_all_succeed(tool: Any, service: Any) -> None:
    service.put("a", "running", "succeeded")
    service.put("b", "running", "running", "running", "failed")
    assert tool("wait", "a", "b", "--poll", "10ms").code == Exit.NO
    service.put("b", "running", "succeeded")
    assert tool("wait", "a", "b", "a", "--poll", "10ms").code == Exit.OK


def test_the_end_as_json_stands_alone_on_stdout(tool: Any, service: Any) -> None:
    service.put("a", "running", "succeeded", fine_tuned_model="ft:a")
    said = tool("wait", "a", "--poll", "10ms", "-o", "json")
    assert [(job["id"], job["status"], job["fine_tuned_model"]) for job in said.json] == [
        ("a", "succeeded", "ft:a")
    ]
    assert "is running" in said.err


def test_no_such_job(tool: Any, service: Any) -> None:
    service.put("a", "running")
    said = tool("wait", "zzz")
    assert (said.code, said.out) == (Exit.NOTHING, "")
    assert "no job is called 'zzz'" in said.err


def test_what_could_be_several_lists_them(tool: Any, service: Any) -> None:
    service.put("ftjob-1", "running")
    service.put("ftjob-2", "queued")
    said = tool("wait", "ftjob-")
    assert said.code == Exit.USAGE
    assert "openai/ftjob-1  running" in said.err
    assert "openai/ftjob-2  queued" in said.err


def test_the_time_may_be_over(tool: Any, service: Any) -> None:
    service.put("a", "running")
    said = tool("wait", "a", "--poll", "10ms", "--timeout", "100ms")
    assert said.code == Exit.TIMEOUT
    assert "the time is over" in said.err


def test_a_refused_key_ends_at_once(tool: Any, service: Any) -> None:
    service.key = "sk-another"
    said = tool("wait", "a")
    assert said.code == Exit.UNREACHABLE
    assert "401" in said.err
    assert "sk-" not in said.err


def test_nobody_there_is_asked_again_for_a_while(
    tool: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.cli.wait.AT_FIRST", 0.2)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    said = tool("wait", "a", "--poll", "10ms")
    assert said.code == Exit.UNREACHABLE
    assert said.err.count("trying again") == 1


def test_a_job_that_vanishes_is_gone(tool: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "GONE", 0.05)
    service.put("a", "running", "running")

    def vanish() -> None:
        while len(service.jobs["a"]) > 1:
            time.sleep(0.01)
        del service.jobs["a"]

    thread = threading.Thread(target=vanish)
    thread.start()
    said = tool("wait", "a", "--poll", "10ms")
    thread.join()
    assert said.code == Exit.NO
    assert "is gone" in said.out


def test_what_a_job_is_called_does_nothing_to_the_terminal(tool: Any, service: Any) -> None:
    service.put(
        "a", "failed", user_provided_suffix="x\x1b]0;owned\x07\n[red]y", error={"message": "\x9b31m\u202eno"}
    )
    said = tool("wait", "a")
    assert len(said.out.splitlines()) == 1
    assert "[red]y" in said.out
    assert not any(character in said.out for character in "\x1b\x07\x9b\u202e")


def test_without_key_and_config_it_says_what_it_needs(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    said = tool("wait", "a")
    assert said.code == Exit.USAGE
    assert "OPENAI_API_KEY" in said.err


def test_half_an_account_is_told(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "0123456789abcdef")
    said = tool("wait", "a")
    assert said.code == Exit.USAGE
    assert "AZURE_OPENAI_API_KEY alone does not do: base_url is missing" in said.err


# --------------------------------------------------------------------------------- several ways in at once


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A second account, of another kind, that the environment opens."""
    other = Service()
    other.key = "sk-right"
    monkeypatch.setenv("NEBIUS_API_KEY", "sk-right")
    monkeypatch.setenv("NEBIUS_BASE_URL", f"{other.url}/v1")
    yield other
    other.server.shutdown()
    other.server.server_close()


def test_each_account_is_asked(tool: Any, service: Any, other: Any) -> None:
    service.put("a", "succeeded")
    other.put("b", "running", "failed")
    assert tool("wait", "a").code == Exit.OK
    said = tool("wait", "b", "--poll", "10ms", "-o", "json")
    assert [(job["provider"], job["status"]) for job in said.json] == [("nebius", "failed")]


def test_a_job_that_two_accounts_have_is_not_guessed(tool: Any, service: Any, other: Any) -> None:
    service.put("a", "succeeded")
    other.put("a", "failed")
    said = tool("wait", "a")
    assert said.code == Exit.USAGE
    assert "nebius/a  failed" in said.err
    assert "openai/a  succeeded" in said.err
    assert tool("wait", "openai/a").code == Exit.OK


def test_who_refuses_does_not_keep_a_job_from_being_found(tool: Any, service: Any, other: Any) -> None:
    other.key = "sk-another"
    service.put("a", "succeeded")
    assert tool("wait", "a").code == Exit.OK
    said = tool("wait", "zzz")
    assert said.code == Exit.NOTHING
    assert "no job is called 'zzz'\n  who refuses to be asked: nebius: HTTP 401" in said.err


def test_who_all_refuse_are_out_of_reach(tool: Any, service: Any, other: Any) -> None:
    service.key = other.key = "sk-another"
    said = tool("wait", "a")
    assert said.code == Exit.UNREACHABLE
    assert ": HTTP 401" in said.err


def test_who_is_away_does_not_keep_a_job_from_being_found(
    tool: Any, service: Any, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.cli.wait.AT_FIRST", 0.2)
    monkeypatch.setenv("NEBIUS_BASE_URL", "http://127.0.0.1:9/v1")
    service.put("a", "succeeded")
    assert tool("wait", "a").code == Exit.OK
    said = tool("wait", "zzz", "--poll", "10ms")
    assert said.code == Exit.UNREACHABLE
    assert "nebius: connection refused" in said.err


def test_an_id_may_have_slashes(tool: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service.put("accounts/acme/jobs/a", "succeeded")
    assert tool("wait", "accounts/acme/jobs/a").code == Exit.OK
    assert tool("wait", "openai/accounts/acme/jobs/a").code == Exit.OK
    assert tool("wait", "accounts/acme/jobs/b").code == Exit.NOTHING


def test_an_id_of_another_kind_is_no_trouble(
    tool: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kinds whose jobs are never called so answer by themselves."""
    for name in ("FIREWORKS_API_KEY", "FIREWORKS_ACCOUNT_ID"):
        monkeypatch.setenv(name, "acme")
    monkeypatch.setenv("FIREWORKS_BASE_URL", "http://127.0.0.1:9")
    service.put("ftjob-a", "succeeded")
    said = tool("wait", "ftjob-a")
    assert (said.code, said.err) == (Exit.OK, "")


def test_a_config_without_a_daemon_asks_its_providers(tool: Any, world: Any, service: Any) -> None:
    world.configure(f"providers:\n  mine: {{kind: openai, base_url: '{service.url}/v1', api_key: sk-right}}")
    service.put("a", "running", "succeeded")
    assert tool("wait", "mine/a", "--poll", "10ms").code == Exit.OK


def test_interrupting_is_130(service: Any, folder: Path) -> None:
    service.put("a", "running")
    waiting = subprocess.Popen(
        [sys.executable, "-u", "-m", "ftwatch", "wait", "a"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ,
    )
    assert waiting.stdout is not None
    assert "is running" in waiting.stdout.readline()
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == Exit.INTERRUPTED
    assert "Traceback" not in err


def test_on_a_terminal_one_line_lives(service: Any, folder: Path) -> None:
    later = int(time.time()) + 3600
    service.put("a", "running", "running", "succeeded", estimated_finish=later, user_provided_suffix="bot")
    mine, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ftwatch", "wait", "a", "--poll", "50ms"],
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "60"},
            check=False,
        )
        drawn = os.read(mine, 65536).decode()
    finally:
        os.close(mine)
        os.close(theirs)
    assert done.returncode == Exit.OK
    assert len(done.stdout.splitlines()) == 2
    assert "\r\x1b[Kbot running about 1h left" in drawn or "bot running about 59m" in drawn
    assert drawn.endswith("\r\x1b[K"), "it is taken away at the end"
    assert "\n" not in drawn


# ------------------------------------------------------------------------------------- with a daemon


@pytest.fixture
def asked(world: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """A daemon that answers from the world's database; what it was asked."""
    questions: list[dict[str, Any]] = []

    def ask(path: Path, op: str, **args: Any) -> dict[str, Any]:
        assert path == world.folder / "ftwatch.sock"
        questions.append({"op": op, **args})
        if op == "find":
            store = Store(world.database, mode="read")
            try:
                rows = store.history.find(args["selector"])
            finally:
                store.close()
            # As it comes over the socket.
            answer: dict[str, Any] = json.loads(json.dumps({"rows": [to_builtins(row) for row in rows]}))
            return answer
        return {}

    monkeypatch.setattr(control, "ask", ask)
    monkeypatch.setattr("ftwatch.cli.wait.DAEMON", 0.01)
    return questions


def test_a_daemon_is_asked_and_asked_to_look(tool: Any, world: Any, asked: list[dict[str, Any]]) -> None:
    world.happen("ftjob-a", "running", name="bot")

    def end() -> None:
        time.sleep(0.2)
        world.happen("ftjob-a", "succeeded", name="bot")

    thread = threading.Thread(target=end)
    thread.start()
    said = tool("wait", "bot")
    thread.join()
    assert said.code == Exit.OK
    assert [line.split()[-1] for line in said.out.splitlines()] == ["running", "ft:m"]
    assert asked[0] == {"op": "ping"}
    assert {"op": "poke", "provider": "openai", "job": "ftjob-a"} in asked


def test_a_job_that_the_daemon_has_yet_to_find(
    tool: Any, world: Any, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.happen("ftjob-a", "running")

    def arrive() -> None:
        while not any(one["op"] == "poke" for one in asked):
            time.sleep(0.01)
        world.happen("ftjob-new", "failed")

    thread = threading.Thread(target=arrive)
    thread.start()
    assert tool("wait", "ftjob-new").code == Exit.NO
    thread.join()
    monkeypatch.setattr(sources, "FIND", 0.0)
    assert tool("wait", "ftjob-never").code == Exit.NOTHING


def test_a_daemon_that_is_not_for_us(tool: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(path: Path, op: str, **args: Any) -> dict[str, Any]:
        raise control.Refused("no permission")

    monkeypatch.setattr(control, "ask", ask)
    said = tool("wait", "a")
    assert said.code == Exit.UNREACHABLE
    assert "no permission" in said.err
