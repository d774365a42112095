"""What do the relatives of OpenAI's fine-tuning API call things, and where do they keep them? Plain data.

How to ask by it is `ftwatch.client.openai`'s affair, how to read by it that of `ftwatch.wire.openai` and
`ftwatch.wire.joblog`.
"""

from collections.abc import Mapping, Set
from typing import Literal

from msgspec import Struct

from ftwatch.core.job import Status

__all__ = ["AZURE", "DIALECTS", "NEBIUS", "OPENAI", "Call", "Dialect", "Paging", "Part"]

JOBS = "/fine_tuning/jobs"
Paging = Literal["after", "count"] | None


class Call(Struct, frozen=True):
    """How something about one job is asked for: at a path below the base URL, `{id}` in it the job's id.

    `by`: the request is a POST whose JSON body gives the id under this name.
    """

    path: str
    by: str | None = None


class Part(Struct, frozen=True, kw_only=True):
    """A list that a service keeps of each job. Its form is that of its name: `events`, `checkpoints` …

    `paging`: how the next page is asked for, "after" the last id, or by a "count" of entries that takes
    those read before along, where ids are of no use; None: there is one page. `invents` names what the
    service makes up anew whenever it is asked: "id", "at".
    """

    call: Call
    newest_first: bool = True
    paging: Paging = "after"
    invents: frozenset[str] = frozenset()


_MADE = frozenset({Status.SUCCEEDED})
_DEPLOYED = _MADE | {Status.PAUSED}


class Dialect(Struct, frozen=True, kw_only=True):
    """How a service of the family speaks.

    `words` are its statuses (lower case, `_` for blanks). `home` is its address and `variable` the one of
    the environment that its key stands in. The listing has its entries under the first of `entries` that is
    there; `paging`: the next page is asked for "after" the last id, or from an "offset"; None: there is one
    page. A job that is asked for stands under `holder` of the answer, or is the answer. `fields` are dotted
    paths to OpenAI's properties, by preference, where they differ. `page` is a job's address for people at
    `home`. `hides_absence`: a 404 about a job reads as one about an address. `names_models`: a job tells
    which model it made. `ends` is the dotted path at
    which an entry of `/models` says when the model stops answering.
    """

    words: Mapping[str, Status]
    home: str | None = None
    variable: str = "OPENAI_API_KEY"
    jobs: str = JOBS
    retrieve: Call = Call(JOBS + "/{id}")
    entries: tuple[str, ...] = ("data", "jobs")
    paging: Literal["after", "offset"] | None = "after"
    holder: str | None = None
    fields: Mapping[str, tuple[str, ...]] = {}
    parts: Mapping[str, Part] = {}
    page: str | None = None
    hides_absence: bool = False
    names_models: bool = True
    ends: str | None = None

    @property
    def has_model(self) -> Set[Status]:
        """The states in which the name of a model means that there is one.

        A service with a name of its own for it fills that in before; OpenAI and Azure deploy what a paused
        job has come to.
        """
        return _MADE if "fine_tuned_model" in self.fields else _DEPLOYED


_OWN_PARTS = {part: Part(call=Call(f"{JOBS}/{{id}}/{part}")) for part in ("events", "checkpoints")}

OPENAI = Dialect(
    # Every word that a server was seen to use which calls itself compatible.
    words={
        "validating_files": Status.VALIDATING_FILES,
        "validating": Status.VALIDATING_FILES,
        "queued": Status.QUEUED,
        "created": Status.QUEUED,
        "pending": Status.QUEUED,
        "notrunning": Status.QUEUED,  # Azure, before 2023
        "not_running": Status.QUEUED,
        "resuming": Status.QUEUED,  # Azure: a paused job goes back to the queue
        "running": Status.RUNNING,
        "in_progress": Status.RUNNING,
        "pausing": Status.PAUSING,
        "paused": Status.PAUSED,
        "cancelling": Status.CANCELLING,
        "canceling": Status.CANCELLING,
        "cancel_requested": Status.CANCELLING,
        "succeeded": Status.SUCCEEDED,
        "completed": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "error": Status.FAILED,
        "cancelled": Status.CANCELLED,
        "canceled": Status.CANCELLED,
        "stopped": Status.CANCELLED,
    },
    home="https://api.openai.com/v1",
    parts=_OWN_PARTS,
    page="https://platform.openai.com/finetune/{id}",
    ends="shutdown_date",
)

AZURE = Dialect(
    words={
        "created": Status.QUEUED,
        "pending": Status.QUEUED,
        "notrunning": Status.QUEUED,  # before 2023
        "queued": Status.QUEUED,
        "resuming": Status.QUEUED,
        "validating_files": Status.VALIDATING_FILES,
        "running": Status.RUNNING,
        "pausing": Status.PAUSING,
        "paused": Status.PAUSED,
        "canceling": Status.CANCELLING,
        "cancelling": Status.CANCELLING,
        "succeeded": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "canceled": Status.CANCELLED,
        "cancelled": Status.CANCELLED,
    },
    variable="AZURE_OPENAI_API_KEY",
    # Two equal questions get events of different ids, and `after` one of them is not found.
    parts={
        name: Part(call=part.call, newest_first=False, paging="count", invents=frozenset({"id"}))
        for name, part in _OWN_PARTS.items()
    },
    hides_absence=True,
    ends="deprecation.inference",
)

