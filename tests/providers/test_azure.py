"""The azure kind: which paths, which way in, and a log whose ids mean nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ftwatch.client import Account, Client
from ftwatch.core.journal import keyed
from ftwatch.core.pace import Budget
from ftwatch.plugins import NotFound, ProviderError, ProviderSpec, Secret
from ftwatch.providers.azure import Azure, Options
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "0123456789abcdef0123456789abcdef"
RESOURCE = "https://ml-team.openai.azure.com"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing from outside."""
    for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


EMPTY = (200, {"data": []})


def provider(client: Any = None, **options: Any) -> Azure:
    given = Options(**{"base_url": RESOURCE, **options})
    return Azure(ProviderSpec(name="p", kind="azure", labels={}, options=given, client=client))


@asynccontextmanager
async def resource(**options: Any) -> AsyncIterator[tuple[Azure, Upstream]]:
    """A simulated resource and an account on it."""
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of("azure"))
    async with upstream.serving(), Client() as client:
        given = {"base_url": upstream.url, "api_key": Secret(KEY), **options}
        yield provider(Account(client, Budget(1000)), **given), upstream


# ------------------------------------------------------------------------------------------- where it is


@pytest.mark.parametrize(
    ("base_url", "version", "address"),
    [
        (RESOURCE, None, f"{RESOURCE}/openai/v1/fine_tuning/jobs?limit=100"),
        (f"{RESOURCE}/", None, f"{RESOURCE}/openai/v1/fine_tuning/jobs?limit=100"),
        (f"{RESOURCE}/openai", None, f"{RESOURCE}/openai/v1/fine_tuning/jobs?limit=100"),
        (f"{RESOURCE}/openai/v1/", None, f"{RESOURCE}/openai/v1/fine_tuning/jobs?limit=100"),
        (
            RESOURCE,
            "2024-10-21",
            f"{RESOURCE}/openai/fine_tuning/jobs?api-version=2024-10-21&limit=100",
        ),
        (RESOURCE, "preview", f"{RESOURCE}/openai/v1/fine_tuning/jobs?api-version=preview&limit=100"),
        (
            "https://ml.services.ai.azure.com/api/projects/search",
            None,
            "https://ml.services.ai.azure.com/api/projects/search/openai/v1/fine_tuning/jobs?limit=100",
        ),
    ],
)
async def test_jobs_are_below_the_resource(
    service: Any, base_url: str, version: str | None, address: str
) -> None:
    client = service(EMPTY)
    await provider(client, base_url=base_url, api_version=version, api_key=Secret(KEY)).page(None)
    assert client.asked == [f"GET {address}"]


async def test_the_environment_names_resource_and_key(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://gateway.example.com/")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    client = service(EMPTY)
    await provider(client, base_url=None).page(None)
    assert client.asked[0].startswith("GET https://gateway.example.com/openai/v1/")
    assert client.headers[0]["api-key"] == KEY


@pytest.mark.parametrize(
    ("base_url", "gets_it"),
    [
        (RESOURCE, True),
        ("https://ml.openai.azure.us", True),
        ("https://ml.openai.azure.cn", True),
        ("https://ml.services.ai.azure.com/api/projects/search", True),
        ("https://ml.cognitiveservices.azure.com", True),
        ("https://westeurope.api.cognitive.microsoft.com", True),
        ("https://virginia.api.cognitive.microsoft.us", True),
        ("https://chinaeast2.api.cognitive.azure.cn", True),
        ("http://127.0.0.1:8000", True),
        ("http://ml-team.openai.azure.com", False),
        ("https://azure.com.example.com", False),
        ("https://evil.westeurope.cloudapp.azure.com", False),
        ("https://evilopenai.azure.com", False),
        ("https://openai.azure.com.example.com", False),
    ],
)
async def test_the_key_of_the_environment_goes_to_resources_of_azure_only(
    service: Any, monkeypatch: pytest.MonkeyPatch, base_url: str, gets_it: bool
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    client = service(EMPTY)
    if gets_it:
        await provider(client, base_url=base_url).page(None)
    else:
        with pytest.raises(ProviderError, match="set the option api_key") as caught:
            await provider(client, base_url=base_url).page(None)
        assert caught.value.denied
    assert [asked["api-key"] for asked in client.headers] == [KEY] * gets_it


async def test_without_an_address_nobody_is_asked(service: Any) -> None:
    client = service(EMPTY)
    with pytest.raises(ProviderError, match="set AZURE_OPENAI_ENDPOINT or the option base_url") as caught:
        await provider(client, base_url=None, api_key=Secret(KEY)).page(None)
    assert caught.value.denied
    assert client.asked == []


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"base_url": None}, "base_url"),
        ({"base_url": "ml-team.openai.azure.com"}, "base_url"),
        ({"base_url": f"{RESOURCE}/openai/v1?api-version=preview"}, "base_url"),
        ({"api_version": "v2 of today"}, "api_version"),
        ({"api_key": Secret("a"), "token": Secret("b")}, "token"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], option: str) -> None:
    assert [name for name, _ in Options(**{"base_url": RESOURCE, **options}).problems()] == [option]


