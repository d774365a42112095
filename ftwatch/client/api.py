"""One service's JSON API, asked on behalf of one provider: its address, its way in, what a refusal means.

What every kind would otherwise write anew stands here; which paths there are and what the answers mean is
the kind's affair. A refusal leaves as `ProviderError` with a sentence that holds no key.
"""

import os
import re
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Container, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from ftwatch.client.failure import Answered, Paced, Unreachable
from ftwatch.client.meaning import Response, retry_after
from ftwatch.plugins import Duration, NotFound, ProviderError, ProviderSpec, Secret, Unreadable
from ftwatch.wire import lenient

__all__ = [
    "LARGEST_JOB",
    "LARGEST_LISTING",
    "LARGEST_PAGE",
    "AddressOptions",
    "Api",
    "ApiOptions",
    "Auth",
    "Key",
    "can_be_sent",
    "is_meant_for",
    "is_near",
    "root_of",
    "speaks_of_a_job",
    "url_problem",
]

P = ParamSpec("P")
T = TypeVar("T")

MIB = 1024 * 1024
# Some services do not page: then the whole listing is one answer.
LARGEST_LISTING = 32 * MIB
# A hundred jobs are some hundred KiB, with graders of their own in them some MiB.
LARGEST_PAGE = 8 * MIB
LARGEST_JOB = 4 * MIB
HIDDEN = "••••"
# How what is packed with gzip begins; no JSON does.
GZIP = b"\x1f\x8b"
CODING = "content-encoding"

# What stands in refusals. Compiled with the first one: a start has no use for them.
# What a key looks like, should an error message repeat one that is not ours. "Incorrect API key provided" has
# none: what follows a blank must not be a mere word.
_KEYLIKE = (
    r"\b(?:(?:sk|pk|key|Bearer|hf|fw|AKIA|ASIA)[-_]?|Bearer |(?:sk|pk|key|hf|fw) (?=[\w.-]*[\d*]))[\w*.-]{8,}"
)
# How services say that they have ended.
_CLOSED = (
    r"(?i)(has been|was|been|is) (sunset|retired|discontinued|decommissioned|shut down)"
    r"|(no longer|not) (available|supported|offered) (as of|since|after)"
    r"|fine-?tuning (\w+ ){0,4}(no longer|has ended|is no more)"
)

# What a 404 may be about: what words mean a job, what the way to it, what something that jobs belong to; an
# address that is repeated is none of the sentence's words, whatever it holds.
_ADDRESS = r"(?:(?<![\w/])|https?:/)/\S*"
_JOB_WORDS = r"(?i)job(?!-\w*\d)|fine[-_ ]?tun|\btuning|customi[sz]ation|\bruns?\b|\btrainings?\b"
_WAY_WORDS = r"(?i)\b(ur[il]|route|endpoint|path|method|operation|page|upstream|host|server|service)s?\b"
_OWNER_WORDS = (
    r"(?i)\b(project|account|namespace|organi[sz]ation|workspace|tenant|team|user|subscription|region|location"
    r"|cluster|deployment|model|file|dataset)s?\b"
)
# A service that is switched off has no job either.
_OFF = r"(?i)\bnot (\w+ )?(available|enabled|supported|offered)\b"


# ------------------------------------------------------------------------------------------------ the way in


class Auth(Protocol):
    """How requests of an account prove who asks."""

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """The headers that let a request in. Raises ProviderError(denied) where there are none to be had."""
        ...

    def secrets(self) -> Sequence[str]:
        """What must not appear in anything that is told."""
        ...


