"""Fireworks' fine-tuning API: three kinds of job, each with a listing of its own, below one account.

Its documents are resources with long names, whose states are words in capitals, and whose URLs are signed
anew with every answer.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ftwatch.client.api import LARGEST_PAGE, Api, ApiOptions, Key, is_meant_for, root_of
from ftwatch.core.job import TERMINAL, JobError, Method, Progress, Snapshot, Status
from ftwatch.plugins import Introduction, NotFound, Page, ProviderError, ProviderSpec, Unreadable
from ftwatch.wire import lenient

__all__ = ["Fireworks", "Options"]

HOME = "https://api.fireworks.ai"
HOSTS = frozenset({"api.fireworks.ai"})
PAGE_SIZE = "200"
ACCOUNT_VARIABLE = "FIREWORKS_ACCOUNT_ID"

SUPERVISED, DPO, REINFORCEMENT = "supervisedFineTuningJobs", "dpoJobs", "reinforcementFineTuningJobs"
METHODS = {SUPERVISED: "supervised", DPO: "dpo", REINFORCEMENT: "reinforcement"}
# Where people look at a job; of the third kind no such address is known.
PLATFORM = "https://app.fireworks.ai/dashboard/fine-tuning/{method}/{id}"
ON_PLATFORM = frozenset({SUPERVISED, REINFORCEMENT})

PREFIX = "JOB_STATE_"
STATUSES = {
    "CREATING": Status.QUEUED,
    "PENDING": Status.QUEUED,
    "RE_QUEUEING": Status.QUEUED,
    "VALIDATING": Status.VALIDATING_FILES,
    "CREATING_INPUT_DATASET": Status.VALIDATING_FILES,
    "RUNNING": Status.RUNNING,
    "WRITING_RESULTS": Status.RUNNING,
    "IDLE": Status.RUNNING,
    "PAUSED": Status.PAUSED,
    "CANCELLING": Status.CANCELLING,
    # It is being removed: that is no end, and may happen to a job that ended well.
    "DELETING": Status.CANCELLING,
    "DELETING_CLEANING_UP": Status.CANCELLING,
    "COMPLETED": Status.SUCCEEDED,
    "EARLY_STOPPED": Status.SUCCEEDED,
    "FAILED": Status.FAILED,
    "EXPIRED": Status.FAILED,
    "CANCELLED": Status.CANCELLED,
}
# The words that say all that our own would.
PLAIN = frozenset({"RUNNING", "PAUSED", "CANCELLING", "COMPLETED", "FAILED", "CANCELLED"})
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.PAUSED, Status.UNKNOWN})

HYPERPARAMETERS = (
    *("epochs", "batchSize", "batchSizeSamples", "gradientAccumulationSteps", "learningRate"),
    *("learningRateWarmupSteps", "loraRank", "maxContextLength", "optimizerWeightDecay", "earlyStop"),
)
WANDB = {"project": "project", "entity": "entity", "run_id": "runId", "url": "url"}

# What differs between two answers about the same, or is a secret, is not kept.
_SIGNED = re.compile(rb'"(metricsFileSignedUrl|trainerLogsSignedUrl|apiKey)"\s*:\s*"(?:[^"\\]++|\\.)*+"')
_NAME = re.compile(r"accounts(?:/(?!\.+(?:/|$))[^/]+){3}")
_EMPTY = b"{}"


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: fireworks` can be told: whose jobs, and how to be let in.

    Without an `api_key` the variable FIREWORKS_API_KEY counts, without an `account` FIREWORKS_ACCOUNT_ID,
    else the one account that the key opens.
    """

    base_url: str = HOME
    account: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        yield from ApiOptions.problems(self)
        if self.account is not None and not re.fullmatch(r"[\w.-]+", self.account):
            yield "account", "is the account's id alone, like acme in accounts/acme/models/bot"


