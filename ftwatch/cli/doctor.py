"""doctor: is everything around ftwatch as it should be? Looks, says what to do, changes nothing."""

import os
import platform
import resource
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click
from msgspec import Struct, to_builtins

from ftwatch import __version__
from ftwatch.cli import Exit
from ftwatch.cli.output import as_json, format_option, local, plain, table

MIB = 1024 * 1024
# A log beside the database that is larger than this is not being emptied.
LARGE_WAL = 64 * MIB
FEW_FILES = 1024


class Finding(Struct, frozen=True):
    """One thing that was looked at. `do` says what to do about it, where something is to be done."""

    what: str
    state: Literal["well", "warning", "error"]
    said: str
    do: str = ""


@click.command()
@format_option
@click.pass_obj
def doctor(config: str | None, output: str) -> int:
    """Examine config, database, disk and daemon, and say what to do. Changes nothing.

    Exits with 1 where something is wrong; warnings alone are 0.
    """
    found = [*_software(), *_about_config(config)]
    bad = any(one.state == "error" for one in found)
    if output == "json":
        as_json({"well": not bad, "findings": to_builtins(found)})
        return Exit.NO if bad else Exit.OK
    table([[one.what, one.state, one.said] for one in found], ["looked at", "state", "found"])
    for one in found:
        if one.do:
            click.echo(f"\n{one.what}: {plain(one.do)}")
    return Exit.NO if bad else Exit.OK


def _software() -> Iterator[Finding]:
    yield Finding("ftwatch", "well", f"{__version__}, Python {platform.python_version()}")
    yield Finding(
        "SQLite", "well", f"{sqlite3.sqlite_version}; one process writes, as every version needs it"
    )
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FEW_FILES:
        yield Finding(
            "open files",
            "warning",
            f"at most {hard}",
            "Many receivers that hang at once need more: raise the limit (LimitNOFILE= in the unit).",
        )


def _about_config(given: str | None) -> Iterator[Finding]:
    from ftwatch.config import ConfigError, find, load

    try:
        path = find(given)
        loaded = load(path)
    except ConfigError as error:
        first = str(error).splitlines()[0]
        yield Finding("config", "error", first, "`ftwatch check` lists every mistake.")
        return
    warned = f"; {len(loaded.warnings)} warnings" if loaded.warnings else ""
    try:
        load(path, secrets=True)
        yield Finding("config", "well", f"{path}{warned}")
    except ConfigError as error:
        yield Finding(
            "config",
            "warning",
            f"{path}: {len(error.problems)} secrets are not to be had in this shell{warned}",
            "That is fine where the daemon has them; `ftwatch check` names them.",
        )
    yield from _about_place(loaded.store.path)
    yield from _about_daemon(loaded.socket, loaded.store.path)
    yield from _about_database(loaded.store.path)


def _about_place(path: Path) -> Iterator[Finding]:
    from ftwatch.store import Room
    from ftwatch.store.place import NETWORKS, file_system

    if not path.parent.is_dir():
        yield Finding("disk", "warning", f"there is no folder {path.parent} yet", "`ftwatch run` makes it.")
        return
    kind = file_system(path.parent.resolve()) or "unknown"
    room = Room(path)
    free = f"{room.free / MIB:,.0f} MiB free on {kind}"
    if kind in NETWORKS:
        yield Finding("disk", "error", free, "Point `store.path` at a local disk.")
    elif room.is_short:
        yield Finding("disk", "error", free, "Make room: no job is looked at until there is.")
    elif not room.is_ample:
        yield Finding("disk", "warning", free, "Make room before it is full.")
    else:
        yield Finding("disk", "well", free)
    if not os.access(path.parent, os.W_OK):
        yield Finding(
            "folder", "warning", f"{path.parent} is not yours to write", "Fine if the daemon is another user."
        )
    for file in sorted(path.parent.glob(f"{path.name}*")):
        if stat.S_IMODE(file.stat().st_mode) & 0o007:
            yield Finding(
                "rights", "warning", f"everybody on this machine can open {file}", f"chmod o-rwx {file}"
            )
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > LARGE_WAL:
        size = f"{wal.stat().st_size / MIB:,.0f} MiB of write-ahead log"
        yield Finding("log", "warning", size, "Some program keeps the database open for reading: end it.")


