"""The API's silences, the whole of it, and what all answers have in common."""

import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.routing import Route

from ftwatch.store import StoreError
from ftwatch.web import api, stream
from tests.web.describing import FILE, OPERATIONS, document
from tests.web.served import CLOSED, NOW, TOKEN, Served, served

# --------------------------------------------------------------------------------------------- silences


async def test_silences_come_stand_and_go(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a*b", "running", labels={"team": "search"})
        now = it.house.clock.now()
        answer = await it.ask(
            "POST", "silences", json={"matchers": ['labels.team="search"'], "for": "2h", "comment": "planned"}
        )
        assert answer.status_code == 201
        made = answer.json()
        assert made["until"] == pytest.approx(now + 7200, abs=60)
        assert (made["jobs"], made["author"], made["comment"]) == (1, "local", "planned")
        # A job's id may have letters that mean something in a matcher.
        job = (await it.ask("POST", "silences", json={"job": "a*b", "until_end": True})).json()
        assert job["jobs"] == 1
        listed = (await it.get("silences"))["data"]
        assert [one["in_config"] for one in listed] == [True, False, False]
        assert (await it.ask("DELETE", f"silences/{made['id']}")).json() == {"ids": [made["id"]]}
        assert len((await it.get("silences"))["data"]) == 2
        assert len((await it.get("silences", expired="true"))["data"]) == 3
        assert "no silence that stands" in await it.refused("DELETE", f"silences/{made['id']}", 404)
        # Only the whole id takes one away.
        await it.refused("DELETE", f"silences/{job['id'][:-1]}", 404)
        assert "stands in the config" in await it.refused("DELETE", f"silences/{listed[0]['id']}", 409)


async def test_a_preview_silences_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        at = it.house.clock.now() - 60
        await it.happen("j", "running", at=at, labels={"team": "search"})
        before = (await it.get("silences"))["data"]
        words = {"matchers": ['labels.team="search"']}
        found = (await it.ask("POST", "silences/preview", json=words)).json()
        assert found["events"] == 1
        assert found["last"][0]["about"] == "j"
        assert (await it.ask("POST", "silences/preview", json={"job": "j"})).json()["events"] == 1
        wrong = {"matchers": ["modl=x"]}
        assert "did you mean" in await it.refused("POST", "silences/preview", 400, json=wrong)
        wrong = words | {"until_end": True}  # type: ignore[assignment]
        assert "only a silence" in await it.refused("POST", "silences/preview", 400, json=wrong)
        assert (await it.get("silences"))["data"] == before


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "say what should be silent"),
        ({"matchers": ["modl=x"]}, 400, "matcher 1: nothing has a key 'modl'; did you mean 'model'?"),
        ({"matchers": ["provider=opnai"]}, 400, "matcher 1: there is no provider 'opnai'; did you mean"),
        ({"matchers": "x"}, 400, "the body: expected `array`, got `str` - at `matchers`"),
        ({"matchers": ["type=*"], "for": "soon"}, 400, "for: 'soon' is no duration"),
        ({"matchers": ["type=*"], "for": "1h", "until": 2e9}, 400, "for and until say the same thing twice"),
        ({"matchers": ["type=*"], "until": 1}, 400, "that time is past already"),
        ({"matchers": ["type=*"], "until": 1e15}, 400, "until is later than any calendar knows"),
        ({"matchers": ["type=*"], "for": "999999999d"}, 400, "until is later than any calendar knows"),
        ({"matchers": ["type=*"], "until_end": True}, 400, "only a silence that names one job"),
        ({"job": "nope"}, 404, "no job is called 'nope'"),
        ({"job": "over", "until_end": True}, 409, "openai/over is over"),
        ({"matchers": ["type=*"], "fore": "1h"}, 400, "there is no field 'fore'; did you mean 'for'?"),
    ],
)
async def test_a_silence_that_makes_no_sense(
    body: dict[str, Any], status: int, said: str, tmp_path: Path
) -> None:
    async with served(tmp_path) as it:
        await it.happen("over", "failed")
        assert (await it.refused("POST", "silences", status, json=body)).startswith(said)
        assert len((await it.get("silences"))["data"]) == 1


# ------------------------------------------------------------------------------------- status and config


