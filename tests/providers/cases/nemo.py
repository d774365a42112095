"""What `nemo` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {"base_url": "http://nemo.example.com"}

# Every word of its table, and ours.
STATUSES = {
    "created": Status.QUEUED,
    "pending": Status.QUEUED,
    "resuming": Status.QUEUED,
    "running": Status.RUNNING,
    "active": Status.RUNNING,
    "pausing": Status.PAUSING,
    "paused": Status.PAUSED,
    "cancelling": Status.CANCELLING,
    "completed": Status.SUCCEEDED,
    "ready": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "unknown": Status.UNKNOWN,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "id": f"cust-{number}",
        "created_at": "2026-09-21T14:13:20.000812",
        "updated_at": "2026-09-21T14:13:20.000945",
        "namespace": "default",
        "project": "default/search",
        "config": "meta/llama-3.2-1b-instruct@v1.0.0+L40",
        "dataset": "default/tickets",
        "hyperparameters": {
            "finetuning_type": "lora",
            "training_type": "sft",
            "epochs": 4,
            "batch_size": 8,
            "seed": 7,
            "lora": {"adapter_dim": 16},
        },
        "output_model": f"default/helpdesk@cust-{number}",
        "status": word,
        "status_details": {
            "created_at": "2026-09-21T14:13:20.000101",
            "updated_at": "2026-09-21T14:43:20.000000",
            "status": word,
            "steps_completed": 150,
            "steps_per_epoch": 75,
            "epochs_completed": 2,
            "percentage_done": 50.0,
            "status_logs": [
                {"updated_at": "2026-09-21T14:13:20", "message": "created"},
                {"updated_at": "2026-09-21T14:15:20", "message": "TrainingJobRunning"},
            ],
            "metrics": {
                "keys": ["train_loss"],
                "metrics": {"train_loss": [{"step": 10, "value": 2.1, "timestamp": "2026-09-21T14:16:00.5"}]},
            },
        },
        "custom_fields": {"team": "search"},
        "ownership": {"created_by": "ada", "access_policies": {}},
        "integrations": [{"type": "wandb", "wandb": {"project": "helpdesk"}}],
        "warnings": [],
    }


def details(word: str, **more: Any) -> dict[str, Any]:
    """A job in this state, of whose status the service tells this."""
    found = document(word)
    return {**found, "status_details": {**found["status_details"], **more}}


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {
        "object": "list",
        "data": jobs,
        "pagination": {
            "page": 1,
            "page_size": 100,
            "current_page_size": len(jobs),
            "total_pages": 1,
            "total_results": len(jobs),
        },
        "sort": "-created_at",
    }


PENDING = {"updated_at": "2026-09-21T14:14:00", "message": "TrainingJobPending", "detail": "It is pending"}
KILLED = {"updated_at": "2026-09-21T14:20:00", "message": "TrainingJobFailed", "detail": "CUDA out of memory"}

# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T07 a healthy job has details too": (details("running", status_logs=[PENDING]), {"error": None}),
    "T09 the name of the model is known before there is one": (
        document("running"),
        {"fine_tuned_model": None, "finished_at": None, "name": "helpdesk"},
    ),
    "T09 nor does a job that failed have one": (document("failed"), {"fine_tuned_model": None}),
    "T10 succeeded without a model": (
        {**document("completed"), "output_model": None},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None, "name": None},
    ),
    "T14 what does not concern a job is null": (
        {**document("created"), "status_details": None, "custom_fields": None, "ownership": None},
        {"status": Status.QUEUED, "progress": None, "metadata": {}, "owner": None},
    ),
    "T23 the end and the start are known to a single look": (
        document("completed"),
        {"started_at": 1_790_000_120, "finished_at": 1_790_001_800},
    ),
    "T26 no end while paused": (document("paused"), {"finished_at": None}),
    "T35 the reason stands in the history": (
        details("failed", status_logs=[KILLED, PENDING]),
        {"error.code": "TrainingJobFailed", "error.message": "CUDA out of memory"},
    ),
    "T36 a job that failed without a word": (details("failed", status_logs=None), {"error": None}),
    "T37 the end comes before 100 per cent": (
        details("completed", percentage_done=50.0),
        {"status": Status.SUCCEEDED, "progress.percent": 50.0, "progress.total_steps": 300},
    ),
    "T38 times without a zone are UTC": (document("running"), {"created_at": 1_790_000_000}),
}
