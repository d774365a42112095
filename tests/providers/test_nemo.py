"""What is special about nemo: numbered pages, history and figures inside the document, no key."""

import json
from typing import Any

import pytest

from ftwatch.client import Response
from ftwatch.core.job import Status
from ftwatch.plugins import NotFound, ProviderError, Secret


class Service:
    """Answers from a list, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def request(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Response:
        self.asked.append((f"{method} {url}", headers))
        status, body = self.answers.pop(0)
        return Response(status, {}, json.dumps(body).encode())


@pytest.fixture
def case(make: Any) -> Any:
    return make.case("nemo")


def page(number: Any, pages: Any) -> bytes:
    return json.dumps({"data": [], "pagination": {"page": number, "total_pages": pages}}).encode()


# --------------------------------------------------------------------------------------------- asking


async def test_pages_are_numbered_newest_first_and_filtered_by_the_service(make: Any) -> None:
    service = Service((200, {"data": []}), (200, {"data": []}))
    nemo = make("nemo", service, namespace="default", project="default/search")
    await nemo.page(None)
    await nemo.page("2")
    jobs = "GET http://nemo.example.com/v1/customization/jobs"
    more = "page_size=100&sort=-created_at&filter%5Bnamespace%5D=default&filter%5Bproject%5D=default%2Fsearch"
    assert [asked for asked, _ in service.asked] == [f"{jobs}?page=1&{more}", f"{jobs}?page=2&{more}"]
    assert "authorization" not in service.asked[0][1]


@pytest.mark.parametrize(
    ("number", "pages", "following"),
    [
        (1, 3, "2"),
        ("2", "3", "3"),
        (3, 3, None),
        (1, 0, None),
        (None, 3, None),
        (1, None, None),
        (1, {}, None),
    ],
)
def test_the_next_page_is_the_next_number(number: Any, pages: Any, following: str | None, make: Any) -> None:
    assert make("nemo").split(page(number, pages)).next == following


def test_a_listing_that_tells_of_no_pages_is_the_whole_one(make: Any) -> None:
    assert make("nemo").split(b'{"data": [], "pagination": null}').next is None


async def test_who_sent_no_key_is_told_what_to_set(make: Any) -> None:
    nemo = make("nemo", Service((401, {"detail": "Unauthorized"})))
    with pytest.raises(
        ProviderError, match="Unauthorized; no key was sent: set the option api_key"
    ) as caught:
        await nemo.page(None)
    assert caught.value.denied


async def test_a_key_is_sent_where_there_is_one(make: Any) -> None:
    service = Service((200, {"data": []}))
    await make("nemo", service, api_key=Secret("nvapi-0123")).page(None)
    assert service.asked[0][1]["authorization"] == "Bearer nvapi-0123"


async def test_an_address_that_is_another_servers_is_asked_about(make: Any) -> None:
    nemo = make("nemo", Service((404, {"detail": "Not Found"}), (404, {"detail": "Not Found"})))
    for asked in (nemo.page(None), nemo.retrieve("cust-1")):
        with pytest.raises(ProviderError, match="is base_url the Customizer's address"):
            await asked


async def test_a_job_is_missing_where_the_service_says_so(make: Any) -> None:
    with pytest.raises(NotFound):
        await make("nemo", Service((404, {"detail": "Customization job cust-1 not found."}))).retrieve(
            "cust-1"
        )


# -------------------------------------------------------------------------------------------- reading


def read(make: Any, document: Any) -> Any:
    return make("nemo").read(json.dumps(document).encode())


def test_everything_that_is_told_is_read(make: Any, case: Any) -> None:
    job = read(make, case.document("completed"))
    assert (job.name, job.fine_tuned_model) == ("helpdesk", "default/helpdesk@cust-1")
    assert (job.model, job.training_file) == ("meta/llama-3.2-1b-instruct@v1.0.0+L40", "default/tickets")
    assert (job.owner, job.seed) == ("ada", 7)
    assert job.integrations == ({"type": "wandb", "wandb": {"project": "helpdesk"}},)
    assert job.metadata == {"team": "search"}
    assert job.labels == {
        "namespace": "default",
        "project": "default/search",
        "team": "search",
        "env": "prod",
    }
    assert (job.progress.step, job.progress.total_steps, job.progress.epoch) == (150, 300, 2)


def test_what_is_configured_stands_above_what_the_job_says(make: Any, case: Any) -> None:
    document = case.document("running")
    document["custom_fields"] = {"env": "sandbox", "tries": 3, "nothing": None}
    assert read(make, document).labels["env"] == "prod"
    assert read(make, document).metadata == {"env": "sandbox", "tries": "3"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("default/tickets", "default/tickets"),
        ({"name": "tickets", "namespace": "default"}, "default/tickets"),
        ({"name": "tickets"}, "tickets"),
        ({"files_url": "hf://datasets/default/tickets", "id": "dataset-1"}, "hf://datasets/default/tickets"),
        ({"id": "dataset-1"}, "dataset-1"),
        ({}, None),
        (7, None),
    ],
)
def test_what_is_referred_to_may_be_a_whole_object(
    value: Any, name: str | None, make: Any, case: Any
) -> None:
    job = read(make, {**case.document("running"), "dataset": value, "config": value})
    assert job.training_file == job.model == name


@pytest.mark.parametrize(
    ("settings", "type", "own"),
    [
        ({"training_type": "sft", "sft": {"hidden_dropout": 0.1}}, "supervised", {"hidden_dropout": 0.1}),
        ({"training_type": "dpo", "dpo": {"beta": 0.2}}, "dpo", {"beta": 0.2}),
        ({"training_type": "grpo", "grpo": {"beta": 0.2}}, "reinforcement", {"beta": 0.2}),
        ({"training_type": "sft", "sft": None}, "supervised", None),
        ({"training_type": "distillation", "distillation": {"teacher": "x"}}, "distillation", None),
    ],
)
def test_a_method_has_its_name_of_ours(settings: Any, type: str, own: Any, make: Any, case: Any) -> None:
    method = read(make, {**case.document("running"), "hyperparameters": settings}).method
    assert method.type == type
    assert getattr(method, type, None) == own


@pytest.mark.parametrize(
    ("more", "percent", "total"),
    [
        ({"percentage_done": 120}, 100.0, 300),
        ({"percentage_done": -1}, 0.0, 300),
        ({"percentage_done": "33.333"}, 33.3, 300),
        ({"percentage_done": None, "steps_per_epoch": None}, None, None),
    ],
)
def test_progress_stays_in_its_bounds(more: Any, percent: Any, total: Any, make: Any, case: Any) -> None:
    progress = read(make, case.details("running", **more)).progress
    assert (progress.percent, progress.total_steps) == (percent, total)


def test_the_steps_may_have_a_limit_of_their_own(make: Any, case: Any) -> None:
    document = case.document("running")
    document["hyperparameters"]["max_steps"] = 200
    assert read(make, document).progress.total_steps == 200
    document["hyperparameters"]["max_steps"] = -1
    assert read(make, document).progress.total_steps == 300


# ---------------------------------------------------------------------------------------- the history

LOGS = [
    {"updated_at": "2026-09-21T14:15:20", "message": "TrainingJobRunning"},
    {"updated_at": "2026-09-21T14:13:20", "message": "created"},
    {"updated_at": "2026-09-21T14:13:40", "message": "EntityHandler_0_Running"},
    {"updated_at": "2026-09-21T14:14:00", "message": "TrainingJobPending", "detail": "It is pending"},
    {"updated_at": "2026-09-21T14:14:30", "message": "EntityHandler_0_Completed"},
    {"updated_at": "2026-09-21T14:40:00", "message": "TrainingJobCompleted"},
    {"updated_at": "2026-09-21T14:43:20", "message": "completed"},
    {"updated_at": "2026-09-21T14:43:20"},
    "nonsense",
]


def told(make: Any, document: Any) -> Any:
    return make("nemo").inline(json.dumps(document).encode())


def test_the_history_is_put_in_order_and_proves_no_end(make: Any, case: Any) -> None:
    page = told(make, case.details("completed", status_logs=LOGS, metrics=None))
    assert not page.newest_first
    assert [line.message for line in page.lines] == [
        "created",
        "EntityHandler_0_Running",
        "TrainingJobPending: It is pending",
        "EntityHandler_0_Completed",
        "TrainingJobRunning",
        "TrainingJobCompleted",
        "completed",
    ]
    states = [(line.at, line.status) for line in page.lines if line.status]
    assert states == [(1_790_000_000, Status.QUEUED), (1_790_000_120, Status.RUNNING)]


def test_the_last_step_is_the_phase_of_a_job_that_has_not_ended(make: Any, case: Any) -> None:
    assert read(make, case.details("running", status_logs=LOGS[1:4])).phase == "TrainingJobPending"
    assert read(make, case.details("completed", status_logs=LOGS)).phase is None


def test_warnings_are_lines_of_their_own(make: Any, case: Any) -> None:
    document = case.document("created")
    document["warnings"] = [{"message": "Packing is off", "explanation": "The model has none"}, {}, None]
    (line,) = [line for line in told(make, document).lines if line.level == "warning"]
    assert (line.message, line.at) == ("Packing is off: The model has none", 1_790_000_000)


def test_figures_have_our_names_and_a_late_one_is_a_line_of_its_own(make: Any, case: Any) -> None:
    point = {"step": 10, "timestamp": "2026-09-21T14:16:00"}
    metrics = {
        "train_loss": [{**point, "value": 2.1}, {"step": None, "value": 1}, {**point, "value": None}, 7],
        "val_loss": [{**point, "value": 2.2}],
        "val_accuracy": [{**point, "step": "20", "value": "0.5"}],
        "perplexity": [{**point, "value": 9}],
    }
    page = told(make, case.details("running", status_logs=[], metrics={"metrics": metrics}))
    assert [(line.step, line.metrics, line.at) for line in page.lines] == [
        (10, {"train_loss": 2.1}, 1_790_000_160),
        (10, {"valid_loss": 2.2}, 1_790_000_160),
        (20, {"valid_accuracy": 0.5}, 1_790_000_160),
    ]


def test_the_start_is_the_details_own_time_only_where_that_is_later(make: Any, case: Any) -> None:
    later = {"status_logs": [], "created_at": "2026-09-21T14:15:00"}
    assert read(make, case.details("running", **later)).started_at == 1_790_000_100
    assert read(make, case.details("running", status_logs=[])).started_at is None
    assert read(make, case.details("cancelled", **later)).started_at is None, "it may never have run"


@pytest.mark.parametrize(
    ("logs", "code", "message"),
    [
        (
            [
                {"message": "TrainingJobFailed", "detail": "out of memory"},
                {"message": "cleanup", "detail": "ok"},
            ],
            "TrainingJobFailed",
            "out of memory",
        ),
        ([{"message": "TrainingJobFailed"}], "TrainingJobFailed", "TrainingJobFailed"),
        ([{"message": "stopped", "detail": "the node went away"}], None, "the node went away"),
    ],
)
def test_why_a_job_failed(logs: Any, code: str | None, message: str, make: Any, case: Any) -> None:
    error = read(make, case.details("failed", status_logs=logs)).error
    assert (error.code, error.message) == (code, message)
