"""Receivers that behave as PagerDuty, ntfy and Alertmanager do, as strict as these are, with their answers.

PagerDuty's limits and answers are those of its documentation and of what its clients reported; ntfy's those
of its server's source; Alertmanager's were recorded from version 0.25.
"""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.responses import JSONResponse, Response

from ftwatch.client import Unreachable
from ftwatch.simulator.receivers import _Sink

ROUTING_KEY = "hunter2aaaaaaaaaaaaaaaaaaaaaaaaa"
TOPIC = "alerts-hunter2"


class PagerDutySink(_Sink):
    """Events API v2: keeps which alerts are open, by their keys."""

    name = "pagerduty"

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.open: dict[str, list[dict[str, Any]]] = {}
        self.resolved: list[str] = []

    def receive(self, body: bytes, headers: dict[str, str]) -> Response:
        try:
            what = json.loads(body)
        except ValueError:
            return self._refuse(
                "Unrecognized object", "Event object format is unrecognized", "JSON parse error"
            )
        wrong = list(self._wrong(what))
        if len(body) > 512 * 1024:
            wrong.append("payload too large")
        if wrong:
            return self._refuse("invalid event", "Event object is invalid", *wrong)
        key = what["dedup_key"]
        if what["event_action"] == "trigger":
            self.open.setdefault(key, []).append(what["payload"])
        elif self.open.pop(key, None):
            self.resolved.append(key)
        self._keep(key, what, body, headers)
        return JSONResponse({"status": "success", "message": "Event processed", "dedup_key": key}, 202)

    def _refuse(self, status: str, message: str, *errors: str) -> Response:
        self.refused += errors
        return JSONResponse({"status": status, "message": message, "errors": list(errors)}, 400)

    def _wrong(self, what: dict[str, Any]) -> Any:
        key = what.get("routing_key", "")
        if len(key) != 32:
            yield "Length of 'routing_key' is incorrect (should be 32 characters)"
        if not key.isalnum():
            yield "'routing_key' cannot contain non-alphanumeric characters."
        if what.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            yield "'event_action' is invalid"
        if not 0 < len(what.get("dedup_key", "")) <= 255:
            yield "'dedup_key' is too long"
        if what.get("event_action") == "trigger":
            payload = what["payload"]
            if not 0 < len(payload.get("summary", "")) <= 1024:
                yield "'payload.summary' is missing or blank, or too long"
            if payload.get("severity") not in ("critical", "error", "warning", "info"):
                yield "'payload.severity' is invalid (must be one of the following: 'critical', …)"
            if not payload.get("source"):
                yield "'payload.source' is missing or blank"
            datetime.fromisoformat(payload["timestamp"])
            for link in what["links"]:
                if not link["href"].startswith(("http://", "https://")):
                    yield "'links' is invalid"


class NtfySink(_Sink):
    """A server of ntfy, at its root, for one topic; `token` is what it wants to see, if anything."""

    name = "ntfy"

    def __init__(self, token: str | None = None, **more: Any) -> None:
        super().__init__(**more)
        self.token = token

    def receive(self, body: bytes, headers: dict[str, str]) -> Response:
        try:
            what = json.loads(body)
        except ValueError:
            return self._refuse(40017, "invalid request: request body must be message JSON")
        if self.token is not None and headers.get("authorization") != self.token:
            known = "authorization" in headers
            return self._refuse(40101, "unauthorized") if known else self._refuse(40301, "forbidden")
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", what.get("topic", "")):
            return self._refuse(40009, "invalid request: topic invalid")
        if what.get("priority") not in (1, 2, 3, 4, 5):
            return self._refuse(40007, "invalid priority parameter")
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", what.get("sequence_id", "x")):
            return self._refuse(40049, "invalid request: sequence ID invalid")
        if len(what["title"].encode()) > 1024 or sum(len(tag) for tag in what["tags"]) > 512:
            return self._refuse(40051, "invalid request: title or tags too long")
        if len(what["message"].encode()) > 4096:
            # The real one would make a file of it.
            return self._refuse(41301, "attachment too large, or bandwidth limit reached")
        self._keep(what.get("sequence_id", ""), what, body, headers)
        message = {"id": "hwQ2YpKdmg", "time": int(time.time()), "event": "message", **what}
        return JSONResponse(message)

    def _refuse(self, code: int, error: str) -> Response:
        self.refused.append(error)
        status = int(str(code)[:3])
        return JSONResponse(
            {"code": code, "http": status, "error": error, "link": "https://x.example"}, status
        )


LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class AlertmanagerSink(_Sink):
    """Alertmanager's API v2, for where the real one is not installed."""

    name = "alertmanager"

    def receive(self, body: bytes, headers: dict[str, str]) -> Response:
        try:
            alerts = json.loads(body)
            wrong = next((said for alert in alerts for said in self._wrong(alert)), None)
        except (ValueError, TypeError):
            return self._refuse({"code": 400, "message": "parsing alerts body failed"})
        if wrong:
            return self._refuse(wrong)
        self._keep("", alerts, body, headers)
        return Response(status_code=200)

    def _refuse(self, said: Any) -> Response:
        self.refused.append(said)
        return JSONResponse(said, 400)

    def _wrong(self, alert: dict[str, Any]) -> Any:
        labels = {name: value for name, value in alert["labels"].items() if value}
        for name in (*labels, *alert["annotations"]):
            if not LABEL.fullmatch(name):
                yield f'invalid label set: invalid name "{name}"'
        if not labels:
            yield "at least one label pair required"
        if alert["endsAt"] < alert["startsAt"]:
            yield "start time must be before end time"


# ------------------------------------------------------------------------------- the real Alertmanager

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
needs_alertmanager = pytest.mark.skipif(
    BINARY is None, reason="Alertmanager is not installed (Debian: prometheus-alertmanager)"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class RealAlertmanager:
    """A process of it; what it tells its own receiver goes to `receiver`, at once and one by one."""

    def __init__(self, folder: Path, receiver: str) -> None:
        assert BINARY is not None
        self.url = f"http://127.0.0.1:{free_port()}"
        config = folder / "alertmanager.json"
        told = {"url": receiver, "send_resolved": True}
        everything = {
            "group_by": ["..."],
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        }
        config.write_text(
            json.dumps(
                {
                    "route": {"receiver": "here", **everything},
                    "receivers": [{"name": "here", "webhook_configs": [told]}],
                }
            )
        )
        self.process = subprocess.Popen(
            [
                BINARY,
                f"--config.file={config}",
                f"--storage.path={folder / 'alertmanager'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def alerts(self, client: Any) -> list[dict[str, Any]]:
        """Those that fire, by its own account."""
        answer = await client.request("GET", f"{self.url}/api/v2/alerts")
        found: list[dict[str, Any]] = json.loads(answer.body)
        return found

    async def names(self, client: Any) -> list[str]:
        return sorted(alert["labels"]["alertname"] for alert in await self.alerts(client))


@asynccontextmanager
async def alertmanager(
    folder: Path, client: Any, receiver: str = "http://127.0.0.1:9/"
) -> AsyncIterator[RealAlertmanager]:
    """The real one, ready, on a port of its own; ends with the context."""
    real = RealAlertmanager(folder, receiver)
    try:
        with anyio.fail_after(30):
            while not await _is_ready(real, client):
                assert real.process.poll() is None, "it did not start"
                await anyio.sleep(0.05)
        yield real
    finally:
        real.process.terminate()
        real.process.wait(10)


async def _is_ready(real: RealAlertmanager, client: Any) -> bool:
    try:
        return bool((await client.request("GET", f"{real.url}/-/ready")).ok)
    except Unreachable:
        return False
