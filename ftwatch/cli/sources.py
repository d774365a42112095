"""Whom `wait` asks about a job: a daemon, here or elsewhere, else the providers. No printing, no deciding.

All answer the same two questions: which job does a JOB mean, and how does it stand now?
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from ftwatch import control
from ftwatch.answers import Job, Page, Placed, snapshot_of
from ftwatch.cli import Exit
from ftwatch.cli.facts import Elsewhere, NotThere
from ftwatch.cli.remote import Api, path_of
from ftwatch.cli.visible import heads_of, visible
from ftwatch.core.event import decode
from ftwatch.core.job import JobKey, Snapshot
from ftwatch.plugins import NotFound, Provider, ProviderError, Unreadable
from ftwatch.store.history import Row

__all__ = ["Ambiguous", "Daemon", "Far", "Nothing", "OutOfReach", "Providers", "Seen", "Source"]

# How often the daemon is asked to look again, and how long it may take to find a job that is new (seconds).
POKE, FIND = 5.0, 10.0
# Two answers "no such job" so far apart make a job gone (seconds).
GONE = 60.0
# How often a daemon elsewhere is asked to look again, and how soon its stream is asked for again that broke
# off (seconds).
POKE_FAR, AGAIN = 30.0, 5.0
# How many pages of a listing are read to find a job by its name, and how many jobs.
PAGES, JOBS = 10, 5000
# Whether a second provider has a job of the same id is waited for so long (seconds).
GRACE = 1.0


T = TypeVar("T")


class Seen(Struct, frozen=True):
    """How a job stands. `gone`: its provider knows it no more."""

    job: Snapshot
    gone: bool = False


class Nothing(Exception):
    """No job of this name. `refused`: who could not be asked because the key was refused, and how."""

    def __init__(self, selector: str, refused: Sequence[str] = ()) -> None:
        super().__init__(selector)
        self.refused = refused


class Ambiguous(Exception):
    """Several jobs could be meant."""

    def __init__(self, candidates: Sequence[Snapshot]) -> None:
        super().__init__(candidates)
        self.candidates = candidates


class OutOfReach(Exception):
    """Nobody answered. `final`: asking again is pointless (the key was refused)."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final


class Source(Protocol):
    """Who knows about jobs."""

    async def resolve(self, selector: str) -> JobKey:
        """The one job that is meant. Raises Nothing, Ambiguous, OutOfReach."""
        ...

    async def look(self, key: JobKey) -> Seen:
        """How it stands. Raises OutOfReach."""
        ...

    async def rest(self, keys: Collection[JobKey], pause: float) -> None:
        """Waits until these may stand otherwise, at most so long (seconds)."""
        ...


