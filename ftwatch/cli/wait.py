"""wait: until jobs have ended. Asks the daemon's store where there is one, else the provider itself."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.output import as_json, format_option, plain
from ftwatch.cli.run import seconds

# How often the store is read, the daemon is asked to look, and a provider itself is asked (seconds).
READ, POKE, ASK = 1.0, 10.0, 5.0


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...")
@click.option(
    "--timeout", metavar="TIME", callback=seconds, help="Give up after so long (6h, 30m); exit 124."
)
@format_option
@click.pass_obj
def wait(config: str | None, jobs: tuple[str, ...], timeout: float, output: str) -> int:
    """Wait until every JOB has ended; exit 0 if all succeeded, 1 if one did not.

    Needs no config and no daemon where the provider's key is in the environment:
    ftwatch wait ftjob-abc && ./deploy.sh
    """
    screen = _Screen(quiet=output == "json")
    deadline = time.monotonic() + timeout if timeout else None
    loaded = _config(config)
    try:
        if loaded is not None and loaded.store.path.exists():
            ended = _by_store(loaded, jobs, screen, deadline)
        else:
            ended = _by_provider(loaded, jobs, screen, deadline)
    except TimeoutError:
        screen.end()
        click.echo("error: the time is over, and not every job has ended", err=True)
        return Exit.TIMEOUT
    finally:
        screen.end()
    if output == "json":
        as_json(ended)
    well = all(job.status == "succeeded" for job in ended)
    return Exit.OK if well else Exit.NO


def _config(explicit: str | None) -> Any:
    """The config, or None where there is none and none was named."""
    from ftwatch.config import ConfigError, find, load

    try:
        return load(find(explicit))
    except ConfigError:
        if explicit or os.environ.get("FTWATCH_CONFIG") or not _keys():
            raise
        return None


def _keys() -> dict[str, str]:
    """The kinds of provider whose key is in the environment, with the variable that holds it."""
    from ftwatch.plugins import kinds, load_kind

    found = {}
    for kind in kinds("provider"):
        variable = getattr(load_kind("provider", kind), "key_variable", None)
        if variable and os.environ.get(variable):
            found[kind] = variable
    return found


# --------------------------------------------------------------------------------------- with a store


def _by_store(
    loaded: Any, selectors: tuple[str, ...], screen: "_Screen", deadline: float | None
) -> list[Any]:
    from ftwatch.cli.jobs import one_job
    from ftwatch.control import NoDaemon, Refused, ask
    from ftwatch.store import Store

    store = Store(loaded.store.path, mode="read")
    try:
        keys = [one_job(store, selector).known.snapshot.key for selector in selectors]
        try:
            ask(loaded.socket, "ping")
        except NoDaemon:
            click.echo("note: no daemon is running, so nothing will be seen to change", err=True)
        except Refused as error:
            click.echo(f"note: {error}", err=True)
        poked = 0.0
        while True:
            rows = [store.history.find(str(key))[0] for key in keys]
            jobs = [row.known.snapshot for row in rows]
            gone = [row.known.snapshot for row in rows if row.known.gone]
            screen.show(jobs)
            if all(job.status.is_terminal or job in gone for job in jobs):
                for job in gone:
                    click.echo(f"{plain(job.title)} is gone: the provider no longer knows it", err=True)
                return jobs
            if time.monotonic() - poked >= POKE:
                poked = time.monotonic()
                for key in keys:
                    with _anyway(NoDaemon, Refused):
                        ask(loaded.socket, "poke", provider=key.provider, job=key.id)
            _sleep(READ, deadline)
    finally:
        store.close()


@contextmanager
def _anyway(*kinds: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kinds:
        return


# --------------------------------------------------------------------------------------- without one


def _by_provider(
    loaded: Any, selectors: tuple[str, ...], screen: "_Screen", deadline: float | None
) -> list[Any]:
    import anyio

    return anyio.run(_ask_providers, loaded, selectors, screen, deadline)


async def _ask_providers(
    loaded: Any, selectors: tuple[str, ...], screen: "_Screen", deadline: float | None
) -> list[Any]:
    import anyio

    from ftwatch.assembly import make_client, make_provider
    from ftwatch.config import ClientConfig
    from ftwatch.core.pace import backoff
    from ftwatch.plugins import NotFound, ProviderError

    configs = list(loaded.providers.values()) if loaded else _from_environment()
    ids = [selector.rstrip("/").rpartition("/")[2] for selector in selectors]
    homes: dict[str, Any] = {}
    jobs: dict[str, Any] = {}
    failures = 0
    async with make_client(loaded.client if loaded else ClientConfig()) as client:
        providers = [make_provider(one, client) for one in configs]
        while True:
            for id in ids:
                if id in jobs and jobs[id].status.is_terminal:
                    continue
                try:
                    for provider in [homes[id]] if id in homes else providers:
                        try:
                            jobs[id] = provider.read(await provider.retrieve(id))
                            homes[id] = provider
                            break
                        except NotFound:
                            continue
                    else:
                        where = ", ".join(one.name for one in configs)
                        click.echo(f"error: {where} knows no job {plain(id)!r}", err=True)
                        raise click.exceptions.Exit(Exit.NOTHING)
                    failures = 0
                except ProviderError as error:
                    failures += 1
                    if error.denied:
                        click.echo(f"error: {plain(error.reason)}", err=True)
                        raise click.exceptions.Exit(Exit.UNREACHABLE) from None
                    screen.note(f"{plain(error.reason)}; trying again")
            known = [jobs[id] for id in ids if id in jobs]
            screen.show(known)
            if len(known) == len(ids) and all(job.status.is_terminal for job in known):
                return known
            pause = backoff(failures, 0.5) if failures else ASK
            if deadline is not None and time.monotonic() + pause > deadline:
                await anyio.sleep(max(0.0, deadline - time.monotonic()))
                raise TimeoutError
            await anyio.sleep(pause)


def _from_environment() -> list[Any]:
    """A provider for each key in the environment, as its own SDK would find it."""
    from ftwatch.config import ProviderConfig
    from ftwatch.plugins import Secret, load_kind

    found = []
    for kind, variable in _keys().items():
        options: dict[str, Any] = {"api_key": Secret(os.environ[variable])}
        base = os.environ.get(variable.replace("_API_KEY", "_BASE_URL"))
        if base:
            options["base_url"] = base
        made = load_kind("provider", kind).Options(**options)
        found.append(ProviderConfig(name=kind, kind=kind, labels={}, options=made))
    return found


def _sleep(pause: float, deadline: float | None) -> None:
    if deadline is not None and time.monotonic() + pause > deadline:
        time.sleep(max(0.0, deadline - time.monotonic()))
        raise TimeoutError
    time.sleep(pause)


class _Screen:
    """What a waiting person sees: a live line on a terminal, a line for every transition otherwise."""

    def __init__(self, *, quiet: bool) -> None:
        self._began = time.monotonic()
        self._live = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._last: dict[str, str] = {}
        self._drawn = False

    def show(self, jobs: list[Any]) -> None:
        """The jobs as they stand now."""
        for job in jobs:
            before, self._last[job.id] = self._last.get(job.id), str(job.status)
            if before != job.status and not self._quiet:
                self.end()
                click.echo(_line(job))
        if self._live:
            open_jobs = [job for job in jobs if not job.status.is_terminal]
            if open_jobs:
                self._draw(" | ".join(_progress(job) for job in open_jobs[:3]))

    def note(self, text: str) -> None:
        """Something that a waiting person should know."""
        self.end()
        click.echo(text, err=True)

    def end(self) -> None:
        """Takes the live line away."""
        if self._drawn:
            click.echo("\r\x1b[K", nl=False, err=True)
            self._drawn = False

    def _draw(self, text: str) -> None:
        from ftwatch.core.span import span

        elapsed = span(time.monotonic() - self._began)
        click.echo(f"\r\x1b[K{text[:90]}  {elapsed}", nl=False, err=True)
        self._drawn = True


def _line(job: Any) -> str:
    from ftwatch.core.message import STATUS_WORDS, clean

    icon, said, _ = STATUS_WORDS[job.status]
    extra = ""
    if job.status == "succeeded" and job.fine_tuned_model:
        extra = f": {clean(job.fine_tuned_model)}"
    elif job.error and job.error.message:
        extra = f": {clean(job.error.message)}"
    return f"{icon} {clean(job.title, 80)} {said}{extra}"


def _progress(job: Any) -> str:
    from ftwatch.core.span import span

    parts = [plain(job.title)[:40], str(job.status)]
    progress = job.progress
    if progress and progress.step is not None:
        parts.append(f"step {progress.step}" + (f"/{progress.total_steps}" if progress.total_steps else ""))
    if job.estimated_finish and job.estimated_finish > time.time():
        parts.append(f"about {span(job.estimated_finish - time.time())} left")
    return " ".join(parts)
