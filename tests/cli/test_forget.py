"""forget: nothing that names anybody is left, in no page of the file; and nobody is told anew."""

from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Rejected, Sent
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Look, Policy
from ftwatch.store import Store

NAME = "Wilhelmina-Fernsprecher"


def bytes_of(world: Any) -> bytes:
    return b"".join(file.read_bytes() for file in Path(world.folder).glob("ftwatch.db*"))


@pytest.fixture
def told(world: Any) -> None:
    """A job with somebody's name in it: one message sent, one dead, one waiting; and a job of nobody's."""
    more = {"name": NAME, "metadata": {"owner": NAME}, "owner": NAME}
    world.happen("ftjob-her", "running", **more)
    world.try_all(Sent(""))
    world.happen("ftjob-her", "paused", **more)
    world.try_all(Rejected("HTTP 403: no", final=True))
    world.happen("ftjob-her", "running", **more)
    world.happen("ftjob-other", "running")


def test_a_job_is_forgotten_to_the_last_byte(tool: Any, world: Any, told: None) -> None:
    assert NAME.encode() in bytes_of(world)
    said = tool("forget", "ftjob-her", "--yes")
    assert said.code == Exit.OK
    assert said.out == ("forgotten: job openai/ftjob-her; 3 events, 3 deliveries, 1 of them not sent yet\n")
    assert NAME.encode() not in bytes_of(world)
    assert tool("show", "ftjob-her").code == Exit.NOTHING
    assert [row["job"] for row in tool("jobs", "-o", "json").json] == ["ftjob-other"]
    assert len(tool("outbox", "list", "-o", "json").json) == 1, "others keep what they are owed"


def test_what_is_forgotten_is_not_taken_for_new(tool: Any, world: Any, told: None) -> None:
    tool("forget", "ftjob-her", "--yes")
    store = Store(world.database)
    try:
        known = store.jobs.load("openai", ["ftjob-her"])["ftjob-her"]
        assert not known.is_active
        assert (known.snapshot.status, known.snapshot.name) == (Status.RUNNING, None)
        snapshot = Snapshot(id="ftjob-her", provider="openai", kind="openai", status=Status.FAILED, name=NAME)
        key = JobKey("openai", "ftjob-her")
        look = Look(key=key, asked=known.asked + 1, at=1.0, snapshot=snapshot, fingerprint=b"new")
        decision = decide(known, look, Policy(routing=world.routing), 1.0)
        assert (decision.events, decision.deliveries) == ((), ())
        assert decision.known is not None
        assert decision.known.snapshot == known.snapshot
        assert decision.known.fingerprint == b"new", "so that nobody asks for it again and again"
    finally:
        store.close()


def test_a_provider_is_forgotten_once_it_is_not_watched(tool: Any, world: Any, told: None) -> None:
    store = Store(world.database)
    state = store.jobs.provider("openai")
    with store.db.transaction():
        store.jobs.swap_provider(state)
    store.close()
    refused = tool("forget", "openai", "--yes")
    assert refused.code == Exit.NO
    assert "take it out first" in refused.err
    world.configure("providers: {new: {kind: openai, api_key: '${K}'}}\nnotifiers: {console: {}}")
    said = tool("forget", "openai", "--yes")
    assert said.code == Exit.OK
    assert said.out.startswith("forgotten: provider openai with all of its jobs; ")
    assert b"ftjob-" not in bytes_of(world)
    assert tool("jobs", "-o", "json").json == []


def test_nothing_is_forgotten_by_a_slip(tool: Any, world: Any, told: None) -> None:
    assert tool("forget", "ftjob-her").code == Exit.USAGE
    assert tool("forget", "ftjob-nobody", "--yes").code == Exit.NOTHING
    assert NAME.encode() in bytes_of(world)


def test_copies_are_named(tool: Any, world: Any, told: None) -> None:
    (Path(world.folder) / "ftwatch.db.v1.bak").touch()
    assert "ftwatch.db.v1.bak" in tool("forget", "ftjob-her", "--yes").err
