"""A provider's listing as a chain of windows: which bytes were dealt with, and what in new ones is new.

Asks for pages and reads entries; decides nothing and knows nothing of the store.
"""

import hashlib
from collections.abc import Collection, Iterable, Set

from msgspec import Struct

from ftwatch.core.job import Snapshot
from ftwatch.plugins import Page, Provider, Unreadable

__all__ = ["Listing", "Window", "fingerprint"]


class Window(Struct, frozen=True):
    """A page already dealt with: its bytes' fingerprint, where it leads, which active jobs stand on it."""

    fingerprint: bytes
    next: str | None
    active: frozenset[str] = frozenset()


def fingerprint(raw: bytes) -> bytes:
    """What stands for some bytes."""
    return hashlib.blake2b(raw, digest_size=16).digest()


class Listing:
    """The windows of one provider's listing, by the anchors that they follow ("" is the newest one).

    `unreadable` collects entries that are no jobs: what is wrong, by their fingerprint.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._windows: dict[str, Window] = {}
        self._marks: dict[str, bytes] = {}
        self.unreadable: dict[str, str] = {}

    def forget(self) -> None:
        """Every page counts as new again."""
        self._windows.clear()

    async def page(self, anchor: str | None, active: Set[str] = frozenset()) -> Window | Page:
        """The page after `anchor`: its window where these very bytes were dealt with, else split entries.

        They were dealt with as long as those who stood on it as active jobs still are (`active`): of one that
        ended since, the same bytes say that it began anew. Raises ProviderError.
        """
        body = await self._provider.page(anchor)
        mark = fingerprint(body)
        window = self._windows.get(anchor or "")
        if window is not None and window.fingerprint == mark and window.active <= active:
            return window
        page = self._provider.split(body)
        self._marks[anchor or ""] = mark
        return page

    def dealt_with(
        self, anchor: str | None, page: Page, ids: Iterable[str], active: frozenset[str], *, ended: bool
    ) -> Window:
        """Remembers a page as dealt with; `ended`: nothing after it counts.

        It leads to an anchor that is known already, where it holds one: a page that follows a job which does
        not move keeps its bytes while new jobs arrive above it.
        """
        following = None if ended else page.next
        if following is not None:
            fixed = (id for id in reversed(list(ids)) if id in self._windows and id != anchor)
            following = next(fixed, following)
        window = Window(self._marks.pop(anchor or ""), following, active)
        self._windows[anchor or ""] = window
        return window

    def keep(self, anchors: Iterable[str | None]) -> None:
        """Forgets every window but these, after a walk that saw the whole listing."""
        self._windows = {key: self._windows[key] for key in (anchor or "" for anchor in anchors)}

    def span(self, ids: Collection[str]) -> int:
        """How many of the windows hold one of these jobs; 0 where none is known."""
        return sum(1 for window in self._windows.values() if not window.active.isdisjoint(ids))

    def identified(self, entries: Iterable[bytes]) -> dict[str, bytes]:
        """Entries by id, the first of each."""
        ids: dict[str, bytes] = {}
        for raw in entries:
            try:
                ids.setdefault(self._provider.identify(raw), raw)
            except Unreadable as error:
                self.unreadable[fingerprint(raw).hex()] = str(error)
        return ids

    def read(self, raw: bytes) -> Snapshot | None:
        """The job in one document; None where it cannot be read."""
        try:
            return self._provider.read(raw)
        except Unreadable as error:
            self.unreadable[fingerprint(raw).hex()] = str(error)
            return None
