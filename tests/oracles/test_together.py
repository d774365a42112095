"""The kind together and its simulated service, before Together's own client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, get_args

import pytest

from ftwatch.client import Client
from ftwatch.core.job import Status
from ftwatch.plugins import ProviderSpec, Secret
from ftwatch.providers.together import STATUSES, Options, Together
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream


@pytest.fixture(scope="module")
def together(oracle: Any) -> ModuleType:
    found: ModuleType = oracle("together")
    return found


@pytest.fixture(scope="module")
def types(oracle: Any, together: ModuleType) -> ModuleType:
    found: ModuleType = oracle("together.types")
    return found


@asynccontextmanager
async def watched(together: ModuleType) -> AsyncIterator[tuple[Upstream, Any]]:
    """A simulated service, and the vendor's client of it, which takes nothing that is not as documented."""
    upstream = Upstream(clock=StillClock(), key="tgp-test", dialect=dialect_of("together"))
    async with (
        upstream.serving(),
        together.AsyncTogether(
            api_key="tgp-test", base_url=upstream.place.url, max_retries=0, _strict_response_validation=True
        ) as client,
    ):
        yield upstream, client.fine_tuning


def provider() -> Together:
    spec = ProviderSpec(name="p", kind="together", labels={}, options=Options(), client=None)
    return Together(spec)


async def test_the_vendors_client_lists_jobs_and_reads_one(together: ModuleType) -> None:
    async with watched(together) as (upstream, jobs):
        made = [upstream.create(life, suffix="bot") for life in ("happy", "fails", "cancelled", "paused")]
        upstream.clock.move(700)  # type: ignore[attr-defined]
        listed = (await jobs.list()).data
        assert {job.id: job.status for job in listed} == {
            made[0].id: "running",
            made[1].id: "error",
            made[2].id: "cancelled",
            made[3].id: "running",
        }
        job = await jobs.retrieve(made[0].id)
        assert (job.id, job.status, job.n_epochs) == (made[0].id, "running", 3)
        assert job.progress.estimate_available
        assert job.x_model_output_name.startswith("acme/")
        with pytest.raises(together.NotFoundError):
            await jobs.retrieve("ft-0")
        assert (await jobs.cancel(made[0].id)).status == "cancelled"


async def test_the_vendors_client_asks_whose_key_it_is(together: ModuleType) -> None:
    upstream = Upstream(clock=StillClock(), key="tgp-test", dialect=dialect_of("together"))
    async with (
        upstream.serving(),
        together.AsyncTogether(
            api_key="tgp-test", base_url=upstream.place.url, max_retries=0, _strict_response_validation=True
        ) as client,
        Client() as ours,
    ):
        who = await client.whoami()
        options = Options(api_key=Secret("tgp-test"), base_url=upstream.url)
        spec = ProviderSpec(name="p", kind="together", labels={}, options=options, client=ours)
        told = await Together(spec).introduce()
    assert told.whose == (
        f"the key is one of the project {who.project.name} ({who.project.id}) "
        f"of the organization {who.organization.name} ({who.organization.id})"
    )


async def test_the_vendors_client_reads_the_job_log(together: ModuleType) -> None:
    async with watched(together) as (upstream, jobs):
        id = upstream.create("fails").id
        upstream.clock.move(700)  # type: ignore[attr-defined]
        events = (await jobs.list_events(id)).data
        assert [event.type for event in events if event.type != "epoch_complete"] == [
            *("job_pending", "job_start", "training_start", "job_error")
        ]
        assert events[-1].message == "Creating this fine-tuned model would exceed your quota."
        metrics = (await jobs.list_metrics(id)).metrics
        assert {"train/loss", "eval/loss", "global_step"} <= {key for row in metrics for key in row}
        middle = metrics[len(metrics) // 2]["global_step"]
        later = (await jobs.list_metrics(id, global_step_from=int(middle))).metrics
        assert later[0]["global_step"] == middle
        assert 0 < len(later) < len(metrics)
        checkpoints = (await jobs.list_checkpoints(id)).data
        steps = [checkpoint.step for checkpoint in checkpoints]
        assert steps == sorted(steps, reverse=True)


def test_what_the_vendors_models_write_is_read(types: ModuleType) -> None:
    written = types.FinetuneResponse(
        id="ft-1",
        status="completed",
        user_id="user_1",
        created_at="2026-10-05T09:00:00Z",
        updated_at="2026-10-05T09:40:00Z",
        started_at="2026-10-05T09:05:10Z",
        model="meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
        model_output_name="acme/bot",
        training_method={"method": "dpo", "dpo_beta": 0.1},
        events=[],
    )
    raw = json.dumps(written.to_dict(mode="json")).encode()
    job = provider().read(raw)
    assert (job.status, job.fine_tuned_model, job.created_at) == (Status.SUCCEEDED, "acme/bot", 1_791_190_800)
    assert job.finished_at == 1_791_193_200
    assert job.method is not None
    assert job.method.dpo == {"dpo_beta": 0.1}


def test_every_word_of_the_vendors_models_has_its_place(oracle: Any, types: ModuleType) -> None:
    by_hand = oracle("together.lib.types.fine_tuning").FinetuneJobStatus
    words = get_args(types.FinetuneResponse.model_fields["status"].annotation)
    assert {*words, *(status.value for status in by_hand)} == set(STATUSES)


def test_every_event_of_the_vendors_models_is_a_line(types: ModuleType) -> None:
    words = get_args(types.FinetuneEventType)
    about = {"object": "fine-tune-event", "created_at": "2026-10-05T09:00:00Z", "message": "x"}
    body = json.dumps({"data": [{**about, "type": word} for word in words]}).encode()
    lines = provider().read_log("events", body).lines
    assert [line.type for line in lines] == list(words)
    proved = {line.type for line in lines if line.status is not None}
    assert proved == {"job_pending", "job_start", "training_start", "cancel_requested"}
