"""What would it look like? One event of every sort, made by the same code that makes the real ones."""

import math
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from ftwatch.core import announce
from ftwatch.core import event as events
from ftwatch.core.announce import Announcement, ProviderState
from ftwatch.core.compare import Background, Run, Runs
from ftwatch.core.decide import GONE_AFTER, decide
from ftwatch.core.event import Event, Report, Severity
from ftwatch.core.flapping import Flapping
from ftwatch.core.job import JobError, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.plot import Plot, Step, plot_of
from ftwatch.core.report import report_event
from ftwatch.core.route import Routing
from ftwatch.core.rule import Relapse, Retiring, Rule, Silent, Stuck
from ftwatch.core.span import DAY, HOUR, MINUTE

__all__ = ["SAMPLES", "sample", "sample_plot"]

NOW = 1_795_387_800
STARTED = NOW - 2 * HOUR
NOBODY = Routing()

_JOB = Snapshot(
    id="ftjob-sample4w9Zq2",
    provider="openai-prod",
    kind="openai",
    created_at=STARTED,
    status=Status.QUEUED,
    raw_status="queued",
    model="gpt-4.1-mini-2025-04-14",
    name="support-bot-v7",
    organization_id="org-sample",
    training_file="file-sampleTrain",
    validation_file="file-sampleValid",
    hyperparameters={"n_epochs": "auto", "batch_size": "auto"},
    seed=42,
    metadata={"team": "search"},
    integrations=(
        {"type": "wandb", "wandb": {"project": "support-bot", "entity": "acme", "run_id": "sample4w"}},
    ),
    owner="anna",
    labels={"env": "prod", "team": "search"},
    url="https://platform.openai.com/finetune/ftjob-sample4w9Zq2",
)
_RUNNING = replace(
    _JOB,
    status=Status.RUNNING,
    started_at=STARTED + 9 * MINUTE,
    hyperparameters={"n_epochs": 3, "batch_size": 4},
    progress=Progress(step=120, total_steps=600, percent=20.0),
    estimated_finish=NOW + 40 * MINUTE,
)
_RUN = replace(
    _RUNNING,
    id="run-42",
    provider="my-box",
    kind="push",
    name="llama-sft",
    model="meta-llama/Llama-3.1-8B",
    organization_id=None,
    training_file=None,
    validation_file=None,
    estimated_finish=None,
    integrations=(),
    owner=None,
    url="https://wandb.ai/acme/sft/runs/run-42",
)
_SILENT = Silent(every=10 * MINUTE)
_FLAPPING = Flapping()
_OVER: dict[str, Any] = {"finished_at": NOW - 12, "estimated_finish": None, "progress": None}
_ENDS = {
    "succeeded": replace(
        _RUNNING,
        status=Status.SUCCEEDED,
        fine_tuned_model="ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg",
        trained_tokens=5_768_000,
        result_files=("file-sampleResult",),
        **_OVER,
    ),
    "failed": replace(
        _RUNNING,
        status=Status.FAILED,
        error=JobError(
            code="invalid_training_file",
            message="The job failed due to an invalid training file: line 17 is not valid JSON.",
            param="training_file",
        ),
        **_OVER,
    ),
    "cancelled": replace(_RUNNING, status=Status.CANCELLED, **_OVER),
    "paused": replace(_RUNNING, status=Status.PAUSED),
    "pausing": replace(_RUNNING, status=Status.PAUSING),
    "cancelling": replace(_RUNNING, status=Status.CANCELLING),
    "unknown": replace(_RUNNING, status=Status.UNKNOWN, raw_status="defrosting"),
    "updated": replace(_RUNNING, metadata={"team": "ads"}, labels={"env": "prod", "team": "ads"}),
}

_LOSSES = {"train_loss": 0.4123, "valid_loss": 0.4871, "valid_accuracy": 0.8714}
_CHECKPOINT = Checkpoint(
    id="ftckpt_sample",
    step=200,
    model="ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:9aBcDeFg:ckpt-step-200",
    metrics={"train_loss": 0.7312, "valid_loss": 0.8046},
)


def _raw(job: Snapshot) -> Snapshot:
    """The job with its provider's own word for its status, which here is ours."""
    return replace(job, raw_status=job.raw_status if job.status is Status.UNKNOWN else str(job.status))


# What there was before the sample.
_BEFORE = Background(
    first={"train_loss": 2.3129},
    earlier=Runs(
        [Run(id="ftjob-sample3", finished_at=NOW - 7 * DAY, ran_for=7368, metrics={"valid_loss": 0.5117})]
    ),
)


