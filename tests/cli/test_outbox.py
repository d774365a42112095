"""outbox: what waits or died is listed, sent again, given up; through the daemon where one runs."""

from pathlib import Path
from typing import Any

import pytest

from ftwatch import control
from ftwatch.cli import Exit
from ftwatch.core.delivery import Rejected, Sent
from ftwatch.store import Store


@pytest.fixture
def dead(world: Any) -> list[str]:
    """Two dead letters of three deliveries, by id."""
    world.happen("a", "running")
    world.try_all(Sent(""))
    world.happen("b", "running")
    world.happen("c", "running")
    world.try_all(Rejected("HTTP 403: no", final=True))
    return ids(world, "dead")


def ids(world: Any, state: str) -> list[str]:
    store = Store(world.database, mode="read")
    try:
        return [one.id for one in store.history.deliveries(state=state)]
    finally:
        store.close()


def test_what_waits_and_what_died_is_listed(tool: Any, world: Any, dead: list[str]) -> None:
    world.happen("d", "running")
    rows = tool("outbox", "list", "-o", "json").json
    assert [(one["state"], one["about"]) for one in rows] == [
        ("pending", "openai/d"),
        ("dead", "openai/c"),
        ("dead", "openai/b"),
    ]
    assert rows[1]["reason"] == "HTTP 403: no"
    assert rows[0]["next"].endswith("Z")
    lines = tool("outbox", "list", "--state", "dead").out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith(dead[0])
    assert "HTTP 403: no" in lines[1]
    assert tool("outbox", "list", "--notifier", "other").out == ""


def test_a_dead_letter_is_sent_again(tool: Any, world: Any, dead: list[str]) -> None:
    said = tool("outbox", "retry", dead[0][:12])
    assert (said.code, said.out) == (Exit.OK, "1 delivery will be sent again\n")
    assert ids(world, "pending") == [dead[0]]


def test_all_dead_letters_of_a_notifier(tool: Any, world: Any, dead: list[str]) -> None:
    assert tool("outbox", "retry", "--all-dead", "--notifier", "other").code == Exit.NOTHING
    assert tool("outbox", "retry", "--all-dead", "--notifier", "console").out.startswith("2 deliveries")
    assert sorted(ids(world, "pending")) == sorted(dead)


def test_giving_up_is_confirmed(tool: Any, world: Any, dead: list[str]) -> None:
    said = tool("outbox", "drop", dead[0])
    assert said.code == Exit.USAGE
    assert "say --yes" in said.err
    assert tool("outbox", "drop", dead[0], "--yes").code == Exit.OK
    assert ids(world, "dead") == dead[1:]


@pytest.mark.parametrize(
    ("args", "code"), [([], Exit.USAGE), (["nope"], Exit.NOTHING), (["msg_"], Exit.USAGE), ([""], Exit.USAGE)]
)
def test_which_ones_must_be_said(tool: Any, world: Any, dead: list[str], args: list[str], code: int) -> None:
    said = tool("outbox", "retry", *args)
    assert (said.code, said.out) == (code, "")
    assert ids(world, "dead") == dead


def test_what_was_delivered_stays_so(tool: Any, world: Any, dead: list[str]) -> None:
    (delivered,) = ids(world, "delivered")
    assert tool("outbox", "retry", delivered).code == Exit.NOTHING
    assert ids(world, "delivered") == [delivered]


def test_a_running_daemon_does_it(
    tool: Any, world: Any, dead: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(path: Path, op: str, **args: Any) -> dict[str, Any]:
        asked.append((path, op, args))
        return {"ids": args["ids"]}

    monkeypatch.setattr(control, "ask", ask)
    assert tool("outbox", "drop", "-y", *dead).code == Exit.OK
    assert asked == [(world.folder / "ftwatch.sock", "outbox.drop", {"ids": dead})]
    assert ids(world, "dead") == dead, "only the daemon writes while it runs"


def test_somebody_else_holds_the_database(tool: Any, world: Any, dead: list[str]) -> None:
    holder = Store(world.database)
    try:
        assert tool("outbox", "retry", *dead).code == Exit.LATER
    finally:
        holder.close()


def test_a_replay_owes_again_what_was_told(tool: Any, world: Any, dead: list[str]) -> None:
    said = tool("replay", "--notifier", "console", "--since", "2020-01-01", "--dead")
    assert (said.code, said.out) == (Exit.OK, "2 deliveries will be sent again to console\n")
    said = tool("replay", "--notifier", "console", "--since", "2020-01-01T00:00:00Z")
    assert said.out == "1 delivery will be sent again to console\n"
    assert len(ids(world, "pending")) == 3
    assert tool("replay", "--notifier", "console", "--since", "1s").code == Exit.NOTHING


@pytest.mark.parametrize("args", [("--since", "soon"), ("--notifier", "nobody")])
def test_a_replay_of_nonsense_is_a_usage_error(
    tool: Any, world: Any, dead: list[str], args: tuple[str, str]
) -> None:
    given = {"--since": "2h", "--notifier": "console", args[0]: args[1]}
    said = tool("replay", *(word for pair in given.items() for word in pair))
    assert said.code == Exit.USAGE
    assert args[1] in said.err
