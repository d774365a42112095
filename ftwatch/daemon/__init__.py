"""The composition root: builds everything, runs it in one task group, reloads it, ends it; no policy.

A *generation* is what one config builds: a client, pollers, dispatchers. A reload ends one and begins the
next over the same store, which is why it can neither lose nor repeat anything.
"""

import gc
import itertools
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.to_thread
import structlog
from anyio.abc import TaskGroup
from msgspec import to_builtins

from ftwatch import __version__, control, silencing, systemd
from ftwatch import log as logs
from ftwatch.assembly import load_whole, make_client, make_loops, open_store
from ftwatch.config import Config, ConfigError
from ftwatch.core import announce
from ftwatch.core import event as events
from ftwatch.core.event import Severity
from ftwatch.core.span import span
from ftwatch.daemon.bell import Bell
from ftwatch.daemon.clock import Anchor, Pulse, WallClock
from ftwatch.daemon.heartbeat import Heartbeat
from ftwatch.daemon.listener import Listener, Occupied
from ftwatch.daemon.once import Round, once
from ftwatch.daemon.reader import Reader
from ftwatch.daemon.worker import threaded
from ftwatch.dispatcher import Dispatcher
from ftwatch.poller import Poller
from ftwatch.store import Batch, Damaged, Store, StoreError

__all__ = ["Round", "WallClock", "once", "serve", "threaded"]

log = structlog.get_logger("ftwatch.daemon")

# How long deliveries under way may take to end on SIGTERM or a reload (seconds).
GRACE = 6.0
# What is looked after now and again is so at the same moments: each waking costs more than what is done then.
# A changed config counts once it has kept still for a while.
LOOK_AT_FILE, STILL = 15.0, 2.0
PRUNE_EVERY = 3600.0
WATCHED_EVERY = 15.0
ANCHORED_EVERY = 15.0
ROOM_EVERY = 15.0
# In how many looks at the clock the time is noted once: each note is a write to the disk.
NOTED_IN = 4
FILES = 16384


