"""Vertex AI's tuning jobs, as google-genai speaks it, and the token service that lets in."""

import base64
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import ENDED, Job, State
from ftwatch.simulator.upstream import Upstream

__all__ = ["DIALECT", "Vertex"]

PROJECT, NUMBER, LOCATION = "acme-research", "123456789012", "us-central1"
EPOCHS = 3
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
}
# What a job does while the service says that it RUNs.
PHASES = {
    "validating_files": "TUNING_JOB_STATE_PROCESSING_DATASET",
    "queued": "TUNING_JOB_STATE_WAITING_FOR_CAPACITY",
    "running": "TUNING_JOB_STATE_TUNING",
}
# google.rpc.Code
INVALID_ARGUMENT, RESOURCE_EXHAUSTED = 3, 8


class Vertex(Dialect):
    """`/v1/projects/…/locations/…/tuningJobs`: pages by token, int64 as strings, empty is left out."""

    kind = "vertex"
    model = "gemini-2.5-flash"
    id_form = "4611686018427{number:06d}"
    words: ClassVar[Mapping[str, str]] = dict.fromkeys(PHASES, "RUNNING")
    path = "/{version}/projects/{project}/locations/{location}/tuningJobs"

    def options(self, url: str, key: str | None, folder: Path) -> dict[str, Any]:
        """A service account, whose key's id is the key that the simulated service knows."""
        file = folder / "service-account.json"
        account = {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": key or "simulated",
            "private_key": _private_key(),
            "client_email": f"ftwatch@{PROJECT}.iam.gserviceaccount.com",
            "client_id": "100000000000000000001",
            "token_uri": f"{url}/token",
        }
        file.write_text(json.dumps(account))
        file.chmod(0o600)
        return {
            "kind": self.kind,
            "base_url": url,
            "project": PROJECT,
            "location": LOCATION,
            "credentials_file": str(file),
        }

    def routes(self, world: Upstream) -> list[Route]:
        """Tokens; list, get, cancel; which permissions who asks has (all of them)."""

        async def token(request: Request) -> Response:
            asked = parse_qs((await request.body()).decode())
            key = _key_id(asked["assertion"][0])
            if world.key is not None and key != world.key:
                refusal = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
                return JSONResponse(refusal, 400)
            return JSONResponse({"access_token": _token(key), "expires_in": 3599, "token_type": "Bearer"})

        def page(request: Request) -> Response:
            return JSONResponse(self.listing(world, request))

        def get(request: Request, job: Job) -> Response:
            return JSONResponse(self.document(job, world.now()))

        def cancel(request: Request, job: Job) -> Response:
            if job.status(world.now()) not in ENDED:
                job.order("cancelled", world.now())
            return JSONResponse({})

        async def permissions(request: Request) -> Response:
            return JSONResponse(await request.json())

        return [
            Route("/token", token, methods=["POST"]),
            Route("/v1/projects/{project}:testIamPermissions", world.guarded(permissions), methods=["POST"]),
            Route(self.path, world.guarded(page), methods=["GET"]),
            Route(self.path + "/{id}:cancel", world.of_job(cancel), methods=["POST"]),
            Route(self.path + "/{id}", world.of_job(get), methods=["GET"]),
        ]

    def admits(self, request: Request, key: str) -> bool:
        """Whether a request brings a token that this key was exchanged for."""
        return request.headers.get("authorization") == f"Bearer {_token(key)}"

    def listing(self, world: Upstream, request: Request) -> dict[str, Any]:
        """A page of jobs; an empty one says nothing."""
        query = request.query_params
        size = min(int(query.get("pageSize", 100)), world.page_cap)
        start = int(query.get("pageToken", "page-0").removeprefix("page-"))
        jobs, now = list(world.jobs.values()), world.listed_at()
        shown = [self.document(job, max(now, job.created_at)) for job in jobs[start : start + size]]
        found: dict[str, Any] = {"tuningJobs": shown} if shown else {}
        return {**found, "nextPageToken": f"page-{start + size}"} if start + size < len(jobs) else found

    def entries(self, listing: Any) -> list[Any]:
        """The entries, in a list that is there even where it is empty."""
        found: list[Any] = listing.setdefault("tuningJobs", [])
        return found

    def reword(self, entry: dict[str, Any], word: str) -> None:
        """Gives an entry this state."""
        entry["state"] = word

    def word(self, status: str) -> str:
        """The service's word for a script's status."""
        return f"JOB_STATE_{super().word(status).upper()}"

    def document(self, job: Job, now: float) -> dict[str, Any]:
        """The job as the API shows it: what there is none of, is not there."""
        state = job.state(now)
        ran = [one.at for one in job.transitions(now) if one.status in PHASES]
        told: dict[str, Any] = {
            "name": f"projects/{NUMBER}/locations/{LOCATION}/tuningJobs/{job.id}",
            "tunedModelDisplayName": job.suffix,
            "baseModel": job.model,
            "supervisedTuningSpec": {
                "trainingDatasetUri": f"gs://acme-data/{job.training_file}.jsonl",
                "hyperParameters": {
                    "epochCount": str(EPOCHS),
                    "learningRateMultiplier": 1.0,
                    "adapterSize": "ADAPTER_SIZE_FOUR",
                },
            },
            "state": self.word(state.status),
            "tuningJobState": PHASES.get(state.status),
            "createTime": _rfc3339(job.created_at),
            "startTime": _rfc3339(ran[0]) if ran else None,
            "endTime": _rfc3339(state.ended_at) if state.ended_at is not None else None,
            "updateTime": _rfc3339(max(state.since, job.created_at)),
            "labels": job.metadata or None,
            "error": self.error(state),
            "experiment": f"projects/{NUMBER}/locations/{LOCATION}/metadataStores/default/contexts/{job.id}",
        }
        if state.started_at is not None:
            told["tuningJobMetadata"] = {"completedEpochCount": str(EPOCHS * state.step // state.steps)}
            told["tuningDataStats"] = {
                "supervisedTuningDataStats": {
                    "tuningStepCount": str(state.steps),
                    "totalBillableTokenCount": str(48_000 * state.steps),
                    "tuningDatasetExampleCount": "1200",
                }
            }
        if state.status == "succeeded":
            told["tunedModel"] = self.tuned(job, now)
        return {key: value for key, value in told.items() if value is not None}

    def error(self, state: State) -> dict[str, Any] | None:
        """Why it failed, as google.rpc.Status."""
        if state.error is None:
            return None
        is_quota = "quota" in state.error["code"]
        return {
            "code": RESOURCE_EXHAUSTED if is_quota else INVALID_ARGUMENT,
            "message": state.error["message"],
        }

    def tuned(self, job: Job, now: float) -> dict[str, Any]:
        """The model, where it answers, and its checkpoints."""
        place = f"projects/{NUMBER}/locations/{LOCATION}"
        return {
            "model": f"{place}/models/{job.id[-6:]}@1",
            "endpoint": f"{place}/endpoints/{job.id[-6:]}9",
            "checkpoints": [
                {
                    "checkpointId": str(number),
                    "epoch": str(number),
                    "step": str(entry.step),
                    "endpoint": f"{place}/endpoints/{job.id[-6:]}{number}",
                }
                for number, entry in enumerate(job.saved(now), 1)
            ],
        }

    def said(self, status: int, message: str, code: str | None = None) -> Response:
        """An error as the service words it."""
        about = {"code": status, "message": message, "status": CODES.get(status, "UNKNOWN")}
        return JSONResponse({"error": about}, status, headers={"retry-after": "1"} if status == 429 else None)

    def missing(self, id: str) -> Response:
        """The answer about a job that the service does not know."""
        return self.said(404, f"TuningJob projects/{NUMBER}/locations/{LOCATION}/tuningJobs/{id} not found.")


@cache
def _private_key() -> str:
    """A service account's private key (PEM), made once a process."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    return (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def _key_id(assertion: str) -> str:
    """The id of the key that signed a JWT."""
    head = assertion.partition(".")[0]
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    return found["kid"]


def _token(key: str) -> str:
    """The token that a key is exchanged for."""
    return f"ya29.{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def _rfc3339(at: float) -> str:
    """A moment as the service writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


DIALECT = Vertex()
