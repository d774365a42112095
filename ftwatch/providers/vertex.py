"""Tuning jobs on Google's Vertex AI (now called Gemini Enterprise), of one project in one location.

A job that RUNs there may still wait for quota or for hardware, or have its dataset validated: what it does
stands in a second state (`tuningJobState`), and only both together say what state it is in for us.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ftwatch.client.api import LARGEST_PAGE, AddressOptions, Api, is_near
from ftwatch.client.google import GoogleToken
from ftwatch.client.meaning import Response
from ftwatch.core.job import JobError, Method, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint
from ftwatch.plugins import (
    Introduction,
    LogPage,
    NotFound,
    Page,
    ProviderError,
    ProviderSpec,
    Secret,
    Unreadable,
)
from ftwatch.wire import lenient

__all__ = ["Options", "Vertex"]

PAGE_SIZE = "100"
# Where one may ask what one may do; nobody needs a permission for that.
PROJECTS = "https://cloudresourcemanager.googleapis.com"
CREATING = "aiplatform.tuningJobs.create"
# Where jobs are made when nobody says where.
LOCATION = "us-central1"
CONSOLE = (
    "https://console.cloud.google.com/vertex-ai/generative/language/locations/{location}/tuning/tuningJob/"
    "{id}?project={project}"
)

STATUSES = {
    "job_state_queued": Status.QUEUED,
    "job_state_pending": Status.QUEUED,
    "job_state_running": Status.RUNNING,
    "job_state_updating": Status.RUNNING,
    "job_state_paused": Status.PAUSED,
    "job_state_cancelling": Status.CANCELLING,
    "job_state_succeeded": Status.SUCCEEDED,
    "job_state_partially_succeeded": Status.SUCCEEDED,
    "job_state_failed": Status.FAILED,
    "job_state_expired": Status.FAILED,
    "job_state_cancelled": Status.CANCELLED,
}
RUNNING = "job_state_running"
# What a job that is RUNNING for the service waits for.
WAITS = {
    "waiting_for_quota": Status.QUEUED,
    "waiting_for_capacity": Status.QUEUED,
    "processing_dataset": Status.VALIDATING_FILES,
}
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.UNKNOWN})

METHODS = {
    "supervisedTuningSpec": "supervised",
    "preferenceOptimizationSpec": "dpo",
    "reinforcementTuningSpec": "reinforcement",
    "distillationSpec": "distillation",
    "distillationSamplingSpec": "distillation",
    "fullFineTuningSpec": "full_fine_tuning",
    "partnerModelTuningSpec": "partner_model",
    "veoTuningSpec": "veo",
    "veoLoraTuningSpec": "veo_lora",
}
# Its names for what everybody has; other settings keep theirs.
SETTINGS = {
    "epochCount": "n_epochs",
    "batchSize": "batch_size",
    "learningRateMultiplier": "learning_rate_multiplier",
}


@dataclass(frozen=True, kw_only=True)
class Options(AddressOptions):
    """What `kind: vertex` can be told: whose jobs, where, and how to be let in.

    `credentials` are a credentials file's JSON, so `credentials_file` names the file itself; without them the
    application default credentials count. `api_version` is `v1` or `v1beta1`.
    """

    project: str
    location: str
    credentials: Secret | None = None
    api_version: str = "v1"

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        yield from AddressOptions.problems(self)
        if not re.fullmatch(r"[a-z0-9.:-]+", self.project):
            yield "project", "is no id or number of a project, like acme-research or 123456789012"
        if not re.fullmatch(r"global|us|eu|[a-z]+-[a-z]+[0-9]+", self.location):
            yield "location", "is no location of Vertex AI, like us-central1 or europe-west4"
        if not re.fullmatch(r"v\d+\w*", self.api_version):
            yield "api_version", "is no version of the API, like v1 or v1beta1"
        # The environment's credentials are for Google, not for whoever a base_url may point to.
        if self.credentials is None and self.base_url is not None and not _is_googles(self.base_url):
            yield "base_url", "is not Google's: name the credentials_file whose token may be sent there"


class _Api(Api):
    """The API, whose refusals say in a second place what they are about."""

    def __init__(self, spec: ProviderSpec, auth: GoogleToken) -> None:
        options: Options = spec.options
        super().__init__(spec, options.base_url or _home(options.location), auth, timeout=options.timeout)
        self._token = auth
        self._project, self._location = options.project, options.location

    async def ask(self, *about: Any, **more: Any) -> Response:
        """Any answer. One that does not know the token makes the next request get another."""
        answer = await super().ask(*about, **more)
        if answer.status == 401:
            self._token.refused()
        return answer

    def advise(self, answer: Response) -> str | None:
        """What is missing where: the API itself, a permission, the project or the location."""
        if answer.status == 403:
            if "SERVICE_DISABLED" in _reasons(answer.body):
                return (
                    f"the Vertex AI API is not enabled in the project {self._project}: "
                    "`gcloud services enable aiplatform.googleapis.com`"
                )
            return (
                "it takes the permissions aiplatform.tuningJobs.list and aiplatform.tuningJobs.get on the "
                f"project {self._project}, as in roles/aiplatform.viewer"
            )
        if answer.status in (400, 404):
            return f"are the project {self._project} and the location {self._location} right?"
        return None


class Vertex:
    """A project's tuning jobs in one location."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str | None] = None
    # The service promises no order.
    newest_first: ClassVar[bool] = False

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        options: Options = spec.options
        self._jobs = (
            f"/{options.api_version}/projects/{options.project}/locations/{options.location}/tuningJobs"
        )
        self._token = GoogleToken(options.credentials, timeout=options.timeout.total_seconds())
        self.api = _Api(spec, self._token)

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing. A forgotten `anchor` is ProviderError(missing)."""
        query = {"pageSize": PAGE_SIZE}
        if anchor is not None:
            query["pageToken"] = anchor
        forgotten = "token" if anchor is not None else None
        return await self.api.page(self._jobs, query, forgotten=forgotten, cap=LARGEST_PAGE)

    async def retrieve(self, id: str) -> bytes:
        """One job's document."""
        if not id.isdecimal():  # no job is called so: the API takes it for a mistake of another sort
            raise NotFound(id)
        body = await self.api.job(f"{self._jobs}/{quote(id, safe='')}", id, listed=self._listed)
        return self.api.about(body, id, self.identify)

    async def _listed(self) -> Page:
        """The first page of the listing, which is one. Raises ProviderError."""
        return self.split(await self.page(None))

    @classmethod
    def found(cls, environ: Mapping[str, str]) -> Mapping[str, str] | None:
        """The project of the application default credentials that a variable names."""
        project = environ.get("GOOGLE_CLOUD_PROJECT")
        if not project or not environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
            return None
        return {"project": project, "location": environ.get("GOOGLE_CLOUD_LOCATION") or LOCATION}

    async def introduce(self) -> Introduction:
        """Whose credentials these are, and whether they may create jobs as well."""
        await self._token.headers("GET", "", b"")
        whose = self._token.account or "a user, or the environment"
        options: Options = self._spec.options
        may_create = await self._may_create()
        return Introduction(
            whose=f"the credentials are those of {whose}, for the project {options.project}",
            beyond=f"they can also create jobs ({CREATING}); roles/aiplatform.viewer is enough"
            if may_create
            else "",
        )

    async def _may_create(self) -> bool:
        """Whether the credentials are known to suffice for that."""
        options: Options = self._spec.options
        if options.base_url is not None and not _is_googles(options.base_url):
            return False
        address = options.base_url if options.base_url and is_near(options.base_url) else PROJECTS
        content = json.dumps({"permissions": [CREATING]}).encode()
        try:
            answer = await Api(self._spec, address, self._token, timeout=options.timeout).ask(
                f"/v1/projects/{quote(options.project, safe='')}:testIamPermissions",
                method="POST",
                content=content,
            )
            given = lenient.document(answer.body).get("permissions") if answer.status == 200 else None
        except (ProviderError, Unreadable):
            return False
        return isinstance(given, list) and CREATING in given

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page; an empty listing says nothing at all."""
        entries, rest = self.api.parted(body, "tuningJobs", may_lack=True)
        if not entries and rest.keys() - {"nextPageToken"}:
            raise ProviderError("the answer has no `tuningJobs`")
        return Page(entries=tuple(entries), next=lenient.some(rest.get("nextPageToken")))

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return _identified(lenient.document(raw))

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = _identified(found)
        word = lenient.some(found.get("state"))
        if word is None:
            raise Unreadable(f"the entry of {id} has no state")
        is_running = word.strip().lower() == RUNNING
        phase = _phase(found)
        status = lenient.status_among(STATUSES, word)
        if is_running:
            status = WAITS.get(phase or "", status)
        succeeded = status is Status.SUCCEEDED
        spec, method = _method(found)
        settings = _settings(spec)
        labels = lenient.strings(found.get("labels"))
        endpoint = lenient.some(lenient.at(found, "tunedModel.endpoint")) if succeeded else None
        return Snapshot(
            id=id,
            created_at=lenient.moment(found.get("createTime")),
            error=_error(found.get("error")) if status in HAS_ERROR else None,
            fine_tuned_model=lenient.some(lenient.at(found, "tunedModel.model")) if succeeded else None,
            finished_at=lenient.moment(found.get("endTime")) if status.is_terminal else None,
            hyperparameters=settings,
            model=_base(found),
            organization_id=_part(found, "projects"),
            result_files=_files(found) if succeeded else (),
            status=status,
            trained_tokens=lenient.count(_stats(found).get("totalBillableTokenCount")) if succeeded else None,
            training_file=lenient.some(spec.get("trainingDatasetUri"))
            or lenient.some(spec.get("promptDatasetUri")),
            validation_file=lenient.some(spec.get("validationDatasetUri")),
            method=method,
            # No label's key has a dot in it.
            metadata={**labels, "tunedModel.endpoint": endpoint} if endpoint else labels,
            provider=self._spec.name,
            kind=self._spec.kind,
            name=lenient.some(found.get("tunedModelDisplayName")),
            labels={**labels, **self._spec.labels},
            raw_status=word,
            phase=phase if is_running else None,
            started_at=_started_at(found, status, phase),
            progress=_progress(found, settings),
            url=self._console(found, id),
        )

    def inline(self, raw: bytes) -> LogPage:
        """The checkpoints, which come without a time."""
        try:
            entries = lenient.at(lenient.document(raw), "tunedModel.checkpoints")
        except Unreadable:
            return LogPage()
        return LogPage(
            checkpoints=tuple(
                Checkpoint(
                    id=lenient.some(entry.get("checkpointId")),
                    step=lenient.count(entry.get("step")),
                    model=lenient.some(entry.get("endpoint")),
                )
                for entry in lenient.objects(entries)
            ),
            newest_first=False,
        )

    def _console(self, found: dict[str, Any], id: str) -> str:
        options: Options = self._spec.options
        return CONSOLE.format(
            location=quote(_part(found, "locations") or options.location, safe=""),
            id=quote(id, safe=""),
            project=quote(_part(found, "projects") or options.project, safe=""),
        )


# ------------------------------------------------------------------------------------------- the address


def _home(location: str) -> str:
    """Where the API of a location is."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def _is_googles(url: str) -> bool:
    parts = urlsplit(url)
    is_home = parts.scheme == "https" and (parts.hostname or "").endswith(".googleapis.com")
    return is_home or is_near(url)


