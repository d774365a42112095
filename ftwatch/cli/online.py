"""Does it answer? Every provider is asked for its jobs and what a look at one takes, every notifier's host is
greeted; nothing is sent, nothing is changed.

What stands between here and a real message (a wrong channel, a full letter box) only `notify test` shows.
"""

import shutil
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from msgspec import Struct

from ftwatch.assembly import make_client, make_notifier, make_provider
from ftwatch.cli.visible import Visible, heads_of, visible
from ftwatch.client import Client, Unreachable
from ftwatch.config import Config, NotifierConfig, ProviderConfig
from ftwatch.core.job import Snapshot
from ftwatch.plugins import (
    Introducing,
    JobLog,
    NotFound,
    Notifier,
    Provider,
    ProviderError,
    Pushed,
    Secret,
    Unreadable,
)

__all__ = ["LONGEST", "Answer", "ask_everybody", "in_words", "look_at"]

# How long one provider may keep us in all, and a notifier's host (seconds).
LONGEST, PATIENCE = 30.0, 10.0
# So many jobs are counted, on so many pages of each listing at most.
MOST_JOBS, MOST_PAGES = 100, 20

Result = Literal["answers", "hint", "error"]


class Answer(Struct, frozen=True):
    """What came of asking: `said` tells what was done, and what was found. A hint is no mistake."""

    what: str
    result: Result
    said: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.result != "error"


async def ask_everybody(config: Config) -> list[Answer]:
    """Every provider's and every notifier's answers, in the config's order. Nobody waits for another."""
    answers: dict[str, list[Answer]] = {}

    async def ask_one(name: str, question: Callable[..., Awaitable[list[Answer]]], *about: Any) -> None:
        answers[name] = await question(*about)

    async with make_client(config.client) as client, anyio.create_task_group() as group:
        for name, provider in config.providers.items():
            answers[f"provider {name}"] = []
            group.start_soon(ask_one, f"provider {name}", _provider, provider, client, config.folder)
        for name, notifier in config.notifiers.items():
            answers[f"notifier {name}"] = []
            group.start_soon(ask_one, f"notifier {name}", _notifier, config, notifier, client)
    return [answer for told in answers.values() for answer in told]


# ------------------------------------------------------------------------------------------- providers


class _Report:
    """What was found out about one provider, in the order in which it was."""

    def __init__(self, what: str) -> None:
        self.told: list[Answer] = []
        self._what = what

    def says(self, said: str, result: Result = "answers") -> None:
        """Takes down a sentence, unless it is empty."""
        if said:
            self.told.append(Answer(self._what, result, said))


async def _provider(config: ProviderConfig, client: Client, folder: Path) -> list[Answer]:
    report = _Report(f"provider {config.name}")
    with anyio.move_on_after(LONGEST) as scope:
        try:
            provider = make_provider(config, client, folder)
            if isinstance(provider, Pushed):
                report.says(f"there is nobody to ask: its jobs tell of themselves, at /hooks/{config.name}")
            else:
                await _examine(provider, config, report)
        except ProviderError as error:
            report.says(error.reason, "error")
        except Exception as error:  # a guest: its bug is an answer too
            report.says(f"the plug-in failed: {type(error).__name__}", "error")
    if scope.cancelled_caught:
        much = "no more" if report.told else "nothing"
        report.says(f"{much} could be found out within {LONGEST:g} s", "error")
    return report.told


async def _examine(provider: Provider, config: ProviderConfig, report: _Report) -> None:
    """Is the key good, whose is it, which jobs does it show, and what of a look at one does not work?"""
    began = time.monotonic()
    seen: list[Visible] = []
    problems: list[ProviderError] = []
    for head in heads_of(provider):
        try:
            seen.append(await visible(provider, head, most_jobs=MOST_JOBS, most_pages=MOST_PAGES))
        except ProviderError as error:
            problems.append(error)
            report.says(_unlisted(head, error), "error")
            if not error.missing:
                break
    if seen:
        took = f"{(time.monotonic() - began) * 1000:.0f} ms"
        report.says(f"it lets ftwatch in, and shows {in_words(seen)} ({took})")
    if seen or any(error.denied for error in problems):
        await _introduce(provider, report, is_in=bool(seen))
    if unreadable := sum(one.unreadable for one in seen):
        report.says(f"{unreadable} of the listed entries cannot be read", "error")
    first = next((job for one in seen for job in one.jobs), None)
    if first is not None:
        await _look(provider, config, first, report)


