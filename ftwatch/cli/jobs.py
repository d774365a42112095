"""status, jobs, show, events: what is known, for people and programs. Only reads."""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ftwatch.answers import Happening, Job, Owed, Placed, Story, Trust, snapshot_of
from ftwatch.cli import Exit
from ftwatch.cli.completion import job_names
from ftwatch.cli.facts import asking, one_job
from ftwatch.cli.output import ago, as_json, emit, format_option, local, plain, table, tell_wire, utc
from ftwatch.plots import terminal

# So many of the last lines of a job's own log are shown.
LOG_TAIL = 5


def job_row(job: Job) -> dict[str, Any]:
    """A job as a line of a listing."""
    progress = job.progress
    percent = f"{progress.percent:g} %" if progress and progress.percent is not None else None
    if percent is None and progress and progress.step is not None:
        percent = f"{progress.step}/{progress.total_steps or '?'}"
    return {
        "job": job.id,
        "name": job.name,
        "provider": job.provider,
        "status": "gone" if job.gone else str(job.status),
        "model": job.fine_tuned_model or job.model,
        "progress": percent,
        "finish": utc(job.estimated_finish),
        "alerts": list(job.alerts),
        "since": utc(job.status_since),
        "created": utc(job.created_at),
        "changed": utc(job.changed_at),
    }


@click.command()
@click.option("--provider", metavar="NAME", help="Only this provider's.")
@click.option("--status", metavar="STATUS", help="Only those in this status.")
@click.option("--active", is_flag=True, help="Only those that have not ended.")
@click.option(
    "-n", "--limit", default=50, type=click.IntRange(min=1), show_default=True, help="How many at most."
)
@click.option("-v", "--verbose", is_flag=True, help="When the daemon looks next, and why then.")
@format_option
@click.pass_obj
def jobs(
    config: str | None,
    provider: str | None,
    status: str | None,
    active: bool,
    limit: int,
    verbose: bool,
    output: str,
) -> int:
    """List the jobs, those that changed last first."""
    from ftwatch.core.job import Status
    from ftwatch.core.route import did_you_mean

    if status is not None and status not in tuple(Status):
        hint = did_you_mean(status, Status) or f"; there are: {', '.join(Status)}"
        raise click.UsageError(f"no status is called {plain(status)!r}{hint}")
    with asking(config) as facts:
        found = facts.jobs(
            provider=provider,
            status=Status(status) if status else None,
            active=active,
            limit=limit,
            next_look=verbose,
        )
    rows = [job_row(job) for job in found]
    columns = ["job", "name", "provider", "status", "since", "progress", "model", "alerts"]
    if verbose:
        columns = ["job", "name", "provider", "status", "since", "next", "why"]
        for row, job in zip(rows, found, strict=True):
            look = job.next_look or None
            at = look.at if look else None
            row["next"] = utc(at) if output == "json" else _in(at) if at is not None else None
            row["why"] = look.why if look else "it is over"
    if output == "table":
        for row, job in zip(rows, found, strict=True):
            row["since"] = local(job.status_since)
            row["alerts"] = ", ".join(row["alerts"])
    emit(rows, columns, output, empty="no jobs are known yet")
    return Exit.OK


def _in(at: float) -> str:
    from ftwatch.core.span import span

    left = at - time.time()
    return f"in {span(left)}" if left >= 1 else "now"


@click.command()
@click.argument("job", shell_complete=job_names)
@click.option(
    "--plot/--no-plot",
    default=None,
    help="Draw how the losses went. On a terminal that is done anyway where the extra plots is installed.",
)
@format_option
@click.pass_obj
def show(config: str | None, job: str, plot: bool | None, output: str) -> int:
    """Everything about one JOB: an id, the beginning of one, provider/id, a name, or its URL."""
    if plot and not terminal.is_possible():
        raise click.UsageError(terminal.MISSING)
    with asking(config) as facts:
        story = facts.story(one_job(facts, job))
    if output == "json":
        as_json(_document(story))
    else:
        is_seen = sys.stdout.isatty() and terminal.is_possible()
        drawn = _plotted(story) if plot or (plot is None and is_seen) else []
        if plot and not drawn:
            click.echo("no figures to draw, or no room to", err=True)
        _show(story, drawn)
    return Exit.OK


