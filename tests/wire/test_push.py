"""Merging what runs tell of themselves: nothing raises, nothing grows for ever, no time runs backwards."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftwatch.core.cause import Cause, cause_of
from ftwatch.core.job import Snapshot, Status
from ftwatch.plugins import Unreadable
from ftwatch.wire import push
from ftwatch.wire.push import fields, merging, run

NOW = 1_795_000_000.0


class Told:
    """One run's pushes, one after another."""

    def __init__(self) -> None:
        self.raw: bytes | None = None
        self.now = NOW

    def __call__(self, after: float = 1.0, **told: Any) -> "Told":
        """Pushes this, so much later."""
        self.now += after
        self.raw = push.merged(self.raw, {"id": "run-42", **told}, self.now)
        return self

    @property
    def run(self) -> run.Run:
        assert self.raw is not None
        return run.decoded(self.raw)

    @property
    def job(self) -> Snapshot:
        assert self.raw is not None
        return push.read(self.raw, provider="box", kind="push", labels={})

    @property
    def lines(self) -> list[Any]:
        assert self.raw is not None
        return list(push.inline(self.raw).lines)

    @property
    def lived(self) -> list[tuple[str, int]]:
        """Its states, each with the seconds since the beginning."""
        return [(state.word, round(state.at - NOW)) for state in self.run.states]


@pytest.fixture
def told() -> Told:
    return Told()


# ------------------------------------------------------------------------------------------ what is told


def test_the_push_of_the_readme(told: Told) -> None:
    job = told(status="running", step=120).job
    assert (job.id, job.status, job.raw_status) == ("run-42", Status.RUNNING, "running")
    assert job.created_at == job.started_at == int(NOW) + 1
    assert job.progress is not None
    assert job.progress.step == 120


def test_what_a_push_leaves_out_stays_as_it_was_and_null_takes_it_away(told: Told) -> None:
    told(status="running", name="sft", model="llama", step=1, total_steps=10, labels={"a": "1", "b": "2"})
    job = told(step=5).job
    assert (job.name, job.model, job.labels) == ("sft", "llama", {"a": "1", "b": "2"})
    assert job.progress is not None
    assert (job.progress.step, job.progress.percent) == (5, 50.0)
    job = told(model=None, labels={"b": "3"}).job
    assert (job.model, job.labels) == (None, {"b": "3"}), "a map is told whole"


def test_a_push_without_a_status_is_of_a_run_that_runs(told: Told) -> None:
    assert told(step=1).job.status is Status.RUNNING
    told(status="PENDING")
    assert told(step=1).job.status is Status.QUEUED, "or of whatever it was before"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("CUDA out of memory", None, "CUDA out of memory"),
        ({"code": "137", "message": "killed"}, "137", "killed"),
        ({"code": "137"}, "137", None),
        (137, None, "137"),
        ({}, None, None),
        ([], None, None),
    ],
)
def test_an_error_may_be_a_sentence_or_an_object(
    told: Told, error: Any, code: str | None, message: str | None
) -> None:
    found = told(status="failed", error=error).job.error
    assert (found and found.code, found and found.message) == (code, message)


def test_an_error_is_a_line_of_the_log_too(told: Told) -> None:
    told(status="failed", error="CUDA out of memory")(error="CUDA out of memory")
    told(status="running")(status="failed", error="CUDA out of memory", message="rank 3 died", level="warn")
    assert [(line.level, line.message) for line in told.lines if line.type == "message"] == [
        ("error", "CUDA out of memory"),
        ("warning", "rank 3 died"),
    ]


def test_figures_stand_anywhere_under_any_name_of_theirs(told: Told) -> None:
    told(step=1, loss=2.0, lr="1e-5", entropy=3)
    told(step=2, metrics={"loss": 1.5, "eval_loss": 1.7, "rewards/accuracies": 0.7, "num_tokens": 9})
    told(step=2, metrics={"loss": float("nan"), "grad_norm": "inf"})
    # What Hugging Face's Trainer logs last is the mean of the whole run.
    told(step=2, metrics={"train_loss": 1.9, "train_runtime": 600.0})
    figures = [(line.step, line.metrics) for line in told.lines if line.type == "metrics"]
    assert figures == [
        (1, {"train_loss": 2.0, "learning_rate": 1e-5}),
        (2, {"train_loss": 1.5, "valid_loss": 1.7, "train_accuracy": 0.7}),
    ]


