"""How fast may we ask? A rate budget for one account, and how long to wait after failures.

The budget belongs to one account and is told the time (monotonic seconds); it never reads a clock. It slows
down as the server's own figures shrink, so that the wall is met seldom, and obeys it when it is met.
"""

import math
import re
from collections.abc import Mapping

from ftwatch.core.span import HOUR, MINUTE

__all__ = ["Budget", "backoff", "span_of"]

LONGEST_BLOCK = HOUR
LONGEST_BACKOFF = 5 * MINUTE
# After a refusal without a word on how long, wait this long.
SHORTEST_BLOCK = 1.0
# How slow a budget gets by refusals alone, and how fast it recovers with each good answer.
SLOWEST = 1 / 32
RECOVERY = 1.05


def backoff(failures: int, luck: float) -> float:
    """Seconds to wait after so many failures in a row (1, 2, …): 1 s doubling to 5 min.

    `luck` in [0, 1) takes up to half of it away, so that many clients do not come back together.
    """
    whole = min(LONGEST_BACKOFF, 2.0 ** min(max(failures, 1) - 1, 20))
    return whole * (1 - luck / 2)


class Budget:
    """A token bucket: `rate` requests per second in the long run, `burst` at once after a rest.

    Every method takes `now`, monotonic seconds. Time that jumps back counts as no time gone by.
    """

    def __init__(self, rate: float, burst: float | None = None) -> None:
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError("a rate is a number above 0")
        self._rate = rate
        burst = max(1.0, min(rate, 10.0)) if burst is None else max(1.0, burst)
        # How far a request may run ahead of an even pace.
        self._ahead = (burst - 1) / rate
        self._even_at = -math.inf
        self._blocked_until = -math.inf
        self._factor = 1.0
        self._spread = 0.0
        self._spread_until = -math.inf
        self._now = -math.inf

    def wait(self, now: float) -> float:
        """Takes one token; the seconds to wait before it may be used."""
        start = self._start(now)
        self._even_at = max(self._even_at, start) + self._interval(start)
        return start - now

    def delay(self, now: float) -> float:
        """The seconds that `wait` would say, taking nothing."""
        return self._start(now) - now

    def blocked(self, now: float) -> float:
        """The seconds for which the server wants no request at all."""
        self._turn_to(now)
        return max(0.0, self._blocked_until - now)

    def left(self, now: float) -> float:
        """How many requests may go out at once, none of them waiting: from 0 to the burst."""
        if self._start(now) > now:
            return 0.0
        return (now + self._ahead - max(self._even_at, now)) / self._interval(now) + 1

    def pace(self, now: float) -> float:
        """How many requests a second there may be in the long run, by all that is known now."""
        self._turn_to(now)
        return 1 / self._interval(now)

    def learn(self, status: int, headers: Mapping[str, str], now: float) -> None:
        """What an answer says about the pace. Header names in lower case; nonsense is passed over."""
        self._turn_to(now)
        remaining, reset = _left(headers)
        if remaining is not None and reset is not None and reset > 0:
            # What is left, spread over the time until there is more. A bucket that refills settles at half.
            self._spread = min(reset / max(remaining, 1.0), LONGEST_BLOCK)
            self._spread_until = now + min(reset, LONGEST_BLOCK)
            if remaining < 1:
                self._block(now, reset)
        wish = _wish(headers)
        if status == 429:
            self._factor = max(SLOWEST, self._factor / 2)
            self._block(now, wish or SHORTEST_BLOCK / self._factor)
        elif status == 503 and wish:
            self._block(now, wish)
        elif status < 400:
            self._factor = min(1.0, self._factor * RECOVERY)

    def _block(self, now: float, seconds: float) -> None:
        """No request before `seconds` are over, and no burst then."""
        until = now + min(seconds, LONGEST_BLOCK)
        if until > self._blocked_until:
            self._blocked_until = until
            self._even_at = max(self._even_at, until + self._ahead)

    def _start(self, now: float) -> float:
        self._turn_to(now)
        return max(now, self._blocked_until, self._even_at - self._ahead)

    def _interval(self, at: float) -> float:
        even = 1 / (self._rate * self._factor)
        return max(even, self._spread) if at < self._spread_until else even

    def _turn_to(self, now: float) -> None:
        """Where time jumped back, everything that waits for a moment waits as long as before."""
        back = self._now - now
        if back > 0 and math.isfinite(back):
            self._even_at -= back
            self._blocked_until -= back
            self._spread_until -= back
        self._now = now


# No span is longer, and the pattern takes time by the square of a text's length.
LONGEST_SPAN = 40
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(h|ms|µs|μs|us|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


def span_of(text: str) -> float | None:
    """Seconds in a Go duration (`1s`, `6m0s`, `20ms`) or a plain number of seconds; None for anything else.

    A number that can only be a date (years of seconds) says nothing either.
    """
    text = text.strip()
    if len(text) > LONGEST_SPAN:
        return None
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        plain = _number(text)
        if plain is None:
            return None
        seconds = plain
    return seconds if seconds <= 366 * 86400 else None


# How services say what is left of their budget, and for how long: OpenAI and many others, the header fields
# that the IETF works on, as structured fields (Hugging Face) and before that.
_FIELDS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
)
_STRUCTURED = re.compile(r"r=(\d{1,9})\s*;\s*t=(\d{1,9})(?:\s*[;,]|$)")


def _left(headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """How many requests are left, and for how many seconds; None where an answer does not say."""
    for remaining, reset in _FIELDS:
        if remaining in headers:
            return _number(headers[remaining]), span_of(headers.get(reset, ""))
    # Of several budgets the one that ends first counts.
    found = [
        (float(left), float(span)) for left, span in _STRUCTURED.findall(headers.get("ratelimit", "")[:500])
    ]
    return min(found, default=(None, None))


def _wish(headers: Mapping[str, str]) -> float | None:
    """Seconds by `retry-after-ms` or `retry-after`; a date needs a wall clock and is left to the caller."""
    milliseconds = _number(headers.get("retry-after-ms"))
    seconds = _number(headers.get("retry-after")) if milliseconds is None else milliseconds / 1000
    return seconds if seconds and seconds <= 366 * 86400 else None


def _number(text: str | None) -> float | None:
    """A finite number from 0 up."""
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
