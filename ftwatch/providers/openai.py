"""OpenAI's fine-tuning API, and every server that speaks it (`base_url`).

Only how to ask stands here; what the answers mean is `ftwatch.wire.openai`'s affair. Relatives whose paths or
ways in differ are small subclasses in files of their own, or a `dialect`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote, urlsplit

from ftwatch.client.api import Api, ApiOptions, Auth, Key, can_be_sent, is_near
from ftwatch.core.job import Snapshot
from ftwatch.plugins import LogPage, Page, ProviderError, ProviderSpec, Unreadable
from ftwatch.wire import joblog, lenient
from ftwatch.wire import openai as wire

__all__ = ["OpenAI", "Options"]

HOME = "https://api.openai.com/v1"
PLATFORM = "https://platform.openai.com/finetune/{id}"
PAGE_SIZE = "100"


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: openai` can be told: where the account is, and how to be let in.

    `metadata` lets the service list only jobs with these pairs. Without an `api_key` the variable
    OPENAI_API_KEY counts; a server of one's own may want none.
    """

    base_url: str = HOME
    organization: str | None = None
    project: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        yield from ApiOptions.problems(self)
        for option in ("organization", "project"):
            value = getattr(self, option)
            if value is not None and not can_be_sent(value):
                yield option, "holds a character that no header can carry"


class OpenAI:
    """An account on OpenAI or on a server that speaks its wire format."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    log_parts: ClassVar[tuple[str, ...]] = ("events", "checkpoints")
    log_is_cheap: ClassVar[bool] = True
    jobs: ClassVar[str] = "/fine_tuning/jobs"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._options = spec.options
        parts = urlsplit(self._options.base_url)
        self._is_home = parts.hostname == "api.openai.com" and parts.scheme == "https"
        self.api = Api(
            spec,
            self._options.base_url,
            self._auth(),
            timeout=self._options.timeout,
            headers=self._headers(),
            advice={401: "no key was sent: set the option api_key"} if self._is_keyless() else None,
        )

    def _auth(self) -> Auth:
        # The operator's environment names a key for one service: that one, the one that the environment names
        # beside it, or a stand-in on this very machine; never for whoever else a base_url may point to.
        base = self._options.base_url
        named = base.rstrip("/") == os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
        return Key(
            self._options.api_key,
            (self.key_variable,),
            trusts_variable=self._is_home or is_near(base) or named,
            needed=self._is_home,
        )

    def _is_keyless(self) -> bool:
        return self._options.api_key is None and not self._is_home

    def _headers(self) -> dict[str, str]:
        about = {"openai-organization": self._options.organization, "openai-project": self._options.project}
        return {name: value for name, value in about.items() if value}

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing. A forgotten `anchor` is ProviderError(missing)."""
        query = {"limit": PAGE_SIZE}
        if anchor is not None:
            query["after"] = anchor
        query |= {f"metadata[{key}]": value for key, value in self._options.metadata.items()}
        return await self.api.page(self.jobs, query, forgotten="after" if anchor is not None else None)

    async def retrieve(self, id: str) -> bytes:
        """One job's document. NotFound only where the API itself says so, not something before it."""
        body = await self.api.job(f"{self.jobs}/{quote(id, safe='')}", id)
        try:
            told = wire.identify(body)
        except Unreadable as error:
            said = lenient.complaint(body)
            raise ProviderError(f"the answer is no job: {self.api.shown(said) or error}") from None
        if told != id:
            raise ProviderError(f"asked for job {id}, and was told about {told}")
        return body

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        """One page of a job's events or checkpoints."""
        query = {"limit": PAGE_SIZE}
        if anchor is not None:
            query["after"] = anchor
        path = f"{self.jobs}/{quote(id, safe='')}/{part}"
        return await self.api.page(path, query, forgotten="after" if anchor is not None else None, of=id)

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        try:
            return wire.split(body)
        except ProviderError as error:
            raise ProviderError(self.api.shown(error.reason)) from None

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return wire.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        return wire.read(
            raw,
            provider=self._spec.name,
            kind=self._spec.kind,
            labels=self._spec.labels,
            page=PLATFORM if self._is_home else None,
        )

    def read_log(self, part: str, body: bytes) -> LogPage:
        """What a page of events or checkpoints tells."""
        return joblog.read_checkpoints(body) if part == "checkpoints" else joblog.read_events(body)
