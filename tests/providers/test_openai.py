"""The openai kind over real HTTP, against a server that answers what a test tells it to."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ftwatch.client import Account, Client, Paced, Response
from ftwatch.client.endpoints import Registrar
from ftwatch.core.job import Status
from ftwatch.core.pace import Budget
from ftwatch.log import redacted
from ftwatch.plugins import (
    Endpoint,
    Introduction,
    NotFound,
    ProviderError,
    ProviderSpec,
    Registering,
    Secret,
    Tried,
    load_kind,
)
from ftwatch.providers.openai import OpenAI, Options

KEY = "sk-proj-0123456789abcdef"
JOB = {"id": "ftjob-1", "object": "fine_tuning.job", "status": "running", "created_at": 1_790_000_000}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key from outside."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


class Service:
    """What it answers next, and the heads of what it was asked."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {}
        self.asked: list[str] = []
        self.url = ""

    def say(self, status: int, body: Any, **headers: str) -> None:
        self.status, self.headers = status, headers
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await reader.readexactly(int(self.header("content-length") or 0))
            lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(self.body)}", "Connection: close"]
            lines += [f"{name.replace('_', '-')}: {value}" for name, value in self.headers.items()]
            writer.write("\r\n".join([*lines, "", ""]).encode() + self.body)
            await writer.drain()
        finally:
            writer.close()

    @property
    def line(self) -> str:
        return self.asked[-1].splitlines()[0]

    def header(self, name: str) -> str | None:
        found = [line for line in self.asked[-1].splitlines() if line.lower().startswith(f"{name}:")]
        return found[0].partition(":")[2].strip() if found else None


