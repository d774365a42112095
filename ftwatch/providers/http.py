"""Any other service with a JSON API, by a description of it in the config.

Only how such an API is asked stands here; what its documents mean by the description is the affair of
`ftwatch.wire.mapped`, how it pages that of `ftwatch.wire.paging`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from ftwatch.client.api import LARGEST_JOB, Api, ApiOptions, Key, can_be_sent, speaks_of_a_job
from ftwatch.core.job import Snapshot
from ftwatch.plugins import LogPage, NotFound, Page, ProviderError, ProviderSpec, Secret, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.mapped import CheckpointFields, JobFields, JobMap, LineFields, Words
from ftwatch.wire.paging import Pager, Paging
from ftwatch.wire.paths import Paths, dig, listing, within

__all__ = ["Http", "Options"]

PLACE = "{id}"
# Not for a config to say: the client sets them, or the key's own option does.
RESERVED = ("host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding")
# Refusals that are about who asks, or when: whatever they say, they are no word about a job.
NOT_ABOUT_A_JOB = frozenset({401, 403, 407, 408, 429})


# --------------------------------------------------------------------------------------------------- options


@dataclass(frozen=True, kw_only=True)
class Authorization:
    """How the key is sent: in this header, after this word and a blank (`scheme: ""`: the bare key)."""

    header: str = "authorization"
    scheme: str = "Bearer"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Where the jobs are listed. `entries` is the path of the list in an answer, "" where it is a bare list.

    `may_lack`: an answer without the list has an empty one. `newest_first`: new jobs stand on the first page.
    """

    path: str
    query: dict[str, str] = field(default_factory=dict)
    entries: str = ""
    may_lack: bool = False
    newest_first: bool = True


@dataclass(frozen=True, kw_only=True)
class Getting:
    """How one job is asked for; `{id}` stands for its id in the path, the query and the texts of `body`.

    `entry` is the path of the job in the answer, "" where it is the answer. `missing`: words of the complaint
    that there is no such job, where it does not come as a 404 with a sentence about a job.
    """

    path: str
    method: Literal["GET", "POST"] = "GET"
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    entry: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Part:
    """A list that the service keeps of each job: at a `path` with `{id}` in it, or in the job's own document.

    `entries` is the path of the list there. `paged`: it comes in pages, as the listing of jobs does.
    """

    path: str | None = None
    query: dict[str, str] = field(default_factory=dict)
    entries: str = ""
    newest_first: bool = False
    paged: bool = False


@dataclass(frozen=True, kw_only=True)
class Log(Part):
    """The job log. A state in a line counts as the service's own history, its ends included."""

    fields: LineFields = field(default_factory=LineFields)


@dataclass(frozen=True, kw_only=True)
class Checkpoints(Part):
    """The checkpoints of a job."""

    fields: CheckpointFields = field(default_factory=CheckpointFields)


