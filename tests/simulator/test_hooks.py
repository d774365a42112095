"""The simulated service's webhooks, before the official client: it manages the endpoints, and unwraps."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import openai
import pytest
from openai.types.webhooks import WebhookEndpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.hooks import AGENT, TYPES, Hooks
from ftwatch.simulator.serving import Place
from ftwatch.simulator.upstream import StillClock, Upstream

TUNING = [type for type in TYPES if type.startswith("fine_tuning.")]


class Sink:
    """Takes webhooks, and answers as it is told to, one after the other; with 204 when that is used up."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.place = Place(Starlette(routes=[Route("/{path:path}", self.take, methods=["POST"])]))

    async def take(self, request: Request) -> Response:
        self.came.append((dict(request.headers), await request.body()))
        return Response(status_code=self.answers.pop(0) if self.answers else 204)

    @property
    def url(self) -> str:
        return f"{self.place.url}/hooks/openai"


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[Upstream, openai.AsyncOpenAI, Sink]]:
    upstream, sink = Upstream(clock=StillClock(), key="sk-test", hooks=Hooks(waits=(0.01, 0.02))), Sink()
    async with upstream.serving(), sink.place.serving():
        client = openai.AsyncOpenAI(api_key="sk-test", base_url=upstream.url, max_retries=0, timeout=10)
        async with client:
            yield upstream, client, sink


async def until(true: Callable[[], Any]) -> None:
    with anyio.fail_after(20):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def move(upstream: Upstream, seconds: float) -> None:
    assert isinstance(upstream.clock, StillClock)
    upstream.clock.move(seconds)


# ------------------------------------------------------------------------------------------------ the API


async def test_the_official_client_manages_endpoints() -> None:
    async with simulated() as (upstream, client, _):
        types = await client.webhooks.event_types.list()
        assert types.data == list(TYPES)
        made = await client.webhooks.create(
            name="ci", url="https://ci.example.com/hooks", event_types=["fine_tuning.job.failed"]
        )
        assert made.signing_secret.startswith("whsec_")
        assert (made.object, made.name, made.event_types) == (
            "webhook_endpoint",
            "ci",
            ["fine_tuning.job.failed"],
        )
        seen = await client.webhooks.retrieve(made.id)
        assert isinstance(seen, WebhookEndpoint)
        assert "signing_secret" not in seen.model_dump()
        assert seen.signing_secret_hint is not None
        assert made.signing_secret not in seen.model_dump_json()

        move(upstream, 100)
        changed = await client.webhooks.update(made.id, name="cd", event_types=["batch.completed"])
        assert (changed.name, changed.url, changed.event_types) == ("cd", made.url, ["batch.completed"])
        assert changed.updated_at == made.created_at + 100
        rotated = await client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        assert rotated.signing_secret != made.signing_secret
        gone = await client.webhooks.delete(made.id)
        assert (gone.id, gone.deleted) == (made.id, True)
        with pytest.raises(openai.NotFoundError):
            await client.webhooks.retrieve(made.id)


async def test_the_list_has_pages_and_the_newest_first() -> None:
    async with simulated() as (_, client, _):
        made = [
            (
                await client.webhooks.create(
                    name=str(n), url="https://a.example/", event_types=["batch.failed"]
                )
            ).id
            for n in range(5)
        ]
        assert [one.id async for one in client.webhooks.list(limit=2)] == made[::-1]
        page = await client.webhooks.list(limit=2)
        assert (len(page.data), page.has_more) == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://ci.example.com/"},
        {"url": "https://["},
        {"url": "x" * 3000},
        {"name": ""},
        {"name": "x" * 257},
        {"event_types": []},
        {"event_types": ["fine_tuning.job.succeded"]},
        {"event_types": "batch.failed"},
    ],
)
async def test_what_openai_would_refuse_is_refused(wrong: dict[str, Any]) -> None:
    good: dict[str, Any] = {"name": "n", "url": "https://a.example/", "event_types": ["batch.failed"]}
    async with simulated() as (upstream, client, _):
        with pytest.raises(openai.BadRequestError):
            await client.webhooks.create(**{**good, **wrong})
        assert upstream.hooks.endpoints == {}
        with pytest.raises(openai.BadRequestError):
            await client.webhooks.list(limit=101)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-wrong").webhooks.list()


async def test_what_lacks_something_is_refused_too() -> None:
    async with simulated() as (upstream, _, _), httpx2.AsyncClient(trust_env=False) as http:
        for body in (b"", b"[]", b"nonsense", b'{"name": "n"}'):
            answer = await http.post(
                f"{upstream.url}/webhook_endpoints", content=body, headers={"authorization": "Bearer sk-test"}
            )
            assert answer.status_code == 400


