"""A restored backup goes on: what it forgot is found again, under the very same ids."""

from typing import Any

from ftwatch.cli import Exit
from ftwatch.core.delivery import Sent
from ftwatch.store import Store


def told(world: Any) -> dict[str, str]:
    """Every event, and the id of its delivery."""
    store = Store(world.database, mode="read")
    try:
        return {
            event.id: store.history.deliveries(event=event.id)[0].id for _, event in store.history.events()
        }
    finally:
        store.close()


def test_what_happened_since_the_backup_comes_again_with_the_same_ids(tool: Any, world: Any) -> None:
    world.happen("a", "queued")
    world.happen("b", "running")
    world.try_all(Sent(""))
    copy = world.folder / "copy.db"
    assert tool("backup", str(copy)).code == Exit.OK
    before = told(world)
    world.happen("a", "running")
    world.happen("b", "failed")
    world.happen("c", "queued")
    world.try_all(Sent(""))
    then = told(world)
    assert len(then) > len(before)

    for left in world.folder.glob("ftwatch.db*"):
        left.unlink()
    copy.rename(world.database)
    assert told(world) == before
    world.happen("a", "running")
    world.happen("b", "failed")
    world.happen("c", "queued")
    assert told(world) == then, "a receiver that remembers ids notices every one of them"
