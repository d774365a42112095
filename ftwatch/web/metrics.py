"""What Prometheus scrapes. Numbers by provider, notifier and status; nothing here names a job.

Counters and histograms are the process's own and start with it (`meter`); what there is at the moment is
asked of the store, which answers from indexes. The library only writes it down: its own collector of the
process finds nothing where the systemd unit hides the machine from us.
"""

import os
import platform
import resource
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ftwatch import __version__
from ftwatch.core import event as events
from ftwatch.core.announce import ProviderState
from ftwatch.core.delivery import Breaker, State
from ftwatch.core.job import Status
from ftwatch.meter import Counter, Histogram
from ftwatch.store import Store, Waiting
from ftwatch.web.health import Asked, Examiner
from ftwatch.web.house import House

__all__ = ["FAMILIES", "Family", "Figures", "count_hook", "routes"]

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = openmetrics.CONTENT_TYPE_LATEST
FDS = Path("/proc/self/fd")
STATM = Path("/proc/self/statm")


# The labels that are counted from the start, at nought.
ENDS = ("ok", "refused", "throttled", "failed", "unreachable", "paced")
TOLD = (events.CREATED, *(events.JOB + status for status in Status))
OUTCOMES = ("sent", "retry", "rejected")
STATES = (State.DELIVERED, State.DEAD, State.FOLDED)


class Family(NamedTuple):
    """One metric: what kind, by what, and what it says."""

    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    help: str


_P, _N = ("provider",), ("notifier",)

FAMILIES: dict[str, Family] = {
    # ---- how it is
    "ftwatch_build_info": Family("gauge", ("version", "python"), "Which ftwatch runs; always 1."),
    "ftwatch_ready": Family("gauge", (), "Whether it watches and tells as it should, as /readyz says."),
    "ftwatch_loops_late": Family("gauge", (), "How many of its loops give no sign of life."),
    "ftwatch_config_generation": Family("gauge", (), "How often a config came into force since the start."),
    # ---- providers
    "ftwatch_jobs": Family("gauge", ("provider", "status"), "Jobs that are known, by their status."),
    "ftwatch_provider_up": Family("gauge", _P, "Whether a provider answers."),
    "ftwatch_provider_degraded": Family("gauge", _P, "Whether a provider was told of as degraded."),
    "ftwatch_provider_retired": Family(
        "gauge", _P, "Whether a provider's service has ended, by its own word."
    ),
    "ftwatch_provider_last_look_timestamp_seconds": Family("gauge", _P, "When its last whole answer came."),
    "ftwatch_provider_requests_total": Family("counter", ("provider", "outcome"), "Requests to a provider."),
    "ftwatch_provider_request_seconds": Family("histogram", _P, "How long a provider took to answer."),
    "ftwatch_provider_budget_requests": Family(
        "gauge", _P, "How many requests may go to a provider at once, by its rate budget."
    ),
    "ftwatch_provider_budget_requests_per_second": Family(
        "gauge", _P, "How many requests a second its rate budget allows in the long run."
    ),
    "ftwatch_provider_budget_blocked_seconds": Family(
        "gauge", _P, "For how long a provider wants no request at all."
    ),
    "ftwatch_look_commit_seconds": Family(
        "histogram", _P, "From the first of the answers that are committed together to their commit."
    ),
    "ftwatch_events_total": Family("counter", ("provider", "type"), "Events that were recorded."),
    "ftwatch_hooks_total": Family("counter", ("provider", "verdict"), "Webhooks that came in."),
    # ---- notifiers
    "ftwatch_outbox_deliveries": Family("gauge", _N, "Deliveries that wait."),
    "ftwatch_outbox_oldest_seconds": Family(
        "gauge", _N, "For how long the oldest delivery that waits is owed."
    ),
    "ftwatch_dead_letters": Family("gauge", _N, "Deliveries that died and that nobody has decided about."),
    "ftwatch_notifier_breaker_open": Family(
        "gauge", _N, "Whether a receiver is out of reach: only probes leave."
    ),
    "ftwatch_notifier_disabled": Family("gauge", _N, "Whether a notifier is switched off."),
    "ftwatch_notifier_failing_seconds": Family(
        "gauge", _N, "For how long nothing has arrived; 0 if all is well."
    ),
    "ftwatch_delivery_attempts_total": Family("counter", ("notifier", "outcome"), "Tries to deliver."),
    "ftwatch_deliveries_total": Family("counter", ("notifier", "state"), "Deliveries that came to an end."),
    "ftwatch_delivery_attempt_seconds": Family("histogram", _N, "How long a try took."),
    "ftwatch_delivery_latency_seconds": Family("histogram", _N, "From an event's commit to its arrival."),
    # ---- the store
    "ftwatch_store_full": Family("gauge", (), "Whether the disk is full."),
    "ftwatch_store_free_bytes": Family("gauge", (), "Room that is left where the database lies."),
    "ftwatch_store_size_bytes": Family("gauge", (), "How large the database is, with the log beside it."),
    "ftwatch_store_commit_seconds": Family("histogram", ("what",), "How long a transaction took."),
    # ---- the process, by the names that all programs use
    "process_cpu_seconds_total": Family("counter", (), "Total user and system CPU time spent in seconds."),
    "process_resident_memory_bytes": Family("gauge", (), "Resident memory size in bytes."),
    "process_open_fds": Family("gauge", (), "Number of open file descriptors."),
    "process_max_fds": Family("gauge", (), "Maximum number of open file descriptors."),
    "process_start_time_seconds": Family(
        "gauge", (), "Start time of the process since unix epoch in seconds."
    ),
}


