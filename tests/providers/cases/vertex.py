"""What `vertex` is held to. A word is a job's state, and where it has one its second state."""

from typing import Any

from ftwatch.core.job import JobError, Method, Progress, Status

OPTIONS: dict[str, Any] = {"project": "acme-research", "location": "us-central1"}
# A listing without a job is `{}`.
EMPTY_IS_A_LISTING = True

STATUSES = {
    "JOB_STATE_QUEUED": Status.QUEUED,
    "JOB_STATE_PENDING": Status.QUEUED,
    "JOB_STATE_RUNNING": Status.RUNNING,
    "JOB_STATE_RUNNING TUNING_JOB_STATE_UNSPECIFIED": Status.RUNNING,
    "JOB_STATE_RUNNING TUNING_JOB_STATE_WAITING_FOR_QUOTA": Status.QUEUED,
    "JOB_STATE_RUNNING TUNING_JOB_STATE_WAITING_FOR_CAPACITY": Status.QUEUED,
    "JOB_STATE_RUNNING TUNING_JOB_STATE_PROCESSING_DATASET": Status.VALIDATING_FILES,
    "JOB_STATE_RUNNING TUNING_JOB_STATE_TUNING": Status.RUNNING,
    "JOB_STATE_RUNNING TUNING_JOB_STATE_POST_PROCESSING": Status.RUNNING,
    "JOB_STATE_UPDATING": Status.RUNNING,
    "JOB_STATE_PAUSED": Status.PAUSED,
    "JOB_STATE_CANCELLING": Status.CANCELLING,
    "JOB_STATE_SUCCEEDED": Status.SUCCEEDED,
    "JOB_STATE_PARTIALLY_SUCCEEDED": Status.SUCCEEDED,
    "JOB_STATE_FAILED": Status.FAILED,
    "JOB_STATE_EXPIRED": Status.FAILED,
    "JOB_STATE_CANCELLED": Status.CANCELLED,
    # A second state counts only in the first one that it belongs to.
    "JOB_STATE_FAILED TUNING_JOB_STATE_WAITING_FOR_CAPACITY": Status.FAILED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    state, _, phase = word.partition(" ")
    return {
        "name": f"projects/123456789012/locations/us-central1/tuningJobs/{number}",
        "baseModel": "gemini-2.5-flash",
        "state": state,
        **({"tuningJobState": phase} if phase else {}),
        "createTime": "2026-09-21T14:13:20.123456Z",
        "startTime": "2026-09-21T14:14:20.500Z",
        "endTime": "2026-09-21T15:13:20Z",
        "tunedModelDisplayName": "support-bot",
        "labels": {"team": "search"},
        "supervisedTuningSpec": {
            "trainingDatasetUri": "gs://acme/train.jsonl",
            "hyperParameters": {"epochCount": "4", "adapterSize": "ADAPTER_SIZE_ONE"},
        },
        "tuningJobMetadata": {"completedEpochCount": "1"},
        "tuningDataStats": {"supervisedTuningDataStats": {"totalBillableTokenCount": "50000"}},
        "tunedModel": {
            "model": "projects/123456789012/locations/us-central1/models/9@1",
            "endpoint": "projects/123456789012/locations/us-central1/endpoints/6",
            "checkpoints": [{"checkpointId": "1", "epoch": "1", "step": "40", "endpoint": "endpoints/7"}],
        },
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"tuningJobs": jobs}


RUNNING, FAILED, SUCCEEDED = "JOB_STATE_RUNNING", "JOB_STATE_FAILED", "JOB_STATE_SUCCEEDED"
CAPACITY = " TUNING_JOB_STATE_WAITING_FOR_CAPACITY"

# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T02 RUNNING is not running while it waits for hardware": (
        document(RUNNING + CAPACITY),
        {
            "status": Status.QUEUED,
            "phase": "waiting_for_capacity",
            "raw_status": "JOB_STATE_RUNNING",
            "started_at": None,
        },
    ),
    "T07 error is {} on a healthy job": ({**document(RUNNING), "error": {}}, {"error": None}),
    "T07 an error on a job that succeeded is none": (
        {**document(SUCCEEDED), "error": {"code": 0, "message": "OK"}},
        {"error": None},
    ),
    "T08 a specification without hyperparameters": (
        {**document(FAILED), "supervisedTuningSpec": {"hyperParameters": None}},
        {"hyperparameters": None, "method": Method(type="supervised", supervised={"hyperParameters": None})},
    ),
    "T09 nothing counts before the end": (
        document(RUNNING + " TUNING_JOB_STATE_TUNING"),
        {"trained_tokens": None, "fine_tuned_model": None, "finished_at": None, "phase": "tuning"},
    ),
    "T10 succeeded without a model": (
        {**document(SUCCEEDED), "tunedModel": None},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None, "metadata": {"team": "search"}},
    ),
    "T16 a job that succeeded in part has ended": (
        document("JOB_STATE_PARTIALLY_SUCCEEDED"),
        {"status": Status.SUCCEEDED, "raw_status": "JOB_STATE_PARTIALLY_SUCCEEDED"},
    ),
    "T26 endTime while paused": (document("JOB_STATE_PAUSED"), {"finished_at": None}),
    "T35 the service's own words are kept": (
        {**document(FAILED), "error": {"code": 3, "message": "Dataset validation failed.", "details": []}},
        {"error": JobError(code="3", message="Dataset validation failed.")},
    ),
    "T36 why it was cancelled is told": (
        {**document("JOB_STATE_CANCELLED"), "error": {"code": 1, "message": "Cancelled by the service."}},
        {"error.message": "Cancelled by the service."},
    ),
    "T37 epochs become a percentage": (
        document(RUNNING),
        {"progress": Progress(epoch=1.0, percent=25.0)},
    ),
    "T38 numbers as strings, times with fractions": (
        document(SUCCEEDED),
        {
            "created_at": 1_790_000_000,
            "started_at": 1_790_000_060,
            "finished_at": 1_790_003_600,
            "trained_tokens": 50_000,
            "hyperparameters": {"n_epochs": 4, "adapterSize": "ADAPTER_SIZE_ONE"},
        },
    ),
    "a job that ended in a wait never ran": (
        document(FAILED + CAPACITY),
        {"started_at": None, "phase": None},
    ),
}
