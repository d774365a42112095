"""OpenAI's job log and checkpoints, and what its relatives make of them, read into lines and figures.

Wording is payload: three spellings of "success" were seen, so a line proves a state only where its words
leave no doubt, and a job's end is never taken from here.
"""

import re
from typing import Any

from ftwatch.core.job import Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.plugins import LogPage, ProviderError, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.dialect import Paging, Part

__all__ = [
    "LEVELS",
    "NAMES",
    "figures",
    "read",
    "read_checkpoints",
    "read_events",
    "read_metrics",
    "read_series",
]

LEVELS = {"warn": "warning", "warning": "warning", "error": "error", "critical": "error"}

# What a line proves: the job entered this state then. In the order of preference.
_PROOFS = (
    (re.compile(r"created fine-?tun|validating (training )?file", re.I), Status.VALIDATING_FILES),
    (re.compile(r"moving job to queued|job enqueued|waiting for jobs ahead", re.I), Status.QUEUED),
    (re.compile(r"^(fine-?\s?tuning )?job (has )?started\b|^training started\b", re.I), Status.RUNNING),
    (re.compile(r"^(fine-?\s?tuning )?job (has been |was |is )?resum", re.I), Status.QUEUED),
    (re.compile(r"^(fine-?\s?tuning )?job (has been |was |is )?paus(ed|ing)\b", re.I), Status.PAUSED),
)

# Unsloth Studio's arrays: what they are figures of, the figures, their steps.
_SERIES = (
    ("loss", "loss_history", "loss_step_history"),
    ("eval_loss", "eval_loss_history", "eval_step_history"),
    ("learning_rate", "lr_history", "lr_step_history"),
    ("grad_norm", "grad_norm_history", "grad_norm_step_history"),
)

# What the services call their figures.
NAMES = {
    "train_loss": "train_loss",
    "training_loss": "train_loss",
    "loss": "train_loss",
    "valid_loss": "valid_loss",
    "validation_loss": "valid_loss",
    "val_loss": "valid_loss",
    "eval_loss": "valid_loss",
    "full_valid_loss": "full_valid_loss",
    "train_mean_token_accuracy": "train_accuracy",
    "train_accuracy": "train_accuracy",
    "valid_mean_token_accuracy": "valid_accuracy",
    "val_accuracy": "valid_accuracy",
    "eval_accuracy": "valid_accuracy",
    "full_valid_mean_token_accuracy": "full_valid_accuracy",
    "train_mean_reward": "train_reward",
    "full_valid_mean_reward": "valid_reward",
    "valid_mean_reward": "valid_reward",
    "learning_rate": "learning_rate",
    "lr": "learning_rate",
    "grad_norm": "grad_norm",
}


def figures(found: object) -> dict[str, float]:
    """The figures in an object, under our names; what is no finite number is left out."""
    if not isinstance(found, dict):
        return {}
    known: dict[str, float] = {}
    for key, value in found.items():
        name, figure = NAMES.get(str(key).lower()), lenient.finite(value)
        if name is not None and figure is not None:
            known.setdefault(name, figure)
    return known


def read(name: str, part: Part, body: bytes) -> LogPage:
    """A page of a part of a job's log, by the part's name. Raises ProviderError where it is none."""
    about = {"newest_first": part.newest_first, "trust_ids": "id" not in part.invents}
    match name:
        case "events":
            return read_events(body, **about, paging=part.paging)
        case "checkpoints":
            trust_times = "at" not in part.invents
            return read_checkpoints(body, **about, trust_times=trust_times, paging=part.paging)
        case "metrics":
            return read_metrics(body)
        case _:
            return read_series(body)


def read_events(
    body: bytes, *, newest_first: bool = True, trust_ids: bool = True, paging: Paging = "after"
) -> LogPage:
    """A page of events. Raises ProviderError where it is none; an entry that is no event is passed over."""
    entries, rest = lenient.parted(body, "data", "events")
    lines, last = [], None
    for found in lenient.documents(entries[_start(rest) :]):
        lines.append(_line(found, trust_ids))
        last = lenient.text(found.get("id")) or last
    following = _next(paging, rest, len(entries), last)
    return LogPage(lines=tuple(lines), next=following, newest_first=newest_first)