def _reasons(body: bytes) -> set[str]:
    """What the details of a refusal call it."""
    try:
        details = lenient.at(lenient.document(body), "error.details")
    except Unreadable:
        return set()
    found = (lenient.at(one, "reason") for one in (details if isinstance(details, list) else ()))
    return {reason for reason in found if isinstance(reason, str)}


# ------------------------------------------------------------------------------------------- the fields


def _identified(found: dict[str, Any]) -> str:
    """The last part of `projects/…/locations/…/tuningJobs/…`. Raises Unreadable."""
    name = found.get("name")
    return lenient.identifier(name.rpartition("/")[2] if isinstance(name, str) else name)


def _part(found: dict[str, Any], kind: str) -> str | None:
    """What follows `kind` in the job's name."""
    parts = (lenient.some(found.get("name")) or "").split("/")
    return next((after for part, after in pairwise(parts) if part == kind and after), None)


def _phase(found: dict[str, Any]) -> str | None:
    """What the job does or waits for, as `waiting_for_capacity`."""
    word = (lenient.some(found.get("tuningJobState")) or "").strip().lower()
    word = word.removeprefix("tuning_job_state_")
    return word if word and word != "unspecified" else None


def _started_at(found: dict[str, Any], status: Status, phase: str | None) -> int | None:
    """When the run began, where the service's `startTime` proves one.

    It is the moment when the job first RAN in the service's sense, so the wait for quota and hardware comes
    after it. A job that runs with a phase may have waited since; one that ended in a wait never ran.
    """
    began = lenient.moment(found.get("startTime"))
    if status is Status.SUCCEEDED:
        return began
    if phase in WAITS or status in WAITS.values() or (status is Status.RUNNING and phase is not None):
        return None
    return began


