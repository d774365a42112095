"""diff: one change a leaf, lists whole, nothing for what is equal."""

from types import UnionType
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.diff import CHOSEN, COMPOUND, IDENTITY, MOVING, Change, diff, is_volatile
from ftwatch.core.job import JobError, Progress, Snapshot, Status


def snapshot(**fields: Any) -> Snapshot:
    base: dict[str, Any] = {"id": "ftjob-1", "provider": "p", "kind": "openai"}
    return Snapshot(**{**base, "status": Status.RUNNING, **fields})


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ({}, {}, []),
        (
            {"hyperparameters": {"n_epochs": "auto", "batch_size": 4}},
            {"hyperparameters": {"n_epochs": 3, "batch_size": 4}},
            [("hyperparameters.n_epochs", "auto", 3)],
        ),
        ({}, {"metadata": {"team": "search"}}, [("metadata.team", None, "search")]),
        ({}, {"error": JobError(message="boom")}, [("error.message", None, "boom")]),
        (
            {"result_files": ("a",)},
            {"result_files": ("a", "b")},
            [("result_files", ["a"], ["a", "b"])],
        ),
        (
            {"hyperparameters": None},
            {"hyperparameters": {"n_epochs": 3}},
            [("hyperparameters.n_epochs", None, 3)],
        ),
        (
            {"model": "m"},
            {"model": "m2", "status": Status.FAILED},
            [("status", "running", "failed"), ("model", "m", "m2")],
        ),
    ],
)
def test_diff_names_leaves(
    before: dict[str, Any], after: dict[str, Any], changes: list[tuple[str, Any, Any]]
) -> None:
    assert list(diff(snapshot(**before), snapshot(**after))) == [Change(*c) for c in changes]


VALUES: dict[str, tuple[Any, ...]] = {
    "error": (None, JobError(message="boom"), JobError(code="c")),
    "result_files": ((), ("a",), ("a", "b")),
    "hyperparameters": (None, {"n_epochs": 3}, {"n_epochs": "auto", "betas": [1, 2]}),
    "model": (None, "m", "n"),
    "name": (None, "x"),
    "status": (Status.RUNNING, Status.FAILED),
    "raw_status": ("running", "FAILED"),
    "trained_tokens": (None, 0, 5),
    "progress": (None, Progress(step=1), Progress(step=2, percent=1.5)),
    "metadata": ({}, {"team": "search"}),
}


@st.composite
def looks(draw: st.DrawFn) -> Snapshot:
    return snapshot(**{name: draw(st.sampled_from(values)) for name, values in VALUES.items()})


@given(looks(), looks())
def test_what_differs_is_told_and_nothing_else_status_first_then_by_field(a: Snapshot, b: Snapshot) -> None:
    told = list(dict.fromkeys(change.field.partition(".")[0] for change in diff(a, b)))
    unlike = [name for name in Snapshot.__struct_fields__ if getattr(a, name) != getattr(b, name)]
    if "status" in unlike:
        unlike = ["status", *(name for name in unlike if name not in {"status", "raw_status"})]
    assert told == unlike


def test_every_field_is_compared_and_what_has_parts_is_known() -> None:
    assert {*CHOSEN, *MOVING, *IDENTITY, "status"} == {*Snapshot.__struct_fields__}
    assert list(MOVING) == [name for name in Snapshot.__struct_fields__ if name in MOVING]
    leaves = {str, int, float, type(None), Status}
    parted = {
        name
        for name, hint in get_type_hints(Snapshot).items()
        if not {*(get_args(hint) if isinstance(hint, UnionType) else [hint])} <= leaves
    }
    assert parted == COMPOUND


def test_progress_is_volatile_and_tokens_only_while_running() -> None:
    (change,) = diff(snapshot(), snapshot(progress=Progress(step=1)))
    assert is_volatile(change, Status.RUNNING)
    tokens = Change("trained_tokens", None, 5)
    assert is_volatile(tokens, Status.RUNNING)
    assert not is_volatile(tokens, Status.SUCCEEDED)
