"""Silences: listed, asked for, taken away."""

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field
from starlette.requests import Request
from starlette.responses import Response

from ftwatch import control
from ftwatch.core.route import literal
from ftwatch.core.silence import make_silence, read_matchers
from ftwatch.plugins import Duration
from ftwatch.web.api.answering import answered, conditional, done, house_of
from ftwatch.web.api.asking import Nothing, asked, body_of, refused, resolved
from ftwatch.web.api.jobs import author_of

__all__ = ["expire", "listed_or_added", "preview"]

# Later than this no calendar knows (Unix seconds).
LATEST = 253_402_300_799


class Listed(Struct):
    """Which silences to list."""

    expired: bool = False


class Silence(Struct):
    """What should be silent, and until when.

    `matchers` are in Alertmanager's words; a `job` (a JOB of the command line) is one more. It ends `for` so
    long from now, or `until` then (Unix seconds), or with the job (`until_end`).
    """

    matchers: list[str] = field(default_factory=list)
    job: str = ""
    until: float | None = None
    span: str | UnsetType = field(default=UNSET, name="for")
    until_end: bool = False
    comment: str = ""
    author: str = ""


async def listed_or_added(request: Request) -> Response:
    """The silences, or one more of them."""
    return await (_add if request.method == "POST" else _listed)(request)


async def _listed(request: Request) -> Response:
    """The silences that stand: those of the config, then those that were asked for."""
    query = asked(request, Listed)
    answer = await house_of(request).operations["silence.list"](expired=query.expired)
    return conditional(request, {"data": answer["silences"], "next": None})


async def _add(request: Request) -> Response:
    """Silences what all matchers are true of."""
    asked(request, Nothing)
    body, house = await body_of(request, Silence), house_of(request)
    now = house.clock.now()
    until = _until(body, now)
    words = await _words(request, body)
    wanted: dict[str, Any] = {
        "until": until,
        "until_end": body.until_end,
        "comment": body.comment,
        "author": author_of(request, body.author),
    }
    try:
        make_silence(words, providers=house.config.providers, now=now, **wanted)
    except ValueError as error:
        raise refused(str(error)) from None
    made = await done(request, "silence.add", matchers=words, **wanted)
    return answered(made["silence"], 201)


def _until(body: Silence, now: float) -> float | None:
    """When it ends (Unix seconds), where it says so."""
    until = body.until
    if body.span is not UNSET:
        if until is not None:
            raise refused("for and until say the same thing twice")
        try:
            until = now + Duration.parse(body.span).total_seconds()
        except ValueError as error:
            raise refused(f"for: {error}") from None
    if until is not None and until > LATEST:
        raise refused("until is later than any calendar knows")
    return until


async def _words(request: Request, body: Silence) -> list[str]:
    """The matchers of a silence; its job is one more."""
    if not body.job:
        return list(body.matchers)
    job = await house_of(request).read(lambda store: resolved(store, body.job).known.snapshot.key)
    return [str(literal("provider", job.provider)), str(literal("id", job.id)), *body.matchers]


async def preview(request: Request) -> Response:
    """What such a silence would have muted in the last seven days; nothing is silenced by it."""
    asked(request, Nothing)
    body, house = await body_of(request, Silence), house_of(request)
    _until(body, house.clock.now())
    words = await _words(request, body)
    try:
        read_matchers(words, house.config.providers)
        found = await house.operations["silence.preview"](matchers=words, until_end=body.until_end)
    except (ValueError, control.Refused) as error:
        raise refused(str(error)) from None
    return answered(found["muted"])


async def expire(request: Request) -> Response:
    """Takes a silence away."""
    asked(request, Nothing)
    id = request.path_params["id"]
    standing = (await house_of(request).operations["silence.list"]())["silences"]
    if all(one["id"] != id for one in standing):
        raise refused(f"no silence that stands has the id {id!r}", 404)
    return answered(await done(request, "silence.expire", ids=[id]))
