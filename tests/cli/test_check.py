"""check, schema, route: is the config right, who gets what, and does everybody answer?"""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit

CONFIGS = Path(__file__).parents[2] / "config"


def words(said: Any) -> list[str]:
    return [" ".join(line.split()) for line in said.out.splitlines()]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "person.yaml",
            [
                "openai openai every job an active job every 30s, new ones every 2m",
                "slack always jobs: created, running, succeeded, failed, cancelled, paused, unknown, gone,"
                " returned",
                "alerts: all",
                "ftwatch's own: all",
            ],
        ),
        (
            "team.yaml",
            [
                "nebius nebius every job of the last 30d an active job every 30s, new ones every 2m",
                'search (slack) labels.team="search" jobs: created, running, succeeded, failed, cancelled,'
                " paused, unknown, gone, returned",
                'oncall (pagerduty) labels.env="prod" jobs: failed, gone',
                "alerts: stuck",
                "slack, search, oncall, mail: also told how what they heard of has ended (closure)",
                'silenced until 2027-01-01 00:00:00: provider="nebius", type="fine_tuning.alert.*"'
                " (the sandbox queues for days)",
            ],
        ),
        (
            "relay-to-ci.yaml",
            [
                "ci (webhook) always jobs: succeeded, failed, cancelled",
                "ftwatch's own: delivery.dead, notifier.disabled, config.rejected, store.full",
                'evaluate (command) metadata.evaluate="yes" jobs: succeeded',
            ],
        ),
    ],
)
def test_who_gets_what(tool: Any, name: str, lines: list[str]) -> None:
    said = tool("check", "-c", str(CONFIGS / name))
    assert said.code == Exit.OK
    for line in lines:
        assert line in words(said)
    assert "note: `ftwatch run` needs secrets that this shell does not have:" in said.err


def test_who_gets_what_as_json(tool: Any) -> None:
    whole = tool("check", "-c", str(CONFIGS / "relay-to-ci.yaml"), "-o", "json").json
    assert whole["reach"][1] == {
        "notifier": "evaluate",
        "when": 'metadata.evaluate="yes"',
        "types": ["fine_tuning.job.succeeded"],
    }
    assert [line.partition(": error: ")[2] for line in whole["missing"]] == [
        "${CI_WEBHOOK_SECRET} is not set"
    ]


def test_a_notifier_that_nothing_reaches_is_a_warning(tool: Any) -> None:
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {}}\nnotifiers:\n  console: {}\n  lost: {kind: command, argv: [x]}\n"
        "routes: [{notify: [console]}]\n"
    )
    for command in (["check"], ["route", "show"]):
        said = tool(*command)
        assert said.code == Exit.OK
        assert "ftwatch.yaml:4:3: warning: nothing reaches 'lost'" in said.err
        assert "lost (command) never nothing" in words(said)


def test_a_literal_secret_is_a_warning_that_does_not_tell_it(tool: Any) -> None:
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {api_key: sk-verysecretindeed}}\nnotifiers: {console: {}}\n"
    )
    said = tool("check")
    assert (said.code, "warning" in said.err) == (Exit.OK, True)
    assert "sk-very" not in said.err + said.out


def test_the_schema_is_json(tool: Any) -> None:
    assert tool("schema").json["properties"].keys() >= {"providers", "notifiers", "routes"}


# ------------------------------------------------------------------------------------------- online