def _plotted(story: Story) -> list[str]:
    """How a job's figures went, as lines for the width that there is."""
    from ftwatch.core.plot import plot_of

    series = [(point.step, point.at, point.metrics) for point in _of(story.metrics)]
    plot = plot_of(series, _of(story.checkpoints), [one.fact for one in _of(story.history)])
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    columns = shutil.get_terminal_size().columns
    return terminal.drawn(plot, columns, colours=colours) if plot is not None else []


def _document(story: Story) -> dict[str, Any]:
    """Everything about a job, for programs."""
    from msgspec import to_builtins

    happened = _of(story.history)
    return {
        "job": snapshot_of(story),
        "gone": story.gone,
        "ack": story.ack,
        "acks": story.acks,
        "summary": story.summary,
        "metrics": story.figures,
        "series": [{"step": point.step, **point.metrics} for point in _of(story.metrics)],
        "checkpoints": _of(story.checkpoints),
        "log": _of(story.log),
        "events": [one.fact for one in happened],
        "deliveries": [
            {name: value for name, value in to_builtins(owed).items() if name != "because"}
            for one in happened
            for owed in reversed(one.told)
        ],
    }


def _of(page: Any) -> list[Any]:
    """What is on a page of a story, where there is one."""
    return page.data if page else []


def _show(story: Story, drawn: Sequence[str]) -> None:
    from ftwatch.core.cause import in_words
    from ftwatch.core.result import duration, figures

    summary = story.summary
    facts = {
        "job": story.key,
        "name": story.name,
        "status": f"{story.status} (gone)" if story.gone else story.status,
        "model": story.model,
        "fine-tuned model": story.fine_tuned_model,
        "error": ": ".join(filter(None, (story.error.code, story.error.message))) if story.error else None,
        "cause": in_words(summary.cause) if summary and summary.cause else None,
        "progress": job_row(story)["progress"],
        "expected": None if story.status.is_terminal else local(story.estimated_finish),
        "created": local(story.created_at),
        "finished": local(story.finished_at),
        "duration": duration(story, summary) if story.status.is_terminal else None,
        "final" if summary else "figures": figures(summary.metrics if summary else story.figures),
        "checkpoints": _saved(_of(story.checkpoints)),
        "trained tokens": f"{story.trained_tokens:,}" if story.trained_tokens else None,
        "labels": ", ".join(f"{key}={value}" for key, value in sorted(story.labels.items())),
        "url": story.url,
        "alerts": ", ".join(story.alerts),
        "acknowledged": _acknowledged(story.ack),
    }
    for label, value in facts.items():
        if value:
            click.echo(f"{label + ':':<18}{plain(value)}")
    if drawn:
        click.echo("\n".join(["", *drawn, ""]))
    for line in _of(story.log)[-LOG_TAIL:]:
        click.echo(f"{'log:':<18}{local(line.at) or '?'}  {plain(line.message)}")
    for one in _of(story.history):
        _show_happening(one)


def _show_happening(one: Happening) -> None:
    from ftwatch.core.event import is_mere_progress
    from ftwatch.core.message import compose

    event = one.fact
    if is_mere_progress(event):
        return
    click.echo(f"\n{local(event.created_at)}  {plain(compose(event).title)}  ({event.severity})")
    for change in event.changes:
        if change.field != "status":
            click.echo(f"    {plain(change.field)}: {plain(change.before)} → {plain(change.after)}")
    for owed in one.told:
        click.echo(f"    → {owed.notifier}: {_fate(owed)}")
        for attempt in owed.tries if len(owed.tries) > 1 or owed.state != "delivered" else ():
            reason = f": {plain(attempt.reason)}" if attempt.reason else ""
            click.echo(f"        {local(attempt.at)}  {attempt.outcome} after {attempt.took:.1f} s{reason}")
    for spared in one.not_told:
        click.echo(f"    · {spared.notifier}: not told, {plain(spared.because)}")


def _acknowledged(ack: Any) -> str | None:
    """What somebody knows of, who, since when, and what they say to it."""
    from ftwatch.core.ack import matters

    if ack is None:
        return None
    said = f": {ack.comment}" if ack.comment else ""
    return f"{', '.join(matters(ack))}, by {ack.author}, {local(ack.at)}{said}"


def _saved(found: list[Any]) -> str | None:
    """How many checkpoints there are, and the last one."""
    if not found:
        return None
    last = found[-1]
    named = f", the last one {last.model or last.id or ''}".rstrip()
    return f"{len(found)}{named}" + (f" at step {last.step}" if last.step is not None else "")


