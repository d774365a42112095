"""The client against a server that is a raw socket: what a library's own server would never do."""

import asyncio
import base64
import contextlib
import email.utils
import gzip
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ftwatch.client import (
    LONGEST_PAUSE,
    MIB,
    Account,
    Answered,
    Client,
    Paced,
    Refused,
    Response,
    Trust,
    Unreachable,
    failure_of,
    kept,
    outcome_of,
    retry_after,
    shown,
    single,
)
from ftwatch.client.guard import Guard
from ftwatch.client.trust import SYSTEM, context_of, trust_from
from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.pace import Budget

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Reads the head of each request, then does as `answer` says."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.heads: list[str] = []
        self.connections = 0
        self.port = 0

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head.decode("latin-1"))
                await self._answer(writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def safe_url(self) -> str:
        return self.url.replace("http:", "https:")


@asynccontextmanager
async def serving(answer: Answer | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on loopback for as long as the block lasts."""

    async def say(writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()
        if b"close" in answer[:200]:
            writer.close()

    server = Server(say if isinstance(answer, bytes) else answer)
    tasks: set[asyncio.Task[None]] = set()

    def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(server._meet(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return f"{head}\r\n".encode() + body


async def ask(answer: Answer | bytes, *, deadline: float = 10.0, cap: int = MIB) -> Response:
    async with serving(answer) as server, Client() as client:
        return await client.request("GET", server.url, deadline=deadline, cap=cap)


# ------------------------------------------------------------------------------------------- fine answers


async def test_an_answer_is_read_whole() -> None:
    response = await ask(http(b'{"a": 1}', "X-Request-Id: 7", status="201 Created"))
    assert (response.status, response.ok, response.body) == (201, True, b'{"a": 1}')
    assert response.headers["x-request-id"] == "7"


async def test_a_compressed_answer_is_inflated() -> None:
    response = await ask(http(gzip.compress(b"x" * 5000), "Content-Encoding: gzip"))
    assert response.body == b"x" * 5000


async def test_redirects_are_answers_and_cookies_are_not_kept() -> None:
    location = http(b"", "Location: http://127.0.0.1:9/", "Set-Cookie: s=1; Path=/", status="302 Found")
    async with serving(location) as server, Client() as client:
        assert (await client.request("GET", server.url)).status == 302
        await client.request("GET", server.url)
    assert "cookie" not in server.heads[1].lower()
    assert server.connections == 1, "a connection is used again"


@pytest.mark.parametrize("content", [None, b"{}"])
async def test_a_name_and_a_password_in_the_url_are_sent_as_credentials(content: bytes | None) -> None:
    async with serving(http(b"")) as server, Client() as client:
        url = server.url.replace("http://", "http://us%40er:pa%3Ass@")
        await client.request("POST", url, content=content)
        await client.request("POST", server.url, content=content)
    said = base64.b64encode(b"us@er:pa:ss").decode()
    assert f"authorization: basic {said}".lower() in server.heads[0].lower()
    assert "authorization" not in server.heads[1].lower()


async def test_what_is_asked_again_says_the_same_and_nothing_of_others() -> None:
    async with serving(http(b"")) as server, Client() as client:
        with_login = server.url.replace("//", "//me:pw@")
        for url in (server.url, f"{server.url}?after=j1", with_login, server.url):
            for token in ("one", "two"):
                await client.request("GET", url, deadline=10.0, headers={"x-token": token})
    heads = [head.partition("\r\n")[2].lower() for head in server.heads]
    assert heads[:2] == heads[2:4] == heads[6:]
    assert ["x-token: one" in head for head in heads] == [True, False] * 4
    assert ["authorization: " in head for head in heads] == [False] * 4 + [True] * 2 + [False] * 2


async def test_the_environment_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert (await ask(http(b"ok"))).body == b"ok"


# ------------------------------------------------------------------------------------- answers that hurt


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def drip_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def promise_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@pytest.mark.parametrize("answer", [drip, drip_headers, promise_for_ever, silence])
async def test_one_deadline_holds_for_everything(answer: Answer) -> None:
    with pytest.raises(Unreachable, match=r"no complete answer within 0\.2 s") as caught:
        await ask(answer, deadline=0.2)
    assert caught.value.timeout


async def flood(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        await writer.drain()


async def flood_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: " + b"b" * 1000 + b"\r\n")
        await writer.drain()


def bomb(size: int, layers: int = 1) -> bytes:
    body = b"0" * size
    for _ in range(layers):
        body = gzip.compress(body)
    return http(body, "Content-Encoding: " + ", ".join(["gzip"] * layers))


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (flood, "larger than 1,048,576 bytes"),
        (bomb(64 * MIB), "larger than 1,048,576 bytes"),
        (bomb(64 * MIB, 2), "larger than 1,048,576 bytes"),
        (flood_headers, "broke off or is no HTTP"),
        (b"", "broke off"),
        (b"garbage\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf", "broke off"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "broke off"),
        (http(b"no gzip at all", "Content-Encoding: gzip"), "encoding is broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "no HTTP"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "bytes"),
)
async def test_what_is_no_whole_answer_is_none(answer: Answer | bytes, sentence: str) -> None:
    async def close(writer: asyncio.StreamWriter) -> None:
        assert isinstance(answer, bytes)
        writer.write(answer)
        await writer.drain()
        writer.close()

    with pytest.raises(Unreachable, match=sentence):
        await ask(close if isinstance(answer, bytes) else answer)


async def test_a_body_of_exactly_the_cap_is_fine() -> None:
    assert len((await ask(http(b"x" * 1000), cap=1000)).body) == 1000
    with pytest.raises(Unreachable, match="larger"):
        await ask(http(b"x" * 1001), cap=1000)


async def test_after_a_failure_the_client_works_on() -> None:
    answers = [http(b"x" * 5000), http(b"fine")]

    async def next_one(writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with serving(next_one) as server, Client() as client:
        with pytest.raises(Unreachable):
            await client.request("GET", server.url, cap=100)
        assert (await client.request("GET", server.url)).body == b"fine"


async def test_a_cancelled_request_leaves_its_connection_behind() -> None:
    answers: list[Answer] = [silence]

    async def next_one(writer: asyncio.StreamWriter) -> None:
        if answers:
            await answers.pop()(writer)
        writer.write(http(b"fine"))

    async with serving(next_one) as server, Client() as client:
        with anyio.move_on_after(0.1) as scope:
            await client.request("GET", server.url)
        assert scope.cancelled_caught, "cancelling is not the client's to swallow"
        assert (await client.request("GET", server.url)).body == b"fine"


async def test_no_sentence_tells_the_address() -> None:
    async with serving(http(b"")) as server:
        port = server.port
    async with Client() as client:
        for url in (
            f"http://127.0.0.1:{port}/services/SECRET",
            "ftp://SECRET/",
            "http://SECRET.invalid:99999999/",
            "no url but a SECRET",
            "http://[SECRET/",
            "https://" + "SECRET" * 50 + ".invalid/",
        ):
            with pytest.raises(Unreachable) as caught:
                await client.request("GET", url, deadline=5)
            assert "SECRET" not in caught.value.reason
            assert caught.value.reason
            assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", ["line\nbreak", "é\u2028", "nul\0"])
async def test_a_header_that_cannot_be_sent_is_not_quoted(value: str) -> None:
    async with serving(http(b"")) as server, Client() as client:
        with pytest.raises(Unreachable) as caught:
            await client.request("GET", server.url, headers={"authorization": f"Bearer SECRET{value}"})
        assert "SECRET" not in caught.value.reason
    assert not any("SECRET" in head for head in server.heads)


async def test_refused_is_said_in_words() -> None:
    async with serving(http(b"")) as server:
        url = server.url
    async with Client() as client:
        with pytest.raises(Unreachable, match="connection refused"):
            await client.request("GET", url)


async def test_plain_http_where_tls_is_expected() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener, Client() as client:
        with pytest.raises(Unreachable, match="TLS: wrong version number"):
            await client.request("GET", f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")


def test_an_authority_file_is_added_to_the_systems_own(tmp_path: Path) -> None:
    empty = tmp_path / "none.pem"
    empty.write_text("no certificate")
    with pytest.raises(ssl.SSLError):
        Client(ca_file=str(empty))


# -------------------------------------------------------------------------------------------- the proxy


@pytest.mark.parametrize(
    ("exempt", "asked", "by_proxy"),
    [
        ([], "http://jobs.example.test/", True),
        (["other.test"], "http://jobs.example.test/", True),
        (["127.0.0.1"], "http://127.0.0.1:{port}/", False),
        (["127.0.0.0/8"], "http://127.0.0.1:{port}/", False),
        (["10.0.0.0/8", "::1", "*.corp.test"], "http://127.0.0.1:{port}/", True),
        (["localhost"], "http://localhost:{port}/", False),
        ([".localhost"], "http://localhost:{port}/", False),
        (["*"], "http://127.0.0.1:{port}/", False),
    ],
)
async def test_hosts_are_reached_past_the_proxy(exempt: list[str], asked: str, by_proxy: bool) -> None:
    async with (
        serving(http(b"proxy")) as proxy,
        serving(http(b"direct")) as direct,
        Client(proxy=proxy.url, no_proxy=tuple(exempt)) as client,
    ):
        answer = await client.request("GET", asked.format(port=direct.port))
    assert answer.body == (b"proxy" if by_proxy else b"direct")


# ----------------------------------------------------------------------------------------- the account


class Hand:
    """A clock moved by its own sleeps, and a client that answers from a list."""

    def __init__(self, *answers: Response) -> None:
        self.time = 100.0
        self.answers = list(answers)
        self.asked: list[float] = []

    def clock(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def request(self, method: str, url: str, **more: object) -> Response:
        self.asked.append(round(self.time - 100.0, 3))
        return self.answers.pop(0) if self.answers else Response(200, {}, b"")

    def account(self, budget: Budget) -> Account:
        return Account(self, budget, clock=self.clock, sleep=self.sleep)  # type: ignore[arg-type]


async def test_an_account_asks_no_faster_than_its_budget() -> None:
    hand = Hand()
    account = hand.account(Budget(2, burst=2))
    for _ in range(5):
        await account.request("GET", "u")
    assert hand.asked == [0, 0, 0.5, 1.0, 1.5]


async def test_an_account_waits_out_a_refusal() -> None:
    hand = Hand(Response(429, {"Retry-After": "7"}, b""))
    account = hand.account(Budget(10))
    assert (await account.request("GET", "u")).status == 429
    await account.request("GET", "u")
    assert hand.asked == [0, 7]


async def test_an_account_understands_a_date() -> None:
    date = email.utils.formatdate(time.time() + 3000, usegmt=True)
    hand = Hand(Response(429, {"retry-after": date}, b""))
    account = hand.account(Budget(10))
    await account.request("GET", "u")
    with pytest.raises(Paced) as caught:
        await account.request("GET", "u")
    assert 1000 < caught.value.wait <= 3000


async def test_who_would_wait_for_long_is_told_instead() -> None:
    hand = Hand(Response(429, {"retry-after": "300"}, b""))
    account = hand.account(Budget(10))
    await account.request("GET", "u")
    with pytest.raises(Paced, match="another 300 s") as caught:
        await account.request("GET", "u")
    assert caught.value.wait == 300
    assert hand.asked == [0]
    hand.time += 300
    assert (await account.request("GET", "u")).ok
    assert LONGEST_PAUSE < 60, "a watchdog must not bite meanwhile"


async def test_at_most_so_many_at_once_and_a_cancelled_one_gives_its_place_back() -> None:
    busy = peak = 0
    gate = anyio.Event()

    class Slow:
        async def request(self, *_: object, **__: object) -> Response:
            nonlocal busy, peak
            busy += 1
            peak = max(peak, busy)
            try:
                await gate.wait()
            finally:
                busy -= 1
            return Response(200, {}, b"")

    account = Account(Slow(), Budget(1000, burst=100), concurrency=3)  # type: ignore[arg-type]
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(account.request, "GET", "u")
        await anyio.wait_all_tasks_blocked()
        assert peak == 3
        group.cancel_scope.cancel()
    gate.set()
    assert (await account.request("GET", "u")).ok


async def test_a_failure_passes_through_the_account() -> None:
    async with Client() as client:
        with pytest.raises(Unreachable):
            await Account(client, Budget(10)).request("GET", "ftp://x/")


async def test_who_listens_hears_how_every_request_ended() -> None:
    heard: list[tuple[str, float | None]] = []
    answers = [Response(status, {}, b"") for status in (200, 304, 404, 429, 500)]
    hand = Hand(*answers)

    def hear(outcome: str, seconds: float | None) -> None:
        heard.append((outcome, seconds))

    account = Account(
        hand,  # type: ignore[arg-type]
        Budget(1000),
        clock=hand.clock,
        sleep=hand.sleep,
        heard=hear,
    )
    for _ in answers:
        await account.request("GET", "u")
    assert heard == [("ok", 0), ("ok", 0), ("refused", 0), ("throttled", 0), ("failed", 0)]
    hand.answers.append(Response(429, {"retry-after": "3000"}, b""))
    await account.request("GET", "u")
    with pytest.raises(Paced):
        await account.request("GET", "u")
    assert heard[-1] == ("paced", None)
    allowed = account.allowance()
    assert (allowed.requests, allowed.blocked_seconds) == (0, 3000)
    assert 200 < allowed.requests_per_second < 300, "two refusals make it slower"
    async with Client() as client:
        with pytest.raises(Unreachable):
            await Account(client, Budget(10), heard=hear).request("GET", "ftp://x/")
    assert heard[-1][0] == "unreachable"


# ------------------------------------------------------------------------------------- another trust


def tls_of(authority: Path, *, asks: bool = False) -> ssl.SSLContext:
    """The server's side; `asks` for a certificate of the client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority / "ca.pem")
    return context


def trust_of(authority: Path, *, shows: bool = False) -> Trust:
    return Trust(
        authorities=(authority / "ca.pem").read_text(),
        certificate=(authority / "client.pem").read_text() if shows else None,
        key=(authority / "client.key").read_text() if shows else None,
    )


async def test_an_account_may_trust_whom_the_others_do_not(authority: Path) -> None:
    async with serving(http(b"ok"), tls_of(authority)) as server, Client() as client:
        account = Account(client, Budget(10))
        branch = account.trusting(trust_of(authority))
        assert (await branch.request("GET", server.safe_url)).body == b"ok"
        with pytest.raises(Unreachable, match="TLS: unable to get local issuer certificate"):
            await account.request("GET", server.safe_url)


async def test_the_systems_authorities_are_read_when_the_first_connection_needs_them(
    authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(http(b"ok"), tls_of(authority)) as server, Client() as client:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
        assert (await client.request("GET", server.safe_url)).body == b"ok"
        monkeypatch.delenv("SSL_CERT_FILE")
        assert (await client.request("GET", server.safe_url)).body == b"ok", "and then no more"


async def test_an_authority_of_ones_own_is_the_only_one(authority: Path) -> None:
    foreign = (authority / "client.pem").read_text()  # which signed nobody
    async with serving(http(b"ok"), tls_of(authority)) as server, Client() as client:
        with pytest.raises(Unreachable, match="TLS: "):
            await client.trusting(Trust(authorities=foreign)).request("GET", server.safe_url)


async def test_a_name_is_still_checked(authority: Path) -> None:
    async with serving(http(b"ok"), tls_of(authority)) as server, Client() as client:
        other = server.safe_url.replace("127.0.0.1", "localhost")
        with pytest.raises(Unreachable, match="TLS: Hostname mismatch"):
            await client.trusting(trust_of(authority)).request("GET", other)


async def test_a_client_shows_its_certificate_to_who_asks(authority: Path) -> None:
    async with serving(http(b"ok"), tls_of(authority, asks=True)) as server, Client() as client:
        shown = client.trusting(trust_of(authority, shows=True))
        assert (await shown.request("GET", server.safe_url)).body == b"ok"
        with pytest.raises(Unreachable):
            await client.trusting(trust_of(authority)).request("GET", server.safe_url)


async def test_the_guard_stands_before_every_trust(authority: Path) -> None:
    async with serving(http(b"ok"), tls_of(authority)) as server, Client(strict=True) as client:
        branch = client.trusting(trust_of(authority))
        for url, why in ((server.safe_url, "refuses 127.0.0.1"), (server.url, "not https")):
            with pytest.raises(Refused, match=why):
                await branch.request("GET", url)
        with pytest.raises(Refused, match="refuses 169"):
            await branch.request("GET", "https://169.254.169.254/")


async def test_a_branch_shares_the_budget_and_ends_with_its_client_or_before(authority: Path) -> None:
    hand = Hand()
    async with serving(http(b"ok"), tls_of(authority)) as server:
        async with Client() as client:
            account = Account(client, Budget(1, burst=1), clock=hand.clock, sleep=hand.sleep)
            first, second = (account.trusting(trust_of(authority)) for _ in range(2))
            await first.request("GET", server.safe_url)
            await second.request("GET", server.safe_url)
            assert hand.time == 101.0, "one budget"
            await account.part(first)
            with pytest.raises(RuntimeError, match="closed"):
                await first.request("GET", server.safe_url)
            await second.request("GET", server.safe_url)
        with pytest.raises(RuntimeError, match="closed"):
            await second.request("GET", server.safe_url)


@pytest.mark.parametrize(
    ("trust", "sentence"),
    [
        (Trust(authorities="nothing"), "authority is no PEM"),
        (Trust(authorities=""), "authority is no PEM"),
        (Trust(certificate="nothing", key="SECRET"), "no pair of PEM texts"),
    ],
)
async def test_a_trust_that_cannot_be_used_is_a_sentence(trust: Trust, sentence: str) -> None:
    async with Client() as client:
        with pytest.raises(ValueError, match=sentence) as caught:
            client.trusting(trust)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "SECRET" not in repr(trust)


def test_files_make_a_trust(authority: Path, tmp_path: Path) -> None:
    made = trust_from(authorities=authority / "ca.pem", certificate=authority / "client.pem", key=None)
    assert made == replace(trust_of(authority, shows=True), key=None)
    large = tmp_path / "large"
    large.write_bytes(b"x" * (MIB + 1))
    for path, sentence in (
        (tmp_path / "nix", "no such file"),
        (tmp_path, "directory"),
        (large, "larger than"),
    ):
        with pytest.raises(ValueError, match=sentence) as caught:
            trust_from(authorities=path, certificate=None, key=None)
        assert str(path) in str(caught.value)


def test_a_password_opens_a_key_and_is_shown_nowhere(authority: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", authority / "client.key", "-out"]
    subprocess.run([*command, locked], check=True, capture_output=True)
    trust = replace(trust_of(authority, shows=True), key=locked.read_text(), password="secret")
    assert Client(trust=trust)
    with pytest.raises(ValueError, match="its password is another one"):
        Client(trust=replace(trust, password="hunter2"))
    assert "hunter2" not in repr(replace(trust, password="hunter2"))


def test_nobody_is_asked_for_the_passphrase_of_a_key(authority: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", authority / "client.key", "-out"]
    subprocess.run([*command, locked], check=True, capture_output=True)
    trust = Trust(certificate=(authority / "client.pem").read_text(), key=locked.read_text())
    with pytest.raises(ValueError, match="or the key is encrypted"):
        Client(trust=trust)


# ----------------------------------------------------------------------------------------- line by line


def chunked(*pieces: bytes, end: bool = True, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return head + body + (b"0\r\n\r\n" if end else b"")


async def lines_of(answer: Answer | bytes, *, idle: float = 10.0, cap: int = MIB) -> list[bytes]:
    async with (
        serving(answer) as server,
        Client() as client,
        aclosing(client.lines("GET", server.url, idle=idle, cap=cap)) as lines,
    ):
        return [line async for line in lines]


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        (chunked(b"a\nb\n"), [b"a", b"b"]),
        (chunked(b"a", b"b\nc", b"\n", b"d"), [b"ab", b"c", b"d"]),
        (chunked(b"\n\n"), [b"", b""]),
        (chunked(), []),
        (http(b"one\ntwo"), [b"one", b"two"]),
        (http(gzip.compress(b"one\ntwo\n"), "Content-Encoding: gzip"), [b"one", b"two"]),
    ],
    ids=["lines", "cut", "empty", "none", "no end", "compressed"],
)
async def test_lines_come_whole_wherever_they_are_cut(answer: bytes, lines: list[bytes]) -> None:
    assert await lines_of(answer) == lines


async def test_a_line_is_there_before_the_next_one_is() -> None:
    more = anyio.Event()

    async def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"first\n", end=False))
        await writer.drain()
        await more.wait()
        writer.write(b"7\r\nsecond\n\r\n0\r\n\r\n")

    async with (
        serving(speak) as server,
        Client() as client,
        aclosing(client.lines("GET", server.url, idle=10)) as lines,
    ):
        assert await anext(lines) == b"first"
        more.set()
        assert [line async for line in lines] == [b"second"]


async def test_who_says_nothing_for_too_long_is_left() -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"first\nhal", end=False))
        await writer.drain()
        await asyncio.sleep(3600)

    for answer in (silence, stall):
        with pytest.raises(Unreachable, match=r"nothing came within 0\.2 s") as caught:
            await lines_of(answer, idle=0.2)
        assert caught.value.timeout


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (flood, "a line of the answer is larger than 1,048,576 bytes"),
        (bomb(64 * MIB), "a line of the answer is larger than 1,048,576 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf", "broke off"),
        (b"garbage\r\n\r\nclose", "no HTTP"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", "bytes"),
)
async def test_lines_that_hurt_are_left(answer: Answer | bytes, sentence: str) -> None:
    with pytest.raises(Unreachable, match=sentence):
        await lines_of(answer)


