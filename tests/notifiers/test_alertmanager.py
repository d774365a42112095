"""Alertmanager: what fires and what ends, exactly; and the same with the real one, where it is installed."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from ftwatch.client import Client
from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Event
from ftwatch.core.sample import NOW, SAMPLES, sample
from ftwatch.plugins import Duration, Secret, load_kind
from tests.golden import EVENTS, golden
from tests.notifiers.services import (
    LABEL,
    AlertmanagerSink,
    alertmanager,
    needs_alertmanager,
)


def at(name: str, sequence: int, **job: Any) -> Event:
    event = sample(name)
    assert event.job is not None
    return replace(event, data=replace(event.data, sequence=sequence, job=replace(event.job, **job)))


def fresh(event: Event, now: float) -> Event:
    """The event as if it had happened a moment ago."""
    moment = int(now) - 2
    return replace(event, created_at=moment)


@asynccontextmanager
async def alerting(kit: Any, **more: Any) -> AsyncIterator[tuple[AlertmanagerSink, Any]]:
    """A sink, and what tells it of events: one after another, with the memory that the one before left."""
    sink = AlertmanagerSink()
    async with sink.serving(), kit.made("alertmanager", url=sink.place.url, **more) as notifier:
        notifier._clock = lambda: float(NOW)

        async def tell(*events: Event) -> list[Any]:
            sink.arrivals = []
            memory: dict[str, Any] = {}
            outcomes = []
            for event in events:
                result = await notifier.send([event], memory)
                memory = result.memory if result.memory is not None else memory
                json.dumps(memory)
                outcomes.append(result.outcome)
            assert sink.refused == []
            assert all(isinstance(one, Sent) for one in outcomes), outcomes
            return outcomes

        yield sink, tell


def posted(sink: AlertmanagerSink) -> list[tuple[str, str]]:
    """Each alert that came, and whether it fires, by the clock of the tests."""
    return [
        (alert["labels"]["alertname"], "fires" if alert["endsAt"] > "2026-11-22T22:50:00Z" else "is over")
        for arrival in sink.arrivals
        for alert in arrival.what
    ]


# ------------------------------------------------------------------------------------------ golden bodies


async def test_the_body_for_every_sort_of_event(kit: Any) -> None:
    found: dict[str, Any] = {}
    async with alerting(kit) as (sink, tell):
        for name, event in EVENTS.items():
            (outcome,) = await tell(event)
            assert outcome.idle is (sink.arrivals == [])
            found[name] = None if outcome.idle else sink.arrivals[0].what
    golden("alertmanager", found)


async def test_it_is_posted_below_the_address(kit: Any) -> None:
    async with kit.receiving() as there:
        address = there.url.removesuffix("/hook")
        for url in (address, address + "/", address + "/alertmanager"):
            async with kit.made("alertmanager", url=url, token=Secret("hunter2")) as notifier:
                await notifier.send([sample("failed")], {})
    assert [first.split()[1] for first, _, _ in there.requests] == [
        "/api/v2/alerts",
        "/api/v2/alerts",
        "/alertmanager/api/v2/alerts",
    ]
    assert there.requests[0][1]["authorization"] == "Bearer hunter2"
    assert there.requests[0][1]["content-type"] == "application/json"


# ----------------------------------------------------------------------------------------- open and closed


async def test_a_job_that_fails_is_an_alert_until_its_retry_succeeds(kit: Any) -> None:
    async with alerting(kit) as (sink, tell):
        outcomes = await tell(at("failed", 4), at("running", 5), at("succeeded", 6))
    assert posted(sink) == [("FineTuningJobFailed", "fires"), ("FineTuningJobFailed", "is over")]
    fired, over = (arrival.what[0] for arrival in sink.arrivals)
    assert fired["labels"] == over["labels"]
    assert over["annotations"]["summary"] == "support-bot-v7 succeeded · 1 h 50 m (queued 9 m)"
    assert [one.note for one in outcomes] == [
        "HTTP 200: FineTuningJobFailed",
        "not sent: it opens and closes nothing",
        "HTTP 200: FineTuningJobFailed",
    ]


async def test_every_problem_is_an_alert_of_its_own_and_the_end_closes_them_all(kit: Any) -> None:
    async with alerting(kit) as (sink, tell):
        await tell(at("paused", 2), at("stuck", 3), at("succeeded", 4))
        assert posted(sink) == [
            ("FineTuningJobPaused", "fires"),
            ("FineTuningJobStuck", "fires"),
            ("FineTuningJobPaused", "is over"),
            ("FineTuningJobStuck", "is over"),
        ]
        await tell(at("paused", 2), at("failed", 3))
        assert posted(sink)[1:] == [("FineTuningJobPaused", "is over"), ("FineTuningJobFailed", "fires")]


async def test_an_alert_ends_with_the_labels_that_it_began_with(kit: Any) -> None:
    async with alerting(kit) as (sink, tell):
        await tell(
            at("failed", 4, labels={"team": "search"}),
            at("failed", 5, labels={"team": "ads"}),
            at("succeeded", 6, labels={"team": "none"}),
        )
    assert {arrival.what[0]["labels"]["team"] for arrival in sink.arrivals} == {"search"}
    assert {arrival.what[0]["labels"]["severity"] for arrival in sink.arrivals} == {"critical"}


@pytest.mark.parametrize(
    ("began", "ended"),
    [
        ("paused", "running"),
        ("gone", "returned"),
        ("stuck", "stuck-resolved"),
        ("degraded", "recovered"),
        ("failing", "enabled"),
        ("disabled", "enabled"),
        ("rejected", "accepted"),
        ("full", "room"),
    ],
)
async def test_what_opens_is_closed_by_its_end(kit: Any, began: str, ended: str) -> None:
    async with alerting(kit) as (sink, tell):
        await tell(sample(began), sample(ended))
    (fired,), (over,) = (arrival.what for arrival in sink.arrivals)
    assert fired["labels"]["alertname"].lower().endswith(began)
    assert fired["labels"] == over["labels"]
    assert [said for _, said in posted(sink)] == ["fires", "is over"]


async def test_an_end_lies_before_any_clock_and_after_its_beginning(kit: Any) -> None:
    """By Alertmanager's clock, an end that is yet to come does not end what has a later one."""
    async with alerting(kit) as (sink, tell):
        await tell(sample("degraded"), sample("recovered"))
    over = sink.arrivals[1].what[0]
    assert over["endsAt"] == "2026-11-22T22:45:00Z"
    assert over["startsAt"] <= over["endsAt"]


