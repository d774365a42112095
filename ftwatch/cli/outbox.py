"""outbox list, retry, drop: deliveries that wait or died, and what to do about them."""

import sys
import time
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.facts import reading
from ftwatch.cli.output import emit, format_option, local, plain, utc


@click.group()
def outbox() -> None:
    """Deliveries that wait or died: list, retry, drop."""


@outbox.command("list")
@click.option(
    "--state",
    type=click.Choice(["pending", "dead", "delivered", "superseded", "folded"]),
    help="Only these (without it: pending and dead).",
)
@click.option("--notifier", metavar="NAME", help="Only this notifier's.")
@click.option("-n", "--limit", default=50, show_default=True, help="How many at most.")
@format_option
@click.pass_obj
def list_(config: str | None, state: str | None, notifier: str | None, limit: int, output: str) -> int:
    """List deliveries, the newest first."""
    with reading(config) as (_, store):
        states = [state] if state else ["pending", "dead"]
        found = [
            delivery
            for one in states
            for delivery in store.history.deliveries(state=one, notifier=notifier, limit=limit)
        ]
        rows = []
        for delivery in found[:limit]:
            event = store.history.event(delivery.event_id)
            is_pending = delivery.state == "pending"
            rows.append(
                {
                    "id": delivery.id,
                    "notifier": delivery.notifier,
                    "state": str(delivery.state),
                    "event": event.type if event else delivery.event_id,
                    "about": delivery.lane,
                    "tries": delivery.attempts,
                    "next": (local if output == "table" else utc)(delivery.due_at if is_pending else None)
                    or "",
                    "reason": delivery.reason,
                }
            )
    emit(
        rows,
        ["id", "notifier", "state", "event", "about", "tries", "next", "reason"],
        output,
        empty="nothing waits, and nothing died",
    )
    return Exit.OK


@outbox.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all-dead", is_flag=True, help="Every dead letter.")
@click.option("--notifier", metavar="NAME", help="Only this notifier's.")
@click.pass_obj
def retry(config: str | None, ids: tuple[str, ...], all_dead: bool, notifier: str | None) -> int:
    """Send dead or waiting deliveries again, now. IDs may be shortened."""
    return _change(config, "retry", ids, all_dead, notifier)


@outbox.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--all-dead", is_flag=True, help="Every dead letter.")
@click.option("--notifier", metavar="NAME", help="Only this notifier's.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(config: str | None, ids: tuple[str, ...], all_dead: bool, notifier: str | None, yes: bool) -> int:
    """Give deliveries up for good."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("this gives messages up for good: say --yes")
        click.confirm("Give them up for good?", abort=True)
    return _change(config, "drop", ids, all_dead, notifier)


def _change(config: str | None, what: str, ids: tuple[str, ...], all_dead: bool, notifier: str | None) -> int:
    if not ids and not all_dead:
        raise click.UsageError("name deliveries by their ids, or say --all-dead")
    with reading(config) as (loaded, store):
        chosen = [delivery for id in ids for delivery in _named(store, id)]
        if all_dead:
            chosen += store.history.deliveries(state="dead", limit=100_000)
        wanted = [one.id for one in chosen if notifier is None or one.notifier == notifier]
    done = _ask_or_do(loaded, what, wanted) if wanted else []
    if not done:
        click.echo("nothing of that kind waits or died", err=True)
        return Exit.NOTHING
    word = "will be sent again" if what == "retry" else "given up"
    click.echo(f"{len(done)} {'delivery' if len(done) == 1 else 'deliveries'} {word}")
    return Exit.OK


def _named(store: Any, id: str) -> list[Any]:
    found: list[Any] = store.history.deliveries(id=id, limit=3)
    if len(found) > 1:
        raise click.UsageError(f"{plain(id)!r} is the beginning of several ids; write more of it")
    return found


def _ask_or_do(loaded: Any, what: str, ids: list[str]) -> list[str]:
    """Through the daemon where one runs, else in the database itself."""
    from ftwatch.control import NoDaemon, ask
    from ftwatch.store import Store

    try:
        done: list[str] = ask(loaded.socket, f"outbox.{what}", ids=ids)["ids"]
        return done
    except NoDaemon:
        store = Store(loaded.store.path)
        try:
            change = store.outbox.retry if what == "retry" else store.outbox.drop
            return change(ids, time.time())
        finally:
            store.close()


@click.command()
@click.option("--notifier", required=True, metavar="NAME", help="Who gets it again.")
@click.option("--since", required=True, metavar="TIME", help="A span (2h, 3d) or a time (2026-11-23T03:00).")
@click.option("--dead", is_flag=True, help="Only what died.")
@click.pass_obj
def replay(config: str | None, notifier: str, since: str, dead: bool) -> int:
    """Send a notifier again what it was owed since then: the same events, ids and bytes.

    For a receiver that lost something of its own. One that remembers ids will notice what it has already.
    """
    from ftwatch.control import NoDaemon, ask
    from ftwatch.store import Store

    begun = _since(since)
    with reading(config) as (loaded, _):
        pass
    if notifier not in loaded.notifiers:
        known = ", ".join(sorted(loaded.notifiers)) or "none"
        raise click.UsageError(f"no notifier is called {plain(notifier)!r}; there are: {known}")
    try:
        count = ask(loaded.socket, "replay", notifier=notifier, since=begun, dead=dead)["count"]
    except NoDaemon:
        store = Store(loaded.store.path)
        try:
            count = store.outbox.replay(notifier, begun, time.time(), dead=dead)
        finally:
            store.close()
    if not count:
        click.echo(f"{notifier} was owed nothing of that kind since then", err=True)
        return Exit.NOTHING
    click.echo(f"{count} {'delivery' if count == 1 else 'deliveries'} will be sent again to {notifier}")
    return Exit.OK


def _since(text: str) -> float:
    """Unix seconds of a span before now, or of a time in the reader's own zone."""
    from datetime import datetime

    from ftwatch.plugins import Duration

    try:
        return time.time() - Duration.parse(text).total_seconds()
    except ValueError:
        try:
            return datetime.fromisoformat(text).astimezone().timestamp()
        except (ValueError, OverflowError):
            raise click.BadParameter(f"{plain(text)!r} is neither a span (2h, 3d) nor a time") from None