def _unlisted(head: str | None, error: ProviderError) -> str:
    """What it means that a listing cannot be had."""
    if error.denied:
        return f"it does not let ftwatch in: {error.reason}"
    which = f"the listing {head}" if head else "the listing of jobs"
    return f"{which} is missing: {error.reason}" if error.missing else f"{which}: {error.reason}"


def in_words(seen: list[Visible]) -> str:
    """How many jobs there are: `100+ jobs, of the first 100 of them 2 active`."""
    jobs = [job for one in seen for job in one.jobs]
    if not jobs:
        return "no jobs yet"
    active = f"{sum(not job.status.is_terminal for job in jobs)} active"
    if any(one.has_more for one in seen):
        return f"{len(jobs)}+ jobs, {active} among the first {len(jobs)}"
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}, {active}"


async def _introduce(provider: Provider, report: _Report, *, is_in: bool) -> None:
    """Whose key it is. Who is not let in at all need not hear that this is not told either."""
    if not isinstance(provider, Introducing):
        return
    try:
        told = await provider.introduce()
    except ProviderError as error:
        if is_in:
            report.says(f"whose key it is cannot be found out: {error.reason}", "hint")
        return
    report.says(told.whose)
    report.says(told.beyond, "hint")
    report.says(told.lacks, "hint")
    report.says(told.wrong, "error")


async def _look(provider: Provider, config: ProviderConfig, job: Snapshot, report: _Report) -> None:
    """Whether all that a look at a job takes can be had, by the first one of the listing."""
    asked = {"the document": partial(_document, provider, job.id)}
    if isinstance(provider, JobLog):
        is_wanted = provider.log_is_cheap if config.job_log is None else config.job_log
        for part in provider.log_parts if is_wanted else ():
            asked[part] = partial(_part, provider, job.id, part)
    had = []
    for part, question in asked.items():
        of_log = "" if part == "the document" else "the job log's "
        without = "; `job_log: false` does without" if of_log else ""
        try:
            await question()
            had.append(part)
        except NotFound:
            report.says(f"{of_log}{part}: there is no job {job.id}, which is listed", "error")
        except Unreadable as error:
            report.says(f"{part} of job {job.id} cannot be read: {error}", "error")
        except ProviderError as error:
            lack = "missing" if error.missing else "not to be had"
            report.says(f"{of_log}{part} of job {job.id}: {lack}: {error.reason}{without}", "error")
    if had:
        report.says(f"of job {job.id} it shows {', '.join(had)}")


async def _document(provider: Provider, id: str) -> None:
    provider.read(await provider.retrieve(id))


async def _part(provider: JobLog, id: str, part: str) -> None:
    provider.read_log(part, await provider.log(id, part, None))


async def look_at(config: ProviderConfig, client: Client) -> list[Visible]:
    """The jobs that an account shows, listing by listing. Raises ProviderError."""
    with anyio.move_on_after(LONGEST):
        try:
            provider = make_provider(config, client)
            return [
                await visible(provider, head, most_jobs=MOST_JOBS, most_pages=MOST_PAGES)
                for head in heads_of(provider)
            ]
        except ProviderError:
            raise
        except Exception as error:  # a guest
            raise ProviderError(f"the plug-in failed: {type(error).__name__}") from error
    raise ProviderError(f"no answer within {LONGEST:g} s")


# ------------------------------------------------------------------------------------------- notifiers