@pytest.fixture
def mail() -> Iterator[int]:
    """The port of a mail server that only greets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            line.sendall(b"220 here ESMTP\r\n")
            line.close()

    thread = threading.Thread(target=greet)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def online(service: Any, mail: int, key: str = "sk-right") -> str:
    return (
        "providers:\n"
        f"  sim: {{kind: openai, base_url: '{service.url}/v1', api_key: {key}, job_log: false}}\n"
        "notifiers:\n"
        f"  slack: {{webhook_url: '{service.url}/services/T0/secret'}}\n"
        f"  mail: {{kind: email, host: 127.0.0.1, port: {mail}, security: plain, from: a@b.c, to: [a@b.c]}}\n"
        "  run: {kind: command, argv: [sh]}\n"
        "  console: {}\n"
    )


def test_everybody_answers(tool: Any, service: Any, mail: int) -> None:
    service.key = "sk-right"
    service.put("a", "running")
    Path("ftwatch.yaml").write_text(online(service, mail))
    said = tool("check", "--online", "-o", "json")
    assert said.code == Exit.OK
    found = {one["what"]: one["said"] for one in reversed(said.json["online"])}
    assert found["provider sim"].startswith("it lets ftwatch in, and shows 1 job, 1 active (")
    assert {(one["ok"], one["result"]) for one in said.json["online"]} == {(True, "answers")}
    assert found["notifier slack"] == f"HEAD {service.url}/: it answers (HTTP 404), nothing was sent"
    assert found["notifier mail"] == f"a connection to 127.0.0.1:{mail}: it greets, nothing was sent"
    assert found["notifier run"] == "sh can be run"
    assert service.taken == []
    assert "secret" not in json.dumps(said.json["online"])


def test_who_does_not_answer_is_named(tool: Any, service: Any) -> None:
    service.key = "sk-another"
    Path("ftwatch.yaml").write_text(online(service, 9).replace("[sh]", "[./nothing-here]"))
    service.server.shutdown()
    service.server.server_close()
    said = tool("check", "--online")
    assert said.code == Exit.NO
    rows = [line for line in words(said) if " error " in line]
    assert [row.split()[1] for row in rows] == ["sim", "slack", "mail", "run"]
    assert all("refused" in row for row in rows[:3])
    assert "cannot be run" in rows[3]


def test_what_is_missing_is_found(tool: Any, service: Any, mail: int) -> None:
    service.key = "sk-right"
    service.put("a", "running")
    Path("ftwatch.yaml").write_text(online(service, mail).replace("job_log: false", "job_log: true"))
    said = tool("check", "--online")
    assert said.code == Exit.NO
    assert [line for line in words(said) if line.startswith(("answers", "error"))] == [
        "error the job log's events: there is no job a, which is listed",
        "error the job log's checkpoints: there is no job a, which is listed",
        "answers of job a it shows the document",
    ]


def test_a_refused_key_is_found(tool: Any, service: Any, mail: int) -> None:
    service.key = "sk-another"
    Path("ftwatch.yaml").write_text(online(service, mail))
    said = tool("check", "--online")
    assert said.code == Exit.NO
    assert "HTTP 401" in said.out
    assert "sk-" not in said.out


# -------------------------------------------------------------------------------------------- route


def test_every_route_in_words(tool: Any) -> None:
    said = tool("route", "show", "-c", str(CONFIGS / "team.yaml"))
    assert '1 everything, from info on, except labels.env="sandbox" slack' in words(said)
    assert '2 labels.team="search", from info on search' in words(said)


@pytest.mark.parametrize(
    ("pairs", "gets"),
    [
        (["type=fine_tuning.job.failed", "provider=openai-prod"], {"slack", "search", "oncall", "mail"}),
        (["status=failed", "provider=azure"], {"slack", "oncall", "mail"}),
        (["type=fine_tuning.job.succeeded", "provider=azure"], {"slack"}),
        (["type=fine_tuning.job.failed", "labels.env=sandbox"], set()),
        (["type=fine_tuning.job.queued"], set()),
        (["type=ftwatch.provider.degraded", "provider=azure"], {"slack", "search", "oncall", "mail"}),
        (["type=fine_tuning.alert.stuck", "provider=nebius"], set()),
        (["type=fine_tuning.job.updated", "metadata.team=search", "severity=notice"], {"slack", "search"}),
    ],
)
def test_an_event_by_hand_goes_where_a_real_one_would(tool: Any, pairs: list[str], gets: set[str]) -> None:
    args = ["route", "test", "-c", str(CONFIGS / "team.yaml"), *pairs]
    said = tool(*args, "-o", "json")
    assert {one["notifier"] for one in said.json["notifiers"] if one["gets"]} == gets
    assert all(one["why"] for one in said.json["notifiers"])
    assert said.code == (Exit.OK if gets else Exit.NOTHING)
    if gets:
        assert tool(*args, *(f"--expect={name}" for name in gets)).code == Exit.OK


def test_what_is_expected_and_does_not_come_is_a_negative_answer(tool: Any) -> None:
    args = ["route", "test", "-c", str(CONFIGS / "team.yaml"), "type=fine_tuning.job.succeeded"]
    assert tool(*args, "--expect", "oncall").code == Exit.NO
    assert tool(*args, "--expect", "nobody").code == Exit.USAGE


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ("labels.team", "is not KEY=VALUE"),
        ("=x", "is not KEY=VALUE"),
        ("tpye=x", "did you mean 'type'"),
        ("status=done", "status is never 'done'"),
        ("severity=loud", "severity is never 'loud'"),
        ("type=fine_tuning.job.faild", "did you mean 'fine_tuning.job.failed'"),
        ("type=fine_tuning.job.*", "is a pattern"),
        ("status=fail*", "is a pattern"),
        ("severity=re:.*", "is a pattern"),
    ],
)
def test_a_slip_in_an_event_by_hand_is_explained(tool: Any, pair: str, sentence: str) -> None:
    said = tool("route", "test", "-c", str(CONFIGS / "person.yaml"), pair)
    assert said.code == Exit.USAGE
    assert sentence in said.err


def test_who_has_reports_is_said_and_who_has_none_misses_nothing(tool: Any) -> None:
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {}}\nnotifiers:\n  console: {report: {at: '09:00'}}\n  other: {kind: console}\n"
    )
    said = words(tool("route", "show"))
    assert "ftwatch's own: all, report" in said
    assert "ftwatch's own: all" in said
