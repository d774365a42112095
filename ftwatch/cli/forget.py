"""forget: removes what is known of a job, or of a provider that is not watched any more."""

import sys
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.completion import job_names
from ftwatch.cli.facts import Here, one_job, reading
from ftwatch.cli.output import plain


@click.command()
@click.argument("what", metavar="JOB|PROVIDER", shell_complete=job_names)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def forget(config: str | None, what: str, yes: bool) -> int:
    """Remove all that is kept of a JOB, or of a PROVIDER that the config does not name any more.

    Events, deliveries (also those still to be sent), attempts and names go, and are overwritten in the file.
    Of a job its id and status stay, so that it is not taken for a new one; it is not watched any more.
    Copies that were made before, and what receivers were told, are not ours to remove.
    """
    with reading(config) as (loaded, store):
        if any(state.name == what for state in store.history.providers()):
            if what in loaded.providers:
                click.echo(
                    f"error: {plain(what)} is in the config: as long as it is watched, its jobs come back;"
                    " take it out first",
                    err=True,
                )
                return Exit.NO
            provider, job, named = what, None, f"provider {what} with all of its jobs"
        else:
            provider, job = one_job(Here(loaded, store), what).key
            named = f"job {provider}/{job}"
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("what is forgotten cannot be had back: say --yes")
        click.confirm(f"Forget {plain(named)}?", abort=True)
    gone = _ask_or_do(loaded, provider, job)
    waiting = f", {gone['pending']} of them not sent yet" if gone["pending"] else ""
    click.echo(
        f"forgotten: {plain(named)}; {gone['events']} events, {gone['deliveries']} deliveries{waiting}"
    )
    kept = sorted(loaded.store.path.parent.glob(f"{loaded.store.path.name}.v*.bak"))
    if kept:
        click.echo(f"older copies still hold it: {', '.join(str(copy) for copy in kept)}", err=True)
    return Exit.OK


def _ask_or_do(loaded: Any, provider: str, job: str | None) -> dict[str, int]:
    from msgspec import to_builtins

    from ftwatch.control import NoDaemon, ask
    from ftwatch.store import Store

    try:
        gone: dict[str, int] = ask(loaded.socket, "forget", provider=provider, job=job)["gone"]
        return gone
    except NoDaemon:
        store = Store(loaded.store.path)
        try:
            done: dict[str, int] = to_builtins(store.forget(provider, job))
            return done
        finally:
            store.close()