async def _notifier(whole: Config, config: NotifierConfig, client: Client) -> list[Answer]:
    what, folder = f"notifier {config.name}", whole.folder
    try:
        found = list(_addresses(config.options))
        made, client = await _made(whole, config.name, client)
    except (LookupError, ValueError) as error:
        return [Answer(what, "error", str(error.args[0]))]
    answers = await _introduced(what, made)
    for address in found:
        if isinstance(address, str):
            answers.append(await _greet(what, address, client))
        else:
            answers.append(await anyio.to_thread.run_sync(_greet_mail, what, config.options, *address))
    argv = getattr(config.options, "argv", None)
    if argv:
        there = shutil.which(argv[0]) or shutil.which(folder / argv[0])
        said = f"{argv[0]} can{'' if there else 'not'} be run"
        answers.append(Answer(what, "answers" if there else "error", said))
    return answers or [Answer(what, "answers", "nothing to ask; `ftwatch notify test` shows more")]


async def _made(config: Config, name: str, client: Client) -> tuple[Notifier, Client]:
    """The notifier, and its own client where it has one. Raises ValueError, LookupError."""
    try:
        made = make_notifier(config, name, client)
        own = getattr(made, "client", None)
        return made, await own() if own is not None else client
    except (LookupError, ValueError):
        raise
    except Exception as error:  # a guest
        raise ValueError(f"the plug-in failed: {type(error).__name__}") from error


async def _introduced(what: str, notifier: Notifier) -> list[Answer]:
    """What a service says of the credentials that it would be told with, where a notifier can ask."""
    if not isinstance(notifier, Introducing):
        return []
    report = _Report(what)
    with anyio.move_on_after(LONGEST) as scope:
        try:
            told = await notifier.introduce()
            report.says(told.whose)
            report.says(told.beyond, "hint")
            report.says(told.lacks, "hint")
            report.says(told.wrong, "error")
        except ProviderError as error:
            report.says(error.reason, "error")
        except Exception as error:  # a guest: its bug is an answer too
            report.says(f"the plug-in failed: {type(error).__name__}", "error")
    if scope.cancelled_caught:
        report.says(f"no answer within {LONGEST:g} s", "error")
    return report.told


def _addresses(options: Any) -> Iterator[str | tuple[str, int | None]]:
    """The web addresses among a notifier's options (without their paths), and its mail server."""
    host = getattr(options, "host", None)
    if isinstance(host, str):
        yield host, getattr(options, "port", None)
    if not is_dataclass(options):
        return
    home = getattr(options, "address", None)
    if isinstance(home, str):
        yield _root(home)
        return
    for field in fields(options):
        given = getattr(options, field.name)
        for value in given if isinstance(given, tuple) else (given,):
            if "url" not in field.name:
                continue
            text = value.reveal() if isinstance(value, Secret) else value
            if isinstance(text, str) and text.startswith(("http://", "https://")):
                yield _root(text)


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


async def _greet(what: str, root: str, client: Client) -> Answer:
    """Any answer at all will do: nothing is asked of the address that takes the messages."""
    try:
        answer = await client.request("HEAD", root, deadline=PATIENCE, cap=64 * 1024)
    except Unreachable as error:
        return Answer(what, "error", f"HEAD {root}: {error.reason}")
    return Answer(what, "answers", f"HEAD {root}: it answers (HTTP {answer.status}), nothing was sent")


def _greet_mail(what: str, options: Any, host: str, port: int | None) -> Answer:
    """Runs in a thread. Waits for the server's greeting, over TLS where the config says so."""
    security = getattr(options, "security", "plain")
    port = port or {"starttls": 587, "tls": 465}.get(security, 25)
    where = f"a connection to {host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=PATIENCE) as line:
            line.settimeout(PATIENCE)
            if security == "tls":
                context = ssl.create_default_context(cafile=getattr(options, "ca_file", None))
                with context.wrap_socket(line, server_hostname=host) as safe:
                    greeting = safe.recv(512)
            else:
                greeting = line.recv(512)
    except ssl.SSLError as error:
        return Answer(what, "error", f"{where}: TLS: {getattr(error, 'verify_message', '') or error.reason}")
    except OSError as error:
        return Answer(what, "error", f"{where}: {(error.strerror or 'no answer in time').lower()}")
    said = greeting.decode("ascii", "replace").strip()[:80]
    if said.startswith("220"):
        return Answer(what, "answers", f"{where}: it greets, nothing was sent")
    return Answer(what, "error", f"{where}: no mail server greets, nothing was sent")
