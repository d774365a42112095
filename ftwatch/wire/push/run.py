"""The document of one run: what it has said of itself so far, and what its words for a state mean."""

from typing import Any

import msgspec
from msgspec import Struct

from ftwatch.core.job import Status
from ftwatch.plugins import Unreadable
from ftwatch.wire import lenient

__all__ = ["STATUSES", "Run", "Said", "Saved", "State", "decoded", "encoded", "mark_of", "meaning"]

_WORDS = {
    # Slurm's states and flags, SkyPilot's jobs (of clusters and managed ones), runs of MLflow and of Weights
    # & Biases, and what people say. Who is put back into the queue waits there, whatever it was before.
    Status.QUEUED: """
        pending submitted waiting scheduled created init starting setting_up configuring power_up_node
        requeued requeue_hold requeue_fed special_exit resv_del_hold expediting recovering""",
    Status.RUNNING: """
        started training in_progress active completing resizing signaling stage_out winding_down""",
    Status.PAUSING: "preempting",
    # Whether a run that was preempted is put back into the queue, or is over, its next push tells.
    Status.PAUSED: "suspended preempted",
    Status.CANCELLING: "stopping canceling",
    Status.SUCCEEDED: "success successful completed complete done finished ok",
    Status.FAILED: """
        failure error errored crashed timeout deadline out_of_memory out_of_me+ node_fail boot_fail
        launch_failed reconfig_fail failed_setup failed_driver failed_precheck failed_prechecks
        failed_no_resource failed_controller""",
    # Killed: MLflow and Weights & Biases say so of what somebody has stopped.
    Status.CANCELLED: "canceled cancelled+ stopped killed aborted revoked",
}
# What a word means, ours among them.
STATUSES = {
    **{str(status): status for status in Status},
    **{word: status for status, listed in _WORDS.items() for word in listed.split()},
}

# Of one run so many states, lines and checkpoints are kept, the newest.
MOST_STATES, MOST_LINES, MOST_SAVED = 60, 120, 50
# How large (bytes) a whole document may be: lines and checkpoints give way, the oldest first.
LARGEST = 256 * 1024


class State(Struct, omit_defaults=True):
    """The run became this, by its own word, at `at`; `number` counts the pushes of the run."""

    number: int
    at: int
    word: str


class Said(Struct, omit_defaults=True):
    """Figures or a sentence of the run's, or what we have to say about a push (`type` dropped)."""

    number: int
    at: int
    type: str
    message: str | None = None
    level: str = "info"
    step: int | None = None
    metrics: dict[str, float] = {}


class Saved(Struct, omit_defaults=True):
    """A checkpoint; that of another attempt is another one."""

    attempt: int
    at: int
    id: str | None = None
    model: str | None = None
    step: int | None = None
    metrics: dict[str, float] = {}


class Run(Struct, kw_only=True, omit_defaults=True):
    """All that a run has said. Times are Unix seconds: `born` and `heard` by our clock, others as told.

    `states` are in the order of their times; `latest` is the latest time that counts. `attempt` is how often
    the run began anew after an end, `started` when this attempt began to run. `complaints` are the names of
    what of its pushes was not kept, each told of once.
    """

    id: str
    born: int
    first: int
    heard: float = 0.0
    latest: int = 0
    pushes: int = 0
    attempt: int = 0
    started: int | None = None
    fields: dict[str, Any] = {}
    states: list[State] = []
    lines: list[Said] = []
    checkpoints: list[Saved] = []
    complaints: list[str] = []


_decode = msgspec.json.Decoder(Run).decode
_encode = msgspec.json.Encoder().encode


def decoded(raw: bytes) -> Run:
    """The run in a document. Raises Unreadable."""
    try:
        run = _decode(raw)
    except lenient.REFUSED:
        raise Unreadable("an entry that is no run") from None
    lenient.identifier(run.id)
    return run


def encoded(run: Run) -> bytes:
    """The document of a run, in bounds."""
    run.states = run.states[-MOST_STATES:]
    run.lines = run.lines[-MOST_LINES:]
    run.checkpoints = run.checkpoints[-MOST_SAVED:]
    raw = _encode(run)
    while len(raw) > LARGEST and (run.lines or run.checkpoints):
        run.lines = run.lines[(len(run.lines) + 1) // 2 :]
        run.checkpoints = run.checkpoints[(len(run.checkpoints) + 1) // 2 :]
        raw = _encode(run)
    return raw


def meaning(word: str) -> Status:
    """Our word for one of theirs. Slurm's accounting says by whom, too: `CANCELLED by 1000`."""
    found = lenient.status_among(STATUSES, word)
    is_by_somebody = found is Status.UNKNOWN and lenient.folded(word).startswith("cancelled_by_")
    return Status.CANCELLED if is_by_somebody else found


def mark_of(saved: Saved) -> tuple[int, int | None, str | None]:
    """What identifies a checkpoint within its run."""
    name = saved.model if saved.step is not None else saved.model or saved.id
    return saved.attempt, saved.step, name
