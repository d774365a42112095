"""What `bedrock` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {"region": "us-east-1"}

# Every word of its table, with the states of validation, data processing and training where they matter.
STATUSES = {
    "InProgress": Status.RUNNING,
    "InProgress NotStarted NotStarted NotStarted": Status.QUEUED,
    "InProgress InProgress NotStarted NotStarted": Status.VALIDATING_FILES,
    "InProgress Completed NotStarted NotStarted": Status.VALIDATING_FILES,
    "InProgress Completed InProgress NotStarted": Status.VALIDATING_FILES,
    "InProgress Completed Completed NotStarted": Status.QUEUED,
    "InProgress Completed Completed InProgress": Status.RUNNING,
    "InProgress Completed Completed Completed": Status.RUNNING,
    "Stopping Completed Completed Stopping": Status.CANCELLING,
    "Completed Completed Completed Completed": Status.SUCCEEDED,
    "Failed Failed NotStarted NotStarted": Status.FAILED,
    "Stopped Completed Completed Stopped": Status.CANCELLED,
}
ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"
MODEL = f"{ACCOUNT}:custom-model/amazon.nova-micro-v1:0:128k/k3v9x0a1b2c3"


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    status, *phases = word.split()
    names = ("validation", "dataProcessing", "training")
    details = {
        f"{name}Details": {
            "status": phase,
            "creationTime": f"2026-09-21T14:{minute}:00Z",
            "lastModifiedTime": "2026-09-21T15:00:00Z",
        }
        for minute, name, phase in zip((20, 30, 40), names, phases, strict=False)
    }
    return {
        "jobArn": f"{ACCOUNT}:model-customization-job/amazon.nova-micro-v1:0:128k/k3v9x0a1b2c3",
        "jobName": f"tune-{number}",
        "outputModelName": "support-bot",
        "roleArn": "arn:aws:iam::123456789012:role/tuning",
        "status": status,
        **({"statusDetails": details} if details else {}),
        "creationTime": "2026-09-21T14:13:20Z",
        "lastModifiedTime": "2026-09-21T15:00:00Z",
        "baseModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0:128k",
        "hyperParameters": {"epochCount": "2"},
        "trainingDataConfig": {"s3Uri": "s3://data/train.jsonl"},
        "outputDataConfig": {"s3Uri": "s3://data/out"},
        "customizationType": "FINE_TUNING",
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"modelCustomizationJobSummaries": jobs}


RUNNING = "InProgress Completed Completed InProgress"

# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T01 a job that only validates is no running one": (
        document("InProgress InProgress NotStarted NotStarted"),
        {"status": Status.VALIDATING_FILES, "raw_status": "InProgress", "phase": "validation InProgress"},
    ),
    "T08 hyperparameters are null": (
        {**document("Failed"), "hyperParameters": None},
        {"hyperparameters": None},
    ),
    "T08 those of reinforcement stand elsewhere": (
        {
            **document(RUNNING),
            "hyperParameters": None,
            "customizationType": "REINFORCEMENT_FINE_TUNING",
            "customizationConfig": {"rftConfig": {"hyperParameters": {"epochCount": 2, "batchSize": 64}}},
        },
        {"hyperparameters": {"epochCount": 2, "batchSize": 64}, "method.type": "reinforcement"},
    ),
    "T09 nothing is known before the end": (
        {**document(RUNNING), "endTime": None, "outputModelArn": "", "trainingMetrics": None},
        {"finished_at": None, "fine_tuned_model": None, "error": None},
    ),
    "T09 what is told before the end does not count": (
        {
            **document(RUNNING),
            "endTime": "2026-09-21T15:00:00Z",
            "failureMessage": "Failure Message",
            "outputModelArn": MODEL,
        },
        {"finished_at": None, "fine_tuned_model": None, "error": None, "result_files": ()},
    ),
    "T10 succeeded without a model's ARN": (
        {**document("Completed"), "outputModelArn": ""},
        {"status": Status.SUCCEEDED, "fine_tuned_model": "support-bot"},
    ),
    "T10 succeeded without a model": (
        {**document("Completed"), "outputModelName": None},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None},
    ),
    "T11 the result is a folder": (
        {**document("Completed"), "endTime": "2026-09-21T16:13:20Z", "outputModelArn": MODEL},
        {
            "fine_tuned_model": MODEL,
            "finished_at": 1_790_007_200,
            "result_files": ("s3://data/out",),
            "name": "support-bot",
        },
    ),
    "T27 epochs are text": (document(RUNNING), {"hyperparameters": {"epochCount": "2"}}),
    "T35 the provider's own words are kept": (
        {**document("Failed"), "failureMessage": "Line 17 is no JSON."},
        {"error.message": "Line 17 is no JSON.", "error.code": None},
    ),
    "T38 times with a zone, a fraction, or neither": (
        {
            **document("Completed"),
            "creationTime": "2026-09-21 14:13:20",
            "endTime": "2026-09-21T14:13:20.5+00:00",
        },
        {"created_at": 1_790_000_000, "finished_at": 1_790_000_000},
    ),
    "a phase that has not started has a time all the same": (
        document("InProgress Completed InProgress NotStarted"),
        {"started_at": None, "phase": "dataProcessing InProgress"},
    ),
    "a phase's time is when it started": (document(RUNNING), {"started_at": 1_790_001_600}),
    "what a listing calls by other names": (
        {
            **{key: value for key, value in document("Completed").items() if not key.startswith("output")},
            "customModelName": "support-bot",
            "customModelArn": MODEL,
        },
        {"name": "support-bot", "fine_tuned_model": MODEL},
    ),
    "where it is": (
        document(RUNNING),
        {
            "model": "amazon.nova-micro-v1:0:128k",
            "organization_id": "123456789012",
            "training_file": "s3://data/train.jsonl",
            "metadata": {
                "arn": f"{ACCOUNT}:model-customization-job/amazon.nova-micro-v1:0:128k/k3v9x0a1b2c3"
            },
            "labels": {"env": "prod"},
            "method.type": "supervised",
            "url": "https://us-east-1.console.aws.amazon.com/bedrock/home?region=us-east-1#/custom-models",
        },
    ),
    "other data, other validators": (
        {
            **document(RUNNING),
            "trainingDataConfig": {"invocationLogsConfig": {"invocationLogSource": {"s3Uri": "s3://logs"}}},
            "validationDataConfig": {"validators": [{"s3Uri": "s3://data/a"}, {"s3Uri": "s3://data/b"}]},
        },
        {"training_file": "s3://logs", "validation_file": "s3://data/a"},
    ),
}
