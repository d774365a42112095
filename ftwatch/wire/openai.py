"""OpenAI's fine-tuning dialect, as it is spoken rather than as it is specified.

Many servers speak it, each with its own accent: missing keys, nulls anywhere, `error: {}` on a healthy job,
`0` for no time, numbers as strings, statuses of their own. Reading is lenient: any JSON object with an id and
a status is a job; anything else is `Unreadable`, and nothing else is ever raised.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from ftwatch.core.job import JobError, Method, Progress, Snapshot, Status
from ftwatch.plugins import Page, ProviderError, Unreadable

__all__ = ["STATUSES", "identify", "read", "split"]

# Every word that a server of this dialect was seen to use. Azure: pending, created, resuming, canceling;
# tt-inference-server: in_progress, completed; OPEA: stopped.
STATUSES: Mapping[str, Status] = {
    "validating_files": Status.VALIDATING_FILES,
    "queued": Status.QUEUED,
    "pending": Status.QUEUED,
    "created": Status.QUEUED,
    "notrunning": Status.QUEUED,
    "resuming": Status.QUEUED,
    "running": Status.RUNNING,
    "in_progress": Status.RUNNING,
    "pausing": Status.PAUSING,
    "paused": Status.PAUSED,
    "canceling": Status.CANCELLING,
    "cancelling": Status.CANCELLING,
    "succeeded": Status.SUCCEEDED,
    "completed": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELLED,
    "cancelled": Status.CANCELLED,
    "stopped": Status.CANCELLED,
}

# What a job owns only once it has ended; some servers fill these in before (an estimate, a placeholder).
_ENDED = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
_FAILED = frozenset({Status.FAILED, Status.CANCELLED})
# A pause leaves a model that can be used, and a cancelled run may.
_HAS_MODEL = frozenset({Status.SUCCEEDED, Status.PAUSED, Status.CANCELLED})

LATEST = 253_402_300_799  # the end of the year 9999
BIGGEST = 2**63 - 1
DEEPEST = 20
# Under which key a server of this dialect puts its list.
_LISTS = ("data", "jobs")


class _Envelope(msgspec.Struct):
    """A page, its entries left as they came."""

    data: list[msgspec.Raw] | None = None
    jobs: list[msgspec.Raw] | None = None
    has_more: bool = False


class _Id(msgspec.Struct):
    id: str


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_id = msgspec.json.Decoder(_Id).decode
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def split(body: bytes) -> Page:
    """The entries of a listing, undecoded, and the anchor of the next page. Raises ProviderError.

    The anchor is the id of the last entry that has one, while the server says that there is more.
    """
    try:
        page = _decode_envelope(body)
        entries = page.data if page.data is not None else page.jobs
        has_more = page.has_more
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        entries, has_more = _split_leniently(body)
    if entries is None:
        raise ProviderError("the answer is JSON, but no listing: it has no list of jobs")
    raws = tuple(bytes(entry) for entry in entries)
    return Page(entries=raws, next=_last_id(raws) if has_more else None)


def _split_leniently(body: bytes) -> tuple[list[Any] | None, bool]:
    """A listing that the strict decoder refuses: broken text inside, a bare array, an odd `has_more`."""
    document = _loads(body)
    if isinstance(document, list):
        return [_encode(entry) for entry in document], False
    if not isinstance(document, dict):
        return None, False
    found = next((document[key] for key in _LISTS if isinstance(document.get(key), list)), None)
    more = document.get("has_more")
    has_more = more is True or (isinstance(more, str) and more.lower() == "true")
    return [_encode(entry) for entry in found] if found is not None else None, has_more


def _last_id(raws: tuple[bytes, ...]) -> str | None:
    for raw in reversed(raws):
        try:
            return identify(raw)
        except Unreadable:
            continue
    return None


def identify(raw: bytes) -> str:
    """The id in one entry, without decoding the rest. Raises Unreadable."""
    try:
        id = _decode_id(raw).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        document = _document(raw)
        id = _text(document.get("id")) or ""
    if not id:
        raise Unreadable("an entry without an id")
    return id


def read(
    raw: bytes, *, provider: str, kind: str, labels: Mapping[str, str], page: str | None = None
) -> Snapshot:
    """The canonical job in one document. Raises Unreadable, and nothing else.

    `labels` are the provider's own, to which the job's metadata is added; `page` is where a person sees jobs,
    with `{id}` in it.
    """
    entry = _document(raw)
    id, word = _text(entry.get("id")), entry.get("status")
    if not id:
        raise Unreadable("an entry without an id")
    if not isinstance(word, str) or not word:
        raise Unreadable(f"job {id} has no status")
    status = STATUSES.get(word.lower(), Status.UNKNOWN)
    metadata = _labels(entry.get("metadata"))
    return Snapshot(
        id=id,
        created_at=_time(entry.get("created_at")),
        error=_error(entry.get("error")) if status in _FAILED else None,
        fine_tuned_model=_text(entry.get("fine_tuned_model")) if status in _HAS_MODEL else None,
        finished_at=_time(entry.get("finished_at")) if status in _ENDED else None,
        hyperparameters=_map(entry.get("hyperparameters")),
        model=_text(entry.get("model")),
        organization_id=_text(entry.get("organization_id") or entry.get("organisation_id")),
        result_files=_texts(entry.get("result_files")),
        status=status,
        trained_tokens=_whole(entry.get("trained_tokens")),
        training_file=_text(entry.get("training_file")),
        validation_file=_text(entry.get("validation_file")),
        integrations=_maps(entry.get("integrations")),
        seed=_whole(entry.get("seed")),
        estimated_finish=_time(entry.get("estimated_finish")),
        method=_method(entry.get("method")),
        metadata=metadata,
        provider=provider,
        kind=kind,
        name=_first(entry, "user_provided_suffix", "suffix", "name", "display_name"),
        owner=_first(entry, "owner", "user", "created_by"),
        labels={**labels, **metadata},
        raw_status=_clean(word),
        started_at=_time(entry.get("started_at")),
        progress=_progress(entry),
        url=page.replace("{id}", quote(id, safe="")) if page else None,
    )


# ------------------------------------------------------------------------------------- one value at a time


def _document(raw: bytes) -> dict[str, Any]:
    try:
        document = _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            document = _loads(raw)
        except ProviderError as error:
            raise Unreadable(f"an entry that is no JSON ({error.reason})") from None
    if not isinstance(document, dict):
        raise Unreadable(f"an entry that is no object but {type(document).__name__}")
    return document


def _loads(body: bytes) -> Any:
    """JSON with broken text in it, made whole; raises ProviderError where it is no JSON at all."""
    try:
        document = json.loads(body.decode("utf-8", "replace"), parse_constant=lambda name: None)
        return _plain(document)
    except (ValueError, RecursionError):
        raise ProviderError("the answer is no JSON, or only the beginning of some") from None


def _plain(value: Any, depth: int = 0) -> Any:
    """A value that can be stored and shown: whole text, finite numbers of ordinary size, not too deep."""
    match value:
        case str():
            return _clean(value)
        case bool() | None:
            return value
        case int():
            return value if abs(value) <= BIGGEST else str(value)[:100]
        case float():
            return value if math.isfinite(value) else None
        case list() | dict() if depth >= DEEPEST:
            return None
        case list():
            return [_plain(item, depth + 1) for item in value]
        case dict():
            return {_clean(str(key)): _plain(item, depth + 1) for key, item in value.items()}
    return None


def _clean(text: str) -> str:
    """Half of a surrogate pair is no character; it becomes the one that says so."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(value: Any) -> str | None:
    match value:
        case str():
            return _clean(value) if value else None
        case bool():
            return None
        case int():
            return str(value) if abs(value) <= BIGGEST else None
    return None


