"""The page of deliveries: what waits, which endpoints fail, what died and may be sent once more."""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch.core.message import clean
from ftwatch.store import Store
from ftwatch.store.glance import Glance, Letter
from ftwatch.web.pages import shown
from ftwatch.web.pages.actions import drop_of, retry_all, retry_of
from ftwatch.web.pages.frame import BadQuery, Frame, page
from ftwatch.web.pages.shown import Action, Moment
from ftwatch.web.pages.story import told
from ftwatch.web.pages.trust import Receiver

__all__ = ["DeliveriesView", "Found", "LetterRow", "deliveries", "view"]

PER_PAGE, WAITING = 50, 20


class Found(Struct, frozen=True, kw_only=True):
    """What the store says: the dead letters of a page, and the first that wait."""

    dead: Sequence[Letter]
    waiting: Sequence[Letter]
    notifier: str | None


class LetterRow(Struct, frozen=True, kw_only=True):
    """A delivery in a table: what it tells, whom, what came of it."""

    id: str
    title: str
    tone: str
    href: str | None
    about: str
    notifier: str
    notifier_href: str
    because: str
    reason: str
    attempts: int
    at: Moment | None
    due: Moment | None
    tries: list[tuple[Moment | None, str]]
    actions: list[Action]


class DeliveriesView(Struct, frozen=True, kw_only=True):
    """The whole page."""

    title: str
    pending: int
    held: int
    oldest: Moment | None
    dead_count: int
    failing: list[Receiver]
    receivers: list[Receiver]
    dead: list[LetterRow]
    all_again: list[Action]
    waiting: list[LetterRow]
    waiting_more: int
    notifier: str
    more: str | None
    first: str | None


async def deliveries(request: Request) -> Response:
    """GET /deliveries"""
    notifier, before = _asked(request.query_params)
    now = request.app.state.house.clock.now()
    return await page(
        request,
        "deliveries.html",
        lambda store: _found(store, notifier, before),
        lambda found, frame: view(found, frame, now, is_first=before is None),
    )


def _asked(query: Mapping[str, str]) -> tuple[str | None, int | None]:
    """Whose dead letters, and from before which place on. Raises BadQuery."""
    notifier, before = query.get("notifier", "").strip(), query.get("before", "")
    if before and not (before.isascii() and before.isdecimal() and len(before) < 19):
        raise BadQuery("this page of the list does not exist")
    return notifier[:200] or None, int(before) if before else None


def _found(store: Store, notifier: str | None, before: int | None) -> Found:
    glance = Glance(store.db)
    return Found(
        dead=glance.dead(notifier=notifier, before=before, limit=PER_PAGE + 1),
        waiting=glance.waiting(WAITING),
        notifier=notifier,
    )


def view(found: Found, around: Frame, now: float, *, is_first: bool) -> DeliveriesView:
    """The page as it is shown."""
    trust = around.trust
    dead = found.dead[:PER_PAGE]
    is_more = len(found.dead) > PER_PAGE
    letters = "1 dead letter" if trust.dead == 1 else f"{trust.dead:,} dead letters"
    return DeliveriesView(
        title=letters if trust.dead else f"{trust.pending:,} waiting" if trust.pending else "Deliveries",
        pending=trust.pending,
        held=trust.held,
        oldest=trust.oldest,
        dead_count=trust.dead,
        failing=[one for one in trust.receivers if one.sort in ("bad", "warn")],
        receivers=list(trust.receivers),
        all_again=[
            retry_all(lane.name, lane.dead)
            for lane in around.trust.receivers
            if lane.dead > 1 and lane.listed and found.notifier in (None, lane.name)
        ],
        dead=[_row(letter, now, [retry_of(letter.delivery), drop_of(letter.delivery)]) for letter in dead],
        waiting=[_row(letter, now, []) for letter in found.waiting],
        waiting_more=max(0, trust.pending + trust.held - len(found.waiting)),
        notifier=clean(found.notifier or "", shown.WORD),
        more=shown.href("/deliveries", notifier=found.notifier, before=str(dead[-1].seq))
        if is_more
        else None,
        first=None if is_first else shown.href("/deliveries", notifier=found.notifier),
    )


def _row(letter: Letter, now: float, actions: list[Action]) -> LetterRow:
    delivery, event = letter.delivery, letter.event
    job = event.job if event else None
    reason = clean(delivery.reason, 300)
    if not reason and delivery.state == "pending":
        reason = "on its way" if not delivery.attempts else f"{delivery.attempts} tries"
    title, tone = shown.headline(event, named=True) if event else ("an event that is no longer kept", "off")
    return LetterRow(
        id=delivery.id,
        title=title,
        tone=tone,
        href=shown.path_of(job.key) if job else None,
        about=clean(str(job.key) if job else event.data.id if event else delivery.event_id, 120),
        notifier=clean(delivery.notifier, shown.WORD),
        notifier_href=shown.href("/deliveries", notifier=delivery.notifier),
        because=clean(letter.why, 120),
        reason=reason,
        attempts=delivery.attempts,
        at=shown.ago(delivery.settled_at or delivery.created_at, now),
        due=shown.soon(delivery.due_at, now),
        tries=told(letter, now).tries,
        actions=actions,
    )