def _error(value: object) -> JobError | None:
    """Why, in the service's words; its code is a number of google.rpc.Code."""
    said = lenient.strings(value)
    return lenient.told(JobError(code=said.get("code"), message=said.get("message")))


def _method(found: dict[str, Any]) -> tuple[dict[str, Any], Method | None]:
    """The one specification that the job has, and what it makes the method."""
    for key, type in METHODS.items():
        spec = lenient.settings(found.get(key))
        if spec is not None:
            is_known = type in ("supervised", "dpo", "reinforcement")
            return spec, Method(type=type, **({type: spec} if is_known else {}))
    return {}, None


def _settings(spec: dict[str, Any]) -> dict[str, Any] | None:
    """The hyperparameters, with numbers for the strings that stand for them in Google's JSON."""
    found = spec.get("hyperParameters", spec.get("hyperparameters"))
    if not isinstance(found, dict):
        return None
    return {
        SETTINGS.get(str(key), str(key)): lenient.whole(lenient.number(value)) if _is_number(value) else value
        for key, value in found.items()
    }


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value) is not None


def _base(found: dict[str, Any]) -> str | None:
    """What is tuned: a base model, or what an earlier job made of one."""
    paths = ("baseModel", "preTunedModel.tunedModelName", "preTunedModel.baseModel")
    names = (lenient.some(lenient.at(found, path)) for path in (*paths, "distillationSpec.studentModel"))
    return next(filter(None, names), None)


