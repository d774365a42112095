"""A push becomes part of its run's document: in the order of times, within bounds, nothing told twice."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from ftwatch.core.job import Status
from ftwatch.core.span import DAY, MINUTE
from ftwatch.log import shapeless
from ftwatch.plugins import Hook, Unreadable
from ftwatch.wire import lenient
from ftwatch.wire.joblog import LEVELS
from ftwatch.wire.push import fields
from ftwatch.wire.push.fields import NAME, OF_ATTEMPT, SENTENCE, WORD, Fields
from ftwatch.wire.push.run import Run, Said, Saved, State, decoded, encoded, mark_of, meaning
from ftwatch.wire.trainlog import trainer_figures

__all__ = ["hook", "merged"]

# So many runs one push may tell of, and of one run so much is complained about.
MOST_RUNS, MOST_COMPLAINTS = 100, 20
# A sender's clock is believed up to so far ahead of ours, and so far behind (seconds).
AHEAD, BEHIND = MINUTE, 7 * DAY
# What is told up to so long after something later (seconds) came late; beyond that a clock is off.
LATE = 10 * MINUTE


def hook(body: bytes) -> Hook:
    """One run's news, or a list of several. Raises Unreadable, with a sentence for who wrote the script."""
    try:
        found = lenient.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("the body is no JSON") from None
    told = found if isinstance(found, list) else [found]
    if not 0 < len(told) <= MOST_RUNS:
        raise Unreadable(f"a push tells of one run, or of a list of 1 to {MOST_RUNS}")
    documents = []
    for one in told:
        if not isinstance(one, dict):
            raise Unreadable('a push is an object like {"id": "run-42", "status": "running", "step": 120}')
        if one.get("status") is not None and lenient.some(one["status"]) is None:
            raise Unreadable('a status is a word like "running" or "failed"')
        documents.append((lenient.identifier(one.get("id")), one))
    return Hook(type="push", documents=tuple(documents))


def merged(before: bytes | None, told: Mapping[str, Any], now: float) -> bytes:
    """The run's document after a push at `now` (Unix seconds); `before` is the one until then.

    Raises Unreadable for a push without an id, and nothing else. What comes late fills gaps, and moves
    nothing.
    """
    run = _so_far(before, lenient.identifier(told.get("id")), now)
    at, is_late = _moment(told, run, now)
    run.first = at if run.pushes == 0 else min(run.first, at)
    word = lenient.some(told.get("status")) or (None if run.states else "running")
    if word is not None:
        at = _enter(run, State(run.pushes, at, shapeless(word[:WORD])))
    said = Fields(told)
    run.lines += _lines(run, told, said.kept.get("error"), at)
    run.fields = {**said.kept, **run.fields} if is_late else {**run.fields, **said.kept}
    for name in () if is_late else said.cleared:
        run.fields.pop(name, None)
    run.lines += _complaints(run, {**said.refused, **fields.strange(told)}, at)
    saved = _saved(told, at, run.attempt)
    if saved is not None and mark_of(saved) not in map(mark_of, run.checkpoints):
        run.checkpoints.append(saved)
    run.latest, run.heard, run.pushes = max(run.latest, at), now, run.pushes + 1
    return encoded(run)


def _so_far(before: bytes | None, id: str, now: float) -> Run:
    try:
        if before is not None:
            return decoded(before)
    except Unreadable:
        pass  # What nobody can read any more must not keep the run from going on.
    return Run(id=id, born=int(now), first=int(now))


def _moment(told: Mapping[str, Any], run: Run, now: float) -> tuple[int, bool]:
    """When that happened which a push tells, and whether it comes late: after something later was told.

    A push that names no time is of now, and so is one whose time nobody can believe. What is not late is
    never earlier than what was told before: the order of times is the order of what happened.
    """
    given = (lenient.moment(told.get(name)) for name in ("at", "time", "timestamp"))
    at = next((moment for moment in given if moment is not None), None)
    if at is None or not max(now - BEHIND, run.latest - LATE) <= at <= now + AHEAD:
        at = int(now)
    elif at < run.latest:
        return at, True
    return max(at, run.latest), False


def _enter(run: Run, state: State) -> int:
    """The run became something, unless it was that already; when that was (Unix seconds).

    What lay before a known state takes its place there. Who goes on after an end has begun anew.
    """
    place = bisect_right(run.states, state.at, key=lambda one: one.at)
    beside = [one.word for one in run.states[max(0, place - 1) : place + 1]]
    if lenient.folded(state.word) in map(lenient.folded, beside):
        return state.at
    status, is_last = meaning(state.word), place == len(run.states)
    if is_last and run.states and meaning(run.states[-1].word).is_terminal and not status.is_terminal:
        run.attempt, run.started = run.attempt + 1, None
        run.fields = {name: value for name, value in run.fields.items() if name not in OF_ATTEMPT}
        # Within one second nobody could tell which came first.
        state.at = max(state.at, run.states[-1].at + 1)
    if status is Status.RUNNING and _is_first(run, state.at, place):
        run.started = state.at
    run.states.insert(place, state)
    return state.at


def _is_first(run: Run, at: int, place: int) -> bool:
    """Whether this attempt began to run then, as far as was told."""
    if run.started is None:
        return True
    after = (state for state in run.states[place:] if state.at <= run.started)
    return at < run.started and not any(meaning(state.word).is_terminal for state in after)


def _lines(run: Run, told: Mapping[str, Any], error: Mapping[str, str] | None, at: int) -> Iterator[Said]:
    """The push as a line of the run's log, where it says more than a state.

    An error that is new stands there, too: of an attempt that is over when somebody looks, nothing else does.
    """
    known = {**trainer_figures(told), **trainer_figures(told.get("metrics"))}
    message = fields.text(told.get("message"), SENTENCE)
    level = LEVELS.get(str(told.get("level")).lower(), "info")
    if message is None and error and error != run.fields.get("error"):
        message, level = error.get("message"), "error"
    if known or message is not None:
        type = "message" if message is not None else "metrics"
        yield Said(run.pushes, at, type, message, level, lenient.count(told.get("step")), known)


def _complaints(run: Run, about: Mapping[str, str], at: int) -> Iterator[Said]:
    """What of a push is not kept, each told of once in a run's life."""
    new = [name for name in about if name not in run.complaints]
    new = new[: max(0, MOST_COMPLAINTS - len(run.complaints))]
    if new:
        run.complaints += new
        listed = "; ".join(about[name] for name in new)
        yield Said(run.pushes, at, "dropped", f"not kept of a push: {listed}"[:SENTENCE], "warning")


def _saved(told: Mapping[str, Any], at: int, attempt: int) -> Saved | None:
    """The checkpoint that a push tells of: its name or path, or an object with more."""
    found = told.get("checkpoint")
    about = found if isinstance(found, dict) else {"model": found}
    model, id = fields.text(about.get("model"), NAME), fields.text(about.get("id"), NAME)
    step = lenient.count(about.get("step"))
    if model is None and id is None and step is None:
        return None
    known = trainer_figures(about.get("metrics")) or trainer_figures(told.get("metrics"))
    return Saved(attempt, at, id, model, step if step is not None else lenient.count(told.get("step")), known)