@asynccontextmanager
async def account(**options: Any) -> AsyncIterator[tuple[OpenAI, Service]]:
    """An account on a service, both on loopback."""
    service = Service()
    listener = await asyncio.start_server(service.meet, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    given = {"base_url": service.url, "api_key": Secret(KEY), **options}
    async with listener, Client() as client:
        yield provider(client=Account(client, Budget(1000)), **given), service


def provider(client: Any = None, **options: Any) -> OpenAI:
    spec = ProviderSpec(
        name="p", kind="openai", labels={"env": "prod"}, options=Options(**options), client=client
    )
    return OpenAI(spec)


# ----------------------------------------------------------------------------------------------- asking


async def test_a_packed_page_is_kept_as_it_came_and_inflated_when_it_is_split() -> None:
    wire = gzip.compress(json.dumps({"data": [{"id": "ftjob-1", "status": "running"}]}).encode())
    async with account() as (openai, service):
        service.say(200, wire, content_encoding="gzip")
        body = await openai.page(None)
    assert body == wire
    (entry,) = openai.split(body).entries
    assert openai.identify(entry) == "ftjob-1"


@pytest.mark.parametrize(
    ("headers", "whose"),
    [
        (
            {"openai_organization": "acme", "openai_project": "proj_1"},
            "the key is one of the organization acme, the project proj_1",
        ),
        ({"openai_organization": "acme"}, "the key is one of the organization acme"),
        ({"openai_project": f"leaks {KEY}"}, "the key is one of the project leaks ••••"),
        ({}, ""),
    ],
)
async def test_the_headers_say_whose_key_it_is(headers: dict[str, str], whose: str) -> None:
    async with account() as (openai, service):
        service.say(200, {"data": []}, **headers)
        assert await openai.introduce() == Introduction(whose=whose)
        assert service.line == "GET /v1/fine_tuning/jobs?limit=1 HTTP/1.1"


async def test_who_is_refused_is_nobody_and_relatives_are_not_asked() -> None:
    async with account() as (openai, service):
        service.say(401, {"error": {"message": "Incorrect API key provided."}})
        with pytest.raises(ProviderError, match="HTTP 401"):
            await openai.introduce()
    async with account(dialect="unsloth") as (openai, service):
        assert await openai.introduce() == Introduction()
        assert service.asked == []


async def test_a_page_is_asked_for_and_comes_as_it_is() -> None:
    body = b'{"object": "list", "data": [{"id": "ftjob-1"}], "has_more": true}'
    async with account(metadata={"team": "a&b"}, organization="org-1", project="proj-1") as (openai, service):
        service.say(200, body)
        assert await openai.page(None) == body
        assert service.line == "GET /v1/fine_tuning/jobs?limit=100&metadata%5Bteam%5D=a%26b HTTP/1.1"
        assert service.header("authorization") == f"Bearer {KEY}"
        assert service.header("openai-organization") == "org-1"
        assert service.header("openai-project") == "proj-1"
        following = openai.split(body).next
        await openai.page(following)
        assert "limit=100&after=ftjob-1&" in service.line


async def test_a_job_is_asked_for_and_read() -> None:
    async with account() as (openai, service):
        service.say(200, JOB)
        job = openai.read(await openai.retrieve("ftjob-1"))
        assert service.line == "GET /v1/fine_tuning/jobs/ftjob-1 HTTP/1.1"
    assert (job.provider, job.kind, job.id, job.status) == ("p", "openai", "ftjob-1", Status.RUNNING)
    assert (job.labels, job.url) == ({"env": "prod"}, None)


async def test_an_id_is_one_part_of_the_path_whatever_it_holds() -> None:
    id = "a/../b?c#d%2e é"
    async with account() as (openai, service):
        service.say(200, {**JOB, "id": id})
        await openai.retrieve(id)
        assert service.line == "GET /v1/fine_tuning/jobs/a%2F..%2Fb%3Fc%23d%252e%20%C3%A9 HTTP/1.1"


async def test_a_base_url_keeps_its_query() -> None:
    async with account() as (_, service):
        async with Client() as client:
            openai = provider(
                client, base_url=service.url + "/?api-version=preview", api_key=Secret(KEY), metadata={}
            )
            service.say(200, {"data": []})
            await openai.page("x")
        assert service.line == "GET /v1/fine_tuning/jobs?api-version=preview&limit=100&after=x HTTP/1.1"


def test_a_job_on_the_platform_has_an_address_for_people() -> None:
    job = provider().read(json.dumps(JOB).encode())
    assert job.url == "https://platform.openai.com/finetune/ftjob-1"


# ---------------------------------------------------------------------------------------------- the key


async def test_a_server_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with account(api_key=None) as (openai, service):
        service.say(401, {"detail": "who are you?"})
        with pytest.raises(ProviderError, match=r"who are you.*: set the option api_key") as caught:
            await openai.page(None)
        assert caught.value.denied
        assert service.header("authorization") is None


@pytest.mark.parametrize(
    ("base_url", "gets_it"),
    [
        ("https://api.openai.com/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("https://proxy.example.com/v1/", True),
        ("https://api.example.com/v1", False),
        ("http://api.openai.com/v1", False),
    ],
)
async def test_the_key_of_the_environment_goes_to_its_own_service_only(
    monkeypatch: pytest.MonkeyPatch, base_url: str, gets_it: bool
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://proxy.example.com/v1")

    class Recorder:
        headers: dict[str, str]

        async def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Any:
            self.headers = headers
            raise Paced(7)

    recorder = Recorder()
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    with pytest.raises(ProviderError) as caught:
        await provider(recorder, base_url=base_url).page(None)
    assert recorder.headers.get("authorization") == (f"Bearer {KEY}" if gets_it else None)
    assert (caught.value.throttled, caught.value.retry_after) == (True, 7)


@pytest.mark.parametrize("base_url", ["https://api.openai.com/v1", "https://api.openai.com/v1/"])
async def test_without_a_key_openai_is_not_asked(base_url: str) -> None:
    with pytest.raises(ProviderError, match="no API key: set OPENAI_API_KEY") as caught:
        await provider(base_url=base_url).page(None)
    assert caught.value.denied


async def test_a_key_that_cannot_be_had_is_said() -> None:
    def gone() -> str:
        raise LookupError("the variable TEAM_KEY is not set")

    with pytest.raises(
        ProviderError, match="there is no API key: the variable TEAM_KEY is not set"
    ) as caught:
        await provider(api_key=Secret(gone)).retrieve("x")
    assert caught.value.denied


@pytest.mark.parametrize("key", ["two\nlines-SECRET", "SECRETé"])
async def test_a_key_that_no_header_can_carry_is_said_not_shown(key: str) -> None:
    with pytest.raises(ProviderError, match="no header can carry") as caught:
        await provider(api_key=Secret(key)).page(None)
    assert caught.value.denied
    assert "SECRET" not in caught.value.reason


# -------------------------------------------------------------------------------------------- refusals

ERROR = {"error": {"message": "No such thing.", "type": "invalid_request_error", "code": None}}


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (401, ERROR, {}, {"denied": True}),
        (403, ERROR, {}, {"denied": True}),
        (404, ERROR, {}, {"missing": True}),
        (404, b"<html>nginx</html>", {}, {"missing": True}),
        (400, ERROR, {}, {}),
        (400, {"error": {"message": "Given after argument was not found in items."}}, {}, {"missing": True}),
        (429, ERROR, {"retry_after": "12"}, {"throttled": True, "retry_after": 12}),
        (429, ERROR, {"retry_after_ms": "500"}, {"throttled": True, "retry_after": 0.5}),
        (503, b"", {"retry_after": "3"}, {"retry_after": 3}),
        (500, b"<html>" + b"x" * 9999, {}, {}),
        (302, b"", {"location": "https://login.example.com/?t=SECRET"}, {}),
        (204, b"", {}, {}),
        (206, b'{"data": []}', {}, {}),
    ],
)
async def test_what_a_refusal_means(
    status: int, body: Any, headers: dict[str, str], expected: dict[str, Any]
) -> None:
    async with account() as (openai, service):
        service.say(status, body, **headers)
        with pytest.raises(ProviderError) as caught:
            await openai.page("ftjob-9")
    error = caught.value
    said = {
        "denied": error.denied,
        "missing": error.missing,
        "throttled": error.throttled,
        "retry_after": error.retry_after,
    }
    assert said == {"denied": False, "missing": False, "throttled": False, "retry_after": None, **expected}
    assert error.reason.startswith(f"HTTP {status}")
    assert len(error.reason) < 400
    assert "SECRET" not in error.reason


async def test_a_word_about_after_on_the_first_page_is_no_lost_anchor() -> None:
    async with account() as (openai, service):
        service.say(400, {"error": {"message": "Try again after lunch."}})
        with pytest.raises(ProviderError) as caught:
            await openai.page(None)
    assert not caught.value.missing


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Could not find fine tune: ftjob-1", "code": "fine_tune_not_found"}},
        {"error": "job ftjob-1 does not exist"},
        {"detail": "Job not found"},
    ],
)
async def test_a_job_is_missing_where_the_api_says_so(body: Any) -> None:
    async with account() as (openai, service):
        service.say(404, body)
        with pytest.raises(NotFound):
            await openai.retrieve("ftjob-1")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><h1>404 Not Found</h1></html>",
        b"404 page not found",
        {"detail": "Not Found"},
        {"error": "Not Found", "status": 404},
        {"error": {"message": "Invalid URL (GET /fine_tuning/jobs/ftjob-1)", "code": None}},
        {"error": {"code": "404", "message": "Resource not found"}},
        {"error": None},
        {"error": {}},
        [],
    ],
)
async def test_a_404_that_is_not_the_apis_own_says_nothing_about_the_job(body: Any) -> None:
    async with account() as (openai, service):
        service.say(404, body)
        with pytest.raises(ProviderError, match="HTTP 404"):
            await openai.retrieve("ftjob-1")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>log in</html>", "the answer is no job"),
        (b"", "the answer is no job"),
        (json.dumps(JOB).encode()[:-10], "the answer is no job"),
        ({"data": [JOB]}, "the answer is no job"),
        ({"error": {"message": "overloaded"}}, "the answer is no job: overloaded"),
        ({**JOB, "id": "ftjob-2"}, "asked for job ftjob-1, and was told about ftjob-2"),
    ],
)
async def test_an_answer_that_is_not_about_the_job_decides_nothing(body: Any, sentence: str) -> None:
    async with account() as (openai, service):
        service.say(200, body)
        with pytest.raises(ProviderError, match=sentence):
            await openai.retrieve("ftjob-1")


