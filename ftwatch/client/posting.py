"""Posting JSON to a service for people: one request, and what its answer means for a delivery."""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from ftwatch.client import Client, Response, Unreachable, failure_of, outcome_of
from ftwatch.core.delivery import Outcome, Sent
from ftwatch.core.message import clean
from ftwatch.log import hide, redacted

__all__ = ["authorization", "post_json"]

# An answer is only looked at for its status and a few words.
LARGEST_ANSWER = 64 * 1024
LONGEST_WORDS = 300


async def post_json(
    client: Client,
    url: str,
    what: Any,
    *,
    headers: Mapping[str, str] | None = None,
    deadline: float,
    complaint: Callable[[Any], str | None],
) -> Outcome:
    """Posts `what`. `complaint` finds the service's own words in the JSON that it refuses with."""
    try:
        response = await client.request(
            "POST",
            url,
            headers={**(headers or {}), "content-type": "application/json"},
            content=json.dumps(what).encode(),
            deadline=deadline,
            cap=LARGEST_ANSWER,
            head_is_enough=True,
        )
    except Unreachable as error:
        return failure_of(error)
    outcome = outcome_of(response)
    said = None if isinstance(outcome, Sent) else _said(response, complaint)
    return replace(outcome, reason=f"HTTP {response.status}: {said}") if said else outcome


def _said(response: Response, complaint: Callable[[Any], str | None]) -> str | None:
    try:
        found = complaint(json.loads(response.body))
    except (ValueError, RecursionError):
        return None
    return clean(redacted(found), LONGEST_WORDS) if found else None


def authorization(token: str | None, username: str | None, password: str | None) -> dict[str, str]:
    """The header by which a service knows who posts: a token before a name with its password."""
    if token is not None:
        return {"authorization": f"Bearer {token}"}
    if username is not None:
        login = "Basic " + b64encode(f"{username}:{password or ''}".encode()).decode()
        # The log knows the password, not what base64 makes of it.
        hide(login)
        return {"authorization": login}
    return {}
