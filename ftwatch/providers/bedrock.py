"""Amazon Bedrock's model customization jobs: fine-tuning, reinforcement, distillation, further pre-training.

A job is known by its name, which is unique in an account and region; its ARN stands in `metadata.arn`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import quote

from ftwatch.client.aws import Account, AwsOptions, Operation, found_in, introduced
from ftwatch.core.job import TERMINAL, JobError, Method, Snapshot, Status
from ftwatch.core.journal import Line
from ftwatch.plugins import Hook, HookScheme, Introduction, LogPage, Page, ProviderSpec, Unreadable
from ftwatch.wire import aws, hooks, lenient

__all__ = ["Bedrock"]

JOBS = "/model-customization-jobs"
PAGE = {"maxResults": "100", "sortBy": "CreationTime", "sortOrder": "Descending"}
# What EventBridge tells of jobs, and where in it the job is.
NEWS = (("Model Customization Job State Change", "jobName"),)
CONSOLE = "bedrock/home#/custom-models"

STATUSES = {
    "inprogress": Status.RUNNING,  # unless its phases say that it only waits, or validates
    "stopping": Status.CANCELLING,
    "completed": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "stopped": Status.CANCELLED,
}
# The phases of a job in their order, and what the job is from the beginning of each.
PHASES = {
    "validation": Status.VALIDATING_FILES,
    "dataProcessing": Status.VALIDATING_FILES,
    "training": Status.RUNNING,
}
NOT_STARTED = "NotStarted"
METHODS = {"FINE_TUNING": "supervised", "REINFORCEMENT_FINE_TUNING": "reinforcement"}
# Some servers tell of an end and of a failure from the first day on: they count where the status allows them.
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED})


class Bedrock:
    """The customization jobs of one AWS account in one region."""

    Options: ClassVar[type] = AwsOptions
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[None] = None
    hook_scheme: ClassVar[HookScheme] = "bearer"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._account = account = Account(spec.options)
        self._list = Operation(spec, account, "bedrock:ListModelCustomizationJobs", host="bedrock")
        self._get = Operation(spec, account, "bedrock:GetModelCustomizationJob", host="bedrock")

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing. A forgotten `anchor` is ProviderError(missing)."""
        query = PAGE if anchor is None else {**PAGE, "nextToken": anchor}
        return await self._list.listing(JOBS, query, is_anchored=anchor is not None)

    async def retrieve(self, id: str) -> bytes:
        """One job's document."""
        return await self._get.document(f"{JOBS}/{quote(id, safe='')}", id, identify=self.identify)

    @classmethod
    def hook(cls, body: bytes) -> Hook:
        """An event that EventBridge delivers."""
        return hooks.eventbridge(body, NEWS)

    @classmethod
    def found(cls, environ: Mapping[str, str]) -> Mapping[str, str] | None:
        """A region, and who may ask there."""
        return found_in(environ)

    async def introduce(self) -> Introduction:
        """Whose credentials these are."""
        return await introduced(self._spec, self._account)

    # ----------------------------------------------------------------------------------------- reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        return self._list.told(aws.split, body, "modelCustomizationJobSummaries", "nextToken")

    def identify(self, raw: bytes) -> str:
        """The name in one entry."""
        return lenient.identifier(lenient.document(raw).get("jobName"))

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = lenient.identifier(found.get("jobName"))
        word = lenient.some(found.get("status"))
        if word is None:
            raise Unreadable(f"the entry of {id} has no status")
        phases = _phases(found)
        status = _status(word, phases)
        arn = aws.arn(found.get("jobArn"))
        name = _first(found, "outputModelName", "customModelName")
        output = _first(found, "outputDataConfig.s3Uri")
        return Snapshot(
            id=id,
            created_at=lenient.moment(found.get("creationTime")),
            error=_error(found) if status in HAS_ERROR else None,
            fine_tuned_model=(_first(found, "outputModelArn", "customModelArn") or name)
            if status is Status.SUCCEEDED
            else None,
            finished_at=lenient.moment(found.get("endTime")) if status in TERMINAL else None,
            hyperparameters=_hyperparameters(found),
            model=_base(found.get("baseModelArn")),
            organization_id=arn.account if arn else None,
            result_files=(output,) if output and status is Status.SUCCEEDED else (),
            status=status,
            training_file=_first(
                found,
                "trainingDataConfig.s3Uri",
                "trainingDataConfig.invocationLogsConfig.invocationLogSource.s3Uri",
            ),
            validation_file=_validation_file(found),
            method=_method(found.get("customizationType")),
            metadata={"arn": arn.text} if arn else {},
            provider=self._spec.name,
            kind=self._spec.kind,
            name=name,
            labels=self._spec.labels,
            raw_status=word,
            phase=_phase(phases),
            started_at=_begun_at(found, phases, "training"),
            url=arn.console(CONSOLE) if arn else None,
        )

    def inline(self, raw: bytes) -> LogPage:
        """When the phases began, and the losses of a job that has completed."""
        try:
            found = lenient.document(raw)
        except Unreadable:
            return LogPage()
        phases = _phases(found)
        lines = [
            Line(key=name, at=at, type="phase", message=f"{name} started", status=status)
            for name, status in PHASES.items()
            if (at := _begun_at(found, phases, name)) is not None
        ]
        losses = _losses(found) if lenient.text(found.get("status")) == "Completed" else {}
        if losses:
            message = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            at = lenient.moment(found.get("endTime"))
            lines.append(Line(key="losses", at=at, type="metrics", message=message, metrics=losses))
        return LogPage(lines=tuple(lines), newest_first=False)


