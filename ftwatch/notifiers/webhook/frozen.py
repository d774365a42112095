"""The bytes that are kept of a body: all of it but its secrets, which are put in when it is sent. Pure.

A secret has no place in the database, and one that is replaced should reach what still waits. Where it
belongs stands beside the body, not in it: nothing that an event says can ask for one.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from ftwatch.plugins import Secret

__all__ = ["Changed", "Path", "complete", "is_parted", "keep", "leaves", "mask"]

# What bytes begin with that are not yet a body, as no JSON does.
PARTED = b"ftwatch-body:1 "
HIDDEN = "••••"

Path = tuple[str | int, ...]
"""The way to a value in a tree: keys of maps, places in lists."""


class Changed(Exception):
    """The form has no secret any more where the kept bytes want one."""


def keep(tree: Any) -> bytes:
    """What to keep of a tree; just the body where it holds no Secret.

    Raises ValueError for a text that cannot be sent.
    """
    secrets = [path for path, leaf in leaves(tree) if isinstance(leaf, Secret)]
    for path in secrets:
        tree = _with(tree, path, None)
    return PARTED + msgspec.json.encode((tree, secrets)) if secrets else msgspec.json.encode(tree)


def complete(kept: bytes, form: Any) -> bytes:
    """The body, with the secrets that stand in the form now; always the same bytes for the same secrets.

    Raises LookupError where one cannot be had, Changed where there is none.
    """
    return _filled(kept, lambda path: _secret(form, path))


def mask(kept: bytes) -> bytes:
    """The body as people may see it."""
    return _filled(kept, lambda path: HIDDEN)


def is_parted(kept: bytes) -> bool:
    """Whether secrets may have been left out of it: nothing else is completed."""
    return kept.startswith(PARTED)


def _filled(kept: bytes, find: Any) -> bytes:
    if not is_parted(kept):
        return kept
    tree, secrets = msgspec.json.decode(kept[len(PARTED) :])
    for steps in secrets:
        tree = _with(tree, tuple(steps), find(tuple(steps)))
    return msgspec.json.encode(tree)


def _secret(tree: Any, path: Path) -> str:
    for step in path:
        is_there = (
            step in tree if isinstance(tree, dict) else isinstance(tree, list) and step in range(len(tree))
        )
        tree = tree[step] if is_there else None
    if not isinstance(tree, Secret):
        raise Changed
    return tree.reveal()


def leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All values of a tree that are neither maps nor lists, and the ways to them."""
    if isinstance(tree, dict):
        for key, part in tree.items():
            yield from leaves(part, (*path, key))
    elif isinstance(tree, list):
        for place, part in enumerate(tree):
            yield from leaves(part, (*path, place))
    else:
        yield path, tree


def _with(tree: Any, path: Path, value: Any) -> Any:
    """The tree with another value in one place."""
    if not path:
        return value
    step, *rest = path
    inner = _with(tree[step], tuple(rest), value)
    if isinstance(tree, dict):
        return {**tree, step: inner}
    return [inner if place == step else part for place, part in enumerate(tree)]
