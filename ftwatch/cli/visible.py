"""Which jobs does a provider show? A walk over its listings, for commands that ask by themselves.

What one page says is taken as it stands; nothing is kept, compared or asked for again.
"""

from collections.abc import AsyncIterator

from msgspec import Struct

from ftwatch.core.job import Snapshot
from ftwatch.plugins import Page, Provider, ProviderError, Unreadable

__all__ = ["Visible", "heads_of", "pages", "visible"]

CIRCLE = "the listing leads back to where it was"


class Visible(Struct, frozen=True):
    """The jobs on so many pages, how many entries cannot be read, and whether there are more pages."""

    jobs: list[Snapshot]
    unreadable: int = 0
    has_more: bool = False


def heads_of(provider: Provider) -> tuple[str | None, ...]:
    """Where the provider's listings begin."""
    heads: tuple[str | None, ...] = getattr(provider, "heads", (None,))
    return heads


async def pages(provider: Provider, head: str | None) -> AsyncIterator[Page]:
    """The pages of one listing, from its head to its end. Raises ProviderError."""
    anchor, seen = head, set[str | None]()
    while anchor not in seen:
        seen.add(anchor)
        page = provider.split(await provider.page(anchor))
        yield page
        if page.next is None:
            return
        anchor = page.next
    raise ProviderError(CIRCLE)


async def visible(provider: Provider, head: str | None, *, most_jobs: int, most_pages: int) -> Visible:
    """The jobs on one listing; no page is asked for once so many were seen. Raises ProviderError."""
    jobs: list[Snapshot] = []
    unreadable = asked = 0
    async for page in pages(provider, head):
        asked += 1
        for entry in page.entries:
            try:
                jobs.append(provider.read(entry))
            except Unreadable:
                unreadable += 1
        if page.next is not None and (len(jobs) >= most_jobs or asked >= most_pages):
            return Visible(jobs, unreadable, has_more=True)
    return Visible(jobs, unreadable)