async def test_a_line_of_exactly_the_cap_is_fine() -> None:
    assert await lines_of(chunked(b"x" * 100 + b"\n"), cap=100) == [b"x" * 100]
    with pytest.raises(Unreachable, match="larger"):
        await lines_of(chunked(b"a\n" + b"x" * 101 + b"\n"), cap=100)


async def drip_refusal(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_another_answer_is_one_and_has_its_time_and_its_size_too() -> None:
    with pytest.raises(Answered, match="HTTP 410") as caught:
        await lines_of(http(b'{"code": 410}\nmore', "Retry-After: 3", status="410 Gone"))
    answer = caught.value.response
    assert (answer.status, answer.body) == (410, b'{"code": 410}\nmore')
    assert answer.headers["retry-after"] == "3"
    with pytest.raises(Answered) as caught:
        await lines_of(http(b"x" * 5000, status="500 Oops"), cap=1000)
    assert caught.value.response.body == b"x" * 1000
    with pytest.raises(Unreachable, match="nothing came"):
        await lines_of(drip_refusal, idle=0.2)


async def test_no_sentence_about_lines_tells_the_address() -> None:
    async with Client(strict=True) as client:
        for url in ("http://x/SECRET", "ftp://SECRET/", "https://127.0.0.1:9/SECRET", "https://[SECRET/"):
            with pytest.raises(Unreachable) as caught:
                await anext(client.lines("GET", url, idle=5))
            assert "SECRET" not in caught.value.reason
    async with serving(http(b"")) as server, Client() as client:
        with pytest.raises(Unreachable, match="cannot be sent"):
            await anext(client.lines("GET", server.url, headers={"authorization": "SECRETé\n"}, idle=5))


async def test_who_stops_reading_leaves_nothing_behind() -> None:
    async def speak(writer: asyncio.StreamWriter) -> None:
        writer.write(chunked(b"first\n", end=False) if server.connections == 1 else http(b"fine"))

    async with serving(speak) as server, Client() as client:
        async with aclosing(client.lines("GET", server.url, idle=10)) as lines:
            await anext(lines)
        assert (await client.request("GET", server.url)).body == b"fine"
        assert server.connections == 2, "what comes late cannot pass for the answer to something else"


async def test_lines_are_asked_for_under_the_budget_and_take_no_place() -> None:
    hand = Hand()
    refused = http(b"", "Retry-After: 300", status="429 Too Many Requests")
    answers = [chunked(b"a\n", end=False), http(b"ok"), refused]

    async def next_one(writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with serving(next_one) as server, Client() as client:
        account = Account(client, Budget(2, burst=1), clock=hand.clock, sleep=hand.sleep, concurrency=1)
        async with aclosing(account.lines("GET", server.url, idle=10)) as lines:
            assert await anext(lines) == b"a"
            assert (await account.request("GET", server.url)).body == b"ok"
            assert hand.time == 100.5
        with pytest.raises(Answered):
            await anext(account.lines("GET", server.url, idle=10))
        with pytest.raises(Paced, match="another 300 s"):
            await anext(account.lines("GET", server.url, idle=10))


# ------------------------------------------------------------------------------------ what answers mean


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5),
        ({"retry-after": "0.04"}, 0.1),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.3),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 60),
        ({"retry-after": "Wed, 21 Oct 2015 07:26:00 GMT"}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "99999999999"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "x"}, None),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=lambda: 1_445_412_420.0) == seconds


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (204, {}, Sent("HTTP 204")),
        (301, {}, Rejected("HTTP 301: redirects are not followed, update the URL")),
        (410, {}, Rejected("HTTP 410: the receiver is gone for good", disable=True)),
        (404, {}, Rejected("HTTP 404: oops")),
        (429, {"retry-after": "9"}, Retry("HTTP 429: oops", after=9, throttled=True)),
        (502, {"retry-after": "9"}, Retry("HTTP 502: oops", after=60)),
        (503, {"retry-after": "9"}, Retry("HTTP 503: oops", after=9)),
        (599, {}, Retry("HTTP 599: oops")),
    ],
)
def test_what_an_answer_means_for_a_delivery(status: int, headers: dict[str, str], outcome: object) -> None:
    assert outcome_of(Response(status, headers, b" oops\r\n")) == outcome


