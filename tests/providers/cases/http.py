"""What `http` is held to: one description of a service, by which it reads."""

from typing import Any

from ftwatch.core.job import Status
from ftwatch.providers.http import Authorization, Getting, Listing, Log
from ftwatch.wire.mapped import JobFields, LineFields, Words
from ftwatch.wire.paging import Paging
from ftwatch.wire.paths import Paths

path = Paths.of

WORDS: dict[Status, tuple[str, ...]] = {
    Status.VALIDATING_FILES: ("VALIDATING", "CREATING DATASET"),
    Status.QUEUED: ("QUEUED", "PENDING", "RUNNING/WAITING_FOR_QUOTA"),
    Status.RUNNING: ("RUNNING", "STARTED"),
    Status.PAUSING: ("PAUSING",),
    Status.PAUSED: ("PAUSED", "VALIDATED"),
    Status.CANCELLING: ("CANCELLATION_REQUESTED",),
    Status.SUCCEEDED: ("SUCCESS",),
    Status.FAILED: ("FAILED", "FAILED_VALIDATION"),
    Status.CANCELLED: ("CANCELLED",),
}

OPTIONS: dict[str, Any] = {
    "base_url": "https://tuning.example.com/v1",
    "auth": Authorization(header="x-api-key", scheme=""),
    "listing": Listing(path="/jobs", entries="data"),
    "paging": Paging(style="page", total=path("total")),
    "get": Getting(path="/jobs/{id}"),
    "fields": JobFields(
        id=path("job.id"),
        status=path("job.state"),
        phase=path("job.phase"),
        name=path("job.title", "job.id"),
        owner=path("job.owner"),
        created_at=path("times.created"),
        started_at=path("times.started"),
        finished_at=path("times.finished", "times.updated"),
        estimated_finish=path("times.estimated"),
        model=path("job.base"),
        fine_tuned_model=path("output.model"),
        error_code=path("error.code"),
        error_message=path("error.message", "error.events.-1.text"),
        trained_tokens=path("output.tokens"),
        training_file=path("job.files.0"),
        result_files=path("output.files"),
        hyperparameters=path("job.settings"),
        metadata=path("metadata"),
        step=path("progress.step"),
        total_steps=path("progress.steps"),
        percent=path("progress.percent"),
    ),
    "statuses": Words(**{str(status): words for status, words in WORDS.items()}),
    "labels_from": ("tags", "job.team"),
    "log": Log(
        entries="events",
        newest_first=True,
        fields=LineFields(at=path("at"), status=path("state"), step=path("step"), metrics=path("figures")),
    ),
}

# Every word of the description; upper and lower case, blanks and `-` make no difference.
STATUSES = {word: status for status, words in WORDS.items() for word in words}
STATUSES |= {"running": Status.RUNNING, "Creating-Dataset": Status.VALIDATING_FILES}


def document(word: str, number: int = 1) -> dict[str, Any]:
    """A job in this state, in the service's words."""
    state, _, phase = word.partition("/")
    return {
        "job": {
            "id": f"job-{number}",
            "state": state,
            "phase": phase or None,
            "base": "acme-7b",
            "files": ["train.jsonl"],
            "settings": {"epochs": 3},
            "team": "search",
        },
        "times": {"created": "2026-09-21T14:13:20Z"},
        "output": {},
        "error": {},
        "progress": {"step": 3, "steps": 12},
        "tags": {"stage": "trial"},
        "events": [{"at": 1_790_000_000, "state": "QUEUED"}],
    }


def listing(jobs: list[Any]) -> Any:
    """A whole listing of these."""
    return {"data": jobs, "total": len(jobs)}


def _with(word: str, **blocks: Any) -> dict[str, Any]:
    found = document(word)
    for name, block in blocks.items():
        found[name] = {**found.get(name, {}), **block} if isinstance(block, dict) else block
    return found


ERROR = {"code": "data", "message": "line 17 is no JSON"}

