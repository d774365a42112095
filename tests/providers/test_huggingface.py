"""What is special about `huggingface`: a listing that leads on in a header, and whose jobs they are."""

import json
from typing import Any

import pytest

from ftwatch.client.meaning import Response
from ftwatch.plugins import Introduction, Page, ProviderError, ProviderSpec, Secret
from ftwatch.providers.huggingface import HuggingFace, Options

TOKEN = "hf_0123456789abcdefghij"
JOBS = "https://huggingface.co/api/jobs/acme"
NEXT = '<https://huggingface.co/api/jobs/acme?cursor=a%2Fb%3D&limit=2>; rel="next"'
ENTRY = b'{"id": "1", "status": {"stage": "RUNNING"}}'


class Answers:
    """A client that answers by path, and notes what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Response:
        self.asked.append((url, headers))
        status, about, body = self.answers["whoami" if url.endswith("whoami-v2") else "jobs"]
        return Response(status, about, body if isinstance(body, bytes) else json.dumps(body).encode())


def provider(client: Any = None, **options: Any) -> HuggingFace:
    given = {"namespace": "acme", "token": Secret(TOKEN), **options}
    spec = ProviderSpec(name="p", kind="huggingface", labels={}, options=Options(**given), client=client)
    return HuggingFace(spec)


# ----------------------------------------------------------------------------------------------- paging


async def test_a_page_leads_on_by_what_its_header_says() -> None:
    client = Answers(jobs=(200, {"Link": NEXT}, b"[" + ENTRY + b"]"))
    hub = provider(client)
    body = await hub.page(None)
    assert hub.split(body) == Page(entries=(ENTRY,), next="cursor=a%2Fb%3D&limit=2")
    assert await hub.page(None) == body, "equal bytes, equal jobs"
    await hub.page(hub.split(body).next)
    assert [url for url, _ in client.asked] == [JOBS, JOBS, f"{JOBS}?cursor=a%2Fb%3D&limit=2"]
    assert client.asked[0][1]["authorization"] == f"Bearer {TOKEN}"


async def test_the_last_page_comes_as_it_is() -> None:
    client = Answers(jobs=(200, {}, b"[ ]"))
    assert await provider(client).page("cursor=x") == b"[ ]"


async def test_a_page_that_leads_elsewhere_than_before_is_another_page() -> None:
    pages = []
    for following in ("1", "2"):
        link = f'<https://huggingface.co/api/jobs/acme?cursor={following}>; rel="next"'
        pages.append(await provider(Answers(jobs=(200, {"link": link}, b"[]"))).page(None))
    assert pages[0] != pages[1]


@pytest.mark.parametrize(
    ("link", "following"),
    [
        ("", None),
        ('<https://evil.example.com/steal?cursor=2>; rel="next"', "cursor=2"),
        ('<https://h/x?p=0>; rel="prev", <https://h/x?p=2>; rel="next"', "p=2"),
        ("<https://h/x?p=2>; title=more; rel=next", "p=2"),
        ('<https://h/x?p=0>; rel="prev"', None),
        ('<https://h/x>; rel="next"', None),
        ('<https://[h/x?p=1>; rel="next"', None),
        ("next", None),
    ],
)
async def test_of_a_link_only_its_query_counts(link: str, following: str | None) -> None:
    client = Answers(jobs=(200, {"link": link}, b"[]"))
    hub = provider(client)
    assert hub.split(await hub.page(None)).next == following
    await hub.page(following)
    assert all(url.startswith(JOBS) for url, _ in client.asked)


async def test_an_anchor_that_is_not_taken_begins_a_new_walk() -> None:
    hub = provider(Answers(jobs=(400, {}, {"error": "Invalid cursor"})))
    with pytest.raises(ProviderError, match="Invalid cursor") as caught:
        await hub.page("cursor=old")
    assert caught.value.missing
    with pytest.raises(ProviderError) as caught:
        await hub.page(None)
    assert not caught.value.missing


async def test_an_address_that_is_not_there_says_nothing_of_a_job() -> None:
    said = {"error": "Sorry, we can't find the page you are looking for."}
    with pytest.raises(ProviderError, match="is there the namespace acme"):
        await provider(Answers(jobs=(404, {}, said))).retrieve("1")


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "still valid"), (403, "read access to the jobs of the")]
)
async def test_a_refusal_says_what_is_missing(status: int, advice: str) -> None:
    with pytest.raises(ProviderError, match=advice) as caught:
        await provider(Answers(jobs=(status, {}, {"error": "no"}))).page(None)
    assert caught.value.denied


# ------------------------------------------------------------------------------------------- whose they are

ME = {"name": "kim", "orgs": [{"name": "acme"}, None], "auth": {"accessToken": {"role": "write"}}}


async def test_without_a_namespace_it_is_the_tokens_own_asked_once() -> None:
    client = Answers(jobs=(200, {}, b"[]"), whoami=(200, {}, ME))
    hub = provider(client, namespace=None)
    await hub.page(None)
    await hub.page(None)
    home = "https://huggingface.co/api"
    assert [url for url, _ in client.asked] == [f"{home}/whoami-v2", *[f"{home}/jobs/kim"] * 2]


@pytest.mark.parametrize("body", [{}, [], {"name": 7}, b"<html>"])
async def test_a_token_that_is_nobodys_is_told(body: Any) -> None:
    with pytest.raises(ProviderError, match="does not say whose token it is"):
        await provider(Answers(whoami=(200, {}, body)), namespace=None).page(None)


def fine(*scopes: tuple[str, list[str]], everywhere: object = ()) -> dict[str, Any]:
    """A fine-grained token's permissions, by namespace."""
    scoped = [{"entity": {"type": "user", "name": name}, "permissions": may} for name, may in scopes]
    return {"role": "fineGrained", "fineGrained": {"global": everywhere, "scoped": [*scoped, None]}}


