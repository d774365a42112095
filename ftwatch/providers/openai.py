"""OpenAI, and every server that speaks its wire format (Nebius, Telnyx, tt-inference-server, a proxy …)."""

import os
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote, urlencode

import msgspec

from ftwatch.client import MIB, Response, Unreachable, retry_after
from ftwatch.core.job import Snapshot
from ftwatch.plugins import Duration, NotFound, Page, ProviderError, ProviderSpec, Secret
from ftwatch.wire import openai as wire

__all__ = ["OpenAI"]

HOME = "https://api.openai.com/v1"
JOB_PAGE = "https://platform.openai.com/finetune/{id}"
# The service takes more, but a page this long is what it is known to be quick with.
PAGE = 100
LARGEST_PAGE = 64 * MIB


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: openai` can be told.

    `metadata` lets the service list only jobs with these pairs. Without an `api_key` the variable
    OPENAI_API_KEY counts; a server of your own may do without any.
    """

    api_key: Secret | None = None
    base_url: str = HOME
    organization: str | None = None
    project: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    timeout: Duration = Duration(seconds=30)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must begin with https:// or http://")


class OpenAI:
    """One account, or one project of it: an API key sees only its own project's jobs."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str] = "OPENAI_API_KEY"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._client = spec.client
        self._jobs = f"{self._options.base_url.rstrip('/')}/fine_tuning/jobs"
        self._is_home = self._options.base_url.rstrip("/") == HOME

    # ----------------------------------------------------------------------------------------- asking

    async def page(self, anchor: str | None) -> bytes:
        """See `plugins.Provider`."""
        query = [("limit", str(PAGE))]
        if anchor is not None:
            query.append(("after", anchor))
        query += [(f"metadata[{key}]", value) for key, value in self._options.metadata.items()]
        response = await self._get(f"{self._jobs}?{urlencode(query)}", cap=LARGEST_PAGE)
        if response.ok:
            return response.body
        # An anchor that the service no longer knows is refused in several ways: 404, or 400 naming it.
        lost = anchor is not None and response.status in (400, 404)
        raise self._refusal(response, missing=lost or response.status == 404)

    async def retrieve(self, id: str) -> bytes:
        """See `plugins.Provider`."""
        response = await self._get(f"{self._jobs}/{quote(id, safe='')}", cap=LARGEST_PAGE)
        if response.status == 404 and _is_api_error(response.body):
            raise NotFound
        if not response.ok:
            raise self._refusal(response)
        if not response.body.lstrip()[:1] == b"{":
            raise ProviderError(f"the answer about a job is no JSON object: {response.text(80)}")
        return response.body

    async def _get(self, url: str, *, cap: int) -> Response:
        try:
            response: Response = await self._client.request(
                "GET", url, headers=self._headers(), deadline=self._options.timeout.total_seconds(), cap=cap
            )
        except Unreachable as error:
            raise ProviderError(error.reason) from None
        return response

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json"}
        key = self._key()
        if key:
            headers["authorization"] = f"Bearer {key}"
        if self._options.organization:
            headers["openai-organization"] = self._options.organization
        if self._options.project:
            headers["openai-project"] = self._options.project
        return headers

    def _key(self) -> str | None:
        if self._options.api_key is not None:
            try:
                return self._options.api_key.reveal()
            except LookupError as error:
                raise ProviderError(str(error), denied=True) from None
        if not self._is_home:
            # Somebody else's server must not be shown the key of the service.
            return None
        key = os.environ.get(self.key_variable)
        if not key:
            raise ProviderError(
                f"no API key: set {self.key_variable}, or providers.{self._spec.name}.api_key", denied=True
            )
        return key

    def _refusal(self, response: Response, *, missing: bool = False) -> ProviderError:
        said = _message(response.body) or response.text(120)
        return ProviderError(
            f"HTTP {response.status}: {said}" if said else f"HTTP {response.status}",
            denied=response.status in (401, 403),
            retry_after=retry_after(response.headers),
            throttled=response.status == 429,
            missing=missing,
        )

    # ----------------------------------------------------------------------------------------- reading

    def split(self, body: bytes) -> Page:
        """See `plugins.Provider`."""
        return wire.split(body)

    def identify(self, raw: bytes) -> str:
        """See `plugins.Provider`."""
        return wire.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """See `plugins.Provider`."""
        return wire.read(
            raw,
            provider=self._spec.name,
            kind=self._spec.kind,
            labels=self._spec.labels,
            page=JOB_PAGE if self._is_home else None,
        )


class _Said(msgspec.Struct):
    message: str | None = None


class _Refused(msgspec.Struct):
    error: _Said | str | None


def _message(body: bytes) -> str:
    """The sentence of an API error, as one short printable line; empty where there is none."""
    try:
        error = msgspec.json.decode(body, type=_Refused).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    text = (error.message if isinstance(error, _Said) else error) or ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _is_api_error(body: bytes) -> bool:
    """Whether a 404 speaks of the job, not of a proxy that has no such page."""
    try:
        msgspec.json.decode(body, type=_Refused)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