NEBIUS = Dialect(
    words={
        "validating_files": Status.VALIDATING_FILES,
        "queued": Status.QUEUED,
        "running": Status.RUNNING,
        "succeeded": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "cancelled": Status.CANCELLED,
    },
    home="https://api.tokenfactory.nebius.com/v1",
    variable="NEBIUS_API_KEY",
    parts=_OWN_PARTS,
)

_LITELLM = Dialect(
    # No parts: what follows a job's id in a path is taken for more of the id.
    words=OPENAI.words,
)

_LOCALAI = Dialect(
    words={
        "queued": Status.QUEUED,
        "loading_dataset": Status.VALIDATING_FILES,
        "loading_model": Status.RUNNING,
        "training": Status.RUNNING,
        "saving": Status.RUNNING,
        "completed": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "stopped": Status.CANCELLED,
    },
    jobs="/api/fine-tuning/jobs",
    retrieve=Call("/api/fine-tuning/jobs/{id}"),
    paging=None,
    fields={
        "error": ("message",),
        "fine_tuned_model": ("export_model_name", "output_dir"),
        "hyperparameters": ("config",),
        "method": ("training_method",),
        "owner": ("user_id",),
        "phase": ("export_status",),
        "seed": ("config.seed",),
        "training_file": ("config.dataset_source",),
    },
    parts={"checkpoints": Part(call=Call("/api/fine-tuning/jobs/{id}/checkpoints"), paging=None)},
)

_OPEA = Dialect(
    names_models=False,
    words={
        "pending": Status.QUEUED,
        "running": Status.RUNNING,
        "succeeded": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "stopped": Status.CANCELLED,
        "cancelled": Status.CANCELLED,
    },
    retrieve=Call(JOBS + "/retrieve", by="fine_tuning_job_id"),
    paging=None,
    parts={
        "checkpoints": Part(
            call=Call("/finetune/list_checkpoints", by="fine_tuning_job_id"),
            newest_first=False,
            paging=None,
            invents=frozenset({"id", "at"}),
        )
    },
)

_TELNYX = Dialect(
    words={
        "queued": Status.QUEUED,
        "running": Status.RUNNING,
        "succeeded": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "cancelled": Status.CANCELLED,
    },
    home="https://api.telnyx.com/v2/ai",
    variable="TELNYX_API_KEY",
    paging=None,
    fields={"fine_tuned_model": ("id",)},  # a job is named as the model that it makes
    hides_absence=True,
)

_TT = Dialect(
    names_models=False,
    words={
        "queued": Status.QUEUED,
        "in_progress": Status.RUNNING,
        "cancelling": Status.CANCELLING,
        "completed": Status.SUCCEEDED,
        "failed": Status.FAILED,
        "cancelled": Status.CANCELLED,
    },
    entries=("jobs", "data"),
    paging=None,
    fields={"finished_at": ("completed_at",), "hyperparameters": ("request_parameters",)},
    parts={"metrics": Part(call=Call(JOBS + "/{id}/metrics"), newest_first=False, paging=None)},
)

_UNSLOTH = Dialect(
    words={
        "idle": Status.QUEUED,
        "loading_dataset": Status.VALIDATING_FILES,
        "configuring": Status.VALIDATING_FILES,
        "loading_model": Status.RUNNING,
        "training": Status.RUNNING,
        "finalizing": Status.RUNNING,
        "running": Status.RUNNING,
        "completed": Status.SUCCEEDED,
        "error": Status.FAILED,
        "stopped": Status.CANCELLED,
    },
    jobs="/api/train/runs",
    retrieve=Call("/api/train/runs/{id}"),
    entries=("runs",),
    paging="offset",
    holder="run",
    fields={
        "created_at": ("started_at",),
        "error": ("error_message",),
        "fine_tuned_model": ("output_dir",),
        "finished_at": ("ended_at",),
        "hyperparameters": ("config",),
        "model": ("model_name",),
        "name": ("display_name", "project_name"),
        "trained_steps": ("final_step",),
        "trained_tokens": ("final_num_tokens", "metrics.final_num_tokens"),
        "training_file": ("dataset_name",),
    },
    parts={"series": Part(call=Call("/api/train/runs/{id}"), newest_first=False, paging=None)},
)

DIALECTS: Mapping[str, Dialect] = {
    "openai": OPENAI,
    "litellm": _LITELLM,
    "localai": _LOCALAI,
    "opea": _OPEA,
    "telnyx": _TELNYX,
    "tt-inference-server": _TT,
    "unsloth": _UNSLOTH,
}
