"""What runs without an API say of themselves: pushed documents, merged into one for each run, and read. Pure.

A push tells what is new; what it leaves out stays as it was. The merged document also keeps when each state
began and the last figures, so that nothing between two looks is lost.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ftwatch.core.event import digest
from ftwatch.core.job import TERMINAL, JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.plugins import Hook, LogPage, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.joblog import LEVELS, figures

__all__ = ["STATUSES", "heard_at", "hook", "identify", "inline", "listed", "merged", "read"]

# Our own words, and those of the schedulers and trainers that people push from.
STATUSES = {
    **{str(status): status for status in Status},
    **dict.fromkeys(
        ("pending", "submitted", "waiting", "scheduled", "configuring", "created"), Status.QUEUED
    ),
    **dict.fromkeys(
        ("started", "starting", "training", "in_progress", "active", "step", "completing"), Status.RUNNING
    ),
    **dict.fromkeys(("suspended", "preempted", "requeued"), Status.PAUSED),
    **dict.fromkeys(("stopping", "canceling"), Status.CANCELLING),
    **dict.fromkeys(
        ("success", "successful", "completed", "complete", "done", "finished", "ok"), Status.SUCCEEDED
    ),
    **dict.fromkeys(
        (
            "failure",
            "error",
            "errored",
            "crashed",
            "timeout",
            "out_of_memory",
            "node_fail",
            "killed",
            "boot_fail",
        ),
        Status.FAILED,
    ),
    **dict.fromkeys(("canceled", "stopped", "aborted", "revoked"), Status.CANCELLED),
}
# Of one push, and of one run: how many runs, states, lines and checkpoints are kept, the newest.
MOST_RUNS, MOST_STATES, MOST_LINES, MOST_SAVED = 100, 60, 300, 50
# What is kept of a push besides its id, status and figures; the rest is no affair of ours.
FIELDS = frozenset(
    (
        "name",
        "owner",
        "model",
        "fine_tuned_model",
        "url",
        "phase",
        "step",
        "total_steps",
        "epoch",
        "percent",
        "created_at",
        "started_at",
        "finished_at",
        "estimated_finish",
        "trained_tokens",
        "training_file",
        "validation_file",
        "seed",
        "error",
        "metadata",
        "labels",
        "hyperparameters",
        "method",
        "result_files",
        "organization_id",
    )
)
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.PAUSED})


# ------------------------------------------------------------------------------------------ what came in


def hook(body: bytes) -> Hook:
    """One run's news, or a list of several. Raises Unreadable."""
    try:
        found = lenient.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the body is no JSON") from None
    told = found if isinstance(found, list) else [found]
    if not told or len(told) > MOST_RUNS:
        raise Unreadable(f"a push tells of one run, or of a list of 1 to {MOST_RUNS}")
    documents = []
    for one in told:
        if not isinstance(one, dict):
            raise Unreadable('a push is an object like {"id": "run-42", "status": "running", "step": 120}')
        documents.append((lenient.identifier(one.get("id")), one))
    return Hook(type="push", documents=tuple(documents))


def merged(before: bytes | None, told: Mapping[str, Any], now: float) -> bytes:
    """The run's document after a push at `now` (Unix seconds); `before` is the one until then."""
    document = lenient.document(before) if before is not None else {}
    fields = {**_mapping(document.get("fields")), **_kept(told)}
    at = lenient.moment(told.get("at") or told.get("time") or told.get("timestamp"))
    # A sender's clock may be wrong; what it says of times to come is not believed.
    moment = at if at is not None and at <= now + 60 else int(now)
    states = lenient.objects(document.get("states"))
    word = lenient.some(told.get("status")) or (None if states else Status.RUNNING)
    count = lenient.count(document.get("pushes")) or 0
    if word is not None and (not states or states[-1].get("status") != word):
        states.append({"status": word, "at": moment, "number": count})
    started = document.get("started")
    if started is None and _status(states) is Status.RUNNING:
        started = states[-1].get("at")
    lines = lenient.objects(document.get("lines"))
    line = _line(told, moment, count)
    if line is not None:
        lines.append(line)
    saved = lenient.objects(document.get("checkpoints"))
    if (checkpoint := _saved(told.get("checkpoint"), told, moment)) is not None:
        saved.append(checkpoint)
    return msgspec.json.encode(
        {
            "id": lenient.identifier(told.get("id")),
            "first": document.get("first") or moment,
            "started": started,
            "heard": int(now),
            "pushes": count + 1,
            "fields": fields,
            "states": states[-MOST_STATES:],
            "lines": lines[-MOST_LINES:],
            "checkpoints": saved[-MOST_SAVED:],
        }
    )


def _kept(told: Mapping[str, Any]) -> dict[str, Any]:
    return {key: lenient.plain(value) for key, value in told.items() if key in FIELDS}


def _line(told: Mapping[str, Any], at: int, number: int) -> dict[str, Any] | None:
    """The push as a line of the job log, where it says more than a state."""
    known = {**figures(told), **figures(told.get("metrics"))}
    message = lenient.some(told.get("message"))
    if not known and message is None:
        return None
    level = LEVELS.get(str(told.get("level", "")).lower(), "info")
    step = lenient.count(told.get("step"))
    return {"at": at, "number": number, "step": step, "metrics": known, "message": message, "level": level}


def _saved(found: object, told: Mapping[str, Any], at: int) -> dict[str, Any] | None:
    """A checkpoint: its name or path, or an object with more."""
    about = found if isinstance(found, dict) else {"model": found}
    model, id = lenient.some(about.get("model")), lenient.some(about.get("id"))
    if model is None and id is None:
        return None
    step = lenient.count(about.get("step"))
    return {
        "id": id,
        "model": model,
        "at": at,
        "step": step if step is not None else lenient.count(told.get("step")),
        "metrics": figures(about.get("metrics")) or figures(told),
    }


