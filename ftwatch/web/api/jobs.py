"""Jobs: listed, found by a word, everything about one; acknowledged, or looked at now."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from ftwatch import answers
from ftwatch.answers import Page
from ftwatch.core.job import JobKey, Status
from ftwatch.core.route import Match, check_key, parse_match
from ftwatch.core.route.match import JOB_KEYS
from ftwatch.store import Store
from ftwatch.store.listing import Place
from ftwatch.web.access import visitor_of
from ftwatch.web.api.answering import answered, done, found, house_of, paged
from ftwatch.web.api.asking import PAGE, Limit, Nothing, Seq, asked, body_of, known_job, refused, resolved

__all__ = ["ack", "discover", "find", "listed", "look", "one"]

_PLACE = re.compile(r"(\d{1,12}(?:\.\d{1,17})?)-(\d{1,18})")
# As long as a match may be.
LONGEST = 1000


class Extra(StrEnum):
    """What a listed job may have besides."""

    NEXT_LOOK = "next_look"


class Part(StrEnum):
    """A part of a job's story."""

    HISTORY = "history"
    LOG = "log"
    METRICS = "metrics"
    CHECKPOINTS = "checkpoints"
    DELIVERIES = "deliveries"


class Listed(Struct):
    """Which jobs to list."""

    provider: str | None = None
    status: tuple[Status, ...] = ()
    active: bool = False
    match: Annotated[str, Meta(max_length=LONGEST)] | None = None
    changed_since: Annotated[float, Meta(ge=0, le=1e12)] | None = None
    include: tuple[Extra, ...] = ()
    after: str | None = None
    limit: Limit = PAGE


class Meant(Struct):
    """Which job is meant."""

    job: str


class One(Struct):
    """Which parts of a job's story to tell, and where each goes on (which is asking for it, too)."""

    include: tuple[Part, ...] = ()
    limit: Limit = PAGE
    history_after: Seq | None = None
    log_after: Seq | None = None
    metrics_after: Seq | None = None
    checkpoints_after: Seq | None = None
    deliveries_after: Seq | None = None


class Ack(Struct):
    """What somebody says to what they know of."""

    comment: str = ""
    author: str = ""


async def listed(request: Request) -> Response:
    """The jobs, the last changed first."""
    query = asked(request, Listed)
    match, after = _match(query.match), _place(query.after)
    with_turns = Extra.NEXT_LOOK in query.include
    turns = await _turns(request) if with_turns else {}

    def question(store: Store) -> Page[Any]:
        stretch = store.listing.jobs(
            provider=query.provider,
            statuses=query.status,
            active=query.active,
            since=query.changed_since,
            match=match,
            after=after,
            limit=query.limit,
        )
        return answers.page(
            (
                (
                    _text(place),
                    answers.job_of(row, answers.next_look(row, turns)) if with_turns else answers.job_of(row),
                )
                for place, row in stretch.found
            ),
            _text(stretch.rest) if stretch.rest else None,
        )

    return await found(request, question, stands_alone=not with_turns)


async def find(request: Request) -> Response:
    """Every job that a JOB of the command line may mean: one, or several to choose from."""
    word = asked(request, Meant).job
    turns = await _turns(request)

    def question(store: Store) -> Page[Any]:
        rows = store.history.find(word)
        if not rows:
            resolved(store, word)
        return Page([answers.job_of(row, answers.next_look(row, turns)) for row in rows], None)

    return await found(request, question, stands_alone=False)


async def one(request: Request) -> Response:
    """Everything about one job, as far as it is asked for."""
    query, key = asked(request, One), _key(request)
    wanted = [part for part in Part if part in query.include or getattr(query, f"{part}_after") is not None]
    turns = await _turns(request)

    def question(store: Store) -> Any:
        row = known_job(store, key)
        parts = {str(part): _part(part, query, key, store) for part in wanted}
        return answers.story_of(row, store, answers.next_look(row, turns), **parts)

    return await found(request, question, stands_alone=False)


