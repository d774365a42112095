"""Whom messages notify: what each word of `mention` comes to, and what is wrong with one, at its place."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch import config
from ftwatch.config import Config, ConfigError
from ftwatch.core.event import Event
from ftwatch.core.route import mentioned, route
from ftwatch.core.sample import sample

HEAD = """\
providers: {openai: {}}
notifiers:
  bot: {kind: slack, bot_token: xoxb-1, channel: "#ml", mentions: {"@boss": U0000BOSS1}}
  hook: {kind: slack, webhook_url: "https://x.example/y", mentions: {"@oncall": S0ONCALL01, bert: U0000BERT1}}
  mail: {kind: email, host: h, from: "f@x.example", to: [t@x.example]}
  con: {kind: console}
"""
PEOPLE = """\
people:
  anna: {match: {owner: user_1}, bot: U0000ANNA1}
  bert: {match: {owner: user_2}, mail: bert@x.example}
"""


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "ftwatch.yaml"
    file.write_text(text)
    return config.load(file, environ={"HOME": "/home/me", **environ})


def refused(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return [
        f"{one.line}:{one.column} {one.sentence}" for one in caught.value.problems if one.severity == "error"
    ]


def failed(**job: Any) -> Event:
    event = sample("failed")
    assert event.job is not None
    return replace(event, data=replace(event.data, job=replace(event.job, **job)))


def called(made: Config, name: str, **job: Any) -> tuple[str, ...]:
    return mentioned(failed(**job), name, made.routing)


@pytest.mark.parametrize(
    "word", ["U0123ABCD", "W0123ABCD", "S0123ABCD", "@here", "@channel", "@everyone", "@oncall-ml", "@boss"]
)
def test_a_bot_mentions_by_id_by_handle_and_by_its_map(word: str, tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + f'routes: [{{notify: [bot], mention: ["{word}"]}}]\n')
    assert called(made, "bot") == (word,)
    assert called(made, "hook") == ()


def test_a_variable_may_hold_one(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + 'routes: [{notify: [bot], mention: ["${WHO}"]}]\n', WHO="U0123ABCD")
    assert called(made, "bot") == ("U0123ABCD",)


def test_people_are_known_by_the_map_else_by_their_own_address(tmp_path: Path) -> None:
    text = (
        HEAD
        + PEOPLE
        + "routes: [{notify: [bot, hook], mention: [anna]}, {notify: [hook], mention: [bert]}]\n"
    )
    made = load(tmp_path, text)
    assert called(made, "bot") == ("U0000ANNA1",)
    assert called(made, "hook") == ("U0000ANNA1", "bert")


def test_an_owner_is_mentioned_for_their_own_jobs_through_the_map_alone(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + PEOPLE + "routes: [{notify: [bot, hook, owner], mention: [owner]}]\n")
    assert called(made, "bot", owner="user_1") == called(made, "hook", owner="user_1") == ("U0000ANNA1",)
    assert called(made, "hook", owner="user_2") == ("bert",)
    assert called(made, "bot", owner="user_2") == (), "nobody knows a member's id of bert's there"
    for owner in ("U0123ABCD", "@here", "anna", None):
        assert called(made, "bot", owner=owner) == ()
    told = dict(route(failed(owner="user_1"), made.routing, 0.0).selected)
    assert "bot U0000ANNA1" in told
    assert called(made, "bot U0000ANNA1", owner="user_1") == (), "who is told in person is not called, too"


def test_an_entry_goes_before_its_route_and_needs_no_other_address(tmp_path: Path) -> None:
    text = """\
routes:
  - notify:
      - hook
      - {to: bot, mention: [U0123ABCD]}
      - {to: bot, channel: "#search", mention: ["@search"]}
      - {to: bot, channel: "#other"}
    mention: ["@here"]