# ---------------------------------------------------------------------------------------- status and phases


def _phases(found: dict[str, Any]) -> dict[str, str]:
    """The state of each phase that the document tells of, in order."""
    told = {name: _first(found, f"statusDetails.{name}Details.status") for name in PHASES}
    return {name: word for name, word in told.items() if word}


def _begun(phases: dict[str, str]) -> list[str]:
    return [name for name, word in phases.items() if word != NOT_STARTED]


def _status(word: str, phases: dict[str, str]) -> Status:
    """Our word. `InProgress` is all that Bedrock has for a job that waits, validates or trains."""
    status = lenient.status_among(STATUSES, word)
    if status is not Status.RUNNING or not phases:
        return status
    begun = _begun(phases)
    if not begun or (begun[-1] == "dataProcessing" and phases["dataProcessing"] == "Completed"):
        return Status.QUEUED
    return PHASES[begun[-1]]


def _phase(phases: dict[str, str]) -> str | None:
    """The last phase that has begun, with its state; None where there is no word of phases."""
    begun = _begun(phases)
    if begun:
        return f"{begun[-1]} {phases[begun[-1]]}"
    return NOT_STARTED if phases else None


def _begun_at(found: dict[str, Any], phases: dict[str, str], name: str) -> int | None:
    """When a phase began. One that has not may have a time all the same: that of its own creation."""
    if phases.get(name, NOT_STARTED) == NOT_STARTED:
        return None
    return lenient.moment(lenient.at(found, f"statusDetails.{name}Details.creationTime"))


# ---------------------------------------------------------------------------------------------------- parts


def _first(found: dict[str, Any], *paths: str) -> str | None:
    """The text at the first of some paths that has any."""
    return next((text for path in paths if (text := lenient.some(lenient.at(found, path)))), None)


def _base(value: object) -> str | None:
    """The id of the base model: `amazon.nova-lite-v1:0:300k`, or the name of the custom model that it is."""
    arn = aws.arn(value)
    return arn.name if arn else lenient.some(value)


def _error(found: dict[str, Any]) -> JobError | None:
    return lenient.told(JobError(message=lenient.text(found.get("failureMessage"))))


def _hyperparameters(found: dict[str, Any]) -> dict[str, Any] | None:
    """Those of reinforcement stand in a place of their own."""
    own = lenient.at(found, "customizationConfig.rftConfig.hyperParameters")
    return lenient.settings(found.get("hyperParameters") or own)


def _method(value: object) -> Method | None:
    word = lenient.some(value)
    return Method(type=METHODS.get(word, word.lower())) if word else None


def _validation_file(found: dict[str, Any]) -> str | None:
    """The first of the data sets to validate with."""
    validators = lenient.at(found, "validationDataConfig.validators")
    return (
        lenient.some(lenient.at(validators[0], "s3Uri"))
        if isinstance(validators, list) and validators
        else None
    )


def _losses(found: dict[str, Any]) -> dict[str, float]:
    """The losses at the end; where there are several validators, none of them speaks for all."""
    losses = {"train_loss": lenient.finite(lenient.at(found, "trainingMetrics.trainingLoss"))}
    validators = found.get("validationMetrics")
    if isinstance(validators, list) and len(validators) == 1:
        losses["valid_loss"] = lenient.finite(lenient.at(validators[0], "validationLoss"))
    return {name: loss for name, loss in losses.items() if loss is not None}
