"""systemd: the notify socket with a real datagram socket, and a unit that leaves little to attack."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ftwatch import systemd

UNIT = Path(__file__).parents[1] / "systemd" / "ftwatch.service"


@pytest.fixture(params=["a path", "an abstract name"])
def ears(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """A datagram socket that listens as systemd does."""
    name = str(tmp_path / "notify") if request.param == "a path" else f"@ftwatch-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind("\0" + name[1:] if name.startswith("@") else name)
        ear.settimeout(5)
        yield ear


def test_every_state_is_said_in_systemds_words(ears: socket.socket) -> None:
    assert systemd.notify(ready=True, status="watching\n3 providers")
    assert ears.recv(1000) == b"READY=1\nSTATUS=watching 3 providers"
    assert systemd.notify(watchdog=True)
    assert ears.recv(1000) == b"WATCHDOG=1"
    assert systemd.notify(reloading=True)
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", ears.recv(1000))
    assert systemd.notify(stopping=True)
    assert ears.recv(1000) == b"STOPPING=1"


def test_without_systemd_it_is_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify(ready=True)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not systemd.notify(ready=True)


@pytest.mark.parametrize(
    ("usec", "pid", "period"),
    [
        ("60000000", None, 60.0),
        ("60000000", "me", 60.0),
        ("60000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdogs_period_is_read_if_it_is_meant_for_us(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, period: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "me" else pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert systemd.watchdog_period() == period


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_leaves_little_to_attack() -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    score = re.search(r"Overall exposure level.*: (\d+\.\d)", told)
    assert score, told
    assert float(score[1]) <= 1.5


def test_a_mistake_in_the_config_is_no_reason_to_start_again() -> None:
    unit = UNIT.read_text()
    for line in ("Type=notify", "RestartPreventExitStatus=2", "DynamicUser=yes", "StateDirectory=ftwatch"):
        assert line in unit.splitlines()
    assert "LoadCredential=" in unit
