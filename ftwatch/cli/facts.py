"""Where a command's facts come from: the database beside the config, or a daemon elsewhere, over its API.

Both answer the same questions in the same words, so that nothing that shows an answer knows who gave it. A
daemon elsewhere is asked where FTWATCH_URL names one, and no `-c` names a config.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import click
from msgspec import Raw

from ftwatch import answers
from ftwatch.answers import Happening, Job, Owed, Page, Placed, Story, Trust
from ftwatch.cli import Exit
from ftwatch.cli.output import plain
from ftwatch.core.job import JobKey, Status

if TYPE_CHECKING:
    from ftwatch.config import Config
    from ftwatch.store import Store
    from ftwatch.store.history import Row

__all__ = [
    "Address",
    "Elsewhere",
    "Facts",
    "Here",
    "NotThere",
    "Wrong",
    "address",
    "asking",
    "one_job",
    "reading",
]

# Where a daemon elsewhere is, and what lets in there.
URL, TOKEN = "FTWATCH_URL", "FTWATCH_TOKEN"
# So much of a job's story is told at most: events, and lines of its log.
EVENTS, LINES = 1000, 1000


class Facts(Protocol):
    """Who knows. What is listed is the last that there is; of events the oldest comes first."""

    def jobs(
        self,
        *,
        provider: str | None = None,
        status: Status | None = None,
        active: bool = False,
        limit: int,
        next_look: bool = False,
    ) -> Sequence[Job]:
        """Jobs, the last changed first."""
        ...

    def find(self, word: str) -> Sequence[Job]:
        """Every job that a JOB may mean."""
        ...

    def story(self, job: Job) -> Story:
        """Everything about one job, the oldest first throughout."""
        ...

    def happenings(self, job: JobKey, limit: int) -> Sequence[Happening]:
        """A job's events, and what became of each."""
        ...

    def happening(self, id: str) -> Happening | None:
        """One event, and what became of it."""
        ...

    def delivery(self, id: str) -> Owed | None:
        """The delivery whose id begins so. Raises Several."""
        ...

    def events(self, job: JobKey | None, limit: int) -> Sequence[Placed]:
        """Events, of a job or of all."""
        ...

    def follow(self, job: JobKey | None, after: Placed | None) -> Iterator[Placed]:
        """Events as they happen after that one, for ever."""
        ...

    def trust(self) -> Trust:
        """Can all be relied on?"""
        ...

    def silence(self, words: Sequence[str], **wanted: Any) -> dict[str, Any]:
        """Adds a silence. Raises ValueError where it makes no sense, Refused where it cannot be."""
        ...

    def preview(self, words: Sequence[str], *, until_end: bool) -> dict[str, Any]:
        """What such a silence would have muted lately. Raises ValueError where it makes no sense."""
        ...

    def silences(self, *, expired: bool) -> list[dict[str, Any]]:
        """The silences that stand; with `expired` also the others."""
        ...

    def expire(self, ids: Sequence[str] | None) -> list[str]:
        """Takes silences away, by ids or the beginnings of them (None: all); which of them stood."""
        ...

    def ack(self, job: JobKey, *, author: str, comment: str) -> dict[str, Any]:
        """Acknowledges what is open about a job: `{"ack": …, "of": […]}`, null where nothing is."""
        ...


class Address(NamedTuple):
    """Where a daemon is asked, and with which token."""

    url: str
    token: str


class Elsewhere(Exception):
    """What keeps a daemon elsewhere from answering; `code` is the exit code that says so."""

    def __init__(self, sentence: str, code: int = Exit.UNREACHABLE) -> None:
        super().__init__(sentence)
        self.code = code


class NotThere(Exception):
    """A daemon elsewhere knows nothing of this name."""


class Several(Exception):
    """More than one thing has an id that begins so."""


class Wrong(ValueError):
    """A daemon elsewhere makes no sense of what it was asked."""


def address(config: str | None) -> Address | None:
    """Whom to ask, where that is no daemon here. Raises UsageError where the variable names nobody."""
    url = os.environ.get(URL, "").strip()
    if config is not None or not url:
        return None
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or parts.query or parts.fragment:
        raise click.UsageError(f"{URL} has to be the daemon's address, like https://ftwatch.example.com")
    if "@" in parts.netloc:
        raise click.UsageError(f"{URL} holds a password: the token belongs in {TOKEN}")
    return Address(url.rstrip("/"), os.environ.get(TOKEN, "").strip())


@contextmanager
def reading(config: str | None) -> Iterator[tuple[Any, Any]]:
    """The config, and the store opened for reading."""
    from ftwatch.config import find, load
    from ftwatch.store import Store

    loaded = load(find(config))
    store = Store(loaded.store.path, mode="read")
    try:
        yield loaded, store
    finally:
        store.close()


@contextmanager
def asking(config: str | None) -> Iterator[Facts]:
    """Whoever knows."""
    there = address(config)
    if there is not None:
        from ftwatch.cli.remote import opened

        with opened(there) as facts:
            yield facts
        return
    with reading(config) as (loaded, store):
        yield Here(loaded, store)


def one_job(facts: Facts, word: str) -> Job:
    """The one job that JOB names; says what else it could be. Exits with 2 or 3 otherwise."""
    found = facts.find(word)
    if not found:
        click.echo(f"error: no job is called {word!r}; `ftwatch jobs` lists them", err=True)
        raise click.exceptions.Exit(Exit.NOTHING)
    if len(found) > 1:
        click.echo(f"error: {word!r} could be any of these:", err=True)
        for job in found:
            click.echo(f"  {plain(job.key)}  {job.status}  {plain(job.name or '')}".rstrip(), err=True)
        raise click.exceptions.Exit(Exit.USAGE)
    return found[0]