def test_a_sentence_is_a_line_of_the_log(told: Told) -> None:
    told(status="running", message="loading weights")
    told(message="CUDA error", level="ERROR", step=3)
    assert [(line.type, line.level, line.message, line.step) for line in told.lines] == [
        ("status", "info", "running", None),
        ("message", "info", "loading weights", None),
        ("message", "error", "CUDA error", 3),
    ]


@pytest.mark.parametrize(
    ("checkpoint", "step", "model"),
    [
        ("/out/checkpoint-100", 120, "/out/checkpoint-100"),
        ({"model": "/out/c", "step": 100}, 100, "/out/c"),
        ({"step": 100}, 100, None),
        ({}, None, None),
        ("", None, None),
        (7, None, None),
    ],
)
def test_a_checkpoint_is_a_path_or_an_object(
    told: Told, checkpoint: Any, step: int | None, model: str | None
) -> None:
    told(status="running", step=120, metrics={"loss": 1.0}, checkpoint=checkpoint)
    told(step=120, checkpoint=checkpoint)
    assert told.raw is not None
    found = push.inline(told.raw).checkpoints
    assert [(one.step, one.model) for one in found] == ([(step, model)] if step is not None else [])
    assert all(one.metrics == {"train_loss": 1.0} for one in found)


CAUSES = {
    "OUT_OF_MEMORY": Cause.OUT_OF_MEMORY,
    "OUT_OF_ME+": Cause.OUT_OF_MEMORY,
    "TIMEOUT": Cause.TIMEOUT,
    "DEADLINE": Cause.TIMEOUT,
    "NODE_FAIL": Cause.HARDWARE_RESTART,
    "BOOT_FAIL": Cause.HARDWARE_RESTART,
    "LAUNCH_FAILED": Cause.HARDWARE_RESTART,
    "FAILED_NO_RESOURCE": Cause.HARDWARE_RESTART,
    "FAILED_CONTROLLER": Cause.HARDWARE_RESTART,
    "CANCELLED by 1000": Cause.USER_CANCEL,
    "KILLED": Cause.USER_CANCEL,
    "FAILED": Cause.UNKNOWN,
    "crashed": Cause.UNKNOWN,
    "COMPLETED": None,
    "PREEMPTED": None,
}


@pytest.mark.parametrize(("word", "cause"), CAUSES.items())
def test_the_words_of_schedulers_say_why(told: Told, word: str, cause: Cause | None) -> None:
    assert cause_of(told(status=word).job) is cause


# ------------------------------------------------------------------------------------- order, times, clocks


def test_the_same_word_again_is_no_other_state(told: Told) -> None:
    told(status="PENDING")(status="pending")(status="RUNNING")(status="running", step=5)(status="RUNNING")
    assert told.lived == [("PENDING", 1), ("RUNNING", 3)]
    assert told.run.pushes == 5


def test_another_word_for_the_same_end_moves_no_end(told: Told) -> None:
    """The script says that it failed, the scheduler a little later why."""
    told(status="RUNNING")(status="failed")
    ended = told.job.finished_at
    job = told(60, status="OUT_OF_MEMORY").job
    assert (job.status, job.raw_status, job.finished_at) == (Status.FAILED, "OUT_OF_MEMORY", ended)


def test_what_was_kept_back_counts_at_its_own_time(told: Told) -> None:
    """A laptop without a network tells its whole life at once."""
    began = NOW - 7200
    told(0, status="queued", at=began)(0, status="running", at=began + 600)
    job = told(0, status="succeeded", at=began + 3600).job
    assert [at for _, at in told.lived] == [-7200, -6600, -3600]
    assert (job.created_at, job.started_at, job.finished_at) == (began, began + 600, began + 3600)


