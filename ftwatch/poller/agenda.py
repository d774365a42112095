"""Which single jobs are asked for next, and why. Times are ticks of the monotonic clock; asks nobody."""

import math
from collections.abc import Collection, Iterable, Mapping, Set
from itertools import islice

from msgspec import Struct

from ftwatch.core.attention import attention
from ftwatch.core.clock import Clock
from ftwatch.core.job import Status
from ftwatch.core.known import Look
from ftwatch.core.watched import Watched

__all__ = ["SHARE", "Agenda", "Turn"]

# Jobs that are watched through the listing are still asked for themselves this often (seconds), because a
# listing may lag behind; where they are many, as often as this share of the account's rate allows.
NOW_AND_AGAIN, SHARE = 600.0, 0.03
# While webhooks tell of ends, a running job is asked about so much less often, but at least this often.
RELAXED, RELAXED_AT_MOST = 4.0, 300.0
LISTED = "it is watched through the listing"


class Turn(Struct, frozen=True, gc=False):
    """When (ticks) a job's next look is due, and why then."""

    at: float
    why: str


class Agenda:
    """The looks to come: every active job has its turn, and some are wanted before it.

    In a crowd few have a turn of their own: those that the listing does not show. The others are in one line,
    from the newest to the oldest and round again, and whose place it is gets a turn. Where somebody ends, who
    stood there may come twice, and nobody is passed over.
    """

    def __init__(self, poll: float, clock: Clock, *, rate: float = math.inf) -> None:
        """`poll` is the aim between two looks (seconds), `rate` the requests per second that there are."""
        self._poll = poll
        self._rate = rate
        self._clock = clock
        self._turns: dict[str, Turn] = {}
        # What is wanted, with the fingerprint of the listed bytes that a look would settle, and until when
        # who did not answer is left alone.
        self._wanted: dict[str, bytes | None] = {}
        self._stubborn: dict[str, float] = {}
        # Where the line stands, as a place among the active jobs, and when (ticks) it moves on.
        self._place = 0
        self._moves_at = math.inf
        self._crowded = False
        self._relaxed = False

    def plan(self, active: Mapping[str, Watched], *, crowded: bool, relaxed: bool = False) -> None:
        """Gives every active job its turn, and none to those that are over.

        `relaxed`: webhooks tell of the ends of jobs that run.
        """
        ticks = self._clock.ticks()
        if self._relaxed and not relaxed:
            self._hasten("webhooks have gone silent")
        self._relaxed = relaxed
        for id in self._turns.keys() - active.keys():
            del self._turns[id]
        if crowded:
            self._move_on(active)
        else:
            self._moves_at = math.inf
            for id in active:
                if id not in self._turns:
                    # The listing does not show every change any more: who stood in line is looked at soon.
                    soon = Turn(ticks + self._clock.luck() * self._poll, "there are few jobs again")
                    self._turns[id] = soon if self._crowded else Turn(ticks, "it is new on the list")
        self._crowded = crowded

    def _move_on(self, active: Mapping[str, Watched]) -> None:
        """Gives the next in line a turn, once it is time for that."""
        ticks = self._clock.ticks()
        if not self._crowded:
            self._moves_at = ticks + self._clock.luck() * self._pause(active)
        elif ticks >= self._moves_at:
            self._moves_at = ticks + (0.9 + 0.2 * self._clock.luck()) * self._pause(active)
            self._place = (min(self._place, len(active)) or len(active)) - 1
            self._turns.setdefault(next(islice(active, self._place, None)), Turn(ticks, LISTED))

    def _pause(self, active: Mapping[str, Watched]) -> float:
        """How long (seconds) the line stands still, so that each of these jobs comes now and again."""
        return max(NOW_AND_AGAIN / len(active), 1 / (SHARE * self._rate))

    def due(self, limit: int) -> list[str]:
        """Up to so many jobs whose look is due: what was asked for first, then the longest overdue."""
        ticks = self._clock.ticks()
        wanted = [id for id in self._wanted if self._stubborn.get(id, ticks) <= ticks]
        late = sorted(
            (id for id, turn in self._turns.items() if turn.at <= ticks), key=lambda id: self._turns[id].at
        )
        return list(dict.fromkeys([*wanted, *late]))[:limit]

    def has_turn(self, id: str) -> bool:
        """Whether a job's turn has come, or none was thought of yet; it may be wanted before that."""
        turn = self._turns.get(id)
        return turn.at <= self._clock.ticks() if turn is not None else not self._crowded

    def begin(self, ids: Iterable[str]) -> dict[str, bytes | None]:
        """These are being asked for now; what asks for them from here on asks for another look.

        Returns the fingerprints of the listed bytes that their looks settle.
        """
        return {id: self._wanted.pop(id, None) for id in ids}

    def done(
        self,
        begun: Mapping[str, bytes | None],
        failed: Collection[str],
        looks: Mapping[str, Look],
        active: Mapping[str, Watched],
        listed: Set[str] = frozenset(),
    ) -> None:
        """These were asked for, and `looks` came of it; who did not answer is asked for again before long.

        `listed` are, in a crowd, those that the listing shows.
        """
        ticks, now = self._clock.ticks(), self._clock.now()
        for id, mark in begun.items():
            known = active.get(id)
            if id not in failed:
                self._stubborn.pop(id, None)
                if known is not None and id in listed and not known.is_held:
                    self._turns.pop(id, None)
                    continue
            pause, why = self._poll, "the usual pace"
            if id in failed:
                why = "it did not answer"
            elif known is not None:
                found = attention(known, looks.get(id), self._poll, now)
                pause, why = found.seconds, found.why
                if self._relaxed and known.status is Status.RUNNING:
                    slow = min(self._poll * RELAXED, max(self._poll, RELAXED_AT_MOST))
                    pause, why = max(pause, slow), "webhooks tell of its end"
            at = ticks + pause * (0.9 + 0.2 * self._clock.luck())
            if id in failed:
                self._wanted[id] = self._wanted.get(id) or mark
                self._stubborn[id] = at
            self._turns[id] = Turn(at, why)

    def _hasten(self, why: str) -> None:
        """Brings every turn forward to within the usual pace."""
        ticks = self._clock.ticks()
        for id, turn in self._turns.items():
            soon = ticks + self._clock.luck() * self._poll
            if turn.at > soon:
                self._turns[id] = Turn(soon, why)

    def ask_for(self, ids: Iterable[str]) -> None:
        """Asks for a look at jobs as soon as may be."""
        for id in ids:
            self._wanted.setdefault(id, None)

    def listed(self, id: str, mark: bytes) -> None:
        """The listing shows a job with bytes that are new: its look settles them."""
        self._wanted[id] = mark

    @property
    def waiting(self) -> int:
        """How many jobs are wanted."""
        return len(self._wanted)

    @property
    def owes(self) -> bool:
        """Whether somebody did not answer, and was not asked again since."""
        return bool(self._stubborn)

    def next_due(self) -> float:
        """When (ticks) the next look is due; infinity where none is."""
        ticks = self._clock.ticks()
        wanted = [self._stubborn.get(id, ticks) for id in self._wanted]
        return min([self._moves_at, *wanted, *(turn.at for turn in self._turns.values())])

    def turns(self, active: Mapping[str, Watched]) -> dict[str, Turn]:
        """Every active job's next look."""
        ticks, line = self._clock.ticks(), {}
        if self._crowded and active:
            pause = self._pause(active)
            for place, id in enumerate(active):
                before = (self._place - place - 1) % len(active)
                line[id] = Turn(self._moves_at + before * pause, LISTED)
        asked = {id: Turn(self._stubborn.get(id, ticks), "something asked for it") for id in self._wanted}
        return {**line, **self._turns, **asked}
