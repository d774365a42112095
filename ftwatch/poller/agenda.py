"""Which single jobs are asked for next, and why. Times are ticks of the monotonic clock; asks nobody."""

from collections.abc import Collection, Mapping

from msgspec import Struct

from ftwatch.core.attention import attention
from ftwatch.core.clock import Clock
from ftwatch.core.known import Known

__all__ = ["Agenda", "Turn"]

# Jobs that are watched through the listing are still asked for themselves this often (seconds), because a
# listing may lag behind.
NOW_AND_AGAIN = 600.0


class Turn(Struct, frozen=True):
    """When (ticks) a job's next look is due, and why then."""

    at: float
    why: str


class Agenda:
    """The looks to come. `wanted` are jobs that something asks for now, by the listed bytes' fingerprint."""

    def __init__(self, poll: float, clock: Clock) -> None:
        self._poll = poll
        self._clock = clock
        self._turns: dict[str, Turn] = {}
        self._stubborn: dict[str, float] = {}
        self._crowded = False
        self.wanted: dict[str, bytes | None] = {}

    def plan(self, active: Mapping[str, Known], *, crowded: bool) -> None:
        """Gives every active job its turn, and none to those that are over."""
        ticks = self._clock.ticks()
        for id in self._turns.keys() - active.keys():
            del self._turns[id]
        if self._crowded and not crowded:
            # The listing does not show every change any more; nobody may wait as long as it allowed.
            for id, turn in self._turns.items():
                soon = ticks + self._clock.luck() * self._poll
                if turn.at > soon:
                    self._turns[id] = Turn(soon, "there are few jobs again")
        self._crowded = crowded
        for id in active.keys() - self._turns.keys():
            # Many at once would all be due together again and again.
            at = ticks + (self._clock.luck() * NOW_AND_AGAIN if crowded else 0.0)
            self._turns[id] = Turn(at, "it is new on the list")

    def due(self, limit: int) -> list[str]:
        """Up to so many jobs whose look is due: what was asked for first, then the longest overdue."""
        ticks = self._clock.ticks()
        wanted = [id for id in self.wanted if self._stubborn.get(id, ticks) <= ticks]
        late = sorted(
            (id for id, turn in self._turns.items() if turn.at <= ticks), key=lambda id: self._turns[id].at
        )
        return list(dict.fromkeys([*wanted, *late]))[:limit]

    def done(
        self, ids: Collection[str], failed: Collection[str], active: Mapping[str, Known], *, crowded: bool
    ) -> None:
        """These were asked for; those of them that did not answer are asked for again at their next turn."""
        ticks, now = self._clock.ticks(), self._clock.now()
        for id in ids:
            known = active.get(id)
            pause, why = self._poll, "the usual pace"
            if known is not None:
                found = attention(known, self._poll, now)
                pause, why = found.seconds, found.why
                if crowded and known.held is None:
                    pause, why = NOW_AND_AGAIN, "it is watched through the listing"
            at = ticks + pause * (0.9 + 0.2 * self._clock.luck())
            if id in failed:
                self._stubborn[id] = at
                why = "it did not answer"
            else:
                self._stubborn.pop(id, None)
                self.wanted.pop(id, None)
            self._turns[id] = Turn(at, why)

    def ask_for(self, ids: Collection[str]) -> None:
        """Asks for a look at jobs as soon as may be."""
        for id in ids:
            self.wanted.setdefault(id, None)

    def next_due(self) -> float:
        """When (ticks) the next look is due; infinity where none is."""
        ticks = self._clock.ticks()
        wanted = [self._stubborn.get(id, ticks) for id in self.wanted]
        return min([turn.at for turn in self._turns.values()] + wanted, default=float("inf"))

    def turns(self) -> dict[str, Turn]:
        """Every job's next look."""
        ticks = self._clock.ticks()
        asked = {id: Turn(self._stubborn.get(id, ticks), "something asked for it") for id in self.wanted}
        return {**self._turns, **asked}
