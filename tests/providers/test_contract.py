"""What every kind of provider promises, whichever file it is in: each installed kind is held to it."""

import json
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.job import Snapshot, Status
from ftwatch.plugins import Page, ProviderError, ProviderSpec, Secret, Unreadable, kinds, load_kind

# A kind's own words for three jobs: an active one, a finished one, and one in a state nobody has heard of;
# and how its service wraps them into a listing.
SAMPLES: dict[str, dict[str, Any]] = {
    "openai": {
        "jobs": [
            {"id": "ftjob-1", "status": "running", "created_at": 1_790_000_000, "model": "m"},
            {
                "id": "ftjob-2",
                "status": "succeeded",
                "fine_tuned_model": "ft:m",
                "finished_at": 1_790_000_900,
            },
            {"id": "ftjob-3", "status": "defrosting"},
        ],
        "page": lambda jobs: {"object": "list", "data": jobs, "has_more": False},
    },
}


class NoClient:
    """Reading is pure: a kind that asks anybody anything here is caught."""

    async def request(self, *_: object, **__: object) -> Any:
        raise AssertionError("a parser asked the network")


def make(kind: str, **options: Any) -> Any:
    found = load_kind("provider", kind)
    spec = ProviderSpec(
        name="acme", kind=kind, labels={"env": "prod"}, options=found.Options(**options), client=NoClient()
    )
    return found(spec)


every_kind = pytest.mark.parametrize("kind", sorted(kinds("provider")))


@every_kind
def test_its_class_says_what_it_is(kind: str) -> None:
    found = load_kind("provider", kind)
    assert is_dataclass(found.Options)
    assert all(field.kw_only for field in fields(found.Options))
    assert found.Options.__dataclass_params__.frozen
    assert isinstance(found.list_is_truth, bool)
    assert found.key_variable.isupper()


@every_kind
def test_its_samples_are_read(kind: str) -> None:
    sample, provider = SAMPLES[kind], make(kind)
    page = provider.split(json.dumps(sample["page"](sample["jobs"])).encode())
    assert isinstance(page, Page)
    assert page.next is None
    jobs = [provider.read(raw) for raw in page.entries]
    assert [job.status for job in jobs] == [Status.RUNNING, Status.SUCCEEDED, Status.UNKNOWN]
    for raw, job in zip(page.entries, jobs, strict=True):
        assert isinstance(raw, bytes)
        assert provider.identify(raw) == job.id
        assert (job.provider, job.kind) == ("acme", kind)
        assert job.labels["env"] == "prod"
        assert job.raw_status
        assert provider.read(raw) == job, "reading is a function of the bytes"
        assert msgspec.json.decode(msgspec.json.encode(job), type=Snapshot) == job, "and can be kept"


@every_kind
def test_its_entries_keep_their_bytes_wherever_they_stand(kind: str) -> None:
    sample, provider = SAMPLES[kind], make(kind)
    jobs = sample["jobs"]
    forwards = provider.split(json.dumps(sample["page"](jobs)).encode()).entries
    backwards = provider.split(json.dumps(sample["page"](jobs[::-1])).encode()).entries
    assert forwards == backwards[::-1]


@every_kind
@pytest.mark.parametrize("body", [b"", b"<html></html>", b"null", b"3", b'"x"', b"{}", b'{"data": {}}', b"{"])
def test_what_is_no_listing_decides_nothing(kind: str, body: bytes) -> None:
    with pytest.raises(ProviderError) as caught:
        make(kind).split(body)
    assert caught.value.reason.isprintable()


@every_kind
def test_a_listing_that_breaks_off_anywhere_decides_nothing(kind: str) -> None:
    sample, provider = SAMPLES[kind], make(kind)
    body = json.dumps(sample["page"](sample["jobs"])).encode()
    for end in range(len(body)):
        with pytest.raises(ProviderError):
            provider.split(body[:end])


@every_kind
@pytest.mark.parametrize("raw", [b"", b"null", b"3", b"[]", b"{}", b"<", b'{"id": ""}', b'{"status": "x"}'])
def test_what_is_no_job_is_unreadable(kind: str, raw: bytes) -> None:
    provider = make(kind)
    for reader in (provider.identify, provider.read):
        with pytest.raises(Unreadable) as caught:
            reader(raw)
        assert str(caught.value).isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@every_kind
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_unreadable(kind: str, data: st.DataObject) -> None:
    provider, jobs = make(kind), SAMPLES[kind]["jobs"]
    keys = sorted({key for job in jobs for key in job})
    changed = {**data.draw(st.sampled_from(jobs)), data.draw(st.sampled_from(keys)): data.draw(json_values)}
    raw = json.dumps(changed).encode()
    try:
        job = provider.read(raw)
    except Unreadable:
        return
    assert provider.identify(raw) == job.id
    assert msgspec.json.decode(msgspec.json.encode(job), type=Snapshot) == job


@every_kind
@given(body=st.binary())
def test_any_bytes_are_taken_or_refused(kind: str, body: bytes) -> None:
    provider = make(kind)
    for reader in (provider.split, provider.identify, provider.read):
        try:
            reader(body)
        except (ProviderError, Unreadable):
            continue


@every_kind
def test_it_shows_no_key(kind: str) -> None:
    provider = make(kind, api_key=Secret("sk-very-secret"))
    assert "secret" not in repr(provider)
    assert "secret" not in repr(vars(provider))