@pytest.mark.parametrize("status", [200, 400, 401, 404, 500])
@pytest.mark.parametrize(
    "form", ['{{"error": {{"message": "Incorrect API key provided: {key}."}}}}', "bad key {key}"]
)
async def test_no_reason_repeats_a_key(status: int, form: str) -> None:
    other = "sk-someoneelses-abcdef0123456789"
    async with account(api_key=Secret("opaque~key~value")) as (openai, service):
        for key in ("opaque~key~value", other, "Bearer " + other):
            service.say(status, form.format(key=key).encode())
            for ask in (openai.page(None), openai.retrieve("ftjob-1")):
                with pytest.raises((ProviderError, NotFound)) as caught:
                    openai.split(await ask)
                assert "opaque" not in str(caught.value)
                assert "someoneelses" not in str(caught.value)


async def test_no_answer_is_a_reason() -> None:
    async with account() as (_, service):
        pass
    async with Client() as client:
        openai = provider(client, base_url=service.url)
        with pytest.raises(ProviderError, match="connection refused") as caught:
            await openai.page(None)
    assert not caught.value.denied


# --------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"base_url": "api.openai.com/v1"}, "base_url"),
        ({"base_url": "ftp://x/"}, "base_url"),
        ({"base_url": "https://"}, "base_url"),
        ({"base_url": "https://x:port/"}, "base_url"),
        ({"base_url": "https://user:pass@x/"}, "base_url"),
        ({"organization": "a\nb"}, "organization"),
        ({"project": "é"}, "project"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], option: str) -> None:
    assert [name for name, _ in Options(**options).problems()] == [option]