@dataclass(frozen=True, kw_only=True)
class Options(ApiOptions):
    """What `kind: http` can be told: the whole description of an API.

    `page` is a job's address for people, with `{id}` in it.
    """

    base_url: str
    auth: Authorization = Authorization()
    headers: dict[str, str | Secret] = field(default_factory=dict)
    listing: Listing = field(metadata={"key": "list"})
    paging: Literal["none"] | Paging = "none"
    get: Getting
    fields: JobFields = field(default_factory=JobFields)
    statuses: Words
    labels_from: tuple[str, ...] = ()
    page: str | None = None
    log: Log | None = None
    checkpoints: Checkpoints | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence); a dot leads into a block."""
        yield from ApiOptions.problems(self)
        yield from self._ways_in()
        yield from self._addresses()
        for block in ("paging", "statuses"):
            told = getattr(self, block)
            if told != "none":
                yield from ((f"{block}.{key}", sentence) for key, sentence in told.problems())
        if not self.statuses.succeeded:
            yield "statuses", "no word says that a job has succeeded: give the words under `succeeded`"
        for name, paths in (
            ("labels_from", self.labels_from),
            ("listing.entries", (self.listing.entries,)),
            ("get.entry", (self.get.entry,)),
            *((f"{part}.entries", (told.entries,)) for part, told in self.parts().items()),
        ):
            for path in filter(None, paths):
                try:
                    Paths.of(path)
                except ValueError as error:
                    yield name, str(error)

    def parts(self) -> dict[str, Part]:
        """What there is of a log and of checkpoints."""
        return {name: part for name, part in (("log", self.log), ("checkpoints", self.checkpoints)) if part}

    def _ways_in(self) -> Iterator[tuple[str, str]]:
        if problem := _header_problem(self.auth.header):
            yield "auth.header", problem
        if not can_be_sent(self.auth.scheme):
            yield "auth.scheme", "holds a character that no header can carry"
        for name, value in self.headers.items():
            if problem := _header_problem(name):
                yield "headers", problem
            elif name.lower() == self.auth.header.lower() and self.api_key is not None:
                yield "headers", f"{name} is what api_key is sent in: give one of them"
            if not can_be_sent(value if isinstance(value, str) else value.reveal()):
                yield "headers", f"{name} holds a character that no header can carry"

    def _addresses(self) -> Iterator[tuple[str, str]]:
        asked = {"listing": self.listing.path, "get": self.get.path}
        asked |= {name: part.path for name, part in self.parts().items() if part.path is not None}
        for block, path in asked.items():
            if not path.startswith("/") or "?" in path or "#" in path:
                yield f"{block}.path", "begins with / and has no ?: what follows one stands in `query`"
        if PLACE in self.listing.path:
            yield "listing.path", f"{PLACE} stands for a job, and a listing is about all of them"
        if PLACE not in json.dumps([self.get.path, self.get.query, self.get.body]):
            yield "get.path", f"{PLACE} has to stand for the job's id, here, in `query` or in `body`"
        if self.get.body and self.get.method == "GET":
            yield "get.body", "is sent with method: POST only"
        if not all(words.strip() for words in self.get.missing):
            yield "get.missing", "an empty text is in every complaint"
        for block, part in self.parts().items():
            if part.path is None and not part.entries:
                yield block, "needs `path`, or `entries` where they stand in the job's own document"
            elif part.path is None and (part.paged or part.query):
                yield block, "without a `path` nothing is asked: leave `query` and `paged` out"
            elif part.path is not None and PLACE not in json.dumps([part.path, part.query]):
                yield f"{block}.path", f"{PLACE} has to stand for the job's id, here or in `query`"
        if self.page is not None and PLACE not in self.page:
            yield "page", f"{PLACE} has to stand for the job's id"


def _header_problem(name: str) -> str | None:
    if not name or not can_be_sent(name) or set(name) & set(' :"(),/;<=>?@[\\]{}'):
        return f"{name!r} is no name of a header"
    return f"the header {name!r} is set by ftwatch itself" if name.lower() in RESERVED else None


class _WayIn(Key):
    """The key, where there is one, and the headers that the config names."""

    def __init__(self, options: Options) -> None:
        auth = options.auth
        scheme = f"{auth.scheme} " if auth.scheme else ""
        super().__init__(options.api_key, needed=False, header=auth.header.lower(), scheme=scheme)
        self._more = options.headers

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        """All of them."""
        more = {name.lower(): self._shown(value) for name, value in self._more.items()}
        return {**more, **await super().headers(method, url, body)}

    def secrets(self) -> Sequence[str]:
        """The key, and the headers that are secrets."""
        found = list(super().secrets())
        for value in self._more.values():
            try:
                found += [value.reveal()] if isinstance(value, Secret) else []
            except LookupError:
                continue
        return found

    @staticmethod
    def _shown(value: str | Secret) -> str:
        try:
            return value if isinstance(value, str) else value.reveal()
        except LookupError as error:
            raise ProviderError(f"a header cannot be had: {error.args[0]}", denied=True) from None


# -------------------------------------------------------------------------------------------------- the kind


class Http:
    """An account on a service whose API the config describes."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[None] = None
    log_is_cheap: ClassVar[bool] = True
    log_parts: tuple[str, ...] = ()
    newest_first: bool = True

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        options: Options = spec.options
        self._options = options
        keyless = options.api_key is None and not options.headers
        self.api = Api(
            spec,
            options.base_url,
            _WayIn(options),
            timeout=options.timeout,
            advice={401: "no key was sent: set the option api_key"} if keyless else None,
        )
        self._map = JobMap(options.fields, options.statuses, options.labels_from)
        paging = None if options.paging == "none" else options.paging
        self._jobs = Pager(paging, self.identify)
        self._pagers = {
            name: Pager(paging if part.paged else None, self._line_id(part))
            for name, part in options.parts().items()
        }
        self.log_parts = tuple(name for name, part in options.parts().items() if part.path is not None)
        self.newest_first = options.listing.newest_first

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """One page of the listing, with its place in front where it does not say that itself."""
        said = self._options.listing
        query = {**said.query, **self._jobs.query(anchor)}
        forgotten = self._jobs.forgotten if anchor is not None else None
        return self._jobs.kept(anchor, await self.api.page(said.path, query, forgotten=forgotten))

    async def retrieve(self, id: str) -> bytes:
        """One job's document. NotFound only where the API says so, in its words or in those of `missing`."""
        get = self._options.get
        content = json.dumps(_filled(get.body, id)).encode() if get.body else b""
        answer = await self.api.ask(
            _path(get.path, id),
            _filled(get.query, id),
            method=get.method,
            content=content,
            headers={"content-type": "application/json"} if content else None,
            cap=LARGEST_JOB,
        )
        said = lenient.complaint(answer.body)
        may_be_gone = 400 <= answer.status < 500 and answer.status not in NOT_ABOUT_A_JOB
        if may_be_gone and any(words.lower() in said.lower() for words in get.missing):
            raise NotFound(id)
        if answer.status == 404 and speaks_of_a_job(answer.body, id):
            raise NotFound(id)
        if answer.status != 200:
            self.api.refused(answer, of=id)
        return self.api.about(self.api.told(within, answer.body, get.entry), id, self.identify)

    async def log(self, id: str, part: str, anchor: str | None) -> bytes:
        """One page of a job's log or of its checkpoints."""
        said, pager = self._options.parts()[part], self._pagers[part]
        query = {**_filled(said.query, id), **pager.query(anchor)}
        forgotten = pager.forgotten if anchor is not None else None
        body = await self.api.page(_path(said.path or "", id), query, forgotten=forgotten, of=id)
        return pager.kept(anchor, body)

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        said = self._options.listing
        anchor, answer = self._jobs.parted(body)
        entries, rest = self.api.told(listing, answer, said.entries, may_lack=said.may_lack)
        return Page(entries=tuple(entries), next=self._jobs.next(anchor, entries, rest))

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return self._map.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        spec = self._spec
        return self._map.read(
            raw, provider=spec.name, kind=spec.kind, labels=spec.labels, page=self._options.page
        )

    def read_log(self, part: str, body: bytes) -> LogPage:
        """What a page of a log or of checkpoints tells."""
        said, pager = self._options.parts()[part], self._pagers[part]
        anchor, answer = pager.parted(body)
        entries, rest = self.api.told(listing, answer, said.entries, may_lack=True)
        found = list(lenient.documents(entries))
        return self._log_page(said, found, pager.next(anchor, entries, rest))

    def inline(self, raw: bytes) -> LogPage:
        """What of log and checkpoints stands in a job's own document."""
        told = LogPage()
        try:
            job = lenient.document(raw)
        except Unreadable:
            return told
        pages = [
            self._log_page(part, lenient.objects(found), None)
            for part in self._options.parts().values()
            if part.path is None and isinstance(found := dig(job, part.entries), list)
        ]
        # The two lists of one document may run in different directions: here they run forwards.
        forwards = [page if not page.newest_first else _turned(page) for page in pages]
        return LogPage(
            lines=tuple(line for page in forwards for line in page.lines),
            checkpoints=tuple(one for page in forwards for one in page.checkpoints),
            newest_first=False,
        )

    def _log_page(self, part: Part, found: list[dict[str, Any]], following: str | None) -> LogPage:
        """The entries of a log, or of a list of checkpoints."""
        lines = [self._map.line(one, part.fields) for one in found] if isinstance(part, Log) else []
        saved = (
            [self._map.checkpoint(one, part.fields) for one in found] if isinstance(part, Checkpoints) else []
        )
        return LogPage(
            lines=tuple(lines), checkpoints=tuple(saved), next=following, newest_first=part.newest_first
        )

    def _line_id(self, part: Part) -> Callable[[bytes], str]:
        """How the entries of a part are told apart, for who pages by them."""
        places = part.fields.id if isinstance(part, Log | Checkpoints) else Paths()
        return lambda raw: lenient.identifier(places.first(lenient.document(raw)))


def _turned(page: LogPage) -> LogPage:
    return LogPage(lines=page.lines[::-1], checkpoints=page.checkpoints[::-1], newest_first=False)


def _path(template: str, id: str) -> str:
    return template.replace(PLACE, quote(id, safe=""))


def _filled(template: Mapping[str, Any], id: str) -> dict[str, Any]:
    """A query or a body with the job's id in its texts."""

    def fill(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(PLACE, id)
        if isinstance(value, Mapping):
            return {key: fill(inner) for key, inner in value.items()}
        return [fill(inner) for inner in value] if isinstance(value, list) else value

    return {key: fill(value) for key, value in template.items()}