async def test_how_long_an_alert_lasts(kit: Any) -> None:
    async with alerting(kit, expires=Duration(hours=6)) as (sink, tell):
        ends = {}
        for name in ("failed", "gone", "dead", "drift", "retiring", "paused", "degraded", "stuck", "test"):
            await tell(sample(name))
            ends[name] = sink.arrivals[0].what[0]["endsAt"]
    soon, late = "2026-11-23T04:50:00Z", "2026-12-22T22:50:00Z"
    assert ends == {
        **dict.fromkeys(("failed", "gone", "dead", "drift", "retiring"), soon),
        **dict.fromkeys(("paused", "degraded", "stuck"), late),
        "test": "2026-11-22T22:55:00Z",
    }


async def test_news_that_comes_late_still_fires(kit: Any) -> None:
    async with alerting(kit) as (sink, tell):
        await tell(replace(sample("failed"), created_at=NOW - 3 * 86400))
    assert posted(sink) == [("FineTuningJobFailed", "fires")]
    assert sink.arrivals[0].what[0]["startsAt"] == "2026-11-19T22:50:00Z"


# ----------------------------------------------------------------------------------------------- labels


async def test_labels_of_a_job_become_valid_names_and_never_stand_in_for_ours(kit: Any) -> None:
    labels = {
        "team": "search",
        "cost-centre": "42",
        "2nd": "x",
        "__name__": "y",
        "ünï": "z",
        "severity": "info",
        "alertname": "Other",
        "job": "other",
        "notifier": "other",
        "empty": "",
        "a b": "first",
        "a_b": "second",
        "l" * 300: "v" * 1000,
        "": "nameless",
        "line\nbreak": "two\nlines",
    }
    async with alerting(kit) as (sink, tell):
        await tell(at("failed", 1, labels=labels))
    (alert,) = sink.arrivals[0].what
    assert alert["labels"] == {
        "alertname": "FineTuningJobFailed",
        "severity": "critical",
        "provider": "openai-prod",
        "kind": "openai",
        "job": "ftjob-sample4w9Zq2",
        "team": "search",
        "cost_centre": "42",
        "_2nd": "x",
        "_name__": "y",
        "_n_": "z",
        "a_b": "first",
        "l" * 64: "v" * 199 + "…",
        "_": "nameless",
        "line_break": "two lines",
    }