def test_options_that_work_have_no_problems() -> None:
    assert list(Options(base_url=RESOURCE, api_version="2025-04-01-preview").problems()) == []


# --------------------------------------------------------------------------------------------- the way in


async def test_a_token_is_sent_as_one(service: Any) -> None:
    async with resource(api_key=None, token=Secret(KEY)) as (azure, upstream):
        upstream.create("slow")
        assert len(azure.split(await azure.page(None)).entries) == 1
    client = service(EMPTY)
    await provider(client, token=Secret("ey.token")).page(None)
    assert client.headers[0]["authorization"] == "Bearer ey.token"
    assert "api-key" not in client.headers[0]


@pytest.mark.parametrize("status", [401, 403])
async def test_who_lacks_a_permission_is_told_which(service: Any, status: int) -> None:
    said = {"error": {"code": "PermissionDenied", "message": "The principal lacks the required data action"}}
    with pytest.raises(ProviderError, match="fine-tunes/read") as caught:
        await provider(service((status, said)), api_key=Secret(KEY)).page(None)
    assert caught.value.denied
    assert "Cognitive Services OpenAI User" in caught.value.reason


# ------------------------------------------------------------------------------------------------ asking


async def test_the_older_paths_are_as_good() -> None:
    async with resource(api_version="2024-10-21") as (azure, upstream):
        job = upstream.create("happy")
        upstream.clock.move(1000)
        assert azure.read(await azure.retrieve(job.id)).fine_tuned_model
        assert azure.read_log("events", await azure.log(job.id, "events", None)).lines
        assert upstream.requests[0] == f"GET /openai/fine_tuning/jobs/{job.id}"


async def test_a_404_is_about_the_job_only_where_the_others_are_there() -> None:
    async with resource() as (azure, upstream):
        upstream.create("slow")
        with pytest.raises(NotFound):
            await azure.retrieve("ftjob-gone")
        with pytest.raises(NotFound):
            await azure.log("ftjob-gone", "events", None)
        upstream.trouble("missing")
        for ask in (azure.retrieve("ftjob-gone"), azure.log("ftjob-gone", "events", None)):
            with pytest.raises(ProviderError, match="HTTP 404"):
                await ask
    async with resource(base_url=f"{upstream.url}/elsewhere") as (azure, _):
        with pytest.raises(ProviderError):
            await azure.retrieve("ftjob-gone")


async def test_a_long_log_is_read_without_believing_its_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """250 events over three pages, though `after` any of them is refused."""
    async with resource() as (azure, upstream):
        job = upstream.create("happy")
        dialect, lines, anchor = upstream.dialect, [], None
        many = [{**dialect.events(job, upstream.now())[0], "message": f"Step {n}"} for n in range(250)]
        monkeypatch.setattr(dialect, "events", lambda *_: many)
        for following in ("100", "200", None):
            page = azure.read_log("events", await azure.log(job.id, "events", anchor))
            lines += page.lines
            assert page.next == following
            anchor = page.next
    assert [line.message for line in lines] == [f"Step {number}" for number in range(250)]
    assert len(keyed(lines)) == 250


async def test_its_log_is_the_same_whatever_ids_it_has() -> None:
    async with resource() as (azure, upstream):
        job = upstream.create("happy")
        upstream.clock.move(1000)
        bodies = [await azure.log(job.id, "events", None) for _ in range(2)]
    assert bodies[0] != bodies[1]
    first, second = (azure.read_log("events", body) for body in bodies)
    assert first == second
    assert not first.newest_first
    times = [line.at for line in first.lines]
    assert times == sorted(times)


async def test_models_say_when_they_end(service: Any) -> None:
    entry = {
        "id": "gpt-4.1-mini",
        "object": "model",
        "deprecation": {"fine_tune": 1, "inference": 1_800_000_000},
    }
    assert await provider(service((200, {"data": [entry]})), api_key=Secret(KEY)).retirements() == {
        "gpt-4.1-mini": 1_800_000_000
    }
    nowhere = service((404, {"error": {"message": "Resource not found"}}))
    assert await provider(nowhere, api_key=Secret(KEY)).retirements() == {}
    with pytest.raises(ProviderError):
        await provider(service((500, {})), api_key=Secret(KEY)).retirements()
