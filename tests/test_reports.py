"""Reports: once a week, to who asked for it, of what truly happened; also after a long absence."""

from datetime import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ftwatch.config import NotifierConfig
from ftwatch.core import announce
from ftwatch.core.delivery import RetryPolicy
from ftwatch.core.event import REPORT, Event, Report, Summary, decode, encode
from ftwatch.core.job import JobKey, Status
from ftwatch.core.message import compose
from ftwatch.core.report import make_report, report_event
from ftwatch.core.route import Recipient, Route, Routing, Silence, parse_match, route
from ftwatch.core.route.hold import Digest, Holding, Quiet
from ftwatch.core.sample import sample
from ftwatch.dispatcher import Dispatcher
from ftwatch.store import Batch, Store, inline
from tests.test_holding import Desk, at, person

WEEKLY = Digest(at=time(9), days=frozenset({0}))
# A Thursday; the Monday after it is 2026-11-30.
THURSDAY, MONDAY = "2026-11-26 12:00", "2026-11-30 09:00"


class Office(Desk):
    """The same desk, for somebody who wants a report."""

    def configure(self, **more: Any) -> None:
        self.recipient = replace(self.recipient, reports=True)
        super().configure(**more)
        config = NotifierConfig(
            name=self.recipient.name,
            kind="toy",
            retry=RetryPolicy(jitter=0, fold=900.0),
            report=WEEKLY,
            zone=person().holding.zone,  # type: ignore[union-attr]
        )
        self.dispatcher = Dispatcher(
            config,
            self.pigeon,
            self.store,
            inline,
            routing=self.routing,
            clock=self.clock,
            bell=lambda owed: None,
        )

    @property
    def reports(self) -> list[tuple[float, Report]]:
        return [
            (when, event.data.report)
            for when, _, events in self.pigeon.messages
            for event in events
            if event.data.report
        ]


def office(folder: Path, **more: Any) -> Office:
    return Office(folder, replace(person(), holding=None), at(THURSDAY), **more)


async def test_a_report_comes_on_its_day_and_tells_what_happened(tmp_path: Path) -> None:
    desk = office(tmp_path)
    await desk.round()
    desk.happen("a", Status.RUNNING, Status.SUCCEEDED)
    desk.happen("b", Status.RUNNING, Status.FAILED)
    desk.happen("c", Status.RUNNING, Status.FAILED, Status.RUNNING, Status.SUCCEEDED)
    desk.happen("d", Status.RUNNING, Status.PAUSED)
    desk.happen("e", Status.RUNNING)
    desk.happen("f", Status.RUNNING, Status.FAILED)
    desk.store.acks.add(JobKey("p", "f"), "kim", "", desk.clock.now())
    await desk.until(at(MONDAY) - 60, 3600)
    assert desk.reports == []
    await desk.until(at(MONDAY) + 60, 60)
    ((when, report),) = desk.reports
    assert abs(when - at(MONDAY)) <= 60
    assert report.ended == {"succeeded": 2, "failed": 2}
    assert (report.active, report.since) == (2, int(at(THURSDAY)))
    assert report.open[0] == "b failed, and nobody has acknowledged it"
    assert report.open[1].startswith("d is paused")
    assert len(report.open) == 2
    # The next one is of the time since, and shows that somebody is there although nothing happened.
    await desk.until(at(MONDAY) + 7 * 86400 + 60, 1800)
    assert [one.ended for _, one in desk.reports] == [report.ended, {}]
    assert desk.reports[1][1].since == report.until


async def test_whoever_was_away_for_weeks_gets_one_report_at_once(tmp_path: Path) -> None:
    desk = office(tmp_path)
    await desk.round()
    desk.happen("a", Status.RUNNING, Status.SUCCEEDED)
    desk.store.close()
    desk.clock.at += 30 * 86400
    desk.store = Store(tmp_path / "ftwatch.db")
    desk.configure()
    for _ in range(3):
        await desk.round(10)
    ((when, report),) = desk.reports
    assert report.ended == {"succeeded": 1}
    assert report.until == int(when)


