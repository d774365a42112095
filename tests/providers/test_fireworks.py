"""What is special about fireworks: three listings, tokens, an account, URLs that are signed anew."""

import json
import tracemalloc
from typing import Any

import pytest

from ftwatch.core.job import Method
from ftwatch.plugins import Introduction, NotFound, Page, ProviderError, Secret

KEY = "fw_0123456789abcdef"
HOME = "https://api.fireworks.ai/v1/accounts/acme"
SUPERVISED, DPO, REINFORCEMENT = "supervisedFineTuningJobs", "dpoJobs", "reinforcementFineTuningJobs"
NO_ROUTE = (404, {"code": 5, "message": "Not Found", "details": []})


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ACCOUNT_ID", "BASE_URL"):
        monkeypatch.delenv(f"FIREWORKS_{name}", raising=False)


@pytest.fixture
def case(make: Any) -> Any:
    return make.case("fireworks")


@pytest.fixture
def fireworks(make: Any) -> Any:
    """An account whose answers are given."""
    return lambda client, **options: make("fireworks", client, **{"api_key": Secret(KEY), **options})


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


# ------------------------------------------------------------------------------------------ the listings


async def test_each_listing_is_asked_for_page_by_page(fireworks: Any, service: Any, case: Any) -> None:
    def answer(head: str, token: str) -> tuple[int, Any]:
        jobs = [case.document("JOB_STATE_RUNNING", kind=head)]
        return 200, {head: jobs, "nextPageToken": token, "totalSize": 9}

    client = service(
        *[answer(head, token) for head in (SUPERVISED, DPO, REINFORCEMENT) for token in ("a:b&c", "")]
    )
    provider = fireworks(client)
    for head in provider.heads:
        page = provider.split(await provider.page(head))
        assert page.next == f"{head}:a:b&c"
        assert provider.split(await provider.page(page.next)).next is None
    assert client.asked == [
        f"GET {HOME}/{head}?pageSize=200{token}"
        for head in (SUPERVISED, DPO, REINFORCEMENT)
        for token in ("", "&pageToken=a%3Ab%26c")
    ]
    assert client.headers[0]["authorization"] == f"Bearer {KEY}"


async def test_a_listing_that_is_not_there_hides_no_other(fireworks: Any, service: Any, case: Any) -> None:
    jobs = (200, case.listing([case.document("JOB_STATE_RUNNING")]))
    provider = fireworks(service(jobs, NO_ROUTE, NO_ROUTE))
    pages = [provider.split(await provider.page(head)) for head in provider.heads]
    assert [len(page.entries) for page in pages] == [1, 0, 0]
    assert {page.next for page in pages} == {None}


async def test_the_first_listing_has_to_be_there(fireworks: Any, service: Any) -> None:
    with pytest.raises(ProviderError, match="Not Found; is the option account right") as caught:
        await fireworks(service(NO_ROUTE)).page(SUPERVISED)
    assert caught.value.missing


async def test_a_listing_that_was_there_does_not_become_empty(fireworks: Any, service: Any) -> None:
    provider = fireworks(service((200, {"dpoJobs": []}), NO_ROUTE, NO_ROUTE, NO_ROUTE))
    assert provider.split(await provider.page(DPO)) == Page(entries=(), next=None)
    for anchor in (DPO, f"{DPO}:token"):
        with pytest.raises(ProviderError) as caught:
            await provider.page(anchor)
        assert caught.value.missing


@pytest.mark.parametrize(("status", "denied"), [(403, True), (500, False), (410, False)])
async def test_any_other_refusal_is_none_of_a_missing_listing(
    status: int, denied: bool, fireworks: Any, service: Any
) -> None:
    with pytest.raises(ProviderError) as caught:
        await fireworks(service((status, {"message": "no"}))).page(DPO)
    assert caught.value.denied is denied
    assert caught.value.closed is (status == 410)


async def test_a_token_that_is_no_longer_known_begins_a_new_walk(fireworks: Any, service: Any) -> None:
    gone = (400, {"code": 3, "message": "invalid page_token"})
    provider = fireworks(service(gone, gone))
    for anchor, missing in ((f"{SUPERVISED}:old", True), (SUPERVISED, False)):
        with pytest.raises(ProviderError) as caught:
            await provider.page(anchor)
        assert caught.value.missing is missing


@pytest.mark.parametrize(
    "body",
    [
        {"object": "list", "data": {"id": "x"}},
        {"jobs": [], "nextPageToken": ""},
        {SUPERVISED: {"name": "x"}},
        {"code": 13, "message": "internal"},
    ],
)
def test_what_lists_other_things_decides_nothing(body: Any, fireworks: Any, service: Any) -> None:
    with pytest.raises(ProviderError):
        fireworks(service()).split(encoded(body))


def test_a_page_of_nameless_entries_leads_nowhere(fireworks: Any, service: Any) -> None:
    body = {SUPERVISED: [{"state": "JOB_STATE_RUNNING"}, 7], "nextPageToken": "t"}
    with pytest.raises(ProviderError, match="no way to the next page"):
        fireworks(service()).split(encoded(body))


