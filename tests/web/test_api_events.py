"""The API's events and deliveries: byte for byte as they were frozen, and what became of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core import announce
from ftwatch.core.delivery import Rejected, Sent
from ftwatch.core.event import Severity, encode
from ftwatch.store import Batch
from tests.web.served import NOW, ROUTING, Served, served


async def two_jobs(it: Served) -> None:
    """Six events: a created and running and failed, b created; and one about ftwatch itself."""
    await it.happen("a", "queued", at=NOW)
    await it.happen("a", "running", at=NOW + 1)
    await it.happen("b", "running", provider="other", at=NOW + 2)
    await it.happen("a", "failed", at=NOW + 3)
    said = announce.about_ourselves(
        "config", "ftwatch.config.rejected", Severity.ERROR, "no", ROUTING, NOW + 4
    )
    await it.house.work(it.store.commit, Batch(announcements=[said]), NOW + 4)


def short(found: list[Any]) -> list[str]:
    return [one["event"]["type"].rpartition(".")[2] + " " + one["event"]["data"]["id"] for one in found]


ALL = ["rejected config", "failed a", "running b", "created b", "running a", "created a"]


async def test_events_are_the_frozen_bytes(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        decision = await it.happen("a", "queued", name="ü✓ <b>")
        wire = encode(decision.events[0])
        assert b'"event":' + wire in (await it.ask("GET", "events")).content
        one = await it.ask("GET", f"events/{decision.events[0].id}")
        assert b'"event":' + wire in one.content


async def test_events_come_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await two_jobs(it)
        wanted = [one for one in ALL if one != "running b"]
        assert short(await it.all_of("events")) == short(await it.all_of("events", limit=2))
        assert short(await it.all_of("events")) == wanted
        oldest = await it.all_of("events", order="oldest", limit=1)
        assert short(oldest) == wanted[::-1]
        assert [one["seq"] for one in oldest] == sorted(one["seq"] for one in oldest)
        after = oldest[1]["seq"]
        assert short(await it.all_of("events", order="oldest", after=after)) == wanted[::-1][2:]


async def test_events_are_chosen(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await two_jobs(it)
        for params, wanted in [
            ({"job": "a"}, ["failed a", "running a", "created a"]),
            ({"job": "other/b"}, ["created b"]),
            ({"provider": "other"}, ["created b"]),
            ({"type": "fine_tuning.job.failed"}, ["failed a"]),
            ({"type": "fine_tuning.job.*ed"}, ["failed a", "created b", "created a"]),
            ({"type": "*.config.*"}, ["rejected config"]),
            ({"type": "*[ae]*"}, []),
            ({"severity": "error"}, ["rejected config", "failed a"]),
            ({"severity": "error,info", "provider": "openai"}, ["failed a", "running a", "created a"]),
            ({"job": "a", "type": "*.running", "severity": "info"}, ["running a"]),
        ]:
            assert short(await it.all_of("events", **params)) == wanted, params
            assert short(await it.all_of("events", order="oldest", limit=1, **params)) == wanted[::-1], params


async def test_an_event_knows_who_was_told_and_who_was_not(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await two_jobs(it)
        await it.try_all(Sent("HTTP 200"), at=NOW + 10)
        (failed,) = await it.all_of("events", type="*.failed")
        story = await it.get(f"events/{failed['event']['id']}")
        (told,) = story["told"]
        assert (told["notifier"], told["because"]) == ("console", "default")
        assert story["not_told"] == []
        assert story["event"] == failed["event"]


async def test_who_was_spared_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        said = announce.about_ourselves("config", "ftwatch.test", Severity.DETAIL, "x", ROUTING, NOW)
        await it.house.work(it.store.commit, Batch(announcements=[said]), NOW)
        ((event,),) = [await it.all_of("events")]
        story = await it.get(f"events/{event['event']['id']}")
        assert story["told"] == []
        assert story["not_told"] == [{"notifier": "console", "because": "below the default floor (info)"}]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("events/evt_nope", 404, "no event has the id 'evt_nope'"),
        ("events?job=nope", 404, "no job is called 'nope'"),
        ("events?job=j", 409, "'j' could be any of these: openai/j2, openai/j1"),
        ("events?after=-1", 400, "after cannot be '-1'"),
        ("events?after=99999999999999999999", 400, "after cannot be '99999999999999999999'"),
        ("events?order=latest", 400, "order is never 'latest'"),
        ("events?severity=fatal", 400, "severity is never 'fatal'; there are: detail, info"),
        ("events?type=" + "x" * 201, 400, "type cannot be 'xxx"),
        ("deliveries?state=died", 400, "state is never 'died'"),
        ("deliveries/msg_nope", 404, "no delivery has the id 'msg_nope'"),
        ("deliveries/msg_", 409, "'msg_' is the beginning of several ids; write more of it"),
        ("deliveries?job=nope", 404, "no job is called 'nope'"),
    ],
)
async def test_what_cannot_be_told_is_said(path: str, status: int, said: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("j1", "running", at=NOW)
        await it.happen("j2", "running", at=NOW + 1)
        assert (await it.refused("GET", path, status)).startswith(said)


# ------------------------------------------------------------------------------------------ deliveries


async def test_deliveries_are_listed_with_every_try(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running", at=NOW)
        await it.try_all(Rejected("HTTP 403: no", final=True), at=NOW)
        await it.happen("b", "failed", at=NOW + 1)
        found = await it.all_of("deliveries", limit=1)
        assert len(found) == 3
        dead = found[-1]
        assert (dead["state"], dead["notifier"], dead["reason"]) == ("dead", "console", "HTTP 403: no")
        assert dead["tries"] == [{"at": NOW, "took": 0.25, "outcome": "rejected", "reason": "HTTP 403: no"}]
        for params, count in [
            ({"state": "dead"}, 1),
            ({"state": "pending"}, 2),
            ({"state": "dead,pending"}, 3),
            ({"state": "delivered"}, 0),
            ({"notifier": "console"}, 3),
            ({"notifier": "hook"}, 0),
            ({"job": "b"}, 2),
            ({"job": "b", "state": "dead"}, 0),
            ({"state": "dead,delivered"}, 1),
        ]:
            assert len(await it.all_of("deliveries", limit=2, **params)) == count, params
        assert await it.get(f"deliveries/{dead['id']}") == dead
        assert await it.get(f"deliveries/{dead['id'][:20]}") == dead


async def test_a_dead_letter_is_sent_again_or_given_up(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        await it.try_all(Rejected("no", final=True))
        (dead,) = await it.all_of("deliveries")
        path = f"deliveries/{dead['id']}"
        assert (await it.ask("POST", f"{path}/retry")).json() == {"ids": [dead["id"]]}
        assert (await it.get(path))["state"] == "pending"
        assert (await it.ask("POST", f"{path}/drop", json={})).json() == {"ids": [dead["id"]]}
        assert (await it.get(path))["reason"] == "dropped by hand"
        said = await it.refused("POST", f"{path}/drop", 409)
        assert said == f"{dead['id']} is superseded: only what is pending or dead can be changed"
        assert "write the whole id" in await it.refused("POST", f"{path[:-2]}/retry", 400)
        assert "no delivery" in await it.refused("POST", "deliveries/msg_nope/retry", 404)


async def test_a_replay_sends_again_what_was_sent(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        for body in ({"since": NOW - 1}, {"since": "99999d"}):
            await it.try_all(Sent(""), at=2e9)
            answer = await it.ask("POST", "deliveries/replay", json={"notifier": "console", **body})
            assert answer.json() == {"count": 1}
        assert [one["because"] for one in await it.all_of("deliveries")] == ["replay by hand"]
        dead = {"notifier": "console", "since": 0, "dead": True}
        assert (await it.ask("POST", "deliveries/replay", json=dead)).json() == {"count": 0}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "the body: object missing required field `notifier`"),
        ({"notifier": "console"}, 400, "the body: object missing required field `since`"),
        ({"notifier": "consol", "since": 0}, 404, "no notifier is called 'consol'; did you mean 'console'?"),
        ({"notifier": "console", "since": "soon"}, 400, "since: 'soon' is no duration"),
        ({"notifier": "console", "since": None}, 400, "the body: expected `float | str`, got `null`"),
        (
            {"notifier": "console", "since": 0, "ded": True},
            400,
            "there is no field 'ded'; did you mean 'dead'?",
        ),
    ],
)
async def test_a_replay_that_makes_no_sense(
    body: dict[str, Any], status: int, said: str, tmp_path: Path
) -> None:
    async with served(tmp_path) as it:
        assert (await it.refused("POST", "deliveries/replay", status, json=body)).startswith(said)


async def test_a_number_beyond_all_numbers(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        body = b'{"notifier": "console", "since": 1e999}'
        headers = {"content-type": "application/json"}
        await it.refused("POST", "deliveries/replay", 400, content=body, headers=headers)
        assert json.loads(body)["since"] == float("inf")
