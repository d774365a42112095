"""A place to look at: a store in which much has happened, made by the code that makes it happen, and a house
over it as the web sees one.
"""

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from msgspec.structs import replace

from ftwatch import config
from ftwatch.config import Config
from ftwatch.control import Operation
from ftwatch.core.announce import Announcement, ProviderState
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Breaker, Outcome, Rejected, Retry, Sent, settle
from ftwatch.core.job import JobError, JobKey, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal, Line, keyed
from ftwatch.core.known import Decision, Look, Policy
from ftwatch.core.rule import Stuck
from ftwatch.core.span import DAY, HOUR, MINUTE
from ftwatch.poller.agenda import Turn
from ftwatch.store import Batch, Settled, Store, inline

T = TypeVar("T")

# What no page may show.
SECRETS = {
    "OPENAI_KEY": "sk-a-key-that-no-page-shows",
    "TOGETHER_KEY": "another-key-that-no-page-shows",
    "FIREWORKS_KEY": "a-third-key-that-no-page-shows",
    "SLACK_URL": "https://hooks.slack.com/services/T0/B0/nobodyshowsthis",
    "SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
}
CONFIG = """
providers:
  openai-prod: {{kind: openai, api_key: "${{OPENAI_KEY}}", labels: {{env: prod}}}}
  together: {{api_key: "${{TOGETHER_KEY}}"}}
  fireworks: {{api_key: "${{FIREWORKS_KEY}}", account: acme}}
notifiers:
  team-slack: {{kind: slack, webhook_url: "${{SLACK_URL}}"}}
  oncall: {{kind: email, host: smtp.example.com, from: ft@example.com, to: [ml@example.com]}}
  pipeline: {{kind: webhook, url: "https://ci.example.com/ft", secret: "${{SECRET}}"}}
routes:
  - notify: [team-slack]
  - match: {{type: fine_tuning.job.failed}}
    notify: [oncall]
  - match: {{type: "fine_tuning.*", labels.team: search}}
    except: {{type: fine_tuning.job.updated}}
    notify: [pipeline]
silences:
  - {{match: {{labels.team: sandbox}}, comment: nobody minds the sandbox}}
store: {{path: "{folder}/ftwatch.db"}}
socket: "{folder}/ftwatch.sock"
web: {{listen: "127.0.0.1:0"{web}}}
"""


class SceneClock:
    """The time, which stands still until it is moved."""

    def __init__(self, now: float) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def ticks(self) -> float:
        return self.time - 1_000_000.0

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Watch:
    """A poller as the page sees one."""

    def __init__(self, one: Any, clock: Any, good_at: float | None) -> None:
        self.config = one
        self.good_at = good_at
        self.problem: str | None = None
        self._clock = clock

    @property
    def next_look(self) -> float:
        return float(self._clock.now() + 42)

    def turns(self) -> dict[str, Turn]:
        return {}


class Scene:
    """A folder with a config and a store, and what happens in it. Times are Unix seconds."""

    def __init__(self, folder: Path, clock: Any, *, web: str = "") -> None:
        self.folder, self.clock = folder, clock
        path = folder / "ftwatch.yaml"
        path.write_text(CONFIG.format(folder=folder, web=web))
        self.config: Config = config.load(path, environ={"HOME": str(folder), **SECRETS})
        self.store = Store(self.config.store.path)
        self.house = House(self)
        self._asked = 0

    # --------------------------------------------------------------------------------------- what happens

    def watched_since(self, at: float) -> None:
        """Every provider's baseline is complete."""
        for name in self.config.providers:
            self.store.commit(
                Batch(announcements=[Announcement(state=ProviderState(name=name, baseline_at=at))]), at
            )

    def look(
        self,
        job: Snapshot | None,
        at: float,
        *,
        key: JobKey | None = None,
        baseline: bool = False,
        **more: Any,
    ) -> None:
        """One look at a job, and what follows from it."""
        key = job.key if job is not None else key
        assert key is not None
        self.store.commit(Batch(decisions=[self.decided(job, at, key, baseline=baseline, **more)]), at)

    def decided(
        self, job: Snapshot | None, at: float, key: JobKey, *, baseline: bool = False, **more: Any
    ) -> Decision:
        """What follows from a look, before it is committed."""
        self._asked += 1
        known = self.store.jobs.load(key.provider, [key.id]).get(key.id)
        policy = Policy(
            routing=self.store.silences.over(self.config.routing),
            rules=(Stuck(),),
            settle=0,
            baseline=baseline,
        )
        raw = replace(job, raw_status=job.raw_status or str(job.status)) if job is not None else None
        return decide(known, Look(key=key, asked=self._asked, at=at, snapshot=raw, **more), policy, at)

    def time_goes_by(self, key: JobKey, now: float) -> None:
        """A rule is asked although nothing came."""
        known = self.store.jobs.load(key.provider, [key.id])[key.id]
        policy = Policy(routing=self.config.routing, rules=(Stuck(),))
        self.store.commit(Batch(decisions=[decide(known, None, policy, now)]), now)

    def deliver(self, notifier: str, at: float, outcome: Callable[[Any], Outcome] | None = None) -> None:
        """Everything that is due for a notifier is tried once; without `outcome` it arrives."""
        retry = self.config.notifiers[notifier].retry
        while claims := self.store.outbox.backlog(notifier, at, until=at, limit=50, lease=0.001):
            batch = []
            for claim in claims:
                came = outcome(claim) if outcome else Sent("HTTP 200")
                done = settle(claim.delivery, came, retry, at, 0.5)
                word = type(came).__name__.lower()
                batch.append(Settled(claim=claim, settlement=done, outcome=word, at=at, took=0.31))
            self.store.settle(batch, None, at)
            if outcome is not None:
                return