def test_what_comes_late_fills_gaps_and_moves_nothing(told: Told) -> None:
    told(status="PENDING", at=NOW)(60, status="succeeded", step=600, name="sft", at=NOW + 60)
    job = told(status="RUNNING", at=NOW + 10, step=20, name=None, owner="kim", phase="warm-up").job
    assert told.lived == [("PENDING", 0), ("RUNNING", 10), ("succeeded", 60)]
    assert (job.status, job.started_at, job.finished_at) == (Status.SUCCEEDED, NOW + 10, NOW + 60)
    assert job.progress is not None
    assert (job.progress.step, job.name, job.owner) == (600, "sft", "kim")
    assert told.run.attempt == 0


def test_a_late_word_that_is_known_already_says_nothing(told: Told) -> None:
    told(60, status="running", at=NOW + 50)(60, status="failed", at=NOW + 110)
    told(status="running", at=NOW + 60)(status="running", at=NOW + 40)(status="failed", at=NOW + 108)
    assert told.lived == [("running", 50), ("failed", 110)]


def test_who_runs_on_another_machine_whose_clock_is_behind_is_heard_all_the_same(told: Told) -> None:
    told(status="running", at=NOW)(60, status="failed", at=NOW + 60)
    job = told(60, status="running", at=NOW - 3600).job
    assert job.status is Status.RUNNING, "hours late is no delay on the way but a clock that is off"
    assert told.lived[-1] == ("running", 121)


@pytest.mark.parametrize("at", [NOW + 3600, NOW - 30 * 86400, 12, "1970-01-01", "soon", True, [], {}, 1e308])
def test_a_time_that_nobody_can_believe_is_now(told: Told, at: Any) -> None:
    assert told(status="running", at=at).lived == [("running", 1)]


@pytest.mark.parametrize("at", [NOW - 10, f"{NOW - 10}", (NOW - 10) * 1000, "2026-11-18T10:26:30Z"])
def test_times_are_written_in_several_ways(told: Told, at: Any) -> None:
    for name in ("at", "time", "timestamp"):
        assert Told()(status="running", **{name: at}).run.states[0].at in (NOW - 10, 1_794_997_590)


def test_our_own_clock_set_back_leaves_the_order_as_it_was(told: Told) -> None:
    told(status="queued")
    told(-86400, status="running", step=1, loss=2.0)
    told(status="succeeded")
    assert [word for word, _ in told.lived] == ["queued", "running", "succeeded"]
    assert [line.status for line in told.lines if line.status] == [
        Status.QUEUED,
        Status.RUNNING,
        Status.SUCCEEDED,
    ]


def test_a_step_may_go_back(told: Told) -> None:
    told(status="running", step=500)(status="PREEMPTED")
    job = told(status="running", step=400).job
    assert job.progress is not None
    assert (job.progress.step, told.run.attempt) == (400, 0)


def test_a_new_attempt_takes_nothing_of_the_last_one_along(told: Told) -> None:
    told(status="running", name="sft", step=300, total_steps=600, loss=0.5, checkpoint="/out/c-300")
    told(status="failed", error="CUDA out of memory", phase="oom")
    job = told(status="running").job
    assert (job.status, job.error, job.phase, job.finished_at) == (Status.RUNNING, None, None, None)
    assert (job.name, told.run.attempt) == ("sft", 1)
    assert job.progress is not None
    assert (job.progress.step, job.progress.total_steps) == (None, 600)
    assert job.started_at == told.run.states[-1].at
    job = told(status="failed").job
    assert job.error is None, "that was the other one's"


def test_a_new_attempt_in_the_same_second_comes_after_the_end(told: Told) -> None:
    told(0, status="running", step=300, loss=0.5, checkpoint="/out/c-300")(0, status="failed")
    told(0, status="running")(0, step=300, loss=0.4, checkpoint="/out/c-300")(0, status="succeeded")
    assert [word for word, _ in told.lived] == ["running", "failed", "running", "succeeded"]
    assert told.run.states[1].at < told.run.states[2].at
    said = [line.status or line.metrics for line in told.lines]
    assert said == [
        Status.RUNNING,
        {"train_loss": 0.5},
        Status.FAILED,
        Status.RUNNING,
        {"train_loss": 0.4},
        Status.SUCCEEDED,
    ]
    assert told.raw is not None
    assert len({one.key for one in push.inline(told.raw).checkpoints}) == 2


