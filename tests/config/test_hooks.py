"""Whose webhooks are accepted: what lets them in, and whether anybody listens."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ftwatch import config
from ftwatch.config import Config, ConfigError

Load = Callable[..., Config]

BOX = 'providers: {box: {kind: push, token: "${TOKEN}"}}\n'
HOME = {"HOME": "/home/me"}
ENVIRON = {**HOME, "TOKEN": "0123456789abcdef"}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a text with the kinds that are installed."""

    def load(text: str, environ: Mapping[str, str] = ENVIRON) -> Config:
        file = tmp_path / "ftwatch.yaml"
        file.write_text(text)
        return config.load(file, environ=environ)

    return load


def test_who_is_sent_something_should_find_somebody_who_listens(load: Load) -> None:
    sentence = "nobody listens for what 'box' is sent: that takes a section web, `web: {}` at least"
    assert [(one.line, one.column, one.sentence) for one in load(BOX).warnings] == [(1, 13, sentence)]
    assert load(BOX + "web: {}\n").warnings == ()
    assert load("providers: {openai: {}}\n").warnings == ()
    aws = 'providers:\n  aws: {kind: bedrock, regions: [us-east-1, us-west-2], webhook_secret: "${TOKEN}"}\n'
    assert [one.line for one in load(aws).warnings] == [2], "one block, one warning"


@pytest.mark.parametrize("scheme", ["bearer", "header, scheme_header: x-shared"])
def test_a_shared_secret_that_can_be_guessed_is_a_warning(load: Load, scheme: str) -> None:
    text = f'providers: {{openai: {{webhook_secret: "${{TOKEN}}", scheme: {scheme}}}}}\nweb: {{}}\n'
    sentence = "what lets webhooks in is shorter than 16 characters: it can be guessed"
    assert [one.sentence for one in load(text, {**HOME, "TOKEN": "hunter2"}).warnings] == [sentence]
    assert load(text).warnings == ()
    assert load(text, HOME).warnings == (), "who needs the secret says that it is missing"


def test_several_tokens_count_during_a_changeover(load: Load) -> None:
    text = 'providers: {box: {kind: push, token: ["${TOKEN}", "${OTHER}"], expect_every: 10m}}\nweb: {}\n'
    made = load(text, {**ENVIRON, "OTHER": "fedcba9876543210"})
    box = made.providers["box"]
    assert box.hook is not None
    assert (box.hook.scheme, len(box.hook.secrets)) == ("bearer", 2)
    assert box.options.expect_every.total_seconds() == 600


NEEDS = "'box' needs token or webhook_secret: one of them lets it in"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", NEEDS),
        (', token: "${TOKEN}", webhook_secret: "${TOKEN}"', NEEDS),
        (', token: "${TOKEN}", expect_every: 500ms', "expect_every: should be at least 1s"),
        (
            ', token: "${TOKEN}", expect_every: soon',
            "expect_every: 'soon' is no duration: write 30s, 5m, 2h or 30d",
        ),
        (', token: "${TOKEN}", base_url: "https://x.example"', "provider 'box' has no key 'base_url'"),
    ],
)
def test_a_box_that_is_none_is_refused(load: Load, options: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"providers: {{box: {{kind: push{options}}}}}\nweb: {{}}\n")
    (problem,) = caught.value.problems
    assert problem.sentence.startswith(sentence)


@pytest.mark.parametrize("way", ["token", "webhook_secret"])
def test_either_of_two_keys_lets_it_in(load: Load, way: str) -> None:
    made = load(BOX.replace("token:", f"{way}:") + "web: {}\n")
    hook = made.providers["box"].hook
    assert hook is not None
    assert [secret.reveal() for secret in hook.secrets] == ["0123456789abcdef"]
