"""`file`: real files in real folders, whole, torn, vanished, replaced, unreadable, far too large."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ftwatch import config
from ftwatch.core.diff import diff, is_volatile
from ftwatch.core.job import Status
from ftwatch.plugins import Duration, NotFound, ProviderError, ProviderSpec, Unreadable
from ftwatch.providers.file import File, Options, disk
from ftwatch.providers.file.disk import Glob, escaped, unescaped
from ftwatch.wire import trainlog

NOW = 0.0


@pytest.fixture(autouse=True)
def _now() -> None:
    """Files are as old as they say when a test begins, however long the others took."""
    global NOW
    NOW = time.time()


def provider(folder: Path, *paths: str, **more: Any) -> File:
    options = Options(paths=paths or ("runs/*",), **more)
    return File(
        ProviderSpec(
            name="rig", kind="file", labels={"env": "lab"}, options=options, client=None, folder=str(folder)
        )
    )


def line(step: int, total: int = 100, **more: Any) -> str:
    """A line as LLaMA-Factory writes it, ten seconds a step."""
    said = {
        "current_steps": step,
        "total_steps": total,
        "loss": round(2 - step / total, 4),
        "lr": 4.9e-05,
        "epoch": round(3 * step / total, 2),
        "percentage": round(100 * step / total, 2),
        "elapsed_time": f"{step * 10 // 3600}:{step * 10 // 60 % 60:02}:{step * 10 % 60:02}",
        "remaining_time": f"0:{(total - step) * 10 // 60 % 60:02}:{(total - step) * 10 % 60:02}",
        "throughput": 1234.5,
        "total_tokens": step * 4096,
    }
    return json.dumps({**said, **more}) + "\n"


def run(folder: Path, name: str, text: str, *, ago: float = 5.0) -> Path:
    """A run's folder with a log that was written so long ago."""
    place = folder / "runs" / name
    return put(place / "trainer_log.jsonl", text, ago=ago).parent


def put(path: Path, text: str | bytes, *, ago: float = 5.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (NOW - ago, NOW - ago))
    return path


def trainer_state(step: int, total: int = 100, *, ended: bool = False, **more: Any) -> str:
    """A state as the Trainer saves it."""
    history: list[dict[str, Any]] = [
        {"epoch": 0.1, "grad_norm": 0.5, "learning_rate": 1e-5, "loss": 2.0, "step": 10},
        {"epoch": 0.1, "eval_loss": 1.9, "eval_runtime": 3.2, "step": 10},
        {"epoch": step / total, "loss": 1.1, "step": step, "mean_token_accuracy": 0.71},
    ]
    if ended:
        history.append({"epoch": 1.0, "step": step, "train_loss": 1.4, "train_runtime": 600.25})
    said = {"best_metric": 1.9, "best_model_checkpoint": "out/checkpoint-10", "global_step": step}
    said |= {"max_steps": total, "num_train_epochs": 3, "train_batch_size": 8, "epoch": step / total}
    return json.dumps({**said, "log_history": history, "num_input_tokens_seen": 0, **more}, indent=2) + "\n"


async def listed(files: File) -> dict[str, Any]:
    """The runs by name, what is unreadable under ""."""
    found: dict[str, Any] = {"": []}
    for raw in files.split(await files.page(None)).entries:
        try:
            job = files.read(raw)
            assert files.identify(raw) == job.id
            found[job.name] = job
        except Unreadable as error:
            found[""].append(str(error))
    return found


async def one(files: File, name: str = "sft", id: str | None = None) -> Any:
    return files.read(await files.retrieve(id or f"runs/{name}"))


# ------------------------------------------------------------------------------------------ what is read


