"""A run's document becomes the canonical job, its log, its checkpoints. Nothing in it is relied upon."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from ftwatch.core.event import digest
from ftwatch.core.job import JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.plugins import LogPage, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.joblog import LEVELS, figures
from ftwatch.wire.push.fields import whole_number
from ftwatch.wire.push.run import Run, Said, Saved, State, decoded, mark_of, meaning

__all__ = ["heard_at", "identify", "inline", "read"]

HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.PAUSED})


class _Named(Struct):
    id: str


_decode_name = msgspec.json.Decoder(_Named).decode


def identify(raw: bytes) -> str:
    """The id in a merged document. Raises Unreadable."""
    try:
        return lenient.identifier(_decode_name(raw).id)
    except lenient.REFUSED:
        raise Unreadable("an entry without an id") from None


def heard_at(raw: bytes) -> float:
    """When the run was last heard of (Unix seconds). Raises Unreadable."""
    return decoded(raw).heard


def read(raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str]) -> Snapshot:
    """The canonical job in a merged document. Raises Unreadable."""
    run = decoded(raw)
    id, fields = lenient.identifier(run.id), run.fields
    word = lenient.some(run.states[-1].word) if run.states else None
    if word is None:
        raise Unreadable(f"the entry of {id} has no status")
    status = meaning(word)
    ended = lenient.moment(fields.get("finished_at")) or lenient.moment(_since(run.states))
    model, files = lenient.some(fields.get("fine_tuned_model")), fields.get("result_files")
    metadata = lenient.strings(fields.get("metadata"))
    return Snapshot(
        id=id,
        created_at=lenient.moment(fields.get("created_at")) or lenient.moment(run.first),
        error=_error(fields.get("error")) if status in HAS_ERROR else None,
        fine_tuned_model=model if status is Status.SUCCEEDED else None,
        finished_at=ended if status.is_terminal else None,
        hyperparameters=lenient.settings(fields.get("hyperparameters")),
        model=lenient.some(fields.get("model")),
        organization_id=lenient.some(fields.get("organization_id")),
        result_files=tuple(filter(None, map(lenient.some, files))) if isinstance(files, list) else (),
        status=status,
        trained_tokens=lenient.count(fields.get("trained_tokens")),
        training_file=lenient.some(fields.get("training_file")),
        validation_file=lenient.some(fields.get("validation_file")),
        seed=whole_number(fields.get("seed")),
        estimated_finish=None if status.is_terminal else lenient.moment(fields.get("estimated_finish")),
        method=Method(type=method) if (method := lenient.some(fields.get("method"))) else None,
        metadata=metadata,
        provider=provider,
        kind=kind,
        name=lenient.some(fields.get("name")),
        owner=lenient.some(fields.get("owner")),
        labels={**metadata, **lenient.strings(fields.get("labels")), **labels},
        raw_status=word,
        phase=lenient.some(fields.get("phase")),
        started_at=lenient.moment(fields.get("started_at")) or lenient.moment(run.started),
        progress=_progress(fields),
        url=lenient.some(fields.get("url")),
    )


def inline(raw: bytes) -> LogPage:
    """The states, figures and sentences of a run, oldest first, and its checkpoints."""
    try:
        run = decoded(raw)
    except Unreadable:
        return LogPage()
    total = lenient.count(run.fields.get("total_steps"))
    lines = [((state.at, state.number, 0), _entered(state, run)) for state in run.states]
    lines += [((said.at, said.number, 1), _line(said, run, total)) for said in run.lines]
    lines.sort(key=lambda found: found[0])
    return LogPage(
        lines=tuple(line for _, line in lines),
        checkpoints=tuple(map(_checkpoint, run.checkpoints)),
        newest_first=False,
    )


def _entered(state: State, run: Run) -> Line:
    status = meaning(state.word)
    return Line(
        key=_key("status", run, state.number),
        at=lenient.moment(state.at),
        type="status",
        message=lenient.whole_text(state.word),
        status=None if status is Status.UNKNOWN else status,
    )


def _line(said: Said, run: Run, total: int | None) -> Line:
    known = figures(said.metrics)
    shown = ", ".join(f"{name.replace('_', ' ')} {figure:g}" for name, figure in known.items())
    type = lenient.some(said.type) or "message"
    return Line(
        key=_key(type, run, said.number),
        at=lenient.moment(said.at),
        level=said.level if said.level in LEVELS.values() else "info",
        type=type,
        message=lenient.some(said.message) or shown,
        step=lenient.count(said.step),
        total=total,
        metrics=known,
    )


def _key(type: str, run: Run, number: int) -> str:
    """What identifies a line. Numbers begin anew where a document was forgotten and its run goes on."""
    return f"{type}-{run.born}-{number}"


def _checkpoint(saved: Saved) -> Checkpoint:
    mark, id = digest(*mark_of(saved))[:20], lenient.some(saved.id)
    return Checkpoint(
        key=mark,
        id=id or mark,
        at=lenient.moment(saved.at),
        step=lenient.count(saved.step),
        model=lenient.some(saved.model),
        metrics=figures(saved.metrics),
    )


def _since(states: Sequence[State]) -> int:
    """When the run became what it is; another word for the same is no other state."""
    status, at = meaning(states[-1].word), states[-1].at
    for state in reversed(states):
        if meaning(state.word) is not status:
            break
        at = state.at
    return at


def _error(found: object) -> JobError | None:
    if not isinstance(found, dict):
        return None
    code, message, param = (lenient.text(found.get(name)) for name in ("code", "message", "param"))
    return lenient.told(JobError(code=code, message=message, param=param))


def _progress(fields: Mapping[str, Any]) -> Progress | None:
    step, total = lenient.count(fields.get("step")), lenient.count(fields.get("total_steps"))
    epoch, percent = lenient.finite(fields.get("epoch")), lenient.finite(fields.get("percent"))
    if percent is None and step is not None and total:
        percent = round(min(100.0, 100 * step / total), 1)
    if step is None and total is None and epoch is None and percent is None:
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)
