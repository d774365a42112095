"""Kubeflow Trainer's TrainJob, read into `Snapshot`. It has no word for its state.

Conditions, counts of child jobs and a mark of deletion make one. Pure and lenient: nothing here raises for
any bytes but `Unreadable`. How to ask a cluster is the provider's affair.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ftwatch.core.job import JobError, Progress, Snapshot, Status
from ftwatch.core.journal import Line
from ftwatch.plugins import LogPage, Unreadable
from ftwatch.wire import joblog, lenient

__all__ = ["identify", "inline", "read"]

# Conditions that are states, the weightiest first; what the others say depends on the child jobs.
ENDS = {"Complete": Status.SUCCEEDED, "Failed": Status.FAILED}
SUSPENDED, CREATED = "Suspended", "Created"
# Who waits in one of Kueue's queues is suspended until it is let in.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
# What of the trainer's settings is told: arguments and environment may hold secrets.
SIZES = ("numNodes", "numProcPerNode", "resourcesPerNode")
# What trainers call their place in the run among their figures.
STEP, TOTAL = ("step", "global_step", "current_step"), ("total_steps", "max_steps")


# --------------------------------------------------------------------------------------------- entries


def identify(found: object, *, everywhere: bool) -> str:
    """A job's name, with its namespace before it where several are watched. Raises Unreadable."""
    name = lenient.identifier(lenient.at(found, "metadata.name"))
    if not everywhere:
        return name
    return lenient.identifier(f"{lenient.identifier(lenient.at(found, 'metadata.namespace'))}/{name}")


def read(raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str], everywhere: bool) -> Snapshot:
    """The canonical job in one document; the provider's own `labels` stand above the job's.

    `everywhere`: jobs of all namespaces are watched. Raises Unreadable.
    """
    found = lenient.document(raw)
    id = identify(found, everywhere=everywhere)
    about = found.get("status")
    conditions = lenient.at(about, "conditions")
    if not isinstance(about, dict | None) or not isinstance(conditions, list | None):
        raise Unreadable(f"the entry of {id} has no status that can be read")
    true = {sort: entry for sort, entry in _conditions(found) if _is(entry, "True")}
    status, word = _state(found, true)
    end = true[word] if word in ENDS else {}
    metadata = lenient.strings(lenient.at(found, "metadata.labels"))
    scope = lenient.strings(
        {
            "namespace": lenient.at(found, "metadata.namespace"),
            "runtime": lenient.at(found, "spec.runtimeRef.name"),
        }
    )
    error = JobError(code=lenient.text(end.get("reason")), message=lenient.text(end.get("message")))
    return Snapshot(
        id=id,
        created_at=lenient.moment(lenient.at(found, "metadata.creationTimestamp")),
        error=lenient.told(error) if status is Status.FAILED else None,
        finished_at=lenient.moment(end.get("lastTransitionTime")),
        hyperparameters=_settings(found),
        model=lenient.some(lenient.at(found, "spec.initializer.model.storageUri")),
        status=status,
        training_file=lenient.some(lenient.at(found, "spec.initializer.dataset.storageUri")),
        estimated_finish=_finish(found) if status is Status.RUNNING else None,
        metadata=metadata,
        provider=provider,
        kind=kind,
        name=lenient.some(lenient.at(found, "metadata.name")),
        labels={**scope, **metadata, **labels},
        raw_status=word,
        phase=_phase(found) if status is Status.RUNNING else None,
        progress=_progress(found),
    )


def inline(raw: bytes) -> LogPage:
    """The conditions, each with the time it came about, and the figures of the latest step."""
    try:
        found = lenient.document(raw)
    except Unreadable:
        return LogPage()
    lines = [_line(found, kind, entry) for kind, entry in _conditions(found)]
    lines += _figures(found)
    return LogPage(lines=tuple(sorted(lines, key=lambda line: line.at or 0)), newest_first=False)


# --------------------------------------------------------------------------------------------- the state


def _state(found: dict[str, Any], true: Mapping[str, Any]) -> tuple[Status, str]:
    """Our word, and the one that stands for it in the document; where there is none, what kubectl says."""
    for word, status in ENDS.items():
        if word in true:
            return status, word
    if lenient.at(found, "metadata.deletionTimestamp"):
        return Status.CANCELLING, "Terminating"
    if SUSPENDED in true:
        return _suspended(found), SUSPENDED
    strange = [kind for kind in true if kind != CREATED]
    if strange:
        return Status.UNKNOWN, strange[-1]
    if any(_has_begun(entry) for entry in lenient.objects(lenient.at(found, "status.jobsStatus"))):
        return Status.RUNNING, "Active"
    return Status.QUEUED, "Pending"


