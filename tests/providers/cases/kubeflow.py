"""What `kubeflow` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {}

# Its conditions, and what stands for a state where no condition does.
STATUSES = {
    "Pending": Status.QUEUED,
    "Created": Status.QUEUED,
    "Active": Status.RUNNING,
    "Suspended": Status.PAUSED,
    "Terminating": Status.CANCELLING,
    "Complete": Status.SUCCEEDED,
    "Failed": Status.FAILED,
}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the cluster's words."""
    found: dict[str, Any] = {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {
            "name": f"helpdesk-{number}",
            "namespace": "ml",
            "uid": "6f1d6f0e-3a6b-4b6e-9f57-d6a1c0a0b001",
            "resourceVersion": "40412",
            "creationTimestamp": "2026-09-21T14:13:20Z",
            "labels": {"team": "search"},
            "managedFields": [{"manager": "kubectl", "operation": "Apply"}],
        },
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "name": "torch",
                "kind": "ClusterTrainingRuntime",
            },
            "initializer": {
                "dataset": {"storageUri": "hf://acme/tickets"},
                "model": {"storageUri": "hf://meta-llama/Llama-3.2-1B"},
            },
            "trainer": {
                "numNodes": 2,
                "env": [{"name": "HF_TOKEN", "value": "hf_not_to_be_told"}],
                "args": ["--token=not-to-be-told"],
            },
            "suspend": False,
        },
        "status": {
            "jobsStatus": [child("dataset-initializer", succeeded=1), child("node")],
            "conditions": [],
        },
    }
    if word == "Terminating":
        found["metadata"]["deletionTimestamp"] = "2026-09-21T14:20:00Z"
    elif word == "Active":
        found["status"]["jobsStatus"][1] = child("node", active=1)
    elif word == "Pending":
        found["status"] = {}
    else:
        found["status"]["conditions"] = [condition(word)]
        if word == "Created":
            del found["status"]["jobsStatus"]
    return found


def child(name: str, **counts: int) -> dict[str, Any]:
    """The counts of one kind of child jobs."""
    return {
        "name": name,
        **dict.fromkeys(("ready", "succeeded", "failed", "active", "suspended"), 0),
        **counts,
    }


def condition(word: str, value: str = "True", **more: Any) -> dict[str, Any]:
    """A condition."""
    return {
        "type": word,
        "status": value,
        "reason": "DeadlineExceeded",
        "message": "Job exceeded its deadline",
        "lastTransitionTime": "2026-09-21T14:43:20Z",
        **more,
    }


def conditioned(*conditions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A running job with these conditions, of which this is told besides."""
    found = document("Active")
    return {**found, "status": {**found["status"], "conditions": list(conditions), **more}}


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJobList",
        "items": jobs,
        "metadata": {"resourceVersion": "40500", "continue": ""},
    }


TRAINER = {
    "progressPercentage": 40,
    "estimatedRemainingSeconds": 900,
    "metrics": [{"name": "loss", "value": "0.42"}, {"name": "global_step", "value": "120"}],
    "lastUpdatedTime": "2026-09-21T14:33:20Z",
}

# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T07 a condition that is false is no error": (
        conditioned(condition("Failed", "False")),
        {"status": Status.RUNNING, "error": None},
    ),
    "T09 nothing is known before the end": (
        conditioned(trainerStatus=TRAINER),
        {"finished_at": None, "fine_tuned_model": None, "progress.percent": 40.0, "progress.step": 120},
    ),
    "T10 succeeded, and nothing names a model": (
        document("Complete"),
        {"status": Status.SUCCEEDED, "fine_tuned_model": None, "finished_at": 1_790_001_800},
    ),
    "T14 no initializer, no labels, no status": (
        {"metadata": {"name": "bare"}, "spec": {"initializer": None}, "status": None},
        {"status": Status.QUEUED, "model": None, "metadata": {}, "created_at": None},
    ),
    "T15 resumed is no longer paused": (
        conditioned(condition("Suspended", "False", reason="Resumed")),
        {"status": Status.RUNNING},
    ),
    "T25 nothing left is no estimate": (
        conditioned(trainerStatus={**TRAINER, "estimatedRemainingSeconds": 0}),
        {"estimated_finish": None},
    ),
    "T25 an estimate counts from when it was made": (
        conditioned(trainerStatus=TRAINER),
        {"estimated_finish": 1_790_002_100},
    ),
    "T26 no end while suspended": (document("Suspended"), {"status": Status.PAUSED, "finished_at": None}),
    "T29 what is done and being deleted is done": (
        {**document("Complete"), "metadata": document("Terminating")["metadata"]},
        {"status": Status.SUCCEEDED},
    ),
    "T35 the cluster's own words are kept": (
        document("Failed"),
        {"error.code": "DeadlineExceeded", "error.message": "Job exceeded its deadline"},
    ),
    "T38 times are of UTC": (document("Active"), {"created_at": 1_790_000_000}),
}
