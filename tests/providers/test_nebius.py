"""The nebius kind: where it is, its key, and where the model of a job is to be found."""

from typing import Any

import pytest

from ftwatch.client import Account, Client
from ftwatch.client.api import ApiOptions
from ftwatch.core.job import Status
from ftwatch.core.pace import Budget
from ftwatch.plugins import ProviderError, ProviderSpec, Secret
from ftwatch.providers.nebius import Nebius
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "v1.CmQKHHN0YXRpY2tleQ"


def provider(client: Any, **options: Any) -> Nebius:
    return Nebius(
        ProviderSpec(name="p", kind="nebius", labels={}, options=ApiOptions(**options), client=client)
    )


@pytest.mark.parametrize(
    ("base_url", "gets_it"),
    [
        (None, True),
        ("https://api.tokenfactory.nebius.com/v1/", True),
        ("https://proxy.example.com/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("https://api.example.com/v1", False),
        ("http://api.tokenfactory.nebius.com/v1", False),
    ],
)
async def test_the_key_of_the_environment_goes_to_its_own_service_only(
    service: Any, monkeypatch: pytest.MonkeyPatch, base_url: str | None, gets_it: bool
) -> None:
    monkeypatch.setenv("NEBIUS_API_KEY", KEY)
    monkeypatch.setenv("NEBIUS_BASE_URL", "https://proxy.example.com/v1/")
    client = service((200, {"data": []}))
    await provider(client, base_url=base_url).page(None)
    home = (base_url or "https://api.tokenfactory.nebius.com/v1").rstrip("/")
    assert client.asked == [f"GET {home}/fine_tuning/jobs?limit=100"]
    assert client.headers[0].get("authorization") == (f"Bearer {KEY}" if gets_it else None)


async def test_without_a_key_nebius_is_not_asked(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEBIUS_API_KEY", raising=False)
    client = service()
    with pytest.raises(ProviderError, match="set NEBIUS_API_KEY or the option api_key") as caught:
        await provider(client).page(None)
    assert caught.value.denied
    assert client.asked == []


async def test_the_model_is_that_of_the_last_checkpoint() -> None:
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of("nebius"))
    async with upstream.serving(), Client() as client:
        nebius = provider(Account(client, Budget(1000)), base_url=upstream.url, api_key=Secret(KEY))
        made = upstream.create("happy", suffix="bot")
        upstream.clock.move(1000)
        job = nebius.read(await nebius.retrieve(made.id))
        page = nebius.read_log("checkpoints", await nebius.log(made.id, "checkpoints", None))
    assert (job.status, job.fine_tuned_model) == (Status.SUCCEEDED, None)
    assert job.progress is not None
    assert (job.progress.percent, job.name) == (100.0, "bot")
    last = page.checkpoints[0]
    assert page.newest_first
    assert last.model == "meta-llama/Llama-3.1-8B-Instruct-LoRa:bot-300"
    assert last.step == max(one.step or 0 for one in page.checkpoints) == 300
    assert last.files == (f"file-{made.id[-6:]}-300",)


async def test_nobody_says_when_its_models_end(service: Any) -> None:
    assert await provider(service(), api_key=Secret(KEY)).retirements() == {}
