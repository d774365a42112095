"""Did it arrive? Deliveries, the outcomes of their attempts, and when to try again.

`settle` is the whole retry policy as one pure function; randomness for the jitter comes in as a number.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.span import DAY, HOUR, MINUTE

__all__ = [
    "LEAPFROG_AFTER",
    "OUTAGE_AFTER",
    "REMINDER",
    "REPLAYED",
    "SHORT_OUTAGE",
    "SWEEP",
    "Breaker",
    "Claim",
    "Delivery",
    "Outcome",
    "Rejected",
    "Retry",
    "RetryPolicy",
    "Sent",
    "Settlement",
    "State",
    "fold",
    "settle",
    "shifted",
    "trip",
]

# How long a rejected head may hold up the later events of its job.
LEAPFROG_AFTER = 2 * MINUTE
# How many times a receiver may say "too many" before a refusal counts as an attempt.
FREE_THROTTLES = 20
LONGEST_RETRY_AFTER = DAY
# How many times in a row a receiver may be out of reach before only probes are sent, and how often these.
BREAKS_AFTER = 5
PROBE_EVERY = 30
# For how long nothing may have arrived before that is an outage, to be told over other notifiers; after a
# shorter one, waiting retries keep their own times.
OUTAGE_AFTER = 15 * MINUTE
SHORT_OUTAGE = MINUTE
# A receiver is believed that it is gone once it has said so twice, this far apart (seconds).
CONFIRMED_AFTER = MINUTE
# What a bundle of reminders is called, before the moment (Unix seconds) at which they were due.
REMINDER = "remind "
# What a sweep's bundle is called, before what tells it from others and its name.
SWEEP = "sweep "
# What is sent again by hand has a lane of its own, of this ending.
REPLAYED = " (replay)"


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    FOLDED = "folded"
    SUPERSEDED = "superseded"


class Sent(Struct, frozen=True, tag="sent", gc=False):
    """It arrived. `note` may say how (an HTTP status, a plainer form that had to do).

    `disable`: the receiver took it, and asked for nothing more. `idle`: there was nothing to tell, so the
    receiver was not asked, and nothing is known of how it does.
    """

    note: str = ""
    disable: bool = False
    idle: bool = False


class Retry(Struct, frozen=True, tag="retry", gc=False):
    """It did not arrive, and may on a later try.

    `after` is the receiver's wish in seconds (Retry-After); `throttled` says it asked for fewer requests;
    `unreachable` says no answer came at all (connection, TLS, time-out), which is what opens the breaker.
    """

    reason: str
    after: float | None = None
    throttled: bool = False
    unreachable: bool = False


class Rejected(Struct, frozen=True, tag="rejected", gc=False):
    """The receiver said no. `final`: trying again is pointless (else the slow lane tries a few times).

    `disable`: the receiver is gone (HTTP 410 and its kin), which counts once it was said twice; `final` with
    it: the receiver itself asked never to be called again.
    """

    reason: str
    final: bool = False
    disable: bool = False


Outcome = Sent | Retry | Rejected


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When to try again; spans in seconds. The last wait repeats until `span` is over.

    `slow` are the waits of what was rejected. After an outage longer than `fold` the backlog goes out as one
    digest, where the kind can (None: message by message).
    """

    waits: tuple[float, ...] = (
        5,
        30,
        2 * MINUTE,
        10 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
        14 * HOUR,
        20 * HOUR,
        24 * HOUR,
    )
    slow: tuple[float, ...] = (5, 5 * MINUTE, HOUR, 6 * HOUR, DAY)
    jitter: float = 0.2
    throttle: float = MINUTE
    drain: float = 5.0
    span: float = 75 * HOUR
    fold: float | None = None


class Delivery(Struct, frozen=True, kw_only=True, gc=False):
    """One event owed to one notifier. Times are Unix seconds.

    `attempts` counts real tries; `throttles` those answered "too many requests"; `first_attempt_at` starts
    the span, so ftwatch's own downtime burns nothing; `rejected_at` is since when its receiver says no;
    `bundle` names what it is held for, to leave with others as one message.
    """

    id: str
    event_id: str
    notifier: str
    lane: str
    state: State = State.PENDING
    reason: str = ""
    due_at: float
    attempts: int = 0
    throttles: int = 0
    first_attempt_at: float | None = None
    rejected_at: float | None = None
    created_at: float
    settled_at: float | None = None
    bundle: str | None = None

    @property
    def is_replay(self) -> bool:
        """Whether somebody had it sent again by hand."""
        return self.lane.endswith(REPLAYED)


class Claim(Struct, frozen=True, kw_only=True, gc=False):
    """A delivery taken for sending: only the holder of `epoch` may settle it, until `until`.

    `seq` is the delivery's number in the store, which finds it at once.
    """

    seq: int
    delivery: Delivery
    epoch: int
    until: float
    event: bytes
    body: bytes | None = None
    probe: bool = False


class Breaker(Struct, frozen=True, kw_only=True, gc=False):
    """How a receiver does. Open since `open_at`, it lets one probe through at `probe_at`.

    `failing_since`: nothing has arrived since then, for whatever reason. `told`: who knows about that (None:
    nobody was told yet).
    """

    failures: int = 0
    open_at: float | None = None
    probe_at: float | None = None
    failing_since: float | None = None
    told: tuple[str, ...] | None = None

    @property
    def is_open(self) -> bool:
        """Whether only probes may leave."""
        return self.open_at is not None

    def fails_for(self, seconds: float, now: float) -> bool:
        """Whether nothing has arrived for so long."""
        return self.failing_since is not None and now - self.failing_since >= seconds


