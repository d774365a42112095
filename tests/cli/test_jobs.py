"""jobs, show, events, status: what is known, as people and programs read it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftwatch import control
from ftwatch.cli import Exit
from ftwatch.core.announce import ProviderState, degraded, watching
from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Summary
from ftwatch.core.job import JobError, JobKey, Progress
from ftwatch.core.journal import Checkpoint, Journal, Line
from ftwatch.core.route import Recipient, Route, Routing, parse_match
from ftwatch.store import Batch, Store

NOW = 1_795_000_000.0
HOSTILE = "x\x1b]0;owned\x07\r\n[bold]y[/bold]\u202e"
STEERS = "\x1b\x07\r\u202e\x9b"


def columns(said: Any) -> list[list[str]]:
    return [line.split() for line in said.out.splitlines()]


def test_jobs_are_listed_the_last_changed_first(tool: Any, world: Any) -> None:
    world.happen("a", "running", model="gpt", progress=Progress(step=3, total_steps=9), at=NOW)
    world.happen("b", "succeeded", name="bot", at=NOW + 60)
    said = tool("jobs")
    assert said.code == Exit.OK
    assert said.out.splitlines() == [
        "JOB  NAME  PROVIDER  STATUS     SINCE                PROGRESS  MODEL  ALERTS",
        "b    bot   openai    succeeded  2026-11-18 11:07:40            ft:m",
        "a          openai    running    2026-11-18 11:06:40  3/9       gpt",
    ]
    assert [job["job"] for job in tool("jobs", "-o", "json").json] == ["b", "a"]
    assert tool("jobs", "-o", "json", "--active").json[0]["since"] == "2026-11-18T11:06:40Z"
    assert [row[0] for row in columns(tool("jobs", "--status", "succeeded"))] == ["JOB", "b"]
    assert [row[0] for row in columns(tool("jobs", "-n", "1"))] == ["JOB", "b"]


def test_no_jobs_are_no_table(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    said = tool("jobs", "--provider", "other")
    assert (said.code, said.out) == (Exit.OK, "")
    assert said.err
    assert tool("jobs", "--provider", "other", "-o", "json").json == []
    assert "did you mean 'succeeded'" in tool("jobs", "--status", "suceeded").err


@pytest.mark.parametrize("command", [["jobs"], ["status"], ["events"], ["show", "a"], ["outbox", "list"]])
def test_without_a_database_it_says_what_to_do(tool: Any, world: Any, command: list[str]) -> None:
    said = tool(*command)
    assert said.code == Exit.NO
    assert "has `ftwatch run` been started?" in said.err


def test_what_strangers_wrote_is_inert(tool: Any, world: Any) -> None:
    world.happen("ftjob-1", "running", name=HOSTILE, model=HOSTILE, labels={HOSTILE: HOSTILE})
    world.happen("ftjob-1", "failed", name=HOSTILE, error=JobError(code=HOSTILE, message=HOSTILE))
    for command in (["jobs"], ["show", "ftjob-1"], ["events"], ["outbox", "list"], ["status"]):
        for more in ([], ["-o", "json"]):
            said = tool(*command, *more)
            assert not any(sign in said.out + said.err for sign in STEERS), (command, more)
    assert "[bold]y[/bold]" in tool("jobs").out
    assert tool("jobs", "-o", "json").json[0]["name"] == HOSTILE


@pytest.mark.parametrize(
    ("selector", "code"),
    [
        ("ftjob-aa", Exit.OK),
        ("openai/ftjob-aa", Exit.OK),
        ("ftjob-b", Exit.OK),
        ("bot", Exit.OK),
        ("https://platform.example.com/finetune/ftjob-aa", Exit.OK),
        ("ftjob-a", Exit.USAGE),
        ("nope", Exit.NOTHING),
        ("\x1b[31m", Exit.NOTHING),
    ],
)
def test_a_job_is_named_as_people_name_it(tool: Any, world: Any, selector: str, code: int) -> None:
    world.happen("ftjob-aa", "running")
    world.happen("ftjob-ab", "running", name="bot")
    world.happen("ftjob-b", "queued")
    for command in ("show", "events"):
        said = tool(command, selector)
        assert said.code == code
        assert "\x1b" not in said.err
        if code == Exit.USAGE:
            assert "openai/ftjob-aa" in said.err
            assert "openai/ftjob-ab  running  bot" in said.err


def test_show_tells_the_whole_story(tool: Any, world: Any) -> None:
    quiet = Recipient(name="quiet", kind="slack")
    world.routing = Routing(
        recipients=(*world.routing.recipients, quiet),
        routes=(
            Route(notify=("console",)),
            Route(match=parse_match({"model": "other"}), notify=("quiet",)),
        ),
    )
    world.happen("ftjob-a", "running", name="bot", labels={"team": "search"})
    world.try_all(Retry("HTTP 503: later"), at=NOW)
    world.try_all(Sent("HTTP 200"), at=NOW + 100)
    error = JobError(code="bad", message="line 17")
    world.happen("ftjob-a", "failed", name="bot", labels={"team": "search"}, error=error, at=NOW + 200)
    world.try_all(Rejected("HTTP 403: no", final=True), at=NOW + 300)
    said = tool("show", "bot")
    assert said.code == Exit.OK
    told = [" ".join(line.split()) for line in said.out.splitlines()]
    for line in (
        "job: openai/ftjob-a",
        "status: failed",
        "error: bad: line 17",
        "labels: team=search",
        "→ console: delivered 2026-11-18 11:08:20",
        "2026-11-18 11:06:40 retry after 0.2 s: HTTP 503: later",
        "2026-11-18 11:08:20 sent after 0.2 s: HTTP 200",
        "→ console: dead after one try: HTTP 403: no",
        "· quiet: not told, no route matches",
    ):
        assert line in told
    whole = tool("show", "bot", "-o", "json").json
    assert whole["job"]["error"] == {"code": "bad", "message": "line 17", "param": None}
    assert [event["type"] for event in whole["events"]] == [
        "fine_tuning.job.created",
        "fine_tuning.job.failed",
    ]
    assert [one["outcome"] for one in whole["deliveries"][0]["tries"]] == ["retry", "sent"]


def test_show_tells_what_a_job_came_to(tool: Any, world: Any) -> None:
    figures = {"train_loss": 0.4123, "valid_loss": 0.5}
    end = Summary(queued_for=540, ran_for=6600, metrics=figures)
    world.happen("good", "running", at=NOW)
    world.happen("good", "succeeded", at=NOW + 60, trained_tokens=5_768_000, summary=end)
    world.happen("good", "succeeded", at=NOW + 90, trained_tokens=5_768_000, result_files=("f",))
    world.happen("bad", "running", at=NOW)
    world.happen("bad", "failed", at=NOW + 60, summary=Summary(cause="quota_or_billing"))
    good = [" ".join(line.split()) for line in tool("show", "good").out.splitlines()]
    for line in (
        "fine-tuned model: ft:m",
        "duration: 1 h 50 m (queued 9 m)",
        "final: train loss 0.412, valid loss 0.5",
        "trained tokens: 5,768,000",
    ):
        assert line in good
    assert "cause: quota or billing" in [
        " ".join(line.split()) for line in tool("show", "bad").out.splitlines()
    ]
    assert tool("show", "good", "-o", "json").json["summary"] == {
        "queued_for": 540,
        "ran_for": 6600,
        "metrics": figures,
    }
    # A job that goes on after all has come to nothing yet.
    world.happen("bad", "queued", at=NOW + 120)
    assert tool("show", "bad", "-o", "json").json["summary"] is None
    assert "cause:" not in tool("show", "bad").out


def test_events_are_lines_or_the_wire_form(tool: Any, world: Any) -> None:
    world.happen("a", "queued")
    world.happen("b", "running")
    world.happen("a", "failed", at=NOW + 60)
    lines = tool("events").out.splitlines()
    assert [line.split()[:2] for line in lines[:1]] == [["2026-11-18", "11:06:40"]]
    assert [line.split("  ")[1].split()[1] for line in lines] == ["a", "b", "a"]
    wire = [json.loads(line) for line in tool("events", "a", "-o", "json").out.splitlines()]
    assert [event["type"] for event in wire] == ["fine_tuning.job.created", "fine_tuning.job.failed"]
    assert wire[1]["data"]["sequence"] == 2
    assert len(tool("events", "-n", "1").out.splitlines()) == 1


def test_following_goes_on_until_it_is_interrupted(world: Any) -> None:
    world.happen("a", "queued")
    following = subprocess.Popen(
        [sys.executable, "-u", "-m", "ftwatch", "events", "--follow", "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=world.folder,
        env=os.environ,
    )
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["type"] == "fine_tuning.job.created"
    world.happen("a", "failed")
    assert json.loads(following.stdout.readline())["type"] == "fine_tuning.job.failed"
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=30)
    assert (following.returncode, err.strip()) == (Exit.INTERRUPTED, "")


# ----------------------------------------------------------------------------------------- status


@pytest.fixture
def up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that answers."""

    def ask(path: Path, op: str, **args: Any) -> dict[str, Any]:
        assert op == "ping"
        return {"version": "1", "pid": 42, "since": NOW, "config": "x", "generation": 1}

    monkeypatch.setattr(control, "ask", ask)


