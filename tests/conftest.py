"""What several test modules need: a clock that stands still until told."""

import pytest


class StillClock:
    """A clock for tests: time passes only when somebody says so."""

    def __init__(self) -> None:
        self.time = 1_795_000_000.0

    def now(self) -> float:
        return self.time

    def ticks(self) -> float:
        return self.time - 1_794_000_000.0

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@pytest.fixture
def clock() -> StillClock:
    return StillClock()
