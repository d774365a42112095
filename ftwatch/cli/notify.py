"""notify test, render: one sample event over one notifier, for real or only to look at."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
                drawn, missing = _picture(config, made, event)
                more = {"picture": drawn} if drawn is not None else {}
                result = await made.send([event], {}, body=made.freeze(event), **more)
                outcome = result.outcome
                if isinstance(outcome, Sent) and notifier.shows_messages:
                    said = (outcome.note, phrasing(config, notifier.name).remark(event), missing)
                    outcome = replace(outcome, note="; ".join(filter(None, said)))
                return outcome
        except Exception as error:  # a guest: its bug is an outcome too
            return Retry(f"the plug-in failed: {type(error).__name__}")
    return Retry(f"no answer within {made.timeout:g} s", unreachable=True)


def _picture(config: Any, made: Any, event: Any, *, asked: bool = False) -> tuple[Any, str]:
    """The picture that goes along with a sample, and why there is none although there should be.

    `asked`: somebody wants to see it.
    """
    from ftwatch.core.plot import is_drawn
    from ftwatch.core.sample import sample_plot
    from ftwatch.plots.image import MISSING, Undrawable, draw, is_possible

    if not getattr(made, "shows_pictures", False) or not is_drawn(event) or config.plots.wanted is False:
        return None, ""
    if not is_possible():
        return None, f"without its picture: {MISSING}" if asked or config.plots.wanted else ""
    try:
        return draw(sample_plot(), config.plots.theme), ""
    except Undrawable as error:
        return None, f"without its picture: {error}"


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
@click.option(
    "--picture",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Show it with the picture that goes along, and write that into this PNG file.",
)
@click.pass_obj
def render(config: str | None, name: str, named: str, html: bool, file: Path | None) -> int:
    """Show what the notifier NAME would send, and send nothing."""
    import anyio

    from ftwatch.assembly import phrasing
    from ftwatch.config import find, load

    loaded = load(find(config))
    notifier = _named(loaded, name)
    try:
        told = [fresh(_sample(one.strip())) for one in named.split(",")]
        text, drawn = anyio.run(_render, loaded, notifier, told, file is not None)
    except LookupError as error:
        click.echo(f"error: {plain(error.args[0])}", err=True)
        return Exit.USAGE
    if notifier.shows_messages and (remark := phrasing(loaded, name).remark(*told)):
        click.echo(f"note: {plain(remark)}", err=True)
    if file is not None:
        _keep(drawn, file)
    if html:
        text = _html(text, file)
    for secret in secrets(notifier.options):
        text = text.replace(secret, "••••")
    for line in text.splitlines():
        click.echo(plain(line))
    return Exit.OK


async def _render(config: Any, notifier: Any, told: list[Any], is_whole: bool) -> tuple[str, tuple[Any, str]]:
    """What would be sent; `is_whole`: with the picture, which comes along, or why there is none."""
    from ftwatch.assembly import make_client, make_notifier
    from ftwatch.core.message import compose

    async with make_client(config.client) as client:
        made = make_notifier(config, notifier.name, client)
        if len(told) > 1 and getattr(made, "folds", 0) < len(told):
            raise LookupError(f"{notifier.name} sends every event on its own: name one sample")
        drawn = _picture(config, made, *told, asked=True) if is_whole and len(told) == 1 else (None, "")
        rendered = getattr(made, "render", None)
        if rendered is not None:
            more = {"picture": drawn[0]} if drawn[0] is not None else {}
            return str(rendered(*told, **more)), drawn
        body = made.freeze(told[0])
        text = body.decode("utf-8", "replace") if body is not None else compose(*told).text
        return text, drawn


def _keep(drawn: tuple[Any, str], file: Path) -> None:
    picture, missing = drawn
    if picture is None:
        click.echo(f"note: {plain(missing or 'no picture goes along with this')}", err=True)
        return
    try:
        file.write_bytes(picture.png)
    except OSError as error:
        raise click.UsageError(f"cannot write {plain(file)}: {error.strerror}") from None


def _html(text: str, file: Path | None) -> str:
    from email import message_from_string, policy

    letter = message_from_string(text, policy=policy.default)
    part = letter.get_body(("html",)) if letter.is_multipart() else None
    if part is None:
        raise click.UsageError("this notifier writes no HTML")
    page = str(part.get_content())
    # What lies in the letter is not found by a browser; where it was written to, it is.
    return re.sub(r'src="cid:[^"]*"', f'src="{escape(quote(str(file)))}"', page) if file else page


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
