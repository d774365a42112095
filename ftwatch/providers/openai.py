"""OpenAI's fine-tuning API, and every server that speaks it (`base_url`).

Only how to ask stands here; what the answers mean is `ftwatch.wire.openai`'s affair. Whatever is not an
answer of the API itself (a proxy's page, a refusal, a job with another id) leaves as ProviderError, with a
sentence that holds no key.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, NoReturn
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ftwatch.client import MIB, Paced, Response, Unreachable, retry_after
from ftwatch.core.job import Snapshot
from ftwatch.plugins import Duration, NotFound, Page, ProviderError, ProviderSpec, Secret, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire import openai as wire

__all__ = ["OpenAI"]

HOME = "https://api.openai.com/v1"
PLATFORM = "https://platform.openai.com/finetune/{id}"
PAGE_SIZE = 100
# Some servers do not page: then the whole listing is one answer.
LARGEST_LISTING = 32 * MIB
LARGEST_JOB = 4 * MIB

# What a key looks like, should an error message repeat one that is not ours.
_KEYLIKE = re.compile(r"\b(?:sk|pk|key|Bearer)[-_ ][\w*.-]{6,}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: openai` can be told: where the account is, and how to be let in.

    `metadata` lets the service list only jobs with these pairs. Without an `api_key` the variable
    OPENAI_API_KEY counts; a server of one's own may want none.
    """

    api_key: Secret | None = None
    base_url: str = HOME
    organization: str | None = None
    project: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    timeout: Duration = Duration(seconds=30)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        try:
            parts = urlsplit(self.base_url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fine = False
        if not fine:
            yield "base_url", "is no http or https address, like https://api.openai.com/v1"
        elif parts.username or parts.password:
            yield "base_url", "holds a user name or password; use api_key"
        for option in ("organization", "project"):
            value = getattr(self, option)
            if value is not None and not _can_be_sent(value):
                yield option, "holds a character that no header can carry"
        if self.timeout.total_seconds() <= 0:
            yield "timeout", "must be longer than nothing"


class OpenAI:
    """An account on OpenAI or on a server that speaks its wire format."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[str] = "OPENAI_API_KEY"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._client = spec.client
        parts = urlsplit(self._options.base_url)
        self._base = parts._replace(path=parts.path.rstrip("/") + "/fine_tuning/jobs", fragment="")
        self._is_home = parts.hostname == "api.openai.com" and parts.scheme == "https"
        # The operator's environment names a key for one service: that one, the one that the environment names
        # beside it, or a stand-in on this very machine; never for whoever else a base_url may point to.
        near = parts.hostname in ("localhost", "127.0.0.1", "::1")
        named = self._options.base_url.rstrip("/") == os.environ.get("OPENAI_BASE_URL", "").rstrip("/")
        self._takes_variable = self._is_home or near or named

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing. A forgotten `anchor` is ProviderError(missing)."""
        query = {"limit": str(PAGE_SIZE)}
        if anchor is not None:
            query["after"] = anchor
        query |= {f"metadata[{key}]": value for key, value in self._options.metadata.items()}
        answer = await self._get(self._url("", query), LARGEST_LISTING)
        if answer.status == 200:
            return answer.body
        said = self._said(answer)
        forgotten = anchor is not None and answer.status in (400, 422) and "after" in said.lower()
        self._refused(answer, missing=answer.status == 404 or forgotten)

    async def retrieve(self, id: str) -> bytes:
        """One job's document. NotFound only where the API itself says so, not something before it."""
        answer = await self._get(self._url("/" + quote(id, safe=""), {}), LARGEST_JOB)
        if answer.status == 404 and _speaks_of_a_job(answer.body):
            raise NotFound(id)
        if answer.status != 200:
            self._refused(answer)
        try:
            told = wire.identify(answer.body)
        except Unreadable as error:
            said = lenient.complaint(answer.body)
            raise ProviderError(f"the answer is no job: {self._shown(said) or error}") from None
        if told != id:
            raise ProviderError(f"asked for job {id}, and was told about {told}")
        return answer.body

    async def _get(self, url: str, cap: int) -> Response:
        headers = self._headers()
        try:
            answer: Response = await self._client.request(
                "GET", url, headers=headers, deadline=self._options.timeout.total_seconds(), cap=cap
            )
        except Paced as error:
            raise ProviderError(error.reason, throttled=True, retry_after=error.wait) from None
        except Unreachable as error:
            raise ProviderError(error.reason) from None
        # An answer that repeats the key, in a job's error for one, is kept and told to others.
        key = (self._key() or "").encode()
        if len(key) >= 6 and key in answer.body:
            return Response(answer.status, answer.headers, answer.body.replace(key, "••••".encode()))
        return answer

    def _url(self, path: str, query: dict[str, str]) -> str:
        whole = urlencode([*parse_qsl(self._base.query), *query.items()])
        url: str = self._base._replace(path=self._base.path + path, query=whole).geturl()
        return url

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "application/json"}
        if key := self._key():
            headers["authorization"] = f"Bearer {key}"
        if self._options.organization:
            headers["openai-organization"] = self._options.organization
        if self._options.project:
            headers["openai-project"] = self._options.project
        return headers

    def _key(self) -> str | None:
        """The key, or None for a server of one's own that wants none. Raises ProviderError(denied).

        The variable of the environment is OpenAI's own: it is never sent to somebody else's server.
        """
        try:
            key = self._options.api_key.reveal().strip() if self._options.api_key else ""
        except LookupError as error:
            raise ProviderError(f"there is no API key: {error.args[0]}", denied=True) from None
        if not key and self._takes_variable:
            key = os.environ.get(self.key_variable, "").strip()
            if not key and self._is_home:
                raise ProviderError(
                    f"there is no API key: set {self.key_variable} or the option api_key", denied=True
                )
        if not _can_be_sent(key):
            raise ProviderError("the API key holds a character that no header can carry", denied=True)
        return key or None

    # ------------------------------------------------------------------------------------------ refusals

    def _refused(self, answer: Response, *, missing: bool = False) -> NoReturn:
        """Raises what an answer other than 200 means."""
        status = answer.status
        said = self._said(answer)
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if 300 <= status < 400:
            reason = f"HTTP {status}: redirects are not followed; is base_url right?"
        if status == 401 and self._options.api_key is None and not self._is_home:
            reason += "; no key was sent: set the option api_key"
        raise ProviderError(
            reason,
            denied=status in (401, 403),
            throttled=status == 429,
            retry_after=retry_after(answer.headers),
            missing=missing,
        )

    def _said(self, answer: Response) -> str:
        """What the answer says went wrong, as one short line without a key."""
        return self._shown(lenient.complaint(answer.body) or _first_line(answer))

    def _shown(self, text: str) -> str:
        try:
            key = self._key()
        except ProviderError:
            key = None
        if key:
            text = text.replace(key, "••••")
        text = _KEYLIKE.sub("••••", text)
        return text if len(text) <= 300 else text[:299] + "…"

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        try:
            return wire.split(body)
        except ProviderError as error:
            raise ProviderError(self._shown(error.reason)) from None

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


def _can_be_sent(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _first_line(answer: Response) -> str:
    """The beginning of a text answer; of a page for browsers only that it is one."""
    if answer.body[:200].lstrip().startswith(b"<"):
        return "an HTML page, not the API"
    return answer.text(2000)


def _speaks_of_a_job(body: bytes) -> bool:
    """Whether a 404 is the API's own word about a job, not about an address that does not exist."""
    said = lenient.complaint(body).lower()
    return bool(said) and not said.startswith(("not found", "invalid url", "resource not found"))