def test_options_that_work_have_no_problems() -> None:
    assert list(Options().problems()) == []
    assert list(Options(base_url="http://[::1]:8000", organization="org-1", project="p").problems()) == []


# ------------------------------------------------------------------------------------------- dialects


class Asked:
    """A client that answers one thing, and keeps what it was asked."""

    def __init__(self, body: Any, status: int = 200) -> None:
        self.answer = Response(status, {}, json.dumps(body).encode())
        self.line = ""
        self.content: bytes | None = None
        self.headers: dict[str, str] = {}
        self.cap = 0

    async def request(
        self, method: str, url: str, *, headers: dict[str, str], content: Any, cap: int, **_: Any
    ) -> Any:
        self.line, self.headers, self.content, self.cap = f"{method} {url}", headers, content, cap
        return self.answer


@pytest.mark.parametrize(("dialect", "most"), [("openai", 8), ("unsloth", 8), ("localai", 32)])
async def test_a_page_may_be_smaller_than_a_whole_listing(dialect: str, most: int) -> None:
    client = Asked({"data": []})
    await provider(client, base_url="http://10.0.0.5", dialect=dialect).page(None)
    assert client.cap == most * 1024 * 1024


@pytest.mark.parametrize(
    ("dialect", "listing", "job"),
    [
        ("openai", "GET {}/fine_tuning/jobs?limit=100", "GET {}/fine_tuning/jobs/a"),
        ("litellm", "GET {}/fine_tuning/jobs?limit=100", "GET {}/fine_tuning/jobs/a"),
        ("localai", "GET {}/api/fine-tuning/jobs", "GET {}/api/fine-tuning/jobs/a"),
        ("opea", "GET {}/fine_tuning/jobs", "POST {}/fine_tuning/jobs/retrieve"),
        ("telnyx", "GET {}/fine_tuning/jobs", "GET {}/fine_tuning/jobs/a"),
        ("tt-inference-server", "GET {}/fine_tuning/jobs", "GET {}/fine_tuning/jobs/a"),
        ("unsloth", "GET {}/api/train/runs?limit=100&offset=0", "GET {}/api/train/runs/a"),
    ],
)
async def test_a_dialect_says_where_jobs_are(dialect: Any, listing: str, job: str) -> None:
    base = "http://10.0.0.5:8000/x"
    client = Asked({"id": "a", "status": "running", "data": [], "runs": []})
    openai = provider(client, base_url=base, dialect=dialect)
    await openai.page(None)
    assert client.line == listing.format(base)
    await openai.retrieve("a")
    assert client.line == job.format(base)