def _files(found: dict[str, Any]) -> tuple[str, ...]:
    """Where in Cloud Storage the job left its results and figures."""
    return tuple(filter(None, (lenient.some(found.get(key)) for key in ("outputUri", "gcsMetricsUri"))))


def _stats(found: dict[str, Any]) -> dict[str, Any]:
    """The statistics of the dataset, which each method keeps under a name of its own."""
    kinds = found.get("tuningDataStats")
    for stats in kinds.values() if isinstance(kinds, dict) else ():
        inner = lenient.at(stats, "trainingDatasetStats")
        for one in (inner, stats):
            if isinstance(one, dict):
                return one
    return {}


def _progress(found: dict[str, Any], settings: dict[str, Any] | None) -> Progress | None:
    """How far it is: by steps where they are counted, else by epochs."""
    step = lenient.count(lenient.at(found, "tuningJobMetadata.completedStepCount"))
    epoch = lenient.count(lenient.at(found, "tuningJobMetadata.completedEpochCount"))
    if step is None and epoch is None:
        return None
    steps = lenient.count(_stats(found).get("tuningStepCount"))
    done, total = (step, steps) if step is not None and steps else (epoch, lenient.count(_epochs(settings)))
    percent = round(100 * done / total, 1) if done is not None and total and done <= total else None
    # A float, as everywhere: large whole numbers would not come back from the store as they were.
    return Progress(
        step=step, total_steps=steps, epoch=None if epoch is None else float(epoch), percent=percent
    )


def _epochs(settings: dict[str, Any] | None) -> object:
    return settings.get("n_epochs") if settings else None
