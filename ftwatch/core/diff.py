"""What changed? The difference of two snapshots, leaf by leaf.

A change names a leaf by its dotted path (`hyperparameters.n_epochs`), also when its parent appears or
goes; lists are compared and shown whole, because an index means nothing to a reader. Which changes are
news and which are volatile is said here too, once.
"""

from collections.abc import Iterator
from itertools import compress
from operator import ne
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import astuple

from ftwatch.core.job import Snapshot, Status

__all__ = ["Change", "diff", "is_volatile"]

FIELDS = Snapshot.__struct_fields__
# Where an answer came from, not what it said: never a change.
IDENTITY = frozenset({"id", "object", "provider", "kind"})
# Nor is the provider's word for a status a change beside that of the status.
WITH_STATUS = IDENTITY | {"status", "raw_status"}

# What is a leaf by itself, as most fields are.
SIMPLE = (str, int, float, type(None))

VOLATILE = ("estimated_finish", "progress", "started_at")


class Change(Struct, frozen=True):
    """One field that differs: its dotted path, and its value before and after (None = absent)."""

    field: str
    before: Any
    after: Any


def diff(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Every leaf that differs between two looks at one job; `status` first, then in field order.

    The provider's own word for a status is no change of its own beside the change of status.
    """
    if before == after:
        return ()
    changes, passed = [], IDENTITY
    if before.status is not after.status:
        changes, passed = [Change("status", str(before.status), str(after.status))], WITH_STATUS
    olds, news = astuple(before), astuple(after)
    # Most fields are as they were; they are passed over without a step of Python for each.
    for name, old, new in compress(zip(FIELDS, olds, news, strict=True), map(ne, olds, news)):
        if name in passed:
            continue
        if isinstance(old, SIMPLE) and isinstance(new, SIMPLE):
            changes.append(Change(name, old, new))
        else:
            changes += _leaves(name, to_builtins(old), to_builtins(new))
    return tuple(changes)


def is_volatile(change: Change, status: Status) -> bool:
    """Whether a change is mere movement (a progress bar), not news, for a job in this status."""
    root = change.field.partition(".")[0]
    return root in VOLATILE or (root == "trained_tokens" and not status.is_terminal)


def _leaves(path: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, dict) or isinstance(new, dict):
        before = old if isinstance(old, dict) else {}
        after = new if isinstance(new, dict) else {}
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                yield from _leaves(f"{path}.{key}", before.get(key), after.get(key))
        # A scalar that became a map (or the reverse) has a leaf of its own to tell of.
        lost = None if isinstance(old, dict) else old
        gained = None if isinstance(new, dict) else new
        if lost is not None or gained is not None:
            yield Change(path, lost, gained)
    elif old != new:
        yield Change(path, _plain(old), _plain(new))


def _plain(value: Any) -> Any:
    """A change reads the same before it is stored and after: JSON knows lists, not tuples."""
    return list(value) if isinstance(value, tuple) else value
