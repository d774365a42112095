"""Amazon SageMaker's training jobs, those that tune a language model among them.

A job is known by its name, which is unique in an account and region; its ARN stands in `metadata.arn`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ftwatch.client.aws import Account, AwsOptions, Operation, found_in, introduced
from ftwatch.core.job import TERMINAL, JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import Line
from ftwatch.plugins import Hook, HookScheme, Introduction, LogPage, Page, ProviderSpec, Unreadable
from ftwatch.wire import aws, hooks, joblog, lenient

__all__ = ["SageMaker"]

PAGE = {"MaxResults": 100, "SortBy": "CreationTime", "SortOrder": "Descending"}
# What EventBridge tells of jobs, and where in it the job is.
NEWS = (("SageMaker Training Job State Change", "TrainingJobName"),)
CONSOLE = "sagemaker/home#/jobs/{id}"

STATUSES = {
    "inprogress": Status.RUNNING,  # unless the secondary status says that it only waits
    "stopping": Status.CANCELLING,
    "completed": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "stopped": Status.CANCELLED,  # unless the secondary status says that nobody wanted it
    "deleting": Status.CANCELLED,
}
# What a job is in each secondary status. `Interrupted` is none of them: it is the end or a pause.
SECONDARY = {
    "Starting": Status.QUEUED,
    "Pending": Status.QUEUED,
    "LaunchingMLInstances": Status.QUEUED,
    "PreparingTrainingStack": Status.QUEUED,
    "Downloading": Status.RUNNING,
    "DownloadingTrainingImage": Status.RUNNING,
    "Training": Status.RUNNING,
    "Uploading": Status.RUNNING,
    "Restarting": Status.RUNNING,
    "Updating": Status.RUNNING,
    "Stopping": Status.CANCELLING,
    "Completed": Status.SUCCEEDED,
    "Failed": Status.FAILED,
    "Stopped": Status.CANCELLED,
    "MaxRuntimeExceeded": Status.FAILED,
    "MaxWaitTimeExceeded": Status.FAILED,
}
INTERRUPTED = "Interrupted"
# `Stopped` by the service, not by anybody.
CUT_SHORT = frozenset({"MaxRuntimeExceeded", "MaxWaitTimeExceeded", INTERRUPTED})
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED})
METHODS = {"SFT": "supervised", "DPO": "dpo", "RLVR": "reinforcement", "RLAIF": "reinforcement"}

# `AlgorithmError: …` is how the reason of a failure begins.
_CODE = re.compile(r"([A-Z]\w{2,60}(?:Error|Exception|Exceeded))\b")
# The hyperparameter in which scripts and containers are told the base model.
_BASES = ("model_id", "model_name_or_path", "model_name", "base_model", "base_model_name")


class SageMaker:
    """The training jobs of one AWS account in one region."""

    Options: ClassVar[type] = AwsOptions
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[None] = None
    hook_scheme: ClassVar[HookScheme] = "bearer"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._account = account = Account(spec.options)
        self._list, self._describe = (
            Operation(spec, account, f"sagemaker:{name}", host="api.sagemaker", target=f"SageMaker.{name}")
            for name in ("ListTrainingJobs", "DescribeTrainingJob")
        )

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing. A forgotten `anchor` is ProviderError(missing)."""
        asked = PAGE if anchor is None else {**PAGE, "NextToken": anchor}
        return await self._list.listing("/", content=_encoded(asked), is_anchored=anchor is not None)

    async def retrieve(self, id: str) -> bytes:
        """One job's document."""
        asked = _encoded({"TrainingJobName": id})
        return await self._describe.document("/", id, content=asked, identify=self.identify)

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
        return self._list.told(aws.split, body, "TrainingJobSummaries", "NextToken")

    def identify(self, raw: bytes) -> str:
        """The name in one entry."""
        return lenient.identifier(lenient.document(raw).get("TrainingJobName"))

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = lenient.identifier(found.get("TrainingJobName"))
        word = lenient.some(found.get("TrainingJobStatus"))
        if word is None:
            raise Unreadable(f"the entry of {id} has no status")
        phase = lenient.some(found.get("SecondaryStatus"))
        status = _status(word, phase)
        has_ended = status in TERMINAL
        arn = aws.arn(found.get("TrainingJobArn"))
        artifacts = lenient.some(lenient.at(found, "ModelArtifacts.S3ModelArtifacts"))
        package = lenient.some(found.get("OutputModelPackageArn"))
        hyperparameters = lenient.settings(found.get("HyperParameters"))
        return Snapshot(
            id=id,
            created_at=lenient.moment(found.get("CreationTime")),
            error=_error(found, phase) if status in HAS_ERROR else None,
            fine_tuned_model=package or artifacts if status is Status.SUCCEEDED else None,
            finished_at=lenient.moment(found.get("TrainingEndTime")) if has_ended else None,
            hyperparameters=hyperparameters,
            model=_base(found, hyperparameters or {}),
            organization_id=arn.account if arn else None,
            result_files=(artifacts,) if artifacts and has_ended else (),
            status=status,
            trained_tokens=lenient.count(found.get("BillableTokenCount")),
            training_file=_channel(found, "train"),
            validation_file=_channel(found, "valid") or _channel(found, "eval"),
            method=_method(lenient.at(found, "ServerlessJobConfig.CustomizationTechnique")),
            metadata={"arn": arn.text} if arn else {},
            provider=self._spec.name,
            kind=self._spec.kind,
            labels=self._spec.labels,
            raw_status=word,
            phase=phase,
            started_at=lenient.moment(found.get("TrainingStartTime")),
            progress=_progress(found.get("ProgressInfo")),
            url=arn.console(CONSOLE.replace("{id}", id)) if arn else None,
        )

    def inline(self, raw: bytes) -> LogPage:
        """The states that the service has kept account of, and the figures at the end."""
        try:
            found = lenient.document(raw)
        except Unreadable:
            return LogPage()
        lines = [*map(_transition, lenient.objects(found.get("SecondaryStatusTransitions")))]
        lines += filter(None, map(_figure, lenient.objects(found.get("FinalMetricDataList"))))
        return LogPage(lines=tuple(lines), newest_first=False)


