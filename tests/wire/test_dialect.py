"""The dialects of OpenAI's wire format: each with a document and a listing of its own."""

import json
from typing import Any

import pytest

from ftwatch.core.job import JobError, Method, Progress, Snapshot, Status
from ftwatch.plugins import ProviderError, Unreadable
from ftwatch.providers.openai import DialectName
from ftwatch.wire import openai as wire
from ftwatch.wire.dialect import AZURE, DIALECTS, NEBIUS, Dialect

AT = 1_790_000_000
ISO = "2026-09-21T14:13:20"

LOCALAI: dict[str, Any] = {
    "id": "7f1c",
    "user_id": "anna",
    "model": "TinyLlama/TinyLlama-1.1B",
    "backend": "trl",
    "training_type": "lora",
    "training_method": "sft",
    "status": "training",
    "message": "step 3",
    "output_dir": "fine-tune/7f1c",
    "created_at": ISO + "Z",
    "config": {
        "dataset_source": "train.jsonl",
        "num_epochs": 3,
        "seed": 7,
        "extra_options": {"hf_token": "x"},
    },
}
OPEA: dict[str, Any] = {
    "object": "fine_tuning.job",
    "id": "ft-job-1",
    "model": "meta-llama/Llama-2-7b-chat-hf",
    "created_at": AT,
    "finished_at": None,
    "fine_tuned_model": None,
    "organization_id": None,
    "result_files": None,
    "status": "running",
    "training_file": "train.jsonl",
    "hyperparameters": {"n_epochs": 1, "batch_size": 2},
    "seed": 123,
}
TELNYX: dict[str, Any] = {
    "id": "ft-mine",
    "status": "running",
    "created_at": AT,
    "finished_at": None,
    "hyperparameters": {"n_epochs": 3},
    "model": "meta-llama/Meta-Llama-3.1-8B-Instruct",
    "organization_id": "org",
    "trained_tokens": None,
    "training_file": "bucket",
}
TT: dict[str, Any] = {
    "id": "1b2c",
    "job_type": "training",
    "status": "in_progress",
    "created_at": AT,
    "model": "gemma",
    "request_parameters": {"num_epochs": 1, "dataset_loader": "sst2", "learning_rate": 1e-4},
}
UNSLOTH: dict[str, Any] = {
    "id": "run-1",
    "status": "running",
    "model_name": "unsloth/Llama-3.2-1B",
    "dataset_name": "demo",
    "display_name": "second try",
    "started_at": ISO,
    "ended_at": None,
    "total_steps": 60,
    "final_step": 15,
    "output_dir": None,
    "error_message": None,
}
DOCUMENTS = {
    "litellm": {**OPEA, "id": "ftjob-1"},
    "localai": LOCALAI,
    "opea": OPEA,
    "telnyx": TELNYX,
    "tt-inference-server": TT,
    "unsloth": UNSLOTH,
}


def read(dialect: str, document: Any, **fields: Any) -> Snapshot:
    raw = json.dumps({**document, **fields}).encode()
    found = DIALECTS[dialect]
    job = wire.read(raw, provider="p", kind="openai", labels={}, dialect=found)
    assert wire.identify(raw, found) == job.id
    return job


WORDS: dict[str, dict[Status, str]] = {
    "litellm": {
        Status.QUEUED: "pending",
        Status.CANCELLED: "canceled",
        Status.VALIDATING_FILES: "validating_files",
    },
    "localai": {
        Status.QUEUED: "queued",
        Status.VALIDATING_FILES: "loading_dataset",
        Status.RUNNING: "loading_model training saving",
        Status.SUCCEEDED: "completed",
        Status.FAILED: "failed",
        Status.CANCELLED: "stopped",
        Status.UNKNOWN: "succeeded exporting",
    },
    "opea": {
        Status.QUEUED: "pending PENDING",
        Status.RUNNING: "running",
        Status.SUCCEEDED: "succeeded",
        Status.FAILED: "failed",
        Status.CANCELLED: "stopped cancelled",
    },
    "telnyx": {
        Status.QUEUED: "queued",
        Status.RUNNING: "running",
        Status.SUCCEEDED: "succeeded",
        Status.FAILED: "failed",
        Status.CANCELLED: "cancelled",
    },
    "tt-inference-server": {
        Status.QUEUED: "queued",
        Status.RUNNING: "in_progress",
        Status.CANCELLING: "cancelling",
        Status.SUCCEEDED: "completed",
        Status.FAILED: "failed",
        Status.CANCELLED: "cancelled",
    },
    "unsloth": {
        Status.QUEUED: "idle",
        Status.VALIDATING_FILES: "loading_dataset configuring",
        Status.RUNNING: "running loading_model training finalizing",
        Status.SUCCEEDED: "completed",
        Status.FAILED: "error",
        Status.CANCELLED: "stopped",
        Status.UNKNOWN: "defrosting",
    },
}
ROWS = [
    (dialect, status, word)
    for dialect, row in WORDS.items()
    for status, words in row.items()
    for word in words.split()
]


