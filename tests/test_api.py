"""What a service's answers mean, whoever asks: which complaint is about a job, what a refusal closes."""

import gzip
import json
from typing import Any

import pytest

from ftwatch.client.api import Api, Key, speaks_of_a_job
from ftwatch.client.meaning import Response
from ftwatch.plugins import Duration, ProviderError, ProviderSpec, Secret

ID = "ftjob-1"


@pytest.mark.parametrize(
    ("said", "id"),
    [
        ("Could not find fine tune: ftjob-1", ID),
        ("Job not found", ID),
        ("No such run", ID),
        ("Fine-tune ID not found.", ID),
        ("ftjob-1 was deleted", ID),
        ("FTJOB-1 not found in project acme: no such job", ID),
        ("Customization job cust-1 not found.", "cust-1"),
        ("TuningJob projects/1/locations/eu/tuningJobs/77 not found.", "77"),
        ("accounts/acme/dpoJobs/x not found", "accounts/acme/dpoJobs/x"),
        ("The training x does not exist", "accounts/acme/dpoJobs/x"),
    ],
)
def test_who_names_the_job_speaks_of_it(said: str, id: str) -> None:
    for body in ({"error": {"message": said}}, {"error": said}, {"detail": said}, {"message": said}):
        assert speaks_of_a_job(json.dumps(body).encode(), id)


@pytest.mark.parametrize(
    "said",
    [
        "no Route matched with those values",
        "Method not found.",
        "Method google.cloud.aiplatform.v1.JobService.GetTuningJob not found",
        "Endpoint not found",
        "404 page not found",
        "no healthy upstream",
        "Project not found",
        "Account acme not found",
        "Account ftjob-1 not found",
        "Namespace acme does not exist",
        "The project of this job does not exist",
        "Cannot GET /v1/fine_tuning/jobs/ftjob-1",
        "Invalid URL (GET /v1/fine_tuning/jobs/ftjob-1)",
        "https://api.example.com/v1/jobs/ftjob-1 was not found",
        "The requested resource could not be found",
        "Fine-tuning is not available in your region",
        "fine-tuning jobs are not enabled",
        "ftjob-10 not found",
        "Not Found",
        " ",
        None,
    ],
)
def test_who_speaks_of_anything_else_says_nothing_about_the_job(said: str | None) -> None:
    assert not speaks_of_a_job(json.dumps({"error": {"message": said}}).encode(), ID)


class Answer:
    """A client that gives one answer to everything."""

    def __init__(self, status: int, body: Any) -> None:
        self.answer = Response(status, {}, json.dumps(body).encode())

    async def request(self, method: str, url: str, **_: Any) -> Response:
        return self.answer


def api(status: int, body: Any) -> Api:
    spec = ProviderSpec(name="p", kind="k", labels={}, options=None, client=Answer(status, body))
    return Api(spec, "https://api.example.com", Key(None, needed=False), timeout=Duration(seconds=5))


@pytest.mark.parametrize(
    ("status", "said"),
    [(410, "Gone"), (400, "The base model of this job, davinci-002, has been retired.")],
)
async def test_only_a_refusal_of_the_listing_closes_the_service(status: int, said: str) -> None:
    service = api(status, {"error": {"message": said}})
    for ask, is_closed in (
        (service.page("/jobs"), True),
        (service.page("/jobs/a/events", of="a"), False),
        (service.job("/jobs/a", "a"), False),
    ):
        with pytest.raises(ProviderError) as caught:
            await ask
        assert caught.value.closed is is_closed


# ------------------------------------------------------------------------------------------- packed pages


def test_a_packed_page_is_opened_and_any_other_is_as_it_came() -> None:
    service = api(200, {})
    assert service.opened(gzip.compress(b'{"data": []}')) == b'{"data": []}'
    assert service.opened(b'{"data": []}') == b'{"data": []}'
    assert service.opened(b"") == b""


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (gzip.compress(bytes(10_000_000)), "larger than 1,000 bytes"),
        (gzip.compress(bytes(1001)), "larger than 1,000 bytes"),
        (gzip.compress(b'{"data": []}')[:-9], "it breaks off"),
        (gzip.compress(b'{"data": []}')[:3], "it breaks off"),
        (b"\x1f\x8b nothing of the kind", "it is no gzip"),
    ],
    ids=["bomb", "a-byte-too-many", "no-end", "hardly-begun", "no-gzip"],
)
def test_a_packed_page_that_is_none_is_told_in_words(body: bytes, sentence: str) -> None:
    with pytest.raises(ProviderError, match=sentence):
        api(200, {}).opened(body, 1000)


def test_the_key_is_struck_out_of_a_packed_page_too() -> None:
    spec = ProviderSpec(name="p", kind="k", labels={}, options=None, client=Answer(200, {}))
    key = Key(Secret("sk-a-long-key"))
    service = Api(spec, "https://api.example.com", key, timeout=Duration(seconds=5))
    assert b"sk-a-long-key" not in service.opened(gzip.compress(b'{"message": "sk-a-long-key is wrong"}'))
