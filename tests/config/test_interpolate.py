"""interpolate: variables in a scalar's text, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.config.interpolate import read

ENVIRON = {"A": "one", "EMPTY": "", "DOLLAR": "${A}"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${A}", "one"),
        ("x${A}y${A}", "xoney" + "one"),
        ("${EMPTY}", ""),
        ("${EMPTY:-two}", "two"),
        ("${NOPE:-two}", "two"),
        ("${NOPE:-}", ""),
        ("${A:-two}", "one"),
        ("${A:?gone}", "one"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$$$${A}", "$${A}"),
        ("pa$word", "pa$word"),
        ("re:^a$", "re:^a$"),
        ("$lower", "$lower"),
        ("${NOPE:-a:-b}", "a:-b"),
        # A value is never read again.
        ("${DOLLAR}", "${A}"),
    ],
)
def test_what_a_text_stands_for(text: str, value: str) -> None:
    assert read(text).resolve(ENVIRON) == value


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("${NOPE}", "${NOPE} is not set"),
        ("${NOPE:?ask Anna for it}", "ask Anna for it"),
        ("${NOPE:?}", "${NOPE} is not set"),
        ("${EMPTY:?it may not be empty}", "it may not be empty"),
    ],
)
def test_a_variable_that_is_not_there(text: str, sentence: str) -> None:
    with pytest.raises(LookupError) as caught:
        read(text).resolve(ENVIRON)
    assert caught.value.args == (sentence,)


@pytest.mark.parametrize(
    "text", ["${}", "${A", "${A:+x}", "${A-x}", "${1A}", "${A B}", "${env:A}", "${A:-${B}}"]
)
def test_what_only_looks_like_a_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no variable: write"):
        read(text)


def test_a_shell_variable_is_pointed_at() -> None:
    with pytest.raises(ValueError, match=r"write \$\{OPENAI_API_KEY\}"):
        read("$OPENAI_API_KEY")


def test_the_names_it_asks_for() -> None:
    assert read("${A}-${B:-c}$${D}").names == ("A", "B")


@given(st.text(alphabet="$A{}:-?_ x", max_size=30))
def test_any_text_resolves_or_is_refused(text: str) -> None:
    try:
        template = read(text)
    except ValueError:
        assert "$" in text
        return
    if not template.names:
        assert "$" not in text or template.resolve({}) == text.replace("$$", "$")
    assert "${" not in text or template.names or "$$" in text