def _fate(delivery: Owed) -> str:
    if delivery.state == "delivered":
        return f"delivered {local(delivery.settled_at)}"
    tries = f"{delivery.attempts} tries" if delivery.attempts != 1 else "one try"
    reason = f": {plain(delivery.reason)}" if delivery.reason else ""
    if delivery.state == "pending":
        return f"pending after {tries}{reason}; next try {local(delivery.due_at)}"
    return f"{delivery.state} after {tries}{reason}"


@click.command()
@click.argument("job", required=False, shell_complete=job_names)
@click.option("-f", "--follow", is_flag=True, help="Go on as they happen, until Ctrl-C.")
@click.option(
    "-n", "--limit", default=50, type=click.IntRange(min=1), show_default=True, help="How many of the past."
)
@format_option
@click.pass_obj
def events(config: str | None, job: str | None, follow: bool, limit: int, output: str) -> int:
    """What happened, oldest first; of one JOB, or of all. JSON is one event a line, in its wire form."""
    with asking(config) as facts:
        key = one_job(facts, job).key if job else None
        found = facts.events(key, limit)
        if not found and not follow:
            click.echo("nothing has happened yet", err=True)
        for one in found:
            _print(one, output)
        if follow:
            for one in facts.follow(key, found[-1] if found else None):
                _print(one, output)
    return Exit.OK


def _print(one: Placed, output: str) -> None:
    from ftwatch.core.message import compose

    if output == "json":
        tell_wire(bytes(one.event))
        return
    event = one.fact
    about = event.data.provider or event.data.notifier or ""
    click.echo(f"{local(event.created_at)}  {plain(compose(event).title)}  [{plain(about)}]")


@click.command()
@click.option("--alive", is_flag=True, help="Only whether the daemon answers and none of its loops hangs.")
@format_option
@click.pass_obj
def status(config: str | None, alive: bool, output: str) -> int:
    """One screen: can I trust it? Exits with 1 where something is wrong."""
    if alive:
        return _alive(config, output)
    with asking(config) as facts:
        found = facts.trust()
    daemon, code = found.daemon, Exit.OK if found.well else Exit.NO
    if output == "json":
        as_json(_trust(found))
        return code
    if daemon:
        click.echo(
            f"daemon: up since {local(daemon['since'])} (process {daemon['pid']}, {daemon['version']})"
        )
    else:
        click.echo("daemon: not running; start it with `ftwatch run`")
    if daemon and daemon.get("full"):
        click.echo("disk: full; no job is looked at until there is room beside the database")
    click.echo()
    table(
        [[one.name, one.state, _counted(one.counts)] for one in found.providers],
        ["provider", "state", "jobs"],
    )
    click.echo()
    table(
        [
            [one.name, one.state, one.pending, one.dead, one.delivered, ago(one.last_delivered)]
            for one in found.notifiers
        ],
        ["notifier", "state", "pending", "dead", "delivered", "last delivered"],
    )
    return code


def _alive(config: str | None, output: str) -> int:
    """Whether the daemon is to be left alone: for a container's health check, which may start it anew."""
    from ftwatch.control import NoDaemon, Refused, ask

    try:
        late = ask(_socket(config), "ping").get("late", [])
        problem = f"no sign of life from {', '.join(late)}" if late else None
    except (NoDaemon, Refused) as error:
        problem = str(error)
    if output == "json":
        as_json({"alive": problem is None, "problem": problem})
    else:
        click.echo(f"not alive: {plain(problem)}" if problem else "alive")
    return Exit.OK if problem is None else Exit.NO


def _socket(config: str | None) -> Path:
    """The control socket by the config; where that is spoilt, which stops no daemon, by the environment."""
    from ftwatch.config import ConfigError, find, load

    try:
        return load(find(config)).socket
    except ConfigError:
        runtime = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
        if not runtime:
            raise
        return Path(runtime) / "ftwatch.sock"


def _trust(found: Trust) -> dict[str, Any]:
    """How well all is, for programs."""
    from msgspec import to_builtins

    document: dict[str, Any] = to_builtins(found)
    if found.daemon:
        document["daemon"]["since"] = utc(found.daemon["since"])
    for provider in document["providers"]:
        provider["jobs"] = _counted(provider["counts"])
    for notifier in document["notifiers"]:
        notifier |= {name: utc(notifier[name]) for name in ("oldest_pending", "last_delivered")}
    return document


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"
