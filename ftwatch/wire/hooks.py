"""What do webhooks say? OpenAI's own form, which most others have too; GitHub's; Amazon EventBridge's. Pure.

That they are their sender's has been proved before (`core.inbound`); here they are only read.
"""

import re
from collections.abc import Iterable
from typing import Any

from ftwatch.plugins import Hook, Unreadable
from ftwatch.wire import lenient

__all__ = ["eventbridge", "github", "openai"]

TUNING = "fine_tuning."
# Our own words are not for strangers to say.
OWN = "ftwatch."
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}")


def openai(body: bytes) -> Hook:
    """`{"type": …, "data": {"id": …}}`, about a fine-tuning job or anything else. Raises Unreadable."""
    found = _object(body)
    type = _type(found.get("type"))
    about = lenient.at(found, "data.id")
    hook = Hook(
        type=type,
        id=lenient.some(found.get("id")) or "",
        about=lenient.some(about) or "",
        created_at=lenient.moment(found.get("created_at") or found.get("timestamp")),
    )
    if type.startswith(TUNING):
        return Hook(type=type, id=hook.id, jobs=(lenient.identifier(about),))
    return hook


def github(body: bytes, event: str) -> Hook:
    """An event of GitHub's, whose type stands in the header `x-github-event`. Raises Unreadable."""
    found = _object(body)
    action = lenient.some(found.get("action"))
    type = _type(f"github.{event}.{action}" if action else f"github.{event}")
    return Hook(type=type, about=lenient.some(lenient.at(found, "repository.full_name")) or "")


def eventbridge(body: bytes, jobs: Iterable[tuple[str, str]]) -> Hook:
    """An event as Amazon EventBridge delivers it. Raises Unreadable.

    `jobs` are the detail types that are about a job, each with the path of its id below `detail`.
    """
    found = _object(body)
    sort, source = lenient.some(found.get("detail-type")), lenient.some(found.get("source"))
    if sort is None or source is None:
        raise Unreadable("no event of EventBridge's: it has no detail-type, or no source")
    id = lenient.some(found.get("id")) or ""
    path = dict(jobs).get(sort)
    if path is not None:
        return Hook(type=sort, id=id, jobs=(lenient.identifier(lenient.at(found, f"detail.{path}")),))
    about = lenient.strings(dict(enumerate(_list(found.get("resources"))))).values()
    return Hook(
        type=_type(f"{source}.{re.sub(r'[^a-z0-9]+', '_', sort.lower()).strip('_')}"),
        id=id,
        about=next(iter(about), ""),
        created_at=lenient.moment(found.get("time")),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        body.decode()
    except UnicodeDecodeError:
        raise Unreadable("the body is no UTF-8") from None
    try:
        return lenient.document(body)
    except Unreadable:
        raise Unreadable("the body is no JSON object") from None


def _type(value: object) -> str:
    word = lenient.text(value)
    if word is None or not _TYPE.fullmatch(word):
        raise Unreadable("the event has no type that routes could name")
    if word.startswith(OWN):
        raise Unreadable(f"the type {word} is one of ftwatch's own")
    return word


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
