"""check, schema, route: is the config right, and who gets what under it?"""

import time
from contextlib import suppress
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.output import as_json, format_option, local, plain, table


@click.command()
@click.option("--online", is_flag=True, help="Also ask every provider, and try to reach every notifier.")
@format_option
@click.pass_obj
def check(config: str | None, online: bool, output: str) -> int:
    """Say what is wrong with the config, and who gets what. Nothing is sent.

    --online says of each provider whether the key is good and whose it is, how many jobs it shows, what it
    may beyond need, and what of a look at a job is missing.

    Exits with 2 where the config cannot be used, with 1 where --online found something wrong (a hint is not).
    """
    from ftwatch.config import find, load
    from ftwatch.core.reach import reach

    loaded = load(find(config))
    missing = _missing(loaded.path)
    found = _online(loaded) if online else []
    who = reach(loaded.routing)
    bad = [one for one in found if not one.ok]
    if output == "json":
        as_json(
            {
                "config": str(loaded.path),
                "warnings": [str(problem) for problem in loaded.warnings],
                "missing": [str(problem) for problem in missing],
                "providers": list(loaded.providers),
                "notifiers": list(loaded.notifiers),
                "reach": who,
                "online": [
                    {"what": one.what, "ok": one.ok, "result": one.result, "said": one.said} for one in found
                ],
            }
        )
        return Exit.NO if bad else Exit.OK
    for problem in loaded.warnings:
        click.echo(plain(problem), err=True)
    _summary(loaded, who)
    if found:
        click.echo()
        before = ["", *(one.what for one in found)]
        rows = [
            [one.what if one.what != last else "", one.result, one.said]
            for one, last in zip(found, before, strict=False)
        ]
        table(rows, ["asked", "result", "what was done, and came of it"])
    if missing:
        click.echo("\nnote: `ftwatch run` needs secrets that this shell does not have:", err=True)
        for problem in missing:
            click.echo(f"  {plain(problem).replace(': error: ', ': ', 1)}", err=True)
    return Exit.NO if bad else Exit.OK


def _missing(path: Any) -> list[Any]:
    """What `run` would refuse to start on, and looking does not mind: secrets that cannot be had here."""
    from ftwatch.config import ConfigError, load

    try:
        load(path, secrets=True)
    except ConfigError as error:
        return [problem for problem in error.problems if problem.severity == "error"]
    return []


def _online(loaded: Any) -> list[Any]:
    import anyio

    from ftwatch import log as logs
    from ftwatch.cli.online import ask_everybody

    logs.configure("warning", "auto")
    return anyio.run(ask_everybody, loaded)


def _summary(loaded: Any, who: list[Any]) -> None:
    count = f"{_some(len(loaded.providers), 'provider')}, {_some(len(loaded.notifiers), 'notifier')}"
    warned = f", {_some(len(loaded.warnings), 'warning')}" if loaded.warnings else ""
    click.echo(f"{plain(loaded.path)} can be used: {count}{warned}")
    if loaded.providers:
        click.echo()
        table([_provider(one) for one in loaded.providers.values()], ["provider", "kind", "watches", "how"])
    if loaded.notifiers:
        click.echo()
        _who(loaded, who)


def _some(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number or 'no'} {what}s"


def _provider(provider: Any) -> list[str]:
    from ftwatch.core.span import span
    from ftwatch.plugins import Pushed, load_kind

    watches = str(provider.watch) if provider.watch else "every job"
    if provider.since is not None:
        watches += f" of the last {span(provider.since)}"
    how = f"an active job every {span(provider.poll)}, new ones every {span(provider.discover)}"
    if isinstance(load_kind("provider", provider.kind), Pushed):
        how = f"what its jobs push to /hooks/{provider.name}"
    return [provider.name, provider.kind, watches, how]


def _who(loaded: Any, who: list[Any]) -> None:
    """The table of notifiers: which events each gets, and when."""
    rows = []
    before = ""
    for name, notifier in loaded.notifiers.items():
        for one in [one for one in who if one.notifier == name] or [None]:
            first = f"{name} ({notifier.kind})" if notifier.kind != name else name
            shown, before = (first if before != name else ""), name
            rows.append([shown, one.when if one else "never", _grouped(one.types) if one else "nothing"])
    table(rows, ["notifier", "when", "gets"])
    closure = [name for name, one in loaded.notifiers.items() if one.closure]
    people = [
        one.name for one in loaded.routing.recipients if one.audience == "people" and one.name in closure
    ]
    if people:
        click.echo(f"\n{', '.join(people)}: also told how what they heard of has ended (closure)")
    for silence in _silences(loaded):
        by = f" by {plain(silence.author)}" if silence.author else ""
        until = f" until {local(silence.until)}" if silence.until else ""
        until = " until its end" if silence.until_end else until
        comment = f" ({plain(silence.comment)})" if silence.comment else ""
        click.echo(f"silenced{by}{until}: {plain(silence.match)}{comment}")


