"""notify test and render: one sample, for real or only to look at."""

import base64
import json
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit
from ftwatch.cli.notify import fresh
from ftwatch.core.event import decode
from ftwatch.core.sample import sample
from ftwatch.core.signature import verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
TOKEN = "a-token-of-ours"


@pytest.fixture(autouse=True)
def config(folder: Path, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_TEST_TOKEN", TOKEN)
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {}}\n"
        "notifiers:\n"
        f"  hook: {{kind: webhook, url: '{service.url}/hook', secret: {SECRET},\n"
        "         headers: {x-token: '${FT_TEST_TOKEN}'}}\n"
        f"  slack: {{webhook_url: '{service.url}/services/T0'}}\n"
        "  mail: {kind: email, host: localhost, security: plain, from: 'ft <a@b.c>', to: [d@e.f]}\n"
        "  phone: {kind: apprise, url: 'ntfy://topic'}\n"
        "  run: {kind: command, argv: [sh, -c, 'exit 7']}\n"
        "  console: {}\n"
        "  unset: {kind: slack, webhook_url: '${FT_TEST_UNSET}'}\n"
    )


FORMED = (
    "providers: {{openai: {{}}}}\n"
    "notifiers:\n"
    "  formed:\n"
    "    kind: webhook\n"
    "    url: {url}/in\n"
    "    auth: {auth}\n"
    "    body:\n"
    "      routing_key: ${{FT_TEST_TOKEN}}\n"
    "      title: '{{{{ title }}}}'\n"
    "      job: '{{{{ job | tojson }}}}'\n"
    "routes: [{{match: {{type: 'fine_tuning.*'}}, notify: [formed]}}]\n"
)
BASIC = base64.b64encode(f"me:{TOKEN}".encode()).decode()


@pytest.mark.parametrize(
    ("auth", "header", "shown"),
    [
        ("{bearer: '${FT_TEST_TOKEN}'}", f"Bearer {TOKEN}", "authorization: Bearer ••••"),
        ("{username: me, password: '${FT_TEST_TOKEN}'}", f"Basic {BASIC}", "authorization: Basic ••••"),
    ],
)
def test_a_form_is_shown_without_what_lets_in(
    tool: Any, service: Any, auth: str, header: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("ftwatch.yaml").write_text(FORMED.format(url=service.url, auth=auth))
    said = tool("render", "formed", "--sample", "succeeded")
    head, _, body = said.out.partition("\n\n")
    assert shown in head.splitlines()
    found = json.loads(body)
    assert (found["routing_key"], found["title"]) == (
        "••••",
        "✅ support-bot-v7 succeeded · 1 h 50 m (queued 9 m)",
    )
    assert found["job"]["id"] == "ftjob-sample4w9Zq2"
    assert TOKEN not in said.out
    assert BASIC not in said.out
    assert service.taken == []
    assert tool("notify", "test", "formed", "--sample", "succeeded").code == Exit.OK
    ((_, headers, sent),) = service.taken
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == header
    assert json.loads(sent)["routing_key"] == TOKEN
    # What it looks like can be seen in a shell that has none of its secrets.
    monkeypatch.delenv("FT_TEST_TOKEN")
    assert shown in tool("render", "formed", "--sample", "succeeded").out
    assert "FT_TEST_TOKEN" in tool("notify", "test", "formed", "--sample", "succeeded").err


def test_what_a_form_cannot_be_filled_with_is_said(tool: Any, service: Any) -> None:
    text = FORMED.format(url=service.url, auth="{bearer: '${FT_TEST_TOKEN}'}")
    Path("ftwatch.yaml").write_text(text.replace("{{ title }}", "{{ job.id }}"))
    said = tool("render", "formed", "--sample", "degraded")
    assert said.code == Exit.USAGE
    assert "body.title: there is no 'id' in null" in said.err
    said = tool("notify", "test", "formed")
    assert said.code == Exit.NO
    assert "rejected: body.title: there is no 'id' in null" in said.err
    assert service.taken == []


def test_a_sample_is_sent_for_real(tool: Any, service: Any) -> None:
    said = tool("notify", "test", "hook", "--sample", "failed")
    assert said.code == Exit.OK
    assert said.out.startswith("hook: sent in ")
    ((path, headers, body),) = service.taken
    headers = {name.lower(): value for name, value in headers.items()}
    assert path == "/hook"
    assert headers["x-token"] == TOKEN
    id, stamp, signature = (headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    verify(SECRET, id, stamp, body, signature, float(stamp))
    assert decode(body).type == "fine_tuning.job.failed"


def test_no_receiver_has_seen_it_before(tool: Any, service: Any) -> None:
    for _ in range(2):
        assert tool("notify", "test", "hook").code == Exit.OK
    first, second = (json.loads(body) for _, _, body in service.taken)
    assert first["type"] == "ftwatch.test"
    assert first["id"] != second["id"]


@pytest.mark.parametrize(
    ("status", "code"), [(403, Exit.NO), (410, Exit.NO), (503, Exit.UNREACHABLE), (429, 4)]
)
def test_what_the_receiver_says_is_the_answer(tool: Any, service: Any, status: int, code: int) -> None:
    service.answer_with = status
    said = tool("notify", "test", "slack")
    assert (said.code, said.out) == (code, "")
    assert f"HTTP {status}" in said.err
    assert "services" not in said.err


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("run", Exit.NO, "exit code 7"),
        ("unset", Exit.NO, "FT_TEST_UNSET"),
        ("slak", Exit.USAGE, "did you mean 'slack'"),
        ("zzz", Exit.USAGE, "there are: hook, slack"),
    ],
)
def test_what_cannot_be_sent_says_why(tool: Any, name: str, code: int, sentence: str) -> None:
    said = tool("notify", "test", name)
    assert said.code == code
    assert sentence in said.err


