"""silence add, list, expire, and ack: what nobody need hear; through the daemon where one runs."""

import time
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.completion import job_names, silence_ids
from ftwatch.cli.facts import Facts, asking, one_job
from ftwatch.cli.output import as_json, emit, format_option, local, plain, utc

# `--until end`: until the job is over.
END = "end"


@click.group()
def silence() -> None:
    """Let nobody hear of something for a while: add, list, expire."""


@silence.command()
@click.argument("matchers", nargs=-1, metavar="[MATCHER]...")
@click.option("--job", metavar="JOB", shell_complete=job_names, help="This job: an id, a name …")
@click.option("--for", "span", metavar="SPAN", help="For so long: 2h, 3d.")
@click.option("--until", metavar="TIME|end", help="Until 2026-11-23T18:00, or until the job's end.")
@click.option("--comment", default="", help="Why. It is shown wherever somebody asks.")
@click.option("--author", help="Who asks for it (without it: your login).")
@click.option("--preview", is_flag=True, help="Only show what it would have muted in the last 7 days.")
@format_option
@click.pass_obj
def add(
    config: str | None,
    matchers: tuple[str, ...],
    job: str | None,
    span: str | None,
    until: str | None,
    comment: str,
    author: str | None,
    preview: bool,
    output: str,
) -> int:
    """Silence what all MATCHERs are true of, from the next event on.

    \b
    ftwatch silence add 'labels.team="search"' --for 2h --comment "planned outage"
    ftwatch silence add 'model=~"gpt.*"' type=fine_tuning.alert.stuck --until 2026-11-30
    ftwatch silence add --job ftjob-abc --until end
    ftwatch silence add 'labels.team="sandbox"' --preview

    MATCHERs are KEY="VALUE", KEY!="VALUE", KEY=~"REGEX" or KEY!~"REGEX", with the keys of `match` in the
    config. Ends are muted too: who heard that a job is stuck does not hear that it moved on. With --until end
    the silence is over when its job is, and that end is told. Without --for and --until it stands until
    somebody takes it away.
    """
    if span is not None and until is not None:
        raise click.UsageError("--for and --until say the same thing twice")
    until_then = _moment(span, until)
    with asking(config) as facts:
        words = [*(_words(facts, job) if job is not None else ()), *matchers]
        try:
            if preview:
                _show(facts.preview(words, until_end=until == END), output)
                return Exit.OK
            made = facts.silence(
                words,
                until=until_then,
                until_end=until == END,
                comment=comment,
                author=author or login(),
            )
        except ValueError as error:
            raise click.UsageError(plain(error)) from None
    if output == "json":
        as_json(made | {name: utc(made[name]) for name in ("until", "created_at", "expired_at")})
        return Exit.OK
    click.echo(f"{made['id']}: silent {_ending(made)}: {plain(', '.join(made['matchers']))}")
    number = made["jobs"]
    click.echo(
        f"that is true of {f'{number} active jobs' if number != 1 else 'one active job'} now", err=True
    )
    return Exit.OK


def _show(found: dict[str, Any], output: str) -> None:
    """What a silence would have muted."""
    if output == "json":
        last = [one | {"at": utc(one["at"])} for one in found["last"]]
        as_json(found | {"since": utc(found["since"]), "last": last})
        return
    count, looked_at = found["events"], found["looked_at"]
    if not count:
        click.echo(f"it would have muted none of the {looked_at} events told since {local(found['since'])}")
        return
    names = ", ".join(f"{plain(name)} {number}" for name, number in found["by_notifier"].items())
    click.echo(
        f"it would have muted {count} of {looked_at} events that were told since {local(found['since'])},"
        f" the worst of them {found['worst']}"
    )
    click.echo(f"nobody would have heard of them: {names}")
    rows = [
        {
            "at": local(one["at"]),
            "type": one["type"],
            "about": one["about"],
            "severity": one["severity"],
            "told": ", ".join(one["told"]),
        }
        for one in found["last"]
    ]
    click.echo()
    emit(rows, ["at", "type", "about", "severity", "told"], output, empty="")
    if count > len(rows):
        click.echo(f"and {count - len(rows)} before them", err=True)