@pytest.mark.parametrize(("dialect", "status", "word"), ROWS)
def test_each_word_of_its_row_is_read(dialect: str, status: Status, word: str) -> None:
    job = read(dialect, DOCUMENTS[dialect], status=word)
    assert (job.status, job.raw_status) == (status, word)


def test_every_dialect_can_be_named_in_the_config_and_is_held_to_its_words() -> None:
    assert set(DialectName.__args__) == set(DIALECTS)
    assert set(WORDS) | {"openai"} == set(DIALECTS)
    for dialect in WORDS.keys() - {"litellm"}:
        tested = {word.lower() for name, _, word in ROWS if name == dialect}
        assert DIALECTS[dialect].words.keys() <= tested


def test_localai_tells_of_a_run() -> None:
    job = read("localai", LOCALAI)
    assert (job.created_at, job.owner, job.training_file, job.seed) == (AT, "anna", "train.jsonl", 7)
    assert job.method == Method(type="sft")
    assert job.hyperparameters == {"num_epochs": 3, "seed": 7}, "no token, no path"
    assert (job.error, job.fine_tuned_model) == (None, None), "a message is none, and nothing is made yet"
    failed = read("localai", LOCALAI, status="failed", message="out of memory")
    assert failed.error == JobError(message="out of memory")
    done = read("localai", LOCALAI, status="completed", export_status="exporting")
    assert (done.fine_tuned_model, done.phase) == ("fine-tune/7f1c", "exporting")
    assert read("localai", LOCALAI, status="completed", export_model_name="bot").fine_tuned_model == "bot"


def test_opea_names_no_model_and_may_take_an_end_back() -> None:
    states = [read("opea", OPEA, status=word).status for word in ("cancelled", "running", "stopped")]
    assert states == [Status.CANCELLED, Status.RUNNING, Status.CANCELLED]
    done = read("opea", OPEA, status="succeeded")
    assert (done.fine_tuned_model, done.finished_at, done.result_files) == (None, None, ())


def test_telnyx_names_a_job_as_its_model() -> None:
    assert read("telnyx", TELNYX).fine_tuned_model is None
    assert read("telnyx", TELNYX, status="succeeded").fine_tuned_model == "ft-mine"


def test_tt_inference_server_tells_of_a_job() -> None:
    job = read("tt-inference-server", TT, status="completed", completed_at=AT + 60)
    assert (job.created_at, job.finished_at) == (AT, AT + 60)
    assert job.hyperparameters == {"num_epochs": 1, "learning_rate": 1e-4}
    error = {"code": "processing_error", "message": "boom"}
    assert read("tt-inference-server", TT, status="failed", error=error).error == JobError(**error)


def test_unsloth_studio_tells_of_a_run_in_a_listing_and_by_itself() -> None:
    job = read("unsloth", UNSLOTH)
    assert (job.model, job.training_file, job.name) == ("unsloth/Llama-3.2-1B", "demo", "second try")
    assert (job.created_at, job.started_at, job.finished_at) == (AT, AT, None)
    assert job.progress == Progress(step=15, total_steps=60, percent=25.0)
    whole = {
        "run": UNSLOTH,
        "config": {"num_epochs": 2, "hf_token": "x"},
        "metrics": {"final_num_tokens": 900},
    }
    alone = read("unsloth", whole)
    assert (alone.id, alone.hyperparameters, alone.trained_tokens) == ("run-1", {"num_epochs": 2}, 900)
    ended = {**UNSLOTH, "status": "error", "error_message": "CUDA", "ended_at": "2026-09-21T14:14:20"}
    failed = read("unsloth", {"run": ended})
    assert (failed.error, failed.finished_at) == (JobError(message="CUDA"), AT + 60)
    done = read("unsloth", {**UNSLOTH, "status": "completed", "output_dir": "outputs/run-1"})
    assert done.fine_tuned_model == "outputs/run-1"


