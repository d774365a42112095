"""What upstreams answer, through the real provider, poller and store: garbage decides nothing."""

import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx2
import pytest

from ftwatch.client import Account, Client
from ftwatch.config import ProviderConfig
from ftwatch.core.pace import Budget
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.rule import Stuck
from ftwatch.plugins import ProviderSpec, Secret
from ftwatch.poller import Poller
from ftwatch.providers.openai import OpenAI, Options
from ftwatch.store import Store, inline

ROUTING = Routing(recipients=(Recipient(name="slack", kind="slack"),))
FOUND = json.loads((Path(__file__).parents[1] / "data" / "upstream.json").read_text())
ROWS = {row["name"]: row for row in FOUND["rows"]}
STATES = ("queued", "running", "paused", "succeeded", "failed")
HEALTH = ("ftwatch.provider.recovered p", "ftwatch.provider.watching p")


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key from outside."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


# -------------------------------------------------------------------------------------------- recipes


def text(recipe: Any) -> Any:
    """A value of a document, where long ones are written as recipes."""
    match recipe:
        case {"repeat": [str(part), int(times)]}:
            return part * times
        case dict():
            return {key: text(value) for key, value in recipe.items()}
        case list():
            return [text(value) for value in recipe]
    return recipe


class Upstream:
    """An OpenAI of five jobs, whose answers are those of a row while there is one."""

    def __init__(self) -> None:
        self.jobs = {f"ftjob-{status}": self.document(status) for status in STATES}
        self.others: dict[str, bytes] = {}
        self.row: dict[str, Any] | None = None
        self.asked = 0

    @staticmethod
    def document(name: str, **fields: Any) -> dict[str, Any]:
        """A job as this upstream describes it: called after its status, or a `new` one, which runs."""
        base: dict[str, Any] = {
            "id": f"ftjob-{name}",
            "object": "fine_tuning.job",
            "created_at": 1_794_990_000,
            "model": "gpt-4",
            "status": "running" if name == "new" else name,
            "seed": 7,
        }
        if name in ("succeeded", "failed"):
            base |= {
                "finished_at": 1_794_999_000,
                "fine_tuned_model": "ft:m" if name == "succeeded" else None,
            }
        return {**base, **text(fields)}

    def bytes_of(self, recipe: Any) -> bytes:
        """The body that a recipe stands for."""
        match recipe:
            case str():
                return recipe.encode()
            case list():
                return b"".join(map(self.bytes_of, recipe))
            case {"repeat": [str(part), int(times)]}:
                return part.encode() * times
            case {"base64": str(encoded)}:
                return base64.b64decode(encoded)
            case {"gzip": inner}:
                return gzip.compress(self.bytes_of(inner), 1, mtime=0)
            case {"deflate": inner}:
                return zlib.compress(self.bytes_of(inner))
            case {"flip": inner}:
                body = self.bytes_of(inner)
                return body[:-8] + bytes(byte ^ 255 for byte in body[-8:])
            case {"cut": int(part), "of": inner}:
                body = self.bytes_of(inner)
                return body[:part] if part < 0 else body[: len(body) * part // 16]
            case {"page": entries, **more}:
                return self.page(entries, **more)
            case {"in": encoding, "of": inner}:
                return self.bytes_of(inner).decode().encode(encoding)
            case {"job": name, **fields}:
                return json.dumps(self.document(name, **fields)).encode()
        raise AssertionError(f"no recipe: {recipe!r}")

    def page(
        self,
        entries: list[Any],
        *,
        rest: bool = True,
        bare: bool = False,
        key: str = "data",
        has_more: Any = False,
        **more: Any,
    ) -> bytes:
        """A page: these entries, then the known jobs that are not among them."""
        written: list[bytes] = []
        for entry in entries:
            match entry:
                case {"value": value}:
                    written.append(json.dumps(text(value)).encode())
                case {"json": recipe}:
                    written.append(self.bytes_of(recipe))
                case job:
                    written.append(self.bytes_of(job))
        told = {f"ftjob-{entry['job']}" for entry in entries if "job" in entry}
        if rest:
            written += [json.dumps(job).encode() for id, job in self.jobs.items() if id not in told]
        whole = b"[" + b", ".join(written) + b"]"
        if not bare:
            says = json.dumps(has_more).encode()
            whole = b'{"object": "list", "' + key.encode() + b'": ' + whole + b', "has_more": ' + says + b"}"
        return whole.decode().encode(more["in"]) if "in" in more else whole

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        """What an HTTP request gets."""
        self.asked += 1
        id = unquote(request.url.raw_path.decode().partition("?")[0]).partition("/fine_tuning/jobs")[2][1:]
        row = self.row
        if row is not None and row["where"] == "both":
            job = {"page": [row["body"]]} if not id else row["body"]
            if not id or id == f"ftjob-{row['body']['job']}":
                return reply(200, self.bytes_of(job))
        elif row is not None and self.is_hit(row["where"], id):
            body = self.bytes_of(row["body"])
            if not id and row["where"] == "list":
                self.remember(row["body"])
            return reply(row.get("status", 200), body, row.get("headers"), row.get("breaks"))
        if not id:
            return reply(200, self.page([]))
        if id in self.jobs:
            return reply(200, json.dumps(self.jobs[id]).encode())
        if id in self.others:
            return reply(200, self.others[id])
        return reply(
            404, b'{"error": {"message": "Could not find fine tune", "code": "fine_tune_not_found"}}'
        )

    @staticmethod
    def is_hit(where: str, id: str) -> bool:
        """Whether a row's answer is for this request."""
        if where == "everything":
            return True
        if not id:
            return where in ("list", "baseline")
        return where == "retrieves" or (where == "retrieve" and id == "ftjob-running")

    def remember(self, body: Any) -> None:
        """Jobs that a page tells of for the first time are there when they are asked for."""
        entries = body.get("page", ()) if isinstance(body, dict) else ()
        for entry in entries:
            raw = self.bytes_of(entry["json"]) if "json" in entry else None
            if entry.get("job") == "new":
                raw = self.bytes_of(entry)
            if raw is not None:
                for id in {"ftjob-new", "ftjob-\ufffd", str(entry.get("id"))}:
                    self.others.setdefault(id, raw)
        if not isinstance(body, dict) and not entries:
            self.others.setdefault("ftjob-new", b'{"id": "ftjob-new", "status": "running"}')


class Body(httpx2.AsyncByteStream):
    """A body that comes in pieces, and may break off."""

    def __init__(self, whole: bytes, breaks: str | None) -> None:
        self.whole, self.breaks = whole, breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        end = len(self.whole) // 2 if self.breaks else len(self.whole)
        for start in range(0, end, 65536):
            yield self.whole[start : min(start + 65536, end)]
        if self.breaks:
            raise getattr(httpx2, self.breaks)("broken on purpose")


def reply(
    status: int, body: bytes, headers: dict[str, str] | None = None, breaks: str | None = None
) -> httpx2.Response:
    if breaks in ("ReadTimeout", "ConnectError"):
        raise getattr(httpx2, breaks)("broken on purpose")
    given = {"content-type": "application/json", **(headers or {})}
    return httpx2.Response(status, headers=given, stream=Body(body, breaks))


# --------------------------------------------------------------------------------------------- the rounds


class Watch:
    """A poller over an upstream, and what it told so far."""

    def __init__(self, upstream: Upstream, store: Store, clock: Any, client: Client, **config: Any) -> None:
        self.upstream, self.store, self.clock = upstream, store, clock
        self.seq = 0
        account = Account(client, Budget(10), clock=clock.ticks, sleep=clock.sleep)
        options = Options(base_url="http://127.0.0.1/v1", api_key=Secret("not-a-key"))
        provider = OpenAI(ProviderSpec(name="p", kind="openai", labels={}, options=options, client=account))
        self.poller = Poller(
            ProviderConfig(name="p", kind="openai", options=options, job_log=False, **config),
            provider,
            store,
            inline,
            routing=ROUTING,
            rules=(Stuck(),),
            clock=clock,
            bell=lambda owed: None,
        )

    async def round(self, after: float = 0.0) -> list[str]:
        """Lets time pass, polls until nothing is due, and says what was told: "type job"."""
        self.clock.time += after
        for _ in range(100):
            if not await self.poller.poll_once():
                break
        else:
            pytest.fail("the poller never rests")
        found = self.store.history.events(after=self.seq, limit=1000)
        self.seq = self.store.history.last_seq()
        for _, event in found:
            assert 0 < event.created_at <= self.clock.time + 300
            assert event.data.id.isprintable()
        return [f"{event.type.removeprefix('fine_tuning.')} {event.data.id}" for _, event in found]

    def statuses(self) -> dict[str, str]:
        """What is known of the five jobs."""
        known = self.store.jobs.load("p", list(self.upstream.jobs))
        return {id: str(job.snapshot.status) for id, job in known.items()}


@asynccontextmanager
async def watching(folder: Path, clock: Any, **config: Any) -> AsyncIterator[Watch]:
    upstream = Upstream()
    store = Store(folder / "ftwatch.db")
    try:
        async with Client(transport=httpx2.MockTransport(upstream.answer)) as client:
            yield Watch(upstream, store, clock, client, **config)
    finally:
        store.close()


async def recover(watch: Watch, row: dict[str, Any]) -> None:
    """All is well again, and ftjob-running has failed: the next good answers say so, and nothing else."""
    upstream = watch.upstream
    upstream.row = None
    upstream.jobs["ftjob-running"] |= {"status": "failed", "finished_at": int(watch.clock.time)}
    told: list[str] = []
    for _ in range(3):
        told += await watch.round(row.get("rest_after", 700))
    news = [event for event in told if event not in HEALTH]
    allowed = {expected for expected in row["expect"] if expected.startswith("job.updated")}
    expected = row.get("again", ["job.failed ftjob-running"])
    assert sorted(event for event in news if event not in allowed) == sorted(expected)
    assert ("ftwatch.provider.recovered p" in told) == ("ftwatch.provider.degraded p" in row["expect"])
    assert watch.statuses() == {id: job["status"] for id, job in upstream.jobs.items()}
    assert watch.poller.problem is None


@pytest.mark.parametrize("name", ROWS)
async def test_what_an_answer_comes_to(name: str, tmp_path: Path, clock: Any) -> None:
    row = ROWS[name]
    async with watching(tmp_path, clock) as watch:
        if row["where"] == "baseline":
            watch.upstream.row = row
            told = await watch.round()
            assert told == row["expect"]
            assert watch.poller.problem
            watch.upstream.row = None
            later = await watch.round(400)
            assert "ftwatch.provider.watching p" in later
            assert set(later) <= set(HEALTH), "what was there before is no news"
            row = {**row, "expect": []}
        else:
            assert await watch.round() == ["ftwatch.provider.watching p"]
            assert await watch.round(150) == []
            before = watch.statuses()
            asked = watch.upstream.asked
            watch.upstream.row = row
            told = []
            failed = False
            for _ in range(row.get("rounds", 1)):
                if row.get("deep"):
                    watch.poller.poke(deep=True)
                told += await watch.round(row.get("wait", 150))
                failed = failed or watch.poller.problem is not None
            assert watch.upstream.asked > asked
            assert sorted(told) == sorted(row["expect"])
            assert row["failed"] in (failed, None), watch.poller.problem
            if not any(event.startswith("job.") for event in row["expect"]):
                assert watch.statuses() == before
        await recover(watch, row)


async def test_after_the_baseline_an_unchanged_page_asks_for_nobody(tmp_path: Path, clock: Any) -> None:
    async with watching(tmp_path, clock, poll=3600.0) as watch:
        await watch.round()
        asked = watch.upstream.asked
        assert await watch.round(150) == []
        assert watch.upstream.asked == asked + 1


async def test_one_job_that_does_not_answer_is_no_failure_of_its_provider(tmp_path: Path, clock: Any) -> None:
    async with watching(tmp_path, clock) as watch:
        await watch.round()
        await watch.round(150)
        watch.upstream.jobs["ftjob-running"]["seed"] = 8
        watch.upstream.row = {"where": "retrieve", "status": 500, "body": ""}
        asked = watch.upstream.asked
        assert await watch.round(150) == []
        assert watch.poller.problem is None
        assert watch.upstream.asked == asked + 4, "the page, and each active job once"


async def test_a_page_that_could_not_be_dealt_with_is_new_the_next_time(
    tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(tmp_path, clock) as watch:
        await watch.round()
        await watch.round(150)
        watch.upstream.jobs["ftjob-new"] = watch.upstream.document("new")
        with monkeypatch.context() as patch:
            patch.setattr(OpenAI, "read", lambda *_: {}["a mistake"])
            assert await watch.round(150) == []
            assert watch.poller.problem
        assert await watch.round(150) == ["job.created ftjob-new"]


def test_the_corpus_is_in_order() -> None:
    assert len(FOUND["rows"]) == len(ROWS) >= 90
    keys = {key for row in ROWS.values() for key in row}
    assert keys <= {
        *("name", "where", "status", "headers", "body", "breaks", "wait", "rounds", "rest_after", "deep"),
        *("expect", "failed", "again"),
    }
    for row in ROWS.values():
        assert row["failed"] is not True or not any(event.startswith("job.") for event in row["expect"])
