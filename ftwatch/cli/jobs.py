"""status, jobs, show, events: what is known, for people and programs. Only reads."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.completion import job_names
from ftwatch.cli.output import ago, as_json, emit, format_option, local, plain, table, tell_wire, utc

# So many of the last lines of a job's own log are shown.
LOG_TAIL = 5


@contextmanager
def reading(config: str | None) -> Iterator[tuple[Any, Any]]:
    """The config, and the store opened for reading."""
    from ftwatch.config import find, load
    from ftwatch.store import Store

    loaded = load(find(config))
    store = Store(loaded.store.path, mode="read")
    try:
        yield loaded, store
    finally:
        store.close()


def one_job(store: Any, selector: str) -> Any:
    """The one row that JOB names; says what else it could be. Exits with 2 or 3 otherwise."""
    rows = store.history.find(selector)
    if not rows:
        click.echo(f"error: no job is called {selector!r}; `ftwatch jobs` lists them", err=True)
        raise click.exceptions.Exit(Exit.NOTHING)
    if len(rows) > 1:
        click.echo(f"error: {selector!r} could be any of these:", err=True)
        for row in rows:
            job = row.known.snapshot
            click.echo(f"  {plain(job.key)}  {job.status}  {plain(job.name or '')}".rstrip(), err=True)
        raise click.exceptions.Exit(Exit.USAGE)
    return rows[0]


def job_row(row: Any) -> dict[str, Any]:
    """A job as a line of a listing."""
    job = row.known.snapshot
    progress = job.progress
    percent = f"{progress.percent:g} %" if progress and progress.percent is not None else None
    if percent is None and progress and progress.step is not None:
        percent = f"{progress.step}/{progress.total_steps or '?'}"
    return {
        "job": job.id,
        "name": job.name,
        "provider": job.provider,
        "status": "gone" if row.known.gone else str(job.status),
        "model": job.fine_tuned_model or job.model,
        "progress": percent,
        "finish": utc(job.estimated_finish),
        "alerts": sorted(row.known.alerts),
        "since": utc(row.known.status_since),
        "created": utc(job.created_at),
        "changed": utc(row.changed_at),
    }


@click.command()
@click.option("--provider", metavar="NAME", help="Only this provider's.")
@click.option("--status", metavar="STATUS", help="Only those in this status.")
@click.option("--active", is_flag=True, help="Only those that have not ended.")
@click.option("-n", "--limit", default=50, show_default=True, help="How many at most.")
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
    with reading(config) as (loaded, store):
        found = store.history.jobs(provider=provider, status=status, active=active, limit=limit)
        rows = [job_row(row) for row in found]
        columns = ["job", "name", "provider", "status", "since", "progress", "model", "alerts"]
        if verbose:
            columns = ["job", "name", "provider", "status", "since", "next", "why"]
            _add_turns(rows, loaded.socket, output)
        if output == "table":
            for row, source in zip(rows, found, strict=True):
                row["since"] = local(source.known.status_since)
                row["alerts"] = ", ".join(row["alerts"])
        emit(rows, columns, output, empty="no jobs are known yet")
    return Exit.OK


def _add_turns(rows: list[dict[str, Any]], socket: Any, output: str) -> None:
    """When the daemon looks at each job next, and why then. Exits with 4 where none is running."""
    from ftwatch.control import NoDaemon, Refused, ask

    try:
        turns = ask(socket, "turns")["turns"]
    except (NoDaemon, Refused) as error:
        click.echo(f"error: {plain(error)}", err=True)
        raise click.exceptions.Exit(Exit.UNREACHABLE) from None
    for row in rows:
        at, why = turns.get(row["provider"], {}).get(row["job"], (None, "it is over"))
        row["next"] = utc(at) if output == "json" else _in(at) if at is not None else None
        row["why"] = why


def _in(at: float) -> str:
    from ftwatch.core.span import span

    left = at - time.time()
    return f"in {span(left)}" if left >= 1 else "now"


@click.command()
@click.argument("job", shell_complete=job_names)
@format_option
@click.pass_obj
def show(config: str | None, job: str, output: str) -> int:
    """Everything about one JOB: an id, the beginning of one, provider/id, a name, or its URL."""
    with reading(config) as (_, store):
        row = one_job(store, job)
        key = row.known.snapshot.key
        history = store.history.events(job=key, limit=1000)
        if output == "json":
            from msgspec import to_builtins

            as_json(
                {
                    "job": row.known.snapshot,
                    "gone": row.known.gone,
                    "ack": row.known.ack,
                    "acks": store.acks.of(key),
                    "summary": _summary(row, store),
                    "metrics": row.known.metrics,
                    "series": [{"step": step, **found} for step, found in store.journals.series(key)],
                    "checkpoints": store.journals.saved(key),
                    "log": store.journals.lines(key),
                    "events": [event for _, event in history],
                    "deliveries": [
                        {**to_builtins(delivery), "tries": store.history.attempts(delivery.id)}
                        for _, event in history
                        for delivery in store.history.deliveries(event=event.id)
                    ],
                }
            )
            return Exit.OK
        _show(row, history, store)
    return Exit.OK


def _summary(row: Any, store: Any) -> Any:
    """What the job came to, as the event of its end says; None while it goes on."""
    from ftwatch.core.event import JOB

    job = row.known.snapshot
    if not job.status.is_terminal:
        return None
    ends = store.history.events(job=job.key, type=JOB + job.status, limit=1, newest=True)
    return (ends[0][1].data.summary or None) if ends else None


def _show(row: Any, history: list[Any], store: Any) -> None:
    from ftwatch.core.cause import in_words
    from ftwatch.core.event import is_mere_progress
    from ftwatch.core.message import compose
    from ftwatch.core.result import duration, figures

    job, summary = row.known.snapshot, _summary(row, store)
    facts = {
        "job": job.key,
        "name": job.name,
        "status": f"{job.status} (gone)" if row.known.gone else job.status,
        "model": job.model,
        "fine-tuned model": job.fine_tuned_model,
        "error": ": ".join(filter(None, (job.error.code, job.error.message))) if job.error else None,
        "cause": in_words(summary.cause) if summary and summary.cause else None,
        "progress": job_row(row)["progress"],
        "expected": None if job.status.is_terminal else local(job.estimated_finish),
        "created": local(job.created_at),
        "finished": local(job.finished_at),
        "duration": duration(job, summary) if job.status.is_terminal else None,
        "final" if summary else "figures": figures(summary.metrics if summary else row.known.metrics),
        "checkpoints": _saved(store.journals.saved(job.key)),
        "trained tokens": f"{job.trained_tokens:,}" if job.trained_tokens else None,
        "labels": ", ".join(f"{key}={value}" for key, value in sorted(job.labels.items())),
        "url": job.url,
        "alerts": ", ".join(row.known.alerts),
        "acknowledged": _acknowledged(row.known.ack),
    }
    for label, value in facts.items():
        if value:
            click.echo(f"{label + ':':<18}{plain(value)}")
    for line in store.journals.lines(job.key, limit=LOG_TAIL):
        click.echo(f"{'log:':<18}{local(line.at) or '?'}  {plain(line.message)}")
    for _, event in history:
        if is_mere_progress(event):
            continue
        click.echo(f"\n{local(event.created_at)}  {plain(compose(event).title)}  ({event.severity})")
        for change in event.changes:
            if change.field != "status":
                click.echo(f"    {plain(change.field)}: {plain(change.before)} → {plain(change.after)}")
        for delivery in reversed(store.history.deliveries(event=event.id)):
            click.echo(f"    → {delivery.notifier}: {_fate(delivery)}")
            tries = store.history.attempts(delivery.id)
            for one in tries if len(tries) > 1 or delivery.state != "delivered" else []:
                reason = f": {plain(one.reason)}" if one.reason else ""
                click.echo(f"        {local(one.at)}  {one.outcome} after {one.took:.1f} s{reason}")
        for notifier, reason in store.history.verdicts(event.id):
            click.echo(f"    · {notifier}: not told, {plain(reason)}")


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


def _fate(delivery: Any) -> str:
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
@click.option("-n", "--limit", default=50, show_default=True, help="How many of the past.")
@format_option
@click.pass_obj
def events(config: str | None, job: str | None, follow: bool, limit: int, output: str) -> int:
    """What happened, oldest first; of one JOB, or of all. JSON is one event a line, in its wire form."""
    with reading(config) as (_, store):
        key = one_job(store, job).known.snapshot.key if job else None
        found = store.history.events(job=key, limit=limit, newest=True)
        if not found and not follow:
            click.echo("nothing has happened yet", err=True)
        _print(found, output)
        last = found[-1][0] if found else store.history.last_seq()
        while follow:
            time.sleep(1)
            found = store.history.events(after=last, job=key, limit=1000)
            _print(found, output)
            last = found[-1][0] if found else last
    return Exit.OK


def _print(found: list[Any], output: str) -> None:
    from ftwatch.core.event import encode
    from ftwatch.core.message import compose

    for _, event in found:
        if output == "json":
            tell_wire(encode(event))
        else:
            about = event.data.provider or event.data.notifier or ""
            click.echo(f"{local(event.created_at)}  {plain(compose(event).title)}  [{plain(about)}]")


@click.command()
@click.option("--alive", is_flag=True, help="Only whether the daemon answers and none of its loops hangs.")
@format_option
@click.pass_obj
def status(config: str | None, alive: bool, output: str) -> int:
    """One screen: can I trust it? Exits with 1 where something is wrong."""
    from ftwatch.control import NoDaemon, Refused, ask

    if alive:
        return _alive(config, output)
    with reading(config) as (loaded, store):
        try:
            daemon: dict[str, Any] | None = ask(loaded.socket, "ping")
        except (NoDaemon, Refused):
            daemon = None
        providers = [_provider(name, store) for name in loaded.providers]
        notifiers = _notifiers(loaded, store)
    is_full = bool(daemon and daemon.get("full"))
    well = daemon is not None and not is_full and all(one["well"] for one in (*providers, *notifiers))
    if output == "json":
        for one in notifiers:
            del one["last"]
        if daemon:
            daemon["since"] = utc(daemon["since"])
        as_json({"well": well, "daemon": daemon, "providers": providers, "notifiers": notifiers})
        return Exit.OK if well else Exit.NO
    if daemon:
        click.echo(
            f"daemon: up since {local(daemon['since'])} (process {daemon['pid']}, {daemon['version']})"
        )
    else:
        click.echo("daemon: not running; start it with `ftwatch run`")
    if is_full:
        click.echo(f"disk: full; no job is looked at until there is room in {loaded.store.path.parent}")
    click.echo()
    table([[one["name"], one["state"], one["jobs"]] for one in providers], ["provider", "state", "jobs"])
    click.echo()
    table(
        [
            [one["name"], one["state"], one["pending"], one["dead"], one["delivered"], one["last"]]
            for one in notifiers
        ],
        ["notifier", "state", "pending", "dead", "delivered", "last delivered"],
    )
    return Exit.OK if well else Exit.NO


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


def _provider(name: str, store: Any) -> dict[str, Any]:
    state = next((one for one in store.history.providers() if one.name == name), None)
    counts = store.history.statuses(name)
    if state is None or state.baseline_at is None:
        said = "not looked at yet" if state is None or not state.degraded_at else "degraded"
    else:
        said = "healthy"
    if state is not None and state.degraded_at is not None:
        said = f"degraded for {ago(state.degraded_at).removesuffix(' ago')}: {state.reason}"
    shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return {"name": name, "state": said, "jobs": shown or "none", "counts": counts, "well": said == "healthy"}


def _notifiers(loaded: Any, store: Any) -> list[dict[str, Any]]:
    known = {health.name: health for health in store.history.notifiers()}
    rows = []
    for name in [*loaded.notifiers, *sorted(known.keys() - loaded.notifiers.keys())]:
        health = known.get(name)
        counts = health.counts if health else {}
        waiting = health.oldest_pending if health else None
        if name not in loaded.notifiers:
            if not counts.get("pending"):
                continue
            said = "orphaned: not in the config any more"
        elif health and health.disabled:
            said = f"disabled: {health.disabled}"
        elif health and health.breaker.is_open:
            said = f"out of reach for {ago(health.breaker.open_at).removesuffix(' ago')}"
        elif waiting is not None and time.time() - waiting > 60:
            said = f"behind: the oldest waits since {ago(waiting)}"
        else:
            said = "healthy"
        rows.append(
            {
                "name": name,
                "state": said,
                "pending": counts.get("pending", 0),
                "dead": counts.get("dead", 0),
                "delivered": counts.get("delivered", 0),
                "oldest_pending": utc(waiting),
                "last_delivered": utc(health.last_delivered) if health else None,
                "last": ago(health.last_delivered) if health else "never",
                "well": said == "healthy" and not counts.get("dead"),
            }
        )
    return rows
