"""What happens now? One look at one job, turned into what is known next, events, deliveries and verdicts.

`decide` is the only place where a provider's answer becomes a fact, and it is a function of its arguments
alone: the store commits what it returns, in one transaction, or nothing. It never sees raw bytes, a
provider's wire format or a clock.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core.diff import Change, diff, is_volatile
from ftwatch.core.event import Data, Event, SavedModel, Severity, Summary, event_id, status_severity
from ftwatch.core.job import JobError, JobKey, Progress, Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal, Line, between, pending
from ftwatch.core.known import Assignment, Decision, Known, Look, Policy, Refusal
from ftwatch.core.route import Routing, route, watches
from ftwatch.core.rule import Facts
from ftwatch.core.span import MINUTE

__all__ = ["assign", "decide"]

# Two 404s this far apart, and nothing in between, make a job gone.
GONE_AFTER = MINUTE
# How far after a look a provider's own time may lie and still be believed.
CLOCK_SKEW = 5 * MINUTE

FIRST_STATES = frozenset({Status.VALIDATING_FILES, Status.QUEUED, Status.RUNNING})

# What a finished job may still learn about itself, worth telling.
RESULTS = frozenset({"fine_tuned_model", "result_files", "error", "trained_tokens"})

# Between an alert's subject and its stage, where it is remembered which one fires.
STAGE = "\n"

# How far along a status is: a listing may only ever move a job forward.
_ORDER = {
    Status.VALIDATING_FILES: 0,
    Status.QUEUED: 1,
    Status.RUNNING: 2,
    Status.PAUSING: 2,
    Status.PAUSED: 2,
    Status.CANCELLING: 3,
    Status.SUCCEEDED: 4,
    Status.FAILED: 4,
    Status.CANCELLED: 4,
}


def decide(known: Known | None, look: Look | None, policy: Policy, now: float) -> Decision:
    """What follows from `look` (None: only time went by) for a job known as `known` (None: first sight)."""
    if look is None:
        return _Turn(known, policy, now).time_went_by() if known else Decision(known=None)
    if known is not None and look.asked <= known.asked:
        return Decision(known=None)
    if known is not None and known.forgotten:
        mark = look.fingerprint or known.fingerprint
        return Decision(known=replace(known, asked=look.asked, fingerprint=mark))
    if look.snapshot is None:
        return _missing(known, look, policy, now)
    if known is not None and look.listed and not _is_forward(_latest(known), look.snapshot.status):
        return Decision(known=None)
    return _Turn(known, policy, now).seen(look, look.snapshot)


def assign(
    event: Event, routing: Routing, now: float, also: Collection[str] = ()
) -> tuple[list[Assignment], list[Refusal]]:
    """Who gets an event. `also` names those who were told of its beginning: they are owed the end.

    A silence still wins over that: it is the one thing that somebody asked for by name.
    """
    routed = route(event, routing, now)
    deliveries = [Assignment(event.id, name, reason) for name, reason in routed.selected]
    got = {assignment.notifier for assignment in deliveries}
    refused = {verdict.notifier: verdict.reason for verdict in routed.verdicts if verdict.notifier not in got}
    for recipient in routing.recipients:
        reason = refused.get(recipient.name, "")
        owed = recipient.closure and recipient.name in also and recipient.name in refused
        if owed and not reason.startswith("silenced"):
            deliveries.append(Assignment(event.id, recipient.name, "closure"))
            del refused[recipient.name]
    return deliveries, [Refusal(event.id, name, reason) for name, reason in refused.items()]


def _latest(known: Known) -> Status:
    """The last status that the provider told, also one that is still held back from others."""
    return (known.held or known.snapshot).status


def _is_forward(old: Status, new: Status) -> bool:
    """Whether a listing, which may lag behind, can be believed without asking for the job itself."""
    if old.is_terminal:
        return new is old
    if Status.UNKNOWN in (old, new):
        return True
    return _ORDER[new] >= _ORDER[old]


def _missing(known: Known | None, look: Look, policy: Policy, now: float) -> Decision:
    """A 404: only a job that has not ended can be gone, and only when it is missing twice."""
    if known is None or known.gone or known.ignored or _latest(known).is_terminal:
        return Decision(known=None)
    since = known.missing_at
    if since is None or look.at < since:
        kept = replace(known, asked=look.asked, missing_at=look.at)
        return Decision(known=kept)
    if look.at - since < GONE_AFTER:
        return Decision(known=replace(known, asked=look.asked))
    return _Turn(replace(known, asked=look.asked), policy, now).vanished()


class _Turn:
    """One decision in the making: the events of a job in order, each linked to the one before."""

    def __init__(self, known: Known | None, policy: Policy, now: float) -> None:
        self.policy = policy
        self.now = now
        self.known = known
        self.sequence = known.sequence if known else 0
        self.link: str | JobKey | None = known.link if known else None
        self.told = list(known.told) if known else []
        self.events: list[Event] = []
        self.deliveries: list[Assignment] = []
        self.verdicts: list[Refusal] = []
        self.words: list[str] = []
        self.journal = Journal()
        self.saved: tuple[Checkpoint, ...] = ()

    # ------------------------------------------------------------------------------ the four ways in

    def seen(self, look: Look, snapshot: Snapshot) -> Decision:
        """The provider described the job."""
        known = self.known
        if self.policy.watch is not None and not watches(self.policy.watch, snapshot):
            ignored = known or Known(snapshot=snapshot, status_since=self.now)
            return self._judged(
                replace(
                    ignored,
                    snapshot=snapshot,
                    ignored=True,
                    asked=look.asked,
                    held=None,
                    held_at=None,
                    fingerprint=look.fingerprint or ignored.fingerprint,
                )
            )
        # A success is held back before anything of it is told; so a job first seen that way is still unmet.
        # What was told once and then left the watch comes back as what it was.
        unknown = known is None or (known.ignored and not known.sequence)
        unmet = known is None or unknown or _was_held_at_first_sight(known)
        before = None if unmet or known is None else known.snapshot
        is_news = not (unmet and self.policy.baseline)
        since = _first_since(snapshot, self.now) if is_news else self.now
        base = known if known and not unknown else Known(snapshot=snapshot, status_since=since)
        is_first_log = look.journal is not None and not base.logged and not base.sequence
        base, snapshot, filled = self._read_journal(base, snapshot, look.journal, before)
        if before is not None and is_first_log:
            # What was so before anybody looked is recorded, and is no news.
            before = replace(before, **filled)
        base = replace(
            base,
            ignored=False,
            version=known.version if known else 0,
            asked=look.asked,
            missing_at=None,
            fingerprint=look.fingerprint or base.fingerprint,
        )
        if is_news and self._must_wait(known, snapshot):
            held_at = known.held_at if known and known.held_at is not None else self.now
            return self._judged(replace(base, snapshot=before or snapshot, held=snapshot, held_at=held_at))
        base = replace(base, held=None, held_at=None)
        if before is None:
            base = self._meet(base, snapshot) if is_news else replace(base, states=())
            return self._judged(replace(base, snapshot=snapshot))
        return self._judged(self._compare(base, before, snapshot))

    def time_went_by(self) -> Decision:
        """Nothing came, but a rule or a held success wanted to be asked again."""
        known = self.known
        assert known is not None
        if known.held is not None and known.held_at is not None:
            if known.held_at <= self.now < known.held_at + self.policy.settle:
                return self._judged(known)
            held, kept = known.held, replace(known, held=None, held_at=None)
            if _was_held_at_first_sight(known):
                return self._judged(replace(self._meet(kept, held), snapshot=held))
            return self._judged(self._compare(kept, known.snapshot, held))
        return self._judged(known)

    def vanished(self) -> Decision:
        """The provider knew the job, and says twice that it does not."""
        known = self.known
        assert known is not None
        status = known.snapshot.status
        self._tell(events.GONE, Severity.WARNING, known.snapshot, status, status)
        return self._judged(
            replace(known, gone=True, missing_at=None, held=None, held_at=None, fingerprint=None)
        )

    # ------------------------------------------------------------------------------ what is told

    def _meet(self, known: Known, snapshot: Snapshot) -> Known:
        """A job seen for the first time: `created`, and what else its first look proves."""
        status = snapshot.status
        is_first = status in FIRST_STATES
        self._tell(
            events.CREATED,
            Severity.INFO,
            snapshot,
            status if is_first else None,
            None,
            occurred=snapshot.created_at,
            skipped=status.is_terminal,
        )
        if is_first:
            # What led there is told by the state itself; the log goes on from here.
            _, rest = between(known.states, status, status)
            self._save(snapshot)
            return replace(known, states=rest)
        last, rest = self._relive(None, snapshot, known.states)
        self._transition(last, snapshot, (), known.metrics)
        return replace(known, states=rest)

    def _compare(self, known: Known, before: Snapshot, after: Snapshot) -> Known:
        """A job seen again: what came back, what changed, and whether that is a transition."""
        changes = diff(before, after)
        if known.gone:
            self._tell(events.RETURNED, Severity.NOTICE, after, after.status, after.status)
            known = replace(known, gone=False)
        last, rest = self._relive(before.status, after, known.states)
        known = replace(known, states=rest)
        renamed = after.status is Status.UNKNOWN and after.raw_status != before.raw_status
        if after.status is not last or renamed:
            self._transition(last, after, changes, known.metrics)
            again = before.status.is_terminal and not after.status.is_terminal
            attempt = known.attempt + 1 if again else known.attempt
            return replace(known, snapshot=after, status_since=self.now, attempt=attempt)
        if changes:
            late = after.status.is_terminal and any(
                change.field.partition(".")[0] in RESULTS for change in changes
            )
            severity = Severity.NOTICE if late else Severity.DETAIL
            self._tell(events.UPDATED, severity, after, after.status, after.status, changes=changes)
        return replace(known, snapshot=after)

    # ------------------------------------------------------------------------------ what the log adds

    def _read_journal(
        self, known: Known, snapshot: Snapshot, journal: Journal | None, before: Snapshot | None
    ) -> tuple[Known, Snapshot, dict[str, Any]]:
        """What the job's log adds to what is known of it and to its document; and what of that it filled in.

        The document's word counts where it has one; what the log filled in stays until it has.
        """
        lines = journal.lines if journal is not None else ()
        metrics = dict(known.metrics)
        for line in lines:
            metrics.update(line.metrics)
        states = [*known.states, *(line for line in lines if line.status is not None)]
        if journal is not None and before is not None:
            looked = known.asked / 1000 if known.asked else None
            # Of a job that somebody was told of, a provider's clock that is a bit off must not hide the past.
            skew = CLOCK_SKEW if known.sequence else 0
            states = list(pending(states, before.status, looked, skew=skew, is_first=not known.logged))
        fill: dict[str, Any] = {}
        if snapshot.started_at is None:
            began = [line.at for line in lines if line.status is Status.RUNNING and line.at is not None]
            kept = self._filled("started_at", known)
            is_anew = known.snapshot.status.is_terminal and not snapshot.status.is_terminal
            fill["started_at"] = began[0] if began and (kept is None or is_anew) else kept
        if snapshot.progress is None and not snapshot.status.is_terminal:
            fill["progress"] = _progress(lines) or self._filled("progress", known)
        if snapshot.error is None and snapshot.status is Status.FAILED:
            said = [line.message for line in lines if line.level == "error" and line.message]
            fill["error"] = JobError(message=said[-1]) if said else self._filled("error", known)
        fill = {name: value for name, value in fill.items() if value is not None}
        if journal is not None:
            self.journal = journal
            # What was there before anybody looked is recorded, and is no news.
            is_met = known.logged or bool(known.sequence)
            self.saved = journal.checkpoints if is_met else ()
        read = replace(
            known,
            metrics=metrics,
            states=tuple(states),
            filled=tuple(fill),
            logged=known.logged or journal is not None,
        )
        return read, replace(snapshot, **fill) if fill else snapshot, fill

    def _filled(self, name: str, known: Known) -> Any:
        """What the log filled in before, and the document still does not say."""
        return getattr(known.held or known.snapshot, name) if name in known.filled else None

    def _relive(
        self, before: Status | None, after: Snapshot, states: tuple[Line, ...]
    ) -> tuple[Status | None, tuple[Line, ...]]:
        """Tells of the states that the log proves before `after`, and of checkpoints, each at its time.

        Returns the last state told, and the lines that are left for the next look.
        """
        proven, rest = between(states, before, after.status)
        told: tuple[Line | Checkpoint, ...] = (*proven, *self.saved)
        moments = [(one.at if one.at is not None else self.now, one) for one in told]
        self.saved = ()
        last = before
        for _, one in sorted(moments, key=lambda moment: moment[0]):
            if isinstance(one, Checkpoint):
                self._tell_saved(one, after, last or after.status)
                continue
            assert one.status is not None
            self._tell(
                events.JOB + one.status,
                status_severity(one.status),
                after,
                one.status,
                last,
                changes=(Change("status", last, one.status),),
                occurred=one.at,
                skipped=True,
            )
            last = one.status
        return last, rest

    def _save(self, snapshot: Snapshot) -> None:
        """Tells of checkpoints that no state stands beside."""
        for one in self.saved:
            self._tell_saved(one, snapshot, snapshot.status)
        self.saved = ()

    def _tell_saved(self, one: Checkpoint, snapshot: Snapshot, status: Status) -> None:
        saved = SavedModel(id=one.id, step=one.step, model=one.model, metrics=one.metrics)
        self._tell(
            events.CHECKPOINT, Severity.DETAIL, snapshot, status, status, occurred=one.at, checkpoint=saved
        )

    def _prove(self, before: Status | None, after: Snapshot) -> Status | None:
        """Tells of a run that began and ended between two looks, where its start time proves it."""
        waited = before in (None, Status.VALIDATING_FILES, Status.QUEUED)
        if not waited or after.status in FIRST_STATES or after.started_at is None:
            return before
        # A job that was queued anew still tells when its first run began.
        told = self.known.snapshot.started_at if self.known and before is not None else None
        if after.started_at == told:
            return before
        self._tell(
            events.JOB + Status.RUNNING,
            status_severity(Status.RUNNING),
            after,
            Status.RUNNING,
            before,
            changes=(Change("status", before, Status.RUNNING),),
            occurred=after.started_at,
            skipped=True,
        )
        return Status.RUNNING

    def _transition(
        self,
        before: Status | None,
        after: Snapshot,
        changes: tuple[Change, ...],
        metrics: dict[str, float],
    ) -> None:
        """The status became another one: what lies between is told first, where it is proven."""
        before, status = self._prove(before, after), after.status
        if status is not before:
            rest = (change for change in changes if change.field != "status")
            changes = (Change("status", before, status), *rest)
        kind, severity = events.JOB + status, status_severity(status)
        if status is Status.UNKNOWN:
            word = after.raw_status or ""
            if word in self.policy.words:
                kind, severity = events.UPDATED, Severity.DETAIL
            else:
                self.words.append(word)
        incomplete = status is Status.SUCCEEDED and after.fine_tuned_model is None
        self._tell(
            kind,
            severity,
            after,
            status,
            before,
            changes=changes,
            occurred=after.finished_at if status.is_terminal else _start(after),
            incomplete=("fine_tuned_model",) if incomplete else (),
            summary=_summary(after, metrics) if status.is_terminal else None,
        )

    def _judged(self, known: Known) -> Decision:
        """Lets every rule look at the job as it now stands, and settles when to wake up for it."""
        facts = Facts(snapshot=known.snapshot, status_since=known.status_since, ends=self.policy.ends)
        status, alerts, wakes = known.snapshot.status, dict(known.alerts), []
        awake = not (known.gone or known.ignored)
        for rule in self.policy.rules:
            finding = rule.judge(facts, self.now)
            if finding.wake_at is not None and awake:
                wakes.append(finding.wake_at)
            subject = finding.subject if finding.note and awake else None
            firing = alerts.get(rule.name)
            before, _, stage = (firing[0] if firing else "").partition(STAGE)
            if firing and before != subject:
                kind = f"{events.ALERT}{rule.name}.resolved"
                self._tell(kind, Severity.NOTICE, known.snapshot, status, status, also=firing[1])
                del alerts[rule.name]
            if subject is not None and (rule.name not in alerts or stage != finding.stage):
                told = self._tell(
                    events.ALERT + rule.name, rule.severity, known.snapshot, status, status, note=finding.note
                )
                named = subject + STAGE + finding.stage if finding.stage else subject
                alerts[rule.name] = (
                    named,
                    tuple(dict.fromkeys([*alerts.get(rule.name, ("", ()))[1], *told])),
                )
        if known.held_at is not None:
            wakes.append(known.held_at + self.policy.settle)
        return self._decision(replace(known, alerts=alerts, wake_at=min(wakes, default=None)))

    # ------------------------------------------------------------------------------ the machinery

    def _must_wait(self, known: Known | None, snapshot: Snapshot) -> bool:
        """Whether this is a success whose model has not arrived, and may still."""
        if snapshot.status is not Status.SUCCEEDED or snapshot.fine_tuned_model is not None:
            return False
        if known is None:
            return self.policy.settle > 0
        if known.held_at is not None:
            return known.held_at <= self.now < known.held_at + self.policy.settle
        return known.snapshot.status is not Status.SUCCEEDED and self.policy.settle > 0

    def _tell(
        self,
        kind: str,
        severity: Severity,
        snapshot: Snapshot,
        status: Status | None,
        before: Status | None,
        *,
        changes: tuple[Change, ...] = (),
        occurred: int | None = None,
        skipped: bool = False,
        incomplete: tuple[str, ...] = (),
        note: str | None = None,
        also: tuple[str, ...] = (),
        summary: Summary | None = None,
        checkpoint: SavedModel | None = None,
    ) -> tuple[str, ...]:
        """Makes the job's next event and finds who gets it; returns their names."""
        self.sequence += 1
        link = self.link or snapshot.key
        news = [change for change in changes if not is_volatile(change, snapshot.status)]
        if news or not changes:
            about = (checkpoint.step, checkpoint.model or checkpoint.id) if checkpoint else ()
            id = event_id(link, kind, news, *about)
            self.link = id
        else:
            id = event_id(link, kind, changes, self.sequence)
        moment = _believable(occurred, snapshot, self.now)
        extra: dict[str, Any] = {}
        if incomplete:
            extra["incomplete"] = incomplete
        if note is not None:
            extra["note"] = note
        if summary is not None:
            extra["summary"] = summary
        if checkpoint is not None:
            extra["checkpoint"] = checkpoint
        event = Event(
            id=id,
            type=kind,
            created_at=moment,
            severity=severity,
            data=Data(
                id=snapshot.id,
                provider=snapshot.provider,
                kind=snapshot.kind,
                name=snapshot.name,
                labels=snapshot.labels,
                status=status,
                previous_status=before,
                sequence=self.sequence,
                skipped=skipped,
                occurred_at=moment,
                observed_at=int(self.now),
                changes=changes,
                job=snapshot,
                **extra,
            ),
        )
        ended = kind.startswith(events.JOB) and status is not None and status.is_terminal
        owed = {*also, *(self.told if ended else ())}
        deliveries, verdicts = assign(event, self.policy.routing, self.now, owed)
        self.events.append(event)
        self.deliveries += deliveries
        self.verdicts += verdicts
        names = tuple(assignment.notifier for assignment in deliveries)
        if ended:
            self.told = []
        else:
            people = set(_people(self.policy.routing))
            self.told += [name for name in names if name in people and name not in self.told]
        return names

    def _decision(self, known: Known) -> Decision:
        return Decision(
            known=replace(
                known,
                sequence=self.sequence,
                link=self.link if isinstance(self.link, str) else None,
                told=tuple(self.told),
            ),
            events=tuple(self.events),
            deliveries=tuple(self.deliveries),
            verdicts=tuple(self.verdicts),
            words=tuple(self.words),
            journal=self.journal,
        )


