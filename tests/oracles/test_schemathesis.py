"""The API before schemathesis, which makes up requests by the document that we serve, right and wrong."""

import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from ftwatch.core.delivery import Rejected
from tests.web.served import CLOSED, NOW, TOKEN, Served, served

# So many examples of each operation; a longer search is asked for by FTWATCH_EXAMPLES.
EXAMPLES = os.environ.get("FTWATCH_EXAMPLES", "4")

# Whether a silence makes sense is more than a schema can say: an end that lies ahead, one end and not two.
SETTINGS = """
[[operations]]
include-operation-id = "post_silences"
checks.positive_data_acceptance.enabled = false

[[operations]]
include-operation-id = "post_silences_preview"
checks.positive_data_acceptance.enabled = false
"""


async def much(it: Served) -> None:
    """Some hundred jobs, events, deliveries; one of each is what the document has as its example."""
    for number in range(150):
        status = ("running", "failed", "queued")[number % 3]
        await it.happen(f"ftjob-{number:03}", status, at=NOW + number, model="gpt", labels={"team": "search"})
    await it.happen("ftjob-abc", "failed", at=NOW + 200)
    await it.happen("accounts/a/jobs/b:c%d", "failed", name="x\x00\u202e", at=NOW + 201)
    await it.try_all(Rejected("HTTP 403", final=True), at=NOW + 300)
    await it.happen("ftjob-000", "failed", at=NOW + 400)


@pytest.mark.timeout(600)
async def test_nothing_is_found(oracle: Any, tmp_path: Path) -> None:
    oracle("schemathesis")
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    with structlog.testing.capture_logs() as logged:
        async with served(tmp_path, web=CLOSED, token=TOKEN) as it:
            await much(it)
            command = [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
                *("run", f"{it.url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"),
                # It has no end, and its own tests.
                *("--exclude-operation-id", "get_events_stream"),
                *("--max-examples", EXAMPLES, "--seed", "1", "--continue-on-failure", "--no-color"),
            ]
            found = await anyio.run_process(command, check=False, cwd=tmp_path)
    report = found.stdout.decode() + found.stderr.decode()
    assert found.returncode == 0, report
    # It did look: at every operation but the one.
    assert "Tested: 19" in report, report
    assert not [line for line in logged if line["log_level"] == "error"]
