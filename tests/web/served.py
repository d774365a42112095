"""The web as the daemon serves it, on a real socket over a real store in which things happen; nobody polls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx2

from ftwatch.config import load
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Outcome, RetryPolicy, settle
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Decision, Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.daemon import Daemon
from ftwatch.store import Batch, Settled, Store
from ftwatch.web import application, serving

NOW = 1_795_000_000.0
TOKEN = "a-token-of-thirty-two-letters-000"
ROUTING = Routing(recipients=(Recipient(name="console", kind="console"),))
CONFIG = """\
providers:
  openai: {api_key: sk-secret-of-the-test, labels: {env: prod}}
  other: {kind: openai, api_key: sk-secret-of-the-test}
notifiers:
  console: {}
  hook: {kind: webhook, url: "https://secret.example/hook", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=}
routes:
  - notify: [console]
  - match: {type: fine_tuning.job.failed, labels.team: search}
    notify: [hook]
"""


class Still:
    """A poller that only remembers what it was asked for."""

    def __init__(self) -> None:
        self.poked: list[str | None] = []

    def poke(self, job: str | None = None, *, deep: bool = False) -> None:
        self.poked.append(job)

    def turns(self) -> dict[str, Any]:
        return {}


class Served:
    """The daemon of which only the web runs, and who asks it."""

    def __init__(self, house: Daemon, url: str, client: httpx2.AsyncClient) -> None:
        self.house, self.url, self.client = house, url, client
        self.store = house.store

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request; `path` is below /api/v1/ unless it starts with a slash."""
        return await self.client.request(method, path if path.startswith("/") else f"/api/v1/{path}", **more)

    async def get(self, path: str, **params: Any) -> Any:
        """What a GET answers, which has to be fine."""
        answer = await self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refusal(self, method: str, path: str, status: int, **more: Any) -> str:
        """The sentence of a refusal."""
        answer = await self.ask(method, path, **more)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        document = answer.json()
        assert list(document) == ["error"]
        return str(document["error"])

    async def happen(
        self, id: str, word: str, *, provider: str = "openai", at: float = NOW, **more: Any
    ) -> Decision:
        """A look at a job, decided and committed."""
        return await self.house.work(happen, self.store, provider, id, word, at, more)

    async def try_all(self, outcome: Outcome, *, at: float = NOW) -> None:
        """One try of every delivery that is due, with this outcome."""
        await self.house.work(try_all, self.store, outcome, at)


def happen(store: Store, provider: str, id: str, word: str, at: float, more: dict[str, Any]) -> Decision:
    status = Status(word)
    known = store.jobs.load(provider, [id]).get(id)
    if status is Status.SUCCEEDED:
        more.setdefault("fine_tuned_model", "ft:m")
    snapshot = Snapshot(id=id, provider=provider, kind="openai", status=status, **more)
    look = Look(key=snapshot.key, asked=(known.asked if known else 0) + 1, at=at, snapshot=snapshot)
    decision = decide(known, look, Policy(routing=ROUTING), at)
    assert store.commit(Batch(decisions=[decision]), at) == set()
    return decision


def try_all(store: Store, outcome: Outcome, at: float) -> None:
    for claim in store.outbox.due("console", at, limit=1000, lease=60):
        settlement = settle(claim.delivery, outcome, RetryPolicy(), at, 0.5)
        done = Settled(
            claim=claim, settlement=settlement, outcome=type(outcome).__name__.lower(), at=at, took=0.25
        )
        store.settle([done], None, at)


def path_of(key: JobKey) -> str:
    """Where a job is, below /api/v1/."""
    return f"jobs/{quote(key.provider, safe='')}/{quote(key.id, safe='')}"


@asynccontextmanager
async def served(
    folder: Path, web: str = "{listen: '127.0.0.1:0'}", token: str = ""
) -> AsyncIterator[Served]:
    """A daemon with a config and a database in `folder`, whose web alone runs."""
    path = folder / "ftwatch.yaml"
    path.write_text(f"{CONFIG}store: {{path: {folder}/ftwatch.db}}\nsocket: {folder}/s\nweb: {web}\n")
    config = load(path, secrets=True)
    store = Store(config.store.path)
    house = Daemon(path, config, store)
    house.store.bell = house.bell.from_any_thread()
    house.pollers = {"openai": Still()}  # type: ignore[dict-item]
    house.listener.take(config)
    listener, ends = house.listener._socket, anyio.Event()
    assert listener is not None
    url = f"http://127.0.0.1:{house.listener.port}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        async with (
            httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
            serving(application(house, ends), listener, ends),
        ):
            yield Served(house, url, client)
    finally:
        house._reader.close()
        store.close()