async def test_a_run_that_trains(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10) + line(20))
    put(tmp_path / "runs/sft/checkpoint-10/adapter_config.json", '{"base_model_name_or_path": "acme/7b"}')
    files = provider(tmp_path)
    job = (await listed(files))["sft"]
    assert job == await one(files), "the listing and the file say the same"
    assert (job.id, job.name, job.status, job.raw_status) == ("runs/sft", "sft", Status.RUNNING, "training")
    assert job.labels == {"env": "lab"}
    assert (job.model, job.fine_tuned_model, job.trained_tokens) == ("acme/7b", None, 20 * 4096)
    assert (job.progress.step, job.progress.total_steps, job.progress.percent) == (20, 100, 20.0)
    assert job.started_at == int(NOW - 5 - 200) // 10 * 10
    assert job.estimated_finish == int(NOW - 5) + 800
    assert job.owner == (tmp_path / "runs").owner()
    told = files.inline(await files.retrieve("runs/sft"))
    assert told.lines[0].status is Status.RUNNING
    assert told.lines[0].at == job.started_at
    assert [(one.step, one.metrics) for one in told.lines[1:]] == [
        (10, {"train_loss": 1.9, "learning_rate": 4.9e-05}),
        (20, {"train_loss": 1.8, "learning_rate": 4.9e-05}),
    ]
    assert told.lines[2].at == job.started_at + 200
    assert [(point.step, Path(point.model or "").name) for point in told.checkpoints] == [
        (10, "checkpoint-10")
    ]


async def test_every_step_taken_is_success(tmp_path: Path) -> None:
    place = run(tmp_path, "sft", line(50) + line(100), ago=4000)
    put(place / "adapter_model.safetensors", "w", ago=3990)
    job = await one(provider(tmp_path))
    assert (job.status, job.finished_at) == (Status.SUCCEEDED, int(NOW - 4000))
    assert (job.fine_tuned_model, job.result_files) == (str(place), ("adapter_model.safetensors",))


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "model.safetensors", "all_results.json"])
async def test_a_model_beside_the_log_is_success_below_100_percent(tmp_path: Path, name: str) -> None:
    place = run(tmp_path, "sft", line(60), ago=100)
    put(place / name, "w", ago=90)
    job = await one(provider(tmp_path))
    assert (job.status, job.finished_at, job.progress.percent) == (Status.SUCCEEDED, int(NOW - 90), 60.0)


async def test_the_model_of_an_earlier_run_proves_nothing(tmp_path: Path) -> None:
    place = run(tmp_path, "sft", line(60), ago=100)
    put(place / "adapter_model.safetensors", "w", ago=5000)
    put(place / "trainer_state.json", trainer_state(100, ended=True), ago=5000)
    assert (await one(provider(tmp_path))).status is Status.RUNNING


async def test_silence_is_no_proof_of_failure(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(60), ago=3000)
    assert (await one(provider(tmp_path))).status is Status.PAUSED
    assert (await one(provider(tmp_path, stalled_after=Duration(hours=1)))).status is Status.RUNNING
    failed = await one(provider(tmp_path, silence="failed"))
    assert (failed.status, failed.error.code) == (Status.FAILED, "silent")
    assert failed.finished_at == int(NOW - 3000)


async def test_a_silent_run_goes_on(tmp_path: Path) -> None:
    files = provider(tmp_path)
    run(tmp_path, "sft", line(60), ago=3000)
    assert (await one(files)).status is Status.PAUSED
    run(tmp_path, "sft", line(60) + line(61), ago=1)
    assert (await one(files)).status is Status.RUNNING


async def test_the_state_of_a_trainer_without_a_log(tmp_path: Path) -> None:
    place = tmp_path / "runs/sft"
    put(place / "checkpoint-10/trainer_state.json", trainer_state(10), ago=900)
    put(place / "checkpoint-20/trainer_state.json", trainer_state(20), ago=20)
    files = provider(tmp_path)
    job = await one(files)
    assert (job.status, job.progress.step, job.started_at) == (Status.RUNNING, 20, None)
    assert job.hyperparameters == {"n_epochs": 3, "batch_size": 8}
    assert job.metadata == {"best_metric": "1.9", "best_model_checkpoint": "out/checkpoint-10"}
    told = files.inline(await files.retrieve("runs/sft"))
    assert [(one.step, sorted(one.metrics)) for one in told.lines] == [
        (10, ["grad_norm", "learning_rate", "train_loss"]),
        (10, ["valid_loss"]),
        (20, ["train_accuracy", "train_loss"]),
    ]
    assert [point.step for point in told.checkpoints] == [20, 10]


