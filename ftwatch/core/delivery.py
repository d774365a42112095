"""Did it arrive? Deliveries, the outcomes of their attempts, and when to try again.

`settle` is the whole retry policy as one pure function; randomness for the jitter comes in as a number.
"""

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from ftwatch.core.span import DAY, HOUR, MINUTE

__all__ = [
    "LEAPFROG_AFTER",
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
    "settle",
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


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    FOLDED = "folded"
    SUPERSEDED = "superseded"


class Sent(Struct, frozen=True, tag="sent"):
    """It arrived. `note` may say how (an HTTP status, a plainer form that had to do)."""

    note: str = ""


class Retry(Struct, frozen=True, tag="retry"):
    """It did not arrive, and may on a later try.

    `after` is the receiver's wish in seconds (Retry-After); `throttled` says it asked for fewer requests;
    `unreachable` says no answer came at all (connection, TLS, time-out), which is what opens the breaker.
    """

    reason: str
    after: float | None = None
    throttled: bool = False
    unreachable: bool = False


class Rejected(Struct, frozen=True, tag="rejected"):
    """The receiver said no. `final`: trying again is pointless (else the slow lane tries a few times).

    `disable`: the receiver asked never to be called again (HTTP 410 and its kin).
    """

    reason: str
    final: bool = False
    disable: bool = False


Outcome = Sent | Retry | Rejected


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When to try again; spans in seconds. The last wait repeats until `span` is over."""

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


class Delivery(Struct, frozen=True, kw_only=True):
    """One event owed to one notifier. Times are Unix seconds.

    `attempts` counts real tries; `throttles` those answered "too many requests"; `first_attempt_at` starts
    the span, so ftwatch's own downtime burns nothing; `rejected_at` is since when its receiver says no.
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


class Claim(Struct, frozen=True, kw_only=True):
    """A delivery taken for sending: only the holder of `epoch` may settle it, until `until`."""

    delivery: Delivery
    epoch: int
    until: float
    event: bytes
    body: bytes | None = None
    probe: bool = False


class Breaker(Struct, frozen=True, kw_only=True):
    """Whether a receiver answers at all. Open since `open_at`, it lets one probe through at `probe_at`."""

    failures: int = 0
    open_at: float | None = None
    probe_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether only probes may leave."""
        return self.open_at is not None


def trip(breaker: Breaker, outcome: Outcome, now: float, policy: RetryPolicy = RetryPolicy()) -> Breaker:
    """The breaker after one more try: any answer closes it, the fifth silence in a row opens it.

    Probes leave every half minute, or as often as the policy would ever try.
    """
    if not (isinstance(outcome, Retry) and outcome.unreachable):
        return breaker if breaker == Breaker() else Breaker()
    failures = breaker.failures + 1
    if failures < BREAKS_AFTER:
        return Breaker(failures=failures)
    opened = breaker.open_at if breaker.open_at is not None else now
    return Breaker(failures=failures, open_at=opened, probe_at=now + min(PROBE_EVERY, max(policy.waits)))


class Settlement(Struct, frozen=True, kw_only=True):
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
    return len(policy.waits)


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

    A probe of an unreachable receiver that fails costs nothing: an outage of the receiver's must not
    use up the tries that a message has.
    """
    first = delivery.first_attempt_at if delivery.first_attempt_at is not None else now
    attempts, throttles = delivery.attempts + 1, delivery.throttles

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
        case Sent(note):
            return result(State.DELIVERED, note)
        case Rejected(reason, final=True) | Rejected(reason, disable=True):
            return result(State.DEAD, reason)
        case Rejected(reason):
            since = delivery.rejected_at if delivery.rejected_at is not None else now
            if attempts > len(policy.slow):
                return result(State.DEAD, reason, rejected_at=since)
            return result(State.PENDING, reason, jittered(policy.slow[attempts - 1]), since)
        case Retry(reason, after, throttled):
            if throttled and throttles < FREE_THROTTLES:
                attempts, throttles = delivery.attempts, throttles + 1
            elif probe:
                attempts = delivery.attempts
            elif attempts > _tries(policy) and now - first >= policy.span:
                return result(State.DEAD, reason)
            wait = jittered(policy.waits[min(max(attempts, 1), len(policy.waits)) - 1])
            if throttled and after is None:
                wait = max(wait, policy.throttle)
            if after is not None:
                wait = min(max(wait, after), LONGEST_RETRY_AFTER)
            return result(State.PENDING, reason, wait)
