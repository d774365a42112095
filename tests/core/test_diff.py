"""diff: one change a leaf, lists whole, nothing for what is equal."""

from typing import Any

import pytest

from ftwatch.core.diff import Change, diff, is_volatile
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


def test_progress_is_volatile_and_tokens_only_while_running() -> None:
    (change,) = diff(snapshot(), snapshot(progress=Progress(step=1)))
    assert is_volatile(change, Status.RUNNING)
    tokens = Change("trained_tokens", None, 5)
    assert is_volatile(tokens, Status.RUNNING)
    assert not is_volatile(tokens, Status.SUCCEEDED)