async def test_a_job_is_asked_for_by_a_post_where_that_is_the_custom() -> None:
    client = Asked({"id": "a", "status": "running"})
    openai = provider(client, base_url="http://10.0.0.5/v1", dialect="opea")
    await openai.retrieve("a")
    assert (client.content, client.headers["content-type"]) == (
        b'{"fine_tuning_job_id": "a"}',
        "application/json",
    )
    client.answer = Response(200, {}, b"[]")
    await openai.log("a", "checkpoints", None)
    assert client.line == "POST http://10.0.0.5/v1/finetune/list_checkpoints"
    assert client.content == b'{"fine_tuning_job_id": "a"}'
    client.answer = Response(404, {}, b'{"detail": "Fine-tuning job \'a\' not found!"}')
    with pytest.raises(NotFound):
        await openai.retrieve("a")


async def test_litellm_is_told_whose_jobs_are_wanted() -> None:
    client = Asked({"id": "a", "status": "running", "data": [{"id": "a"}], "has_more": True})
    openai = provider(
        client, base_url="http://10.0.0.5/v1?team=a", dialect="litellm", custom_llm_provider="azure"
    )
    following = openai.split(await openai.page(None)).next
    await openai.page(following)
    about = "team=a&custom_llm_provider=azure"
    assert client.line == f"GET http://10.0.0.5/v1/fine_tuning/jobs?{about}&limit=100&after=a"
    await openai.retrieve("a")
    assert client.line == f"GET http://10.0.0.5/v1/fine_tuning/jobs/a?{about}"
    assert openai.log_parts == ()


@pytest.mark.parametrize("status", [400, 422])
async def test_litellm_says_what_it_misses(status: int) -> None:
    client = Asked({"detail": "Invalid request"}, status)
    with pytest.raises(ProviderError, match="set the option custom_llm_provider"):
        await provider(client, base_url="http://10.0.0.5/v1", dialect="litellm").page(None)


async def test_unsloth_studio_is_walked_by_numbers() -> None:
    client = Asked({"runs": [{"id": str(number)} for number in range(100)], "total": 150})
    openai = provider(client, base_url="http://10.0.0.5", dialect="unsloth")
    first = openai.split(await openai.page(None))
    assert (len(first.entries), first.next) == (100, "100")
    client.answer = Response(200, {}, json.dumps({"runs": [{"id": "x"}] * 50, "total": 150}).encode())
    second = openai.split(await openai.page(first.next))
    assert client.line == "GET http://10.0.0.5/api/train/runs?limit=100&offset=100"
    assert (len(second.entries), second.next) == (50, None)
    client.answer = Response(200, {}, json.dumps({"run": {"id": "x", "status": "running"}}).encode())
    assert openai.read(await openai.retrieve("x")).status is Status.RUNNING
    with pytest.raises(ProviderError, match="asked for job y, and was told about x"):
        await openai.retrieve("y")


async def test_telnyx_is_at_home_with_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("TELNYX_API_KEY", raising=False)
    client = Asked({"data": []})
    with pytest.raises(ProviderError, match="set TELNYX_API_KEY"):
        await provider(client, dialect="telnyx").page(None)
    monkeypatch.setenv("TELNYX_API_KEY", "KEY0123")
    await provider(client, dialect="telnyx").page(None)
    assert client.line == "GET https://api.telnyx.com/v2/ai/fine_tuning/jobs"
    assert client.headers["authorization"] == "Bearer KEY0123"


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"dialect": "opea"}, "base_url"),
        ({"dialect": "telnyx", "custom_llm_provider": "azure"}, "custom_llm_provider"),
        ({"custom_llm_provider": "azure"}, "custom_llm_provider"),
    ],
)
def test_options_that_go_with_another_dialect_are_named(options: dict[str, Any], option: str) -> None:
    assert [name for name, _ in Options(**options).problems()] == [option]


# --------------------------------------------------------------------------------------------- webhooks

