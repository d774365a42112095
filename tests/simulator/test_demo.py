"""The demo tells its story around the real daemon, faster, and loses nothing; it would say if it did."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable
from email import message_from_string, policy
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch.client import Client
from ftwatch.core.event import Event, encode
from ftwatch.core.sample import sample
from ftwatch.plugins import NotifierSpec, load_kind
from ftwatch.simulator.demo import demo
from ftwatch.simulator.demo.stage import Stage
from ftwatch.simulator.demo.told import read
from ftwatch.simulator.demo.verdict import Life, life, lost, vocabulary
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.receivers import Arrival
from ftwatch.simulator.upstream import StillClock, Upstream


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """As wide a terminal as the demo makes use of, wherever the tests run."""
    monkeypatch.setenv("COLUMNS", "120")


async def test_the_story_ends_well() -> None:
    out = io.StringIO()
    code = await demo(keep=False, seconds=45, out=out)
    told = out.getvalue()
    assert code == 0, told
    assert "lost                0" in told
    assert "transitions         29" in told
    assert re.search(r"^Its page: http://127\.0\.0\.1:\d+/$", told, re.M)
    for line in (
        "together goes away",
        "together cannot be watched",
        "together can be watched again",
        "router is running (JOB_STATE_RUNNING)",
        "910,000 tokens\n",
        "CUDA out of memory on worker 0.",
        "cause: invalid data",
        "translator is paused",
        "killed with SIGKILL",
        "nightly is running · seen only afterwards",
    ):
        assert line in told
    assert re.search(r"\n +train loss \d[.\d]* → \d[.\d]*, valid loss \d", told)
    assert re.search(r"tagger succeeded · \d+[\dhms ()queued]* \(completed\)", told)
    assert re.search(r"webhook +openai +💾 support-bot has checkpoints at steps 100, 200 and 300\n", told)
    assert re.search(r"\n  succeeded +succeeded +completed +JOB_STATE_COMPLETED\n", told)
    assert max(map(len, told.splitlines())) <= 100
    assert "\x1b" not in told, "no colours in a file"


# ------------------------------------------------------------------------------------------- the verdict

JOB = ("openai-prod", "ftjob-sample4w9Zq2")
LIFE = Life(
    JOB,
    "bot",
    ("queued", "running", "succeeded"),
    frozenset({200}),
    None,
    frozenset({"states", "figures", "checkpoints"}),
)
BROKEN = Life(
    JOB,
    "bot",
    ("queued", "running", "failed"),
    frozenset(),
    "The job failed due to an invalid training file: line 17 is not valid JSON.",
    frozenset(),
)
ALL = ("created", "running", "checkpoint", "succeeded")


def numbered(*names: str) -> list[Event]:
    """Samples as one job's events, in this order."""
    found = map(sample, names)
    return [replace(one, data=replace(one.data, sequence=n)) for n, one in enumerate(found, 1)]


def missing(events: list[Event], life: Life = LIFE, slack: int = 3, provider: int = 1) -> list[str]:
    people = {"slack": Counter({JOB: slack, ("openai-prod", ""): provider})}
    return lost([life], {"openai-prod": 1}, events, people)


def test_what_was_told_as_it_was_is_not_lost() -> None:
    events = numbered(*ALL)
    assert missing(events) == []
    assert missing([*reversed(events), *events]) == [], "late and twice is no loss"
    assert missing(numbered("created", "running", "failed"), BROKEN) == []


@pytest.mark.parametrize("name", ALL)
def test_whatever_is_not_told_is_lost(name: str) -> None:
    events = numbered(*ALL)
    del events[ALL.index(name)]
    assert missing(events) != []


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("running", "created", "checkpoint", "succeeded"),
        ("created", "running", "paused", "checkpoint", "succeeded"),
        ("created", "running", "checkpoint", "failed"),
    ],
)
def test_what_was_told_otherwise_is_lost(names: tuple[str, ...]) -> None:
    assert missing(numbered(*names)) != []


