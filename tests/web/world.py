"""A world for the browser: a service with jobs, a receiver, and the real daemon between them, on loopback."""

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ftwatch.store import Store

__all__ = ["World", "until"]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
PATIENCE = 60.0


def until(true: Callable[[], Any]) -> None:
    """Waits until something is true; fails when it never is."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)


class World:
    """A service that speaks OpenAI's API, a receiver of webhooks, and a daemon in a folder.

    `takes` is whether the receiver takes messages; `received` are those that it took.
    """

    def __init__(self, folder: Path, *, web: str = "") -> None:
        self.folder = folder
        self.jobs: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, int] = {}
        self.takes = True
        self.received: list[dict[str, Any]] = []
        world = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path).path.strip("/").split("/")
                if parts[-1] == "events":
                    return self.answer(200, world.log(parts[-2]))
                if parts[-1] == "checkpoints":
                    return self.answer(200, {"object": "list", "data": [], "has_more": False})
                if parts[-1] in world.jobs:
                    return self.answer(200, world.jobs[parts[-1]])
                listed = list(world.jobs.values())[::-1]
                return self.answer(200, {"object": "list", "data": listed, "has_more": False})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not world.takes:
                    return self.answer(404, {"error": "no such hook"})
                world.received.append(body)
                return self.answer(200, {})

            def answer(self, status: int, document: Any) -> None:
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        outside = f"http://127.0.0.1:{self._server.server_port}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.path = folder / "ftwatch.yaml"
        self.path.write_text(
            "providers:\n"
            f"  sim: {{kind: openai, base_url: '{outside}/v1', poll: 1s, discover: 1s, rate: 6000/min}}\n"
            "notifiers:\n"
            f"  hook: {{kind: webhook, url: '{outside}/hook', secret: {SECRET},"
            " retry: {waits: [1s], slow: [1s]}}\n"
            "  team: {kind: console}\n"
            "routes:\n"
            "  - notify: [team]\n"
            "  - {match: {type: 'fine_tuning.*'}, except: {type: fine_tuning.job.updated}, notify: [hook]}\n"
            f"store: {{path: {folder}/ftwatch.db}}\n"
            f"socket: {folder}/ftwatch.sock\n"
            f"web: {{listen: '127.0.0.1:{self.port}'{web}}}\n"
        )
        self._daemon: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------------------------------------- the service

    def put(self, id: str, status: str, **more: Any) -> None:
        """A job as the service has it from now on."""
        now = int(time.time())
        job = self.jobs.get(id) or {
            "id": id,
            "object": "fine_tuning.job",
            "created_at": now - 600,
            "metadata": {},
        }
        job = {**job, "status": status, **more}
        if status in ("succeeded", "failed", "cancelled"):
            job["finished_at"] = now
        if status == "succeeded":
            job["fine_tuned_model"] = f"ft:gpt-4.1-mini:acme:{id}"
        self.jobs = {**self.jobs, id: job}

    def log(self, id: str) -> dict[str, Any]:
        """A job's own log, the newest line first: its figures so far."""
        began = int(time.time()) - 500
        lines = [
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{id}-{step}",
                "created_at": began + step,
                "level": "info",
                "type": "metrics",
                "message": f"Step {step}/400: training loss={2 * math.exp(-step / 60) + 0.3:.2f}",
                "data": {"step": step, "total_steps": 400, "train_loss": 2 * math.exp(-step / 60) + 0.3},
            }
            for step in range(self.steps.get(id, 0), 0, -1)
        ]
        return {"object": "list", "data": lines[:100], "has_more": False}

    # -------------------------------------------------------------------------------------------- the daemon

    def start(self) -> None:
        """Starts the daemon, and waits until it serves."""
        log = (self.folder / "daemon.log").open("ab")
        self._daemon = subprocess.Popen(
            [sys.executable, "-m", "ftwatch", "-c", str(self.path), "run"],
            stdout=log, stderr=log, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        log.close()
        until(self._serves)

    def _serves(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            assert self._daemon is not None
            assert self._daemon.poll() is None, (self.folder / "daemon.log").read_text()
            return False

    def knows(self, count: int) -> None:
        """Waits until the daemon knows so many jobs."""

        def known() -> bool:
            store = Store(self.folder / "ftwatch.db", mode="read")
            try:
                return len(store.history.jobs()) >= count
            finally:
                store.close()

        until(known)

    def stop(self) -> None:
        """Ends the daemon, if it runs."""
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(timeout=30)
            self._daemon = None

    def close(self) -> None:
        """Ends everything."""
        self.stop()
        self._server.shutdown()
        self._server.server_close()
