"""What is special about together: one page, stages, a job log without ids, restarts under another id."""

import json
from typing import Any

import pytest

from ftwatch.core.job import Status
from ftwatch.core.journal import Journal, checkpoint_key, fresh, keyed
from ftwatch.plugins import Introduction, NotFound, ProviderError, Secret

KEY = "tgp_v1_0123456789abcdef"
HOME = "https://api.together.xyz/v1"


@pytest.fixture(autouse=True)
def _no_key_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TOGETHER_API_KEY", "TOGETHER_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def case(make: Any) -> Any:
    return make.case("together")


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


# ----------------------------------------------------------------------------------------------- asking


async def test_the_whole_listing_is_one_request(make: Any, service: Any, case: Any) -> None:
    client = service((200, case.listing([case.document("running")])))
    together = make("together", client, api_key=Secret(KEY))
    page = together.split(await together.page(None))
    assert client.asked == [f"GET {HOME}/fine-tunes"]
    assert client.headers[0]["authorization"] == f"Bearer {KEY}"
    assert (len(page.entries), page.next) == (1, None)


async def test_each_part_of_the_log_has_an_address(make: Any, service: Any) -> None:
    client = service(*[(200, {"data": []})] * 2, *[(200, {"metrics": []})] * 2)
    together = make("together", client, api_key=Secret(KEY))
    for part, anchor in (("events", None), ("checkpoints", None), ("metrics", None), ("metrics", "120")):
        await together.log("ft-1/2", part, anchor)
    assert client.asked == [
        f"GET {HOME}/fine-tunes/ft-1%2F2/events",
        f"GET {HOME}/fine-tunes/ft-1%2F2/checkpoints",
        f"GET {HOME}/fine-tunes/ft-1%2F2/metrics",
        f"GET {HOME}/fine-tunes/ft-1%2F2/metrics?global_step_from=120",
    ]


ORGANIZATION = {"id": "org_1", "name": "Acme, Inc."}


@pytest.mark.parametrize(
    ("who", "whose"),
    [
        (
            {
                "type": "project_api_key",
                "organization": ORGANIZATION,
                "project": {"id": "proj_1", "name": "Search"},
            },
            "the key is one of the project Search (proj_1) of the organization Acme, Inc. (org_1)",
        ),
        (
            {"type": "org_api_key", "organization": ORGANIZATION},
            "the key is one of the organization Acme, Inc. (org_1)",
        ),
        ({"project": {"id": "proj_1"}}, "the key is one of the project without a name (proj_1)"),
        ({"type": "user_jwt", "user": {"id": "u"}}, ""),
        ({"project": 7}, ""),
    ],
)
async def test_it_says_whose_key_it_is(who: Any, whose: str, make: Any, service: Any) -> None:
    client = service((200, who))
    told = await make("together", client, api_key=Secret(KEY)).introduce()
    assert told == Introduction(whose=whose)
    assert client.asked == ["GET https://api.together.xyz/v3/whoami"]


async def test_a_key_that_is_nobodys_is_told(make: Any, service: Any) -> None:
    for status, body in ((200, []), (404, {"error": {"message": "Not Found"}})):
        with pytest.raises(ProviderError):
            await make("together", service((status, body)), api_key=Secret(KEY)).introduce()


@pytest.mark.parametrize("base_url", ["https://t.example.com/x", "https://t.example.com/x/v1/"])
async def test_the_version_may_stand_in_the_address(base_url: str, make: Any, service: Any) -> None:
    client = service((200, {"data": []}))
    await make("together", client, base_url=base_url + "?region=eu").page(None)
    assert client.asked == ["GET https://t.example.com/x/v1/fine-tunes?region=eu"]


@pytest.mark.parametrize(
    ("base_url", "gets_it"),
    [
        (HOME, True),
        ("https://api.together.ai/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("https://proxy.example.com/v1/", True),
        ("https://api.example.com/v1", False),
        ("http://api.together.xyz.example.com/v1", False),
    ],
)
async def test_the_key_of_the_environment_goes_to_its_own_service_only(
    base_url: str, gets_it: bool, make: Any, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", KEY)
    monkeypatch.setenv("TOGETHER_BASE_URL", "https://proxy.example.com/v1")
    client = service((200, {"data": []}))
    await make("together", client, base_url=base_url).page(None)
    assert client.headers[0].get("authorization") == (f"Bearer {KEY}" if gets_it else None)


async def test_without_a_key_nobody_is_asked(make: Any, service: Any) -> None:
    with pytest.raises(ProviderError, match="no API key: set TOGETHER_API_KEY or the option") as caught:
        await make("together", service()).page(None)
    assert caught.value.denied


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "HTTP 401: Bad key; set TOGETHER_API_KEY or the option api_key to a key of the project"),
        (403, "HTTP 403: Bad key; the key needs access to the fine-tuning jobs of its project"),
    ],
)
async def test_who_is_refused_is_told_what_to_set(
    status: int, sentence: str, make: Any, service: Any
) -> None:
    client = service((status, {"error": {"message": "Bad key", "type": "invalid_request_error"}}))
    with pytest.raises(ProviderError) as caught:
        await make("together", client, api_key=Secret(KEY)).page(None)
    assert (caught.value.reason, caught.value.denied) == (sentence, True)