def _look(
    known: Known | None, snapshot: Snapshot | None, at: float = NOW, settle: float = 0, **more: Any
) -> list[Event]:
    policy = Policy(routing=NOBODY, rules=(Stuck(),), settle=settle, backgrounds={_JOB.id: _BEFORE})
    seen = _raw(snapshot) if snapshot else None
    look = Look(key=_JOB.key, asked=(known.asked if known else 0) + 1, at=at, snapshot=seen, **more)
    return list(decide(known, look, policy, at).events)


def _known(snapshot: Snapshot, **more: Any) -> Known:
    return Known(snapshot=_raw(snapshot), sequence=3, link="evt_sample", status_since=NOW - HOUR, **more)


def _with(event: Event, **more: Any) -> Event:
    """The event with more to tell than its job says."""
    return replace(event, data=replace(event.data, **more))


def _became(name: str) -> Event:
    return _look(_known(_RUNNING, metrics=_LOSSES), _ENDS[name])[-1]


def _checkpoint() -> Event:
    return _look(_known(_RUNNING, logged=True), _RUNNING, journal=Journal(checkpoints=(_CHECKPOINT,)))[0]


def _fired(rule: Rule, job: Snapshot, now: float = NOW, known: Known | None = None) -> tuple[Known, Event]:
    """The first event that comes of a rule, and the job as it is known then."""
    decision = decide(known or _known(job), None, Policy(routing=NOBODY, rules=(rule,)), now)
    assert decision.known is not None
    return decision.known, decision.events[0]


def _stuck() -> tuple[Known, Event]:
    return _fired(Stuck(queued=HOUR), _JOB)


def _retiring() -> tuple[Known, Event]:
    return _fired(Retiring(ahead=(60 * DAY,)), _ENDS["succeeded"])


def _silent() -> tuple[Known, Event]:
    return _fired(_SILENT, _RUN, NOW, _known(_RUN, heard_at=NOW - 11 * MINUTE))


def _flapping() -> tuple[Known, Event]:
    relapses = tuple(Relapse(NOW - ago * MINUTE, Status.PAUSED) for ago in (20, 10, 0))
    return _fired(_FLAPPING, _RUNNING, NOW, _known(_RUNNING, relapses=relapses))


def _withdrawn() -> Known:
    """A job whose model was to end, and now is one that no table names."""
    known = _retiring()[0]
    return replace(known, snapshot=replace(known.snapshot, fine_tuned_model="support-bot-v7"))


def _heard() -> Known:
    """A run that told nothing for a while, and goes on."""
    return replace(_silent()[0], heard_at=NOW)


_FULL = "2 MiB are left in /var/lib/ftwatch; messages still go out, and nothing that happens is lost"
_REPORT = Report(
    since=NOW - 7 * DAY,
    until=NOW,
    ended={"succeeded": 45, "failed": 3, "cancelled": 1},
    tokens=271_390_000,
    ran_for=91 * HOUR,
    slowest=("support-bot-v7", 5 * HOUR),
    active=4,
    open=("llama-sft failed, and nobody has acknowledged it",),
)
_STATE = ProviderState(name="openai-prod")
_BAD = replace(_STATE, degraded_at=NOW - HOUR, reason="HTTP 401: Incorrect API key provided")


def _own(said: Announcement) -> Event:
    return said.events[0]