async def test_equal_jobs_are_equal_bytes_and_no_secret_is_kept(
    fireworks: Any, service: Any, case: Any
) -> None:
    def signed(number: int) -> dict[str, Any]:
        urls = dict.fromkeys(("metricsFileSignedUrl", "trainerLogsSignedUrl"), f'https://x?s="{number}"')
        return {**case.document("JOB_STATE_RUNNING"), **urls}

    name = signed(1)["name"]
    answers = [(200, case.listing([signed(number)])) for number in (1, 2)]
    provider = fireworks(service(*answers, *[(200, signed(number)) for number in (3, 4)]))
    pages = [await provider.page(SUPERVISED) for _ in range(2)]
    documents = [await provider.retrieve(name) for _ in range(2)]
    assert pages[0] == pages[1]
    assert documents[0] == documents[1] == provider.split(pages[0]).entries[0]
    assert b"wandb-secret" not in pages[0]
    assert json.loads(documents[0]) == {
        **signed(0),
        "metricsFileSignedUrl": "",
        "trainerLogsSignedUrl": "",
        "wandbConfig": {**signed(0)["wandbConfig"], "apiKey": ""},
    }


async def test_a_long_secret_takes_little_more_memory_than_it_is(
    fireworks: Any, service: Any, case: Any
) -> None:
    document = {**case.document("JOB_STATE_RUNNING"), "apiKey": "a" * 500_000}
    provider = fireworks(service((200, document)))
    tracemalloc.start()
    try:
        await provider.retrieve(document["name"])
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


# ----------------------------------------------------------------------------------------------- one job


async def test_a_job_is_asked_for_by_its_whole_name(fireworks: Any, service: Any, case: Any) -> None:
    document = {**case.document("JOB_STATE_RUNNING"), "name": "accounts/acme/dpoJobs/a?b#c é"}
    client = service((200, document))
    job = (provider := fireworks(client)).read(await provider.retrieve(document["name"]))
    assert client.asked == [f"GET {HOME}/dpoJobs/a%3Fb%23c%20%C3%A9"]
    assert job.id == document["name"]


@pytest.mark.parametrize(
    "id", ["bot-1", "accounts/acme/dpoJobs", "accounts/acme/dpoJobs/x/y", "accounts/../dpoJobs/x"]
)
async def test_what_is_no_name_is_not_asked_for(id: str, fireworks: Any, service: Any) -> None:
    with pytest.raises(NotFound):
        await fireworks(service()).retrieve(id)


async def test_a_job_is_gone_where_the_api_says_so(fireworks: Any, service: Any, case: Any) -> None:
    name = case.document("x")["name"]
    gone = (404, {"code": 5, "message": f"fine-tuning job {name} not found", "details": []})
    provider = fireworks(service(gone, NO_ROUTE, (200, case.document("JOB_STATE_RUNNING", 2))))
    with pytest.raises(NotFound):
        await provider.retrieve(name)
    with pytest.raises(ProviderError, match="HTTP 404: Not Found"):
        await provider.retrieve(name)
    with pytest.raises(ProviderError, match="and was told about"):
        await provider.retrieve(name)


def test_a_whole_document_is_read(fireworks: Any, service: Any, case: Any) -> None:
    job = fireworks(service()).read(encoded(case.document("JOB_STATE_COMPLETED")))
    assert (job.name, job.owner, job.organization_id) == ("bot", "ml@example.com", "acme")
    assert (job.model, job.fine_tuned_model) == (case.TRAINING["baseModel"], case.MODEL)
    assert (job.training_file, job.validation_file) == ("accounts/acme/datasets/chats", None)
    assert (job.created_at, job.finished_at) == (1_791_190_800, 1_791_191_640)
    assert (job.hyperparameters, job.trained_tokens) == ({"epochs": 2}, 96_000)
    assert job.method == Method(type="supervised")
    assert job.url == "https://app.fireworks.ai/dashboard/fine-tuning/supervised/bot-1"


@pytest.mark.parametrize(
    ("head", "more", "method", "url"),
    [
        (DPO, {"lossConfig": {"method": "ORPO"}}, Method(type="dpo", dpo={"loss": {"method": "ORPO"}}), None),
        (DPO, {"lossConfig": 7}, Method(type="dpo", dpo={"loss": 7}), None),
        (
            REINFORCEMENT,
            {"evaluator": "accounts/acme/evaluators/exact"},
            Method(type="reinforcement", reinforcement={"evaluator": "accounts/acme/evaluators/exact"}),
            "https://app.fireworks.ai/dashboard/fine-tuning/reinforcement/bot-1",
        ),
    ],
)
def test_the_other_kinds_keep_their_training_apart(
    head: str, more: dict[str, Any], method: Method, url: str | None, fireworks: Any, service: Any, case: Any
) -> None:
    document = {**case.document("JOB_STATE_COMPLETED", kind=head), "epochs": None, **more}
    job = fireworks(service()).read(encoded(document))
    assert (job.method, job.url) == (method, url)
    assert (job.model, job.fine_tuned_model) == (case.TRAINING["baseModel"], case.MODEL)
    assert job.progress.percent == 67.5


