"""Whom a route names: another address of a notifier, and whoever a job belongs to."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch import config
from ftwatch.config import Config, ConfigError
from ftwatch.core.route import route
from ftwatch.core.sample import sample

HEAD = """
providers: {openai: {}}
notifiers:
  mail: {kind: email, host: h, from: "f@x.example", to: [team@x.example], closure: false,
         quiet_hours: {from: "22:00", to: "07:00"}, timezone: UTC}
  con: {kind: console}
"""
PEOPLE = """
people:
  anna: {match: {owner: user_1}, mail: anna@x.example, timezone: Europe/Berlin}
  bert: {match: {labels.user: bert}, mail: bert@x.example}
"""


def load(tmp_path: Path, text: str) -> Config:
    file = tmp_path / "ftwatch.yaml"
    file.write_text(text)
    return config.load(file, environ={"HOME": "/home/me"})


def told(made: Config, kind: str = "failed", **job: Any) -> dict[str, str]:
    event = sample(kind)
    assert event.job is not None
    data = replace(event.data, job=replace(event.job, **job), labels=job.get("labels", event.data.labels))
    return dict(route(replace(event, data=data), made.routing, 0.0).selected)


def test_the_owner_is_told_through_the_map_and_nobody_else(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + PEOPLE + "routes: [{notify: [con, owner]}]\n")
    assert told(made, owner="user_1") == {"con": "route 1", "mail anna@x.example": "route 1"}
    assert told(made, owner="user_2") == {"con": "route 1"}
    assert told(made, owner="anna@evil.example") == {"con": "route 1"}
    assert told(made, labels={"user": "bert"}) == {"con": "route 1", "mail bert@x.example": "route 1"}
    anna = made.notifiers["mail anna@x.example"]
    assert anna.options.to == ("anna@x.example",)
    assert anna.options.host == "h"
    (recipient,) = [one for one in made.routing.recipients if one.name == "mail anna@x.example"]
    assert (recipient.closure, recipient.is_target) == (False, True)
    assert recipient.holding is not None
    assert str(recipient.holding.zone) == "Europe/Berlin"


def test_what_a_route_asks_for_counts_for_owners_too(tmp_path: Path) -> None:
    text = "routes:\n  - {notify: [con]}\n  - {match: {type: fine_tuning.job.failed}, notify: [owner]}\n"
    made = load(tmp_path, HEAD + PEOPLE + text)
    assert told(made, owner="user_1")["mail anna@x.example"] == "route 2"
    assert "mail anna@x.example" not in told(made, "succeeded", owner="user_1")


def test_another_address_is_a_notifier_of_its_own(tmp_path: Path) -> None:
    text = "routes: [{notify: [con, {to: mail, address: [a@x.example, b@x.example], timeout: 9s}]}]\n"
    made = load(tmp_path, HEAD + text)
    assert set(made.notifiers) == {"mail", "con", "mail a@x.example,b@x.example"}
    other = made.notifiers["mail a@x.example,b@x.example"]
    assert (other.options.to, str(other.options.timeout)) == (("a@x.example", "b@x.example"), "0:00:09")
    assert other.kind == "email"


def test_an_address_is_not_told_of_ftwatch_itself(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + PEOPLE + "routes: [{notify: [owner]}]\n")
    assert dict(route(sample("degraded"), made.routing, 0.0).selected) == {
        "mail": "default",
        "con": "default",
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("routes: [{notify: [owner]}]\n", "nobody is in `people`"),
        (
            "routes: [{notify: [{to: mial, address: x}]}]\n",
            "there is no notifier 'mial'; did you mean 'mail'?",
        ),
        ("routes: [{notify: [{to: mail}]}]\n", "{to: mail} changes nothing: write mail"),
        ("routes: [{notify: [{address: x}]}]\n", "say which notifier"),
        ("routes: [{notify: [{to: con, address: x}]}]\n", "'con' has no address"),
        ("routes: [{notify: [{to: mail, address: x@y.example, timeuot: 9s}]}]\n", "did you mean 'timeout'?"),
        ("routes: [{notify: [{to: mail, timeout: 9s}]}]\n", "say where else 'mail' is to go (address: …)"),
        (
            "routes: [{notify: [{to: mail, address: a@x.example}]},"
            " {notify: [{to: mail, address: a@x.example, timeout: 9s}]}]\n",
            "'mail a@x.example' stands here and elsewhere with different options: timeout",
        ),
        ("routes: [{notify: [{to: mail, template: {title: x}}]}]\n", "template: write it beside notify"),
        ("routes: [{notify: con}]\n", "notify should be a list"),
        ("people: {anna: {mail: a@x.example}}\nroutes: [{notify: [owner]}]\n", "'anna' needs match"),
        ("people: {anna: {match: {owner: x}}}\nroutes: [{notify: [owner]}]\n", "'anna' needs a notifier"),
        ("people: {anna: {match: {ower: x}, mail: a}}\nroutes: [{notify: [owner]}]\n", "ower"),
        (
            "people: {anna: {match: {owner: x}, pager: a}}\nroutes: [{notify: [owner]}]\n",
            "no notifier 'pager'",
        ),
    ],
)
def test_mistakes_are_named(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, HEAD + text)
    assert sentence in str(caught.value)


def test_the_template_of_an_entry_that_stands_for_several_is_tried_with_what_goes_by_it(
    tmp_path: Path,
) -> None:
    text = HEAD + PEOPLE + "routes:\n  - {notify: [con, owner], match: {type: fine_tuning.job.created}}\n"
    text += "  - notify: [con, owner]\n    template: {title: 'TITLE'}\n"
    routes = load(tmp_path, text.replace("TITLE", "{{ title }}!")).routing.routes or ()
    assert [one.number for one in routes] == [1, 1, 1, 2, 2, 2]
    assert [one.template.title if one.template else "" for one in routes] == [""] * 3 + ["{{ title }}!"] * 3
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text.replace("TITLE", "{{ job.error.code }}"))
    assert "template.title: there is no 'code' in null (sample running and" in str(caught.value)


def test_one_address_is_one_notifier_whoever_names_it(tmp_path: Path) -> None:
    entry = "{to: mail, address: anna@x.example}"
    made = load(tmp_path, HEAD + PEOPLE + f"routes: [{{notify: [owner]}}, {{notify: [{entry}]}}]\n")
    assert told(made, owner="user_1") == {"mail anna@x.example": "route 1"}
    assert told(made, owner="user_2") == {"mail anna@x.example": "route 2"}
    (anna,) = [one for one in made.routing.recipients if one.name == "mail anna@x.example"]
    assert anna.holding is not None
    assert str(anna.holding.zone) == "Europe/Berlin", "what one of them says holds for both"
    other = entry.replace("}", ", timezone: UTC}")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, HEAD + PEOPLE + f"routes: [{{notify: [owner]}}, {{notify: [{other}]}}]\n")
    assert "with different options: timezone" in str(caught.value)


def test_names_say_nothing_but_the_address(tmp_path: Path) -> None:
    entry = "{to: mail, address: a@x.example, username: me, password: hunter2}"
    made = load(tmp_path, HEAD + f"routes: [{{notify: [{entry}]}}]\n")
    assert "mail a@x.example" in made.notifiers
    assert not any("hunter2" in name for name in made.notifiers)
