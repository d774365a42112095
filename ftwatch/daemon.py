"""The composition root: builds everything, runs it in one task group, reloads it, ends it; no policy.

A *generation* is what one config builds: a client, pollers, dispatchers. A reload ends one and begins the
next over the same store, which is why it can neither lose nor repeat anything.
"""

import os
import random
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup
from msgspec import Struct, to_builtins

from ftwatch import __version__, control, systemd
from ftwatch import log as logs
from ftwatch.assembly import make_client, make_notifier, make_provider
from ftwatch.client import Client
from ftwatch.config import Config, ConfigError, load
from ftwatch.core import announce
from ftwatch.core import event as events
from ftwatch.core.clock import Clock
from ftwatch.core.event import Event, Severity
from ftwatch.dispatcher import Dispatcher
from ftwatch.poller import Poller
from ftwatch.store import Batch, Locked, Runner, Store, StoreError, T, Ts, inline

__all__ = ["Round", "WallClock", "once", "serve"]

log = structlog.get_logger("ftwatch.daemon")

# How long deliveries under way may take to end on SIGTERM or a reload (seconds).
GRACE = 8.0
# A changed config counts once it has kept still for a look.
LOOK_AT_FILE = 2.0
PRUNE_EVERY = 3600.0
WATCHED_EVERY = 5.0


class WallClock:
    """The machine's own time."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def ticks(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def luck(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await anyio.sleep(seconds)


def threaded() -> Runner:
    """A runner that gives the store a worker thread, one call at a time."""
    limiter = anyio.CapacityLimiter(1)

    async def run(function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=limiter)

    return run


class Pulse:
    """Who said to be alive until when: the watchdog is fed only while everybody keeps their word."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def of(self, name: str) -> Callable[[float], None]:
        """The `beat(seconds)` that a loop of this name is given."""

        def beat(seconds: float) -> None:
            self._until[name] = time.monotonic() + seconds

        beat(300.0)
        return beat

    def clear(self) -> None:
        """Forgets everybody, between two generations."""
        self._until.clear()

    def late(self) -> list[str]:
        """Whose word is broken."""
        now = time.monotonic()
        return [name for name, until in self._until.items() if until < now]


def _build(
    config: Config, client: Client, store: Store, run: Runner, clock: Clock, bell: Callable[[], None]
) -> tuple[dict[str, Dispatcher], dict[str, Poller]]:
    """One generation's loops, by the names of what they serve."""
    dispatchers = {
        name: Dispatcher(
            notifier,
            make_notifier(notifier, client, config.folder),
            store,
            run,
            routing=config.routing,
            clock=clock,
            bell=bell,
        )
        for name, notifier in config.notifiers.items()
    }
    pollers = {
        name: Poller(
            provider,
            make_provider(provider, client),
            store,
            run,
            routing=config.routing,
            rules=config.rules,
            clock=clock,
            bell=bell,
        )
        for name, provider in config.providers.items()
    }
    return dispatchers, pollers


