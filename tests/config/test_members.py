"""A block that stands for several accounts: each is a provider of its own, under a name of its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import pytest

from ftwatch.config import Config

Load = Callable[..., Config]
Refused = Callable[..., list[str]]


class Regional:
    """A kind whose block may name several regions."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        member_label: ClassVar[str] = "region"
        region: str | None = None
        regions: tuple[str, ...] = ()

        def members(self) -> dict[str, Self]:
            return {region: replace(self, region=region, regions=()) for region in self.regions}

        def problems(self) -> Iterator[tuple[str, str]]:
            if "moon-1" in self.regions:
                yield "regions", "nobody is there"


class Unlabelled:
    """A kind with accounts, and nothing to tell their jobs apart but the provider's name."""

    @dataclass(frozen=True, kw_only=True)
    class Options:
        accounts: tuple[str, ...]

        def members(self) -> dict[str, Self]:
            if "boom" in self.accounts:
                raise RuntimeError("boom")
            return {account: replace(self, accounts=()) for account in self.accounts}


class Console:
    """A notifier, since a config needs one."""

    audience = "people"

    @dataclass(frozen=True, kw_only=True)
    class Options:
        pass


KINDS: dict[str, dict[str, Any]] = {
    "provider": {"regional": Regional, "unlabelled": Unlabelled},
    "notifier": {"console": Console},
}


@pytest.fixture(autouse=True)
def _kinds(toys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """These kinds instead of the toys that most tests of the config have."""
    monkeypatch.setattr("ftwatch.plugins.kinds", lambda socket: KINDS[socket])
    monkeypatch.setattr("ftwatch.plugins.load_kind", lambda socket, kind: KINDS[socket][kind])


BLOCK = """
providers:
  cloud:
    kind: regional
    regions: [us-east-1, eu-west-1]
    labels: {env: prod}
    poll: 40s
    was: old
notifiers: {console: {}}
"""


def test_each_member_is_a_provider_with_a_name_and_a_label(load: Load) -> None:
    providers = load(BLOCK).providers
    assert list(providers) == ["cloud-us-east-1", "cloud-eu-west-1"]
    for region in ("us-east-1", "eu-west-1"):
        one = providers[f"cloud-{region}"]
        assert (one.name, one.kind, one.poll) == (f"cloud-{region}", "regional", 40.0)
        assert one.labels == {"region": region, "env": "prod"}
        assert (one.options.region, one.options.regions) == (region, ())
        assert one.was == f"old-{region}"


def test_a_label_that_is_given_stands(load: Load) -> None:
    providers = load(BLOCK.replace("{env: prod}", "{region: all}")).providers
    assert {one.labels["region"] for one in providers.values()} == {"all"}


def test_a_kind_may_have_no_label_for_its_members(load: Load) -> None:
    providers = load(
        "providers: {own: {kind: unlabelled, accounts: [a, b]}}\nnotifiers: {console: {}}"
    ).providers
    assert {name: one.labels for name, one in providers.items()} == {"own-a": {}, "own-b": {}}


def test_a_block_that_is_one_account_keeps_its_name(load: Load) -> None:
    one = load("providers: {regional: {region: x}}\nnotifiers: {console: {}}").providers["regional"]
    assert (one.name, one.labels, one.was) == ("regional", {}, None)


def test_members_are_named_in_routes_and_the_block_is_not(load: Load, refused: Refused) -> None:
    routes = "routes:\n  - {match: {provider: NAME}, notify: [console]}\n"
    for name in ("cloud-us-east-1", "cloud-*"):
        assert load(BLOCK + routes.replace("NAME", name)).routing.routes
    (told,) = refused(BLOCK + routes.replace("NAME", "cloud"))
    assert told.endswith(
        "there is no provider 'cloud', only cloud-us-east-1 and cloud-eu-west-1; write cloud-*"
    )
    (told,) = refused(BLOCK + routes.replace("NAME", "cloud-us-east-2"))
    assert told.endswith("there is no provider 'cloud-us-east-2'; did you mean 'cloud-us-east-1'?")


def test_who_names_a_block_with_a_mistake_makes_no_second_one(refused: Refused) -> None:
    routes = "routes:\n  - {match: {provider: cloud}, notify: [console]}\n"
    (told,) = refused(BLOCK.replace("40s", "fast") + routes)
    assert "poll" in told


@pytest.mark.parametrize(
    "providers",
    [
        "cloud-b: {kind: regional}, §cloud: {kind: regional, regions: [a, b]}",
        "§cloud: {kind: regional, regions: [a, b]}, cloud-b: {kind: regional}",
        "x: {kind: regional, regions: [y-z]}, §x-y: {kind: regional, regions: [z]}",
    ],
)
def test_two_providers_of_one_name_are_a_mistake(refused: Refused, providers: str) -> None:
    text = f"providers: {{{providers}}}\nnotifiers: {{console: {{}}}}"
    column = text.index("§") + 1
    (told,) = refused(text.replace("§", ""))
    assert told.startswith(f"1:{column} ")
    assert told.endswith("and another one has that name")


def test_a_member_s_name_has_to_be_one(refused: Refused) -> None:
    told = refused("providers: {cloud: {kind: regional, regions: ['a b', ok]}}\nnotifiers: {console: {}}")
    assert told == [
        "1:13 'cloud' makes 'cloud-a b', which is no name: use letters, digits, - _ and . (at most 64)"
    ]


def test_the_name_that_a_member_had_may_not_be_in_use(refused: Refused) -> None:
    (told,) = refused(BLOCK.replace("providers:\n", "providers:\n  old-eu-west-1: {kind: regional}\n"))
    assert told.endswith("was: 'old-eu-west-1' is the name of a provider in this file")


def test_a_kind_s_own_objections_are_told_once(refused: Refused) -> None:
    (told,) = refused(BLOCK.replace("eu-west-1", "moon-1"))
    assert told.endswith("regions: nobody is there")


def test_a_kind_that_fails_at_it_is_a_sentence(refused: Refused) -> None:
    (told,) = refused("providers: {own: {kind: unlabelled, accounts: [boom]}}\nnotifiers: {console: {}}")
    assert told == "1:13 the plug-in of kind 'unlabelled' cannot be used: RuntimeError: boom"
