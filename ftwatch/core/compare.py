"""How did it do against the last time? What a run is compared with, and what comes of that in a few words.

Two runs are of one recipe if their metadata say the same `recipe`, else if the base model is the same and the
name is, without the version at its end: `support-bot-v7` follows `support-bot-v6`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from msgspec import Struct, field

from ftwatch.core.event import Comparison
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.span import MINUTE, spoken

__all__ = ["LOSSES", "MOST", "Background", "Run", "compared", "recipe", "run_of", "versus"]

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


class Background(Struct, frozen=True, kw_only=True):
    """What the store knows of a job that ends: its `first` figures, and `earlier` runs of its recipe."""

    first: dict[str, float] = field(default_factory=dict)
    earlier: tuple[Run, ...] = ()


def recipe(job: Snapshot) -> str | None:
    """What two runs of one recipe have in common, None for a job that nothing is known to be like."""
    if said := job.metadata.get("recipe", "").strip():
        return f"recipe:{said[:200]}"
    name = (job.name or "")[:200].strip()
    stem = _stem(name)
    return f"{(job.model or '')[:200]}|{stem}" if stem else None


@lru_cache(maxsize=512)
def _stem(name: str) -> str:
    """A name without its version; asked for when a job ends and when it is stored, of a whole batch each."""
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
    now = job.finished_at
    others = [run for run in earlier if run.id != job.id][:MOST]
    before = [run for run in others if not (now and (run.finished_at or 0) > now)]
    if not before:
        return None
    last = max(before, key=lambda run: (run.finished_at or 0, run.id))
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
