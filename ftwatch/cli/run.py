"""run, once, demo, reload: what makes the daemon go."""

import gc
import os
import sys
import threading

import click

from ftwatch.cli import Exit


def seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> float:
    """The callback of an option that takes a time (`90s`, `5m`, `6h`): seconds, 0 where it is left out."""
    from ftwatch.plugins import Duration

    try:
        return Duration.parse(value).total_seconds() if value else 0.0
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option("--wait-lock", callback=seconds, metavar="TIME", help="Wait so long for another one to end.")
@click.pass_obj
def run(config: str | None, wait_lock: float) -> int:
    """Watch and tell, until stopped."""
    # What a start loads stays. To look for garbage in it, time and again, is a tenth of the start; `serve`
    # goes back to that once all is loaded.
    gc.disable()
    try:
        from ftwatch import log  # noqa: F401 -- before all that imports structlog: it is the quicker way
        from ftwatch.config import find
        from ftwatch.daemon import serve

        return _leave(serve(find(config), wait_lock=wait_lock))
    finally:
        gc.enable()


def _leave(code: int) -> int:
    """Ends the process although a thread may still wait for somebody's mail server: all is on disk by now."""
    if threading.active_count() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


@click.command()
@click.option("--dry-run", is_flag=True, help="Look and decide, but remember nothing and send nothing.")
@click.option("--wait-lock", callback=seconds, metavar="TIME", help="Wait so long for another one to end.")
@click.pass_obj
def once(config: str | None, dry_run: bool, wait_lock: float) -> int:
    """One round of everything, for cron: look at every provider, tell what is new, and end."""
    from ftwatch.config import find
    from ftwatch.core.event import encode
    from ftwatch.core.message import compose
    from ftwatch.daemon import once as go

    done = go(find(config), dry_run=dry_run, wait_lock=wait_lock)
    for event in done.events:
        if sys.stdout.isatty():
            click.echo(compose(event).title)
        else:
            click.echo(encode(event).decode())
    for name, problem in done.problems.items():
        click.echo(f"error: {name}: {problem}", err=True)
    if done.waiting and not dry_run:
        click.echo(f"{done.waiting} deliveries could not be made yet; the next round tries again", err=True)
    return Exit.UNREACHABLE if done.problems or (done.waiting and not dry_run) else Exit.OK


@click.command()
@click.option("--keep", is_flag=True, help="Stay up when the story has been told.")
@click.option("--seconds", default=60.0, show_default=True, help="How long the story takes.")
def demo(keep: bool, seconds: float) -> int:
    """See it work: simulated providers, the real daemon, messages; no key needed."""
    import anyio

    from ftwatch.simulator.demo import demo as tell

    return anyio.run(lambda: tell(keep=keep, seconds=seconds, out=sys.stdout))


@click.command()
@click.pass_obj
def reload(config: str | None) -> None:
    """Make the daemon read its config anew; say what is wrong with it if it will not."""
    from ftwatch.config import find, load
    from ftwatch.control import ask

    path = find(config)
    ask(load(path).socket, "reload")
    click.echo(f"{path} is in force")