async def test_the_summary_of_a_trainer_is_its_end(tmp_path: Path) -> None:
    """It stopped early, and saved its model before its state."""
    place = tmp_path / "runs/sft"
    put(place / "checkpoint-70/trainer_state.json", trainer_state(70), ago=4100)
    put(place / "model.safetensors", "w", ago=4050)
    put(place / "trainer_state.json", trainer_state(70, ended=True), ago=4000)
    files = provider(tmp_path)
    job = await one(files)
    assert (job.status, job.finished_at) == (Status.SUCCEEDED, int(NOW - 4000))
    assert job.started_at == int(NOW - 4000 - 600) // 10 * 10
    told = files.inline(await files.retrieve("runs/sft"))
    assert all(one.metrics.get("train_loss") != 1.4 for one in told.lines), "a mean is no step's loss"


async def test_a_fast_run_tells_that_it_ran(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(100))
    files = provider(tmp_path)
    told = files.inline(await files.retrieve("runs/sft"))
    assert [one.status for one in told.lines if one.status] == [Status.RUNNING]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:08:59", 539),
        ("1 day, 2:03:04", 93784),
        ("2 days, 0:00:00", 172800),
        ("30:00:00", 108000),
        ("0:00:00.25", 0),
        ("8:59", None),
        (539, None),
        (None, None),
    ],
)
def test_a_span_as_python_writes_it(text: object, seconds: int | None) -> None:
    record = trainlog.log(json.dumps({"current_steps": 1, "elapsed_time": text}).encode())
    assert record is not None
    assert record.elapsed == seconds


async def test_a_line_is_known_again_whatever_the_clock_says(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10) + line(20), ago=5)
    first = (await _keys(tmp_path))[:3]
    run(tmp_path, "sft", line(10) + line(20) + line(30), ago=1)
    assert (await _keys(tmp_path))[:3] == first
    assert len(set(await _keys(tmp_path))) == 4


async def _keys(folder: Path) -> list[str]:
    files = provider(folder)
    return [one.key for one in files.inline(await files.retrieve("runs/sft")).lines]


async def test_a_beginning_stays_where_it_is(tmp_path: Path) -> None:
    files = provider(tmp_path)
    run(tmp_path, "sft", line(60), ago=5)
    began = (await one(files)).started_at
    run(tmp_path, "sft", line(61, elapsed_time="0:09:47"), ago=5)
    assert (await one(files)).started_at == began
    run(tmp_path, "sft", line(1, elapsed_time="0:00:01"), ago=5)
    assert (await one(files)).started_at > began, "another run in the same folder"


@pytest.mark.parametrize(
    ("last", "patience", "status"),
    [(99, 5000, Status.RUNNING), (99, 60, Status.FAILED), (100, 60, Status.SUCCEEDED)],
)
async def test_a_restart_is_no_news_of_any_run(
    last: int, patience: int, status: Status, tmp_path: Path
) -> None:
    """From line to line the beginning that can be worked out wanders, here into the next ten seconds."""
    options: dict[str, Any] = {"stalled_after": Duration(seconds=patience), "silence": "failed"}
    began, files = int(NOW - 2000) // 10 * 10 + 8.9, provider(tmp_path, **options)
    for step, late in ((98, 0.0), (last, 1.5)):
        run(tmp_path, "sft", line(step), ago=NOW - (began + 10 * step + late))
        before = await one(files)
    after = await one(provider(tmp_path, **options))
    assert (before.status, after.status) == (status, status)
    assert [change for change in diff(before, after) if not is_volatile(change, status)] == []
    assert (after.created_at is not None) == status.is_terminal


# -------------------------------------------------------------------------------------- torn and twisted


async def test_a_half_written_line_decides_nothing(tmp_path: Path) -> None:
    files = provider(tmp_path)
    whole = line(10) + line(100)
    for end in range(1, len(line(100)) - 1):
        run(tmp_path, "sft", whole[: len(line(10)) + end])
        job = await one(files)
        assert (job.status, job.progress.step) == (Status.RUNNING, 10)
    run(tmp_path, "sft", whole[:-1])
    assert (await one(files)).status is Status.SUCCEEDED, "all that is missing is the line break"


