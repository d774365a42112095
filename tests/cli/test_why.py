"""why: which route, which try, and why the others were not told."""

from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit
from ftwatch.core.delivery import Retry, Sent
from ftwatch.core.route import Recipient, Route, Routing
from ftwatch.store import Store


@pytest.fixture
def told(world: Any) -> Any:
    """A job whose first event arrived at the second try, and whose second one waits."""
    world.happen("a", "queued")
    world.try_all(Retry("HTTP 500: busy"))
    world.try_all(Sent("HTTP 200"), at=1_795_000_100.0)
    world.happen("a", "running", at=1_795_000_200.0)
    return world


def test_a_job_is_explained_event_by_event_and_try_by_try(tool: Any, told: Any) -> None:
    out = tool("why", "a").out
    assert "fine_tuning.job.created of openai/a, info" in out
    assert "console: by default; delivered (msg_" in out
    assert "retry in" in out
    assert "HTTP 500: busy" in out
    assert "fine_tuning.job.running of openai/a, info" in out
    assert "the next try: " in out


def test_an_event_and_a_delivery_name_the_same_story(tool: Any, told: Any) -> None:
    first, second = tool("why", "a", "-o", "json").json
    assert [one["outcome"] for one in first["told"][0]["tries"]] == ["retry", "sent"]
    assert first["told"][0]["next_try"] is None
    assert second["told"][0]["state"] == "pending"
    assert second["told"][0]["next_try"].startswith("2026-11-")
    assert tool("why", first["event"], "-o", "json").json == [first]
    assert tool("why", first["told"][0]["delivery"][:14], "-o", "json").json == [first]


@pytest.mark.parametrize("what", ["evt_none", "msg_none", "nobody"])
def test_what_nobody_knows_is_said(tool: Any, told: Any, what: str) -> None:
    said = tool("why", what)
    assert said.code == Exit.NOTHING
    assert said.err


def test_who_was_not_told_is_named_with_the_reason(tool: Any, world: Any) -> None:
    world.happen("a", "queued")
    world.happen("a", "validating_files", at=1_795_000_100.0)
    out = tool("why", "a").out
    assert "console: not told: below the default floor (info)" in out


def test_a_template_that_fails_on_one_event_costs_no_message_and_is_named(
    tool: Any, service: Any, folder: Path
) -> None:
    """The job that fails says no sentence, so that the template's word for it has nothing to show."""
    (folder / "ftwatch.yaml").write_text(
        f"""\
providers: {{openai: {{api_key: sk-1, base_url: {service.url}, baseline: all}}}}
notifiers:
  console: {{stream: stdout}}
routes:
  - match: {{type: "fine_tuning.job.failed"}}
    notify: [console]
    template: {{title: "{{{{ job.id }}}} broke: {{{{ job.error.message.upper() }}}}"}}
"""
    )
    service.put("loud", "failed", finished_at=1_794_999_500, error={"message": "out of luck", "code": "x"})
    service.put("mute", "failed", finished_at=1_794_999_600, error={"code": "x", "message": None})
    said = tool("once")
    assert said.code == 0, said.err
    assert "loud broke: OUT OF LUCK" in said.out
    assert "❌ mute failed" in said.out
    assert "template" not in tool("why", "loud").out
    assert "in the plain form, since template.title: there is no 'upper' in null" in tool("why", "mute").out


def test_it_says_who_is_reminded_and_why_no_more(tool: Any, world: Any) -> None:
    people = (Recipient(name="console", kind="console"),)
    world.routing = Routing(recipients=people, routes=(Route(notify=("console",), remind=14_400.0),))
    world.happen("a", "running")
    world.happen("a", "failed", at=1_795_000_100.0)
    assert "  console: to be reminded, next at " in tool("why", "a").out
    (kept,) = tool("why", "a", "-o", "json").json[-1]["reminders"]
    assert kept == {
        "notifier": "console",
        "told": 0,
        "next": kept["next"],
        "due_at": 1_795_014_500.0,
        "reason": "",
    }
    assert kept["next"].startswith("2026-11-")
    store = Store(world.database)
    store.db.execute("UPDATE reminders SET due_at = NULL, count = 2, reason = 'acknowledged by kim'")
    store.close()
    assert "  console: reminded 2 times, no more (acknowledged by kim)\n" in tool("why", "a").out