def test_an_unreachable_receiver(tool: Any, service: Any) -> None:
    service.server.shutdown()
    service.server.server_close()
    assert tool("notify", "test", "slack").code == Exit.UNREACHABLE


@pytest.mark.parametrize("name", ["failed", "stuck", "degraded", "test"])
def test_every_notifier_can_be_looked_at(tool: Any, service: Any, name: str) -> None:
    for notifier in ("hook", "slack", "mail", "phone", "run", "console"):
        said = tool("render", notifier, "--sample", name)
        assert said.code == Exit.OK
        assert said.out
        assert SECRET not in said.out
        assert TOKEN not in said.out
    assert service.taken == []


def test_what_is_shown_is_what_would_be_sent(tool: Any) -> None:
    head, _, body = tool("render", "hook").out.partition("\n\n")
    assert "webhook-signature: v1," in head
    assert "x-token: ••••" in head
    assert json.loads(body)["type"] == "fine_tuning.job.failed"
    assert json.loads(tool("render", "slack").out)["text"].startswith("❌ support-bot-v7 failed")
    letter = message_from_string(tool("render", "mail").out)
    assert letter["to"] == "d@e.f"
    html = tool("render", "mail", "--html").out
    assert html.startswith("<!doctype html>")
    assert tool("render", "slack", "--html").code == Exit.USAGE
    assert tool("render", "slack", "--sample", "nix").code == Exit.USAGE


def test_a_secret_that_is_not_there(tool: Any) -> None:
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {}}\n"
        "notifiers: {hook: {kind: webhook, url: 'http://x', secret: '${FT_TEST_UNSET}'}}\n"
    )
    said = tool("render", "hook")
    assert said.code == Exit.USAGE
    assert "FT_TEST_UNSET" in said.err


def test_a_fresh_sample_is_the_sample() -> None:
    event = sample("failed")
    assert fresh(event).data.job == event.data.job
    assert fresh(event).id.startswith("evt_")


def test_several_samples_are_rendered_as_their_digest(tool: Any) -> None:
    said = tool("render", "phone", "--sample", "failed,succeeded")
    assert said.out.startswith("📬 2 messages that could not be sent in time: 1 failed, 1 succeeded")
    refused = tool("render", "hook", "--sample", "failed,succeeded")
    assert refused.code == Exit.USAGE
    assert "sends every event on its own" in refused.err
