"""One decision in the making: what a look, its absence or a moment gone by means for a job."""

from itertools import pairwise

from msgspec.structs import replace

from ftwatch.core import ack as acks
from ftwatch.core import event as events
from ftwatch.core.ack import GONE
from ftwatch.core.compare import Background
from ftwatch.core.decide.logged import read_journal, summary
from ftwatch.core.decide.telling import Telling
from ftwatch.core.diff import Change, diff, is_volatile
from ftwatch.core.event import SavedModel, Severity, Summary, status_severity
from ftwatch.core.flapping import Flapping, is_relapse, remember
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.journal import Checkpoint, Journal, between, caught_up, goes_on, restarts
from ftwatch.core.known import STAGE, Ack, Decision, Known, Look, Policy
from ftwatch.core.route import watches
from ftwatch.core.rule import Facts, Relapse, Silent

__all__ = ["FIRST_STATES", "RESULTS", "Turn"]

FIRST_STATES = frozenset({Status.VALIDATING_FILES, Status.QUEUED, Status.RUNNING})

# What a job may have done before it ran; nothing is known of it before it is met.
NONE: frozenset[str] = frozenset()
WAITED = frozenset({None, Status.VALIDATING_FILES, Status.QUEUED})
NOTHING_READ = Journal()
# What is known of what came before a job's end, where nobody looked.
UNKNOWN = Background()

# What a finished job may still learn about itself, worth telling.
RESULTS = frozenset({"fine_tuned_model", "result_files", "error", "trained_tokens"})