def _encoded(asked: dict[str, Any]) -> bytes:
    return json.dumps(asked).encode()


# --------------------------------------------------------------------------------------------------- states


def _status(word: str, phase: str | None) -> Status:
    """Our word for a primary status, which the secondary one makes more exact."""
    status = lenient.status_among(STATUSES, word)
    if status is Status.RUNNING and (phase == INTERRUPTED or SECONDARY.get(phase or "") is Status.QUEUED):
        return Status.QUEUED
    if status is Status.CANCELLED and phase in CUT_SHORT:
        return Status.FAILED
    return status


def _transition(one: dict[str, Any]) -> Line:
    """A state that the job entered."""
    word = lenient.some(one.get("Status")) or ""
    message = lenient.some(one.get("StatusMessage"))
    began = one.get("StartTime")
    status = SECONDARY.get(word)
    return Line(
        key=f"{word[:64]} {str(began)[:40]}",
        at=lenient.moment(began),
        level="error" if status is Status.FAILED else "info",
        type="status",
        message=(f"{word}: {message}" if message else word)[:2000],
        status=status,
    )


def _figure(one: dict[str, Any]) -> Line | None:
    """A figure at the end of the training, as the algorithm calls it: `train:loss`, `eval_loss`."""
    name, value = lenient.some(one.get("MetricName")), lenient.finite(one.get("Value"))
    if name is None or value is None:
        return None
    known = re.sub(r"\W+", "_", name)
    return Line(
        key=f"metric {name[:100]}",
        at=lenient.moment(one.get("Timestamp")),
        type="metrics",
        message=f"{name} {value:g}"[:2000],
        metrics=joblog.figures({known: value}) or joblog.figures({known.partition("_")[2]: value}),
    )


# ---------------------------------------------------------------------------------------------------- parts


def _error(found: dict[str, Any], phase: str | None) -> JobError | None:
    """Why a job failed; of one that was cut short, the state's own account of it."""
    message = lenient.some(found.get("FailureReason"))
    code = _CODE.match(message) if message else None
    if code is not None or phase not in CUT_SHORT:
        return lenient.told(JobError(code=code[1] if code else None, message=message))
    said = [one.get("StatusMessage") for one in lenient.objects(found.get("SecondaryStatusTransitions"))]
    return JobError(code=phase, message=message or (lenient.some(said[-1]) if said else None))


def _base(found: dict[str, Any], hyperparameters: dict[str, Any]) -> str | None:
    """The base model: that of a serverless job, else what a script is told under one of the usual names."""
    value = lenient.some(lenient.at(found, "ServerlessJobConfig.BaseModelArn"))
    if value is not None:
        arn = aws.arn(value)
        # …:hub-content/HUB/Model/NAME/VERSION
        parts = arn.resource.split("/") if arn else []
        return parts[3] if len(parts) > 3 else value
    named = (lenient.some(hyperparameters.get(key)) for key in _BASES)
    # The SDK writes every hyperparameter as JSON, text with its quotes.
    return next((name.strip('"') for name in named if name), None)


def _method(value: object) -> Method | None:
    word = lenient.some(value)
    return Method(type=METHODS.get(word, word.lower())) if word else None


def _channel(found: dict[str, Any], start: str) -> str | None:
    """Where the data of the first channel whose name begins so comes from."""
    for channel in lenient.objects(found.get("InputDataConfig")):
        if (lenient.text(channel.get("ChannelName")) or "").lower().startswith(start):
            return lenient.some(lenient.at(channel, "DataSource.S3DataSource.S3Uri"))
    return None


def _progress(found: object) -> Progress | None:
    """How far a serverless job is. Its steps begin anew with every epoch, and epochs count from 1."""
    keys = ("CurrentStep", "TotalStepCountPerEpoch", "CurrentEpoch", "MaxEpoch")
    step, each, current, epochs = (lenient.count(lenient.at(found, key)) for key in keys)
    if step is None and current is None:
        return None
    epoch = None if current is None else float(current)
    if step is None or not each or not current or not epochs:
        return Progress(step=step, epoch=epoch)
    done, total = (current - 1) * each + step, epochs * each
    if lenient.whole(total) is None or done > total:
        return Progress(epoch=epoch)
    return Progress(step=done, total_steps=total, epoch=epoch, percent=round(100 * done / total, 1))
