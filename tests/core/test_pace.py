"""The budget, told the time in tables and at random."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.pace import LONGEST_BLOCK, Budget, backoff, span_of


def spent(budget: Budget, now: float, count: int) -> list[float]:
    """The waits of so many requests that are asked for at one moment."""
    return [round(budget.wait(now), 3) for _ in range(count)]


def limits(limit: object, remaining: object, reset: str) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(limit),
        "x-ratelimit-remaining-requests": str(remaining),
        "x-ratelimit-reset-requests": reset,
    }


# ---------------------------------------------------------------------------------------------- the bucket


def test_a_burst_then_an_even_pace() -> None:
    assert spent(Budget(2, burst=3), 50, 6) == [0, 0, 0, 0.5, 1, 1.5]


def test_a_rest_fills_the_bucket_again_but_not_over() -> None:
    budget = Budget(2, burst=3)
    spent(budget, 50, 6)
    assert spent(budget, 53, 2) == [0, 0]
    assert spent(budget, 9999, 5) == [0, 0, 0, 0.5, 1]


def test_a_slow_rate_has_no_burst() -> None:
    assert spent(Budget(0.1), 0, 3) == [0, 10, 20]


def test_asking_for_the_delay_takes_nothing() -> None:
    budget = Budget(1, burst=1)
    assert budget.wait(0) == 0
    assert [budget.delay(0) for _ in range(3)] == [1, 1, 1]
    assert budget.wait(0) == 1


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_a_rate_is_a_number_above_nothing(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Budget(rate)


def test_a_clock_that_jumps_back_neither_stalls_nor_gives_away() -> None:
    budget = Budget(1, burst=1)
    assert spent(budget, 1_000_000, 2) == [0, 1]
    assert spent(budget, 5, 1) == [2], "as if no time had gone by"
    assert spent(budget, 7, 1) == [1]
    budget.learn(429, {"retry-after": "10"}, 8)
    assert budget.blocked(3) == 10


# ------------------------------------------------------------------------------------------- what it learns


@pytest.mark.parametrize(
    ("status", "headers", "blocked"),
    [
        (429, {"retry-after": "7"}, 7),
        (429, {"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (429, {}, 2),
        (429, {"retry-after": "soon"}, 2),
        (429, {"retry-after": "-5"}, 2),
        (429, {"retry-after": "nan"}, 2),
        (429, {"retry-after": "1e300"}, 2),
        (429, {"retry-after": "86400"}, LONGEST_BLOCK),
        (429, limits(60, 0, "20s"), 20),
        (503, {"retry-after": "7"}, 7),
        (503, {}, 0),
        (500, {"retry-after": "7"}, 0),
        (200, {"retry-after": "7"}, 0),
        (200, limits(60, 0, "6m0s"), 360),
        (200, limits(60, 0, "9999h"), 0),
        (200, limits(60, 1, "6m0s"), 0),
        (200, limits("x", "x", "x"), 0),
        (200, limits(60, -1, "5s"), 0),
        (200, limits(60, 0, "0s"), 0),
        (200, {"x-ratelimit-remaining-requests": "0"}, 0),
    ],
)
def test_when_nothing_may_be_asked(status: int, headers: dict[str, str], blocked: float) -> None:
    budget = Budget(10)
    budget.learn(status, headers, 100)
    assert budget.blocked(100) == pytest.approx(blocked)
    assert budget.blocked(100 + blocked) == 0


def test_after_a_wall_requests_leave_one_by_one() -> None:
    budget = Budget(10, burst=10)
    budget.learn(429, {"retry-after": "5"}, 0)
    assert spent(budget, 0, 3) == [5, 5.2, 5.4], "and slower than before"


def test_good_answers_bring_the_old_pace_back() -> None:
    budget = Budget(1, burst=1)
    for _ in range(50):
        budget.learn(429, {}, 0)
    assert budget.blocked(0) == pytest.approx(32), "bounded, however often"
    for _ in range(100):
        budget.learn(200, {}, 1000)
    assert spent(budget, 1000, 3) == [0, 1, 2]


def test_it_slows_down_before_the_wall() -> None:
    budget = Budget(10, burst=1)
    budget.learn(200, limits(60, 59, "6s"), 0)
    assert spent(budget, 0, 3)[2] == pytest.approx(6 / 59 * 2, abs=0.01)
    budget.learn(200, limits(60, 3, "60s"), 10)
    waits = spent(budget, 10, 3)
    assert waits[2] - waits[1] == pytest.approx(20)
    assert spent(budget, 1000, 2)[1] == pytest.approx(0.1), "until the server's own window is over"


class Upstream:
    """A server with a limit of its own: `limit` requests in each window of `window` seconds."""

    def __init__(self, limit: int, window: float) -> None:
        self.limit, self.window = limit, window
        self.since, self.used, self.refused = 0.0, 0, 0

    def ask(self, now: float) -> tuple[int, dict[str, str]]:
        if now - self.since >= self.window:
            self.since, self.used = now, 0
        reset = f"{self.since + self.window - now:.3f}s"
        if self.used >= self.limit:
            self.refused += 1
            return 429, {"retry-after": reset[:-1], **limits(self.limit, 0, reset)}
        self.used += 1
        return 200, limits(self.limit, self.limit - self.used, reset)


@pytest.mark.parametrize(("limit", "window"), [(60, 60), (500, 60), (5, 1), (200, 3600)])
def test_a_server_with_a_lower_limit_is_never_run_into(limit: int, window: float) -> None:
    budget, upstream, now = Budget(100), Upstream(limit, window), 0.0
    count = 0
    while now < 3 * window:
        now += budget.wait(now)
        budget.learn(*upstream.ask(now), now)
        count += 1
    assert upstream.refused == 0
    assert count >= limit * 2, "nor is it left idle"


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100),
            st.sampled_from([200, 404, 429, 500, 503]),
            st.dictionaries(
                st.sampled_from(["retry-after", "retry-after-ms", *limits(0, 0, "")]),
                st.text(max_size=6) | st.floats().map(str) | st.integers().map(str),
            ),
        ),
        max_size=30,
    )
)
def test_whatever_headers_say_the_next_wait_is_a_number_in_bounds(
    answers: list[tuple[float, int, dict[str, str]]],
) -> None:
    budget, now = Budget(10), 0.0
    for later, status, headers in answers:
        now += later
        budget.learn(status, headers, now)
        assert 0 <= budget.delay(now) <= LONGEST_BLOCK + 1
    assert 0 <= budget.wait(now) <= LONGEST_BLOCK + 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("150µs", 0.00015),
        ("7", 7),
        ("0.5", 0.5),
        (" 3s ", 3),
        ("", None),
        ("soon", None),
        ("5x", None),
        ("5s!", None),
        ("-5s", None),
        ("-5", None),
        ("nan", None),
        ("1795387800", None),
        ("2026-11-23T00:00:00Z", None),
        ("0" * 39 + "5", 5),
        ("0" * 40 + "5", None),
        ("1s" * 21, None),
    ],
)
def test_a_span_as_servers_write_it(text: str, seconds: float | None) -> None:
    assert span_of(text) == (None if seconds is None else pytest.approx(seconds))


# ----------------------------------------------------------------------------------------------- back-off


def test_back_off_doubles_from_a_second_to_five_minutes() -> None:
    assert [backoff(n, 0.0) for n in (1, 2, 3, 8, 9, 10, 10_000)] == [1, 2, 4, 128, 256, 300, 300]


@given(st.integers(-5, 10**9), st.floats(0, 1, exclude_max=True))
def test_luck_takes_at_most_half(failures: int, luck: float) -> None:
    whole = backoff(failures, 0.0)
    assert whole / 2 <= backoff(failures, luck) <= whole


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-requests": "10", "x-ratelimit-reset-requests": "20s"},
        {"x-ratelimit-remaining": "10", "x-ratelimit-reset": "20"},
        {"ratelimit-remaining": "10", "ratelimit-reset": "20"},
        {"ratelimit": '"api";r=10;t=20'},
        {"ratelimit": '"pages";r=900;t=300, "api";r=10;t=20'},
    ],
)
def test_what_is_left_is_spread_however_a_service_says_it(headers: dict[str, str]) -> None:
    budget = Budget(1000.0, burst=1)
    budget.learn(200, headers, 0.0)
    budget.wait(0.0)
    assert budget.wait(0.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit": "lots"},
        {"ratelimit": '"api";r=;t='},
        {"x-ratelimit-remaining": "10", "x-ratelimit-reset": "1795000000"},
        {"x-ratelimit-remaining": "many", "x-ratelimit-reset": "20"},
    ],
)
def test_what_says_nothing_slows_nothing_down(headers: dict[str, str]) -> None:
    budget = Budget(1000.0, burst=1)
    budget.learn(200, headers, 0.0)
    budget.wait(0.0)
    assert budget.wait(0.0) == pytest.approx(0.001)


# ------------------------------------------------------------------------------------------ what is left


@given(
    rate=st.floats(min_value=0.1, max_value=100),
    burst=st.floats(min_value=1, max_value=20),
    spent=st.integers(min_value=0, max_value=30),
    rest=st.floats(min_value=0, max_value=30),
    status=st.sampled_from([200, 429, 503]),
)
def test_what_is_left_may_go_out_without_waiting(
    rate: float, burst: float, spent: int, rest: float, status: int
) -> None:
    budget = Budget(rate, burst)
    for _ in range(spent):
        budget.wait(100.0)
    budget.learn(status, {}, 100.0)
    left = budget.left(100.0 + rest)
    assert 0 <= left <= max(burst, 1) + 1e-9
    free = 0
    while budget.wait(100.0 + rest) <= 1e-9:
        free += 1
    assert math.floor(left - 1e-6) <= free <= math.floor(left + 1e-6)


def test_the_pace_is_what_refusals_and_the_servers_figures_leave_of_it() -> None:
    budget = Budget(10)
    assert budget.pace(50) == 10
    budget.learn(429, {"retry-after": "1"}, 50)
    assert budget.pace(50) == 5
    assert budget.left(50) == 0
    budget.learn(200, limits(100, 20, "10s"), 50)
    assert budget.pace(50) == pytest.approx(2)
    assert budget.pace(61) == pytest.approx(5.25)