def settle_in(world: Any, *, bad: bool = False) -> None:
    store = Store(world.database)
    state = ProviderState(name="openai")
    store.commit(Batch(announcements=[watching(state, "openai", 1, 0, Routing(), NOW, tell=False)]), NOW)
    if bad:
        (state,) = store.history.providers()
        said = degraded(state, "openai", "HTTP 401: no", Routing(), NOW)
        store.commit(Batch(announcements=[said]), NOW)
    store.close()


def test_all_is_well(tool: Any, world: Any, up: None) -> None:
    settle_in(world)
    world.happen("a", "running")
    world.try_all(Sent(""))
    said = tool("status")
    assert said.code == Exit.OK
    assert "daemon: up since 2026-11-18 11:06:40 (process 42, 1)" in said.out
    rows = columns(said)
    assert ["openai", "healthy", "1", "running"] in rows
    assert ["console", "healthy", "0", "0", "1"] in [row[:5] for row in rows]
    whole = tool("status", "-o", "json").json
    assert whole["well"] is True
    assert whole["notifiers"][0]["last_delivered"] == "2026-11-18T11:06:40Z"


@pytest.mark.parametrize("trouble", ["no daemon", "degraded", "dead letter", "behind", "not looked at"])
def test_what_cannot_be_trusted_is_a_negative_answer(
    tool: Any, world: Any, request: pytest.FixtureRequest, trouble: str
) -> None:
    if trouble != "no daemon":
        request.getfixturevalue("up")
    if trouble != "not looked at":
        settle_in(world, bad=trouble == "degraded")
    world.happen("a", "running")
    if trouble != "behind":
        world.try_all(Rejected("no", final=True) if trouble == "dead letter" else Sent(""))
    said = tool("status")
    assert said.code == Exit.NO
    words = {
        "no daemon": "not running; start it with `ftwatch run`",
        "degraded": "HTTP 401: no",
        "dead letter": "console",
        "behind": "behind: the oldest waits",
        "not looked at": "not looked at yet",
    }
    assert words[trouble] in said.out
    assert tool("status", "-o", "json").json["well"] is False