class Turn(Telling):
    """What becomes of one job, by one of three ways in: `seen`, `time_went_by`, `vanished`."""

    def __init__(self, known: Known | None, policy: Policy, now: float) -> None:
        super().__init__(known, policy, now)
        self.known = known
        self.words: list[str] = []
        self.successors: dict[str, str] = {}
        self.journal = NOTHING_READ
        self.saved: tuple[Checkpoint, ...] = ()

    # ------------------------------------------------------------------------------ the three ways in

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
        if known is not None and not unknown:
            base = known
        else:
            since = _first_since(snapshot, self.now) if is_news else self.now
            base = Known(snapshot=snapshot, status_since=since)
        is_over = before is not None and before.status.is_terminal and before.status is snapshot.status
        if is_over and look.journal is not None and goes_on(look.journal.lines, base.arrival):
            # It began anew and ended the same way again.
            is_over = False
        # What is over has no news in its log; its lines may have been forgotten, and would be new again.
        journal = look.journal if not is_over else None
        # Of a job of the baseline, what was so before anybody looked is recorded, and is no news.
        is_history = before is not None and not base.logged and not base.sequence
        reading = read_journal(base, snapshot, journal, before, look.saved)
        base, snapshot = reading.known, reading.snapshot
        if journal is not None:
            self.journal = journal
            self.saved = () if is_history else journal.checkpoints
            if before is not None and is_history:
                before = replace(before, **reading.filled)
        held_at = None
        if is_news and self._must_wait(known, snapshot):
            held_at = known.held_at if known and known.held_at is not None else self.now
        base = replace(
            base,
            ignored=False,
            version=known.version if known else 0,
            asked=look.asked,
            missing_at=None,
            fingerprint=look.fingerprint or self._still_settled(snapshot),
            heard_at=look.heard_at if look.heard_at is not None else base.heard_at,
            held=snapshot if held_at is not None else None,
            held_at=held_at,
        )
        if held_at is not None:
            if before is not None:
                self._save(before)
            return self._judged(replace(base, snapshot=before or snapshot))
        if before is None:
            base = self._meet(base, snapshot) if is_news else replace(base, states=())
            base = replace(base, snapshot=snapshot)
        else:
            base = self._compare(base, before, snapshot, calm=look.calm)
        self._name_successors(snapshot)
        return self._judged(base)

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
        self.tell(events.GONE, Severity.WARNING, known.snapshot, status, status)
        return self._judged(
            replace(known, gone=True, missing_at=None, held=None, held_at=None, fingerprint=None)
        )

    def _still_settled(self, snapshot: Snapshot) -> bytes | None:
        """The listed bytes that are settled still, after a look at the job that no listing asked for.

        They are of before: once the job has ended since, a listing that shows them shows a job that began
        anew, or lags behind. Only another look tells.
        """
        known = self.known
        if known is None or (snapshot.status.is_terminal and snapshot.status is not known.latest):
            return None
        return known.fingerprint

    # ------------------------------------------------------------------------------ what is told

    def _meet(self, known: Known, snapshot: Snapshot) -> Known:
        """A job seen for the first time: `created`, and what else its first look proves."""
        status = snapshot.status
        is_first = status in FIRST_STATES
        self.tell(
            events.CREATED,
            Severity.INFO,
            snapshot,
            status if is_first else None,
            None,
            occurred=snapshot.created_at,
            skipped=status.is_terminal,
            continues=self.policy.successors.get(snapshot.id),
        )
        if is_first:
            # What led there is told by the state itself; the log goes on from here.
            rest, unproved, arrival = caught_up(known.states, (status,))
            self._save(snapshot)
            attempt = restarts(line.status for line in known.states if line.status)
            return replace(known, states=rest, arrival=arrival, unproved=unproved, attempt=attempt)
        last, known = self._relive(None, snapshot, known)
        self._transition(last, snapshot, (), known)
        return known

    def _compare(self, known: Known, before: Snapshot, after: Snapshot, *, calm: bool = False) -> Known:
        """A job seen again: what came back, what changed, and whether that is a transition."""
        changes = diff(before, after)
        if known.gone:
            self.tell(events.RETURNED, Severity.NOTICE, after, after.status, after.status)
            known = replace(known, gone=False)
        last, known = self._relive(before.status, after, known)
        renamed = after.status is Status.UNKNOWN and after.raw_status != before.raw_status
        if after.status is not last or renamed:
            self._transition(last, after, changes, known)
            return replace(known, snapshot=after, status_since=self.now)
        if calm and all(is_volatile(change, after.status) for change in changes):
            return known
        if changes:
            late = after.status.is_terminal and any(
                change.field.partition(".")[0] in RESULTS for change in changes
            )
            severity = Severity.NOTICE if late else Severity.DETAIL
            self.tell(events.UPDATED, severity, after, after.status, after.status, changes=changes)
        return replace(known, snapshot=after)

    # ------------------------------------------------------------------------------ what the log proves

    def _relive(self, before: Status | None, after: Snapshot, known: Known) -> tuple[Status | None, Known]:
        """Tells of the states that the log proves before `after`, and of checkpoints, each at its time.

        What goes on after an end is another attempt. Returns the last state told, and the job with the lines
        that are left.
        """
        # Where what was told last stands among these lines is not known yet: they may lie before it.
        states = known.states if not known.unproved else ()
        proof = between(states, before, after.status)
        arrival, unproved = known.arrival, known.unproved
        if proof.arrival is not None:
            arrival, unproved = proof.arrival, ()
        elif before is not after.status:
            arrival, unproved = None, (*(() if proof.states else unproved), after.status)
        lived = [before, *[line.status for line in proof.states], after.status]
        relapses = []
        for place, (left, entered) in enumerate(pairwise(lived)):
            if left and entered and is_relapse(left, entered):
                at = proof.states[place].at if place < len(proof.states) else None
                relapses.append(Relapse(self.now if at is None else min(at, self.now), left))
        known = replace(
            known,
            states=proof.left,
            arrival=arrival,
            unproved=unproved,
            attempt=known.attempt + restarts(status for status in lived if status),
            relapses=remember(known.relapses, relapses) if relapses else known.relapses,
        )
        last, saved = before, list(self.saved)
        self.saved = ()
        for line in proof.states:
            assert line.status is not None
            while saved and line.at is not None and saved[0].at is not None and saved[0].at <= line.at:
                self._tell_saved(saved.pop(0), after, last or after.status)
            self.tell(
                events.JOB + line.status,
                status_severity(line.status),
                after,
                line.status,
                last,
                changes=(Change("status", last, line.status),),
                occurred=line.at,
                skipped=True,
            )
            last = line.status
        for one in saved:
            self._tell_saved(one, after, last or after.status)
        return last, known

    def _save(self, snapshot: Snapshot) -> None:
        """Tells of checkpoints that no state stands beside."""
        for one in self.saved:
            self._tell_saved(one, snapshot, snapshot.status)
        self.saved = ()

    def _name_successors(self, snapshot: Snapshot) -> None:
        """The provider started the job anew under another id: said here, and when the other one comes."""
        for line in self.journal.lines:
            if line.successor and line.successor not in self.policy.successors:
                self.successors[line.successor] = snapshot.id
                note = f"its provider started it anew, as {line.successor}"
                status = snapshot.status
                self.tell(events.UPDATED, Severity.NOTICE, snapshot, status, status, note=note)

    def _tell_saved(self, one: Checkpoint, snapshot: Snapshot, status: Status) -> None:
        saved = SavedModel(id=one.id, step=one.step, model=one.model, metrics=one.metrics)
        self.tell(
            events.CHECKPOINT, Severity.DETAIL, snapshot, status, status, occurred=one.at, checkpoint=saved
        )

    def _prove(self, before: Status | None, after: Snapshot) -> Status | None:
        """Tells of a run that began and ended between two looks, where its start time proves it."""
        if before not in WAITED or after.status in FIRST_STATES or after.started_at is None:
            return before
        # A job that was queued anew still tells when its first run began.
        told = self.known.snapshot.started_at if self.known and before is not None else None
        if after.started_at == told:
            return before
        self.tell(
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
        known: Known,
    ) -> None:
        """The status became another one: what lies between is told first, where it is proven."""
        before, status = self._prove(before, after), after.status
        if status is not before and not (changes and changes[0] == Change("status", before, status)):
            rest = [change for change in changes if change.field != "status"]
            changes = (Change("status", before, status), *rest)
        kind, severity = events.JOB + status, status_severity(status)
        if status is Status.UNKNOWN:
            word = after.raw_status or ""
            if word in self.policy.words:
                kind, severity = events.UPDATED, Severity.DETAIL
            else:
                self.words.append(word)
        is_short = after.fine_tuned_model is None and status is Status.SUCCEEDED
        incomplete = is_short and self.policy.names_models
        self.tell(
            kind,
            severity,
            after,
            status,
            before,
            changes=changes,
            occurred=after.finished_at if status.is_terminal else _start(after),
            incomplete=("fine_tuned_model",) if incomplete else (),
            summary=self._summary(after, known) if status.is_terminal else None,
        )

    def _summary(self, job: Snapshot, known: Known) -> Summary:
        return summary(job, known, self.journal.lines, self.policy.backgrounds.get(job.id, UNKNOWN))

    def _judged(self, known: Known) -> Decision:
        """Lets every rule look at the job as it now stands, and settles when to wake up for it."""
        facts = Facts(
            snapshot=known.snapshot,
            status_since=known.status_since,
            heard_at=self._heard_at(known),
            ends=self.policy.ends,
            relapses=known.relapses,
            firing=frozenset(known.alerts) if known.alerts else NONE,
        )
        status, alerts, wakes = known.snapshot.status, dict(known.alerts), []
        ack = acks.still(self.known, known)
        awake = not (known.gone or known.ignored)
        for rule in self.policy.rules:
            finding = rule.judge(facts, self.now)
            if finding.wake_at is not None and awake:
                wakes.append(finding.wake_at)
            subject = finding.subject if finding.note and awake else None
            firing = alerts.get(rule.name)
            if firing is None and subject is None:
                continue
            before, _, stage = (firing[0] if firing else "").partition(STAGE)
            if firing and before != subject:
                if not finding.is_over:
                    kind = f"{events.ALERT}{rule.name}.resolved"
                    note = (GONE if known.gone else str(status)) if rule.name == Flapping.name else None
                    self.tell(
                        kind, Severity.NOTICE, known.snapshot, status, status, also=firing[1], note=note
                    )
                del alerts[rule.name]
                ack = acks.without(ack, alerts)
            if subject is not None and (rule.name not in alerts or stage != finding.stage):
                told = self.tell(
                    events.ALERT + rule.name,
                    rule.severity,
                    known.snapshot,
                    status,
                    status,
                    note=finding.note,
                    spared=acks.reason(ack) if ack is not None and rule.name in ack.alerts else "",
                )
                named = subject + STAGE + finding.stage if finding.stage else subject
                alerts[rule.name] = (
                    named,
                    tuple(dict.fromkeys([*alerts.get(rule.name, ("", ()))[1], *told])),
                )
        if known.held_at is not None:
            wakes.append(known.held_at + self.policy.settle)
        return self._decision(known, alerts, ack, min(wakes) if wakes else None)

    def _heard_at(self, known: Known) -> float | None:
        """Since when the job could have been heard, and was not: whoever was deaf meanwhile is no judge.

        Who counts as silent already does so until it is heard again.
        """
        heard = known.heard_at
        if heard is None or Silent.name in known.alerts:
            return heard
        return max(heard if heard <= self.now else 0.0, self.policy.listens_since)

    def _must_wait(self, known: Known | None, snapshot: Snapshot) -> bool:
        """Whether this is a success whose model has not arrived, and may still."""
        if snapshot.fine_tuned_model is not None or snapshot.status is not Status.SUCCEEDED:
            return False
        if not self.policy.names_models:
            return False
        if known is None:
            return self.policy.settle > 0
        if known.held_at is not None:
            return known.held_at <= self.now < known.held_at + self.policy.settle
        return known.snapshot.status is not Status.SUCCEEDED and self.policy.settle > 0

    def _decision(
        self,
        known: Known,
        alerts: dict[str, tuple[str, tuple[str, ...]]],
        ack: Ack | None,
        wake_at: float | None,
    ) -> Decision:
        return Decision(
            known=replace(
                known,
                alerts=alerts,
                ack=ack,
                wake_at=wake_at,
                sequence=self.sequence,
                link=self.link if isinstance(self.link, str) else None,
                told=tuple(self.told),
            ),
            events=tuple(self.events),
            deliveries=tuple(self.deliveries),
            verdicts=tuple(self.verdicts),
            words=tuple(self.words),
            successors=self.successors,
            journal=self.journal,
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
