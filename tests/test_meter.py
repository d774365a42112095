"""The meter: what is counted is what is read, to the last one."""

from bisect import bisect_right
from collections import Counter as Tally

from hypothesis import given
from hypothesis import strategies as st

from ftwatch.meter import QUICK, Counter, Histogram, Meter

NAMES = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(NAMES, NAMES)))
def test_a_counter_counts_each_set_of_labels(told: list[tuple[str, str]]) -> None:
    counter = Counter()
    for labels in told:
        counter.add(*labels)
    assert dict(counter.items()) == Tally(told)


@given(st.lists(st.tuples(NAMES, st.floats(min_value=0, max_value=20))))
def test_a_histogram_says_how_many_took_up_to_each_bound(told: list[tuple[str, float]]) -> None:
    histogram = Histogram(QUICK)
    for name, seconds in told:
        histogram.add(seconds, name)
    assert {labels for labels, _, _ in histogram.items()} == {(name,) for name, _ in told}
    for (name,), counts, total in histogram.items():
        mine = sorted(seconds for other, seconds in told if other == name)
        assert counts == [*(bisect_right(mine, bound) for bound in QUICK), len(mine)]
        assert abs(total - sum(mine)) < 1e-9


def test_a_clock_that_was_set_back_takes_nothing_away() -> None:
    histogram = Histogram(QUICK)
    histogram.add(0.5)
    histogram.add(-3600.0)
    ((_, counts, total),) = histogram.items()
    assert (counts[0], counts[-1], total) == (1, 2, 0.5)


def test_what_was_not_asked_has_no_length() -> None:
    meter = Meter()
    heard = meter.hears("openai")
    heard("ok", 0.2)
    heard("paced", None)
    assert dict(meter.requests.items()) == {("openai", "ok"): 1, ("openai", "paced"): 1}
    ((labels, counts, _),) = meter.request_seconds.items()
    assert (labels, counts[-1]) == (("openai",), 1)
