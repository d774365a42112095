"""What `sagemaker` is held to."""

from typing import Any

from ftwatch.core.job import Status

OPTIONS: dict[str, Any] = {"region": "eu-west-1"}

# Every pair of its table: primary and secondary status.
STATUSES = {
    "InProgress": Status.RUNNING,
    "InProgress Starting": Status.QUEUED,
    "InProgress Pending": Status.QUEUED,
    "InProgress LaunchingMLInstances": Status.QUEUED,
    "InProgress PreparingTrainingStack": Status.QUEUED,
    "InProgress Interrupted": Status.QUEUED,
    "InProgress Downloading": Status.RUNNING,
    "InProgress DownloadingTrainingImage": Status.RUNNING,
    "InProgress Training": Status.RUNNING,
    "InProgress Uploading": Status.RUNNING,
    "InProgress Restarting": Status.RUNNING,
    "InProgress Updating": Status.RUNNING,
    "Stopping Stopping": Status.CANCELLING,
    "Completed Completed": Status.SUCCEEDED,
    "Failed Failed": Status.FAILED,
    "Stopped Stopped": Status.CANCELLED,
    "Stopped MaxRuntimeExceeded": Status.FAILED,
    "Stopped MaxWaitTimeExceeded": Status.FAILED,
    "Stopped Interrupted": Status.FAILED,
    "Deleting": Status.CANCELLED,
}
ACCOUNT = "arn:aws:sagemaker:eu-west-1:123456789012"
ARTIFACTS = "s3://out/tune-1/output/model.tar.gz"
PACKAGE = f"{ACCOUNT}:model-package/support-bot/3"


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    primary, *secondary = word.split()
    return {
        "TrainingJobName": f"tune-{number}",
        "TrainingJobArn": f"{ACCOUNT}:training-job/tune-{number}",
        "ModelArtifacts": {"S3ModelArtifacts": ARTIFACTS},
        "TrainingJobStatus": primary,
        **({"SecondaryStatus": secondary[0]} if secondary else {}),
        "HyperParameters": {"epochs": "3", "model_id": '"meta-llama/Llama-3.2-1B"'},
        "InputDataConfig": [
            {"ChannelName": name, "DataSource": {"S3DataSource": {"S3Uri": f"s3://data/{name}.jsonl"}}}
            for name in ("training", "validation")
        ],
        "CreationTime": 1_790_000_000.123,
        "TrainingStartTime": 1_790_000_100.5,
        "SecondaryStatusTransitions": [
            {
                "Status": "Starting",
                "StartTime": 1_790_000_000.123,
                "EndTime": 1_790_000_100.5,
                "StatusMessage": "Preparing the instances for training",
            },
        ],
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"TrainingJobSummaries": jobs}


RUNNING = "InProgress Training"
SERVERLESS = {
    "BaseModelArn": "arn:aws:sagemaker:eu-west-1:aws:hub-content/SageMakerPublicHub/Model/llama-3-2-1b/1.4.0",
    "JobType": "FineTuning",
    "CustomizationTechnique": "DPO",
}


def progress(step: Any, each: Any, epoch: Any, epochs: Any) -> dict[str, Any]:
    told = {
        "CurrentStep": step,
        "TotalStepCountPerEpoch": each,
        "CurrentEpoch": epoch,
        "MaxEpoch": epochs,
    }
    return {**document(RUNNING), "ProgressInfo": told}


