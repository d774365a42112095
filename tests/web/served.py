"""The web as the daemon serves it: a real socket, a real store in which things happen, and nobody polls."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.from_thread
import httpx2

from ftwatch.config import load
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Outcome, RetryPolicy, settle
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Decision, Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.daemon import Daemon
from ftwatch.store import Batch, Settled, Store
from ftwatch.web import application, serving

NOW = 1_795_000_000.0
TOKEN = "a-token-of-thirty-two-letters-000"
# None of these may be in any answer.
SECRETS = ("sk-secret-of-the-test", "secret.example", "whsec_", TOKEN)
ROUTING = Routing(recipients=(Recipient(name="console", kind="console"),))
OPEN = "{listen: '127.0.0.1:0'}"
CLOSED = f"{{listen: '127.0.0.1:0', token: {TOKEN}}}"
CONFIG = """\
providers:
  openai: {api_key: sk-secret-of-the-test, labels: {env: prod}}
  other: {kind: openai, api_key: sk-secret-of-the-test}
notifiers:
  console: {}
  hook:
    kind: webhook
    url: "https://secret.example/hook"
    secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=
routes:
  - notify: [console]
  - match: {type: fine_tuning.job.failed, labels.team: search}
    notify: [hook]
silences: [{match: {labels.team: sandbox}, comment: noisy}]
"""


class Still:
    """In a poller's place: remembers what it was asked for."""

    good_at = problem = None

    def __init__(self) -> None:
        self.poked: list[str | None] = []
        self.planned: dict[str, Any] = {}

    def poke(self, job: str | None = None, *, deep: bool = False) -> None:
        self.poked.append(job)

    def turns(self) -> dict[str, Any]:
        return self.planned


class Served:
    """The daemon of which only the web runs, and who asks it."""

    def __init__(
        self, house: Daemon, application: Any, ends: anyio.Event, client: httpx2.AsyncClient
    ) -> None:
        self.house, self.application, self.ends, self.client = house, application, ends, client
        self.store = house.store
        self.url = str(client.base_url)

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request; `path` is below /api/v1/."""
        return await self.client.request(method, f"/api/v1/{path}", **more)

    async def get(self, path: str, **params: Any) -> Any:
        """What a GET answers, which has to be fine, and without a secret."""
        answer = await self.ask("GET", path, **({"params": params} if params else {}))
        assert answer.status_code == 200, answer.text
        assert not any(secret in answer.text for secret in SECRETS)
        return answer.json()

    async def all_of(self, path: str, **params: Any) -> list[Any]:
        """Everything that a listing has, page by page."""
        found, after = [], {}
        while True:
            page = await self.get(path, **params, **after)
            found += page["data"]
            if page["next"] is None:
                return found
            after = {"after": page["next"]}

    async def refused(self, method: str, path: str, status: int, **more: Any) -> str:
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
        word = type(outcome).__name__.lower()
        done = Settled(claim=claim, settlement=settlement, outcome=word, at=at, took=0.25)
        store.settle([done], None, at)


def path_of(provider: str, id: str) -> str:
    """Where a job is, below /api/v1/."""
    return f"jobs/{quote(provider, safe='')}/{quote(id, safe='')}"


@asynccontextmanager
async def served(
    folder: Path, *, web: str = OPEN, token: str = "", text: str = CONFIG
) -> AsyncIterator[Served]:
    """A daemon with a config and a database in `folder`, of which the web alone runs."""
    path = folder / "ftwatch.yaml"
    path.write_text(
        f"{text}store: {{path: {folder}/ftwatch.db}}\nsocket: {folder}/ftwatch.sock\nweb: {web}\n"
    )
    config = load(path, secrets=True)
    store = Store(config.store.path)
    house = Daemon(path, config, store)
    store.bell = house.bell.from_any_thread()
    house.pollers = {name: Still() for name in config.providers}  # type: ignore[misc]
    house.listener.take(config)
    listener, ends = house.listener._socket, anyio.Event()
    assert listener is not None
    url = f"http://127.0.0.1:{house.listener.port}"
    headers = {"authorization": f"Bearer {token}"} if token else {}
    made: Any = application(house, ends)
    try:
        async with (
            httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as client,
            serving(made, listener, ends),
        ):
            yield Served(house, made._application, ends, client)
    finally:
        house._reader.close()
        store.close()


class Elsewhere:
    """A daemon that is served in another thread, for who does not wait: what `Served` does, done at once."""

    def __init__(self, portal: anyio.from_thread.BlockingPortal, there: Served) -> None:
        self._portal, self.there = portal, there
        self.url = there.url

    def __call__(self, what: Callable[[], Any]) -> Any:
        return self._portal.call(what)


@contextmanager
def elsewhere(folder: Path, **more: Any) -> Iterator[Elsewhere]:
    """A daemon in another thread of this process."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(served(folder, **more)) as there,
    ):
        yield Elsewhere(portal, there)
