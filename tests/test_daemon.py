"""The real daemon, as a process: starting, refusing to, reloading, ending; its other side is real, too."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ftwatch import control
from ftwatch.store import Store

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
PATIENCE = 30.0


class Outside:
    """A provider and a receiver of webhooks, in a thread of this process."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.received: list[tuple[str, dict[str, Any]]] = []
        outside = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                page = {"object": "list", "data": list(outside.jobs.values()), "has_more": False}
                found = outside.jobs.get(self.path.rpartition("/")[2], page)
                self.answer(json.dumps(found).encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outside.received.append((self.path, json.loads(body)))
                self.answer(b"ok")

            def answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def put(self, id: str, status: str) -> None:
        model = "ft:m" if status == "succeeded" else None
        self.jobs = {id: {"id": id, "status": status, "fine_tuned_model": model}, **self.jobs}
        self.jobs[id] = {"id": id, "status": status, "fine_tuned_model": model}

    def told(self, path: str = "/hook") -> list[str]:
        return [
            f"{body['type'].rpartition('.')[2]} {body['data']['id']}"
            for at, body in self.received
            if at == path
        ]


class House:
    """A folder with a config, and the daemon that runs on it."""

    def __init__(self, folder: Path, outside: Outside) -> None:
        self.folder, self.outside = folder, outside
        self.path = folder / "ftwatch.yaml"
        self.socket = folder / "ftwatch.sock"
        self.daemons: list[subprocess.Popen[str]] = []
        self.write()

    def write(self, hook: str = "/hook", more: str = "") -> None:
        self.path.write_text(
            "providers:\n"
            f"  sim: {{kind: openai, base_url: '{self.outside.url}/v1', poll: 1s, discover: 1s}}\n"
            "notifiers:\n"
            f"  hook: {{kind: webhook, url: '{self.outside.url}{hook}', secret: {SECRET}}}\n"
            f"store: {{path: {self.folder}/ftwatch.db}}\n"
            f"socket: {self.socket}\n{more}"
        )

    def start(self, *args: str, **environ: str) -> subprocess.Popen[str]:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "ftwatch", "-c", str(self.path), "run", *args],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
        )
        self.daemons.append(daemon)
        return daemon

    def started(self) -> subprocess.Popen[str]:
        daemon = self.start()
        until(lambda: self.events("ftwatch.provider.watching") != [])
        return daemon

    def events(self, type: str) -> list[str]:
        with contextlib.suppress(Exception):
            store = Store(self.folder / "ftwatch.db", mode="read")
            try:
                return [event.note or "" for _, event in store.history.events(type=type)]
            finally:
                store.close()
        return []


def until(true: Callable[[], Any]) -> None:
    """Waits until something is true; fails when it never is."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def ended(daemon: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and what was said on stderr."""
    _, said = daemon.communicate(timeout=PATIENCE)
    return daemon.returncode, said


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.server.shutdown()
    outside.server.server_close()


@pytest.fixture
def house(tmp_path: Path, outside: Outside) -> Iterator[House]:
    house = House(tmp_path, outside)
    yield house
    for daemon in house.daemons:
        if daemon.poll() is None:
            daemon.kill()
        daemon.wait()
        if daemon.stderr is not None:
            daemon.stderr.close()


def test_it_tells_and_ends_in_order(house: House, outside: Outside) -> None:
    daemon = house.started()
    outside.put("j1", "queued")
    until(lambda: outside.told() == ["created j1"])
    outside.put("j1", "succeeded")
    until(lambda: outside.told() == ["created j1", "succeeded j1"])
    daemon.send_signal(signal.SIGTERM)
    code, said = ended(daemon)
    assert code == 0, said
    assert not house.socket.exists()


def test_a_second_one_is_refused_with_a_sentence(house: House) -> None:
    house.started()
    code, said = ended(house.start())
    assert code == 75
    assert "another ftwatch (process" in said
    assert "Traceback" not in said


def test_a_bad_config_never_starts(house: House) -> None:
    house.write(more="rulez: {}\n")
    code, said = ended(house.start())
    assert code == 2
    assert f"{house.path}:7:1: error: " in said
    assert "did you mean 'rules'" in said


def test_a_missing_secret_is_found_out_before_the_start(house: House) -> None:
    text = house.path.read_text().replace(SECRET, "'${FT_SECRET_OF_NOBODY}'")
    house.path.write_text(text)
    code, said = ended(house.start())
    assert code == 2
    assert "FT_SECRET_OF_NOBODY" in said


