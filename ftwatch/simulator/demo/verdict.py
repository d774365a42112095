"""Was anything lost? What truly happened at the providers, beside what the receivers got. Pure."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from ftwatch.core import event as events
from ftwatch.core.cause import Cause
from ftwatch.core.event import Event
from ftwatch.core.job import Status
from ftwatch.simulator.demo.told import About
from ftwatch.simulator.dialect import Dialect
from ftwatch.simulator.script import Job

__all__ = ["Life", "life", "lost", "vocabulary"]

# What people are told of without asking for more.
LOUD = frozenset({"running", "paused", "succeeded", "failed", "cancelled"})


@dataclass(frozen=True)
class Life:
    """What truly happened to one job: its statuses in ftwatch's words, the steps of its checkpoints.

    `tells` is what of it stands in its job log, as in `Dialect.log_tells`.
    """

    about: About
    name: str
    statuses: tuple[str, ...]
    saved: frozenset[int]
    error: str | None
    tells: frozenset[str]


def life(dialect: Dialect, job: Job, now: float) -> Life:
    """What truly happened to a job by `now`, as far as its service has words for it."""
    seen = (dialect.shows.get(one.status, one.status) for one in job.transitions(now))
    error = job.state(now).error
    return Life(
        about=(dialect.kind, job.id),
        name=job.script.name,
        statuses=tuple(status for status, _ in groupby(seen)),
        saved=frozenset(entry.step for entry in job.saved(now) if entry.step is not None),
        error=error["message"] if error else None,
        tells=dialect.log_tells,
    )


def lost(
    lives: Iterable[Life],
    about_providers: Mapping[str, int],
    webhooks: Iterable[Event],
    people: Mapping[str, Counter[About]],
) -> list[str]:
    """What happened and was not told, or not as it happened: a sentence for each.

    Webhooks must tell all of it, and in order; of `people` (channels, with how often each spoke of what) each
    must have told what is worth a message. `about_providers` says how often that is of a provider itself.
    """
    told: dict[About, dict[str, Event]] = defaultdict(dict)
    for event in webhooks:
        told[event.data.provider or "", event.data.id][event.id] = event
    missing, expected = [], {(name, ""): count for name, count in about_providers.items()}
    for one in lives:
        mine = sorted(told[one.about].values(), key=lambda event: event.data.sequence or 0)
        missing += [f"webhook: {one.name} {what}" for what in _untold(one, mine)]
        expected[one.about] = 1 + sum(status in LOUD for status in one.statuses[1:])
    names = {one.about: one.name for one in lives}
    for channel, spoke in people.items():
        missing += [
            f"{channel}: {spoke[about]} messages of {count} about {names.get(about, about[0])}"
            for about, count in expected.items()
            if spoke[about] < count
        ]
    return missing


def _untold(life: Life, told: Sequence[Event]) -> Iterator[str]:
    """What the webhooks about one job do not tell as it was."""
    said = tuple(str(one.status) for one in told if one.type.startswith(events.JOB) and one.status)
    if said != life.statuses:
        yield f"was {', '.join(life.statuses)}; told was {', '.join(said) or 'nothing'}"
    # What was so before anybody saw the job is no news.
    was_met_late = any(one.type == events.CREATED and one.data.skipped for one in told)
    saved = {one.data.checkpoint.step for one in told if one.data.checkpoint}
    if "checkpoints" in life.tells and not was_met_late and saved != life.saved:
        yield f"had checkpoints at {sorted(life.saved)}; told was {sorted(map(str, saved))}"
    for event in told:
        job, summary = event.job, event.data.summary or None
        if event.status is Status.SUCCEEDED and job is not None:
            if not (job.fine_tuned_model and job.trained_tokens):
                yield "succeeded, and its model or its tokens were not told"
            if "figures" in life.tells and not (summary and "train_loss" in summary.metrics):
                yield "succeeded, and its losses were not told"
        if event.status is Status.FAILED and job is not None:
            if (job.error.message if job.error else None) != life.error:
                yield "failed, and its error was not told"
            if not summary or summary.cause in (None, Cause.UNKNOWN):
                yield "failed, and its cause was not told"


def vocabulary(told: Iterable[Event], providers: Collection[str]) -> list[tuple[str, ...]]:
    """A row for each status that was told: ours, and the word that each provider has for it."""
    words: dict[tuple[Status, str], str] = {}
    for event in told:
        job, provider = event.job, event.data.provider
        if job and event.status is job.status and provider and job.raw_status:
            words.setdefault((job.status, provider), job.raw_status)
    used = [status for status in Status if any(status is one for one, _ in words)]
    return [(status, *(words.get((status, name), "") for name in providers)) for status in used]
