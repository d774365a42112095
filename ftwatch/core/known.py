"""What is known, what came, what follows: the words between the provider's answer and the store. No logic."""

from collections.abc import Mapping

from msgspec import Struct, field

from ftwatch.core.compare import Background
from ftwatch.core.event import Event, Gap
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal, Line
from ftwatch.core.route import Match, Routing
from ftwatch.core.route.hold import Hold
from ftwatch.core.rule import Relapse, Rule
from ftwatch.core.span import MINUTE

__all__ = ["STAGE", "Ack", "Assignment", "Decision", "Known", "Look", "Policy", "Refusal"]

# Between an alert's subject and its stage, where it is remembered which one fires.
STAGE = "\n"


class Look(Struct, frozen=True, kw_only=True, gc=False):
    """One answer about one job that was read whole. `snapshot` None: the provider knows no such job.

    `asked` orders looks by when they were asked; `at` is the wall clock then (Unix seconds). `listed`: from
    a listing that may lag behind, so it never moves a known job back. `fingerprint` stands for the listed
    bytes that this look settles. `journal` is what came of the job's log (None: it was not asked
    for), `saved` the last checkpoint of a service whose jobs name their model there; `heard_at` is when a
    job that tells of itself last did. `calm`: how far a run is need not be told before the next look.
    """

    key: JobKey
    asked: int
    at: float
    snapshot: Snapshot | None
    listed: bool = False
    fingerprint: bytes | None = None
    journal: Journal | None = None
    saved: Checkpoint | None = None
    heard_at: float | None = None
    calm: bool = False


class Ack(Struct, frozen=True, kw_only=True):
    """Somebody, `author`, knows of what was open about a job at `at` (Unix seconds).

    That is its `state` (a status, or `gone`; None: there was nothing to worry about), and the `alerts` that
    fired, by rule, each with its subject.
    """

    author: str
    at: float
    comment: str = ""
    state: str | None = None
    alerts: dict[str, str] = field(default_factory=dict)


class Known(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is remembered of a job between looks. `snapshot` is the last one that was told.

    `version` is for compare-and-swap (0: not stored yet), `link` the id of the job's last event that was
    news, `held` a success that still waits for its model (and since when), `alerts` the rules that fire,
    each with its subject (and, after STAGE, its stage) and who was told, `told` the people who know of the
    job's open state, or of its last end, `ack` who has acknowledged what is open. `forgotten`: somebody
    wanted nothing to be kept of this job; it is known only so as not to be taken for a new one. `heard_at`:
    when a job that tells of itself last did.

    Of its log: `logged`: it was read once; `arrival` is the line by which the job came to be what it is, if
    that is known, `unproved` are the states that were told before the log had them; `states` are the lines
    after that which prove states not told yet, `metrics` the last figures, `filled` the snapshot's fields
    that the log filled in, `attempt` how often it began anew. `relapses` are the last times that it went back
    to a state that it had before.
    """

    snapshot: Snapshot
    version: int = 0
    sequence: int = 0
    link: str | None = None
    status_since: float
    asked: int = 0
    missing_at: float | None = None
    gone: bool = False
    ignored: bool = False
    forgotten: bool = False
    held: Snapshot | None = None
    held_at: float | None = None
    alerts: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    ack: Ack | None = None
    wake_at: float | None = None
    fingerprint: bytes | None = None
    logged: bool = False
    arrival: Line | None = None
    unproved: tuple[Status, ...] = ()
    states: tuple[Line, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    filled: tuple[str, ...] = ()
    attempt: int = 0
    relapses: tuple[Relapse, ...] = ()
    heard_at: float | None = None

    @property
    def is_active(self) -> bool:
        """Whether the provider must still be asked about this job."""
        if self.ignored or self.gone:
            return False
        return self.held is not None or not self.snapshot.status.is_terminal

    @property
    def latest(self) -> Status:
        """The last status that the provider told, also one that is still held back from others."""
        return (self.held or self.snapshot).status


class Policy(Struct, frozen=True, kw_only=True):
    """What a decision depends on besides the job: who gets what, which rules run, which jobs count.

    `baseline`: this job's first sight is no news (its provider is only being got to know). `words`: the
    unknown statuses that this provider was already heard to use. `ends` is when the provider's models end;
    `names_models`: its jobs tell which model they made; `successors` maps jobs that it started anew under
    another id to the ids they had before. `listens_since` (Unix seconds): what jobs tell of themselves is
    heard without a break from then on, so that nobody counts as silent who only was not listened to.
    `backgrounds` are what is known of jobs that may end now, by their ids; `gaps` the last times in which
    nobody could look.
    """

    routing: Routing
    rules: tuple[Rule, ...] = ()
    settle: float = 2 * MINUTE
    watch: Match | None = None
    baseline: bool = False
    words: list[str] = []
    ends: Mapping[str, int] = {}
    names_models: bool = True
    successors: dict[str, str] = {}
    listens_since: float = 0.0
    backgrounds: Mapping[str, Background] = {}
    gaps: tuple[Gap, ...] = ()


class Assignment(Struct, frozen=True, gc=False):
    """One event owed to one notifier, and why; `hold` is what it waits for (None: it may leave at once).

    `remind`: after how many seconds it is told again, if the `problem` that begins with it lasts.
    """

    event_id: str
    notifier: str
    reason: str
    hold: Hold | None = None
    remind: float | None = None
    problem: str = ""


class Refusal(Struct, frozen=True, gc=False):
    """One event that a notifier does not get, and why: a verdict to be looked up later."""

    event_id: str
    notifier: str
    reason: str


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """What to commit, whole: the job as known from now on, and everything that follows from it.

    `known` None: the look says nothing (it came late, or contradicts a later one). `words` are new unknown
    statuses, `successors` maps new jobs to those that they continue; `journal` is what of the job's log is
    to be kept.
    """

    known: Known | None
    events: tuple[Event, ...] = ()
    deliveries: tuple[Assignment, ...] = ()
    verdicts: tuple[Refusal, ...] = ()
    words: tuple[str, ...] = ()
    journal: Journal = Journal()
    successors: Mapping[str, str] = {}