@pytest.mark.parametrize("status", [503, 504, 524, 529])
async def test_a_service_that_is_busy_decides_nothing(status: int, make: Any, service: Any) -> None:
    together = make("together", service((status, "")), api_key=Secret(KEY))
    with pytest.raises(ProviderError, match=f"HTTP {status}") as caught:
        await together.retrieve("ft-1")
    assert not caught.value.denied


async def test_a_job_is_gone_where_the_api_says_so(make: Any, service: Any, case: Any) -> None:
    gone = (404, {"error": {"message": "Fine-tune ID not found."}})
    together = make(
        "together", service(gone, (404, ""), (200, case.document("running"))), api_key=Secret(KEY)
    )
    with pytest.raises(NotFound):
        await together.retrieve("ft-1")
    with pytest.raises(ProviderError, match="HTTP 404"):
        await together.retrieve("ft-1")
    with pytest.raises(ProviderError, match="asked for job ft-1, and was told about ft-001-7f3c"):
        await together.retrieve("ft-1")


@pytest.mark.parametrize("part", ["events", "checkpoints", "metrics"])
async def test_the_log_of_a_job_that_is_gone_says_nothing_of_other_logs(
    part: str, make: Any, service: Any
) -> None:
    gone = (404, {"error": {"message": "Fine-tune job ft-1 not found."}})
    together = make("together", service(gone, (404, "")), api_key=Secret(KEY))
    with pytest.raises(NotFound):
        await together.log("ft-1", part, None)
    with pytest.raises(ProviderError, match="HTTP 404") as caught:
        await together.log("ft-1", part, None)
    assert caught.value.missing


# ------------------------------------------------------------------------------------------ the document


def test_a_whole_document_is_read(make: Any, case: Any) -> None:
    job = make("together").read(encoded(case.document("completed")))
    assert job.fine_tuned_model == "acme/Meta-Llama-3.1-8B-bot-1a2b3c4d"
    assert (job.name, job.owner, job.training_file, job.validation_file) == ("bot", "user_1", "file-1", None)
    assert job.finished_at is not None
    assert job.trained_tokens == 910_000
    assert job.hyperparameters == {
        "n_epochs": 3,
        "batch_size": 8,
        "learning_rate": 1e-05,
        "lr_scheduler": {"lr_scheduler_type": "cosine", "lr_scheduler_args": {"num_cycles": 0.5}},
        "training_type": {"type": "Lora", "lora_r": 8, "lora_alpha": 16},
    }
    assert (job.method.type, job.method.supervised) == ("supervised", {"train_on_inputs": "auto"})
    assert job.integrations == ({"type": "wandb", "wandb": {"project": "bots"}},)
    assert job.url == "https://api.together.ai/fine-tuning/ft-001-7f3c"


def test_preferences_are_a_method_too_and_others_keep_their_name(make: Any, case: Any) -> None:
    methods = [{"method": "dpo", "dpo_beta": 0.1}, {"method": "grpo"}]
    dpo, other = (
        make("together").read(encoded({**case.document("running"), "training_method": method})).method
        for method in methods
    )
    assert (dpo.type, dpo.dpo, dpo.supervised) == ("dpo", {"dpo_beta": 0.1}, None)
    assert (other.type, other.dpo, other.supervised) == ("grpo", None, None)


def test_epochs_tell_how_far_it_is_where_steps_do_not(make: Any, case: Any) -> None:
    known = {**case.document("running"), "steps_completed": None, "epochs_completed": 1}
    assert make("together").read(encoded(known)).progress.percent == 33.3


def test_a_job_elsewhere_has_no_page_on_the_platform(make: Any, case: Any) -> None:
    together = make("together", base_url="http://127.0.0.1:1/v1")
    assert together.read(encoded(case.document("running"))).url is None


# ------------------------------------------------------------------------------------------- the job log


def lines(make: Any, *events: dict[str, Any]) -> Any:
    return make("together").read_log("events", encoded({"data": list(events)})).lines


