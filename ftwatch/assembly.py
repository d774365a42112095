"""From config to living parts: the client, a provider, a notifier. Used by the daemon and by single commands.

Kinds are found by name through their entry points; nothing here knows one of them.
"""

from pathlib import Path

from ftwatch.client import Account, Client
from ftwatch.config import ClientConfig, NotifierConfig, ProviderConfig
from ftwatch.core.pace import Budget
from ftwatch.plugins import Notifier, NotifierSpec, Provider, ProviderSpec, load_kind

__all__ = ["make_client", "make_notifier", "make_provider"]


def make_client(config: ClientConfig) -> Client:
    """The HTTP client, to be entered as an async context manager."""
    return Client(proxy=config.proxy, no_proxy=config.no_proxy, ca_file=config.ca_file)


def make_provider(config: ProviderConfig, client: Client) -> Provider:
    """A configured provider, with a rate budget of its own."""
    provider: Provider = load_kind("provider", config.kind)(
        ProviderSpec(
            name=config.name,
            kind=config.kind,
            labels=config.labels,
            options=config.options,
            client=Account(client, Budget(config.rate)),
        )
    )
    return provider


def make_notifier(config: NotifierConfig, client: Client, folder: Path) -> Notifier:
    """A configured notifier; `folder` is where relative paths and commands start."""
    notifier: Notifier = load_kind("notifier", config.kind)(
        NotifierSpec(
            name=config.name,
            kind=config.kind,
            options=config.options,
            client=client,
            folder=str(folder),
        )
    )
    return notifier
