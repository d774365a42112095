"""Where does the next page of a listing start? The ways in which services page, as plain data. Pure.

A page by number does not say which one it is, so what comes of asking for one is kept with the anchor that
was asked for in front: `page=3&seen=200&last=job-17`, a line break, and the answer.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, unquote

from ftwatch.plugins import ProviderError, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.paths import NOWHERE, Paths

__all__ = ["Pager", "Paging"]

Style = Literal["cursor", "page", "offset", "token"]

PARAMETERS: dict[Style, str] = {
    "cursor": "after",
    "page": "page",
    "offset": "offset",
    "token": "page_token",
}
# What only some of the styles take.
_ONLY: dict[str, tuple[Style, ...]] = {
    "first": ("page",),
    "pages": ("page",),
    "total": ("page", "offset"),
    "more": ("cursor", "page", "offset"),
    "next": ("token",),
}
_POSITION = re.compile(r"(page|offset)=(\d{1,18})&seen=(\d{1,18})&last=([^&\s]*)")
# An id of 512 characters, each of four bytes in three letters.
_LONGEST_POSITION = 16 * 1024
_SAME = "the next page is the last one again: is `paging` what this service understands?"


@dataclass(frozen=True, kw_only=True)
class Paging:
    """How a service pages. `parameter` is the query's name for where a page starts, `size_parameter` for
    how many entries it may hold, which are `size`.

    `cursor`: after the id of the last entry; `page`: by numbers from `first` on; `offset`: by how many
    entries come before; `token`: by what the page before says under `next`. `total`, `pages` and `more` are
    paths in an answer: how many entries there are, how many pages, whether there are more. Where it has none
    of them, an empty page ends the listing.
    """

    style: Style
    parameter: str | None = None
    size_parameter: str | None = None
    size: int = 100
    first: int = 1
    next: Paths = NOWHERE
    total: Paths = NOWHERE
    pages: Paths = NOWHERE
    more: Paths = NOWHERE

    @property
    def anchored(self) -> str:
        """The query's name for where a page starts."""
        return self.parameter or PARAMETERS[self.style]

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with it, as (key, sentence)."""
        if self.size < 1:
            yield "size", "should be at least 1"
        if self.first < 0:
            yield "first", "should be at least 0"
        if self.style == "token" and not self.next:
            yield "style", "token needs `next`: where an answer has the token of the page that follows"
        for key, styles in _ONLY.items():
            if getattr(self, key) != getattr(Paging, key) and self.style not in styles:
                yield key, f"means something with style {' or '.join(styles)} only"


class _Position(NamedTuple):
    """Where a numbered page stands: its number or offset, how many entries came before, the last of them."""

    at: int
    seen: int = 0
    last: str = ""


class Pager:
    """One listing's pages. `paging` None: everything is one answer."""

    def __init__(self, paging: Paging | None, identify: Callable[[bytes], str]) -> None:
        self._paging = paging
        self._identify = identify

    def query(self, anchor: str | None) -> dict[str, str]:
        """What asks for the page at an anchor. Raises ProviderError(missing) for one of another style."""
        paging = self._paging
        query: dict[str, str] = {}
        if paging is None:
            return query
        if paging.size_parameter is not None:
            query[paging.size_parameter] = str(paging.size)
        if paging.style in ("page", "offset"):
            query[paging.anchored] = str(self._position(anchor).at)
        elif anchor is not None:
            query[paging.anchored] = anchor
        return query

    @property
    def forgotten(self) -> str | None:
        """The word in a complaint about an anchor that the service does not know any more."""
        return self._paging.anchored if self._paging and self._paging.style in ("cursor", "token") else None

    def kept(self, anchor: str | None, body: bytes) -> bytes:
        """A page together with where it stands, as far as it does not say so itself."""
        numbered = self._paging is not None and self._paging.style in ("page", "offset")
        return f"{anchor}\n".encode() + body if numbered and anchor is not None else body

    def parted(self, kept: bytes) -> tuple[str | None, bytes]:
        """The anchor and the answer in what `kept` gave; an answer alone is the first page's."""
        start, is_whole, _ = kept[:_LONGEST_POSITION].partition(b"\n")
        found = _POSITION.fullmatch(start.decode("utf-8", "replace")) if is_whole else None
        if self._paging is not None and found:
            return found[0], kept[len(start) + 1 :]
        return None, kept

    def next(self, anchor: str | None, entries: Sequence[bytes], rest: Any) -> str | None:
        """The anchor of the page that follows the one at `anchor`, None at the end of the listing.

        `rest` is the answer besides its entries. Raises ProviderError where the way on cannot be known.
        """
        paging = self._paging
        if paging is None:
            return None
        if paging.style == "token":
            said = paging.next.first(rest)
            token = str(said) if isinstance(said, str | int) and not isinstance(said, bool) else ""
            return token.strip() or None
        if not entries or (paging.more and not lenient.yes(paging.more.first(rest))):
            return None
        last = self._last(entries)
        if paging.style == "cursor":
            if not last:
                raise ProviderError("no entry of the page has an id, so there is no way to the next page")
            return last
        here = self._position(anchor)
        if last and last == here.last:
            raise ProviderError(_SAME)
        seen = here.seen + len(entries)
        total, pages = lenient.number(paging.total.first(rest)), lenient.number(paging.pages.first(rest))
        number = here.at + (1 if paging.style == "page" else len(entries))
        if (total is not None and seen >= total) or (pages is not None and number - paging.first >= pages):
            return None
        return f"{paging.style}={number}&seen={seen}&last={quote(last, safe='')}"

    def _last(self, entries: Sequence[bytes]) -> str:
        """The id of the last entry that has one; nothing where none has."""
        for raw in reversed(entries):
            try:
                return self._identify(raw)
            except Unreadable:
                continue
        return ""

    def _position(self, anchor: str | None) -> _Position:
        assert self._paging is not None
        if anchor is None:
            return _Position(self._paging.first if self._paging.style == "page" else 0)
        found = _POSITION.fullmatch(anchor)
        if found is None or found[1] != self._paging.style:
            raise ProviderError("the place in the listing is one of another way of paging", missing=True)
        return _Position(int(found[2]), int(found[3]), unquote(found[4]))
