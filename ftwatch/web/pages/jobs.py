"""The page of jobs: what is going on, what has just ended, and by which filters more of it is found."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch.core.job import JobKey, Status
from ftwatch.core.message import clean
from ftwatch.core.route import Silence
from ftwatch.core.span import DAY
from ftwatch.store import Store
from ftwatch.store.glance import Count, Cursor, Glance, Wanted
from ftwatch.store.history import Row
from ftwatch.web.pages import shown
from ftwatch.web.pages.asked import ORDER, Asked, asked
from ftwatch.web.pages.frame import Frame, page, standing
from ftwatch.web.pages.row import JobRow, loss_of, row_of

__all__ = ["Chip", "Found", "JobsView", "jobs", "view"]

# So many fit into 100 kB, whatever strangers call them.
PER_PAGE = 32
# So many points of a loss are asked for: more than its line has room for would not be seen.
TRACE = 32


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
        figure = loss_of(row.known)
        if figure is not None:
            key = row.known.snapshot.key
            traces[key] = glance.trace(key, figure, TRACE)
    return Found(
        rows=rows,
        traces=traces,
        counts=glance.counts(now - DAY),
        silences=standing(store, silences, now),
    )


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
        for status in ORDER
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
