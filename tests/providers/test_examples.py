"""Every file of the collection of examples is read by the kind whose service wrote it, to what it means.

The collection lies beside the checkout (or where FTWATCH_SPECS says), and is no part of it. A file without a
row fails. What is left out, because the collection or a kind is not there, is said at the end of the run.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ftwatch import config
from ftwatch.client import Response
from ftwatch.core.job import Snapshot, Status
from ftwatch.plugins import LogPage, NotFound, ProviderError, Unreadable, kinds
from ftwatch.providers.http import Log
from ftwatch.wire.mapped import LineFields
from ftwatch.wire.paths import Paths

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("FTWATCH_SPECS") or ROOT.parent / "shared" / "specs")
EXAMPLES = {path.name: path for path in sorted((FOLDER / "examples").glob("*.json"))}
SHIPPED = config.load(ROOT / "config" / "http.yaml", environ={"HOME": "/home/me"}).providers

if not EXAMPLES:
    pytest.skip(f"LEFT OUT: no examples under {FOLDER}", allow_module_level=True)

S = Status


class Row(NamedTuple):
    """Whose file it is, what stands in it, and what that is to us: statuses, steps, or a word.

    `of` is the description in config/http.yaml where the kind is `http`.
    """

    kind: str
    what: str
    wanted: tuple[Any, ...]
    of: str | None = None


def job(kind: str, status: Status, of: str | None = None) -> Row:
    return Row(kind, "job", (status,), of)


def jobs(kind: str, *statuses: Status, of: str | None = None) -> Row:
    return Row(kind, "jobs", statuses, of)


TABLE = {
    "azure_checkpoints.json": Row("azure", "checkpoints", (10, 20, 30)),
    "azure_events.json": Row("azure", "events", (S.QUEUED, S.RUNNING)),
    "azure_job_paused.json": job("azure", S.PAUSED),
    "azure_job_pending.json": job("azure", S.QUEUED),
    "azure_job_succeeded.json": job("azure", S.SUCCEEDED),
    "azure_list.json": jobs("azure", S.SUCCEEDED),
    "bedrock_eventbridge.json": Row("bedrock", "no job", ()),
    "bedrock_job_completed.json": job("bedrock", S.SUCCEEDED),
    "bedrock_list.json": jobs("bedrock", S.VALIDATING_FILES),
    "checkpoint_full.json": Row("openai", "checkpoint", (88,)),
    "checkpoints_list.json": Row("openai", "checkpoints", (1000, 2000)),
    "cohere_events.json": Row("http", "events", (S.QUEUED, S.RUNNING, S.RUNNING, S.SUCCEEDED), "cohere"),
    "cohere_list.json": jobs("http", S.SUCCEEDED, S.SUCCEEDED, of="cohere"),
    "cohere_step_metrics.json": Row("http", "figures", (0, 9), "cohere"),
    "error_401.json": Row("openai", "refusal", (401, "denied")),
    "error_404_job.json": Row("openai", "refusal", (404, "gone")),
    "error_429_daily_limit.json": Row("openai", "refusal", (429, "throttled")),
    "event_created.json": Row("openai", "event", (S.VALIDATING_FILES,)),
    "event_error.json": Row("openai", "event", ()),
    "event_metrics_reinforcement.json": Row("openai", "event", ()),
    "event_metrics_supervised.json": Row("openai", "event", ()),
    "events_lifecycle_supervised.json": Row(
        "openai", "events", (S.VALIDATING_FILES, S.VALIDATING_FILES, S.QUEUED, S.RUNNING)
    ),
    "events_list.json": Row("openai", "events", ()),
    "fireworks_job_failed.json": job("fireworks", S.FAILED),
    "fireworks_job_running.json": job("fireworks", S.RUNNING),
    "fireworks_list.json": jobs("fireworks", S.RUNNING),
    "huggingface_job_running.json": job("huggingface", S.RUNNING),
    "job_cancelled.json": job("openai", S.CANCELLED),
    "job_failed.json": job("openai", S.FAILED),
    "job_paused.json": job("openai", S.PAUSED),
    "job_queued.json": job("openai", S.QUEUED),
    "job_queued_dpo.json": job("openai", S.QUEUED),
    "job_queued_minimal.json": job("openai", S.QUEUED),
    "job_queued_validation_file.json": job("openai", S.QUEUED),
    "job_queued_wandb.json": job("openai", S.QUEUED),
    "job_resumed.json": job("openai", S.QUEUED),
    "job_retrieved_succeeded.json": job("openai", S.SUCCEEDED),
    "job_running.json": job("openai", S.RUNNING),
    "job_succeeded.json": job("openai", S.SUCCEEDED),
    "job_succeeded_model_pending.json": job("openai", S.SUCCEEDED),
    "job_succeeded_observed.json": job("openai", S.SUCCEEDED),
    "job_validating_files.json": job("openai", S.VALIDATING_FILES),
    "job_validating_reinforcement.json": job("openai", S.VALIDATING_FILES),
    "kubeflow_trainjob_status.json": job("kubeflow", S.SUCCEEDED),
    "list.json": jobs("openai", S.QUEUED),
    "llamafactory_trainer_log_line.json": Row("file", "line", (S.RUNNING,)),
    "localai_job.json": job("http", S.RUNNING, "localai"),
    "mistral_job_detailed.json": Row("http", "told", (S.SUCCEEDED, S.RUNNING, S.SUCCEEDED, 10), "mistral"),
    "mistral_job_validated.json": job("http", S.PAUSED, "mistral"),
    "mistral_list.json": jobs("http", S.PAUSED, of="mistral"),
    "nebius_job_running.json": job("nebius", S.RUNNING),
    "nemo_job_running.json": job("nemo", S.RUNNING),
    "opea_job.json": job("openai", S.RUNNING),
    "together_events.json": Row("together", "events", (S.QUEUED, S.RUNNING)),
    "together_job_cancel_requested.json": job("together", S.CANCELLING),
    "together_job_completed.json": job("together", S.SUCCEEDED),
    "together_job_running.json": job("together", S.RUNNING),
    "together_job_user_error.json": job("together", S.FAILED),
    "together_list.json": jobs("together", S.RUNNING, S.SUCCEEDED),
    "tt_inference_server_list.json": jobs("openai", S.RUNNING),
    "unsloth_studio_runs.json": jobs("http", S.RUNNING, of="unsloth"),
    "vertex_job_failed.json": job("vertex", S.FAILED),
    "vertex_job_running.json": job("vertex", S.QUEUED),  # it waits for capacity
    "vertex_job_succeeded.json": job("vertex", S.SUCCEEDED),
    "vertex_list.json": jobs("vertex", S.QUEUED),
    "webhook_cancelled.json": Row("openai", "no job", ()),
    "webhook_failed.json": Row("openai", "no job", ()),
    "webhook_succeeded.json": Row("openai", "no job", ()),
}


def test_every_file_has_its_row_and_every_row_its_file() -> None:
    assert sorted(EXAMPLES) == sorted(TABLE)


@pytest.fixture
def reader(name: str, make: Any, tmp_path: Path) -> Any:
    """The provider that a file is for; where its kind is not installed, the file is left out loudly."""
    row = TABLE[name]
    if row.kind not in kinds("provider"):
        pytest.skip(f"LEFT OUT: the examples of {row.kind}, which is not installed")
    if row.kind == "file":
        return make("file", paths=(str(tmp_path / "runs" / "*"),))
    if row.of is None:
        return make(row.kind)
    said = SHIPPED[row.of].options
    if row.what == "figures":
        places = LineFields(
            at=Paths.of("created_at"),
            step=Paths.of("step_number", "metrics.step"),
            train_loss=Paths.of("metrics.cross_entropy"),
        )
        said = replace(said, log=Log(path="/{id}/metrics", entries="step_metrics", fields=places))
    return make("http", **vars(said))


@pytest.mark.parametrize("name", [name for name in TABLE if name in EXAMPLES])
async def test_an_example_is_what_its_row_says(name: str, reader: Any, tmp_path: Path) -> None:
    row, raw = TABLE[name], EXAMPLES[name].read_bytes()
    match row.what:
        case "job":
            told: Iterable[Any] = [read(reader, raw).status]
        case "jobs":
            told = [read(reader, entry).status for entry in reader.split(raw).entries]
        case "no job":
            with pytest.raises(Unreadable):
                reader.read(raw)
            told = []
        case "refusal":
            status = row.wanted[0]
            told = [status, await refused(reader, status, raw)]
        case "line":
            line = tmp_path / "runs" / "sft" / "trainer_log.jsonl"
            line.parent.mkdir(parents=True)
            line.write_text(json.dumps(json.loads(raw)) + "\n")
            (entry,) = reader.split(await reader.page(None)).entries
            told = [read(reader, entry).status]
        case "told":
            page = reader.inline(raw)
            told = [read(reader, raw).status, *states(page), *(one.step for one in page.checkpoints)]
        case "event" | "checkpoint":
            listing = json.dumps({"object": "list", "data": [json.loads(raw)], "has_more": False}).encode()
            page = reader.read_log(f"{row.what}s", listing)
            told = states(page) if row.what == "event" else [one.step for one in page.checkpoints]
        case "events" | "figures":
            page = reader.read_log("log" if row.kind == "http" else "events", raw)
            told = states(page) if row.what == "events" else [one.step for one in page.lines if one.metrics]
        case "checkpoints":
            page = reader.read_log("checkpoints", raw)
            told = sorted(one.step for one in page.checkpoints)
    assert tuple(told) == row.wanted


def read(reader: Any, raw: bytes) -> Snapshot:
    """A job, with what stands in it under OpenAI's names checked against it."""
    found: Snapshot = reader.read(raw)
    assert reader.identify(raw) == found.id
    document = json.loads(raw)
    if document.get("object") == "fine_tuning.job":
        assert found.id == document["id"]
        for name in ("model", "training_file", "created_at", "seed", "hyperparameters"):
            assert getattr(found, name) == document.get(name), name
    return found


