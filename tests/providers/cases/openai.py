"""What `openai` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {}

# Every word of its table, and ours.
STATUSES = {
    "validating_files": Status.VALIDATING_FILES,
    "validating": Status.VALIDATING_FILES,
    "queued": Status.QUEUED,
    "pending": Status.QUEUED,
    "created": Status.QUEUED,
    "resuming": Status.QUEUED,
    "running": Status.RUNNING,
    "in_progress": Status.RUNNING,
    "pausing": Status.PAUSING,
    "paused": Status.PAUSED,
    "cancelling": Status.CANCELLING,
    "canceling": Status.CANCELLING,
    "cancel_requested": Status.CANCELLING,
    "succeeded": Status.SUCCEEDED,
    "completed": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "canceled": Status.CANCELLED,
    "stopped": Status.CANCELLED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "id": f"ftjob-{number}",
        "object": "fine_tuning.job",
        "status": word,
        "created_at": 1_790_000_000,
        "model": "gpt-4.1-mini-2025-04-14",
        "error": {},
        "hyperparameters": {"n_epochs": "auto"},
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"object": "list", "data": jobs, "has_more": False}


# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T07 error is {} on a healthy job": ({**document("running"), "error": {}}, {"error": None}),
    "T07 error is three nulls": (
        {**document("succeeded"), "error": {"code": None, "message": None, "param": None}},
        {"error": None},
    ),
    "T08 hyperparameters are null": (
        {**document("failed"), "hyperparameters": None},
        {"hyperparameters": None},
    ),
    "T09 nothing is known before the end": (
        {**document("running"), "trained_tokens": None, "fine_tuned_model": None, "finished_at": None},
        {"trained_tokens": None, "fine_tuned_model": None, "finished_at": None},
    ),
    "T10 succeeded without a model": (
        {**document("succeeded"), "fine_tuned_model": None},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None},
    ),
    "T14 organization and files are null": (
        {**document("pending"), "organization_id": None, "result_files": None},
        {"organization_id": None, "result_files": ()},
    ),
    "T25 estimated_finish is 0": ({**document("running"), "estimated_finish": 0}, {"estimated_finish": None}),
    "T26 finished_at while paused": (
        {**document("paused"), "finished_at": 1_790_000_500},
        {"status": Status.PAUSED, "finished_at": None},
    ),
    "T27 n_epochs is -1": (
        {**document("running"), "hyperparameters": {"n_epochs": -1}},
        {"hyperparameters": {"n_epochs": -1}},
    ),
    "T35 the provider's own words are kept": (
        {**document("failed"), "error": {"code": "x", "message": "Line 17 is no JSON."}},
        {"error.message": "Line 17 is no JSON."},
    ),
    "T38 times as text": (
        {**document("running"), "created_at": "2026-09-21T14:13:20Z"},
        {"created_at": 1_790_000_000},
    ),
}
