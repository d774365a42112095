"""wait: until jobs have ended. Asks the daemon where one runs, here or elsewhere, else the providers."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.completion import job_names
from ftwatch.cli.output import as_json, format_option, plain
from ftwatch.cli.run import seconds

if TYPE_CHECKING:
    from ftwatch.cli.sources import Seen, Source
    from ftwatch.config import Config, ProviderConfig
    from ftwatch.core.job import JobKey, Snapshot

# How often the daemon is asked, which costs nobody anything (seconds).
DAEMON = 1.0
# How often a daemon elsewhere is asked, where it tells of nothing by itself (seconds).
FAR = 30.0
# How often a provider is asked, where nothing else is said (seconds).
PROVIDER = 5.0
# How long nobody may answer: at the very first, and once the jobs have been seen (seconds).
AT_FIRST, LATER = 30.0, 600.0


@click.command()
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=job_names)
@click.option("--timeout", metavar="TIME", callback=seconds, help="Give up after so long: 6h, 30m.")
@click.option("--poll", metavar="TIME", callback=seconds, help="How often to ask a provider [5s].")
@format_option
@click.pass_obj
def wait(config: str | None, jobs: tuple[str, ...], timeout: float, poll: float, output: str) -> int:
    """Wait until every JOB has ended. Exits with 0 if all succeeded, with 1 if one did not.

    JOB is an id, the beginning of one, provider/id, a name, or a URL. Where no daemon runs, and FTWATCH_URL
    names none elsewhere, the providers are asked; no config is needed where the environment has a key, or the
    service's own credentials: ftwatch wait ftjob-abc && ./deploy.sh

    Exits with 3 if there is no such job, with 4 if nobody can be reached, with 124 when the time is over.
    """
    import anyio

    screen = _Screen(lines=sys.stderr if output == "json" else sys.stdout)
    try:
        code, ended = anyio.run(_wait, config, jobs, timeout or float("inf"), poll or PROVIDER, screen)
    finally:
        screen.clear()
    if output == "json" and ended is not None:
        as_json([one.job for one in ended])
    return code


async def _wait(
    explicit: str | None, selectors: Sequence[str], longest: float, poll: float, screen: "_Screen"
) -> tuple[int, "list[Seen] | None"]:
    """The exit code, and how the jobs ended where they did."""
    import anyio

    from ftwatch.cli.facts import Elsewhere
    from ftwatch.cli.sources import Ambiguous, Nothing, OutOfReach

    with anyio.move_on_after(longest):
        async with AsyncExitStack() as stack:
            try:
                source, pause = await _source(explicit, stack, poll)
                keys = [await _resolved(source, selector, pause, screen) for selector in selectors]
                ended = await _until_ended(source, list(dict.fromkeys(keys)), pause, screen)
            except Nothing as error:
                others = "".join(f"\n  who refuses to be asked: {plain(one)}" for one in error.refused)
                return _failed(screen, Exit.NOTHING, f"no job is called {plain(error)!r}{others}"), None
            except Ambiguous as error:
                known = "".join(
                    f"\n  {plain(job.key)}  {job.status}  {plain(job.name or '')}" for job in error.candidates
                )
                return _failed(screen, Exit.USAGE, f"several jobs could be meant:{known}"), None
            except OutOfReach as error:
                return _failed(screen, Exit.UNREACHABLE, plain(error.reason)), None
            except Elsewhere as error:
                return _failed(screen, error.code, plain(error)), None
            well = all(one.job.status == "succeeded" and not one.gone for one in ended)
            return (Exit.OK if well else Exit.NO), ended
    return _failed(screen, Exit.TIMEOUT, "the time is over, and not every job has ended"), None


def _failed(screen: "_Screen", code: int, sentence: str) -> int:
    screen.clear()
    click.echo(f"error: {sentence}", err=True)
    return code


async def _source(explicit: str | None, stack: AsyncExitStack, poll: float) -> "tuple[Source, float]":
    """Whom to ask, and how often (seconds)."""
    from ftwatch import control
    from ftwatch import log as logs
    from ftwatch.assembly import make_client, make_provider
    from ftwatch.cli.facts import address
    from ftwatch.cli.remote import Api
    from ftwatch.cli.sources import Daemon, Far, OutOfReach, Providers
    from ftwatch.config import ClientConfig, Config

    there = address(explicit)
    if there is not None:
        client = await stack.enter_async_context(make_client(ClientConfig()))
        return Far(Api(client, there)), FAR
    config = _config(explicit)
    if isinstance(config, Config):
        try:
            control.ask(config.socket, "ping")
        except control.NoDaemon:
            pass
        except control.Refused as error:
            raise OutOfReach(str(error)) from None
        else:
            return Daemon(config.socket, list(config.providers)), DAEMON
        configs, about, folder = list(config.providers.values()), config.client, config.folder
    else:
        configs, about, folder = config, ClientConfig(), None
    logs.configure("warning", "auto")
    client = await stack.enter_async_context(make_client(about))
    return Providers({one.name: make_provider(one, client, folder) for one in configs}), poll


def _config(explicit: str | None) -> "Config | list[ProviderConfig]":
    """The config; where there is none, and none was named, the accounts that the environment opens."""
    from ftwatch.cli.keys import accesses, variables
    from ftwatch.config import ConfigError, find, load

    try:
        path = find(explicit)
    except ConfigError:
        found, halves = accesses()
        if found:
            return [access.provider(os.environ) for access in found]
        wanted = "; ".join([*map(plain, halves), f"set one of {', '.join(variables())}"])
        raise click.UsageError(f"there is no config, and no key in the environment: {wanted}") from None
    return load(path)


async def _resolved(source: "Source", selector: str, pause: float, screen: "_Screen") -> "JobKey":
    """Which job is meant, asked again while nobody answers, for a while."""
    import anyio

    from ftwatch.cli.sources import OutOfReach

    until = time.monotonic() + AT_FIRST
    while True:
        try:
            return await source.resolve(selector)
        except OutOfReach as error:
            if error.final or time.monotonic() >= until:
                raise
            screen.trouble(error.reason)
        await anyio.sleep(min(pause, PROVIDER))


async def _until_ended(
    source: "Source", keys: "list[JobKey]", pause: float, screen: "_Screen"
) -> "list[Seen]":

    from ftwatch.cli.sources import OutOfReach

    seen: dict[JobKey, Seen] = {}
    answered = time.monotonic()
    while True:
        for key in keys:
            if key in seen and _has_ended(seen[key]):
                continue
            try:
                seen[key] = await source.look(key)
                answered = time.monotonic()
                screen.show(seen[key])
            except OutOfReach as error:
                if error.final or time.monotonic() - answered >= LATER:
                    raise
                screen.trouble(error.reason)
        if len(seen) == len(keys) and all(map(_has_ended, seen.values())):
            return [seen[key] for key in keys]
        waiting = [one.job for one in seen.values() if not _has_ended(one)]
        screen.draw(waiting, len(keys))
        await source.rest([key for key in keys if key not in seen or not _has_ended(seen[key])], pause)


def _has_ended(seen: "Seen") -> bool:
    return seen.gone or seen.job.status.is_terminal


class _Screen:
    """What a waiting person sees: a line for every transition, and on a terminal one that lives."""

    def __init__(self, *, lines: Any) -> None:
        self._lines = lines
        self._began = time.monotonic()
        self._is_live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last: dict[JobKey, str] = {}
        self._trouble = ""
        self._is_drawn = False

    def show(self, seen: "Seen") -> None:
        """A line, if this is news."""
        self._trouble = ""
        state = "gone" if seen.gone else str(seen.job.status)
        if self._last.get(seen.job.key) != state:
            self._last[seen.job.key] = state
            self.clear()
            click.echo(f"{time.strftime('%H:%M:%S')}  {_line(seen)}", file=self._lines)

    def trouble(self, reason: str) -> None:
        """A line on what keeps us from knowing more, once."""
        if reason != self._trouble:
            self._trouble = reason
            self.clear()
            click.echo(f"{time.strftime('%H:%M:%S')}  {plain(reason)}; trying again", err=True)

    def draw(self, waiting: "Sequence[Snapshot]", total: int) -> None:
        """The living line: who is not done yet, how far, since when."""
        if not self._is_live:
            return
        from rich.cells import set_cell_size

        from ftwatch.core.span import span

        parts = [_progress(job) for job in waiting[:3]]
        if total > 1:
            parts.insert(0, f"{len(waiting)} of {total} to go")
        elapsed = f"  {span(time.monotonic() - self._began)}"
        room = max(shutil.get_terminal_size().columns - len(elapsed) - 1, 10)
        line = set_cell_size(" · ".join(parts), room).rstrip()
        click.echo(f"\r\x1b[K{line}{elapsed}", nl=False, err=True, color=True)
        self._is_drawn = True

    def clear(self) -> None:
        """Takes the living line away."""
        if self._is_drawn:
            click.echo("\r\x1b[K", nl=False, err=True, color=True)
            self._is_drawn = False


def _line(seen: "Seen") -> str:
    from ftwatch.core.message import STATUS_WORDS, clean

    job = seen.job
    title = clean(job.title, 80)
    if seen.gone:
        return f"👻 {title} is gone: the provider no longer knows it"
    icon, said, _ = STATUS_WORDS[job.status]
    more = ""
    if job.status == "succeeded" and job.fine_tuned_model:
        more = f": {clean(job.fine_tuned_model)}"
    elif job.status.is_terminal and job.error and job.error.message:
        more = f": {clean(job.error.message)}"
    elif job.status == "unknown":
        more = f": {clean(job.raw_status or '?', 40)}"
    return f"{icon} {title} {said}{more}"


def _progress(job: "Snapshot") -> str:
    from ftwatch.core.message import clean
    from ftwatch.core.span import span

    parts = [clean(job.title, 40), str(job.status)]
    progress = job.progress
    if progress and progress.step is not None:
        parts.append(f"step {progress.step}" + (f"/{progress.total_steps}" if progress.total_steps else ""))
    if progress and progress.percent is not None:
        parts.append(f"{progress.percent:.0f} %")
    if job.estimated_finish and job.estimated_finish > time.time():
        parts.append(f"about {span(job.estimated_finish - time.time())} left")
    return " ".join(parts)
