"""Probes: alive is who does not hang, ready is who watches and tells; both over a real socket."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from ftwatch.core.announce import ProviderState
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Breaker
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Look as Found
from ftwatch.core.known import Policy
from ftwatch.meter import Look
from ftwatch.store import Batch, StoreError
from ftwatch.web import health
from tests.web.house import TOKEN, WHSEC, TestHouse, house

CONFIG = f"""
providers:
  oa: {{kind: openai, api_key: sk-secret-0123456789, degraded_after: 5m}}
  far: {{kind: openai, api_key: sk-secret-0123456789, degraded_after: 5m}}
notifiers:
  ci: {{kind: webhook, url: "https://ci.example.com/secret-path", secret: {WHSEC}}}
  desk: {{kind: console}}
web: {{listen: "127.0.0.1:0", token: {TOKEN}}}
"""
STRANGER = {"host": "10.1.2.3:8787", "origin": "https://elsewhere.example.com"}


async def probe(made: TestHouse, path: str = "/readyz") -> tuple[int, dict[str, Any]]:
    """What a kubelet gets, which comes by address and without a token."""
    async with httpx2.AsyncClient() as client:
        answer = await client.get(made.url + path, headers=STRANGER)
        # The next question is one of another moment.
        made.clock.at += health.FRESH
        return answer.status_code, answer.json()


def look(made: TestHouse, *names: str) -> None:
    """The providers answer now, and all of their jobs are known."""
    for name in names:
        made.store.meter.looked[name] = Look(made.clock.now(), made.clock.ticks())
        keep(made, name, baseline_at=made.clock.now())


def keep(made: TestHouse, name: str, **state: Any) -> None:
    """What the store remembers of a provider from now on."""
    version = made.store.jobs.provider(name).version
    assert made.store.jobs.swap_provider(ProviderState(name=name, version=version, **state))


def owe(made: TestHouse) -> None:
    """A job fails, and everybody is owed that."""
    now = made.clock.now()
    found = Snapshot(id="ftjob-hidden", provider="oa", kind="openai", status=Status.FAILED)
    seen = Found(key=JobKey("oa", "ftjob-hidden"), asked=1, at=now, snapshot=found)
    made.store.commit(Batch(decisions=[decide(None, seen, Policy(routing=made.config.routing), now)]), now)


async def test_alive_is_who_answers_and_hangs_nowhere(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        code, said = await probe(made, "/healthz")
        assert (code, said["status"]) == (200, "ok")
        made.hanging = ["poller oa"]
        code, said = await probe(made, "/healthz")
        assert (code, said["status"], said["late"]) == (503, "hanging", ["poller oa"])
        assert "no sign of life from poller oa" in (await probe(made))[1]["reasons"]


async def test_ready_is_who_has_seen_every_provider(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        unseen = "provider {}: it has not answered since the start"
        assert await probe(made) == (
            503,
            {"status": "not ready", "reasons": [unseen.format("oa"), unseen.format("far")], "notes": []},
        )
        look(made, "oa")
        assert (await probe(made))[1]["reasons"] == [unseen.format("far")]
        look(made, "far")
        assert await probe(made) == (200, {"status": "ready", "reasons": [], "notes": []})
        # A reload begins with loops that have seen nothing yet.
        made.pollers = {}
        assert (await probe(made))[0] == 200


async def test_a_baseline_under_way_is_ready_and_said(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        keep(made, "far", baseline_at=None)
        code, said = await probe(made)
        assert (code, said["notes"]) == (200, ["provider far: its jobs are being read for the first time"])


async def test_a_provider_that_is_not_seen_any_more(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        # Asked seldom is not seen badly.
        made.clock.at += 3600
        assert (await probe(made))[0] == 200
        # It says no, and does not want to be asked for an hour: nobody was told of that yet.
        look(made, "oa", "far")
        made.pollers["far"].problem = "HTTP 429: ftjob-hidden sk-secret-0123456789"
        made.clock.at += 299
        assert (await probe(made))[0] == 200
        made.clock.at += 2
        assert (await probe(made))[1]["reasons"] == ["provider far: no good look for 5m 2s"]
        look(made, "far")
        assert (await probe(made))[0] == 200
        # A key that is refused counts at once.
        keep(made, "far", degraded_at=made.clock.now() - 60, reason="HTTP 401: sk-secret-0123456789")
        assert (await probe(made))[1]["reasons"] == ["provider far: degraded for 1m"]


async def test_a_service_that_has_ended_alarms_nobody(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa")
        keep(made, "far", retired_at=made.clock.now())
        made.pollers["far"].problem = "HTTP 410"
        made.clock.at += 86400
        code, said = await probe(made)
        assert (code, said["notes"]) == (200, ["provider far: its service has ended, as it says itself"])


async def test_a_dead_receiver_is_noted_and_no_reason(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        owe(made)
        store, now = made.store, made.clock.now()
        store.outbox.put_breaker("ci", Breaker(failures=9, open_at=now, probe_at=now + 30, failing_since=now))
        store.outbox.put_breaker("desk", Breaker(failing_since=now))
        made.clock.at += 7200
        # Probes go on all the time.
        store.meter.tried.update(ci=made.clock.ticks(), desk=made.clock.ticks())
        code, said = await probe(made)
        assert (code, said["reasons"]) == (200, [])
        assert said["notes"] == [
            "notifier ci: out of reach for 2h",
            "notifier desk: nothing has arrived for 2h",
        ]
        store.outbox.disable("ci", "HTTP 410: secret-path")
        made.clock.at += 3600
        store.meter.tried.update(desk=made.clock.ticks())
        code, said = await probe(made)
        assert code == 200
        assert "notifier ci: switched off, because its receiver wanted no more" in said["notes"][0]


async def test_what_is_due_and_never_tried_is_our_own_fault(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        owe(made)
        made.clock.at += health.OVERDUE - 1
        assert (await probe(made))[0] == 200
        made.clock.at += 2
        overdue = "notifier {}: something has been due for over 5m, and nothing was tried"
        reasons = (await probe(made))[1]["reasons"]
        assert reasons == [overdue.format("ci"), overdue.format("desk")]
        made.store.meter.tried["desk"] = made.clock.ticks()
        assert (await probe(made))[1]["reasons"] == [overdue.format("ci")]


async def test_a_full_disk_and_a_store_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        made.store.is_full = True
        full = "the disk is full: no job is looked at before it has room again"
        assert await probe(made) == (503, {"status": "not ready", "reasons": [full], "notes": []})
        made.store.is_full = False

        async def fail(question: Any) -> Any:
            raise StoreError("/var/lib/ftwatch.db is busy")

        monkeypatch.setattr(made, "read", fail)
        assert (await probe(made))[1]["reasons"] == ["the database does not answer"]
        monkeypatch.undo()
        assert (await probe(made))[0] == 200


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    freed = threading.Event()
    yield freed
    freed.set()


async def test_a_store_that_hangs_is_asked_once_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: threading.Event
) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    asked: list[Any] = []
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        read = made.read

        async def hang(question: Any) -> Any:
            asked.append(question)
            await anyio.to_thread.run_sync(stuck.wait)
            return await read(question)

        monkeypatch.setattr(made, "read", hang)
        for _ in range(3):
            assert (await probe(made))[1]["reasons"] == ["the database does not answer"]
        assert len(asked) == 1
        stuck.set()
        monkeypatch.setattr(health, "PATIENCE", 20.0)
        assert (await probe(made))[0] == 200


async def test_many_probes_at_once_are_one_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    async with house(tmp_path, CONFIG) as made:
        look(made, "oa", "far")
        read = made.read

        async def count(question: Any) -> Any:
            asked.append(question)
            return await read(question)

        monkeypatch.setattr(made, "read", count)
        async with httpx2.AsyncClient() as client, anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(client.get, f"{made.url}/readyz")
        assert len(asked) == 1


async def test_no_probe_names_a_job_or_a_secret(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG) as made:
        owe(made)
        made.pollers["oa"].problem = "HTTP 404: no ftjob-hidden for sk-secret-0123456789"
        keep(made, "far", degraded_at=made.clock.now(), reason="no ftjob-hidden for sk-secret-0123456789")
        made.clock.at += 9000
        for path in ("/healthz", "/readyz"):
            said = json.dumps(await probe(made, path))
            for word in ("ftjob", "sk-", "secret-path", "whsec", TOKEN):
                assert word not in said