class Daemon:
    """One `ftwatch run`."""

    def __init__(self, path: Path, config: Config, store: Store) -> None:
        self.path = path
        self.config = config
        self.store = store
        self.started_at = time.time()
        self.generation = 0
        self._clock = WallClock()
        self._run = threaded()
        self._pulse = Pulse()
        self._pollers: dict[str, Poller] = {}
        self._dispatchers: dict[str, Dispatcher] = {}
        self._ending = anyio.Event()
        self._changed = anyio.Event()
        self._rejected: str | None = None
        self._stopping = False

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._signals)
            group.start_soon(self._watch_file)
            group.start_soon(self._feed_watchdog)
            group.start_soon(self._prune)
            async with control.listening(self.config.socket, self._operations()):
                while not self._stopping:
                    self._ending = anyio.Event()
                    await self._generation(self.config)
            group.cancel_scope.cancel()

    async def _generation(self, config: Config) -> None:
        async with make_client(config.client) as client, anyio.create_task_group() as group:
            self._dispatchers, self._pollers = _build(
                config, client, self.store, self._run, self._clock, self._ring
            )
            async with _finishing(group) as sending:
                for name, dispatcher in self._dispatchers.items():
                    sending.start_soon(dispatcher.run, self._pulse.of(f"dispatcher {name}"))
                async with anyio.create_task_group() as polling:
                    for name, poller in self._pollers.items():
                        polling.start_soon(poller.run, self._pulse.of(f"poller {name}"))
                    self.generation += 1
                    systemd.notify(ready=True, status=self._summary())
                    log.info("running", providers=len(self._pollers), notifiers=len(self._dispatchers))
                    await self._ending.wait()
                    polling.cancel_scope.cancel()
                for dispatcher in self._dispatchers.values():
                    dispatcher.stop()
            group.cancel_scope.cancel()
        self._pulse.clear()
        self._pollers.clear()
        self._dispatchers.clear()

    def _ring(self) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.ring()

    def _summary(self) -> str:
        return f"watching {len(self._pollers)} providers for {len(self._dispatchers)} notifiers"

    # --------------------------------------------------------------------------------- signals, reload

    async def _signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
            async for number in received:
                if number == signal.SIGHUP:
                    await self.reload()
                else:
                    log.info("stopping", signal=signal.Signals(number).name)
                    systemd.notify(stopping=True)
                    self._stopping = True
                    self._ending.set()

    async def _watch_file(self) -> None:
        """Reloads when the config file has changed and then kept still."""
        seen = before = _mark(self.path)
        while True:
            await anyio.sleep(LOOK_AT_FILE)
            mark = _mark(self.path)
            if mark is not None and mark != seen and mark == before:
                seen = mark
                await self.reload()
            before = mark

    async def reload(self) -> list[str]:
        """Takes the config anew. What is wrong with it, if anything: then the old one stays."""
        systemd.notify(reloading=True)
        try:
            return await self._reload()
        finally:
            systemd.notify(ready=True, status=self._summary())

    async def _reload(self) -> list[str]:
        problems: list[str] = []
        try:
            config = await anyio.to_thread.run_sync(_load, self.path)
            for key in ("store.path", "socket"):
                old, new = (_at(self.config, key), _at(config, key))
                if old != new:
                    problems.append(f"{self.path}: error: {key} cannot change while ftwatch runs: restart it")
        except (ConfigError, OSError) as error:
            problems = str(error).splitlines()
        if problems:
            for line in problems:
                log.error("config rejected, the old one stays", problem=line)
            text = "\n".join(problems)
            if text != self._rejected:
                self._rejected = text
                await self._say(events.REJECTED, Severity.ERROR, text)
            return problems
        if config.fingerprint != self.config.fingerprint:
            log.info("config accepted")
            self.config = config
            self._ending.set()
        if self._rejected is not None:
            self._rejected = None
            await self._say(events.ACCEPTED, Severity.NOTICE, f"{self.path.name} is in force again")
        return []

    async def _say(self, kind: str, severity: Severity, note: str) -> None:
        now = time.time()
        said = announce.about_config(kind, severity, note, f"config:{now}", self.config.routing, now)
        await self._run(self.store.commit, Batch(announcements=[said]), now)
        self._ring()

    # --------------------------------------------------------------------------------- housekeeping

    async def _feed_watchdog(self) -> None:
        period = systemd.watchdog_period()
        while True:
            await anyio.sleep(min(period / 2, WATCHED_EVERY) if period else WATCHED_EVERY)
            late = self._pulse.late()
            if late:
                log.error("no sign of life", of=late)
            elif period:
                systemd.notify(watchdog=True)

    async def _prune(self) -> None:
        while True:
            try:
                await self._run(self.store.prune, time.time(), self.config.store.retention)
            except StoreError as error:
                log.error("could not forget old events", error=str(error))
            await anyio.sleep(PRUNE_EVERY)

    # --------------------------------------------------------------------------------- the control socket

    def _operations(self) -> dict[str, control.Operation]:
        return {
            "ping": self._ping,
            "reload": self._op_reload,
            "poke": self._poke,
            "find": self._find,
            "outbox.retry": self._retry,
            "outbox.drop": self._drop,
        }

    async def _ping(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "since": self.started_at,
            "config": str(self.path),
            "generation": self.generation,
        }

    async def _op_reload(self) -> dict[str, Any]:
        problems = await self.reload()
        if problems:
            raise control.Refused("\n".join(problems))
        return {}

    async def _poke(self, provider: str, job: str | None = None) -> dict[str, Any]:
        if provider not in self._pollers:
            raise control.Refused(f"no provider is called {provider!r}")
        self._pollers[provider].poke(job)
        return {}

    async def _find(self, selector: str) -> dict[str, Any]:
        rows = await self._run(self.store.history.find, selector)
        return {"rows": [to_builtins(row) for row in rows]}

    async def _retry(self, ids: list[str]) -> dict[str, Any]:
        now, was_off = time.time(), await self._switched_off()
        done = await self._run(self.store.outbox.retry, ids, now)
        for name in was_off - await self._switched_off():
            said = announce.about_notifier(
                name,
                events.ENABLED,
                Severity.NOTICE,
                "switched on again by hand",
                self.config.routing,
                now,
                link=f"{name}:{now}",
            )
            await self._run(self.store.commit, Batch(announcements=[said]), now)
        self._ring()
        return {"ids": done}

    async def _switched_off(self) -> set[str]:
        found = await self._run(self.store.history.notifiers)
        return {health.name for health in found if health.disabled is not None}

    async def _drop(self, ids: list[str]) -> dict[str, Any]:
        return {"ids": await self._run(self.store.outbox.drop, ids, time.time())}