ENDPOINT = {
    "id": "whe_1",
    "object": "webhook_endpoint",
    "name": "ftwatch p",
    "url": "https://ft.example.com/hooks/p",
    "event_types": ["fine_tuning.job.failed"],
    "created_at": 1_790_000_000,
    "signing_secret_hint": "whsec_…abcd",
}


async def test_endpoints_are_listed_page_by_page() -> None:
    async with account() as (openai, service):
        service.say(200, {"data": [ENDPOINT], "has_more": False, "last_id": "whe_1"})
        assert await openai.endpoints() == [
            Endpoint(
                id="whe_1",
                url="https://ft.example.com/hooks/p",
                name="ftwatch p",
                types=("fine_tuning.job.failed",),
                created_at=1_790_000_000,
            )
        ]
        assert service.line == "GET /v1/webhook_endpoints?limit=100 HTTP/1.1"
        service.say(200, {"data": [ENDPOINT], "has_more": True, "last_id": "whe_1"})
        with pytest.raises(ProviderError, match="does not end"):
            await openai.endpoints()
        assert service.line == "GET /v1/webhook_endpoints?limit=100&after=whe_1 HTTP/1.1"


@pytest.mark.parametrize(
    "about", [{}, {"url": None}, {"event_types": None}, {"name": 7, "created_at": "x"}, {"event_types": [1]}]
)
async def test_an_endpoint_that_is_odd_hides_no_other(about: dict[str, Any]) -> None:
    async with account() as (openai, service):
        service.say(200, {"data": [{**ENDPOINT, **about}, {"id": None}, 7, {**ENDPOINT, "id": "whe_2"}]})
        assert [one.id for one in await openai.endpoints()] == ["whe_1", "whe_2"]


async def test_what_it_can_send_is_asked_for() -> None:
    async with account() as (openai, service):
        service.say(200, {"object": "list", "data": ["batch.failed", None, {}, "fine_tuning.job.failed"]})
        assert await openai.hook_types() == ["batch.failed", "fine_tuning.job.failed"]
        assert service.line == "GET /v1/webhook_event_types HTTP/1.1"


async def test_an_endpoint_is_made_turned_and_removed() -> None:
    client = Asked({**ENDPOINT, "signing_secret": "opaque-hook-secret-1"})
    openai = provider(client, base_url="https://api.openai.com/v1", api_key=Secret(KEY))
    made = await openai.register("https://ft.example.com/hooks/p", ["fine_tuning.job.failed"], "ftwatch p")
    assert client.line == "POST https://api.openai.com/v1/webhook_endpoints"
    assert client.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(client.content) == {
        "name": "ftwatch p",
        "url": "https://ft.example.com/hooks/p",
        "event_types": ["fine_tuning.job.failed"],
    }
    assert made.secret is not None
    assert made.secret.reveal() == "opaque-hook-secret-1"

    client.answer = Response(
        200, {}, json.dumps({**ENDPOINT, "signing_secret": "opaque-hook-secret-2"}).encode()
    )
    turned = await openai.rotate("whe/1")
    assert client.line == "POST https://api.openai.com/v1/webhook_endpoints/whe%2F1/rotate_secret"
    assert json.loads(client.content) == {"keep_old_secret_active_for_24_hours": True}
    for secret in ("opaque-hook-secret-1", "opaque-hook-secret-2"):
        assert secret not in repr((made, turned))
        assert secret not in redacted(f"somebody logs {secret}")

    client.answer = Response(
        200, {}, b'{"id": "whe_1", "object": "webhook_endpoint.deleted", "deleted": true}'
    )
    await openai.remove("whe_1")
    assert client.line == "DELETE https://api.openai.com/v1/webhook_endpoints/whe_1"


async def test_a_secret_that_does_not_come_along_is_none() -> None:
    openai = provider(Asked(ENDPOINT), api_key=Secret(KEY))
    assert (await openai.register("https://x/", ["batch.failed"], "n")).secret is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"oops", b'{"signing_secret": "opaque-hook-secret-3"}', b'{"id": "whe_1"']
)
async def test_an_answer_that_is_no_endpoint_is_no_sentence_either(body: bytes) -> None:
    async with account() as (openai, service):
        service.say(200, body)
        with pytest.raises(ProviderError) as caught:
            await openai.register("https://x/", ["batch.failed"], "n")
        assert caught.value.reason == "the answer is no webhook endpoint"


