"""Together's fine-tuning API: one listing that does not page, and a job log whose lines have no ids.

A document names its model long before there is one, begins each stage with a `started_at` of its own, and has
no place for an error: why a job failed stands in its events alone.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ftwatch.client.api import Api, ApiOptions, Key, is_meant_for, root_of
from ftwatch.core.job import TERMINAL, JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.plugins import Introduction, LogPage, Page, ProviderError, ProviderSpec, Unreadable
from ftwatch.wire import joblog, lenient
from ftwatch.wire import openai as wire

__all__ = ["Options", "Together"]

HOME = "https://api.together.xyz/v1"
HOSTS = frozenset({"api.together.xyz", "api.together.ai"})
PLATFORM = "https://api.together.ai/fine-tuning/{id}"
JOBS = "/v1/fine-tunes"
WHOAMI = "/v3/whoami"

STATUSES = {
    "pending": Status.QUEUED,
    "queued": Status.QUEUED,
    "running": Status.RUNNING,
    "compressing": Status.RUNNING,
    "uploading": Status.RUNNING,
    "cancel_requested": Status.CANCELLING,
    "cancelled": Status.CANCELLED,
    "completed": Status.SUCCEEDED,
    "error": Status.FAILED,
    "user_error": Status.FAILED,
}
# What a running job does once the training is over.
PHASES = frozenset({"compressing", "uploading"})

# What an event proves: the job entered this state then. Its end is the document's affair, because a job that
# broke may be taken up again.
PROOFS = {
    "job_pending": Status.QUEUED,
    "job_start": Status.RUNNING,
    "training_start": Status.RUNNING,
    "cancel_requested": Status.CANCELLING,
}
# The events that say why a job ended badly; a job without money is "cancelled" by the service itself.
REASONS = frozenset({"job_error", "job_user_error", "billing_limit"})
RESTARTED = "job_restarted"
_ID = re.compile(r"\bft-(?=[\w-]*\d)\w+(?:-\w+)*")

METHODS = {"sft": "supervised"}
HYPERPARAMETERS = (
    *("n_epochs", "batch_size", "learning_rate", "lr_scheduler", "warmup_ratio", "weight_decay"),
    *("max_grad_norm", "max_seq_length", "n_checkpoints", "n_evals", "train_on_inputs", "training_type"),
)
WANDB = {
    "project": "wandb_project_name",
    "name": "wandb_name",
    "entity": "wandb_entity",
    "url": "wandb_url",
}

# Every type of event that the service's own client knows, and what the other parts of a log are made of here.
TYPES = frozenset(
    {
        *("job_pending", "job_start", "job_stopped", "job_complete", "job_error", "job_user_error"),
        *("job_restarted", "cancel_requested", "refund", "warning", "billing_limit", "early_stopped"),
        *("model_downloading", "model_download_complete", "training_start", "training_complete"),
        *("training_data_downloading", "training_data_download_complete", "checkpoint_save"),
        *("validation_data_downloading", "validation_data_download_complete", "wandb_init"),
        *("epoch_complete", "eval_complete", "compressing_model", "model_compressing"),
        *("model_compression_complete", "model_uploading", "model_upload_complete"),
        *("model_uploading_to_hf", "model_upload_to_hf_complete", "tokenized_dataset_upload_complete"),
        *("message", "metrics"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: together` can be told; `base_url` with the version at its end or without.

    Without an `api_key` the variable TOGETHER_API_KEY counts.
    """

    base_url: str = HOME


