"""A job as a line of the list. Pure; what a line may do is `actions`' affair."""

from collections.abc import Sequence
from urllib.parse import urlencode

from markupsafe import Markup
from msgspec import Struct

from ftwatch.core.ack import acknowledge
from ftwatch.core.cause import Cause, cause_of, in_words
from ftwatch.core.chart import sparkline
from ftwatch.core.event import digest
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.message import clean
from ftwatch.core.route import Silence, covers
from ftwatch.core.span import span
from ftwatch.store.history import Row
from ftwatch.web.pages import shown
from ftwatch.web.pages.actions import ack_of, silence_of
from ftwatch.web.pages.shown import Action, Moment, Pill, Progress

__all__ = ["JobRow", "loss_of", "needs_word", "row_of"]

_LOSSES = ("train_loss", "full_valid_loss", "valid_loss")


class JobRow(Struct, frozen=True, kw_only=True):
    """A job in the list."""

    key: str
    href: str
    name: str
    id: str
    pill: Pill
    since: Moment | None
    ended: Moment | None
    alerts: list[str]
    ack: str
    silenced: str
    progress: Progress | None
    outcome: str
    outcome_kind: str
    spark: Markup
    loss: str
    model: str
    base: str
    models: str
    provider: str
    provider_href: str
    owner: str
    owner_href: str
    open: str | None
    actions: list[Action]


def loss_of(known: Known) -> str | None:
    """The name of the loss that is shown of a job, if it has one."""
    return next((name for name in _LOSSES if name in known.metrics), None)


def row_of(row: Row, trace: Sequence[tuple[int, float]], silences: Sequence[Silence], now: float) -> JobRow:
    """A job as its line in the list."""
    known = row.known
    job = known.snapshot
    owner, owner_query = shown.owner_of(job) or ("", "")
    name = shown.title_of(job)
    id = clean(job.id, shown.WORD)
    loss = loss_of(known)
    outcome, kind = _outcome(known)
    is_over = job.status.is_terminal or known.gone
    return JobRow(
        key=f"j{digest(*job.key)[:12]}",
        href=shown.path_of(job.key),
        name=name,
        id="" if id == name else id,
        pill=shown.pill(job.status, gone=known.gone),
        since=None if is_over else shown.lasting(known.status_since, now),
        ended=shown.ago(job.finished_at or known.status_since, now) if is_over else None,
        alerts=shown.alerts(known),
        ack=clean(known.ack.author, 40) if known.ack else "",
        silenced=_silenced(known, silences),
        progress=None if known.gone else shown.progress_of(job, now),
        outcome=outcome,
        outcome_kind=kind,
        spark=Markup(sparkline(trace)),
        loss=f"{known.metrics[loss]:.4g}" if loss else "",
        model=_made(job),
        base=_short(job.model or "") if job.fine_tuned_model else "",
        models=_models(job),
        provider=clean(job.provider, shown.WORD),
        provider_href=f"/?{urlencode({'provider': job.provider})}",
        owner=owner,
        owner_href=f"/?{owner_query}&show=all" if owner_query else "",
        open=shown.link_of(job),
        actions=[silence_of(job), *([ack_of(job)] if needs_word(known) else [])],
    )


def _made(job: Snapshot) -> str:
    """The model that a job made, else the one it works on; without the base's name, which stands below it."""
    made = job.fine_tuned_model
    return _short(made.removeprefix(f"ft:{job.model}:") if made else job.model or "")


def _short(model: str) -> str:
    """A model's own name, without the folders that it lies in."""
    return clean(model.rstrip("/").rpartition("/")[2] or model, shown.WORD)


def _models(job: Snapshot) -> str:
    """Both of a job's models in full, where they are not shown so."""
    names = [name for name in (job.fine_tuned_model, job.model) if name]
    if len(names) == 1 and _short(names[0]) == names[0]:
        return ""
    return clean(" from ".join(names), 120)


def _silenced(known: Known, silences: Sequence[Silence]) -> str:
    """Why nobody hears of a job, if nobody does."""
    held = next((one for one in silences if covers(one.match, known.snapshot)), None)
    return clean(held.title, shown.WORD) if held else ""


def needs_word(known: Known) -> bool:
    """Whether something is open about a job that nobody has said yet to know of."""
    return known.ack is None and acknowledge(known, "somebody", "", 0.0) is not None


def _outcome(known: Known) -> tuple[str, str]:
    """What came of a job that has ended, in a few words, and how that feels."""
    job = known.snapshot
    if known.gone:
        return "the provider no longer knows it", "odd"
    if job.status is Status.FAILED:
        cause = cause_of(job)
        return (in_words(cause) if cause and cause != Cause.UNKNOWN else "no reason given"), "bad"
    began = job.started_at or job.created_at
    if not job.status.is_terminal or began is None or job.finished_at is None or job.finished_at <= began:
        return "", ""
    return f"{'took' if job.status is Status.SUCCEEDED else 'after'} {span(job.finished_at - began)}", ""
