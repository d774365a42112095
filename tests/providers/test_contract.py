"""What every kind of provider promises of its reading, whichever file it is in: each kind is held to it."""

import json
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftwatch.core.job import Snapshot, Status
from ftwatch.plugins import Page, ProviderError, Secret, Unreadable, load_kind


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_its_class_says_what_it_is(kind: str) -> None:
    found = load_kind("provider", kind)
    assert is_dataclass(found.Options)
    assert all(field.kw_only for field in fields(found.Options))
    assert found.Options.__dataclass_params__.frozen
    assert isinstance(found.list_is_truth, bool)
    assert found.key_variable is None or found.key_variable.isupper()


def test_each_word_of_its_table_is_read(kind: str, word: str, make: Any) -> None:
    case, provider = make.case(kind), make(kind)
    raw = encoded(case.document(word))
    job = provider.read(raw)
    assert job.status is case.STATUSES[word]
    assert provider.identify(raw) == job.id
    assert (job.provider, job.kind) == ("acme", kind)
    assert job.labels["env"] == "prod"
    assert job.raw_status, "the service's own word is kept"
    assert provider.read(raw) == job, "reading is a function of the bytes"
    assert msgspec.json.decode(msgspec.json.encode(job), type=Snapshot) == job, "and can be kept"


def test_a_word_that_nobody_knows_is_unknown(kind: str, make: Any) -> None:
    job = make(kind).read(encoded(make.case(kind).document("DEFROSTING")))
    assert job.status is Status.UNKNOWN
    assert "defrosting" in (job.raw_status or "").lower()


def test_each_known_trap_is_stepped_over(kind: str, trap: str, make: Any) -> None:
    found, wanted = make.case(kind).TRAPS[trap]
    job = make(kind).read(encoded(found))
    said = {}
    for path in wanted:
        value: Any = job
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else getattr(value, name)
        said[path] = value
    assert said == wanted


def entries(case: Any) -> list[dict[str, Any]]:
    words = list(case.STATUSES)
    return [case.document(words[number % len(words)], number) for number in range(1, 4)]


def test_its_listing_is_split(kind: str, make: Any) -> None:
    case, provider = make.case(kind), make(kind)
    page = provider.split(encoded(case.listing(entries(case))))
    assert isinstance(page, Page)
    assert page.next is None
    assert all(isinstance(raw, bytes) for raw in page.entries)
    ids = [provider.identify(raw) for raw in page.entries]
    assert ids == [provider.read(encoded(one)).id for one in entries(case)]


def test_its_entries_keep_their_bytes_wherever_they_stand(kind: str, make: Any) -> None:
    case, provider = make.case(kind), make(kind)
    forwards = provider.split(encoded(case.listing(entries(case)))).entries
    backwards = provider.split(encoded(case.listing(entries(case)[::-1]))).entries
    assert forwards == backwards[::-1]


def test_one_unreadable_entry_hides_no_other(kind: str, make: Any) -> None:
    case, provider = make.case(kind), make(kind)
    spoilt = [{"oops": 1}, *entries(case), 7, None, []]
    ids = []
    for raw in provider.split(encoded(case.listing(spoilt))).entries:
        try:
            ids.append(provider.identify(raw))
        except Unreadable:
            continue
    assert ids == [provider.read(encoded(one)).id for one in entries(case)]


@pytest.mark.parametrize("body", [b"", b"<html></html>", b"null", b"3", b'"x"', b"{}", b"{"])
def test_what_is_no_listing_decides_nothing(kind: str, body: bytes, make: Any) -> None:
    if body == b"{}" and getattr(make.case(kind), "EMPTY_IS_A_LISTING", False):
        assert make(kind).split(body) == Page(entries=(), next=None)
        return
    with pytest.raises(ProviderError) as caught:
        make(kind).split(body)
    assert caught.value.reason.isprintable()


def test_a_listing_that_breaks_off_anywhere_decides_nothing(kind: str, make: Any) -> None:
    case, provider = make.case(kind), make(kind)
    body = encoded(case.listing(entries(case)))
    for end in range(len(body)):
        with pytest.raises(ProviderError):
            provider.split(body[:end])


@pytest.mark.parametrize("raw", [b"", b"null", b"3", b"[]", b"{}", b"<", b'{"id": ""}', b'{"status": "x"}'])
def test_what_is_no_job_is_unreadable(kind: str, raw: bytes, make: Any) -> None:
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_is_read_or_unreadable(kind: str, make: Any, data: st.DataObject) -> None:
    case, provider = make.case(kind), make(kind)
    document: dict[str, Any] = case.document(data.draw(st.sampled_from(list(case.STATUSES))))
    place = document
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        inner = place[key]
        if not (isinstance(inner, dict) and inner and data.draw(st.booleans())):
            break
        place[key] = place = dict(inner)
    place[key] = data.draw(json_values)
    raw = encoded(document)
    try:
        job = provider.read(raw)
    except Unreadable:
        return
    assert provider.identify(raw) == job.id
    assert msgspec.json.decode(msgspec.json.encode(job), type=Snapshot) == job
    if hasattr(provider, "inline"):
        provider.inline(raw)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary())
def test_any_bytes_are_taken_or_refused(kind: str, make: Any, body: bytes) -> None:
    provider = make(kind)
    readers = [provider.split, provider.identify, provider.read]
    readers += [partial(provider.read_log, part) for part in getattr(provider, "log_parts", ())]
    for reader in readers:
        try:
            reader(body)
        except (ProviderError, Unreadable):
            continue


def test_it_shows_no_key(kind: str, make: Any) -> None:
    secrets = [
        field.name for field in fields(load_kind("provider", kind).Options) if "Secret" in str(field.type)
    ]
    provider = make(kind, **{name: Secret("sk-very-secret") for name in secrets})
    assert "secret" not in repr(provider)
    assert "very-secret" not in repr(vars(provider))
