"""A life on call, by the real daemon: a job fails and pages somebody; its retry succeeds, which ends that."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftwatch.store import Store
from tests.test_daemon import PATIENCE, Outside, until

KEY = "k" * 32
JOB = "sim/ftjob-1"


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.server.shutdown()
    outside.server.server_close()


class OnCall:
    """A daemon that pages over all three kinds, for failures alone."""

    def __init__(self, folder: Path, outside: Outside) -> None:
        self.folder, self.outside, self.states = folder, outside, 0
        self.path = folder / "ftwatch.yaml"
        self.path.write_text(
            "providers:\n"
            f"  sim: {{kind: openai, base_url: '{outside.url}/v1', poll: 1s, discover: 1s, job_log: false}}\n"
            "notifiers:\n"
            f"  pager: {{kind: pagerduty, url: '{outside.url}/v2/enqueue', routing_key: {KEY}}}\n"
            f"  phone: {{kind: ntfy, url: '{outside.url}', topic: mine}}\n"
            f"  alerts: {{kind: alertmanager, url: '{outside.url}'}}\n"
            "routes:\n"
            "  - {match: {type: fine_tuning.job.failed}, notify: [pager, phone, alerts]}\n"
            f"store: {{path: {folder}/ftwatch.db}}\n"
            f"socket: {folder}/ftwatch.sock\n"
        )

    def put(self, status: str) -> None:
        """The job's next state; no two states of a real job have the same document either."""
        self.outside.put("ftjob-1", status)
        self.states += 1
        self.outside.jobs["ftjob-1"]["round"] = self.states

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        command = [sys.executable, "-m", "ftwatch", "-c", str(self.path), "run"]
        daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            daemon.terminate()
            daemon.wait(PATIENCE)

    def recorded(self, type: str) -> int:
        """How many events of this type there are."""
        with contextlib.suppress(Exception):
            store = Store(self.folder / "ftwatch.db", mode="read")
            try:
                return len(store.history.events(type=type))
            finally:
                store.close()
        return 0

    def posted(self, path: str) -> list[Any]:
        return [body for at, body in self.outside.received if at == path]

    def about_jobs(self) -> list[list[Any]]:
        """What PagerDuty, ntfy and Alertmanager were sent about jobs, not about ftwatch itself."""
        pages = [one for one in self.posted("/v2/enqueue") if one["dedup_key"].startswith("sim/")]
        messages = [one for one in self.posted("/") if one["title"].startswith("ftjob-1")]
        alerts = [one for (one,) in self.posted("/api/v2/alerts") if one["labels"].get("job")]
        return [pages, messages, alerts]


def test_a_failure_pages_and_the_retry_that_succeeds_ends_it(tmp_path: Path, outside: Outside) -> None:
    oncall = OnCall(tmp_path, outside)
    oncall.put("running")
    with oncall.running():
        until(lambda: oncall.recorded("ftwatch.provider.watching"))
        oncall.put("failed")
        until(lambda: [len(sent) for sent in oncall.about_jobs()] == [1, 1, 1])
        oncall.put("running")
        until(lambda: oncall.recorded("fine_tuning.job.running"))
    # What is open is remembered across a restart, and its end is told by whoever runs then.
    with oncall.running():
        oncall.put("succeeded")
        until(lambda: [len(sent) for sent in oncall.about_jobs()] == [2, 2, 2])
    pages, messages, alerts = oncall.about_jobs()
    assert [(one["event_action"], one["dedup_key"]) for one in pages] == [("trigger", JOB), ("resolve", JOB)]
    assert [(one["title"], one["priority"]) for one in messages] == [
        ("ftjob-1 failed", 5),
        ("ftjob-1 succeeded", 3),
    ]
    assert len({one["sequence_id"] for one in messages}) == 1
    fired, over = alerts
    assert fired["labels"] == over["labels"]
    assert over["startsAt"] <= over["endsAt"] < fired["endsAt"]
    assert over["annotations"]["summary"] == "ftjob-1 succeeded"
    why = subprocess.run(
        [sys.executable, "-m", "ftwatch", "-c", str(oncall.path), "why", "ftjob-1", "-o", "json"],
        capture_output=True,
        check=True,
    )
    stories = {story["type"]: story for story in json.loads(why.stdout)}
    told = {one["notifier"]: one for one in stories["fine_tuning.job.succeeded"]["told"]}
    assert {one["because"] for one in told.values()} == {"closure"}
    assert told["pager"]["reason"] == f"HTTP 200: resolve {JOB}"
    assert KEY.encode() not in (tmp_path / "ftwatch.db").read_bytes()


def test_what_pages_nobody_says_why(tmp_path: Path, outside: Outside) -> None:
    oncall = OnCall(tmp_path, outside)
    oncall.path.write_text(oncall.path.read_text().replace("match: {type: fine_tuning.job.failed}, ", ""))
    with oncall.running():
        until(lambda: oncall.recorded("ftwatch.provider.watching"))
        oncall.put("running")
        until(lambda: oncall.recorded("fine_tuning.job.created"))
        until(lambda: [one for one in oncall.posted("/") if one["title"] == "ftjob-1 is running"])
        until(lambda: settled(tmp_path, "pager"))
    assert oncall.posted("/v2/enqueue") == []
    assert oncall.posted("/api/v2/alerts") == []
    assert settled(tmp_path, "pager") == {"not sent: it opens and closes nothing"}


def settled(folder: Path, notifier: str) -> set[str]:
    """What became of all deliveries of a notifier, once none is pending."""
    store = Store(folder / "ftwatch.db", mode="read")
    try:
        found = store.history.deliveries(notifier=notifier)
        return set() if any(one.state == "pending" for one in found) else {one.reason for one in found}
    finally:
        store.close()
