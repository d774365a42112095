"""When a job is worth the next look."""

import pytest
from msgspec.structs import replace

from ftwatch.core.attention import attention
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.watched import watched

NOW = 1_795_000_000.0
HOUR = 3600.0


def known(since: float = HOUR, finish: float | None = None, **more: object) -> Known:
    job = Snapshot(
        id="j",
        provider="p",
        kind="k",
        status=Status.RUNNING,
        estimated_finish=int(NOW + finish) if finish is not None else None,
    )
    return Known(snapshot=job, status_since=NOW - since, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("job", "seconds", "why"),
    [
        (known(), 30, "the usual pace"),
        (known(since=40), 15, "it changed 40s ago"),
        (known(since=12 * HOUR), 60, "nothing has moved for 12h"),
        (known(since=12 * HOUR, finish=120), 15, "it is expected to end about now"),
        (known(since=12 * HOUR, finish=-250), 15, "it is expected to end about now"),
        (known(since=12 * HOUR, finish=-4000), 30, "the usual pace"),
        (known(since=12 * HOUR, finish=9000), 60, "nothing has moved for 12h"),
        (known(since=-50), 30, "the usual pace"),
        (
            known(held=replace(known().snapshot, status=Status.SUCCEEDED), held_at=NOW),
            15,
            "it succeeded, and its model has not arrived",
        ),
        (known(since=10, missing_at=NOW - 30), 30, "it was missing at the last look"),
    ],
)
def test_how_long_until_the_next_look_and_why(job: Known, seconds: float, why: str) -> None:
    found = attention(watched(job), 30.0, NOW)
    assert (found.seconds, found.why) == (seconds, why)


def test_what_was_so_before_anybody_looked_has_not_just_changed() -> None:
    job = known(since=10)
    older = replace(job, snapshot=replace(job.snapshot, created_at=int(NOW - HOUR)))
    assert attention(watched(older), 30.0, NOW).why == "the usual pace"


def test_nobody_is_asked_more_than_once_a_second() -> None:
    assert attention(watched(known(since=1)), 1.0, NOW).seconds == 1.0
