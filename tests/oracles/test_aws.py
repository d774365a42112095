"""Bedrock and SageMaker before AWS's own client and before moto, a fake of both that others wrote.

The client reads what the simulator serves; what moto serves is watched by the real poller from a job's
creation to its stop. moto refuses an unknown name with 400, and tells of an end and a failure from the start.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio.to_thread
import pytest

from ftwatch.client import Account, Client
from ftwatch.config import ProviderConfig
from ftwatch.core.job import Status
from ftwatch.core.pace import Budget
from ftwatch.core.route import Recipient, Routing
from ftwatch.plugins import NotFound, ProviderError, ProviderSpec, Secret, load_kind
from ftwatch.poller import Poller
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream
from ftwatch.store import Store, inline

Oracle = Callable[[str], ModuleType]

KEY = "AKIAORACLE0123456789"
SECRET = "oracle/secret+0123456789"
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/customization"
ROUTING = Routing(recipients=(Recipient(name="slack", kind="slack"),))


@pytest.fixture(autouse=True)
def _nobody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account of whoever runs the tests."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


def vendor(oracle: Oracle, kind: str, url: str) -> Any:
    """AWS's own client of a service. It tries once, and leaves no connection behind."""
    config = oracle("botocore.config").Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": REGION}
    client = oracle("boto3").client(kind, endpoint_url=url, config=config, **keys)

    def once(request: Any, **_: Any) -> None:
        request.headers["connection"] = "close"

    client.meta.events.register("before-send", once)
    return client


async def asked(operation: Callable[..., Any], **more: Any) -> Any:
    """What a blocking client says, without the event loop standing still."""
    return await anyio.to_thread.run_sync(partial(operation, **more))


# ------------------------------------------------------------------------- the client before the simulator


@asynccontextmanager
async def simulated(oracle: Oracle, kind: str, **more: Any) -> AsyncIterator[tuple[Upstream, Any]]:
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of(kind), **more)
    async with upstream.serving():
        yield upstream, await asked(vendor, oracle=oracle, kind=kind, url=upstream.url)


def move(upstream: Upstream, seconds: float) -> None:
    assert isinstance(upstream.clock, StillClock)
    upstream.clock.move(seconds)


async def test_boto3_reads_the_simulated_bedrock(oracle: Oracle) -> None:
    async with simulated(oracle, "bedrock", page_cap=2) as (upstream, client):
        for number in range(5):
            upstream.create("happy", suffix=f"bot-{number}")
            move(upstream, 1)
        pages = client.get_paginator("list_model_customization_jobs").paginate(
            sortBy="CreationTime", sortOrder="Descending"
        )
        whole = await asked(pages.build_full_result)
        listed = whole["modelCustomizationJobSummaries"]
        assert [one["customModelName"] for one in listed] == [f"bot-{number}" for number in (4, 3, 2, 1, 0)]
        name = listed[0]["jobName"]
        move(upstream, 200)
        job = await asked(client.get_model_customization_job, jobIdentifier=name)
        assert (job["jobName"], job["status"], job["outputModelName"]) == (name, "InProgress", "bot-4")
        assert job["statusDetails"]["trainingDetails"]["status"] == "InProgress"
        assert job["creationTime"].tzinfo is not None
        await asked(client.stop_model_customization_job, jobIdentifier=name)
        job = await asked(client.get_model_customization_job, jobIdentifier=name)
        assert job["status"] == "Stopped"
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            await asked(client.get_model_customization_job, jobIdentifier="nobody")


async def test_boto3_reads_the_simulated_sagemaker(oracle: Oracle) -> None:
    async with simulated(oracle, "sagemaker", page_cap=2) as (upstream, client):
        for _ in range(5):
            upstream.create("happy")
            move(upstream, 1)
        pages = client.get_paginator("list_training_jobs").paginate(
            SortBy="CreationTime", SortOrder="Descending"
        )
        listed = (await asked(pages.build_full_result))["TrainingJobSummaries"]
        names = [one["TrainingJobName"] for one in listed]
        assert names == list(upstream.jobs)
        move(upstream, 1000)
        job = await asked(client.describe_training_job, TrainingJobName=names[0])
        assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
        told = [one["Status"] for one in job["SecondaryStatusTransitions"]]
        assert told == ["Starting", "Pending", "Training", "Completed"]
        assert job["ServerlessJobConfig"]["CustomizationTechnique"] == "SFT"
        upstream.create("slow")
        name = next(iter(upstream.jobs))
        await asked(client.stop_training_job, TrainingJobName=name)
        job = await asked(client.describe_training_job, TrainingJobName=name)
        assert job["TrainingJobStatus"] == "Stopped"
        with pytest.raises(client.exceptions.ClientError) as caught:
            await asked(client.describe_training_job, TrainingJobName="nobody")
        assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize("kind", ["bedrock", "sagemaker"])
