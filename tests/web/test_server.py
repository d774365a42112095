"""The listener's limits, over raw sockets: who drips, floods or hangs loses only the own connection."""

import contextlib
import socket
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import httpx2
import pytest

from ftwatch.web import server
from tests.web.house import TOKEN, WHSEC, TestHouse, house
from tests.web.test_hooks import BODY, NOW, signed

CONFIG = f"""
providers:
  oa: {{kind: openai, base_url: "http://127.0.0.1:9/v1", webhook_secret: {WHSEC}}}
notifiers: {{console: {{}}}}
web: {{listen: "127.0.0.1:0", token: {TOKEN}}}
"""
PATIENCE = 20.0


def talk(made: TestHouse, *parts: bytes) -> bytes:
    """Sends this, and reads until the other side hangs up."""
    with socket.create_connection(("127.0.0.1", made.port), timeout=PATIENCE) as line:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                line.sendall(part)
        answer = b""
        while part := _read(line):
            answer += part
    return answer


def _read(line: socket.socket) -> bytes:
    try:
        return line.recv(65536)
    except ConnectionResetError:
        return b""


async def asked(made: TestHouse, *parts: bytes) -> bytes:
    return await anyio.to_thread.run_sync(lambda: talk(made, *parts))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.3)


POST = b"POST /hooks/oa HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A"])
async def test_headers_that_never_end_are_hung_up_on(begun: bytes, tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        assert await asked(it, begun) == b""


@pytest.mark.usefixtures("impatient")
async def test_the_second_request_of_a_connection_has_its_deadline_too(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        answer = await asked(it, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /hea")
        assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.usefixtures("impatient")
async def test_a_body_that_never_ends_is_a_time_out(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        answer = await asked(it, POST + b"Content-Length: 100\r\n\r\nhalf of it")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close" in answer


async def test_a_body_without_end_is_cut_off_at_its_limit(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        answer = await asked(it, POST + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 5)
        assert answer.startswith(b"HTTP/1.1 413 ")
        said = await asked(it, POST + b"Content-Length: 99999999999999999999\r\n\r\n")
        assert said.startswith(b"HTTP/1.1 413 ")


async def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        answer = await asked(it, POST + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert await asked(it, POST + b"X-Long: ", *[b"a" * 10_000] * 20) != b""


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELO example.com\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /hooks/oa HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /hooks/oa HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"GET /%00%ff%fe HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Connection: close\r\n\r\n",
    ],
)
async def test_nonsense_breaks_nothing(raw: bytes, tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        with socket.create_connection(("127.0.0.1", it.port), timeout=PATIENCE) as line:
            line.sendall(raw)
            line.shutdown(socket.SHUT_WR)
            await anyio.to_thread.run_sync(_read, line)
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{it.url}/hooks/oa", content=BODY, headers=signed())
        assert answer.status_code == 204


async def test_who_hangs_up_half_way_is_no_failure(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        for _ in range(20):
            line = socket.create_connection(("127.0.0.1", it.port), timeout=PATIENCE)
            line.sendall(POST + b"Content-Length: 100\r\n\r\nhalf")
            line.close()
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(f"{it.url}/healthz")).status_code == 200


async def test_many_idle_connections_leave_room_for_others(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        lines = [socket.create_connection(("127.0.0.1", it.port), timeout=PATIENCE) for _ in range(200)]
        try:
            async with httpx2.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{it.url}/healthz")).status_code == 200
        finally:
            for line in lines:
                line.close()


async def test_the_end_does_not_wait_for_who_says_nothing(tmp_path: Path) -> None:
    lines: list[socket.socket] = []
    with anyio.fail_after(PATIENCE):
        async with house(tmp_path, CONFIG, NOW) as it:
            address = ("127.0.0.1", it.port)
            lines += [socket.create_connection(address, timeout=PATIENCE) for _ in range(5)]
    for line in lines:
        line.close()
    assert threading.active_count() < 50