def test_a_document_that_was_forgotten_begins_with_other_keys(told: Told) -> None:
    told(status="running", loss=1.0)
    keys = {line.key for line in told.lines}
    told.raw = None
    assert keys.isdisjoint(line.key for line in told(status="running", loss=1.0).lines)


def test_a_document_that_nobody_can_read_keeps_no_run_from_going_on() -> None:
    for before in (b"", b"null", b"{}", b'{"id": 3}', b"\xff", b"[" * 100_000):
        assert push.read(
            push.merged(before, {"id": "r", "status": "failed"}, NOW), provider="p", kind="k", labels={}
        )


# ---------------------------------------------------------------------------------------- bounds and secrets


def said_of(told: Told) -> list[str]:
    return [line.message for line in told.lines if line.type == "dropped"]


def test_a_thousand_labels_are_cut_and_it_is_said_once(told: Told) -> None:
    many = {f"label-{number}": "x" * 50 for number in range(1000)}
    for _ in range(3):
        told(status="running", labels=many, metadata={"a": "b"})
    job = told.job
    assert 40 < len(job.labels) < 100
    assert list(job.labels)[:2] == ["a", "label-0"]
    (said,) = said_of(told)
    left = 1000 - (len(job.labels) - 1)
    assert said == f"not kept of a push: {left} entries of labels, which is larger than 4 KiB"
    assert next(line.level for line in told.lines if line.message == said) == "warning"


def test_what_nobody_knows_or_has_another_sort_is_said_once(told: Told) -> None:
    for _ in range(3):
        told(status="running", stauts="x", Step=3, step="many", total_steps=-1, labels=["a"], gpu_util=93)
    told(eta=5, step="lots")
    assert said_of(told) == [
        "not kept of a push: step, of another sort than it should be; total_steps, of another sort than it"
        " should be; labels, of another sort than it should be; stauts, a name nobody knows; Step, a name"
        " nobody knows; gpu_util, a name nobody knows",
        "not kept of a push: eta, a name nobody knows",
    ]


def test_zero_and_nothing_are_no_complaint(told: Told) -> None:
    told(status="running", step=0, total_steps=0, created_at=0, error={}, name="", labels={}, result_files=[])
    assert said_of(told) == []
    assert told.job.progress is not None


def test_complaints_have_an_end(told: Told) -> None:
    for number in range(200):
        told(status="running", **{f"key-{number}-{'x' * 500}": 1})
    assert len(said_of(told)) <= merging.MOST_COMPLAINTS
    assert len(told.run.complaints) == merging.MOST_COMPLAINTS


