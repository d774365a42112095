"""The only module that imports the HTTP client library.

Every request has one total deadline and a cap on what is read; redirects are not followed, the environment
is not trusted, no cookie is kept. What goes wrong leaves as `Unreachable` with a sentence that holds no URL,
because a URL can be a secret. What a status means for a delivery is said here, once, for all notifiers.
"""

import email.utils
import logging
import math
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
from ftwatch.core.delivery import Outcome, Rejected, Retry, Sent
from ftwatch.core.pace import Budget

__all__ = [
    "MIB",
    "Account",
    "Client",
    "Paced",
    "Response",
    "Unreachable",
    "failure_of",
    "outcome_of",
    "retry_after",
    "shown",
]

CONNECT_TIMEOUT = 5.0
MIB = 1024 * 1024
# Who asks through an account never hangs for longer than this on its budget; it is told to come back.
LONGEST_PAUSE = 30.0

# The library logs whole URLs, and a Slack URL is a secret.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Unreachable(Exception):
    """No complete answer came. `timeout` says that time ran out; `sent` that the request may have arrived."""

    def __init__(self, reason: str, *, timeout: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.timeout = timeout


class Paced(Unreachable):
    """Nothing was asked: the account's rate budget allows no request for another `wait` seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"the rate limit leaves no request for another {math.ceil(wait)} s")
        self.wait = wait


class Response:
    """A complete answer: status, headers (names in lower case) and the body, inflated."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def text(self, limit: int = 300) -> str:
        """The beginning of the body as one printable line, for reasons."""
        text = self.body[: limit * 4].decode("utf-8", "replace")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]


class Client:
    """One long-lived HTTP client with one TLS context. Use as an async context manager."""

    def __init__(
        self,
        *,
        proxy: str | None = None,
        no_proxy: tuple[str, ...] = (),
        ca_file: str | None = None,
        connections: int = 100,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
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
            transport=transport,
            cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=20, keepalive_expiry=120
            ),
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
    ) -> Response:
        """Ask, and read the whole answer within `deadline` seconds and `cap` bytes (inflated).

        Raises Unreachable. A body over the cap is Unreachable too: a truncated answer is no answer.
        """
        with anyio.move_on_after(deadline):
            try:
                async with self._http.stream(method, url, headers=headers, content=content) as answer:
                    body = bytearray()
                    # Inflated in pieces of at most 1 MiB, so that a bomb goes off at the cap.
                    async for chunk in answer.aiter_bytes():
                        body += chunk
                        if len(body) > cap:
                            raise Unreachable(f"the answer is larger than {cap:,} bytes")
                    return Response(answer.status_code, answer.headers, bytes(body))
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, OSError) as error:
                timeout = isinstance(error, httpx2.TimeoutException | TimeoutError)
                raise Unreachable(_sentence(error), timeout=timeout) from None
            except ValueError:
                # A header or host that cannot be encoded; the library's sentence would quote it.
                raise Unreachable("the request holds a character that cannot be sent") from None
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


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after` (number or HTTP date), None if neither is usable.

    Header names in lower case. Negative, past, non-finite, unparsable values and any over a year say nothing.
    """
    year = 365 * 86400
    try:
        if "retry-after-ms" in headers:
            wait = float(headers["retry-after-ms"]) / 1000
        else:
            wait = float(headers["retry-after"])
    except KeyError:
        return None
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
        except ValueError:
            return None
        wait = moment.timestamp() - now()
    return math.ceil(wait * 10) / 10 if math.isfinite(wait) and 0 < wait <= year else None


# A receiver whose answer is one of these may well take the same request later.
_TRANSIENT = frozenset({408, 409, 423, 425, 500, 502, 503, 504})
_SLUGGISH = frozenset({502, 504})


def outcome_of(response: Response, now: Callable[[], float] = time.time) -> Outcome:
    """What an HTTP answer means for a delivery, alike for every notifier that speaks HTTP."""
    reason = f"HTTP {response.status}"
    if response.ok:
        return Sent(reason)
    if 300 <= response.status < 400:
        return Rejected(f"{reason}: redirects are not followed, update the URL")
    if response.status == 410:
        return Rejected(f"{reason}: the receiver is gone for good", disable=True)
    detail = response.text(160)
    reason = f"{reason}: {detail}" if detail else reason
    wish = retry_after(response.headers, now)
    if response.status == 429:
        return Retry(reason, after=wish, throttled=True)
    if response.status in _SLUGGISH:
        return Retry(reason, after=max(wish or 0.0, 60.0))
    if response.status in _TRANSIENT or response.status >= 500:
        return Retry(reason, after=wish)
    return Rejected(reason)


def failure_of(error: Unreachable) -> Retry:
    """What no answer at all means for a delivery."""
    return Retry(error.reason, after=60.0 if error.timeout else None, unreachable=True)


def shown(url: str) -> str:
    """A URL as it may be shown: scheme, host and port only."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{parts.hostname or '?'}{port}/…"