@pytest.mark.parametrize("how", ["SIGHUP", "a changed file", "the control socket"])
def test_a_reload_takes_the_new_config_and_loses_nothing(house: House, outside: Outside, how: str) -> None:
    daemon = house.started()
    outside.put("j1", "running")
    until(lambda: outside.told() == ["created j1"])
    house.write(hook="/other")
    if how == "SIGHUP":
        daemon.send_signal(signal.SIGHUP)
    elif how == "the control socket":
        control.ask(house.socket, "reload")
    until(lambda: daemon.poll() is None and control.ask(house.socket, "ping")["generation"] == 2)
    outside.put("j1", "failed")
    until(lambda: outside.told("/other") == ["failed j1"])
    assert outside.told() == ["created j1"], "nothing was sent twice"


def test_a_bad_reload_keeps_the_old_config_and_is_told_once(house: House, outside: Outside) -> None:
    house.started()
    good = house.path.read_text()
    id = add_silence(house, "type=ftwatch.config.rejected")
    house.path.write_text(good + "oops: 1\n")
    with pytest.raises(control.Refused, match=r"ftwatch\.yaml:7:1: error: "):
        control.ask(house.socket, "reload")
    with pytest.raises(control.Refused):
        control.ask(house.socket, "reload")
    outside.put("j1", "queued")
    until(lambda: outside.told() == ["created j1"])
    assert len(house.events("ftwatch.config.rejected")) == 1
    store = Store(house.folder / "ftwatch.db", mode="read")
    ((_, rejected),) = store.history.events(type="ftwatch.config.rejected")
    assert store.history.verdicts(rejected.id)[0][1].startswith("silenced by")
    assert id in store.history.verdicts(rejected.id)[0][1]
    store.close()
    house.path.write_text(good)
    control.ask(house.socket, "reload")
    assert len(house.events("ftwatch.config.accepted")) == 1


def add_silence(house: House, *matchers: str, **more: Any) -> str:
    """Asks the daemon for a silence; returns its id."""
    made = control.ask(house.socket, "silence.add", matchers=matchers, author="anna", **more)["silence"]
    assert made["stands"]
    return str(made["id"])


def test_a_silence_mutes_the_next_event_and_once_it_is_over_the_next_one_is_told(
    house: House, outside: Outside
) -> None:
    daemon = house.started()
    outside.put("j1", "queued")
    until(lambda: outside.told() == ["created j1"])
    id = add_silence(house, 'provider="sim"', 'id="j1"', comment="planned")
    outside.put("j1", "running")
    until(lambda: house.events("fine_tuning.job.running"))
    # Neither a reload nor a death takes it away, and what it mutes stays untold.
    house.write(more="rules: {stuck: false}\n")
    control.ask(house.socket, "reload")
    until(lambda: control.ask(house.socket, "ping")["generation"] == 2)
    daemon.kill()
    daemon.wait()
    house.start()
    outside.put("j1", "paused")
    until(lambda: house.events("fine_tuning.job.paused"))
    (row,) = control.ask(house.socket, "silence.list")["silences"]
    assert (row["id"], row["author"], row["jobs"]) == (id, "anna", 1)
    assert control.ask(house.socket, "silence.expire", ids=[id])["ids"] == [id]
    outside.put("j1", "failed")
    until(lambda: outside.told()[-1] == "failed j1")
    assert list(dict.fromkeys(outside.told())) == ["created j1", "failed j1"]
    store = Store(house.folder / "ftwatch.db", mode="read")
    reasons = {event.type: store.history.verdicts(event.id) for _, event in store.history.events()}
    store.close()
    muted = [("hook", f"silenced by planned ({id}, by anna)")]
    assert reasons["fine_tuning.job.running"] == reasons["fine_tuning.job.paused"] == muted
    assert reasons["fine_tuning.job.failed"] == []


def test_a_silence_until_the_end_is_over_with_the_job(house: House, outside: Outside) -> None:
    house.started()
    outside.put("j1", "queued")
    until(lambda: outside.told() == ["created j1"])
    add_silence(house, 'provider="sim"', 'id="j1"', until_end=True)
    outside.put("j1", "running")
    until(lambda: house.events("fine_tuning.job.running"))
    outside.put("j1", "failed")
    until(lambda: outside.told() == ["created j1", "failed j1"])
    assert control.ask(house.socket, "silence.list")["silences"] == []
    with pytest.raises(control.Refused, match="sim/j1 is over"):
        add_silence(house, 'provider="sim"', 'id="j1"', until_end=True)


