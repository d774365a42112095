"""notify test, render: one sample event over one notifier, for real or only to look at."""

import os
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.completion import notifier_names
from ftwatch.cli.output import plain


@click.group()
def notify() -> None:
    """Try a notifier."""


def _complete_samples(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from ftwatch.core.sample import SAMPLES

    return [name for name in SAMPLES if name.startswith(incomplete)]


@notify.command("test")
@click.argument("name", shell_complete=notifier_names)
@click.option(
    "--sample",
    "named",
    default="test",
    show_default=True,
    metavar="SAMPLE",
    shell_complete=_complete_samples,
    help="What to send: failed, succeeded, stuck …",
)
@click.pass_obj
def test(config: str | None, name: str, named: str) -> int:
    """Send a sample over the notifier NAME, for real.

    Exits with 1 where the receiver said no, with 4 where it could not be reached or was busy.
    """
    import anyio

    from ftwatch import log as logs
    from ftwatch.config import find, load
    from ftwatch.core.delivery import Rejected, Sent

    loaded = load(find(config))
    notifier = _named(loaded, name)
    logs.configure("warning", "auto")
    began = time.monotonic()
    outcome = anyio.run(send, loaded, notifier, fresh(_sample(named)))
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    match outcome:
        case Sent():
            note = f" ({plain(outcome.note)})" if outcome.note else ""
            click.echo(f"{name}: sent in {took}{note}")
            return Exit.OK
        case Rejected():
            click.echo(f"{name}: rejected: {plain(outcome.reason)}", err=True)
            return Exit.NO
    click.echo(f"{name}: not now: {plain(outcome.reason)}", err=True)
    return Exit.UNREACHABLE


async def send(config: Any, notifier: Any, event: Any) -> Any:
    """One try, as the dispatcher makes it; the outcome."""
    import anyio
    from msgspec.structs import replace

    from ftwatch.assembly import make_client, make_notifier, phrasing
    from ftwatch.core.delivery import Retry, Sent

    async with make_client(config.client) as client:
        try:
            made = make_notifier(config, notifier.name, client)
            with anyio.move_on_after(made.timeout):
                result = await made.send([event], {}, body=made.freeze(event))
                outcome = result.outcome
                if isinstance(outcome, Sent) and notifier.shows_messages:
                    said = filter(None, (outcome.note, phrasing(config, notifier.name).remark(event)))
                    outcome = replace(outcome, note="; ".join(said))
                return outcome
        except Exception as error:  # a guest: its bug is an outcome too
            return Retry(f"the plug-in failed: {type(error).__name__}")
    return Retry(f"no answer within {made.timeout:g} s", unreachable=True)


def fresh(event: Any) -> Any:
    """The event as if it had happened now, with an id that no receiver has seen."""
    from msgspec.structs import replace

    now = int(time.time())
    data = replace(event.data, occurred_at=now, observed_at=now)
    return replace(event, id="evt_" + os.urandom(16).hex(), created_at=now, data=data)


@click.command()
@click.argument("name", shell_complete=notifier_names)
@click.option(
    "--sample",
    "named",
    default="failed",
    show_default=True,
    metavar="SAMPLE",
    shell_complete=_complete_samples,
    help="What to show: failed, succeeded, stuck …; several (failed,running): their digest.",
)
@click.option("--html", is_flag=True, help="Only the HTML of a letter.")
@click.pass_obj
def render(config: str | None, name: str, named: str, html: bool) -> int:
    """Show what the notifier NAME would send, and send nothing."""
    import anyio

    from ftwatch.assembly import phrasing
    from ftwatch.config import find, load

    loaded = load(find(config))
    notifier = _named(loaded, name)
    try:
        told = [fresh(_sample(one.strip())) for one in named.split(",")]
        text = anyio.run(_render, loaded, notifier, told)
    except LookupError as error:
        click.echo(f"error: {plain(error.args[0])}", err=True)
        return Exit.USAGE
    if notifier.shows_messages and (remark := phrasing(loaded, name).remark(*told)):
        click.echo(f"note: {plain(remark)}", err=True)
    if html:
        text = _html(text)
    for secret in secrets(notifier.options):
        text = text.replace(secret, "••••")
    for line in text.splitlines():
        click.echo(plain(line))
    return Exit.OK


async def _render(config: Any, notifier: Any, told: list[Any]) -> str:
    from ftwatch.assembly import make_client, make_notifier
    from ftwatch.core.message import compose

    async with make_client(config.client) as client:
        made = make_notifier(config, notifier.name, client)
        if len(told) > 1 and getattr(made, "folds", 0) < len(told):
            raise LookupError(f"{notifier.name} sends every event on its own: name one sample")
        rendered = getattr(made, "render", None)
        if rendered is not None:
            return str(rendered(*told))
        body = made.freeze(told[0])
        return body.decode("utf-8", "replace") if body is not None else compose(*told).text


def _html(text: str) -> str:
    from email import message_from_string, policy

    letter = message_from_string(text, policy=policy.default)
    part = letter.get_body(("html",)) if letter.is_multipart() else None
    if part is None:
        raise click.UsageError("this notifier writes no HTML")
    return str(part.get_content())


# Shorter than this a value is no secret, and hiding it would only garble the text.
_SHORTEST = 4


def secrets(options: Any) -> Iterator[str]:
    """The secrets among a notifier's options that can be had: what is shown must not hold them."""
    from ftwatch.plugins import Form, Secret

    if is_dataclass(options):
        for field in fields(options):
            yield from secrets(getattr(options, field.name))
    elif isinstance(options, tuple | list):
        for one in options:
            yield from secrets(one)
    elif isinstance(options, dict):
        yield from secrets(list(options.values()))
    elif isinstance(options, Form):
        yield from secrets(options.tree)
    elif isinstance(options, Secret):
        try:
            value = options.reveal()
        except LookupError:
            return
        if len(value) >= _SHORTEST:
            yield value


def _named(loaded: Any, name: str) -> Any:
    from ftwatch.core.route import did_you_mean

    if name not in loaded.notifiers:
        known = ", ".join(loaded.notifiers) or "none"
        hint = did_you_mean(name, loaded.notifiers) or f"; there are: {known}"
        raise click.UsageError(f"no notifier is called {plain(name)!r}{hint}")
    return loaded.notifiers[name]


def _sample(name: str) -> Any:
    from ftwatch.core.sample import sample

    try:
        return sample(name)
    except LookupError as error:
        raise click.UsageError(plain(error.args[0])) from None
