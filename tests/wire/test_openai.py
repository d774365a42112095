"""OpenAI's dialect in all its accents; the data is ours, the quirks were seen in the wild."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.job import JobError, Progress, Snapshot, Status
from ftwatch.plugins import ProviderError, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire import openai as wire

WHOLE: dict[str, Any] = {
    "object": "fine_tuning.job",
    "id": "ftjob-1",
    "created_at": 1_790_000_000,
    "error": None,
    "fine_tuned_model": "ft:gpt-4.1-mini:acme:bot:9a",
    "finished_at": 1_790_003_600,
    "hyperparameters": {"n_epochs": 3, "batch_size": "auto"},
    "model": "gpt-4.1-mini",
    "organization_id": "org-1",
    "result_files": ["file-r"],
    "status": "succeeded",
    "trained_tokens": 4500,
    "training_file": "file-t",
    "validation_file": "file-v",
    "integrations": [{"type": "wandb", "wandb": {"project": "p"}}],
    "seed": 42,
    "estimated_finish": 1_790_003_500,
    "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    "metadata": {"team": "search"},
    "user_provided_suffix": "bot",
    "something_new": {"from": "tomorrow"},
}


def read(document: Any, **fields: Any) -> Snapshot:
    raw = document if isinstance(document, bytes) else json.dumps({**document, **fields}).encode()
    return wire.read(raw, provider="p", kind="openai", labels={"env": "prod"}, page="https://x.test/{id}")


def test_every_property_of_a_job_is_kept_under_its_own_name() -> None:
    job = read(WHOLE)
    for name in WHOLE.keys() - {
        "something_new",
        "user_provided_suffix",
        "method",
        "result_files",
        "integrations",
    }:
        assert getattr(job, name) == WHOLE[name], name
    assert job.result_files == ("file-r",)
    assert job.integrations == ({"type": "wandb", "wandb": {"project": "p"}},)
    assert job.method is not None
    assert job.method.supervised == {"hyperparameters": {"n_epochs": 3}}
    assert (job.name, job.provider, job.raw_status) == ("bot", "p", "succeeded")
    assert job.labels == {"env": "prod", "team": "search"}
    assert job.url == "https://x.test/ftjob-1"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("validating_files", Status.VALIDATING_FILES),
        ("queued", Status.QUEUED),
        ("pending", Status.QUEUED),
        ("resuming", Status.QUEUED),
        ("running", Status.RUNNING),
        ("in_progress", Status.RUNNING),
        ("paused", Status.PAUSED),
        ("pausing", Status.PAUSING),
        ("canceling", Status.CANCELLING),
        ("succeeded", Status.SUCCEEDED),
        ("completed", Status.SUCCEEDED),
        ("failed", Status.FAILED),
        ("canceled", Status.CANCELLED),
        ("notRunning", Status.QUEUED),
        ("defrosting", Status.UNKNOWN),
    ],
)
def test_every_word_has_its_status_and_stays_as_it_was(word: str, status: Status) -> None:
    job = read(WHOLE, status=word)
    assert (job.status, job.raw_status) == (status, word)


@pytest.mark.parametrize("error", [None, {}, {"code": None, "message": None, "param": None}, "", [], 0])
def test_an_empty_error_is_none(error: Any) -> None:
    assert read(WHOLE, status="failed", error=error).error is None


def test_an_error_counts_only_where_something_failed() -> None:
    boom = {"code": "bad", "message": "boom", "param": "training_file"}
    assert read(WHOLE, status="failed", error=boom).error == JobError(**boom)
    assert read(WHOLE, status="failed", error="boom").error == JobError(message="boom")
    assert read(WHOLE, status="running", error=boom).error is None


def test_what_only_an_ended_job_has_does_not_count_before() -> None:
    job = read(WHOLE, status="running")
    assert (job.finished_at, job.fine_tuned_model) == (None, None)
    paused = read(WHOLE, status="paused")
    assert (paused.finished_at, paused.fine_tuned_model) == (None, WHOLE["fine_tuned_model"])


@pytest.mark.parametrize("word", ["failed", "cancelled", "no such word"])
def test_a_job_that_made_no_model_names_none(word: str) -> None:
    assert read(WHOLE, status=word).fine_tuned_model is None


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (1_790_000_000, 1_790_000_000),
        ("1790000000", 1_790_000_000),
        (1_790_000_000.9, 1_790_000_000),
        (1_790_000_000_123, 1_790_000_000),
        ("2026-09-21T14:13:20Z", 1_790_000_000),
        ("2026-09-21T14:13:20", 1_790_000_000),
        ("2026-09-21T16:13:20+02:00", 1_790_000_000),
        (0, None),
        (-5, None),
        (None, None),
        ("soon", None),
        (True, None),
        (1e300, None),
        ([], None),
    ],
)
def test_a_time_is_read_from_whatever_it_is_written_in(given: Any, seconds: int | None) -> None:
    assert read(WHOLE, created_at=given).created_at == seconds


def test_the_barest_job_is_a_job() -> None:
    job = read({"id": "ftjob-1", "status": "queued"})
    assert job.status is Status.QUEUED
    assert (job.result_files, job.integrations, job.metadata) == ((), (), {})


def test_nulls_everywhere_are_as_good_as_nothing() -> None:
    bare = read({"id": "ftjob-1", "status": "queued"})
    assert read({**dict.fromkeys(WHOLE), "id": "ftjob-1", "status": "queued"}) == bare


def test_metadata_becomes_text() -> None:
    job = read(WHOLE, metadata={"n": 3, "deep": {"a": [1]}, "yes": True})
    assert job.metadata == {"n": "3", "deep": '{"a": [1]}', "yes": "true"}


def test_steps_are_progress() -> None:
    assert read(WHOLE, trained_steps=120, total_steps=600).progress == Progress(
        step=120, total_steps=600, percent=20.0
    )


def test_half_a_surrogate_pair_and_broken_bytes_do_not_hide_a_job() -> None:
    assert read(b'{"id": "a", "status": "queued", "suffix": "x\\ud800y"}').name == "x\ufffdy"
    assert read(b'{"id": "a", "status": "queued", "suffix": "x\xffy"}').name == "x\ufffdy"
    assert read(b'{"id": "a", "status": "queued", "seed": NaN}').seed is None


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"",
            b"null",
            b"[]",
            b'"x"',
            b"{}",
            b'{"id": "a"}',
            b'{"id": "", "status": "queued"}',
            b"[" * 100_000,
        ),
        *(b'{"id": "a", "status": null}', b'{"id": "a", "status": 3}', b'{"status": "queued"}', b'{"id":'),
    ],
)
def test_what_is_no_job_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read(raw)


def test_the_operators_labels_stand_above_the_jobs() -> None:
    job = read(WHOLE, metadata={"env": "sandbox", "team": "search"})
    assert job.labels == {"env": "prod", "team": "search"}
    assert job.metadata["env"] == "sandbox"


def test_an_entry_is_the_same_whichever_reader_had_to_read_it() -> None:
    assert read(WHOLE, trained_tokens="4500", created_at="1790000000", seed=42.0) == read(WHOLE)
    assert read(WHOLE, integrations=[None, *WHOLE["integrations"]], result_files=[{"id": "file-r"}]) == read(
        WHOLE
    )


def test_free_form_parts_are_read_once_if_they_are_small_and_as_they_should_be() -> None:
    settings = {"n_epochs": 3, "wandb_api_key": "0123456789abcdef", "note": "é"}
    parts: dict[str, Any] = {
        "hyperparameters": settings,
        "integrations": [{"type": "wandb"}, {}],
        "method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.1}}},
    }
    first, second = read(WHOLE | parts), read(WHOLE | parts | {"id": "ftjob-2"})
    assert first.hyperparameters == settings | {"wandb_api_key": "••••"}
    assert first.hyperparameters is second.hyperparameters
    assert first.method is second.method
    long = read(WHOLE | parts | {"hyperparameters": settings | {"long": "x" * wire.LARGEST_PART}})
    assert (long.hyperparameters or {}).keys() == {*settings, "long"}
    assert (long.integrations, long.method) == (first.integrations, first.method)
    for _ in range(2):
        odd = read(WHOLE | parts | {"integrations": {"type": "wandb"}})
        assert (odd.integrations, odd.method) == ((), first.method)


def test_numbers_that_no_database_holds_are_none() -> None:
    job = read(WHOLE, seed=2**70, trained_tokens=-1, hyperparameters={"n_epochs": 10**400, "b": 2**70})
    assert (job.seed, job.trained_tokens) == (None, None)
    assert job.hyperparameters == {"n_epochs": None, "b": str(2**70)}


def test_texts_and_depths_are_bounded() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": deep}
    job = read(WHOLE, user_provided_suffix="x" * 10**6, hyperparameters={"deep": deep})
    assert job.name is not None
    assert len(job.name) == lenient.LONGEST_TEXT
    assert len(json.dumps(job.hyperparameters)) < 1000


@pytest.mark.parametrize("method", ["dpo", {"type": "dpo"}, {"dpo": {"beta": 1}, "type": None}])
def test_a_method_is_found_in_several_forms(method: Any) -> None:
    found = read(WHOLE, method=method).method
    assert found is not None
    assert found.type == "dpo"


@pytest.mark.parametrize(
    "id", ["a" * 513, "a\nb", "\x1b[31m", "..", ".", " ", "a\u202eb", None, [], {}, True, 1.5]
)
def test_an_id_can_stand_in_an_address_and_a_log_line(id: Any) -> None:
    raw = json.dumps({**WHOLE, "id": id}).encode()
    for reader in (wire.identify, read):
        with pytest.raises(Unreadable) as caught:
            reader(raw)
        assert str(caught.value).isprintable()


# ------------------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    "odd",
    [
        b'{"id": "odd", "suffix": "\\ud800"}',
        b'{"id": "odd", "seed": NaN}',
        b'{"id": "odd", "suffix": "\xff"}',
        b'{"id": "odd", "hyperparameters": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"id": "odd", "seed": ' + b"9" * 5000 + b"}",
        b"{oops}",
        b"null",
        b'"text"',
    ],
    ids=range(8),
)
def test_one_odd_entry_never_hides_the_others(odd: bytes) -> None:
    first, last = b'{"id": "first", "status": "queued"}', b'{"id":"last","status":"running"}'
    page = wire.split(b'{"data": [' + first + b", " + odd + b", " + last + b'], "has_more": true}')
    assert page.entries == (first, odd, last), "each as it came, so that its fingerprint holds"
    assert page.next == "last"
    assert [read(raw).id for raw in (first, last)] == ["first", "last"]


def test_a_page_that_leads_on_but_holds_no_id_decides_nothing() -> None:
    with pytest.raises(ProviderError, match="no way to the next page"):
        wire.split(b'{"data": [{}, null], "has_more": true}')
    with pytest.raises(ProviderError, match="no way to the next page"):
        wire.split(b'{"data": [], "has_more": true}')
    assert wire.split(b'{"data": [{}], "has_more": "true", "last_id": "z"}').next == "z"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b" <!doctype html><p>hi", "an HTML page"),
        (b"", "empty"),
        (b"ok", "something else"),
        (b'{"data": null}', "`data` of the listing is no list"),
        (b'{"data": "x"}', "`data` of the listing is no list"),
        (b"{}", "has no `data`"),
        (b'{"error": {"message": "busy\\u001b[31m", "code": 1}}', r"no listing: busy \[31m$"),
        (b'{"data": [{"id": "a"}], "has_mo', "no whole JSON"),
        (b'{"data": [{"id": "a"}]', "no whole JSON"),
        (b'{"data": [{"id": "a"}]} {}', "no whole JSON"),
        (b'[{"id": "a"}', "no whole JSON"),
    ],
)
def test_what_is_no_listing_is_said(body: bytes, sentence: str) -> None:
    with pytest.raises(ProviderError, match=sentence):
        wire.split(body)


def test_a_page_is_split_without_being_decoded() -> None:
    body = b'{"object": "list", "data": [ {"id": "a", "x": 1} , {"id":"b"}], "has_more": true}'
    page = wire.split(body)
    assert page.entries == (b'{"id": "a", "x": 1}', b'{"id":"b"}')
    assert page.next == "b"
    assert [wire.identify(raw) for raw in page.entries] == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "ids", "following"),
    [
        (b'{"data": [{"id": "a"}]}', ["a"], None),
        (b'{"data": [{"id": "a"}], "has_more": false}', ["a"], None),
        (b'{"jobs": [{"id": "a"}]}', ["a"], None),
        (b'[{"id": "a"}]', ["a"], None),
        (b'{"data": [{"id": "a"}, {"oops": 1}], "has_more": true}', ["a"], "a"),
        (b'{"data": [{"id": "a"}], "has_more": "true"}', ["a"], "a"),
        (b'{"data": [{"id": "a", "suffix": "\\udfff"}], "has_more": true}', ["a"], "a"),
        (b'{"data": [{"id": 7}], "has_more": true}', ["7"], "7"),
    ],
)
def test_lists_in_every_accent(body: bytes, ids: list[str], following: str | None) -> None:
    page = wire.split(body)
    found = []
    for raw in page.entries:
        try:
            found.append(wire.identify(raw))
        except Unreadable:
            continue
    assert (found, page.next) == (ids, following)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b'"x"',
        b"{}",
        b'{"data": null}',
        b'{"data": {}}',
        b'{"data": [{"id": "a"}',
        b"[" * 99999,
    ],
)
def test_what_is_no_listing_decides_nothing(body: bytes) -> None:
    with pytest.raises(ProviderError):
        wire.split(body)


# ------------------------------------------------------------------------------------------------ at random


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(["running", "succeeded", "ftjob-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "trained_steps", "total_steps"]), json_values))
def test_whatever_a_job_says_it_is_read_or_unreadable(document: dict[str, Any]) -> None:
    raw = json.dumps({"id": "a", "status": "running", **document}).encode()
    try:
        job = read(raw)
    except Unreadable:
        return
    assert msgspec.json.decode(msgspec.json.encode(job), type=Snapshot) == job, "and can be kept"


@given(st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_a_listing_is_split_or_refused(body: bytes) -> None:
    try:
        page = wire.split(body)
    except ProviderError:
        return
    for raw in page.entries:
        try:
            wire.identify(raw)
            read(raw)
        except Unreadable:
            continue
