"""How did it do against the last time? What a run is compared with, and what comes of that in a few words.

Two runs are of one recipe if their metadata say the same `recipe`, else if the base model is the same and the
name is, without the version at its end: `support-bot-v7` follows `support-bot-v6`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Protocol

from msgspec import Struct, field

from ftwatch.core.event import Comparison
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.span import MINUTE, spoken

__all__ = ["LOSSES", "MOST", "Background", "Run", "Runs", "compared", "recipe", "run_of", "versus"]

# So many earlier runs of a recipe are looked at.
MOST = 20
# How much two spans may differ, as a part of the earlier one, before one of them counts as faster.
SAME = 0.02
# The losses to compare by, the most telling first.
LOSSES = ("full_valid_loss", "valid_loss", "train_loss")

# A version or one part of a date, at the end of a name; so many of them are taken off.
_VERSION = re.compile(r"(?:[-_. ]+(?:v|ver|version|run|try|rev))?[-_. ]*\d+$", re.IGNORECASE)
PARTS = 4


class Run(Struct, frozen=True, kw_only=True):
    """A run that succeeded: when it ended (Unix seconds), for how many it ran, its tokens and last losses."""

    id: str
    finished_at: int | None = None
    ran_for: int | None = None
    tokens: int | None = None
    metrics: dict[str, float] = field(default_factory=dict)


class Runs(tuple[Run, ...]):
    """The last runs of a recipe that succeeded. What is told of them to jobs that end together is worked out
    once.
    """

    @cached_property
    def ids(self) -> frozenset[str]:
        """Which runs they are."""
        return frozenset(run.id for run in self)

    def told_at(self, now: int | None) -> Comparison | None:
        """What to tell of the first `MOST` of them beside a run that ended `now`: of the ones before."""
        found = bisect_right(self._ends, now) if now else len(self._ends)
        if found not in self._told:
            self._told[found] = _last_of(self._in_order[:found])
        return self._told[found]

    @cached_property
    def _in_order(self) -> list[Run]:
        return sorted(self[:MOST], key=lambda run: (run.finished_at or 0, run.id))

    @cached_property
    def _ends(self) -> list[int]:
        return [run.finished_at or 0 for run in self._in_order]

    @cached_property
    def _told(self) -> dict[int, Comparison | None]:
        return {}


class Background(Struct, frozen=True, kw_only=True):
    """What the store knows of a job that ends: its `first` figures, and `earlier` runs of its recipe."""

    first: dict[str, float] = field(default_factory=dict)
    earlier: Runs = Runs()


def recipe(job: Snapshot) -> str | None:
    """What two runs of one recipe have in common, None for a job that nothing is known to be like."""
    said = job.metadata.get("recipe")
    if said and (said := said.strip()):
        return f"recipe:{said[:200]}"
    return _by_name(job.name[:200], (job.model or "")[:200]) if job.name else None


@lru_cache(maxsize=512)
def _by_name(name: str, model: str) -> str | None:
    """Asked for when a job ends and when it is stored, of a whole batch each."""
    stem = _stem(name.strip())
    return f"{model}|{stem}" if stem else None


def _stem(name: str) -> str:
    """A name without its version."""
    for _ in range(PARTS):
        whole, name = name, _VERSION.sub("", name)
        if name == whole:
            break
    return name.strip(" -_.").lower()


class Ended(Protocol):
    """What a run's job says of it."""

    @property
    def id(self) -> str: ...
    @property
    def started_at(self) -> int | None: ...
    @property
    def finished_at(self) -> int | None: ...
    @property
    def trained_tokens(self) -> int | None: ...


def run_of(job: Ended, metrics: dict[str, float]) -> Run:
    """A job that has ended, as a run to compare with."""
    began, ended = job.started_at, job.finished_at
    return Run(
        id=job.id,
        finished_at=ended,
        ran_for=ended - began if began and ended and ended >= began else None,
        tokens=job.trained_tokens,
        metrics={name: metrics[name] for name in LOSSES if name in metrics},
    )


def compared(job: Snapshot, earlier: Sequence[Run]) -> Comparison | None:
    """What to tell beside the end of `job`: the last of the earlier runs; None where there is none.

    Of `earlier` the first `MOST` count that are not `job` itself; what ended after it is no earlier one.
    """
    if job.status is not Status.SUCCEEDED:
        return None
    runs = earlier if isinstance(earlier, Runs) else Runs(earlier)
    if job.id in runs.ids:
        runs = Runs(run for run in runs if run.id != job.id)
    return runs.told_at(job.finished_at)


def _last_of(before: Sequence[Run]) -> Comparison | None:
    """The last of some runs, in the order in which they ended, beside the best of them."""
    if not before:
        return None
    last = before[-1]
    name = next((name for name in LOSSES if name in last.metrics), None)
    losses = [run.metrics[name] for run in before if name in run.metrics] if name else []
    return Comparison(
        job=last.id,
        runs=len(before),
        ran_for=last.ran_for,
        tokens=last.tokens,
        metrics=last.metrics,
        best={name: min(losses)} if name and len(losses) > 1 else {},
    )


def versus(this: Run, with_: Comparison) -> str:
    """The comparison in words, or nothing: `valid loss 0.41, last run 0.46; 12 m faster`."""
    return "; ".join((*_loss(this, with_), *_time(this, with_), *_tokens(this, with_)))


def _loss(this: Run, with_: Comparison) -> Iterator[str]:
    name = next((name for name in LOSSES if name in this.metrics and name in with_.metrics), None)
    if name is None:
        return
    shown = name.removeprefix("full_").replace("_", " ")
    told = f"{shown} {this.metrics[name]:.3g}, last run {with_.metrics[name]:.3g}"
    if name in with_.best:
        is_best = this.metrics[name] < with_.best[name]
        told += f" (the best of {with_.runs + 1})" if is_best else f" (best {with_.best[name]:.3g})"
    yield told


def _time(this: Run, with_: Comparison) -> Iterator[str]:
    if this.ran_for is None or with_.ran_for is None:
        return
    less = with_.ran_for - this.ran_for
    if abs(less) >= MINUTE and abs(less) > SAME * with_.ran_for:
        yield f"{spoken(abs(less))} {'faster' if less > 0 else 'slower'}"


def _tokens(this: Run, with_: Comparison) -> Iterator[str]:
    if not this.tokens or not with_.tokens:
        return
    part = (this.tokens - with_.tokens) / with_.tokens
    if abs(part) > SAME:
        yield f"{abs(part):.0%} {'more' if part > 0 else 'fewer'} tokens"