def _line(found: dict[str, Any], trust_ids: bool) -> Line:
    message = lenient.some(found.get("message")) or ""
    data = found.get("data")
    known = figures(data)
    step = lenient.count(lenient.at(data, "step") if known else found.get("step"))
    level = str(found.get("level") or "info").lower()
    return Line(
        key=lenient.cut(lenient.text(found.get("id")) or "")[:128] if trust_ids else "",
        at=lenient.moment(found.get("created_at")),
        level=LEVELS.get(level, "info"),
        type=lenient.some(found.get("type")) or "message",
        message=message[:2000],
        status=None if known else proof(message),
        step=step,
        total=lenient.count(lenient.at(data, "total_steps")),
        metrics=known,
    )


def proof(message: str) -> Status | None:
    """The state that a message says the job entered, where it leaves no doubt."""
    start = message[:200].strip()
    return next((status for pattern, status in _PROOFS if pattern.search(start)), None)


def read_checkpoints(
    body: bytes,
    *,
    newest_first: bool = True,
    trust_ids: bool = True,
    trust_times: bool = True,
    paging: Paging = "after",
) -> LogPage:
    """A page of checkpoints. Raises ProviderError where it is none."""
    entries, rest = lenient.parted(body, "data", "checkpoints")
    found, last = [], None
    for one in lenient.documents(entries[_start(rest) :]):
        found.append(_checkpoint(one, trust_ids, trust_times))
        last = lenient.some(one.get("id")) or last
    following = _next(paging, rest, len(entries), last)
    return LogPage(checkpoints=tuple(found), next=following, newest_first=newest_first)


def _checkpoint(found: dict[str, Any], trust_ids: bool, trust_times: bool) -> Checkpoint:
    files = found.get("result_files")
    step = found.get("step_number", found.get("step", lenient.at(found, "metrics.step")))
    return Checkpoint(
        id=lenient.some(found.get("id")) if trust_ids else None,
        at=lenient.moment(found.get("created_at")) if trust_times else None,
        step=lenient.count(step),
        model=lenient.some(found.get("fine_tuned_model_checkpoint", found.get("path"))),
        metrics=figures(found.get("metrics", found)),
        files=tuple(filter(None, map(lenient.some, files))) if isinstance(files, list) else (),
    )


def read_metrics(body: bytes) -> LogPage:
    """Figures of tt-inference-server, a row for each: name, value, step and time. Raises ProviderError."""
    lines = []
    for row in lenient.documents(lenient.entries(body, "data")):
        at = lenient.moment(row.get("timestamp"))
        lines += _figure(row.get("metric_name"), row.get("global_step"), row.get("value"), at)
    return LogPage(lines=tuple(lines), newest_first=False)


def read_series(body: bytes) -> LogPage:
    """Figures of Unsloth Studio, an array for each and another one with its steps. Raises ProviderError."""
    try:
        found = lenient.document(body)
    except Unreadable as error:
        raise ProviderError(f"the answer is no run but {error}") from None
    lines = []
    for name, values, steps in _SERIES:
        arrays = [lenient.at(found, f"metrics.{key}") for key in (steps, values)]
        if all(isinstance(array, list) for array in arrays):
            for step, value in zip(*arrays, strict=False):
                lines += _figure(name, step, value)
    return LogPage(lines=tuple(lines), newest_first=False)


def _figure(name: object, step: object, value: object, at: int | None = None) -> list[Line]:
    """One figure of one step as a line, if it is one that is kept; its key is what it says."""
    known, place = figures({name: value}), lenient.count(step)
    if not known or place is None:
        return []
    (ours,) = known
    return [Line(key=f"{ours} {place}", at=at, type="metrics", step=place, metrics=known)]


def _start(rest: dict[str, Any]) -> int:
    """How many entries of a page were read before."""
    return lenient.count(rest.get("offset")) or 0


def _next(paging: Paging, rest: dict[str, Any], length: int, last: str | None) -> str | None:
    """The anchor of the page after, where the service says that there is one."""
    if paging is None or not lenient.yes(rest.get("has_more")):
        return None
    if paging == "after":
        return last
    # A service that does not give more, however long a page may be, would be asked for ever.
    return str(length) if length > _start(rest) else None
