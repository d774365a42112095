"""`http`: the descriptions that are shipped, every way to page, the ways in, and mistakes at their places."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ftwatch import config
from ftwatch.client import Response
from ftwatch.core.job import Status
from ftwatch.plugins import NotFound, ProviderError, ProviderSpec, Secret
from ftwatch.providers.http import Authorization, Checkpoints, Getting, Http, Listing, Log, Options, Part
from ftwatch.wire.mapped import CheckpointFields, JobFields, LineFields, Words
from ftwatch.wire.paging import Paging
from ftwatch.wire.paths import Paths, dig, listing, within

ROOT = Path(__file__).parents[2]
SHIPPED = config.load(ROOT / "config" / "http.yaml", environ={"HOME": "/home/me"}).providers
path = Paths.of


class Service:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def request(self, method: str, url: str, **more: Any) -> Response:
        parts = urlsplit(url)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.asked.append({"method": method, "path": parts.path, "query": query, **more})
        answer = self.answers.pop(0)
        status, body = answer if isinstance(answer, tuple) else (200, answer)
        return Response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def options(**more: Any) -> Options:
    said: dict[str, Any] = {
        "base_url": "https://tuning.example.com/v1",
        "listing": Listing(path="/jobs", entries="jobs"),
        "get": Getting(path="/jobs/{id}"),
        "statuses": Words(running=("RUNNING",), succeeded=("DONE",)),
    }
    return Options(**(said | more))


def provider(service: Service | None = None, said: Any = None, **more: Any) -> Http:
    return Http(
        ProviderSpec(name="acme", kind="http", labels={}, options=said or options(**more), client=service)
    )


def job(id: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "status": "RUNNING", **more}


# ------------------------------------------------------------------------------ descriptions of services

S = Status
WORDS: dict[str, dict[str, Status]] = {
    "mistral": {
        "QUEUED": S.QUEUED,
        "VALIDATING": S.VALIDATING_FILES,
        "STARTED": S.RUNNING,
        "RUNNING": S.RUNNING,
        "VALIDATED": S.PAUSED,
        "CANCELLATION_REQUESTED": S.CANCELLING,
        "SUCCESS": S.SUCCEEDED,
        "FAILED": S.FAILED,
        "FAILED_VALIDATION": S.FAILED,
        "CANCELLED": S.CANCELLED,
    },
    "cohere": {
        "STATUS_UNSPECIFIED": S.UNKNOWN,
        "STATUS_QUEUED": S.QUEUED,
        "STATUS_FINETUNING": S.RUNNING,
        "STATUS_DEPLOYING_API": S.RUNNING,
        "STATUS_PAUSED": S.PAUSED,
        "STATUS_TEMPORARILY_OFFLINE": S.PAUSED,
        "STATUS_READY": S.SUCCEEDED,
        "STATUS_FAILED": S.FAILED,
        "STATUS_DELETED": S.CANCELLED,
    },
    "alibaba": {
        "PENDING": S.QUEUED,
        "QUEUING": S.QUEUED,
        "RUNNING": S.RUNNING,
        "CANCELING": S.CANCELLING,
        "SUCCEEDED": S.SUCCEEDED,
        "FAILED": S.FAILED,
        "CANCELED": S.CANCELLED,
    },
    "localai": {
        "queued": S.QUEUED,
        "loading_dataset": S.VALIDATING_FILES,
        "loading_model": S.RUNNING,
        "training": S.RUNNING,
        "saving": S.RUNNING,
        "completed": S.SUCCEEDED,
        "failed": S.FAILED,
        "stopped": S.CANCELLED,
    },
    "unsloth": {
        "idle": S.QUEUED,
        "loading_dataset": S.VALIDATING_FILES,
        "configuring": S.VALIDATING_FILES,
        "loading_model": S.RUNNING,
        "training": S.RUNNING,
        "finalizing": S.RUNNING,
        "running": S.RUNNING,
        "completed": S.SUCCEEDED,
        "error": S.FAILED,
        "stopped": S.CANCELLED,
    },
    "gateway": {
        "PENDING": S.QUEUED,
        "QUEUED": S.QUEUED,
        "STARTING": S.RUNNING,
        "RUNNING": S.RUNNING,
        "TERMINATING": S.CANCELLING,
        "COMPLETED": S.SUCCEEDED,
        "FAILED": S.FAILED,
        "STOPPED": S.CANCELLED,
        "CANCELED": S.CANCELLED,
        "UNKNOWN": S.UNKNOWN,
    },
}


@pytest.mark.parametrize(
    ("name", "theirs"), [(name, word) for name, words in WORDS.items() for word in words], ids=str
)
def test_a_word_of_a_service_that_is_described(name: str, theirs: str) -> None:
    told = SHIPPED[name].options
    (place,) = told.fields.id
    found = provider(said=told).read(json.dumps({place: "x", "status": theirs}).encode())
    assert (found.status, found.raw_status) == (WORDS[name][theirs], theirs)


def test_every_word_of_every_shipped_description_is_in_the_table() -> None:
    assert WORDS.keys() == SHIPPED.keys()
    for name, account in SHIPPED.items():
        written = {word for _, word in account.options.statuses.pairs() if "/" not in word}
        assert written == {word.lower() for word, status in WORDS[name].items() if status is not S.UNKNOWN}


# Services without an API of this sort, whose words a table in the config takes all the same.
PREDIBASE = {
    "queued": S.QUEUED,
    "training": S.RUNNING,
    "stopping": S.CANCELLING,  # its own client takes that for an end
    "completed": S.SUCCEEDED,
    "errored": S.FAILED,
    "canceled": S.CANCELLED,
    "stopped": S.CANCELLED,
}
SNOWFLAKE = {
    "PENDING": S.QUEUED,
    "IN_PROGRESS": S.RUNNING,
    "SUCCESS": S.SUCCEEDED,
    "ERROR": S.FAILED,
    "CANCELLED": S.CANCELLED,
}


@pytest.mark.parametrize("table", [PREDIBASE, SNOWFLAKE], ids=["predibase", "snowflake"])
def test_words_that_a_gateway_would_pass_on(table: dict[str, Status]) -> None:
    words: dict[str, tuple[str, ...]] = {}
    for word, status in table.items():
        words[status] = (*words.get(status, ()), word)
    reader = provider(statuses=Words(**words))
    for word, status in table.items():
        assert reader.read(json.dumps(job("x", status=word)).encode()).status is status


@pytest.mark.parametrize(("waits", "status"), [(False, S.PAUSED), (True, S.QUEUED), (None, S.PAUSED)])
def test_validated_waits_for_a_human_unless_it_starts_by_itself(waits: object, status: Status) -> None:
    found = job("x", status="VALIDATED", auto_start=waits)
    assert provider(said=SHIPPED["mistral"].options).read(json.dumps(found).encode()).status is status


def test_a_document_tells_its_states_and_its_checkpoints_whichever_way_they_run() -> None:
    found = job(
        "x",
        status="SUCCESS",
        events=[
            {"name": "status-updated", "data": {"status": "SUCCESS"}, "created_at": 300},
            {"name": "note", "data": {"text": "7"}, "created_at": 200},
            {"name": "status-updated", "data": {"status": "RUNNING"}, "created_at": 100},
            "nonsense",
        ],
        checkpoints=[{"step_number": 5, "created_at": 150}, {"step_number": 10, "created_at": 290}],
    )
    reader = provider(said=SHIPPED["mistral"].options)
    assert reader.log_parts == ()
    told = reader.inline(json.dumps(found).encode())
    assert [(line.at, line.status) for line in told.lines] == [
        (100, S.RUNNING),
        (200, None),
        (300, S.SUCCEEDED),
    ]
    assert [one.step for one in told.checkpoints] == [5, 10]
    assert not told.newest_first
    assert reader.inline(b"3").lines == ()


async def test_a_description_finds_the_job_within_the_answer() -> None:
    service = Service({"finetuned_model": {"id": "a", "status": "STATUS_READY", "settings": {}}, "more": 1})
    cohere = provider(service, replace(SHIPPED["cohere"].options, api_key=None))
    found = cohere.read(await cohere.retrieve("a"))
    assert (found.status, found.fine_tuned_model) == (S.SUCCEEDED, "a")


def test_a_listing_without_a_list_is_empty_where_the_description_says_so() -> None:
    assert provider(said=SHIPPED["cohere"].options).split(b"{}").entries == ()
    with pytest.raises(ProviderError, match="no `jobs`"):
        provider().split(b"{}")


# --------------------------------------------------------------------------------------------- all pages


async def walked(http: Http) -> list[list[str]]:
    """The ids of every page, until the listing ends."""
    pages, anchor, seen = [], None, set[str]()
    while True:
        page = http.split(await http.page(anchor))
        pages.append([http.identify(raw) for raw in page.entries])
        if page.next is None:
            return pages
        assert page.next not in seen
        seen.add(page.next)
        anchor = page.next


def jobs(*ids: str) -> list[dict[str, Any]]:
    return [job(id) for id in ids]


async def test_one_answer_is_everything() -> None:
    service = Service({"jobs": jobs("a", "b"), "total": 9, "has_more": True})
    assert await walked(provider(service)) == [["a", "b"]]
    assert service.asked[0]["query"] == {}


async def test_pages_by_the_last_id() -> None:
    service = Service({"jobs": jobs("a", "b"), "more": True}, {"jobs": jobs("c"), "more": False})
    paging = Paging(style="cursor", size_parameter="limit", size=2, more=path("more"))
    http = provider(service, listing=Listing(path="/jobs", query={"all": "1"}, entries="jobs"), paging=paging)
    assert await walked(http) == [["a", "b"], ["c"]]
    assert [one["query"] for one in service.asked] == [
        {"all": "1", "limit": "2"},
        {"all": "1", "limit": "2", "after": "b"},
    ]


async def test_pages_by_the_last_id_end_with_an_empty_one() -> None:
    service = Service({"jobs": jobs("a", "b")}, {"jobs": jobs("c")}, {"jobs": []})
    assert await walked(provider(service, paging=Paging(style="cursor"))) == [["a", "b"], ["c"], []]


async def test_numbered_pages_end_where_the_total_is_reached() -> None:
    """The service gives two a page, whatever is asked for."""
    service = Service(*({"jobs": jobs(*ids), "n": 5} for ids in ("ab", "cd", "e")))
    paging = Paging(style="page", first=0, size_parameter="page_size", size=100, total=path("n"))
    assert await walked(provider(service, paging=paging)) == [["a", "b"], ["c", "d"], ["e"]]
    assert [one["query"]["page"] for one in service.asked] == ["0", "1", "2"]


async def test_numbered_pages_end_where_their_number_is_reached() -> None:
    service = Service({"jobs": jobs("a"), "pages": 2}, {"jobs": jobs("b"), "pages": "2"})
    assert await walked(provider(service, paging=Paging(style="page", pages=path("pages")))) == [["a"], ["b"]]


async def test_numbered_pages_of_which_nobody_knows_how_many_end_with_an_empty_one() -> None:
    service = Service({"jobs": jobs("a", "b")}, {"jobs": jobs("c")}, {"jobs": []})
    assert await walked(provider(service, paging=Paging(style="page"))) == [["a", "b"], ["c"], []]


async def test_pages_by_offset() -> None:
    service = Service({"jobs": jobs("a", "b"), "total": 3}, {"jobs": jobs("c"), "total": 3})
    assert await walked(provider(service, paging=Paging(style="offset", total=path("total")))) == [
        ["a", "b"],
        ["c"],
    ]
    assert [one["query"]["offset"] for one in service.asked] == ["0", "2"]


async def test_pages_by_token() -> None:
    answers = [{"jobs": jobs("a"), "meta": {"next": "t/2="}}, {"jobs": [], "meta": {"next": 7}}]
    service = Service(*answers, {"jobs": jobs("b"), "meta": {"next": ""}})
    assert await walked(provider(service, paging=Paging(style="token", next=path("meta.next")))) == [
        ["a"],
        [],
        ["b"],
    ]
    assert [one["query"] for one in service.asked] == [{}, {"page_token": "t/2="}, {"page_token": "7"}]


@pytest.mark.parametrize("style", ["page", "offset"])
async def test_a_service_that_ignores_what_it_is_asked_for_is_not_asked_for_ever(style: Any) -> None:
    service = Service(*[{"jobs": jobs("a", "b")}] * 9)
    with pytest.raises(ProviderError, match="the last one again"):
        await walked(provider(service, paging=Paging(style=style)))
    assert len(service.asked) == 2


async def test_the_place_of_another_way_of_paging_begins_a_new_walk() -> None:
    with pytest.raises(ProviderError) as caught:
        await provider(Service(), paging=Paging(style="page")).page("offset=20&seen=20&last=x")
    assert caught.value.missing


async def test_a_forgotten_place_begins_a_new_walk() -> None:
    service = Service((400, {"detail": "after: no such job"}))
    with pytest.raises(ProviderError) as caught:
        await provider(service, paging=Paging(style="cursor")).page("gone")
    assert caught.value.missing


def test_equal_pages_have_equal_anchors_and_no_job_can_be_taken_for_one() -> None:
    http = provider(paging=Paging(style="page"))
    page = http.split(json.dumps({"jobs": jobs("2", "a&b")}).encode())
    assert page.next == "page=2&seen=2&last=a%26b"


def test_a_log_comes_in_pages_too() -> None:
    http = provider(
        paging=Paging(style="cursor", more=path("more")),
        log=Log(path="/jobs/{id}/log", entries="log", paged=True, fields=LineFields(id=path("n"))),
        checkpoints=Checkpoints(path="/jobs/{id}/saved", fields=CheckpointFields(step=path("n"))),
    )
    assert http.log_parts == ("log", "checkpoints")
    assert http.read_log("log", b'{"log": [{"n": 1}, {"n": 2}, 3], "more": true}').next == "2"
    assert [one.step for one in http.read_log("checkpoints", b'[{"n": "4"}]').checkpoints] == [4]


# ------------------------------------------------------------------------------------- asking and ways in


async def test_a_job_may_be_asked_for_by_a_post() -> None:
    service = Service({"id": "a/b", "status": "RUNNING"})
    get = Getting(path="/jobs/retrieve", method="POST", body={"job": {"id": "{id}"}, "ids": ["{id}", 1]})
    await provider(service, get=get).retrieve("a/b")
    (asked,) = service.asked
    assert (asked["method"], asked["path"]) == ("POST", "/v1/jobs/retrieve")
    assert json.loads(asked["content"]) == {"job": {"id": "a/b"}, "ids": ["a/b", 1]}


async def test_an_id_stands_quoted_in_a_path() -> None:
    service = Service(job("a/../b"))
    await provider(service).retrieve("a/../b")
    assert service.asked[0]["path"] == "/v1/jobs/a%2F..%2Fb"


@pytest.mark.parametrize(
    ("answer", "is_gone"),
    [
        ((404, {"detail": "there is no job x"}), True),
        ((404, {"detail": "Not Found"}), False),
        ((400, {"message": "Job does not EXIST"}), True),
        ((500, {"message": "does not exist"}), False),
        *(((status, {"message": "the key does not exist"}), False) for status in (401, 403, 407, 408, 429)),
        ((404, b"<html>nginx</html>"), False),
        ({"id": "y", "status": "RUNNING"}, False),
        ({"error": "try again"}, False),
        ([], False),
    ],
)
async def test_gone_is_what_the_api_itself_says_to_be_gone(answer: Any, is_gone: bool) -> None:
    get = Getting(path="/jobs/{id}", missing=("does not exist",))
    with pytest.raises(NotFound if is_gone else ProviderError):
        await provider(Service(answer), get=get).retrieve("x")


async def test_the_key_and_the_headers_go_along_and_are_told_to_nobody() -> None:
    service = Service((403, {"error": "tok-123456789 of tenant-secret may not"}))
    http = provider(
        service,
        api_key=Secret("tok-123456789"),
        auth=Authorization(header="X-Key", scheme="Token"),
        headers={"X-Tenant": Secret("tenant-secret"), "x-plain": "7"},
    )
    with pytest.raises(ProviderError) as caught:
        await http.page(None)
    sent = service.asked[0]["headers"]
    assert (sent["x-key"], sent["x-tenant"], sent["x-plain"]) == ("Token tok-123456789", "tenant-secret", "7")
    assert caught.value.denied
    assert "secret" not in caught.value.reason
    assert "tok-" not in caught.value.reason


async def test_without_a_key_none_is_sent_and_a_refusal_says_so() -> None:
    service = Service((401, {}))
    with pytest.raises(ProviderError, match="set the option api_key"):
        await provider(service).page(None)
    assert "authorization" not in service.asked[0]["headers"]


# -------------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    ("where", "found"),
    [("a", 1), ("b.0.c", 2), ("b.-1", 3), ("b.7", None), ("a.b", None), ("b.x", None), ("d", None)],
)
def test_a_path_leads_to(where: str, found: object) -> None:
    assert dig({"a": 1, "b": [{"c": 2}, 3], "d": None}, where) == found


@pytest.mark.parametrize("where", ["", ".", "a..b", "a.", "x" * 300, "a\n"])
def test_what_is_no_path(where: str) -> None:
    with pytest.raises(ValueError, match="no path"):
        Paths.of(where)


def test_a_list_is_found_wherever_it_stands() -> None:
    assert listing(b'{"a": {"b": [1, {"x": 2}]}, "n": 2}', "a.b") == (
        [b"1", b'{"x": 2}'],
        {"a": {"b": [1, {"x": 2}]}, "n": 2},
    )
    assert listing(b"[1]", "")[0] == [b"1"]
    assert within(b'{"a": {"b": 7}}', "a.b") == b"7"
    with pytest.raises(ProviderError, match="names no list"):
        listing(b'{"a": []}', "")
    with pytest.raises(ProviderError, match=r"no `a\.c`: too slow"):
        within(b'{"a": {"error": "too slow"}}', "a.c")


# ------------------------------------------------------------------------------------------------ mistakes

GOOD = """\
providers:
  acme:
    kind: http
    base_url: https://tuning.example.com/v1
    list: {path: /jobs}
    get: {path: "/jobs/{id}"}
    statuses: {succeeded: [DONE], failed: [BROKEN]}
