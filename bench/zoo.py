"""A zoo of bad receivers: one delivery to each, by the real dispatcher, notifier and client, all at once.

What the receivers do, and what a delivery to each must come to, stands in tests/data/receivers.json. They are
raw sockets of this process, those with TLS behind certificates that are made for the occasion. Nothing may
be left behind: no task, no open file, no memory to speak of.

    python bench/zoo.py [--rounds 1]
"""

import argparse
import asyncio
import base64
import contextlib
import gc
import json
import re
import resource
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import structlog

from ftwatch.client import Client
from ftwatch.config import NotifierConfig
from ftwatch.core.decide import decide
from ftwatch.core.delivery import RetryPolicy
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.dispatcher import Dispatcher
from ftwatch.plugins import Duration, NotifierSpec, Secret, load_kind
from ftwatch.store import Batch, Store, inline

ROWS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "tests" / "data" / "receivers.json").read_text("utf-8")
)["rows"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
# Who is expected to hang is waited for briefly; everybody else has all the time of a busy machine.
SHORT, LONG = 0.5, 20.0
LARGEST_GROWTH = 64.0
BLOCK = 64 * 1024
AUTHORITY = """
[ca]
default_ca = zoo
[zoo]
database = {folder}/index
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
"""


# -------------------------------------------------------------------------------------------- certificates


class Certificates:
    """What the `openssl` command makes: an authority, and what it signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stranger = False
        (folder / "index").touch()
        (folder / "authority.conf").write_text(AUTHORITY.format(folder=folder))
        self.authority = self._self_signed("authority", "CN=zoo")
        year = time.gmtime().tm_year
        self.contexts = {
            "good": self._signed("good", "IP:127.0.0.1", f"{year - 1}0101000000Z", f"{year + 1}1231000000Z"),
            "wrong name": self._signed(
                "wrong", "DNS:other.example.com", f"{year - 1}0101000000Z", f"{year + 1}1231000000Z"
            ),
            "expired": self._signed(
                "expired", "IP:127.0.0.1", f"{year - 2}0101000000Z", f"{year - 1}0101000000Z"
            ),
            "nobody's": self._context(self._self_signed("stranger", "CN=stranger", "IP:127.0.0.1")),
        }

    def _openssl(self, *args: str) -> None:
        done = subprocess.run(
            ["openssl", *args], cwd=self._folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"openssl {args[0]}: {done.stderr}")

    def _self_signed(self, name: str, subject: str, names: str | None = None) -> Path:
        more = ("-addext", f"subjectAltName={names}") if names else ()
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self._openssl(
            "req",
            "-x509",
            *curve,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
            "-subj",
            f"/{subject}",
            *more,
        )
        return self._folder / f"{name}.pem"

    def _signed(self, name: str, names: str, begin: str, end: str) -> ssl.SSLContext:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        self._openssl(
            "req", "-new", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        (self._folder / f"{name}.ext").write_text(f"subjectAltName = {names}\n")
        signer = ("-cert", "authority.pem", "-keyfile", "authority.key", "-config", "authority.conf")
        files = ("-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext")
        dates = ("-startdate", begin, "-enddate", end)
        self._openssl("ca", "-batch", "-notext", *signer, *files, *dates, "-outdir", ".")
        return self._context(self._folder / f"{name}.pem")

    def _context(self, certificate: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        return context


# ------------------------------------------------------------------------------------------------ receivers


class Receiver:
    """One socket that does what its row says."""

    def __init__(self, row: dict[str, Any], trap: str) -> None:
        self._scripts = [row["does"], *([row["then"]] if "then" in row else [])]
        self._trap = trap
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[bytes] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self, scheme: str, tls: ssl.SSLContext | None, closed: bool) -> AsyncIterator[None]:
        """Open for as long as the block lasts; `closed` is a port where nobody ever answers."""
        server = await asyncio.start_server(
            self._meet, "127.0.0.1", 0, ssl=tls, ssl_handshake_timeout=2 if tls else None
        )
        self.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/the-secret-path"
        if closed:
            server.close()
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError):
                while await self._play(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _play(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request's script; whether the connection may see another."""
        first = await reader.readuntil(b"\r\n\r\n") if self._begins_with_reading() else b""
        if first:
            self.heads.append(first)
        script = self._scripts[min(max(len(self.heads), 1), len(self._scripts)) - 1]
        for step in script:
            match step:
                case "read":
                    length = re.search(rb"(?i)content-length: (\d+)", first)
                    await reader.readexactly(int(length[1]) if length else 0)
                case "read head":
                    pass
                case "wait":
                    while await reader.read(BLOCK):
                        pass
                    return False
                case "reset":
                    # Closing with data unread or unsent, and no time to linger, is what sends an RST.
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                case "close":
                    writer.close()
                    await writer.wait_closed()
                    return False
                case {"wait": seconds}:
                    await asyncio.sleep(seconds)
                case _:
                    for piece in self._pieces(step):
                        writer.write(piece)
                        await writer.drain()
                        if pause := step.get("every", step.get("pause", 0)):
                            await asyncio.sleep(pause)
        return bool(first)

    def _begins_with_reading(self) -> bool:
        return str(self._scripts[0][0]).startswith("read")

    def _pieces(self, step: dict[str, Any]) -> Iterator[bytes]:
        if "base64" in step:
            yield base64.b64decode(step["base64"])
            return
        text = next(step[key] for key in ("say", "flood", "drip") if key in step)
        said = text.replace("%SELF%", self.url).replace("%TRAP%", self._trap).encode("latin-1")
        if "say" in step:
            yield said
        elif "drip" in step:
            times = step.get("times", 1)
            while times is None or times:
                yield from (said[i : i + 1] for i in range(len(said)))
                times = times and times - 1
        else:
            block = said if "pause" in step else said * (BLOCK // len(said))
            left = step.get("bytes")
            while left is None or left > 0:
                yield block if left is None else block[:left]
                left = left and left - len(block)


# ---------------------------------------------------------------------------------------------- deliveries


class Time:
    """The machine's own, without luck."""

    def now(self) -> float:
        return time.time()

    def ticks(self) -> float:
        return time.monotonic()

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


class Keeper:
    """Delivers to one receiver, and says what is wrong about what came of it."""

    def __init__(
        self, row: dict[str, Any], store: Store, client: Client, routing: Routing, trap: str
    ) -> None:
        self.row = row
        self.receiver = Receiver(row, trap)
        self._store, self._client, self._routing = store, client, routing
        self.wrong: list[str] = []
        self._loop: Dispatcher | None = None

    def _dispatcher(self) -> Dispatcher:
        """As the composition root makes it; one for all rounds."""
        if self._loop is None:
            kind = load_kind("notifier", "webhook")
            options = kind.Options(
                url=Secret(self.receiver.url),
                secret=Secret(SECRET),
                timeout=Duration(seconds=SHORT if self.row.get("hangs") else LONG),
            )
            name = self.row["name"]
            config = NotifierConfig(name=name, kind="webhook", options=options, retry=RetryPolicy(jitter=0))
            spec = NotifierSpec(name=name, kind="webhook", options=options, client=self._client)
            self._loop = Dispatcher(
                config,
                kind(spec),
                self._store,
                inline,
                routing=self._routing,
                clock=Time(),
                bell=lambda owed: None,
            )
        return self._loop

    async def deliver(self, *, second: bool) -> None:
        """The delivery of the event that is due, and a look at what became of it."""
        name = self.row["name"]
        outbox = self._store.outbox
        try:
            with anyio.fail_after(LONG * 3):
                await self._dispatcher().dispatch_once()
        except Exception as error:
            self.wrong.append(f"it raised {error!r}")
            return
        delivery = self._store.history.deliveries(notifier=name)[0]
        (attempt,) = self._store.history.attempts(delivery.id)
        wanted = self.row["second"] if second else self.row["outcome"]
        if attempt.outcome != wanted:
            self.wrong.append(f"{attempt.outcome} ({attempt.reason}) instead of {wanted}")
        if "in the code of" in attempt.reason:
            self.wrong.append("the notifier raised")
        if "the-secret-path" in attempt.reason:
            self.wrong.append("the reason tells the address")
        if len(attempt.reason) > 300:
            self.wrong.append("the reason is a novel")
        if not 0 <= delivery.due_at - attempt.at <= 2 * 86400:
            self.wrong.append("the next try is at no sensible time")
        if not second:
            found = {
                "unreachable": outbox.breaker(name).failures > 0,
                "throttled": delivery.throttles > 0,
                "disable": outbox.disabled(name) is not None,
            }
            for trait, is_so in found.items():
                if self.row.get(trait, False) not in (is_so, None):
                    self.wrong.append(f"{trait} is {is_so} ({attempt.reason})")
            if self.row.get("reason", "") not in attempt.reason:
                self.wrong.append(f"the reason is {attempt.reason!r}")

    def look_back(self) -> None:
        """What can only be said when all is over."""
        heads = self.receiver.heads
        if "requests" in self.row and len(heads) != self.row["requests"]:
            self.wrong.append(f"{len(heads)} requests came")
        if "never" in self.row and any(self.row["never"].encode() in head.lower() for head in heads):
            self.wrong.append(f"a request has the header {self.row['never']}")


def happen(store: Store, routing: Routing, id: str) -> None:
    """A job is seen for the first time: one event for every receiver."""
    snapshot = Snapshot(id=id, provider="p", kind="openai", status=Status.QUEUED)
    look = Look(key=JobKey("p", snapshot.id), asked=1, at=time.time(), snapshot=snapshot)
    decision = decide(None, look, Policy(routing=routing), time.time())
    store.commit(Batch(decisions=[decision]), time.time())


# --------------------------------------------------------------------------------------------- the whole zoo


def open_files() -> int:
    """How many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def resident(what: str) -> float:
    """MiB of memory: VmRSS now, VmHWM at its most."""
    found = re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@contextmanager
def measured(found: dict[str, Any]) -> Iterator[None]:
    """How much memory a block takes at its most."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forgets what the most was so far
    before = resident("VmRSS")
    yield
    found["rss_mib"] = round(resident("VmHWM") - before, 1)


async def visit(folder: Path, rows: list[dict[str, Any]] = ROWS) -> dict[str, list[str]]:
    """Delivers to every receiver; what was wrong, by its name."""
    # A daemon may hold more sockets than a shell allows its children at first.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    tasks, files = asyncio.all_tasks(), open_files()
    certificates = Certificates(folder)
    routing = Routing(
        recipients=tuple(Recipient(name=row["name"], kind="webhook", audience="machines") for row in rows)
    )
    trap = Receiver({"does": ["read", {"say": "HTTP/1.1 200 OK\r\n\r\n"}, "close"]}, "")
    store = Store(folder / "zoo.db")
    async with AsyncExitStack() as stack:
        stack.callback(store.close)
        await stack.enter_async_context(trap.serving("http", None, closed=False))
        client = await stack.enter_async_context(Client(ca_file=str(certificates.authority)))
        keepers = [Keeper(row, store, client, routing, trap.url) for row in rows]
        for keeper in keepers:
            tls = keeper.row.get("tls")
            scheme = keeper.row.get("scheme", "https" if tls else "http")
            closed = keeper.row.get("port") == "closed"
            await stack.enter_async_context(
                keeper.receiver.serving(scheme, certificates.contexts.get(tls), closed)
            )
        for second in (False, True):
            happen(store, routing, "second" if second else "first")
            async with anyio.create_task_group() as group:
                for keeper in keepers:
                    if not second or "then" in keeper.row:
                        group.start_soon(partial(keeper.deliver, second=second))
        for keeper in keepers:
            keeper.look_back()
        wrong = {keeper.row["name"]: keeper.wrong for keeper in keepers if keeper.wrong}
        if trap.heads:
            wrong["the trap"] = ["somebody called"]
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for _ in range(30):
        if not asyncio.all_tasks() - tasks and open_files() <= files:
            break
        await asyncio.sleep(0.1)
    if left := asyncio.all_tasks() - tasks:
        wrong["tasks"] = [repr(task) for task in left]
    if (now := open_files()) > files:
        wrong["files"] = [f"{now - files} files stayed open"]
    return wrong


def main(rounds: int = 1) -> dict[str, Any]:
    """The verdict."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    found: dict[str, Any] = {"receivers": len(ROWS), "rounds": rounds}
    wrong: dict[str, list[str]] = {}
    gc.disable()  # what only a sweep closes was left open
    with measured(found):
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                wrong |= asyncio.run(visit(Path(folder)))
    if found["rss_mib"] >= LARGEST_GROWTH:
        wrong["memory"] = [f"it grew by {found['rss_mib']} MiB"]
    return {**found, "wrong": [f"{name}: {'; '.join(what)}" for name, what in wrong.items()]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1)
    verdict = main(parser.parse_args().rounds)
    print(json.dumps(verdict, indent=2, ensure_ascii=False))
    sys.exit(1 if verdict["wrong"] else 0)
