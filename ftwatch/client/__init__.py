"""The only room that imports the HTTP client library.

Every request has one total deadline and a cap on what is read; redirects are not followed, the environment
is not trusted, no cookie is kept. What goes wrong leaves as `Unreachable` with a sentence that holds no URL,
because a URL can be a secret. What a status means for a delivery is said here, once, for all notifiers.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from copy import copy
from functools import lru_cache, partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx2

from ftwatch import __version__
from ftwatch.client.failure import Answered, Paced, Refused, Unreachable
from ftwatch.client.guard import Guard, GuardedTransport
from ftwatch.client.kept import PREPARED, Kept
from ftwatch.client.meaning import Response, failure_of, outcome_of, retry_after
from ftwatch.client.single import Answer, Single
from ftwatch.client.trust import SYSTEM, Trust, context_of
from ftwatch.core.pace import Budget
from ftwatch.meter import Allowance, Heard

__all__ = [
    "MIB",
    "Account",
    "Answered",
    "Client",
    "Paced",
    "Refused",
    "Response",
    "Trust",
    "Unreachable",
    "failure_of",
    "outcome_of",
    "retry_after",
    "shown",
]

CONNECT_TIMEOUT = 5.0
MIB = 1024 * 1024
# How long the rest of an answer is waited for whose head says everything (seconds).
LONGEST_BODY = 2.0
# How many connections there are is up to who asks: each notifier and account bounds its own. One limit for
# all would let the receivers that hang take the connections of those that do not.
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=120.0)
# What every request says.
HEADERS = {
    "accept": "*/*",
    "accept-encoding": "gzip, identity",
    "connection": "keep-alive",
    "user-agent": f"ftwatch/{__version__}",
}
EXTENSIONS = {"timeout": httpx2.Timeout(None, connect=CONNECT_TIMEOUT).as_dict()}
# What the library raises; and what a header or host that cannot be encoded becomes, of which its own sentence
# would quote too much.
FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError)
UNSENDABLE = "the request holds a character that cannot be sent"
# How a request ended, by its status.
ENDS = {4: "refused", 5: "failed"}
# Who asks through an account never hangs for longer than this on its budget; it is told to come back.
LONGEST_PAUSE = 30.0

T = TypeVar("T")

# The library logs whole URLs, and a Slack URL is a secret.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Client:
    """One long-lived HTTP client with one TLS context. Use as an async context manager."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        no_proxy: tuple[str, ...] = (),
        ca_file: str | None = None,
        strict: bool = False,
        trust: Trust = SYSTEM,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`strict`: only https, and only to the public network. Where a proxy stands between, it decides
        where the bytes go; the guard sees no more than the proxy's name.

        Raises ValueError, with a sentence, where `trust` cannot be used.
        """
        self._strict = strict
        self._branch = partial(
            Client, proxy=proxy, no_proxy=no_proxy, ca_file=ca_file, strict=strict, transport=transport
        )
        self._branches: set[Client] = set()
        context = context_of(trust, ca_file)
        mounts: dict[str, httpx2.AsyncBaseTransport | None] = {}
        if proxy and transport is None:
            mounts = {_pattern(host): None for host in no_proxy if host.strip()}
        guard = Guard(strict=strict)
        self._http = httpx2.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            http2=False,
            proxy=proxy if transport is None else None,
            mounts=mounts or None,
            transport=transport or GuardedTransport(context, LIMITS, guard),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            limits=LIMITS,
        )
        self._prepared = lru_cache(maxsize=PREPARED)(_request)
        # The library is needed only to go by a proxy: what it does besides is two thirds of a request's cost.
        self._single = None if proxy or transport is not None else Single(context, guard, CONNECT_TIMEOUT)
        self._kept = Kept(self._single) if self._single is not None else None

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        for branch in list(self._branches):
            await self.part(branch)
        self._let_go()
        await self._http.__aexit__(kind, error, traceback)

    def trusting(self, trust: Trust) -> "Client":
        """Another client that is this one in all but whom it trusts; it ends with this one.

        Raises ValueError, with a sentence, where `trust` cannot be used.
        """
        branch = self._branch(trust=trust)
        self._branches.add(branch)
        return branch

    async def part(self, branch: "Client") -> None:
        """Ends a client that `trusting` made before this one ends; what it has under way fails."""
        self._branches.discard(branch)
        branch._let_go()
        await branch._http.aclose()

    def _let_go(self) -> None:
        if self._kept is not None:
            self._kept.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline: float = 20.0,
        cap: int = 10 * MIB,
        head_is_enough: bool = False,
        packed: bool = False,
    ) -> Response:
        """Ask, and read the whole answer within `deadline` seconds and `cap` bytes (inflated).

        Raises Unreachable. A body over the cap is Unreachable too: a truncated answer is no answer. Only with
        `head_is_enough` (a receiver's status is all that counts) the body may end early, late or never; then
        the connection is not used again, since what comes late could pass for the answer to something else.
        `packed`: a body that comes with gzip stays as it came (`Api.opened`).
        """
        self._admit(url)
        pieces: list[bytes] = []
        size, status, about = 0, 0, dict[str, str]()
        now = asyncio.get_running_loop().time
        over = now() + deadline
        try:
            # One of asyncio's: anyio's costs a good deal more, and every request has one.
            async with asyncio.timeout_at(over) as limit:
                ask = self._alone if head_is_enough else self._head
                async with aclosing(await ask(method, url, headers, content)) as answer:
                    status, about = answer.status_code, dict(answer.headers.items())
                    if head_is_enough:
                        limit.reschedule(min(over, now() + LONGEST_BODY))
                    # Inflated in pieces of at most 1 MiB, so that a bomb goes off at the cap.
                    is_raw = packed and status == 200 and about.get("content-encoding") == "gzip"
                    async for chunk in answer.aiter_raw() if is_raw else answer.aiter_bytes():
                        pieces.append(chunk)
                        size += len(chunk)
                        if size > cap:
                            if head_is_enough:
                                break
                            raise Unreachable(f"the answer is larger than {cap:,} bytes")
                    return Response(status, about, b"".join(pieces))
        except FAILURES as error:
            if head_is_enough and status:
                return Response(status, about, b"".join(pieces)[:cap])
            if limit.expired():
                raise Unreachable(f"no complete answer within {deadline:g} s", timeout=True) from None
            raise _unreachable(error) from None
        except ValueError:
            raise Unreachable(UNSENDABLE) from None

    async def lines(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        idle: float,
        cap: int = MIB,
    ) -> AsyncGenerator[bytes]:
        """The lines of an answer that may never end, without their ends, as they come, until it does.

        Waits up to `idle` seconds for anything to come; a line has at most `cap` bytes. Raises Unreachable;
        Answered where the status is not 200. Close what this returns, as by `contextlib.aclosing`.
        """
        self._admit(url)
        answer = await _in_time(self._head(method, url, headers), idle)
        try:
            if answer.status_code != 200:
                body = await _in_time(_beginning(answer, cap), idle)
                raise Answered(Response(answer.status_code, dict(answer.headers.items()), body))
            pieces, rest = answer.aiter_bytes(), bytearray()
            while (piece := await _in_time(anext(pieces, None), idle)) is not None:
                seen = len(rest)
                rest += piece
                while (end := rest.find(b"\n", seen)) >= 0 and end <= cap:
                    line, seen = bytes(rest[:end]), 0
                    del rest[: end + 1]
                    yield line
                if len(rest) > cap:
                    raise Unreachable(f"a line of the answer is larger than {cap:,} bytes")
            if rest:
                yield bytes(rest)
        finally:
            with anyio.CancelScope(shield=True):
                await answer.aclose()

    async def _head(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None = None
    ) -> httpx2.Response | Answer:
        """Asks; the answer's body is still to be read. Raises FAILURES."""
        if self._http.is_closed:
            # What makes connections would open anew.
            raise RuntimeError("this client is closed")
        about = tuple((headers or {}).items())
        if self._kept is not None:
            return await self._kept.ask(method, url, (*HEADERS.items(), *about), content)
        make = self._prepared if content is None else _request
        return await self._http.send(make(method, url, about, content), stream=True)

    async def _alone(
        self, method: str, url: str, headers: Mapping[str, str] | None, content: bytes | None = None
    ) -> httpx2.Response | Answer:
        """As `_head`, over a connection that is not used again."""
        about = {**(headers or {}), "connection": "close"}
        if self._single is None:
            return await self._head(method, url, about, content)
        if self._http.is_closed:
            raise RuntimeError("this client is closed")
        return await self._single.ask(method, url, HEADERS | about, content)

    def _admit(self, url: str) -> None:
        """Raises Refused."""
        if self._strict and not url.lower().startswith("https://"):
            raise Refused("the network guard refuses what is not https (network: strict)")


def _request(
    method: str, url: str, headers: tuple[tuple[str, str], ...], content: bytes | None
) -> httpx2.Request:
    """A request that may be sent again and again. A name and password in the URL are Basic credentials."""
    about = httpx2.Headers(HEADERS)
    about.update(headers)
    request = httpx2.Request(method, url, headers=about, content=content, extensions=EXTENSIONS)
    if request.url.userinfo:
        login = httpx2.BasicAuth(request.url.username, request.url.password)
        request = next(login.sync_auth_flow(request))
    return request


async def _in_time(coming: Awaitable[T], idle: float) -> T:
    """What comes within so many seconds. Raises Unreachable."""
    try:
        with anyio.move_on_after(idle):
            return await coming
    except FAILURES as error:
        raise _unreachable(error) from None
    except ValueError:
        raise Unreachable(UNSENDABLE) from None
    raise Unreachable(f"nothing came within {idle:g} s", timeout=True)


async def _beginning(answer: httpx2.Response | Answer, cap: int) -> bytes:
    """The body of an answer, the first `cap` bytes of it at most."""
    body = bytearray()
    async for piece in answer.aiter_bytes():
        body += piece
        if len(body) >= cap:
            break
    return bytes(body[:cap])


def _pattern(host: str) -> str:
    """What the library calls hosts that are reached without the proxy: a name and all below it, or a network.

    Raises ValueError for what is neither.
    """
    host = host.strip().removeprefix("*").removeprefix(".")
    if not host:
        return "all://"
    if host.count(":") > 1 and not host.startswith("["):
        address, slash, bits = host.partition("/")
        host = f"[{address}]{slash}{bits}"
    is_name = not host.startswith("[") and not re.fullmatch(r"[\d.:/]+", host)
    return f"all://*{host}" if is_name else f"all://{host}"


class Account:
    """A client with one account's rate budget: asks no faster than that, learns from every answer.

    `clock` gives monotonic seconds. At most `concurrency` requests of one account are under way at once.
    `heard` is told of each of them (of streams it is not).
    """

    def __init__(
        self,
        client: Client,
        budget: Budget,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        concurrency: int = 20,
        heard: Heard = lambda outcome, seconds: None,
    ) -> None:
        self._client = client
        self._budget = budget
        self._clock = clock
        self._sleep = sleep
        self._heard = heard
        # Who finds a place free goes on at once, without a turn of the event loop.
        self._slots = anyio.Semaphore(concurrency, fast_acquire=True)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline: float = 20.0,
        cap: int = 10 * MIB,
        packed: bool = False,
    ) -> Response:
        """As `Client.request`, when the budget allows it; `deadline` counts from then.

        Raises Paced, without asking, where that would take longer than half a minute.
        """
        async with self._slots:
            try:
                await self._turn()
            except Paced:
                self._heard("paced", None)
                raise
            begun = self._clock()
            try:
                answer = await self._client.request(
                    method, url, headers=headers, content=content, deadline=deadline, cap=cap, packed=packed
                )
            except Unreachable:
                self._heard("unreachable", self._clock() - begun)
                raise
            status = answer.status
            outcome = "throttled" if status == 429 else ENDS.get(status // 100, "ok")
            self._heard(outcome, self._clock() - begun)
            self._learn(status, answer.headers)
            return answer

    async def lines(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        idle: float,
        cap: int = MIB,
    ) -> AsyncGenerator[bytes]:
        """As `Client.lines`, when the budget allows it. It takes none of the places of short requests."""
        await self._turn()
        try:
            async with aclosing(
                self._client.lines(method, url, headers=headers, idle=idle, cap=cap)
            ) as lines:
                async for line in lines:
                    yield line
        except Answered as error:
            self._learn(error.response.status, error.response.headers)
            raise

    def allowance(self) -> Allowance:
        """What the budget allows at the moment."""
        now, budget = self._clock(), self._budget
        return Allowance(budget.left(now), budget.pace(now), budget.blocked(now))

    def trusting(self, trust: Trust) -> "Account":
        """This account, budget and all, over `Client.trusting`."""
        branch = copy(self)
        branch._client = self._client.trusting(trust)
        return branch

    async def part(self, branch: "Account") -> None:
        """Ends what `trusting` gave before the client ends; what it has under way fails."""
        await self._client.part(branch._client)

    async def _turn(self) -> None:
        """Waits until the budget allows a request. Raises Paced."""
        pause = self._budget.delay(self._clock())
        if pause <= LONGEST_PAUSE:
            pause = self._budget.wait(self._clock())
        while pause > 0:
            if pause > LONGEST_PAUSE:
                raise Paced(pause)
            await self._sleep(pause)
            # Another request may have met the wall meanwhile.
            pause = self._budget.blocked(self._clock())

    def _learn(self, status: int, headers: Mapping[str, str]) -> None:
        if (wish := retry_after(headers)) is not None:
            # It may be a date, and the budget has no calendar.
            headers = {**headers, "retry-after-ms": str(wish * 1000)}
        self._budget.learn(status, headers, self._clock())


def _unreachable(error: BaseException) -> Unreachable:
    """What the library raised, in our words."""
    return Unreachable(_sentence(error), timeout=isinstance(error, httpx2.TimeoutException | TimeoutError))


def _sentence(error: BaseException) -> str:
    """What went wrong, from the innermost cause, without the URL that the library may put in."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {(cause.reason or 'handshake failed').replace('_', ' ').lower()}"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        cause = cause.__cause__ or cause.__context__
    named = {
        httpx2.ConnectTimeout: "no connection within 5 s",
        httpx2.ConnectError: "could not connect",
        httpx2.RemoteProtocolError: "the answer broke off or is no HTTP",
        httpx2.DecodingError: "the answer's encoding is broken",
        httpx2.ReadError: "the connection broke while reading",
        httpx2.WriteError: "the connection broke while writing",
        httpx2.ProxyError: "the proxy refused",
        httpx2.InvalidURL: "the URL is not valid",
        httpx2.UnsupportedProtocol: "the URL is neither http nor https",
    }
    for kind, sentence in named.items():
        if isinstance(error, kind):
            return sentence
    return type(error).__name__


def shown(url: str) -> str:
    """A URL as it may be shown: scheme, host and port only."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or '?'}{port}/…"
