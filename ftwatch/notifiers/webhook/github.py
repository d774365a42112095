"""What GitHub takes as a repository dispatch, so that `check` finds what would be refused at night. Pure.

The limits are those of GitHub's own description of its REST API, read in November 2026.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ftwatch.plugins import Secret

__all__ = ["is_dispatch", "objections"]

LONGEST_TYPE = 100
MOST_PROPERTIES = 10
LARGEST_PAYLOAD = 64 * 1024
TAKEN = ("event_type", "client_payload")

_DISPATCH = re.compile(r"/repos/[^/]+/[^/]+/dispatches/?")


def is_dispatch(url: str) -> bool:
    """Whether this address starts workflows, at GitHub itself or on a server of one's own."""
    return bool(re.search(f"{_DISPATCH.pattern}$", urlsplit(url).path))


def objections(tree: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """What GitHub has against a body, as (path in it, sentence)."""
    if not isinstance(tree, dict):
        yield (), "GitHub takes a mapping with event_type and client_payload"
        return
    for key in tree:
        if key not in TAKEN:
            yield (
                (key,),
                "GitHub takes event_type and client_payload only: put it into the latter",
            )
    yield from _type(tree.get("event_type"))
    yield from _payload(tree.get("client_payload", {}))


def _type(found: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    if found is None:
        yield (), "GitHub needs an event_type, by which a workflow is chosen"
    elif isinstance(found, str) and len(found) > LONGEST_TYPE:
        yield ("event_type",), f"GitHub takes at most {LONGEST_TYPE} characters, and this has {len(found)}"
    elif not isinstance(found, Secret) and (not isinstance(found, str) or not found):
        yield ("event_type",), "GitHub takes a text that is not empty"


def _payload(found: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    where = ("client_payload",)
    if not isinstance(found, dict):
        yield where, "GitHub takes a mapping"
        return
    if len(found) > MOST_PROPERTIES:
        yield (
            where,
            f"GitHub takes at most {MOST_PROPERTIES} keys, and these are {len(found)}: put some into one",
        )
    size = len(msgspec.json.encode(found, enc_hook=lambda secret: "•" * 4))
    if size >= LARGEST_PAYLOAD:
        yield where, f"GitHub takes less than {LARGEST_PAYLOAD // 1024} KiB, and this is {size / 1024:.0f}"
