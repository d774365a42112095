"""OpenAI's fine-tuning wire format, and what its many relatives make of it, read into `Snapshot`.

Pure and lenient: a well-behaved document goes through one typed decoder, anything else through a second
reader that believes no type. Nothing here raises for any bytes but `Unreadable` (one entry) and
`ProviderError` (a listing as a whole). How to ask a server is the providers' affair.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from ftwatch.core.job import TERMINAL, JobError, Method, Progress, Snapshot, Status
from ftwatch.plugins import Page, ProviderError, Unreadable
from ftwatch.wire import scan

__all__ = ["STATUSES", "complaint", "identify", "read", "split", "status_of"]

# Every word that a server of this dialect was seen to use (compared in lower case, `-` and blanks as `_`).
STATUSES = {
    "validating_files": Status.VALIDATING_FILES,
    "validating": Status.VALIDATING_FILES,
    "queued": Status.QUEUED,
    "created": Status.QUEUED,
    "pending": Status.QUEUED,
    "notrunning": Status.QUEUED,  # Azure, before 2023
    "not_running": Status.QUEUED,
    "resuming": Status.QUEUED,  # Azure: a paused job goes back to the queue
    "running": Status.RUNNING,
    "in_progress": Status.RUNNING,  # tt-inference-server
    "pausing": Status.PAUSING,
    "paused": Status.PAUSED,
    "cancelling": Status.CANCELLING,
    "canceling": Status.CANCELLING,
    "cancel_requested": Status.CANCELLING,
    "succeeded": Status.SUCCEEDED,
    "completed": Status.SUCCEEDED,  # tt-inference-server
    "failed": Status.FAILED,
    "error": Status.FAILED,
    "cancelled": Status.CANCELLED,
    "canceled": Status.CANCELLED,
    "stopped": Status.CANCELLED,  # OPEA, from Ray
}

# What counts only in some states: Azure sets finished_at on paused jobs, `error: {}` stands on healthy ones,
# relatives know the model's name before there is a model.
HAS_FINISHED = TERMINAL
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.PAUSED, Status.UNKNOWN})
HAS_MODEL = TERMINAL | {Status.PAUSED, Status.UNKNOWN}

LONGEST_ID = 512
LONGEST_TEXT = 10_000
DEEPEST = 16
BOM = b"\xef\xbb\xbf"


class _Document(Struct, kw_only=True):
    """A job as documented; servers that keep to it are read in one go."""

    id: str
    status: str
    created_at: int | None = None
    error: JobError | None = None
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    hyperparameters: dict[str, Any] | None = None
    model: str | None = None
    organization_id: str | None = None
    organisation_id: str | None = None
    result_files: list[str] | None = None
    trained_tokens: int | None = None
    training_file: str | None = None
    validation_file: str | None = None
    integrations: list[dict[str, Any]] | None = None
    seed: int | None = None
    estimated_finish: int | None = None
    method: Method | None = None
    metadata: dict[str, str] | None = None
    user_provided_suffix: str | None = None
    suffix: str | None = None
    name: str | None = None
    owner: str | None = None
    started_at: int | None = None
    trained_steps: int | None = None
    total_steps: int | None = None


class _Name(Struct):
    id: str


class _Listing(Struct):
    data: list[Raw]
    has_more: bool = False


_document = msgspec.json.Decoder(_Document)
_name = msgspec.json.Decoder(_Name)
_listing = msgspec.json.Decoder(_Listing)
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# ------------------------------------------------------------------------------------------- entries


def identify(raw: bytes) -> str:
    """The id in one entry; nothing else of it is decoded. Raises Unreadable."""
    try:
        return _checked(_name.decode(raw).id)
    except _REFUSED:
        return _checked(_name_in(_object(raw)))


def read(
    raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str], page: str | None = None
) -> Snapshot:
    """The canonical job in one document. Raises Unreadable where it has no id or no status.

    `labels` are the provider's own; they stand above the job's metadata, because the operator's word stands
    above that of whoever created the job. `page` is a job's address for people, with `{id}` in it.
    """
    try:
        job = _document.decode(raw)
    except _REFUSED:
        job = _believe_nothing(_object(raw))
    id = _checked(job.id)
    word = job.status.strip()
    if not word:
        raise Unreadable(f"the entry of {id} has no status")
    status = status_of(word)
    metadata = {key[:LONGEST_TEXT]: _cut(value) for key, value in (job.metadata or {}).items()}
    return Snapshot(
        id=id,
        created_at=_moment(job.created_at),
        error=_told(job.error) if status in HAS_ERROR else None,
        fine_tuned_model=_some(job.fine_tuned_model) if status in HAS_MODEL else None,
        finished_at=_moment(job.finished_at) if status in HAS_FINISHED else None,
        hyperparameters=_settings(job.hyperparameters),
        model=_some(job.model),
        organization_id=_some(job.organization_id) or _some(job.organisation_id),
        result_files=tuple(_cut(file) for file in job.result_files or () if file),
        status=status,
        trained_tokens=_count(job.trained_tokens),
        training_file=_some(job.training_file),
        validation_file=_some(job.validation_file),
        integrations=tuple(_settings(entry) or {} for entry in job.integrations or ()),
        seed=_whole(job.seed),
        estimated_finish=_moment(job.estimated_finish),
        method=_bounded(job.method),
        metadata=metadata,
        provider=provider,
        kind=kind,
        name=_some(job.user_provided_suffix) or _some(job.suffix) or _some(job.name),
        owner=_some(job.owner),
        labels={**metadata, **labels},
        raw_status=_cut(job.status),
        started_at=_moment(job.started_at),
        progress=_progress(_count(job.trained_steps), _count(job.total_steps)),
        url=page.replace("{id}", quote(id, safe="")) if page else None,
    )


def status_of(word: str) -> Status:
    """Our word for a server's word; `unknown` where it is none of those seen before."""
    status = STATUSES.get(word)
    if status is None:
        status = STATUSES.get(re.sub(r"[\s-]+", "_", word.strip().lower()), Status.UNKNOWN)
    return status


