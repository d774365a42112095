"""init: from a key to a config that has proved itself; without a terminal it asks nothing."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit
from ftwatch.config import load
from ftwatch.core.signature import signing_key

PATIENCE = 30


@pytest.fixture
def key(service: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment that the service accepts."""
    service.key = "sk-right-and-secret"
    monkeypatch.setenv("OPENAI_API_KEY", service.key)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{service.url}/v1")
    service.put("ftjob-a", "running", user_provided_suffix="bot")
    service.put("ftjob-b", "failed")


pytestmark = pytest.mark.usefixtures("key")


def test_flags_and_a_key_make_a_config_that_works(tool: Any, service: Any) -> None:
    hook = f"{service.url}/services/T0/secret"
    said = tool("init", "--slack", hook)
    assert said.code == Exit.OK
    assert "OPENAI_API_KEY: 2 jobs, 1 active: bot (running), ftjob-b (failed)" in said.out
    assert "slack: a test message was sent" in said.out
    assert "export SLACK_WEBHOOK_URL=" in said.out
    ((path, _, body),) = service.taken
    assert path == "/services/T0/secret"
    assert "ftwatch can reach you" in json.loads(body)["text"]
    text = Path("ftwatch.yaml").read_text()
    assert len(text.splitlines()) <= 10
    config = load(Path("ftwatch.yaml"), environ={**os.environ, "SLACK_WEBHOOK_URL": hook}, secrets=True)
    assert (list(config.providers), list(config.notifiers)) == (["openai"], ["slack"])
    for secret in (service.key, hook, "T0/secret"):
        assert secret not in text + said.out + said.err
    assert os.listdir() == ["ftwatch.yaml"]


def test_every_destination_at_once(tool: Any, service: Any) -> None:
    said = tool(
        "init",
        "--no-test",
        "--webhook",
        f"{service.url}/ci",
        "--email",
        "o'neil$x@example.com",
        "--smtp",
        "mail.example.com:2525",
        "--apprise",
        "ntfy://topic",
    )
    assert said.code == Exit.OK
    assert service.taken == []
    exports = dict(
        line.split()[1].split("=", 1) for line in said.out.splitlines() if line.startswith("    export")
    )
    assert exports.keys() == {"FTWATCH_WEBHOOK_URL", "FTWATCH_WEBHOOK_SECRET", "APPRISE_URL"}
    signing_key(exports["FTWATCH_WEBHOOK_SECRET"])
    config = load(Path("ftwatch.yaml"))
    assert list(config.notifiers) == ["email", "webhook", "apprise"]
    options = config.notifiers["email"].options
    assert (options.host, options.port, options.to) == ("mail.example.com", 2525, ("o'neil$x@example.com",))


def test_without_a_terminal_nothing_is_asked(tool: Any) -> None:
    said = tool("init")
    assert said.code == Exit.OK
    assert list(load(Path("ftwatch.yaml")).notifiers) == ["console"]
    assert "ftwatch can reach you" in said.out


