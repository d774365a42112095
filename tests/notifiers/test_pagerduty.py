"""PagerDuty: what opens an alert and what resolves it, exactly; its limits; what its answers mean."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.diff import Change
from ftwatch.core.event import Event
from ftwatch.core.job import JobError
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.plugins import Duration, NotifierSpec, Secret, load_kind
from tests.golden import EVENTS, golden
from tests.notifiers.services import ROUTING_KEY, PagerDutySink

JOB = "openai-prod/ftjob-sample4w9Zq2"


def options(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "routing_key": Secret(ROUTING_KEY), "timeout": Duration(seconds=5), **more}


def at(name: str, sequence: int, **job: Any) -> Event:
    """A sample as the event of its job with this number."""
    event = sample(name)
    assert event.job is not None
    return replace(event, data=replace(event.data, sequence=sequence, job=replace(event.job, **job)))


@asynccontextmanager
async def paging(kit: Any, **more: Any) -> AsyncIterator[tuple[PagerDutySink, Any]]:
    """A sink, and what tells it of events: one after another, with the memory that the one before left."""
    sink = PagerDutySink()
    async with sink.serving(), kit.made("pagerduty", **options(sink.url, **more)) as pager:

        async def tell(*events: Event) -> list[Any]:
            sink.arrivals, sink.open, sink.resolved = [], {}, []
            memory: dict[str, Any] = {}
            outcomes = []
            for event in events:
                result = await pager.send([event], memory)
                memory = result.memory if result.memory is not None else memory
                json.dumps(memory)
                outcomes.append(result.outcome)
            assert sink.refused == []
            assert all(isinstance(one, Sent) for one in outcomes), outcomes
            return outcomes

        yield sink, tell


# ------------------------------------------------------------------------------------------ golden bodies


async def test_the_body_for_every_sort_of_event(kit: Any) -> None:
    found: dict[str, Any] = {}
    sink = PagerDutySink()
    async with sink.serving(), kit.made("pagerduty", **options(sink.url)) as pager:
        for name, event in EVENTS.items():
            before = len(sink.arrivals)
            result = await pager.send([event], {})
            assert isinstance(result.outcome, Sent)
            assert result.outcome.idle is (len(sink.arrivals) == before)
            found[name] = [one.what for one in sink.arrivals[before:]]
    golden("pagerduty", found)


# ----------------------------------------------------------------------------------------- open and closed


async def test_a_job_that_fails_pages_and_its_retry_resolves_the_same_alert(kit: Any) -> None:
    async with paging(kit) as (sink, tell):
        results = await tell(at("failed", 4), at("running", 5), at("succeeded", 6))
    assert [(one.what["event_action"], one.id) for one in sink.arrivals] == [
        ("trigger", JOB),
        ("resolve", JOB),
    ]
    assert sink.resolved == [JOB]
    assert [one.note for one in results] == [
        f"HTTP 202: trigger {JOB}",
        "not sent: something is still open (failed)",
        f"HTTP 202: resolve {JOB}",
    ]
    assert [one.idle for one in results] == [False, True, False]


async def test_all_problems_of_a_job_are_one_alert_that_ends_with_the_last(kit: Any) -> None:
    async with paging(kit) as (sink, tell):
        results = await tell(at("stuck", 2), at("failed", 3), at("stuck-resolved", 4))
        assert list(sink.open) == [JOB], "that the queue moved does not mean that the job is well"
        assert results[-1].note == "not sent: something is still open (failed)"
        await tell(at("paused", 2), at("stuck", 3), at("running", 4), at("stuck-resolved", 5))
    assert sink.open == {}
    assert [one.what["event_action"] for one in sink.arrivals] == ["trigger", "trigger", "resolve"]


@pytest.mark.parametrize(
    ("began", "ended", "key"),
    [
        ("paused", "running", JOB),
        ("unknown", "running", JOB),
        ("gone", "returned", JOB),
        ("stuck", "stuck-resolved", JOB),
        ("retiring", "retiring-resolved", JOB),
        ("failed", "cancelled", JOB),
        ("degraded", "recovered", "ftwatch.provider/openai-prod/degraded"),
        ("degraded", "retired", "ftwatch.provider/openai-prod/degraded"),
        ("failing", "enabled", "ftwatch.notifier/oncall/failing"),
        ("disabled", "enabled", "ftwatch.notifier/oncall/disabled"),
        ("rejected", "accepted", "ftwatch.config/config/rejected"),
        ("full", "room", "ftwatch.store/store/full"),
    ],
)
async def test_what_opens_is_closed_by_its_end(kit: Any, began: str, ended: str, key: str) -> None:
    async with paging(kit) as (sink, tell):
        await tell(sample(began), sample(ended))
    assert (sink.resolved, sink.open) == ([key], {})


async def test_an_end_is_told_although_nothing_is_remembered(kit: Any) -> None:
    """PagerDuty drops what it does not know; an alert that nobody resolves is worse than one request."""
    async with paging(kit) as (sink, tell):
        for name in ("succeeded", "returned", "stuck-resolved", "recovered", "enabled"):
            await tell(sample(name))
            assert {one.what["event_action"] for one in sink.arrivals} == {"resolve"}
        assert [one.id.rpartition("/")[2] for one in sink.arrivals] == ["disabled", "failing"]


async def test_problems_of_one_provider_are_alerts_of_their_own(kit: Any) -> None:
    async with paging(kit) as (sink, tell):
        await tell(*map(sample, ("drift", "unreadable", "degraded", "recovered")))
    assert list(sink.open) == [
        "ftwatch.provider/openai-prod/drift",
        "ftwatch.provider/openai-prod/unreadable",
    ]


async def test_what_was_over_before_it_could_be_told_pages_nobody(kit: Any) -> None:
    """What a receiver rejects lets later ones pass, and is tried again hours after."""
    async with paging(kit) as (sink, tell):
        results = await tell(at("succeeded", 6), at("failed", 4))
    assert sink.open == {}
    assert results[-1] == Sent("not sent: it was over before it could be told", idle=True)


async def test_a_renamed_provider_goes_on_with_the_alert_that_is_open(kit: Any) -> None:
    async with paging(kit) as (sink, tell):
        await tell(at("failed", 4), at("succeeded", 5, provider="openai-eu"))
    assert (sink.resolved, sink.open) == ([JOB], {})


@given(st.lists(st.sampled_from([name for name in SAMPLES if sample(name).job]), max_size=12))
def test_who_is_told_everything_has_nothing_open_in_the_end(names: list[str]) -> None:
    """Whatever happens to a job: after its good end PagerDuty has no alert, and until then what is open."""
    found = load_kind("notifier", "pagerduty")
    spec = NotifierSpec(
        name="mine", kind="pagerduty", options=found.Options(**options("http://x")), client=None
    )
    pager, sink, memory = found(spec), PagerDutySink(), {}

    async def post(what: dict[str, Any]) -> Any:
        assert sink.receive(json.dumps(what).encode(), {}).status_code == 202
        return Sent("HTTP 202")

    pager._post = post
    for number, name in enumerate([*names, "succeeded"], start=1):
        try:
            pager.send([at(name, number)], memory).send(None)
        except StopIteration as done:
            result = done.value
        memory = result.memory if result.memory is not None else memory
        assert bool(sink.open) == bool(memory.get("open")), "what it remembers is what is open"
    assert sink.open == {}


# ---------------------------------------------------------------------------------------- what is shown


async def test_severities_are_theirs_and_can_be_changed(kit: Any) -> None:
    sink = PagerDutySink()
    louder = {"error": "critical", "warning": "error"}
    async with sink.serving():
        for more in ({}, {"severity": louder}):
            async with kit.made("pagerduty", **options(sink.url, **more)) as pager:
                for name in ("failed", "paused", "test"):
                    await pager.send([sample(name)], {})
    shown = [one.what["payload"]["severity"] for one in sink.arrivals]
    assert shown == ["error", "warning", "info", "critical", "error", "info"]


async def test_what_strangers_wrote_is_short_text_in_its_place(kit: Any, hostile: Event) -> None:
    async with paging(kit) as (sink, tell):
        await tell(hostile)
    payload = sink.arrivals[0].what["payload"]
    assert len(payload["summary"]) <= 1024
    for text in (payload["summary"], payload["component"], *payload["custom_details"].values()):
        assert not {"\r", "\n", "\x1b", "\x07", "\u202e"} & set(text)
        assert len(text) <= 1024
    assert payload["source"] == "openai-prod", "who it is about is nobody's to say"
    assert payload["custom_details"]["Job"] == "ftjob-sample4w9Zq2"


async def test_a_summary_is_cut_between_characters(kit: Any) -> None:
    async with paging(kit) as (sink, tell):
        for text in ("é" * 3000, "e\u0301" * 3000, "👩‍👩‍👧‍👦" * 1000, "漢" * 3000, "x" * 3000):
            await tell(at("failed", 4, error=JobError(message=text)))
            summary = sink.arrivals[0].what["payload"]["summary"]
            assert 900 < len(summary) <= 1024
            assert summary.endswith("…")
            summary.encode()


async def test_a_key_that_pagerduty_could_not_take_is_one_that_stands_for_it(kit: Any) -> None:
    async with paging(kit) as (sink, tell):
        for id in ("j" * 300, "line\nbreak", "\u202egnp"):
            await tell(at("failed", 4, id=id), at("succeeded", 5, id=id))
            assert sink.open == {}
            assert len(sink.resolved) == 1
            assert sink.resolved[0].startswith("ftwatch/")
            assert len(sink.resolved[0]) == 40


async def test_strangers_fields_do_not_stand_in_for_ours(kit: Any) -> None:
    changes = tuple(Change(field, "before", "after") for field in ("Job", "Event", "Said"))
    event = at("failed", 4)
    event = replace(event, data=replace(event.data, changes=changes))
    async with paging(kit) as (sink, tell):
        await tell(event)
    details = sink.arrivals[0].what["payload"]["custom_details"]
    assert (details["Job"], details["Event"]) == ("ftjob-sample4w9Zq2", event.id)
    assert details["Said"].startswith("The job failed due to")


# ---------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (202, b'{"status":"success","message":"Event processed","dedup_key":"k"}', Sent, "HTTP 202: trigger"),
        (
            400,
            b'{"status":"invalid event","message":"Event object is invalid","errors":'
            b"[\"Length of 'routing_key' is incorrect (should be 32 characters)\"]}",
            Rejected,
            "HTTP 400: Event object is invalid: Length of 'routing_key' is incorrect",
        ),
        (400, b'{"status":"invalid event","message":"Invalid routing key"}', Rejected, "Invalid routing key"),
        (400, b"<html>bad</html>", Rejected, "HTTP 400: <html>bad</html>"),
        (400, b'{"message": 5, "errors": 7}', Rejected, "HTTP 400"),
        (400, b"[" * 10_000, Rejected, "HTTP 400"),
        (403, b"", Rejected, "HTTP 403"),
        (404, b"", Rejected, "HTTP 404"),
        (413, b"", Rejected, "HTTP 413"),
        (500, b'{"status":"error","message":"internal"}', Retry, "HTTP 500: internal"),
        (503, b"", Retry, "HTTP 503"),
    ],
)
async def test_what_an_answer_means(kit: Any, status: int, body: bytes, kind: type, said: str) -> None:
    async with kit.receiving() as there, kit.made("pagerduty", **options(there.url)) as pager:
        there.answer = there.say(status, body)
        result = await pager.send([sample("failed")], {})
    assert isinstance(result.outcome, kind)
    told = result.outcome.note if isinstance(result.outcome, Sent) else result.outcome.reason
    assert said in told
    assert len(told) < 400
    assert (result.memory is not None) is (kind is Sent), "what was not taken is not open"


async def test_too_many_events_wait_as_long_as_asked(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("pagerduty", **options(there.url)) as pager:
        there.answer = there.say(429, b'{"message":"Request Limit Exceeded"}', retry_after="30")
        outcome = (await pager.send([sample("failed")], {})).outcome
    assert outcome == Retry("HTTP 429: Request Limit Exceeded", after=30, throttled=True)


async def test_a_receiver_that_repeats_the_key_does_not_get_it_into_a_reason(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("pagerduty", **options(there.url)) as pager:
        there.answer = there.say(400, json.dumps({"message": f"no such key: {ROUTING_KEY}"}).encode())
        outcome = (await pager.send([sample("failed")], {})).outcome
    assert isinstance(outcome, Rejected)
    assert "hunter2" not in outcome.reason


async def test_what_has_nothing_to_say_asks_for_no_secret(kit: Any) -> None:
    def gone() -> str:
        raise LookupError("no")

    async with kit.made("pagerduty", routing_key=Secret(gone)) as pager:
        assert (await pager.send([sample("running")], {})).outcome.idle


# ---------------------------------------------------------------------------------------------- options


def made_options(**given: Any) -> Any:
    return load_kind("notifier", "pagerduty").Options(**{"routing_key": Secret("k" * 32), **given})


def test_the_address_is_that_of_the_region() -> None:
    assert made_options().address == "https://events.pagerduty.com/v2/enqueue"
    assert made_options(region="eu").address == "https://events.eu.pagerduty.com/v2/enqueue"
    assert made_options(url="https://goalert.example/v2").address == "https://goalert.example/v2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "https://x.example", "region": "eu"}, "give region, or the url of another server, not both"),
        ({"url": "x.example"}, "url is no http or https address, like https://events.pagerduty.com/v2/enq"),
        ({"url": "https://a:b@x.example"}, "url holds a user name or password"),
    ],
)
def test_a_wrong_option_is_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made_options(**given)


@pytest.mark.parametrize("key", ["e+23rschqsESqk9Q6_-g", "k" * 31, "k" * 33, "-" * 32])
def test_a_key_of_another_api_is_noticed(key: str) -> None:
    ((option, said),) = made_options(routing_key=Secret(key)).problems()
    assert option == "routing_key"
    assert "Integration Key" in said
    assert key not in said
    assert list(made_options(routing_key=Secret(key), url="https://x.example").problems()) == []
    assert list(made_options().problems()) == []
