"""What is special about Bedrock: its phases, and what they prove."""

import json
from typing import Any

from ftwatch.core.job import Status
from ftwatch.core.journal import Line

START = 1_790_000_000


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def phases(*words: str) -> dict[str, Any]:
    """The phases, each begun 100 seconds after the one before it."""
    names = ("validation", "dataProcessing", "training")
    return {
        f"{name}Details": {"status": word, "creationTime": START + 100 * number}
        for number, (name, word) in enumerate(zip(names, words, strict=True), 1)
    }


def job(status: str, *words: str, **more: Any) -> bytes:
    details = {"statusDetails": phases(*words)} if words else {}
    return encoded({"jobName": "tune", "status": status, **details, **more})


def test_phases_that_have_begun_are_lines(make: Any) -> None:
    told = make("bedrock").inline(job("InProgress", "Completed", "Completed", "InProgress"))
    assert not told.newest_first
    assert [(line.key, line.at, line.status) for line in told.lines] == [
        ("validation", START + 100, Status.VALIDATING_FILES),
        ("dataProcessing", START + 200, Status.VALIDATING_FILES),
        ("training", START + 300, Status.RUNNING),
    ]


def test_a_phase_that_has_not_begun_is_no_line_whatever_its_time(make: Any) -> None:
    told = make("bedrock").inline(job("InProgress", "InProgress", "NotStarted", "NotStarted"))
    assert [line.key for line in told.lines] == ["validation"]


def test_the_losses_stand_in_the_document_of_a_job_that_completed(make: Any) -> None:
    losses = {"trainingMetrics": {"trainingLoss": 0.5}, "validationMetrics": [{"validationLoss": "0.75"}]}
    end = {"endTime": START + 900, **losses}
    (line,) = make("bedrock").inline(job("Completed", **end)).lines
    assert line == Line(
        key="losses",
        at=START + 900,
        type="metrics",
        message="train_loss 0.5, valid_loss 0.75",
        metrics={"train_loss": 0.5, "valid_loss": 0.75},
    )
    for status in ("InProgress", "Stopped"):
        assert make("bedrock").inline(job(status, **end)).lines == ()


def test_of_several_validators_none_speaks_for_all(make: Any) -> None:
    several = [{"validationLoss": 0.5}, {"validationLoss": 0.7}]
    (line,) = (
        make("bedrock")
        .inline(job("Completed", trainingMetrics={"trainingLoss": 1}, validationMetrics=several))
        .lines
    )
    assert line.metrics == {"train_loss": 1.0}


def test_no_end_stands_in_a_line(make: Any) -> None:
    for status in ("Completed", "Failed", "Stopped"):
        words = ("Completed", "Completed", status)
        told = make("bedrock").inline(job(status, *words, endTime=START + 900))
        assert not any(line.status is not None and line.status.is_terminal for line in told.lines)


def test_what_is_no_document_tells_nothing(make: Any) -> None:
    for raw in (
        b"",
        b"[]",
        b"\xff",
        encoded({"statusDetails": 7, "trainingMetrics": [], "status": "Completed"}),
    ):
        assert make("bedrock").inline(raw).lines == ()


def test_the_phase_says_where_a_job_ended(make: Any) -> None:
    provider = make("bedrock")
    failed = provider.read(job("Failed", "Failed", "NotStarted", "NotStarted"))
    assert (failed.phase, failed.started_at) == ("validation Failed", None)
    waits = provider.read(job("InProgress", "NotStarted", "NotStarted", "NotStarted"))
    assert waits.phase == "NotStarted"
    assert provider.read(job("InProgress")).phase is None


def test_a_model_made_from_another_keeps_its_name(make: Any) -> None:
    base = "arn:aws:bedrock:us-east-1:123456789012:custom-model/amazon.nova-lite-v1:0:300k/abc"
    assert (
        make("bedrock").read(job("InProgress", baseModelArn=base)).model == "amazon.nova-lite-v1:0:300k/abc"
    )
    assert make("bedrock").read(job("InProgress", baseModelArn="a-model")).model == "a-model"