def _suspended(found: dict[str, Any]) -> Status:
    labels = lenient.at(found, "metadata.labels")
    return Status.QUEUED if isinstance(labels, dict) and labels.get(QUEUE_LABEL) else Status.PAUSED


def _has_begun(child: dict[str, Any]) -> bool:
    """Whether a child job runs or ran: between its parts, and at a restart, a TrainJob still runs."""
    return any(lenient.count(child.get(count)) for count in ("active", "ready", "succeeded", "failed"))


def _phase(found: dict[str, Any]) -> str | None:
    """The parts that are at work: dataset-initializer, model-initializer, node."""
    children = lenient.objects(lenient.at(found, "status.jobsStatus"))
    active = [lenient.some(child.get("name")) for child in children if lenient.count(child.get("active"))]
    return ", ".join(filter(None, active)) or None


def _conditions(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each condition under its type, which is there once."""
    listed = lenient.objects(lenient.at(found, "status.conditions"))
    return [(kind, entry) for entry in listed if (kind := lenient.some(entry.get("type"))) is not None]


def _is(condition: dict[str, Any], value: str) -> bool:
    return str(condition.get("status")).lower() == value.lower()


def _line(found: dict[str, Any], kind: str, condition: dict[str, Any]) -> Line:
    """A condition as a line. Conditions are the cluster's own record, so an end that stands there is one."""
    said = [lenient.some(condition.get(key)) for key in ("reason", "message")]
    is_true = _is(condition, "True")
    status = ENDS.get(kind) if is_true else None
    if kind == SUSPENDED:
        status = _suspended(found) if is_true else Status.QUEUED
    return Line(
        at=lenient.moment(condition.get("lastTransitionTime")),
        level="error" if status is Status.FAILED else "info",
        type=kind if is_true else f"not {kind}",
        message=": ".join(dict.fromkeys(filter(None, (kind if is_true else f"not {kind}", *said))))[:2000],
        status=status,
    )


# --------------------------------------------------------------------------------------------- the trainer


def _told_by_trainer(found: dict[str, Any]) -> dict[str, Any]:
    """The figures that the trainer reports, under its own names; their values are text."""
    listed = lenient.objects(lenient.at(found, "status.trainerStatus.metrics"))
    return {str(entry.get("name")).lower(): entry.get("value") for entry in listed}


def _figures(found: dict[str, Any]) -> Iterator[Line]:
    told = _told_by_trainer(found)
    known = joblog.figures(told)
    if known:
        step = _first_count(told, STEP)
        shown = ", ".join(f"{name}={value:g}" for name, value in known.items())
        yield Line(
            at=lenient.moment(lenient.at(found, "status.trainerStatus.lastUpdatedTime")),
            type="metrics",
            message=f"Step {step}: {shown}" if step is not None else shown,
            step=step,
            metrics=known,
        )


def _progress(found: dict[str, Any]) -> Progress | None:
    told = _told_by_trainer(found)
    step, total = _first_count(told, STEP), _first_count(told, TOTAL)
    epoch = lenient.finite(told.get("epoch"))
    percent = lenient.finite(lenient.at(found, "status.trainerStatus.progressPercentage"))
    percent = min(100.0, max(0.0, percent)) if percent is not None else None
    if (step, epoch, percent) == (None, None, None):
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)


def _finish(found: dict[str, Any]) -> int | None:
    """When the trainer expects to be done, counted from when it said so."""
    said = lenient.moment(lenient.at(found, "status.trainerStatus.lastUpdatedTime"))
    left = lenient.count(lenient.at(found, "status.trainerStatus.estimatedRemainingSeconds"))
    return lenient.seconds(said + left) if said and left else None


def _settings(found: dict[str, Any]) -> dict[str, Any] | None:
    """How large the run is."""
    trainer = lenient.settings(lenient.at(found, "spec.trainer")) or {}
    return {key: value for key, value in trainer.items() if key in SIZES} or None


def _first_count(told: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    counts = (lenient.count(told.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)