def test_a_slack_url_in_the_environment_is_taken(
    tool: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", f"{service.url}/s")
    said = tool("init", "-y")
    assert said.code == Exit.OK
    assert "export" not in said.out
    assert len(service.taken) == 1


def test_a_file_that_is_there_stays(tool: Any) -> None:
    Path("ftwatch.yaml").write_text("mine")
    said = tool("init", "-y")
    assert said.code == Exit.USAGE
    assert Path("ftwatch.yaml").read_text() == "mine"
    assert tool("init", "-y", "--force", "--no-test").code == Exit.OK
    assert "providers:" in Path("ftwatch.yaml").read_text()


def test_another_file(tool: Any) -> None:
    said = tool("init", "-y", "-c", "mine.yaml", "--no-test")
    assert said.code == Exit.OK
    assert "ftwatch -c mine.yaml run" in said.out
    assert tool("init", "-c", "no/where.yaml", "-y", "--no-test").code == Exit.USAGE


@pytest.mark.parametrize(("status", "code"), [(404, Exit.NO), (503, Exit.UNREACHABLE)])
def test_a_test_message_that_does_not_arrive_is_said(tool: Any, service: Any, status: int, code: int) -> None:
    service.answer_with = status
    said = tool("init", "--slack", f"{service.url}/s")
    assert said.code == code
    assert f"did not arrive: HTTP {status}" in said.err
    assert Path("ftwatch.yaml").exists()


def test_a_destination_that_is_none(tool: Any) -> None:
    said = tool("init", "--email", "nobody")
    assert said.code == Exit.USAGE
    assert "is no e-mail address" in said.err
    assert os.listdir() == []


def test_a_key_that_is_refused_is_said(tool: Any, service: Any) -> None:
    service.key = "sk-another"
    said = tool("init", "-y", "--no-test")
    assert said.code == Exit.OK
    assert "OPENAI_API_KEY: does not get in yet: HTTP 401" in said.out


def test_what_is_refused_while_others_get_in_is_only_noted(
    tool: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "tgp-another-one")
    monkeypatch.setenv("TOGETHER_BASE_URL", f"{service.url}/v1")
    said = tool("init", "-y", "--no-test")
    assert said.code == Exit.OK
    assert "TOGETHER_API_KEY: does not get in yet: HTTP 401" in said.out
    text = Path("ftwatch.yaml").read_text()
    assert list(load(Path("ftwatch.yaml"), secrets=True).providers) == ["openai"]
    marked = "".join(f"{line[4:]}\n" for line in text.splitlines() if line.startswith("  # "))
    assert marked == (
        "not let in so far:\ntogether:\n  api_key: ${TOGETHER_API_KEY}\n  base_url: ${TOGETHER_BASE_URL}\n"
    )


def test_who_is_out_of_reach_stays_in(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", "tgp-another-one")
    monkeypatch.setenv("TOGETHER_BASE_URL", "http://127.0.0.1:9/v1")
    said = tool("init", "-y", "--no-test")
    assert "TOGETHER_API_KEY: does not get in yet: connection refused" in said.out
    assert list(load(Path("ftwatch.yaml"), secrets=True).providers) == ["openai", "together"]


def test_half_an_account_is_told_and_left_out(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "0123456789abcdef")
    said = tool("init", "-y", "--no-test")
    assert said.code == Exit.OK
    assert "warning: AZURE_OPENAI_API_KEY alone does not do: base_url is missing" in said.err
    assert list(load(Path("ftwatch.yaml"), secrets=True).providers) == ["openai"]


KUBECONFIG = """\
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: kube-secret-0123456789}}]
"""


def test_credentials_without_a_key_are_offered_too(
    tool: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    (folder / "it's $5.kubeconfig").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", "it's $5.kubeconfig")
    said = tool("init", "-y", "--no-test")
    assert said.code == Exit.OK
    assert "kubeflow: does not get in yet: connection refused" in said.out
    config = load(Path("ftwatch.yaml"), environ={}, secrets=True)
    (made,) = config.providers.values()
    assert (made.kind, made.options.kubeconfig) == ("kubeflow", str(folder / "it's $5.kubeconfig"))
    assert "kube-secret" not in Path("ftwatch.yaml").read_text() + said.out + said.err


def test_google_s_and_aws_s_own_variables_are_enough(
    tool: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "key.json").write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "key.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "123456789012")
    monkeypatch.setenv("AWS_PROFILE", "research")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(folder / "none"))
    said = tool("init", "-y", "--no-test")
    assert said.code == Exit.OK
    for name in ("bedrock", "sagemaker", "vertex"):
        assert f"{name}: does not get in yet: " in said.out
    text = Path("ftwatch.yaml").read_text()
    assert list(load(Path("ftwatch.yaml"), secrets=True).providers) == ["openai"]
    Path("ftwatch.yaml").write_text(text.replace("  # not let in so far:\n", "").replace("\n  # ", "\n  "))
    made = load(Path("ftwatch.yaml"), secrets=True).providers
    assert made["vertex"].options.project == "123456789012"
    assert (made["bedrock"].options.region, made["sagemaker"].options.profile) == ("eu-west-1", "research")


def test_without_a_key_there_is_nothing_to_begin_with(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    said = tool("init", "-y")
    assert (said.code, said.out) == (Exit.NOTHING, "")
    assert "OPENAI_API_KEY" in said.err
    assert "ftwatch demo" in said.err


@pytest.mark.parametrize(
    ("answer", "code", "kind"), [("", 0, "console"), ("HOOK", 0, "webhook"), ("nonsense", 2, None)]
)
def test_on_a_terminal_it_asks_once(
    service: Any, folder: Path, answer: str, code: int, kind: str | None
) -> None:
    mine, theirs = pty.openpty()
    try:
        asking = subprocess.Popen(
            [sys.executable, "-m", "ftwatch", "init"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=os.environ,
        )
        os.write(mine, answer.replace("HOOK", f"{service.url}/hook").encode() + b"\n")
        _, err = asking.communicate(timeout=PATIENCE)
    finally:
        os.close(mine)
        os.close(theirs)
    assert asking.returncode == code, err
    assert b"Where to" in err
    assert (list(load(folder / "ftwatch.yaml").notifiers) if kind else None) == ([kind] if kind else None)