def test_no_answer_at_all_is_a_retry() -> None:
    assert failure_of(Unreachable("x", timeout=True)) == Retry("x", after=60, unreachable=True)
    assert failure_of(Unreachable("x")) == Retry("x", unreachable=True)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://hooks.example.com/services/T/B/secret", "https://hooks.example.com/…"),
        ("https://user:secret@example.com:8443/?k=secret", "https://example.com:8443/…"),
        ("https://example.com:secret/", "https://example.com/…"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, safe: str) -> None:
    assert shown(url) == safe


def test_the_beginning_of_an_answer_is_one_printable_line() -> None:
    assert Response(200, {}, b"a\r\n\x1b[31mb\xff  c" + b"d" * 999).text(12) == "a [31mb\ufffd cdd"


# ------------------------------------------------------------------------------ connections that are kept


async def test_who_is_asked_at_once_is_asked_over_several_connections_which_are_kept() -> None:
    async with serving(http(b"fine")) as server, Client() as client:
        for _ in range(3):
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(client.request, "GET", server.url)
        assert (len(server.heads), server.connections) == (12, 4)
        for _ in range(4):
            await client.request("GET", server.url)
        assert server.connections == 4


async def test_every_place_has_connections_of_its_own() -> None:
    async with serving(http(b"one")) as one, serving(http(b"other")) as other, Client() as client:
        for _ in range(3):
            assert (await client.request("GET", one.url)).body == b"one"
            assert (await client.request("GET", other.url)).body == b"other"
            assert (await client.request("GET", one.url.replace("127.0.0.1", "localhost"))).body == b"one"
        assert (one.connections, other.connections) == (2, 1)


