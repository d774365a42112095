"""The page of jobs: what is going on, what has just ended, and by which filters more of it is found."""

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from markupsafe import Markup
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch.core.ack import acknowledge
from ftwatch.core.cause import Cause, cause_of, in_words
from ftwatch.core.chart import sparkline
from ftwatch.core.event import digest
from ftwatch.core.job import TERMINAL, JobKey, Snapshot, Status
from ftwatch.core.known import Known
from ftwatch.core.message import clean
from ftwatch.core.route import Silence, covers
from ftwatch.core.span import DAY, span
from ftwatch.store import Store
from ftwatch.store.glance import GONE, Count, Cursor, Glance, Wanted
from ftwatch.store.history import Row
from ftwatch.web.pages import shown
from ftwatch.web.pages.actions import ack_of, silence_of
from ftwatch.web.pages.frame import BadQuery, Frame, page
from ftwatch.web.pages.shown import Action, Moment, Pill, Progress

__all__ = ["Asked", "Chip", "JobRow", "JobsView", "asked", "jobs", "view"]

# So many fit into 100 kB, whatever strangers call them.
PER_PAGE = 32
# So many points of a loss are asked for: more than its line has room for would not be seen.
TRACE = 32
LONGEST = 200
# The order of the chips: what goes on, then what is over.
_ORDER = [*(status for status in Status if status not in TERMINAL), *sorted(TERMINAL), GONE]
_LOSSES = ("train_loss", "full_valid_loss", "valid_loss")

_decode_cursor = msgspec.json.Decoder(tuple[bool, float, str, str], strict=True).decode


