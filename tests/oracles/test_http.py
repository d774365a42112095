"""`http`, told how OpenAI's API speaks, sees of a service what OpenAI's own client sees of it."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from ftwatch import config
from ftwatch.assembly import make_client, make_provider
from ftwatch.core.job import Status
from ftwatch.simulator.dialect import dialect_of
from ftwatch.simulator.upstream import StillClock, Upstream

KEY = "sk-simulated-key-0123456789"
JOBS = "/fine_tuning/jobs"
DESCRIPTION: dict[str, Any] = {
    "kind": "http",
    "api_key": KEY,
    "list": {"path": JOBS, "entries": "data"},
    "paging": {"style": "cursor", "size_parameter": "limit", "size": 2, "more": "has_more"},
    "get": {"path": JOBS + "/{id}"},
    "fields": {
        "created_at": "created_at",
        "finished_at": "finished_at",
        "model": "model",
        "fine_tuned_model": "fine_tuned_model",
        "error.code": "error.code",
        "error.message": "error.message",
        "result_files": "result_files",
        "trained_tokens": "trained_tokens",
        "method": "method.type",
        "metadata": "metadata",
    },
    "statuses": {status: [status] for status in Status if status is not Status.UNKNOWN},
    "log": {
        "path": JOBS + "/{id}/events",
        "entries": "data",
        "newest_first": True,
        "paged": True,
        "fields": {
            "id": "id",
            "at": "created_at",
            "level": "level",
            "type": "type",
            "message": "message",
            "step": "data.step",
            "metrics": "data",
        },
    },
    "checkpoints": {
        "path": JOBS + "/{id}/checkpoints",
        "entries": "data",
        "newest_first": True,
        "fields": {"id": "id", "step": "step_number", "model": "fine_tuned_model_checkpoint"},
    },
}


async def every(read: Any, ask: Any) -> list[Any]:
    """The pages that follow each other."""
    pages, anchor = [], None
    while True:
        page = read(await ask(anchor))
        pages.append(page)
        if page.next is None:
            return pages
        anchor = page.next


async def test_both_see_the_same(oracle: Any, tmp_path: Path) -> None:
    openai: ModuleType = oracle("openai")
    upstream = Upstream(clock=StillClock(), key=KEY, dialect=dialect_of("openai"))
    async with upstream.serving():
        for life in ("happy", "fails", "cancelled", "paused", "instant"):
            upstream.create(life, suffix=life, metadata={"life": life})
        upstream.clock.move(640)  # type: ignore[attr-defined]
        file = tmp_path / "ftwatch.yaml"
        accounts = {"acme": {**DESCRIPTION, "base_url": upstream.url, "rate": "60000/min"}}
        file.write_text(json.dumps({"providers": accounts, "notifiers": {"console": {}}}))
        made = config.load(file, environ={}, secrets=True)
        async with (
            make_client(made.client) as client,
            openai.AsyncOpenAI(api_key=KEY, base_url=upstream.url) as theirs,
        ):
            ours = make_provider(made.providers["acme"], client, made.folder)
            pages = await every(ours.split, ours.page)
            jobs = [ours.read(raw) for page in pages for raw in page.entries]
            wanted = [job async for job in theirs.fine_tuning.jobs.list(limit=2)]
            assert [len(page.entries) for page in pages] == [2, 2, 1]
            assert [(job.id, str(job.status), job.model, job.created_at) for job in jobs] == [
                (job.id, job.status, job.model, job.created_at) for job in wanted
            ]
            for job in wanted:
                found = ours.read(await ours.retrieve(job.id))
                alone = await theirs.fine_tuning.jobs.retrieve(job.id)
                assert (found.fine_tuned_model, found.finished_at) == (
                    alone.fine_tuned_model,
                    alone.finished_at,
                )
                assert (found.trained_tokens, list(found.result_files)) == (
                    alone.trained_tokens,
                    alone.result_files,
                )
                assert (found.error.message if found.error else None) == (alone.error and alone.error.message)
                assert (found.metadata, found.method.type) == (alone.metadata, alone.method.type)
                lines = [
                    (line.key, line.at, line.message)
                    for page in await every(
                        lambda body: ours.read_log("log", body),
                        lambda anchor, id=job.id: ours.log(id, "log", anchor),
                    )
                    for line in page.lines
                ]
                events = theirs.fine_tuning.jobs.list_events(job.id)
                assert lines == [(one.id, one.created_at, one.message) async for one in events]
                saved = ours.read_log("checkpoints", await ours.log(job.id, "checkpoints", None))
                points = theirs.fine_tuning.jobs.checkpoints.list(job.id)
                assert [(one.id, one.step, one.model) for one in saved.checkpoints] == [
                    (one.id, one.step_number, one.fine_tuned_model_checkpoint) async for one in points
                ]