def test_a_log_tells_of_states_and_never_of_an_end(make: Any, case: Any) -> None:
    types = ("job_pending", "job_start", "training_start", "epoch_complete", "cancel_requested")
    ends = ("job_complete", "job_error", "job_stopped")
    told = lines(make, *[case.event(type, "") for type in (*types, *ends)])
    states = [Status.QUEUED, Status.RUNNING, Status.RUNNING, None, Status.CANCELLING]
    assert [line.status for line in told] == [*states, None, None, None]
    assert {line.at for line in told} == {case.BEGAN_AT}


def test_the_document_holds_the_same_lines(make: Any, case: Any) -> None:
    document = case.document("running")
    inline = make("together").inline(encoded(document))
    assert inline.lines == lines(make, *document["events"])
    assert not inline.newest_first
    assert make("together").inline(b"<").lines == ()


def test_events_of_the_same_second_are_told_apart_without_ids(make: Any, case: Any) -> None:
    events = [case.event("epoch_complete", f"Epoch completed, at step {step}") for step in (24, 48, 48)]
    first, again = (keyed(lines(make, *events)) for _ in range(2))
    assert len({line.key for line in first}) == 3
    assert fresh(Journal(lines=again), {line.key for line in first}, ()).is_empty


@pytest.mark.parametrize(
    ("level", "type", "shown"),
    [
        ("info", "job_start", "info"),
        ("Warning", "warning", "warning"),
        ("legacy_iwarning", "warning", "warning"),
        ("legacy_ierror", "job_error", "error"),
        ("legacy_info", "job_error", "info"),
        (None, "job_error", "error"),
        ("", "billing_limit", "error"),
        (None, "job_start", "info"),
    ],
)
def test_levels_are_ours(level: str | None, type: str, shown: str, make: Any, case: Any) -> None:
    assert lines(make, case.event(type, "", level))[0].level == shown


@pytest.mark.parametrize(
    ("message", "successor"),
    [
        ("Job restarted as ft-9b1c22d0-41aa-4c2a due to a hardware failure", "ft-9b1c22d0-41aa-4c2a"),
        ("Job ft-00000000-1 was restarted, see ft-11111111-2.", "ft-11111111-2"),
        ("Job restarted", None),
        ("The job was left-over work and is a soft-restart, see ft-docs", None),
    ],
)
def test_a_restart_names_its_successor(message: str, successor: str | None, make: Any, case: Any) -> None:
    (line,) = lines(make, case.event("JOB_RESTARTED", message))
    assert (line.type, line.message, line.successor) == ("job_restarted", message, successor)
    assert lines(make, case.event("refund", message))[0].successor is None


def test_figures_come_by_step_and_in_order(make: Any) -> None:
    rows = [
        {"eval/loss": 1.9, "step": 0},
        {"train/loss": 1.5, "train/learning_rate": 1e-05, "global_step": 10.0, "timestamp": 1_791_191_110.5},
        {"eval/loss": 1.7, "global_step": 10.0},
        {"train/loss": "1.2", "train/grad_norm": float("nan"), "global_step": "20"},
        {"train/rewards/margins": 0.1, "global_step": 20.0},
        {"train/loss": 1.1},
    ]
    page = make("together").read_log("metrics", encoded({"metrics": rows}))
    assert [(line.step, line.metrics) for line in page.lines] == [
        (0, {"valid_loss": 1.9}),
        (10, {"train_loss": 1.5, "learning_rate": 1e-05}),
        (10, {"valid_loss": 1.7}),
        (20, {"train_loss": 1.2}),
    ]
    assert page.lines[1].at == 1_791_191_110
    assert len({line.key for line in page.lines}) == 4
    assert not page.newest_first


def test_figures_are_asked_for_until_nothing_follows(make: Any) -> None:
    together = make("together")
    rows = [{"train/loss": 1.5, "global_step": step} for step in (10, 20, 30)]
    assert together.read_log("metrics", encoded({"metrics": rows})).next == "30"
    assert together.read_log("metrics", encoded({"metrics": rows[2:]})).next is None
    assert together.read_log("metrics", b'{"metrics": null}').next is None


def test_checkpoints_are_known_by_step_and_name(make: Any) -> None:
    about = {"step": 24, "created_at": "2026-10-05T09:20:00Z", "path": "s3://x", "checkpoint_type": "Final"}
    body = {"data": [{**about, "object_id": "ml_1", "object_name": "acme/bot-24"}, about, 7]}
    named, plain = make("together").read_log("checkpoints", encoded(body)).checkpoints
    assert (named.id, named.step, named.model, named.at) == ("ml_1", 24, "acme/bot-24", 1_791_192_000)
    assert checkpoint_key(named) != checkpoint_key(plain)


@pytest.mark.parametrize("part", ["events", "checkpoints", "metrics"])
def test_what_is_no_log_decides_nothing(part: str, make: Any) -> None:
    with pytest.raises(ProviderError, match="no such job"):
        make("together").read_log(part, encoded({"error": {"message": "no such job"}}))