def _first(entry: dict[str, Any], *names: str) -> str | None:
    return next((text for name in names if (text := _text(entry.get(name)))), None)


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(
        text
        for item in items
        if (text := _text(item.get("id") if isinstance(item, dict) else item)) is not None
    )


def _map(value: Any) -> dict[str, Any] | None:
    return _plain(value) if isinstance(value, dict) else None


def _maps(value: Any) -> tuple[dict[str, Any], ...]:
    return tuple(_plain(item) for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    texts = {}
    for key, item in value.items():
        text = item if isinstance(item, str) else json.dumps(_plain(item))
        texts[_clean(str(key))] = _clean(text)
    return texts


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and abs(number) <= BIGGEST else None


def _number(value: Any) -> float | int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if abs(value) <= BIGGEST else None
    if isinstance(value, str):
        try:
            value = int(value) if value.strip().lstrip("-").isdecimal() else float(value)
        except ValueError:
            return None
        return _number(value)
    return value if isinstance(value, float) and math.isfinite(value) else None


def _time(value: Any) -> int | None:
    """Whole Unix seconds from seconds, milliseconds, or ISO 8601 text (naive text is UTC); 0 is no time."""
    number = _number(value)
    if number is None and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        number = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if number is None:
        return None
    if number > 100_000_000_000:  # no clock shows seconds like these; milliseconds do
        number = number / 1000
    return int(number) if 0 < number <= LATEST else None


def _error(value: Any) -> JobError | None:
    """An error with something in it; `{}` and three nulls are how a healthy job is described."""
    if isinstance(value, str) and value:
        return JobError(message=_clean(value))
    if not isinstance(value, dict):
        return None
    code, message = _text(value.get("code")), _text(value.get("message"))
    if code is None and message is None:
        return None
    return JobError(code=code, message=message, param=_text(value.get("param")))


def _method(value: Any) -> Method | None:
    if not isinstance(value, dict) or not (type := _text(value.get("type"))):
        return None
    return Method(
        type=type,
        supervised=_map(value.get("supervised")),
        dpo=_map(value.get("dpo")),
        reinforcement=_map(value.get("reinforcement")),
    )


def _progress(entry: dict[str, Any]) -> Progress | None:
    """How far a run is, for the servers that say so in the job (Nebius: trained_steps, total_steps)."""
    step = _whole(entry.get("trained_steps", entry.get("step")))
    total = _whole(entry.get("total_steps"))
    if step is None and total is None:
        return None
    percent = round(100 * step / total, 1) if step is not None and total and 0 <= step <= total else None
    return Progress(step=step, total_steps=total, percent=percent)
