"""OpenAI's job log and checkpoints, and what its relatives make of them, read into lines and figures.

Wording is payload: three spellings of "success" were seen, so a line proves a state only where its words
leave no doubt, and a job's end is never taken from here.
"""

import re
from typing import Any

from ftwatch.core.job import Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.plugins import LogPage, Unreadable
from ftwatch.wire import lenient

__all__ = ["figures", "read_checkpoints", "read_events"]

LEVELS = {"warn": "warning", "warning": "warning", "error": "error", "critical": "error"}

# What a line proves: the job entered this state then. In the order of preference.
_PROOFS = (
    (re.compile(r"created fine-?tun|validating (training )?file", re.I), Status.VALIDATING_FILES),
    (re.compile(r"moving job to queued|job enqueued|waiting for jobs ahead", re.I), Status.QUEUED),
    (re.compile(r"^(fine-?\s?tuning )?job (has )?started\b|^training started\b", re.I), Status.RUNNING),
    (re.compile(r"^(fine-?\s?tuning )?job (has been |was |is )?resum", re.I), Status.QUEUED),
    (re.compile(r"^(fine-?\s?tuning )?job (has been |was |is )?paus(ed|ing)\b", re.I), Status.PAUSED),
)

# What the services call their figures.
_NAMES = {
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
        name, figure = _NAMES.get(str(key).lower()), lenient.finite(value)
        if name is not None and figure is not None:
            known.setdefault(name, figure)
    return known


def read_events(body: bytes, *, newest_first: bool = True, trust_ids: bool = True) -> LogPage:
    """A page of events. Raises ProviderError where it is none; an entry that is no event is passed over."""
    entries, rest = lenient.parted(body, "data", "events")
    lines, last = [], None
    for raw in entries:
        try:
            found = lenient.document(raw)
        except Unreadable:
            continue
        lines.append(_line(found, trust_ids))
        last = lenient.text(found.get("id")) or last
    return LogPage(lines=tuple(lines), next=_next(rest, last), newest_first=newest_first)


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
        metrics=known,
    )


def proof(message: str) -> Status | None:
    """The state that a message says the job entered, where it leaves no doubt."""
    start = message[:200].strip()
    return next((status for pattern, status in _PROOFS if pattern.search(start)), None)


def read_checkpoints(body: bytes, *, newest_first: bool = True) -> LogPage:
    """A page of checkpoints. Raises ProviderError where it is none."""
    entries, rest = lenient.parted(body, "data", "checkpoints")
    found, last = [], None
    for raw in entries:
        try:
            one = lenient.document(raw)
        except Unreadable:
            continue
        id = lenient.some(one.get("id"))
        files = one.get("result_files")
        found.append(
            Checkpoint(
                id=id,
                at=lenient.moment(one.get("created_at")),
                step=lenient.count(one.get("step_number", lenient.at(one, "metrics.step"))),
                model=lenient.some(one.get("fine_tuned_model_checkpoint")),
                metrics=figures(one.get("metrics")),
                files=tuple(filter(None, map(lenient.some, files))) if isinstance(files, list) else (),
            )
        )
        last = id or last
    return LogPage(checkpoints=tuple(found), next=_next(rest, last), newest_first=newest_first)


def _next(rest: dict[str, Any], last: str | None) -> str | None:
    """The anchor of the page after, where the service says that there is one."""
    return last if rest.get("has_more") is True else None
