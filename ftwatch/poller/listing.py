"""A provider's listing as a chain of windows: which bytes were dealt with, and what in new ones is new.

Asks for pages and reads entries; decides nothing and knows nothing of the store.
"""

import hashlib
from array import array
from collections.abc import Iterable, Sequence, Set
from functools import partial

from msgspec import Struct

from ftwatch.core.job import Snapshot
from ftwatch.plugins import Page, Provider, ProviderError, Unreadable
from ftwatch.poller.abreast import abreast

__all__ = ["CIRCLE", "PAGES", "Listing", "Unsettled", "Window", "fingerprint"]

PAGES = 100_000
CIRCLE = "the listing leads back to where it was: its cursor runs in a circle"


class Window(Struct, frozen=True):
    """A page already dealt with: its bytes' hash, where it leads, which active jobs stand on it.

    `marks` are its entries' hashes, in their order; none where no active job stands, since what is over
    hardly changes. This process makes all of these, with a key that nobody knows.
    """

    mark: int
    next: str | None
    active: tuple[str, ...]
    marks: "array[int]"


class Unsettled(Struct, frozen=True):
    """The entries of a page that must be looked at, by id. `rest`: active jobs beside them, if not all."""

    ids: dict[str, bytes]
    rest: tuple[str, ...] | None = None


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
        self._marks: dict[str, int] = {}
        # Where windows lead that nobody has looked at yet.
        self._beyond: dict[str, str] = {}
        self._chain: tuple[str | None, ...] | None = None
        self.unreadable: dict[str, str] = {}

    def forget(self) -> None:
        """Every page counts as new again."""
        self._windows.clear()
        self._beyond.clear()
        self._chain = None

    def chain(self, heads: Sequence[str | None]) -> tuple[str | None, ...]:
        """The anchors of the listings' windows from the heads on, as far as it is known where they lead.

        Some are not known themselves: where a listing was not followed to its end, and where new jobs have
        pushed others off a page. Windows beside the chain are forgotten once it is whole. Raises
        ProviderError for a chain that has no end.
        """
        if self._chain is None:
            found: dict[str | None, None] = {}
            for head in heads:
                anchor: str | None = head
                while anchor not in found:
                    found[anchor] = None
                    window = self._windows.get(anchor or "")
                    following = window.next if window is not None else self._beyond.get(anchor or "")
                    if following is None:
                        break
                    anchor = following
                else:
                    self.forget()
                    raise ProviderError(CIRCLE)
                if len(found) > PAGES:
                    self.forget()
                    raise ProviderError(f"the listing does not end within {PAGES:,} pages")
            if all((anchor or "") in self._windows for anchor in found):
                self.keep(found)
            self._chain = tuple(found)
        return self._chain

    def window(self, anchor: str | None) -> Window | None:
        """The window after `anchor`, if one was dealt with."""
        return self._windows.get(anchor or "")

    async def pages(
        self, anchors: Sequence[str | None], active: Set[str], at_once: int
    ) -> dict[str | None, Window | Page | Exception]:
        """As `page`, of several, so many at once. In place of what failed stands its error."""
        asks = [partial(self.page, anchor, active) for anchor in anchors]
        return dict(zip(anchors, await abreast(asks, at_once), strict=True))

    async def page(self, anchor: str | None, active: Set[str] = frozenset()) -> Window | Page:
        """The page after `anchor`: its window where these very bytes were dealt with, else split entries.

        They were dealt with as long as those who stood on it as active jobs still are (`active`): of one that
        ended since, the same bytes say that it began anew. Raises ProviderError.
        """
        body = await self._provider.page(anchor)
        mark = hash(body)
        window = self._windows.get(anchor or "")
        if window is not None and window.mark == mark and _are_all(window.active, active):
            return window
        page = self._provider.split(body)
        self._marks[anchor or ""] = mark
        return page

    def unsettled(self, anchor: str | None, page: Page, active: Set[str]) -> Unsettled:
        """What must be looked at on a page whose bytes are new: the entries whose own bytes are.

        That can only be said of one that leads to where it led, and on which active jobs alone have changed,
        each in its place. Of any other every entry counts; also where a job has ended since (`active`), whose
        old bytes say that it began anew.
        """
        window = self._windows.get(anchor or "")
        if (
            window is not None
            and window.next == page.next
            and _are_all(window.active, active)
            and len(window.marks) == len(page.entries)
        ):
            pairs = zip(page.entries, window.marks, strict=True)
            new = [raw for raw, mark in pairs if hash(raw) != mark]
            ids = self.identified(new)
            if len(ids) == len(new) and ids.keys() <= set(window.active):
                return Unsettled(ids, tuple(id for id in window.active if id not in ids))
        return Unsettled(self.identified(page.entries))

    def dealt_with(
        self, anchor: str | None, page: Page, ids: Iterable[str], active: tuple[str, ...], *, ended: bool
    ) -> Window:
        """Remembers a page as dealt with; `ended`: nothing after it counts.

        It leads to an anchor that is known already, where it holds one: a page that follows a job which does
        not move keeps its bytes while new jobs arrive above it.
        """
        following = None if ended else page.next
        if following is not None:
            fixed = (id for id in reversed(list(ids)) if id in self._windows and id != anchor)
            following = next(fixed, following)
        marks = array("q", map(hash, page.entries) if active else ())
        window = Window(self._marks.pop(anchor or ""), following, active, marks)
        before = self._windows.get(anchor or "")
        if before is None or before.next != following:
            self._chain = self._extended(anchor, following)
        if before is not None and following is not None and following not in self._windows:
            # New jobs have pushed others off this page, to where nobody has looked yet. After those comes
            # what came after it before.
            then = before.next
            while then is not None and then not in self._windows:
                then = self._beyond.get(then)
            if then is not None:
                self._beyond[following] = then
        self._windows[anchor or ""] = window
        return window

    def _extended(self, anchor: str | None, following: str | None) -> tuple[str | None, ...] | None:
        """The chain, where all that is new is what comes after its last page; else None."""
        chain = self._chain
        known = following is None or following == anchor or following in self._windows
        if known or not chain or chain[-1] != anchor or self._beyond or len(chain) >= PAGES:
            return None
        return (*chain, following)

    def keep(self, anchors: Iterable[str | None]) -> None:
        """Forgets every window but these, after a walk that saw the whole listing."""
        self._windows = {key: self._windows[key] for key in (anchor or "" for anchor in anchors)}
        self._beyond.clear()
        self._chain = None

    def span(self, ids: Set[str]) -> int:
        """How many of the windows hold one of these jobs; 0 where none is known."""
        # Asked this way round it is answered by the first job on a page that is one of them.
        return sum(1 for window in self._windows.values() if any(id in ids for id in window.active))

    def shown(self, ids: Iterable[str]) -> Set[str]:
        """Which of these are active jobs on one of the windows."""
        wanted = frozenset(ids)
        return {id for window in self._windows.values() for id in window.active if id in wanted}

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

    def glimpse(self, raw: bytes) -> Snapshot | None:
        """As `read`, of a job that is asked for itself: whether it can be read is said of that answer."""
        try:
            return self._provider.read(raw)
        except Unreadable:
            return None


def _are_all(ids: Iterable[str], active: Set[str]) -> bool:
    """Whether each of these jobs is still active."""
    return all(map(active.__contains__, ids))