class Stock(NamedTuple):
    """What the store has."""

    jobs: Mapping[tuple[str, str], int]
    providers: Mapping[str, ProviderState]
    notifiers: Mapping[str, tuple[Breaker, str | None]]
    waiting: Mapping[str, Waiting]
    dead: Mapping[str, int]
    free: int
    size: int


def take_stock(store: Store) -> Stock:
    """Asks the store everything that is asked of it. Raises StoreError."""
    census = store.census
    return Stock(
        jobs=census.jobs(),
        providers=census.providers(),
        notifiers=census.notifiers(),
        waiting=census.waiting(),
        dead=census.dead(),
        free=store.room.free,
        size=store.db.size,
    )


class Sheet(Collector):
    """Metrics as they are filled in, each once, in the order of FAMILIES."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def put(self, name: str, value: float) -> None:
        """A value without labels."""
        self._made(name).add_metric((), value)

    def by_name(self, name: str, values: Mapping[str, float]) -> None:
        """Values by the one label that there is."""
        self.by_all(name, [((label,), value) for label, value in values.items()])

    def by_all(self, name: str, values: Iterable[tuple[tuple[str, ...], float]]) -> None:
        """Values, each with all of its labels."""
        made = self._made(name)
        for labels, value in values:
            made.add_metric(labels, value)

    def count(self, name: str, counter: Counter, known: Iterable[tuple[str, ...]] = ()) -> None:
        """A counter of the meter's. `known` labels are there from the start: nothing grows out of nothing."""
        self.by_all(name, (dict.fromkeys(known, 0) | dict(counter.items())).items())

    def spread(self, name: str, histogram: Histogram) -> None:
        """A histogram of the meter's."""
        made = self._made(name)
        bounds = [*map(str, histogram.bounds), "+Inf"]
        for labels, counts, total in histogram.items():
            made.add_metric(labels, list(zip(bounds, counts, strict=True)), total)

    def _made(self, name: str) -> Any:
        family = FAMILIES[name]
        kinds = {
            "gauge": GaugeMetricFamily,
            "counter": CounterMetricFamily,
            "histogram": HistogramMetricFamily,
        }
        metric = self._metrics[name] = kinds[family.kind](name, family.help, labels=family.labels)
        return metric

    def describe(self) -> Iterable[Metric]:
        """Nothing: what will be there is not known beforehand."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """What was filled in."""
        return [self._metrics[name] for name in FAMILIES if name in self._metrics]


class Figures:
    """Everything that is to be told, gathered at each scrape."""

    def __init__(self, house: House, examiner: Examiner) -> None:
        self._house = house
        self._examiner = examiner
        self._stock = Asked(house, take_stock)

    async def gather(self) -> Sheet:
        """The metrics as they are now. Where the store does not answer, what it has is left out."""
        sheet, house = Sheet(), self._house
        health = await self._examiner.examine()
        sheet.by_all("ftwatch_build_info", [((__version__, platform.python_version()), 1)])
        sheet.put("ftwatch_ready", health.is_ready)
        sheet.put("ftwatch_loops_late", len(house.late()))
        sheet.put("ftwatch_config_generation", house.generation)
        sheet.put("ftwatch_store_full", house.store.is_full)
        self._add_counted(sheet)
        stock = await self._stock.answer()
        if stock is not None:
            self._add_providers(sheet, stock)
            self._add_notifiers(sheet, stock)
            sheet.put("ftwatch_store_free_bytes", stock.free)
            sheet.put("ftwatch_store_size_bytes", stock.size)
        _add_process(sheet, house.started_at)
        return sheet

    def _add_counted(self, sheet: Sheet) -> None:
        """What the process has counted."""
        meter, config = self._house.store.meter, self._house.config
        providers, notifiers = config.providers, config.notifiers
        looked = {name: look.at for name, look in meter.looked.items() if name in providers}
        sheet.by_name("ftwatch_provider_last_look_timestamp_seconds", looked)
        allowed = {name: allowance() for name, allowance in meter.allowances.items()}
        for part in ("requests", "requests_per_second", "blocked_seconds"):
            figures = {name: getattr(one, part) for name, one in allowed.items()}
            sheet.by_name(f"ftwatch_provider_budget_{part}", figures)
        sheet.count("ftwatch_provider_requests_total", meter.requests, product(providers, ENDS))
        sheet.spread("ftwatch_provider_request_seconds", meter.request_seconds)
        sheet.spread("ftwatch_look_commit_seconds", meter.look_seconds)
        sheet.count("ftwatch_events_total", meter.events, product(providers, TOLD))
        sheet.count("ftwatch_hooks_total", meter.hooks)
        sheet.count("ftwatch_delivery_attempts_total", meter.attempts, product(notifiers, OUTCOMES))
        sheet.count("ftwatch_deliveries_total", meter.deliveries, product(notifiers, STATES))
        sheet.spread("ftwatch_delivery_attempt_seconds", meter.attempt_seconds)
        sheet.spread("ftwatch_delivery_latency_seconds", meter.delivery_seconds)
        sheet.spread("ftwatch_store_commit_seconds", meter.commit_seconds)

    def _add_providers(self, sheet: Sheet, stock: Stock) -> None:
        """Every job in the store; of the providers those in the config."""
        names = self._house.config.providers
        states = {name: stock.providers.get(name, ProviderState(name=name)) for name in names}
        sheet.by_all("ftwatch_jobs", stock.jobs.items())
        sheet.by_name("ftwatch_provider_up", {name: self._is_up(state) for name, state in states.items()})
        degraded = {name: state.degraded_at is not None for name, state in states.items()}
        sheet.by_name("ftwatch_provider_degraded", degraded)
        retired = {name: state.retired_at is not None for name, state in states.items()}
        sheet.by_name("ftwatch_provider_retired", retired)

    def _add_notifiers(self, sheet: Sheet, stock: Stock) -> None:
        """What every notifier is owed, also those that have left the config; how those in it do."""
        names, now = self._house.config.notifiers, self._house.clock.now()
        owed = {*names, *stock.waiting, *stock.dead}
        waiting = {name: stock.waiting.get(name, Waiting(0, now)) for name in sorted(owed)}
        sheet.by_name("ftwatch_outbox_deliveries", {name: one.count for name, one in waiting.items()})
        ages = {name: max(now - one.since, 0.0) for name, one in waiting.items()}
        sheet.by_name("ftwatch_outbox_oldest_seconds", ages)
        sheet.by_name("ftwatch_dead_letters", {name: stock.dead.get(name, 0) for name in sorted(owed)})
        well: tuple[Breaker, str | None] = (Breaker(), None)
        states = {name: stock.notifiers.get(name, well) for name in names}
        opened = {name: breaker.is_open for name, (breaker, _) in states.items()}
        sheet.by_name("ftwatch_notifier_breaker_open", opened)
        disabled = {name: why is not None for name, (_, why) in states.items()}
        sheet.by_name("ftwatch_notifier_disabled", disabled)
        since = {
            name: now if one.failing_since is None else one.failing_since for name, (one, _) in states.items()
        }
        failing = {name: max(now - at, 0.0) for name, at in since.items()}
        sheet.by_name("ftwatch_notifier_failing_seconds", failing)

    def _is_up(self, state: ProviderState) -> bool:
        poller = self._house.pollers.get(state.name)
        fails = state.degraded_at is not None or (poller is not None and poller.problem is not None)
        return state.name in self._house.store.meter.looked and not fails


def _add_process(sheet: Sheet, started_at: float) -> None:
    used = os.times()
    sheet.put("process_cpu_seconds_total", used.user + used.system)
    sheet.put("process_start_time_seconds", started_at)
    sheet.put("process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    try:
        pages = int(STATM.read_text().split()[1])
        sheet.put("process_resident_memory_bytes", pages * resource.getpagesize())
        sheet.put("process_open_fds", len(os.listdir(FDS)))
    except OSError:
        return


def count_hook(house: House, provider: str, verdict: str) -> None:
    """Counts a webhook that came in. `verdict` is a word of ours; what names no provider is nobody's."""
    known = house.config.providers
    house.store.meter.hooks.add(provider if provider in known else "", verdict)


async def metrics(request: Request) -> Response:
    """Everything, in the format that is asked for."""
    sheet = await request.app.state.figures.gather()
    registry = CollectorRegistry()
    registry.register(sheet)
    # The library's own choice of a format fails of versions that it cannot read.
    is_open = "application/openmetrics-text" in request.headers.get("accept", "")
    write, form = (openmetrics.generate_latest, OPEN) if is_open else (generate_latest, PLAIN)
    return Response(write(registry), media_type=form)


routes: list[BaseRoute] = [Route("/metrics", metrics)]