async def test_a_log_without_a_line_is_a_run_that_waits(tmp_path: Path) -> None:
    files = provider(tmp_path)
    for text in ("", '{"current_st'):
        run(tmp_path, "sft", text)
        job = await one(files)
        assert (job.status, job.raw_status, job.started_at) == (Status.QUEUED, "empty", None)


async def test_nonsense_hides_no_line_and_no_run(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10) + "\x00\xff garbage\n[1]\n7\n" + '{"current_steps": "many"}\n')
    run(tmp_path, "other", "a text about whales\n" * 10, ago=600)
    found = await listed(provider(tmp_path))
    assert found["sft"].progress.step == 10
    assert found[""] == [f"{tmp_path}/runs/other/trainer_log.jsonl holds nothing that a trainer writes"]
    with pytest.raises(ProviderError, match="nothing that a trainer writes"):
        await one(provider(tmp_path), "other")


async def test_figures_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10, loss=float("nan"), lr="high", reward=0.5, accuracy=True))
    files = provider(tmp_path)
    told = files.inline(await files.retrieve("runs/sft"))
    assert [one.metrics for one in told.lines[1:]] == [{"train_reward": 0.5}]


async def test_a_state_that_is_being_written_decides_nothing(tmp_path: Path) -> None:
    place = tmp_path / "runs/sft"
    files = provider(tmp_path)
    put(place / "trainer_state.json", trainer_state(100, ended=True)[:200])
    assert await listed(files) == {"": []}
    with pytest.raises(ProviderError, match="being written"):
        await one(files)
    put(place / "trainer_state.json", "{", ago=600)
    assert "nothing that a trainer writes" in (await listed(files))[""][0]


async def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    """Ten gigabytes, of which the disk holds a few blocks."""
    place = run(tmp_path, "sft", "")
    with (place / "trainer_log.jsonl").open("r+b") as file:
        file.seek(10 * 1024**3)
        file.write(b"\n" + (line(10) + line(20)).encode())
    job = await one(provider(tmp_path))
    assert job.progress.step == 20


async def test_a_state_that_is_too_large_is_a_sentence(tmp_path: Path) -> None:
    place = tmp_path / "runs/sft"
    put(place / "trainer_state.json", "{")
    os.truncate(place / "trainer_state.json", 10 * 1024**3)
    (said,) = (await listed(provider(tmp_path)))[""]
    assert said == f"{place}/trainer_state.json is larger than 32,768 KiB"


async def test_a_long_history_is_told_up_to_a_limit(tmp_path: Path) -> None:
    run(tmp_path, "sft", "".join(line(step, 5000) for step in range(1, 1000)))
    files = provider(tmp_path)
    told = files.inline(await files.retrieve("runs/sft"))
    assert len(told.lines) == 1 + trainlog.MOST_FIGURES
    assert told.lines[-1].step == 999


async def test_a_run_that_vanishes_is_not_found(tmp_path: Path) -> None:
    files = provider(tmp_path)
    place = run(tmp_path, "sft", line(10))
    assert (await one(files)).id == "runs/sft"
    (place / "trainer_log.jsonl").unlink()
    with pytest.raises(NotFound):
        await one(files)
    place.rmdir()
    with pytest.raises(NotFound):
        await one(files)


async def test_a_disk_that_is_not_mounted_says_nothing_of_its_runs(tmp_path: Path) -> None:
    files = provider(tmp_path)
    for question in (files.page(None), files.retrieve("runs/sft")):
        with pytest.raises(ProviderError, match=r"runs is not there: is it mounted\?"):
            await question


async def test_one_path_that_is_not_there_hides_no_other(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10))
    found = await listed(provider(tmp_path, "runs/*", "elsewhere/*/trainer_log.jsonl"))
    assert found["sft"].status is Status.RUNNING
    assert found[""] == [f"{tmp_path}/elsewhere is not there: is it mounted?"]


async def test_a_file_that_is_replaced_is_another_run(tmp_path: Path) -> None:
    files = provider(tmp_path)
    place = run(tmp_path, "sft", line(100))
    assert (await one(files)).status is Status.SUCCEEDED
    (place / "trainer_log.jsonl").unlink()
    run(tmp_path, "sft", line(1))
    assert (await one(files)).status is Status.RUNNING