class Fireworks:
    """An account on Fireworks."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str] = "FIREWORKS_API_KEY"
    heads: ClassVar[tuple[str, ...]] = (SUPERVISED, DPO, REINFORCEMENT)
    # Listings are ordered by name.
    newest_first: ClassVar[bool] = False

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        base = spec.options.base_url
        self._is_home = urlsplit(base).hostname in HOSTS
        is_meant = is_meant_for(base, HOSTS, "FIREWORKS_BASE_URL")
        named = os.environ.get(ACCOUNT_VARIABLE, "").strip() if is_meant else ""
        self._account: str | None = spec.options.account or named or None
        self._present, self._absent = {SUPERVISED}, set[str]()
        self.api = Api(
            spec,
            root_of(base),
            Key(
                spec.options.api_key,
                (self.key_variable,),
                trusts_variable=is_meant,
                needed=self._is_home,
            ),
            timeout=spec.options.timeout,
            advice={
                401: f"set {self.key_variable} or the option api_key; a key for inference alone does not do",
                403: "the key's user needs the role inference-user of the account, or a higher one",
                404: "is the option account right?",
            },
        )

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of one of the three listings; `anchor` is its name, and after a colon the page's token.

        A listing that is not there is an empty one, so that it does not hide the others, unless it is the
        first or was there before.
        """
        head, _, token = (anchor or SUPERVISED).partition(":")
        query = {"pageSize": PAGE_SIZE, **({"pageToken": token} if token else {})}
        path = f"/v1/accounts/{quote(await self._whose(), safe='')}/{head}"
        try:
            forgotten = "token" if token else None
            body = await self.api.page(path, query, forgotten=forgotten, cap=LARGEST_PAGE)
        except ProviderError as error:
            if error.missing and not error.closed and head not in self._present:
                self._absent.add(head)
                return _EMPTY
            raise
        self._present.add(head)
        self._absent.discard(head)
        return _kept(body)

    async def retrieve(self, id: str) -> bytes:
        """One job's document. NotFound only where the API itself says so, not something before it."""
        if not _NAME.fullmatch(id):  # no job is called so: the address would be that of something else
            raise NotFound(id)
        path = "/".join(quote(part, safe="") for part in id.split("/"))
        body = await self.api.job(f"/v1/{path}", id)
        return _kept(self.api.about(body, id, self.identify))

    async def introduce(self) -> Introduction:
        """Whose key it is, and whether the account may work."""
        account = await self._whose()
        answer = await self.api.ask(f"/v1/accounts/{quote(account, safe='')}")
        if answer.status != 200:
            self.api.refused(answer)
        try:
            found = lenient.document(answer.body)
        except Unreadable as error:
            raise ProviderError(f"the answer is no account but {error}") from None
        name, state = (lenient.some(found.get(key)) for key in ("displayName", "suspendState"))
        absent = sorted(self._absent)
        is_suspended = state not in (None, "UNSUSPENDED")
        return Introduction(
            whose=f"the key opens the account {account}" + (f" ({name})" if name else ""),
            lacks=f"the listing {' and '.join(absent)} is missing, and counts as empty" if absent else "",
            wrong=f"the account is suspended: {state}" if is_suspended else "",
        )

    async def _whose(self) -> str:
        """The account's id, asked for once where nobody named it. Raises ProviderError."""
        if self._account is None:
            found = self.api.parted(await self.api.page("/v1/accounts"), "accounts", may_lack=True)[0]
            names = [_last(name) for raw in found if (name := _name_in(raw))]
            if len(names) != 1:
                which = f"several accounts ({', '.join(names[:5])})" if names else "no account"
                advice = f"set {ACCOUNT_VARIABLE} or the option account"
                raise ProviderError(f"the key opens {which}: {advice}", denied=True)
            self._account = names[0]
        return self._account

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        found, rest = self.api.parted(body, *self.heads, may_lack=True)
        if not found and not rest.keys() <= {"nextPageToken", "totalSize"}:
            raise ProviderError(f"the answer has none of {', '.join(self.heads)}")
        token = lenient.some(rest.get("nextPageToken"))
        return Page(entries=tuple(found), next=f"{_kind_of(found)}:{token}" if token else None)

    def identify(self, raw: bytes) -> str:
        """The name of the job in one entry, which is its id."""
        return lenient.identifier(lenient.document(raw).get("name"))

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = lenient.identifier(found.get("name"))
        raw_status = lenient.some(found.get("state"))
        if raw_status is None:
            raise Unreadable(f"the entry of {id} has no state")
        word = raw_status.strip().upper().removeprefix(PREFIX)
        status = STATUSES.get(word, Status.UNKNOWN)
        kind = id.split("/")[2] if _NAME.fullmatch(id) else ""
        # What the first kind of job says itself, the others say in a part of their own.
        config = found.get("trainingConfig")
        own = {key: value for key, value in found.items() if value is not None}
        training = {**(config if isinstance(config, dict) else {}), **own}
        return Snapshot(
            id=id,
            created_at=lenient.moment(found.get("createTime")),
            error=_error(found.get("status")) if status in HAS_ERROR else None,
            fine_tuned_model=lenient.some(training.get("outputModel"))
            if status is Status.SUCCEEDED
            else None,
            finished_at=lenient.moment(found.get("completedTime")) if status in TERMINAL else None,
            hyperparameters=_hyperparameters(training),
            model=lenient.some(training.get("baseModel")) or lenient.some(training.get("warmStartFrom")),
            organization_id=id.split("/")[1] if kind else None,
            status=status,
            trained_tokens=lenient.count(lenient.at(found, "jobProgress.inputTokens")),
            training_file=lenient.some(found.get("dataset")),
            validation_file=lenient.some(found.get("evaluationDataset")),
            integrations=_integrations(found.get("wandbConfig")),
            method=_method(kind, found),
            provider=self._spec.name,
            kind=self._spec.kind,
            name=lenient.some(found.get("displayName")) or _last(id),
            owner=lenient.some(found.get("createdBy")),
            labels=dict(self._spec.labels),
            raw_status=raw_status,
            phase=word.lower() if word in STATUSES and word not in PLAIN else None,
            progress=_progress(found.get("jobProgress"), lenient.count(training.get("epochs"))),
            url=self._url(kind, id),
        )

    def _url(self, kind: str, id: str) -> str | None:
        if not self._is_home or kind not in ON_PLATFORM:
            return None
        return PLATFORM.format(method=METHODS[kind], id=quote(_last(id), safe=""))