@pytest.mark.parametrize(
    ("dialect", "document", "words"),
    [
        ("localai", LOCALAI, ("failed", "stopped")),
        ("telnyx", TELNYX, ("failed", "cancelled", "paused")),
        ("unsloth", {**UNSLOTH, "output_dir": "outputs/run-1"}, ("error", "stopped")),
    ],
)
def test_where_a_model_would_lie_is_no_model_of_a_job_that_made_none(
    dialect: DialectName, document: dict[str, Any], words: tuple[str, ...]
) -> None:
    assert [read(dialect, document, status=word).fine_tuned_model for word in words] == [None] * len(words)


@pytest.mark.parametrize("dialect", DOCUMENTS)
@pytest.mark.parametrize("lacking", ["id", "status"])
def test_what_is_no_job_is_unreadable_in_every_dialect(dialect: str, lacking: str) -> None:
    with pytest.raises(Unreadable):
        read(dialect, DOCUMENTS[dialect], **{lacking: None})


@pytest.mark.parametrize("dialect", DOCUMENTS)
def test_nulls_everywhere_are_as_good_as_nothing(dialect: str) -> None:
    bare = {"id": "a", "status": DOCUMENTS[dialect]["status"]}
    nulls = {**dict.fromkeys(DOCUMENTS[dialect]), **bare}
    assert read(dialect, nulls) == read(dialect, bare)


# ------------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("dialect", "body", "following"),
    [
        (DIALECTS["litellm"], {"data": [{"id": "a"}], "has_more": True}, "a"),
        (DIALECTS["localai"], [{"id": "a"}], None),
        (DIALECTS["opea"], {"object": "list", "data": [{"id": "a"}], "has_more": True}, None),
        (DIALECTS["telnyx"], {"data": [{"id": "a"}]}, None),
        (DIALECTS["tt-inference-server"], {"jobs": [{"id": "a"}]}, None),
        (DIALECTS["tt-inference-server"], {"object": "list", "data": [{"id": "a"}], "has_more": False}, None),
        (DIALECTS["unsloth"], {"runs": [{"id": "a"}], "total": 1}, None),
        (DIALECTS["unsloth"], {"runs": [{"id": "a"}], "total": 5}, "1"),
        (DIALECTS["unsloth"], {"offset": 3, "runs": [{"id": "a"}], "total": 5}, "4"),
        (DIALECTS["unsloth"], {"offset": 4, "runs": [{"id": "a"}], "total": 5}, None),
        (AZURE, {"data": [{"id": "a"}], "has_more": True}, "a"),
        (NEBIUS, {"data": [{"id": "a"}], "has_more": False}, None),
    ],
)
def test_a_listing_and_where_it_goes_on(dialect: Dialect, body: Any, following: str | None) -> None:
    page = wire.split(json.dumps(body).encode(), dialect)
    assert [wire.identify(raw, dialect) for raw in page.entries] == ["a"]
    assert page.next == following


def test_numbers_that_lead_nowhere_end_the_listing() -> None:
    """A server that says `total: 9` and gives nothing more would be walked for ever."""
    body = wire.placed(b'{"runs": [], "total": 9}', 3)
    assert wire.split(body, DIALECTS["unsloth"]).next is None


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"<html>", b'{"detail": "no"}', b'{"runs": [{"id": "a"}']
)
def test_a_page_that_was_told_its_place_is_no_better_for_it(body: bytes) -> None:
    for found in (body, wire.placed(body, 0), wire.placed(body, 200)):
        with pytest.raises(ProviderError):
            wire.split(found, DIALECTS["unsloth"])


def test_models_may_say_when_they_end() -> None:
    body = json.dumps(
        {
            "data": [
                {"id": "gpt-4.1", "shutdown_date": "2027-01-14", "deprecation": {"inference": AT}},
                {"id": "gpt-5", "shutdown_date": None},
                {"shutdown_date": "2027-01-14"},
                7,
            ]
        }
    ).encode()
    assert wire.ends(body, "shutdown_date") == {"gpt-4.1": 1_799_884_800}
    assert wire.ends(body, "deprecation.inference") == {"gpt-4.1": AT}
    with pytest.raises(ProviderError):
        wire.ends(b"{}", "shutdown_date")