@pytest.mark.parametrize("tail", [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong", b"\r\n"])
@pytest.mark.parametrize("late", [False, True])
async def test_what_nobody_asked_for_is_no_answer(tail: bytes, late: bool) -> None:
    said = asyncio.Event()

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"right"))
        if late:
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(tail)
        await writer.drain()
        said.set()

    async with serving(say) as server, Client() as client:
        for _ in range(3):
            assert (await client.request("GET", server.url)).body == b"right"
            await said.wait()
            await asyncio.sleep(0.02)
            said.clear()
        assert server.connections == 3


@pytest.mark.parametrize("safe", [False, True])
async def test_a_connection_that_has_ended_is_not_used(safe: bool, authority: Path) -> None:
    ended = asyncio.Event()

    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"fine"))
        await writer.drain()
        writer.close()
        ended.set()

    async with serving(say, tls_of(authority) if safe else None) as server, Client() as client:
        branch = client.trusting(trust_of(authority)) if safe else client
        for _ in range(3):
            answer = await branch.request("GET", server.safe_url if safe else server.url)
            assert answer.body == b"fine"
            await ended.wait()
            await asyncio.sleep(0.05)
            ended.clear()
        assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        http(b"fine", "Connection: close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine",
    ],
)
async def test_who_wants_to_end_a_connection_does(answer: bytes) -> None:
    async with serving(answer) as server, Client() as client:
        for _ in range(2):
            assert (await client.request("GET", server.url)).body == b"fine"
        assert server.connections == 2


