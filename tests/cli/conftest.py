"""A shell of its own for every test: an empty folder, a clean environment, `ftwatch` to be called in it."""

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from msgspec.structs import replace

from ftwatch import log as logs
from ftwatch.cli import main
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Outcome, RetryPolicy, settle
from ftwatch.core.event import Summary
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Decision, Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.store import Batch, Settled, Store

NOW = 1_795_000_000.0
VARIABLES = ("FTWATCH_CONFIG", "FTWATCH_TOKEN", "FTWATCH_URL", "SLACK_WEBHOOK_URL", "STATE_DIRECTORY")
# What opens accounts of whoever runs the tests.
CREDENTIALS = (
    "AWS_",
    "AZURE_",
    "FIREWORKS_",
    "GOOGLE_",
    "HF_",
    "KUBECONFIG",
    "NEBIUS_",
    "OPENAI_",
    "TOGETHER_",
)


class Said(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Tool = Callable[..., Said]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, and home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TZ", "UTC")
    for name in [*VARIABLES, *(name for name in os.environ if name.startswith(CREDENTIALS))]:
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield tmp_path
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def tool(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """`ftwatch` within this process; the log of the test session stays as it is."""
    monkeypatch.setattr(logs, "configure", lambda *args, **more: None)

    def call(*args: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, out, err)

    return call


class Service:
    """A provider that speaks the wire format and a receiver of anything, in a thread of this process.

    A job whose document is a list moves on by one with every look.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.key: str | None = None
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.answer_with = 200
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if service.key and self.headers.get("authorization") != f"Bearer {service.key}":
                    self.answer(401, {"error": {"message": "Incorrect API key provided."}})
                    return
                id = unquote(self.path.partition("?")[0].rpartition("/")[2])
                if id == "jobs":
                    data = [service.document(one) for one in service.jobs]
                    self.answer(200, {"object": "list", "data": data, "has_more": False})
                    return
                # A test may take a job away at any moment.
                with contextlib.suppress(KeyError):
                    self.answer(200, service.document(id, moves=True))
                    return
                self.answer(404, {"error": {"message": f"Could not find fine tune: {id}"}})

            def do_HEAD(self) -> None:
                self.answer(404, None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                service.taken.append((self.path, dict(self.headers.items()), body))
                self.answer(service.answer_with, "ok")

            def answer(self, status: int, what: Any) -> None:
                body = b"" if what is None else json.dumps(what).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def put(self, id: str, *statuses: str, **more: Any) -> None:
        """A job that is in these statuses, one look after the other."""
        self.jobs[id] = [
            {"id": id, "status": status, "created_at": 1_794_999_000, **more} for status in statuses
        ]

    def document(self, id: str, *, moves: bool = False) -> dict[str, Any]:
        """What is said about a job."""
        steps = self.jobs[id]
        document: dict[str, Any] = steps[0]
        if moves and len(steps) > 1:
            self.jobs[id] = steps[1:]
        return document


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


class World:
    """A config file and a database in which things have happened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ftwatch.yaml"
        self.database = folder / "ftwatch.db"
        self.routing = Routing(recipients=(Recipient(name="console", kind="console"),))

    def configure(self, text: str) -> None:
        """Writes the config; the database and the socket are put beside it."""
        self.path.write_text(
            f"{text}\nstore: {{path: {self.database}}}\nsocket: {self.folder}/ftwatch.sock\n"
        )

    def happen(
        self, id: str, word: str, *, at: float = NOW, summary: Summary | None = None, **more: Any
    ) -> Decision:
        """A look at a job, decided and committed; `summary` stands in the last event that comes of it."""
        status = Status(word)
        store = Store(self.database)
        try:
            known = store.jobs.load("openai", [id]).get(id)
            if status is Status.SUCCEEDED:
                more.setdefault("fine_tuned_model", "ft:m")
            snapshot = Snapshot(id=id, provider="openai", kind="openai", status=status, **more)
            asked = (known.asked if known else 0) + 1
            look = Look(key=JobKey("openai", id), asked=asked, at=at, snapshot=snapshot)
            decision = decide(known, look, Policy(routing=self.routing), at)
            if summary is not None:
                *others, last = decision.events
                last = replace(last, data=replace(last.data, summary=summary))
                decision = replace(decision, events=(*others, last))
            assert store.commit(Batch(decisions=[decision]), at) == set()
            return decision
        finally:
            store.close()

    def try_all(self, outcome: Outcome, *, at: float = NOW) -> None:
        """One try of every delivery that is due, with this outcome."""
        store = Store(self.database)
        try:
            for claim in store.outbox.due("console", at, limit=100, lease=60):
                settlement = settle(claim.delivery, outcome, RetryPolicy(), at, 0.5)
                word = type(outcome).__name__.lower()
                done = Settled(claim=claim, settlement=settlement, outcome=word, at=at, took=0.2)
                store.settle([done], None, at)
        finally:
            store.close()


@pytest.fixture
def world(folder: Path) -> World:
    world = World(folder)
    world.configure("providers: {openai: {}}\nnotifiers: {console: {}}")
    return world
