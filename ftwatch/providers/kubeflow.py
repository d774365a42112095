"""Kubeflow Trainer v2: TrainJobs, custom resources of a Kubernetes cluster.

Only how to ask stands here; what a TrainJob means is `ftwatch.wire.trainjob`'s affair, and the way into a
cluster `ftwatch.client.kubernetes`'s. The cluster also tells of changes as they happen (`watch`).
"""

import json
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
from ftwatch.core.job import Snapshot
from ftwatch.core.message import clean
from ftwatch.plugins import (
    Duration,
    Introduction,
    LogPage,
    NotFound,
    Page,
    ProviderError,
    ProviderSpec,
    Unreadable,
)
from ftwatch.wire import lenient, trainjob

__all__ = ["Kubeflow", "Options"]

GROUP = "/apis/trainer.kubeflow.org/v1alpha1"
EVERYWHERE = "*"
PAGE_SIZE = "100"
NEEDED = {"get", "list", "watch"}
# How long one stream of changes lasts, and how long nothing at all may come through it (seconds).
WATCH_SPAN, WATCH_IDLE = 300, 330.0

ADVICE = {
    401: "the cluster does not take these credentials",
    403: "the role needs get, list and watch of trainjobs in trainer.kubeflow.org",
    404: "is Kubeflow Trainer v2 installed in this cluster?",
}


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
    names_models: ClassVar[bool] = False
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
        if ("/" in id) != self._is_everywhere:
            # No job is called so here: it was seen when other namespaces were watched.
            raise NotFound(id)
        api, answer = await self._ask(id, cap=LARGEST_JOB)
        if answer.status == 200:
            return api.about(answer.body, id, self.identify)
        if answer.status == 404 and _names(answer.body, id):
            raise NotFound(id)
        api.refused(answer, of=id)

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
                    if (id := self._told(line)) is not None:
                        yield id
        except ProviderError as error:
            if not error.closed:
                raise
            # 410: what happened since is forgotten. Looks find it; the next stream begins at what is then.
            self._version = None

    def _told(self, line: bytes) -> str | None:
        """The job that one line of the stream is about, if it is about one. Raises ProviderError."""
        try:
            event = lenient.document(line)
        except Unreadable:
            return None
        sort, thing = event.get("type"), event.get("object")
        if sort == "ERROR":
            said = lenient.some(lenient.at(thing, "message")) or "the cluster ended the stream"
            raise ProviderError(clean(said, 300), closed=lenient.at(thing, "code") == 410)
        self._version = lenient.some(lenient.at(thing, "metadata.resourceVersion")) or self._version
        try:
            return self._id(thing) if sort in ("ADDED", "MODIFIED", "DELETED") else None
        except Unreadable:
            return None

    @classmethod
    def found(cls, environ: Mapping[str, str]) -> Mapping[str, str] | None:
        """The cluster that `kubectl` would ask, where one file says which."""
        file = environ.get("KUBECONFIG", "")
        return {"kubeconfig": str(Path(file).absolute())} if file and Path(file).is_file() else None

    async def introduce(self) -> Introduction:
        """Whom the cluster takes ftwatch for, and what that may do to TrainJobs besides looking at them."""
        api = await self._entered()
        who = await _reviewed(api, "authentication", "SelfSubjectReview", {})
        named = lenient.some(lenient.at(who, "status.userInfo.username"))
        spec = {"namespace": self._namespace or "default"}
        may = await _reviewed(api, "authorization", "SelfSubjectRulesReview", spec)
        listed = lenient.at(may, "status.resourceRules")
        rules = filter(_is_about_jobs, listed if isinstance(listed, list) else ())
        beyond = sorted({verb for rule in rules for verb in _words(rule, "verbs")} - NEEDED)
        return Introduction(
            whose=f"the cluster knows it as {named}" if named else "",
            beyond=f"it can also {_listed(beyond)} jobs; get, list and watch are enough" if beyond else "",
        )

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
        """The answer about one job, or about all; asked once more where there is another way in by now."""
        api = await self._entered()
        found = self._found
        answer = await api.ask(self._path(id), query, cap=cap)
        if answer.status == 401 and found is not None and self._cluster.refused(found):
            api = await self._entered()
            answer = await api.ask(self._path(id), query, cap=cap)
        return api, answer

    @property
    def _namespace(self) -> str:
        """The one that is watched, "" for all of them. The cluster was looked at before."""
        if self._is_everywhere:
            return ""
        return self._options.namespace or (self._found.namespace if self._found else None) or "default"

    def _path(self, id: str | None) -> str:
        """Where a job is, or all of them."""
        namespace, name = self._namespace, id
        if self._is_everywhere:
            namespace, _, name = (id or "").partition("/")
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
        return trainjob.identify(found, everywhere=self._is_everywhere)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        return trainjob.read(
            raw,
            provider=self._spec.name,
            kind=self._spec.kind,
            labels=self._spec.labels,
            everywhere=self._is_everywhere,
        )

    def inline(self, raw: bytes) -> LogPage:
        """The conditions of one document, and the figures of the latest step."""
        return trainjob.inline(raw)


async def _reviewed(api: Api, group: str, kind: str, spec: dict[str, str]) -> dict[str, Any]:
    """What the cluster answers when it is asked about who asks; nothing where it is too old for that."""
    version = f"{group}.k8s.io/v1"
    answer = await api.ask(
        f"/apis/{version}/{kind.lower()}s",
        method="POST",
        content=json.dumps({"apiVersion": version, "kind": kind, "spec": spec}).encode(),
        headers={"content-type": "application/json"},
    )
    if answer.status == 404:
        return {}
    if answer.status not in (200, 201):
        api.refused(answer)
    try:
        return lenient.document(answer.body)
    except Unreadable:
        return {}


def _listed(verbs: list[str]) -> str:
    return "do anything with" if "*" in verbs else ", ".join(verbs)


def _is_about_jobs(rule: object) -> bool:
    groups, resources = _words(rule, "apiGroups"), _words(rule, "resources")
    return bool(groups & {"trainer.kubeflow.org", "*"} and resources & {"trainjobs", "*"})


def _words(rule: object, key: str) -> set[str]:
    listed = lenient.at(rule, key)
    return {word for word in listed if isinstance(word, str)} if isinstance(listed, list) else set()


def _names(body: bytes, id: str) -> bool:
    """Whether an error is about this job, as one about a missing type of resource is not."""
    try:
        said = lenient.document(body)
    except Unreadable:
        return False
    about = (lenient.at(said, "details.kind"), lenient.at(said, "details.name"))
    return about == ("trainjobs", id.rpartition("/")[2])