def test_a_notifier_that_left_the_config_is_still_owed(tool: Any, world: Any, up: None) -> None:
    settle_in(world)
    world.happen("a", "running")
    world.configure("providers: {openai: {}}\nnotifiers: {other: {kind: console}}")
    assert "orphaned: not in the config any more" in tool("status").out


@pytest.fixture
def trained(world: Any) -> None:
    """A job with a loss that falls, and a checkpoint."""
    world.happen("a", "running", name="bot")
    store = Store(world.database)
    lines = tuple(
        Line(key=str(step), at=int(NOW) + step, step=step, metrics={"train_loss": 100 / step})
        for step in range(50, 501, 50)
    )
    with store.db.transaction():
        journal = Journal(lines=lines, checkpoints=(Checkpoint(id="c", step=250),))
        store.journals.add(JobKey("openai", "a"), 0, journal, NOW)
    store.close()


def dots(said: Any) -> int:
    return sum("\u2800" < c < "\u2900" for c in said.out)


def test_show_draws_for_who_asks(tool: Any, trained: None) -> None:
    said = tool("show", "a", "--plot")
    assert dots(said) > 30
    assert "train 0.2\n" in said.out
    assert "◆" in said.out
    assert "\x1b" not in said.out, "a pipe has no colours"
    assert max(map(len, said.out.splitlines())) <= 100
    assert dots(tool("show", "a")) == 0, "a pipe is not asked for a picture"


def test_show_draws_on_a_terminal(tool: Any, trained: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    said = tool("show", "a")
    assert dots(said) > 20
    assert "\x1b[" in said.out
    assert dots(tool("show", "a", "--no-plot")) == 0
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in tool("show", "a").out
    monkeypatch.setenv("COLUMNS", "25")
    assert dots(tool("show", "a")) == 0, "there is no room"


def test_show_without_the_extra_is_text(tool: Any, trained: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ftwatch.plots.terminal.is_possible", lambda: False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert dots(tool("show", "a")) == 0
    said = tool("show", "a", "--plot")
    assert said.code == Exit.USAGE
    assert "plotille is not installed: pip install 'ftwatch[plots]'" in said.err


def test_show_without_figures_says_that_there_are_none(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    said = tool("show", "a", "--plot")
    assert said.code == Exit.OK
    assert "no figures to draw" in said.err


def test_show_has_the_jobs_own_log(tool: Any, world: Any) -> None:
    world.happen("a", "running", name="bot")
    store = Store(world.database)
    journal = Journal(
        lines=(
            Line(key="1", at=int(NOW), message=f"Fine-tuning job started {HOSTILE}"),
            Line(key="2", at=int(NOW) + 60, message="Step 10", step=10, metrics={"train_loss": 1.25}),
        ),
        checkpoints=(Checkpoint(id="c", step=10, model="ft:m:ckpt-step-10"),),
    )
    with store.db.transaction():
        store.journals.add(JobKey("openai", "a"), 0, journal, NOW)
    store.close()
    said = tool("show", "a")
    assert "2026-11-18 11:07:40  Step 10" in said.out
    assert "1, the last one ft:m:ckpt-step-10 at step 10" in said.out
    assert not set(STEERS) & set(said.out)
    found = tool("show", "a", "-o", "json").json
    assert found["series"] == [{"step": 10, "train_loss": 1.25}]
    assert [line["message"][:7] for line in found["log"]] == ["Fine-tu", "Step 10"]
    assert found["checkpoints"][0]["model"] == "ft:m:ckpt-step-10"