_MAKERS: dict[str, Callable[[], Event]] = {
    "created": lambda: _look(None, _JOB, at=STARTED + 5)[0],
    "continued": lambda: _with(_look(None, _JOB, at=STARTED + 5)[0], continues="ftjob-sample0ld"),
    "validating_files": lambda: _look(_known(_JOB), replace(_JOB, status=Status.VALIDATING_FILES))[0],
    "queued": lambda: _look(_known(replace(_JOB, status=Status.VALIDATING_FILES)), _JOB)[0],
    "running": lambda: _look(_known(_JOB), _RUNNING)[0],
    "checkpoint": _checkpoint,
    **{name: (lambda name=name: _became(name)) for name in _ENDS},  # type: ignore[misc]
    "incomplete": lambda: _look(_known(_RUNNING), replace(_ENDS["succeeded"], fine_tuned_model=None))[0],
    "gone": lambda: _look(_known(_RUNNING, missing_at=NOW - GONE_AFTER), None)[0],
    "returned": lambda: _look(_known(_RUNNING, gone=True), _RUNNING)[0],
    "stuck": lambda: _stuck()[1],
    "stuck-resolved": lambda: _look(_stuck()[0], _RUNNING)[-1],
    "silent": lambda: _silent()[1],
    "silent-resolved": lambda: _fired(_SILENT, _RUN, NOW, _heard())[1],
    "retiring": lambda: _retiring()[1],
    "retiring-resolved": lambda: _fired(Retiring(), _JOB, NOW, _withdrawn())[1],
    "flapping": lambda: _flapping()[1],
    "flapping-resolved": lambda: _fired(_FLAPPING, _RUNNING, NOW + HOUR, _flapping()[0])[1],
    "watching": lambda: _own(announce.watching(_STATE, "openai", 3, 41, NOBODY, NOW, tell=True)),
    "degraded": lambda: _own(announce.degraded(_STATE, "openai", _BAD.reason, NOBODY, NOW)),
    "recovered": lambda: _own(announce.recovered(_BAD, "openai", NOBODY, NOW)),
    "unreadable": lambda: _own(
        announce.unreadable(_STATE, "openai", {"f": "an entry without an id"}, NOBODY, NOW)
    ),
    "drift": lambda: _own(announce.drifted(_STATE, "openai", "listing", "HTTP 404: Not Found", NOBODY, NOW)),
    "retired": lambda: _own(
        announce.retired(_STATE, "openai", "fine-tuning is no longer offered", NOBODY, NOW)
    ),
    "dead": lambda: _notice(
        events.DEAD, "fine_tuning.job.failed of support-bot-v7 did not arrive after 12 tries: HTTP 500"
    ),
    "failing": lambda: _notice(
        events.FAILING, "nothing has arrived for 16m: HTTP 503", severity=Severity.WARNING
    ),
    "disabled": lambda: _notice(events.DISABLED, "HTTP 410: the receiver is gone for good"),
    "enabled": lambda: _notice(events.ENABLED, "switched on again by hand", Severity.NOTICE),
    "rejected": lambda: _config(
        events.REJECTED, Severity.ERROR, "ftwatch.yaml:7:3: error: unknown key 'polll'"
    ),
    "accepted": lambda: _config(events.ACCEPTED, Severity.NOTICE, "ftwatch.yaml is in force again"),
    "full": lambda: _own(announce.about_ourselves("store", events.FULL, Severity.ERROR, _FULL, NOBODY, NOW)),
    "room": lambda: _own(
        announce.about_ourselves("store", events.ROOM, Severity.NOTICE, "after 25m", NOBODY, NOW)
    ),
    "report": lambda: replace(report_event("", _REPORT), id="evt_sample"),
    "test": lambda: _own(
        announce.about_notifier(
            "oncall", events.TEST, Severity.INFO, "A test message: all is well.", NOBODY, NOW, link="test"
        )
    ),
}


def _notice(kind: str, note: str, severity: Severity = Severity.ERROR) -> Event:
    return _own(announce.about_notifier("oncall", kind, severity, note, NOBODY, NOW, link="sample"))


def _config(kind: str, severity: Severity, note: str) -> Event:
    return _own(announce.about_ourselves("config", kind, severity, note, NOBODY, NOW))


SAMPLES: tuple[str, ...] = tuple(_MAKERS)


def sample(name: str) -> Event:
    """The sample event of this name, one of `SAMPLES`. Raises LookupError that lists them."""
    if name not in _MAKERS:
        raise LookupError(f"no sample is called {name!r}; there are: {', '.join(SAMPLES)}")
    return _MAKERS[name]()


def sample_plot() -> Plot:
    """What is drawn of the sample's run."""
    steps, began = 600, STARTED + 9 * MINUTE
    series: list[Step] = []
    for step in range(2, steps + 1, 2):
        fell = math.exp(-step / 130)
        figures = {"train_loss": 0.42 + 1.93 * fell + 0.06 * math.sin(step * 12.9898) * math.cos(step * 0.7)}
        if step % 50 == 0:
            figures["valid_loss"] = 0.487 + 1.8 * fell
        series.append((step, began + (NOW - began) * step // steps, figures))
    series[-1][2].update(_LOSSES)  # type: ignore[attr-defined]
    saved = [replace(_CHECKPOINT, id=f"ftckpt_sample{step}", step=step) for step in (200, 400, 600)]
    plot = plot_of(series, saved)
    assert plot is not None
    return plot
