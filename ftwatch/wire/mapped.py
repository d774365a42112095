"""The canonical job in JSON of any shape, by a map that somebody wrote down. Pure.

The map itself is plain data, written in a config: which path leads to what, which word means which status.
Where the answers come from is `providers.http`'s affair.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import quote

from ftwatch.core.job import JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import METRICS, Checkpoint, Line
from ftwatch.plugins import Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.joblog import LEVELS, figures
from ftwatch.wire.openai import HAS_ERROR, HAS_FINISHED
from ftwatch.wire.paths import NOWHERE, Paths, dig

__all__ = ["CheckpointFields", "JobFields", "JobMap", "LineFields", "Words"]

LONGEST_KEY = 128
ID, STATUS = Paths.of("id"), Paths.of("status")


@dataclass(frozen=True, kw_only=True)
class JobFields:
    """Where the properties of a job stand in its document."""

    id: Paths = ID
    status: Paths = STATUS
    phase: Paths = NOWHERE
    name: Paths = NOWHERE
    owner: Paths = NOWHERE
    organization_id: Paths = NOWHERE
    created_at: Paths = NOWHERE
    started_at: Paths = NOWHERE
    finished_at: Paths = NOWHERE
    estimated_finish: Paths = NOWHERE
    model: Paths = NOWHERE
    fine_tuned_model: Paths = NOWHERE
    error_code: Paths = field(default=NOWHERE, metadata={"key": "error.code"})
    error_message: Paths = field(default=NOWHERE, metadata={"key": "error.message"})
    error_param: Paths = field(default=NOWHERE, metadata={"key": "error.param"})
    trained_tokens: Paths = NOWHERE
    training_file: Paths = NOWHERE
    validation_file: Paths = NOWHERE
    result_files: Paths = NOWHERE
    hyperparameters: Paths = NOWHERE
    method: Paths = NOWHERE
    metadata: Paths = NOWHERE
    seed: Paths = NOWHERE
    url: Paths = NOWHERE
    step: Paths = field(default=NOWHERE, metadata={"key": "progress.step"})
    total_steps: Paths = field(default=NOWHERE, metadata={"key": "progress.total_steps"})
    epoch: Paths = field(default=NOWHERE, metadata={"key": "progress.epoch"})
    percent: Paths = field(default=NOWHERE, metadata={"key": "progress.percent"})


@dataclass(frozen=True, kw_only=True)
class LineFields:
    """Where the parts of a line stand in an entry of a job log; `metrics` leads to an object of figures.

    The rest are single figures, for a service with other names for them.
    """

    id: Paths = NOWHERE
    at: Paths = NOWHERE
    level: Paths = NOWHERE
    type: Paths = NOWHERE
    message: Paths = NOWHERE
    status: Paths = NOWHERE
    step: Paths = NOWHERE
    metrics: Paths = NOWHERE
    train_loss: Paths = NOWHERE
    valid_loss: Paths = NOWHERE
    full_valid_loss: Paths = NOWHERE
    train_accuracy: Paths = NOWHERE
    valid_accuracy: Paths = NOWHERE
    full_valid_accuracy: Paths = NOWHERE
    train_reward: Paths = NOWHERE
    valid_reward: Paths = NOWHERE
    learning_rate: Paths = NOWHERE
    grad_norm: Paths = NOWHERE


@dataclass(frozen=True, kw_only=True)
class CheckpointFields:
    """Where the parts of a checkpoint stand in its entry; `metrics` leads to an object of figures."""

    id: Paths = NOWHERE
    at: Paths = NOWHERE
    step: Paths = NOWHERE
    model: Paths = NOWHERE
    metrics: Paths = NOWHERE


@dataclass(frozen=True, kw_only=True)
class Words:
    """The service's words for each status of ours. `WORD/PHASE` is a word in one phase only."""

    validating_files: tuple[str, ...] = ()
    queued: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    pausing: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    cancelling: tuple[str, ...] = ()
    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()

    def pairs(self) -> Iterator[tuple[Status, str]]:
        """Every status with every word for it."""
        for one in fields(self):
            for word in getattr(self, one.name):
                yield Status(one.name), lenient.folded(word)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with them, as (key, sentence)."""
        seen: dict[str, Status] = {}
        for status, word in self.pairs():
            if not word:
                yield status, "an empty word is no status"
            elif word in seen:
                yield status, f"{word!r} stands under {seen[word]} too, or here twice"
            seen.setdefault(word, status)


class JobMap:
    """Documents of one service, read. `labels_from` are paths to what becomes labels of a job."""

    def __init__(self, places: JobFields, words: Words, labels_from: Iterable[str] = ()) -> None:
        self._places = places
        self._words = {word: status for status, word in words.pairs()}
        self._labels_from = tuple(labels_from)

    def identify(self, raw: bytes) -> str:
        """The id in one entry. Raises Unreadable."""
        return lenient.identifier(self._places.id.first(lenient.document(raw)))

    def read(
        self, raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str], page: str | None = None
    ) -> Snapshot:
        """The canonical job in one document. Raises Unreadable where it has no id or no status.

        `labels` are the provider's own, and stand above the job's. `page` is a job's address for people,
        with `{id}` in it.
        """
        found, at = lenient.document(raw), self._places
        id = lenient.identifier(at.id.first(found))
        word = _worded(at.status.first(found))
        if word is None:
            raise Unreadable(f"the entry of {id} has no status")
        phase = _worded(at.phase.first(found))
        status = self.status(word, phase)
        # Many services name the model from the start, and in the documents of jobs that made none.
        has_made = status is Status.SUCCEEDED
        metadata = lenient.strings(at.metadata.first(found))
        method = lenient.some(at.method.first(found))
        address = page.replace("{id}", quote(id, safe="")) if page else lenient.some(at.url.first(found))
        return Snapshot(
            id=id,
            created_at=lenient.moment(at.created_at.first(found)),
            error=self._error(found) if status in HAS_ERROR else None,
            fine_tuned_model=lenient.some(at.fine_tuned_model.first(found)) if has_made else None,
            finished_at=lenient.moment(at.finished_at.first(found)) if status in HAS_FINISHED else None,
            hyperparameters=lenient.settings(at.hyperparameters.first(found)),
            model=lenient.some(at.model.first(found)),
            organization_id=lenient.some(at.organization_id.first(found)),
            result_files=_files(at.result_files.first(found)),
            status=status,
            trained_tokens=lenient.count(at.trained_tokens.first(found)),
            training_file=lenient.some(at.training_file.first(found)),
            validation_file=lenient.some(at.validation_file.first(found)),
            seed=lenient.whole(lenient.number(at.seed.first(found))),
            estimated_finish=lenient.moment(at.estimated_finish.first(found)),
            method=Method(type=method) if method else None,
            metadata=metadata,
            provider=provider,
            kind=kind,
            name=lenient.some(at.name.first(found)),
            owner=lenient.some(at.owner.first(found)),
            labels={**metadata, **self._labels(found), **labels},
            raw_status=word,
            phase=phase,
            started_at=lenient.moment(at.started_at.first(found)),
            progress=self._progress(found),
            url=address,
        )

    def status(self, word: str, phase: str | None = None) -> Status:
        """Our word for the service's, in its phase; `unknown` for a word that is in no list."""
        if phase is not None:
            both = lenient.folded(f"{word}/{phase}")
            if both in self._words:
                return self._words[both]
        return lenient.status_among(self._words, word)

    # ------------------------------------------------------------------------------------ the job log

    def line(self, found: dict[str, Any], at: LineFields) -> Line:
        """One entry of a job log."""
        word = _worded(at.status.first(found))
        status = self.status(word) if word else Status.UNKNOWN
        known = figures(at.metrics.first(found))
        for name in METRICS:
            figure = lenient.finite(getattr(at, name).first(found))
            if figure is not None:
                known[name] = figure
        level = str(at.level.first(found) or "info").lower()
        return Line(
            key=(_worded(at.id.first(found)) or "")[:LONGEST_KEY],
            at=lenient.moment(at.at.first(found)),
            level=LEVELS.get(level, "info"),
            type=_worded(at.type.first(found)) or ("metrics" if known else "message"),
            message=(_worded(at.message.first(found)) or word or "")[:2000],
            status=None if status is Status.UNKNOWN else status,
            step=lenient.count(at.step.first(found)),
            metrics=known,
        )

    def checkpoint(self, found: dict[str, Any], at: CheckpointFields) -> Checkpoint:
        """One entry of a list of checkpoints."""
        return Checkpoint(
            id=_worded(at.id.first(found)),
            at=lenient.moment(at.at.first(found)),
            step=lenient.count(at.step.first(found)),
            model=lenient.some(at.model.first(found)),
            metrics=figures(at.metrics.first(found)),
        )

    # --------------------------------------------------------------------------------- parts of a job

    def _error(self, found: dict[str, Any]) -> JobError | None:
        at = self._places
        return lenient.told(
            JobError(
                code=_worded(at.error_code.first(found)),
                message=_worded(at.error_message.first(found)),
                param=_worded(at.error_param.first(found)),
            )
        )

    def _progress(self, found: dict[str, Any]) -> Progress | None:
        at = self._places
        step, total = lenient.count(at.step.first(found)), lenient.count(at.total_steps.first(found))
        epoch, percent = lenient.finite(at.epoch.first(found)), lenient.finite(at.percent.first(found))
        if percent is None and step is not None and total and step <= total:
            percent = round(100 * step / total, 1)
        percent = percent if percent is not None and 0 <= percent <= 100 else None
        if step is total is epoch is percent is None:
            return None
        return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)

    def _labels(self, found: dict[str, Any]) -> dict[str, str]:
        """What stands at each path: a map, pairs of key and value, or one value under its own name."""
        labels: dict[str, str] = {}
        for path in self._labels_from:
            value = dig(found, path)
            if isinstance(value, list) and value and all(_is_pair(one) for one in value):
                value = {_pick(one, "key", "Key"): _pick(one, "value", "Value") for one in value}
            labels |= lenient.strings(value if isinstance(value, dict) else {path.rpartition(".")[2]: value})
        return labels


def _worded(value: object) -> str | None:
    """A text, or anything else as JSON writes it; None for nothing."""
    if value is None or isinstance(value, str):
        return lenient.some(value)
    return lenient.cut(json.dumps(lenient.plain(value), ensure_ascii=False))


def _files(value: object) -> tuple[str, ...]:
    """Names of files: one, or a list of them, or of objects that have an id."""
    found = value if isinstance(value, list) else [value]
    names = (lenient.some(dig(one, "id") if isinstance(one, dict) else one) for one in found)
    return tuple(name for name in names if name)


def _is_pair(value: object) -> bool:
    return isinstance(value, dict) and isinstance(_pick(value, "key", "Key"), str)


def _pick(found: dict[str, Any], *keys: str) -> Any:
    return next((found[key] for key in keys if key in found), None)