def _checked(id: str | None) -> str:
    """An id that can stand in a URL, a database and a log line."""
    if not id:
        raise Unreadable("an entry without an id")
    if len(id) > LONGEST_ID:
        raise Unreadable(f"an entry whose id is {len(id):,} characters long")
    if not id.isprintable() or not id.strip(". "):
        raise Unreadable("an entry whose id is no name")
    return id


# -------------------------------------------------------------------------------------------- listings


def split(body: bytes) -> Page:
    """The entries of one page, newest first, and the anchor of the next. Raises ProviderError.

    Entries stand under `data` (tt-inference-server: `jobs`), or the body is the bare list. Only a server
    that says `has_more` pages: silence is taken for the end, because who does not page ignores `after`.
    """
    body = body.removeprefix(BOM)
    try:
        listing = _listing.decode(body)
    except _REFUSED:
        entries, more, last = _slices(body)
    else:
        entries, more, last = [bytes(raw) for raw in listing.data], listing.has_more, None
    anchor = _anchor(entries, last) if more else None
    return Page(entries=tuple(entries), next=anchor)


def _anchor(entries: list[bytes], last: str | None) -> str:
    """Where the next page starts: after the last entry that has an id."""
    for raw in reversed(entries):
        try:
            return identify(raw)
        except Unreadable:
            continue
    try:
        return _checked(last)
    except Unreadable:
        raise ProviderError("no entry of the page has an id, so there is no way to the next page") from None


def _slices(body: bytes) -> tuple[list[bytes], bool, str | None]:
    """A listing that the strict reader refused: its entries, whether there are more, its own last id."""
    if body.lstrip()[:1] == b"[":
        try:
            return scan.elements(body), False, None
        except ValueError:
            raise ProviderError("the listing is no whole JSON") from None
    if body.lstrip()[:1] != b"{":
        raise ProviderError(f"the answer is no listing but {_sort_of(body)}")
    try:
        found = {str(_loads(key)): value for key, value in scan.members(body).items()}
    except (ValueError, RecursionError):
        raise ProviderError("the listing is no whole JSON") from None
    entries = found.get("data", found.get("jobs"))
    if entries is None:
        said = complaint(body)
        raise ProviderError(f"the answer is no listing: {said}" if said else "the answer has no `data`")
    if entries[:1] != b"[":
        raise ProviderError("`data` of the listing is no list")
    try:
        slices = scan.elements(entries)
        more = _loads(found.get("has_more", b"false"))
        last = _text(_loads(found.get("last_id", b"null")))
    except (ValueError, RecursionError):
        raise ProviderError("the listing is no whole JSON") from None
    return slices, more is True or more == 1 or str(more).lower() == "true", last


def complaint(body: bytes) -> str:
    """What an error document says, as one line; empty where the body is none.

    Understood are `{"error": {"message": …}}`, `{"error": "…"}`, `{"detail": "…"}` and `{"message": "…"}`.
    """
    try:
        said = _object(body)
    except Unreadable:
        return ""
    for key in ("error", "detail", "message"):
        found = said.get(key)
        if isinstance(found, dict):
            found = found.get("message") or found.get("code")
        if isinstance(found, str) and found.strip():
            line = "".join(c if c.isprintable() else " " for c in found)
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


# ------------------------------------------------------------------------------------ the second reader


def _object(raw: bytes) -> dict[str, Any]:
    """The JSON object that `raw` is, whatever stands in it. Raises Unreadable."""
    try:
        found = _loads(raw)
    except (ValueError, RecursionError):
        raise Unreadable("an entry that is no JSON") from None
    if not isinstance(found, dict):
        raise Unreadable("an entry that is no object")
    return found


def _loads(raw: bytes) -> Any:
    return json.loads(raw.removeprefix(BOM).decode("utf-8", "replace"))