"""
    made = load(tmp_path, HEAD + text)
    assert set(made.notifiers) == {"bot", "hook", "mail", "con", "bot #search", "bot #other"}
    assert called(made, "hook") == ("@here",)
    assert called(made, "bot") == ("U0123ABCD",)
    assert called(made, "bot #search") == ("@search",)
    assert called(made, "bot #other") == ("@here",)


def test_who_cannot_mention_leaves_it_out(tmp_path: Path) -> None:
    made = load(tmp_path, HEAD + "routes: [{notify: [bot, mail, con], mention: [U0123ABCD]}]\n")
    assert not [one.sentence for one in made.warnings if "mention" in one.sentence]
    assert called(made, "mail") == called(made, "con") == ()
    made = load(tmp_path, HEAD + "routes:\n  - notify: [mail, con]\n    mention: [U0123ABCD]\n")
    (found,) = [one for one in made.warnings if "mention" in one.sentence]
    assert (found.line, found.column) == (9, 5)
    assert found.sentence == "mention: no notifier that this names can mention anybody; slack can"


@pytest.mark.parametrize(
    ("entry", "place", "sentence"),
    [
        (
            'hook], mention: ["@ops"]',
            "8:32",
            "'@ops' at 'hook': a webhook cannot look up a handle: write the id",
        ),
        (
            "bot], mention: [U0123ABCD, ann]",
            "8:42",
            "'ann' at 'bot': write an id (U… of a member, S… of a user",
        ),
        ('bot], mention: ["@"]', "8:31", "'@' at 'bot': write an id"),
        ('bot], mention: ["<!here>"]', "8:31", "'<!here>' at 'bot': write an id"),
        ("bot], mention: []", "8:30", "mention should be a list of at least 1"),
        ("bot], mention: anna", "8:30", "mention should be a list"),
        ("bot], mention: [{a: b}]", "8:31", "mention"),
        ("bot], mention: [owner]", "8:31", "owner: nobody is in `people`, so nobody is mentioned by this"),
        ("{to: mail, mention: [U0123ABCD]}]", "8:26", "mention: email can mention nobody"),
        ("{to: con, mention: [U0123ABCD]}]", "8:25", "mention: console can mention nobody"),
        ('{to: hook, mention: ["@ops", "@oncall"]}]', "8:36", "'@ops' at 'hook': a webhook cannot look up"),
        ("{to: bot, mention: anna}]", "8:34", "mention should be a list, not 'anna'; write [anna]"),
        ("{to: bott, mention: [U0123ABCD]}]", "8:20", "there is no notifier 'bott'; did you mean 'bot'?"),
        ("{to: bot, timeout: 9s, mention: [U0123ABCD]}]", "8:15", "say where else 'bot' is to go"),
    ],
)
def test_mistakes_are_named_at_their_place(entry: str, place: str, sentence: str, tmp_path: Path) -> None:
    (found,) = refused(tmp_path, HEAD + f"routes:\n  - {{notify: [{entry}}}\n")
    assert found.startswith(f"{place} "), found
    assert sentence in found


def test_people_without_an_id_there_cannot_be_mentioned(tmp_path: Path) -> None:
    (found,) = refused(tmp_path, HEAD + PEOPLE + "routes: [{notify: [bot], mention: [bert]}]\n")
    assert found.startswith("10:36 mention: 'bert' at 'bot': nothing in `people` says who that is there")
    only = "people: {carl: {match: {owner: u}, mail: c@x.example}}\n"
    (found,) = refused(tmp_path, HEAD + only + "routes: [{notify: [bot], mention: [owner]}]\n")
    assert "owner: nobody in `people` is known to 'bot'" in found


def test_a_map_holds_ids(tmp_path: Path) -> None:
    text = HEAD.replace("U0000BOSS1", "boss")
    (found,) = refused(tmp_path, text)
    assert found.startswith("3:")
    assert "'boss' is no id: U… of a member, or S… of a user group" in found


def test_a_handle_without_quotes_is_told_what_to_do(tmp_path: Path) -> None:
    (found,) = refused(tmp_path, HEAD + "routes:\n  - {notify: [bot], mention: [@oncall]}\n")
    assert 'quote it: "@oncall"' in found