class Key(Auth):
    """A key that is sent with every request: from the option, else from the variable its SDK uses.

    `header` and `scheme` say how; `needed` whether a request without one makes sense. The variable of the
    environment names a key for one service: `trusts_variable` says whether this is the one.
    """

    def __init__(
        self,
        option: Secret | None,
        variables: Sequence[str] = (),
        *,
        trusts_variable: bool = True,
        needed: bool = True,
        header: str = "authorization",
        scheme: str = "Bearer ",
        name: str = "api_key",
    ) -> None:
        self.option = option
        self._variables = tuple(variables) if trusts_variable else ()
        self._needed = needed
        self._header, self._scheme, self._name = header, scheme, name

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """One header, or none where no key is needed."""
        key = self.value()
        return {self._header: self._scheme + key} if key else {}

    def secrets(self) -> Sequence[str]:
        """The key."""
        try:
            return [key] if (key := self.value()) else []
        except ProviderError:
            return []

    def value(self) -> str | None:
        """The key, None for a server that wants none. Raises ProviderError(denied)."""
        try:
            key = self.option.reveal().strip() if self.option else ""
        except LookupError as error:
            raise ProviderError(f"there is no API key: {error.args[0]}", denied=True) from None
        for variable in self._variables:
            key = key or os.environ.get(variable, "").strip()
        if not key and self._needed:
            variable = f"{self._variables[0]} or " if self._variables else ""
            raise ProviderError(f"there is no API key: set {variable}the option {self._name}", denied=True)
        if not can_be_sent(key):
            raise ProviderError("the API key holds a character that no header can carry", denied=True)
        return key or None


# --------------------------------------------------------------------------------------------------- options


@dataclass(frozen=True, kw_only=True)
class AddressOptions:
    """What every kind that asks can be told: another address, the longest a request may take."""

    base_url: str | None = None
    timeout: Duration = Duration(seconds=30)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        if self.base_url is not None and (problem := url_problem(self.base_url)):
            yield "base_url", problem
        if self.timeout.total_seconds() <= 0:
            yield "timeout", "must be longer than nothing"


@dataclass(frozen=True, kw_only=True)
class ApiOptions(AddressOptions):
    """What nearly every kind can be told: the key as well."""

    api_key: Secret | None = None


def url_problem(url: str, example: str = "https://api.example.com/v1") -> str | None:
    """What is wrong with the address of an API."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        return f"is no http or https address, like {example}"
    if parts.username or parts.password:
        return "holds a user name or password; use api_key"
    return None


def can_be_sent(value: str) -> bool:
    """Whether a header can carry it."""
    return value.isascii() and value.isprintable()


def is_near(url: str) -> bool:
    """Whether an address is on this very machine."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def root_of(base: str) -> str:
    """An API's address without the version at its end, which some clients want there and others do not."""
    parts = urlsplit(base)
    return parts._replace(path=parts.path.rstrip("/").removesuffix("/v1")).geturl()


def is_meant_for(base: str, hosts: Container[str | None], named: str) -> bool:
    """Whether a key that the operator's environment holds is meant for this address.

    It is for the service's own `hosts`, for the address that the variable `named` holds beside it, and for a
    stand-in on this very machine; never for whoever else a base_url may point to.
    """
    parts = urlsplit(base)
    is_home = parts.scheme == "https" and parts.hostname in hosts
    return is_home or is_near(base) or base.rstrip("/") == os.environ.get(named, "").rstrip("/")


# ------------------------------------------------------------------------------------------------ the asking