class Daemon:
    """The daemon behind a control socket; it is asked to look at what is waited for more often than usual."""

    def __init__(
        self, path: Path, providers: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._providers = providers
        self._clock = clock
        self._poked: dict[JobKey, float] = {}

    async def resolve(self, selector: str) -> JobKey:
        """What the daemon knows by this name, now or after a look for new jobs."""
        until = self._clock() + FIND
        poked = False
        while True:
            rows = await self._find(selector)
            if len(rows) > 1:
                raise Ambiguous([row.known.snapshot for row in rows])
            if rows:
                return rows[0].known.snapshot.key
            if self._clock() >= until:
                raise Nothing(selector)
            if not poked:
                poked = True
                for name in self._providers:
                    await self._poke(name, None)
            await anyio.sleep(0.5)

    async def look(self, key: JobKey) -> Seen:
        """The daemon's last look, and a wish for another one now and then."""
        rows = [row for row in await self._find(str(key)) if row.known.snapshot.key == key]
        if not rows:
            raise OutOfReach(f"the daemon does not know {key} any more")
        known = rows[0].known
        if known.is_active and self._clock() - self._poked.get(key, -POKE) >= POKE:
            self._poked[key] = self._clock()
            await self._poke(key.provider, key.id)
        return Seen(known.snapshot, known.gone)

    async def rest(self, keys: Collection[JobKey], pause: float) -> None:
        """See `Source`."""
        await anyio.sleep(pause)

    async def _find(self, selector: str) -> list[Row]:
        answer = await self._ask("find", selector=selector)
        return msgspec.convert(answer["rows"], list[Row])

    async def _poke(self, provider: str, job: str | None) -> None:
        try:
            await self._ask("poke", provider=provider, job=job)
        except OutOfReach:
            return  # it looks in its own time, too

    async def _ask(self, op: str, **args: Any) -> dict[str, Any]:
        question = partial(control.ask, self._path, op, **args)
        try:
            return await anyio.to_thread.run_sync(question, abandon_on_cancel=True)
        except (control.NoDaemon, control.Refused) as error:
            raise OutOfReach(str(error)) from None


class Far:
    """A daemon elsewhere, behind its API. Between two looks it is listened to, so that it need not be asked.

    Raises Elsewhere besides, where asking again is pointless.
    """

    def __init__(self, api: Api, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._clock = clock
        self._poked: dict[JobKey, float] = {}
        # The last event that was heard of: its place at first, then its id.
        self._after: int | None = None
        self._last = ""

    async def resolve(self, selector: str) -> JobKey:
        """What the daemon knows by this name, now or after a look for new jobs."""
        if self._after is None:
            newest = await self._ask("GET", "events", Page[Placed], {"limit": 1})
            self._after = newest.data[0].seq if newest.data else 0
        until = self._clock() + FIND
        poked = False
        while True:
            try:
                jobs = (await self._ask("GET", "jobs/find", Page[Job], {"job": selector})).data
            except NotThere:
                jobs = []
            if len(jobs) > 1:
                raise Ambiguous(jobs)
            if jobs:
                return jobs[0].key
            if self._clock() >= until:
                raise Nothing(selector)
            if not poked:
                poked = True
                await self._ask("POST", "jobs/look", dict[str, Any])
            await anyio.sleep(1)

    async def look(self, key: JobKey) -> Seen:
        """The daemon's last look, and a wish for another one now and then."""
        try:
            job = await self._ask("GET", path_of(key), Job)
            if job.active and self._clock() - self._poked.get(key, -POKE_FAR) >= POKE_FAR:
                self._poked[key] = self._clock()
                await self._ask("POST", f"{path_of(key)}/look", dict[str, Any])
        except NotThere:
            raise OutOfReach(f"the daemon does not know {key} any more") from None
        except control.Refused:
            pass  # nobody watches this job any more, but it is known how it stands
        return Seen(snapshot_of(job), job.gone)

    async def rest(self, keys: Collection[JobKey], pause: float) -> None:
        """Until an event tells of one of them."""
        query = {"after": self._after} if not self._last else {}
        with anyio.move_on_after(pause):
            try:
                async with aclosing(self._api.stream(query, self._last)) as stream:
                    async for heard in stream:
                        self._last = heard.id or self._last
                        if decode(heard.body).key in keys:
                            return
            except Elsewhere as error:
                if error.code != Exit.UNREACHABLE:
                    raise
            await anyio.sleep(AGAIN)

    async def _ask(self, method: str, path: str, kind: type[T], query: dict[str, Any] | None = None) -> T:
        try:
            return await self._api.ask(method, path, kind, query)
        except Elsewhere as error:
            if error.code != Exit.UNREACHABLE:
                raise
            raise OutOfReach(str(error)) from None


class Providers:
    """The providers themselves, by name."""

    def __init__(self, providers: dict[str, Provider], clock: Callable[[], float] = time.monotonic) -> None:
        self._providers = providers
        self._clock = clock
        self._last: dict[JobKey, Snapshot] = {}
        self._missing: dict[JobKey, float] = {}
        # Who was asked about by id just now need not be asked again to be seen.
        self._unseen: set[JobKey] = set()

    async def resolve(self, selector: str) -> JobKey:
        """Asked for by id first, then looked for in the listings; everybody is asked at once."""
        name, _, rest = selector.partition("/")
        asked = {name: self._providers[name]} if rest and name in self._providers else self._providers
        # A URL ends in an id; but an id may have slashes of its own.
        wanted = rest if asked is not self._providers else selector.rstrip("/")
        ids = tuple(dict.fromkeys((wanted, wanted.rpartition("/")[2])))
        jobs, problems = await _asked(asked, partial(_by_id, ids), patience=GRACE)
        if jobs:
            job = _only(jobs)
            self._unseen.add(job.key)
            return self._keep(job).key
        jobs, more = await _asked(asked, _listed)
        for means in (
            [job for job in jobs if job.id in ids],
            [job for job in jobs if job.name in ids],
            [job for job in jobs if job.id.startswith(ids)],
        ):
            if means:
                return self._keep(_only(means)).key
        raise _unresolved(selector, {**problems, **more}, of=len(asked))

    async def look(self, key: JobKey) -> Seen:
        """What the provider says now; what it said last, where it denies the job for the first time."""
        if key in self._unseen:
            self._unseen.discard(key)
            return Seen(self._last[key])
        provider = self._providers[key.provider]
        try:
            job = self._keep(provider.read(await provider.retrieve(key.id)))
        except NotFound:
            since = self._missing.setdefault(key, self._clock())
            return Seen(self._last[key], gone=self._clock() - since >= GONE)
        except Unreadable as error:
            raise OutOfReach(f"the answer about {key} cannot be read: {error}") from None
        except ProviderError as error:
            raise OutOfReach(error.reason, final=error.denied) from None
        self._missing.pop(key, None)
        return Seen(job)

    async def rest(self, keys: Collection[JobKey], pause: float) -> None:
        """See `Source`."""
        await anyio.sleep(pause)

    def _keep(self, job: Snapshot) -> Snapshot:
        self._last[job.key] = job
        return job


# ------------------------------------------------------------------------------ asking several providers

Question = Callable[[Provider], Awaitable[list[Snapshot]]]


async def _asked(
    providers: dict[str, Provider], question: Question, *, patience: float = float("inf")
) -> tuple[list[Snapshot], dict[str, ProviderError]]:
    """What all of them say, and who could not be asked. Once one knows a job, others have so many seconds."""
    found: list[Snapshot] = []
    problems: dict[str, ProviderError] = {}

    async def ask(name: str, provider: Provider) -> None:
        try:
            jobs = await question(provider)
        except ProviderError as error:
            problems[name] = error
            return
        found.extend(jobs)
        if jobs:
            scope.deadline = min(scope.deadline, anyio.current_time() + patience)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            for name, provider in providers.items():
                group.start_soon(ask, name, provider)
    return found, problems


async def _by_id(ids: Sequence[str], provider: Provider) -> list[Snapshot]:
    """The job that has the first of these ids that there is."""
    for id in ids:
        try:
            return [provider.read(await provider.retrieve(id))]
        except (NotFound, Unreadable):
            continue
    return []


async def _listed(provider: Provider) -> list[Snapshot]:
    """The jobs on the first pages of its listings."""
    return [
        job
        for head in heads_of(provider)
        for job in (await visible(provider, head, most_jobs=JOBS, most_pages=PAGES)).jobs
    ]


def _only(jobs: Sequence[Snapshot]) -> Snapshot:
    """The one job that is meant. Raises Ambiguous."""
    distinct = {job.key: job for job in jobs}
    if len(distinct) > 1:
        raise Ambiguous(list(distinct.values()))
    return jobs[0]


def _unresolved(selector: str, problems: dict[str, ProviderError], *, of: int) -> Nothing | OutOfReach:
    """What it means that none of so many providers knows the job, and some could not be asked.

    Whose key is refused will not know it next time either, so who did answer has the last word.
    """
    said = {name: f"{name}: {error.reason}" if of > 1 else error.reason for name, error in problems.items()}
    refused = [said[name] for name, error in problems.items() if error.denied]
    away = [said[name] for name, error in problems.items() if not error.denied]
    if away:
        return OutOfReach(away[0])
    if refused and len(refused) == of:
        return OutOfReach(refused[0], final=True)
    return Nothing(selector, refused)