@pytest.mark.parametrize("kind", ["azure", "nebius", "together"])
async def test_other_services_have_no_such_thing(kind: str) -> None:
    upstream = Upstream(dialect=dialect_of(kind))
    async with upstream.serving(), httpx2.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{upstream.place.url}/v1/webhook_endpoints")).status_code == 404
        assert (await http.get(f"{upstream.place.url}/openai/v1/webhook_endpoints")).status_code == 404


# ------------------------------------------------------------------------------------------- what is sent


async def test_a_sample_is_sent_and_its_answer_told() -> None:
    async with simulated() as (_, client, sink):
        made = await client.webhooks.create(name="n", url=sink.url, event_types=["batch.failed"])
        sink.answers = [204, 401]
        for status in (204, 401):
            done = await client.webhooks.test(made.id, event_type="fine_tuning.job.succeeded")
            assert (done.status_code, done.success, done.webhook_endpoint_id) == (status, True, made.id)
        (headers, body), (again, _) = sink.came
        event = client.webhooks.unwrap(body, headers, secret=made.signing_secret)
        assert event.type == "fine_tuning.job.succeeded"
        assert event.data.id.startswith("ftjob-")
        assert headers["user-agent"] == AGENT
        assert headers["webhook-id"].startswith("wh_")
        assert again["webhook-id"] != headers["webhook-id"]
        await sink.place.down()
        with pytest.raises(openai.BadRequestError, match="connection refused"):
            await client.webhooks.test(made.id, event_type="fine_tuning.job.succeeded")


async def test_every_end_of_a_job_is_sent_once_to_who_wants_it() -> None:
    async with simulated() as (upstream, client, sink):
        upstream.create("instant")
        move(upstream, 60)  # what ended before nobody had registered for
        made = await client.webhooks.create(name="n", url=sink.url, event_types=TUNING)  # type: ignore[arg-type]
        other = await client.webhooks.create(name="n", url=sink.url + "/b", event_types=["batch.failed"])
        ids = {name: upstream.create(name).id for name in ("happy", "fails", "cancelled", "slow")}
        move(upstream, 1000)
        await until(lambda: len(upstream.hooks.tries) == 3)
        events = [
            client.webhooks.unwrap(body, headers, secret=made.signing_secret) for headers, body in sink.came
        ]
        assert sorted((event.type, event.data.id) for event in events) == [
            ("fine_tuning.job.cancelled", ids["cancelled"]),
            ("fine_tuning.job.failed", ids["fails"]),
            ("fine_tuning.job.succeeded", ids["happy"]),
        ]
        assert {one.url for one in upstream.hooks.tries} == {made.url}
        assert other.id in upstream.hooks.endpoints
        await client.webhooks.delete(made.id)
        move(upstream, 10_000)
        upstream.create("instant")
        move(upstream, 5)
        await anyio.sleep(0.2)
        assert len(sink.came) == 3


async def test_it_is_sent_again_under_the_same_id_until_somebody_takes_it() -> None:
    async with simulated() as (upstream, client, sink):
        made = await client.webhooks.create(name="n", url=sink.url, event_types=TUNING)  # type: ignore[arg-type]
        sink.answers = [500, 302]
        upstream.create("instant")
        move(upstream, 5)
        await until(lambda: len(upstream.hooks.tries) == 3)
        await anyio.sleep(0.2)
        assert [one.status for one in upstream.hooks.tries] == [500, 302, 204]
        assert len({headers["webhook-id"] for headers, _ in sink.came}) == 1
        assert len({body for _, body in sink.came}) == 1
        for headers, body in sink.came:
            client.webhooks.unwrap(body, headers, secret=made.signing_secret)


async def test_nobody_is_tried_for_ever() -> None:
    async with simulated() as (upstream, client, sink):
        await client.webhooks.create(name="n", url=sink.url, event_types=TUNING)  # type: ignore[arg-type]
        await sink.place.down()
        upstream.create("instant")
        move(upstream, 5)
        await until(lambda: len(upstream.hooks.tries) == 3)
        await anyio.sleep(0.2)
        assert [one.status for one in upstream.hooks.tries] == [None] * 3


@pytest.mark.parametrize(
    ("keeps", "later", "counts"), [(True, 0, True), (True, 86_401, False), (False, 0, False)]
)
async def test_the_old_secret_counts_for_a_day_if_it_is_kept(keeps: bool, later: float, counts: bool) -> None:
    async with simulated() as (upstream, client, sink):
        made = await client.webhooks.create(name="n", url=sink.url, event_types=["batch.failed"])
        new = await client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=keeps)
        move(upstream, later)
        await client.webhooks.test(made.id, event_type="batch.failed")
        ((headers, body),) = sink.came
        client.webhooks.unwrap(body, headers, secret=new.signing_secret)
        if counts:
            client.webhooks.unwrap(body, headers, secret=made.signing_secret)
        else:
            with pytest.raises(openai.InvalidWebhookSignatureError):
                client.webhooks.unwrap(body, headers, secret=made.signing_secret)