def _part(part: Part, query: One, key: JobKey, store: Store) -> Page[Any]:
    """A page of one part of a job's story."""
    listing, limit = store.listing, query.limit
    match part:
        case Part.HISTORY:
            events = listing.events(job=key, newest=True, after=query.history_after, limit=limit)
            return paged(events, lambda seq, body: answers.happening(seq, body, store))
        case Part.LOG:
            return paged(listing.log(key, after=query.log_after, limit=limit), lambda _, line: line)
        case Part.METRICS:
            return paged(listing.series(key, after=query.metrics_after, limit=limit), lambda _, point: point)
        case Part.CHECKPOINTS:
            saved = listing.checkpoints(key, after=query.checkpoints_after, limit=limit)
            return paged(saved, lambda _, checkpoint: checkpoint)
        case Part.DELIVERIES:
            owed = listing.deliveries(job=key, after=query.deliveries_after, limit=limit)
            return paged(owed, lambda _, delivery: answers.owed(*delivery, store))


async def ack(request: Request) -> Response:
    """Acknowledges what is open about a job."""
    asked(request, Nothing)
    key, body = _key(request), await body_of(request, Ack)
    await house_of(request).read(lambda store: known_job(store, key))
    given = await done(
        request,
        "ack",
        provider=key.provider,
        job=key.id,
        author=author_of(request, body.author),
        comment=body.comment,
    )
    if given["ack"] is None:
        raise refused(f"nothing is open about {key}", 409)
    return answered(given)


async def look(request: Request) -> Response:
    """Has a job looked at now."""
    asked(request, Nothing)
    await body_of(request, Nothing)
    key, house = _key(request), house_of(request)
    await house.read(lambda store: known_job(store, key))
    if key.provider not in house.config.providers:
        raise refused(f"nobody looks at the jobs of {key.provider}: it is not in the config any more", 409)
    await _poke(request, key.provider, key.id)
    return answered({}, 202)


async def discover(request: Request) -> Response:
    """Has every provider asked for new jobs now."""
    asked(request, Nothing)
    await body_of(request, Nothing)
    for name in house_of(request).config.providers:
        await _poke(request, name, None)
    return answered({}, 202)


async def _poke(request: Request, provider: str, job: str | None) -> None:
    """Asks a poller for a look. Between two configs there is none, and the next one looks anyway."""
    if provider in house_of(request).pollers:
        await done(request, "poke", provider=provider, job=job)


def author_of(request: Request, said: str) -> str:
    """Who signs: whoever a proxy vouches for is nobody else."""
    visitor = visitor_of(request)
    return visitor.name if visitor.way == "proxy" else said or visitor.name


def _key(request: Request) -> JobKey:
    return JobKey(request.path_params["provider"], request.path_params["id"])


async def _turns(request: Request) -> Mapping[str, Any]:
    """When each active job is looked at next, and why then."""
    turns: Mapping[str, Any] = (await house_of(request).operations["turns"]())["turns"]
    return turns


def _match(text: str | None) -> Match | None:
    """A match by the words of the config. Raises HTTPException."""
    if text is None:
        return None
    try:
        match = parse_match(text)
        if match.min_severity is not None:
            raise ValueError("min_severity is a threshold of events, and this asks for jobs")
        for matcher in match.matchers:
            check_key(matcher.key, JOB_KEYS)
            if matcher.is_regex:
                # One that a stranger makes up can take for ever, and nothing else would go on meanwhile.
                raise ValueError('regular expressions are not taken here: a glob does, like model="gpt-4.1*"')
    except ValueError as error:
        raise refused(f"match: {error}") from None
    return match


def _text(place: Place) -> str:
    changed_at, row = place
    return f"{changed_at!r}-{row}"


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    words = _PLACE.fullmatch(text)
    if words is None:
        raise refused("after is no place in this listing: take what `next` says")
    return float(words[1]), int(words[2])
