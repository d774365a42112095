"""The network guard, with a resolver that lies: what is dialled is what was checked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpcore2
import httpx2
import pytest

from ftwatch.client import Client, Refused, Unreachable, failure_of
from ftwatch.client import guard as module
from ftwatch.client.trust import SYSTEM, context_of
from ftwatch.core.delivery import Rejected

Resolver = Callable[[str], list[str]]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names resolve to what `answers` says; every question is kept in the list that the test gets."""
    asked: list[str] = []

    def lookup(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        asked.append(host)
        found = ANSWERS[host]
        addresses = found.pop(0) if isinstance(found[0], list) else found
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in addresses
        ]

    monkeypatch.setattr(module.socket, "getaddrinfo", lookup)
    yield asked
    ANSWERS.clear()


ANSWERS: dict[str, Any] = {}


@asynccontextmanager
async def serving(*, close: bool = True) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on loopback: its port, and the heads of the requests that reached it."""
    heads: list[str] = []
    done: list[asyncio.Event] = []

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        done.append(over)
        try:
            while True:
                heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n")
                writer.write(b"connection: close\r\n\r\nok" if close else b"\r\nok")
                await writer.drain()
                if close:
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads
        for over in done:
            await over.wait()


async def test_a_name_is_resolved_once_and_keeps_its_host_header(resolver: list[str]) -> None:
    ANSWERS["ci.example.com"] = ["127.0.0.1"]
    async with serving() as (port, heads), Client() as client:
        answer = await client.request("GET", f"http://ci.example.com:{port}/x")
    assert answer.ok
    assert resolver == ["ci.example.com"]
    assert f"\r\nhost: ci.example.com:{port}\r\n" in heads[0].lower()


async def test_a_name_that_changes_its_mind_is_checked_each_time(resolver: list[str]) -> None:
    ANSWERS["flip.example.com"] = [["127.0.0.1"], ["169.254.169.254"], ["127.0.0.1"]]
    async with serving() as (port, heads), Client() as client:
        url = f"http://flip.example.com:{port}/"
        assert (await client.request("GET", url)).ok
        with pytest.raises(Refused, match=r"refuses 169\.254\.169\.254: a cloud's metadata service"):
            await client.request("GET", url)
        assert (await client.request("GET", url)).ok
    assert len(heads) == 2
    assert len(resolver) == 3


async def test_an_open_connection_asks_nobody_again(resolver: list[str]) -> None:
    ANSWERS["keep.example.com"] = [["127.0.0.1"], ["169.254.169.254"]]
    async with serving(close=False) as (port, heads), Client() as client:
        for _ in range(3):
            assert (await client.request("GET", f"http://keep.example.com:{port}/")).ok
    assert (len(heads), resolver) == (3, ["keep.example.com"])


async def test_one_bad_address_among_good_ones_is_enough(resolver: list[str]) -> None:
    ANSWERS["mixed.example.com"] = ["127.0.0.1", "fe80::1"]
    async with serving() as (port, heads), Client() as client:
        with pytest.raises(Refused, match="link-local"):
            await client.request("GET", f"http://mixed.example.com:{port}/")
    assert heads == []


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::ffff:a9fe:a9fe]",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0xa9fe",
        "169.254.43518",
    ],
)
async def test_every_way_of_writing_it_is_the_same_address(host: str) -> None:
    async with Client() as client:
        with pytest.raises(Refused, match="metadata"):
            await client.request("GET", f"http://{host}/latest/meta-data/", deadline=5)


async def test_the_next_address_is_tried_where_one_does_not_answer(resolver: list[str]) -> None:
    async with serving() as (port, heads), Client() as client:
        # Nobody listens on the first ones.
        ANSWERS["two.example.com"] = ["127.9.9.9", "::1", "127.0.0.1"]
        assert (await client.request("GET", f"http://two.example.com:{port}/")).ok
        ANSWERS["none.example.com"] = ["127.9.9.9", "::1"]
        with pytest.raises(Unreachable) as caught:
            await client.request("GET", f"http://none.example.com:{port}/")
    assert not isinstance(caught.value, Refused)
    assert len(heads) == 1


async def test_a_slow_address_does_not_hold_up_the_next(
    resolver: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dialled = httpcore2.AnyIOBackend.connect_tcp

    async def slow(self: Any, host: str, port: int, **more: Any) -> Any:
        if host == "127.9.9.9":
            await anyio.sleep_forever()
        return await dialled(self, host, port, **more)

    monkeypatch.setattr(httpcore2.AnyIOBackend, "connect_tcp", slow)
    monkeypatch.setattr(module, "STAGGER", 0.01)
    ANSWERS["slow.example.com"] = ["127.9.9.9", "127.0.0.1"]
    async with serving() as (port, _), Client() as client:
        assert (await client.request("GET", f"http://slow.example.com:{port}/")).ok


async def test_a_name_that_does_not_resolve_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*args: Any, **more: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", lookup)
    async with Client() as client:
        with pytest.raises(Unreachable, match="name or service not known") as caught:
            await client.request("GET", "http://nowhere.example.com/")
    assert "nowhere" not in str(caught.value)


async def test_strict_means_https_to_the_public_network_only(resolver: list[str]) -> None:
    ANSWERS["intern.example.com"] = ["10.0.0.7"]
    async with Client(strict=True) as client:
        with pytest.raises(Refused, match=r"not https \(network: strict\)"):
            await client.request("GET", "http://one.example.com/")
        with pytest.raises(
            Refused, match=r"10\.0\.0\.7: an address of a private network \(network: strict\)"
        ):
            await client.request("GET", "https://intern.example.com/")
        with pytest.raises(Refused, match="private network"):
            await client.request("GET", "https://127.0.0.1/")


async def test_a_redirect_leads_nowhere(resolver: list[str]) -> None:
    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with server, Client() as client:
        answer = await client.request("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert answer.status == 302
    assert resolver == []


async def test_the_environments_proxy_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving() as (port, _), Client() as client:
        assert (await client.request("GET", f"http://127.0.0.1:{port}/")).ok


async def test_a_unix_socket_is_no_receiver() -> None:
    transport = module.GuardedTransport(context_of(SYSTEM), httpx2.Limits(), module.Guard(strict=False))
    with pytest.raises(Refused):
        await transport._pool._network_backend.connect_unix_socket("/run/docker.sock")  # type: ignore[union-attr]


def test_a_delivery_that_the_guard_refuses_is_rejected_not_out_of_reach() -> None:
    assert failure_of(Refused("no")) == Rejected("no")


async def test_many_names_that_hang_do_not_hold_up_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """More lookups hang than the standard library's own threads could take."""
    import threading

    release = threading.Event()
    true = socket.getaddrinfo

    def lookup(host: str, *args: Any, **more: Any) -> list[Any]:
        if host.startswith("hang"):
            release.wait(20)
        return true("127.0.0.1", *args, **more)

    monkeypatch.setattr(module.socket, "getaddrinfo", lookup)
    try:
        async with serving() as (port, _), Client() as client, anyio.create_task_group() as group:

            async def hopeless(number: int) -> None:
                with pytest.raises(Unreachable):
                    await client.request("GET", f"http://hang{number}.example.com:{port}/", deadline=1)

            for number in range(40):
                group.start_soon(hopeless, number)
            await anyio.sleep(0.1)
            assert (await client.request("GET", f"http://good.example.com:{port}/")).ok
            group.cancel_scope.cancel()
    finally:
        release.set()
