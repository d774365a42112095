"""why: who was told of an event by which route, who was not and for what reason, and every try."""

from typing import Any

import click

from ftwatch.cli import Exit
from ftwatch.cli.jobs import one_job, reading
from ftwatch.cli.output import as_json, format_option, local, plain, utc

# Of a job, so many of its last events are explained.
LAST = 5


@click.command()
@click.argument("what", metavar="EVENT|DELIVERY|JOB")
@format_option
@click.pass_obj
def why(config: str | None, what: str, output: str) -> int:
    """Why was somebody told, or not? Of an event (evt_…), a delivery (msg_…), or a JOB's last events."""
    with reading(config) as (_, store):
        found = [_explained(store, event) for event in _events(store, what)]
    if not found:
        click.echo(f"error: nothing is called {what!r}", err=True)
        return Exit.NOTHING
    if output == "json":
        as_json(found)
        return Exit.OK
    for number, story in enumerate(found):
        if number:
            click.echo()
        _tell(story)
    return Exit.OK


def _events(store: Any, what: str) -> list[Any]:
    if what.startswith("evt_"):
        event = store.history.event(what)
        return [event] if event else []
    if what.startswith("msg_"):
        owed = store.history.deliveries(id=what, limit=2)
        if len(owed) > 1:
            raise click.UsageError(f"{plain(what)!r} is the beginning of several ids; write more of it")
        return [event for one in owed if (event := store.history.event(one.event_id)) is not None]
    key = one_job(store, what).known.snapshot.key
    return [event for _, event in store.history.events(job=key, limit=LAST, newest=True)]


def _explained(store: Any, event: Any) -> dict[str, Any]:
    """All that the store knows about the fate of an event."""
    reasons = store.history.reasons(event.id)
    return {
        "event": event.id,
        "type": event.type,
        "severity": event.severity,
        "about": event.lane if event.job else event.data.id,
        "at": event.created_at,
        "told": [
            {
                "notifier": delivery.notifier,
                "because": reasons.get(delivery.notifier, ""),
                "delivery": delivery.id,
                "state": delivery.state,
                "reason": delivery.reason,
                "next_try": utc(delivery.due_at) if delivery.state == "pending" else None,
                "due_at": delivery.due_at,
                "tries": store.history.attempts(delivery.id),
            }
            for delivery in reversed(store.history.deliveries(event=event.id))
        ],
        "not_told": [
            {"notifier": notifier, "because": reason} for notifier, reason in store.history.verdicts(event.id)
        ],
    }


def _tell(story: dict[str, Any]) -> None:
    click.echo(
        f"{plain(story['type'])} of {plain(story['about'])}, {story['severity']}, {local(story['at'])}"
    )
    click.echo(f"  {story['event']}")
    for told in story["told"]:
        click.echo(f"  {told['notifier']}: by {plain(told['because'])}; {told['state']} ({told['delivery']})")
        for one in told["tries"]:
            click.echo(f"    {local(one.at)}  {one.outcome} in {one.took:.2f} s  {plain(one.reason)}")
        if told["next_try"]:
            click.echo(f"    the next try: {local(told['due_at'])}")
    for spared in story["not_told"]:
        click.echo(f"  {spared['notifier']}: not told: {plain(spared['because'])}")
    if not story["told"] and not story["not_told"]:
        click.echo("  there was no notifier when it happened")