notifiers: {console: {}}
"""
MISTAKES: dict[str, tuple[str, str, list[tuple[int, int, str]]]] = {
    "a block with a slip": (
        "    list: {path: /jobs}",
        "    lst: {path: /jobs}",
        [(2, 3, "needs list"), (5, 5, "has no key 'lst'; did you mean 'list'?")],
    ),
    "a field with a slip": (
        "    statuses",
        "    fields: {fine_tuned_modle: x, error.mesage: y}\n    statuses",
        [
            (7, 14, "fields has no key 'fine_tuned_modle'; did you mean 'fine_tuned_model'?"),
            (7, 35, "fields has no key 'error.mesage'; did you mean 'error.message'?"),
        ],
    ),
    "a path that is none": (
        "    statuses",
        "    fields: {model: a..b, id: [x, 3]}\n    statuses",
        [(7, 21, "model: 'a..b' is no path"), (7, 31, "id: this is a path like error.message")],
    ),
    "a status with a slip": (
        "failed: [BROKEN]",
        "faild: [BROKEN]",
        [(7, 35, "statuses has no key 'faild'; did you mean 'failed'?")],
    ),
    "a word twice": (
        "failed: [BROKEN]",
        "failed: [BROKEN], cancelled: [broken]",
        [(7, 64, "statuses.cancelled: 'broken' stands under failed too")],
    ),
    "no word for success": ("succeeded: [DONE], ", "", [(7, 15, "no word says that a job has succeeded")]),
    "one word without brackets": ("[BROKEN]", "BROKEN", [(7, 43, "a list, not 'BROKEN'; write [BROKEN]")]),
    "a style with a slip": (
        "    statuses",
        "    paging: {style: tokn}\n    statuses",
        [(7, 21, "did you mean 'token'?")],
    ),
    "a word for paging": (
        "    statuses",
        "    paging: nnone\n    statuses",
        [(7, 13, "paging should be 'none' or a mapping, not 'nnone'; did you mean 'none'?")],
    ),
    "a style without what it needs": (
        "    statuses",
        "    paging: {style: token, first: 2, size: 0}\n    statuses",
        [
            (7, 21, "paging.style: token needs `next`"),
            (7, 35, "paging.first: means something with style page only"),
            (7, 44, "paging.size: should be at least 1"),
        ],
    ),
    "paths of addresses": (
        '    list: {path: /jobs}\n    get: {path: "/jobs/{id}"}',
        '    list: {path: "jobs?all=1"}\n    get: {path: /job, body: {x: 1}}',
        [
            (5, 18, "list.path: begins with / and has no ?"),
            (6, 17, "get.path: {id} has to stand for the job's id"),
            (6, 29, "get.body: is sent with method: POST only"),
        ],
    ),
    "words of every complaint": (
        'get: {path: "/jobs/{id}"}',
        'get: {path: "/jobs/{id}", missing: [gone, " "]}',
        [(6, 40, "get.missing: an empty text is in every complaint")],
    ),
    "headers": (
        "    statuses",
        "    auth: {header: 'x y'}\n    headers: {Host: a, 'b:c': d}\n    statuses",
        [
            (7, 20, "auth.header: 'x y' is no name of a header"),
            (8, 14, "headers: 'b:c' is no name of a header"),
            (8, 14, "headers: the header 'Host' is set by ftwatch itself"),
        ],
    ),
    "a log from nowhere": (
        "    statuses",
        "    log: {paged: true}\n    statuses",
        [(7, 10, "log: needs `path`")],
    ),
    "a page for people": (
        "    statuses",
        "    page: https://x.example.com/jobs\n    labels_from: [a..b]\n    statuses",
        [(7, 11, "page: {id} has to stand"), (8, 18, "labels_from: 'a..b' is no path")],
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_at_its_place(name: str, tmp_path: Path) -> None:
    before, after, wanted = MISTAKES[name]
    assert before in GOOD
    file = tmp_path / "ftwatch.yaml"
    file.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(config.ConfigError) as caught:
        config.load(file, environ={})
    told = sorted((one.line, one.column, one.sentence) for one in caught.value.problems)
    assert [(line, column) for line, column, _ in told] == [(line, column) for line, column, _ in wanted]
    for (_, _, sentence), (_, _, part) in zip(told, wanted, strict=True):
        assert part in sentence


def test_the_smallest_description_loads(tmp_path: Path) -> None:
    file = tmp_path / "ftwatch.yaml"
    file.write_text(GOOD)
    told = config.load(file, environ={}).providers["acme"].options
    assert told.fields == JobFields()
    assert told.parts() == {}
    assert isinstance(Log(), Part)