def test_people_who_were_not_told_lost_something() -> None:
    assert missing(numbered(*ALL), slack=2) == ["slack: 2 messages of 3 about bot"]
    assert missing(numbered(*ALL), provider=0) == ["slack: 0 messages of 1 about openai-prod"]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("succeeded", lambda data: {"job": replace(data.job, fine_tuned_model=None)}),
        ("succeeded", lambda data: {"job": replace(data.job, trained_tokens=None)}),
        ("succeeded", lambda data: {"summary": replace(data.summary, metrics={})}),
        ("failed", lambda data: {"job": replace(data.job, error=None)}),
        ("failed", lambda data: {"summary": replace(data.summary, cause=None)}),
    ],
)
def test_an_end_that_does_not_tell_what_came_of_it_is_lost(name: str, spoil: Callable[[Any], Any]) -> None:
    life, names = (LIFE, ALL) if name == "succeeded" else (BROKEN, ("created", "running", "failed"))
    *events, end = numbered(*names)
    spoilt = replace(end, data=replace(end.data, **spoil(end.data)))
    assert len(missing([*events, spoilt], life)) == 1


def test_the_truth_is_told_in_our_words() -> None:
    upstream = Upstream(clock=StillClock(), dialect=dialect_of("together"))
    job = upstream.create("happy")
    begun = life(upstream.dialect, job, job.created_at + 90)
    over = life(upstream.dialect, job, job.created_at + 1000)
    assert begun.statuses == ("queued",), "validating and queued are one state there"
    assert over.statuses == ("queued", "running", "succeeded")
    assert (begun.saved, over.saved) == (set(), {100, 200, 300})
    assert over.about == ("together", job.id)


def test_the_vocabulary_is_what_was_told() -> None:
    event = sample("succeeded")
    assert event.job is not None
    job = replace(event.job, raw_status="completed", provider="together")
    other = replace(event, data=replace(event.data, provider="together", job=job))
    assert vocabulary([sample("created"), event, other], ["together", "openai-prod"]) == [
        ("queued", "", "queued"),
        ("succeeded", "completed", "succeeded"),
    ]


# ---------------------------------------------------------------------------------------- what is shown


async def arrivals(event: Event) -> list[Arrival]:
    """The event as it arrives over each channel."""
    letter, post = (
        {"host": "x", "from_": "a@example.com", "to": ("b@example.com",)},
        {"webhook_url": "http://x"},
    )
    found = [Arrival(0, "webhook", "msg_1", None, encode(event))]
    async with Client() as client:
        for kind, options in (("slack", post), ("email", letter)):
            made = load_kind("notifier", kind)
            spec = NotifierSpec(
                name=kind, kind=kind, options=made.Options(**options), client=client, folder="."
            )
            text = made(spec).render(event)
            if kind == "slack":
                found.append(Arrival(0, "slack", "slack_1", json.loads(text)))
            else:
                found.append(Arrival(0, "mail", "mail_1", message_from_string(text, policy=policy.default)))
    return found


@pytest.mark.parametrize(
    "name", ["created", "running", "checkpoint", "succeeded", "failed", "watching", "degraded", "recovered"]
)
async def test_a_message_reads_the_same_over_every_channel(name: str) -> None:
    webhook, slack, mail = [read(arrival) for arrival in await arrivals(sample(name))]
    for told in (slack, mail):
        assert (told.about, told.title, told.quote, told.was_late) == (
            webhook.about,
            webhook.title,
            webhook.quote,
            webhook.was_late,
        )
        assert webhook.facts.items() <= told.facts.items()


async def shown(*came: Arrival) -> str:
    out = io.StringIO()
    stage = Stage(out)
    async with stage.open():
        for arrival in came:
            stage.arrived(arrival)
    return re.sub(r" *\d+\.\ds  ", "", out.getvalue())


async def test_a_message_is_one_line_whoever_gets_it() -> None:
    came = await arrivals(sample("running"))
    assert await shown(*came) == "webhook slack mail  openai-prod ▶️ support-bot-v7 is running\n"
    assert (await shown(*came[1:])).startswith("        slack mail  openai-prod ▶️")
    again = await shown(came[0], came[0])
    assert again.splitlines()[1].endswith("is running · again, the same message")


async def test_an_end_shows_what_came_of_it() -> None:
    head, *more = (await shown(*await arrivals(sample("succeeded")))).splitlines()
    assert head.endswith("✅ support-bot-v7 succeeded · 1 h 50 m (queued 9 m)")
    assert [line.strip() for line in more] == [
        "ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg",
        "5,768,000 tokens",
        "train loss 2.31 → 0.412, valid loss 0.487",
    ]


async def test_a_narrow_terminal_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = await shown(*await arrivals(sample("failed")))
    assert max(map(len, text.splitlines())) <= 60
    assert "line 17 is not valid JSON." in " ".join(text.split())
