"""What do the files of a training run say? LLaMA-Factory's `trainer_log.jsonl`, the Trainer's state. Pure.

Two steps: `log` and `state` read the bytes of files into a `Record` each, and `document` joins what was found
in a run's folder into one JSON document; `read` and `inline` make the canonical job and its figures of that.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from ftwatch.core.event import digest
from ftwatch.core.job import JobError, Progress, Snapshot, Status
from ftwatch.core.journal import METRICS, Checkpoint, Line
from ftwatch.core.span import span
from ftwatch.plugins import LogPage, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.joblog import NAMES, figures

__all__ = [
    "FIGURES",
    "STATUSES",
    "Found",
    "Record",
    "beginning",
    "document",
    "identify",
    "inline",
    "log",
    "read",
    "state",
    "trainer_figures",
]

# Our own words, since a trainer has none: what a run's files show.
STATUSES = {
    "empty": Status.QUEUED,
    "training": Status.RUNNING,
    "silent": Status.PAUSED,
    "given up": Status.FAILED,
    "finished": Status.SUCCEEDED,
}
# So many figures of a run are told at most, the newest.
MOST_FIGURES = 300
# A beginning is known to a second or two, and should not move with every look (seconds).
GRID = 10
# What the libraries call their figures, beside the names that services have.
_NAMES = {
    "reward": "train_reward",
    "eval_reward": "valid_reward",
    "accuracy": "train_accuracy",
    "rewards/accuracies": "train_accuracy",
    "mean_token_accuracy": "train_accuracy",
    "eval_rewards/accuracies": "valid_accuracy",
    "eval_mean_token_accuracy": "valid_accuracy",
}
# Every name under which `trainer_figures` finds one.
FIGURES = frozenset({*_NAMES, *NAMES})
_SPAN = re.compile(r"(?:(\d{1,5}) days?, )?(\d{1,7}):(\d\d):(\d\d)(?:\.\d+)?")


class Record(Struct, frozen=True, kw_only=True):
    """What one file says. Spans in seconds: `elapsed` since the beginning, `remaining` to the end.

    `lines` are its newest figures, oldest first. `ended`: the trainer wrote its summary, so it came to an
    end, whatever the steps. `settings` and `best` are what else it says.
    """

    step: int | None = None
    total: int | None = None
    epoch: float | None = None
    percent: float | None = None
    elapsed: int | None = None
    remaining: int | None = None
    tokens: int | None = None
    ended: bool = False
    lines: tuple[dict[str, Any], ...] = ()
    settings: dict[str, Any] = {}
    best: dict[str, str] = {}

    @property
    def is_complete(self) -> bool:
        """Whether every step was taken."""
        return self.step is not None and bool(self.total) and self.step >= (self.total or 0)


class Found(Struct, frozen=True, kw_only=True):
    """What was found in a run's folder; times in Unix seconds.

    `log` and `state` are the two files, each with the time of its last change; `results` the files that a
    trainer leaves behind, with theirs; `checkpoints` as (step, path, time). `base` names the base model.
    """

    id: str
    folder: str
    owner: str | None = None
    log: tuple[Record, float] | None = None
    state: tuple[Record, float] | None = None
    results: Mapping[str, float] = {}
    checkpoints: Sequence[tuple[int, str, float]] = ()
    base: str | None = None


# --------------------------------------------------------------------------------------------- the files


def log(tail: bytes) -> Record | None:
    """The end of a `trainer_log.jsonl`; None where no line of it is whole and one of such a log.

    A line that was cut or is half written is no JSON object, and passed over like any other nonsense.
    """
    told = lenient.documents(tail.splitlines())
    found = [one for one in told if lenient.count(one.get("current_steps")) is not None]
    if not found:
        return None
    last = found[-1]
    return Record(
        step=lenient.count(last.get("current_steps")),
        total=lenient.count(last.get("total_steps")),
        epoch=lenient.finite(last.get("epoch")),
        percent=lenient.finite(last.get("percentage")),
        elapsed=_seconds(last.get("elapsed_time")),
        remaining=_seconds(last.get("remaining_time")),
        tokens=lenient.count(last.get("total_tokens")),
        lines=_figures((one.get("current_steps"), one.get("elapsed_time"), one) for one in found),
    )


def state(whole: bytes) -> Record | None:
    """A `trainer_state.json`; None where it is none, or not whole yet."""
    try:
        found = lenient.document(whole)
    except Unreadable:
        return None
    step = lenient.count(found.get("global_step"))
    if step is None:
        return None
    history = lenient.objects(found.get("log_history"))
    summary = next((one for one in reversed(history[-5:]) if "train_runtime" in one), None)
    took = lenient.finite(summary["train_runtime"]) if summary else None
    settings = {"n_epochs": found.get("num_train_epochs"), "batch_size": found.get("train_batch_size")}
    best = {key: found.get(key) for key in ("best_metric", "best_model_checkpoint")}
    return Record(
        step=step,
        total=lenient.count(found.get("max_steps")) or None,
        epoch=lenient.finite(found.get("epoch")),
        elapsed=int(took) if took is not None and 0 <= took < 10**9 else None,
        tokens=lenient.count(found.get("num_input_tokens_seen")) or None,
        ended=summary is not None,
        lines=_figures((one.get("step"), None, one) for one in history),
        settings={key: lenient.plain(value) for key, value in settings.items() if value is not None},
        best=lenient.strings(best),
    )


def trainer_figures(found: object) -> dict[str, float]:
    """The figures in what a trainer logs at once, under our names.

    Its summary, at the end, tells means of the whole run, which would pass for figures of the last step.
    """
    if not isinstance(found, dict) or "train_runtime" in found:
        return {}
    known = figures(found)
    for key, name in _NAMES.items():
        figure = lenient.finite(found.get(key))
        if figure is not None:
            known.setdefault(name, figure)
    return known


def _figures(told: Any) -> tuple[dict[str, Any], ...]:
    """The newest of what has figures, as (step, time since the beginning, object) told it."""
    lines = []
    for step, elapsed, one in told:
        known = trainer_figures(one)
        taken = lenient.count(step)
        if known and taken is not None:
            lines.append({"step": taken, "after": _seconds(elapsed), "figures": known})
    return tuple(lines[-MOST_FIGURES:])


def _seconds(value: object) -> int | None:
    """A span written as Python writes them: `0:08:59`, `1 day, 2:03:04`."""
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


# ------------------------------------------------------------------------------------------ the document


def document(
    found: Found, now: float, *, patience: float, gives_up: bool, began: int | None, whole: bool
) -> dict[str, Any]:
    """What a run's files show at `now`, as one JSON object.

    After `patience` seconds without a change an unfinished run is silent, or given up where `gives_up`.
    `began` is what was worked out of the beginning of a run that goes on; `whole`: with its figures and
    checkpoints.
    """
    records = [one for one in (found.log, found.state) if one is not None]
    changed = max(at for _, at in records)
    ended = _ended(found)
    if ended is not None:
        word = "finished"
    elif now - changed > patience:
        word = "given up" if gives_up else "silent"
    else:
        word = "training" if any(record.step is not None for record, _ in records) else "empty"
    # The log is written while it trains; the state only when a checkpoint is saved.
    newest = sorted(records, key=lambda one: (one[0].step or 0, one[1]))[-1]
    said, at = found.log if found.log and found.log[0].step is not None else newest
    told: dict[str, Any] = {
        "id": found.id,
        "status": word,
        "folder": found.folder,
        "owner": found.owner,
        "base": found.base,
        # What has ended stands still, and its beginning with it, whatever was remembered while it went on.
        "began": beginning(found) if STATUSES[word].is_terminal else began,
        "changed": int(changed),
        "ended": int(ended) if ended is not None else None,
        "step": said.step,
        "total": said.total,
        "epoch": said.epoch,
        "percent": said.percent,
        "finish": int(at) + said.remaining if said.remaining else None,
        "tokens": said.tokens,
        "patience": int(patience),
        "settings": found.state[0].settings if found.state else {},
        "best": found.state[0].best if found.state else {},
        "results": sorted(found.results) if ended is not None else [],
    }
    if whole:
        told["figures"] = said.lines
        told["checkpoints"] = [
            {"step": step, "path": path, "at": int(at)} for step, path, at in found.checkpoints
        ]
    return told


def _ended(found: Found) -> float | None:
    """When the run came to its end, where something proves that it did (Unix seconds)."""
    last = (found.log or found.state or (Record(), 0.0))[1]
    if found.log and found.log[0].is_complete:
        return last
    # What an earlier run left in the same folder proves nothing about this one.
    if found.state and found.state[1] >= last and (found.state[0].ended or found.state[0].is_complete):
        return found.state[1]
    return min((at for at in found.results.values() if at >= last), default=None)


def beginning(found: Found) -> int | None:
    """When the run began, as far as its files tell (Unix seconds, to about ten)."""
    for record, at in filter(None, (found.log, found.state)):
        if record.elapsed is not None:
            return int(at - record.elapsed) // GRID * GRID
    if found.log and found.log[0].step is None:
        return int(found.log[1]) // GRID * GRID
    return None


# ----------------------------------------------------------------------------------------------- reading


def identify(raw: bytes) -> str:
    """The id in one document. Raises Unreadable, with what was wrong with the files where that is told."""
    return lenient.identifier(_told(raw).get("id"))


def read(raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str]) -> Snapshot:
    """The canonical job in one document. Raises Unreadable."""
    found = _told(raw)
    id = lenient.identifier(found.get("id"))
    word = lenient.some(found.get("status"))
    if word is None:
        raise Unreadable(f"the entry of {id} has no status")
    status = lenient.status_among(STATUSES, word)
    folder = lenient.some(found.get("folder"))
    began = lenient.moment(found.get("began"))
    changed = lenient.moment(found.get("changed"))
    has_ended, has_run = status.is_terminal, word != "empty"
    results = found.get("results")
    error = None
    if status is Status.FAILED:
        ago = f" for {span(patience)}" if (patience := lenient.count(found.get("patience"))) else ""
        error = JobError(code="silent", message=f"its files have not changed{ago}, and it had not ended")
    return Snapshot(
        id=id,
        # Of a run that goes on only a moving estimate is known, which must not pass for news.
        created_at=began if has_ended else None,
        error=error,
        fine_tuned_model=folder if status is Status.SUCCEEDED else None,
        finished_at=(lenient.moment(found.get("ended")) or changed) if has_ended else None,
        hyperparameters=lenient.settings(found.get("settings")) or None,
        model=lenient.some(found.get("base")),
        result_files=tuple(filter(None, map(lenient.some, results))) if isinstance(results, list) else (),
        status=status,
        trained_tokens=lenient.count(found.get("tokens")),
        estimated_finish=lenient.moment(found.get("finish")) if status is Status.RUNNING else None,
        metadata=lenient.strings(found.get("best")),
        provider=provider,
        kind=kind,
        name=folder.rstrip("/").rpartition("/")[2] or None if folder else None,
        owner=lenient.some(found.get("owner")),
        labels=dict(labels),
        raw_status=word,
        started_at=began if has_run else None,
        progress=_progress(found),
    )


def inline(raw: bytes) -> LogPage:
    """The figures of a run, oldest first, after the line that says when it began; and its checkpoints."""
    try:
        found = _told(raw)
    except Unreadable:
        return LogPage()
    began = lenient.moment(found.get("began"))
    lines, saved = [], []
    if began is not None and found.get("status") != "empty":
        lines.append(Line(key="began", at=began, message="Training began", status=Status.RUNNING))
    for one in lenient.objects(found.get("figures")):
        step, passed = lenient.count(one.get("step")), lenient.count(one.get("after"))
        told = lenient.settings(one.get("figures")) or {}
        known = {name: value for name in METRICS if (value := lenient.finite(told.get(name))) is not None}
        said = ", ".join(f"{name.replace('_', ' ')} {figure:g}" for name, figure in known.items())
        lines.append(
            Line(
                # Neither the time, which is only nearly known, nor the place in the file names a line.
                key=digest(step, passed, known)[:20],
                at=lenient.seconds(began + passed) if began is not None and passed is not None else None,
                type="metrics",
                message=f"Step {step}: {said}",
                step=step,
                metrics=known,
            )
        )
    for one in lenient.objects(found.get("checkpoints")):
        path, at = lenient.some(one.get("path")), lenient.moment(one.get("at"))
        saved.append(Checkpoint(id=path, at=at, step=lenient.count(one.get("step")), model=path))
    return LogPage(lines=tuple(lines), checkpoints=tuple(saved), newest_first=False)


def _told(raw: bytes) -> dict[str, Any]:
    """The document; what stands in place of one, because files could not be read, is Unreadable."""
    found = lenient.document(raw)
    problem = lenient.some(found.get("problem"))
    if problem is not None and "id" not in found:
        raise Unreadable("".join(c if c.isprintable() else "�" for c in problem))
    return found


def _progress(found: dict[str, Any]) -> Progress | None:
    step, total = lenient.count(found.get("step")), lenient.count(found.get("total"))
    epoch, percent = lenient.finite(found.get("epoch")), lenient.finite(found.get("percent"))
    if percent is None and step is not None and total:
        percent = round(100 * step / total, 1)
    percent = percent if percent is not None and 0 <= percent <= 100 else None
    if step is total is epoch is percent is None:
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)
