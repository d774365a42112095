"""silence and ack: from the command line into the next decision, without a daemon and beside one."""

import getpass
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from ftwatch import control
from ftwatch.cli import Exit, cli
from ftwatch.store import Store


@pytest.fixture(autouse=True)
def anna(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types."""
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")


@pytest.fixture
def jobs(world: Any) -> Any:
    """A running job of the team search, and one of nobody's that is paused."""
    world.happen("ftjob-a", "running", name="bot", labels={"team": "search"})
    world.happen("ftjob-b", "paused")
    return world


def listed(tool: Any, *args: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = tool("silence", "list", "-o", "json", *args).json
    return rows


def added(tool: Any, *args: str) -> str:
    """Adds a silence; returns its id."""
    said = tool("silence", "add", *args)
    assert said.code == Exit.OK, said.err
    return str(said.out.partition(":")[0])


def happen(world: Any, id: str, status: str, **more: Any) -> list[str]:
    """A look, decided with the silences that stand; returns why the notifiers are not told."""
    store = Store(world.database)
    world.routing, before = store.silences.over(world.routing), world.routing
    store.close()
    decision = world.happen(id, status, at=time.time(), **more)
    world.routing = before
    return [one.reason for one in decision.verdicts]


def test_a_silence_mutes_from_now_on_and_its_end_is_the_end_of_it(tool: Any, jobs: Any) -> None:
    said = tool("silence", "add", 'labels.team="search"', "--for", "2h", "--comment", "planned outage")
    id = said.out.partition(":")[0]
    assert said.out.startswith(f"{id}: silent until 20")
    assert said.out.endswith(': labels.team="search"\n')
    assert said.err == "that is true of one active job now\n"
    labels = {"team": "search"}
    assert happen(jobs, "ftjob-a", "paused", labels=labels) == [f"silenced by planned outage ({id}, by anna)"]
    assert f"console: not told: silenced by planned outage ({id}, by anna)" in tool("why", "ftjob-a").out
    assert tool("silence", "expire", id[:8]).out == f"{id}: taken away\n"
    assert happen(jobs, "ftjob-a", "running", labels=labels) == []


@pytest.mark.parametrize(
    ("args", "matchers"),
    [
        (["type=fine_tuning.alert.*", "name=bot"], ['type="fine_tuning.alert.*"', 'name="bot"']),
        (['{model=~"gpt.*", labels.team!="x"}'], ['model=~"gpt.*"', 'labels.team!="x"']),
        (["--job", "bot"], ['provider="openai"', 'id="ftjob-a"']),
        (["--job", "ftjob-a", "status=paused"], ['provider="openai"', 'id="ftjob-a"', 'status="paused"']),
        (["min_severity=warning"], ['min_severity="warning"']),
    ],
)
def test_it_is_asked_for_in_alertmanagers_words(
    tool: Any, jobs: Any, args: list[str], matchers: list[str]
) -> None:
    id = added(tool, *args)
    (row,) = listed(tool)
    assert (row["id"], row["matchers"], row["author"], row["until"]) == (id, matchers, "anna", None)


def test_until_a_time_of_the_readers_own_zone(tool: Any, jobs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    added(tool, "name=bot", "--until", "2099-07-01T18:00")
    assert "2099-07-01 18:00:00" in tool("silence", "list").out
    assert listed(tool)[0]["until"] == "2099-07-01T16:00:00Z"


def test_until_the_end_of_a_job(tool: Any, jobs: Any) -> None:
    said = tool("silence", "add", "--job", "bot", "--until", "end", "--author", "kim")
    assert said.out.endswith(': silent until the job is over: provider="openai", id="ftjob-a"\n')
    assert happen(jobs, "ftjob-a", "paused")[0].endswith(", by kim)")
    assert happen(jobs, "ftjob-a", "failed") == []
    assert listed(tool) == []
    (row,) = listed(tool, "--expired")
    assert row["until_end"]
    assert row["expired_at"].endswith("Z")
    assert "over since 20" in tool("silence", "list", "--expired").out
    said = tool("silence", "add", "--job", "ftjob-a", "--until", "end")
    assert said.code == Exit.NO
    assert said.err == "error: openai/ftjob-a is over, or not watched: no end of it will come\n"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "say what should be silent"),
        (["name=bot", "labls.team=x"], "matcher 2: nothing has a key 'labls.team'; did you mean"),
        (["provider=opnai"], "matcher 1: there is no provider 'opnai'; did you mean 'openai'?"),
        (["bot"], "matcher 1: 'bot' is no matcher: write key=\"value\""),
        (["name=bot", "--until", "2020-01-01"], "that time is past already"),
        (["name=bot", "--for", "0s"], "that time is past already"),
        (["name=bot", "--until", "soon"], "'soon' is neither a time (2026-11-23T18:00) nor 'end'"),
        (["name=bot", "--for", "5 parsecs"], "is no duration"),
        (["name=bot", "--for", "1h", "--until", "end"], "say the same thing twice"),
        (["name=bot", "--until", "end"], "only a silence that names one job"),
    ],
)
def test_what_cannot_be_is_a_usage_error(tool: Any, jobs: Any, args: list[str], sentence: str) -> None:
    said = tool("silence", "add", *args)
    assert (said.code, said.out) == (Exit.USAGE, "")
    assert sentence in said.err
    assert listed(tool) == []


