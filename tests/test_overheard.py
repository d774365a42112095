"""What another library is answered is heard by who listens, and by nobody else."""

import contextlib
from typing import Any

import anyio.to_thread
import pytest
import requests

from ftwatch.client.overheard import Busy, Heard, overhearing
from ftwatch.core.delivery import Rejected, Retry
from tests.notifiers.conftest import receiving


def post(url: str) -> Heard:
    with overhearing() as heard, contextlib.suppress(OSError):
        requests.post(url, data=b"x", timeout=10)
    return heard


async def test_a_refusal_is_heard_with_its_reason_and_its_wish() -> None:
    async with receiving() as there:
        there.answer = there.say(429, b'{"message": "slow down", "retry_after": 7.5}', retry_after="3")
        outcome = (await anyio.to_thread.run_sync(post, there.url)).outcome
        assert isinstance(outcome, Retry)
        assert (outcome.after, outcome.throttled) == (7.5, True)
        assert "slow down" in outcome.reason
        there.answer = there.say(403, b"no")
        assert (await anyio.to_thread.run_sync(post, there.url)).outcome == Rejected("HTTP 403: no")


async def test_consent_says_nothing_and_silence_is_silence() -> None:
    async with receiving() as there:
        assert (await anyio.to_thread.run_sync(post, there.url)).outcome is None
        url = there.url
    outcome = (await anyio.to_thread.run_sync(post, url)).outcome
    assert isinstance(outcome, Retry)
    assert outcome.unreachable


async def test_nobody_hears_what_others_are_answered() -> None:
    async with receiving() as there:
        there.answer = there.say(500)
        with overhearing() as heard:
            # A thread of its own, as a guest would have.
            await anyio.to_thread.run_sync(lambda: post(there.url))
        assert heard.outcome is None
        answer = await anyio.to_thread.run_sync(lambda: requests.post(there.url, timeout=10))
        assert answer.status_code == 500


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (b'{"retry_after": 0.3}', 0.3),
        (b'{"parameters": {"retry_after": 5}}', 5),
        (b'{"retry_after": 1e99}', 86400),
        (b'{"retry_after": -1}', None),
        (b'{"retry_after": "soon", "parameters": []}', None),
        (b'{"retry_after": NaN}', None),
        (b"[1]", None),
        (b"\xff", None),
    ],
)
def test_a_wish_is_a_number_of_seconds(body: bytes, after: float | None) -> None:
    heard = Heard()
    heard.answered(429, {}, body)
    outcome: Any = heard.outcome
    assert outcome.after == after


def test_after_a_429_there_is_no_second_try_at_once() -> None:
    heard, waits = Heard(), []
    heard.pace(lambda wait=None: waits.append(wait), wait=2)
    heard.answered(429, {}, b"")
    with pytest.raises(Busy):
        heard.pace(lambda wait=None: waits.append(wait), wait=2)
    assert waits == [2]
