"""What is special about SageMaker: its account of states, its figures, its many other jobs."""

import json
from typing import Any

import pytest

from ftwatch.core.job import Status

START = 1_790_000_000


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def job(**more: Any) -> bytes:
    return encoded(
        {
            "TrainingJobName": "tune",
            "TrainingJobStatus": "InProgress",
            "SecondaryStatus": "Training",
            **more,
        }
    )


def transitions(*words: str) -> list[dict[str, Any]]:
    return [
        {"Status": word, "StartTime": START + 100 * number + 0.25, "StatusMessage": f"{word} it is"}
        for number, word in enumerate(words)
    ]


def test_its_account_of_states_are_lines(make: Any) -> None:
    words = ("Starting", "Pending", "Downloading", "Training", "Uploading", "Completed")
    told = make("sagemaker").inline(job(SecondaryStatusTransitions=transitions(*words)))
    assert not told.newest_first
    assert [(line.at, line.status) for line in told.lines] == [
        (START, Status.QUEUED),
        (START + 100, Status.QUEUED),
        (START + 200, Status.RUNNING),
        (START + 300, Status.RUNNING),
        (START + 400, Status.RUNNING),
        (START + 500, Status.SUCCEEDED),
    ]
    assert told.lines[3].message == "Training: Training it is"


@pytest.mark.parametrize(
    ("state", "status", "level"),
    [
        ("Stopping", Status.CANCELLING, "info"),
        ("Stopped", Status.CANCELLED, "info"),
        ("Failed", Status.FAILED, "error"),
        ("MaxRuntimeExceeded", Status.FAILED, "error"),
        ("MaxWaitTimeExceeded", Status.FAILED, "error"),
        ("Interrupted", None, "info"),
        ("Defrosting", None, "info"),
    ],
)
def test_a_state_proves_what_it_says_and_no_more(
    make: Any, state: str, status: Status | None, level: str
) -> None:
    (line,) = make("sagemaker").inline(job(SecondaryStatusTransitions=transitions(state))).lines
    assert (line.status, line.level) == (status, level)


def test_a_line_is_the_same_one_when_more_is_said_of_it(make: Any) -> None:
    (before,) = transitions("Training")
    after = {**before, "StatusMessage": "another word", "EndTime": START + 900}
    keys = [
        make("sagemaker").inline(job(SecondaryStatusTransitions=[one])).lines[0].key
        for one in (before, after)
    ]
    assert keys[0] == keys[1]
    again = (
        make("sagemaker").inline(job(SecondaryStatusTransitions=transitions("Training", "Training"))).lines
    )
    assert len({line.key for line in again}) == 2, "a state that was entered twice are two lines"


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("train:loss", "train_loss"),
        ("validation:loss", "valid_loss"),
        ("eval_loss", "valid_loss"),
        ("train_loss", "train_loss"),
        ("huggingface:eval_loss", "valid_loss"),
        ("learning-rate", "learning_rate"),
        ("test:dcg", None),
    ],
)
def test_figures_go_by_their_algorithm_s_names(make: Any, name: str, known: str | None) -> None:
    found = [{"MetricName": name, "Value": 0.5, "Timestamp": START}]
    (line,) = make("sagemaker").inline(job(FinalMetricDataList=found)).lines
    assert (line.at, line.message) == (START, f"{name} 0.5")
    assert line.metrics == ({known: 0.5} if known else {})


def test_what_is_no_account_tells_nothing(make: Any) -> None:
    garbage = job(
        SecondaryStatusTransitions=[7, None], FinalMetricDataList=[{}, {"MetricName": "x", "Value": "y"}]
    )
    for raw in (b"", b"[]", b"\xff", garbage, job(SecondaryStatusTransitions="x", FinalMetricDataList=3)):
        assert make("sagemaker").inline(raw).lines == ()


def test_a_job_of_any_other_sort_is_read_all_the_same(make: Any) -> None:
    found = make("sagemaker").read(job(HyperParameters={"max_depth": "5"}, ServerlessJobConfig=None))
    assert (found.status, found.model, found.method) == (Status.RUNNING, None, None)


def test_the_name_of_a_base_model_is_known_under_several_keys(make: Any) -> None:
    for key in ("model_id", "model_name_or_path", "base_model"):
        assert make("sagemaker").read(job(HyperParameters={key: '"org/model"'})).model == "org/model"
    arn = "arn:aws:sagemaker:us-east-1:123456789012:model-package/own/1"
    assert make("sagemaker").read(job(ServerlessJobConfig={"BaseModelArn": arn})).model == arn