# Known traps, each as (what the document says, what the snapshot must say).
TRAPS = {
    "T01 a job that waits for capacity is no running one": (
        document("InProgress Pending"),
        {"status": Status.QUEUED, "raw_status": "InProgress", "phase": "Pending"},
    ),
    "T08 hyperparameters are null": (
        {**document("Failed Failed"), "HyperParameters": None},
        {"hyperparameters": None, "model": None},
    ),
    "T09 what is told before the end does not count": (
        {
            **document(RUNNING),
            "TrainingEndTime": 1_790_000_500.0,
            "FailureReason": "none yet",
            "OutputModelPackageArn": PACKAGE,
        },
        {"finished_at": None, "fine_tuned_model": None, "error": None, "result_files": ()},
    ),
    "T10 succeeded without a model": (
        {**document("Completed Completed"), "ModelArtifacts": None},
        {"status": Status.SUCCEEDED, "fine_tuned_model": None, "result_files": ()},
    ),
    "T11 the artifacts are the model where there is no package": (
        {**document("Completed Completed"), "TrainingEndTime": 1_790_000_500.0},
        {"fine_tuned_model": ARTIFACTS, "result_files": (ARTIFACTS,), "finished_at": 1_790_000_500},
    ),
    "T11 a package is the model": (
        {**document("Completed Completed"), "OutputModelPackageArn": PACKAGE},
        {"fine_tuned_model": PACKAGE, "result_files": (ARTIFACTS,)},
    ),
    "T11 a stopped job leaves files and no model": (
        document("Stopped Stopped"),
        {"fine_tuned_model": None, "result_files": (ARTIFACTS,), "error": None},
    ),
    "T27 hyperparameters are text": (document(RUNNING), {"hyperparameters.epochs": "3"}),
    "T34 secrets in hyperparameters are struck out": (
        {
            **document(RUNNING),
            "HyperParameters": {
                "hf_token": "hf_abc",
                "WANDB_API_KEY": "x",
                "max_tokens": "512",
                "secret": "",
            },
        },
        {
            "hyperparameters": {
                "hf_token": "••••",
                "WANDB_API_KEY": "••••",
                "max_tokens": "512",
                "secret": "",
            },
        },
    ),
    "T35 the provider's own words are kept": (
        {**document("Failed Failed"), "FailureReason": "AlgorithmError: ExecuteUserScriptError:\nExitCode 1"},
        {
            "error.code": "AlgorithmError",
            "error.message": "AlgorithmError: ExecuteUserScriptError:\nExitCode 1",
        },
    ),
    "T35 a reason without a code": (
        {**document("Failed Failed"), "FailureReason": "Please try again"},
        {"error.code": None, "error.message": "Please try again"},
    ),
    "a job that ran out of time says so": (
        {
            **document("Stopped MaxRuntimeExceeded"),
            "SecondaryStatusTransitions": [
                {"Status": "MaxRuntimeExceeded", "StartTime": 1, "StatusMessage": "Exceeded its 3600 seconds"}
            ],
        },
        {
            "status": Status.FAILED,
            "raw_status": "Stopped",
            "error.code": "MaxRuntimeExceeded",
            "error.message": "Exceeded its 3600 seconds",
        },
    ),
    "T37 steps begin anew with each epoch": (
        progress(50, 100, 5, 10),
        {"progress.step": 450, "progress.total_steps": 1000, "progress.epoch": 5, "progress.percent": 45.0},
    ),
    "T37 a step beyond the epochs is no progress": (
        progress(101, 100, 10, 10),
        {"progress.step": None, "progress.percent": None, "progress.epoch": 10},
    ),
    "T37 a step of unknown many": (
        progress(7, None, None, None),
        {"progress.step": 7, "progress.total_steps": None, "progress.percent": None},
    ),
    "T37 no progress yet": (progress(None, 100, None, 3), {"progress": None}),
    "T38 times as numbers, or as text": (
        {**document(RUNNING), "CreationTime": "2026-09-21T14:13:20.000Z"},
        {"created_at": 1_790_000_000, "started_at": 1_790_000_100},
    ),
    "what a serverless job tells": (
        {**document(RUNNING), "ServerlessJobConfig": SERVERLESS, "BillableTokenCount": 9000},
        {"model": "llama-3-2-1b", "method.type": "dpo", "trained_tokens": 9000},
    ),
    "where it is": (
        document(RUNNING),
        {
            "model": "meta-llama/Llama-3.2-1B",
            "organization_id": "123456789012",
            "training_file": "s3://data/training.jsonl",
            "validation_file": "s3://data/validation.jsonl",
            "metadata": {"arn": f"{ACCOUNT}:training-job/tune-1"},
            "labels": {"env": "prod"},
            "url": "https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/jobs/tune-1",
        },
    ),
}
