"""A daemon elsewhere, asked over its API: FTWATCH_URL says where, FTWATCH_TOKEN lets in. No config, no key.

One question after the other, each with a deadline; what an answer means is the same as here (`facts`).
"""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote, urlencode

import anyio
import anyio.from_thread
import click
import msgspec
from msgspec.structs import replace

from ftwatch.answers import Happening, Job, Owed, Page, Placed, Story, Trust
from ftwatch.cli import Exit
from ftwatch.cli.facts import EVENTS, LINES, TOKEN, URL, Address, Elsewhere, NotThere, Several, Wrong
from ftwatch.cli.output import plain
from ftwatch.client import Answered, Client, Response, Unreachable, shown
from ftwatch.control import Refused
from ftwatch.core.job import JobKey, Status

__all__ = ["Api", "Heard", "There", "opened", "path_of"]

# As many on a page as may be asked for.
PAGE = 200
# Comments come more often than this where the line is open (seconds).
IDLE = 60.0
# How soon a stream that broke off is asked for again (seconds).
AGAIN = 3.0

T = TypeVar("T")


class Heard(NamedTuple):
    """An event of the stream."""

    id: str
    body: bytes


class Api:
    """The API of one daemon. Raises Elsewhere, NotThere, Refused, Wrong, each with a sentence."""

    def __init__(self, client: Client, address: Address) -> None:
        self._client = client
        self._address = address
        self._headers = {"accept": "application/json"}
        if address.token:
            self._headers["authorization"] = f"Bearer {address.token}"

    async def ask(
        self, method: str, path: str, kind: type[T], query: Mapping[str, Any] | None = None, body: Any = None
    ) -> T:
        """One question; `path` is below /api/v1/."""
        headers, content = self._headers, None
        if method == "POST":
            headers = {**headers, "content-type": "application/json"}
            content = msgspec.json.encode(body or {})
        try:
            answer = await self._client.request(
                method, self._url(path, query), headers=headers, content=content, deadline=30.0
            )
        except Unreachable as error:
            raise Elsewhere(f"{self._where} cannot be reached: {error.reason}") from None
        if 200 <= answer.status < 300:
            try:
                return msgspec.json.decode(answer.body, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise Elsewhere(
                    f"what answers at {self._where} is no ftwatch, or not of this version"
                ) from None
        self._fail(answer)

    async def stream(self, query: Mapping[str, Any] | None, last: str) -> AsyncGenerator[Heard]:
        """Events as they happen, after the one with the id `last`, until the line breaks."""
        headers = {**self._headers, **({"last-event-id": last} if last else {})}
        id, data, is_event = "", b"", False
        try:
            url = self._url("events/stream", query)
            async with aclosing(
                self._client.lines("GET", url, headers=headers, idle=IDLE, cap=8 * 1024 * 1024)
            ) as lines:
                async for line in lines:
                    name, _, value = line.rstrip(b"\r").partition(b": ")
                    if name == b"id":
                        id = value.decode("utf-8", "replace")
                    elif name == b"event":
                        is_event = value == b"event"
                    elif name == b"data":
                        data = value
                    elif not name and data:
                        if is_event:
                            yield Heard(id, data)
                        id, data, is_event = "", b"", False
        except Answered as error:
            self._fail(error.response)
        except Unreachable as error:
            raise Elsewhere(f"{self._where} cannot be reached: {error.reason}") from None

    @property
    def _where(self) -> str:
        return shown(self._address.url).removesuffix("/…")

    def _url(self, path: str, query: Mapping[str, Any] | None) -> str:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return f"{self._address.url}/api/v1/{path}" + (f"?{urlencode(given)}" if given else "")

    def _fail(self, answer: Response) -> NoReturn:
        """Says what an answer means that is none."""
        try:
            said = msgspec.json.decode(answer.body, type=dict[str, str]).get("error", "")
        except (msgspec.DecodeError, UnicodeDecodeError):
            said = ""
        match answer.status:
            case 400 | 415 if said:
                raise Wrong(said)
            case 401:
                hint = (
                    f"takes another token than the one in {TOKEN}"
                    if self._address.token
                    else (f"wants a token: set {TOKEN}")
                )
                raise Elsewhere(f"{self._where} {hint}", Exit.USAGE)
            case 403 | 421 if said:
                raise Elsewhere(f"{self._where} refuses: {said}", Exit.USAGE)
            case 404 if said:
                raise NotThere(said)
            case 409 if said:
                raise Refused(said)
            case status if 300 <= status < 400:
                raise Elsewhere(f"{self._where} sends elsewhere: {URL} has to be the address itself")
        raise Elsewhere(f"{self._where} answers with HTTP {answer.status}" + (f": {said}" if said else ""))


@contextmanager
def opened(address: Address) -> Iterator["There"]:
    """A daemon elsewhere, to be asked by who does not wait for anything else."""
    with (
        anyio.from_thread.start_blocking_portal() as portal,
        portal.wrap_async_context_manager(portal.call(Client)) as client,
    ):
        yield There(Api(client, address), portal)


class There:
    """A daemon elsewhere: `facts.Facts` over its API."""

    def __init__(self, api: Api, portal: anyio.from_thread.BlockingPortal) -> None:
        self._api, self._portal = api, portal

    def _ask(self, method: str, path: str, kind: type[T], body: Any = None, **query: Any) -> T:
        return self._portal.call(partial(self._api.ask, method, path, kind, query, body))

    def _all(self, path: str, kind: type[T], limit: int, **query: Any) -> list[T]:
        """Page after page, until it is enough."""
        found: list[T] = []
        after: str | None = None
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            page = self._ask("GET", path, Page[kind], after=after, limit=size, **query)  # type: ignore[valid-type]
            found += page.data
            after = page.next
            if after is None:
                break
        return found

    # ------------------------------------------------------------------------------------------ facts

    def jobs(
        self,
        *,
        provider: str | None = None,
        status: Status | None = None,
        active: bool = False,
        limit: int,
        next_look: bool = False,
    ) -> Sequence[Job]:
        """See `Facts`."""
        return self._all(
            "jobs",
            Job,
            limit,
            provider=provider,
            status=status,
            active="true" if active else None,
            include="next_look" if next_look else None,
        )

    def find(self, word: str) -> Sequence[Job]:
        """See `Facts`."""
        try:
            return self._ask("GET", "jobs/find", Page[Job], job=word).data if word else []
        except NotThere:
            return []

    def story(self, job: Job) -> Story:
        """See `Facts`."""
        whole = self._ask("GET", path_of(job.key), Story, include="metrics,checkpoints", limit=PAGE)
        parts = {
            name: self._rest(job.key, name, getattr(whole, name), 10**6)
            for name in ("metrics", "checkpoints")
        }
        log = self._rest(job.key, "log", None, LINES)
        return replace(
            whole,
            history=Page(list(self.happenings(job.key, EVENTS)), None),
            log=Page(log[::-1], None),
            **{name: Page(found, None) for name, found in parts.items()},
        )

    def _rest(self, key: JobKey, part: str, first: Page[Any] | None, limit: int) -> list[Any]:
        """All of one part of a job's story, as far as it may go."""
        found, page = list(first.data if first else ()), first
        while len(found) < limit and (page is None or page.next is not None):
            more = {f"{part}_after": page.next} if page is not None else {"include": part}
            size = min(PAGE, limit - len(found))
            page = getattr(self._ask("GET", path_of(key), Story, limit=size, **more), part)
            assert page is not None
            found += page.data
        return found

    def happenings(self, job: JobKey, limit: int) -> Sequence[Happening]:
        """See `Facts`."""
        return self._rest(job, "history", None, limit)[::-1]

    def happening(self, id: str) -> Happening | None:
        """See `Facts`."""
        try:
            return self._ask("GET", f"events/{quote(id, safe='')}", Happening)
        except NotThere:
            return None

    def delivery(self, id: str) -> Owed | None:
        """See `Facts`."""
        try:
            return self._ask("GET", f"deliveries/{quote(id, safe='')}", Owed)
        except NotThere:
            return None
        except Refused:
            raise Several(id) from None

    def events(self, job: JobKey | None, limit: int) -> Sequence[Placed]:
        """See `Facts`."""
        return self._all("events", Placed, limit, job=job)[::-1]

    def follow(self, job: JobKey | None, after: Placed | None) -> Iterator[Placed]:
        """See `Facts`."""
        last, told = after.fact.id if after else "", False
        while True:
            reason = "the line broke"
            try:
                for heard in self._stream(job, last):
                    last, told = heard.id or last, False
                    yield Placed(0, msgspec.Raw(heard.body))
            except Elsewhere as error:
                # Who was never let in has nothing to come again for.
                if error.code != Exit.UNREACHABLE or not last:
                    raise
                reason = str(error)
            if not told:
                told = True
                click.echo(f"{plain(reason)}; trying again", err=True)
            self._portal.call(anyio.sleep, AGAIN)

    def _stream(self, job: JobKey | None, last: str) -> Iterator[Heard]:
        """The stream, until the line breaks."""
        stream = self._api.stream({"job": job}, last)
        is_asked = False
        try:
            while True:
                is_asked = True
                heard = self._portal.call(anext, stream, None)
                is_asked = False
                if heard is None:
                    return
                yield heard
        finally:
            # What is interrupted while it is asked goes with the portal.
            if not is_asked:
                self._portal.call(stream.aclose)

    def trust(self) -> Trust:
        """See `Facts`."""
        return self._ask("GET", "status", Trust)

    def silence(self, words: Sequence[str], **wanted: Any) -> dict[str, Any]:
        """See `Facts`."""
        return self._ask("POST", "silences", dict[str, Any], {"matchers": list(words), **wanted})

    def preview(self, words: Sequence[str], *, until_end: bool) -> dict[str, Any]:
        """See `Facts`."""
        body = {"matchers": list(words), "until_end": until_end}
        return self._ask("POST", "silences/preview", dict[str, Any], body)

    def silences(self, *, expired: bool) -> list[dict[str, Any]]:
        """See `Facts`."""
        query = {"expired": "true"} if expired else {}
        return self._ask("GET", "silences", Page[dict[str, Any]], **query).data

    def expire(self, ids: Sequence[str] | None) -> list[str]:
        """See `Facts`."""
        standing = self.silences(expired=False)
        if ids is None:
            wanted = [one["id"] for one in standing if not one["in_config"]]
        else:
            wanted = [found for id in ids for found in _meant(id, [one["id"] for one in standing])]
        return [
            done
            for id in dict.fromkeys(wanted)
            for done in self._ask("DELETE", f"silences/{quote(id, safe='')}", dict[str, list[str]])["ids"]
        ]

    def ack(self, job: JobKey, *, author: str, comment: str) -> dict[str, Any]:
        """See `Facts`."""
        body = {"author": author, "comment": comment}
        try:
            return self._ask("POST", f"{path_of(job)}/ack", dict[str, Any], body)
        except Refused:
            return {"ack": None, "of": []}


def _meant(id: str, standing: Sequence[str]) -> list[str]:
    """The silence that is meant, as here. Raises Refused."""
    found = [one for one in standing if id and one.startswith(id)]
    if len(found) > 1 and id not in found:
        raise Refused(f"{id!r} is the beginning of several ids; write more of it")
    return [id] if id in found else found


def path_of(key: JobKey) -> str:
    """Where a job is, below /api/v1/. Slashes stay: some proxies take no others."""
    return f"jobs/{quote(key.provider, safe='')}/{quote(key.id, safe='/:')}"
