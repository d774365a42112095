"""What does it open, and what does it close? For notifiers whose service knows open and closed.

Who pages somebody must end what it began. Such a notifier keeps an `Account` of what it has told of in its
memory, one for each lane. Who is told of an end is for `route` and `decide` to say; no service is known here.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core.event import Event
from ftwatch.core.job import Status

__all__ = ["Account", "Bearing", "bearing_of", "lasting"]


class Bearing(Struct, frozen=True, kw_only=True):
    """What an event means for the problems of its subject, which are called by plain names.

    `opens` is the one that begins with it, `closes` are those that are over with it (None: all). `ending`:
    whether an end of what begins will be told, may be, or will never be. `is_end`: the event tells of an end
    and of nothing else, so that it is worth telling also where the beginning is not remembered.
    """

    opens: str | None = None
    closes: frozenset[str] | None = frozenset()
    ending: Literal["sure", "possible", "none"] = "sure"
    is_end: bool = False


# A job's states that another state ends. That it runs again after it failed does not mean that it will not
# fail again: only its end closes that.
_STATES = frozenset({"paused", "unknown", "gone"})
# A rule whose alert may be over without anybody saying so.
_FADING = frozenset({"retiring", "flapping"})

_NOTHING = Bearing()
_BEARINGS = {
    events.JOB + Status.FAILED: Bearing(opens="failed", closes=None, ending="possible"),
    events.JOB + Status.SUCCEEDED: Bearing(closes=None, is_end=True),
    events.JOB + Status.CANCELLED: Bearing(closes=None, is_end=True),
    events.JOB + Status.PAUSED: Bearing(opens="paused", closes=_STATES - {"paused"}),
    events.JOB + Status.UNKNOWN: Bearing(opens="unknown", closes=_STATES - {"unknown"}),
    **{
        events.JOB + status: Bearing(closes=_STATES)
        for status in (Status.VALIDATING_FILES, Status.QUEUED, Status.RUNNING, Status.CANCELLING)
    },
    events.GONE: Bearing(opens="gone", ending="possible"),
    events.RETURNED: Bearing(closes=frozenset({"gone"}), is_end=True),
    events.DEGRADED: Bearing(opens="degraded"),
    events.RECOVERED: Bearing(closes=frozenset({"degraded"}), is_end=True),
    events.RETIRED: Bearing(closes=frozenset({"degraded"}), is_end=True),
    events.UNREADABLE: Bearing(opens="unreadable", ending="none"),
    events.DRIFT: Bearing(opens="drift", ending="none"),
    events.DEAD: Bearing(opens="dead", ending="none"),
    events.FAILING: Bearing(opens="failing"),
    events.DISABLED: Bearing(opens="disabled"),
    events.ENABLED: Bearing(closes=frozenset({"failing", "disabled"}), is_end=True),
    events.REJECTED: Bearing(opens="rejected"),
    events.ACCEPTED: Bearing(closes=frozenset({"rejected"}), is_end=True),
    events.FULL: Bearing(opens="full"),
    events.ROOM: Bearing(closes=frozenset({"full"}), is_end=True),
    # Whoever tries a pager wants to hear it.
    events.TEST: Bearing(opens="test", ending="none"),
}


def bearing_of(event: Event) -> Bearing:
    """What an event opens and closes; most do neither."""
    rule = event.type.removeprefix(events.ALERT)
    if rule == event.type:
        return _BEARINGS.get(event.type, _NOTHING)
    ended = rule.removesuffix(".resolved")
    if ended != rule:
        return Bearing(closes=frozenset({ended}), is_end=True)
    return Bearing(opens=rule, ending="possible" if rule in _FADING else "sure")


def lasting(event: Event) -> str | None:
    """The problem that begins with an event and stays until something is done about it; most begin none.

    Only of a job and of a provider it is known whether it still lasts. What has its end ahead from the
    beginning is told in stages of its own.
    """
    bearing = bearing_of(event)
    if event.job is None and event.type != events.DEGRADED:
        return None
    return bearing.opens if bearing.opens not in _FADING else None


class Account(Struct, frozen=True, kw_only=True):
    """The problems of one subject that a notifier has told of, each with what it wants to know at its end.

    `kind` is the notifier's: another one under its name could make nothing of these notes. `end` is the
    `sequence` of the last end of the job that was told.
    """

    kind: str
    open: dict[str, Any] = field(default_factory=dict)
    end: int = 0

    @classmethod
    def read(cls, kind: str, memory: Mapping[str, Any]) -> "Account":
        """The account in the memory of a notifier of this kind, an empty one where there is none."""
        try:
            found = msgspec.convert(dict(memory), cls)
        except msgspec.ValidationError:
            return cls(kind=kind)
        return found if found.kind == kind else cls(kind=kind)

    @property
    def memory(self) -> dict[str, Any]:
        """What to remember of it."""
        return {"kind": self.kind, "open": self.open, "end": self.end}

    def is_past(self, event: Event) -> bool:
        """Whether an event would open what is over: a later event, which closed it, was told before."""
        return bearing_of(event).opens is not None and 0 < (event.data.sequence or 0) < self.end

    def after(self, event: Event, note: Any) -> tuple["Account", dict[str, Any]]:
        """The account once this event is told, and what is closed by it, in the order in which it began.

        `note` is what to know at the end of the problem that it opens.
        """
        bearing = bearing_of(event)
        closed = {
            name: kept
            for name, kept in self.open.items()
            if name != bearing.opens and (bearing.closes is None or name in bearing.closes)
        }
        left = {name: kept for name, kept in self.open.items() if name not in closed}
        if bearing.opens is not None and bearing.ending != "none":
            left[bearing.opens] = note
        is_job_over = bearing.closes is None
        end = max(self.end, event.data.sequence or 0) if is_job_over else self.end
        return replace(self, open=left, end=end), closed
