"""What HTTP servers answered to another library, which keeps it to itself.

Apprise posts by way of `requests` and says only whether it worked. While somebody listens, what that library
is answered in the same context is noted; it goes its way as before, and nobody else's requests are heard.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

from msgspec.structs import replace

from ftwatch.client.meaning import Response, outcome_of
from ftwatch.core.delivery import Outcome, Retry, Sent
from ftwatch.core.span import DAY

__all__ = ["Busy", "Heard", "overhearing"]

# The most of an answer that is looked at.
LARGEST_ANSWER = 64 * 1024
# No server's wish to be left alone is longer than this (seconds).
LONGEST_WISH = float(DAY)


class Busy(Exception):
    """A server asked to be left alone for a while."""


class Heard:
    """What was answered while somebody listened: the last refusal, or that no answer came."""

    def __init__(self) -> None:
        self._refusal: Response | None = None
        self._silence: str | None = None

    def answered(self, status: int, headers: Any, body: bytes) -> None:
        """Notes an answer that is no consent."""
        if not 200 <= status < 300:
            self._refusal = Response(status, dict(headers), body[:LARGEST_ANSWER])

    def failed(self, error: BaseException) -> None:
        """Notes that no answer came."""
        self._silence = type(error).__name__

    def pace(self, wait: Callable[..., None], /, *how: Any, **more: Any) -> None:
        """Waits as before, unless a server asked for patience. Raises Busy."""
        if self._refusal is not None and self._refusal.status == 429:
            raise Busy
        wait(*how, **more)

    @property
    def outcome(self) -> Outcome | None:
        """What it means for a delivery; None where nothing was heard that would say why."""
        if self._refusal is not None:
            outcome = outcome_of(self._refusal)
            if isinstance(outcome, Retry) and (wish := _wish(self._refusal.body)) is not None:
                return replace(outcome, after=max(wish, outcome.after or 0.0))
            if not isinstance(outcome, Sent):
                return outcome
        if self._silence is not None:
            return Retry(f"no answer ({self._silence})", unreachable=True)
        return None


def _wish(body: bytes) -> float | None:
    """How long a server wants to be left alone, in seconds, where its JSON says so.

    Discord: `{"retry_after": 0.3}`; Telegram: `{"parameters": {"retry_after": 5}}`.
    """
    try:
        said = json.loads(body)
    except ValueError:
        return None
    places = [said, said.get("parameters")] if isinstance(said, dict) else []
    for place in places:
        wish = place.get("retry_after") if isinstance(place, dict) else None
        if isinstance(wish, int | float) and wish >= 0:
            return min(float(wish), LONGEST_WISH)
    return None


_listening: ContextVar[Heard | None] = ContextVar("listening", default=None)


@contextmanager
def overhearing() -> Iterator[Heard]:
    """Listens for as long as the context lasts, in this thread."""
    # Imported late: few notifiers need that library.
    import requests

    session: Any = requests.Session
    if not hasattr(session.send, "__wrapped__"):
        session.send = _overheard(session.send)
    heard = Heard()
    token = _listening.set(heard)
    try:
        yield heard
    finally:
        _listening.reset(token)


def _overheard(send: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(send)
    def sending(*how: Any, **more: Any) -> Any:
        heard = _listening.get()
        if heard is None:
            return send(*how, **more)
        try:
            answer = send(*how, **more)
        except OSError as error:
            heard.failed(error)
            raise
        heard.answered(answer.status_code, answer.headers, answer.content)
        return answer

    return sending