async def test_there_are_no_more_labels_than_anybody_can_use(kit: Any, hostile: Event) -> None:
    async with alerting(kit) as (sink, tell):
        await tell(at("failed", 1, labels={f"label{number:03}": "x" * 9000 for number in range(500)}))
        await tell(hostile)
    (alert,) = sink.arrivals[0].what
    assert all(LABEL.fullmatch(name) for name in alert["labels"])
    assert len(json.dumps(alert)) < 20_000


async def test_severities_have_the_names_that_the_routes_know(kit: Any) -> None:
    async with alerting(kit, severity={"error": "page", "warning": "ticket"}) as (sink, tell):
        found = []
        for name in ("failed", "paused", "test"):
            await tell(sample(name))
            found.append(sink.arrivals[0].what[0]["labels"]["severity"])
    assert found == ["page", "ticket", "info"]


async def test_an_odd_address_is_shown_and_does_not_spoil_the_alert(kit: Any) -> None:
    async with alerting(kit) as (sink, tell):
        for url, is_generator in (
            ("https://x.example/a%20b?c=d#e", True),
            ("https://x.example:8443/ftjob-1", True),
            ("https://x.example/%zz", False),
            ("https://[::1/", False),
            ("https://exämple.com/", False),
        ):
            await tell(at("failed", 1, url=url))
            (alert,) = sink.arrivals[0].what
            assert alert["annotations"]["url"] == url
            assert ("generatorURL" in alert) is is_generator
        await tell(at("failed", 1, url="javascript:alert(1)", integrations=()))
        (alert,) = sink.arrivals[0].what
        assert not {"generatorURL", "url"} & {*alert, *alert["annotations"]}


# ---------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, b"", Sent, "HTTP 200: FineTuningJobFailed"),
        (
            400,
            b'"invalid label set: invalid name \\"0a\\""\n',
            Rejected,
            "HTTP 400: invalid label set: inval",
        ),
        (
            422,
            b'{"code":601,"message":"0.generatorURL in body must be of type uri"}',
            Rejected,
            "HTTP 422: 0.gen",
        ),
        (401, b"Unauthorized\n", Rejected, "HTTP 401: Unauthorized"),
        (404, b"404 page not found", Rejected, "HTTP 404: 404 page not found"),
        (500, b'"cannot store"', Retry, "HTTP 500: cannot store"),
        (503, b"", Retry, "HTTP 503"),
    ],
)
async def test_what_an_answer_means(kit: Any, status: int, body: bytes, kind: type, said: str) -> None:
    async with (
        kit.receiving() as there,
        kit.made("alertmanager", url=there.url.removesuffix("/hook")) as notifier,
    ):
        there.answer = there.say(status, body)
        result = await notifier.send([sample("failed")], {})
    assert isinstance(result.outcome, kind)
    assert said in (result.outcome.note if isinstance(result.outcome, Sent) else result.outcome.reason)
    assert (result.memory is not None) is (kind is Sent)


def made_options(**given: Any) -> Any:
    return load_kind("notifier", "alertmanager").Options(**{"url": "http://127.0.0.1:9093", **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "127.0.0.1:9093"}, "url is no http or https address, like http://127.0.0.1:9093"),
        ({"url": "http://a:b@127.0.0.1"}, "holds a user name or password; use username and password"),
        ({"url": "http://127.0.0.1:9093/api/v2/alerts"}, "url ends before /api/v2/alerts"),
        ({"url": "http://127.0.0.1:9093/#/alerts"}, "url ends before /api/v2/alerts"),
        ({"password": Secret("x")}, "username and password belong together"),
        ({"token": Secret("a"), "username": "b", "password": Secret("c")}, "give token, or username"),
        ({"expires": Duration(seconds=5)}, "expires is a minute at least"),
        ({"expires": Duration(days=99_999)}, "a year at most"),
        ({"severity": {"error": ""}}, "'' is no label for a severity"),
        ({"severity": {"error": "two\nlines"}}, "is no label for a severity"),
    ],
)
def test_a_wrong_option_is_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        made_options(**given)


# ------------------------------------------------------------------------------------------ the real one