class Together:
    """An account on Together."""

    Options: ClassVar[type] = Options
    log_types: ClassVar[frozenset[str]] = TYPES
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str] = "TOGETHER_API_KEY"
    # The whole listing is one page, and in no order that is promised.
    newest_first: ClassVar[bool] = False
    log_parts: ClassVar[tuple[str, ...]] = ("events", "checkpoints", "metrics")
    log_is_cheap: ClassVar[bool] = True

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        base = spec.options.base_url
        self._is_home = urlsplit(base).hostname in HOSTS
        self.api = Api(
            spec,
            root_of(base),
            Key(
                spec.options.api_key,
                (self.key_variable,),
                trusts_variable=is_meant_for(base, HOSTS, "TOGETHER_BASE_URL"),
                needed=self._is_home,
            ),
            timeout=spec.options.timeout,
            advice={
                401: f"set {self.key_variable} or the option api_key to a key of the project",
                403: "the key needs access to the fine-tuning jobs of its project",
            },
        )

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """Every job there is."""
        return await self.api.page(JOBS)

    async def retrieve(self, id: str) -> bytes:
        """One job's document, which tells more than its entry in the listing."""
        body = await self.api.job(f"{JOBS}/{quote(id, safe='')}", id)
        return self.api.about(body, id, self.identify)

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        """All of a job's events or checkpoints; its metrics from the step `anchor` on.

        NotFound where it is the job that is not there.
        """
        query = {"global_step_from": anchor} if anchor is not None else None
        return await self.api.page(f"{JOBS}/{quote(id, safe='')}/{part}", query, of=id)

    async def introduce(self) -> Introduction:
        """Whose key it is: a project's or an organization's."""
        try:
            found = lenient.document(await self.api.page(WHOAMI))
        except Unreadable as error:
            raise ProviderError(f"the service does not say whose key it is: {error}") from None
        told = [
            f"the {sort} {lenient.some(lenient.at(found, f'{sort}.name')) or 'without a name'} ({id})"
            for sort in ("project", "organization")
            if (id := lenient.some(lenient.at(found, f"{sort}.id")))
        ]
        return Introduction(whose=f"the key is one of {' of '.join(told)}" if told else "")

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of the listing."""
        return Page(entries=tuple(self.api.parted(body, "data")[0]), next=None)

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return wire.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = lenient.identifier(found.get("id"))
        raw_status = lenient.some(found.get("status"))
        if raw_status is None:
            raise Unreadable(f"the entry of {id} has no status")
        word = raw_status.strip().lower()
        status = lenient.status_among(STATUSES, word)
        stage_began = lenient.moment(found.get("started_at"))
        events = _events(found.get("events"))
        return Snapshot(
            id=id,
            created_at=lenient.moment(found.get("created_at")),
            error=_error(word, status, events),
            fine_tuned_model=_model(found) if status is Status.SUCCEEDED else None,
            finished_at=lenient.moment(found.get("updated_at")) if status in TERMINAL else None,
            hyperparameters=lenient.settings(_given(found, HYPERPARAMETERS)),
            model=lenient.some(found.get("model")),
            status=status,
            trained_tokens=lenient.count(found.get("token_count")),
            training_file=lenient.some(found.get("training_file")),
            validation_file=lenient.some(found.get("validation_file")),
            integrations=_integrations(found),
            seed=lenient.whole(lenient.number(found.get("random_seed"))),
            estimated_finish=_estimate(found, stage_began) if status is Status.RUNNING else None,
            method=_method(found.get("training_method")),
            provider=self._spec.name,
            kind=self._spec.kind,
            name=lenient.some(found.get("suffix")),
            owner=lenient.some(found.get("user_id")),
            labels=dict(self._spec.labels),
            raw_status=raw_status,
            phase=word if word in PHASES else None,
            # The document tells when its current stage began; only that of this one is when the run did.
            started_at=_began(events) or (stage_began if word == "running" else None),
            progress=_progress(found),
            url=PLATFORM.replace("{id}", quote(id, safe="")) if self._is_home else None,
        )

    def inline(self, raw: bytes) -> LogPage:
        """The events that a job's document holds."""
        try:
            found = lenient.document(raw)
        except Unreadable:
            return LogPage()
        return LogPage(lines=tuple(_events(found.get("events"))), newest_first=False)

    def read_log(self, part: str, body: bytes) -> LogPage:
        """What the answer about one part of the log tells."""
        if part == "metrics":
            rows = _documents(self.api.parted(body, "metrics", may_lack=True)[0])
            return _metrics(rows)
        entries = _documents(self.api.parted(body, "data")[0])
        if part == "checkpoints":
            return LogPage(checkpoints=tuple(map(_checkpoint, entries)))
        return LogPage(lines=tuple(_events(entries)), newest_first=False)


# -------------------------------------------------------------------------------------------- documents


def _model(found: dict[str, Any]) -> str | None:
    return lenient.some(found.get("model_output_name")) or lenient.some(found.get("model_object_name"))


