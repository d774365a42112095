"""why: who was told of an event by which route, who was not and for what reason, and every try."""

from collections.abc import Sequence
from typing import Any

import click

from ftwatch.answers import Happening
from ftwatch.cli import Exit
from ftwatch.cli.facts import Facts, Several, asking, one_job
from ftwatch.cli.output import as_json, format_option, local, plain, utc

# Of a job, so many of its last events are explained.
LAST = 5


@click.command()
@click.argument("what", metavar="EVENT|DELIVERY|JOB")
@format_option
@click.pass_obj
def why(config: str | None, what: str, output: str) -> int:
    """Why was somebody told, or not? Of an event (evt_…), a delivery (msg_…), or a JOB's last events."""
    with asking(config) as facts:
        found = [_explained(one) for one in _happenings(facts, what)]
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


def _happenings(facts: Facts, what: str) -> Sequence[Happening]:
    if what.startswith("evt_"):
        ids = [what]
    elif what.startswith("msg_"):
        try:
            owed = facts.delivery(what)
        except Several:
            sentence = f"{plain(what)!r} is the beginning of several ids; write more of it"
            raise click.UsageError(sentence) from None
        ids = [owed.event_id] if owed else []
    else:
        return facts.happenings(one_job(facts, what).key, LAST)
    return [one for one in map(facts.happening, ids) if one is not None]


def _explained(one: Happening) -> dict[str, Any]:
    """All that is known about the fate of an event."""
    event = one.fact
    return {
        "event": event.id,
        "type": event.type,
        "severity": event.severity,
        "about": event.lane if event.job else event.data.id,
        "at": event.created_at,
        "told": [
            {
                "notifier": owed.notifier,
                "because": owed.because,
                "delivery": owed.id,
                "state": owed.state,
                "reason": owed.reason,
                "next_try": utc(owed.due_at) if owed.state == "pending" else None,
                "due_at": owed.due_at,
                "tries": owed.tries,
            }
            for owed in one.told
        ],
        "not_told": one.not_told,
        "reminders": [
            {
                "notifier": each.notifier,
                "told": each.count,
                "next": utc(each.due_at),
                "due_at": each.due_at,
                "reason": each.reason,
            }
            for each in one.reminders
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
        click.echo(f"  {spared.notifier}: not told: {plain(spared.because)}")
    for one in story["reminders"]:
        times = "once" if one["told"] == 1 else f"{one['told']} times"
        said = f"reminded {times}" if one["told"] else "to be reminded"
        due = f"next at {local(one['due_at'])}" if one["due_at"] is not None else "no more"
        why = f" ({plain(one['reason'])})" if one["reason"] else ""
        click.echo(f"  {one['notifier']}: {said}, {due}{why}")
    if not story["told"] and not story["not_told"]:
        click.echo("  there was no notifier when it happened")
