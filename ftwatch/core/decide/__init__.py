"""What happens now? One look at one job, turned into what is known next, events, deliveries and verdicts.

`decide` is the only place where a provider's answer becomes a fact, and it is a function of its arguments
alone: the store commits what it returns, in one transaction, or nothing. It never sees raw bytes, a
provider's wire format or a clock. `turn` is one decision in the making, `telling` makes its events,
`logged` says what a job's own log adds.
"""

from msgspec.structs import replace

from ftwatch.core.decide.telling import assign
from ftwatch.core.decide.turn import Turn
from ftwatch.core.job import Status
from ftwatch.core.known import Decision, Known, Look, Policy
from ftwatch.core.span import MINUTE

__all__ = ["GONE_AFTER", "assign", "decide", "is_forward"]

# Two 404s this far apart, and nothing in between, make a job gone.
GONE_AFTER = MINUTE

# How far along a status is: a listing may only ever move a job forward. Of `unknown` nobody knows.
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
        return Turn(known, policy, now).time_went_by() if known else Decision(known=None)
    if known is not None and look.asked <= known.asked:
        return Decision(known=None)
    if known is not None and known.forgotten:
        mark = look.fingerprint or known.fingerprint
        return Decision(known=replace(known, asked=look.asked, fingerprint=mark))
    if look.snapshot is None:
        return _missing(known, look, policy, now)
    if known is not None and look.listed and not is_forward(known.latest, look.snapshot.status):
        return Decision(known=None)
    return Turn(known, policy, now).seen(look, look.snapshot)


def is_forward(old: Status, new: Status) -> bool:
    """Whether a listing, which may lag behind, can be believed without asking for the job itself.

    A job goes to and fro between running and paused: there, what a listing shows may be what was before.
    """
    if old.is_terminal:
        return new is old
    before, after = _ORDER.get(old), _ORDER.get(new)
    return new is old or before is None or after is None or after > before


def _missing(known: Known | None, look: Look, policy: Policy, now: float) -> Decision:
    """A 404: only a job that has not ended can be gone, and only when it is missing twice."""
    if known is None or known.gone or known.ignored or known.latest.is_terminal:
        return Decision(known=None)
    since = known.missing_at
    if since is None or look.at < since:
        kept = replace(known, asked=look.asked, missing_at=look.at)
        return Decision(known=kept)
    if look.at - since < GONE_AFTER:
        return Decision(known=replace(known, asked=look.asked))
    return Turn(replace(known, asked=look.asked), policy, now).vanished()