def _error(word: str, status: Status, events: Sequence[Line]) -> JobError | None:
    """Why a job ended badly: its status is the code, the last event that gives a reason says the rest."""
    if status not in (Status.FAILED, Status.CANCELLED):
        return None
    told = next((line for line in reversed(events) if line.type in REASONS or line.level == "error"), None)
    if status is Status.CANCELLED:
        return JobError(code=told.type, message=told.message or None) if told else None
    return JobError(code=word, message=(told.message or None) if told else None)


def _began(events: Iterable[Line]) -> int | None:
    """When the run began, by the job's events."""
    return next((line.at for line in events if line.status is Status.RUNNING), None)


def _given(found: dict[str, Any], keys: Iterable[str]) -> dict[str, Any] | None:
    """Some members of a document, those that are there."""
    return {key: found[key] for key in keys if found.get(key) is not None} or None


def _method(found: object) -> Method | None:
    word = lenient.some(lenient.at(found, "method"))
    if word is None or not isinstance(found, dict):
        return None
    type = METHODS.get(word, word)
    settings = lenient.settings({key: value for key, value in found.items() if key != "method"})
    return Method(
        type=type,
        supervised=settings if type == "supervised" else None,
        dpo=settings if type == "dpo" else None,
    )


def _integrations(found: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    about = {name: told for name, key in WANDB.items() if (told := lenient.some(found.get(key)))}
    return ({"type": "wandb", "wandb": about},) if about else ()


def _estimate(found: dict[str, Any], stage_began: int | None) -> int | None:
    """When the current stage should end: the service counts its seconds from where the stage began."""
    progress = found.get("progress")
    seconds = lenient.count(lenient.at(progress, "seconds_remaining"))
    if lenient.at(progress, "estimate_available") is not True or not seconds or stage_began is None:
        return None
    return lenient.seconds(stage_began + seconds)


def _progress(found: dict[str, Any]) -> Progress | None:
    step, total = (lenient.count(found.get(key)) for key in ("steps_completed", "total_steps"))
    epoch, epochs = (lenient.count(found.get(key)) for key in ("epochs_completed", "n_epochs"))
    if step is None and epoch is None:
        return None
    done, of = (step, total) if step is not None and total else (epoch, epochs)
    percent = round(100 * done / of, 1) if done is not None and of and done <= of else None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)


# -------------------------------------------------------------------------------------------- the job log


def _documents(entries: Iterable[bytes]) -> list[dict[str, Any]]:
    """The entries that are objects."""
    found = []
    for raw in entries:
        try:
            found.append(lenient.document(raw))
        except Unreadable:
            continue
    return found


def _events(entries: object) -> list[Line]:
    """The lines in a list of events, in its order, which is that of time."""
    return [_event(one) for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def _event(found: dict[str, Any]) -> Line:
    type = (lenient.some(found.get("type")) or "message").lower()
    message = (lenient.some(found.get("message")) or "")[:2000]
    successors = _ID.findall(message) if type == RESTARTED else ()
    return Line(
        at=lenient.moment(found.get("created_at")),
        level=_level(str(found.get("level") or "").lower(), type),
        type=type,
        message=message,
        status=PROOFS.get(type),
        # Where an event has no step, some answers say 0.
        step=lenient.count(found.get("step")) or None,
        successor=successors[-1] if successors else None,
    )


def _level(word: str, type: str) -> str:
    """The level that an event says (`legacy_ierror` is one), else the one that its type deserves."""
    if word:
        return next((level for level in ("error", "warning") if word.endswith(level)), "info")
    return "error" if type in REASONS else "info"


def _checkpoint(found: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        id=lenient.some(found.get("object_id")),
        at=lenient.moment(found.get("created_at")),
        step=lenient.count(found.get("step")),
        model=lenient.some(found.get("object_name")),
    )


def _metrics(rows: Iterable[dict[str, Any]]) -> LogPage:
    """A page of metrics. The next one begins with the last step again, whose evaluation may come late."""
    lines = []
    for row in rows:
        step = lenient.count(row.get("global_step", row.get("step")))
        figures = joblog.figures({key.removeprefix("train/").replace("/", "_"): row[key] for key in row})
        if step is None or not figures:
            continue
        key = f"metrics {step} {' '.join(sorted(figures))}"
        at = lenient.moment(row.get("timestamp"))
        lines.append(Line(key=key, at=at, type="metrics", step=step, metrics=figures))
    steps = {line.step or 0 for line in lines}
    following = str(max(steps)) if len(steps) > 1 else None
    return LogPage(lines=tuple(lines), next=following, newest_first=False)