def _about_daemon(socket: Path, database: Path) -> Iterator[Finding]:
    from ftwatch.control import NoDaemon, Refused, ask
    from ftwatch.store import Locked
    from ftwatch.store.place import lock

    try:
        daemon = ask(socket, "ping")
    except NoDaemon:
        held = database.with_name(database.name + ".lock")
        if not held.exists() or not os.access(held, os.W_OK):
            yield Finding("daemon", "warning", "does not answer", "`ftwatch run` starts it.")
            return
        try:
            os.close(lock(database))
        except Locked as error:
            yield Finding(
                "daemon",
                "error",
                f"{str(error).partition(':')[0]}, but does not answer at {socket}",
                "Its config may name another `socket`; if it hangs, restart it.",
            )
        else:
            yield Finding("daemon", "warning", "is not running", "`ftwatch run` starts it.")
        return
    except Refused as error:
        yield Finding("daemon", "warning", str(error))
        return
    said = f"process {daemon['pid']}, up since {local(daemon['since'])}"
    if daemon["version"] != __version__:
        yield Finding(
            "daemon",
            "warning",
            f"{said}, of version {daemon['version']}",
            "Restart it to bring it up to date.",
        )
    elif daemon.get("full"):
        yield Finding("daemon", "error", f"{said}; its disk is full", "Make room: it goes on by itself.")
    else:
        yield Finding("daemon", "well", said)


def _about_database(path: Path) -> Iterator[Finding]:
    from ftwatch.store import Store, StoreError

    if not path.exists():
        yield Finding("database", "warning", f"there is none at {path} yet", "`ftwatch run` makes it.")
        return
    try:
        store = Store(path, mode="read")
    except StoreError as error:
        yield Finding("database", "error", str(error))
        return
    try:
        wrong = store.db.damage(quick=False)
        if wrong:
            yield Finding(
                "database",
                "error",
                f"{path} is damaged: {wrong[0]}",
                f"Stop ftwatch; mkdir damaged; mv {path} {path}-wal {path}-shm damaged/; cp BACKUP {path}",
            )
            return
        size = path.stat().st_size / MIB
        yield Finding("database", "well", f"{path}, {size:,.1f} MiB, schema {store.db.version}, whole")
        yield from _about_time(store)
        yield from _about_deliveries(store)
    except StoreError as error:
        yield Finding("database", "error", str(error))
    finally:
        store.close()


def _about_time(store: Any) -> Iterator[Finding]:
    row = store.db.row("SELECT value FROM meta WHERE key = 'time'")
    if row and float(row[0]) > time.time() + 60:
        yield Finding(
            "clock",
            "warning",
            f"the daemon has already seen {local(float(row[0]))}",
            "This machine's clock was set back; what waits is moved along.",
        )


def _about_deliveries(store: Any) -> Iterator[Finding]:
    health = store.history.notifiers()
    dead = sum(one.counts.get("dead", 0) for one in health)
    waiting = sum(one.counts.get("pending", 0) for one in health)
    off = [one.name for one in health if one.disabled is not None]
    said = f"{waiting} wait, {dead} died"
    if dead:
        do = "`ftwatch outbox list` names the dead, `outbox retry` sends them again, `outbox drop` gives up."
        yield Finding("messages", "warning", said, do)
    else:
        yield Finding("messages", "well", said)
    if off:
        yield Finding(
            "notifiers", "warning", f"switched off: {', '.join(off)}", "`ftwatch outbox retry` switches on."
        )
