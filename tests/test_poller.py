"""The poller over a provider that is a few lists in memory: what it asks, believes and commits."""

import json
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ftwatch.core.announce import Announcement, ProviderState
from ftwatch.core.job import Status
from ftwatch.core.route import Silence, parse_match
from ftwatch.plugins import Page, ProviderError
from ftwatch.store import Batch, Full, Store
from tests.accounts import Account, Watch


async def test_a_baseline_is_told_as_one_sentence(store: Store, clock: Any) -> None:
    account = Account()
    for number in range(8):
        account.put(f"j{number}", Status.RUNNING if number > 5 else Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    assert await watch.round() == ["ftwatch.provider.watching p"]
    assert store.history.events()[-1][1].note == "2 active, 6 finished recorded"
    assert await watch.round(3600) == []


async def test_an_unfinished_baseline_goes_on_where_it_was_after_a_restart(store: Store, clock: Any) -> None:
    account = Account()
    for number in range(9):
        account.put(f"j{number}", Status.SUCCEEDED)
    first = Watch(store, clock, account)
    await first.poller.poll_once()
    assert account.asked == ["page"]
    account.put("j9", Status.RUNNING)  # appears while the baseline is under way: it is news
    second = Watch(store, clock, account)
    assert await second.round() == ["ftwatch.provider.watching p"]
    assert account.asked[1] == "page j6"
    assert await second.round(200) == ["job.created j9"]


async def test_new_jobs_are_told_and_active_ones_followed(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.QUEUED)
    assert await watch.round(150) == ["job.created j1"]
    account.put("j1", Status.RUNNING)
    assert await watch.round(40) == ["job.running j1"]
    account.put("j1", Status.SUCCEEDED)
    assert await watch.round(40) == ["job.succeeded j1"]
    await watch.round(150)
    account.asked.clear()
    await watch.round(150)
    assert account.asked == ["page"], "a finished job is not asked for any more"
    assert watch.rings == [{"slack"}] * 4, "the summary, and three transitions, for whom they are meant"


async def test_when_it_looks_next_is_known(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    due = watch.poller.next_look
    assert clock.now() < due <= clock.now() + 180
    account.asked.clear()
    await watch.round(due - clock.now() - 1)
    assert account.asked == []
    await watch.round(2)
    assert account.asked == ["page"]
    watch.poller.poke()
    assert watch.poller.next_look == clock.now()


async def test_an_unchanged_page_is_not_even_split(store: Store, clock: Any) -> None:
    account = Account(page_size=100)
    for number in range(50):
        account.put(f"j{number}", Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    split = account.split_pages
    for _ in range(5):
        assert await watch.round(150) == []
    assert account.split_pages == split


async def test_many_jobs_are_watched_through_the_listing_and_changes_are_retrieved(
    store: Store, clock: Any
) -> None:
    account = Account(page_size=100)
    for number in range(80):
        account.put(f"j{number}", Status.RUNNING)
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    account.put("j5", Status.FAILED)
    account.asked.clear()
    assert await watch.round(40) == ["job.failed j5"]
    assert "j5" in account.asked
    assert len(account.asked) < 20, "it did not ask for every job"


async def test_a_listing_that_lags_behind_moves_nothing_back(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.QUEUED)
    account.stale["j1"] = dict(account.jobs["j1"])
    await watch.round(150)
    account.put("j1", Status.SUCCEEDED)
    assert await watch.round(150) == ["job.succeeded j1"]
    account.stale["j1"]["model"] = "another"  # the stale entry moves, too
    assert await watch.round(2000) == []


async def test_a_job_that_ended_and_began_anew_while_its_page_looks_as_before_is_followed(
    store: Store, clock: Any
) -> None:
    account = Account()
    account.put("j1")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    looked = clock.time
    account.put("j1", Status.FAILED)
    # Between two looks at the listing: the job itself is asked for, and then goes on.
    assert await watch.round(40) == ["job.failed j1"]
    assert clock.time - looked < 60
    account.put("j1", Status.RUNNING)
    assert await watch.round(150) == ["job.running j1"]
    account.put("j1", Status.SUCCEEDED)
    assert await watch.round(40) == ["job.succeeded j1"]


async def test_a_lagging_entry_of_a_job_that_ended_costs_one_look(store: Store, clock: Any) -> None:
    account = Account()
    account.put("j1")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    account.stale["j1"] = dict(account.jobs["j1"])
    account.put("j1", Status.FAILED)
    assert await watch.round(40) == ["job.failed j1"]
    account.asked.clear()
    for _ in range(5):
        assert await watch.round(150) == []
    assert account.asked.count("j1") == 1


async def test_a_job_that_vanishes_is_asked_for_and_then_gone(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1")
    await watch.round(150)
    del account.jobs["j1"]
    assert await watch.round(40) == []
    assert await watch.round(40) == []
    assert await watch.round(40) == ["job.gone j1"]
    account.put("j1", Status.FAILED)
    assert await watch.round(2000) == ["job.returned j1", "job.failed j1"]


async def test_what_somebody_silences_is_silent_from_the_next_event_on(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.QUEUED)
    await watch.round(150)
    made = Silence(match=parse_match('provider="p"'), author="anna", id="sil_1")
    store.silences.add(made, clock.now())
    account.put("j1", Status.RUNNING)
    await watch.round(40)
    account.failing = ProviderError("HTTP 401: wrong key", denied=True)
    await watch.round(40)
    store.silences.expire([made.id], clock.now())
    account.failing = None
    await watch.round(400)
    account.put("j1", Status.FAILED)
    await watch.round(150)
    told = {event.type: bool(store.history.deliveries(event=event.id)) for _, event in store.history.events()}
    assert told == {
        "ftwatch.provider.watching": True,
        "fine_tuning.job.created": True,
        "fine_tuning.job.running": False,
        "ftwatch.provider.degraded": False,
        "ftwatch.provider.recovered": True,
        "fine_tuning.job.failed": True,
    }


async def test_a_renamed_account_takes_what_was_silenced_along(store: Store, clock: Any) -> None:
    state = ProviderState(name="old", baseline_at=clock.now())
    store.commit(Batch(announcements=[Announcement(state=state)]), clock.now())
    made = Silence(match=parse_match('provider="old"'), author="anna", id="sil_1")
    store.silences.add(made, clock.now())
    account = Account()
    account.put("j1", Status.FAILED)
    assert "job.failed j1" in await Watch(store, clock, account, was="old", baseline="all").round()
    (failed,) = [event.id for _, event in store.history.events(type="fine_tuning.job.failed")]
    assert [reason for _, reason in store.history.verdicts(failed)] == [
        'silenced by provider="p" (sil_1, by anna)'
    ]


async def test_when_most_jobs_vanish_together_the_account_is_in_doubt_not_the_jobs(
    store: Store, clock: Any
) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    for number in range(8):
        account.put(f"j{number}")
    await watch.round(150)
    kept, account.jobs = account.jobs, {}
    assert await watch.round(40) == ["ftwatch.provider.degraded p"]
    assert await watch.round(400) == []
    account.jobs = kept
    assert await watch.round(400) == ["ftwatch.provider.recovered p"]


async def test_refused_credentials_are_told_at_once_and_once(store: Store, clock: Any) -> None:
    account = Account(failing=ProviderError("HTTP 401: wrong key", denied=True))
    watch = Watch(store, clock, account)
    assert await watch.round() == ["ftwatch.provider.degraded p"]
    assert watch.poller.problem == "HTTP 401: wrong key"
    for _ in range(5):
        assert await watch.round(400) == []
    account.failing = None
    assert await watch.round(400) == ["ftwatch.provider.watching p", "ftwatch.provider.recovered p"]
    assert watch.poller.problem is None


async def test_an_outage_is_told_when_it_lasts_and_decides_nothing(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1")
    await watch.round(150)
    account.failing = ProviderError("HTTP 503")
    assert await watch.round(40) == []
    assert await watch.round(200) == []
    assert await watch.round(200) == ["ftwatch.provider.degraded p"]
    account.failing = None
    account.put("j1", Status.SUCCEEDED)
    told = await watch.round(400)
    assert sorted(told) == ["ftwatch.provider.recovered p", "job.succeeded j1"]


async def test_one_entry_that_cannot_be_read_hides_no_other_and_is_told_once(
    store: Store, clock: Any
) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1")
    account.jobs["broken"] = {"oops": 1}
    account.listed = ["j1", "broken"]
    assert sorted(await watch.round(150)) == ["ftwatch.provider.unreadable p", "job.created j1"]
    account.put("j2")
    account.listed = ["j2", "j1", "broken"]
    assert await watch.round(150) == ["job.created j2"]


async def test_a_listing_that_runs_in_a_circle_decides_nothing(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()

    async def page(anchor: str | None) -> bytes:
        entry = {"id": "a" if anchor == "b" else "b", "status": "running"}
        return json.dumps({"data": [entry], "more": True}).encode()

    account.page = page  # type: ignore[method-assign]
    await watch.round(2000)
    assert watch.poller.problem == "the listing leads back to where it was: its cursor runs in a circle"


async def test_an_anchor_that_the_provider_forgot_means_a_new_walk(store: Store, clock: Any) -> None:
    account = Account()
    for number in range(7):
        account.put(f"j{number}", Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(2000)
    del account.jobs["j4"]  # it anchored the second page
    account.put("j7")
    assert await watch.round(2000) == ["job.created j7"]
    assert watch.poller.problem is None


async def test_a_stuck_job_is_told_although_nothing_came(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.QUEUED)
    await watch.round(150)
    assert await watch.round(12 * 3600) == ["alert.stuck j1"]
    assert await watch.round(3600) == []


async def test_what_was_known_is_known_after_a_restart(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()
    account.put("j1", Status.QUEUED)
    await watch.round(150)
    account.put("j1", Status.RUNNING)
    again = Watch(store, clock, account)
    clock.time -= 3600  # the machine's clock was set back meanwhile
    assert await again.round() == ["job.running j1"]


async def test_a_wider_watch_lets_jobs_in_as_baseline(store: Store, clock: Any) -> None:
    account = Account()
    account.put("j1", model="gpt-4")
    account.put("j2", model="llama")
    narrow = Watch(store, clock, account, watch=parse_match({"model": "gpt-*"}))
    await narrow.round()
    assert [row.known.snapshot.id for row in store.history.jobs()] == ["j1"]
    wide = Watch(store, clock, account)
    assert await wide.round() == ["ftwatch.provider.watching p"]
    assert {row.known.snapshot.id for row in store.history.jobs()} == {"j1", "j2"}
    account.put("j2", Status.FAILED)
    assert await wide.round(40) == ["job.failed j2"]


async def test_only_jobs_since_then_are_watched(store: Store, clock: Any) -> None:
    account = Account()
    for number in range(9):
        account.put(f"j{number}", Status.SUCCEEDED, created_at=int(clock.time) - (9 - number) * 86400)
    watch = Watch(store, clock, account, since=2.5 * 86400)
    await watch.round()
    assert {row.known.snapshot.id for row in store.history.jobs()} == {"j7", "j8"}
    assert account.asked == ["page"], "it walked no further than the watched range"
    assert await watch.round(150) == []


async def test_a_crowd_of_changes_is_taken_from_the_list(store: Store, clock: Any) -> None:
    account = Account(page_size=200)
    for number in range(120):
        account.put(f"j{number}")
    watch = Watch(store, clock, account)
    await watch.round()
    await watch.round(150)
    for number in range(100):
        account.put(f"j{number}", Status.FAILED)
    told = await watch.round(40)
    assert sorted(told) == sorted(f"job.failed j{number}" for number in range(100))


async def test_in_a_crowd_what_a_retrieve_moved_back_is_not_taken_from_the_list(
    store: Store, clock: Any
) -> None:
    account = Account(page_size=200)
    for number in range(120):
        account.put(f"j{number}")
    watch = Watch(store, clock, account)
    await watch.round()
    before = dict(account.jobs["j0"])
    told: list[str] = []
    for status in (Status.PAUSED, Status.QUEUED):
        account.put("j0", status)
        told += await watch.round(150)
    assert told == ["job.paused j0", "job.queued j0"]
    # Others change in a crowd, and the listing shows of this job what it was before, in new bytes.
    account.stale["j0"] = {**before, "model": "another"}
    for number in range(1, 101):
        account.put(f"j{number}", Status.FAILED)
    told = await watch.round(150)
    assert [line for line in told if line.endswith(" j0")] == []
    assert len(told) == 100


async def test_a_bug_in_a_provider_is_that_providers_trouble(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    await watch.round()

    def split(body: bytes) -> Page:
        raise KeyError("oops")

    account.split = split  # type: ignore[method-assign]
    account.put("j1")
    await watch.round(150)
    assert watch.poller.problem == "KeyError in the code of 'toy'"


async def test_a_full_disk_takes_nothing_half_and_loses_nothing(store: Store, clock: Any) -> None:
    account = Account(page_size=100)
    watch = Watch(store, clock, account)
    await watch.round()
    (pages,) = store.db.rows("PRAGMA page_count")[0]
    store.db.rows(f"PRAGMA max_page_count = {pages}")
    for number in range(90):
        account.put(f"j{number}", metadata={"text": "x" * 500})
    with pytest.raises(Full, match="no room left on the disk"):
        await watch.round(150)
    assert store.history.jobs() == []
    store.db.rows("PRAGMA max_page_count = 1000000")
    again = Watch(store, clock, account)
    assert len(await again.round(150)) == 90


async def test_when_a_crowd_has_gone_who_is_left_does_not_wait_as_long(store: Store, clock: Any) -> None:
    account = Account(page_size=10)
    for number in range(60):
        account.put(f"j{number:02}", Status.RUNNING)
    watch = Watch(store, clock, account, poll=30.0, discover=30.0)
    await watch.round()
    await watch.round(40)
    # All but the oldest one end, which stands on the last page; then it does, too.
    for number in range(1, 60):
        account.put(f"j{number:02}", Status.SUCCEEDED)
    for _ in range(2):
        await watch.round(40)
    account.put("j00", Status.FAILED)
    told = await watch.round(40) + await watch.round(40)
    assert told == ["job.failed j00"]


async def test_a_provider_that_hangs_slows_no_other(store: Store, clock: Any) -> None:
    class Hanging(Account):
        async def page(self, anchor: str | None) -> bytes:
            await anyio.sleep_forever()
            return b""

    well = Account()
    hangs, goes_on = Watch(store, clock, Hanging()), Watch(store, clock, well)
    well.put("j1", Status.RUNNING)
    async with anyio.create_task_group() as group:
        group.start_soon(hangs.poller.run, lambda seconds: None)
        await anyio.lowlevel.checkpoint()
        assert await goes_on.round() == ["ftwatch.provider.watching p"]
        well.put("j1", Status.FAILED)
        assert await goes_on.round(60) == ["job.failed j1"]
        group.cancel_scope.cancel()


async def test_jobs_that_went_one_by_one_are_no_reason_to_doubt_the_account(store: Store, clock: Any) -> None:
    account = Account(page_size=20)
    for number in range(10):
        account.put(f"j{number}", Status.RUNNING)
    watch = Watch(store, clock, account)
    await watch.round()
    told: list[str] = []
    for number in range(6):
        del account.jobs[f"j{number}"]
        for _ in range(4):
            told += await watch.round(130)
        assert watch.poller.problem is None
    assert told == [f"job.gone j{number}" for number in range(6)]


async def test_a_baseline_whose_anchor_is_deleted_begins_anew(store: Store, clock: Any) -> None:
    account = Account()
    for number in range(12):
        account.put(f"j{number:02}", Status.SUCCEEDED)
    watch = Watch(store, clock, account)
    await watch.poller.poll_once()
    await watch.poller.poll_once()
    del account.jobs["j06"]
    assert await watch.round() == ["ftwatch.provider.watching p"]
    assert watch.poller.problem is None


async def test_a_listing_that_answers_is_no_recovery_of_jobs_that_do_not(store: Store, clock: Any) -> None:
    class Closed(Account):
        async def retrieve(self, id: str) -> bytes:
            raise ProviderError("HTTP 403", denied=True)

    account = Closed()
    watch = Watch(store, clock, account, poll=300.0)
    await watch.round()
    account.put("j1", Status.RUNNING)
    told: list[str] = []
    for _ in range(60):
        told += await watch.round(30)
    assert told == ["job.created j1", "ftwatch.provider.degraded p"]


async def test_in_a_crowd_too_who_did_not_answer_is_asked_again_before_long(store: Store, clock: Any) -> None:
    account = Account(page_size=100)
    for number in range(60):
        account.put(f"j{number:02}", Status.RUNNING)
    watch = Watch(store, clock, account, poll=30.0, discover=30.0)
    await watch.round()
    await watch.round(40)
    account.put("j03", Status.FAILED)
    account.failing_once = {"j03"}  # type: ignore[attr-defined]
    true = account.retrieve

    async def retrieve(id: str) -> bytes:
        if id in account.failing_once:  # type: ignore[attr-defined]
            account.failing_once.clear()  # type: ignore[attr-defined]
            raise ProviderError("HTTP 500")
        return await true(id)

    account.retrieve = retrieve  # type: ignore[method-assign]
    assert await watch.round(40) + await watch.round(40) == ["job.failed j03"]


async def test_what_asks_for_a_look_while_one_is_under_way_gets_another(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account, poll=3600.0)
    account.put("j1", Status.RUNNING)
    await watch.round()
    true = account.retrieve

    async def retrieve(id: str) -> bytes:
        found = await true(id)
        account.retrieve = true  # type: ignore[method-assign]
        account.put("j1", Status.FAILED)
        watch.poller.poke("j1")
        return found

    account.retrieve = retrieve  # type: ignore[method-assign]
    watch.poller.poke("j1")
    assert await watch.round() == ["job.failed j1"]


async def test_a_forgotten_job_is_not_asked_for_any_more(store: Store, clock: Any) -> None:
    account = Account()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    await watch.round()
    store.forget("p", "j1")
    await watch.round(60)
    account.asked.clear()
    for _ in range(20):
        await watch.round(60)
    assert "j1" not in account.asked


async def test_a_failing_disk_is_not_taken_for_a_failing_provider(store: Store, clock: Any) -> None:
    from ftwatch.store import Damaged

    account = Account()
    watch = Watch(store, clock, account)
    account.put("j1", Status.RUNNING)
    await watch.round()

    def broken(*args: Any) -> Any:
        raise Damaged("disk I/O error")

    store.jobs.load = broken  # type: ignore[method-assign]
    clock.time += 60
    with pytest.raises(Damaged):
        await watch.poller.poll_once()


# -------------------------------------------------------------------------------------- what is counted


async def test_looks_and_commits_are_counted(store: Store, clock: Any) -> None:
    account = Account()
    account.put("j1", Status.QUEUED)
    watch = Watch(store, clock, account)
    await watch.round()
    first = store.meter.looked["p"]
    assert first == (clock.now(), clock.ticks())
    before = store.meter.look_seconds.items()
    await watch.round(40)
    assert store.meter.looked["p"].ticks > first.ticks, "that nothing is new is an answer, too"
    assert store.meter.look_seconds.items() == before, "and nothing to commit"
    account.put("j1", Status.RUNNING)
    await watch.round(40)
    assert store.meter.look_seconds.items()[0][1][-1] == before[0][1][-1] + 1
    assert dict(store.meter.events.items())["p", "fine_tuning.job.running"] == 1
    looked = store.meter.looked["p"]
    account.failing = ProviderError("HTTP 500")
    await watch.round(40)
    assert store.meter.looked["p"] == looked
