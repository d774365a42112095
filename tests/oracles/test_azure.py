"""OpenAI's own client for Azure against the simulated resource, and our reading of its model of a job."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from ftwatch.core.job import Status
from ftwatch.plugins import ProviderSpec
from ftwatch.providers.azure import Azure, Options
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "0123456789abcdef0123456789abcdef"
VERSIONS = ("2024-10-21", None)


def client_of(openai: ModuleType, upstream: Upstream, version: str | None) -> Any:
    """The client that Microsoft's documentation shows: for the v1 paths, or for a version."""
    if version is None:
        # As documented for v1: OpenAI's client, with the key as bearer token.
        return openai.AsyncOpenAI(base_url=f"{upstream.url}/openai/v1/", api_key=KEY, max_retries=0)
    return openai.AsyncAzureOpenAI(
        azure_endpoint=upstream.url, api_key=KEY, api_version=version, max_retries=0
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_vendors_client_reads_what_is_served(
    oracle: Callable[[str], ModuleType], version: str | None
) -> None:
    openai = oracle("openai")
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of("azure"), page_cap=2)
    async with upstream.serving(), client_of(openai, upstream, version) as client:
        made = [upstream.create("happy", suffix=f"run-{number}") for number in range(5)]
        upstream.clock.move(1000)
        jobs = [job async for job in client.fine_tuning.jobs.list(limit=2)]
        assert [job.id for job in jobs] == [job.id for job in reversed(made)]
        job = await client.fine_tuning.jobs.retrieve(made[0].id)
        assert job.status == "succeeded"
        assert job.fine_tuned_model
        events = await client.fine_tuning.jobs.list_events(made[0].id, limit=100)
        assert events.data[0].message == "Preprocessing started."
        assert events.data[-1].message == "Job succeeded."
        checkpoints = await client.fine_tuning.jobs.checkpoints.list(made[0].id)
        steps = [one.step_number for one in checkpoints.data]
        assert steps == sorted(steps)
        with pytest.raises(openai.NotFoundError):
            await client.fine_tuning.jobs.retrieve("ftjob-gone")


async def test_the_vendors_client_trips_over_the_ids_of_events(oracle: Callable[[str], ModuleType]) -> None:
    openai = oracle("openai")
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of("azure"))
    async with upstream.serving(), client_of(openai, upstream, "2024-10-21") as client:
        made = upstream.create("happy")
        upstream.clock.move(1000)
        with pytest.raises(openai.BadRequestError, match="not found in items"):
            _ = [event async for event in client.fine_tuning.jobs.list_events(made.id, limit=3)]


async def test_a_wrong_key_is_refused(oracle: Callable[[str], ModuleType]) -> None:
    openai = oracle("openai")
    upstream = Upstream(clock=StillClock(), key="another", dialect=dialect_of("azure"))
    async with upstream.serving(), client_of(openai, upstream, "2024-10-21") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.fine_tuning.jobs.list()


def test_we_read_the_vendors_model_of_a_job(oracle: Callable[[str], ModuleType]) -> None:
    oracle("openai")
    from openai.types.fine_tuning import FineTuningJob

    model = FineTuningJob.construct(
        id="ftjob-0123",
        object="fine_tuning.job",
        created_at=1_790_000_000,
        status="pending",
        model="gpt-4.1-mini-2025-04-14",
        training_file="file-0123",
        hyperparameters={"n_epochs": -1},
        organization_id=None,
        result_files=None,
        seed=105,
    )
    options = Options(base_url="https://ml-team.openai.azure.com")
    azure = Azure(ProviderSpec(name="p", kind="azure", labels={}, options=options, client=None))
    job = azure.read(model.to_json().encode())
    assert (job.id, job.status, job.seed, job.result_files) == ("ftjob-0123", Status.QUEUED, 105, ())
