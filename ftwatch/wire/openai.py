"""OpenAI's fine-tuning wire format, and what its many relatives make of it, read into `Snapshot`.

Pure and lenient: a well-behaved document goes through one typed decoder, anything else through a second
reader that believes no type. Nothing here raises for any bytes but `Unreadable` (one entry) and
`ProviderError` (a listing as a whole). Where a relative keeps things differently is said by its `Dialect`;
how to ask a server is `ftwatch.client.openai`'s affair.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from ftwatch.core.job import TERMINAL, JobError, Method, Progress, Snapshot, Status
from ftwatch.plugins import Page, ProviderError, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.dialect import OPENAI, Dialect

__all__ = ["ends", "identify", "placed", "read", "split"]

# What counts only in some states: Azure sets finished_at on paused jobs, `error: {}` stands on healthy ones.
HAS_FINISHED = TERMINAL
HAS_ERROR = frozenset({Status.FAILED, Status.CANCELLED, Status.PAUSED, Status.UNKNOWN})
# The free-form parts of so many jobs are kept as they were read, none of more bytes than this.
PARTS, LARGEST_PART = 500, 4_000

_NULL = Raw(b"null")


class _Document(Struct, kw_only=True, gc=False):
    """A job's properties but for the free-form ones, in OpenAI's order: where one follows another it is
    found at once.
    """

    id: str
    model: str | None = None
    created_at: int | None = None
    finished_at: int | None = None
    fine_tuned_model: str | None = None
    organization_id: str | None = None
    result_files: list[str] | None = None
    status: str
    validation_file: str | None = None
    training_file: str | None = None
    trained_tokens: int | None = None
    error: JobError | None = None
    user_provided_suffix: str | None = None
    seed: int | None = None
    estimated_finish: int | None = None
    metadata: dict[str, str] | None = None
    organisation_id: str | None = None
    suffix: str | None = None
    name: str | None = None
    owner: str | None = None
    phase: str | None = None
    started_at: int | None = None
    trained_steps: int | None = None
    total_steps: int | None = None


class _AsDocumented(_Document, kw_only=True, gc=False):
    """A job as documented; servers that keep to it are read in one go."""

    hyperparameters: Raw = _NULL
    integrations: Raw = _NULL
    method: Raw = _NULL


class _Parts(NamedTuple):
    """What a job's creator chose, in the service's own words: safe to store, compare and send on."""

    hyperparameters: dict[str, Any] | None
    integrations: tuple[dict[str, Any], ...]
    method: Method | None


class _Name(Struct):
    id: str


class _Listing(Struct):
    data: list[Raw]
    has_more: bool = False


_document = msgspec.json.Decoder(_AsDocumented)
_hyperparameters = msgspec.json.Decoder(dict[str, Any] | None)
_integrations = msgspec.json.Decoder(list[dict[str, Any]] | None)
_method = msgspec.json.Decoder(Method | None)
_name = msgspec.json.Decoder(_Name)
_listing = msgspec.json.Decoder(_Listing)


# ------------------------------------------------------------------------------------------- entries


def identify(raw: bytes, dialect: Dialect = OPENAI) -> str:
    """The id in one entry; nothing else of it is decoded where it is well-behaved. Raises Unreadable."""
    try:
        return lenient.identifier(_name.decode(raw).id)
    except lenient.REFUSED:
        return lenient.identifier(_held(lenient.document(raw), dialect).get("id"))


def read(
    raw: bytes,
    *,
    provider: str,
    kind: str,
    labels: Mapping[str, str],
    page: str | None = None,
    dialect: Dialect = OPENAI,
) -> Snapshot:
    """The canonical job in one document. Raises Unreadable where it has no id or no status.

    `labels` are the provider's own; they stand above the job's metadata, because the operator's word stands
    above that of whoever created the job. `page` is a job's address for people, with `{id}` in it.
    """
    job: _Document
    try:
        if dialect.fields or dialect.holder:
            job, parts = _believe_nothing(_translated(_held(lenient.document(raw), dialect), dialect))
        else:
            job = documented = _document.decode(raw)
            parts = _parts(documented)
    except lenient.REFUSED:
        job, parts = _believe_nothing(lenient.document(raw))
    id = lenient.identifier(job.id)
    word = job.status.strip()
    if not word:
        raise Unreadable(f"the entry of {id} has no status")
    status = lenient.status_among(dialect.words, word)
    metadata = lenient.strings(job.metadata)
    # In two steps: more than fifteen keywords CPython passes by way of a dictionary, for thrice the price.
    chosen = Snapshot(
        id=id,
        created_at=lenient.seconds(job.created_at),
        hyperparameters=parts.hyperparameters,
        model=lenient.some(job.model),
        organization_id=lenient.some(job.organization_id) or lenient.some(job.organisation_id),
        status=status,
        training_file=lenient.some(job.training_file),
        validation_file=lenient.some(job.validation_file),
        integrations=parts.integrations,
        seed=lenient.whole(job.seed),
        method=parts.method,
        metadata=metadata,
        provider=provider,
        kind=kind,
        labels={**metadata, **labels},
    )
    return replace(
        chosen,
        error=lenient.told(job.error) if status in HAS_ERROR else None,
        fine_tuned_model=lenient.some(job.fine_tuned_model) if status in dialect.has_model else None,
        finished_at=lenient.seconds(job.finished_at) if status in HAS_FINISHED else None,
        result_files=tuple([lenient.cut(file) for file in job.result_files or () if file]),
        trained_tokens=lenient.count(job.trained_tokens),
        estimated_finish=lenient.seconds(job.estimated_finish),
        name=lenient.some(job.user_provided_suffix) or lenient.some(job.suffix) or lenient.some(job.name),
        owner=lenient.some(job.owner),
        raw_status=lenient.cut(job.status),
        phase=lenient.some(job.phase),
        started_at=lenient.seconds(job.started_at),
        progress=_progress(lenient.count(job.trained_steps), lenient.count(job.total_steps)),
        url=page.replace("{id}", quote(id, safe="")) if page else None,
    )


def _parts(job: _AsDocumented) -> _Parts:
    """The free-form parts of a job; mostly they are as they were at the look before. Raises REFUSED."""
    hyperparameters, integrations, method = (
        bytes(job.hyperparameters),
        bytes(job.integrations),
        bytes(job.method),
    )
    if len(hyperparameters) + len(integrations) + len(method) > LARGEST_PART:
        return _read_parts(hyperparameters, integrations, method)
    return _kept_parts(hyperparameters, integrations, method)


def _read_parts(hyperparameters: bytes, integrations: bytes, method: bytes) -> _Parts:
    found = _hyperparameters.decode(hyperparameters), _integrations.decode(integrations)
    return _made_safe(*found, _method.decode(method))


_kept_parts = lru_cache(maxsize=PARTS)(_read_parts)


def _made_safe(
    hyperparameters: dict[str, Any] | None, integrations: list[dict[str, Any]] | None, method: Method | None
) -> _Parts:
    return _Parts(
        lenient.settings(hyperparameters),
        tuple(lenient.settings(entry) or {} for entry in integrations or ()),
        _bounded(method),
    )


def _held(found: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """A job's own properties, and beside them what the answer says around it."""
    inner = found.get(dialect.holder) if dialect.holder else None
    return {**found, **inner} if isinstance(inner, dict) else found