class Api:
    """An account's API. `base_url` may hold a query, which every request keeps.

    `headers` go with every request. `advice` maps a status of refusal to what the kind advises then.
    """

    def __init__(
        self,
        spec: ProviderSpec,
        base_url: str,
        auth: Auth,
        *,
        timeout: Duration,
        headers: Mapping[str, str] | None = None,
        advice: Mapping[int, str] | None = None,
    ) -> None:
        self._client = spec.client
        self.auth = auth
        self._settle_at(base_url)
        self._timeout = timeout.total_seconds()
        self._headers = {"accept": "application/json", **(headers or {})}
        self._advice = advice or {}

    def _settle_at(self, base_url: str) -> None:
        """This is where the API is; taken apart once, not at every request."""
        base = urlsplit(base_url)
        self._base = base._replace(path=base.path.rstrip("/"), query="", fragment="").geturl()
        self._query = parse_qsl(base.query, keep_blank_values=True)

    def url(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """The address of a path below the base, with a query."""
        asked = urlencode([*self._query, *(query or {}).items()], quote_via=quote)
        return f"{self._base}{path}?{asked}" if asked else self._base + path

    async def ask(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        cap: int = LARGEST_LISTING,
        packed: bool = False,
    ) -> Response:
        """Any answer, whole. Raises ProviderError where none came. `packed`: for `opened` to inflate."""
        url = self.url(path, query)
        sort = {"content-type": "application/json"} if content else {}
        about = {**self._headers, **sort, **(headers or {}), **await self.auth.headers(method, url, content)}
        try:
            answer: Response = await self._client.request(
                method,
                url,
                headers=about,
                content=content or None,
                deadline=self._timeout,
                cap=cap,
                packed=packed,
            )
        except Unreachable as error:
            raise _unanswered(error) from None
        body = self._struck(answer.body)
        return answer if body is answer.body else Response(answer.status, answer.headers, body)

    async def lines(
        self, path: str, query: Mapping[str, str] | None = None, *, idle: float
    ) -> AsyncGenerator[bytes]:
        """The lines of an answer that may never end, as `Account.lines` has them. Raises ProviderError."""
        url = self.url(path, query)
        about = {**self._headers, **await self.auth.headers("GET", url, b"")}
        try:
            async with aclosing(self._client.lines("GET", url, headers=about, idle=idle)) as lines:
                async for line in lines:
                    yield self._struck(line)
        except Answered as error:
            self.refused(error.response)
        except Unreachable as error:
            raise _unanswered(error) from None

    def _struck(self, body: bytes) -> bytes:
        """An answer that repeats the key, in a job's error for one, is kept and told to others."""
        for secret in self.auth.secrets():
            if len(secret) >= 6:
                body = body.replace(secret.encode(), HIDDEN.encode())
        return body

    async def page(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        forgotten: str | None = None,
        of: str | None = None,
        content: bytes = b"",
        cap: int = LARGEST_LISTING,
        packed: bool = False,
    ) -> bytes:
        """A listing's page. `forgotten`: a word in the complaint about an anchor that is no longer known.

        `content` is JSON to be posted, `cap` the most bytes of an answer: `LARGEST_PAGE` where the service
        gives no more entries than it is asked for; `packed` leaves it as it came (`opened`). Raises
        ProviderError; `missing` where the listing or the anchor is not there. A listing `of` a job raises
        NotFound where the API knows no such job.
        """
        method = "POST" if content else "GET"
        answer = await self.ask(path, query, method=method, content=content, cap=cap, packed=packed)
        if answer.status == 200:
            if packed and answer.body.startswith(GZIP) is not (answer.headers.get(CODING) == "gzip"):
                raise ProviderError(
                    "the answer cannot be inflated: what it is said to be and what it is differ"
                )
            return answer.body
        if of is not None and answer.status == 404 and speaks_of_a_job(answer.body, of):
            raise NotFound(of)
        lost = forgotten is not None and answer.status in (400, 404, 422)
        lost = lost and str(forgotten).lower() in self.complaint(answer).lower()
        self.refused(answer, missing=answer.status == 404 or lost, of=of)

    async def job(
        self,
        path: str,
        id: str,
        query: Mapping[str, str] | None = None,
        *,
        content: bytes = b"",
        listed: Callable[[], Awaitable[object]] | None = None,
    ) -> bytes:
        """One job's document. NotFound only where the API itself says so, not something before it.

        `content` is JSON to be posted. `listed` is for services whose word about a job that is not there may
        as well be about an address: it takes a whole listing, or raises ProviderError. Where the neighbours
        are there, it is the job that is not.
        """
        method = "POST" if content else "GET"
        answer = await self.ask(path, query, method=method, content=content, cap=LARGEST_JOB)
        if answer.status == 404:
            if speaks_of_a_job(answer.body, id):
                raise NotFound(id)
            if listed is not None:
                await listed()
                raise NotFound(id)
        if answer.status != 200:
            self.refused(answer, of=id)
        return answer.body

    # ---------------------------------------------------------------------------------------- answers

    def opened(self, body: bytes, cap: int = LARGEST_PAGE) -> bytes:
        """What a page holds that came `packed`, at most `cap` bytes. Raises ProviderError."""
        if not body.startswith(GZIP):
            return body
        inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            whole = inflate.decompress(body, cap + 1)
        except zlib.error:
            raise ProviderError("the answer cannot be inflated: it is no gzip") from None
        if len(whole) > cap:
            raise ProviderError(f"the answer is larger than {cap:,} bytes")
        if not inflate.eof:
            raise ProviderError("the answer cannot be inflated: it breaks off")
        return self._struck(whole)

    def about(self, body: bytes, id: str, identify: Callable[[bytes], str]) -> bytes:
        """A document that is about the job that was asked for. Raises ProviderError for any other."""
        try:
            told = identify(body)
        except Unreadable as error:
            said = self.shown(lenient.complaint(body))
            raise ProviderError(f"the answer is no job: {said or error}") from None
        if told != id:
            raise ProviderError(f"asked for job {id}, and was told about {told}")
        return body

    def parted(self, body: bytes, *keys: str, may_lack: bool = False) -> tuple[list[bytes], dict[str, Any]]:
        """As `lenient.parted`; what the service complains of instead is told without a key."""
        return self.told(lenient.parted, body, *keys, may_lack=may_lack)

    def told(self, reader: Callable[P, T], *about: P.args, **more: P.kwargs) -> T:
        """What a reader makes of an answer; its complaint, which may be the service's, without a key."""
        try:
            return reader(*about, **more)
        except ProviderError as error:
            raise ProviderError(self.shown(error.reason)) from None

    # ---------------------------------------------------------------------------------------- refusals

    def advise(self, answer: Response) -> str | None:
        """What the kind advises about a refusal, where it advises anything."""
        return self._advice.get(answer.status)

    def refused(self, answer: Response, *, missing: bool = False, of: str | None = None) -> NoReturn:
        """Raises what an answer other than 200 means. What is said `of` one job never ends the service."""
        status = answer.status
        said = self.complaint(answer)
        reason = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        if 300 <= status < 400:
            reason = f"HTTP {status}: redirects are not followed; is base_url right?"
        if advice := self.advise(answer):
            reason = f"{reason}; {advice}"
        raise ProviderError(
            reason,
            denied=status in (401, 403),
            throttled=status == 429,
            retry_after=retry_after(answer.headers),
            missing=missing,
            closed=of is None and (status == 410 or (400 <= status < 500 and bool(re.search(_CLOSED, said)))),
        )

    def complaint(self, answer: Response) -> str:
        """What the answer says went wrong, as one short line without a key."""
        return self.shown(lenient.complaint(answer.body) or _first_line(answer))

    def shown(self, text: str) -> str:
        """A stranger's sentence without anything that looks like a key."""
        for secret in self.auth.secrets():
            text = text.replace(secret, HIDDEN)
        text = re.sub(_KEYLIKE, HIDDEN, text)
        return text if len(text) <= 300 else text[:299] + "…"


def _unanswered(error: Unreachable) -> ProviderError:
    """That no answer came, or was not even asked for yet."""
    if isinstance(error, Paced):
        return ProviderError(error.reason, throttled=True, retry_after=error.wait)
    return ProviderError(error.reason)


def _first_line(answer: Response) -> str:
    """The beginning of a text answer; of a page for browsers only that it is one."""
    if answer.body[:200].lstrip().startswith(b"<"):
        return "an HTML page, not the API"
    return answer.text(2000)


def speaks_of_a_job(body: bytes, id: str) -> bool:
    """Whether a 404 is the API's own word about a job, not about an address or about who owns the job.

    Gateways say much about what they do not find; only a sentence that names the job, or says that it is
    about one, is a proof.
    """
    # Some repeat the id as it stands in the address.
    said = re.sub(_ADDRESS, " ", unquote(lenient.complaint(body)))
    name = re.compile(
        rf"(?<![\w-])({re.escape(id)}|{re.escape(id.rpartition('/')[2])})(?![\w-])", re.IGNORECASE
    )
    rest = name.sub(" ", said)
    is_named, is_about_one = rest != said, bool(re.search(_JOB_WORDS, rest))
    if re.search(_WAY_WORDS, rest):
        return False
    if re.search(_OWNER_WORDS, rest):
        return is_named and is_about_one
    return is_named or (is_about_one and not re.search(_OFF, rest))
