"""notify test, render and check, for the kinds that know what is open."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit


@pytest.fixture(autouse=True)
def config(folder: Path, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_TEST_KEY", "k" * 32)
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {}}\n"
        "notifiers:\n"
        f"  pagerduty: {{routing_key: '${{FT_TEST_KEY}}', url: '{service.url}/v2/enqueue'}}\n"
        f"  ntfy: {{topic: '${{FT_TEST_TOPIC:-my-topic}}', url: '{service.url}'}}\n"
        f"  alertmanager: {{url: '{service.url}'}}\n"
        "  unset: {kind: pagerduty, routing_key: '${FT_TEST_UNSET}', region: eu}\n"
    )


def test_a_sample_is_sent_for_real(tool: Any, service: Any) -> None:
    for name, note in (
        ("pagerduty", "HTTP 200: trigger openai-prod/ftjob-sample4w9Zq2"),
        ("ntfy", "HTTP 200"),
        ("alertmanager", "HTTP 200: FineTuningJobFailed"),
    ):
        said = tool("notify", "test", name, "--sample", "failed")
        assert said.code == Exit.OK
        assert note in said.out
    assert [path for path, _, _ in service.taken] == ["/v2/enqueue", "/", "/api/v2/alerts"]
    pager, phone, alerts = (json.loads(body) for _, _, body in service.taken)
    assert pager["event_action"] == "trigger"
    assert phone["title"] == "support-bot-v7 failed after 1 h 50 m (queued 9 m)"
    assert alerts[0]["labels"]["alertname"] == "FineTuningJobFailed"


def test_without_a_sample_each_of_them_can_be_heard(tool: Any, service: Any) -> None:
    for name in ("pagerduty", "ntfy", "alertmanager"):
        assert tool("notify", "test", name).code == Exit.OK
    pager, phone, alerts = (json.loads(body) for _, _, body in service.taken)
    assert pager["payload"]["summary"] == "ftwatch can reach you: A test message: all is well."
    assert phone["title"] == "ftwatch can reach you"
    assert alerts[0]["labels"]["alertname"] == "FtwatchTest"


def test_what_says_nothing_says_so(tool: Any, service: Any) -> None:
    for name in ("pagerduty", "alertmanager"):
        said = tool("notify", "test", name, "--sample", "running")
        assert said.code == Exit.OK
        assert "(not sent: it opens and closes nothing)" in said.out
        assert tool("render", name, "--sample", "running").out.startswith("nothing: fine_tuning.job.running")
    assert service.taken == []


def test_each_can_be_looked_at_without_its_secrets(tool: Any, service: Any) -> None:
    for name in ("pagerduty", "ntfy", "alertmanager", "unset"):
        for sample in ("failed", "succeeded", "degraded", "recovered", "stuck-resolved", "enabled", "test"):
            said = tool("render", name, "--sample", sample)
            assert said.code == Exit.OK
            assert said.out
            assert "kkkk" not in said.out
            assert "my-topic" not in said.out
    assert service.taken == []
    assert json.loads(tool("render", "unset").out)["routing_key"] == "••••"


def test_a_digest_is_for_phones_alone(tool: Any) -> None:
    assert '"title": "2 messages' in tool("render", "ntfy", "--sample", "failed,running").out
    refused = tool("render", "pagerduty", "--sample", "failed,running")
    assert refused.code == Exit.USAGE
    assert "sends every event on its own" in refused.err


def test_check_knows_a_key_of_another_api(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_TEST_UNSET", "e+23rschqsESqk9Q6_-g")
    said = tool("check")
    assert said.code == Exit.USAGE
    assert "routing_key: has 32 letters and digits: the Integration Key" in said.err + said.out
    assert "rschqs" not in said.err + said.out


def test_check_online_greets_them_and_sends_nothing(tool: Any, service: Any) -> None:
    text = Path("ftwatch.yaml").read_text()
    Path("ftwatch.yaml").write_text(text.partition("  unset:")[0])
    said = tool("check", "--online", "-o", "json")
    found = {one["what"]: one["said"] for one in said.json["online"]}
    for name in ("pagerduty", "ntfy", "alertmanager"):
        assert found[f"notifier {name}"] == f"HEAD {service.url}/: it answers (HTTP 404), nothing was sent"
    assert service.taken == []


def test_a_wrong_option_is_placed(tool: Any) -> None:
    Path("ftwatch.yaml").write_text(
        "providers: {openai: {}}\n"
        "notifiers:\n"
        "  pagerduty: {routing_key: '${FT_TEST_KEY}', severity: {eror: critical}}\n"
        "  ntfy: {topic: '${FT_TEST_KEY}', priority: {error: 6}}\n"
        "  alertmanager: {url: 'http://127.0.0.1:9093/api/v2/alerts'}\n"
    )
    said = tool("check")
    assert said.code == Exit.USAGE
    told = [line.partition("ftwatch.yaml:")[2] for line in (said.err + said.out).splitlines()]
    assert [line for line in told if line.startswith("3:") and "'error'" in line]
    assert [
        line for line in told if line.startswith("4:") and "priority.error should be 1, 2, 3, 4 or 5" in line
    ]
    assert [line for line in told if line.startswith("5:") and "url ends before /api/v2/alerts" in line]
