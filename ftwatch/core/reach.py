"""Who gets what, worked out from the routes. The routing itself is `core.route`'s.

Every type of event is asked about with a sample of it. What a route says about type, severity or status is
settled by the sample; what it says about a job that is not known yet (`labels.team`, `model` …) stays a
condition, in the words of the config.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core.diff import Change
from ftwatch.core.event import JOB, Data, Event, Severity
from ftwatch.core.job import JobError, Method, Snapshot, Status
from ftwatch.core.route import (
    Match,
    Matcher,
    Recipient,
    Route,
    Routing,
    check_key,
    check_value,
    matches,
    route,
)
from ftwatch.core.sample import SAMPLES, sample

__all__ = ["ALWAYS", "Reach", "catalogue", "conditions", "in_words", "make_event", "reach"]

ALWAYS = "always"

# What an event has one word for; elsewhere an asterisk is a letter like any other.
CLOSED = ("type", "severity", "status", "previous_status", "job.status")


class Reach(Struct, frozen=True):
    """Under which condition (`ALWAYS`, else in words) a notifier gets which types of events."""

    notifier: str
    when: str
    types: tuple[str, ...]


def catalogue() -> dict[str, Event]:
    """A sample of every type of event, by type, in the order of a job's life."""
    found: dict[str, Event] = {}
    for name in SAMPLES:
        event = sample(name)
        # Whoever a sample is about would not get it; here it is about nobody in particular.
        if event.data.notifier:
            event = replace(event, data=replace(event.data, notifier=""))
        found.setdefault(event.type, event)
    return found


def reach(routing: Routing) -> list[Reach]:
    """For every notifier, in the config's order: what it gets, and when."""
    events = catalogue()
    found: dict[tuple[str, str], list[str]] = {}
    for recipient in routing.recipients:
        for type, event in events.items():
            when = conditions(event, recipient, routing)
            if when:
                said = ALWAYS if ALWAYS in when else "; or ".join(dict.fromkeys(when))
                found.setdefault((recipient.name, said), []).append(type)
    return [Reach(name, when, tuple(types)) for (name, when), types in found.items()]


def in_words(candidate: Route) -> str:
    """What a route takes: `type="…", model="…"`, from which severity on, and what not."""
    said = ", ".join(map(str, candidate.match.matchers)) or "everything"
    said += f", from {candidate.floor} on"
    return f"{said}, except {candidate.except_}" if candidate.except_ is not None else said


# --------------------------------------------------------------------------------------- an event by hand


def make_event(pairs: Iterable[str], providers: Mapping[str, tuple[str, Mapping[str, str]]]) -> Event:
    """The event that `KEY=VALUE` words describe, with the keys of `match`.

    `providers` are those configured: the kind of each, and the labels that it adds to its jobs. Without a
    type, `status` says it; without that it is a failure. Raises ValueError with a sentence.
    """
    given = _pairs(pairs)
    provider = given.get("provider") or (next(iter(providers)) if len(providers) == 1 else "")
    kind, labels = providers.get(provider, ("", {}))
    given.setdefault("kind", kind)
    type = given.get("type") or f"{JOB}{given.get('status') or Status.FAILED}"
    known = catalogue().get(type)
    severity = given.get("severity") or (known.severity if known else Severity.DETAIL)
    about: dict[str, Any] = {"id": given.get("id") or provider or "test", "provider": provider}
    about["kind"] = given["kind"]
    if type.startswith("fine_tuning."):
        about |= _about_job(given, type, provider, labels)
    return Event(
        id="evt_test",
        type=type,
        created_at=0,
        severity=Severity(severity),
        data=Data(occurred_at=0, observed_at=0, **about),
    )


def _pairs(pairs: Iterable[str]) -> dict[str, str]:
    given = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ValueError(f"{pair!r} is not KEY=VALUE, like type=fine_tuning.job.failed")
        check_key(key)
        check_value(key, value)
        if key in CLOSED and (value.startswith("re:") or "*" in value or "?" in value):
            raise ValueError(f"{value!r} is a pattern; an event has one {key}")
        given[key] = value
    return given


def _about_job(
    given: Mapping[str, str], type: str, provider: str, labels: Mapping[str, str]
) -> dict[str, Any]:
    brought = type.removeprefix(JOB) if type.startswith(JOB) else ""
    is_transition = brought in tuple(Status) or brought == "created"
    state = given.get("job.status") or (brought if brought in tuple(Status) else None)
    state = state or given.get("status") or (Status.QUEUED if brought == "created" else Status.RUNNING)
    metadata = _below("metadata.", given)
    code = given.get("error.code")
    job = Snapshot(
        id=given.get("id") or "ftjob-test",
        provider=provider,
        kind=given["kind"],
        status=Status(state),
        name=given.get("name"),
        owner=given.get("owner"),
        model=given.get("model"),
        fine_tuned_model=given.get("fine_tuned_model"),
        method=Method(type=given["method"]) if "method" in given else None,
        error=JobError(code=code) if code else None,
        metadata=metadata,
        labels={**labels, **metadata, **_below("labels.", given)},
    )
    before = given.get("previous_status") or (None if is_transition else state)
    changed = given.get("changed")
    return {
        "id": job.id,
        "name": job.name,
        "labels": job.labels,
        "status": job.status,
        "previous_status": Status(before) if before else None,
        "skipped": given.get("skipped") == "true",
        "changes": (Change(field=changed, before=None, after=None),) if changed else (),
        "job": job,
    }


def _below(prefix: str, given: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}


# ---------------------------------------------------------------------------------------- conditions

# What a sample settles, for events about a job and for ftwatch's own, which have no job.
_SETTLED = ("type", "severity", "status")
_OPEN_OF_OWN = ("provider", "kind", "id", "name", "labels.")


def conditions(event: Event, recipient: Recipient, routing: Routing) -> list[str]:
    """Each condition under which the recipient gets such an event; nothing where it never does."""
    if routing.routes is None:
        alone = Routing(recipients=(recipient,))
        return [ALWAYS] if route(event, alone, 0).selected else []
    found = []
    for candidate in routing.routes:
        reduced, rest = _reduce(candidate, event)
        chosen = route(event, Routing(recipients=(recipient,), routes=(reduced,)), 0).selected
        if chosen:
            found.append(rest if rest and chosen[0][1] not in ("default", "report") else ALWAYS)
    return found


def _reduce(candidate: Route, event: Event) -> tuple[Route, str]:
    """The route with only what `event` settles, and the rest of it in words."""
    settled = tuple(m for m in candidate.match.matchers if _is_settled(m, event))
    words = [str(m) for m in candidate.match.matchers if m not in settled]
    except_ = candidate.except_
    if except_ is not None:
        open_ = tuple(m for m in except_.matchers if not _is_settled(m, event))
        closed = Match(tuple(m for m in except_.matchers if m not in open_), except_.min_severity)
        if open_:
            if matches(closed, event):
                words.append("not " + " and ".join(map(str, open_)))
            except_ = None
    reduced = Route(
        match=Match(settled), except_=except_, min_severity=candidate.floor, notify=candidate.notify
    )
    return reduced, " and ".join(words)


def _is_settled(matcher: Matcher, event: Event) -> bool:
    if event.job is not None:
        return matcher.key in _SETTLED
    return not matcher.key.startswith(_OPEN_OF_OWN)