def _silences(loaded: Any) -> tuple[Any, ...]:
    """The config's silences, and those that stand in the database, where there is one."""
    from ftwatch.store import Store, StoreError

    asked: list[Any] = []
    with suppress(StoreError):
        store = Store(loaded.store.path, mode="read")
        try:
            asked += (kept.silence for kept in store.silences.all() if kept.stands(time.time()))
        finally:
            store.close()
    return (*loaded.routing.silences, *asked)


_GROUPS = {
    "fine_tuning.job.": "jobs",
    "fine_tuning.checkpoint.": "checkpoints",
    "fine_tuning.alert.": "alerts",
    "ftwatch.": "ftwatch's own",
}


def _grouped(types: tuple[str, ...]) -> str:
    """Types as a person reads them: `jobs: created, running …`, a line for each family."""
    from ftwatch.core.event import REPORT
    from ftwatch.core.reach import catalogue

    lines = []
    for prefix, title in _GROUPS.items():
        found = [type for type in types if type.startswith(prefix)]
        # A report goes to who asks for it, and is missed by nobody else.
        everything = [type for type in catalogue() if type.startswith(prefix) and type != REPORT]
        names = [type.removeprefix(prefix) for type in found]
        if set(everything) <= set(found):
            names = ["all", *(["report"] if REPORT in found else [])]
        if names:
            lines.append(f"{title}: {', '.join(names)}")
    return "\n".join(lines)


@click.command()
def schema() -> None:
    """The config's JSON Schema, for editors."""
    from ftwatch.config import schema as describe

    as_json(describe())


# ----------------------------------------------------------------------------------------------- route


@click.group()
def route() -> None:
    """Who gets which events, and why."""


@route.command()
@format_option
@click.pass_obj
def show(config: str | None, output: str) -> int:
    """Print every route, and who gets which type of event."""
    from ftwatch.config import find, load
    from ftwatch.core.reach import in_words, reach

    loaded = load(find(config))
    who = reach(loaded.routing)
    routes = loaded.routing.routes
    if output == "json":
        as_json({"routes": routes, "silences": _silences(loaded), "reach": who})
        return Exit.OK
    for problem in loaded.warnings:
        click.echo(plain(problem), err=True)
    if routes is None:
        click.echo("no routes: every notifier but commands gets the events of jobs and alerts from info on\n")
    else:
        rows = [[str(place), in_words(one), ", ".join(one.notify)] for place, one in enumerate(routes, 1)]
        table(rows, ["route", "takes", "notifies"])
        click.echo()
    _who(loaded, who)
    return Exit.OK


@route.command()
@click.argument("pairs", nargs=-1, metavar="KEY=VALUE...")
@click.option("--expect", multiple=True, metavar="NAME", help="Exit with 1 unless just these get it.")
@format_option
@click.pass_obj
def test(config: str | None, pairs: tuple[str, ...], expect: tuple[str, ...], output: str) -> int:
    """Say who would get an event now, and why the others would not.

    KEY=VALUE are the keys of `match`: type=fine_tuning.job.failed labels.team=search. Exits with 3 where
    nobody would get it.
    """
    from msgspec.structs import replace

    from ftwatch.config import find, load
    from ftwatch.core.reach import make_event
    from ftwatch.core.route import route as decide

    loaded = load(find(config))
    providers = {name: (one.kind, one.labels) for name, one in loaded.providers.items()}
    try:
        event = make_event(pairs, providers)
    except ValueError as error:
        raise click.UsageError(plain(error)) from None
    unknown = [name for name in expect if name not in loaded.notifiers]
    if unknown:
        raise click.UsageError(f"no notifier is called {plain(unknown[0])!r}")
    routed = decide(event, replace(loaded.routing, silences=_silences(loaded)), time.time())
    gets = dict(routed.selected)
    whys = gets | {verdict.notifier: verdict.reason for verdict in routed.verdicts}
    if output == "json":
        told = [{"notifier": name, "gets": name in gets, "why": whys[name]} for name in loaded.notifiers]
        as_json({"type": event.type, "severity": event.severity, "notifiers": told})
    else:
        click.echo(f"{plain(event.type)}, severity {event.severity}\n")
        table(
            [[name, "yes" if name in gets else "no", whys[name]] for name in loaded.notifiers],
            ["notifier", "gets it", "why"],
        )
    if expect:
        return Exit.OK if set(expect) == set(gets) else Exit.NO
    return Exit.OK if gets else Exit.NOTHING
