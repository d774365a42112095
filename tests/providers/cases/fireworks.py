"""What `fireworks` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {"account": "acme"}

# A listing without a job may say nothing at all.
EMPTY_IS_A_LISTING = True

STATUSES = {
    "JOB_STATE_CREATING": Status.QUEUED,
    "JOB_STATE_PENDING": Status.QUEUED,
    "JOB_STATE_RE_QUEUEING": Status.QUEUED,
    "JOB_STATE_VALIDATING": Status.VALIDATING_FILES,
    "JOB_STATE_CREATING_INPUT_DATASET": Status.VALIDATING_FILES,
    "JOB_STATE_RUNNING": Status.RUNNING,
    "JOB_STATE_WRITING_RESULTS": Status.RUNNING,
    "JOB_STATE_IDLE": Status.RUNNING,
    "JOB_STATE_PAUSED": Status.PAUSED,
    "JOB_STATE_CANCELLING": Status.CANCELLING,
    "JOB_STATE_DELETING": Status.CANCELLING,
    "JOB_STATE_DELETING_CLEANING_UP": Status.CANCELLING,
    "JOB_STATE_COMPLETED": Status.SUCCEEDED,
    "JOB_STATE_EARLY_STOPPED": Status.SUCCEEDED,
    "JOB_STATE_FAILED": Status.FAILED,
    "JOB_STATE_EXPIRED": Status.FAILED,
    "JOB_STATE_CANCELLED": Status.CANCELLED,
    "JOB_STATE_UNSPECIFIED": Status.UNKNOWN,
    # As the API had it before.
    "COMPLETED": Status.SUCCEEDED,
    "RUNNING": Status.RUNNING,
}

MODEL = "accounts/acme/models/bot"
TRAINING = {
    "baseModel": "accounts/fireworks/models/llama-v3p1-8b-instruct",
    "outputModel": MODEL,
    "epochs": 2,
}


def document(word: str, number: int = 1, kind: str = "supervisedFineTuningJobs") -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "name": f"accounts/acme/{kind}/bot-{number}",
        "displayName": "bot",
        "createTime": "2026-10-05T09:00:00Z",
        "updateTime": "2026-10-05T09:12:00Z",
        "completedTime": "2026-10-05T09:14:00Z",
        "dataset": "accounts/acme/datasets/chats",
        "state": word,
        "status": {"code": "OK", "message": ""},
        "createdBy": "ml@example.com",
        "jobProgress": {"percent": 35, "epoch": 1, "inputTokens": 96_000},
        "wandbConfig": {"enabled": True, "apiKey": "wandb-secret", "project": "bots", "runId": "r1"},
        **(TRAINING if kind == "supervisedFineTuningJobs" else {"trainingConfig": TRAINING}),
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"supervisedFineTuningJobs": jobs, "nextPageToken": "", "totalSize": len(jobs)}


RUNNING, FAILED = document("JOB_STATE_RUNNING"), document("JOB_STATE_FAILED")
REFUSED = {"code": "INVALID_ARGUMENT", "message": "line 7 of the dataset ends with the user"}

# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T01 a job is validated at first": (
        document("JOB_STATE_CREATING_INPUT_DATASET"),
        {"status": Status.VALIDATING_FILES, "phase": "creating_input_dataset"},
    ),
    "T07 a status that is OK is no error": (RUNNING, {"error": None}),
    "T07 a status of nulls": ({**FAILED, "status": {"code": None, "message": None}}, {"error": None}),
    "T08 settings are null": (
        {**FAILED, "epochs": None, "learningRate": None, "status": None},
        {"hyperparameters": None, "error": None},
    ),
    "T09 the model is named before there is one": (
        document("JOB_STATE_WRITING_RESULTS"),
        {"fine_tuned_model": None, "finished_at": None, "phase": "writing_results"},
    ),
    "T10 completed without a model": (
        {**document("JOB_STATE_COMPLETED"), "outputModel": ""},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None},
    ),
    "T14 parts are null": (
        {**RUNNING, "jobProgress": None, "wandbConfig": None, "trainingConfig": None},
        {"progress": None, "integrations": (), "status": Status.RUNNING},
    ),
    "T15 back in the queue": (
        document("JOB_STATE_RE_QUEUEING"),
        {"status": Status.QUEUED, "phase": "re_queueing"},
    ),
    "T16 paused, and why": (
        {**document("JOB_STATE_PAUSED"), "status": {"code": "ABORTED", "message": "account suspended"}},
        {"status": Status.PAUSED, "error.message": "account suspended"},
    ),
    "T26 a time of completion before the end": (RUNNING, {"finished_at": None}),
    "T29 being removed is no end": (
        document("JOB_STATE_DELETING"),
        {"status": Status.CANCELLING, "finished_at": None},
    ),
    "T34 no key of another service is kept": (
        RUNNING,
        {"integrations": ({"type": "wandb", "wandb": {"project": "bots", "run_id": "r1"}},)},
    ),
    "T35 the provider's own words are kept": (
        {**FAILED, "status": REFUSED},
        {"error.code": "INVALID_ARGUMENT", "error.message": REFUSED["message"]},
    ),
    "T37 the percent of an epoch": (RUNNING, {"progress.percent": 67.5, "progress.epoch": 1.35}),
    "T37 the percent of an epoch of none knows how many": (
        {**RUNNING, "epochs": None},
        {"progress.percent": None, "progress.epoch": 1.35},
    ),
    "T37 more epochs than there are": (
        {**RUNNING, "jobProgress": {"percent": 50, "epoch": 2}},
        {"progress.percent": 100.0},
    ),
    "T38 nanoseconds, and numbers as text": (
        {**RUNNING, "createTime": "2026-10-05T09:00:00.123456789Z", "jobProgress": {"inputTokens": "120"}},
        {"created_at": 1_791_190_800, "trained_tokens": 120},
    ),
}
