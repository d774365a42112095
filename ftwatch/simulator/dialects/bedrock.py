"""Amazon Bedrock's model customization jobs, as botocore speaks with them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialects.aws import ACCOUNT, REGION, Aws
from ftwatch.simulator.script import ENDED, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Bedrock"]

# What of a job a listing shows, and where that stands in the job itself.
SUMMARY = {
    **{key: key for key in ("jobArn", "baseModelArn", "jobName", "status", "statusDetails")},
    **{key: key for key in ("lastModifiedTime", "creationTime", "endTime", "customizationType")},
    "customModelName": "outputModelName",
    "customModelArn": "outputModelArn",
}
PHASES = ("validation", "dataProcessing", "training")


class Bedrock(Aws):
    """`/model-customization-jobs`: pages by token. Jobs are known by their names."""

    kind = "bedrock"
    model = "amazon.nova-lite-v1:0:300k"
    id_form = "job-sim{number:06d}"
    shows: ClassVar[Mapping[str, str]] = {"paused": "running"}
    log_tells = frozenset({"states", "figures"})
    codes: ClassVar[Mapping[int, tuple[int, str]]] = {
        401: (403, "UnrecognizedClientException"),
        404: (404, "UnknownOperationException"),
        429: (429, "ThrottlingException"),
        500: (500, "InternalServerException"),
    }

    def routes(self, world: Upstream) -> list[Route]:
        """List, get and stop; and STS, which has the same address here."""
        jobs = "/model-customization-jobs"

        def page(request: Request) -> Response:
            return JSONResponse(self.listing(world, request))

        def get(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now()))

        def stop(request: Request, job: Job) -> Response:
            if job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return JSONResponse({})

        def caller(request: Request) -> Response:
            return self.caller()

        return [
            Route("/", world.guarded(caller), methods=["POST"]),
            Route(jobs, world.guarded(page), methods=["GET"]),
            Route(jobs + "/{id}", world.of_job(get), methods=["GET"]),
            Route(jobs + "/{id}/stop", world.of_job(stop), methods=["POST"]),
        ]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A page of summaries, newest first where that is asked for."""
        query = request.query_params
        jobs = list(world.jobs.values())
        if query.get("sortOrder") != "Descending":
            jobs.reverse()
        start = int(query.get("nextToken", "page-0").removeprefix("page-"))
        end = start + min(int(query.get("maxResults", 100)), world.page_cap)
        now = world.listed_at()
        shown = [self.summary(job, max(now, job.created_at)) for job in jobs[start:end]]
        more = {"nextToken": f"page-{end}"} if end < len(jobs) else {}
        return {"modelCustomizationJobSummaries": shown, **more}

    def entries(self, listing: Any) -> list[Any]:
        """The summaries."""
        found: list[Any] = listing["modelCustomizationJobSummaries"]
        return found

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.error(
            404, "ResourceNotFoundException", "The specified model customization job was not found"
        )

    def summary(self, job: Job, now: float) -> dict[str, Any]:
        """The job as a listing shows it."""
        whole = self.document(job, now)
        return {name: whole[key] for name, key in SUMMARY.items() if key in whole}

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it; what is not there yet is left out."""
        state = job.state(now)
        prefix = f"arn:aws:bedrock:{REGION}"
        name = job.suffix or f"model-{job.id}"
        figures = job.figures(state.step)
        succeeded = state.status == "succeeded"
        whole: dict[str, Any] = {
            "jobArn": f"{prefix}:{ACCOUNT}:model-customization-job/{job.model}/{job.id}",
            "jobName": job.id,
            "outputModelName": name,
            "outputModelArn": f"{prefix}:{ACCOUNT}:custom-model/{job.model}/{name}" if succeeded else None,
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/BedrockCustomization",
            "status": self.word(state.status),
            "statusDetails": self.phases(job, now),
            "failureMessage": (state.error or {}).get("message"),
            "creationTime": _time(job.created_at),
            "lastModifiedTime": _time(state.since),
            "endTime": None if state.ended_at is None else _time(state.ended_at),
            "baseModelArn": f"{prefix}::foundation-model/{job.model}",
            "hyperParameters": {"epochCount": "3", "learningRate": "0.00001"},
            "trainingDataConfig": {"s3Uri": f"s3://simulated/{job.training_file}.jsonl"},
            "validationDataConfig": {"validators": []},
            "outputDataConfig": {"s3Uri": "s3://simulated/output/"},
            "customizationType": "FINE_TUNING",
            "trainingMetrics": {"trainingLoss": figures["train_loss"]} if succeeded else None,
            "validationMetrics": [{"validationLoss": figures["valid_loss"]}] if succeeded else None,
        }
        return {key: value for key, value in whole.items() if value is not None}

    def phases(self, job: Job, now: float) -> dict[str, Any]:
        """The phases. One that has not started has a creation time all the same."""
        state = job.state(now)
        at = {one.status: one.at for one in reversed(job.transitions(now))}
        trains = at.get("running", state.ended_at if state.status == "succeeded" else None)
        validates = at.get("validating_files", trains)
        processes = at.get("queued", trains) if "validating_files" in at else trains
        goes_on = "training" if trains is not None else "validation" if processes is None else None
        found = {}
        for name, began in zip(PHASES, (validates, processes, trains), strict=True):
            word = self.word(state.status) if name == goes_on else "Completed"
            found[f"{name}Details"] = {
                "status": "NotStarted" if began is None else word,
                "creationTime": _time(began or job.created_at),
                "lastModifiedTime": _time(state.since),
            }
        return found


def _time(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DIALECT = Bedrock()
