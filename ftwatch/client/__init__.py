"""The only room that imports the HTTP client library.

Every request has one total deadline and a cap on what is read; redirects are not followed, the environment
is not trusted, no cookie is kept. What goes wrong leaves as `Unreachable` with a sentence that holds no URL,
because a URL can be a secret. What a status means for a delivery is said here, once, for all notifiers.
"""

import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
import httpx2

from ftwatch import __version__
from ftwatch.client.failure import Paced, Refused, Unreachable
from ftwatch.client.guard import GuardedTransport
from ftwatch.client.meaning import Response, failure_of, outcome_of, retry_after
from ftwatch.core.pace import Budget

__all__ = [
    "MIB",
    "Account",
    "Client",
    "Paced",
    "Refused",
    "Response",
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
# Who asks through an account never hangs for longer than this on its budget; it is told to come back.
LONGEST_PAUSE = 30.0

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
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """`strict`: only https, and only to the public network. Where a proxy stands between, it decides
        where the bytes go; the guard sees no more than the proxy's name.
        """
        self._strict = strict
        context = ssl.create_default_context()
        if ca_file is not None:
            # As well as the system's: a company's own authority does not sign the public services.
            context.load_verify_locations(cafile=ca_file)
        mounts: dict[str, httpx2.AsyncBaseTransport | None] = {}
        if proxy and transport is None:
            mounts = {_pattern(host): None for host in no_proxy if host.strip()}
        self._http = httpx2.AsyncClient(
            verify=context,
            trust_env=False,
            follow_redirects=False,
            http2=False,
            proxy=proxy if transport is None else None,
            mounts=mounts or None,
            transport=transport or GuardedTransport(context, LIMITS, strict=strict),
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            limits=LIMITS,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),
            headers={"user-agent": f"ftwatch/{__version__}", "accept-encoding": "gzip, identity"},
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

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
    ) -> Response:
        """Ask, and read the whole answer within `deadline` seconds and `cap` bytes (inflated).

        Raises Unreachable. A body over the cap is Unreachable too: a truncated answer is no answer. Only with
        `head_is_enough` (a receiver's status is all that counts) the body may end early, late or never; then
        the connection is not used again, since what comes late could pass for the answer to something else.
        """
        if self._strict and not url.lower().startswith("https://"):
            raise Refused("the network guard refuses what is not https (network: strict)")
        if head_is_enough:
            headers = {**(headers or {}), "connection": "close"}
        body, status, about = bytearray(), 0, {}
        with anyio.move_on_after(deadline) as scope:
            try:
                async with self._http.stream(method, url, headers=headers, content=content) as answer:
                    status, about = answer.status_code, dict(answer.headers)
                    if head_is_enough:
                        scope.deadline = min(scope.deadline, anyio.current_time() + LONGEST_BODY)
                    # Inflated in pieces of at most 1 MiB, so that a bomb goes off at the cap.
                    async for chunk in answer.aiter_bytes():
                        body += chunk
                        if len(body) > cap:
                            if head_is_enough:
                                break
                            raise Unreachable(f"the answer is larger than {cap:,} bytes")
                    return Response(status, about, bytes(body))
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
                if head_is_enough and status:
                    return Response(status, about, bytes(body))
                timeout = isinstance(error, httpx2.TimeoutException | TimeoutError)
                raise Unreachable(_sentence(error), timeout=timeout) from None
            except ValueError:
                # A header or host that cannot be encoded; the library's sentence would quote it.
                raise Unreachable("the request holds a character that cannot be sent") from None
        if head_is_enough and status:
            return Response(status, about, bytes(body[:cap]))
        raise Unreachable(f"no complete answer within {deadline:g} s", timeout=True)


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
    """

    def __init__(
        self,
        client: Client,
        budget: Budget,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        concurrency: int = 8,
    ) -> None:
        self._client = client
        self._budget = budget
        self._clock = clock
        self._sleep = sleep
        self._slots = anyio.CapacityLimiter(concurrency)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        deadline: float = 20.0,
        cap: int = 10 * MIB,
    ) -> Response:
        """As `Client.request`, when the budget allows it; `deadline` counts from then.

        Raises Paced, without asking, where that would take longer than half a minute.
        """
        async with self._slots:
            pause = self._budget.delay(self._clock())
            if pause <= LONGEST_PAUSE:
                pause = self._budget.wait(self._clock())
            while pause > 0:
                if pause > LONGEST_PAUSE:
                    raise Paced(pause)
                await self._sleep(pause)
                # Another request may have met the wall meanwhile.
                pause = self._budget.blocked(self._clock())
            answer = await self._client.request(
                method, url, headers=headers, content=content, deadline=deadline, cap=cap
            )
            headers = answer.headers
            if (wish := retry_after(headers)) is not None:
                # It may be a date, and the budget has no calendar.
                headers = {**headers, "retry-after-ms": str(wish * 1000)}
            self._budget.learn(answer.status, headers, self._clock())
            return answer


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
