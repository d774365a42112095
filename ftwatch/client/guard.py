"""The network guard: resolves once, checks every address, and dials the very address that was checked.

Host header, SNI and the certificate's name stay the URL's; only where the bytes go is decided here. So a
name that answers differently the second time, a redirect or a clever way of writing an address gain nothing.
"""

import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpcore2
import httpx2

from ftwatch.client.failure import Refused
from ftwatch.core.address import forbidden

__all__ = ["Guard", "GuardedTransport"]

# More answers than this to one question are somebody's game.
MOST_ADDRESSES = 16
# How long one address may keep the next one waiting (RFC 8305 recommends this).
STAGGER = 0.25
# Threads that may wait for a resolver at once: one dead name server must not hold up who asks another one.
RESOLVING = 64

T = TypeVar("T")


class Guard:
    """Says where the bytes may go, and tries several addresses of one host."""

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._resolving = anyio.CapacityLimiter(RESOLVING)

    async def addresses(self, host: str, port: int) -> list[str]:
        """Every address of a host; refused as a whole if one of them is. Raises Refused, OSError."""
        addresses = await self._resolved(host, port)
        for address in addresses:
            reason = forbidden(address, strict=self._strict)
            if reason:
                strict = " (network: strict)" if not forbidden(address) else ""
                raise Refused(f"the network guard refuses {address}: {reason}{strict}")
        return addresses

    async def _resolved(self, host: str, port: int) -> list[str]:
        literal = _literal(host)
        if literal is not None:
            return [literal]
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await anyio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=self._resolving)
        return list(dict.fromkeys(str(one[4][0]) for one in found))[:MOST_ADDRESSES]

    async def first(self, addresses: list[str], dial: Callable[[str], Awaitable[T]]) -> tuple[T, list[T]]:
        """Dials one after the other, each a little later; the first that answers, and those to be ended.

        Raises what `dial` does: OSError, httpcore2.ConnectError.
        """
        if len(addresses) == 1:
            return await dial(addresses[0]), []
        lines: list[T] = []
        errors: list[Exception] = []

        async def one(address: str, over: anyio.Event) -> None:
            try:
                lines.append(await dial(address))
                group.cancel_scope.cancel()
            except (OSError, httpcore2.ConnectError) as error:
                errors.append(error)
            finally:
                over.set()

        async with anyio.create_task_group() as group:
            for address in addresses:
                over = anyio.Event()
                group.start_soon(one, address, over)
                with anyio.move_on_after(STAGGER):
                    await over.wait()
        if not lines:
            raise errors[0] if errors else httpcore2.ConnectError("the name has no address")
        return lines[0], lines[1:]


@lru_cache
def _literal(host: str) -> str | None:
    """A host that is an address itself, as addresses are written; None for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


class _Guarded(httpcore2.AsyncNetworkBackend):
    """Opens the library's connections, to checked addresses only."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._dialler = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises Refused, and the library's errors."""
        try:
            with anyio.fail_after(timeout):
                addresses = await self._guard.addresses(host, port)
                stream, others = await self._guard.first(
                    addresses, lambda address: self._dialler.connect_tcp(address, port)
                )
                for late in others:
                    await late.aclose()
                return _Stream(stream)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            raise httpcore2.ConnectError from error

    async def connect_unix_socket(self, *args: Any, **more: Any) -> httpcore2.AsyncNetworkStream:
        """Never: no URL of ours names one."""
        raise Refused("a Unix socket is no receiver")

    async def sleep(self, seconds: float) -> None:
        """Waits (the library asks for it)."""
        await anyio.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    """A connection that is closed when its TLS handshake is given up half way, as the library's is not.

    At every request the pool asks each connection that waits, twice, whether its other end has hung up. The
    library's own answer looks up a dozen facts about the socket first; with ten connections that is half of
    what a request costs.
    """

    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream
        self.read, self.write = stream.read, stream.write  # type: ignore[method-assign]
        self.aclose = stream.aclose  # type: ignore[method-assign]
        self._socket: socket.socket | None = stream.get_extra_info("socket")
        self._waiting = select.poll()
        if self._socket is not None:
            self._waiting.register(self._socket.fileno(), select.POLLIN)

    def get_extra_info(self, info: str) -> Any:
        """What the library wants to know of the connection."""
        if info != "is_readable" or self._socket is None:
            return self._stream.get_extra_info(info)
        return self._socket.fileno() < 0 or bool(self._waiting.poll(0))

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 -- the library's signature
    ) -> httpcore2.AsyncNetworkStream:
        """The connection from now on."""
        try:
            return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
            raise


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """The library's transport over guarded connections."""

    def __init__(self, context: ssl.SSLContext, limits: httpx2.Limits, guard: Guard) -> None:
        super().__init__(verify=context, trust_env=False)
        # The library has no public way to be given a network of one's own; a test notices when this one ends.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Guarded(guard),
        )
