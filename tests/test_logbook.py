"""Reading a job's log whatever its pages are like: everything once, in order, in as few pages as it takes."""

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from ftwatch.core.journal import Line
from ftwatch.plugins import LogPage, NotFound, ProviderError
from ftwatch.poller.logbook import Known, Logbook

PAGE = 3


class Service:
    """A log in pages. `newest_first`: which way they run; `has_ids`: whether lines have ids of their own."""

    log_parts = ("events",)
    log_is_cheap = True

    def __init__(self, *, newest_first: bool, has_ids: bool) -> None:
        self.newest_first, self.has_ids = newest_first, has_ids
        self.lines: list[Line] = []
        self.asked = 0
        self.refuses_anchors = False

    def write(self, count: int, at: int | None = None) -> None:
        """So many lines more, one a second, or all at the same one."""
        for _ in range(count):
            number = len(self.lines)
            key = f"e{number}" if self.has_ids else ""
            self.lines.append(Line(key=key, at=at if at is not None else number, message=f"line {number}"))

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        self.asked += 1
        if anchor is not None and self.refuses_anchors:
            raise ProviderError("Given after argument was not found in items.")
        found = self.lines[::-1] if self.newest_first else self.lines
        start = int(anchor or 0)
        if self.newest_first and anchor is not None:
            # Anchored at a line, as services do: what is written meanwhile does not shift the pages.
            start = len(self.lines) - start
        end = start + PAGE
        place = len(self.lines) - end if self.newest_first else end
        following = str(place) if end < len(found) else None
        return msgspec.json.encode({"lines": found[start:end], "next": following})

    def read_log(self, part: str, body: bytes) -> LogPage:
        document = msgspec.json.decode(body)
        lines = tuple(msgspec.convert(document["lines"], list[Line]))
        return LogPage(lines=lines, next=document["next"], newest_first=self.newest_first)


def keys(lines: Iterable[Line]) -> set[str]:
    return {line.key for line in lines}


def given(known: set[str]) -> Known:
    """Gives a book these keys, should it ask for them."""

    async def give() -> set[str]:
        return known

    return give


@pytest.mark.parametrize("newest_first", [True, False], ids=["newest first", "oldest first"])
@pytest.mark.parametrize("has_ids", [True, False], ids=["ids", "no ids"])
@pytest.mark.parametrize("at", [None, 7], ids=["each second", "all at once"])
async def test_everything_is_read_once_and_in_order(
    newest_first: bool, has_ids: bool, at: int | None
) -> None:
    service = Service(newest_first=newest_first, has_ids=has_ids)
    book = Logbook(service, wanted=None)
    known: set[str] = set()
    read: list[str] = []
    for count in (2, 0, 1, 10, 0, 3, 7):
        service.write(count, at)
        journal = await book.read("j", given(known))
        news = [line for line in journal.lines if line.key not in known]
        read += [line.message for line in news]
        known |= keys(news)
        book.kept(["j"])
    assert read == [f"line {number}" for number in range(23)]


@pytest.mark.parametrize("newest_first", [True, False])
async def test_what_did_not_change_costs_one_page(newest_first: bool) -> None:
    service = Service(newest_first=newest_first, has_ids=True)
    service.write(20)
    book = Logbook(service, wanted=None)
    journal = await book.read("j", given(set()))
    book.kept(["j"])
    asked = service.asked
    assert (await book.read("j", given(keys(journal.lines)))).is_empty
    assert service.asked == asked + 1


@pytest.mark.parametrize(("count", "newest_first", "asked"), [(1, True, 0), (20, False, 0), (20, True, 1)])
async def test_what_is_known_is_asked_for_once_and_only_where_it_ends_the_reading(
    count: int, newest_first: bool, asked: int
) -> None:
    service = Service(newest_first=newest_first, has_ids=True)
    service.write(count)
    times = 0

    async def known() -> set[str]:
        nonlocal times
        times += 1
        return set()

    await Logbook(service, wanted=None).read("j", known)
    assert times == asked


@pytest.mark.parametrize("newest_first", [True, False])
async def test_what_was_read_and_not_committed_is_read_again(newest_first: bool) -> None:
    service = Service(newest_first=newest_first, has_ids=False)
    service.write(8)
    book = Logbook(service, wanted=None)
    first = await book.read("j", given(set()))
    book.kept([])
    assert await book.read("j", given(set())) == first


async def test_an_anchor_that_is_not_known_any_more_means_the_beginning() -> None:
    service = Service(newest_first=False, has_ids=False)
    service.write(8)
    book = Logbook(service, wanted=None)
    known = keys((await book.read("j", given(set()))).lines)
    book.kept(["j"])
    service.write(1)
    service.refuses_anchors = True
    with pytest.raises(ProviderError):
        await book.read("j", given(known))
    service.lines = service.lines[
        -2:
    ]  # what is left fits on the first page, and another job is not concerned
    journal = await book.read("j", given(known))
    assert [line.message for line in journal.lines] == ["line 7", "line 8"]


async def test_a_part_that_is_not_there_is_asked_for_once_and_told() -> None:
    class Bare(Service):
        async def log(self, id: str, part: str, anchor: str | None) -> bytes:
            self.asked += 1
            raise ProviderError("HTTP 404: Not Found", missing=True)

    service = Bare(newest_first=True, has_ids=True)
    book = Logbook(service, wanted=None)
    for _ in range(3):
        assert (await book.read("j", given(set()))).is_empty
    assert service.asked == 1
    assert list(book.drift()) == ["log events"]


async def test_a_job_that_has_gone_takes_no_other_jobs_log_along() -> None:
    class Forgetful(Service):
        async def log(self, id: str, part: str, anchor: str | None) -> bytes:
            if id == "gone":
                raise NotFound(id)
            return await super().log(id, part, anchor)

    service = Forgetful(newest_first=True, has_ids=True)
    service.write(2)
    book = Logbook(service, wanted=None)
    assert (await book.read("gone", given(set()))).is_empty
    assert len((await book.read("j", given(set()))).lines) == 2
    assert book.drift() == {}


@pytest.mark.parametrize(
    ("wanted", "cheap", "asks"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_logs_are_read_where_that_is_cheap_or_wanted(wanted: Any, cheap: bool, asks: bool) -> None:
    service = Service(newest_first=True, has_ids=True)
    service.log_is_cheap = cheap  # type: ignore[misc]
    assert Logbook(service, wanted=wanted).asks is asks
