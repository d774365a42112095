"""What changed? The difference of two snapshots, leaf by leaf.

A change names a leaf by its dotted path (`hyperparameters.n_epochs`), also when its parent appears or
goes; lists are compared and shown whole, because an index means nothing to a reader. Which changes are
news and which are volatile is said here too, once.
"""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from msgspec import Struct, to_builtins
from msgspec.structs import astuple

from ftwatch.core.job import Progress, Snapshot, Status

__all__ = ["Change", "diff", "is_volatile", "news_among"]

FIELDS = Snapshot.__struct_fields__
# Where an answer came from, not what it said: never a change.
IDENTITY = frozenset({"id", "object", "provider", "kind"})
# Nor is the provider's word for a status a change beside that of the status.
WITH_STATUS = IDENTITY | {"status", "raw_status"}

# What moves while a job goes on, in the order of the fields.
MOVING = (
    "error",
    "fine_tuned_model",
    "finished_at",
    "result_files",
    "trained_tokens",
    "estimated_finish",
    "raw_status",
    "phase",
    "started_at",
    "progress",
)
# What its creator chose hardly ever changes: of two looks it is compared at one stroke.
CHOSEN = tuple(name for name in FIELDS if name not in {*IDENTITY, "status", *MOVING})
moving = itemgetter(*map(FIELDS.index, MOVING))
chosen = itemgetter(*map(FIELDS.index, CHOSEN))

# Fields that are no leaves by themselves.
COMPOUND = frozenset(
    {
        "error",
        "hyperparameters",
        "result_files",
        "integrations",
        "method",
        "metadata",
        "labels",
        "progress",
    }
)

VOLATILE = frozenset(
    {
        "estimated_finish",
        "started_at",
        "progress",
        *(f"progress.{name}" for name in Progress.__struct_fields__),
    }
)
# How many tokens it has seen is news once it has ended.
VOLATILE_YET = VOLATILE | {"trained_tokens"}


class Change(Struct, frozen=True, gc=False):
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
    names, olds, news = FIELDS, astuple(before), astuple(after)
    if chosen(olds) == chosen(news):
        names, olds, news = MOVING, moving(olds), moving(news)
    changes, passed = [], IDENTITY
    if before.status is not after.status:
        changes, passed = [Change("status", before.status.word, after.status.word)], WITH_STATUS
    for name, old, new in zip(names, olds, news, strict=True):
        if old is new or old == new or name in passed:
            continue
        if name not in COMPOUND:
            changes.append(Change(name, old, new))
        elif isinstance(new, tuple):
            # As it reads once it was stored: JSON knows lists, not tuples.
            changes.append(Change(name, list(old), list(new)))
        else:
            changes += _leaves(name, to_builtins(old), to_builtins(new))
    return tuple(changes)


def is_volatile(change: Change, status: Status) -> bool:
    """Whether a change is mere movement (a progress bar), not news, for a job in this status."""
    return change.field in (VOLATILE if status.is_terminal else VOLATILE_YET)


def news_among(changes: Sequence[Change], status: Status) -> list[Change]:
    """The changes that are more than mere movement, for a job in this status."""
    volatile = VOLATILE if status.is_terminal else VOLATILE_YET
    return [change for change in changes if change.field not in volatile]


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
