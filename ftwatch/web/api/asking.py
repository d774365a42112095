"""What somebody asks for, read strictly: parameters and bodies. Every refusal says what, where, what to do.

A parameter that nobody knows is refused: it would be a filter that does not filter.
"""

from collections.abc import Sequence
from enum import EnumType
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ftwatch.core.job import JobKey
from ftwatch.core.route import did_you_mean
from ftwatch.store import Store
from ftwatch.store.history import Row
from ftwatch.web.server import read_body

__all__ = ["PAGE", "Limit", "Nothing", "Seq", "asked", "body_of", "known_job", "refused", "resolved"]

Q = TypeVar("Q", bound=Struct)

# How much is on a page, where nothing else is asked for.
PAGE = 50
# So much of a value that is wrong is repeated.
SHOWN = 80

Limit = Annotated[int, Meta(ge=1, le=200)]
# A place in the order of what was recorded; as large as the database's own numbers.
Seq = Annotated[int, Meta(ge=0, le=2**62)]


class Nothing(Struct):
    """No parameters, or nothing in the body."""


def refused(sentence: str, status: int = 400) -> HTTPException:
    """What says that something cannot be had or done."""
    return HTTPException(status, sentence)


def asked(request: Request, kind: type[Q]) -> Q:
    """The query's parameters as a `kind`. Raises HTTPException (400)."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    given: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        given.setdefault(name, []).append(value)
    found = {}
    for name, values in given.items():
        if name not in fields:
            raise refused(_unknown("parameter", name, list(fields)))
        if len(values) > 1:
            raise refused(f"{name} is given {len(values)} times; several values stand between commas")
        found[name] = _converted(name, values[0], fields[name].type)
    for name, field in fields.items():
        if field.required and name not in found:
            raise refused(f"{name} is missing: say ?{name}=…")
    return msgspec.convert(found, kind)


async def body_of(request: Request, kind: type[Q]) -> Q:
    """The body, a JSON object, as a `kind`; no body is an empty object. Raises HTTPException."""
    body = await read_body(request)
    document: Any = {}
    if body:
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media != "application/json":
            raise refused("the body has to be JSON, with the header content-type: application/json", 415)
        try:
            document = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise refused(f"the body is no JSON: {_lowered(error)}") from None
    if not isinstance(document, dict):
        raise refused("the body has to be a JSON object")
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in document:
        if name not in names:
            raise refused(_unknown("field", name, names))
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise refused(f"the body: {_lowered(error).replace('`$.', '`')}") from None


def resolved(store: Store, word: str) -> Row:
    """The one job that a JOB means, as on the command line. Raises HTTPException (404, 409)."""
    rows = store.history.find(word)
    if not rows:
        raise refused(f"no job is called {_clipped(word)}", 404)
    if len(rows) > 1:
        names = ", ".join(str(row.known.snapshot.key) for row in rows)
        raise refused(f"{_clipped(word)} could be any of these: {names}", 409)
    return rows[0]


def known_job(store: Store, key: JobKey) -> Row:
    """A job by its provider and id. Raises HTTPException (404)."""
    row = store.listing.job(key)
    if row is None:
        raise refused(f"no job is called {_clipped(str(key))}", 404)
    return row


def _converted(name: str, text: str, kind: Any) -> Any:
    if not text:
        raise refused(f"{name} is empty: leave it out, or say what it should be")
    if get_origin(kind) is UnionType or get_origin(kind) is Union:
        # What is left out is None; what is there never is.
        kind = next(one for one in get_args(kind) if one is not NoneType)
    is_list = get_origin(kind) is tuple
    if kind is bool:
        if text not in ("true", "false"):
            raise refused(f"{name} is true or false, not {_clipped(text)}")
        return text == "true"
    try:
        return msgspec.convert(text.split(",") if is_list else text, kind, strict=False)
    except msgspec.ValidationError as error:
        one = get_args(kind)[0] if is_list else kind
        wrong = text
        if isinstance(one, EnumType):
            words = list(map(str, one.__members__.values()))
            wrong = next((part for part in text.split(",") if part not in words), text)
            hint = did_you_mean(wrong, words) or f"; there are: {', '.join(words)}"
            raise refused(f"{name} is never {_clipped(wrong)}{hint}") from None
        raise refused(f"{name} cannot be {_clipped(wrong)}: {_lowered(error)}") from None


def _unknown(what: str, name: str, names: Sequence[str]) -> str:
    hint = did_you_mean(name, names) or (f"; there are: {', '.join(names)}" if names else "; there is none")
    return f"there is no {what} {_clipped(name)}{hint}"


def _lowered(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


def _clipped(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