def test_a_job_that_nobody_knows_is_not_silenced(tool: Any, jobs: Any) -> None:
    assert tool("silence", "add", "--job", "nobody").code == Exit.NOTHING
    assert tool("silence", "add", "--job", "ftjob-").code == Exit.USAGE


def test_those_of_the_config_are_listed_and_end_there(tool: Any, jobs: Any) -> None:
    jobs.configure(
        "providers: {openai: {}}\nnotifiers: {console: {}}\n"
        "silences:\n- {match: {id: 'ftjob-*'}, comment: noisy}\n"
        "- {match: {kind: x}, until: 2020-01-01T00:00:00Z}"
    )
    id = added(tool, "name=bot")
    first, second = listed(tool)
    assert (first["id"], first["in_config"], first["jobs"], first["author"]) == ("config-1", True, 2, "")
    assert (second["id"], second["in_config"], second["jobs"]) == (id, False, 1)
    assert [row["id"] for row in listed(tool, "--expired")] == ["config-1", "config-2", id]
    assert "the config" in tool("silence", "list").out
    said = tool("silence", "expire", "config-1")
    assert said.code == Exit.NO
    assert "config-1 stands in the config: take it out of" in said.err


def test_which_ones_are_taken_away_must_be_said(tool: Any, jobs: Any) -> None:
    ids = {added(tool, f"name={name}") for name in "abcdefghijklmnopq"}
    for args, code in (
        ([], Exit.USAGE),
        (["--all", "x"], Exit.USAGE),
        (["nope"], Exit.NOTHING),
        ([""], Exit.NOTHING),
    ):
        said = tool("silence", "expire", *args)
        assert (said.code, said.out) == (code, "")
    said = tool("silence", "expire", "sil_")
    assert (said.code, said.out) == (Exit.NO, "")
    assert "the beginning of several ids" in said.err
    one, *rest = sorted(ids)
    assert tool("silence", "expire", one, one).out == f"{one}: taken away\n"
    assert set(tool("silence", "expire", "--all").out.split()[::3]) == {f"{id}:" for id in rest}
    said = tool("silence", "expire", "--all")
    assert (said.code, said.err) == (Exit.NOTHING, "no silence of that kind stands\n")


def test_nothing_is_silenced_yet(tool: Any, jobs: Any) -> None:
    said = tool("silence", "list")
    assert (said.code, said.out, said.err) == (Exit.OK, "", "nothing is silenced\n")


def test_route_test_and_check_know_of_it(tool: Any, jobs: Any) -> None:
    id = added(tool, "name=bot", "--comment", "shh")
    said = tool("route", "test", "name=bot")
    assert said.code == Exit.NOTHING
    assert f"silenced by shh ({id}, by anna)" in said.out
    assert tool("route", "test", "name=other").code == Exit.OK
    assert 'silenced by anna: name="bot" (shh)' in tool("check").out
    tool("silence", "expire", id)
    assert tool("route", "test", "name=bot").code == Exit.OK


