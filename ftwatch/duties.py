"""What a notifier is owed at its time, although nothing happens: reminders, sweeps that are over, reports.

Decides nothing: what is due, and what becomes of it, the core says, and the store keeps. Takes its turn in
the dispatcher's loop, when nothing else is due.
"""

import structlog

from ftwatch.config import NotifierConfig
from ftwatch.core import announce
from ftwatch.core.report import due_at
from ftwatch.core.route import Routing
from ftwatch.store import Batch, Store

__all__ = ["Duties"]

log = structlog.get_logger("ftwatch.duties")

# How often it is looked whether a sweep is over (seconds).
SWEEPS_EVERY = 15.0


class Duties:
    """One notifier's. Both functions run where the store runs."""

    def __init__(self, config: NotifierConfig, store: Store) -> None:
        self._config = config
        self._name = config.name
        self._store = store
        self._looked_at = 0.0

    @classmethod
    def of(cls, config: NotifierConfig, store: Store, routing: Routing) -> "Duties | None":
        """Those that a notifier has by the config; most have none."""
        if config.report is not None:
            return cls(config, store)
        for route in routing.routes or ():
            is_sweep = route.group is not None and route.group.all_terminal
            if config.name in route.notify and (route.remind is not None or is_sweep):
                return cls(config, store)
        return None

    def due_at(self, now: float) -> float | None:
        """When there may be something to do (Unix seconds)."""
        times = [self._store.reminders.next_due(self._name), self._report_due()]
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
        released, reported = self._release(routing, now), self._report(routing, now)
        return released or reported or told > 0

    def _report_due(self) -> float | None:
        """When the next report is due; None where none is wanted, or its time is only beginning."""
        last = self._store.reports.last(self._name) if self._config.report is not None else None
        if last is None or self._config.report is None:
            return None
        return due_at(self._config.report, self._config.zone, last)

    def _report(self, routing: Routing, now: float) -> bool:
        """Owes the notifier its report, if that is due; before the first one a time of its own goes by."""
        reports = self._store.reports
        if self._config.report is None:
            return False
        last, due = reports.last(self._name), self._report_due()
        if last is None or due is None or last > now:
            reports.note(self._name, now)
            return False
        if now < due:
            return False
        said = announce.reported(self._name, reports.make(last, now), routing, now)
        self._store.commit(Batch(announcements=[said]), now)
        reports.note(self._name, now)
        return bool(said.deliveries)

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
