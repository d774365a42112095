"""Which accounts the environment opens, whatever their kind; and what that makes of the options of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ftwatch.cli import keys
from ftwatch.cli.keys import Access, accesses, variables
from ftwatch.plugins import Findable, Secret, kinds, load_kind

KEYS = {
    "azure": "AZURE_OPENAI_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "huggingface": "HF_TOKEN",
    "nebius": "NEBIUS_API_KEY",
    "openai": "OPENAI_API_KEY",
    "together": "TOGETHER_API_KEY",
}
ADDRESSES = {
    "azure": "AZURE_OPENAI_ENDPOINT",
    "fireworks": "FIREWORKS_BASE_URL",
    "huggingface": "HF_ENDPOINT",
    "nebius": "NEBIUS_BASE_URL",
    "openai": "OPENAI_BASE_URL",
    "together": "TOGETHER_BASE_URL",
}
ELSEWHERE = "https://gateway.example.com/v1"
# Kinds that no environment opens: they have to be told what to watch.
TOLD = {"file", "http", "nemo", "push"}

pytestmark = pytest.mark.usefixtures("folder")


def only(environ: Mapping[str, str]) -> Access:
    (access,), halves = accesses(environ)
    assert halves == []
    return access


def test_every_kind_is_opened_in_one_way_or_has_to_be_told() -> None:
    by_itself = {name for name in kinds("provider") if isinstance(load_kind("provider", name), Findable)}
    assert {*KEYS, *by_itself, *TOLD} == set(kinds("provider"))
    assert not by_itself & (KEYS.keys() | TOLD)
    assert variables() == list(KEYS.values())
    assert accesses({}) == ([], [])


@pytest.mark.parametrize(("kind", "variable"), KEYS.items())
def test_a_key_is_put_where_the_kind_takes_it(kind: str, variable: str) -> None:
    environ = {variable: " sk-1 ", ADDRESSES[kind]: ELSEWHERE}
    access = only(environ)
    assert (access.kind, access.name) == (kind, variable)
    made = access.provider(environ)
    option = "token" if kind == "huggingface" else "api_key"
    assert getattr(made.options, option).reveal().strip() == "sk-1"
    assert made.options.base_url == ELSEWHERE
    assert access.references == {option: variable, "base_url": ADDRESSES[kind]}
    assert (made.name, made.kind) == (kind, kind)
    assert made.rate == getattr(load_kind("provider", kind), "rate", 10.0), (
        "the service's limit counts here, too"
    )


@pytest.mark.parametrize(("kind", "variable"), KEYS.items())
def test_a_key_alone_needs_no_options(kind: str, variable: str) -> None:
    found, halves = accesses({variable: "sk-1"})
    if kind == "azure":
        assert found == []
        assert halves == [
            "AZURE_OPENAI_API_KEY alone does not do: base_url is missing: the resource's address, "
            "unless AZURE_OPENAI_ENDPOINT names it"
        ]
    else:
        assert [access.references for access in found] == [{}]
    assert accesses({variable: "  "}) == ([], [])


def test_an_address_that_is_none_is_told() -> None:
    found, halves = accesses({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "api.example.com"})
    assert found == []
    assert halves[0].startswith("OPENAI_API_KEY alone does not do: base_url is no http or https address")


@pytest.mark.parametrize(
    ("environ", "options"),
    [
        (
            {"GOOGLE_APPLICATION_CREDENTIALS": "key.json", "GOOGLE_CLOUD_PROJECT": "acme-research"},
            {"project": "acme-research", "location": "us-central1"},
        ),
        (
            {
                "GOOGLE_APPLICATION_CREDENTIALS": "key.json",
                "GOOGLE_CLOUD_PROJECT": "acme-research",
                "GOOGLE_CLOUD_LOCATION": "europe-west4",
            },
            {"project": "acme-research", "location": "europe-west4"},
        ),
        ({"GOOGLE_CLOUD_PROJECT": "acme-research"}, None),
        ({"GOOGLE_APPLICATION_CREDENTIALS": "key.json"}, None),
    ],
)
def test_google_s_credentials_open_a_project(environ: dict[str, str], options: dict[str, str] | None) -> None:
    found, _ = accesses(environ)
    assert [(access.kind, access.options) for access in found] == ([("vertex", options)] if options else [])


def test_aws_opens_both_its_kinds() -> None:
    found, _ = accesses({"AWS_PROFILE": "research", "AWS_REGION": "eu-west-1"})
    assert [access.name for access in found] == ["bedrock", "sagemaker"]
    for access in found:
        options = access.provider({}).options
        assert (options.region, options.profile) == ("eu-west-1", "research")
        assert access.references == {}
    found, halves = accesses({"AWS_PROFILE": "research", "AWS_REGION": "mars"})
    assert found == []
    assert halves[0] == "bedrock alone does not do: region 'mars' is no region, like eu-west-1"


def test_a_kubeconfig_opens_its_cluster(folder: Path) -> None:
    (folder / "kubeconfig").write_text("{}")
    access = only({"KUBECONFIG": "kubeconfig"})
    assert (access.kind, access.options) == ("kubeflow", {"kubeconfig": str(folder / "kubeconfig")})
    for several in ("nowhere", "kubeconfig:other", ""):
        assert accesses({"KUBECONFIG": several}) == ([], [])


# ------------------------------------------------------------------------------------------ other packages


class Foreign:
    """A kind of another package; what it needs is said below."""

    Options: ClassVar[type]
    key_variable: ClassVar[Any] = "FOREIGN_KEY"


@dataclass(frozen=True, kw_only=True)
class Needing:
    """The key has to be given, and is called otherwise; there is no base_url."""

    password: Secret


@dataclass(frozen=True, kw_only=True)
class Puzzling:
    """Two secrets, and neither is called api_key."""

    password: Secret
    token: Secret


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> type[Foreign]:
    """The only kind that is installed."""

    class Point:
        def load(self) -> type[Foreign]:
            return Foreign

    monkeypatch.setattr(keys, "kinds", lambda _: {"foreign": Point()})
    monkeypatch.setattr(keys, "load_kind", lambda *_: Foreign)
    return Foreign


ENVIRON = {"FOREIGN_KEY": "sk-1", "FOREIGN_KEY_BASE_URL": ELSEWHERE}


def test_a_key_that_has_to_be_given_is_given(foreign: type[Foreign], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "Options", Needing, raising=False)
    access = only(ENVIRON)
    assert access.references == {"password": "FOREIGN_KEY"}
    assert access.provider(ENVIRON).options.password.reveal() == "sk-1"


def test_a_kind_that_does_not_say_where_its_key_goes_is_left_out(
    foreign: type[Foreign], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "Options", Puzzling, raising=False)
    assert accesses(ENVIRON) == ([], [])


def test_a_kind_that_fails_is_left_out(foreign: type[Foreign], monkeypatch: pytest.MonkeyPatch) -> None:
    def found(environ: Mapping[str, str]) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(foreign, "key_variable", None)
    monkeypatch.setattr(foreign, "found", found, raising=False)
    assert accesses(ENVIRON) == ([], [])
    monkeypatch.setattr(keys, "kinds", lambda _: {"broken": object()})
    assert accesses(ENVIRON) == ([], [])
    assert variables() == []
