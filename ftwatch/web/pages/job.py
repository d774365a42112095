"""The page of one job: what became of it, how it went, and who was told of what, when and why."""

from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ftwatch.core.cause import in_words
from ftwatch.core.chart import Mark, chart, panels, step_at
from ftwatch.core.event import ALERT, JOB, Event, Summary
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Line
from ftwatch.core.message import clean
from ftwatch.core.result import duration, figures
from ftwatch.core.route import Silence, covers
from ftwatch.core.span import span
from ftwatch.store import Store
from ftwatch.store.glance import Fate, Glance, Point
from ftwatch.store.history import Row
from ftwatch.web.house import House
from ftwatch.web.pages import shown
from ftwatch.web.pages.actions import ack_of, silence_of
from ftwatch.web.pages.frame import page, standing
from ftwatch.web.pages.row import needs_word
from ftwatch.web.pages.shown import Action, Moment, Pill, Progress
from ftwatch.web.pages.story import Happening, happening

__all__ = ["Found", "JobView", "job", "view"]

# So much of each is shown; the commands show the rest.
EVENTS, LINES, SAVED, LETTERS = 40, 80, 30, 12_000
# A state that was noticed within so many seconds was noticed at once.
AT_ONCE = 5


class Found(Struct, frozen=True, kw_only=True):
    """What the store says of a job. Events and lines have the newest last."""

    row: Row
    story: Sequence[Event]
    is_cut: bool
    fates: Mapping[str, Fate]
    series: Sequence[Point]
    saved: Sequence[Checkpoint]
    lines: Sequence[Line]
    silences: Sequence[Silence]
    next_look: tuple[float, str] | None


class Stage(Struct, frozen=True, kw_only=True):
    """A state that the job was in: since when, noticed when, for how long, and whether it was only proven."""

    pill: Pill
    at: Moment | None
    noticed: str
    lasted: str
    proven: bool
    share: float


class Picture(Struct, frozen=True):
    """Figures as a picture for a narrow place, and (Markup of nothing: none) as one for a wide one."""

    wide: Markup
    narrow: Markup


