"""Kubeflow Trainer v2: TrainJobs, custom resources of a Kubernetes cluster.

A TrainJob has no word for its state: conditions, counts of its child jobs and a mark of deletion make one.
The cluster also tells of changes as they happen (`watch`).
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from ftwatch.client import Response
from ftwatch.client.api import LARGEST_JOB, LARGEST_LISTING, Api
from ftwatch.client.kubeconfig import Found
from ftwatch.client.kubernetes import Cluster
from ftwatch.core.job import JobError, Progress, Snapshot, Status
from ftwatch.core.journal import Line
from ftwatch.plugins import Duration, LogPage, NotFound, Page, ProviderError, ProviderSpec, Unreadable
from ftwatch.wire import joblog, lenient

__all__ = ["Kubeflow", "Options"]

GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
EVERYWHERE = "*"
PAGE_SIZE = "100"
# How long one stream of changes lasts, and how long nothing at all may come through it (seconds).
WATCH_SPAN, WATCH_IDLE = 300, 330.0

ADVICE = {
    401: "the cluster does not take these credentials",
    403: "the role needs get, list and watch of trainjobs in trainer.kubeflow.org",
    404: "is Kubeflow Trainer v2 installed in this cluster?",
}

# Conditions that are states, the weightiest first; what the others say depends on the child jobs.
ENDS = {"Complete": Status.SUCCEEDED, "Failed": Status.FAILED}
SUSPENDED, CREATED = "Suspended", "Created"
# Who waits in one of Kueue's queues is suspended until it is let in.
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"

SIZES = ("numNodes", "numProcPerNode", "resourcesPerNode")
# What trainers call their place in the run among their figures.
STEP, TOTAL = ("step", "global_step", "current_step"), ("total_steps", "max_steps")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: kubeflow` can be told: which cluster, and which namespace of it.

    Without a `kubeconfig` it is the cluster that ftwatch runs in, as its pod's service account. `namespace`
    may be `*`: all of them.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    timeout: Duration = Duration(seconds=30)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        if self.context is not None and self.kubeconfig is None:
            yield "context", "is a context of a kubeconfig, and there is none"
        if self.timeout.total_seconds() <= 0:
            yield "timeout", "must be longer than nothing"


class Kubeflow:
    """The TrainJobs of a namespace, or of a whole cluster."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = True
    key_variable: ClassVar[str | None] = None
    newest_first: ClassVar[bool] = False

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        file = self._options.kubeconfig
        self._cluster = Cluster(
            Path(spec.folder, Path(file).expanduser()) if file is not None else None, self._options.context
        )
        self._is_everywhere = self._options.namespace == EVERYWHERE
        self._api: Api | None = None
        self._found: Found | None = None
        self._accounts: list[Any] = []
        self._version: str | None = None

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing, by name. A place in it that is forgotten is ProviderError(missing)."""
        query = {"limit": PAGE_SIZE} | ({"continue": anchor} if anchor is not None else {})
        api, answer = await self._ask(None, query)
        if answer.status == 200:
            return answer.body
        if answer.status == 410 and anchor is not None:
            raise ProviderError(f"HTTP 410: {api.complaint(answer)}", missing=True)
        api.refused(answer, missing=answer.status == 404)

    async def retrieve(self, id: str) -> bytes:
        """One job's document. NotFound only where the cluster says so of this very job."""
        api, answer = await self._ask(id, cap=LARGEST_JOB)
        if answer.status == 200:
            return api.about(answer.body, id, self.identify)
        if answer.status == 404 and _names(answer.body, id):
            raise NotFound(id)
        api.refused(answer)

    async def watch(self) -> AsyncIterator[str]:
        """The ids of jobs that were created, changed or deleted, for some minutes.

        A second call goes on where the first one ended. Raises ProviderError.
        """
        if self._version is None:
            self._version = await self._current_version()
        query = {
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_SPAN),
        }
        api, path = await self._entered(), self._path(None)
        try:
            async with aclosing(api.lines(path, query, idle=WATCH_IDLE)) as lines:
                async for line in lines:
                    for id in self._told(line):
                        yield id
        except ProviderError as error:
            if not error.closed:
                raise
            # 410: what happened since is forgotten. Looks find it; the next stream begins at what is then.
            self._version = None

    def _told(self, line: bytes) -> Iterator[str]:
        """The job that one line of the stream is about, if it is about one. Raises ProviderError."""
        try:
            event = lenient.document(line)
        except Unreadable:
            return
        thing = event.get("object")
        if event.get("type") == "ERROR":
            said = lenient.some(lenient.at(thing, "message")) or "the cluster ended the stream"
            raise ProviderError(said[:300], closed=lenient.at(thing, "code") == 410)
        self._version = lenient.some(lenient.at(thing, "metadata.resourceVersion")) or self._version
        if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
            try:
                yield self._id(thing)
            except Unreadable:
                return

    async def _current_version(self) -> str:
        api, answer = await self._ask(None, {"limit": "1"})
        if answer.status != 200:
            api.refused(answer, missing=answer.status == 404)
        version = lenient.some(lenient.at(api.parted(answer.body, "items")[1], "metadata.resourceVersion"))
        if version is None:
            raise ProviderError("the listing has no resourceVersion")
        return version

    async def _ask(
        self, id: str | None, query: Mapping[str, str] | None = None, cap: int = LARGEST_LISTING
    ) -> tuple[Api, Response]:
        """The answer about one job, or about all; once more where a plugin has a fresh credential."""
        api = await self._entered()
        answer = await api.ask(self._path(id), query, cap=cap)
        if answer.status == 401 and self._cluster.forget():
            api = await self._entered()
            answer = await api.ask(self._path(id), query, cap=cap)
        return api, answer

    def _path(self, id: str | None) -> str:
        """Where a job is, or all of them. The cluster was looked at before."""
        namespace, name = self._options.namespace, id
        if self._is_everywhere:
            namespace, _, name = (id or "").partition("/")
        elif namespace is None:
            namespace = (self._found.namespace if self._found else None) or "default"
        within = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        return f"{GROUP}{within}/trainjobs" + (f"/{quote(name, safe='')}" if name else "")

    async def _entered(self) -> Api:
        """The API of the cluster, as it is to be reached now. Raises ProviderError(denied)."""
        found = await self._cluster.look()
        known, self._found = self._found, found
        if self._api is None or known is None or (found.server, found.trust) != (known.server, known.trust):
            try:
                account = self._spec.client.trusting(found.trust)
            except ValueError as error:
                self._found = known
                raise ProviderError(str(error), denied=True) from None
            self._accounts.append(account)
            self._api = Api(
                replace(self._spec, client=account),
                found.server,
                self._cluster,
                timeout=self._options.timeout,
                advice=ADVICE,
            )
        api = self._api
        # A certificate that is replaced may still be in use; the one before it no longer is.
        while len(self._accounts) > 2:
            await self._spec.client.part(self._accounts.pop(0))
        return api

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        entries, rest = lenient.parted(body, "items")
        following = lenient.text(lenient.at(rest, "metadata.continue"))
        return Page(entries=tuple(entries), next=following or None)

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return self._id(lenient.document(raw))

    def _id(self, found: object) -> str:
        """A job's name, with its namespace before it where several are watched. Raises Unreadable."""
        name = lenient.identifier(lenient.at(found, "metadata.name"))
        if not self._is_everywhere:
            return name
        return lenient.identifier(f"{lenient.identifier(lenient.at(found, 'metadata.namespace'))}/{name}")

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = self._id(found)
        about = found.get("status")
        conditions = lenient.at(about, "conditions")
        if not isinstance(about, dict | None) or not isinstance(conditions, list | None):
            raise Unreadable(f"the entry of {id} has no status that can be read")
        true = {kind: entry for kind, entry in _conditions(found) if _is(entry, "True")}
        status, word = _state(found, true)
        end = true[word] if word in ENDS else {}
        metadata = lenient.strings(lenient.at(found, "metadata.labels"))
        scope = lenient.strings(
            {
                "namespace": lenient.at(found, "metadata.namespace"),
                "runtime": lenient.at(found, "spec.runtimeRef.name"),
            }
        )
        error = JobError(code=lenient.text(end.get("reason")), message=lenient.text(end.get("message")))
        return Snapshot(
            id=id,
            created_at=lenient.moment(lenient.at(found, "metadata.creationTimestamp")),
            error=lenient.told(error) if status is Status.FAILED else None,
            finished_at=lenient.moment(end.get("lastTransitionTime")),
            hyperparameters=_settings(found),
            model=lenient.some(lenient.at(found, "spec.initializer.model.storageUri")),
            status=status,
            training_file=lenient.some(lenient.at(found, "spec.initializer.dataset.storageUri")),
            estimated_finish=_finish(found) if status is Status.RUNNING else None,
            metadata=metadata,
            provider=self._spec.name,
            kind=self._spec.kind,
            name=lenient.some(lenient.at(found, "metadata.name")),
            labels={**scope, **metadata, **self._spec.labels},
            raw_status=word,
            phase=_phase(found) if status is Status.RUNNING else None,
            progress=_progress(found),
        )

    def inline(self, raw: bytes) -> LogPage:
        """The conditions, each with the time it came about, and the figures of the latest step."""
        try:
            found = lenient.document(raw)
        except Unreadable:
            return LogPage()
        lines = [_line(found, kind, entry) for kind, entry in _conditions(found)]
        lines += _figures(found)
        return LogPage(lines=tuple(sorted(lines, key=lambda line: line.at or 0)), newest_first=False)