@pytest.mark.parametrize(
    ("args", "operation", "asked"),
    [
        (["silence", "list"], "silence.list", {"expired": False}),
        (["silence", "expire", "--all"], "silence.expire", {"ids": None}),
        (
            ["silence", "add", "name=bot", "--comment", "x"],
            "silence.add",
            {"matchers": ["name=bot"], "until": None, "until_end": False, "comment": "x", "author": "anna"},
        ),
        (
            ["ack", "ftjob-b"],
            "ack",
            {"provider": "openai", "job": "ftjob-b", "author": "anna", "comment": ""},
        ),
    ],
)
def test_a_running_daemon_does_it(
    tool: Any,
    jobs: Any,
    monkeypatch: pytest.MonkeyPatch,
    args: list[str],
    operation: str,
    asked: dict[str, Any],
) -> None:
    seen = []

    def ask(path: Path, op: str, **given: Any) -> dict[str, Any]:
        seen.append((op, json.loads(json.dumps(given))))
        raise control.Refused("the daemon says no")

    monkeypatch.setattr(control, "ask", ask)
    assert tool(*args).code == Exit.NO
    assert seen == [(operation, asked)]
    monkeypatch.undo()
    monkeypatch.chdir(jobs.folder)
    store = Store(jobs.database, mode="read")
    assert store.silences.all() == [], "only the daemon writes while it runs"
    store.close()


def test_somebody_else_holds_the_database(tool: Any, jobs: Any) -> None:
    holder = Store(jobs.database)
    try:
        assert tool("silence", "add", "name=bot").code == Exit.LATER
        assert tool("ack", "ftjob-b").code == Exit.LATER
        assert tool("silence", "list").code == Exit.OK
    finally:
        holder.close()


def test_before_the_first_start_there_is_nothing_to_write_into(tool: Any, world: Any) -> None:
    for args in (["silence", "add", "name=bot"], ["silence", "list"], ["silence", "expire", "--all"]):
        said = tool(*args)
        assert said.code == Exit.NO
        assert "has `ftwatch run` been started?" in said.err
    assert not world.database.exists()


def test_what_strangers_wrote_is_inert(tool: Any, jobs: Any) -> None:
    added(tool, "name=\x1b[31mred", "--comment", "\x1b]0;mine\x07x\ny", "--author", "a\x1b[0mb")
    for args in ([], ["-o", "json"]):
        assert "\x1b" not in tool("silence", "list", *args).out
    (row,) = listed(tool)
    assert (row["comment"], row["author"]) == ("]0;mine x y", "a [0mb")


def offered(words: list[str], incomplete: str) -> set[str]:
    complete = ShellComplete(cli, {}, "ftwatch", "_FTWATCH_COMPLETE")
    return {item.value for item in complete.get_completions(words, incomplete)}


def test_a_shell_is_offered_ids(tool: Any, jobs: Any) -> None:
    id = added(tool, "name=bot")
    gone = added(tool, "name=other")
    tool("silence", "expire", gone)
    assert offered(["silence", "expire"], "sil") == {id}
    assert offered(["silence", "expire"], "x") == set()
    assert {"ftjob-a", "bot"} <= offered(["ack"], "")
    assert {"ftjob-a", "bot"} <= offered(["silence", "add", "--job"], "")
    assert offered(["silence"], "") == {"add", "list", "expire"}
    jobs.database.unlink()
    assert offered(["silence", "expire"], "") == set()


# ------------------------------------------------------------------------------------------------ acks


