"""What `together` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {}

STATUSES = {
    "pending": Status.QUEUED,
    "queued": Status.QUEUED,
    "running": Status.RUNNING,
    "compressing": Status.RUNNING,
    "uploading": Status.RUNNING,
    "cancel_requested": Status.CANCELLING,
    "cancelled": Status.CANCELLED,
    "completed": Status.SUCCEEDED,
    "error": Status.FAILED,
    "user_error": Status.FAILED,
}

BEGAN = "2026-10-05T09:05:10.000Z"
BEGAN_AT = 1_791_191_110


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "id": f"ft-00{number}-7f3c",
        "object": "fine-tune",
        "user_id": "user_1",
        "status": word,
        "created_at": "2026-10-05T09:00:00.000Z",
        "updated_at": "2026-10-05T09:40:00.000Z",
        "started_at": BEGAN,
        "model": "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference",
        "model_output_name": "acme/Meta-Llama-3.1-8B-bot-1a2b3c4d",
        "suffix": "bot",
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-05,
        "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"num_cycles": 0.5}},
        "training_file": "file-1",
        "validation_file": "",
        "token_count": 910_000,
        "progress": {"estimate_available": True, "seconds_remaining": 540},
        "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16},
        "training_method": {"method": "sft", "train_on_inputs": "auto"},
        "steps_completed": 18,
        "total_steps": 72,
        "epochs_completed": 0,
        "wandb_project_name": "bots",
        "events": [event("job_start", "Job started"), event("job_error", "CUDA ran out of memory", "error")],
    }


def event(type: str, message: str, level: str | None = "info") -> dict[str, Any]:
    """A line of a job's log."""
    about = {"object": "fine-tune-event", "created_at": BEGAN, "level": level}
    return {**about, "message": message, "type": type}


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"data": jobs}


# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T01 a job waits at first": ({**document("pending"), "events": []}, {"status": Status.QUEUED}),
    "T07 an event of an error on a healthy job": (document("running"), {"error": None}),
    "T08 settings are null": (
        {**document("error"), **dict.fromkeys(("n_epochs", "batch_size", "learning_rate", "training_type"))},
        {"hyperparameters": {"lr_scheduler": document("error")["lr_scheduler"]}},
    ),
    "T09 the model is named before there is one": (
        document("uploading"),
        {"fine_tuned_model": None, "finished_at": None, "phase": "uploading"},
    ),
    "T10 completed without a model": (
        {**document("completed"), "model_output_name": None},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None},
    ),
    "T13 a word that the vendor's own client does not know": (
        {**document("user_error"), "training_type": {"type": ""}, "training_method": None},
        {"status": Status.FAILED, "error.code": "user_error", "method": None},
    ),
    "T14 what should be lists are null": (
        {**document("queued"), "events": None, "lr_scheduler": None},
        {"status": Status.QUEUED, "error": None},
    ),
    "T15 cancelling is no end": (
        document("cancel_requested"),
        {"status": Status.CANCELLING, "finished_at": None, "error": None},
    ),
    "T19 cancelled because the money ran out": (
        {**document("cancelled"), "events": [event("billing_limit", "Balance is too low", None)]},
        {"status": Status.CANCELLED, "error.code": "billing_limit", "error.message": "Balance is too low"},
    ),
    "T19 cancelled because a key was wrong": (
        {**document("cancelled"), "events": [event("warning", "The W&B key is not valid", "legacy_ierror")]},
        {"error.code": "warning", "error.message": "The W&B key is not valid"},
    ),
    "T19 cancelled by its owner": (
        {**document("cancelled"), "events": [event("cancel_requested", "Cancel requested")]},
        {"status": Status.CANCELLED, "error": None},
    ),
    "T25 the estimate is of a stage, from where it began": (
        document("running"),
        {"estimated_finish": BEGAN_AT + 540, "started_at": BEGAN_AT},
    ),
    "T25 no estimate": (
        {**document("running"), "progress": {"estimate_available": False, "seconds_remaining": 0}},
        {"estimated_finish": None},
    ),
    "T25 an estimate of when it will start": (document("queued"), {"estimated_finish": None}),
    "T26 a stage that is not the run has begun": (
        {**document("uploading"), "started_at": "2026-10-05T09:30:00Z"},
        {"started_at": BEGAN_AT, "estimated_finish": 1_791_192_600 + 540},
    ),
    "T26 nothing tells when the run began": (
        {**document("uploading"), "events": []},
        {"started_at": None, "status": Status.RUNNING},
    ),
    "T27 the batch size is a word at first": (
        {**document("pending"), "batch_size": "max"},
        {"hyperparameters.batch_size": "max"},
    ),
    "T35 the reason stands in the events": (
        document("error"),
        {"error.code": "error", "error.message": "CUDA ran out of memory"},
    ),
    "T35 no event tells the reason": (
        {**document("error"), "events": []},
        {"error.code": "error", "error.message": None},
    ),
    "T36 the price is no error": ({**document("completed"), "total_price": 4_000_000_000}, {"error": None}),
    "T37 a percent of all steps": (document("running"), {"progress.percent": 25.0, "progress.step": 18}),
    "T38 times with and without a zone, and numbers": (
        {**document("completed"), "created_at": "2026-10-05T09:05:10", "updated_at": BEGAN_AT},
        {"created_at": BEGAN_AT, "finished_at": BEGAN_AT},
    ),
}
