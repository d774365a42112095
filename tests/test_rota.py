"""The turns of a listing's pages: which is looked at next, and that nobody is forgotten."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch.core.hazard import Hazards
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.watched import Watched, watched
from ftwatch.plugins import Page
from ftwatch.poller.listing import CIRCLE, Listing, ProviderError
from ftwatch.poller.rota import DEEP, FORECAST, Rota
from ftwatch.store import Store
from tests.accounts import Account, Watch


class Clock:
    """A clock that is set by hand, without luck."""

    def __init__(self) -> None:
        self.at = 50_000.0

    def now(self) -> float:
        return 1_790_000_000.0 + self.at

    def ticks(self) -> float:
        return self.at

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def known(clock: Clock, age: float, status: Status = Status.RUNNING) -> Watched:
    job = Snapshot(id="j", provider="p", kind="toy", status=status)
    return watched(Known(snapshot=job, status_since=clock.now() - age, sequence=1))


class Bench:
    """A rota over a listing whose pages hold so many running jobs of such an age."""

    def __init__(self, *pages: tuple[int, float], poll: float = 1.0, rate: float = 1.0) -> None:
        self.clock = Clock()
        self.listing = Listing(Account())  # type: ignore[arg-type]
        self.active: dict[str, Watched] = {}
        anchors: list[str | None] = [None, *(f"a{number}" for number in range(1, len(pages)))]
        for anchor, following, (count, age) in zip(anchors, [*anchors[1:], None], pages, strict=True):
            ids = [f"{anchor}-{number}" for number in range(count)]
            self.active |= {id: known(self.clock, age) for id in ids}
            self.listing._marks[anchor or ""] = b"bytes"
            page = Page(entries=(), next=following)
            self.listing.dealt_with(anchor, page, ids, tuple(ids), ended=False)
        self.rota = Rota(poll, 120.0, rate, self.listing, self.clock)
        self.anchors = anchors
        for anchor in anchors:
            self.rota.looked(anchor)
        self.hazards: Hazards | None = Hazards()

    def look(self, seconds: float = 1.0, most: int = 1) -> list[str | None]:
        """Lets time pass, and looks at what is due then."""
        self.clock.at += seconds
        self.rota.plan(self.listing.chain([None]), [None], self.active, self.hazards)
        due = self.rota.due(most)
        for anchor in due:
            self.rota.looked(anchor)
        return due

    def looks(self, rounds: int) -> dict[str | None, int]:
        """How often each page is looked at, one a second."""
        found = [anchor for _ in range(rounds) for anchor in self.look()]
        return {anchor: found.count(anchor) for anchor in self.anchors}


def test_pages_with_more_news_are_looked_at_more_often() -> None:
    counts = Bench((40, 60.0), (40, 60.0), (4, 60.0), (1, 60.0)).looks(2000)
    assert counts[None] > 2 * counts["a2"]
    assert counts["a2"] >= counts["a3"]
    assert abs(counts["a1"] - counts[None]) < 300


def test_no_page_with_active_jobs_waits_longer_than_twice_around() -> None:
    bench = Bench((90, 60.0), (50, 60.0), (20, 60.0), (1, 60.0), (1, 60.0))
    last = dict.fromkeys(bench.anchors, bench.clock.at)
    longest = 0.0
    for _ in range(3000):
        for anchor in bench.look():
            longest = max(longest, bench.clock.at - last[anchor])
            last[anchor] = bench.clock.at
    assert longest <= 2 * 5 * 1.2


def test_pages_without_active_jobs_are_looked_at_once_in_a_while() -> None:
    bench = Bench((90, 60.0), (50, 60.0), (0, 0.0), (0, 0.0), (0, 0.0))
    counts = bench.looks(int(DEEP) * 6)
    for anchor in ("a2", "a3", "a4"):
        assert 1 <= counts[anchor] <= 6


def test_ever_so_many_still_pages_leave_the_others_their_looks() -> None:
    counts = Bench((90, 60.0), *[(0, 0.0)] * 900).looks(6000)
    assert counts[None] > 0.9 * 6000


def test_without_a_crowd_the_head_has_its_pace_and_the_rest_is_for_the_long_run() -> None:
    bench = Bench((3, 60.0), (1, 60.0), (0, 0.0), rate=10.0)
    bench.hazards = None
    assert bench.look(100) == []
    assert bench.look(21, most=8) == [None]
    assert bench.rota.next_due() == bench.clock.at + 120.0
    assert bench.look(DEEP, most=8) == [None, "a1", "a2"] or set(bench.look(0, most=8)) == set()


def test_where_new_jobs_stand_comes_sooner_the_more_of_them_come() -> None:
    quiet, busy = Bench((5, 60.0), (50, 60.0)), Bench((5, 60.0), (50, 60.0))
    for _ in range(200):
        busy.rota.arrived(5)
    assert busy.looks(500)[None] > 1.3 * quiet.looks(500)[None]


def test_a_job_on_two_pages_in_a_row_counts_on_the_first() -> None:
    bench = Bench((40, 60.0), (40, 60.0))
    chain = bench.listing.chain([None])
    apart = dict(bench.rota._news(chain, bench.active, Hazards()))
    head, following = bench.listing.window(None), bench.listing.window("a1")
    assert head is not None
    assert following is not None
    bench.listing._marks["a1"] = b"bytes"
    on_both = head.active[:30] + following.active
    bench.listing.dealt_with("a1", Page(entries=(), next=None), [], on_both, ended=False)
    bench.clock.at += FORECAST
    assert bench.rota._news(chain, bench.active, Hazards()) == pytest.approx(apart, rel=0.1)


def test_what_is_asked_for_is_due_at_once() -> None:
    bench = Bench((3, 60.0), (0, 0.0), rate=10.0)
    bench.hazards = None
    bench.rota.hasten([None])
    assert bench.look(1, most=8) == [None]


# ------------------------------------------------------------------------------------------- the chain


def test_pages_behind_one_that_nobody_knows_stay_in_the_chain() -> None:
    bench = Bench((5, 60.0), (5, 60.0), (5, 60.0))
    bench.listing._marks[""] = b"other bytes"
    # New jobs pushed others off the first page: it leads to where nobody has looked yet.
    bench.listing.dealt_with(None, Page(entries=(), next="gap"), [], (), ended=False)
    assert bench.listing.chain([None]) == (None, "gap", "a1", "a2")
    bench.listing._marks[""] = b"and others"
    bench.listing.dealt_with(None, Page(entries=(), next="gap2"), [], (), ended=False)
    assert bench.listing.chain([None]) == (None, "gap2", "a1", "a2")
    bench.listing._marks["gap2"] = b"bytes"
    bench.listing.dealt_with("gap2", Page(entries=(), next="x"), ["a1", "y"], (), ended=False)
    assert bench.listing.chain([None]) == (None, "gap2", "a1", "a2")


def test_a_page_that_nobody_knows_keeps_its_waiting_when_another_takes_its_place() -> None:
    bench = Bench((90, 60.0), (50, 60.0))
    looked = 0
    for number in range(200):
        bench.listing._marks[""] = b"%d" % number
        following = Page(entries=(), next=f"gap{number}")
        active = bench.listing.window(None)
        assert active is not None
        bench.listing.dealt_with(None, following, [], active.active, ended=False)
        looked += any(str(anchor).startswith("gap") for anchor in bench.look())
    assert looked > 3


def test_a_chain_without_an_end_is_refused_and_forgotten() -> None:
    bench = Bench((1, 60.0), (1, 60.0))
    bench.listing._marks["a1"] = b"bytes"
    bench.listing.dealt_with("a1", Page(entries=(), next="a1"), [], (), ended=False)
    bench.listing._windows["a1"] = replace(bench.listing._windows["a1"], next="a1")
    bench.listing._chain = None
    with pytest.raises(ProviderError, match=CIRCLE):
        bench.listing.chain([None])
    assert bench.listing.window(None) is None


# --------------------------------------------------------------------------------- on a whole provider


def crowd(size: int = 90) -> Account:
    account = Account(page_size=10)
    for number in range(size):
        account.put(f"j{number:03}")
    return account


async def test_in_a_crowd_every_change_is_seen_within_twice_the_pace(store: Store, clock: Any) -> None:
    account = crowd()
    watch = Watch(store, clock, account, poll=30.0, discover=30.0)
    await watch.round()
    await watch.round(60)
    for number in (0, 17, 43, 71, 89):
        account.put(f"j{number:03}", Status.FAILED)
        told = await watch.round(35) + await watch.round(35)
        assert told == [f"job.failed j{number:03}"]


async def test_who_falls_off_the_first_page_is_not_lost(store: Store, clock: Any) -> None:
    account = crowd()
    watch = Watch(store, clock, account, poll=30.0, discover=30.0)
    await watch.round()
    await watch.round(60)
    for number in range(90, 115):
        account.put(f"j{number:03}")
        assert await watch.round(35) == [f"job.created j{number:03}"]
        gone = f"j{number - 18:03}"
        account.put(gone, Status.SUCCEEDED)
        assert await watch.round(35) + await watch.round(35) == [f"job.succeeded {gone}"]


async def test_who_leaves_the_listing_in_a_crowd_is_asked_for(store: Store, clock: Any) -> None:
    account = crowd()
    watch = Watch(store, clock, account, poll=30.0, discover=30.0)
    await watch.round()
    await watch.round(60)
    account.listed = [id for id in account.jobs if id != "j040"]
    await watch.round(65)
    account.jobs["j040"] = {**account.jobs["j040"], "status": Status.FAILED}
    assert await watch.round(35) + await watch.round(35) == ["job.failed j040"]


async def test_a_page_that_is_never_found_is_not_asked_for_without_end(store: Store, clock: Any) -> None:
    class Broken(Account):
        is_broken = False

        async def page(self, anchor: str | None) -> bytes:
            if anchor is not None and self.is_broken:
                self.asked.append(f"page {anchor}")
                raise ProviderError("no such anchor", missing=True)
            return await super().page(anchor)

    account = Broken()
    for number in range(7):
        account.put(f"j{number}", Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    await watch.round()
    account.is_broken = True
    account.asked.clear()
    for _ in range(5):
        await watch.round(150)
    assert len(account.asked) <= 15


async def test_cursors_that_change_with_every_answer_lead_to_no_walk_at_every_look(
    store: Store, clock: Any
) -> None:
    class Tokens(Account):
        """Its cursors are made anew for every answer, and say where they lead."""

        async def page(self, anchor: str | None) -> bytes:
            self.asked.append(f"page {anchor}")
            place = int(anchor.partition("-")[0]) if anchor else 0
            some = list(self.jobs.values())[place : place + 3]
            more = place + 3 < len(self.jobs)
            token = f"{place + 3}-{len(self.asked)}" if more else None
            return json.dumps({"data": some, "next": token}).encode()

        def split(self, body: bytes) -> Page:
            document = json.loads(body)
            entries = tuple(json.dumps(entry).encode() for entry in document["data"])
            return Page(entries=entries, next=document["next"])

    account = Tokens()
    for number in range(60):
        account.put(f"j{number:02}", Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    account.asked.clear()
    for _ in range(6):
        await watch.round(150)
    assert len(account.asked) <= 12
    account.put("j60")
    assert await watch.round(150) == ["job.created j60"]
    account.asked.clear()
    await watch.round(2500)
    assert len(account.asked) >= 20, "now and again it is walked to its end"


async def test_whole_documents_in_a_listing_are_believed_in_a_crowd(store: Store, clock: Any) -> None:
    account = crowd()
    account.lists_documents = True  # type: ignore[attr-defined]
    watch = Watch(store, clock, account, poll=30.0, discover=30.0)
    await watch.round()
    await watch.round(60)
    account.put("j050", Status.FAILED)
    account.asked.clear()
    assert await watch.round(65) == ["job.failed j050"]
    assert "j050" not in account.asked
    # A step back is not: the listing may lag.
    account.put("j051", Status.QUEUED)
    account.asked.clear()
    assert await watch.round(65) == ["job.queued j051"]
    assert "j051" in account.asked


async def test_pages_that_count_as_answers_are_asked_for_one_after_another(store: Store, clock: Any) -> None:
    class Slow(Account):
        at_once = most = 0

        async def page(self, anchor: str | None) -> bytes:
            import anyio

            self.at_once += 1
            self.most = max(self.most, self.at_once)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            self.at_once -= 1
            return await super().page(anchor)

    for truth, most in ((True, 1), (False, 10)):
        account = Slow(page_size=10, list_is_truth=truth)
        for number in range(120):
            account.put(f"{truth}{number:03}")
        watch = Watch(store, clock, account)
        await watch.round()
        watch.poller.poke(deep=True)
        await watch.round()
        watch.poller.poke(deep=True)
        account.most = 0
        await watch.round()
        assert account.most == most
