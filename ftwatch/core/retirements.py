"""When does a model stop answering? What vendors have published about the ends of fine-tuned models.

A job's history outlives its model. Where a service tells the ends itself (`Facts.ends`), that counts; this
table is for the others, and for the time before the first answer. Every row says who wrote it where, and when
that was read. A row holds only for the kinds it names: two services may serve one base model, and end it on
different days.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase

from msgspec import Struct

from ftwatch.core.job import Snapshot

__all__ = ["TABLE", "End", "Retirement", "end_of"]


class Retirement(Struct, frozen=True, kw_only=True):
    """One published end: from the beginning of `end` (UTC) no model of this sort answers any more.

    `model` is what people call the base model ("" for all of a service), `base` are globs of its names,
    `tuned` is a glob that the fine-tuned model's own name matches as well.
    """

    kinds: tuple[str, ...]
    model: str
    base: tuple[str, ...]
    tuned: str = "*"
    end: date
    source: str
    read: date


class End(Struct, frozen=True):
    """When a model stops answering (Unix seconds), and the base model that takes it along, if one does."""

    at: int
    base: str | None = None


def _dated(*models: str) -> tuple[str, ...]:
    """Globs of models and their dated snapshots, which are not those of their smaller siblings."""
    return tuple(glob for model in models for glob in (model, f"{model}-[0-9]*"))


def _openai(model: str, end: date) -> Retirement:
    # The kind `openai` also stands for servers that only speak like it; OpenAI's own models are called ft:….
    return Retirement(
        kinds=("openai",),
        model=model,
        base=_dated(model),
        tuned="ft:*",
        end=end,
        source="OpenAI, Deprecations (https://developers.openai.com/api/docs/deprecations): shutdown dates "
        "of base models; their fine-tuned versions follow the same schedule",
        read=date(2026, 11, 26),
    )


def _azure(model: str, end: date) -> Retirement:
    return Retirement(
        kinds=("azure",),
        model=model,
        base=_dated(model),
        end=end,
        source="Microsoft, Model retirement schedule "
        "(https://learn.microsoft.com/azure/foundry/openai/concepts/model-retirement-schedule): "
        "deployment retirement of fine-tuned models, a year after that of their base",
        read=date(2026, 11, 26),
    )


TABLE: tuple[Retirement, ...] = (
    _openai("gpt-3.5-turbo", date(2026, 10, 23)),
    _openai("gpt-4.1-nano", date(2026, 10, 23)),
    _openai("o4-mini", date(2026, 10, 23)),
    _openai("gpt-4o", date(2027, 1, 14)),
    _openai("gpt-4o-mini", date(2027, 1, 14)),
    _openai("gpt-4.1", date(2027, 1, 14)),
    _openai("gpt-4.1-mini", date(2027, 1, 14)),
    _azure("gpt-4o", date(2027, 10, 1)),
    _azure("gpt-4o-mini", date(2027, 10, 1)),
    _azure("gpt-4.1", date(2027, 10, 14)),
    _azure("gpt-4.1-mini", date(2027, 10, 14)),
    _azure("gpt-4.1-nano", date(2027, 10, 14)),
    _azure("o4-mini", date(2027, 10, 16)),
    Retirement(
        kinds=("vertex",),
        model="Gemini 2.5",
        base=("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"),
        end=date(2026, 10, 17),
        source="Google Cloud, Model versions "
        "(https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/model-versions): the last "
        "day is 2026-10-16 or later; a tuned model ends with its base",
        read=date(2026, 11, 26),
    ),
    Retirement(
        kinds=("cohere",),
        model="",
        base=("*",),
        end=date(2025, 9, 15),
        source="Cohere, release note "
        "(https://docs.cohere.com/changelog/2025-09-15-major-command-deprecations): fine-tuning is retired, "
        "fine-tuned models are no longer accessible",
        read=date(2026, 11, 26),
    ),
)


def end_of(job: Snapshot, ends: Mapping[str, int]) -> End | None:
    """When the job's fine-tuned model stops answering, as far as anybody said. None without a model.

    `ends` is the service's own word, by the names of fine-tuned or base models; it beats the table.
    """
    tuned = job.fine_tuned_model
    if not tuned:
        return None
    if tuned in ends:
        return End(ends[tuned])
    base = _base(job.model or tuned)
    for name in (job.model, base):
        if name and name in ends:
            return End(ends[name], name)
    for row in TABLE:
        if job.kind in row.kinds and fnmatchcase(tuned, row.tuned) and _is_among(base, row.base):
            midnight = datetime(row.end.year, row.end.month, row.end.day, tzinfo=UTC)
            return End(int(midnight.timestamp()), row.model or None)
    return None


def _is_among(base: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(base, glob) for glob in globs)


_TUNED = re.compile(r"ft:([^:]+)(?::|$)|(.+)\.ft-")


def _base(model: str) -> str:
    """The base of a model that may itself be a tuned one (OpenAI: ft:BASE:…, Azure: BASE.ft-…) or a path."""
    found = _TUNED.match(model)
    name = (found[1] or found[2]) if found else model
    return name.rpartition("/")[2]