@pytest.mark.parametrize(
    ("status", "body", "tried"),
    [
        (200, {"success": True, "status_code": 204}, Tried(204)),
        (200, {"success": True, "status_code": "401"}, Tried(401)),
        (400, {"error": {"message": "Could not connect."}}, Tried(None, "Could not connect.")),
        (424, b"", Tried(None, "HTTP 424")),
        (502, b"<html>", Tried(None, "an HTML page, not the API")),
    ],
)
async def test_a_sample_is_sent_and_what_became_of_it_is_told(status: int, body: Any, tried: Tried) -> None:
    async with account() as (openai, service):
        service.say(status, body)
        assert await openai.test("whe_1", "fine_tuning.job.failed") == tried
        assert service.line == "POST /v1/webhook_endpoints/whe_1/test HTTP/1.1"


@pytest.mark.parametrize("body", [{"success": True}, {"status_code": None}, {"status_code": -3}, b"oops"])
async def test_a_sample_of_which_nothing_is_told(body: Any) -> None:
    async with account() as (openai, service):
        service.say(200, body)
        with pytest.raises(ProviderError, match="does not say what became"):
            await openai.test("whe_1", "fine_tuning.job.failed")


@pytest.mark.parametrize(
    ("status", "sentence", "flags"),
    [
        (401, "a key that may write", {"denied": True}),
        (403, "a key that may write", {"denied": True}),
        (404, "make the endpoint by hand", {"missing": True}),
        (429, "", {"throttled": True}),
        (500, "", {}),
    ],
)
async def test_a_refusal_says_what_helps(status: int, sentence: str, flags: dict[str, bool]) -> None:
    async with account() as (openai, service):
        service.say(status, {"error": {"message": f"Missing scopes: api.webhooks.write ({KEY})"}})
        asked = [openai.endpoints, openai.hook_types, lambda: openai.register("https://x/", ["a"], "n")]
        for ask in asked:
            with pytest.raises(ProviderError, match=r"Missing scopes: api\.webhooks\.write") as caught:
                await ask()
            error = caught.value
            assert sentence in error.reason
            assert KEY not in error.reason
            found = {name: getattr(error, name) for name in ("denied", "missing", "throttled")}
            assert found == {"denied": False, "missing": False, "throttled": False, **flags}


async def test_an_endpoint_that_is_not_there_is_no_missing_api() -> None:
    async with account() as (openai, service):
        service.say(404, {"error": {"message": "No such webhook endpoint: whe_1"}})
        for ask in (openai.rotate("whe_1"), openai.remove("whe_1"), openai.test("whe_1", "a")):
            with pytest.raises(ProviderError) as caught:
                await ask
            assert caught.value.reason == "HTTP 404: No such webhook endpoint: whe_1"


@pytest.mark.parametrize(
    ("options", "is_managed"),
    [
        ({}, True),
        ({"base_url": "https://api.openai.com/v1/"}, True),
        ({"base_url": "http://127.0.0.1:8000/v1"}, True),
        ({"base_url": "https://proxy.example.com/v1"}, False),
        ({"base_url": "http://api.openai.com/v1"}, False),
        ({"base_url": "http://127.0.0.1:8000/v1", "dialect": "unsloth"}, False),
        ({"dialect": "telnyx"}, False),
    ],
)
async def test_only_openai_itself_has_endpoints(options: dict[str, Any], is_managed: bool) -> None:
    client = Asked({"data": []})
    openai = provider(client, api_key=Secret(KEY), **options)
    assert isinstance(openai, Registering)
    assert (openai.unmanaged == "") == is_managed
    if is_managed:
        assert await openai.endpoints() == []
    else:
        for ask in (openai.endpoints(), openai.register("https://x/", ["a"], "n"), openai.test("whe_1", "a")):
            with pytest.raises(ProviderError, match="only OpenAI itself"):
                await ask
        assert client.line == ""


def test_relatives_of_other_kinds_have_none() -> None:
    for kind in ("azure", "nebius"):
        assert not issubclass(load_kind("provider", kind), Registrar)
