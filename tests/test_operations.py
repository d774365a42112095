"""The daemon as its operator meets it: probes, metrics, heartbeat, a swapped config, a full disk."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftwatch import control
from ftwatch.store import Store
from tests.test_daemon import House, Outside, ended, until

BEAT = "ping-5e0d2a2e-secret-0123"


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.server.shutdown()
    outside.server.server_close()


@contextlib.contextmanager
def lodging(folder: Path, outside: Outside) -> Iterator[House]:
    """A house whose daemons end with it."""
    house = House(folder, outside)
    try:
        yield house
    finally:
        for daemon in house.daemons:
            if daemon.poll() is None:
                daemon.kill()
            daemon.wait()
            if daemon.stderr is not None:
                daemon.stderr.close()


@pytest.fixture
def house(tmp_path: Path, outside: Outside) -> Iterator[House]:
    with lodging(tmp_path, outside) as house:
        yield house


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as spare:
        return int(spare.getsockname()[1])


def get(port: int, path: str) -> tuple[int, str]:
    """What somebody gets who comes by address and with no token; (0, "") where nobody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": "10.0.0.7"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def ready(port: int) -> dict[str, Any]:
    code, text = get(port, "/readyz")
    said: dict[str, Any] = (
        json.loads(text) if text else {"status": "nobody there", "reasons": [], "notes": []}
    )
    assert (code == 200) == (said["status"] == "ready")
    return said


def metric(port: int, sample: str) -> float | None:
    for line in get(port, "/metrics")[1].splitlines():
        name, _, value = line.rpartition(" ")
        if name == sample:
            return float(value)
    return None


def ftwatch(house: House, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ftwatch", "-c", str(house.path), *args]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environ}, check=False, timeout=60
    )


# ------------------------------------------------------------------------------------- probes, heartbeat


def test_ready_heartbeat_and_metrics_say_the_same(house: House, outside: Outside) -> None:
    beats: list[str] = []
    handler: Any = outside.server.RequestHandlerClass
    serve = handler.do_GET
    is_down = False

    def note(self: Any) -> None:
        if BEAT in self.path:
            beats.append(self.path)
        if is_down and BEAT not in self.path:
            self.send_error(503)
        else:
            serve(self)

    handler.do_GET = note
    port = free_port()
    web = f"web: {{listen: '127.0.0.1:{port}', heartbeat_url: '{outside.url}/{BEAT}', heartbeat: 1s}}\n"
    house.write(more=web)
    house.path.write_text(house.path.read_text().replace("poll: 1s", "poll: 1s, degraded_after: 1s"))
    daemon = house.started()
    until(lambda: ready(port)["status"] == "ready")
    assert get(port, "/healthz")[0] == 200
    until(lambda: len(beats) >= 2)
    outside.put("j1", "failed")
    delivered = 'ftwatch_deliveries_total{notifier="hook",state="delivered"}'
    until(lambda: (metric(port, delivered) or 0) >= 1)
    until(lambda: metric(port, 'ftwatch_jobs{provider="sim",status="failed"}') == 1)
    assert metric(port, "ftwatch_ready") == 1
    is_down = True
    until(lambda: any("provider sim: degraded for " in reason for reason in ready(port)["reasons"]))
    until(lambda: metric(port, "ftwatch_ready") == 0)
    until(lambda: metric(port, 'ftwatch_provider_degraded{provider="sim"}') == 1)
    assert get(port, "/healthz")[0] == 200, "that somebody else is down is no reason to be restarted"
    is_down = False
    until(lambda: ready(port)["status"] == "ready")
    before = len(beats)
    until(lambda: len(beats) > before)
    daemon.send_signal(signal.SIGTERM)
    code, said = ended(daemon)
    assert code == 0
    assert BEAT not in said
    store = Store(house.folder / "ftwatch.db", mode="read")
    told = json.dumps([event.note or "" for _, event in store.history.events()])
    store.close()
    assert BEAT not in told