async def test_few_connections_wait_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(http(b"fine")) as server, Client() as client:

        async def several() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(client.request, "GET", server.url)

        monkeypatch.setattr(kept, "MOST", 2)
        await several()
        await several()
        assert server.connections == 4, "two were kept"
        monkeypatch.setattr(kept, "LONGEST", -1.0)
        await several()
        await client.request("GET", server.url)
        assert server.connections == 6, "of these none was"


async def test_a_connection_is_given_back_once() -> None:
    packed = gzip.compress(b"fine")
    async with serving(http(packed, "Content-Encoding: gzip")) as server, Client() as client:
        await client.request("GET", server.url)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(client.request, "GET", server.url)
        assert (len(server.heads), server.connections) == (3, 2)


async def test_over_a_kept_connection_much_may_be_sent() -> None:
    whole = b"x" * 4 * MIB
    came: list[bytes] = []
    over = asyncio.Event()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                came.append(await reader.readexactly(length))
                writer.write(http(b"fine"))
                await writer.drain()
        writer.close()
        await writer.wait_closed()
        over.set()

    listener = await asyncio.start_server(meet, "127.0.0.1", 0)
    async with listener:
        async with Client() as client:
            url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
            for content in (b"{}", whole, b"{}", None):
                assert (await client.request("POST", url, content=content)).body == b"fine"
        await over.wait()
    assert came == [b"{}", whole, b"{}", b""]


