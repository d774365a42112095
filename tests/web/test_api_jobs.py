"""The API's jobs: listed page by page, found by a word, told whole; acknowledged, and looked at."""

from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.delivery import Retry, Sent
from ftwatch.core.job import JobError, JobKey
from ftwatch.core.journal import Checkpoint, Journal, Line
from ftwatch.poller.agenda import Turn
from tests.web.served import NOW, Served, path_of, served

HOSTILE = 'x\x1b]0;owned\x07</script><b>"\u202e\r\n'
IDS = [
    "ftjob-1",
    "accounts/me/jobs/1",
    "a//b",
    "/leading",
    "trailing/",
    "x/ack",
    "x/look",
    "find",
    "a:b?c=d#e&f+g h%20i%2Fj",
    "ü✓\u202e",
    "\n",
    "a\nb\n",
]


async def ids(it: Served, **params: Any) -> list[str]:
    return [job["id"] for job in (await it.get("jobs", **params))["data"]]


async def test_a_job_is_the_canonical_one_and_what_we_know(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running", name="bot", model="gpt", labels={"team": "search"}, seed=7)
        await it.happen("a", "failed", at=NOW + 5, name="bot", error=JobError(code="bad", message="no"))
        (job,) = (await it.get("jobs"))["data"]
        assert (job["id"], job["object"], job["name"], job["status"]) == (
            "a",
            "fine_tuning.job",
            "bot",
            "failed",
        )
        assert job["error"] == {"code": "bad", "message": "no", "param": None}
        assert (job["status_since"], job["changed_at"], job["version"]) == (NOW + 5, NOW + 5, 2)
        assert (job["active"], job["gone"], job["alerts"], job["ack"]) == (False, False, [], None)
        assert "next_look" not in job


async def test_pages_have_every_job_once_though_many_changed_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for number in range(25):
            await it.happen(f"j{number:02}", "running", at=NOW + number // 10)
        found = await it.all_of("jobs", limit=4)
        assert len({job["id"] for job in found}) == len(found) == 25
        assert [job["changed_at"] for job in found] == sorted(
            (job["changed_at"] for job in found), reverse=True
        )
        assert await ids(it, limit=1) == [found[0]["id"]]


async def test_a_page_is_full_when_it_is_large(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for number in range(30):
            await it.happen(f"j{number:02}", "running", hyperparameters={"x": "y" * 10_000})
        answer = await it.ask("GET", "jobs?limit=30")
        assert len(answer.content) < 100_000
        assert answer.json()["next"] is not None
        assert len(await it.all_of("jobs", limit=30)) == 30


async def test_what_is_asked_for_is_what_comes(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running", model="gpt-4.1-mini", labels={"team": "search"}, at=NOW)
        await it.happen("b", "failed", model="gpt-4.1", labels={"team": "ads"}, at=NOW + 1)
        await it.happen("c", "queued", provider="other", name="bot", at=NOW + 2)
        await it.happen("d", "succeeded", owner="ann", metadata={"k": "v w"}, at=NOW + 3)
        for params, wanted in [
            ({}, "dcba"),
            ({"provider": "other"}, "c"),
            ({"provider": "nobody"}, ""),
            ({"status": "running"}, "a"),
            ({"status": "running,failed"}, "ba"),
            ({"active": "true"}, "ca"),
            ({"active": "false"}, "dcba"),
            ({"changed_since": NOW + 2}, "dc"),
            ({"match": 'labels.team="search"'}, "a"),
            ({"match": "labels.team!=search"}, "dcb"),
            ({"match": 'model="gpt-4.1*"'}, "ba"),
            ({"match": 'model="gpt-?.1", labels.team=ads'}, "b"),
            ({"match": "name=b*, provider=other"}, "c"),
            ({"match": 'metadata.k="v w"', "status": "succeeded"}, "d"),
            ({"match": "owner=ann", "active": "true"}, ""),
            ({"match": "model=", "provider": "openai"}, "d"),
        ]:
            assert "".join(await ids(it, **params)) == wanted, params


async def test_a_glob_of_many_asterisks_takes_no_time(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running", name="a" * 5000)
        assert await ids(it, match="name=" + "*a" * 60 + "b") == []


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("stats=running", "there is no parameter 'stats'; did you mean 'status'?"),
        ("x=1", "there is no parameter 'x'; there are: provider, status"),
        ("status=runing", "status is never 'runing'; did you mean 'running'?"),
        ("status=running,x", "status is never 'x'; there are: validating_files"),
        ("status=running&status=failed", "status is given 2 times; several values stand between commas"),
        ("status=", "status is empty"),
        ("limit=0", "limit cannot be '0'"),
        ("limit=201", "limit cannot be '201'"),
        ("limit=1e9999", "limit cannot be"),
        ("limit=ten", "limit cannot be 'ten'"),
        ("active=1", "active is true or false, not '1'"),
        ("after=x", "after is no place in this listing"),
        ("after=null", "after is no place in this listing"),
        ("after=1-99999999999999999999", "after is no place in this listing"),
        ("changed_since=nan", "changed_since cannot be 'nan'"),
        ("changed_since=-1", "changed_since cannot be '-1'"),
        ("match=labels.team", "match: 'labels.team' is no matcher"),
        ("match=modl=x", "match: nothing has a key 'modl'; did you mean 'model'?"),
        ("match=type=x", "match: 'type' is a key of events, and this asks for jobs"),
        ("match=min_severity=info", "match: min_severity is a threshold of events"),
        ("match=name%3D~%22(a%2B)%2B%22", "match: regular expressions are not taken here"),
        ("match=name=re:.*", "match: regular expressions are not taken here"),
        ("match=" + "x" * 1001, "match cannot be"),
        ("include=history", "include is never 'history'; there are: next_look"),
    ],
)
async def test_what_makes_no_sense_is_said(query: str, said: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert (await it.refused("GET", f"jobs?{query}", 400)).startswith(said)


async def test_when_it_is_looked_at_next_is_told_where_that_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        await it.happen("b", "failed")
        poller: Any = it.house.pollers["openai"]
        poller.planned = {"a": Turn(it.house.clock.ticks() + 30, "it runs")}
        looks = {job["id"]: job["next_look"] for job in await it.all_of("jobs", include="next_look")}
        assert looks["b"] is None
        assert looks["a"]["why"] == "it runs"
        assert abs(looks["a"]["at"] - it.house.clock.now() - 30) < 5
        assert (await it.get("jobs/openai/a"))["next_look"]["why"] == "it runs"


# --------------------------------------------------------------------------------------------- one job


@pytest.mark.parametrize("id", IDS)
async def test_ids_may_have_any_sign(id: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen(id, "failed")
        assert (await it.get(path_of("openai", id)))["id"] == id
        acked = await it.ask("POST", f"{path_of('openai', id)}/ack", json={"author": "ann"})
        assert acked.json()["of"] == ["failed"]
        assert (await it.ask("POST", f"{path_of('openai', id)}/look")).status_code == 202
        poller: Any = it.house.pollers["openai"]
        assert poller.poked == [id]


async def test_an_id_with_plain_slashes_is_found_too(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("accounts/me/jobs/1", "running")
        assert (await it.get("jobs/openai/accounts/me/jobs/1"))["id"] == "accounts/me/jobs/1"


async def test_what_strangers_wrote_is_told_as_it_stands(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running", name=HOSTILE, labels={HOSTILE: HOSTILE})
        answer = await it.ask("GET", "jobs")
        assert answer.json()["data"][0]["labels"] == {HOSTILE: HOSTILE}
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def whole(it: Served) -> None:
    """A job with a story."""
    key = JobKey("openai", "a")
    await it.happen("a", "queued")
    await it.happen("a", "running", at=NOW + 10)
    await it.try_all(Retry("HTTP 503"), at=NOW + 20)
    await it.try_all(Sent("HTTP 200"), at=NOW + 100)
    await it.happen("a", "failed", at=NOW + 200)
    lines = [
        Line(
            key=str(step),
            at=int(NOW) + step,
            message=f"Step {step}",
            step=step,
            metrics={"train_loss": 1 / step},
        )
        for step in range(1, 8)
    ]
    saved = [Checkpoint(id=f"c{step}", step=step, model=f"ft:m:{step}") for step in (6, 2, 4)]

    def write() -> None:
        with it.store.db.transaction():
            it.store.journals.add(key, 0, Journal(lines=tuple(lines), checkpoints=tuple(saved)), NOW)

    await it.house.work(write)


async def test_a_job_is_told_as_far_as_it_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await whole(it)
        bare = await it.get("jobs/openai/a")
        parts = ("history", "log", "metrics", "checkpoints", "deliveries")
        assert not set(parts) & set(bare)
        assert bare["summary"]["cause"] == "unknown"
        full = await it.get("jobs/openai/a", include=",".join(parts))
        assert [one["event"]["type"].rpartition(".")[2] for one in full["history"]["data"]] == [
            "failed",
            "running",
            "created",
        ]
        told = full["history"]["data"][2]["told"][0]
        assert (told["notifier"], told["state"], told["because"]) == ("console", "delivered", "default")
        assert [one["outcome"] for one in told["tries"]] == ["retry", "sent"]
        assert [line["message"] for line in full["log"]["data"]][:2] == ["Step 7", "Step 6"]
        assert [point["step"] for point in full["metrics"]["data"]] == list(range(1, 8))
        assert full["metrics"]["data"][1]["metrics"] == {"train_loss": 0.5}
        assert [one["id"] for one in full["checkpoints"]["data"]] == ["c2", "c4", "c6"]
        assert [one["state"] for one in full["deliveries"]["data"]] == ["pending", "pending", "delivered"]
        assert all(full[part]["next"] is None for part in parts)


@pytest.mark.parametrize(
    ("part", "count"), [("history", 3), ("log", 7), ("metrics", 7), ("checkpoints", 3), ("deliveries", 3)]
)
async def test_each_part_goes_on_where_it_ended(part: str, count: int, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await whole(it)
        at_once = (await it.get("jobs/openai/a", include=part))[part]["data"]
        found, params = [], {"include": part}
        while True:
            page = (await it.get("jobs/openai/a", limit=2, **params))[part]
            assert len(page["data"]) <= 2
            found += page["data"]
            if page["next"] is None:
                break
            # To go on with a part is to ask for it.
            params = {f"{part}_after": page["next"]}
        assert found == at_once
        assert len(found) == count


async def test_a_job_that_nobody_knows(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert await it.refused("GET", "jobs/openai/x", 404) == "no job is called 'openai/x'"
        assert await it.refused("POST", "jobs/openai/x/ack", 404) == "no job is called 'openai/x'"
        assert await it.refused("POST", "jobs/openai/x/look", 404) == "no job is called 'openai/x'"


# ----------------------------------------------------------------------------------------------- find


async def test_a_job_is_found_as_on_the_command_line(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        for id, name in (("ftjob-aa", "bot"), ("ftjob-ab", "bot"), ("ftjob-b", None)):
            await it.happen(id, "running", name=name)
        for word, wanted in [
            ("ftjob-aa", ["ftjob-aa"]),
            ("openai/ftjob-b", ["ftjob-b"]),
            ("ftjob-b", ["ftjob-b"]),
            ("https://x.example/jobs/ftjob-b", ["ftjob-b"]),
            ("bot", ["ftjob-aa", "ftjob-ab"]),
            ("ftjob-a", ["ftjob-aa", "ftjob-ab"]),
        ]:
            found = await it.get("jobs/find", job=word)
            assert sorted(job["id"] for job in found["data"]) == wanted
        assert await it.refused("GET", "jobs/find?job=nope", 404) == "no job is called 'nope'"
        assert await it.refused("GET", "jobs/find", 400) == "job is missing: say ?job=…"


# ---------------------------------------------------------------------------------------------- writes


async def test_who_knows_of_it_is_asked_and_kept(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "failed")
        await it.happen("b", "running")
        answer = await it.ask("POST", "jobs/openai/a/ack", json={"comment": "on it", "author": "ann"})
        assert answer.status_code == 200
        assert (await it.get("jobs/openai/a"))["ack"]["author"] == "ann"
        assert [ack["comment"] for ack in (await it.get("jobs/openai/a"))["acks"]] == ["on it"]
        # Who says nothing of themselves is whoever the door let in.
        assert (await it.ask("POST", "jobs/openai/a/ack")).json()["ack"]["author"] == "local"
        said = await it.refused("POST", "jobs/openai/b/ack", 409)
        assert said == "nothing is open about openai/b"


async def test_whoever_a_proxy_vouches_for_signs_as_nobody_else(tmp_path: Path) -> None:
    web = "{listen: '127.0.0.1:0', user_header: X-User, trusted_proxies: [127.0.0.0/8]}"
    async with served(tmp_path, web=web) as it:
        await it.happen("a", "failed")
        user = {"x-user": "kim"}
        answer = await it.ask("POST", "jobs/openai/a/ack", json={"author": "the boss"}, headers=user)
        assert answer.json()["ack"]["author"] == "kim"


async def test_a_look_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        pollers: Any = it.house.pollers
        assert (await it.ask("POST", "jobs/look")).status_code == 202
        assert [one.poked for one in pollers.values()] == [[None], [None]]
        # While a new config is taken nobody polls; whoever does next looks at once anyway.
        pollers.clear()
        assert (await it.ask("POST", "jobs/openai/a/look")).status_code == 202
        del it.house.config.providers["openai"]
        assert "not in the config any more" in await it.refused("POST", "jobs/openai/a/look", 409)


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"{}", "text/plain", 415, "the body has to be JSON, with the header content-type: application/json"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "the body has to be JSON"),
        (b"[]", "application/json", 400, "the body has to be a JSON object"),
        (b"{", "application/json", 400, "the body is no JSON"),
        (b"\xff", "application/json", 400, "the body is no JSON"),
        (b'"\xff"', "application/json", 400, "the body is no JSON"),
        (b"[" * 100_000, "application/json", 400, "the body is no JSON"),
        (b'{"coment": ""}', "application/json", 400, "there is no field 'coment'; did you mean 'comment'?"),
        (b'{"comment": 1}', "application/json", 400, "the body: expected `str`, got `int` - at `comment`"),
        (b'{"comment": "' + b"x" * 300_000 + b'"}', "application/json", 413, "the body is larger than"),
    ],
)
async def test_a_body_that_cannot_be_read(
    body: bytes, kind: str, status: int, said: str, tmp_path: Path
) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "failed")
        headers = {"content-type": kind}
        sentence = await it.refused("POST", "jobs/openai/a/ack", status, content=body, headers=headers)
        assert sentence.startswith(said)
        assert (await it.get("jobs/openai/a"))["ack"] is None
