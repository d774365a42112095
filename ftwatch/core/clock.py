"""What time is it? The clock that everything with a pulse is given, so that a test can be one."""

from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """Two readings of time: `now` may step, `ticks` only goes on. The real one lives in the daemon."""

    def now(self) -> float:
        """Unix seconds, UTC, as the machine believes them."""
        ...

    def ticks(self) -> float:
        """Seconds that never go back."""
        ...

    def luck(self) -> float:
        """A number in [0, 1): where a wait falls within its jitter."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...