def test_what_is_open_is_acknowledged_and_shown(tool: Any, jobs: Any) -> None:
    said = tool("ack", "ftjob-b", "--comment", "waiting for data")
    assert (said.code, said.out) == (Exit.OK, "openai/ftjob-b: acknowledged: paused\n")
    shown = tool("show", "ftjob-b").out
    (line,) = [line for line in shown.splitlines() if line.startswith("acknowledged:")]
    assert "paused, by anna, 20" in line
    assert line.endswith(": waiting for data")
    whole = tool("show", "ftjob-b", "-o", "json").json
    assert whole["ack"]["author"] == "anna"
    assert whole["acks"] == [whole["ack"]]
    jobs.happen("ftjob-b", "running")
    assert "acknowledged" not in tool("show", "ftjob-b").out
    whole = tool("show", "ftjob-b", "-o", "json").json
    assert whole["ack"] is None
    assert len(whole["acks"]) == 1


def test_an_ack_as_json(tool: Any, jobs: Any) -> None:
    said = tool("ack", "ftjob-b", "--author", "kim", "-o", "json").json
    assert said["at"].endswith("Z")
    del said["at"]
    assert said == {
        "job": "openai/ftjob-b",
        "author": "kim",
        "comment": "",
        "state": "paused",
        "alerts": {},
    }


def test_where_nothing_is_open_there_is_nothing_to_acknowledge(tool: Any, jobs: Any) -> None:
    said = tool("ack", "ftjob-a")
    assert (said.code, said.out) == (Exit.NOTHING, "")
    assert said.err == "nothing is open about openai/ftjob-a: it is running\n"
    assert tool("ack", "nobody").code == Exit.NOTHING
    assert tool("ack").code == Exit.USAGE


def test_who_is_typing_has_a_number_where_it_has_no_name(
    tool: Any, jobs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    added(tool, "name=bot")
    assert listed(tool)[0]["author"] == f"uid {os.getuid()}"


def test_a_preview_shows_what_it_would_have_muted_and_silences_nothing(tool: Any, jobs: Any) -> None:
    now = time.time()
    labels = {"team": "search"}
    for status, ago in (("paused", 3600), ("running", 1800), ("failed", 60)):
        jobs.happen("ftjob-a", status, at=now - ago, name="bot", labels=labels)
    said = tool("silence", "add", 'labels.team="search"', "--preview")
    assert said.code == Exit.OK
    first, second, *rest = said.out.splitlines()
    assert first.startswith("it would have muted 3 of 3 events that were told since 20")
    assert first.endswith(", the worst of them error")
    assert second == "nobody would have heard of them: console 3"
    types = [f"fine_tuning.job.{status}" for status in ("paused", "running", "failed")]
    assert [word for line in rest for word in line.split() if word in types] == types
    found = tool("silence", "add", 'labels.team="search"', "--preview", "-o", "json").json
    assert (found["events"], found["deliveries"], found["by_notifier"]) == (3, 3, {"console": 3})
    assert found["by_type"]["fine_tuning.job.failed"] == 1
    assert [one["about"] for one in found["last"]] == ["bot"] * 3
    assert found["since"].endswith("Z")
    assert listed(tool) == []


def test_a_preview_knows_what_ends_and_what_is_wrong(tool: Any, jobs: Any) -> None:
    now = time.time()
    jobs.happen("ftjob-a", "paused", at=now - 60, name="bot")
    jobs.happen("ftjob-a", "failed", at=now - 30, name="bot")
    job = ["--job", "ftjob-a", "--preview", "-o", "json"]
    assert tool("silence", "add", *job).json["events"] == 2
    # The end would have been told.
    assert tool("silence", "add", *job, "--until", "end").json["events"] == 1
    none = tool("silence", "add", "name=nobody", "--preview")
    assert none.out.startswith("it would have muted none of the 2 events told since 20")
    assert none.code == Exit.OK
    for words, sentence in (
        (["modl=x"], "did you mean 'model'"),
        ([], "say what should be silent"),
        (["name=bot", "--until", "end"], "only a silence that names one job"),
    ):
        said = tool("silence", "add", *words, "--preview")
        assert said.code != Exit.OK
        assert sentence in said.err


def test_a_silence_that_is_added_is_said_as_json_too(tool: Any, jobs: Any) -> None:
    made = tool("silence", "add", "name=bot", "--for", "2h", "-o", "json").json
    assert made["matchers"] == ['name="bot"']
    assert made["until"].endswith("Z")
    assert listed(tool)[0]["id"] == made["id"]
