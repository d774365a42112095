"""Silent: who tells of itself and says nothing, although it could."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.job import Snapshot, Status
from ftwatch.core.rule import Facts, Finding, Silent

RULE = Silent(every=600)
SPEAKING = {Status.VALIDATING_FILES, Status.RUNNING, Status.PAUSING, Status.CANCELLING, Status.UNKNOWN}


def judge(now: float, status: Status = Status.RUNNING, heard_at: float | None = 1000.0) -> Finding:
    job = Snapshot(id="run-42", provider="my-box", kind="push", status=status)
    return RULE.judge(Facts(snapshot=job, status_since=0.0, heard_at=heard_at), now)


@pytest.mark.parametrize(
    ("now", "found"),
    [
        (1000, Finding(wake_at=1600)),
        (1599.9, Finding(wake_at=1600)),
        (1600, Finding(note="nothing heard for more than 10m", subject="silent")),
        (1e9, Finding(note="nothing heard for more than 10m", subject="silent")),
    ],
)
def test_it_fires_once_nothing_has_come_for_so_long(now: float, found: Finding) -> None:
    assert judge(now) == found


@pytest.mark.parametrize("status", list(Status))
def test_only_who_could_speak_is_silent(status: Status) -> None:
    assert (judge(5000, status).note is not None) == (status in SPEAKING)
    assert (judge(1001, status).wake_at is not None) == (status in SPEAKING), "and nobody else is looked at"


def test_of_who_never_speaks_nothing_is_said() -> None:
    assert judge(1e9, heard_at=None) == Finding()


@given(st.sampled_from(Status), st.floats(0, 1e10), st.floats(0, 1e10))
def test_it_wakes_only_for_what_is_to_come(status: Status, heard: float, now: float) -> None:
    found = judge(now, status, heard)
    assert found.wake_at is None or found.wake_at > now
    assert not (found.note and found.wake_at)