@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("busy", "ThrottlingException"),
        ("denied", "UnrecognizedClientException"),
        ("missing", "UnknownOperationException"),
    ],
)
async def test_boto3_understands_the_simulated_refusals(
    oracle: Oracle, kind: str, trouble: str, code: str
) -> None:
    async with simulated(oracle, kind) as (upstream, client):
        upstream.trouble(trouble)
        ask = client.list_training_jobs if kind == "sagemaker" else client.list_model_customization_jobs
        with pytest.raises(client.exceptions.ClientError) as caught:
            await asked(ask)
        assert caught.value.response["Error"]["Code"] == code


# ------------------------------------------------------------------------------- our providers before moto


@pytest.fixture
def moto(oracle: Oracle) -> Iterator[str]:
    """The address of a moto server of one's own, with nothing in it."""
    server = oracle("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    for kind in ("bedrock", "sagemaker"):
        oracle("moto.backends").get_backend(kind).reset()


@pytest.mark.parametrize("kind", ["bedrock", "sagemaker"])
async def test_moto_says_whose_credentials_these_are(oracle: Oracle, moto: str, kind: str) -> None:
    found = load_kind("provider", kind)
    keys = {"access_key_id": Secret(KEY), "secret_access_key": Secret(SECRET)}
    options = found.Options(region=REGION, base_url=moto, **keys)
    who = (await asked(vendor, oracle=oracle, kind="sts", url=moto)).get_caller_identity
    async with Client() as client:
        spec = ProviderSpec(name="aws", kind=kind, labels={}, options=options, client=client)
        told = await found(spec).introduce()
    assert (await asked(who))["Arn"] in told.whose


class Watch:
    """The real poller over the real provider, and what it told so far."""

    def __init__(self, kind: str, url: str, client: Client, store: Store, clock: Any) -> None:
        found = load_kind("provider", kind)
        keys = {"access_key_id": Secret(KEY), "secret_access_key": Secret(SECRET)}
        options = found.Options(region=REGION, base_url=url, **keys)
        spec = ProviderSpec(
            name="aws", kind=kind, labels={}, options=options, client=Account(client, Budget(1000))
        )
        self.provider = found(spec)
        self.store, self.clock, self.seq = store, clock, 0
        self.poller = Poller(
            ProviderConfig(name="aws", kind=kind, options=options),
            self.provider,
            store,
            inline,
            routing=ROUTING,
            rules=(),
            clock=clock,
            bell=lambda owed: None,
        )

    async def round(self, after: float = 0.0) -> list[str]:
        """Lets time pass, polls until nothing is due, and says what was told: "type job"."""
        self.clock.time += after
        while await self.poller.poll_once():
            pass
        assert self.poller.problem is None
        found = self.store.history.events(after=self.seq, limit=1000)
        self.seq = self.store.history.last_seq()
        return [f"{event.type.removeprefix('fine_tuning.')} {event.data.id}" for _, event in found]

    async def job(self, id: str) -> Any:
        return self.provider.read(await self.provider.retrieve(id))


@asynccontextmanager
async def watched(kind: str, url: str, folder: Path, clock: Any) -> AsyncIterator[Watch]:
    store = Store(folder / "ftwatch.db")
    try:
        async with Client() as client:
            yield Watch(kind, url, client, store, clock)
    finally:
        store.close()


def bedrock_job(name: str) -> dict[str, Any]:
    return {
        "jobName": name,
        "customModelName": f"{name}-model",
        "roleArn": ROLE,
        "baseModelIdentifier": "amazon.nova-lite-v1",
        "trainingDataConfig": {"s3Uri": "s3://data/train.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://data/out"},
        "hyperParameters": {"epochCount": "1"},
    }


def sagemaker_job(name: str) -> dict[str, Any]:
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "HyperParameters": {"model_id": "meta-llama/Llama-3.2-1B"},
        "OutputDataConfig": {"S3OutputPath": "s3://data/out"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }


async def test_a_bedrock_job_is_watched_from_creation_to_stop(
    oracle: Oracle, moto: str, tmp_path: Path, clock: Any
) -> None:
    client = await asked(vendor, oracle=oracle, kind="bedrock", url=moto)
    async with watched("bedrock", moto, tmp_path, clock) as watch:
        assert await watch.round() == ["ftwatch.provider.watching aws"]
        await asked(client.create_model_customization_job, **bedrock_job("demo"))
        told = await watch.round(150)
        assert told[0] == "job.created demo"
        assert {*told[1:]} <= {"job.updated demo"}, "the list is thin: the job itself tells more"
        job = await watch.job("demo")
        assert (job.status, job.raw_status, job.phase) == (Status.RUNNING, "InProgress", None)
        assert (job.finished_at, job.error, job.fine_tuned_model) == (None, None, None)
        assert job.model == "amazon.nova-lite-v1"
        assert job.hyperparameters == {"epochCount": "1"}
        assert job.metadata == {"arn": f"arn:aws:bedrock:{REGION}:123456789012:model-customization-job/demo"}
        assert await watch.round(40) == []
        await asked(client.stop_model_customization_job, jobIdentifier="demo")
        assert await watch.round(40) == ["job.cancelled demo"]
        ended = await watch.job("demo")
        assert ended.finished_at is not None
        assert ended.fine_tuned_model is None
        assert await watch.round(2000) == []


async def test_a_sagemaker_job_is_watched_from_creation_to_stop(
    oracle: Oracle, moto: str, tmp_path: Path, clock: Any
) -> None:
    client = await asked(vendor, oracle=oracle, kind="sagemaker", url=moto)
    async with watched("sagemaker", moto, tmp_path, clock) as watch:
        assert await watch.round() == ["ftwatch.provider.watching aws"]
        await asked(client.create_training_job, **sagemaker_job("tune-1"))
        # The fake's jobs are done at once, and it knows no way to stop one.
        kept = (
            oracle("moto.backends").get_backend("sagemaker")["123456789012"][REGION].training_jobs["tune-1"]
        )
        kept.training_job_status, kept.secondary_status = "InProgress", "Training"
        told = await watch.round(150)
        assert told[0] == "job.created tune-1"
        assert {*told[1:]} <= {"job.updated tune-1"}
        job = await watch.job("tune-1")
        assert (job.status, job.raw_status, job.phase) == (Status.RUNNING, "InProgress", "Training")
        assert (job.finished_at, job.error, job.fine_tuned_model) == (None, None, None)
        assert job.model == "meta-llama/Llama-3.2-1B"
        assert await watch.round(40) == []
        kept.training_job_status, kept.secondary_status = "Stopping", "Stopping"
        assert await watch.round(40) == ["job.cancelling tune-1"]
        kept.training_job_status, kept.secondary_status = "Stopped", "Stopped"
        assert await watch.round(40) == ["job.cancelled tune-1"]
        ended = await watch.job("tune-1")
        assert ended.finished_at is not None
        assert ended.result_files == ("s3://data/out/tune-1/output/model.tar.gz",)
        assert await watch.round(2000) == []


@pytest.mark.parametrize("kind", ["bedrock", "sagemaker"])
async def test_a_job_that_vanishes_from_moto_is_gone_not_an_error(
    oracle: Oracle, moto: str, tmp_path: Path, clock: Any, kind: str
) -> None:
    client = await asked(vendor, oracle=oracle, kind=kind, url=moto)
    backend = oracle("moto.backends").get_backend(kind)["123456789012"][REGION]
    async with watched(kind, moto, tmp_path, clock) as watch:
        await watch.round()
        if kind == "bedrock":
            await asked(client.create_model_customization_job, **bedrock_job("demo"))
            jobs = backend.model_customization_jobs
        else:
            await asked(client.create_training_job, **sagemaker_job("demo"))
            jobs = backend.training_jobs
            jobs["demo"].training_job_status, jobs["demo"].secondary_status = "InProgress", "Training"
        assert (await watch.round(150))[0] == "job.created demo"
        jobs.clear()
        with pytest.raises(NotFound):
            await watch.provider.retrieve("demo")
        await watch.round(40)
        await watch.round(40)
        assert await watch.round(40) == ["job.gone demo"]


@pytest.mark.parametrize("kind", ["bedrock", "sagemaker"])
async def test_moto_s_pages_are_walked_and_a_strange_token_is_a_new_walk(
    oracle: Oracle, moto: str, tmp_path: Path, clock: Any, kind: str
) -> None:
    client = await asked(vendor, oracle=oracle, kind=kind, url=moto)
    for number in range(101):
        if kind == "bedrock":
            await asked(client.create_model_customization_job, **bedrock_job(f"job-{number}"))
        else:
            await asked(client.create_training_job, **sagemaker_job(f"job-{number}"))
    async with watched(kind, moto, tmp_path, clock) as watch:
        first = watch.provider.split(await watch.provider.page(None))
        assert first.next is not None
        second = watch.provider.split(await watch.provider.page(first.next))
        assert (len(first.entries), len(second.entries), second.next) == (100, 1, None)
        with pytest.raises(ProviderError) as caught:
            await watch.provider.page("strange")
        assert caught.value.missing
