"""The kind fireworks and its simulated service, before Fireworks' own client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any, get_args

import pytest

from ftwatch.core.job import Status
from ftwatch.plugins import ProviderSpec
from ftwatch.providers.fireworks import PREFIX, STATUSES, Fireworks, Options
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.script import SCRIPTS, Job
from ftwatch.simulator.upstream import StillClock, Upstream

OTHERS = {kind: f"accounts/acme/{kind}/other" for kind in ("dpoJobs", "reinforcementFineTuningJobs")}


@pytest.fixture(scope="module")
def fireworks(oracle: Any) -> ModuleType:
    found: ModuleType = oracle("fireworks")
    return found


@pytest.fixture(scope="module")
def types(oracle: Any, fireworks: ModuleType) -> ModuleType:
    found: ModuleType = oracle("fireworks.types")
    return found


@asynccontextmanager
async def watched(fireworks: ModuleType) -> AsyncIterator[tuple[Upstream, Any]]:
    """A simulated service, and the vendor's client of it, which takes nothing that is not as documented."""
    upstream = Upstream(clock=StillClock(), key="fw-test", dialect=dialect_of("fireworks"), page_cap=3)
    async with (
        upstream.serving(),
        fireworks.AsyncFireworks(
            api_key="fw-test",
            account_id="acme",
            base_url=upstream.url,
            max_retries=0,
            _strict_response_validation=True,
        ) as client,
    ):
        yield upstream, client


async def test_the_vendors_client_lists_every_kind_page_by_page(fireworks: ModuleType) -> None:
    async with watched(fireworks) as (upstream, client):
        made = [upstream.create("happy", suffix=f"bot-{number}").id for number in range(7)]
        for id in OTHERS.values():
            upstream.jobs[id] = Job(id=id, script=SCRIPTS["slow"], created_at=upstream.now())
        upstream.clock.move(400)  # type: ignore[attr-defined]
        listed = [job async for job in client.supervised_fine_tuning_jobs.list(page_size=2)]
        assert [job.name for job in listed] == made
        assert {job.state for job in listed} == {"JOB_STATE_RUNNING"}
        progress = listed[0].job_progress
        assert (progress.epoch, 0 < progress.percent < 100) == (0, True)
        assert [job.name async for job in client.dpo_jobs.list()] == [OTHERS["dpoJobs"]]
        (tuned,) = [job async for job in client.reinforcement_fine_tuning_jobs.list()]
        assert tuned.training_config.epochs == 3
        assert [account.name async for account in client.accounts.list()] == ["accounts/acme"]


async def test_the_vendors_client_follows_one(fireworks: ModuleType) -> None:
    async with watched(fireworks) as (upstream, client):
        jobs = client.supervised_fine_tuning_jobs
        short = upstream.create("fails").id.rpartition("/")[2]
        assert (await jobs.get(short)).status.code == "OK"
        upstream.clock.move(700)  # type: ignore[attr-defined]
        failed = await jobs.get(short)
        assert (failed.state, failed.status.code) == ("JOB_STATE_FAILED", "RESOURCE_EXHAUSTED")
        assert failed.completed_time is not None
        with pytest.raises(fireworks.NotFoundError):
            await jobs.get("nobody")
        running = upstream.create("slow").id.rpartition("/")[2]
        await jobs.cancel(running, body={})
        assert (await jobs.get(running)).state == "JOB_STATE_CANCELLED"


def test_what_the_vendors_models_write_is_read(types: ModuleType) -> None:
    provider = Fireworks(
        ProviderSpec(name="p", kind="fireworks", labels={}, options=Options(account="acme"), client=None)
    )
    written = types.SupervisedFineTuningJob(
        name="accounts/acme/supervisedFineTuningJobs/bot",
        dataset="accounts/acme/datasets/chats",
        state="JOB_STATE_FAILED",
        status={"code": "INVALID_ARGUMENT", "message": "row 12"},
        createTime="2026-10-05T09:00:00Z",
        completedTime="2026-10-05T09:14:00Z",
        jobProgress={"percent": 50, "epoch": 0},
        epochs=2,
    )
    job = provider.read(json.dumps(written.to_dict(mode="json")).encode())
    assert (job.status, job.created_at, job.finished_at) == (Status.FAILED, 1_791_190_800, 1_791_191_640)
    assert job.error is not None
    assert job.error.message == "row 12"
    assert job.progress is not None
    assert job.progress.percent == 25.0


@pytest.mark.parametrize("model", ["SupervisedFineTuningJob", "DpoJob", "ReinforcementFineTuningJob"])
def test_every_word_of_the_vendors_models_has_its_place(model: str, types: ModuleType) -> None:
    annotation = getattr(types, model).model_fields["state"].annotation
    words = {word for branch in get_args(annotation) for word in get_args(branch)}
    assert {word.removeprefix(PREFIX) for word in words} == {*STATUSES, "UNSPECIFIED"}