class JobView(Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    name: str
    id: str
    provider: str
    provider_href: str
    pill: Pill
    since: Moment | None
    lead: str
    progress: Progress | None
    result: str
    result_facts: str
    failure: str
    quote: str
    code: str
    alerts: list[tuple[str, str]]
    ack: str
    silenced: str
    facts: list[tuple[str, str, str | None]]
    times: list[tuple[str, Moment]]
    labels: list[tuple[str, str]]
    stages: list[Stage]
    ribbon: Markup
    pictures: list[Picture]
    legend: list[tuple[str, str]]
    happenings: list[Happening]
    is_cut: bool
    lines: list[tuple[Moment | None, str, str]]
    saved: list[tuple[str, str, str, Moment | None]]
    document: str
    document_href: str
    is_clipped: bool
    open: str | None
    actions: list[Action]
    next_look: str


async def job(request: Request) -> Response:
    """GET /jobs/{provider}/{id}"""
    key = JobKey(request.path_params["provider"], request.path_params["id"])
    house: House = request.app.state.house
    now, silences = house.clock.now(), house.config.routing.silences
    turn = _turn(house, key, now)
    return await page(
        request,
        "job.html",
        lambda store: _found(store, key, now, silences, turn),
        lambda found, frame: view(found, now),
    )


def _turn(house: House, key: JobKey, now: float) -> tuple[float, str] | None:
    """When (Unix seconds) the job is looked at next, and why then."""
    poller = house.pollers.get(key.provider)
    turn = poller.turns().get(key.id) if poller is not None else None
    return (now + turn.at - house.clock.ticks(), turn.why) if turn is not None else None


def _found(
    store: Store, key: JobKey, now: float, silences: Sequence[Silence], turn: tuple[float, str] | None
) -> Found:
    """Asks the store all that the page needs. Raises HTTPException where there is no such job."""
    glance = Glance(store.db)
    row = glance.job(key)
    if row is None:
        raise HTTPException(404, f"no job is called {clean(key, 120)}")
    story = glance.story(key, EVENTS + 1)
    return Found(
        row=row,
        story=story[:EVENTS][::-1],
        is_cut=len(story) > EVENTS,
        fates=glance.fates(story[:EVENTS]),
        series=glance.series(key),
        saved=store.journals.saved(key),
        lines=store.journals.lines(key, limit=LINES),
        silences=standing(store, silences, now),
        next_look=turn,
    )


# ---------------------------------------------------------------------------------------------- views


def view(found: Found, now: float) -> JobView:
    """The page as it is shown."""
    known = found.row.known
    job, summary = known.snapshot, _summary(found)
    name, is_over = shown.title_of(job), job.status.is_terminal or known.gone
    stages, marks = _stages(found, now), list(_marks(found))
    pill = shown.pill(job.status, gone=known.gone)
    progress = None if known.gone else shown.progress_of(job, now)
    silence = next((one for one in found.silences if covers(one.match, job)), None)
    document = shown.as_json(job)
    percent = f" {progress.value} %" if progress and progress.value is not None else ""
    return JobView(
        title=f"{pill.word}{percent} · {name}",
        name=name,
        id=clean(job.id, 200),
        provider=clean(job.provider, shown.WORD),
        provider_href=shown.href("/", provider=job.provider),
        pill=pill,
        since=shown.ago(job.finished_at or known.status_since, now)
        if is_over
        else shown.lasting(known.status_since, now),
        lead=_lead(job, summary, gone=known.gone),
        progress=progress,
        result=clean(job.fine_tuned_model or "", 300),
        result_facts=figures(summary.metrics) if summary else "",
        failure=_failure(job, summary),
        quote=clean(job.error.message, 1000) if job.error and job.error.message else "",
        code=clean(" ".join(filter(None, (job.error.code, job.error.param))), 200) if job.error else "",
        alerts=list(_alerts(found)),
        ack=f"{clean(known.ack.author, 60)}{_comment(known.ack.comment)}" if known.ack else "",
        silenced=clean(silence.title, 120) if silence else "",
        facts=list(_facts(job)),
        times=list(_times(job, now)),
        labels=_labels(job),
        stages=stages,
        ribbon=_ribbon(stages),
        pictures=_pictures(found, marks),
        legend=[(kind, words) for kind, words in _LEGEND if any(mark.kind == kind for mark in marks)],
        happenings=[happening(event, found.fates.get(event.id, Fate()), now) for event in found.story[::-1]],
        is_cut=found.is_cut,
        lines=[(shown.at(line.at, now), clean(line.message, 600), line.level) for line in found.lines[::-1]],
        saved=[_saved(one, now) for one in found.saved[: -SAVED - 1 : -1]],
        document=document[:LETTERS],
        document_href=f"/api/v1/jobs/{shown.in_path(job.key)}",
        is_clipped=len(document) > LETTERS,
        open=shown.link_of(job),
        actions=[silence_of(job), *([ack_of(job)] if needs_word(known) else [])],
        next_look=_next(found.next_look, now),
    )


def _comment(text: str) -> str:
    return f": {clean(text, 200)}" if text else ""


def _summary(found: Found) -> Summary | None:
    """What the job came to, as the event of its end says."""
    job = found.row.known.snapshot
    ends = (event for event in reversed(found.story) if event.type == JOB + job.status)
    last = next(ends, None) if job.status.is_terminal else None
    return (last.data.summary or None) if last else None


def _lead(job: Snapshot, summary: Summary | None, *, gone: bool) -> str:
    """The sentence beside the state."""
    if gone:
        return "the provider no longer knows it"
    if job.status.is_terminal:
        lasted = duration(job, summary)
        return f"took {lasted}" if lasted else ""
    word = clean(job.raw_status or "", 60)
    if job.status is Status.UNKNOWN:
        return f"the provider says “{word}”"
    return clean(job.phase or "", 80)


def _failure(job: Snapshot, summary: Summary | None) -> str:
    """Why it ended badly, in plain words."""
    if job.status is not Status.FAILED and not (job.status is Status.CANCELLED and job.error):
        return ""
    cause = summary.cause if summary else None
    return in_words(cause) if cause and cause != "unknown" else "no reason that is known"


def _alerts(found: Found) -> Iterable[tuple[str, str]]:
    """The rules that fire, each with the sentence that it was told by."""
    for rule in found.row.known.alerts:
        last = next((one for one in reversed(found.story) if one.type == ALERT + rule), None)
        yield clean(rule, shown.WORD), clean(last.note or "", 200) if last else ""


def _facts(job: Snapshot) -> Iterable[tuple[str, str, str | None]]:
    """What is known of the job: a label, a value, and where the value leads."""
    if job.model:
        yield "Base model" if job.fine_tuned_model else "Model", clean(job.model, 200), None
    if job.method:
        yield "Method", clean(job.method.type, 60), None
    if owner := shown.owner_of(job):
        yield "Owner", owner[0], f"/?{owner[1]}&show=all"
    if job.trained_tokens:
        yield "Trained tokens", f"{job.trained_tokens:,}", None
    if job.hyperparameters:
        said = ", ".join(f"{key} {value}" for key, value in job.hyperparameters.items() if value is not None)
        yield "Hyperparameters", clean(said, 300), None
    for label, value in (("Training file", job.training_file), ("Validation file", job.validation_file)):
        if value:
            yield label, clean(value, 120), None
    if job.raw_status and job.raw_status != job.status:
        yield "Provider's word", clean(job.raw_status, 60), None


def _times(job: Snapshot, now: float) -> Iterable[tuple[str, Moment]]:
    for label, when in (
        ("Created", job.created_at),
        ("Started", job.started_at),
        ("Finished", job.finished_at),
    ):
        if moment := shown.at(when, now):
            yield label, moment


def _labels(job: Snapshot) -> list[tuple[str, str]]:
    """Labels, and the list of whoever has the same."""
    return [
        (clean(f"{key}={value}", 100), shown.href("/", label=f"{key}={value}", show="all"))
        for key, value in sorted(job.labels.items())[:20]
    ]


def _next(turn: tuple[float, str] | None, now: float) -> str:
    if turn is None:
        return ""
    left = turn[0] - now
    return f"{'due now' if left < 1 else f'in {span(left)}'} ({clean(turn[1], 120)})"


# ------------------------------------------------------------------------------------- states over time


def _stages(found: Found, now: float) -> list[Stage]:
    """The states that the job went through, in their order; those that the job still is in has no end."""
    steps = [event for event in found.story if event.status is not None]
    ends = [*(float(event.data.occurred_at) for event in steps[1:]), now]
    job = found.row.known
    is_over = job.snapshot.status.is_terminal or job.gone
    spans = [max(0.0, end - event.data.occurred_at) for event, end in zip(steps, ends, strict=False)]
    if steps and is_over:
        spans[-1] = 0.0
    whole = sum(spans) or 1.0
    return [
        Stage(
            pill=shown.pill(event.status),
            at=shown.at(event.data.occurred_at, now),
            noticed=_noticed(event),
            lasted=span(lasted) if lasted >= 1 else "",
            proven=event.data.skipped is True,
            share=lasted / whole,
        )
        for event, lasted in zip(steps, spans, strict=True)
    ]


def _ribbon(stages: Sequence[Stage]) -> Markup:
    """How the time was shared among the states, as a line of their colours; nothing where it was all one."""
    if sum(stage.share > 0 for stage in stages) < 2:
        return Markup()
    at, parts = 0.0, []
    for stage in stages:
        parts.append(
            Markup('<rect class="is-{}" x="{:.2f}" width="{:.2f}" height="10"/>').format(
                stage.pill.kind, 100 * at, max(100 * stage.share, 0.8)
            )
        )
        at += stage.share
    return Markup(
        '<svg class="ribbon" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(Markup().join(parts))


def _noticed(event: Event) -> str:
    """How long after it was so somebody looked."""
    late = event.data.observed_at - event.data.occurred_at
    return f"noticed {span(late)} later" if late >= AT_ONCE else "noticed at once"


# -------------------------------------------------------------------------------------------- figures


_LEGEND = (("checkpoint", "checkpoint"), ("alert", "alert"), ("state", "change of state"))


def _pictures(found: Found, marks: Sequence[Mark]) -> list[Picture]:
    """A picture for every sort of figure; the first is large, and in it stands what happened meanwhile."""
    made = []
    for place, panel in enumerate(panels((point.step, point.metrics) for point in found.series)):
        of = marks if place == 0 else ()
        wide = chart(panel.curves, of, title=panel.title, id="wide") if place == 0 else ""
        narrow = chart(panel.curves, of, title=panel.title, id=f"chart{place}", width=400, height=240)
        made.append(Picture(Markup(wide), Markup(narrow)))
    return made


def _marks(found: Found) -> Iterable[Mark]:
    """Checkpoints at their steps; alerts and states at the step that the run had reached by then."""
    for one in found.saved:
        if one.step is not None:
            yield Mark("checkpoint", float(one.step), f"Checkpoint at step {one.step:,}")
    timed = [(float(point.at), float(point.step)) for point in found.series if point.at is not None]
    for event in found.story:
        step = step_at(event.data.occurred_at, timed)
        if step is None:
            continue
        if event.type.startswith(ALERT) and not event.type.endswith(".resolved"):
            yield Mark("alert", step, f"Alert: {event.type.removeprefix(ALERT)}: {event.note or ''}")
        elif event.status in (Status.PAUSED, Status.RUNNING) and step > timed[0][1]:
            yield Mark("state", step, f"{shown.pill(event.status).word}")


def _saved(one: Checkpoint, now: float) -> tuple[str, str, str, Moment | None]:
    step = f"{one.step:,}" if one.step is not None else ""
    return step, clean(one.model or one.id or "", 200), figures(one.metrics), shown.at(one.at, now)
