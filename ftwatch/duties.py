"""What a notifier is owed although nothing happens, because its time has come: reminders.

Decides nothing: what is due, and what becomes of it, the core says, and the store keeps. Takes its turn in
the dispatcher's loop, when nothing else is due.
"""

import structlog

from ftwatch.config import NotifierConfig
from ftwatch.core.route import Routing
from ftwatch.store import Store

__all__ = ["Duties"]

log = structlog.get_logger("ftwatch.duties")


class Duties:
    """One notifier's. Both functions run where the store runs."""

    def __init__(self, name: str, store: Store) -> None:
        self._name = name
        self._store = store

    @classmethod
    def of(cls, config: NotifierConfig, store: Store, routing: Routing) -> "Duties | None":
        """Those that a notifier has by the config; most have none."""
        mine = [route for route in routing.routes or () if config.name in route.notify]
        return cls(config.name, store) if any(route.remind is not None for route in mine) else None

    def due_at(self) -> float | None:
        """When there may be something to do (Unix seconds)."""
        return self._store.reminders.next_due(self._name)

    def see_to(self, routing: Routing, now: float) -> bool:
        """Sees to what is due; says whether something is owed by it."""
        if self._store.outbox.disabled(self._name) is not None:
            return False
        told = self._store.reminders.keep(self._name, routing, now)
        if told:
            log.info("reminding", notifier=self._name, problems=told)
        return told > 0
