"""What services say of the endpoints that their webhooks go to, and where a sample is stuck. Prints nothing.

For the commands `hooks`. Who is asked is the provider, by its socket `Registering`.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

import anyio

from ftwatch.assembly import make_client, make_provider
from ftwatch.cli.output import plain
from ftwatch.config import Config
from ftwatch.plugins import Endpoint, ProviderError, Registering, Tried

__all__ = ["Question", "Unmanaged", "address", "ask", "is_at", "is_taken", "stuck"]

T = TypeVar("T")

Question = Callable[[Registering], Awaitable[T]]

START = "no daemon runs on this config here: start one with `ftwatch run`"
WHO = "does a proxy there pass on to this one?"
# What ftwatch means by a refusal, and what helps.
MEANINGS = {
    400: "ftwatch found it malformed, too old or too new: is the clock right?",
    401: "ftwatch finds it signed with another secret: `ftwatch reload` if the config was changed, else"
    " `ftwatch hooks register {provider} --rotate` gives another one",
    404: "ftwatch takes no webhooks there: `ftwatch reload` if the config was changed; or a proxy there does"
    " not pass on /hooks/",
    421: "the name in it is none of ours: a proxy there changes the Host header; see web.allowed_hosts",
}


class Unmanaged(Exception):
    """A provider whose webhooks are not managed from here; the sentence says why."""


def ask(config: Config, name: str, question: Question[T]) -> T:
    """What a provider's service answers. Raises Unmanaged, ProviderError."""
    return anyio.run(_ask, config, name, question)


async def _ask(config: Config, name: str, question: Question[T]) -> T:
    one = config.providers[name]
    async with make_client(config.client) as client:
        try:
            provider = make_provider(one, client, config.folder)
            if not isinstance(provider, Registering):
                raise Unmanaged(f"{name}: webhooks of kind {one.kind} are not registered by an API")
            if provider.unmanaged:
                raise Unmanaged(f"{name}: {provider.unmanaged}")
            return await question(provider)
        except (ProviderError, Unmanaged):
            raise
        except Exception as error:  # a guest: its bug is an answer too
            raise ProviderError(f"the plug-in failed: {type(error).__name__}") from error


# ---------------------------------------------------------------------------------------------- addresses


def address(config: Config, name: str) -> str | None:
    """Where a provider's webhooks come in, as the world sees it; None where the config does not say."""
    public = config.web.public_url if config.web is not None else None
    return f"{public}/hooks/{name}" if public is not None else None


def is_at(one: Endpoint, url: str | None) -> bool:
    """Whether an endpoint is at this address, however scheme and host are written."""
    return url is not None and _plainly(one.url) == _plainly(url)


def _plainly(url: str) -> tuple[str, ...]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return (url,)
    return parts.scheme, f"{parts.hostname}:{port}", parts.path.rstrip("/"), parts.query


# ------------------------------------------------------------------------------------------------ samples


def is_taken(tried: Tried) -> bool:
    """Whether somebody took the sample."""
    return tried.status is not None and 200 <= tried.status < 300


def stuck(tried: Tried, url: str, provider: str, runs: bool | None) -> str:
    """Where a sample is stuck that did not arrive.

    By how its endpoint answered, and whether a daemon `runs` on this config (None: nobody may ask it).
    """
    if tried.status is None:
        said = f"the service could not deliver it to {url}: {plain(tried.said)}"
        return f"{said}; {START}" if runs is False else said
    answer = f"{url} answered HTTP {tried.status}"
    if is_taken(tried):
        return f"{answer}, but not by this ftwatch, whose database has no such webhook; {WHO}"
    if runs is False:
        return f"{answer}, and {START}"
    if 300 <= tried.status < 400:
        return f"{answer}, a redirect, which is not followed: is web.public_url right?"
    if tried.status in MEANINGS:
        return f"{answer}: {MEANINGS[tried.status].format(provider=provider)}"
    return f"{answer}; {WHO}" if tried.status >= 500 else answer
