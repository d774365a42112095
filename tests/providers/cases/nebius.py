"""What `nebius` is held to."""

from typing import Any

from ftwatch.core.job import Progress, Status

OPTIONS: dict[str, Any] = {}

# Every word of its table.
STATUSES = {
    "validating_files": Status.VALIDATING_FILES,
    "queued": Status.QUEUED,
    "running": Status.RUNNING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "cancelled": Status.CANCELLED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "id": f"ftjob-{number}",
        "object": "fine_tuning.job",
        "status": word,
        "created_at": 1_790_000_000,
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "training_file": "file-train",
        "validation_file": None,
        "error": None,
        "finished_at": None,
        "hyperparameters": {"batch_size": 8, "learning_rate": 1e-05, "n_epochs": 3, "lora": True},
        "integrations": [],
        "organization_id": "",
        "result_files": [],
        "seed": 42,
        "suffix": "demo",
        "trained_tokens": None,
        "trained_steps": 120,
        "total_steps": 600,
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"object": "list", "data": jobs, "has_more": False}


# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T01 files are validated first": (document("validating_files"), {"status": Status.VALIDATING_FILES}),
    "T07 error is {} on a healthy job": ({**document("running"), "error": {}}, {"error": None}),
    "T08 hyperparameters are null": (
        {**document("failed"), "hyperparameters": None},
        {"hyperparameters": None},
    ),
    "T10 succeeded without a model": (
        document("succeeded"),
        {"status": Status.SUCCEEDED, "fine_tuned_model": None},
    ),
    "T14 organization is empty": (document("running"), {"organization_id": None}),
    "T25 estimated_finish is null": (
        {**document("running"), "estimated_finish": None},
        {"estimated_finish": None},
    ),
    "T34 the answer repeats a key of another service": (
        {
            **document("running"),
            "integrations": [{"type": "wandb", "wandb": {"api_key": "local-0123", "project": "p"}}],
        },
        {"integrations": ({"type": "wandb", "wandb": {"api_key": "••••", "project": "p"}},)},
    ),
    "T35 the provider's own words are kept": (
        {**document("failed"), "error": {"code": "x", "message": "Line 17 is no JSON."}},
        {"error.message": "Line 17 is no JSON."},
    ),
    "T37 steps tell how far it is": (
        document("running"),
        {"progress": Progress(step=120, total_steps=600, percent=20.0), "name": "demo"},
    ),
    "T38 times as text": (
        {**document("running"), "created_at": "1790000000"},
        {"created_at": 1_790_000_000},
    ),
}
