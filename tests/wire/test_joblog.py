"""Job logs in OpenAI's form and in that of its relatives."""

import json
from typing import Any

import pytest

from ftwatch.core.job import Status
from ftwatch.core.journal import Line, checkpoint_key, keyed
from ftwatch.plugins import LogPage, ProviderError
from ftwatch.wire import joblog
from ftwatch.wire import openai as wire
from ftwatch.wire.dialect import AZURE, DIALECTS, OPENAI, Dialect

AT = 1_790_000_000


def read(dialect: Dialect, part: str, body: Any) -> LogPage:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return joblog.read(part, dialect.parts[part], raw)


def events(*ids: str, more: bool = False) -> dict[str, Any]:
    entries = [{"id": id, "created_at": AT, "message": "Job started.", "type": "message"} for id in ids]
    return {"object": "list", "data": entries, "has_more": more}


def test_openai_pages_by_ids_newest_first() -> None:
    page = read(OPENAI, "events", events("b", "a", more=True))
    assert ([line.key for line in page.lines], page.next, page.newest_first) == (["b", "a"], "a", True)
    assert read(OPENAI, "events", events("b", "a")).next is None


def test_azure_invents_ids_so_that_nothing_is_known_by_them() -> None:
    page = read(AZURE, "events", events("x1", "x2"))
    again = read(AZURE, "events", events("y1", "y2"))
    assert page == again
    assert not page.newest_first
    assert [line.status for line in page.lines] == [Status.RUNNING] * 2
    assert keyed(page.lines) == keyed(again.lines)


def test_azure_is_read_on_from_where_it_was_read_to() -> None:
    first = read(AZURE, "events", events("1", "2", more=True))
    assert (len(first.lines), first.next) == (2, "2")
    longer = wire.placed(json.dumps(events("1", "2", "3")).encode(), 2)
    assert (len(read(AZURE, "events", longer).lines), read(AZURE, "events", longer).next) == (1, None)
    no_longer = wire.placed(json.dumps(events("1", "2", more=True)).encode(), 2)
    assert read(AZURE, "events", no_longer) == LogPage(newest_first=False), "what gives no more is at its end"


def test_opea_is_known_by_steps() -> None:
    def listed(id: str, at: int) -> Any:
        about = {"created_at": at, "fine_tuned_model_checkpoint": "output/ft-job-1/checkpoint-10"}
        last = {"id": f"{id}2", "created_at": at, "fine_tuned_model_checkpoint": "output/ft-job-1"}
        return [{"id": id, "step_number": "10", **about}, last]

    page = read(DIALECTS["opea"], "checkpoints", listed("a", AT))
    assert page == read(DIALECTS["opea"], "checkpoints", listed("b", AT + 30))
    assert [checkpoint_key(one) for one in page.checkpoints] == [
        "10 output/ft-job-1/checkpoint-10",
        "output/ft-job-1",
    ]
    assert page.checkpoints[-1].model == "output/ft-job-1"


def test_localai_lists_folders() -> None:
    body = {
        "checkpoints": [
            {"path": "fine-tune/x/checkpoint-5", "step": 5, "loss": 0.5, "created_at": "2026-09-21"}
        ]
    }
    (one,) = read(DIALECTS["localai"], "checkpoints", body).checkpoints
    assert (one.model, one.step, one.metrics) == ("fine-tune/x/checkpoint-5", 5, {"train_loss": 0.5})


def test_tt_inference_server_has_a_row_for_each_figure() -> None:
    rows = [
        {"global_step": 10, "epoch": 1, "metric_name": "train_loss", "value": 0.5, "timestamp": AT},
        {"global_step": 10, "epoch": 1, "metric_name": "val_loss", "value": "0.6", "timestamp": AT},
        {"global_step": 10, "metric_name": "weather", "value": 3},
        {"global_step": None, "metric_name": "train_loss", "value": 3},
        {"global_step": 20, "metric_name": "train_loss", "value": None},
        7,
    ]
    page = read(
        DIALECTS["tt-inference-server"], "metrics", {"data": rows, "next_after": 6, "is_final": False}
    )
    assert page.lines == (
        Line(key="train_loss 10", at=AT, type="metrics", step=10, metrics={"train_loss": 0.5}),
        Line(key="valid_loss 10", at=AT, type="metrics", step=10, metrics={"valid_loss": 0.6}),
    )


def test_unsloth_studio_has_an_array_for_each_figure() -> None:
    metrics = {
        "loss_history": [1.5, 1.2, None],
        "loss_step_history": [1, 2, 3],
        "eval_loss_history": [1.3],
        "eval_step_history": [2],
        "lr_history": None,
        "grad_norm_history": [0.1],
    }
    page = read(DIALECTS["unsloth"], "series", {"run": {"id": "a"}, "metrics": metrics})
    assert [(line.step, line.metrics) for line in page.lines] == [
        (1, {"train_loss": 1.5}),
        (2, {"train_loss": 1.2}),
        (2, {"valid_loss": 1.3}),
    ]
    assert read(DIALECTS["unsloth"], "series", {"run": {"id": "a"}, "metrics": 3}).lines == ()


PARTS = [(name, part) for name, found in {**DIALECTS, "azure": AZURE}.items() for part in found.parts]


@pytest.mark.parametrize(("dialect", "part"), PARTS)
@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"3", b'{"data": [{"id": "a"}'])
def test_what_is_no_page_is_refused(dialect: str, part: str, body: bytes) -> None:
    with pytest.raises(ProviderError):
        read(AZURE if dialect == "azure" else DIALECTS[dialect], part, body)


@pytest.mark.parametrize(("more", "following"), [(True, "e"), (1, "e"), ("true", "e"), ("1", "e"), (0, None)])
def test_more_is_said_in_any_type(more: Any, following: str | None) -> None:
    body = json.dumps({"data": [{"id": "e", "message": "x"}], "has_more": more}).encode()
    assert joblog.read_events(body).next == joblog.read_checkpoints(body).next == following