@pytest.mark.parametrize(
    ("token", "may"),
    [
        ({"role": "write"}, "role write"),
        ({"role": "read"}, ""),
        (fine(("acme", ["repo.write", "job.write"])), "job.write"),
        (fine(("kim", ["job.write"]), ("acme", ["repo.write"])), ""),
        (fine(everywhere=["job.write"]), "job.write"),
        (fine(everywhere=7), ""),
        ({"role": "fineGrained", "fineGrained": None}, ""),
        (None, ""),
    ],
)
async def test_it_says_what_the_token_may_beyond_need(token: Any, may: str) -> None:
    hub = provider(Answers(whoami=(200, {}, {**ME, "auth": {"accessToken": token}})))
    assert await hub.introduce() == Introduction(
        whose="the token is that of kim",
        beyond=f"this token can also start jobs ({may}); one with the role read is enough" if may else "",
    )


async def test_a_namespace_that_is_not_the_users_is_told_by_one_request() -> None:
    client = Answers(jobs=(200, {}, b"[]"), whoami=(200, {}, {"name": "kim", "orgs": 3}))
    hub = provider(client, namespace="rivals")
    assert [await hub.introduce(), await hub.introduce()] == [
        Introduction(
            whose="the token is that of kim", wrong="rivals is none of the namespaces of the token's user"
        )
    ] * 2
    assert len(client.asked) == 1


@pytest.mark.parametrize(
    ("base_url", "gets_it"),
    [
        ("https://huggingface.co", True),
        ("https://hub.example.com/", True),
        ("http://127.0.0.1:8000", True),
        ("https://elsewhere.example.com", False),
    ],
)
async def test_the_token_of_the_environment_goes_to_its_own_service_only(
    monkeypatch: pytest.MonkeyPatch, base_url: str, gets_it: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example.com")
    client = Answers(jobs=(200, {}, b"[]"))
    hub = provider(client, token=None, base_url=base_url)
    if gets_it:
        await hub.page(None)
        assert client.asked[0][1]["authorization"] == f"Bearer {TOKEN}"
    else:
        with pytest.raises(ProviderError, match="the option token") as caught:
            await hub.page(None)
        assert caught.value.denied
        assert client.asked == []


def test_a_namespace_that_cannot_be_is_told() -> None:
    assert [name for name, _ in Options(namespace="a/b").problems()] == ["namespace"]
    assert list(Options(namespace="acme-2.x_y").problems()) == []


# ---------------------------------------------------------------------------------------------- reading


def test_a_job_is_a_command_on_some_hardware(make: Any) -> None:
    job = provider().read(json.dumps(make.case("huggingface").document("RUNNING")).encode())
    assert (job.name, job.owner, job.organization_id) == ("support-bot", "kim", "acme")
    assert job.labels == {"flavor": "a10g-large", "team": "search", "name": "support-bot"}
    assert job.metadata == {"team": "search", "name": "support-bot"}
    assert job.url == f"https://huggingface.co/jobs/acme/{job.id}"
    assert "environment" not in (job.hyperparameters or {})
