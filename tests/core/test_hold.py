"""When may it leave? Quiet hours, digests and groups, by the clock on the wall of every zone."""

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.event import Event, Severity
from ftwatch.core.route import parse_match
from ftwatch.core.route.hold import GATHERED, Digest, Group, Holding, Quiet, hold
from ftwatch.core.sample import sample

CHANGES = [
    (zone, at)
    for zone, moments in json.loads((Path(__file__).parents[1] / "data" / "zones.json").read_text())[
        "changes"
    ].items()
    for at in moments
]
BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = Quiet(begin=time(22), end=time(7, 30))
NOON = Quiet(begin=time(12), end=time(13))


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def shown(moment: float | None, zone: ZoneInfo = BERLIN) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, zone).strftime("%m-%d %H:%M%z")


@pytest.mark.parametrize(
    ("quiet", "now", "until"),
    [
        (NIGHT, "2026-11-26 21:59:59", None),
        (NIGHT, "2026-11-26 22:00", "11-27 07:30+0100"),
        (NIGHT, "2026-11-26 23:59:59", "11-27 07:30+0100"),
        (NIGHT, "2026-11-27 00:00", "11-27 07:30+0100"),
        (NIGHT, "2026-11-27 07:29:59", "11-27 07:30+0100"),
        (NIGHT, "2026-11-27 07:30", None),
        (NOON, "2026-11-26 11:59", None),
        (NOON, "2026-11-26 12:00", "11-26 13:00+0100"),
        (NOON, "2026-11-26 13:00", None),
        # A night in which the clock is set forward, and one in which it is set back.
        (NIGHT, "2026-03-28 23:00", "03-29 07:30+0200"),
        (NIGHT, "2026-10-24 23:00", "10-25 07:30+0100"),
        # An end that the clock skips is the moment after; one that it shows twice, its first.
        (Quiet(begin=time(22), end=time(2, 30)), "2026-03-29 01:00", "03-29 03:30+0200"),
        (Quiet(begin=time(22), end=time(2, 30)), "2026-10-25 01:00", "10-25 02:30+0200"),
        # On weekdays alone: the night of Friday still ends on Saturday.
        (replace(NIGHT, days=frozenset(range(5))), "2026-11-28 03:00", "11-28 07:30+0100"),
        (replace(NIGHT, days=frozenset(range(5))), "2026-11-28 23:00", None),
        (replace(NIGHT, days=frozenset(range(5))), "2026-11-30 03:00", None),
        (Quiet(begin=time(9), end=time(9)), "2026-11-26 09:00", None),
    ],
)
def test_quiet_hours_end_by_the_clock_on_the_wall(quiet: Quiet, now: str, until: str | None) -> None:
    assert shown(quiet.until(BERLIN, at(now))) == until


def test_within_the_hour_that_comes_twice_an_end_lies_ahead() -> None:
    quiet = Quiet(begin=time(22), end=time(2, 30))
    # 02:10 for the second time: 02:30 was there already, and comes again.
    now = at("2026-10-25 02:10", fold=1)
    until = quiet.until(BERLIN, now)
    assert until is not None
    assert now < until <= now + 1800


@pytest.mark.parametrize(
    ("digest", "now", "next"),
    [
        (Digest(at=time(9)), "2026-11-26 08:59", "11-26 09:00+0100"),
        (Digest(at=time(9)), "2026-11-26 09:00", "11-27 09:00+0100"),
        (Digest(at=time(9), days=frozenset(range(5))), "2026-11-27 10:00", "11-30 09:00+0100"),
        (Digest(at=time(9), days=frozenset({6})), "2026-11-26 10:00", "11-29 09:00+0100"),
        (Digest(at=time(9), days=frozenset({3})), "2026-11-26 10:00", "12-03 09:00+0100"),
        (Digest(at=time(2, 30)), "2026-03-29 01:00", "03-29 03:30+0200"),
        (Digest(at=time(2, 30)), "2026-10-25 01:00", "10-25 02:30+0200"),
    ],
)
def test_a_digest_comes_at_its_time_of_the_day(digest: Digest, now: str, next: str) -> None:
    assert shown(digest.next(BERLIN, at(now))) == next


