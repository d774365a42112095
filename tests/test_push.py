"""Runs that push to the real daemon over HTTP, and who hears of it; the daemon dies in between."""

import http.client
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_daemon import SECRET, House, Outside, until
from tests.test_operations import free_port, ftwatch, lodging

TOKEN = "a-token-of-this-box-0123456789"


class Rig:
    """A daemon that listens for the runs of a box, and a machine whose runs push until they are heard."""

    def __init__(self, house: House, outside: Outside) -> None:
        self.house, self.outside, self.port = house, outside, free_port()
        self.number = 0

    def write(self, more: str = "") -> None:
        self.house.path.write_text(
            "providers:\n"
            f"  my-box: {{kind: push, token: {TOKEN}, poll: 1s, discover: 1s{more}}}\n"
            "notifiers:\n"
            f"  hook: {{kind: webhook, url: '{self.outside.url}/hook', secret: {SECRET}}}\n"
            "routes: [{notify: [hook], min_severity: detail}]\n"
            f"store: {{path: {self.house.folder}/ftwatch.db}}\n"
            f"socket: {self.house.socket}\n"
            f"web: {{listen: '127.0.0.1:{self.port}'}}\n"
        )

    def push(self, *, token: str = TOKEN, key: str | None = None, **said: Any) -> tuple[int, str]:
        """One push, and the answer to it."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Authorization": f"Bearer {token}", **({"Idempotency-Key": key} if key else {})}
        try:
            line.request("POST", "/hooks/my-box", json.dumps({"id": "run-42", **said}), headers)
            answer = line.getresponse()
            return answer.status, answer.read().decode()
        finally:
            line.close()

    def tell(self, **said: Any) -> None:
        """Pushes until it was taken, as `curl --retry` does."""
        self.number += 1

        def taken() -> bool:
            try:
                return self.push(key=f"push-{self.number}", **said)[0] == 204
            except (OSError, http.client.HTTPException):
                return False

        until(taken)

    @property
    def told(self) -> list[dict[str, Any]]:
        """The events that came of the run, each once, in the order in which they came first."""
        found = {body["id"]: body for _, body in self.outside.received if body["data"]["id"] == "run-42"}
        return list(found.values())

    def lived(self) -> list[str]:
        """Without mere progress."""
        types = (body["type"].removeprefix("fine_tuning.") for body in self.told)
        return [type for type in types if type != "job.updated"]


@pytest.fixture
def outside() -> Iterator[Outside]:
    outside = Outside()
    yield outside
    outside.server.shutdown()
    outside.server.server_close()


@pytest.fixture
def rig(tmp_path: Path, outside: Outside) -> Iterator[Rig]:
    with lodging(tmp_path, outside) as house:
        rig = Rig(house, outside)
        rig.write()
        yield rig


LIFE: list[dict[str, Any]] = [
    {"status": "PENDING", "name": "sft", "labels": {"team": "search"}},
    {"status": "RUNNING", "step": 0, "total_steps": 30},
    {"step": 10, "metrics": {"loss": 2.0}},
    {"status": "PREEMPTED"},
    {"status": "RUNNING", "step": 5},
    {"step": 20, "metrics": {"loss": 1.0}, "checkpoint": "/out/checkpoint-20"},
    {"status": "OUT_OF_MEMORY", "error": "CUDA out of memory"},
    {"status": "RUNNING"},
    {"step": 30, "metrics": {"loss": 0.5}},
    {"status": "COMPLETED", "fine_tuned_model": "/out/sft"},
]
LIVED = [
    *("job.created", "job.running", "job.paused", "job.running", "checkpoint.created", "job.failed"),
    *("job.running", "job.succeeded"),
]


@pytest.mark.parametrize("kills", [(), (1, 3, 5, 6, 9)])
def test_a_whole_life_is_told_in_order_whatever_dies(rig: Rig, kills: tuple[int, ...]) -> None:
    """Killed right after a push was taken, again and again: what was answered with 204 is told."""
    daemon = rig.house.started()
    for number, said in enumerate(LIFE):
        rig.tell(**said)
        if number == 0:
            # What a run was before it was first looked at is told by what it was then.
            until(lambda: rig.lived() == ["job.created"])
        if number in kills:
            daemon.kill()
            daemon.wait()
            daemon = rig.house.start()
        else:
            time.sleep(0.1)
    until(lambda: rig.lived()[-1:] == ["job.succeeded"])
    assert rig.lived() == LIVED
    sequence = [body["data"]["sequence"] for body in rig.told]
    assert sequence == list(range(1, len(sequence) + 1)), "nothing was lost, and nothing came out of order"
    end = rig.told[-1]["data"]
    assert (end["name"], end["labels"], end["provider"]) == ("sft", {"team": "search"}, "my-box")
    assert end["job"]["fine_tuned_model"] == "/out/sft"
    assert end["summary"]["metrics"] == {"train_loss": 0.5}
    failed = next(body["data"] for body in rig.told if body["type"].endswith("failed"))
    # An attempt that was over before anybody looked is told as a state; why it failed, its log says.
    assert failed["skipped"] or failed["summary"]["cause"] == "out_of_memory"
    shown = ftwatch(rig.house, "show", "run-42").stdout
    assert "succeeded" in shown
    assert "/out/checkpoint-20" in shown
    assert "CUDA out of memory" in shown
    assert "run-42" in ftwatch(rig.house, "why", "run-42").stdout
    daemon.send_signal(signal.SIGTERM)


def test_silence_is_told_and_so_is_its_end(rig: Rig) -> None:
    rig.write(", expect_every: 2s")
    rig.house.started()
    rig.tell(status="running")
    until(lambda: rig.lived() == ["job.created", "alert.silent"])
    rig.tell(step=1)
    until(lambda: rig.lived()[2:] == ["alert.silent.resolved"])


def test_who_may_not_push_is_told_why(rig: Rig) -> None:
    rig.house.started()
    assert rig.push(token="a-token-of-another-box-0123456789", status="running")[0] == 401
    assert rig.push(id="", status="running")[0] == 400
    status, said = rig.push(status=7)
    assert (status, "a status is a word like" in said) == (400, True)
    assert rig.push(status="running")[0] == 204
    until(lambda: rig.lived() == ["job.created"])