class Here:
    """The database beside the config, and the daemon that runs on it, if one does."""

    def __init__(self, config: "Config", store: "Store") -> None:
        self._config, self._store = config, store

    def jobs(
        self,
        *,
        provider: str | None = None,
        status: Status | None = None,
        active: bool = False,
        limit: int,
        next_look: bool = False,
    ) -> Sequence[Job]:
        """See `Facts`."""
        found: list[Row] = []
        after = None
        while len(found) < limit:
            some = self._store.listing.jobs(
                provider=provider,
                statuses=[status] if status else [],
                active=active,
                after=after,
                limit=limit - len(found),
            )
            found += (row for _, row in some.found)
            after = some.rest
            if after is None:
                break
        if not next_look:
            return [answers.job_of(row) for row in found]
        turns = self._turns()
        return [answers.job_of(row, answers.next_look(row, turns)) for row in found]

    def _turns(self) -> dict[str, Any]:
        """When the daemon looks at each job next. Exits with 4 where none is running."""
        from ftwatch.control import NoDaemon, Refused, ask

        try:
            turns: dict[str, Any] = ask(self._config.socket, "turns")["turns"]
        except (NoDaemon, Refused) as error:
            click.echo(f"error: {plain(error)}", err=True)
            raise click.exceptions.Exit(Exit.UNREACHABLE) from None
        return turns

    def find(self, word: str) -> Sequence[Job]:
        """See `Facts`."""
        return [answers.job_of(row) for row in self._store.history.find(word)]

    def story(self, job: Job) -> Story:
        """See `Facts`."""
        key, store = job.key, self._store
        row = store.listing.job(key)
        assert row is not None
        log = store.listing.log(key, limit=LINES).found
        return answers.story_of(
            row,
            store,
            None,
            history=Page(list(self.happenings(key, EVENTS)), None),
            log=Page([line for _, line in reversed(log)], None),
            metrics=Page([point for _, point in store.listing.series(key, limit=10**6).found], None),
            checkpoints=Page(store.journals.saved(key), None),
        )

    def happenings(self, job: JobKey, limit: int) -> Sequence[Happening]:
        """See `Facts`."""
        found = self._store.listing.events(job=job, newest=True, limit=limit).found
        return [answers.happening(seq, body, self._store) for seq, body in reversed(found)]

    def happening(self, id: str) -> Happening | None:
        """See `Facts`."""
        found = self._store.listing.event_at(id)
        return answers.happening(*found, self._store) if found else None

    def delivery(self, id: str) -> Owed | None:
        """See `Facts`."""
        found = self._store.history.deliveries(id=id, limit=2)
        if len(found) > 1:
            raise Several(id)
        return answers.owed(found[0], "", self._store) if found else None

    def events(self, job: JobKey | None, limit: int) -> Sequence[Placed]:
        """See `Facts`."""
        found = self._store.listing.events(job=job, newest=True, limit=limit).found
        return [Placed(seq, Raw(body)) for seq, body in reversed(found)]

    def follow(self, job: JobKey | None, after: Placed | None) -> Iterator[Placed]:
        """See `Facts`."""
        place = after.seq if after else self._store.history.last_seq()
        while True:
            time.sleep(1)
            while found := self._store.listing.events(job=job, after=place, limit=1000).found:
                for place, body in found:
                    yield Placed(place, Raw(body))

    def trust(self) -> Trust:
        """See `Facts`."""
        from ftwatch.control import NoDaemon, Refused, ask

        try:
            daemon: dict[str, Any] | None = ask(self._config.socket, "ping")
        except (NoDaemon, Refused):
            daemon = None
        return answers.trust(self._config, self._store, daemon, time.time())

    def silence(self, words: Sequence[str], **wanted: Any) -> dict[str, Any]:
        """See `Facts`."""
        from ftwatch.core.silence import make_silence

        make_silence(words, providers=self._config.providers, now=time.time(), **wanted)
        made: dict[str, Any] = self._ask_or_do("silence.add", matchers=list(words), **wanted)["silence"]
        return made

    def preview(self, words: Sequence[str], *, until_end: bool) -> dict[str, Any]:
        """See `Facts`."""
        from ftwatch.core.silence import read_matchers

        read_matchers(words, self._config.providers)
        asked = self._ask_or_do("silence.preview", matchers=list(words), until_end=until_end)
        found: dict[str, Any] = asked["muted"]
        return found

    def silences(self, *, expired: bool) -> list[dict[str, Any]]:
        """See `Facts`."""
        found: list[dict[str, Any]] = self._ask_or_do("silence.list", expired=expired)["silences"]
        return found

    def expire(self, ids: Sequence[str] | None) -> list[str]:
        """See `Facts`."""
        done: list[str] = self._ask_or_do("silence.expire", ids=ids)["ids"]
        return done

    def ack(self, job: JobKey, *, author: str, comment: str) -> dict[str, Any]:
        """See `Facts`."""
        return self._ask_or_do("ack", provider=job.provider, job=job.id, author=author, comment=comment)

    def _ask_or_do(self, operation: str, **asked: Any) -> dict[str, Any]:
        """Through the daemon where one runs, else in the database itself. Raises Refused with a sentence."""
        from ftwatch.control import NoDaemon, Refused, ask
        from ftwatch.silencing import LOOKING, OPERATIONS
        from ftwatch.store import Store

        try:
            return ask(self._config.socket, operation, **asked)
        except NoDaemon:
            store = Store(self._config.store.path, mode="read" if operation in LOOKING else "write")
            try:
                return OPERATIONS[operation](self._config, store, time.time(), **asked)
            except ValueError as error:
                raise Refused(str(error)) from None
            finally:
                store.close()
