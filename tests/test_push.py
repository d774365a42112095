"""Runs that push to the real daemon over HTTP, and who hears of it; the daemon dies in between."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.test_daemon import SECRET, House, Outside, until
from tests.test_docs import blocks
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


# ------------------------------------------------------------------------------------- the lines to copy


def shown(language: str, word: str) -> str:
    """The block of the documentation that holds this word."""
    found = [block.text for block in blocks(language) if word in block.text and "provider" in block.place]
    assert len(found) == 1, word
    return found[0]


def named(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def shell(rig: Rig) -> Callable[..., int]:
    """Runs a script of the documentation, with a `python` and an `srun` of ours; its exit code."""
    named(rig.house.folder / "bin" / "python", "#!/bin/sh\necho $RUN_ID > ran\nexit $CODE\n")
    named(rig.house.folder / "bin" / "srun", '#!/bin/sh\nexec "$@"\n')
    url = f"http://127.0.0.1:{rig.port}/hooks/my-box"

    def shell(text: str, **environ: str) -> int:
        text = text.replace("http://127.0.0.1:8787/hooks/my-box", url)
        path = f"{rig.house.folder}/bin:{os.environ['PATH']}"
        named_by = {"PATH": path, "MY_BOX_TOKEN": TOKEN, "FTWATCH_PUSH": url, **environ}
        done = subprocess.run(
            ["bash", "-c", text],
            env=named_by,
            cwd=rig.house.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout + done.stderr == ""
        return done.returncode

    return shell


def by_name(rig: Rig) -> dict[str, list[str]]:
    """What was told, by the run's id."""
    found: dict[str, dict[str, str]] = {}
    for _, body in rig.outside.received:
        found.setdefault(body["data"]["id"], {})[body["id"]] = body["type"].removeprefix("fine_tuning.job.")
    return {id: list(told.values()) for id, told in found.items()}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_scripts_that_are_shown_work(rig: Rig, shell: Callable[..., int]) -> None:
    rig.house.started()
    assert shell(shown("sh", "push running"), CODE="0") == 0
    sft = (rig.house.folder / "ran").read_text().strip()
    until(lambda: by_name(rig).get(sft, [])[-1:] == ["succeeded"])
    slurm = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "llama-sft"}
    assert shell(shown("sh", "srun python"), CODE="3", **slurm) == 3, "the job ends as it would without us"
    until(lambda: by_name(rig).get("slurm-4711", [])[-1:] == ["failed"])
    site = shown("sh", "JobCompType").replace(". /etc/slurm/ftwatch.env", ":")
    site = site.replace("/usr/bin/curl", shutil.which("curl") or "")
    assert shell(site, SLURM_JOB_ID="4712") == 0
    until(lambda: by_name(rig).get("slurm-4712") == ["created"])
    assert shell(site, JOBID="4712", JOBSTATE="NODE_FAIL") == 0
    until(lambda: by_name(rig)["slurm-4712"] == ["created", "failed"])
    assert rig.outside.received[-1][1]["data"]["summary"]["cause"] == "hardware_restart"


def test_the_callback_that_is_shown_works(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers, axolotl = ModuleType("transformers"), ModuleType("axolotl.integrations.base")
    vars(transformers)["TrainerCallback"] = type("TrainerCallback", (), {})
    vars(axolotl)["BasePlugin"] = type("BasePlugin", (), {})
    for module in (transformers, axolotl, ModuleType("axolotl"), ModuleType("axolotl.integrations")):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {}
    exec(compile(shown("py", "class Ftwatch") + shown("py", "class Plugin"), "providers.md", "exec"), names)
    url = f"http://127.0.0.1:{rig.port}/hooks/my-box"
    for name, value in (("RUN_ID", "run-42"), ("MY_BOX_TOKEN", TOKEN), ("FTWATCH_PUSH", url)):
        monkeypatch.setenv(name, value)
    (callback,) = names["Plugin"]().add_callbacks_pre_trainer(None, None)
    args = SimpleNamespace(run_name="llama-sft", output_dir="/out/sft")
    state = SimpleNamespace(is_world_process_zero=True, global_step=0, max_steps=600, epoch=0.0)
    callback.on_train_begin(args, state, None)  # nobody listens yet, and nothing is the matter
    rig.house.started()
    callback.on_train_begin(args, state, None)
    until(lambda: rig.lived() == ["job.created"])
    state.global_step, state.epoch = 100, 0.5
    callback.on_log(args, state, None, logs={"loss": 1.25, "grad_norm": float("nan"), "learning_rate": 1e-5})
    callback.on_save(args, state, None)
    callback.on_log(args, state, None, logs={"train_loss": 1.9, "train_runtime": 3600.0})
    state.is_world_process_zero = False
    callback.on_train_end(args, state, None)
    state.is_world_process_zero = True
    until(lambda: rig.lived() == ["job.created", "checkpoint.created"])
    callback.on_train_end(args, state, None)
    until(lambda: rig.lived() == ["job.created", "checkpoint.created", "job.succeeded"])
    end = rig.told[-1]["data"]
    assert (end["name"], end["job"]["fine_tuned_model"]) == ("llama-sft", "/out/sft")
    assert end["summary"]["metrics"] == {"train_loss": 1.25, "learning_rate": 1e-5}
    assert end["job"]["progress"] == {"step": 100, "total_steps": 600, "epoch": 0.5, "percent": 16.7}
