"""What several test modules need: a clock that stands still until told."""

import pytest
from hypothesis import settings

# Whether a test passes must not depend on how busy the machine is.
settings.register_profile("ftwatch", deadline=None)
settings.load_profile("ftwatch")


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says loudly what was left out because something is not installed or may not be used here."""
    left_out = sorted({str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())})
    if left_out:
        terminalreporter.section("left out", red=True)
        for reason in left_out:
            terminalreporter.line(reason.removeprefix("Skipped: "))