async def test_what_is_wrong_with_ftwatch_itself_stands_in_it(tmp_path: Path) -> None:
    desk = office(tmp_path)
    now = desk.clock.now()
    state = desk.store.jobs.provider("p")
    said = announce.degraded(state, "toy", "HTTP 503", desk.routing, now)
    desk.store.commit(Batch(announcements=[said]), now)
    desk.store.outbox.disable("old", "HTTP 410")
    desk.happen("a", Status.RUNNING)
    desk.store.db.execute("UPDATE deliveries SET state = 'dead'")
    report = desk.store.reports.make(now - 60, now + 3600)
    assert report.open == (
        "p cannot be watched for 1 h: HTTP 503",
        "old is switched off: HTTP 410",
        "anna has 2 dead letters: `ftwatch outbox list`",
    )


def test_a_report_goes_to_who_asked_and_at_its_own_time() -> None:
    night = Holding(quiet=Quiet(begin=time(0), end=time(23, 59)), digest=Digest(at=time(9)))
    people = (
        Recipient(name="anna", kind="slack", reports=True, holding=night),
        Recipient(name="bert", kind="slack", reports=True),
        Recipient(name="hook", kind="webhook", audience="machines"),
    )
    event = report_event("anna", Report(since=1, until=2))
    for routes in (None, (Route(notify=("bert", "hook")),)):
        routed = route(event, Routing(recipients=people, routes=routes), 1e9)
        assert routed.selected == (("anna", "report"),)
        assert routed.holds == {}
        assert {one.notifier: one.reason for one in routed.verdicts} == {
            "bert": "it is another one's report",
            "hook": "it asks for no report",
        }
    silence = Silence(match=parse_match(f"type={REPORT}"), comment="holidays")
    silent = route(event, Routing(recipients=people, silences=(silence,)), 1e9)
    assert silent.selected == ()


def ran(id: str, seconds: int, tokens: int, name: str = "succeeded") -> Event:
    made = sample(name)
    assert made.job is not None
    job = replace(made.job, id=id, name=id, trained_tokens=tokens)
    return replace(made, data=replace(made.data, job=job, summary=Summary(ran_for=seconds)))


def test_the_figures_are_of_the_last_end_of_each_job() -> None:
    events = [
        sample("running"),
        ran("a", 100, 5, "failed"),
        ran("b", 7200, 10),
        ran("a", 3600, 20),
        ran("c\u202e" + "x" * 500, 9000, 0, "cancelled"),
    ]
    report = make_report(events, 3, [f"problem {number}" for number in range(14)], 0, 604_800)
    assert report.ended == {"succeeded": 2, "cancelled": 1}
    assert (report.tokens, report.ran_for, report.active) == (30, 19_800, 3)
    assert report.slowest is not None
    assert report.slowest[1] == 9000
    assert "\u202e" not in report.slowest[0]
    assert report.open[-1] == "and 4 more"
    assert len(report.open) == 11
    event = report_event("anna", report)
    assert decode(encode(event)) == event
    message = compose(event)
    assert message.title == "📊 Report of 7 d: 3 jobs ended: 2 succeeded, 1 cancelled"
    told = {fact.label: fact.value for fact in message.facts}
    assert told["Training"] == "5.5 hours"
    assert told["Tokens"] == "30"
    nothing = compose(report_event("anna", make_report([], 0, [], 0, 86_400)))
    assert nothing.title == "📊 Report of 1 d: no job ended"
    assert {fact.label for fact in nothing.facts} == {"Active now", "Open", "From"}


def test_the_same_report_is_the_same_event() -> None:
    first, second = (report_event("anna", Report(since=5, until=until)) for until in (9, 10))
    assert first.id == second.id != report_event("bert", Report(since=5, until=9)).id
