"""Kubeflow Trainer v2 in a Kubernetes cluster, as its API server speaks: lists, single jobs, and changes."""

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import Job
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Kubeflow"]

NAMESPACE = "ml"
GROUP = "trainer.kubeflow.org"
VERSION = f"{GROUP}/v1alpha1"
REVIEWS = ("authentication.k8s.io/v1/selfsubjectreviews", "authorization.k8s.io/v1/selfsubjectrulesreviews")
# How often a stream looks for changes (real seconds).
BEAT = 0.05
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}


class Kubeflow(Dialect):
    """TrainJobs of one namespace, listed by name; times in whole seconds."""

    kind = "kubeflow"
    model = "hf://meta-llama/Llama-3.2-1B-Instruct"
    id_form = "run-{number}"
    shows: ClassVar[Mapping[str, str]] = {"validating_files": "queued", "cancelled": "cancelling"}
    tells_model = False
    log_tells = frozenset({"states", "figures", "ends"})

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """A kubeconfig in the folder leads to the service."""
        file = folder / "kubeconfig.json"
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "simulated", "cluster": {"server": url}}],
            "users": [{"name": "watcher", "user": {"token": key} if key else {}}],
            "contexts": [
                {
                    "name": "here",
                    "context": {"cluster": "simulated", "user": "watcher", "namespace": NAMESPACE},
                }
            ],
            "current-context": "here",
        }
        file.write_text(json.dumps(written))
        return {"kind": self.kind, "kubeconfig": str(file)}

    def routes(self, world: Upstream) -> list[Route]:
        """List, watch and get, in the namespace; list and watch also in all; and who it is that asks."""

        def page(request: Request) -> Response:
            if request.query_params.get("watch") in ("1", "true"):
                return StreamingResponse(self.changes(world, request), media_type="application/json")
            return JSONResponse(self.listing(world, request))

        def retrieve(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(world, job, world.now()))

        def review(request: Request) -> Response:
            rule = {"apiGroups": [GROUP], "resources": ["trainjobs"], "verbs": ["get", "list", "watch"]}
            user = {"username": f"system:serviceaccount:{NAMESPACE}:ftwatch"}
            return JSONResponse({"status": {"userInfo": user, "resourceRules": [rule]}}, 201)

        everywhere = f"/apis/{VERSION}/trainjobs"
        here = f"/apis/{VERSION}/namespaces/{NAMESPACE}/trainjobs"
        return [
            Route(everywhere, world.guarded(page), methods=["GET"]),
            Route(here, world.guarded(page), methods=["GET"]),
            Route(here + "/{id}", world.of_job(retrieve), methods=["GET"]),
            *(Route(f"/apis/{path}", world.guarded(review), methods=["POST"]) for path in REVIEWS),
        ]

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A page by name, which goes on after the one that the token holds."""
        query = request.query_params
        limit, after = min(int(query.get("limit", 500)), world.page_cap), ""
        if "continue" in query:
            after = json.loads(base64.b64decode(query["continue"]))["start"]
        jobs = sorted((job for job in world.jobs.values() if job.id > after), key=lambda job: job.id)
        now = world.listed_at()
        shown = [self.document(world, job, max(now, job.created_at)) for job in jobs[:limit]]
        about: dict[str, Any] = {"resourceVersion": str(_latest(world))}
        if len(jobs) > limit:
            place = json.dumps({"v": "meta.k8s.io/v1", "start": jobs[limit - 1].id})
            about["continue"] = base64.b64encode(place.encode()).decode()
            about["remainingItemCount"] = len(jobs) - limit
        return {"apiVersion": VERSION, "kind": "TrainJobList", "items": shown, "metadata": about}

    def entries(self, listing: Any) -> list[Any]:
        """They stand under `items`."""
        found: list[Any] = listing["items"]
        return found

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this state, as a condition that is true."""
        entry["status"]["conditions"] = [_condition(word, "True", time.time())]

    async def changes(self, world: Upstream, request: Request) -> AsyncIterator[bytes]:
        """What happens to jobs after a version, a line each, for as long as is asked for."""
        since = int(request.query_params.get("resourceVersion") or _latest(world))
        until = time.monotonic() + float(request.query_params.get("timeoutSeconds", 1800))
        known = {job.id: at for job in world.jobs.values() if (at := _version(world, job)) <= since}
        while time.monotonic() < until:
            there = {job.id: (job, _version(world, job)) for job in world.jobs.values()}
            changed = [(job, at) for id, (job, at) in there.items() if known.get(id) != at]
            for job, _ in sorted(changed, key=lambda each: each[1]):
                word = "MODIFIED" if job.id in known else "ADDED"
                yield _line(word, self.document(world, job, world.now()))
            for id in known.keys() - there.keys():
                yield _line("DELETED", {"metadata": {"name": id, "namespace": NAMESPACE}})
            known = {id: at for id, (_, at) in there.items()}
            if changed:
                yield _line("BOOKMARK", {"metadata": {"resourceVersion": str(_latest(world))}})
            await anyio.sleep(BEAT)

    def document(self, world: Upstream, job: Job, now: float) -> dict[str, Any]:
        """A job as the API server shows it; nothing tells how the model that it made is called."""
        state = job.state(now)
        runs = state.status in ("running", "cancelled") and state.started_at is not None
        status: dict[str, Any] = {
            "jobsStatus": [
                {
                    "name": "node",
                    "active": int(runs),
                    "ready": int(runs),
                    "succeeded": int(state.status == "succeeded"),
                    "failed": int(state.status == "failed"),
                    "suspended": int(state.status == "paused"),
                }
            ]
        }
        conditions = self.conditions(job, now)
        if conditions:
            status["conditions"] = conditions
        if state.step:
            said = min(state.ended_at or now, now)
            status["trainerStatus"] = {
                "progressPercentage": state.percent,
                "estimatedRemainingSeconds": int(job.longest * (1 - state.step / state.steps)),
                "metrics": [
                    {"name": "step", "value": str(state.step)},
                    {"name": "max_steps", "value": str(state.steps)},
                    *({"name": k, "value": str(v)} for k, v in job.figures(state.step).items()),
                ],
                "lastUpdatedTime": _time(said),
            }
        about = {
            "name": job.id,
            "namespace": NAMESPACE,
            "uid": f"00000000-0000-4000-8000-{int(job.created_at):012d}",
            "resourceVersion": str(_version(world, job)),
            "creationTimestamp": _time(job.created_at),
            "labels": job.metadata,
        }
        if state.status == "cancelled":
            about |= {"deletionTimestamp": _time(state.since), "finalizers": ["foregroundDeletion"]}
        return {
            "apiVersion": VERSION,
            "kind": "TrainJob",
            "metadata": about,
            "spec": {
                "runtimeRef": {"name": "torchtune-llama3.2-1b", "kind": "ClusterTrainingRuntime"},
                "initializer": {
                    "dataset": {"storageUri": f"hf://acme/{job.training_file}"},
                    "model": {"storageUri": job.model},
                },
                "trainer": {"numNodes": 2, "env": [{"name": "LEARNING_RATE", "value": "1e-4"}]},
                "suspend": state.status == "paused",
            },
            "status": status,
        }

    def conditions(self, job: Job, now: float) -> list[dict[str, Any]]:
        """One of each type, as of its last transition."""
        found: dict[str, dict[str, Any]] = {}
        for one in job.transitions(now):
            if one.status == "paused":
                found["Suspended"] = _condition("Suspended", "True", one.at, "Suspended")
            elif "Suspended" in found and one.status in ("queued", "running"):
                found["Suspended"] = _condition("Suspended", "False", one.at, "Resumed")
            elif one.status == "succeeded":
                found["Complete"] = _condition("Complete", "True", one.at, "AllJobsCompleted")
            elif one.status == "failed":
                error = job.script.error or {}
                found["Failed"] = _condition(
                    "Failed", "True", one.at, error.get("code", "JobsFailed"), error.get("message", "")
                )
        return list(found.values())

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """A Status object."""
        return JSONResponse(
            _status(status, message), status, headers={"retry-after": "1"} if status == 429 else None
        )

    def missing(self, id: str) -> Response:
        """The answer about a job that the cluster does not have."""
        about = _status(404, f'trainjobs.{GROUP} "{id}" not found')
        return JSONResponse({**about, "details": {"name": id, "group": GROUP, "kind": "trainjobs"}}, 404)


def _status(code: int, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": REASONS.get(code, "InternalError"),
        "code": code,
    }


def _condition(
    kind: str, value: str, at: float, reason: str = "Simulated", message: str = ""
) -> dict[str, Any]:
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message or f"The TrainJob is {kind.lower()}",
        "lastTransitionTime": _time(at),
    }


def _line(word: str, thing: dict[str, Any]) -> bytes:
    return json.dumps({"type": word, "object": thing}).encode() + b"\n"


def _version(world: Upstream, job: Job) -> int:
    """How many things had happened in the cluster when the last thing happened to this job."""
    happened = world.history()
    return max((number for number, one in enumerate(happened, 1) if one.job == job.id), default=0)


def _latest(world: Upstream) -> int:
    return len(world.history())


def _time(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DIALECT = Kubeflow()
