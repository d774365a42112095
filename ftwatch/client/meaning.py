"""What an HTTP answer means for a delivery: said once, for all notifiers. Knows no library."""

import email.utils
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC

from ftwatch.client.failure import Refused, Unreachable
from ftwatch.core.delivery import Outcome, Rejected, Retry, Sent
from ftwatch.log import redacted

__all__ = ["Response", "failure_of", "outcome_of", "retry_after"]


class Response:
    """A complete answer: status, headers (names in lower case) and the body, inflated."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def text(self, limit: int = 300) -> str:
        """The beginning of the body as one printable line, for reasons."""
        # Struck before it is cut: half a secret would not be known.
        text = redacted(self.body[: limit * 4 + 4096].decode("utf-8", "replace"))
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]


_NUMBER = re.compile(r"[0-9]{1,400}(\.[0-9]{1,20})?")


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds to wait by `retry-after-ms` or `retry-after` (number or HTTP date), None if neither is usable.

    Header names in lower case. Negative, past, non-finite, unparsable values and any over a year say nothing.
    """
    year = 365 * 86400
    given, unit = headers.get("retry-after-ms", "").strip(" \t"), 1000
    if not _NUMBER.fullmatch(given):
        given, unit = headers.get("retry-after", "").strip(" \t"), 1
    if not given:
        return None
    if _NUMBER.fullmatch(given):
        wait = float(given) / unit
    else:
        try:
            moment = email.utils.parsedate_to_datetime(given)
            # Dates of HTTP are in UTC, also those of the old form that does not say so.
            wait = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now()
        except (ValueError, OverflowError):
            return None
    return math.ceil(wait * 10) / 10 if math.isfinite(wait) and 0 < wait <= year else None


# A receiver whose answer is one of these may well take the same request later.
_TRANSIENT = frozenset({408, 409, 423, 425, 500, 502, 503, 504})
_SLUGGISH = frozenset({502, 504})


def outcome_of(response: Response, now: Callable[[], float] = time.time) -> Outcome:
    """What an HTTP answer means for a delivery, alike for every notifier that speaks HTTP."""
    reason = f"HTTP {response.status}"
    if response.ok:
        return Sent(reason)
    if 300 <= response.status < 400:
        return Rejected(f"{reason}: redirects are not followed, update the URL")
    if response.status == 410:
        return Rejected(f"{reason}: the receiver is gone for good", disable=True)
    detail = response.text(160)
    reason = f"{reason}: {detail}" if detail else reason
    wish = retry_after(response.headers, now)
    if response.status == 429:
        return Retry(reason, after=wish, throttled=True)
    if response.status in _SLUGGISH:
        return Retry(reason, after=max(wish or 0.0, 60.0))
    if response.status in _TRANSIENT or response.status >= 500:
        return Retry(reason, after=wish)
    return Rejected(reason)


def failure_of(error: Unreachable) -> Outcome:
    """What no answer at all means for a delivery."""
    if isinstance(error, Refused):
        return Rejected(error.reason)
    return Retry(error.reason, after=60.0 if error.timeout else None, unreachable=True)