# --------------------------------------------------------------------------------------------- the state


def _state(found: dict[str, Any], true: Mapping[str, Any]) -> tuple[Status, str]:
    """Our word, and the one that stands for it in the document; where there is none, what kubectl says."""
    for word, status in ENDS.items():
        if word in true:
            return status, word
    if lenient.at(found, "metadata.deletionTimestamp"):
        return Status.CANCELLING, "Terminating"
    if SUSPENDED in true:
        return _suspended(found), SUSPENDED
    strange = [kind for kind in true if kind != CREATED]
    if strange:
        return Status.UNKNOWN, strange[-1]
    if any(_has_begun(entry) for entry in _objects(lenient.at(found, "status.jobsStatus"))):
        return Status.RUNNING, "Active"
    return Status.QUEUED, "Pending"


def _suspended(found: dict[str, Any]) -> Status:
    labels = lenient.at(found, "metadata.labels")
    return Status.QUEUED if isinstance(labels, dict) and labels.get(QUEUE_LABEL) else Status.PAUSED


def _has_begun(child: dict[str, Any]) -> bool:
    """Whether a child job runs or ran: between its parts, and at a restart, a TrainJob still runs."""
    return any(lenient.count(child.get(count)) for count in ("active", "ready", "succeeded", "failed"))


