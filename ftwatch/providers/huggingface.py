"""Hugging Face Jobs: whatever somebody runs there, fine-tuning among it.

The service knows commands, images and hardware, not models: what a job trains, and what came of it, it does
not tell. Its listing leads on in a header, which therefore stands before the body in what `page` returns.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote, urlsplit

import anyio

from ftwatch.client.api import AddressOptions, Api, Key, is_near
from ftwatch.core.job import JobError, Snapshot, Status
from ftwatch.plugins import Introduction, Page, ProviderError, ProviderSpec, Secret, Unreadable
from ftwatch.wire import lenient

__all__ = ["HuggingFace", "Options"]

HOME = "https://huggingface.co"
JOBS = "/api/jobs/{namespace}"
WHOAMI = "/api/whoami-v2"
# The permission of a fine-grained token to start jobs.
STARTING = "job.write"

STATUSES = {
    "scheduling": Status.QUEUED,
    "running": Status.RUNNING,
    "completed": Status.SUCCEEDED,
    "error": Status.FAILED,
    "canceled": Status.CANCELLED,
    "deleted": Status.CANCELLED,
}
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.UNKNOWN})
# What was run, and on what.
SETTINGS = ("dockerImage", "spaceId", "command", "arguments", "flavor")

# Begins what `page` returns where more pages follow; no JSON begins so.
LINK = b"next: "
_NEXT = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel="?next"?', re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Options(AddressOptions):
    """What `kind: huggingface` can be told: the token (else HF_TOKEN counts), and whose jobs to watch.

    `namespace` is a user or an organisation; without one it is the token's own user.
    """

    base_url: str = HOME
    token: Secret | None = None
    namespace: str | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        yield from AddressOptions.problems(self)
        if self.namespace is not None and not re.fullmatch(r"[\w.-]+", self.namespace, re.ASCII):
            yield "namespace", "is no name of a user or an organisation"


class HuggingFace:
    """A namespace's jobs."""

    Options: ClassVar[type] = Options
    # Both show the whole document, some of whose figures grow with every second.
    list_is_truth: ClassVar[bool] = True
    names_models: ClassVar[bool] = False
    # The Hub lets a free account ask 1,000 times in five minutes; its answers say what is left of that.
    rate: ClassVar[float] = 1000 / 300
    key_variable: ClassVar[str] = "HF_TOKEN"
    address_variable: ClassVar[str] = "HF_ENDPOINT"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._namespace = self._options.namespace
        self._me: dict[str, Any] | None = None
        self._asking = anyio.Lock()
        base = self._options.base_url
        named = base.rstrip("/") == os.environ.get(self.address_variable, "").rstrip("/")
        token = Key(
            self._options.token,
            (self.key_variable,),
            trusts_variable=base.rstrip("/") == HOME or is_near(base) or named,
            name="token",
        )
        whose = f"the namespace {self._namespace}" if self._namespace else "its own user's namespace"
        self.api = Api(
            spec,
            base,
            token,
            timeout=self._options.timeout,
            advice={
                401: "is the token still valid?",
                403: f"the token needs read access to the jobs of {whose}",
                404: f"is there {whose}?",
            },
        )

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing, after the query that leads to the next one, where there is one."""
        answer = await self.api.ask(await self._jobs(), dict(parse_qsl(anchor or "")))
        if answer.status != 200:
            # An anchor that is not taken any more is a reason to begin anew.
            lost = anchor is not None and answer.status in (400, 422)
            self.api.refused(answer, missing=answer.status == 404 or lost)
        following = _following(answer.headers.get("link", ""))
        return LINK + following.encode() + b"\n" + answer.body if following else answer.body

    async def retrieve(self, id: str) -> bytes:
        """One job's document."""
        body = await self.api.job(f"{await self._jobs()}/{quote(id, safe='')}", id)
        return self.api.about(body, id, self.identify)

    async def introduce(self) -> Introduction:
        """Whose token it is, and whether it may do more than look."""
        found = await self._whoami()
        name = lenient.some(found.get("name"))
        mine = {name, *(lenient.some(lenient.at(org, "name")) for org in _list(found.get("orgs")))}
        namespace = self._options.namespace
        may = _may_start(lenient.at(found, "auth.accessToken"), namespace or name)
        return Introduction(
            whose=f"the token is that of {name or 'nobody who has a name'}",
            beyond=f"this token can also start jobs ({may}); one with the role read is enough" if may else "",
            wrong=""
            if namespace in {None, *mine}
            else f"{namespace} is none of the namespaces of the token's user",
        )

    async def _jobs(self) -> str:
        """The path of the listing."""
        async with self._asking:
            if self._namespace is None:
                self._namespace = lenient.some((await self._whoami()).get("name"))
            if self._namespace is None:
                raise ProviderError("the service does not say whose token it is: set the option namespace")
        return JOBS.format(namespace=quote(self._namespace, safe=""))

    async def _whoami(self) -> dict[str, Any]:
        """What the service says about the token. That is asked once: it answers it rarely."""
        try:
            if self._me is None:
                self._me = lenient.document(await self.api.page(WHOAMI))
            return self._me
        except Unreadable as error:
            raise ProviderError(f"the service does not say whose token it is: {error}") from None

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        following = None
        if body.startswith(LINK):
            head, _, body = body.partition(b"\n")
            following = head.removeprefix(LINK).decode("utf-8", "replace")
        entries, _ = self.api.parted(body, "jobs")
        return Page(entries=tuple(entries), next=following)

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return lenient.identifier(lenient.document(raw).get("id"))

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        found = lenient.document(raw)
        id = lenient.identifier(found.get("id"))
        word = lenient.some(lenient.at(found, "status.stage"))
        if word is None:
            raise Unreadable(f"the entry of {id} has no stage")
        status = lenient.status_among(STATUSES, word)
        message = lenient.some(lenient.at(found, "status.message"))
        space = lenient.some(lenient.at(found, "owner.name"))
        flavor = lenient.some(found.get("flavor"))
        labels = lenient.strings(found.get("labels"))
        is_organisation = lenient.at(found, "owner.type") == "org"
        return Snapshot(
            id=id,
            created_at=lenient.moment(found.get("createdAt")),
            error=lenient.told(JobError(message=message)) if status in HAS_ERROR else None,
            finished_at=lenient.moment(found.get("finishedAt")) if status.is_terminal else None,
            hyperparameters=lenient.settings({key: found[key] for key in SETTINGS if found.get(key)}),
            organization_id=space if is_organisation else None,
            status=status,
            metadata=labels,
            provider=self._spec.name,
            kind=self._spec.kind,
            # Where the service's own command line keeps it.
            name=lenient.some(labels.get("name")),
            owner=lenient.some(lenient.at(found, "initiator.name")) or space,
            labels={**({"flavor": flavor} if flavor else {}), **labels, **self._spec.labels},
            raw_status=word,
            started_at=lenient.moment(found.get("startedAt")),
            url=self._address(space, id),
        )

    def _address(self, space: str | None, id: str) -> str | None:
        space = space or self._options.namespace
        if space is None:
            return None
        return f"{self._options.base_url.rstrip('/')}/jobs/{quote(space, safe='')}/{quote(id, safe='')}"


def _may_start(token: object, namespace: str | None) -> str:
    """By which role or permission a token may start jobs in a namespace; empty where it may not."""
    if lenient.at(token, "role") == "write":
        return "role write"
    scopes = [
        lenient.at(scope, "permissions")
        for scope in _list(lenient.at(token, "fineGrained.scoped"))
        if lenient.at(scope, "entity.name") == namespace
    ]
    given = [lenient.at(token, "fineGrained.global"), *scopes]
    return STARTING if any(STARTING in _list(permissions) for permissions in given) else ""


def _following(links: str) -> str | None:
    """The query of the address that a Link header calls the next page.

    Only that is kept: where to ask, and with the token, is not for an answer to say.
    """
    found = _NEXT.search(links)
    try:
        return urlsplit(found[1]).query or None if found else None
    except ValueError:
        return None


def _list(values: object) -> list[Any]:
    return values if isinstance(values, list) else []
