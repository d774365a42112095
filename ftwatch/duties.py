"""What a notifier is owed at its time, although nothing happens: reminders, sweeps that are over.

Decides nothing: what is due, and what becomes of it, the core says, and the store keeps. Takes its turn in
the dispatcher's loop, when nothing else is due.
"""

import structlog

from ftwatch.config import NotifierConfig
from ftwatch.core.route import Routing
from ftwatch.store import Store

__all__ = ["Duties"]

log = structlog.get_logger("ftwatch.duties")

# How often it is looked whether a sweep is over (seconds).
SWEEPS_EVERY = 15.0


class Duties:
    """One notifier's. Both functions run where the store runs."""

    def __init__(self, name: str, store: Store) -> None:
        self._name = name
        self._store = store
        self._looked_at = 0.0

    @classmethod
    def of(cls, config: NotifierConfig, store: Store, routing: Routing) -> "Duties | None":
        """Those that a notifier has by the config; most have none."""
        for route in routing.routes or ():
            is_sweep = route.group is not None and route.group.all_terminal
            if config.name in route.notify and (route.remind is not None or is_sweep):
                return cls(config.name, store)
        return None

    def due_at(self, now: float) -> float | None:
        """When there may be something to do (Unix seconds)."""
        times = [self._store.reminders.next_due(self._name)]
        if self._store.sweeps.waiting(self._name, now):
            times.append(self._looked_at + SWEEPS_EVERY)
        return min((at for at in times if at is not None), default=None)

    def see_to(self, routing: Routing, now: float) -> bool:
        """Sees to what is due; says whether something is owed by it."""
        if self._store.outbox.disabled(self._name) is not None:
            return False
        told = self._store.reminders.keep(self._name, routing, now)
        if told:
            log.info("reminding", notifier=self._name, problems=told)
        return self._release(routing, now) or told > 0

    def _release(self, routing: Routing, now: float) -> bool:
        """Lets sweeps leave that are over."""
        if 0 <= now - self._looked_at < SWEEPS_EVERY:
            return False
        self._looked_at, sweeps = now, self._store.sweeps
        found = [
            sweeps.release(self._name, bundle, routing, now) for bundle in sweeps.waiting(self._name, now)
        ]
        sweeps.clear(self._name, routing)
        return any(found)