def _phase(found: dict[str, Any]) -> str | None:
    """The parts that are at work: dataset-initializer, model-initializer, node."""
    children = _objects(lenient.at(found, "status.jobsStatus"))
    active = [lenient.some(child.get("name")) for child in children if lenient.count(child.get("active"))]
    return ", ".join(filter(None, active)) or None


def _conditions(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Each condition under its type, which is there once."""
    listed = _objects(lenient.at(found, "status.conditions"))
    return [(kind, entry) for entry in listed if (kind := lenient.some(entry.get("type"))) is not None]


def _is(condition: dict[str, Any], value: str) -> bool:
    return str(condition.get("status")).lower() == value.lower()


def _line(found: dict[str, Any], kind: str, condition: dict[str, Any]) -> Line:
    """A condition as a line. Conditions are the cluster's own record, so an end that stands there is one."""
    said = [lenient.some(condition.get(key)) for key in ("reason", "message")]
    is_true = _is(condition, "True")
    status = ENDS.get(kind) if is_true else None
    if kind == SUSPENDED:
        status = _suspended(found) if is_true else Status.QUEUED
    return Line(
        at=lenient.moment(condition.get("lastTransitionTime")),
        level="error" if status is Status.FAILED else "info",
        type=kind if is_true else f"not {kind}",
        message=": ".join(dict.fromkeys(filter(None, (kind if is_true else f"not {kind}", *said))))[:2000],
        status=status,
    )


# --------------------------------------------------------------------------------------------- the trainer


def _told_by_trainer(found: dict[str, Any]) -> dict[str, Any]:
    """The figures that the trainer reports, under its own names; their values are text."""
    listed = _objects(lenient.at(found, "status.trainerStatus.metrics"))
    return {str(entry.get("name")).lower(): entry.get("value") for entry in listed}


def _figures(found: dict[str, Any]) -> Iterator[Line]:
    told = _told_by_trainer(found)
    known = joblog.figures(told)
    if known:
        step = _first_count(told, STEP)
        shown = ", ".join(f"{name}={value:g}" for name, value in known.items())
        yield Line(
            at=lenient.moment(lenient.at(found, "status.trainerStatus.lastUpdatedTime")),
            type="metrics",
            message=f"Step {step}: {shown}" if step is not None else shown,
            step=step,
            metrics=known,
        )


def _progress(found: dict[str, Any]) -> Progress | None:
    told = _told_by_trainer(found)
    step, total = _first_count(told, STEP), _first_count(told, TOTAL)
    epoch = lenient.finite(told.get("epoch"))
    percent = lenient.finite(lenient.at(found, "status.trainerStatus.progressPercentage"))
    percent = min(100.0, max(0.0, percent)) if percent is not None else None
    if (step, epoch, percent) == (None, None, None):
        return None
    return Progress(step=step, total_steps=total, epoch=epoch, percent=percent)


def _finish(found: dict[str, Any]) -> int | None:
    """When the trainer expects to be done, counted from when it said so."""
    said = lenient.moment(lenient.at(found, "status.trainerStatus.lastUpdatedTime"))
    left = lenient.count(lenient.at(found, "status.trainerStatus.estimatedRemainingSeconds"))
    return lenient.seconds(said + left) if said and left else None


def _settings(found: dict[str, Any]) -> dict[str, Any] | None:
    """How large the run is. Arguments and environment stay where they are: they may hold secrets."""
    trainer = lenient.settings(lenient.at(found, "spec.trainer")) or {}
    return {key: value for key, value in trainer.items() if key in SIZES} or None


def _first_count(told: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    counts = (lenient.count(told.get(name)) for name in names)
    return next((count for count in counts if count is not None), None)


def _objects(values: object) -> list[dict[str, Any]]:
    return [entry for entry in values if isinstance(entry, dict)] if isinstance(values, list) else []


def _names(body: bytes, id: str) -> bool:
    """Whether an error is about this job, as one about a missing type of resource is not."""
    try:
        said = lenient.document(body)
    except Unreadable:
        return False
    about = (lenient.at(said, "details.kind"), lenient.at(said, "details.name"))
    return about == ("trainjobs", id.rpartition("/")[2])