@needs_alertmanager
async def test_the_real_one_takes_every_sort_of_event(kit: Any, tmp_path: Path, hostile: Event) -> None:
    urls = (
        "https://x.example/%zz",
        "https://x.example/a%20b?c=d#e",
        "https://[::1]:9/x",
        "https://é.example",
    )
    strange = [at("failed", 1, url=url, labels={url: url, "__a": "b", "9": "9"}) for url in urls]
    async with real_one(kit, tmp_path) as (notifier, firing, _):
        await told(notifier, {}, *map(sample, SAMPLES), hostile, *strange)
        assert set(await firing()) >= {"FineTuningJobFailed", "FtwatchDeliveryDead", "FtwatchTest"}


@needs_alertmanager
async def test_the_real_one_fires_until_the_end_is_told_and_tells_its_own_receiver(
    kit: Any, tmp_path: Path
) -> None:
    """The whole way to somebody's on-call: a job fails, is retried, succeeds, is resumed and fails again."""
    async with real_one(kit, tmp_path) as (notifier, firing, oncall):
        memory = await told(notifier, {}, at("failed", 4), at("running", 5))
        assert await firing() == ["FineTuningJobFailed"]
        await told_on(oncall, "firing")
        memory = await told(notifier, memory, at("succeeded", 6, labels={"team": "other"}))
        assert await firing() == []
        await told_on(oncall, "firing", "resolved")
        await told(notifier, memory, at("running", 7), at("failed", 8))
        assert await firing() == ["FineTuningJobFailed"]
        await told_on(oncall, "firing", "resolved", "firing")
    bodies = [json.loads(body)["alerts"][0] for _, _, body in oncall.requests]
    assert bodies[0]["labels"]["team"] == "search"
    assert bodies[1]["annotations"]["summary"] == "support-bot-v7 succeeded · 1 h 50 m (queued 9 m)"
    assert len({body["fingerprint"] for body in bodies}) == 1


@needs_alertmanager
async def test_the_real_one_believes_an_end_from_a_clock_that_is_ahead(kit: Any, tmp_path: Path) -> None:
    async with real_one(kit, tmp_path) as (notifier, firing, _):
        clock = notifier._clock
        notifier._clock = lambda: clock() + 240
        memory = await told(notifier, {}, sample("degraded"), sample("full"))
        assert await firing() == ["FtwatchProviderDegraded", "FtwatchStoreFull"]
        await told(notifier, memory, sample("recovered"), sample("room"))
        assert await firing() == []


@needs_alertmanager
async def test_the_real_one_takes_no_notice_of_an_end_that_it_never_heard_begin(
    kit: Any, tmp_path: Path
) -> None:
    async with real_one(kit, tmp_path) as (notifier, firing, oncall):
        await told(notifier, {}, sample("succeeded"))
        await told(notifier, {}, sample("paused"))
        await told_on(oncall, "firing")
        assert await firing() == ["FineTuningJobPaused"]
    assert json.loads(oncall.requests[0][2])["commonLabels"]["alertname"] == "FineTuningJobPaused"


@needs_alertmanager
async def test_what_somebody_tried_by_hand_can_be_ended_by_hand(kit: Any, tmp_path: Path) -> None:
    """`notify test NAME --sample failed`, then `--sample succeeded`: two processes without a memory."""
    async with real_one(kit, tmp_path) as (notifier, firing, _):
        await told(notifier, {}, sample("failed"))
        assert await firing() == ["FineTuningJobFailed"]
        await told(notifier, {}, sample("succeeded"))
        assert await firing() == []


async def told(notifier: Any, memory: dict[str, Any], *events: Event) -> dict[str, Any]:
    for event in events:
        result = await notifier.send([fresh(event, notifier._clock())], memory)
        assert isinstance(result.outcome, Sent), result.outcome
        memory = result.memory if result.memory is not None else memory
    return memory


async def told_on(oncall: Any, *wanted: str) -> None:
    """Waits until the receiver behind Alertmanager has been told this."""

    def statuses() -> list[str]:
        return [json.loads(body)["status"] for _, _, body in oncall.requests]

    with anyio.move_on_after(30):
        while statuses() != list(wanted):  # noqa: ASYNC110
            await anyio.sleep(0.05)
    assert statuses() == list(wanted)


@asynccontextmanager
async def real_one(kit: Any, folder: Path) -> AsyncIterator[tuple[Any, Any, Any]]:
    """A notifier for the real one, what the real one says that fires, and the receiver behind it."""
    async with (
        kit.receiving() as oncall,
        Client() as client,
        alertmanager(folder, client, oncall.url) as real,
        kit.made("alertmanager", url=real.url) as notifier,
    ):

        async def firing() -> list[str]:
            return await real.names(client)

        yield notifier, firing, oncall
