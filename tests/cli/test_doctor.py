"""doctor: what is wrong is found, said with what to do about it, and left as it is."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ftwatch.cli import Exit
from ftwatch.core.delivery import Rejected
from ftwatch.store import Store, place


def examined(tool: Any, *args: str) -> tuple[int, dict[str, tuple[str, str]]]:
    said = tool("doctor", "-o", "json", *args)
    return said.code, {one["what"]: (one["state"], one["said"] + one["do"]) for one in said.json["findings"]}


def test_where_all_is_well_it_says_so(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    world.database.chmod(0o600)
    code, found = examined(tool)
    assert code == Exit.OK
    assert {what for what, (state, _) in found.items() if state == "error"} == set()
    for what in ("ftwatch", "SQLite", "disk", "database", "messages"):
        assert found[what][0] == "well", found[what]
    assert "whole" in found["database"][1]
    assert found["daemon"] == ("warning", "is not running`ftwatch run` starts it.")
    table = tool("doctor")
    assert table.out.splitlines()[0].split() == ["LOOKED", "AT", "STATE", "FOUND"]
    assert "daemon: `ftwatch run` starts it." in table.out


def test_before_the_first_start_it_says_what_comes(tool: Any, world: Any) -> None:
    code, found = examined(tool)
    assert code == Exit.OK
    assert found["database"] == ("warning", f"there is none at {world.database} yet`ftwatch run` makes it.")
    assert list(Path(world.folder).glob("ftwatch.db*")) == [], "looking makes nothing"


def test_a_config_with_mistakes_is_an_error(tool: Any, world: Any) -> None:
    world.path.write_text("providers: {openai: {polll: 3s}}\n")
    code, found = examined(tool)
    assert code == Exit.NO
    assert found["config"][0] == "error"
    assert "polll" in found["config"][1]


def test_a_damaged_database_is_an_error_with_the_way_back(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    content = bytearray(world.database.read_bytes())
    content[8192 : 8192 + 256] = bytes(range(256))
    world.database.write_bytes(content)
    code, found = examined(tool)
    assert code == Exit.NO
    assert found["database"][0] == "error"
    assert "cp BACKUP" in found["database"][1]
    assert world.database.read_bytes() == bytes(content)


def test_a_newer_and_a_foreign_file_are_errors(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    with closing(sqlite3.connect(world.database)) as file:
        file.execute("PRAGMA user_version = 77")
    assert "run the newer ftwatch" in examined(tool)[1]["database"][1]
    world.database.unlink()
    with closing(sqlite3.connect(world.database)) as file:
        file.execute("CREATE TABLE bookmarks (url)")
    assert "another program" in examined(tool)[1]["database"][1]


def test_what_everybody_may_read_is_a_warning(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    world.database.chmod(0o644)
    code, found = examined(tool)
    assert (code, found["rights"][0]) == (Exit.OK, "warning")
    assert f"chmod o-rwx {world.database}" in found["rights"][1]


@pytest.mark.parametrize(("free", "state"), [(0, "error"), (9 * place.MIB, "warning")])
def test_a_disk_without_room(
    tool: Any, world: Any, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    monkeypatch.setattr(place.Room, "free", free)
    code, found = examined(tool)
    assert found["disk"][0] == state
    assert "room" in found["disk"][1]
    assert code == (Exit.NO if state == "error" else Exit.OK)


def test_a_network_is_no_place(tool: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = Path(world.folder) / "mounts"
    mounts.write_text(f"server:/x {Path(world.folder).resolve()} nfs4 rw 0 0\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    assert examined(tool)[1]["disk"][0] == "error"


def test_a_daemon_that_hangs_is_told_from_one_that_is_not_there(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    held = place.lock(world.database)
    try:
        state, said = examined(tool)[1]["daemon"]
    finally:
        os.close(held)
    assert state == "error"
    assert f"process {os.getpid()}" in said
    assert "if it hangs, restart it" in said


def test_the_dead_and_the_switched_off_are_named(tool: Any, world: Any) -> None:
    world.happen("a", "running")
    world.try_all(Rejected("HTTP 403: no", final=True))
    store = Store(world.database)
    store.outbox.disable("console", "HTTP 410")
    store.mark(4e9)
    store.close()
    code, found = examined(tool)
    assert code == Exit.OK
    assert "1 died" in found["messages"][1]
    assert "switched off: console" in found["notifiers"][1]
    assert "was set back" in found["clock"][1]
