"""Is it alive, is it ready? For probes, which carry no token: nothing here names a job or quotes anybody.

Alive is a process whose loops keep their word: one that hangs is to be restarted. Ready is one that looks at
every provider and tries what is due. That a receiver takes nothing is the receiver's trouble, and only noted.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ftwatch import __version__
from ftwatch.config import ProviderConfig
from ftwatch.core.announce import ProviderState
from ftwatch.core.delivery import Breaker
from ftwatch.core.span import MINUTE, span
from ftwatch.store import Store, StoreError
from ftwatch.web.house import House

__all__ = ["Asked", "Examiner", "Health", "routes"]

log = structlog.get_logger("ftwatch.web")

# For how long something may be due without any try before that is our own fault (seconds).
OVERDUE = 5.0 * MINUTE
# How long the store may take to answer, and how long its answer is good enough for others (seconds): who
# asks without a token must not be able to keep it busy.
PATIENCE, FRESH = 3.0, 1.0

T = TypeVar("T")


class Asked(Generic[T]):
    """A question to the store that many may have at once: it is put once, and the answer shared."""

    def __init__(self, house: House, question: Callable[[Store], T]) -> None:
        self._house = house
        self._question = question
        self._asking: asyncio.Task[T | None] | None = None
        self._at = 0.0

    async def answer(self) -> T | None:
        """What the store says, or said a moment ago; None where it does not answer in time."""
        asking = self._asking
        ticks = self._house.clock.ticks()
        if asking is None or (asking.done() and ticks - self._at >= FRESH):
            self._at = ticks
            asking = self._asking = asyncio.create_task(self._ask())
        await asyncio.wait({asking}, timeout=PATIENCE)
        return asking.result() if asking.done() else None

    async def _ask(self) -> T | None:
        try:
            return await self._house.read(self._question)
        except StoreError as error:
            log.error("the store did not answer a probe", error=str(error))
            return None


class Facts(NamedTuple):
    """What the store knows of all providers and notifiers, and for whom something is long overdue."""

    providers: Mapping[str, ProviderState]
    notifiers: Mapping[str, tuple[Breaker, str | None]]
    overdue: frozenset[str]


@dataclass(frozen=True)
class Health:
    """Why it is not ready (it is, without a reason), and what else whoever looks should know; sentences."""

    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether it watches and tells as it should."""
        return not self.reasons


class Examiner:
    """Judges whether the daemon is ready: for `/readyz`, for metrics, for the heartbeat."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._facts = Asked(house, self._look)
        self._begun = house.clock.ticks()

    def _look(self, store: Store) -> Facts:
        now, census = self._house.clock.now(), store.census
        late = (name for name in self._house.config.notifiers if census.is_overdue(name, now - OVERDUE, now))
        return Facts(census.providers(), census.notifiers(), frozenset(late))

    async def examine(self) -> Health:
        """How it is now."""
        house = self._house
        reasons = [f"no sign of life from {loop}" for loop in house.late()]
        notes: list[str] = []
        if house.store.is_full:
            reasons.append("the disk is full: no job is looked at before it has room again")
        facts = await self._facts.answer()
        if facts is None:
            reasons.append("the database does not answer")
            return Health(tuple(reasons))
        for name, provider in house.config.providers.items():
            state = facts.providers.get(name, ProviderState(name=name))
            reason, note = self._of_provider(provider, state)
            reasons += [f"provider {name}: {reason}"] if reason else []
            notes += [f"provider {name}: {note}"] if note else []
        for name in house.config.notifiers:
            breaker, disabled = facts.notifiers.get(name, (Breaker(), None))
            if disabled is None and name in facts.overdue and self._is_idle(name):
                reasons.append(
                    f"notifier {name}: something has been due for over {span(OVERDUE)}, and nothing was tried"
                )
            note = self._of_receiver(breaker, disabled)
            notes += [f"notifier {name}: {note}"] if note else []
        return Health(tuple(reasons), tuple(notes))

    def _of_provider(self, config: ProviderConfig, state: ProviderState) -> tuple[str | None, str | None]:
        """Why a provider counts as not watched, and what else is to be said of it."""
        house, name = self._house, config.name
        poller, last = house.pollers.get(name), house.store.meter.looked.get(name)
        if state.retired_at is not None:
            return None, "its service has ended, as it says itself"
        if state.degraded_at is not None:
            return f"degraded for {span(house.clock.now() - state.degraded_at)}", None
        if last is None:
            return "it has not answered since the start", None
        since = house.clock.ticks() - last.ticks
        if poller is not None and poller.problem is not None and since > config.degraded_after:
            return f"no good look for {span(since)}", None
        if state.baseline_at is None:
            return None, "its jobs are being read for the first time"
        return None, None

    def _is_idle(self, notifier: str) -> bool:
        """Whether a notifier has tried nothing for so long that it cannot be for the receiver's sake."""
        tried = self._house.store.meter.tried.get(notifier, self._begun)
        return self._house.clock.ticks() - max(tried, self._begun) > OVERDUE

    def _of_receiver(self, breaker: Breaker, disabled: str | None) -> str | None:
        """What is wrong with a notifier's receiver."""
        now = self._house.clock.now()
        if disabled is not None:
            return "switched off, because its receiver wanted no more: see `ftwatch status`"
        if breaker.open_at is not None:
            return f"out of reach for {span(now - breaker.open_at)}"
        if breaker.fails_for(MINUTE, now):
            return f"nothing has arrived for {span(now - (breaker.failing_since or now))}"
        return None


async def healthz(request: Request) -> Response:
    """Alive: the process answers, and none of its loops hangs."""
    late = request.app.state.house.late()
    if late:
        return JSONResponse({"status": "hanging", "late": late, "version": __version__}, 503)
    return JSONResponse({"status": "ok", "version": __version__})


async def readyz(request: Request) -> Response:
    """Ready: it watches and tells as it should; if not, why."""
    health = await request.app.state.examiner.examine()
    said = {
        "status": "ready" if health.is_ready else "not ready",
        "reasons": health.reasons,
        "notes": health.notes,
    }
    return JSONResponse(said, 200 if health.is_ready else 503)


routes: list[BaseRoute] = [Route("/healthz", healthz), Route("/readyz", readyz)]