# The largest body that the web takes, filled in ways that somebody who means ill might think of.
FLOODS: dict[str, Any] = {
    "a long message": {"message": "x" * 250_000, "level": "error"},
    "control characters": {"message": "\x01" * 250_000, "name": "\x01" * 9000, "url": "\x02" * 9000},
    "huge labels": {"labels": {"a" * 9000: "b" * 200_000}},
    "many labels": {"labels": {f"k{number}": "v" * 20 for number in range(9000)}},
    "deep settings": {"hyperparameters": {"a": json.loads("[" * 900 + "]" * 900)}},
    "wide settings": {"hyperparameters": {f"k{number}": number for number in range(20_000)}},
    "many files": {"result_files": ["f" * 100 for _ in range(2400)]},
    "strange names": {f"k{number}": 1 for number in range(20_000)},
    "a long word": {"status": "x" * 250_000},
    "long checkpoints": {"checkpoint": {"model": "\x01" * 90_000, "id": "\x01" * 90_000, "step": 1}},
    "an endless error": {"status": "failed", "error": {"message": "\x01" * 90_000, "code": "\x01" * 90_000}},
    "many figures": {"metrics": {f"loss{number}": 1.0 for number in range(20_000)}, "loss": 1e300},
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_every_second_leaves_a_small_document(told: Told, name: str) -> None:
    flood = FLOODS[name]
    sizes = []
    for number in range(130):
        word = {"status": f"word-{number}"} if "status" not in flood else {}
        step = {"step": number} if "checkpoint" not in flood else {}
        fresh = {"checkpoint": {**flood["checkpoint"], "step": number}} if "checkpoint" in flood else {}
        told(**{**flood, **word, **step, **fresh})
        assert told.raw is not None
        sizes.append(len(told.raw))
    assert max(sizes) <= run.LARGEST
    assert told.job.raw_status is not None
    assert len(msgspec.json.encode(told.job)) < 64 * 1024, "and so is every event about it"


def test_a_usual_run_keeps_a_few_kilobytes(told: Told) -> None:
    for step in range(0, 20_000, 10):
        told(
            10,
            status="running",
            step=step,
            total_steps=20_000,
            metrics={"loss": 1.234, "lr": 1e-5, "grad_norm": 0.7},
        )
    assert told.raw is not None
    assert len(told.raw) < 25_000


SECRET = "hf_abcdefghijklmnopqrstuvwxyz"


def test_no_secret_is_kept(told: Told) -> None:
    told(
        status=f"running {SECRET}",
        name=f"run {SECRET}",
        model=f"https://kim:{SECRET}@example.com/m",
        owner=SECRET,
        url="https://wandb.example/run?token=0123456789abcdef",
        phase=SECRET,
        message=f"pushing with {SECRET}, Authorization: Bearer 0123456789abcdef",
        error={"message": f"login with {SECRET} failed", "code": SECRET},
        metadata={
            "wandb_api_key": "0123456789abcdef",
            "cmd": "train --hf-token 0123456789abcdef",
            "x": SECRET,
        },
        labels={"password": "0123456789abcdef"},
        hyperparameters={"hub_token": "0123456789abcdef", "env": {"AWS_SECRET": "0123456789abcdef"}},
        checkpoint={"model": f"s3://x/{SECRET}", "id": SECRET},
        result_files=[f"/tmp/{SECRET}"],
        api_key="0123456789abcdef",
        **{SECRET: 1},
    )
    assert told.raw is not None
    assert b"abcdefghijklmnop" not in told.raw
    assert b"0123456789abcdef" not in told.raw
    assert told.job.metadata["cmd"].startswith("train --hf-token ")


def test_prose_keeps_its_tokens(told: Told) -> None:
    found = told(status="failed", error="unexpected token: endoftext in line 7").job.error
    assert found is not None
    assert found.message == "unexpected token: endoftext in line 7"


# ------------------------------------------------------------------------------------------ what came in


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is no JSON"),
        (b"step=3", "the body is no JSON"),
        (b"[" * 100_000, "the body is no JSON"),
        (b"1" * 5000, "the body is no JSON"),
        (b"[]", "a push tells of one run, or of a list of 1 to 100"),
        (json.dumps([{"id": "a"}] * 101).encode(), "a push tells of one run, or of a list of 1 to 100"),
        (b"3", 'a push is an object like {"id": "run-42", "status": "running", "step": 120}'),
        (
            b'[{"id": "a"}, null]',
            'a push is an object like {"id": "run-42", "status": "running", "step": 120}',
        ),
        (b"{}", "an entry without an id"),
        (b'{"id": ""}', "an entry without an id"),
        (b'{"id": "a\\nb"}', "an entry whose id is no name"),
        (b'{"id": ".."}', "an entry whose id is no name"),
        (b'{"id": "a", "status": 3}', 'a status is a word like "running" or "failed"'),
        (b'{"id": "a", "status": " "}', 'a status is a word like "running" or "failed"'),
    ],
)
def test_what_is_no_push_is_refused_with_a_sentence(body: bytes, sentence: str) -> None:
    with pytest.raises(Unreadable) as caught:
        push.hook(body)
    assert str(caught.value) == sentence