def _words(facts: Facts, job: str) -> list[str]:
    """The matchers for one job, as somebody would write them."""
    from ftwatch.core.route import literal

    key = one_job(facts, job).key
    return [str(literal("provider", key.provider)), str(literal("id", key.id))]


def _moment(span: str | None, until: str | None) -> float | None:
    """Unix seconds of the end of a silence, where it has a time."""
    from datetime import datetime

    from ftwatch.plugins import Duration

    try:
        if span is not None:
            return time.time() + Duration.parse(span).total_seconds()
        if until is not None and until != END:
            return datetime.fromisoformat(until).astimezone().timestamp()
    except ValueError as error:
        if span is not None:
            raise click.BadParameter(plain(error), param_hint="--for") from None
        said = f"{plain(until)!r} is neither a time (2026-11-23T18:00) nor {END!r}"
        raise click.BadParameter(said, param_hint="--until") from None
    except OverflowError:
        raise click.BadParameter("that is later than any calendar knows", param_hint="--until") from None
    return None


def _ending(one: dict[str, Any]) -> str:
    if one["until_end"]:
        return "until the job is over"
    return f"until {local(one['until'])}" if one["until"] is not None else "until it is taken away"


@silence.command("list")
@click.option("--expired", is_flag=True, help="Also those that are over.")
@format_option
@click.pass_obj
def list_(config: str | None, expired: bool, output: str) -> int:
    """List silences, those of the config first, and how many active jobs each is true of."""
    with asking(config) as facts:
        found = facts.silences(expired=expired)
    if output == "json":
        for one in found:
            one |= {name: utc(one[name]) for name in ("until", "created_at", "expired_at")}
        as_json(found)
        return Exit.OK
    rows = [
        {
            "id": one["id"],
            "until": _until(one),
            "silent": ", ".join(one["matchers"]),
            "jobs": one["jobs"],
            "by": "the config" if one["in_config"] else one["author"],
            "comment": one["comment"],
        }
        for one in found
    ]
    emit(rows, ["id", "until", "silent", "jobs", "by", "comment"], output, empty="nothing is silenced")
    return Exit.OK


def _until(one: dict[str, Any]) -> str:
    if not one["stands"]:
        return f"over since {local(one['expired_at'] or one['until'])}"
    if one["until_end"]:
        return "the job's end"
    return local(one["until"]) or "it is taken away"


@silence.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=silence_ids)
@click.option("--all", "everything", is_flag=True, help="All but those of the config.")
@click.pass_obj
def expire(config: str | None, ids: tuple[str, ...], everything: bool) -> int:
    """Take silences away. IDs may be shortened. What was muted stays so; the next event is told."""
    if bool(ids) is everything:
        raise click.UsageError("name silences by their ids, or say --all")
    with asking(config) as facts:
        done = facts.expire(None if everything else ids)
    if not done:
        click.echo("no silence of that kind stands", err=True)
        return Exit.NOTHING
    for id in done:
        click.echo(f"{id}: taken away")
    return Exit.OK


@click.command()
@click.argument("job", shell_complete=job_names)
@click.option("--comment", default="", help="What you make of it.")
@click.option("--author", help="Who knows of it (without it: your login).")
@format_option
@click.pass_obj
def ack(config: str | None, job: str, comment: str, author: str | None, output: str) -> int:
    """Say that you know of what is open about a JOB: that it failed, is paused or gone, its alerts.

    People are not told of new stages of an acknowledged alert; its end they are. An ack holds as long as the
    job stays as it is. Exits with 3 where nothing is open.
    """
    with asking(config) as facts:
        found = one_job(facts, job)
        given = facts.ack(found.key, author=author or login(), comment=comment)
    key = found.key
    if given["ack"] is None:
        click.echo(f"nothing is open about {plain(key)}: it is {found.status}", err=True)
        return Exit.NOTHING
    if output == "json":
        as_json({"job": str(key), **given["ack"], "at": utc(given["ack"]["at"])})
    else:
        click.echo(f"{plain(key)}: acknowledged: {plain(', '.join(given['of']))}")
    return Exit.OK


def login() -> str:
    """Who is typing, as far as the system knows."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
