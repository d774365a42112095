"""The quick way to a value: where it takes one, pydantic takes the same; and a good config needs no other."""

import contextlib
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ftwatch.config.fitting import Doubtful, Limits, fitted
from ftwatch.core.event import Severity
from ftwatch.plugins import Duration, Form, Secret
from ftwatch.wire.paths import Paths


@dataclass(frozen=True)
class Block:
    """A block of its own, which one word may stand for."""

    times: int = 3


LEAVES: list[Any] = [
    Block,
    Any,
    str,
    int,
    float,
    bool,
    None,
    Severity,
    Path,
    Secret,
    Duration,
    Form,
    Paths,
    Literal["a", "5", "30s", "warning"],
    Literal[1, 5],
    Literal[False],
    Annotated[float, Limits(ge=0, le=1)],
    Annotated[int, Limits(ge=2, le=10)],
    Annotated[tuple[Duration, ...], Limits(min_length=1, max_length=2)],
    Annotated[list[str], Limits(min_length=1)],
]


def unions(parts: list[Any]) -> Any:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole | part
    return whole


HINTS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        inner.map(list.__class_getitem__),
        inner.map(lambda hint: tuple.__class_getitem__((hint, ...))),
        inner.map(lambda hint: dict.__class_getitem__((str, hint))),
        st.lists(inner.filter(lambda hint: hint is not None), min_size=2, max_size=3).map(unions),
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    st.one_of(
        st.sampled_from(["", "a", "5", "30s", "1h30m", "warning", "true", "error.message", "1.5"]),
        st.text(max_size=4),
        st.sampled_from(
            [0, 1, 5, 2**53, 2**53 + 1, 10**30, 10**400, True, False, None, 0.0, 1.0, 1.5, math.inf]
        ),
        st.builds(Secret, st.just("sesame")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "5", "x.y"]), inner, max_size=2)
    ),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, the types of all that is in them included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Secret):
        return bool(one.reveal() == other.reveal())
    if isinstance(one, Form):
        return same(one.tree, other.tree)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(hint=HINTS, values=st.lists(VALUES, min_size=5, max_size=20))
def test_what_fits_plainly_is_what_pydantic_takes(hint: Any, values: list[Any]) -> None:
    adapter = TypeAdapter(hint)
    for value in values:
        with contextlib.suppress(Doubtful):
            assert same(fitted(hint, value), adapter.validate_python(value))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, "a"),
        (str | None, None),
        (float, 5),
        (float | None, 0.5),
        (Severity, "warning"),
        (Secret | None, "sesame"),
        (Secret | str, "sesame"),
        (str | Secret, "sesame"),
        (int | Secret, "5"),
        (float | Literal[False], 1),
        (Secret | tuple[Secret, ...] | None, "sesame"),
        (Secret | tuple[Secret, ...] | None, ["sesame", "open"]),
        (dict[str, str | Secret], {"a": "b"}),
        (dict[str, str | Secret], {"a": Secret("sesame")}),
        (Block | bool, False),
        (Duration | Literal[False] | None, "30s"),
        (Duration | Literal[False] | None, False),
        (Annotated[tuple[Duration, ...], Limits(min_length=1)] | None, ["30s"]),
        (Literal["a", "b"] | None, "b"),
        (tuple[str, ...], ["a", "b"]),
        (Paths, "error.message"),
        (Form | None, {"a": [1, None]}),
        (dict[Literal["info", "error"], Literal[1, 2]], {"error": 2}),
        (dict[str, Any], {"a": {"b": 1.5}}),
    ],
)
def test_what_options_usually_are_fits_plainly(hint: Any, value: Any) -> None:
    assert same(fitted(hint, value), TypeAdapter(hint).validate_python(value))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (str, 5),
        (int, "5"),
        (int, True),
        (bool, 1),
        (float, math.nan),
        (float, 10**400),
        (int | bool, "5"),
        (Any | Secret, "sesame"),
        (list[str] | tuple[str, ...], ["a"]),
        (Secret, ""),
        (Duration, "soon"),
        (Literal[1], True),
        (Literal["a"], "b"),
        (list[str], "a"),
        (list[int], [1, "2"]),
        (Annotated[int, Limits(ge=2, le=10)], 11),
        (Annotated[list[str], Limits(min_length=1)], []),
        (Annotated[str, "somebody else's"], "a"),
        (Path, "a"),
    ],
)
def test_what_leaves_a_doubt_is_left_to_pydantic(hint: Any, value: Any) -> None:
    with pytest.raises(Doubtful):
        fitted(hint, value)


@pytest.mark.parametrize(
    ("limits", "hint", "schema"),
    [
        (Limits(ge=0, le=1), float, {"type": "number", "minimum": 0, "maximum": 1}),
        (Limits(min_length=1, max_length=3), list[str], {"minItems": 1, "maxItems": 3}),
    ],
)
def test_limits_stand_in_the_schema(limits: Limits, hint: Any, schema: dict[str, Any]) -> None:
    assert schema.items() <= TypeAdapter(Annotated[hint, limits]).json_schema().items()


@pytest.mark.parametrize(("addition", "loaded"), [("", "False"), ("log: {level: loud}", "True")])
def test_only_a_config_with_a_mistake_loads_pydantic(tmp_path: Path, addition: str, loaded: str) -> None:
    path = tmp_path / "ftwatch.yaml"
    path.write_text(
        "providers: {openai: {api_key: '${KEY}', poll: 30s, labels: {team: search}, tolerance: 2m}}\n"
        "notifiers: {hook: {kind: webhook, url: 'https://ci.example.com', retry: {jitter: 0.5}}}\n"
        f"rules: {{retiring: false, flapping: {{severity: error, times: 4}}}}\n{addition}\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom ftwatch.config import ConfigError, load\n"
        f"try:\n    load(Path({str(path)!r}))\n"
        "except ConfigError:\n    pass\nprint('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == loaded
