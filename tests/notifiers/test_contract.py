"""What every kind of notifier must keep to, found through the entry points as the daemon finds them."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Event, wire
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.plugins import Secret, kinds, load_kind
from ftwatch.simulator.receivers import MailSink, SlackSink, WebhookSink
from tests.notifiers.services import ROUTING_KEY, TOPIC, AlertmanagerSink, NtfySink, PagerDutySink

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
KINDS = sorted(kinds("notifier"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def options(kind: str, port: int, folder: Path) -> dict[str, Any]:
    """How to configure a kind so that it reaches this port."""
    script = folder / "take.py"
    script.write_text("import sys, json; json.load(sys.stdin)\n")
    url = f"http://127.0.0.1:{port}/services/hunter2-token"
    return {
        "webhook": {"url": Secret(url), "secret": Secret(SECRET)},
        "slack": {"webhook_url": Secret(url)},
        "email": {
            "host": "127.0.0.1",
            "port": port,
            "security": "plain",
            "from_": "ftwatch <ft@example.com>",
            "to": ("you@example.com",),
        },
        "pagerduty": {"url": url, "routing_key": Secret(ROUTING_KEY)},
        "ntfy": {"url": f"http://127.0.0.1:{port}", "topic": Secret(TOPIC), "token": Secret("tk_hunter2")},
        "alertmanager": {"url": f"http://127.0.0.1:{port}", "token": Secret("hunter2-token")},
        "apprise": {"url": Secret(f"json://user:hunter2-token@127.0.0.1:{port}/")},
        "command": {"argv": (sys.executable, str(script))},
        "console": {},
    }[kind]


class Everything:
    """A real receiver for each kind; what a kind needs is started, the rest is not there."""

    def __init__(self, kind: str, kit: Any) -> None:
        self.kind, self.kit = kind, kit

    async def send_all(self, events: list[Event], folder: Path) -> list[Any]:
        sinks: dict[str, Any] = {
            "webhook": WebhookSink(SECRET),
            "slack": SlackSink(),
            "email": MailSink(),
            "pagerduty": PagerDutySink(),
            "ntfy": NtfySink(),
            "alertmanager": AlertmanagerSink(),
        }
        sink = sinks.get(self.kind)
        if self.kind == "apprise":
            async with self.kit.receiving() as receiver:
                return await self._send(events, int(receiver.url.split(":")[2].split("/")[0]), folder)
        if sink is None:
            return await self._send(events, 9, folder)
        async with sink.serving():
            port = sink.port if self.kind == "email" else sink.place.port
            done = await self._send(events, port, folder)
            told = [one for one in done if not one.outcome.idle]
            # Of some ends two alerts may be waiting.
            assert len(told) <= len(sink.arrivals) <= len(told) + (self.kind == "pagerduty")
            assert len(told) == len(events) or self.kind in ("pagerduty", "alertmanager")
            assert not getattr(sink, "refused", [])
            return done

    async def _send(self, events: list[Event], port: int, folder: Path) -> list[Any]:
        async with self.kit.made(self.kind, folder, **options(self.kind, port, folder)) as notifier:
            results = []
            for event in events:
                if getattr(notifier, "sends_wire", False):
                    assert notifier.freeze(event) == wire(event), "as it says"
                body = notifier.freeze(event)
                assert body == notifier.freeze(event), "the same event, the same bytes"
                results.append(await notifier.send([event], {}, body=body))
            return results


@pytest.mark.parametrize("kind", KINDS)
async def test_every_sort_of_event_arrives(kind: str, kit: Any, tmp_path: Path) -> None:
    names = SAMPLES if kind not in ("command", "apprise") else ("failed", "degraded")
    for result in await Everything(kind, kit).send_all([sample(name) for name in names], tmp_path):
        assert isinstance(result.outcome, Sent), result
        json.dumps(result.memory)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hostile_job_arrives_too(
    kind: str, kit: Any, tmp_path: Path, hostile: Event, capsys: pytest.CaptureFixture[str]
) -> None:
    (result,) = await Everything(kind, kit).send_all([hostile], tmp_path)
    assert isinstance(result.outcome, Sent), result
    shown = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e", "\r"} & set(shown)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("console", "command")])
async def test_nobody_there_is_a_retry_that_tells_no_secret(kind: str, kit: Any, tmp_path: Path) -> None:
    async with kit.made(kind, tmp_path, **options(kind, free_port(), tmp_path)) as notifier:
        event = sample("failed")
        result = await notifier.send([event], {}, body=notifier.freeze(event))
    assert isinstance(result.outcome, Retry), result
    assert kind == "apprise" or result.outcome.unreachable
    assert "hunter2" not in result.outcome.reason
    assert "MfKQ9" not in result.outcome.reason


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("console", "command", "email")])
async def test_a_secret_that_cannot_be_had_is_a_reason_not_a_crash(
    kind: str, kit: Any, tmp_path: Path
) -> None:
    def gone() -> str:
        raise LookupError("the variable HOOK is not set")

    given = options(kind, 9, tmp_path)
    for name, value in given.items():
        if isinstance(value, Secret):
            given[name] = Secret(gone)
    async with kit.made(kind, tmp_path, **given) as notifier:
        event = sample("failed")
        result = await notifier.send([event], {}, body=notifier.freeze(event))
    assert isinstance(result.outcome, Rejected)
    assert "HOOK is not set" in result.outcome.reason


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_says_who_it_is_for_and_how_it_is_treated(kind: str) -> None:
    found = load_kind("notifier", kind)
    assert found.audience in ("people", "machines")
    assert found.concurrency >= 1
    assert found.retry.waits
    assert found.__doc__


@pytest.mark.parametrize("kind", KINDS)
async def test_it_can_be_rendered_without_being_sent(kind: str, kit: Any, tmp_path: Path) -> None:
    async with kit.made(kind, tmp_path, **options(kind, 9, tmp_path)) as notifier:
        shown = notifier.render(sample("failed"))
    assert "support-bot-v7" in shown
    assert "hunter2" not in shown
