"""huggingface_hub reads what the simulated service serves, and knows the same words as we do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import anyio.to_thread
import pytest

from ftwatch.plugins import ProviderSpec
from ftwatch.providers.huggingface import STATUSES, HuggingFace, Options
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

TOKEN = "hf_simulatedsimulated"


@pytest.fixture(scope="module")
def hub(oracle: Any) -> ModuleType:
    found: ModuleType = oracle("huggingface_hub")
    return found


@contextmanager
def client(hub: ModuleType, url: str) -> Iterator[Any]:
    """The vendor's client; the connections that it shares with all others are closed in the end."""
    try:
        yield hub.HfApi(endpoint=url, token=TOKEN)
    finally:
        hub.close_session()


def provider() -> HuggingFace:
    options = Options(namespace="acme")
    return HuggingFace(ProviderSpec(name="p", kind="huggingface", labels={}, options=options, client=None))


async def test_its_client_lists_and_inspects_what_we_serve(hub: ModuleType) -> None:
    dialect = dialect_of("huggingface")
    clock = StillClock()
    async with Upstream(clock=clock, key=TOKEN, dialect=dialect, page_cap=2).serving() as upstream:
        made = [upstream.create("happy", suffix=f"run-{n}", metadata={"team": "nlp"}) for n in range(5)]
        clock.move(1000)

        def ask() -> tuple[list[Any], Any, Any]:
            with client(hub, upstream.url) as api:
                listed = list(api.list_jobs(namespace="acme"))
                return listed, api.inspect_job(job_id=made[0].id, namespace="acme"), api.whoami()

        listed, job, me = await anyio.to_thread.run_sync(ask)
        raw = json.dumps(dialect.document(made[0], upstream.now())).encode()  # type: ignore[attr-defined]
    assert [one.id for one in listed] == [one.id for one in reversed(made)]
    assert job.status.stage == "COMPLETED"
    assert job.labels == {"team": "nlp", "name": "run-0"}
    assert me["name"] == "kim"
    ours = provider().read(raw)
    assert ours.url == job.url.replace(upstream.url, "https://huggingface.co")
    assert (ours.id, ours.raw_status, ours.owner) == (job.id, job.status.stage, job.initiator.name)
    assert ours.created_at == int(job.created_at.timestamp())
    assert ours.started_at == int(job.started_at.timestamp())
    assert ours.finished_at == int(job.finished_at.timestamp())


async def test_a_job_that_is_not_there_is_none_for_it_either(hub: ModuleType) -> None:
    dialect = dialect_of("huggingface")
    async with Upstream(clock=StillClock(), key=TOKEN, dialect=dialect).serving() as upstream:

        def ask() -> None:
            with client(hub, upstream.url) as api:
                api.inspect_job(job_id="0", namespace="acme")

        with pytest.raises(hub.errors.HfHubHTTPError, match="does not exist"):
            await anyio.to_thread.run_sync(ask)


def test_we_know_every_word_of_theirs(hub: ModuleType) -> None:
    assert {stage.value.lower() for stage in hub.JobStage} == STATUSES.keys()
    ended = {word for word, status in STATUSES.items() if status.is_terminal}
    assert ended == {stage.value.lower() for stage in hub._jobs_api.TERMINAL_JOB_STAGES}