def _translated(found: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    """A document with OpenAI's names for its properties, as far as it says anything of them."""
    named = dict(found)
    for name, paths in dialect.fields.items():
        said = next((value for path in paths if (value := lenient.at(found, path)) not in (None, "")), None)
        if name == "hyperparameters" and isinstance(said, dict):
            # A server's whole configuration of a run holds tokens, paths and code as well.
            said = {key: value for key, value in said.items() if isinstance(value, int | float)}
        if said is not None:
            named[name] = said
    return named


# -------------------------------------------------------------------------------------------- listings


def split(body: bytes, dialect: Dialect = OPENAI) -> Page:
    """The entries of one page, newest first, and the anchor of the next. Raises ProviderError.

    Entries stand under `data` (tt-inference-server: `jobs`), or the body is the bare list. Only a server
    that says `has_more` pages: silence is taken for the end, because who does not page ignores `after`.
    """
    if dialect.entries[0] == "data" and dialect.paging == "after" and not lenient.may_be_long(body):
        try:
            listing = _listing.decode(body)
        except lenient.REFUSED:
            pass
        else:
            entries = [bytes(raw) for raw in listing.data]
            return Page(entries=tuple(entries), next=_anchor(entries, None) if listing.has_more else None)
    return _believed(body, dialect)


def placed(body: bytes, start: int) -> bytes:
    """A listing that says at which entry it starts, for services that page by numbers and do not say it."""
    begun = body.removeprefix(lenient.BOM).lstrip()
    return b'{"offset": %d, ' % start + begun[1:] if begun[:1] == b"{" else body


def _believed(body: bytes, dialect: Dialect) -> Page:
    """A listing that the strict reader does not take, whatever stands around its entries."""
    entries, rest = lenient.parted(body, *dialect.entries)
    anchor = None
    if dialect.paging == "offset":
        end = (lenient.count(rest.get("offset")) or 0) + len(entries)
        anchor = str(end) if entries and end < (lenient.count(rest.get("total")) or 0) else None
    elif dialect.paging == "after" and lenient.yes(rest.get("has_more")):
        anchor = _anchor(entries, lenient.text(rest.get("last_id")))
    return Page(entries=tuple(entries), next=anchor)


def _anchor(entries: list[bytes], last: str | None) -> str:
    """Where the next page starts: after the last entry that has an id."""
    for raw in reversed(entries):
        try:
            return identify(raw)
        except Unreadable:
            continue
    try:
        return lenient.identifier(last)
    except Unreadable:
        raise ProviderError("no entry of the page has an id, so there is no way to the next page") from None


def ends(body: bytes, path: str) -> dict[str, int]:
    """When models stop answering, by their names, in a listing of models that says so at `path` of an entry.

    Raises ProviderError where it is no listing.
    """
    found = {}
    for model in lenient.documents(lenient.entries(body, "data")):
        name, at = lenient.some(model.get("id")), lenient.moment(lenient.at(model, path))
        if name is not None and at is not None:
            found[name] = at
    return found


# ------------------------------------------------------------------------------------ the second reader


def _believe_nothing(found: dict[str, Any]) -> tuple[_Document, _Parts]:
    """A document whose every value may be of any type."""
    id = lenient.identifier(found.get("id"))
    status = lenient.text(found.get("status"))
    if status is None:
        raise Unreadable(f"the entry of {id} has no status")
    metadata, files = found.get("metadata"), found.get("result_files")
    read: dict[str, Any] = {key: reader(found.get(key)) for key, reader in _READERS.items()}
    job = _Document(
        id=id,
        status=status,
        metadata=lenient.strings(metadata) if isinstance(metadata, dict) else None,
        result_files=[name for file in files if (name := _file(file))] if isinstance(files, list) else None,
        **read,
    )
    free = found.get("hyperparameters"), lenient.objects(found.get("integrations"))
    return job, _made_safe(_dict(free[0]), free[1], _some_method(found.get("method")))


def _error(value: object) -> JobError | None:
    if isinstance(value, str):
        return JobError(message=lenient.text(value))
    if not isinstance(value, dict):
        return None
    code, message, param = (
        lenient.strings({key: value.get(key)}).get(key) for key in ("code", "message", "param")
    )
    return JobError(code=code, message=message, param=param)


def _some_method(value: object) -> Method | None:
    if isinstance(value, str):
        return Method(type=lenient.text(value) or "unknown")
    if not isinstance(value, dict):
        return None
    parts = {key: _dict(value.get(key)) for key in ("supervised", "dpo", "reinforcement")}
    type = lenient.text(value.get("type")) or next((key for key, part in parts.items() if part), None)
    return Method(type=type, **parts) if type else None


def _file(value: object) -> str | None:
    """A result file's id, also where the file itself is given."""
    return lenient.text(value.get("id") if isinstance(value, dict) else value)


def _dict(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


_READERS: dict[str, Callable[[object], Any]] = {
    **dict.fromkeys(("trained_tokens", "seed", "trained_steps", "total_steps"), lenient.number),
    **dict.fromkeys(("created_at", "finished_at", "estimated_finish", "started_at"), lenient.moment),
    **dict.fromkeys(("fine_tuned_model", "model", "organization_id", "organisation_id"), lenient.text),
    **dict.fromkeys(("training_file", "validation_file", "owner"), lenient.text),
    **dict.fromkeys(("user_provided_suffix", "suffix", "name", "phase"), lenient.text),
    "error": _error,
}


def _bounded(method: Method | None) -> Method | None:
    if method is None:
        return None
    return Method(
        type=lenient.cut(method.type),
        supervised=lenient.settings(method.supervised),
        dpo=lenient.settings(method.dpo),
        reinforcement=lenient.settings(method.reinforcement),
    )


def _progress(step: int | None, total: int | None) -> Progress | None:
    if step is None and total is None:
        return None
    percent = round(100 * step / total, 1) if step is not None and total and step <= total else None
    return Progress(step=step, total_steps=total, percent=percent)