def _believe_nothing(found: dict[str, Any]) -> _Document:
    """A document whose every value may be of any type."""
    id = _checked(_name_in(found))
    status = _text(found.get("status"))
    if status is None:
        raise Unreadable(f"the entry of {id} has no status")
    metadata, files, extras = (found.get(key) for key in ("metadata", "result_files", "integrations"))
    read: dict[str, Any] = {key: reader(found.get(key)) for key, reader in _READERS.items()}
    return _Document(
        id=id,
        status=status,
        metadata=_strings(metadata) if isinstance(metadata, dict) else None,
        result_files=[name for file in files if (name := _file(file))] if isinstance(files, list) else None,
        integrations=[one for one in extras if isinstance(one, dict)] if isinstance(extras, list) else None,
        **read,
    )


def _name_in(found: dict[str, Any]) -> str | None:
    """An id, also where it is a number."""
    id = found.get("id")
    return str(id) if isinstance(id, int) and not isinstance(id, bool) else _text(id)


def _error(value: object) -> JobError | None:
    if isinstance(value, str):
        return JobError(message=_text(value))
    if not isinstance(value, dict):
        return None
    code, message, param = (_strings({key: value.get(key)}).get(key) for key in ("code", "message", "param"))
    return JobError(code=code, message=message, param=param)


def _method(value: object) -> Method | None:
    if isinstance(value, str):
        return Method(type=_text(value) or "unknown")
    if not isinstance(value, dict):
        return None
    parts = {key: _dict(value.get(key)) for key in ("supervised", "dpo", "reinforcement")}
    type = _text(value.get("type")) or next((key for key, part in parts.items() if part), None)
    return Method(type=type, **parts) if type else None


def _file(value: object) -> str | None:
    """A result file's id, also where the file itself is given."""
    return _text(value.get("id") if isinstance(value, dict) else value)


def _dict(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


def _strings(values: Mapping[Any, Any]) -> dict[str, str]:
    """A map of strings: other values as JSON writes them, null left out."""
    found = {}
    for key, value in values.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
        found[_whole_text(str(key))] = _whole_text(text)
    return found


def _text(value: object) -> str | None:
    return _whole_text(value) if isinstance(value, str) else None


def _whole_text(text: str) -> str:
    """Text that can be encoded: halves of surrogate pairs joined, single ones replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(value: object) -> int | None:
    """A whole number, also from a float or from digits in a string."""
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().isdecimal() else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        return None
    return int(value)


def _time(value: object) -> int | None:
    """A moment, also from ISO 8601; a time without a zone is UTC."""
    if isinstance(value, str) and "-" in value[1:]:
        try:
            moment = datetime.fromisoformat(value.strip())
            return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            return None
    return _number(value)


_READERS: dict[str, Callable[[object], Any]] = {
    **dict.fromkeys(("trained_tokens", "seed", "trained_steps", "total_steps"), _number),
    **dict.fromkeys(("created_at", "finished_at", "estimated_finish", "started_at"), _time),
    **dict.fromkeys(("fine_tuned_model", "model", "organization_id", "organisation_id"), _text),
    **dict.fromkeys(("training_file", "validation_file", "owner"), _text),
    **dict.fromkeys(("user_provided_suffix", "suffix", "name"), _text),
    "error": _error,
    "method": _method,
    "hyperparameters": _dict,
}


# ------------------------------------------------------------------------------------------ clean values


def _told(error: JobError | None) -> JobError | None:
    """An error that says something; `{}` and three nulls are how healthy jobs are described."""
    if error is None or not (error.code or error.message):
        return None
    return JobError(code=_some(error.code), message=_some(error.message), param=_some(error.param))


def _bounded(method: Method | None) -> Method | None:
    if method is None:
        return None
    return Method(
        type=_cut(method.type),
        supervised=_settings(method.supervised),
        dpo=_settings(method.dpo),
        reinforcement=_settings(method.reinforcement),
    )


def _progress(step: int | None, total: int | None) -> Progress | None:
    if step is None and total is None:
        return None
    percent = round(100 * step / total, 1) if step is not None and total and step <= total else None
    return Progress(step=step, total_steps=total, percent=percent)


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _whole(value: int | None) -> int | None:
    """A number that every database and every JSON reader can hold."""
    return value if value is not None and -(2**63) <= value < 2**63 else None


def _count(value: int | None) -> int | None:
    value = _whole(value)
    return value if value is not None and value >= 0 else None


def _moment(value: int | None) -> int | None:
    """Unix seconds, from seconds, milli-, micro- or nanoseconds; 0 and less mean "no time"."""
    if value is None or value <= 0:
        return None
    for _ in range(3):
        if value < 10**11:  # in seconds the year 5138, in milliseconds 1973
            return value
        value //= 1000
    return value if value < 10**11 else None


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _some(text: str | None) -> str | None:
    """A text that says something, in bounds."""
    return _cut(text) if text and not text.isspace() else None


def _settings(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """A free-form part of a document, made safe to store, compare and send on."""
    if found is None:
        return None
    return {_whole_text(key): _plain(value) for key, value in found.items()}


def _plain(value: Any, depth: int = 0) -> Any:
    """JSON of bounded depth, whose numbers equal themselves and whose strings can be encoded."""
    if isinstance(value, str):
        return _whole_text(_cut(value))
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if _whole(value) is not None:
            return value
        return str(value) if value.bit_length() < 256 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {_whole_text(str(key)): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner, depth + 1) for inner in value]
    return None
