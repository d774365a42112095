"""silence: what may be asked for, and the sentence for what may not."""

import contextlib
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.route import Match, Silence, parse_match
from ftwatch.core.silence import LONGEST, make_silence, read_matchers

NOW = 1_795_000_000.0
TEAM = 'labels.team="search"'
ONE = ['provider="prod"', 'id="ftjob-1"']


def make(*words: str, **more: Any) -> Silence:
    asked = {"until": None, "until_end": False, "comment": "", "author": "anna", **more}
    return make_silence(words, providers=["prod", "test"], now=NOW, **asked)


def test_a_silence_is_what_was_asked_for() -> None:
    made = make(
        TEAM, "min_severity=warning", "model=~gpt.*", until=NOW + 60, comment=" a\nb ", author="anna\x1b"
    )
    assert made.match == parse_match([TEAM, "min_severity=warning", "model=~gpt.*"])
    assert (made.until, made.until_end, made.comment, made.author) == (NOW + 60, False, "a b", "anna")
    assert re.fullmatch(r"sil_[0-9a-f]{12}", made.id)


def test_its_id_stands_for_all_that_it_says() -> None:
    assert make(TEAM).id == make(TEAM).id
    others = [make(*ONE), make(TEAM, until=NOW + 1), make(TEAM, comment="x"), make(TEAM, author="kim")]
    assert len({made.id for made in (make(TEAM), make(*ONE, until_end=True), *others)}) == 6


@pytest.mark.parametrize(
    ("words", "more", "sentence"),
    [
        ([], {}, "say what should be silent"),
        ([TEAM, "labls.team=x"], {}, "matcher 2: nothing has a key 'labls.team'; did you mean 'labels.'?"),
        (["model=~("], {}, "matcher 1: '(' is no regular expression"),
        (["search"], {}, "matcher 1: 'search' is no matcher"),
        (["status=runing"], {}, "matcher 1: status is never 'runing'; did you mean 'running'?"),
        (["provider=prd"], {}, "matcher 1: there is no provider 'prd'; did you mean 'prod'?"),
        (["name=\udcff"], {}, "matcher 1: 'name=\\udcff' is not UTF-8"),
        (["name=" + "x" * LONGEST], {}, "longer than 4000 letters"),
        ([TEAM], {"until": NOW}, "that time is past already"),
        ([TEAM], {"until": float("nan")}, "that time is past already"),
        ([TEAM], {"until_end": True}, "only a silence that names one job"),
        (["provider=prod", "id=ftjob-*"], {"until_end": True}, "only a silence that names one job"),
        (ONE, {"until_end": True, "until": NOW + 1}, "at a time or with its job, not both"),
        ([TEAM], {"author": " "}, "needs the name of whoever asks"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make(*words, **more)


def test_a_pattern_of_providers_need_name_none() -> None:
    assert make('provider="pr*"').match == parse_match('provider="pr*"')


@given(st.lists(st.text(max_size=12), max_size=3))
def test_any_words_are_a_match_or_a_sentence(words: list[str]) -> None:
    with contextlib.suppress(ValueError):
        made = read_matchers(words, ["prod"])
        assert msgspec.json.decode(msgspec.json.encode(made), type=Match) == made
