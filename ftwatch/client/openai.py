"""OpenAI's fine-tuning API and its relatives: how their jobs are asked for, whoever they are.

A kind is a small subclass that says where its service is and how it lets people in. What differs in words,
paths and paging stands in `ftwatch.wire.dialect`, what the answers mean in the rest of `ftwatch.wire`.
"""

from collections.abc import Mapping, Sequence
from json import dumps
from typing import ClassVar
from urllib.parse import quote, urlsplit

from ftwatch.client.api import LARGEST_LISTING, LARGEST_PAGE, Api, Key, is_meant_for
from ftwatch.core.job import Snapshot
from ftwatch.plugins import LogPage, Page, ProviderError, ProviderSpec, Secret
from ftwatch.wire import joblog, lenient
from ftwatch.wire import openai as wire
from ftwatch.wire.dialect import Call, Dialect

__all__ = ["Relative", "is_home", "key_of"]

PAGE_SIZE = 100


def is_home(base_url: str, dialect: Dialect) -> bool:
    """Whether an address is the service's own."""
    given = urlsplit(base_url)
    return given.scheme == "https" and given.hostname in _hosts(dialect)


def key_of(option: Secret | None, base_url: str, dialect: Dialect) -> Key:
    """The key of an account: the option, else the variable of the environment where it is meant for there."""
    beside = dialect.variable.removesuffix("_API_KEY") + "_BASE_URL"
    return Key(
        option,
        (dialect.variable,),
        trusts_variable=is_meant_for(base_url, _hosts(dialect), beside),
        needed=is_home(base_url, dialect),
    )


def _hosts(dialect: Dialect) -> frozenset[str | None]:
    return frozenset({urlsplit(dialect.home).hostname}) if dialect.home else frozenset()


class Relative:
    """An account on a service that speaks OpenAI's wire format, or a dialect of it.

    `only` narrows the listing down, by what is added to its query. `page` is a job's address for people, with
    `{id}` in it.
    """

    list_is_truth: ClassVar[bool] = False
    log_is_cheap: ClassVar[bool] = True
    log_types: ClassVar[frozenset[str]] = frozenset({"message", "metrics", "moderation_checks"})

    def __init__(
        self,
        spec: ProviderSpec,
        api: Api,
        dialect: Dialect,
        *,
        only: Mapping[str, str] | None = None,
        page: str | None = None,
    ) -> None:
        self._spec = spec
        self.api = api
        self._dialect = dialect
        self._only = only or {}
        self._page = page

    @property
    def log_parts(self) -> Sequence[str]:
        """The lists that the service keeps of each job."""
        return tuple(self._dialect.parts)

    @property
    def names_models(self) -> bool:
        """Whether a job that succeeded tells which model it made."""
        return self._dialect.names_models

    @property
    def _largest(self) -> int:
        """How large a page may be (bytes)."""
        return LARGEST_LISTING if self._dialect.paging is None else LARGEST_PAGE

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing. A forgotten `anchor` is ProviderError(missing)."""
        paging, query = self._dialect.paging, {}
        if paging is not None:
            query["limit"] = str(PAGE_SIZE)
        if paging == "offset":
            query["offset"] = str(lenient.count(anchor) or 0)
        elif anchor is not None:
            query["after"] = anchor
        body = await self.api.page(
            self._dialect.jobs,
            {**query, **self._only},
            forgotten="after" if "after" in query else None,
            cap=self._largest,
            # Whether it was seen before is told by the bytes on the wire: what was is not even inflated.
            packed=paging != "offset",
        )
        return wire.placed(body, int(query["offset"])) if "offset" in query else body

    async def retrieve(self, id: str) -> bytes:
        """One job's document. NotFound only where the API itself says so, not something before it."""
        path, content = _asked(self._dialect.retrieve, id)
        listed = self._listed if self._dialect.hides_absence else None
        body = await self.api.job(path, id, content=content, listed=listed)
        return self.api.about(body, id, self.identify)

    async def _listed(self) -> Page:
        """The first page of the listing, which is one. Raises ProviderError."""
        return self.split(await self.page(None))

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        """One page of a part of a job's log. NotFound where it is the job that is not there."""
        asked = self._dialect.parts[part]
        path, content = _asked(asked.call, id)
        known = (lenient.count(anchor) or 0) if asked.paging == "count" else 0
        query = {"limit": str(known + PAGE_SIZE)} if asked.paging else {}
        if asked.paging == "after" and anchor is not None:
            query["after"] = anchor
        forgotten = "after" if "after" in query else None
        try:
            body = await self.api.page(path, query, forgotten=forgotten, of=id, content=content)
        except ProviderError as error:
            if error.missing and self._dialect.hides_absence:
                await self.retrieve(id)
            raise
        return wire.placed(body, known) if known else body

    async def retirements(self) -> dict[str, int]:
        """When models stop answering, where the service says that of its models. Raises ProviderError."""
        if self._dialect.ends is None:
            return {}
        try:
            body = await self.api.page("/models")
            return wire.ends(body, self._dialect.ends)
        except ProviderError as error:
            if error.missing:
                return {}
            raise

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        return self.api.told(wire.split, self.api.opened(body, self._largest), self._dialect)

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return wire.identify(raw, self._dialect)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        return wire.read(
            raw,
            provider=self._spec.name,
            kind=self._spec.kind,
            labels=self._spec.labels,
            page=self._page,
            dialect=self._dialect,
        )

    def read_log(self, part: str, body: bytes) -> LogPage:
        """What a page of a part of a job's log tells."""
        return joblog.read(part, self._dialect.parts[part], body)


def _asked(call: Call, id: str) -> tuple[str, bytes]:
    """The path that a call goes to, and what is posted there (nothing: it is a GET)."""
    content = dumps({call.by: id}).encode() if call.by else b""
    return call.path.replace("{id}", quote(id, safe="")), content
