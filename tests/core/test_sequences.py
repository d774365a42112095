"""Sequences of looks: what a job's story becomes when its answers come late, twice, wrong or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from ftwatch.core.decide import decide
from ftwatch.core.event import Event
from ftwatch.core.job import TERMINAL, JobKey, Snapshot, Status
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.route import Recipient, Routing, parse_match
from ftwatch.core.rule import Stuck
from ftwatch.wire import openai as wire

NOW = 1_795_000_000.0
KEY = JobKey("p", "ftjob-1")
ROUTING = Routing(recipients=(Recipient(name="slack", kind="slack"),))
TIMES = ("finished_at", "started_at", "estimated_finish")
FOUND = json.loads((Path(__file__).parents[1] / "data" / "sequences.json").read_text())
ROWS = {row["name"]: row for row in FOUND["rows"]}


class Story:
    """One job, look by look, as the poller would keep it."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.policy = Policy(
            routing=ROUTING,
            rules=(Stuck(),),
            settle=row.get("settle", 120),
            watch=parse_match(row["watch"]) if "watch" in row else None,
            words=tuple(row.get("words", ())),
            baseline=row.get("baseline", False),
        )
        self.known: Known | None = None
        self.now = NOW
        self.asked = 0
        self.last: Look | None = None
        self.believed = False
        self.events: list[Event] = []

    def snapshot(self, status: str, fields: dict[str, Any]) -> Snapshot:
        """What the wire makes of the provider's document; its times are told from the look."""
        moved = {name: int(self.now) + fields[name] for name in TIMES if fields.get(name)}
        document = {
            "id": KEY.id,
            "created_at": int(NOW) - 100,
            "model": "gpt-4",
            "metadata": {"team": "search"},
            "status": status,
            **fields,
            **moved,
        }
        return wire.read(json.dumps(document).encode(), provider=KEY.provider, kind="openai", labels={})

    def step(self, step: dict[str, Any]) -> tuple[Event, ...]:
        """Takes one look, or lets time go by; returns what was told."""
        self.now += step.get("wait", step.get("after", 1))
        if "wait" in step:
            self.last = None
        else:
            self.asked = step.get("asked", self.asked + 1)
            seen = None if step.get("missing") else self.snapshot(step["status"], step.get("fields", {}))
            listed = step.get("listed", False)
            self.last = Look(key=KEY, asked=self.asked, at=self.now, snapshot=seen, listed=listed)
        told = self.take(self.last)
        self.policy = replace(self.policy, baseline=False)
        return told

    def take(self, look: Look | None) -> tuple[Event, ...]:
        decision = decide(self.known, look, self.policy, self.now)
        self.believed = decision.known is not None
        if decision.known is not None:
            self.known = replace(decision.known, version=decision.known.version + 1)
        self.policy = replace(self.policy, words=(*self.policy.words, *decision.words))
        self.events += decision.events
        return decision.events

    def would(self, look: Look | None) -> list[str]:
        """What a look would tell, were it taken now."""
        return [event.type for event in decide(self.known, look, self.policy, self.now).events]


def is_as(event: Event, expected: Any, now: float) -> bool:
    """Whether an event says what a row wants of it."""
    wanted = {"type": expected} if isinstance(expected, str) else dict(expected)
    said: dict[str, Any] = {
        "type": event.type.removeprefix("fine_tuning."),
        "severity": event.severity,
        "changed": sorted(change.field for change in event.changes),
        "occurred_at": event.data.occurred_at - int(now),
        "incomplete": None if event.data.incomplete is UNSET else list(event.data.incomplete),
        **{name: getattr(event.data, name) for name in ("status", "previous_status", "skipped")},
    }
    return all(said[name] == value for name, value in wanted.items())


def check_always(story: Story) -> None:
    """What holds after every look of every story."""
    events, known = story.events, story.known
    assert [event.data.sequence for event in events] == list(range(1, len(events) + 1))
    assert len({event.id for event in events}) == len(events)
    # The same again, whether it is the very answer or a new one that says the same, is no news.
    assert story.would(story.last) == []
    if story.last is not None and story.believed:
        assert story.would(replace(story.last, asked=max(story.asked, known.asked if known else 0) + 1)) == []
    assert story.would(None) == []
    if known is None or known.ignored:
        return
    if known.snapshot.status in TERMINAL:
        for status in sorted(set(Status) - {known.snapshot.status}):
            behind = replace(known.snapshot, status=status, raw_status=str(status))
            look = Look(key=KEY, asked=known.asked + 1, at=story.now, snapshot=behind, listed=True)
            assert decide(known, look, story.policy, story.now).known is None, f"a list said {status}"
    if known.snapshot.status in TERMINAL or known.gone:
        for wait in (0, 61, 700):
            gone = Look(key=KEY, asked=known.asked + 1, at=story.now + wait, snapshot=None)
            assert story.would(gone) == []


@pytest.mark.parametrize("name", ROWS)
def test_a_story_is_told_once_in_order_and_as_it_was(name: str) -> None:
    story = Story(ROWS[name])
    for place, step in enumerate(ROWS[name]["looks"], start=1):
        told = story.step(step)
        types = [event.type.removeprefix("fine_tuning.") for event in told]
        assert len(types) == len(step["expect"]), f"look {place} told {types}"
        for event, expected in zip(told, step["expect"], strict=True):
            assert is_as(event, expected, story.now), f"look {place} told {event}"
        check_always(story)


def test_the_same_story_anywhere_has_the_same_ids() -> None:
    for row in ROWS.values():
        ids = []
        for _ in range(2):
            story = Story(row)
            for step in row["looks"]:
                story.step(step)
            ids.append([event.id for event in story.events])
        assert ids[0] == ids[1]


def test_the_corpus_is_in_order() -> None:
    assert len(FOUND["rows"]) == len(ROWS) >= 40
    known = {"name", "looks", "settle", "words", "watch", "baseline"}
    assert {key for row in ROWS.values() for key in row} <= known
    steps = {key for row in ROWS.values() for look in row["looks"] for key in look}
    assert steps <= {"status", "fields", "after", "asked", "listed", "missing", "wait", "expect"}
