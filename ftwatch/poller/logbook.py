"""Reading the logs of jobs: which pages are asked for, and where it ends. Decides nothing, writes nothing.

Cursors do not survive everywhere: ids change with every call, are missing, or are refused as anchors; pages
come oldest or newest first. So what is new is told by its key alone, and pages are read until a known one.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial

from msgspec import Struct

from ftwatch.core.journal import Checkpoint, Journal, Line, checkpoint_key, in_order, keyed
from ftwatch.plugins import JobLog, LogPage, NotFound, ProviderError, TellingDocument
from ftwatch.poller.abreast import abreast
from ftwatch.poller.listing import fingerprint

__all__ = ["Logbook"]

# Gives the keys of what of a job's log was read before. Most logs are one page, and nobody needs them.
Known = Callable[[], Awaitable[Collection[str]]]
# So many pages of one part of a log are read at once; what is older is let go.
PAGES = 50
# Of so many parts of logs it is remembered where the reading stands; of so many strange types a sample.
MOST_PLACES, MOST_TYPES = 20_000, 20


class _Place(Struct, frozen=True):
    """Where the reading of one part stands: a page's anchor (None: the first one) and its fingerprint.

    Newest first it is the first page; oldest first the last one, where what is new is added.
    """

    anchor: str | None = None
    mark: bytes = b""


class Logbook:
    """The logs of one provider's jobs. A part that the service does not have is not asked for again."""

    def __init__(self, provider: object, *, wanted: bool | None) -> None:
        """`wanted`: whether the config asks for job logs; None leaves that to the kind."""
        self._known_types: frozenset[str] | None = getattr(provider, "log_types", None)
        self._log = provider if isinstance(provider, JobLog) else None
        if self._log is not None and not (self._log.log_is_cheap if wanted is None else wanted):
            self._log = None
        self._telling = provider if isinstance(provider, TellingDocument) and wanted is not False else None
        # Where the reading stands: as committed, and as read since.
        self._places: dict[tuple[str, str], _Place] = {}
        self._read: dict[str, dict[tuple[str, str], _Place]] = {}
        self._missing: dict[str, str] = {}
        self._strange: dict[str, str] = {}

    @property
    def asks(self) -> bool:
        """Whether reading a log costs requests."""
        return self._log is not None

    def forget_all(self) -> None:
        """Every log counts as not read yet."""
        self._places.clear()
        self._read.clear()

    def kept(self, ids: Iterable[str]) -> None:
        """What was read of these jobs is committed; what was read of others was not."""
        for id in ids:
            self._places.update(self._read.pop(id, {}))
        self._read.clear()
        while len(self._places) > MOST_PLACES:
            del self._places[next(iter(self._places))]

    def unread(self, id: str) -> None:
        """What was read of this job counts for nothing."""
        self._read.pop(id, None)

    def drift(self) -> dict[str, str]:
        """What of the service's interface is not as this kind knows it, by what it concerns."""
        absent = {
            f"log {part}": f"the {part} of jobs cannot be read: {said}"
            for part, said in self._missing.items()
        }
        strange = {
            f"log type {type}": f"the job log has lines of a type that nobody knows, {type!r}: {sample}"
            for type, sample in self._strange.items()
        }
        return {**absent, **strange}

    def told(self, raw: bytes) -> Journal | None:
        """What a job's document tells of its past; None for kinds whose documents do not."""
        return _in_order([self._telling.inline(raw)]) if self._telling else None

    async def read(self, id: str, known: Known) -> Journal:
        """What the job's log says that may be new; `known` gives the keys of what is not, where they matter.

        Raises ProviderError; a part that the service does not have, or does not show, is only noted.
        """
        found, places = Journal(), dict[tuple[str, str], _Place]()
        self._read.pop(id, None)
        parts = [part for part in (self._log.log_parts if self._log else ()) if part not in self._missing]
        asks = [partial(self._part, id, part, known) for part in parts]
        # Of a log that was never read every part is news.
        is_new = len(parts) > 1 and not any((id, part) in self._places for part in parts)
        answers = await abreast(asks) if is_new else []
        for number, part in enumerate(parts):
            try:
                answer = answers[number] if is_new else await asks[number]()
                if isinstance(answer, Exception):
                    raise answer
            except NotFound:
                continue
            except ProviderError as error:
                if not (error.missing or error.denied):
                    raise
                self._missing[part] = error.reason
                continue
            read, places[id, part] = answer
            if read is None:
                # Nothing was written since; then there is no other news either.
                break
            found = found.joined(read)
        # Only what was read whole counts as read.
        self._read[id] = places
        return found

    async def _part(self, id: str, part: str, known: Known) -> tuple[Journal | None, _Place]:
        """One part of a log, and where its reading stands; None where nothing was written since."""
        place = self._places.get((id, part), _Place())
        try:
            return await self._pages(id, part, known, place)
        except ProviderError as error:
            if place.anchor is None or error.throttled or error.denied:
                raise
            # An id that was an anchor is none any more: from the beginning.
            return await self._pages(id, part, known, _Place())

    async def _pages(self, id: str, part: str, known: Known, place: _Place) -> tuple[Journal | None, _Place]:
        assert self._log is not None
        pages: list[LogPage] = []
        keys: Collection[str] | None = None
        anchor, seen = place.anchor, set[str | None]()
        while anchor not in seen and len(pages) < PAGES:
            seen.add(anchor)
            body = await self._log.log(id, part, anchor)
            mark = fingerprint(body)
            if not pages and mark == place.mark:
                return None, place
            page = self._log.read_log(part, body)
            pages.append(page)
            if not page.newest_first:
                place = _Place(anchor, mark)
            elif len(pages) == 1:
                place = _Place(None, mark)
            if page.next is None:
                break
            if page.newest_first:
                keys = await known() if keys is None else keys
                if _is_known(page, keys):
                    break
            anchor = page.next
        self._notice(line for page in pages for line in page.lines)
        return _in_order(pages), place

    def _notice(self, lines: Iterable[Line]) -> None:
        """Remembers types of lines that this kind does not know, each with a sample."""
        for line in lines if self._known_types is not None else ():
            if line.type not in (self._known_types or ()) and len(self._strange) < MOST_TYPES:
                self._strange.setdefault(line.type[:100], line.message[:200])


def _is_known(page: LogPage, known: Collection[str]) -> bool:
    """Whether something on the page was read before, so that all that follows was too."""
    lines = keyed(page.lines)
    return any(line.key in known for line in lines) or any(
        checkpoint_key(one) in known for one in page.checkpoints
    )


def _in_order(pages: list[LogPage]) -> Journal:
    """Pages as they came, as one journal, oldest first."""
    lines: list[Line] = []
    saved: list[Checkpoint] = []
    for page in reversed(pages) if pages and pages[0].newest_first else pages:
        step = -1 if page.newest_first else 1
        lines += page.lines[::step]
        saved += page.checkpoints[::step]
    # Within one second the page's own order counts; a page whose order is not what it seems is set right.
    return Journal(lines=keyed(in_order(lines)), checkpoints=tuple(saved))