class Daemon:
    """One `ftwatch run`."""

    def __init__(self, path: Path, config: Config, store: Store) -> None:
        self.path = path
        self.config = config
        self.store = store
        self.started_at = time.time()
        self.generation = 0
        self.clock = WallClock()
        self.work = threaded()
        self._pulse = Pulse()
        self._reader = Reader(store.db.path)
        self.read = self._reader.read
        self.bell = Bell()
        self.news = self.bell.next
        self.operations = self._operations()
        self.listener = Listener(self)
        self._heartbeat = Heartbeat(self)
        self.pollers: dict[str, Poller] = {}
        self.dispatchers: dict[str, Dispatcher] = {}
        self._ending = anyio.Event()
        self._changed = anyio.Event()
        self._rejected: str | None = None
        self._stopping = False

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT."""
        self.store.bell = self.bell.from_any_thread()
        async with anyio.create_task_group() as group:
            group.start_soon(self._signals)
            group.start_soon(self._watch_file)
            group.start_soon(self._feed_watchdog)
            group.start_soon(self._prune)
            group.start_soon(self._keep_anchored)
            group.start_soon(self._keep_room)
            group.start_soon(self.listener.run)
            async with control.listening(self.config.socket, self.operations):
                while not self._stopping:
                    self._ending = anyio.Event()
                    await self._generation(self.config)
            group.cancel_scope.cancel()

    async def _generation(self, config: Config) -> None:
        async with make_client(config.client) as client, anyio.create_task_group() as group:
            self.dispatchers, self.pollers = make_loops(
                config, client, self.store, self.work, self.clock, self.ring
            )
            group.start_soon(self._heartbeat.run, client, config.web)
            async with _finishing(group) as sending:
                for name, dispatcher in self.dispatchers.items():
                    sending.start_soon(dispatcher.run, self._pulse.of(f"dispatcher {name}"))
                async with anyio.create_task_group() as polling:
                    for name, poller in self.pollers.items():
                        polling.start_soon(poller.run, self._pulse.of(f"poller {name}"))
                    self.generation += 1
                    systemd.notify(ready=True, status=self._summary())
                    log.info("running", providers=len(self.pollers), notifiers=len(self.dispatchers))
                    await self._ending.wait()
                    polling.cancel_scope.cancel()
                for dispatcher in self.dispatchers.values():
                    dispatcher.stop()
            group.cancel_scope.cancel()
        self._pulse.clear()
        self.pollers.clear()
        self.dispatchers.clear()

    def ring(self, owed: Collection[str] | None = None) -> None:
        """Something new may be due, to these notifiers (None: to any). The others sleep on.

        With hundreds of notifiers it would cost more to wake them all than to tell the few.
        """
        for dispatcher in self.dispatchers.values():
            if owed is None or dispatcher.heeds(owed):
                dispatcher.ring()

    def late(self) -> list[str]:
        """Which loops have not given the sign of life that they promised."""
        return self._pulse.late()

    def _summary(self) -> str:
        return f"watching {len(self.pollers)} providers for {len(self.dispatchers)} notifiers"

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
                    self.listener.stop()
                    self._ending.set()

    async def _watch_file(self) -> None:
        """Reloads when the config file has changed and then kept still."""
        seen = before = _mark(self.path)
        while True:
            await anyio.sleep(LOOK_AT_FILE if before == seen else STILL)
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
            config = await anyio.to_thread.run_sync(load_whole, self.path)
            for key in ("store.path", "socket"):
                old, new = (_at(self.config, key), _at(config, key))
                if old != new:
                    problems.append(f"{self.path}: error: {key} cannot change while ftwatch runs: restart it")
            if not problems:
                self.listener.take(config)
        except (ConfigError, Occupied, OSError) as error:
            problems = str(error).splitlines()
        if problems:
            for line in problems:
                log.error("config rejected, the old one stays", problem=line)
            text = "\n".join(problems)
            if text != self._rejected:
                self._rejected = text
                await self._say_of_config(events.REJECTED, Severity.ERROR, text)
            return problems
        if config.fingerprint != self.config.fingerprint:
            log.info("config accepted")
            self.config = config
            self._ending.set()
        if self._rejected is not None:
            self._rejected = None
            await self._say_of_config(events.ACCEPTED, Severity.NOTICE, f"{self.path.name} is in force again")
        return []

    async def _say_of_config(self, kind: str, severity: Severity, note: str) -> None:
        try:
            await self._say("config", kind, severity, note)
        except Damaged:
            raise
        except StoreError as error:
            log.error("could not tell of the config", error=str(error))

    async def _say(
        self,
        what: Literal["config", "store"],
        kind: str,
        severity: Severity,
        note: str,
        also: tuple[str, ...] = (),
    ) -> tuple[str, ...]:
        """Tells people about ourselves; returns who is told. Raises StoreError."""
        now = time.time()
        routing = self.store.silences.over(self.config.routing)
        said = announce.about_ourselves(what, kind, severity, note, routing, now, also)
        await self.work(self.store.commit, Batch(announcements=[said]), now)
        self.ring()
        return tuple(owed.notifier for owed in said.deliveries)

    # --------------------------------------------------------------------------------- housekeeping

    async def _feed_watchdog(self) -> None:
        period = systemd.watchdog_period()
        while True:
            await anyio.sleep(min(period / 2, WATCHED_EVERY) if period else WATCHED_EVERY)
            late = self.late()
            if late:
                log.error("no sign of life", of=late)
            elif period:
                systemd.notify(watchdog=True)

    async def _keep_anchored(self) -> None:
        """Moves what waits along when the machine's time is set: no storm, no stall, no early dead letter."""
        anchor, owed = Anchor(self.clock), 0.0
        for look in itertools.count(1):
            await anyio.sleep(ANCHORED_EVERY)
            step = anchor.stepped()
            if step:
                log.warning("the clock was set", by_seconds=round(step))
                owed += step
            try:
                is_due = owed != 0.0 or look % NOTED_IN == 0
                if owed:
                    await self.work(self.store.outbox.shift, owed)
                    for dispatcher in self.dispatchers.values():
                        dispatcher.shift(owed)
                    owed = 0.0
                if is_due:
                    await self.work(self.store.mark, self.clock.now())
            except Damaged:
                raise
            except StoreError as error:
                log.error("could not note the time", error=str(error))

    async def _keep_room(self) -> None:
        """Notices a full disk, says so, and says when it has room again."""
        told: tuple[str, ...] = ()
        since, owed = 0.0, False
        while True:
            await anyio.sleep(ROOM_EVERY)
            if not (owed or self.store.is_cramped):
                continue
            try:
                if await self.work(self.store.heed_room):
                    owed = True
                    since = time.time() if self.store.is_full else since
                    log.error("the disk is full" if self.store.is_full else "the disk has room again")
                if not owed:
                    continue
                if self.store.is_full:
                    left = f"{self.store.room.free / 2**20:.1f} MiB are left in {self.store.db.path.parent}"
                    note = f"{left}; messages still go out, and nothing that happens is lost"
                    told = await self._say("store", events.FULL, Severity.ERROR, note)
                else:
                    note = f"after {span(time.time() - since)}"
                    await self._say("store", events.ROOM, Severity.NOTICE, note, told)
                owed = False
            except Damaged:
                raise
            except StoreError as error:
                log.error("could not tell of the disk", error=str(error))
                await anyio.sleep(5)

    async def _prune(self) -> None:
        while True:
            try:
                await self.work(self.store.prune, time.time(), self.config.store.retention)
            except Damaged:
                raise
            except StoreError as error:
                log.error("could not forget old events", error=str(error))
            await anyio.sleep(PRUNE_EVERY)

    # --------------------------------------------------------------------------------- the control socket

    def _operations(self) -> dict[str, control.Operation]:
        return {
            "ping": self._ping,
            "reload": self._op_reload,
            "poke": self._poke,
            "turns": self._turns,
            "find": self._find,
            "outbox.retry": self._retry,
            "outbox.drop": self._drop,
            "replay": self._replay,
            "forget": self._forget,
            **{name: self._silencing(name, act) for name, act in silencing.OPERATIONS.items()},
        }

    async def _ping(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "pid": os.getpid(),
            "since": self.started_at,
            "config": str(self.path),
            "generation": self.generation,
            "full": self.store.is_full,
            "late": self.late(),
        }

    async def _op_reload(self) -> dict[str, Any]:
        problems = await self.reload()
        if problems:
            raise control.Refused("\n".join(problems))
        return {}

    async def _poke(self, provider: str, job: str | None = None) -> dict[str, Any]:
        if provider not in self.pollers:
            raise control.Refused(f"no provider is called {provider!r}")
        self.pollers[provider].poke(job)
        return {}

    async def _turns(self) -> dict[str, Any]:
        """When each active job is looked at next (Unix seconds), and why then."""
        now, ticks = self.clock.now(), self.clock.ticks()
        return {
            "turns": {
                name: {id: [now + turn.at - ticks, turn.why] for id, turn in poller.turns().items()}
                for name, poller in self.pollers.items()
            }
        }

    async def _find(self, selector: str) -> dict[str, Any]:
        rows = await self.work(self.store.history.find, selector)
        return {"rows": [to_builtins(row) for row in rows]}

    async def _retry(self, ids: list[str]) -> dict[str, Any]:
        now, was_off = time.time(), await self._switched_off()
        done = await self.work(self.store.outbox.retry, ids, now)
        for name in was_off - await self._switched_off():
            said = announce.about_notifier(
                name,
                events.ENABLED,
                Severity.NOTICE,
                "switched on again by hand",
                self.store.silences.over(self.config.routing),
                now,
                link=f"{name}:{now}",
            )
            await self.work(self.store.commit, Batch(announcements=[said]), now)
        self.ring()
        return {"ids": done}

    async def _replay(self, notifier: str, since: float, dead: bool = False) -> dict[str, Any]:
        def replay() -> int:
            return self.store.outbox.replay(notifier, since, time.time(), dead=dead)

        count = await self.work(replay)
        self.ring()
        return {"count": count}

    async def _forget(self, provider: str, job: str | None = None) -> dict[str, Any]:
        if job is None and provider in self.pollers:
            raise control.Refused(f"{provider} is being watched: take it out of the config first")
        gone = await self.work(self.store.forget, provider, job)
        return {"gone": to_builtins(gone)}

    def _silencing(self, name: str, act: silencing.Operation) -> control.Operation:
        async def operation(**asked: Any) -> dict[str, Any]:
            now = time.time()
            try:
                if name in silencing.LOOKING:
                    return await self.read(lambda store: act(self.config, store, now, **asked))
                done = await self.work(partial(act, self.config, self.store, now, **asked))
            except ValueError as error:
                raise control.Refused(str(error)) from None
            log.info(name, **{key: asked[key] for key in ("author", "job", "ids") if key in asked})
            return done

        return operation

    async def _switched_off(self) -> set[str]:
        found = await self.work(self.store.history.notifiers)
        return {health.name for health in found if health.disabled is not None}

    async def _drop(self, ids: list[str]) -> dict[str, Any]:
        return {"ids": await self.work(self.store.outbox.drop, ids, time.time())}


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


def _leaves(group: BaseExceptionGroup[Damaged]) -> Iterator[Damaged]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _allow_many_files() -> None:
    """Hundreds of receivers that hang must not use up the few files that a process may open at first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, FILES) if hard != resource.RLIM_INFINITY else FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def serve(path: Path, *, wait_lock: float = 0.0) -> int:
    """`ftwatch run`: serves until a signal ends it. Raises ConfigError, Occupied, StoreError."""
    config = load_whole(path)
    logs.configure(config.log.level, config.log.format)
    for warning in config.warnings:
        log.warning("config", problem=str(warning))
    _allow_many_files()
    with ExitStack() as stack:
        store = open_store(config, wait_lock)
        stack.callback(store.close)
        problem: Damaged | None = None
        try:
            daemon = Daemon(path, config, store)
            daemon.listener.take(config)
            gc.freeze()  # what is there by now stays, and is not looked through for garbage again
            gc.enable()
            anyio.run(daemon.run)
        except* Damaged as errors:
            # Going on could only make it worse. The next start looks at the file before it writes.
            problem = next(_leaves(errors))
        if problem is not None:
            log.critical("the store failed; ending", problem=str(problem))
            raise problem
    return 0
