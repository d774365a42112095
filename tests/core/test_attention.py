"""When a job is worth the next look."""

import pytest
from msgspec.structs import replace

from ftwatch.core.attention import attention
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known, Look
from ftwatch.core.watched import watched

NOW = 1_795_000_000.0
HOUR = 3600.0


def known(since: float = HOUR, **more: object) -> Known:
    job = Snapshot(id="j", provider="p", kind="k", status=Status.RUNNING)
    return Known(snapshot=job, status_since=NOW - since, **more)  # type: ignore[arg-type]


def look(finish: float | None = None, *, found: bool = True) -> Look:
    job = replace(known().snapshot, estimated_finish=int(NOW + finish) if finish is not None else None)
    return Look(key=job.key, asked=1, at=NOW, snapshot=job if found else None)


@pytest.mark.parametrize(
    ("job", "look", "seconds", "why"),
    [
        (known(), look(), 30, "the usual pace"),
        (known(since=40), look(), 15, "it changed 40s ago"),
        (known(since=12 * HOUR), look(), 60, "nothing has moved for 12h"),
        (known(since=12 * HOUR), look(120), 15, "it is expected to end about now"),
        (known(since=12 * HOUR), look(-250), 15, "it is expected to end about now"),
        (known(since=12 * HOUR), look(-4000), 30, "the usual pace"),
        (known(since=12 * HOUR), look(9000), 60, "nothing has moved for 12h"),
        (known(since=-50), look(), 30, "the usual pace"),
        (
            known(held=replace(known().snapshot, status=Status.SUCCEEDED), held_at=NOW),
            look(),
            15,
            "it succeeded, and its model has not arrived",
        ),
        (known(since=10), look(found=False), 30, "it was missing at the last look"),
        (known(since=12 * HOUR), None, 60, "nothing has moved for 12h"),
    ],
)
def test_how_long_until_the_next_look_and_why(
    job: Known, look: Look | None, seconds: float, why: str
) -> None:
    found = attention(watched(job), look, 30.0, NOW)
    assert (found.seconds, found.why) == (seconds, why)


def test_what_was_so_before_anybody_looked_has_not_just_changed() -> None:
    job = known(since=10)
    older = replace(job, snapshot=replace(job.snapshot, created_at=int(NOW - HOUR)))
    assert attention(watched(older), look(), 30.0, NOW).why == "the usual pace"


def test_nobody_is_asked_more_than_once_a_second() -> None:
    assert attention(watched(known(since=1)), look(), 1.0, NOW).seconds == 1.0