async def test_status_says_whether_it_can_be_trusted(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        found = await it.get("status")
        assert found["well"] is False
        assert [one["name"] for one in found["providers"]] == ["openai", "other"]
        assert found["providers"][0]["counts"] == {"running": 1}
        assert found["providers"][0]["state"] == "not looked at yet"
        console = found["notifiers"][0]
        assert (console["pending"], console["oldest_pending"]) == (1, NOW)
        assert console["state"].startswith("behind: the oldest waits since")
        assert found["daemon"]["generation"] == 0


async def test_config_says_who_gets_what_and_no_secret(tmp_path: Path) -> None:
    async with served(tmp_path, web=CLOSED, token=TOKEN) as it:
        found = await it.get("config")
        assert found["providers"][0] == {"name": "openai", "kind": "openai", "labels": {"env": "prod"}}
        assert [one["name"] for one in found["notifiers"]] == ["console", "hook"]
        assert found["routes"][1]["notify"] == ["hook"]
        (hook,) = [one for one in found["reach"] if one["notifier"] == "hook"]
        assert (hook["when"], hook["types"]) == ('labels.team="search"', ["fine_tuning.job.failed"])


# ------------------------------------------------------------------------------------------------- tags


GETS = [
    "jobs",
    "jobs/openai/a?include=history",
    "jobs/find?job=a",
    "events",
    "deliveries",
    "silences",
    "config",
]


@pytest.mark.parametrize("path", [*GETS, "openapi.json"])
async def test_who_has_it_already_is_spared_it(path: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        first = await it.ask("GET", path)
        tag = first.headers["etag"]
        for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await it.ask("GET", path, headers={"if-none-match": given})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = await it.ask("GET", path, headers={"if-none-match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)
        assert other.headers["cache-control"] == "private, no-cache"


async def test_what_has_changed_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        tags: dict[str, str] = {}
        changes = [
            lambda: it.happen("a", "failed", at=NOW + 1),
            lambda: it.ask("POST", "jobs/openai/a/ack"),
        ]
        for change in (None, *changes):
            if change is not None:
                await change()
            for path in ("jobs", "jobs/openai/a", "jobs?status=failed"):
                answer = await it.ask("GET", path, headers={"if-none-match": tags.get(path, "")})
                assert answer.status_code == 200, (path, change)
                tags[path] = answer.headers["etag"]
                again = await it.ask("GET", path, headers={"if-none-match": tags[path]})
                assert again.status_code == 304


async def test_a_store_that_nobody_wrote_to_need_not_be_asked_again(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "running")
        tag = (await it.ask("GET", "jobs")).headers["etag"]
        reader = it.house._reader._store
        assert reader is not None

        def fail(**_: Any) -> None:
            raise AssertionError("it was asked")

        reader.listing.jobs = fail  # type: ignore[method-assign, assignment]
        assert (await it.ask("GET", "jobs", headers={"if-none-match": tag})).status_code == 304
        await it.happen("b", "running")
        assert (await it.ask("GET", "jobs", headers={"if-none-match": tag})).status_code == 500


# ----------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "nothing", 404, "there is nothing at this address"),
        ("GET", "jobs/openai", 404, "there is nothing at this address"),
        ("PUT", "silences", 405, "PUT is not for this address: GET, HEAD, POST"),
        ("POST", "jobs/openai/a", 405, "POST is not for this address: GET, HEAD"),
        ("GET", "config?x=1", 400, "there is no parameter 'x'; there is none"),
        ("POST", "jobs/look?x=1", 400, "there is no parameter 'x'; there is none"),
    ],
)
async def test_what_is_not_there(method: str, path: str, status: int, said: str, tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert await it.refused(method, path, status) == said


async def test_a_database_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as it:

        async def fail(question: Any) -> Any:
            raise StoreError("it is gone")

        monkeypatch.setattr(it.house, "read", fail)
        assert "the database does not answer" in await it.refused("GET", "jobs", 503)


async def test_writes_are_in_the_log_with_who_did_them(tmp_path: Path) -> None:
    async with served(tmp_path, web=CLOSED, token=TOKEN) as it:
        await it.happen("a", "failed")
        with structlog.testing.capture_logs() as logged:
            await it.ask("POST", "jobs/openai/a/ack", json={"author": "ann"})
            await it.ask("GET", "jobs")
        said = [line for line in logged if line["event"] == "done over the web"]
        assert [(line["operation"], line["by"], line["way"]) for line in said] == [("ack", "token", "token")]
        assert said[0]["asked"]["job"] == "a"
        assert TOKEN not in str(logged)


# ---------------------------------------------------------------------------------------------- document


def routes() -> set[tuple[str, str]]:
    return {
        (method.lower(), route.path.replace(":whole}", "}"))
        for route in (*api.routes, *stream.routes)
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }


def test_the_document_has_every_route() -> None:
    paths = json.loads(FILE.read_text())["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == routes()
    assert set(OPERATIONS) == routes()


def test_the_document_is_what_follows_from_the_code() -> None:
    """If not: `python -m tests.web.describing` writes it anew."""
    assert json.loads(FILE.read_text()) == document()


async def test_the_document_is_served(tmp_path: Path) -> None:
    async with served(tmp_path) as it:
        assert await it.get("openapi.json") == document()


async def fields_of(it: Served, path: str, schema: str) -> tuple[set[str], set[str]]:
    """The fields that an answer has, and those that the document gives it."""
    schemas = document()["components"]["schemas"]
    known: set[str] = set()
    pending = [schemas[schema]]
    while pending:
        one = pending.pop()
        known |= set(one.get("properties", ()))
        pending += [
            schemas[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
            for part in one.get("allOf", ())
        ]
    answer = await it.get(path)
    return set(answer["data"][0] if "data" in answer else answer), known


@pytest.mark.parametrize(
    ("path", "schema", "missing"),
    [
        ("jobs?include=next_look", "Job", set()),
        ("jobs/openai/a?include=history,log,metrics,checkpoints,deliveries", "Story", set()),
        ("events", "Placed", set()),
        ("deliveries", "Owed", set()),
        ("silences", "Standing", set()),
        ("status", "Trust", set()),
    ],
)
async def test_answers_have_just_the_fields_of_the_document(
    path: str, schema: str, missing: set[str], tmp_path: Path
) -> None:
    async with served(tmp_path) as it:
        await it.happen("a", "failed")
        found, known = await fields_of(it, path, schema)
        assert found == known - missing
