"""What is a job? The canonical fine-tuning job and its closed set of statuses.

The shape is OpenAI's `FineTuningJob`, property by property, plus what ftwatch adds. Providers translate
their own documents into `Snapshot`; nothing here knows a provider or a wire format.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct, field

__all__ = [
    "TERMINAL",
    "JobError",
    "JobKey",
    "Method",
    "Progress",
    "Snapshot",
    "Status",
]


class Status(StrEnum):
    """Our word for a job's state; the provider's own word stays in `Snapshot.raw_status`.

    `is_terminal`: whether a job in this status has ended. `unknown` never has. `word` is it as plain text.
    """

    VALIDATING_FILES = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    def __init__(self, word: str) -> None:
        # Asked for a dozen times in every decision, where a property costs as much as a small function.
        self.is_terminal = word in ("succeeded", "failed", "cancelled")
        self.word = word


TERMINAL = frozenset(status for status in Status if status.is_terminal)


class JobKey(NamedTuple):
    """A job's identity: the configured provider's name and the provider's id of the job."""

    provider: str
    id: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.id}"


class JobError(Struct, frozen=True, kw_only=True, gc=False):
    """Why a job failed, in the provider's words. An error without code and message is no error."""

    code: str | None = None
    message: str | None = None
    param: str | None = None


class Method(Struct, frozen=True, kw_only=True, gc=False):
    """How a model is tuned: `type` is supervised, dpo, reinforcement …, with that type's settings."""

    type: str
    supervised: dict[str, Any] | None = None
    dpo: dict[str, Any] | None = None
    reinforcement: dict[str, Any] | None = None


class Progress(Struct, frozen=True, kw_only=True, gc=False):
    """How far a run is; each figure is None where the provider does not say. `percent` is 0–100."""

    step: int | None = None
    total_steps: int | None = None
    epoch: float | None = None
    percent: float | None = None


class Snapshot(Struct, frozen=True, kw_only=True, gc=False):
    """What a provider said about one job at one moment. Immutable.

    Times are whole Unix seconds (UTC) or None. The first 19 fields are the properties of OpenAI's
    `FineTuningJob` under their own names; the rest is ftwatch's.
    """

    id: str
    object: str = "fine_tuning.job"
    created_at: int | None = None
    error: JobError | None = None
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    hyperparameters: dict[str, Any] | None = None
    model: str | None = None
    organization_id: str | None = None
    result_files: tuple[str, ...] = ()
    status: Status
    trained_tokens: int | None = None
    training_file: str | None = None
    validation_file: str | None = None
    integrations: tuple[dict[str, Any], ...] = ()
    seed: int | None = None
    estimated_finish: int | None = None
    method: Method | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    provider: str
    kind: str
    name: str | None = None
    owner: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    raw_status: str | None = None
    phase: str | None = None
    started_at: int | None = None
    progress: Progress | None = None
    url: str | None = None

    @property
    def key(self) -> JobKey:
        """The job's identity."""
        # As `JobKey(…)` does it, without a detour that takes as long again.
        return tuple.__new__(JobKey, (self.provider, self.id))

    @property
    def title(self) -> str:
        """What a person would call the job: its name, else its id."""
        return self.name or self.id