def states(page: LogPage) -> list[Status]:
    """The states that lines prove, in the order in which they happened."""
    found = [line.status for line in page.lines if line.status is not None]
    return found[::-1] if page.newest_first else found


async def refused(reader: Any, status: int, body: bytes) -> str:
    """What a refusal of a job's document comes to."""

    class Refusing:
        async def request(self, *_: object, **__: object) -> Response:
            return Response(status, {}, body)

    reader.api._client = Refusing()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(reader.key_variable, "sk-not-a-key-at-all")
        with pytest.raises((NotFound, ProviderError)) as caught:
            await reader.retrieve("ftjob-1")
    if isinstance(caught.value, NotFound):
        return "gone"
    assert isinstance(caught.value, ProviderError)
    return "denied" if caught.value.denied else "throttled" if caught.value.throttled else "trouble"


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_a_document_of_somebody_elses_does_no_harm(name: str, make: Any) -> None:
    """Whoever is pointed at the wrong service reads nothing, or a job, and never breaks."""
    raw = EXAMPLES[name].read_bytes()
    for kind in kinds("provider"):
        provider = make(kind)
        for question in (provider.read, provider.identify, provider.split):
            with suppress(Unreadable, ProviderError):
                question(raw)


def test_every_status_and_property_of_the_specification_is_known(make: Any) -> None:
    found = list(FOLDER.glob("openai-fine-tuning*.yaml"))
    assert found
    schemas = yaml.safe_load(found[0].read_text())["components"]["schemas"]
    properties = schemas["FineTuningJob"]["properties"]
    assert len(properties) == 19
    assert set(properties) <= set(Snapshot.__struct_fields__)
    for word in properties["status"]["enum"]:
        document = json.dumps({"id": "ftjob-1", "status": word}).encode()
        assert make("openai").read(document).status is Status(word)