class Asked(Struct, frozen=True, kw_only=True):
    """What the address asks for. `everything`: also what ended long ago; `after` is where the page begins."""

    provider: str | None = None
    status: str | None = None
    owner: str | None = None
    label: tuple[str, str] | None = None
    text: str | None = None
    everything: bool = False
    after: Cursor | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether some jobs are left out by more than their age."""
        return any((self.provider, self.status, self.owner, self.label, self.text))

    def address(self, **other: Any) -> str:
        """The address of the same question with something said otherwise, from its first page on."""
        said = msgspec.structs.replace(self, **{"after": None, **other})
        query = {
            "provider": said.provider,
            "status": said.status,
            "owner": said.owner,
            "label": "=".join(said.label) if said.label else None,
            "q": said.text,
            "show": "all" if said.everything else None,
            "after": _packed(said.after) if said.after else None,
        }
        return shown.href("/", **query)


class Found(Struct, frozen=True, kw_only=True):
    """What the store says: the rows with their places and traces of their losses, how many there are."""

    rows: Sequence[tuple[Cursor, Row]]
    traces: Mapping[JobKey, Sequence[tuple[int, float]]]
    counts: Sequence[Count]
    silences: Sequence[Silence]


class Chip(Struct, frozen=True, kw_only=True):
    """A filter: what it says, where it leads, and whether it holds now (then it leads away from it)."""

    words: str
    count: int | None
    href: str
    on: bool
    kind: str = ""


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


class JobsView(Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    summary: str
    statuses: list[Chip]
    providers: list[Chip]
    narrow: list[Chip]
    ages: list[Chip]
    text: str
    hidden: list[tuple[str, str]]
    rows: list[JobRow]
    more: str | None
    first: str | None
    empty: str
    empty_hint: str
    empty_href: str | None


async def jobs(request: Request) -> Response:
    """GET /"""
    question, house = asked(request.query_params), request.app.state.house
    now, silences = house.clock.now(), house.config.routing.silences
    return await page(
        request,
        "jobs.html",
        lambda store: _found(store, question, now, silences),
        lambda found, frame: view(question, found, frame, now),
    )


def asked(query: Mapping[str, str]) -> Asked:
    """What an address asks for. Raises BadQuery, with a sentence."""

    def said(name: str) -> str | None:
        value = query.get(name, "").strip()
        if len(value) > LONGEST:
            raise BadQuery(f"{name} is longer than {LONGEST} letters")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise BadQuery(f"{name} is no text")
        return value or None

    status = said("status")
    if status is not None and status not in _ORDER:
        raise BadQuery(f"no status is called {clean(status, 40)!r}")
    label = said("label")
    if label is not None and "=" not in label:
        raise BadQuery("a label is written KEY=VALUE")
    key, _, value = (label or "").partition("=")
    after = query.get("after")
    return Asked(
        provider=said("provider"),
        status=status,
        owner=said("owner"),
        label=(key, value) if label else None,
        text=said("q"),
        everything=query.get("show") == "all",
        after=_unpacked(after) if after else None,
    )


def _packed(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(tuple(cursor))).decode().rstrip("=")


def _unpacked(text: str) -> Cursor:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return Cursor(*_decode_cursor(base64.b64decode(padded, altchars=b"-_", validate=True)))
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        raise BadQuery("this page of the list does not exist") from None


def _found(store: Store, question: Asked, now: float, silences: Sequence[Silence]) -> Found:
    """Asks the store all that the page needs."""
    glance = Glance(store.db)
    wanted = Wanted(
        provider=question.provider,
        status=question.status,
        owner=question.owner,
        label=question.label,
        text=question.text,
        since=None if question.everything else now - DAY,
    )
    rows = glance.jobs(wanted, after=question.after, limit=PER_PAGE + 1)
    traces = {}
    for _, row in rows[:PER_PAGE]:
        figure = _loss(row.known)
        if figure is not None:
            key = row.known.snapshot.key
            traces[key] = glance.trace(key, figure, TRACE)
    return Found(
        rows=rows,
        traces=traces,
        counts=glance.counts(now - DAY),
        silences=standing(store, silences, now),
    )


def standing(store: Store, given: Sequence[Silence], now: float) -> list[Silence]:
    """The silences that mute anything now: those of the config, then those that were asked for."""
    asked_for = (kept.silence for kept in store.silences.all() if kept.stands(now))
    return [*(one for one in given if one.until is None or one.until > now), *asked_for]


def _loss(known: Known) -> str | None:
    """The name of the loss that is shown of a job, if it has one."""
    return next((name for name in _LOSSES if name in known.metrics), None)


# ---------------------------------------------------------------------------------------------- views


def view(question: Asked, found: Found, around: Frame, now: float) -> JobsView:
    """The page as it is shown."""
    rows = found.rows[:PER_PAGE]
    is_more = len(found.rows) > PER_PAGE
    finished = sum(one.count for one in found.counts if not one.active)
    empty, hint, leads = _emptiness(question, finished, around)
    return JobsView(
        title=_title(found.counts),
        summary=_summary(question, found.counts, finished),
        statuses=_status_chips(question, found.counts),
        providers=_provider_chips(question, found.counts),
        narrow=list(_narrow_chips(question)),
        ages=_age_chips(question),
        text=question.text or "",
        hidden=_hidden(question),
        rows=[
            row_of(row, found.traces.get(row.known.snapshot.key, ()), found.silences, now) for _, row in rows
        ],
        more=question.address(after=rows[-1][0]) if is_more else None,
        first=question.address() if question.after is not None else None,
        empty=empty,
        empty_hint=hint,
        empty_href=leads,
    )


def _title(counts: Iterable[Count]) -> str:
    active = [one for one in counts if one.active]
    running = sum(one.count for one in active if one.status == Status.RUNNING)
    if running:
        return f"{running:,} running"
    count = sum(one.count for one in active)
    return f"{count:,} active" if count else "Nothing is running"


def _summary(question: Asked, counts: Sequence[Count], finished: int) -> str:
    active = sum(one.count for one in counts if one.active)
    over = sum(one.recent for one in counts if not one.active)
    if question.everything:
        return f"{active:,} active, {finished:,} finished and recorded"
    return f"{active:,} active, {over:,} ended within a day" if active or over else ""


def _status_chips(question: Asked, counts: Sequence[Count]) -> list[Chip]:
    found: dict[str, int] = {}
    for one in counts:
        if question.provider in (None, one.provider):
            found[one.status] = found.get(one.status, 0) + _size(question, one)
    if question.status is not None:
        found.setdefault(question.status, 0)
    return [
        Chip(
            words=shown.pill(status).word,
            count=found[status],
            href=question.address(status=None if status == question.status else status),
            on=status == question.status,
            kind=shown.pill(status).kind,
        )
        for status in _ORDER
        if found.get(status) or status == question.status
    ]


def _size(question: Asked, one: Count) -> int:
    return one.count if question.everything else one.recent


def _provider_chips(question: Asked, counts: Sequence[Count]) -> list[Chip]:
    found: dict[str, int] = {}
    for one in counts:
        if question.status in (None, one.status):
            found[one.provider] = found.get(one.provider, 0) + _size(question, one)
    if question.provider is not None:
        found.setdefault(question.provider, 0)
    if question.provider is None and sum(count > 0 for count in found.values()) < 2:
        return []
    return [
        Chip(
            words=clean(provider, shown.WORD),
            count=count,
            href=question.address(provider=None if provider == question.provider else provider),
            on=provider == question.provider,
        )
        for provider, count in sorted(found.items())
        if count or provider == question.provider
    ]


def _narrow_chips(question: Asked) -> Iterable[Chip]:
    """What else narrows the list; each chip takes it away again."""
    if question.owner:
        words = f"owner {clean(question.owner, shown.WORD)}"
        yield Chip(words=words, count=None, href=question.address(owner=None), on=True)
    if question.label:
        words = clean("=".join(question.label), shown.WORD)
        yield Chip(words=words, count=None, href=question.address(label=None), on=True)
    if question.text:
        words = f"“{clean(question.text, shown.WORD)}”"
        yield Chip(words=words, count=None, href=question.address(text=None), on=True)


def _age_chips(question: Asked) -> list[Chip]:
    return [
        Chip(
            words="Last day",
            count=None,
            href=question.address(everything=False),
            on=not question.everything,
        ),
        Chip(
            words="Everything",
            count=None,
            href=question.address(everything=True),
            on=question.everything,
        ),
    ]


def _hidden(question: Asked) -> list[tuple[str, str]]:
    """What the search form keeps of the question."""
    kept = {
        "provider": question.provider,
        "status": question.status,
        "owner": question.owner,
        "label": "=".join(question.label) if question.label else None,
        "show": "all" if question.everything else None,
    }
    return [(name, value) for name, value in kept.items() if value]


def _emptiness(question: Asked, finished: int, around: Frame) -> tuple[str, str, str | None]:
    """What is said where nothing is to be shown: a sentence, another one, and where to go."""
    recorded = f"{finished:,} finished jobs are recorded" if finished != 1 else "1 finished job is recorded"
    if question.is_narrow or question.everything or question.after is not None:
        if question.is_narrow and not question.everything:
            return "No job of the last day is like that.", f"{recorded}.", question.address(everything=True)
        said = "No job is like that." if question.is_narrow else "No job is known yet."
        return said, "", "/" if question.is_narrow else None
    soonest = around.next_look
    when = f"the next look is {soonest}" if soonest else "nothing is looked at"
    hint = f"{recorded}, and {when}." if finished else f"No job has been seen yet, and {when}."
    return "Nothing is running.", hint, question.address(everything=True) if finished else None


def row_of(row: Row, trace: Sequence[tuple[int, float]], silences: Sequence[Silence], now: float) -> JobRow:
    """A job as its line in the list."""
    known = row.known
    job = known.snapshot
    owner, owner_query = shown.owner_of(job) or ("", "")
    name = shown.title_of(job)
    id = clean(job.id, shown.WORD)
    loss = _loss(known)
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