def test_what_is_acknowledged_is_remembered_until_the_job_moves_on(house: House, outside: Outside) -> None:
    house.started()
    outside.put("j1", "paused")
    until(lambda: outside.told() == ["created j1", "paused j1"])
    about = {"provider": "sim", "job": "j1", "author": "anna"}
    assert control.ask(house.socket, "ack", **about)["of"] == ["paused"]
    outside.put("j1", "running")
    until(lambda: outside.told()[-1] == "running j1")
    assert control.ask(house.socket, "ack", **about) == {"ack": None, "of": []}
    with pytest.raises(control.Refused, match="no job is called sim/j2"):
        control.ask(house.socket, "ack", **{**about, "job": "j2"})


def test_nonsense_is_no_silence(house: House) -> None:
    house.started()
    until(house.socket.exists)
    for asked, sentence in (
        ({"matchers": ["labls.team=x"]}, "matcher 1: nothing has a key"),
        ({"matchers": ["provider=smi"]}, "did you mean 'sim'"),
        ({"matchers": []}, "say what should be silent"),
        ({"matchers": 5}, "does not know this request"),
        ({"matchers": ["name=x"], "until": "soon"}, "does not know this request"),
        ({"matchers": ["name=x"], "until": 1}, "past already"),
        ({"matchers": ["name=x"], "for": 1}, "does not know this request"),
    ):
        with pytest.raises(control.Refused, match=sentence):
            control.ask(house.socket, "silence.add", author="anna", **asked)
    assert control.ask(house.socket, "silence.list", expired=True)["silences"] == []


def test_systemd_hears_of_it(house: House) -> None:
    name = str(house.folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(name)
        ear.settimeout(PATIENCE)
        daemon = house.start(NOTIFY_SOCKET=name, WATCHDOG_USEC="200000")
        assert ear.recv(1000).startswith(b"READY=1\nSTATUS=watching 1 providers")
        assert ear.recv(1000) == b"WATCHDOG=1"
        daemon.send_signal(signal.SIGHUP)
        heard = b""
        while b"RELOADING=1" not in heard:
            heard = ear.recv(1000)
        daemon.send_signal(signal.SIGTERM)
        while heard != b"STOPPING=1":
            heard = ear.recv(1000)
        assert ended(daemon)[0] == 0


def test_the_control_socket_is_for_its_group_and_takes_no_nonsense(house: House) -> None:
    house.started()
    until(house.socket.exists)
    assert house.socket.stat().st_mode & 0o777 == 0o660
    for nonsense in (b"\n", b"null\n", b"{}\n", b'{"op": "x"}\n', b'{"op": "poke"}\n', b'{"op": ["a"]}\n'):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(house.socket))
            line.sendall(nonsense)
            assert b"error" in line.recv(1000)
    assert control.ask(house.socket, "ping")["config"] == str(house.path)


def test_what_happened_while_it_was_dead_is_told(house: House, outside: Outside) -> None:
    daemon = house.started()
    outside.put("j1", "running")
    until(lambda: outside.told() == ["created j1"])
    daemon.kill()
    daemon.wait()
    outside.put("j1", "failed")
    house.start()
    until(lambda: outside.told()[-1] == "failed j1")
    # Killed between a receiver's answer and its record, it tells again: the same, never in another order.
    assert list(dict.fromkeys(outside.told())) == ["created j1", "failed j1"]


def test_a_receiver_that_hangs_does_not_hold_up_the_end(house: House, outside: Outside) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        people = "from: a@b.example, to: [c@d.example]"
        mail = f"  mail: {{kind: email, host: 127.0.0.1, port: {port}, security: plain, {people}}}"
        house.path.write_text(house.path.read_text().replace("notifiers:\n", f"notifiers:\n{mail}\n"))
        daemon = house.started()
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()
        daemon.send_signal(signal.SIGTERM)
        try:
            # Its own time-out is thirty seconds: whoever waited for that would be too late.
            daemon.wait(timeout=15)
        finally:
            connection.close()
        assert daemon.returncode == 0
    store = Store(house.folder / "ftwatch.db")
    assert [d.state for d in store.history.deliveries(notifier="mail")] == ["pending"]
    store.close()
