"""NVIDIA NeMo Customizer, on a cluster of one's own.

A job's document tells its whole story: the status, a log of what happened (`status_log`s), and the figures of
every step. So one request a job is all that a look costs, and nothing else is asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from ftwatch.client.api import LARGEST_PAGE, Api, ApiOptions, Key
from ftwatch.core.job import JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import Line
from ftwatch.plugins import LogPage, Page, ProviderSpec, Unreadable
from ftwatch.wire import joblog, lenient
from ftwatch.wire import openai as wire

__all__ = ["NeMo", "Options"]

JOBS = "/v1/customization/jobs"
PAGE_SIZE = "100"

# The Customizer's own words, and those that the platform's job service puts in their place.
STATUSES = {
    "created": Status.QUEUED,
    "pending": Status.QUEUED,
    "resuming": Status.QUEUED,
    "running": Status.RUNNING,
    "active": Status.RUNNING,
    "pausing": Status.PAUSING,
    "paused": Status.PAUSED,
    "cancelling": Status.CANCELLING,
    "completed": Status.SUCCEEDED,
    "ready": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELLED,
}
METHODS = {"sft": "supervised", "dpo": "dpo", "grpo": "reinforcement"}
# States that a job gets to only by running.
HAS_RUN = frozenset({Status.RUNNING, Status.SUCCEEDED})
STARTED = "TrainingJobRunning"

_TROUBLE = re.compile(r"fail|error", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: nemo` can be told: where the Customizer is, and a key where a gateway before it wants one.

    `namespace` and `project` let the service list only their jobs.
    """

    base_url: str
    namespace: str | None = None
    project: str | None = None


class NeMo:
    """A NeMo Customizer."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str | None] = None

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        options: Options = spec.options
        self._filters = {
            f"filter[{name}]": value
            for name, value in (("namespace", options.namespace), ("project", options.project))
            if value
        }
        advice = {404: "is base_url the Customizer's address, without /v1?"}
        if options.api_key is None:
            advice |= dict.fromkeys((401, 403), "no key was sent: set the option api_key")
        self.api = Api(
            spec,
            options.base_url,
            Key(options.api_key, needed=False),
            timeout=options.timeout,
            advice=advice,
        )

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing; its anchor is its number."""
        query = {"page": anchor or "1", "page_size": PAGE_SIZE, "sort": "-created_at"}
        return await self.api.page(JOBS, query | self._filters, cap=LARGEST_PAGE)

    async def retrieve(self, id: str) -> bytes:
        """One job's document."""
        body = await self.api.job(f"{JOBS}/{quote(id, safe='')}", id)
        return self.api.about(body, id, self.identify)

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page. Silence about pages is taken for the end."""
        entries, rest = self.api.parted(body, "data")
        number = lenient.count(lenient.at(rest, "pagination.page"))
        pages = lenient.count(lenient.at(rest, "pagination.total_pages"))
        more = number is not None and pages is not None and number < pages
        return Page(entries=tuple(entries), next=f"{(number or 0) + 1}" if more else None)

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return wire.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = lenient.identifier(found.get("id"))
        word = lenient.some(found.get("status")) or lenient.some(lenient.at(found, "status_details.status"))
        if word is None:
            raise Unreadable(f"the entry of {id} has no status")
        status = lenient.status_among(STATUSES, word)
        lines = _history(found)
        metadata = lenient.strings(found.get("custom_fields"))
        scope = lenient.strings({key: found.get(key) for key in ("namespace", "project")})
        settings = lenient.settings(found.get("hyperparameters"))
        created_at = lenient.moment(found.get("created_at"))
        output = lenient.some(found.get("output_model"))
        return Snapshot(
            id=id,
            created_at=created_at,
            error=_error(found) if status is Status.FAILED else None,
            fine_tuned_model=output if status is Status.SUCCEEDED else None,
            finished_at=lenient.moment(lenient.at(found, "status_details.updated_at"))
            if status.is_terminal
            else None,
            hyperparameters=settings,
            model=_reference(found.get("config")),
            status=status,
            training_file=_reference(found.get("dataset")),
            integrations=tuple(map(lenient.plain, lenient.objects(found.get("integrations")))),
            seed=lenient.whole(lenient.number(lenient.at(settings, "seed"))),
            method=_method(settings),
            metadata=metadata,
            provider=self._spec.name,
            kind=self._spec.kind,
            name=_title(output),
            owner=lenient.some(lenient.at(found, "ownership.created_by")),
            labels={**scope, **metadata, **self._spec.labels},
            raw_status=word,
            phase=lines[-1].type if lines and not status.is_terminal else None,
            started_at=_started_at(found, lines, status, created_at),
            progress=_progress(found, settings),
        )

    def inline(self, raw: bytes) -> LogPage:
        """The job's history, the warnings that its creation gave, and its figures, step by step."""
        try:
            found = lenient.document(raw)
        except Unreadable:
            return LogPage()
        lines = [*_warnings(found), *_history(found), *_figures(found)]
        return LogPage(lines=tuple(sorted(lines, key=_moment_of)), newest_first=False)


# ------------------------------------------------------------------------------------------- the history


