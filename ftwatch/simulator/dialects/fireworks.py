"""Fireworks' fine-tuning API: three listings below an account, resource names, tokens for pages."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import ENDED, Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Fireworks"]

ACCOUNT = "acme"
SUPERVISED = "supervisedFineTuningJobs"
HEADS = (SUPERVISED, "dpoJobs", "reinforcementFineTuningJobs")
EPOCHS = 3
# The codes of gRPC for the statuses of HTTP that are served.
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 410: 9, 429: 8, 500: 13}
FAILURES = {"exceeded_quota": "RESOURCE_EXHAUSTED", "invalid_training_file": "INVALID_ARGUMENT"}


class Fireworks(Dialect):
    """An account whose jobs are supervised ones, but for those whose id says otherwise."""

    kind = "fireworks"
    model = "accounts/fireworks/models/llama-v3p1-8b-instruct"
    id_form = f"accounts/{ACCOUNT}/{SUPERVISED}/sim{{number:06d}}"
    words: ClassVar[Mapping[str, str]] = {
        "validating_files": "JOB_STATE_VALIDATING",
        "queued": "JOB_STATE_PENDING",
        "running": "JOB_STATE_RUNNING",
        "paused": "JOB_STATE_PAUSED",
        "cancelling": "JOB_STATE_CANCELLING",
        "succeeded": "JOB_STATE_COMPLETED",
        "failed": "JOB_STATE_FAILED",
        "cancelled": "JOB_STATE_CANCELLED",
    }
    log_tells = frozenset()

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """What a config says below the provider's name."""
        return {**super().options(url, key, folder), "account": ACCOUNT}

    def routes(self, world: Upstream) -> list[Route]:
        """The accounts that the key opens, the account, and list, retrieve and cancel of each kind of job."""
        account = {"name": f"accounts/{ACCOUNT}", "displayName": "Acme", "email": "ml@example.com"}
        account |= {"suspendState": "UNSUSPENDED", "state": "READY"}

        def accounts(request: Request) -> Response:
            return JSONResponse({"accounts": [account], "nextPageToken": "", "totalSize": 1})

        def whose(request: Request) -> Response:
            is_ours = request.path_params["account"] == ACCOUNT
            return JSONResponse(account) if is_ours else self.said(404, "account not found")

        def page(request: Request) -> Response:
            if request.path_params["account"] != ACCOUNT or request.path_params["head"] not in HEADS:
                return self.said(404, "Not Found")
            return JSONResponse(self.listing(world, request))

        def about(request: Request) -> Response:
            id, _, order = request.url.path.removeprefix("/v1/").partition(":")
            if id not in world.jobs:
                return self.missing(id)
            job = world.jobs[id]
            if order == "cancel" and job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return JSONResponse({} if order else self.document(job, world.now()))

        listing = "/v1/accounts/{account}/{head}"
        return [
            Route("/v1/accounts", world.guarded(accounts), methods=["GET"]),
            Route("/v1/accounts/{account}", world.guarded(whose), methods=["GET"]),
            Route(listing, world.guarded(page), methods=["GET"]),
            Route(listing + "/{job}", world.guarded(about), methods=["GET", "POST"]),
        ]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A page of one kind of job, by name."""
        head = request.path_params.get("head", SUPERVISED)
        query, now = request.query_params, world.listed_at()
        jobs = sorted((job for job in world.jobs.values() if f"/{head}/" in job.id), key=lambda job: job.id)
        start = int(query.get("pageToken", "page-0").removeprefix("page-"))
        end = start + min(int(query.get("pageSize", 50)), 200, world.page_cap)
        return {
            head: [self.document(job, max(now, job.created_at)) for job in jobs[start:end]],
            "nextPageToken": f"page-{end}" if end < len(jobs) else "",
            "totalSize": len(jobs),
        }

    def entries(self, listing: Any) -> list[Any]:
        """The entries within such a page."""
        found: list[Any] = next(listing[head] for head in HEADS if head in listing)
        return found

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this state."""
        entry["state"] = word

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error as a gateway to gRPC words it."""
        about = {"code": CODES.get(status, 2), "message": message, "details": []}
        return JSONResponse(about, status, headers={"retry-after": "1"} if status == 429 else None)

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.said(404, f"fine-tuning job {id} not found")

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it: its model is named from the first moment on."""
        state = job.state(now)
        failure = FAILURES.get((state.error or {}).get("code", ""), "INTERNAL")
        share = EPOCHS * state.step / max(1, state.steps)
        epoch = min(int(share), EPOCHS - 1)
        training = {
            "baseModel": job.model,
            "outputModel": f"accounts/{ACCOUNT}/models/{job.suffix or job.id[-9:]}",
            "epochs": EPOCHS,
            "learningRate": 0.0001,
            "loraRank": 8,
        }
        return {
            "name": job.id,
            "displayName": job.suffix or "",
            "createTime": _time(job.created_at),
            "updateTime": _time(state.since),
            "completedTime": _time(state.ended_at) if state.ended_at is not None else None,
            "dataset": f"accounts/{ACCOUNT}/datasets/{job.training_file}",
            "evaluationDataset": "",
            "state": self.word(state.status),
            "status": {"code": failure, "message": state.error["message"]}
            if state.error
            else {"code": "OK", "message": ""},
            "createdBy": "ml@example.com",
            **(training if f"/{SUPERVISED}/" in job.id else {"trainingConfig": training}),
            **({"evaluator": f"accounts/{ACCOUNT}/evaluators/exact"} if HEADS[2] in job.id else {}),
            "jobProgress": {
                "percent": int(100 * (share - epoch)),
                "epoch": epoch,
                "inputTokens": 400 * state.step,
            }
            if state.started_at is not None
            else None,
            "wandbConfig": {"enabled": True, "apiKey": "wandb-0123456789", "project": "bots"},
            "estimatedCost": {"currencyCode": "USD", "units": "1", "nanos": 500_000_000},
            "metricsFileSignedUrl": f"https://storage.example.com/metrics?signature={time.monotonic_ns()}",
        }


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


DIALECT = Fireworks()
