"""Commands that ask a daemon elsewhere: the same words as here, without a config and without a key."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from ftwatch.cli import Exit, remote, sources
from ftwatch.cli.facts import asking
from ftwatch.core.delivery import Rejected, Sent
from ftwatch.core.job import JobError, JobKey, Progress
from ftwatch.core.journal import Checkpoint, Journal, Line
from tests.test_daemon import House, Outside, until
from tests.web.served import CLOSED, NOW, TOKEN, Elsewhere, elsewhere

PATIENCE = 30.0


@pytest.fixture
def there(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    """A daemon with a token, elsewhere: its folder is not where the commands are called."""
    folder = tmp_path_factory.mktemp("there")
    with structlog.testing.capture_logs(), elsewhere(folder, web=CLOSED, token=TOKEN) as there:
        yield there


@pytest.fixture
def away(there: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    """The environment of who asks it."""
    monkeypatch.setenv("FTWATCH_URL", there.url)
    monkeypatch.setenv("FTWATCH_TOKEN", TOKEN)
    return there


def much(there: Elsewhere) -> None:
    """Jobs with stories."""

    async def happen() -> None:
        it = there.there
        team = {"labels": {"team": "search"}, "model": "gpt-4.1"}
        await it.happen("ftjob-aa", "queued", name="bot\x1b[31m", **team)
        await it.happen(
            "ftjob-aa", "running", at=NOW + 60, name="bot\x1b[31m", progress=Progress(step=3), **team
        )
        await it.try_all(Sent("HTTP 200"), at=NOW + 70)
        await it.happen("ftjob-ab", "running", at=NOW + 80, provider="other")
        await it.try_all(Rejected("HTTP 403: no", final=True), at=NOW + 90)
        error = JobError(code="bad", message="line 17")
        await it.happen("ftjob-aa", "failed", at=NOW + 200, name="bot\x1b[31m", error=error, **team)
        await it.happen(
            "accounts/me/jobs/1", "succeeded", at=NOW + 300, trained_tokens=5, url="https://x.example"
        )
        await it.ask("POST", "jobs/openai/ftjob-aa/ack", json={"author": "ann", "comment": "on it"})
        lines = tuple(
            Line(
                key=str(step),
                at=int(NOW) + step,
                message=f"Step {step}",
                step=step,
                metrics={"train_loss": 1.5},
            )
            for step in range(1, 251)
        )
        saved = tuple(Checkpoint(id=f"c{step}", step=step, model=f"ft:m:{step}") for step in (20, 10))

        def write() -> None:
            with it.store.db.transaction():
                it.store.journals.add(
                    JobKey("openai", "ftjob-aa"), 0, Journal(lines=lines, checkpoints=saved), NOW
                )

        await it.house.work(write)

    there(happen)


def config_of(there: Elsewhere) -> str:
    return str(there.there.house.path)


COMMANDS = [
    ["jobs"],
    ["jobs", "--status", "failed"],
    ["jobs", "--active"],
    ["jobs", "--provider", "other"],
    ["jobs", "-n", "1"],
    ["jobs", "--provider", "nobody"],
    ["show", "ftjob-aa"],
    ["show", "accounts/me/jobs/1"],
    ["show", "https://x.example/accounts/me/jobs/1"],
    ["show", "ftjob-a"],
    ["show", "nope"],
    ["why", "ftjob-aa"],
    ["why", "evt_nope"],
    ["why", "msg_nope"],
    ["events"],
    ["events", "ftjob-aa"],
    ["events", "-n", "2"],
    ["events", "nope"],
    ["silence", "list"],
    ["silence", "list", "--expired"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("output", ["table", "json"])
def test_the_same_is_said_as_here(
    command: list[str], output: str, tool: Any, there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    much(there)
    here = tool(*command, "-o", output, "-c", config_of(there))
    monkeypatch.setenv("FTWATCH_URL", there.url + "/")
    monkeypatch.setenv("FTWATCH_TOKEN", TOKEN)
    assert tool(*command, "-o", output) == here
    assert here.out or here.err


def test_an_event_and_a_delivery_are_explained_the_same(
    tool: Any, there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    much(there)
    (event,) = tool("why", "ftjob-ab", "-o", "json", "-c", config_of(there)).json
    delivery = event["told"][0]["delivery"]
    words = [event["event"], delivery, delivery[:20], "msg_"]
    here = [tool("why", word, "-c", config_of(there)) for word in words]
    monkeypatch.setenv("FTWATCH_URL", there.url)
    monkeypatch.setenv("FTWATCH_TOKEN", TOKEN)
    assert [tool("why", word) for word in words] == here
    assert "dead" in here[0].out


def test_a_named_config_wins(tool: Any, away: Elsewhere, world: Any) -> None:
    world.happen("mine", "running")
    assert [job["job"] for job in tool("jobs", "-o", "json").json] == []
    assert [job["job"] for job in tool("jobs", "-o", "json", "-c", str(world.path)).json] == ["mine"]
    assert [job["job"] for job in tool("-c", str(world.path), "jobs", "-o", "json").json] == ["mine"]


def test_many_jobs_come_page_by_page(tool: Any, away: Elsewhere) -> None:
    async def happen() -> None:
        for number in range(230):
            await away.there.happen(f"j{number:03}", "running", at=NOW + number)

    away(happen)
    jobs = tool("jobs", "-n", "220", "-o", "json").json
    assert [job["job"] for job in jobs] == [f"j{number:03}" for number in range(229, 9, -1)]
    assert len(tool("events", "-n", "225").out.splitlines()) == 225


def test_when_jobs_are_looked_at_next(tool: Any, away: Elsewhere) -> None:
    away(lambda: away.there.happen("a", "failed"))
    (row,) = tool("jobs", "-v", "-o", "json").json
    assert (row["next"], row["why"]) == (None, "it is over")


def test_status_is_that_of_the_daemon_there(tool: Any, away: Elsewhere) -> None:
    said = tool("status")
    assert said.code == Exit.NO
    assert "daemon: up since" in said.out
    assert "not looked at yet" in said.out


# ---------------------------------------------------------------------------------------------- writes


def test_silences_are_asked_for_and_taken_away(tool: Any, away: Elsewhere) -> None:
    much(away)
    made = tool(
        "silence", "add", 'labels.team="search"', "--for", "2h", "--comment", "planned", "--author", "ann"
    )
    assert (made.code, made.err) == (Exit.OK, "that is true of 0 active jobs now\n")
    id = made.out.partition(":")[0]
    job = tool("silence", "add", "--job", "ftjob-ab", "--until", "end")
    assert job.code == Exit.OK
    listed = {one["id"]: one for one in tool("silence", "list", "-o", "json").json}
    assert (listed[id]["author"], listed[id]["comment"]) == ("ann", "planned")
    assert tool("silence", "expire", id[:-1]).out == f"{id}: taken away\n"
    assert tool("silence", "expire", id).code == Exit.NOTHING
    config = next(one["id"] for one in listed.values() if one["in_config"])
    kept = tool("silence", "expire", config)
    assert (kept.code, "stands in the config" in kept.err) == (Exit.NO, True)
    assert len(tool("silence", "expire", "--all").out.splitlines()) == 1


def test_a_preview_is_asked_for_elsewhere(tool: Any, away: Elsewhere) -> None:
    much(away)
    found = tool("silence", "add", "type=*", "--preview", "-o", "json").json
    assert found["events"] <= found["looked_at"]
    assert found["looked_at"] >= 0
    assert "nothing has a key 'modl'" in tool("silence", "add", "modl=x", "--preview").err


def test_what_makes_no_silence_is_said_as_here(
    tool: Any, there: Elsewhere, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.happen("over", "failed")
    there(lambda: there.there.happen("over", "failed"))
    commands = [
        ["silence", "add", "modl=x"],
        ["silence", "add"],
        ["silence", "add", "type=*", "--until", "2001-01-01"],
        ["silence", "add", "--job", "over", "--until", "end"],
        ["silence", "add", "--job", "nope"],
        ["silence", "expire", "sil_nope"],
        ["ack", "nope"],
    ]
    here = [tool(*command) for command in commands]
    monkeypatch.setenv("FTWATCH_URL", there.url)
    monkeypatch.setenv("FTWATCH_TOKEN", TOKEN)
    assert [tool(*command) for command in commands] == here
    assert [said.code for said in here] == [2, 2, 2, 1, 3, 3, 3]


def test_a_job_is_acknowledged(tool: Any, away: Elsewhere) -> None:
    much(away)
    assert tool("ack", "ftjob-aa", "--author", "kim").out == "openai/ftjob-aa: acknowledged: failed\n"
    assert "acknowledged:     failed, by kim" in tool("show", "ftjob-aa").out
    said = tool("ack", "ftjob-ab")
    assert (said.code, said.err) == (Exit.NOTHING, "nothing is open about other/ftjob-ab: it is running\n")


# ------------------------------------------------------------------------------------ who is not reached


def test_without_the_token_nothing_is_said(
    tool: Any, away: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["jobs"], ["status"], ["wait", "a"], ["events", "-f"], ["ack", "a"], ["silence", "list"]):
        monkeypatch.setenv("FTWATCH_TOKEN", "another")
        said = tool(*command)
        wrong = f"error: {away.url} takes another token than the one in FTWATCH_TOKEN\n"
        assert (said.code, said.out, said.err) == (Exit.USAGE, "", wrong), command
        monkeypatch.delenv("FTWATCH_TOKEN")
        assert tool(*command).err == f"error: {away.url} wants a token: set FTWATCH_TOKEN\n"


def test_nobody_there(tool: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftwatch.cli.wait.AT_FIRST", 0.2)
    monkeypatch.setattr("ftwatch.cli.wait.FAR", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("FTWATCH_URL", url)
    for command in (["jobs"], ["show", "a"], ["events", "-f"], ["wait", "a"], ["silence", "add", "type=*"]):
        said = tool(*command)
        assert said.code == Exit.UNREACHABLE, command
        assert said.err.endswith(f"error: {url} cannot be reached: connection refused\n")
        assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "ftwatch.example.com",
            "FTWATCH_URL has to be the daemon's address, like https://ftwatch.example.com",
        ),
        ("ftp://x.example", "FTWATCH_URL has to be the daemon's address"),
        ("http://x.example:99999", "FTWATCH_URL has to be the daemon's address"),
        ("https://x.example/?token=1", "FTWATCH_URL has to be the daemon's address"),
        ("https://ann:pw@x.example", "FTWATCH_URL holds a password: the token belongs in FTWATCH_TOKEN"),
    ],
)
def test_an_address_that_is_none(
    url: str, said: str, tool: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTWATCH_URL", url)
    for command in (["jobs"], ["wait", "a"]):
        answer = tool(*command)
        assert answer.code == Exit.USAGE
        assert said in answer.err
        assert "pw" not in answer.err


@contextmanager
def speaking(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """Something that always answers the same, and is no ftwatch."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (200, b"<html>", Exit.UNREACHABLE, "is no ftwatch, or not of this version"),
        (200, b'{"data": [{}], "next": null}', Exit.UNREACHABLE, "is no ftwatch, or not of this version"),
        (302, b"", Exit.UNREACHABLE, "sends elsewhere: FTWATCH_URL has to be the address itself"),
        (404, b"<html>", Exit.UNREACHABLE, "answers with HTTP 404"),
        (
            421,
            b'{"error": "this name is not one of ours"}',
            Exit.USAGE,
            "refuses: this name is not one of ours",
        ),
        (403, b"\x1b[31m", Exit.UNREACHABLE, "answers with HTTP 403"),
        (502, b"bad", Exit.UNREACHABLE, "answers with HTTP 502"),
        (503, b'{"error": "try \\u001b[31m again"}', Exit.UNREACHABLE, "HTTP 503: try \\x1b[31m again"),
        (400, b'{"error": "there is no parameter"}', Exit.USAGE, "error: there is no parameter"),
        (409, b'{"error": "not now"}', Exit.NO, "error: not now"),
        (500, b'{"error": ["x"]}', Exit.UNREACHABLE, "answers with HTTP 500"),
        (404, b'{"error": "there is nothing at this address"}', Exit.NOTHING, "there is nothing at this"),
    ],
)
def test_what_answers_otherwise(
    status: int, body: bytes, code: int, said: str, tool: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with speaking(status, body, location="https://elsewhere.example/") as url:
        monkeypatch.setenv("FTWATCH_URL", url)
        answer = tool("jobs")
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert "\x1b" not in answer.err


# ---------------------------------------------------------------------------------- waiting and following


def later(there: Elsewhere, what: Callable[[], Any], ready: Callable[[], Any]) -> threading.Thread:
    """Lets something happen there once whoever waits here is listening."""

    def run() -> None:
        end = time.monotonic() + PATIENCE
        while not ready() and time.monotonic() < end:
            time.sleep(0.02)
        there(what)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def listens(there: Elsewhere) -> Callable[[], Any]:
    return lambda: there.there.application.state.tail.listeners


def test_waiting_hears_of_the_end_without_asking(
    tool: Any, away: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.cli.wait.FAR", 1000.0)
    away(lambda: away.there.happen("a", "running"))
    thread = later(away, lambda: away.there.happen("a", "succeeded", at=NOW + 1), listens(away))
    said = tool("wait", "a", "--timeout", "60s", "-o", "json")
    thread.join()
    assert said.code == Exit.OK
    (job,) = said.json
    assert (job["id"], job["status"]) == ("a", "succeeded")
    assert "changed_at" not in job
    poller: Any = away.there.house.pollers["openai"]
    assert poller.poked == ["a"], "it is asked for once in a while, not at every look"


def test_waiting_for_several_ends_as_it_should(tool: Any, away: Elsewhere) -> None:
    async def happen() -> None:
        await away.there.happen("a", "succeeded")
        await away.there.happen("b", "failed", name="bot")

    away(happen)
    said = tool("wait", "a", "bot")
    assert (said.code, len(said.out.splitlines())) == (Exit.NO, 2)
    assert tool("wait", "a").code == Exit.OK


def test_waiting_for_what_is_not_there(tool: Any, away: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FIND", 0.0)
    away(lambda: away.there.happen("ftjob-aa", "running"))
    away(lambda: away.there.happen("ftjob-ab", "running"))
    assert tool("wait", "nope").code == Exit.NOTHING
    assert "openai/ftjob-ab" in tool("wait", "ftjob-a").err
    assert tool("wait", "ftjob-aa", "--timeout", "0.1s").code == Exit.TIMEOUT


def test_a_job_that_is_new_is_looked_for(tool: Any, away: Elsewhere) -> None:
    pollers: Any = away.there.house.pollers
    thread = later(away, lambda: away.there.happen("a", "succeeded"), lambda: pollers["openai"].poked)
    assert tool("wait", "a").code == Exit.OK
    thread.join()
    assert [one.poked for one in pollers.values()] == [[None], [None]]


@pytest.mark.parametrize("job", [(), ("a",)])
def test_following_goes_on_from_the_past(job: tuple[str, ...], away: Elsewhere) -> None:
    away(lambda: away.there.happen("a", "queued"))
    command = [sys.executable, "-u", "-m", "ftwatch", "events", *job, "--follow", "-o", "json"]
    following = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["type"] == "fine_tuning.job.created"
    away(lambda: away.there.happen("a", "running", at=NOW + 1))
    assert json.loads(following.stdout.readline())["type"] == "fine_tuning.job.running"
    following.send_signal(2)
    _, err = following.communicate(timeout=PATIENCE)
    assert (following.returncode, err.strip()) == (Exit.INTERRUPTED, "")


def test_following_comes_again_when_the_line_broke(
    tool: Any, away: Elsewhere, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote, "AGAIN", 0.01)
    # What ends the streams, and not the server with them.
    state, ends = away.there.application.state, anyio.Event()
    state.ends = ends
    away(lambda: away.there.happen("a", "queued"))
    with asking(None) as facts:
        (first,) = facts.events(None, 10)
        following = facts.follow(None, first)
        away(lambda: away.there.happen("a", "running", at=NOW + 1))
        assert next(following).fact.type == "fine_tuning.job.running"

        async def restart() -> None:
            state.ends = anyio.Event()
            ends.set()
            await away.there.happen("a", "paused", at=NOW + 2)

        away(restart)
        assert next(following).fact.type == "fine_tuning.job.paused"
        following.close()
    assert "the line broke; trying again" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- the real daemon


@pytest.mark.timeout(300)
def test_from_anywhere_with_a_url_and_a_token(tmp_path: Path) -> None:
    outside = Outside()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    house = House(tmp_path, outside)
    house.write(more=f"web: {{listen: '127.0.0.1:{port}', token: {TOKEN}}}\n")
    anywhere = tmp_path / "anywhere"
    anywhere.mkdir()
    # No config, no key, no home: only where it is, and what lets in.
    environ = {"PATH": os.environ["PATH"], "FTWATCH_URL": f"http://127.0.0.1:{port}", "FTWATCH_TOKEN": TOKEN}

    def ask(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "ftwatch", *words]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=anywhere, env=environ
        )

    def said(*words: str) -> tuple[int | None, str]:
        asked = ask(*words)
        out, err = asked.communicate(timeout=PATIENCE)
        return asked.returncode, out + err

    try:
        house.started()
        outside.put("j1", "running")
        waiting = ask("wait", "j1", "--timeout", "60s")
        until(lambda: outside.told() == ["created j1"])
        (job,) = json.loads(said("jobs", "-v", "-o", "json")[1])
        assert (job["job"], job["status"]) == ("j1", "running")
        assert job["next"] is not None
        assert said("silence", "add", "--job", "j1", "--for", "1h")[0] == Exit.OK
        outside.put("j1", "failed")
        out, err = waiting.communicate(timeout=PATIENCE)
        assert (waiting.returncode, err) == (Exit.NO, "")
        assert "failed" in out
        assert "not told: silenced by" in said("why", "j1")[1]
        code, acked = said("ack", "j1", "--author", "ann")
        assert (code, acked) == (Exit.OK, "sim/j1: acknowledged: failed\n")
        assert (
            json.loads(said("events", "j1", "-o", "json")[1].splitlines()[-1])["data"]["status"] == "failed"
        )
        assert said("wait", "j1")[0] == Exit.NO
        environ["FTWATCH_TOKEN"] = "another"
        assert said("jobs")[0] == Exit.USAGE
    finally:
        for daemon in house.daemons:
            daemon.kill()
            daemon.communicate()
        outside.server.shutdown()
        outside.server.server_close()
