"""Apprise: reached through a real server, silent about what it knows."""

import json
import logging
from typing import Any

import pytest

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.sample import sample
from ftwatch.notifiers.apprise.asking import summed
from ftwatch.plugins import Secret

EVENT = sample("failed")


def to(url: str) -> str:
    return url.replace("http://", "json://user:hunter2@")


async def test_title_and_text_arrive(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("apprise", url=Secret(to(there.url))) as apprise:
        assert isinstance((await apprise.send([EVENT], {})).outcome, Sent)
    said = json.loads(there.requests[0][2])
    assert said["title"] == "❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)"
    assert "line 17 is not valid JSON" in said["message"]
    assert said["type"] == "failure"


async def test_of_several_urls_only_those_that_failed_are_tried_again(kit: Any) -> None:
    async with kit.receiving() as good, kit.receiving() as bad:
        bad.answer = bad.say(500)
        urls = (Secret(to(good.url)), Secret(to(bad.url)))
        async with kit.made("apprise", url=urls) as apprise:
            first = await apprise.send([EVENT], {})
            assert isinstance(first.outcome, Retry)
            assert first.outcome.reason.startswith("URL 2: ")
            bad.answer = bad.say(200)
            assert isinstance((await apprise.send([EVENT], first.memory)).outcome, Sent)
        assert (len(good.requests), len(bad.requests)) == (1, 2)


async def test_a_url_that_fails_does_not_keep_a_message_from_the_others(kit: Any) -> None:
    async with kit.receiving() as good, kit.receiving() as bad:
        bad.answer = bad.say(404, b"nobody here")
        urls = (Secret(to(bad.url)), Secret(to(good.url)), Secret(to(bad.url)))
        async with kit.made("apprise", url=urls) as apprise:
            first = await apprise.send([EVENT], {})
            assert isinstance(first.outcome, Rejected)
            assert first.outcome.reason.startswith("URL 1: HTTP 404")
            assert "; URL 3: HTTP 404" in first.outcome.reason
            await apprise.send([EVENT], first.memory)
            assert (len(good.requests), len(bad.requests)) == (1, 4)
            await apprise.send([sample("succeeded")], first.memory)
        assert len(good.requests) == 2, "another event is for all again"


def test_what_several_outcomes_come_to() -> None:
    busy, away, no = Retry("busy", after=9, throttled=True), Retry("away", unreachable=True), Rejected("no")
    assert summed([]) == Sent("")
    assert summed([Sent(""), Sent("plain"), Sent("plain")]) == Sent("plain")
    assert summed([no, Sent("")]) == no
    assert summed([no, busy]) == Retry("no; busy", after=9, throttled=True)
    assert summed([busy, away]) == Retry("busy; away", after=9)
    assert summed([away, away]) == away


async def test_a_url_of_no_service_is_refused(kit: Any) -> None:
    async with kit.made("apprise", url=Secret("nosuchservice://hunter2")) as apprise:
        outcome = (await apprise.send([EVENT], {})).outcome
    assert isinstance(outcome, Rejected)
    assert "hunter2" not in outcome.reason


async def test_its_log_is_silent(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with kit.receiving() as there:
        there.answer = there.say(500)
        async with kit.made("apprise", url=Secret(to(there.url))) as apprise:
            await apprise.send([EVENT], {})
    assert logging.getLogger("apprise").getEffectiveLevel() > logging.CRITICAL
    assert not [record for record in caplog.records if record.name.startswith("apprise")]