@asynccontextmanager
async def _finishing(outer: TaskGroup) -> AsyncIterator[TaskGroup]:
    """A task group whose tasks are given GRACE seconds to end once its body has; then they are cancelled."""

    async def cut() -> None:
        await anyio.sleep(GRACE)
        log.warning("some deliveries did not end in time: they will be sent again")
        outer.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        yield group
        outer.start_soon(cut)


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _at(config: Config, key: str) -> Path:
    return config.socket if key == "socket" else config.store.path


def _load(path: Path) -> Config:
    """The config with its secrets: what cannot be had is found out now, not at three in the morning."""
    return load(path, secrets=True)


def _open(config: Config, wait: float) -> Store:
    """Opens the store, waiting up to `wait` seconds for another process to let go of it."""
    until = time.monotonic() + wait
    while True:
        try:
            return Store(config.store.path)
        except Locked:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def serve(path: Path, *, wait_lock: float = 0.0) -> int:
    """`ftwatch run`: serves until a signal ends it. Raises ConfigError, StoreError."""
    config = _load(path)
    logs.configure(config.log.level, config.log.format)
    for warning in config.warnings:
        log.warning("config", problem=str(warning))
    with ExitStack() as stack:
        store = _open(config, wait_lock)
        stack.callback(store.close)
        anyio.run(Daemon(path, config, store).run)
    return 0


class Round(Struct, frozen=True, kw_only=True):
    """What one round of everything came to: problems by provider, new events, deliveries still owed."""

    problems: dict[str, str]
    events: tuple[Event, ...]
    waiting: int


def once(path: Path, *, wait_lock: float = 0.0, dry_run: bool = False) -> Round:
    """`ftwatch once`: one round of everything. `dry_run` looks and decides, over a copy, and sends nothing.

    Raises ConfigError, StoreError.
    """
    config = _load(path)
    logs.configure(config.log.level, config.log.format)
    with ExitStack() as stack:
        if dry_run:
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "ftwatch.db"
            if config.store.path.exists():
                original = Store(config.store.path, mode="read")
                original.db.copy_to(copy)
                original.close()
            store = Store(copy)
        else:
            store = _open(config, wait_lock)
        stack.callback(store.close)
        return anyio.run(_round, config, store, dry_run)


async def _round(config: Config, store: Store, dry_run: bool) -> Round:
    before = store.history.last_seq()
    async with make_client(config.client) as client:
        dispatchers, pollers = _build(config, client, store, inline, WallClock(), lambda: None)

        async def repeat(step: Callable[[], Awaitable[bool]]) -> None:
            while await step():
                pass

        async with anyio.create_task_group() as group:
            for poller in pollers.values():
                group.start_soon(repeat, poller.poll_once)
        if not dry_run:
            async with anyio.create_task_group() as group:
                for dispatcher in dispatchers.values():
                    group.start_soon(repeat, dispatcher.dispatch_once)
    return Round(
        problems={name: poller.problem for name, poller in pollers.items() if poller.problem},
        events=tuple(event for _, event in store.history.events(after=before, limit=10_000)),
        waiting=sum(health.counts.get("pending", 0) for health in store.history.notifiers()),
    )