def trip(breaker: Breaker, outcome: Outcome, now: float, policy: RetryPolicy = RetryPolicy()) -> Breaker:
    """The breaker after one more try: any answer closes it, the fifth silence in a row opens it.

    Probes leave every half minute, or as often as the policy would ever try.
    """
    if isinstance(outcome, Sent) and outcome.idle:
        # It did not use the probe: the next message may.
        return replace(breaker, probe_at=now) if breaker.is_open else breaker
    if isinstance(outcome, Sent):
        return Breaker()
    since = breaker.failing_since
    if since is None and not (isinstance(outcome, Retry) and outcome.throttled):
        since = now  # who only wants fewer messages does take them
    if not (isinstance(outcome, Retry) and outcome.unreachable):
        return Breaker(failing_since=since, told=breaker.told)
    failures = breaker.failures + 1
    opened = breaker.open_at
    if failures >= BREAKS_AFTER and opened is None:
        opened = now
    probe = now + min(PROBE_EVERY, max(policy.waits)) if opened is not None else None
    return Breaker(failures=failures, open_at=opened, probe_at=probe, failing_since=since, told=breaker.told)


def shifted(breaker: Breaker, seconds: float) -> Breaker:
    """The breaker as it is after the machine's clock was set: every span as long as it was."""

    def moved(at: float | None) -> float | None:
        return None if at is None else at + seconds

    return replace(
        breaker,
        open_at=moved(breaker.open_at),
        probe_at=moved(breaker.probe_at),
        failing_since=moved(breaker.failing_since),
    )


class Settlement(Struct, frozen=True, kw_only=True, gc=False):
    """What an outcome makes of a delivery: its new state, and for a pending one its next due time."""

    state: State
    due_at: float
    attempts: int
    throttles: int
    first_attempt_at: float
    rejected_at: float | None
    reason: str


def _tries(policy: RetryPolicy) -> int:
    """How many waits fill the span: time that ftwatch itself was away must not stand in for them."""
    total = 0.0
    for number, wait in enumerate(policy.waits, start=1):
        total += wait
        if total >= policy.span:
            return number
    return len(policy.waits) + math.ceil((policy.span - total) / max(policy.waits[-1], 0.001))


def settle(
    delivery: Delivery,
    outcome: Outcome,
    policy: RetryPolicy,
    now: float,
    luck: float,
    *,
    probe: bool = False,
) -> Settlement:
    """What becomes of a delivery after one try. `luck` in [0, 1) places the wait within its jitter.

    A probe (a try before the message's own time) that fails costs nothing: an outage of the receiver's must
    not use up the tries that a message has faster than its policy says.
    """
    first = delivery.first_attempt_at if delivery.first_attempt_at is not None else now
    attempts, throttles = delivery.attempts + 1, delivery.throttles

    if isinstance(outcome, Sent):  # What nearly all of them come to, and nothing is to be worked out.
        return Settlement(
            state=State.DELIVERED,
            due_at=now,
            attempts=attempts,
            throttles=throttles,
            first_attempt_at=first,
            rejected_at=None,
            reason=outcome.note,
        )

    def result(state: State, reason: str, wait: float = 0.0, rejected_at: float | None = None) -> Settlement:
        return Settlement(
            state=state,
            due_at=now + wait,
            attempts=attempts,
            throttles=throttles,
            first_attempt_at=first,
            rejected_at=rejected_at,
            reason=reason,
        )

    def jittered(wait: float) -> float:
        return wait * max(0.5, 1 + policy.jitter * (2 * luck - 1))

    match outcome:
        case Rejected(reason, final=True):
            return result(State.DEAD, reason)
        case Rejected(reason, disable=gone):
            since = delivery.rejected_at if delivery.rejected_at is not None else now
            if gone and now - since >= CONFIRMED_AFTER:
                return result(State.DEAD, reason, rejected_at=since)
            if gone:
                return result(State.PENDING, reason, CONFIRMED_AFTER + jittered(5), since)
            if attempts > len(policy.slow):
                return result(State.DEAD, reason, rejected_at=since)
            return result(State.PENDING, reason, jittered(policy.slow[attempts - 1]), since)
        case Retry(reason, after, throttled):
            if throttled and throttles < FREE_THROTTLES:
                attempts, throttles = delivery.attempts, throttles + 1
            elif probe:
                # Asked before its time: its own tries stay where they are.
                attempts = delivery.attempts
                return result(State.PENDING, reason, max(0.0, delivery.due_at - now))
            elif attempts > _tries(policy) and now - first >= policy.span:
                return result(State.DEAD, reason)
            wait = jittered(policy.waits[min(max(attempts, 1), len(policy.waits)) - 1])
            if throttled and after is None:
                wait = max(wait, policy.throttle)
            if after is not None:
                wait = min(max(wait, after), LONGEST_RETRY_AFTER)
            return result(State.PENDING, reason, wait)


def fold(delivery: Delivery, carrier: str, now: float) -> Settlement:
    """What becomes of a delivery that went out as a line of the digest `carrier`."""
    return Settlement(
        state=State.FOLDED,
        due_at=delivery.due_at,
        attempts=delivery.attempts,
        throttles=delivery.throttles,
        first_attempt_at=delivery.first_attempt_at if delivery.first_attempt_at is not None else now,
        rejected_at=None,
        reason=f"in the digest {carrier}",
    )