def test_progress_never_goes_back(fireworks: Any, service: Any, case: Any) -> None:
    told = [(0, 10), (0, 99), (1, 0), (1, 60), (1, 100), (2, 0)]
    seen = []
    for epoch, percent in told:
        document = {**case.RUNNING, "jobProgress": {"epoch": epoch, "percent": percent}}
        seen.append(fireworks(service()).read(encoded(document)).progress.percent)
    assert seen == sorted(seen) == [5.0, 49.5, 50.0, 80.0, 100.0, 100.0]


def test_a_job_without_a_name_for_people_goes_by_its_id(fireworks: Any, service: Any, case: Any) -> None:
    document = {**case.RUNNING, "displayName": "", "name": "no/resource"}
    job = fireworks(service()).read(encoded(document))
    assert (job.name, job.method, job.organization_id, job.url) == ("resource", None, None, None)


# ------------------------------------------------------------------------------------- account and key


def accounts(*names: str) -> tuple[int, Any]:
    return 200, {"accounts": [{"name": f"accounts/{name}"} for name in names], "totalSize": len(names)}


async def test_the_one_account_of_a_key_is_found_once(fireworks: Any, service: Any) -> None:
    client = service(accounts("acme"), *[(200, {})] * 2)
    provider = fireworks(client, account=None)
    await provider.page(SUPERVISED)
    await provider.page(DPO)
    listings = [f"GET {HOME}/{head}?pageSize=200" for head in (SUPERVISED, DPO)]
    assert client.asked == ["GET https://api.fireworks.ai/v1/accounts", *listings]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [((), "the key opens no account: set"), (("a", "b"), r"the key opens several accounts \(a, b\): set")],
)
async def test_which_account_has_to_be_said(
    names: tuple[str, ...], sentence: str, fireworks: Any, service: Any
) -> None:
    with pytest.raises(
        ProviderError, match=f"{sentence} FIREWORKS_ACCOUNT_ID or the option account"
    ) as caught:
        await fireworks(service(accounts(*names)), account=None).page(SUPERVISED)
    assert caught.value.denied


async def test_the_environment_may_name_the_account(
    fireworks: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", "acme")
    monkeypatch.setenv("FIREWORKS_API_KEY", KEY)
    client = service((200, {}))
    await fireworks(client, account=None, api_key=None).page(None)
    assert client.asked == [f"GET {HOME}/{SUPERVISED}?pageSize=200"]
    assert client.headers[0]["authorization"] == f"Bearer {KEY}"


def test_an_account_is_an_id(make: Any) -> None:
    options = type(make("fireworks")._spec.options)
    assert list(options(account="accounts/acme").problems()) == [
        ("account", "is the account's id alone, like acme in accounts/acme/models/bot")
    ]
    assert list(options(account="acme-1").problems()) == []


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "set FIREWORKS_API_KEY or the option api_key; a key for inference alone does not do"),
        (403, "the key's user needs the role inference-user of the account, or a higher one"),
    ],
)
async def test_who_is_refused_is_told_what_to_set(
    status: int, advice: str, fireworks: Any, service: Any
) -> None:
    with pytest.raises(ProviderError) as caught:
        await fireworks(service((status, {"code": 7, "message": "no", "details": []}))).page(SUPERVISED)
    assert (caught.value.reason, caught.value.denied) == (f"HTTP {status}: no; {advice}", True)


async def test_a_listing_that_an_account_does_not_have_is_told(
    fireworks: Any, service: Any, case: Any
) -> None:
    account = (200, {"name": "accounts/acme"})
    provider = fireworks(service((200, {}), NO_ROUTE, account, (200, {}), account))
    await provider.page(SUPERVISED)
    await provider.page(DPO)
    assert (await provider.introduce()).lacks == "the listing dpoJobs is missing, and counts as empty"
    await provider.page(DPO)
    assert (await provider.introduce()).lacks == ""


async def test_a_key_is_introduced(fireworks: Any, service: Any) -> None:
    account = {"name": "accounts/acme", "displayName": "Acme"}
    told = [
        await fireworks(service((200, {**account, "suspendState": state}))).introduce()
        for state in ("UNSUSPENDED", "CREDIT_DEPLETED")
    ]
    whose = "the key opens the account acme (Acme)"
    assert told == [
        Introduction(whose=whose),
        Introduction(whose=whose, wrong="the account is suspended: CREDIT_DEPLETED"),
    ]
    for status, body in ((404, {"message": "account not found"}), (200, [])):
        with pytest.raises(ProviderError):
            await fireworks(service((status, body))).introduce()