TRAPS = {
    "T07 error is {} on a healthy job": (_with("RUNNING", error={}), {"error": None}),
    "T07 an error is told of what failed only": (_with("RUNNING", error=ERROR), {"error": None}),
    "T08 hyperparameters are null": (
        _with("FAILED", job={"settings": None}),
        {"hyperparameters": None, "status": Status.FAILED},
    ),
    "T09 a model known early is not told before the end": (
        _with("RUNNING", output={"model": "acme-7b:run"}, times={"finished": 1_790_000_900}),
        {"fine_tuned_model": None, "finished_at": None},
    ),
    "T09 a job that failed made no model": (
        _with("FAILED", output={"model": "acme-7b:run"}),
        {"fine_tuned_model": None},
    ),
    "T09 a job that was cancelled made no model": (
        _with("CANCELLED", output={"model": "acme-7b:run"}),
        {"fine_tuned_model": None},
    ),
    "T10 succeeded without a model": (
        _with("SUCCESS"),
        {"status": Status.SUCCEEDED, "fine_tuned_model": None},
    ),
    "T11 result files are one text": (
        _with("SUCCESS", output={"files": "m.csv"}),
        {"result_files": ("m.csv",)},
    ),
    "T14 files are null": (_with("PENDING", output={"files": None}), {"result_files": ()}),
    "T15 a word in one phase": (
        _with("RUNNING", job={"phase": "WAITING_FOR_QUOTA"}),
        {"status": Status.QUEUED, "raw_status": "RUNNING", "phase": "WAITING_FOR_QUOTA"},
    ),
    "T17 validated waits for a human": (_with("VALIDATED"), {"status": Status.PAUSED}),
    "T19 the reason stands in the events": (
        _with("FAILED", error={"events": [{"text": "balance too low"}]}),
        {"error.message": "balance too low"},
    ),
    "T25 an estimate of 0 is none": (_with("RUNNING", times={"estimated": 0}), {"estimated_finish": None}),
    "T26 finished while paused": (
        _with("PAUSED", times={"finished": 1_790_000_500}),
        {"status": Status.PAUSED, "finished_at": None},
    ),
    "T27 -1 is a setting": (_with("RUNNING", job={"settings": {"n": -1}}), {"hyperparameters": {"n": -1}}),
    "T35 the provider's own words are kept": (
        _with("FAILED", error=ERROR),
        {"error.code": "data", "error.message": "line 17 is no JSON"},
    ),
    "T37 more than all is no percentage": (
        _with("RUNNING", progress={"percent": 250}),
        {"progress.percent": None, "progress.step": 3},
    ),
    "T38 a time in milliseconds": (
        _with("RUNNING", times={"created": 1_790_000_000_123}),
        {"created_at": 1_790_000_000},
    ),
    "T38 a time with a blank and a zone": (
        _with("RUNNING", times={"created": "2026-09-21 16:13:20.267960+02:00"}),
        {"created_at": 1_790_000_000},
    ),
    "T38 a time without a zone": (
        _with("RUNNING", times={"created": "2026-09-21T14:13:20.000000"}),
        {"created_at": 1_790_000_000},
    ),
    "T38 numbers as text": (
        _with("SUCCESS", times={"finished": "1790000900"}, output={"tokens": "48000"}),
        {"finished_at": 1_790_000_900, "trained_tokens": 48_000},
    ),
    "what comes first counts": (
        _with("SUCCESS", times={"updated": 1_790_000_800}),
        {"finished_at": 1_790_000_800, "name": "job-1"},
    ),
    "labels from a map and from a value": (
        _with("RUNNING"),
        {"labels.stage": "trial", "labels.team": "search", "labels.env": "prod"},
    ),
    "labels from pairs": (
        _with("RUNNING", tags=[{"Key": "stage", "Value": "trial"}]),
        {"labels": {"stage": "trial", "team": "search", "env": "prod"}},
    ),
}