times = st.times().map(lambda one: one.replace(second=0, microsecond=0))
changes = st.sampled_from(CHANGES)
days = st.frozensets(st.integers(0, 6), min_size=1)


@given(begin=times, end=times, change=changes, off=st.integers(-200_000, 200_000), on=days)
def test_they_end_ahead_within_a_day_and_nothing_is_quiet_then(
    begin: time, end: time, change: tuple[str, int], off: int, on: frozenset[int]
) -> None:
    zone, now = ZoneInfo(change[0]), change[1] + off
    until = Quiet(begin=begin, end=end, days=on).until(zone, now)
    if until is not None:
        assert now < until <= now + 86400 + 2 * 3600 + 86400 * (change[0] == "Pacific/Apia")


@given(moment=times, change=changes, off=st.integers(-200_000, 200_000), on=days)
def test_a_digest_always_comes_and_never_twice_at_once(
    moment: time, change: tuple[str, int], off: int, on: frozenset[int]
) -> None:
    zone, now = ZoneInfo(change[0]), float(change[1] + off)
    plan = Digest(at=moment, days=on)
    first = plan.next(zone, now)
    second = plan.next(zone, first)
    assert now < first <= now + 15 * 86400
    assert second - first >= 20 * 3600


# --------------------------------------------------------------------------------------------- holds


def event(severity: str = "info", **more: Any) -> Event:
    made = replace(sample("running"), severity=Severity(severity))
    return replace(made, **more)


def bundle(made: Event, holding: Holding, now: str, **more: Any) -> str | None:
    found = hold(made, holding, at(now), **more)
    return found.bundle if found is not None else None


def test_what_passes_is_told_at_once() -> None:
    night = replace(NIGHT, passes=parse_match("min_severity=error"))
    holding = Holding(zone=BERLIN, quiet=night)
    assert bundle(event(), holding, "2026-11-26 23:00") == "quiet"
    assert bundle(event("error"), holding, "2026-11-26 23:00") is None
    assert bundle(event(), holding, "2026-11-26 12:00") is None


def test_the_longest_reason_counts() -> None:
    holding = Holding(zone=BERLIN, quiet=NIGHT, digest=Digest(at=time(9)))
    assert bundle(event(), holding, "2026-11-26 23:00") == "digest"
    early = Holding(zone=BERLIN, quiet=NIGHT, digest=Digest(at=time(6)))
    assert bundle(event(), early, "2026-11-26 23:00") == "quiet"
    group = Group(by=("provider",))
    assert bundle(event(), holding, "2026-11-26 12:00", group=group) == "digest"
    assert (bundle(event(), Holding(), "2026-11-26 12:00", group=group) or "").startswith("group ")


def test_old_news_waits_for_more_of_its_kind() -> None:
    now = at("2026-11-26 12:00")
    old = event(created_at=int(now) - 7201)
    found = hold(old, Holding(), now, max_age=7200)
    assert found is not None
    assert (found.bundle, found.until) == ("late", now + GATHERED)
    assert hold(event(created_at=int(now) - 7199), Holding(), now, max_age=7200) is None
    later = hold(old, Holding(zone=BERLIN, digest=Digest(at=time(9))), now, max_age=7200)
    assert later is not None
    assert shown(later.until) == "11-27 09:00+0100"


def test_a_group_is_of_those_that_agree() -> None:
    group = Group(by=("provider", "labels.team"))
    made = event()
    other = replace(made, data=replace(made.data, labels={"team": "else"}))
    nobody = replace(made, data=replace(made.data, labels={}, provider=""))
    assert group.key(made) == group.key(replace(made, id="evt_2"))
    assert group.key(made) != group.key(other)
    assert Group(by=("labels.sweep",)).key(made) is None
    assert group.key(nobody) is None


def test_zones_do_not_matter_where_there_is_no_time_of_the_day() -> None:
    assert hold(event(), Holding(zone=UTC), 0.0) is None
    assert timedelta(seconds=GATHERED) == timedelta(minutes=1)