async def test_what_did_not_change_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = provider(tmp_path)
    run(tmp_path, "sft", line(10))
    before = await files.page(None)
    monkeypatch.setattr(trainlog, "lenient", None)
    assert await files.page(None) == before, "equal bytes, equal jobs"


# ----------------------------------------------------------------------------------------------- folders


async def test_all_sorts_of_paths_lead_to_a_run(tmp_path: Path) -> None:
    place = run(tmp_path, "sft", line(10))
    put(place / "checkpoint-10/trainer_state.json", trainer_state(10), ago=300)
    for path in (
        "runs/*",
        "runs/sft",
        "runs/**/trainer_log.jsonl",
        "**",
        "runs/s[a-f]t/",
        f"{tmp_path}/runs/*/trainer_log.jsonl",
        "runs/*/checkpoint-*/trainer_state.json",
        "runs/sft/trainer_log.jsonl",
        "./no/../runs/*",
    ):
        files = provider(tmp_path, path)
        assert set(await listed(files)) == {"", "sft"}, path
        assert (await one(files)).name == "sft"


async def test_a_run_elsewhere_has_its_whole_path_for_an_id(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10))
    files = provider(tmp_path / "etc", f"{tmp_path}/runs/*")
    job = (await listed(files))["sft"]
    assert job.id == f"{tmp_path}/runs/sft"
    assert (await one(files, id=job.id)).id == job.id


async def test_home_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run(tmp_path, "sft", line(10))
    assert "sft" in await listed(provider(Path("/etc"), "~/runs/*"))


async def test_nothing_is_told_of_what_no_path_covers(tmp_path: Path) -> None:
    run(tmp_path, "sft", line(10))
    put(tmp_path / "secret/trainer_log.jsonl", line(10))
    files = provider(tmp_path)
    for id in ("secret", "runs/../secret", f"{tmp_path}/secret", "runs", "runs/sft/x", "..", "%00"):
        with pytest.raises(NotFound):
            await files.retrieve(id)


async def test_the_newest_runs_are_watched(tmp_path: Path) -> None:
    for number in range(5):
        run(tmp_path, f"sft-{number}", line(10), ago=100 - number)
    files = provider(tmp_path, newest=2)
    jobs = [files.read(raw).name for raw in files.split(await files.page(None)).entries]
    assert jobs == ["sft-4", "sft-3"]
    assert (await one(files, "sft-0")).status is Status.RUNNING, "what is asked for is answered"


async def test_links_lead_to_a_run_once_and_never_in_a_circle(tmp_path: Path) -> None:
    place = run(tmp_path, "sft", line(10))
    (tmp_path / "runs/latest").symlink_to(place)
    (place / "up").symlink_to(tmp_path / "runs")
    for path in ("runs/*", "runs/**", "runs/**/trainer_log.jsonl"):
        assert set(await listed(provider(tmp_path, path))) == {"", "sft"}, path
    (tmp_path / "runs/ring").mkdir()
    (tmp_path / "runs/ring/trainer_log.jsonl").symlink_to(tmp_path / "runs/ring/trainer_log.jsonl")
    found = await listed(provider(tmp_path))
    assert found[""] == [
        f"{tmp_path}/runs/ring/trainer_log.jsonl cannot be read: too many levels of symbolic links"
    ]


async def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "runs/sft").mkdir(parents=True)
    os.mkfifo(tmp_path / "runs/sft/trainer_log.jsonl")
    assert "is no regular file" in (await listed(provider(tmp_path)))[""][0]


