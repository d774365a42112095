"""What `azure` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {"base_url": "https://ml-team.openai.azure.com"}

# Every word of its table.
STATUSES = {
    "pending": Status.QUEUED,
    "created": Status.QUEUED,
    "queued": Status.QUEUED,
    "resuming": Status.QUEUED,
    "notRunning": Status.QUEUED,
    "validating_files": Status.VALIDATING_FILES,
    "running": Status.RUNNING,
    "pausing": Status.PAUSING,
    "paused": Status.PAUSED,
    "canceling": Status.CANCELLING,
    "cancelling": Status.CANCELLING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELLED,
    "cancelled": Status.CANCELLED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "id": f"ftjob-{number:032x}",
        "object": "fine_tuning.job",
        "status": word,
        "created_at": 1_790_000_000,
        "model": "gpt-4.1-mini-2025-04-14",
        "training_file": "file-0123456789abcdef0123456789abcdef",
        "hyperparameters": {"n_epochs": -1},
        "method": {"type": "supervised"},
        "suffix": "bot",
        "organization_id": None,
        "result_files": None,
        "error": None,
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"has_more": False, "data": jobs, "object": "list"}


# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T01 files are validated first": (document("validating_files"), {"status": Status.VALIDATING_FILES}),
    "T07 error is {} on a healthy job": ({**document("running"), "error": {}}, {"error": None}),
    "T08 hyperparameters are null": (
        {**document("failed"), "hyperparameters": None},
        {"hyperparameters": None},
    ),
    "T09 nothing is known before the end": (
        {**document("running"), "trained_tokens": None, "fine_tuned_model": None, "finished_at": None},
        {"trained_tokens": None, "fine_tuned_model": None, "finished_at": None},
    ),
    "T10 succeeded without a model": (document("succeeded"), {"fine_tuned_model": None}),
    "T14 pending, organization and files are null": (
        document("pending"),
        {"status": Status.QUEUED, "organization_id": None, "result_files": ()},
    ),
    "T14 the organization in British spelling": (
        {**document("queued"), "organisation_id": "org-1"},
        {"organization_id": "org-1"},
    ),
    "T15 a paused job waits to go on": (document("resuming"), {"status": Status.QUEUED}),
    "T25 estimated_finish is 0": ({**document("running"), "estimated_finish": 0}, {"estimated_finish": None}),
    "T26 finished_at while paused": (
        {**document("paused"), "finished_at": 1_790_000_500},
        {"status": Status.PAUSED, "finished_at": None},
    ),
    "T27 n_epochs is -1": (document("running"), {"hyperparameters": {"n_epochs": -1}}),
    "T35 the provider's own words are kept": (
        {**document("failed"), "error": {"code": "jobPreflightFailed", "message": "Line 17 is no JSON."}},
        {"error.code": "jobPreflightFailed", "error.message": "Line 17 is no JSON."},
    ),
    "T36 failed for the quota": (
        {**document("failed"), "error": {"code": "quotaExceeded", "message": "No more jobs today."}},
        {"status": Status.FAILED, "error.code": "quotaExceeded"},
    ),
}