# ---------------------------------------------------------------------------------------------- names


def _kept(body: bytes) -> bytes:
    return _SIGNED.sub(rb'"\1":""', body)


def _last(name: str) -> str:
    """The last part of a resource's name: its id below its parent."""
    return name.rpartition("/")[2]


def _name_in(raw: bytes) -> str | None:
    """The name in one entry of any listing; None where it has none."""
    try:
        return lenient.identifier(lenient.document(raw).get("name"))
    except Unreadable:
        return None


def _kind_of(entries: list[bytes]) -> str:
    """Which listing these entries stand in. Raises ProviderError where none of them says so."""
    for raw in entries:
        name = _name_in(raw)
        if name is not None and _NAME.fullmatch(name):
            return name.split("/")[2]
    raise ProviderError("no entry of the page has a name, so there is no way to the next page")


# -------------------------------------------------------------------------------------------- documents


def _error(found: object) -> JobError | None:
    """What went wrong: a code of gRPC and a sentence. OK stands on healthy jobs."""
    code, message = (lenient.some(lenient.at(found, key)) for key in ("code", "message"))
    if code in (None, "OK", "CANCELLED") and message is None:
        return None
    return JobError(code=code, message=message)


def _hyperparameters(training: dict[str, Any]) -> dict[str, Any] | None:
    known = {key: training[key] for key in HYPERPARAMETERS if training.get(key) is not None}
    return lenient.settings(known) if known else None


def _integrations(found: object) -> tuple[dict[str, Any], ...]:
    if lenient.at(found, "enabled") is not True:
        return ()
    about = {name: told for name, key in WANDB.items() if (told := lenient.some(lenient.at(found, key)))}
    return ({"type": "wandb", "wandb": about},)


def _method(kind: str, found: dict[str, Any]) -> Method | None:
    type = METHODS.get(kind)
    if type is None:
        return None
    loss = found.get("lossConfig")
    about = {"loss": loss, "evaluator": found.get("evaluator")}
    settings = lenient.settings({key: value for key, value in about.items() if value is not None}) or None
    return Method(
        type=type,
        dpo=settings if type == "dpo" else None,
        reinforcement=settings if type == "reinforcement" else None,
    )


def _progress(found: object, epochs: int | None) -> Progress | None:
    """How far a run is in all: the service's percent begins anew with every epoch, which count from 0."""
    percent = lenient.finite(lenient.at(found, "percent"))
    if percent is None:
        return None
    epoch = lenient.count(lenient.at(found, "epoch")) or 0
    done = epoch + min(max(percent, 0.0), 100.0) / 100
    overall = min(100.0, round(100 * done / epochs, 1)) if epochs else None
    return Progress(epoch=round(done, 2), percent=overall)
