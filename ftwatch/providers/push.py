"""Runs that have no API and tell of themselves: a laptop, Slurm, SkyPilot, TRL, Axolotl, by `curl`.

What is pushed to `/hooks/<name>` waits in a mailbox in the store; here it is looked at like any service.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from ftwatch.core.job import Snapshot
from ftwatch.core.rule import Rule, Silent
from ftwatch.plugins import (
    Duration,
    Hook,
    HookScheme,
    LogPage,
    Mailbox,
    NotFound,
    Page,
    ProviderError,
    ProviderSpec,
    Secret,
)
from ftwatch.wire import lenient, push

__all__ = ["Options", "Push"]

# How many runs stand on one page of the listing.
PAGE = 50


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: push` can be told.

    `token` is what runs send as `Authorization: Bearer …`; several may count at once, for a changeover. A run
    that has not ended and is not heard of for `expect_every` is an alert.
    """

    token: Secret | tuple[Secret, ...] | None = None
    expect_every: Duration | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        if self.expect_every is not None and self.expect_every.total_seconds() < 1:
            yield "expect_every", "should be at least 1s"


class Push:
    """The runs that push to one address."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[None] = None
    newest_first: ClassVar[bool] = True
    names_models: ClassVar[bool] = False
    # Nobody is asked over a network.
    rate: ClassVar[float] = 1000.0
    hook_scheme: ClassVar[HookScheme] = "bearer"
    hook_secret: ClassVar[str] = "token"

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        every: Duration | None = spec.options.expect_every
        self.rules: tuple[Rule, ...] = (Silent(every=every.total_seconds()),) if every is not None else ()

    @classmethod
    def hook(cls, body: bytes) -> Hook:
        """The runs that a push tells of."""
        return push.hook(body)

    @classmethod
    def merge(cls, before: bytes | None, told: Mapping[str, Any], now: float) -> bytes:
        """A run's document after a push."""
        return push.merged(before, told, now)

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """Some of the runs in the mailbox, the newest first."""
        found = await self._mailbox().documents(anchor, PAGE)
        more = found[-1][0] if len(found) == PAGE else None
        # Whole documents: what they tell of an end that nobody has looked at yet must not be lost.
        return msgspec.json.encode({"runs": [msgspec.Raw(raw) for _, raw in found], "next": more})

    async def retrieve(self, id: str) -> bytes:
        """One run's document."""
        raw = await self._mailbox().document(id)
        if raw is None:
            raise NotFound(id)
        return raw

    def _mailbox(self) -> Mailbox:
        mailbox: Mailbox | None = self._spec.mailbox
        if mailbox is None:
            raise ProviderError(
                "its runs tell of themselves, and only the daemon hears them: start `ftwatch run`"
            )
        return mailbox

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of one page."""
        entries, rest = lenient.parted(body, "runs")
        return Page(entries=tuple(entries), next=lenient.some(rest.get("next")))

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return push.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        spec = self._spec
        return push.read(raw, provider=spec.name, kind=spec.kind, labels=spec.labels)

    def inline(self, raw: bytes) -> LogPage:
        """The states, figures and checkpoints of a run."""
        return push.inline(raw)

    def heard_at(self, raw: bytes) -> float:
        """When a run was last heard of."""
        return push.heard_at(raw)