def test_one_push_may_tell_of_several_runs_and_of_one_twice() -> None:
    hook = push.hook(b'[{"id": 7, "status": "PENDING"}, {"id": "b"}, {"id": 7, "status": "RUNNING"}]')
    assert [job for job, _ in hook.documents] == ["7", "b", "7"]
    assert hook.jobs == ()


# ---------------------------------------------------------------------------------------------- properties

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
words = st.sampled_from(sorted(run.STATUSES)) | st.text(max_size=6)
times = st.integers(-8 * 86400, 3600) | st.sampled_from([-700, -60, -1, 0, 1, 60])
pushes = st.dictionaries(
    st.sampled_from(sorted(fields.KNOWN | {"loss", "lr"})) | st.text(max_size=4), anything, max_size=4
)
steps = st.tuples(st.floats(-100, 1000), pushes, st.none() | words, st.none() | times)


@given(st.lists(steps, min_size=1, max_size=8))
def test_any_pushes_make_a_run_that_can_be_read(told: list[Any]) -> None:
    raw, now, latest = None, NOW, 0
    for number, (after, more, word, at) in enumerate(told):
        now += after
        said = {**more, "id": "r"}
        said |= {"status": word} if word is not None else {}
        said |= {"at": now + at} if at is not None else {}
        # As it comes over the wire, with halves of characters and numbers that are none.
        raw = push.merged(raw, json.loads(json.dumps(said)), now)
        found = run.decoded(raw)
        assert len(raw) <= run.LARGEST
        assert (found.pushes, found.heard) == (number + 1, now)
        assert found.latest >= latest, "what happened last only ever comes later"
        latest = found.latest
        moments = [state.at for state in found.states]
        assert moments == sorted(moments)
        assert all(
            a.word.lower() != b.word.lower() for a, b in zip(found.states, found.states[1:], strict=False)
        )
        job = push.read(raw, provider="p", kind="push", labels={})
        assert msgspec.json.decode(msgspec.json.encode(job), type=Snapshot) == job
        page = push.inline(raw)
        keys = [line.key for line in page.lines]
        assert len(keys) == len(set(keys))
        assert push.identify(raw) == "r"
        assert push.heard_at(raw) == now


@given(st.lists(steps, max_size=4), pushes, words)
def test_what_is_told_twice_is_one_state(before: list[Any], more: dict[str, Any], word: str) -> None:
    raw, now = None, NOW
    for after, said, status, _ in before:
        now += abs(after)
        raw = push.merged(raw, {**said, "id": "r", **({"status": status} if status else {})}, now)
    said = json.loads(json.dumps({**more, "id": "r", "status": word}))
    for name in ("at", "time", "timestamp"):
        said.pop(name, None)
    once = push.merged(raw, said, now)
    twice = push.merged(once, said, now)
    one, two = run.decoded(once), run.decoded(twice)
    assert (one.states, one.fields, one.attempt, one.checkpoints) == (
        two.states,
        two.fields,
        two.attempt,
        two.checkpoints,
    )
    assert one.complaints == two.complaints


@given(st.lists(st.tuples(words.filter(lambda word: word.strip() != ""), st.integers(1, 500)), max_size=10))
def test_the_last_word_counts_where_nothing_comes_late(told: list[tuple[str, int]]) -> None:
    raw, now = None, NOW
    for word, after in told:
        now += after
        raw = push.merged(raw, {"id": "r", "status": word}, now)
        job = push.read(raw, provider="p", kind="push", labels={})
        assert job.status is run.meaning(word)
        assert (job.finished_at is not None) == job.status.is_terminal


LIFE = ["PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "COMPLETED"]


@given(st.permutations(list(enumerate(LIFE))))
def test_in_whatever_order_they_come_within_minutes_the_life_is_the_same(told: list[tuple[int, str]]) -> None:
    raw = None
    for number, word in told:
        raw = push.merged(raw, {"id": "r", "status": word, "at": NOW + number * 10}, NOW + 100)
    assert raw is not None
    found = run.decoded(raw)
    assert [(state.word, state.at) for state in found.states] == [
        (word, NOW + number * 10) for number, word in enumerate(LIFE)
    ]
    assert found.started == NOW + 20
