"""Does it answer? Every provider is asked for one page, every notifier's host is greeted; nothing is sent.

What stands between here and a real message (a wrong channel, a full letter box) only `notify test` shows.
"""

import shutil
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from msgspec import Struct

from ftwatch.assembly import make_client, make_provider
from ftwatch.client import Client, Unreachable
from ftwatch.config import Config, NotifierConfig, ProviderConfig
from ftwatch.plugins import ProviderError, Secret, Unreadable

__all__ = ["Answer", "ask_everybody", "ask_provider"]

PATIENCE = 10.0


class Answer(Struct, frozen=True):
    """What came of asking: `said` tells what was done, and what was found."""

    what: str
    ok: bool
    said: str


async def ask_everybody(config: Config) -> list[Answer]:
    """Every provider's and every notifier's answer, in the config's order."""
    answers: dict[str, list[Answer]] = {}

    async def ask_one(name: str, question: Any, *about: Any) -> None:
        answers[name] = await question(*about)

    async with make_client(config.client) as client, anyio.create_task_group() as group:
        for name, provider in config.providers.items():
            answers[f"provider {name}"] = []
            group.start_soon(ask_one, f"provider {name}", _provider, provider, client)
        for name, notifier in config.notifiers.items():
            answers[f"notifier {name}"] = []
            group.start_soon(ask_one, f"notifier {name}", _notifier, notifier, client, config.folder)
    return [answer for told in answers.values() for answer in told]


async def _provider(config: ProviderConfig, client: Client) -> list[Answer]:
    what = f"provider {config.name}"
    began = time.monotonic()
    try:
        jobs, unreadable = await ask_provider(config, client)
    except ProviderError as error:
        return [Answer(what, False, f"one page of jobs: {error.reason}")]
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    said = f"one page of jobs: {len(jobs)} in {took}"
    return [Answer(what, not unreadable, f"{said}, {unreadable} unreadable" if unreadable else said)]


async def ask_provider(config: ProviderConfig, client: Client) -> tuple[list[Any], int]:
    """The jobs on the first page, and how many entries cannot be read. Raises ProviderError."""
    try:
        provider = make_provider(config, client)
        page = provider.split(await provider.page(None))
        jobs, unreadable = [], 0
        for entry in page.entries:
            try:
                jobs.append(provider.read(entry))
            except Unreadable:
                unreadable += 1
    except ProviderError:
        raise
    except Exception as error:  # a guest: its bug is an answer too
        raise ProviderError(f"the plug-in failed: {type(error).__name__}") from error
    return jobs, unreadable


# ------------------------------------------------------------------------------------------- notifiers


async def _notifier(config: NotifierConfig, client: Client, folder: Path) -> list[Answer]:
    what = f"notifier {config.name}"
    try:
        found = list(_addresses(config.options))
    except LookupError as error:
        return [Answer(what, False, str(error.args[0]))]
    answers = []
    for address in found:
        if isinstance(address, str):
            answers.append(await _greet(what, address, client))
        else:
            answers.append(await anyio.to_thread.run_sync(_greet_mail, what, config.options, *address))
    argv = getattr(config.options, "argv", None)
    if argv:
        there = shutil.which(argv[0]) or shutil.which(folder / argv[0])
        answers.append(Answer(what, bool(there), f"{argv[0]} can{'' if there else 'not'} be run"))
    return answers or [Answer(what, True, "nothing to ask; `ftwatch notify test` shows more")]


def _addresses(options: Any) -> Iterator[str | tuple[str, int | None]]:
    """The web addresses among a notifier's options (without their paths), and its mail server."""
    host = getattr(options, "host", None)
    if isinstance(host, str):
        yield host, getattr(options, "port", None)
    if not is_dataclass(options):
        return
    for field in fields(options):
        given = getattr(options, field.name)
        for value in given if isinstance(given, tuple) else (given,):
            if "url" not in field.name:
                continue
            text = value.reveal() if isinstance(value, Secret) else value
            if isinstance(text, str) and text.startswith(("http://", "https://")):
                parts = urlsplit(text)
                yield f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/"


async def _greet(what: str, root: str, client: Client) -> Answer:
    """Any answer at all will do: nothing is asked of the address that takes the messages."""
    try:
        answer = await client.request("HEAD", root, deadline=PATIENCE, cap=64 * 1024)
    except Unreachable as error:
        return Answer(what, False, f"HEAD {root}: {error.reason}")
    return Answer(what, True, f"HEAD {root}: it answers (HTTP {answer.status}), nothing was sent")


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
        return Answer(what, False, f"{where}: TLS: {getattr(error, 'verify_message', '') or error.reason}")
    except OSError as error:
        return Answer(what, False, f"{where}: {(error.strerror or 'no answer in time').lower()}")
    said = greeting.decode("ascii", "replace").strip()[:80]
    ok = said.startswith("220")
    return Answer(what, ok, f"{where}: {'it greets' if ok else 'no mail server greets'}, nothing was sent")