@pytest.mark.parametrize("safe", [False, True])
async def test_what_is_under_way_fails_when_its_client_ends(safe: bool, authority: Path) -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        asked.set()
        with contextlib.suppress(OSError):
            # Without TLS an end is half of one, and the other half the server's own affair.
            await (writer.wait_closed() if safe else writer.drain())
        gone.set()

    async with serving(hold, tls_of(authority) if safe else None) as server, Client() as client:
        branch = client.trusting(trust_of(authority))
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                with pytest.raises(Unreachable, match="broke off"):
                    await branch.request("GET", server.safe_url if safe else server.url)

            group.start_soon(ask)
            await asked.wait()
            await client.part(branch)
            await gone.wait()


# --------------------------------------------------------------------------- where the head is enough


async def tell(answer: Answer | bytes, **more: Any) -> Response:
    async with serving(answer) as server, Client() as client:
        return await client.request("POST", server.url, content=b"{}", head_is_enough=True, **more)


async def test_a_connection_is_used_once() -> None:
    async with serving(http(b"ok")) as server, Client() as client:
        for _ in range(3):
            answer = await client.request("POST", server.url, content=b"{}", head_is_enough=True)
            assert (answer.status, answer.body) == (200, b"ok")
        assert server.connections == 3, "a second answer cannot pass for the next one's"
        assert all("connection: close" in head for head in server.heads)


