"""How fast may we ask? One rate budget per account, and how long to leave a failing one alone.

Seconds are the caller's monotonic seconds; nothing here reads a clock.
"""

import re
from collections.abc import Mapping

__all__ = ["Budget", "backoff"]

SHORTEST, LONGEST = 1.0, 300.0
# Below this share of what the provider allows, asking slows down before the wall is hit.
LOW = 0.2

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def backoff(failures: int, luck: float) -> float:
    """Seconds to wait after so many failures in a row: 1 s, doubling to 5 min, each up to a quarter less."""
    wait = min(SHORTEST * 2.0 ** min(max(failures, 1) - 1, 20), LONGEST)
    return wait * (1 - luck / 4)


class Budget:
    """A token bucket of `rate` requests a second that learns what the provider really allows."""

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self.rate = rate
        self._burst = burst if burst is not None else max(1.0, rate)
        self._tokens = self._burst
        self._at: float | None = None
        self._closed_until = 0.0

    def reserve(self, now: float) -> float:
        """Takes one request from the budget and says how long to wait (seconds) before it may leave."""
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        self._tokens -= 1
        wait = max(0.0, -self._tokens / self.rate)
        return max(wait, self._closed_until - now)

    def learn(self, status: int, headers: Mapping[str, str], now: float, retry_after: float | None) -> None:
        """Obeys an answer: `retry_after` seconds of a refusal, and `x-ratelimit-*` before one comes."""
        if status in (429, 503) and retry_after is not None:
            self._close(now + min(retry_after, LONGEST))
            return
        limit = _number(headers.get("x-ratelimit-limit-requests"))
        left = _number(headers.get("x-ratelimit-remaining-requests"))
        reset = _span(headers.get("x-ratelimit-reset-requests"))
        if left is None or reset is None or not limit:
            return
        if left <= 0:
            self._close(now + min(reset, LONGEST))
        elif left < limit * LOW:
            # What is left is spread over what remains of the provider's own window.
            self._close(now + min(reset / left, LONGEST))

    def _close(self, until: float) -> None:
        self._closed_until = max(self._closed_until, until)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _span(text: str | None) -> float | None:
    """Seconds in `6m0s`, `20ms`, `1.5`; None where it is neither."""
    if text is None:
        return None
    parts = _SPAN.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return float(sum(float(number) * _SECONDS[unit] for number, unit in parts))
    return _number(text)
