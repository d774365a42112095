"""OpenAI's own client, which Nebius names as its own, against the simulated service."""

from collections.abc import Callable
from types import ModuleType

import pytest

from ftwatch.client.api import ApiOptions
from ftwatch.core.job import Progress
from ftwatch.plugins import ProviderSpec
from ftwatch.providers.nebius import Nebius
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "v1.CmQKHHN0YXRpY2tleQ"


async def test_the_vendors_client_reads_what_is_served(oracle: Callable[[str], ModuleType]) -> None:
    openai = oracle("openai")
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of("nebius"), page_cap=2)
    async with (
        upstream.serving(),
        openai.AsyncOpenAI(base_url=upstream.url, api_key=KEY, max_retries=0) as client,
    ):
        made = [upstream.create("happy") for _ in range(5)]
        upstream.clock.move(1000)
        jobs = [job async for job in client.fine_tuning.jobs.list(limit=2)]
        assert [job.id for job in jobs] == [job.id for job in reversed(made)]
        job = await client.fine_tuning.jobs.retrieve(made[0].id)
        assert (job.status, job.trained_steps, job.total_steps) == ("succeeded", 300, 300)
        assert getattr(job, "fine_tuned_model", None) is None
        messages = [event.message async for event in client.fine_tuning.jobs.list_events(made[0].id, limit=5)]
        assert messages[-1].startswith("Validating training file")
        checkpoints = [one async for one in client.fine_tuning.jobs.checkpoints.list(made[0].id, limit=1)]
        assert [one.step_number for one in checkpoints] == [300, 200, 100]
        with pytest.raises(openai.NotFoundError):
            await client.fine_tuning.jobs.retrieve("ftjob-gone")


def test_we_read_the_vendors_model_of_a_job(oracle: Callable[[str], ModuleType]) -> None:
    oracle("openai")
    from openai.types.fine_tuning import FineTuningJob

    model = FineTuningJob.construct(
        id="ftjob-1",
        created_at=1_790_000_000,
        status="running",
        model="meta-llama/Llama-3.1-8B-Instruct",
        organization_id="",
        suffix="demo",
        trained_steps=120,
        total_steps=600,
    )
    spec = ProviderSpec(name="p", kind="nebius", labels={}, options=ApiOptions(), client=None)
    job = Nebius(spec).read(model.to_json().encode())
    assert (job.name, job.organization_id) == ("demo", None)
    assert job.progress == Progress(step=120, total_steps=600, percent=20.0)