async def test_what_is_sent_along_says_each_thing_once() -> None:
    async with serving(http(b"")) as server, Client() as client:
        url = server.url.replace("127.0.0.1", "us%40er:p%C3%A4ss@127.0.0.1") + "?a=%20b&c"
        headers = {"User-Agent": "mine", "X-Team": "search", "Authorization": "Bearer no"}
        await client.request("POST", url, headers=headers, content=b"{}", head_is_enough=True)
        line, *lines = server.heads[0].rstrip().split("\r\n")
        names = [one.partition(":")[0].lower() for one in lines]
        assert line == f"POST {server.url.partition(str(server.port))[2]}?a=%20b&c HTTP/1.1"
        assert len(names) == len(set(names))
        assert {"User-Agent: mine", "X-Team: search", "content-length: 2"} < set(lines)
        assert f"host: 127.0.0.1:{server.port}" in lines
        login = base64.b64encode("us@er:päss".encode()).decode()
        assert f"authorization: Basic {login}" in lines


@pytest.mark.parametrize("tail", [b"", b"half", b"HTTP/1.1 500 No\r\n\r\n", b"\x1f\x8b garbage"])
async def test_after_the_head_nothing_counts(tail: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Made\r\nX-A: 1\r\nContent-Length: 100\r\nx-a: 2\r\n\r\n" + tail)
        await writer.drain()
        writer.close()

    answer = await tell(say)
    assert (answer.status, answer.body) == (201, tail)
    assert answer.headers["x-a"] == "1, 2"


async def test_a_refusals_words_are_read_although_they_are_packed() -> None:
    packed = gzip.compress(b"no such channel")
    answer = await tell(http(packed, "Content-Encoding: gzip", status="404 Not Found"))
    assert answer.text() == "no such channel"


async def test_an_answer_may_come_before_all_was_read() -> None:
    async with serving(http(b"too large", status="413 Too Large")) as server, Client() as client:
        answer = await client.request("POST", server.url, content=b"x" * 8 * MIB, head_is_enough=True)
    assert answer.status == 413


@pytest.mark.parametrize(
    "headers",
    [
        {"x-a": "é"}, {"x-a": "a\r\nx-b: c"}, {"x-a": "a\nb"}, {"x-a": "a\x00"}, {"x-a": " a"},
        {"x-a": "a\t"}, {"x-a": "\n"}, {"x a": "b"}, {"x-é": "a"}, {"": "a"}, {"x-a:": "b"},
        {"x-a: b": "c"}, {"x-a: b\r\nx-c": "d"}, {"x-a\nb": "c"}, {"x-a\n": "b"},
    ],
)  # fmt: skip
async def test_what_no_header_may_hold_is_not_sent(headers: dict[str, str]) -> None:
    async with serving(http(b"")) as server, Client() as client:
        with pytest.raises(Unreachable, match="cannot be sent"):
            await client.request("POST", server.url, headers=headers, content=b"{}", head_is_enough=True)
        assert server.heads == []


async def test_how_a_message_ends_is_not_up_to_who_sends_it() -> None:
    async with serving(http(b"")) as server, Client() as client:
        for headers in ({"Transfer-Encoding": "chunked"}, {"Content-Length": "1"}):
            await client.request("POST", server.url, headers=headers, content=b"{}", head_is_enough=True)
            await client.request("GET", server.url, headers=headers, head_is_enough=True)
        lines = [line.partition(": ") for head in server.heads for line in head.lower().split("\r\n")]
        said = [(name, value) for name, _, value in lines if name in ("content-length", "transfer-encoding")]
        assert said == [("content-length", "2")] * 2


async def test_an_informational_answer_is_none() -> None:
    answer = await tell(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + http(b"ok"))
    assert (answer.status, answer.body) == (200, b"ok")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1/x", "http://", "http://[::1/SECRET"])
async def test_an_address_that_is_none_is_out_of_reach(url: str) -> None:
    async with Client() as client:
        with pytest.raises(Unreachable) as caught:
            await client.request("POST", url, content=b"{}", head_is_enough=True)
    assert "SECRET" not in caught.value.reason


# ----------------------------------------------------------------------------------- addresses as they stand


@given(st.text("aZ0.-_~:@,/&=?%+ é#'[]", max_size=12), st.sampled_from(["", ":8080", ":443", ":80"]))
@example("a/../b", "")
@example(".../x", "")
@example("x?", "")
@example("?x=1", "")
@example("//x", "")
def test_a_plain_address_leads_where_the_library_says(path: str, port: str) -> None:
    url = f"https://example.com{port}/{path}"
    if single.PLAIN.fullmatch(url) is None:
        return
    client = single.Single(context_of(SYSTEM), Guard(strict=False), 5.0)
    place, whole, _ = client.ready("GET", url, {}, None)
    read = httpx2.URL(url)
    assert whole.startswith(b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (read.raw_path, read.netloc))
    assert place == (True, read.host, read.port or 443)


@pytest.mark.parametrize("path", ["v1/fine_tuning/jobs?limit=100&after=ftjob-1", "v1/jobs/a.b:cancel", "x/"])
def test_most_addresses_are_plain(path: str) -> None:
    assert single.PLAIN.fullmatch(f"http://127.0.0.1:8080/{path}")


@pytest.mark.parametrize("path", ["", "?x", "a//b", "./a", "a/..", "a%20b", "a b", "a#b", "é", "a\n"])
def test_what_may_not_go_out_as_it_stands_is_not_plain(path: str) -> None:
    assert single.PLAIN.fullmatch(f"http://127.0.0.1:8080/{path}") is None


# -------------------------------------------------------------------------------------------- plain answers


class Tape:
    """A connection that says these pieces, and then ends."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]

    async def give(self, whole: bytes) -> "Tape":
        return self

    async def read(self, most: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def is_quiet(self) -> bool:
        return not self.pieces

    def cut(self) -> None:
        """Nobody is cut off."""

    def abort(self) -> None:
        """Nothing ends."""


async def heard(method: str, *pieces: bytes) -> tuple[object, ...]:
    """What a kept connection makes of an answer: status, headers, body or error, and whether it goes on."""
    back: list[bool] = []

    class Keeper:
        def back(self, place: Any, wire: Any, *, is_over: bool) -> None:
            back.append(is_over)

    answer = kept._Answer(Keeper(), single.Place(False, "h", 80), Tape(*pieces))  # type: ignore[arg-type]
    found: tuple[object, ...]
    body = b""
    try:
        await answer.open(single._said(method))
        found = answer.status_code, answer.headers
        async for piece in answer.aiter_raw():
            body += piece
    except httpx2.RemoteProtocolError:
        found = ("broken",)
    await answer.aclose()
    return *found, body, back


LINES = st.sampled_from(
    [
        b"content-length: 3", b"Content-Length:3 ", b"content-length: 0", b"content-length: 03",
        b"content-length: 4", b"content-length: 3, 3", b"content-length: -1", b"content-length: 3a",
        b"transfer-encoding: chunked", b"connection: close", b"connection: keep-alive",
        b"Connection: Keep-Alive", b"connection: upgrade", b"x-a: 1", b"X-A:\t2 b ", b"x-a:", b" folded",
        b"x-\xe9: 1", b"x-b: \xe9", b"x b: 1", b"x-c: a\nx-d: b", b"x-e: a\x00b", b": no", b"no colon", b"",
    ]
)  # fmt: skip
STARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 404 Not Found", b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 No", b"HTTP/1.1 304 No", b"HTTP/1.1 100 Go on", b"HTTP/1.1 999 Odd", b"HTTP/2 200 OK",
        b"HTTP/1.1 2000 OK", b"http/1.1 200 OK", b"\r\nHTTP/1.1 200 OK", b"nonsense", b"HTTP/1.1 503 \xe9",
    ]
)  # fmt: skip
TAILS = st.sampled_from([b"", b"a", b"abc", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])


@settings(max_examples=600)
@given(
    STARTS,
    st.lists(LINES, max_size=4),
    st.sampled_from([b"\r\n", b"\r\n", b"\n"]),
    TAILS,
    st.integers(0, 200),
    st.sampled_from(["GET", "POST", "HEAD"]),
)
@example(b"HTTP/1.1 200 OK", [b"content-length: 3", b"x-a: 1"], b"\r\n", b"abc", 20, "GET")
def test_a_plain_answer_is_read_as_any_other(
    start: bytes, lines: list[bytes], end: bytes, tail: bytes, cut: int, method: str
) -> None:
    whole = end.join([start, *lines, b"", b""]) + tail
    pieces = whole[:cut], whole[cut:]
    ours = asyncio.run(heard(method, *pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "_plain", lambda head: None)
        theirs = asyncio.run(heard(method, *pieces))
    assert ours == theirs


def test_the_usual_answer_is_plain() -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: 12\r\nx-a: 1\r\nX-A: 2\r\n\r\n"
    )
    said = {"content-type": "application/json", "content-length": "12", "x-a": "1, 2"}
    assert kept._plain(head) == (200, said, 12)