def test_the_web_may_come_later_and_knows_what_was_before(house: House, outside: Outside) -> None:
    house.started()
    outside.put("j1", "failed")
    until(lambda: "failed j1" in outside.told())
    port = free_port()
    house.write(more=f"web: {{listen: '127.0.0.1:{port}'}}\n")
    control.ask(house.socket, "reload")
    sample = 'ftwatch_delivery_attempts_total{notifier="hook",outcome="sent"}'
    until(lambda: (metric(port, sample) or 0) >= 1)


def test_alive_is_asked_of_the_daemon_and_not_of_the_config(house: House) -> None:
    assert ftwatch(house, "status", "--alive").returncode == 1
    house.started()
    until(house.socket.exists)
    alive = ftwatch(house, "status", "--alive")
    assert (alive.returncode, alive.stdout) == (0, "alive\n")
    assert json.loads(ftwatch(house, "status", "--alive", "-o", "json").stdout) == {
        "alive": True,
        "problem": None,
    }
    # A bad reload stops nothing, so it must not have the container killed either.
    house.path.write_text("oops: 1\n")
    assert ftwatch(house, "status", "--alive").returncode == 2
    assert house.socket == house.folder / "ftwatch.sock"
    assert ftwatch(house, "status", "--alive", RUNTIME_DIRECTORY=str(house.folder)).returncode == 0


# --------------------------------------------------------------------------------------------- Kubernetes


class ConfigMap:
    """A folder as a kubelet mounts it: a file is a link into `..data`, which is a link that is swapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        folder.mkdir()

    def swap(self, text: str) -> None:
        """Puts a new version in the place of the old one, in one step."""
        self._number += 1
        old = [path for path in self.folder.glob("..2026_*") if path.is_dir()]
        new = self.folder / f"..2026_{self._number}"
        new.mkdir()
        (new / "ftwatch.yaml").write_text(text)
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(new.name)
        fresh.rename(self.folder / "..data")
        if not (self.folder / "ftwatch.yaml").is_symlink():
            (self.folder / "ftwatch.yaml").symlink_to("..data/ftwatch.yaml")
        for path in old:
            (path / "ftwatch.yaml").unlink()
            path.rmdir()


def test_a_swapped_config_map_is_noticed(house: House, outside: Outside) -> None:
    text = house.path.read_text()
    mounted = ConfigMap(house.folder / "mounted")
    mounted.swap(text)
    house.path = mounted.folder / "ftwatch.yaml"
    house.started()
    outside.put("j1", "running")
    until(lambda: outside.told() == ["created j1"])
    # Same size, and the same time where the clock is coarse: only the link tells.
    mounted.swap(text.replace("/hook", "/kooh"))
    until(lambda: control.ask(house.socket, "ping")["generation"] == 2)
    outside.put("j1", "failed")
    until(lambda: outside.told("/kooh") == ["failed j1"])
    # A version with a mistake changes nothing, and the next one is noticed all the same.
    mounted.swap(text + "oops: 1\n")
    until(lambda: house.events("ftwatch.config.rejected") != [])
    mounted.swap(text)
    until(lambda: control.ask(house.socket, "ping")["generation"] == 3)


# --------------------------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here (that needs root)")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_not_ready_and_recovers(small_disk: Path, outside: Outside) -> None:
    with lodging(small_disk, outside) as house:
        port = free_port()
        house.write(more=f"web: {{listen: '127.0.0.1:{port}'}}\n")
        house.start()
        until(lambda: ready(port)["status"] == "ready")
        filler = small_disk / "filler"
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        until(lambda: ready(port)["status"] == "not ready")
        assert ready(port)["reasons"] == ["the disk is full: no job is looked at before it has room again"]
        assert metric(port, "ftwatch_store_full") == 1
        assert get(port, "/healthz")[0] == 200
        filler.unlink()
        until(lambda: ready(port)["status"] == "ready")
        assert metric(port, "ftwatch_store_full") == 0
