"""The product's own poller over its own client, provider and store, told when to look, for gates to measure.

Nothing of it is a copy: it is put together by `ftwatch.assembly`, as the daemon does it.
"""

import logging
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from ftwatch import assembly
from ftwatch.client import Client
from ftwatch.config import Config, load
from ftwatch.daemon import WallClock, threaded
from ftwatch.plugins import Provider
from ftwatch.poller import Poller
from ftwatch.store import Runner, Store

__all__ = ["Watcher", "write_config"]

PROVIDER = "bench"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
HOOK = f"{{kind: webhook, url: 'http://127.0.0.1:9/', secret: {SECRET}}}"


def write_config(folder: Path, base: str, hooks: int = 1, *, logs: bool = True) -> Path:
    """A config with one provider, asked only when told to, and so many webhooks that get what is decided.

    Without `logs` nobody asks for the logs of jobs.
    """
    path = folder / "ftwatch.yaml"
    names = "".join(f"  hook-{number}: {HOOK}\n" for number in range(hooks))
    path.write_text(
        "providers:\n"
        f"  {PROVIDER}: {{kind: openai, base_url: '{base}', rate: 1000000/min, poll: 1h, discover: 1h,"
        f" job_log: {str(logs).lower()}}}\n"
        f"notifiers:\n{names}"
        "rules: {retiring: false}\n"
        f"store: {{path: {folder}/ftwatch.db}}\n"
        f"socket: {folder}/ftwatch.sock\n"
    )
    return path


class Watcher:
    """One provider's poller and what it stands on. Sweeps are counted in seconds of this process's CPU."""

    def __init__(self, config: Config, client: Client, run: Runner) -> None:
        (self.config,) = config.providers.values()
        self.routing, self.rules = config.routing, config.rules
        self.client = client
        self.store = Store(config.store.path)
        self.clock = WallClock()
        self.provider: Provider = assembly.make_provider(self.config, client)
        # As those of OpenAI's own listing are: this one stands for it.
        self.provider.lists_documents = True  # type: ignore[attr-defined]
        self.poller = Poller(
            self.config,
            self.provider,
            self.store,
            run,
            routing=self.routing,
            rules=self.rules,
            clock=self.clock,
            bell=lambda owed: None,
        )

    @classmethod
    @asynccontextmanager
    async def over(
        cls, base: str, *, folder: Path | None = None, hooks: int = 1, run: Runner | None = None
    ) -> AsyncIterator["Watcher"]:
        """A watcher of the API at this address, with its store in a folder of its own or this one.

        `run` is where the store runs: in a thread of its own, as in the daemon, if nothing else is said.

        Logs are not read. So in a crowd what changed is taken from the list, whose entries are whole: nothing
        is asked for that a loop over the list does not ask for.
        """
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        with tempfile.TemporaryDirectory() as made:
            config = load(write_config(folder or Path(made), base, hooks, logs=False))
            async with assembly.make_client(config.client) as client:
                watcher = cls(config, client, run or threaded())
                try:
                    yield watcher
                finally:
                    watcher.store.close()

    async def baseline(self) -> None:
        """The first complete listing, and one more walk, after which every page is known."""
        while await self.poller.poll_once():
            pass
        await self.sweep()

    async def sweep(self) -> None:
        """One walk over the whole listing, and what follows from it."""
        self.poller.poke(deep=True)
        while await self.poller.poll_once():
            pass

    async def entries(self, after: str | None) -> Sequence[bytes]:
        """The entries of one page, asked for past the poller."""
        return self.provider.split(await self.provider.page(after)).entries

    async def take(self, entries: Sequence[bytes]) -> None:
        """Reads these entries, decides about their jobs, and commits what follows, all at once."""
        inquiry, listing = self.poller._inquiry, self.poller._listing
        looks = []
        for raw in entries:
            snapshot = listing.read(raw)
            assert snapshot is not None
            looks.append(inquiry.look(snapshot, raw))
        await inquiry.integrate(looks)