def day_in(folder: Path, clock: Any, made: dict[float, bytes]) -> Scene:
    """A full day in a folder. `made` keeps what making it came to, by the time."""
    if clock.now() in made:
        (folder / "ftwatch.db").write_bytes(made[clock.now()])
        return Scene(folder, clock)
    scene = Scene(folder, clock)
    a_day(scene)
    scene.store.close()
    made[clock.now()] = (folder / "ftwatch.db").read_bytes()
    return Scene(folder, clock)


class House:
    """The daemon as the web sees it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.started_at = scene.clock.now() - DAY
        self.generation = 3
        self.store = scene.store
        self.work = inline
        self.clock = scene.clock
        self.pollers: dict[str, Any] = {
            name: Watch(one, scene.clock, scene.clock.now() - 4 - place)
            for place, (name, one) in enumerate(scene.config.providers.items())
        }
        self.dispatchers: dict[str, Any] = {name: SimpleNamespace() for name in scene.config.notifiers}
        self.operations: Mapping[str, Operation] = {}

    @property
    def config(self) -> Config:
        return self._scene.config

    async def read(self, question: Callable[[Store], T]) -> T:
        return question(self.store)

    def ring(self) -> None:
        pass

    def late(self) -> list[str]:
        return []


# ---------------------------------------------------------------------------------------------- a full day


def snapshot(id: str, provider: str, status: Status, **more: Any) -> Snapshot:
    """A job."""
    kinds = {"openai-prod": "openai"}
    return Snapshot(id=id, provider=provider, kind=kinds.get(provider, provider), status=status, **more)


def losses(
    steps: range, *, high: float, low: float, fall: float, seed: int, valid: int = 0
) -> tuple[Line, ...]:
    """A log of figures: a training loss that falls, and every `valid` steps one on other data."""
    dice = random.Random(seed)
    lines = []
    for step in steps:
        metrics = {"train_loss": (low + (high - low) * math.exp(-step / fall)) * (1 + dice.gauss(0, 0.045))}
        if valid and step % valid == 0:
            metrics["valid_loss"] = low * 1.12 + (high - low) * math.exp(-step / fall) * 0.98
            metrics["valid_accuracy"] = 0.93 - 0.55 * math.exp(-step / fall)
        lines.append(
            Line(
                step=step, metrics=metrics, message=f"Step {step}: training loss={metrics['train_loss']:.3f}"
            )
        )
    return tuple(lines)


def timed(lines: tuple[Line, ...], start: float, end: float) -> tuple[Line, ...]:
    """The same lines, evenly over a time."""
    pace = (end - start) / max(len(lines), 1)
    return keyed(replace(line, at=int(start + pace * place)) for place, line in enumerate(lines))


def a_day(scene: Scene) -> None:
    """What a team sees on a busy day: runs, queues, a pause, two failures, a receiver that is down."""
    now = scene.clock.now()
    scene.watched_since(now - 30 * DAY)
    history(scene, now)
    _support_bot(scene, now)
    _others(scene, now)
    _ends(scene, now)
    scene.deliver("team-slack", now - 20)
    scene.deliver("oncall", now - HOUR)
    _receiver(scene, now)


def history(scene: Scene, now: float) -> None:
    """1,204 jobs that were over when ftwatch came."""
    dice, met, decisions = random.Random(7), now - 30 * DAY, []
    for number in range(1204):
        ended = now - 31 * DAY - dice.random() * 200 * DAY
        job = snapshot(
            f"ftjob-old{number:05d}",
            ("openai-prod", "together", "fireworks")[number % 3],
            Status.SUCCEEDED if number % 9 else Status.FAILED,
            created_at=int(ended - 2 * HOUR),
            finished_at=int(ended),
            name=f"run-{number}",
            model="gpt-4.1-mini-2025-04-14",
            fine_tuned_model=f"ft:gpt-4.1-mini:acme:run-{number}" if number % 9 else None,
        )
        decisions.append(scene.decided(job, met, job.key, baseline=True))
    scene.store.commit(Batch(decisions=decisions), met)


def _support_bot(scene: Scene, now: float) -> None:
    born = now - 2 * HOUR - 20 * MINUTE
    job = snapshot(
        "ftjob-9Qm2vT7xYb31",
        "openai-prod",
        Status.VALIDATING_FILES,
        created_at=int(born),
        name="support-bot-v8",
        owner="ann@acme.example",
        model="gpt-4.1-mini-2025-04-14",
        training_file="file-Tr8sUpport",
        validation_file="file-Va8sUpport",
        hyperparameters={"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.8},
        metadata={"team": "search", "ticket": "ML-482"},
        labels={"env": "prod", "team": "search", "ticket": "ML-482"},
        url="https://platform.openai.com/finetune/ftjob-9Qm2vT7xYb31",
    )
    scene.look(job, born + 8)
    queued = replace(job, status=Status.QUEUED)
    scene.look(queued, born + 4 * MINUTE + 21)
    began = born + 22 * MINUTE
    running = replace(queued, status=Status.RUNNING, started_at=int(began))
    scene.look(running, began + 12)
    steps = losses(range(1, 565), high=2.6, low=0.41, fall=120, seed=3, valid=25)
    lines = timed(steps, began, now - 20)
    saved = tuple(
        Checkpoint(
            id=f"ftckpt_{step}",
            at=int(began + (now - began) * step / 564),
            step=step,
            model=f"ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v8:ckpt-step-{step}",
            metrics={
                "train_loss": 0.41 + 2.2 * math.exp(-step / 120),
                "valid_loss": 0.46 + 2.1 * math.exp(-step / 120),
            },
        )
        for step in (200, 400)
    )
    for part, at in ((slice(0, 300), now - HOUR), (slice(300, None), now - 20)):
        step = lines[part][-1].step or 0
        scene.look(
            replace(
                running,
                progress=Progress(step=step, total_steps=1200, percent=100 * step / 1200),
                estimated_finish=int(now + 2 * HOUR + 14 * MINUTE),
                metadata={"team": "search", "ticket": "ML-482"},
            ),
            at,
            journal=Journal(
                lines=lines[part], checkpoints=tuple(c for c in saved if step - 300 < (c.step or 0) <= step)
            ),
        )


def _others(scene: Scene, now: float) -> None:
    big = snapshot(
        "ft-7c1e-4b0f-9d2a",
        "together",
        Status.RUNNING,
        created_at=int(now - 9 * HOUR),
        started_at=int(now - 8 * HOUR),
        name="sql-assistant-70b",
        owner="lars",
        model="meta-llama/Llama-3.3-70B-Instruct-Reference",
        labels={"team": "data"},
        url="https://api.together.ai/fine-tuning/ft-7c1e-4b0f-9d2a",
    )
    scene.look(replace(big, status=Status.QUEUED, started_at=None), now - 9 * HOUR + 5)
    scene.look(big, now - 8 * HOUR + 5)
    steps = timed(losses(range(5, 2310, 5), high=9.8, low=0.22, fall=260, seed=11), now - 8 * HOUR, now - 60)
    scene.look(
        replace(big, progress=Progress(step=2310, total_steps=6000), estimated_finish=int(now + 12 * HOUR)),
        now - 60,
        journal=Journal(lines=steps),
    )
    stuck = snapshot(
        "tagger-lora-x81",
        "fireworks",
        Status.QUEUED,
        created_at=int(now - 13 * HOUR),
        name="tagger-lora",
        model="accounts/fireworks/models/qwen3-8b",
        labels={"team": "search"},
        url="https://app.fireworks.ai/dashboard/fine-tuning/tagger-lora-x81",
    )
    scene.look(stuck, now - 13 * HOUR + 3)
    scene.time_goes_by(stuck.key, now - 50 * MINUTE)
    paused = snapshot(
        "router-dpo-22",
        "fireworks",
        Status.RUNNING,
        created_at=int(now - 6 * HOUR),
        name="router-dpo",
        owner="ben",
        model="accounts/fireworks/models/llama-v3p1-8b-instruct",
        labels={"team": "platform"},
    )
    scene.look(paused, now - 6 * HOUR)
    scene.look(replace(paused, status=Status.PAUSED, progress=Progress(percent=61.0)), now - 2 * HOUR)
    scene.store.acks.add(paused.key, "ben", "waiting for budget", now - HOUR)
    scene.look(
        snapshot(
            "ftjob-Hk27sLw0aa",
            "openai-prod",
            Status.VALIDATING_FILES,
            created_at=int(now - 50),
            name="intent-mini",
            model="gpt-4.1-nano-2025-04-14",
            labels={"env": "prod", "team": "assistants"},
        ),
        now - 40,
    )


def _ends(scene: Scene, now: float) -> None:
    def ended(id: str, provider: str, name: str, ago: float, status: Status, ran: float, **more: Any) -> None:
        job = snapshot(
            id,
            provider,
            Status.RUNNING,
            created_at=int(now - ago - ran - 600),
            started_at=int(now - ago - ran),
            name=name,
            model=more.pop("model", "gpt-4.1-mini-2025-04-14"),
            labels=more.pop("labels", {"team": "search"}),
            owner=more.pop("owner", None),
        )
        scene.look(replace(job, status=Status.QUEUED, started_at=None), now - ago - ran - 590)
        scene.look(job, now - ago - ran + 4)
        lines = timed(
            losses(range(1, 241), high=2.2, low=0.5, fall=60, seed=len(name)), now - ago - ran, now - ago
        )
        kept = lines[: more.pop("steps", 240)]
        scene.look(job, now - ago - 60, journal=Journal(lines=kept))
        scene.look(replace(job, status=status, finished_at=int(now - ago), **more), now - ago + 9)

    ended(
        "ftjob-5zTrWq81xC", "openai-prod", "summariser-v3", 1.6 * HOUR, Status.FAILED, 240, steps=0,
        error=JobError(code="invalid_training_file", param="training_file",
                       message="The job failed due to an invalid training file: line 1,742 is no JSON."),
        owner="ann@acme.example",
    )  # fmt: skip
    ended(
        "ft-02bb-77aa-10ce", "together", "ranker-13b", 3.2 * HOUR, Status.FAILED, 40 * MINUTE, steps=70,
        model="mistralai/Mixtral-8x7B-Instruct-v0.1",
        error=JobError(message="CUDA out of memory on worker 0."),
        labels={"team": "data"}, owner="lars",
    )  # fmt: skip
    ended(
        "ftjob-1pQ8vNs3tt", "openai-prod", "support-bot-v7", 5 * HOUR, Status.SUCCEEDED, 2.4 * HOUR,
        fine_tuned_model="ft:gpt-4.1-mini-2025-04-14:acme:support-bot-v7:C3pQ8vNs", trained_tokens=5_768_000,
        owner="ann@acme.example",
    )  # fmt: skip
    ended(
        "ft-9911-2c3d-77f0", "together", "translate-eu", 11 * HOUR, Status.SUCCEEDED, 55 * MINUTE,
        fine_tuned_model="acme/Llama-3.2-3B-translate-eu-6d1f", model="meta-llama/Llama-3.2-3B-Instruct",
        labels={"team": "data"},
    )  # fmt: skip
    ended(
        "experiment-41", "fireworks", "experiment-41", 16 * HOUR, Status.CANCELLED, 12 * MINUTE, steps=40,
        model="accounts/fireworks/models/qwen3-8b", labels={"team": "sandbox"},
    )  # fmt: skip


def _receiver(scene: Scene, now: float) -> None:
    """The pipeline took some, refused two for good, and is down now."""
    refused = 0

    def outcome(claim: Any) -> Outcome:
        nonlocal refused
        if claim.delivery.created_at < now - 4 * HOUR:
            return Sent("HTTP 200")
        if refused < 2:
            refused += 1
            return Rejected("HTTP 422: unknown field data.labels.ticket", final=True)
        return Retry("connection refused", unreachable=True)

    scene.deliver("pipeline", now - 14 * MINUTE, outcome)
    with scene.store.db.transaction():
        scene.store.outbox.put_breaker(
            "pipeline",
            Breaker(failures=6, open_at=now - 12 * MINUTE, probe_at=now + 9, failing_since=now - 14 * MINUTE),
        )
