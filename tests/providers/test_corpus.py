"""Every published example of this wire format is read; runs where the collection of examples is found."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ftwatch.core.job import Snapshot, Status
from ftwatch.plugins import Unreadable
from ftwatch.wire import openai as wire
from ftwatch.wire.dialect import OPENAI

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("FTWATCH_SPECS") or ROOT.parent / "shared" / "specs")
EXAMPLES = sorted((FOLDER / "examples").glob("*.json"))
# Whose examples speak OpenAI's dialect; the others are somebody else's, and must only do no harm.
OURS = ("job_", "list.json", "azure_job", "azure_list", "nebius", "opea_job", "tt_inference")

if not EXAMPLES:
    pytest.skip(f"no examples under {FOLDER}", allow_module_level=True)


def read(entry: Any) -> Snapshot:
    raw = json.dumps(entry).encode()
    return wire.read(raw, provider="p", kind="openai", labels={})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_read_whole_or_refused_cleanly(path: Path) -> None:
    document = json.loads(path.read_text())
    if not path.name.startswith(OURS):
        with contextlib.suppress(Unreadable):
            read(document)
        return
    if "list" in path.stem:
        page = wire.split(path.read_bytes())
        jobs = [json.loads(raw) for raw in page.entries]
        assert jobs
    else:
        jobs = [document]
    for job in jobs:
        snapshot = read(job)
        assert snapshot.id == job["id"]
        assert snapshot.status is not Status.UNKNOWN
        for name in ("model", "training_file", "created_at", "seed", "hyperparameters"):
            assert getattr(snapshot, name) == job.get(name), name


def test_every_status_and_property_of_the_specification_is_known() -> None:
    import yaml

    found = list(FOLDER.glob("openai-fine-tuning*.yaml"))
    assert found
    schemas = yaml.safe_load(found[0].read_text())["components"]["schemas"]
    job = schemas["FineTuningJob"]["properties"]
    assert len(job) == 19
    assert set(job) <= set(Snapshot.__struct_fields__)
    assert {Status(word) for word in job["status"]["enum"]} <= set(OPENAI.words.values())
    assert set(job["status"]["enum"]) <= set(OPENAI.words)