def _history(found: dict[str, Any]) -> list[Line]:
    """What happened to the job, oldest first, which is not always how it is listed.

    A line's type is the service's word for the step ("TrainingJobRunning"). Steps that are completed are no
    jobs that are: an end is never proven here.
    """
    lines = []
    for entry in lenient.objects(lenient.at(found, "status_details.status_logs")):
        step, detail = lenient.some(entry.get("message")), lenient.some(entry.get("detail"))
        if step is None and detail is None:
            continue
        lines.append(
            Line(
                at=lenient.moment(entry.get("updated_at")),
                level="error" if step and _TROUBLE.search(step) else "info",
                type=step or "message",
                message=": ".join(filter(None, (step, detail)))[:2000],
                status=_proof(step or ""),
            )
        )
    return sorted(lines, key=_moment_of)


def _proof(step: str) -> Status | None:
    """The state that a step says the job entered, where it is the job's own, not a part's."""
    status = Status.RUNNING if step == STARTED else STATUSES.get(step, Status.UNKNOWN)
    return None if status.is_terminal or status is Status.UNKNOWN else status


def _warnings(found: dict[str, Any]) -> Iterator[Line]:
    for entry in lenient.objects(found.get("warnings")):
        said = [lenient.some(entry.get(key)) for key in ("message", "explanation")]
        if any(said):
            yield Line(
                at=lenient.moment(found.get("created_at")),
                level="warning",
                type="warning",
                message=": ".join(filter(None, said))[:2000],
            )


def _figures(found: dict[str, Any]) -> Iterator[Line]:
    """One line for each figure of each step: a late figure must not hide behind one that is known."""
    series = lenient.at(found, "status_details.metrics.metrics")
    for name, points in series.items() if isinstance(series, dict) else ():
        for point in lenient.objects(points):
            step, known = lenient.count(point.get("step")), joblog.figures({name: point.get("value")})
            if step is None:
                continue
            for ours, value in known.items():
                yield Line(
                    at=lenient.moment(point.get("timestamp")),
                    type="metrics",
                    message=f"Step {step}: {ours}={value:g}",
                    step=step,
                    metrics=known,
                )


def _error(found: dict[str, Any]) -> JobError | None:
    """Why the job failed: what the last step that failed says, else the last thing that was said at all."""
    entries = sorted(
        lenient.objects(lenient.at(found, "status_details.status_logs")),
        key=lambda entry: lenient.moment(entry.get("updated_at")) or 0,
    )
    failed = [entry for entry in entries if _TROUBLE.search(lenient.some(entry.get("message")) or "")]
    told = [entry for entry in failed or entries if lenient.some(entry.get("detail"))]
    for entry in (told or failed)[-1:]:
        step, detail = lenient.some(entry.get("message")), lenient.some(entry.get("detail"))
        return lenient.told(JobError(code=step if entry in failed else None, message=detail or step))
    return None


def _started_at(
    found: dict[str, Any], lines: list[Line], status: Status, created_at: int | None
) -> int | None:
    """When training began. The details' own time of creation is that only where it is a later one."""
    started = [line.at for line in lines if line.type == STARTED and line.at is not None]
    if started:
        return started[-1]
    began = lenient.moment(lenient.at(found, "status_details.created_at"))
    is_told = status in HAS_RUN and began is not None and began > (created_at or 0)
    return began if is_told else None


def _moment_of(line: Line) -> int:
    return line.at or 0


# ------------------------------------------------------------------------------------------- other fields


def _progress(found: dict[str, Any], settings: dict[str, Any] | None) -> Progress | None:
    """How far it is. The percentage may end below 100: training stops early, or its time is over."""
    details = lenient.at(found, "status_details")
    step, each, epoch = (
        lenient.count(lenient.at(details, key))
        for key in ("steps_completed", "steps_per_epoch", "epochs_completed")
    )
    epochs, most = (lenient.count(lenient.at(settings, key)) for key in ("epochs", "max_steps"))
    total = lenient.whole(each * epochs) if each and epochs else None
    total = min(total, most) if total and most else total
    percent = lenient.finite(lenient.at(details, "percentage_done"))
    if percent is not None:
        percent = round(min(100.0, max(0.0, percent)), 1)
    if (step, epoch, percent) == (None, None, None):
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)


def _method(settings: dict[str, Any] | None) -> Method | None:
    word = lenient.some(lenient.at(settings, "training_type"))
    if word is None:
        return None
    if word not in METHODS:
        return Method(type=word)
    return Method(type=METHODS[word], **{METHODS[word]: lenient.settings(lenient.at(settings, word))})


def _reference(value: object) -> str | None:
    """What a document refers to, by name or as a whole object."""
    if not isinstance(value, dict):
        return lenient.some(value)
    name, namespace = lenient.some(value.get("name")), lenient.some(value.get("namespace"))
    if name is not None:
        return f"{namespace}/{name}" if namespace else name
    return lenient.some(value.get("files_url")) or lenient.some(value.get("id"))


def _title(output: str | None) -> str | None:
    """What the job's owner called its model: `demo` of `default/demo@cust-…`; a job has no other name."""
    return lenient.some(output.partition("@")[0].rpartition("/")[2]) if output else None
