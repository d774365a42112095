"""Where a service sends its webhooks: endpoints as OpenAI's API lists and makes them. Pure."""

from typing import Any

from ftwatch.plugins import Endpoint, ProviderError, Secret, Unreadable
from ftwatch.wire import lenient

__all__ = ["made", "page", "status", "types"]


def page(body: bytes) -> tuple[list[Endpoint], str | None]:
    """The endpoints on one page, and the anchor of the next (None at the end). Raises ProviderError."""
    raw, rest = lenient.parted(body, "data")
    found = []
    for one in lenient.documents(raw):
        try:
            found.append(_endpoint(one))
        except Unreadable:
            continue  # One that cannot be read hides no other.
    last = lenient.some(rest.get("last_id")) or (found[-1].id if found else None)
    return found, last if lenient.yes(rest.get("has_more")) else None


def made(body: bytes) -> Endpoint:
    """The endpoint that was made, or got another secret. Raises ProviderError, which repeats no secret."""
    try:
        return _endpoint(lenient.document(body))
    except Unreadable:
        raise ProviderError("the answer is no webhook endpoint") from None


def types(body: bytes) -> list[str]:
    """The types of events that there are. Raises ProviderError."""
    found = []
    for raw in lenient.entries(body, "data"):
        try:
            word = lenient.some(lenient.loads(raw))
        except (ValueError, RecursionError):
            continue
        if word is not None:
            found.append(word)
    return found


def status(body: bytes) -> int:
    """The HTTP status with which an endpoint answered a sample event. Raises ProviderError."""
    try:
        found = lenient.count(lenient.document(body).get("status_code"))
    except Unreadable:
        found = None
    if found is None:
        raise ProviderError("the answer does not say what became of the sample event")
    return found


def _endpoint(found: dict[str, Any]) -> Endpoint:
    """Raises Unreadable."""
    secret = lenient.some(found.get("signing_secret"))
    named = found.get("event_types")
    return Endpoint(
        id=lenient.identifier(found.get("id")),
        url=lenient.some(found.get("url")) or "",
        name=lenient.some(found.get("name")) or "",
        types=tuple(filter(None, map(lenient.some, named))) if isinstance(named, list) else (),
        created_at=lenient.moment(found.get("created_at")),
        secret=Secret(secret) if secret is not None else None,
    )
