"""The commands beside a real daemon: what changes something goes over its control socket."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ftwatch.cli import Exit

PATIENCE = 30.0


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


@pytest.fixture
def daemon(world: Any, service: Any, tool: Any) -> Iterator[subprocess.Popen[bytes]]:
    service.answer_with = 403
    service.put("ftjob-a", "running", user_provided_suffix="bot")
    world.configure(
        f"providers:\n  sim: {{kind: openai, base_url: '{service.url}/v1', poll: 1s, discover: 1h}}\n"
        f"notifiers:\n  slack: {{webhook_url: '{service.url}/hook', retry: {{waits: [1h]}}}}"
    )
    daemon = subprocess.Popen(
        [sys.executable, "-m", "ftwatch", "run"],
        cwd=world.folder,
        env=os.environ,
        stderr=subprocess.DEVNULL,
    )
    until(lambda: tool("jobs").out)
    yield daemon
    if daemon.poll() is None:
        daemon.send_signal(signal.SIGTERM)
    daemon.wait(PATIENCE)


def test_a_day_with_the_daemon(daemon: Any, world: Any, service: Any, tool: Any) -> None:
    until(lambda: "not running" not in tool("status").out)
    whole = tool("status", "-o", "json").json
    assert whole["daemon"]["pid"] == daemon.pid
    assert whole["providers"][0]["counts"] == {"running": 1}

    # When the daemon looks next, and why then.
    (row,) = tool("jobs", "--provider", "sim", "-v", "-o", "json").json
    assert row["next"]
    assert row["why"]
    assert "in 0s" not in tool("jobs", "-v").out

    # A second one refuses, to be tried again later.
    assert tool("run").code == Exit.LATER

    # What did not arrive is there to be sent again, or given up.
    until(lambda: tool("outbox", "list", "-o", "json").json)
    (waiting,) = tool("outbox", "list", "-o", "json").json
    service.answer_with = 200
    assert tool("outbox", "retry", waiting["id"]).code == Exit.OK
    until(lambda: not tool("outbox", "list", "-o", "json").json)
    assert tool("outbox", "drop", "--yes", waiting["id"]).code == Exit.NOTHING

    # A job that was started just now, though its discovery is an hour away.
    service.put("ftjob-new", *["running"] * 4, "failed", error={"message": "line 17"})
    said = tool("wait", "ftjob-new", "bo", "--timeout", "300ms")
    assert said.code == Exit.TIMEOUT
    said = tool("wait", "ftjob-new")
    assert said.code == Exit.NO
    assert said.out.splitlines()[-1].endswith("failed: line 17")
    types = [json.loads(line)["type"] for line in tool("events", "ftjob-new", "-o", "json").out.splitlines()]
    assert types[-1] == "fine_tuning.job.failed"

    # A config with a mistake is refused, and said so where it was asked for.
    good = world.path.read_text()
    world.path.write_text(good.replace("poll: 1s", "poll: soon"))
    said = tool("reload")
    assert said.code == Exit.USAGE
    assert "ftwatch.yaml:2:" in said.err
    world.path.write_text(good.replace("poll: 1s", "poll: 2s"))
    assert tool("reload").code == Exit.OK


def test_what_is_silenced_beside_a_living_daemon(daemon: Any, world: Any, service: Any, tool: Any) -> None:
    until(lambda: "not running" not in tool("status").out)
    made = tool(
        "silence", "add", "--job", "ftjob-a", "--for", "1h", "--comment", "planned", "--author", "anna"
    )
    assert made.code == Exit.OK, made.err
    id = made.out.partition(":")[0]
    assert [one["jobs"] for one in tool("silence", "list", "-o", "json").json] == [1]
    service.put("ftjob-a", "paused", user_provided_suffix="bot")
    until(lambda: "job.paused" in tool("why", "ftjob-a").out)
    assert f"slack: not told: silenced by planned ({id}, by anna)" in tool("why", "ftjob-a").out
    for args in (["add", "--job", "ftjob-a", "--until", "2020-01-01"], ["add", "provider=smi"]):
        assert tool("silence", *args).code == Exit.USAGE
    assert tool("ack", "ftjob-a", "--comment", "on it", "--author", "anna").out == (
        "sim/ftjob-a: acknowledged: paused\n"
    )
    assert ": on it" in tool("show", "ftjob-a").out
    assert tool("silence", "expire", "--all").out == f"{id}: taken away\n"
    assert tool("silence", "expire", "--all").code == Exit.NOTHING
    service.put("ftjob-a", "failed", user_provided_suffix="bot")
    until(lambda: "job.failed" in tool("why", "ftjob-a").out)
    last = tool("why", "ftjob-a", "-o", "json").json[-1]
    assert [told["notifier"] for told in last["told"]] == ["slack"]
    assert "acknowledged" not in tool("show", "ftjob-a").out


def test_without_a_daemon_it_says_how_to_start_one(world: Any, tool: Any) -> None:
    said = tool("reload")
    assert said.code == Exit.UNREACHABLE
    assert "start one with `ftwatch run`" in said.err


def test_a_job_is_forgotten_under_a_living_daemon(daemon: Any, world: Any, service: Any, tool: Any) -> None:
    assert tool("forget", "ftjob-a", "--yes").out.startswith("forgotten: job sim/ftjob-a; ")
    assert tool("jobs", "-o", "json").json == []
    service.put("ftjob-a", "failed", user_provided_suffix="bot")
    time.sleep(2.5)
    assert tool("events", "ftjob-a").code == Exit.NOTHING
    assert "take it out first" in tool("forget", "sim", "--yes").err
    assert b"bot" not in world.database.read_bytes()
