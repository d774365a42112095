"""What `huggingface` is held to."""

from typing import Any

from ftwatch.core.job import JobError, Status

OPTIONS: dict[str, Any] = {"namespace": "acme"}

STATUSES = {
    "SCHEDULING": Status.QUEUED,
    "RUNNING": Status.RUNNING,
    "COMPLETED": Status.SUCCEEDED,
    "ERROR": Status.FAILED,
    "CANCELED": Status.CANCELLED,
    "DELETED": Status.CANCELLED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    return {
        "id": f"6a39435d953ed90b{number:08x}",
        "createdAt": "2026-09-21T14:13:20.000Z",
        "startedAt": "2026-09-21T14:14:20.000Z",
        "finishedAt": None,
        "dockerImage": "python:3.12",
        "command": ["python", "train.py", "--epochs", "3"],
        "arguments": [],
        "environment": {"LEVEL": "info"},
        "flavor": "a10g-large",
        "labels": {"team": "search", "name": "support-bot"},
        "status": {"stage": word, "message": None},
        "durations": {"schedulingSecs": 60, "runningSecs": 20, "totalSecs": 80},
        "owner": {"id": "o1", "name": "acme", "type": "org"},
        "initiator": {"id": "u1", "name": "kim", "type": "user"},
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return jobs


def ended(word: str, message: str | None) -> dict[str, Any]:
    found = document(word)
    return {**found, "status": {"stage": word, "message": message}, "finishedAt": "2026-09-21T15:13:20.000Z"}


# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T07 a message on a healthy job is no error": (
        {**document("RUNNING"), "status": {"stage": "RUNNING", "message": "Pulling the image"}},
        {"error": None},
    ),
    "T08 labels, arguments and owner are null": (
        {**document("ERROR"), "labels": None, "arguments": None, "owner": None, "initiator": None},
        {
            "labels": {"flavor": "a10g-large", "env": "prod"},
            "name": None,
            "owner": None,
            "hyperparameters": {
                "dockerImage": "python:3.12",
                "command": ["python", "train.py", "--epochs", "3"],
                "flavor": "a10g-large",
            },
        },
    ),
    "T09 what it makes is not told": (
        ended("COMPLETED", None),
        {"fine_tuned_model": None, "finished_at": 1_790_003_600, "error": None},
    ),
    "T26 finishedAt of a job that runs": (
        {**document("RUNNING"), "finishedAt": "2026-09-21T15:13:20.000Z"},
        {"finished_at": None},
    ),
    "T29 a deleted job has ended": (ended("DELETED", None), {"status": Status.CANCELLED}),
    "T34 a token on the command line is struck": (
        {**document("RUNNING"), "command": ["train", "--token=hf_abcdefghijklmnopqrstuvwxyz"]},
        {
            "hyperparameters": {
                "dockerImage": "python:3.12",
                "command": ["train", "--token=••••"],
                "flavor": "a10g-large",
            }
        },
    ),
    "T35 the service's own words are kept": (
        ended("ERROR", "Job failed with exit code: 1. Reason: OOMKilled"),
        {"error": JobError(message="Job failed with exit code: 1. Reason: OOMKilled")},
    ),
    "T38 times with fractions": (
        document("RUNNING"),
        {"created_at": 1_790_000_000, "started_at": 1_790_000_060},
    ),
}
