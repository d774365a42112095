"""Readers that believe no type: text, numbers, times and free-form parts, out of whatever JSON came.

What every kind's reading shares stands here: nothing raises for any value, except `Unreadable` for an entry
that is none and `ProviderError` for a listing as a whole. What a field means is the kind's affair.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from ftwatch.core.job import JobError, Status
from ftwatch.log import shapeless
from ftwatch.plugins import ProviderError, Unreadable
from ftwatch.wire import scan, secrets

__all__ = [
    "BOM",
    "REFUSED",
    "at",
    "complaint",
    "count",
    "cut",
    "document",
    "documents",
    "entries",
    "finite",
    "folded",
    "identifier",
    "loads",
    "may_be_long",
    "moment",
    "number",
    "objects",
    "parted",
    "plain",
    "seconds",
    "settings",
    "some",
    "status_among",
    "strings",
    "text",
    "told",
    "whole",
    "whole_text",
    "yes",
]

LONGEST_ID = 512
LONGEST_TEXT = 10_000
DEEPEST = 16
# What every database and every JSON reader can hold lies below it.
LARGEST = 2**63
NUMBERS = frozenset({int, float, bool})
BOM = b"\xef\xbb\xbf"
REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# A listing of more entries is none of jobs: each of them costs a hundred bytes besides its own.
MOST_ENTRIES = 50_000

_TOO_LONG = f"the listing has more than {MOST_ENTRIES:,} entries"

_members = msgspec.json.Decoder(dict[str, Raw])
_elements = msgspec.json.Decoder(list[Raw])


# ------------------------------------------------------------------------------------------- documents


def loads(raw: bytes) -> Any:
    """The JSON in some bytes, halves of characters replaced. Raises ValueError, RecursionError."""
    return json.loads(raw.removeprefix(BOM).decode("utf-8", "replace"))


def document(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` is, whatever stands in it. Raises Unreadable."""
    try:
        found = loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable("an entry that is no JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("an entry that is no object")
    return found


def at(found: object, path: str) -> Any:
    """What stands at a dotted path of nested objects; None where there is nothing."""
    for key in path.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return found


def documents(entries: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The JSON objects among some entries; what is none is passed over."""
    for raw in entries:
        with suppress(Unreadable):
            yield document(raw)


def objects(values: object) -> list[dict[str, Any]]:
    """The objects in a list; nothing for what is no list."""
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []


def identifier(id: object) -> str:
    """An id that can stand in a URL, a database and a log line. Raises Unreadable."""
    if not isinstance(id, str) and isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if not isinstance(id, str) or not id:
        raise Unreadable("an entry without an id")
    if len(id) > LONGEST_ID:
        raise Unreadable(f"an entry whose id is {len(id):,} characters long")
    if not id.isascii():
        id = whole_text(id)
    if not id.isprintable() or not id.strip(". "):
        raise Unreadable("an entry whose id is no name")
    return id


def status_among(words: Mapping[str, Status], word: str) -> Status:
    """Our word for a service's word; `unknown` where it is none of `words` (lower case, `_` for blanks)."""
    found = words.get(word)
    return words.get(folded(word), Status.UNKNOWN) if found is None else found


def folded(word: str) -> str:
    """A service's word as words are compared: in lower case, `_` for blanks and `-`."""
    return re.sub(r"[\s-]+", "_", word.strip().lower())


# -------------------------------------------------------------------------------------------- listings


def parted(body: bytes, *keys: str, may_lack: bool = False) -> tuple[list[bytes], dict[str, Any]]:
    """The entries of a listing, undecoded, and what else the listing says beside them.

    Entries stand under the first of `keys` that is there, or the body is the bare list. `may_lack`: a
    listing without any of the keys is an empty one, as services that leave out empty lists have it. Raises
    ProviderError where the body is no listing, or one of more than `MOST_ENTRIES`.
    """
    body = body.removeprefix(BOM)
    try:
        members = _members.decode(body)
        key = next((key for key in keys if key in members), None)
        if key is not None:
            if may_be_long(members[key]):
                _count(members[key])
            found = [bytes(raw) for raw in _elements.decode(members[key])]
            return found, {name: _loads_some(bytes(raw)) for name, raw in members.items() if name != key}
    except REFUSED:
        pass
    return _scanned(body, keys, may_lack)


def entries(body: bytes, *keys: str, may_lack: bool = False) -> list[bytes]:
    """The entries of a listing that says nothing else. Raises ProviderError."""
    return parted(body, *keys, may_lack=may_lack)[0]


def may_be_long(body: bytes | Raw) -> bool:
    """Whether a listing has so many commas that it may have more than `MOST_ENTRIES`."""
    return bytes(body).count(b",") >= MOST_ENTRIES


class _Entry:
    """One entry of a list whose entries are counted, none of them kept."""


def _count(listing: Raw) -> None:
    """Passes over a list of at most `MOST_ENTRIES`. Raises ProviderError for a longer one, DecodeError."""
    left, entry = MOST_ENTRIES, _Entry()

    def counted(type: type, found: object) -> _Entry:
        nonlocal left
        left -= 1
        if left < 0:
            raise OverflowError
        return entry

    try:
        msgspec.json.decode(listing, type=list[_Entry], dec_hook=counted)
    except OverflowError:
        raise ProviderError(_TOO_LONG) from None


def _scanned(body: bytes, keys: Iterable[str], may_lack: bool) -> tuple[list[bytes], dict[str, Any]]:
    """A listing that the strict reader refused."""
    try:
        if body.lstrip()[:1] == b"[":
            return scan.elements(body, MOST_ENTRIES), {}
        if body.lstrip()[:1] != b"{":
            raise ProviderError(f"the answer is no listing but {_sort_of(body)}")
        found = {str(loads(key)): value for key, value in scan.members(body, MOST_ENTRIES).items()}
        key = next((key for key in keys if key in found), None)
        if key is None:
            said = complaint(body)
            if said or not may_lack:
                missing = f"the answer has no `{next(iter(keys))}`"
                raise ProviderError(f"the answer is no listing: {said}" if said else missing)
            return [], {name: _loads_some(raw) for name, raw in found.items()}
        if found[key].strip() == b"null" and may_lack:
            return [], {name: _loads_some(raw) for name, raw in found.items() if name != key}
        if found[key][:1] != b"[":
            raise ProviderError(f"`{key}` of the listing is no list")
        slices = scan.elements(found[key], MOST_ENTRIES)
        return slices, {name: _loads_some(raw) for name, raw in found.items() if name != key}
    except scan.TooMany:
        raise ProviderError(_TOO_LONG) from None
    except (ValueError, RecursionError):
        raise ProviderError("the listing is no whole JSON") from None


def _loads_some(raw: bytes) -> Any:
    """A member beside the entries; None where it cannot be read, since only some of them matter."""
    try:
        return loads(raw)
    except (ValueError, RecursionError):
        return None


def complaint(body: bytes) -> str:
    """What an error document says, as one line of bounded length; empty where the body is none.

    Understood are `{"error": {"message": …}}`, `{"error": "…"}`, `{"detail": "…"}` and `{"message": "…"}`,
    the keys in lower case or with a capital.
    """
    try:
        said = document(body)
    except Unreadable:
        return ""
    for key in ("error", "Error", "detail", "message", "Message"):
        found = said.get(key)
        if isinstance(found, dict):
            found = found.get("message") or found.get("code") or found.get("status")
        if isinstance(found, str) and found.strip():
            line = "".join(c if c.isprintable() else " " for c in cut(found))
            return " ".join(line.split())
    return ""


def _sort_of(body: bytes) -> str:
    """What a body seems to be, for a sentence."""
    start = body[:200].lstrip().lower()
    if not start:
        return "empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "an HTML page"
    return "something else"


# ------------------------------------------------------------------------------------------------ text


def text(value: object) -> str | None:
    """A string that can be encoded; None for anything else."""
    return whole_text(value) if isinstance(value, str) else None


def some(value: object) -> str | None:
    """A text that says something, in bounds; None for anything else."""
    if not isinstance(value, str) or not value or value.isspace():
        return None
    return value if len(value) <= LONGEST_TEXT and value.isascii() else cut(whole_text(value))


def cut(text: str) -> str:
    """A text of bounded length."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def whole_text(text: str) -> str:
    """Text that can be encoded: halves of surrogate pairs joined, single ones replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def strings(values: object) -> dict[str, str]:
    """A map of strings: other values as JSON writes them, null left out; nothing for what is no map."""
    found: dict[str, str] = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        if value is None:
            continue
        said = _public_text(value) if isinstance(value, str) else plain(value)
        if not isinstance(said, str):
            said = json.dumps(said, ensure_ascii=False)
        name = key if isinstance(key, str) and key.isascii() else whole_text(str(key))
        found[name if len(name) <= LONGEST_TEXT else name[:LONGEST_TEXT]] = cut(said)
    return found


# ------------------------------------------------------------------------------------- numbers and times


def finite(value: object) -> float | None:
    """A finite number, also from digits in a string."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def number(value: object) -> int | None:
    """A whole number, also from a float or from digits in a string."""
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().isdecimal() else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if isinstance(value, int) or math.isfinite(value) else None


def whole(value: int | None) -> int | None:
    """A number that every database and every JSON reader can hold."""
    return value if value is not None and -LARGEST <= value < LARGEST else None


def count(value: object) -> int | None:
    """How many: a whole number from 0 up, also from digits in a string."""
    if value is None:
        return None
    found = value if type(value) is int else number(value)
    return found if found is not None and 0 <= found < LARGEST else None


def moment(value: object) -> int | None:
    """Unix seconds, from ISO 8601 or a number; 0 and less mean "no time"."""
    return seconds(_time(value))


def _time(value: object) -> int | None:
    """A moment as it stands; a time without a zone is UTC."""
    if isinstance(value, str) and "-" in value[1:]:
        try:
            found = datetime.fromisoformat(value.strip())
            return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            return None
    return number(value)


def seconds(value: int | None) -> int | None:
    """Unix seconds, from seconds, milli-, micro- or nanoseconds; 0 and less mean "no time"."""
    if value is None or value <= 0:
        return None
    for unit in (1, 10**3, 10**6, 10**9):
        if value < 10**11 * unit:  # in seconds the year 5138, in milliseconds 1973
            return value // unit
    return None


def yes(value: object) -> bool:
    """Whether an answer says yes, in whatever type."""
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


# --------------------------------------------------------------------------------------- larger parts


def told(error: JobError | None) -> JobError | None:
    """An error that says something; `{}` and three nulls are how healthy jobs are described."""
    if error is None or not (error.code or error.message):
        return None
    message = some(error.message)
    # Prose speaks of tokens that are no secrets ("unexpected token: x"), so only shapes tell here.
    shown = shapeless(message) if message else None
    return JobError(code=some(error.code), message=shown, param=some(error.param))


def settings(found: object) -> dict[str, Any] | None:
    """A free-form part of a document, made safe to store, compare and send on; None for what is no object."""
    if not isinstance(found, dict):
        return None
    return _members_of(found, 0)


def plain(value: Any, depth: int = 0) -> Any:
    """JSON of bounded depth without secrets: numbers equal themselves, strings can be encoded."""
    if isinstance(value, str):
        return _public_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if whole(value) is not None:
            return value
        return str(value) if value.bit_length() < 256 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, dict):
        return _members_of(value, depth + 1)
    if isinstance(value, list):
        return [
            secrets.HIDDEN if secrets.is_option(before) else plain(inner, depth + 1)
            for before, inner in zip([None, *value], value, strict=False)
        ]
    return None


def _public_text(text: str) -> str:
    if not (text.isascii() and len(text) <= LONGEST_TEXT):
        text = whole_text(cut(text))
    return text if len(text) < secrets.SHORTEST else secrets.struck(text)


def _members_of(found: dict[Any, Any], depth: int) -> dict[str, Any]:
    """An object's members, as `plain` has them. A number is no secret, whatever its name, and mostly fits."""
    return {
        whole_text(str(key)): value
        if type(value) in NUMBERS and -LARGEST < value < LARGEST
        else _public(str(key), value, depth)
        for key, value in found.items()
    }


def _public(name: str, value: Any, depth: int) -> Any:
    """What stands under a name, as `plain` has it; nothing of it where the name is that of a secret."""
    return secrets.HIDDEN if secrets.is_private(name, value) else plain(value, depth)
