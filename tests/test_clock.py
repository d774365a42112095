"""The daemon's sense of time: steps of the wall's clock are noticed, its mere going on is not."""

from typing import Any

import pytest

from ftwatch.daemon.clock import Anchor, Pulse


class TwoClocks:
    """A wall clock and a steady one, set by hand."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_795_000_000.0, 50.0

    def now(self) -> float:
        return self.wall

    def ticks(self) -> float:
        return self.steady

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.mark.parametrize("step", [-315e6, -3600.0, -6.0, 6.0, 3600.0, 315e6])
def test_a_step_is_noticed_once(step: float) -> None:
    clock: Any = TwoClocks()
    anchor = Anchor(clock)
    clock.pass_(1000)
    assert anchor.stepped() == 0
    clock.wall += step
    assert anchor.stepped() == pytest.approx(step)
    clock.pass_(1000)
    assert anchor.stepped() == 0


def test_a_clock_that_is_slewed_is_no_step() -> None:
    clock: Any = TwoClocks()
    anchor = Anchor(clock)
    for _ in range(4):
        clock.pass_(60)
        clock.wall += 1
        assert anchor.stepped() == 0


def test_who_breaks_their_word_is_late() -> None:
    pulse = Pulse()
    beat = pulse.of("poller x")
    assert pulse.late() == []
    beat(-1)
    assert pulse.late() == ["poller x"]
    beat(60)
    assert pulse.late() == []
    pulse.clear()
    assert pulse.late() == []
