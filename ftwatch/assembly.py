"""From config to living parts: client, provider, notifier, loops, store. For the daemon and single commands.

Kinds are found by name through their entry points; nothing here knows one of them.
"""

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ftwatch.client import Account, Client
from ftwatch.config import ClientConfig, Config, ProviderConfig, load
from ftwatch.core.clock import Clock
from ftwatch.core.pace import Budget
from ftwatch.dispatcher import Dispatcher
from ftwatch.log import hide
from ftwatch.meter import Meter
from ftwatch.plugins import Mailbox, Notifier, NotifierSpec, Provider, ProviderSpec, load_kind
from ftwatch.poller import Poller
from ftwatch.store import Locked, Runner, Store
from ftwatch.wire.wording import Phrasing

if TYPE_CHECKING:
    from ftwatch.plots import Plots

__all__ = [
    "load_whole",
    "make_client",
    "make_loops",
    "make_notifier",
    "make_provider",
    "open_store",
    "phrasing",
]


def make_client(config: ClientConfig) -> Client:
    """The HTTP client, to be entered as an async context manager."""
    # It may be empty (`${HTTPS_PROXY:-}`), as no Secret may, and mostly holds none.
    if config.proxy and "@" in config.proxy:
        hide(config.proxy)
    return Client(
        proxy=config.proxy,
        no_proxy=config.no_proxy,
        ca_file=config.ca_file,
        strict=config.network == "strict",
    )


class Letterbox:
    """One provider's mailbox in the store."""

    def __init__(self, name: str, store: Store, run: Runner) -> None:
        self._name = name
        self._store = store
        self._run = run

    async def documents(self, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        """Up to so many documents after the job `after`."""
        return await self._run(self._store.inbound.documents, self._name, after, limit)

    async def document(self, id: str) -> bytes | None:
        """One job's document."""
        return await self._run(self._store.inbound.document, self._name, id)


def make_provider(
    config: ProviderConfig,
    client: Client,
    folder: Path | None = None,
    mailbox: Mailbox | None = None,
    meter: Meter | None = None,
) -> Provider:
    """A configured provider, with a rate budget of its own; `folder` is where relative paths start.

    `meter` counts its requests.
    """
    meter = meter or Meter()
    account = Account(client, Budget(config.rate), heard=meter.hears(config.name))
    meter.allowances[config.name] = account.allowance
    provider: Provider = load_kind("provider", config.kind)(
        ProviderSpec(
            name=config.name,
            kind=config.kind,
            labels=config.labels,
            options=config.options,
            client=account,
            folder=str(folder or Path()),
            mailbox=mailbox,
        )
    )
    return provider


def make_notifier(
    config: Config, name: str, client: Client, now: Callable[[], float] | None = None
) -> Notifier:
    """The notifier of this name in a config; `now` is the wall clock that its messages go by."""
    one, routes = config.notifiers[name], config.routing.routes or ()
    notifier: Notifier = load_kind("notifier", one.kind)(
        NotifierSpec(
            name=name,
            kind=one.kind,
            options=one.options,
            client=client,
            folder=str(config.folder),
            compose=phrasing(config, name, now),
            page=_page(config),
            mentions=tuple(dict.fromkeys(one.word for each in routes for one in each.mention.get(name, ()))),
        )
    )
    return notifier


def phrasing(config: Config, name: str, now: Callable[[], float] | None = None) -> Phrasing:
    """How a config wants the messages of a notifier: its words, and links to the page if others reach it."""
    return Phrasing(name, config.routing, config.notifiers[name].template, _page(config), now)


def _page(config: Config) -> str:
    """Where others reach the page; empty where they do not."""
    return (config.web.public_url if config.web is not None else None) or ""


def make_loops(
    config: Config,
    client: Client,
    store: Store,
    run: Runner,
    clock: Clock,
    bell: Callable[[Collection[str]], None],
) -> tuple[dict[str, Dispatcher], dict[str, Poller]]:
    """One generation's loops, by the names of what they serve."""
    store.meter.allowances.clear()
    made = {name: make_notifier(config, name, client, clock.now) for name in config.notifiers}
    plots = _artist(config, made.values(), store, run)
    dispatchers = {
        name: Dispatcher(
            notifier,
            made[name],
            store,
            run,
            remark=phrasing(config, name).remark if notifier.shows_messages else None,
            plots=plots,
            routing=config.routing,
            clock=clock,
            bell=bell,
        )
        for name, notifier in config.notifiers.items()
    }
    pollers = {
        name: Poller(
            provider,
            make_provider(provider, client, config.folder, Letterbox(name, store, run), store.meter),
            store,
            run,
            routing=config.routing,
            rules=config.rules,
            clock=clock,
            bell=bell,
        )
        for name, provider in config.providers.items()
    }
    return dispatchers, pollers


def _artist(config: Config, notifiers: Collection[Notifier], store: Store, run: Runner) -> "Plots | None":
    """Who draws the pictures, loaded only where somebody shows any."""
    if not any(getattr(notifier, "shows_pictures", False) for notifier in notifiers):
        return None
    from ftwatch.plots import Plots

    return Plots(config.plots, store, run)


def load_whole(path: Path) -> Config:
    """The config with its secrets: what cannot be had is found out now, not at three in the morning."""
    return load(path, secrets=True)


def open_store(config: Config, wait: float) -> Store:
    """Opens the store, waiting up to `wait` seconds for another process to let go of it."""
    until = time.monotonic() + wait
    while True:
        try:
            store = Store(config.store.path)
            store.wake(time.time())
            return store
        except Locked:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)
