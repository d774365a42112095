"""A provider of the barest kind, which is a few lists in memory, and a poller over it."""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pytest

from ftwatch.config import ProviderConfig
from ftwatch.core.job import Snapshot, Status
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.rule import Rule, Stuck
from ftwatch.plugins import NotFound, Page, ProviderError, Unreadable
from ftwatch.poller import Poller
from ftwatch.store import Store, inline

ROUTING = Routing(recipients=(Recipient(name="slack", kind="slack"),))


@dataclass
class Account:
    """A provider of the barest kind: a listing (newest first) and the jobs themselves."""

    list_is_truth: bool = False
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    listed: list[str] | None = None
    stale: dict[str, dict[str, Any]] = field(default_factory=dict)
    page_size: int = 3
    asked: list[str] = field(default_factory=list)
    failing: ProviderError | None = None
    split_pages: int = 0

    def put(self, id: str, status: Status = Status.RUNNING, **more: Any) -> None:
        if id in self.jobs:
            self.jobs[id] = {**self.jobs[id], "status": status, **more}
        else:
            self.jobs = {id: {"id": id, "status": status, **more}, **self.jobs}

    async def page(self, anchor: str | None) -> bytes:
        self.asked.append(f"page {anchor or ''}".strip())
        if self.failing:
            raise self.failing
        ids = list(self.jobs) if self.listed is None else self.listed
        if anchor is not None:
            if anchor not in ids:
                raise ProviderError("no such anchor", missing=True)
            ids = ids[ids.index(anchor) + 1 :]
        entries = [self.stale.get(id) or self.jobs[id] for id in ids[: self.page_size]]
        return json.dumps({"data": entries, "more": len(ids) > self.page_size}).encode()

    def split(self, body: bytes) -> Page:
        self.split_pages += 1
        document = json.loads(body)
        entries = tuple(json.dumps(entry).encode() for entry in document["data"])
        return Page(entries=entries, next=document["data"][-1]["id"] if document["more"] else None)

    async def retrieve(self, id: str) -> bytes:
        self.asked.append(id)
        if self.failing:
            raise self.failing
        if id not in self.jobs:
            raise NotFound
        return json.dumps(self.jobs[id]).encode()

    def identify(self, raw: bytes) -> str:
        return str(self._entry(raw)["id"])

    def read(self, raw: bytes) -> Snapshot:
        entry = self._entry(raw)
        known = {"model": "m", "fine_tuned_model": "ft:m" if entry["status"] == "succeeded" else None}
        return Snapshot(provider="p", kind="toy", **{**known, **entry, "status": Status(entry["status"])})

    def _entry(self, raw: bytes) -> dict[str, Any]:
        entry = json.loads(raw)
        if not isinstance(entry, dict) or "id" not in entry:
            raise Unreadable("an entry without an id")
        return entry


class Watch:
    """A poller over an account, with what it told so far."""

    def __init__(
        self, store: Store, clock: Any, account: Account, rules: tuple[Rule, ...] = (Stuck(),), **config: Any
    ) -> None:
        self.store, self.clock, self.account = store, clock, account
        self.seq = store.history.last_seq()
        self.rings: list[set[str]] = []
        self.poller = Poller(
            ProviderConfig(name="p", kind="toy", labels={}, options=None, **config),
            account,  # type: ignore[arg-type]
            store,
            inline,
            routing=ROUTING,
            rules=rules,
            clock=clock,
            bell=self._ring,
        )

    def _ring(self, owed: Collection[str]) -> None:
        self.rings.append(set(owed))

    async def round(self, after: float = 0.0) -> list[str]:
        """Lets time pass, polls until nothing is due, and says what was told: "type job"."""
        self.clock.time += after
        for _ in range(1000):
            if not await self.poller.poll_once():
                break
        else:
            pytest.fail("the poller never rests")
        found = self.store.history.events(after=self.seq, limit=1000)
        self.seq = self.store.history.last_seq()
        return [f"{event.type.removeprefix('fine_tuning.')} {event.data.id}" for _, event in found]
