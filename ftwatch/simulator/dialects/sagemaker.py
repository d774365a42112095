"""Amazon SageMaker's training jobs, as botocore speaks with them: one address, the operation in a header."""

from collections.abc import Mapping
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialects.aws import ACCOUNT, REGION, Aws
from ftwatch.simulator.script import ENDED, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "SageMaker"]

AMZ_JSON = "application/x-amz-json-1.1"
EPOCHS = 3
# What of a job a listing shows.
SUMMARY = (
    *("TrainingJobName", "TrainingJobArn", "TrainingJobStatus", "SecondaryStatus"),
    *("CreationTime", "TrainingEndTime", "LastModifiedTime"),
)
# The secondary status in each state of a script, with what the service says to it.
SECONDARY = {
    "validating_files": ("Starting", "Preparing the instances for training"),
    "queued": ("Pending", "Waiting for capacity"),
    "running": ("Training", "Training image download completed. Training in progress."),
    "succeeded": ("Completed", "Training job completed"),
    "failed": ("Failed", "Training job failed"),
    "cancelled": ("Stopped", "Training job stopped"),
}


class SageMaker(Aws):
    """`SageMaker.ListTrainingJobs` and its like. Jobs are known by their names."""

    kind = "sagemaker"
    model = "meta-textgeneration-llama-3-2-1b-instruct"
    id_form = "training-sim{number:06d}"
    shows: ClassVar[Mapping[str, str]] = {"validating_files": "queued", "paused": "running"}
    log_tells = frozenset({"states", "figures", "ends"})
    codes: ClassVar[Mapping[int, tuple[int, str]]] = {
        401: (400, "UnrecognizedClientException"),
        404: (404, "UnknownOperationException"),
        429: (400, "ThrottlingException"),
        500: (500, "InternalFailure"),
    }

    def routes(self, world: Upstream) -> list[Route]:
        """List, describe and stop; and STS, which has the same address here."""

        async def endpoint(request: Request) -> Response:
            if "x-amz-target" not in request.headers:
                return await caller(request)
            # Read before anything is answered: troubles, too, serve the page that was asked for.
            request.state.asked = await request.json()
            return await guarded(request)

        def answer(request: Request) -> Response:
            operation = request.headers.get("x-amz-target", "").removeprefix("SageMaker.")
            if operation == "ListTrainingJobs":
                return _json(self.listing(world, request))
            if operation not in ("DescribeTrainingJob", "StopTrainingJob"):
                return self.said(404, f"Unknown operation {operation}")
            id = request.state.asked["TrainingJobName"]
            if id not in world.jobs:
                return self.missing(id)
            job = world.jobs[id]
            if operation == "DescribeTrainingJob":
                return _json(self.document(job, world.now()))
            if job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return _json({})

        guarded, caller = world.guarded(answer), world.guarded(lambda request: self.caller())
        return [Route("/", endpoint, methods=["POST"])]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A page of summaries, newest first where that is asked for."""
        asked = request.state.asked
        jobs = list(world.jobs.values())
        if asked.get("SortOrder") != "Descending":
            jobs.reverse()
        start = int(asked.get("NextToken", "page-0").removeprefix("page-"))
        end = start + min(asked.get("MaxResults", 10), world.page_cap)
        now = world.listed_at()
        shown = [self.summary(job, max(now, job.created_at)) for job in jobs[start:end]]
        more = {"NextToken": f"page-{end}"} if end < len(jobs) else {}
        return {"TrainingJobSummaries": shown, **more}

    def entries(self, listing: Any) -> list[Any]:
        """The summaries."""
        found: list[Any] = listing["TrainingJobSummaries"]
        return found

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this status."""
        entry["TrainingJobStatus"] = word

    def error(self, status: int, code: str, message: str) -> Response:
        """An error with its code, which stands in the body here."""
        answer = super().error(status, code, message)
        headers = {key: value for key, value in answer.headers.items() if key == "retry-after"}
        return JSONResponse({"__type": code, "message": message}, status, headers, AMZ_JSON)

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.error(400, "ValidationException", "Requested resource not found.")

    def summary(self, job: Job, now: float) -> dict[str, Any]:
        """The job as a listing shows it."""
        whole = self.document(job, now)
        return {key: whole[key] for key in SUMMARY if key in whole}

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it: a serverless customization. What is not there yet is left out."""
        state = job.state(now)
        prefix = f"arn:aws:sagemaker:{REGION}"
        hub = f"{prefix}:aws:hub-content/SageMakerPublicHub/Model/{job.model}/1.0.0"
        each = max(1, state.steps // EPOCHS)
        epoch = min(EPOCHS, state.step // each + 1)
        progress = {
            "CurrentStep": state.step - (epoch - 1) * each,
            "TotalStepCountPerEpoch": each,
            "CurrentEpoch": epoch,
            "MaxEpoch": EPOCHS,
        }
        artifacts = f"s3://simulated/output/{job.id}/output/model.tar.gz"
        package = f"{prefix}:{ACCOUNT}:model-package/{job.suffix or 'tuned'}/1"
        has_ended, succeeded = state.ended_at is not None, state.status == "succeeded"
        whole = {
            "TrainingJobName": job.id,
            "TrainingJobArn": f"{prefix}:{ACCOUNT}:training-job/{job.id}",
            "ModelArtifacts": {"S3ModelArtifacts": artifacts} if has_ended else None,
            "TrainingJobStatus": self.word(state.status),
            "SecondaryStatus": _secondary(state.status)[0],
            "FailureReason": f"AlgorithmError: {state.error['message']}" if state.error else None,
            "HyperParameters": {"epochs": str(EPOCHS), "learning_rate": "0.0002"},
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/SageMakerExecution",
            "InputDataConfig": [_channel("train", job.training_file)],
            "OutputDataConfig": {"S3OutputPath": "s3://simulated/output/"},
            "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
            "CreationTime": job.created_at,
            "TrainingStartTime": state.started_at,
            "TrainingEndTime": state.ended_at,
            "LastModifiedTime": state.since,
            "SecondaryStatusTransitions": self.transitions(job, now),
            "FinalMetricDataList": self.metrics(job, now),
            "BillableTokenCount": 48_000 * state.steps if succeeded else None,
            "ServerlessJobConfig": {
                "BaseModelArn": hub,
                "JobType": "FineTuning",
                "CustomizationTechnique": "SFT",
                "Peft": "LORA",
            },
            "ProgressInfo": progress if state.started_at is not None else None,
            "OutputModelPackageArn": package if succeeded else None,
        }
        return {key: value for key, value in whole.items() if value is not None}

    def transitions(self, job: Job, now: float) -> list[dict[str, Any]]:
        """The secondary statuses so far, oldest first, each with its end but the last."""
        happened = job.transitions(now)
        found = []
        for one, after in zip(happened, [*happened[1:], None], strict=True):
            word, said = _secondary(one.status)
            end = {"EndTime": after.at} if after else {}
            found.append({"Status": word, "StartTime": one.at, "StatusMessage": said, **end})
        return found

    def metrics(self, job: Job, now: float) -> list[dict[str, Any]]:
        """The figures of the last step, as the algorithm calls them."""
        state = job.state(now)
        if state.ended_at is None or state.started_at is None:
            return []
        known = job.figures(state.step)
        named = {"train:loss": known["train_loss"], "validation:loss": known["valid_loss"]}
        return [
            {"MetricName": name, "Value": value, "Timestamp": state.ended_at} for name, value in named.items()
        ]


def _secondary(status: str) -> tuple[str, str]:
    """It knows no pause: a job that takes one trains on."""
    return SECONDARY["running" if status == "paused" else status]


def _channel(name: str, file: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://simulated/{file}.jsonl"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}}


def _json(value: Any) -> Response:
    return JSONResponse(value, media_type=AMZ_JSON)


DIALECT = SageMaker()