@pytest.mark.parametrize("what", ["runs", "runs/sft", "runs/sft/trainer_log.jsonl"])
async def test_what_may_not_be_read_is_a_sentence(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is for who is not root; the disk refuses in its place here, since these tests may run as root."""
    run(tmp_path, "sft", line(10))
    run(tmp_path, "dpo", line(10))
    closed = str(tmp_path / what)

    def refusing(real: Any) -> Any:
        def asked(path: Any, *more: Any, **words: Any) -> Any:
            if path == closed:
                raise PermissionError(13, "Permission denied", path)
            return real(path, *more, **words)

        return asked

    for name in ("scandir", "open"):
        monkeypatch.setattr(disk.os, name, refusing(getattr(os, name)))
    files = provider(tmp_path)
    sentence = f"{closed} cannot be read: permission denied: let the user that ftwatch runs as read it"
    if what == "runs":
        with pytest.raises(ProviderError) as caught:
            await files.page(None)
        assert (caught.value.reason, caught.value.denied) == (sentence, True)
        return
    found = await listed(files)
    assert (set(found), found[""]) == ({"", "dpo"}, [sentence])
    with pytest.raises(ProviderError) as caught:
        await one(files)
    assert caught.value.reason == sentence


async def test_there_may_be_too_much_below_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"runs/{number}/{number}").mkdir(parents=True)
    monkeypatch.setattr(disk, "MOST_NAMES", 30)
    with pytest.raises(ProviderError, match="more than 30 names lie below `paths`: narrow them"):
        await provider(tmp_path, "runs/**").page(None)


async def test_a_disk_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    files = provider(tmp_path, timeout=Duration(milliseconds=1))
    monkeypatch.setattr(files, "_list", lambda: answers.wait(60) and b"")
    try:
        said = set()
        # A look that was given up before its thread began waits for nothing, and does not count.
        for _ in range(1000):
            with pytest.raises(ProviderError) as caught:
                await files.page(None)
            said.add(caught.value.reason)
            if len(said) == 2:
                break
        assert said == {
            "reading the files took longer than 0.001 s",
            "the disk does not answer: earlier looks still wait for it",
        }
    finally:
        answers.set()


@pytest.mark.parametrize(
    "name", ["plain", "with blank", "100%", "новый", "line\nbreak", b"\xff\xfe", "tab\t%41"]
)
async def test_any_name_of_a_folder_makes_an_id_that_leads_back(tmp_path: Path, name: str | bytes) -> None:
    folder = os.fsdecode(name)
    run(tmp_path, folder, line(10))
    files = provider(tmp_path)
    (raw,) = files.split(await files.page(None)).entries
    id = files.identify(raw)
    assert id.isprintable()
    assert unescaped(id) == f"runs/{folder}"
    assert (id == escaped(id)) or "%" in id
    assert files.read(await files.retrieve(id)).id == id


async def test_an_id_that_is_too_long_is_told_as_such(tmp_path: Path) -> None:
    run(tmp_path, "/".join(["x" * 200] * 3), line(10))
    found = await listed(provider(tmp_path, "runs/*/*/*"))
    assert "characters long" in found[""][0]


def test_a_glob_knows_what_it_covers() -> None:
    glob = Glob.of("/etc", "/data/**/out-*/trainer_log.jsonl")
    assert glob == ("/data", ("**", "out-*", "trainer_log.jsonl"))
    assert glob.covers("/data/out-1")
    assert glob.covers("/data/a/b/out-1")
    assert not glob.covers("/data/a/b")
    assert not glob.covers("/database/out-1")
    assert Glob.of("/etc", "/data/run/trainer_log.jsonl").root == "/data"


# ------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("block", "wanted"),
    [
        ("paths: []", "3:17: error: paths: names no path"),
        ("path: [runs]", "provider 'file' has no key 'path'; did you mean 'paths'?"),
        ("paths: runs", "write [runs]"),
        ("paths: ['~nobody-here/x']", "3:17: error: paths: '~nobody-here/x': there is no such home"),
        ("paths: [runs], newest: 0", "3:33: error: newest: should be from 1 to 5000"),
        ("paths: [runs], silence: pausd", "did you mean 'paused'?"),
        ("paths: [runs], stalled_after: 0s", "stalled_after: must be longer than nothing"),
    ],
)
def test_a_mistake_is_named_at_its_place(block: str, wanted: str, tmp_path: Path) -> None:
    file = tmp_path / "ftwatch.yaml"
    file.write_text(f"notifiers: {{console: {{}}}}\nproviders:\n  file: {{{block}}}\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load(file, environ={})
    assert wanted in str(caught.value)
