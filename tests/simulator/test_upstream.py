"""The simulated provider, before the official client: what that accepts is what OpenAI serves."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import openai
import pytest

from ftwatch.simulator.upstream import TROUBLES, StillClock, Upstream


@asynccontextmanager
async def simulated(**more: Any) -> AsyncIterator[tuple[Upstream, openai.AsyncOpenAI]]:
    upstream = Upstream(clock=StillClock(), key="sk-test", **more)
    async with upstream.serving():
        client = openai.AsyncOpenAI(api_key="sk-test", base_url=upstream.url, max_retries=0, timeout=60)
        async with client:
            yield upstream, client


async def test_the_official_client_creates_follows_and_lists_jobs() -> None:
    async with simulated() as (upstream, client):
        jobs = client.fine_tuning.jobs
        made = await jobs.create(
            model="gpt-4.1-mini", training_file="file-1", suffix="bot", metadata={"script": "fails"}
        )
        assert (made.object, made.status, made.model) == (
            "fine_tuning.job",
            "validating_files",
            "gpt-4.1-mini",
        )
        upstream.clock.move(700)  # type: ignore[attr-defined]
        failed = await jobs.retrieve(made.id)
        assert failed.status == "failed"
        assert failed.error is not None
        assert failed.error.code == "exceeded_quota"
        for _ in range(44):
            upstream.create("happy")
        listed = [job.id async for job in jobs.list(limit=10)]
        assert len(listed) == 45
        assert listed[-1] == made.id, "the newest one first"
        log = [event.message async for event in jobs.list_events(made.id)]
        assert log[0] == "Creating this fine-tuned model would exceed your quota."


async def test_the_official_client_pauses_resumes_and_cancels() -> None:
    async with simulated() as (upstream, client):
        jobs = client.fine_tuning.jobs
        id = upstream.create("slow").id
        upstream.clock.move(300)  # type: ignore[attr-defined]
        assert (await jobs.pause(id)).status == "paused"
        assert (await jobs.resume(id)).status == "queued"
        assert (await jobs.cancel(id)).status == "cancelled"
        assert (await jobs.cancel(id)).status == "cancelled"


async def test_checkpoints_and_the_metadata_filter() -> None:
    async with simulated() as (upstream, client):
        done = upstream.create("instant", metadata={"team": "search"})
        upstream.create("happy", metadata={"team": "ads"})
        upstream.clock.move(10)  # type: ignore[attr-defined]
        found = [one.step_number async for one in client.fine_tuning.jobs.checkpoints.list(done.id)]
        assert found == [300, 200, 100]
        listed = [job.id async for job in client.fine_tuning.jobs.list(metadata={"team": "search"})]
        assert listed == [done.id]


async def test_it_refuses_as_openai_does() -> None:
    async with simulated() as (_, client):
        with pytest.raises(openai.NotFoundError):
            await client.fine_tuning.jobs.retrieve("ftjob-nope")
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="sk-wrong").fine_tuning.jobs.list()


@pytest.mark.parametrize("kind", sorted(TROUBLES))
async def test_every_trouble_troubles_the_official_client_and_then_passes(kind: str) -> None:
    async with simulated() as (upstream, client):
        upstream.create("happy")
        upstream.trouble(kind, times=1)
        with contextlib.suppress(openai.OpenAIError, ValueError, AttributeError, TypeError, TimeoutError):
            with anyio.fail_after(1):
                page = await client.with_options(timeout=0.3).fine_tuning.jobs.list()
                assert [job.status for job in page.data] != ["validating_files"]
        assert [job.id for job in (await client.fine_tuning.jobs.list()).data] == ["ftjob-sim000000"]


async def test_its_port_can_close_and_open_again() -> None:
    http = httpx2.AsyncClient(headers={"authorization": "Bearer sk-test"}, trust_env=False)
    async with simulated() as (upstream, _), http:
        port = upstream.place.port
        assert (await http.get(f"{upstream.url}/fine_tuning/jobs")).status_code == 200
        await upstream.place.down()
        with pytest.raises(httpx2.ConnectError):
            await http.get(f"{upstream.url}/fine_tuning/jobs")
        await upstream.place.up()
        assert upstream.place.port == port
        assert (await http.get(f"{upstream.url}/fine_tuning/jobs")).status_code == 200


async def test_a_listing_can_lag_behind() -> None:
    async with simulated(stale=100.0) as (upstream, client):
        job = upstream.create("happy")
        upstream.clock.move(200)  # type: ignore[attr-defined]
        assert (await client.fine_tuning.jobs.list()).data[0].status == "queued"
        assert (await client.fine_tuning.jobs.retrieve(job.id)).status == "running"


def test_the_true_history_is_known() -> None:
    upstream = Upstream(clock=StillClock())
    upstream.create("instant")
    upstream.clock.move(5)  # type: ignore[attr-defined]
    assert [one.status for one in upstream.history()] == ["queued", "succeeded"]