def _people(routing: Routing) -> Iterator[str]:
    for recipient in routing.recipients:
        if recipient.audience == "people" and recipient.closure:
            yield recipient.name


def _progress(lines: Sequence[Line]) -> Progress | None:
    """How far the run is, by the last line that says so."""
    line = next((line for line in reversed(lines) if line.step is not None and line.metrics), None)
    if line is None or line.step is None:
        return None
    percent = round(100 * line.step / line.total, 1) if line.total and line.step <= line.total else None
    return Progress(step=line.step, total_steps=line.total, percent=percent)


def _summary(job: Snapshot, metrics: dict[str, float]) -> Summary:
    """What a job that ended came to."""
    began, ended = job.started_at, job.finished_at
    return Summary(
        queued_for=began - job.created_at if began and job.created_at and began >= job.created_at else None,
        ran_for=ended - began if began and ended and ended >= began else None,
        metrics=metrics,
    )


def _was_held_at_first_sight(known: Known) -> bool:
    return known.held is not None and known.snapshot.status.is_terminal and known.sequence == 0


def _first_since(snapshot: Snapshot, now: float) -> float:
    """Since when a job first seen has had its status: a waiting one since its creation, as far as we know."""
    waiting = snapshot.status in (Status.VALIDATING_FILES, Status.QUEUED)
    created = snapshot.created_at
    return float(created) if waiting and created is not None and created <= now else now


def _start(snapshot: Snapshot) -> int | None:
    return snapshot.started_at if snapshot.status is Status.RUNNING else None


def _believable(occurred: int | None, snapshot: Snapshot, now: float) -> int:
    """The provider's time where it lies between the job's creation and now (and a little), else now."""
    earliest = snapshot.created_at or 0
    if occurred is not None and earliest <= occurred <= now + CLOCK_SKEW:
        return occurred
    return int(now)
