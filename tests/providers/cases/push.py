"""What `push` is held to: the documents that the pushes of a run come to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {}
SERVED = False  # nobody is asked: runs tell of themselves
FORGETS = False  # what they told stays in the mailbox, whatever became of the run

STATUSES = {
    # Ours.
    **{str(status): status for status in Status if status is not Status.UNKNOWN},
    # Slurm: `squeue -o %T`, `sacct -o State`, and the flags that stand in a state's place.
    "PENDING": Status.QUEUED,
    "CONFIGURING": Status.QUEUED,
    "POWER_UP_NODE": Status.QUEUED,
    "REQUEUED": Status.QUEUED,
    "REQUEUE_HOLD": Status.QUEUED,
    "REQUEUE_FED": Status.QUEUED,
    "RESV_DEL_HOLD": Status.QUEUED,
    "SPECIAL_EXIT": Status.QUEUED,
    "EXPEDITING": Status.QUEUED,
    "RUNNING": Status.RUNNING,
    "COMPLETING": Status.RUNNING,
    "RESIZING": Status.RUNNING,
    "SIGNALING": Status.RUNNING,
    "STAGE_OUT": Status.RUNNING,
    "SUSPENDED": Status.PAUSED,
    "PREEMPTED": Status.PAUSED,
    "COMPLETED": Status.SUCCEEDED,
    "FAILED": Status.FAILED,
    "TIMEOUT": Status.FAILED,
    "DEADLINE": Status.FAILED,
    "OUT_OF_MEMORY": Status.FAILED,
    "OUT_OF_ME+": Status.FAILED,
    "NODE_FAIL": Status.FAILED,
    "BOOT_FAIL": Status.FAILED,
    "LAUNCH_FAILED": Status.FAILED,
    "RECONFIG_FAIL": Status.FAILED,
    "CANCELLED": Status.CANCELLED,
    "CANCELLED by 1000": Status.CANCELLED,
    "CANCELLED+": Status.CANCELLED,
    "REVOKED": Status.CANCELLED,
    # SkyPilot: jobs of a cluster, and managed ones.
    "INIT": Status.QUEUED,
    "SETTING_UP": Status.QUEUED,
    "SUBMITTED": Status.QUEUED,
    "STARTING": Status.QUEUED,
    "RECOVERING": Status.QUEUED,
    "WINDING_DOWN": Status.RUNNING,
    "CANCELLING": Status.CANCELLING,
    "SUCCEEDED": Status.SUCCEEDED,
    "FAILED_SETUP": Status.FAILED,
    "FAILED_DRIVER": Status.FAILED,
    "FAILED_PRECHECKS": Status.FAILED,
    "FAILED_NO_RESOURCE": Status.FAILED,
    "FAILED_CONTROLLER": Status.FAILED,
    # MLflow, and Weights & Biases.
    "SCHEDULED": Status.QUEUED,
    "FINISHED": Status.SUCCEEDED,
    "KILLED": Status.CANCELLED,
    "pending": Status.QUEUED,
    "finished": Status.SUCCEEDED,
    "crashed": Status.FAILED,
    "killed": Status.CANCELLED,
    "preempting": Status.PAUSING,
    "preempted": Status.PAUSED,
    # What people say.
    "training": Status.RUNNING,
    "In Progress": Status.RUNNING,
    "done": Status.SUCCEEDED,
    "Error": Status.FAILED,
    "canceled": Status.CANCELLED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A run that has come to this."""
    return {
        "id": f"run-{number}",
        "born": 1_790_000_000,
        "first": 1_790_000_000,
        "heard": 1_790_000_600.5,
        "latest": 1_790_000_600,
        "pushes": 3,
        "started": 1_790_000_060,
        "fields": {
            "name": "sft-1",
            "owner": "kim",
            "model": "meta-llama/Llama-3.1-8B",
            "fine_tuned_model": "/out/sft-1",
            "step": 120,
            "total_steps": 600,
            "finished_at": None,
            "error": {"code": "137", "message": "CUDA out of memory"},
            "metadata": {"team": "search"},
            "labels": {"gpu": "h100"},
            "hyperparameters": {"learning_rate": 5e-05},
            "result_files": ["/out/sft-1/adapter.safetensors"],
            "url": "https://wandb.ai/acme/sft/runs/1",
        },
        "states": [
            {"number": 0, "at": 1_790_000_000, "word": "PENDING"},
            {"number": 1, "at": 1_790_000_060, "word": "RUNNING"},
            {"number": 2, "at": 1_790_000_600, "word": word},
        ],
        "lines": [
            {"number": 1, "at": 1_790_000_300, "type": "metrics", "step": 60, "metrics": {"loss": 1.2}}
        ],
        "checkpoints": [
            {"attempt": 0, "at": 1_790_000_500, "step": 100, "model": "/out/sft-1/checkpoint-100"}
        ],
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"runs": jobs, "next": None}


def _with(word: str, **fields: Any) -> dict[str, Any]:
    found = document(word)
    return {**found, "fields": {**found["fields"], **fields}}


TRAPS = {
    "T07 no error while it runs": (document("RUNNING"), {"error": None}),
    "T09 no model and no end before the end": (
        _with("COMPLETING", finished_at=1_790_000_500),
        {"fine_tuned_model": None, "finished_at": None},
    ),
    "T16 a run that was preempted has not ended": (
        document("PREEMPTED"),
        {"status": Status.PAUSED, "finished_at": None},
    ),
    "T25 an end that is nothing is the time of the state": (
        _with("COMPLETED", finished_at=0),
        {"finished_at": 1_790_000_600},
    ),
    "T35 why it failed is said": (
        document("OUT_OF_MEMORY"),
        {"error.code": "137", "error.message": "CUDA out of memory"},
    ),
    "T37 an end below 100 percent": (
        document("COMPLETED"),
        {"status": Status.SUCCEEDED, "progress.percent": 20.0, "finished_at": 1_790_000_600},
    ),
    "the operator's labels stand above those of the run, and these above its metadata": (
        _with("RUNNING", metadata={"env": "a", "gpu": "a", "team": "a"}, labels={"env": "b", "gpu": "b"}),
        {"labels": {"env": "prod", "gpu": "b", "team": "a"}},
    ),
    "a run is as old as its first push unless it says more": (
        document("RUNNING"),
        {"created_at": 1_790_000_000, "started_at": 1_790_000_060},
    ),
}