# ---------------------------------------------------------------------------------------------- reading


def identify(raw: bytes) -> str:
    """The id in a merged document. Raises Unreadable."""
    return lenient.identifier(lenient.document(raw).get("id"))


def heard_at(raw: bytes) -> float | None:
    """When the run was last heard of (Unix seconds)."""
    return lenient.finite(lenient.document(raw).get("heard"))


def listed(raw: bytes) -> bytes:
    """What of a document stands in a listing: enough to see that it has changed."""
    found = lenient.document(raw)
    return msgspec.json.encode({key: found.get(key) for key in ("id", "pushes", "states", "fields", "first")})


def read(raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str]) -> Snapshot:
    """The canonical job in a merged document. Raises Unreadable."""
    found = lenient.document(raw)
    id, fields = lenient.identifier(found.get("id")), _mapping(found.get("fields"))
    states = lenient.objects(found.get("states"))
    word = lenient.some(states[-1].get("status")) if states else None
    if word is None:
        raise Unreadable(f"the entry of {id} has no status")
    status = lenient.status_among(STATUSES, word)
    metadata = lenient.strings(fields.get("metadata"))
    since = lenient.moment(states[-1].get("at"))
    model = lenient.some(fields.get("fine_tuned_model"))
    files = fields.get("result_files")
    return Snapshot(
        id=id,
        created_at=lenient.moment(fields.get("created_at")) or lenient.moment(found.get("first")),
        error=_error(fields.get("error")) if status in HAS_ERROR else None,
        fine_tuned_model=model if status is Status.SUCCEEDED else None,
        finished_at=lenient.moment(fields.get("finished_at")) or since if status in TERMINAL else None,
        hyperparameters=lenient.settings(fields.get("hyperparameters")),
        model=lenient.some(fields.get("model")),
        organization_id=lenient.some(fields.get("organization_id")),
        result_files=tuple(filter(None, map(lenient.some, files))) if isinstance(files, list) else (),
        status=status,
        trained_tokens=lenient.count(fields.get("trained_tokens")),
        training_file=lenient.some(fields.get("training_file")),
        validation_file=lenient.some(fields.get("validation_file")),
        seed=lenient.whole(lenient.number(fields.get("seed"))),
        estimated_finish=lenient.moment(fields.get("estimated_finish")),
        method=Method(type=method) if (method := lenient.some(fields.get("method"))) else None,
        metadata=metadata,
        provider=provider,
        kind=kind,
        name=lenient.some(fields.get("name")),
        owner=lenient.some(fields.get("owner")),
        labels={**metadata, **lenient.strings(fields.get("labels")), **labels},
        raw_status=word,
        phase=lenient.some(fields.get("phase")),
        started_at=lenient.moment(fields.get("started_at")) or lenient.moment(found.get("started")),
        progress=_progress(fields),
        url=lenient.some(fields.get("url")),
    )


def inline(raw: bytes) -> LogPage:
    """The states and figures of a run, oldest first, and its checkpoints."""
    try:
        found = lenient.document(raw)
    except Unreadable:
        return LogPage()
    lines = []
    for one in lenient.objects(found.get("states")):
        word = lenient.some(one.get("status")) or ""
        status = lenient.status_among(STATUSES, word)
        lines.append(
            Line(
                key=f"state-{one.get('number')}",
                at=lenient.moment(one.get("at")),
                type="status",
                message=word,
                status=None if status is Status.UNKNOWN else status,
            )
        )
    total = lenient.count(_mapping(found.get("fields")).get("total_steps"))
    for one in lenient.objects(found.get("lines")):
        known = figures(one.get("metrics"))
        said = lenient.some(one.get("message"))
        shown = ", ".join(f"{name.replace('_', ' ')} {figure:g}" for name, figure in known.items())
        lines.append(
            Line(
                key=f"push-{one.get('number')}",
                at=lenient.moment(one.get("at")),
                level=lenient.some(one.get("level")) or "info",
                type="metrics" if known and said is None else "message",
                message=said or shown,
                step=lenient.count(one.get("step")),
                total=total,
                metrics=known,
            )
        )
    lines.sort(key=lambda line: line.at or 0)
    return LogPage(
        lines=tuple(lines),
        checkpoints=tuple(map(_checkpoint, lenient.objects(found.get("checkpoints")))),
        newest_first=False,
    )


def _checkpoint(one: dict[str, Any]) -> Checkpoint:
    id, model, step = (
        lenient.some(one.get("id")),
        lenient.some(one.get("model")),
        lenient.count(one.get("step")),
    )
    return Checkpoint(
        id=id or digest(model, step)[:20],
        at=lenient.moment(one.get("at")),
        step=step,
        model=model,
        metrics=figures(one.get("metrics")),
    )


def _status(states: list[dict[str, Any]]) -> Status:
    """The last of these states, in our word."""
    return lenient.status_among(STATUSES, lenient.some(states[-1].get("status")) or "")


def _error(found: object) -> JobError | None:
    if isinstance(found, dict):
        code, param = lenient.text(found.get("code")), lenient.text(found.get("param"))
        return lenient.told(JobError(code=code, message=lenient.text(found.get("message")), param=param))
    return lenient.told(JobError(message=lenient.text(found)))


def _progress(fields: Mapping[str, Any]) -> Progress | None:
    step, total = lenient.count(fields.get("step")), lenient.count(fields.get("total_steps"))
    epoch, percent = lenient.finite(fields.get("epoch")), lenient.finite(fields.get("percent"))
    if percent is None and step is not None and total:
        percent = round(min(100.0, 100 * step / total), 1)
    if step is None and total is None and epoch is None and percent is None:
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)


def _mapping(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
