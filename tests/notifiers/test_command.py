"""Commands: exit codes, deadlines, and an environment without anybody's keys."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import encode
from ftwatch.core.sample import sample
from ftwatch.plugins import Duration, load_kind

EVENT = sample("succeeded")


async def run(kit: Any, folder: Path, code: str, **more: Any) -> Any:
    """The outcome of a command that runs this Python."""
    script = folder / "script.py"
    script.write_text(code)
    async with kit.made("command", folder, argv=(sys.executable, str(script)), **more) as command:
        return (await command.send([EVENT], {}, body=command.freeze(EVENT))).outcome


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("", Sent, None),
        ("import sys; sys.exit('no such model')", Rejected, "exit code 1: no such model"),
        ("import sys; sys.exit(75)", Retry, "exit code 75"),
        ("import os; os.kill(os.getpid(), 9)", Rejected, "ended by SIGKILL"),
        (
            "import sys; sys.stderr.write('\\x1b[2Jbad\\nworse'); sys.exit(3)",
            Rejected,
            "exit code 3: [2Jbad worse",
        ),
    ],
)
async def test_an_exit_code_is_an_outcome(
    kit: Any, tmp_path: Path, code: str, kind: type, reason: str | None
) -> None:
    outcome = await run(kit, tmp_path, code)
    assert isinstance(outcome, kind)
    if reason:
        assert outcome.reason == reason


async def test_it_gets_the_event_and_a_clean_environment(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    code = (
        "import json, os, sys\n"
        "seen = {'env': dict(os.environ), 'cwd': os.getcwd(), 'event': json.load(sys.stdin)}\n"
        "json.dump(seen, open('seen', 'w'))"
    )
    assert isinstance(await run(kit, tmp_path, code, env={"STAGE": "prod"}), Sent)
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen["cwd"] == str(tmp_path)
    assert seen["event"] == json.loads(encode(EVENT))
    ours = {name: value for name, value in seen["env"].items() if name.startswith("FTWATCH_")}
    assert ours["FTWATCH_EVENT_ID"] == EVENT.id
    assert ours["FTWATCH_JOB_ID"] == EVENT.data.id
    assert ours["FTWATCH_STATUS"] == "succeeded"
    assert ours["FTWATCH_MODEL"] == "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg"
    assert seen["env"]["STAGE"] == "prod"
    assert seen["env"].keys() - ours.keys() <= {"PATH", "HOME", "STAGE", "LC_CTYPE"}


@pytest.mark.parametrize("stubborn", [False, True])
async def test_what_takes_too_long_is_ended_with_all_that_it_started(
    kit: Any, tmp_path: Path, stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[load_kind("notifier", "command").__module__], "GRACE", 0.3)
    code = (
        "import os, signal, subprocess, sys, time\n"
        f"if {stubborn}: signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(60)"
    )
    outcome = await run(kit, tmp_path, code, timeout=Duration(seconds=1.5))
    assert isinstance(outcome, Retry)
    assert outcome.reason == "did not end within 1.5 s"
    assert_ended(tmp_path / "pids")


def assert_ended(pids: Path) -> None:
    """Fails if one of these processes lives on."""
    for pid in pids.read_text().split():
        for _ in range(100):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
            except FileNotFoundError:
                break
            if state == "Z":
                break
            time.sleep(0.05)
        else:
            pytest.fail(f"process {pid} is still alive")


async def test_input_that_is_not_read_does_no_harm(kit: Any, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys; sys.stdin.close()")
    async with kit.made("command", tmp_path, argv=(sys.executable, str(script))) as command:
        outcome = (await command.send([EVENT], {}, body=b"x" * 5_000_000)).outcome
    assert isinstance(outcome, Sent)


@pytest.mark.parametrize("argv", [("./nothing-here",), ("./script.txt",)])
async def test_what_cannot_be_run_is_said(kit: Any, tmp_path: Path, argv: tuple[str, ...]) -> None:
    (tmp_path / "script.txt").write_text("hello")
    async with kit.made("command", tmp_path, argv=argv) as command:
        outcome = (await command.send([EVENT], {})).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(f"cannot run {argv[0]}: ")


async def test_words_of_strangers_are_no_shell(kit: Any, tmp_path: Path, hostile: Any) -> None:
    async with kit.made(
        "command", tmp_path, argv=(sys.executable, "-c", "import sys; sys.stdin.read()")
    ) as command:
        assert isinstance((await command.send([hostile], {})).outcome, Sent)


@pytest.mark.parametrize(
    "options",
    [
        {"argv": ()},
        {"argv": ("",)},
        {"argv": ("a\0b",)},
        {"argv": ("a",), "env": {"FTWATCH_X": "y"}},
        {"argv": ("a",), "env": {"A=B": "y"}},
    ],
)
def test_what_can_never_run_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"argv|NUL|cannot be set"):
        load_kind("notifier", "command").Options(**options)
