"""Bugs to be planted: for each promise one way to break it, and what the harness must then find.

A harness that finds nothing in a broken ftwatch proves nothing about a whole one. `plant(name)` breaks this
process's ftwatch; nothing here is ever imported by it.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

__all__ = ["BUGS", "Bug", "plant"]


@dataclass(frozen=True)
class Bug:
    """One way to break a promise: which harness has to see it, under which heading of its verdict."""

    what: str
    harness: str
    seen_as: tuple[str, ...]
    plant: Callable[[], None]


def _told_before_sent() -> None:
    """As most rivals do: it counts as told once the attempt begins."""
    from ftwatch.core.delivery import RetryPolicy, Sent, settle
    from ftwatch.dispatcher.courier import Courier
    from ftwatch.store import Settled

    true = Courier.attempt

    async def early(self: Any, claim: Any, *args: Any) -> Any:
        done = settle(claim.delivery, Sent(), RetryPolicy(), self._clock.now(), 0.5)
        self._store.settle(
            [Settled(claim=claim, settlement=done, outcome="sent", at=self._clock.now(), took=0.0)],
            None,
            self._clock.now(),
        )
        return await true(self, claim, *args)

    Courier.attempt = early  # type: ignore[method-assign]


def _retried_in_memory() -> None:
    """What failed is put on a list of this process, and taken off the database."""
    from ftwatch.core.delivery import State
    from ftwatch.dispatcher import claims

    true = claims.settle

    def forgetful(*args: Any, **more: Any) -> Any:
        done = true(*args, **more)
        return replace(done, state=State.DELIVERED) if done.state is State.PENDING else done

    claims.settle = forgetful  # type: ignore[attr-defined]


def _two_transactions() -> None:
    """The job is committed first, and then what follows from it."""
    from ftwatch.store import Batch, Store

    true = Store.commit

    def halved(self: Any, batch: Any, now: float) -> Any:
        bare = [replace(decision, events=(), deliveries=(), verdicts=()) for decision in batch.decisions]
        lost = true(self, Batch(decisions=bare), now)
        with self.db.transaction():
            self._record(batch.decisions, now)
        true(self, Batch(announcements=batch.announcements), now)
        return lost

    Store.commit = halved  # type: ignore[method-assign]


def _sent_before_committed() -> None:
    """A decision is handed to the receivers while its commit is still under way."""
    from ftwatch.store import Store

    true = Store.commit

    def eager(self: Any, batch: Any, now: float) -> Any:
        for decision in batch.decisions:
            for event in decision.events:
                for receiver in Store.receivers:  # type: ignore[attr-defined]
                    receiver.took.append((event.id, event, "early"))
        return true(self, batch, now)

    Store.commit = eager  # type: ignore[method-assign]


def _id_at_sending() -> None:
    """An id is made when it is needed, and not remembered."""
    from ftwatch.dispatcher.courier import Courier

    true = Courier.attempt

    async def anew(self: Any, claim: Any, events: Any, *args: Any) -> Any:
        fresh = [replace(event, id=f"evt_{uuid.uuid4().hex}") for event in events]
        return await true(self, claim, fresh, *args)

    Courier.attempt = anew  # type: ignore[method-assign]


def _rendered_anew() -> None:
    """Every attempt writes its own bytes."""
    from ftwatch.core.event import decode, encode
    from ftwatch.dispatcher.courier import Courier

    async def thaw(self: Any, claims: Any) -> Any:
        now, events = int(self._clock.now()), {claim.seq: decode(claim.event) for claim in claims}
        return {
            number: encode(replace(event, data=replace(event.data, observed_at=now)))
            for number, event in events.items()
        }

    Courier.freeze = thaw  # type: ignore[method-assign]


def _no_lanes() -> None:
    """Whatever is due leaves, whoever stands before it."""
    from ftwatch.store import outbox

    outbox._HEAD = ":passing = :passing"


def _list_believed() -> None:
    """A listing is believed like a retrieve, although it may lag."""
    from ftwatch.core import decide
    from ftwatch.poller import Poller

    true = Poller.__init__

    def trusting(self: Any, config: Any, provider: Any, *args: Any, **more: Any) -> None:
        provider.list_is_truth = True
        true(self, config, provider, *args, **more)

    Poller.__init__ = trusting  # type: ignore[method-assign]
    decide._is_forward = lambda old, new: True


def _numbers_from_memory() -> None:
    """The count of a job's events lives as long as the process."""
    from ftwatch.store.jobs import Jobs

    true = Jobs.active

    def forgetful(self: Any, provider: str) -> Any:
        with self._db.transaction():
            self.swap([replace(known, sequence=0) for known in true(self, provider).values()], 0.0)
        return true(self, provider)

    Jobs.active = forgetful  # type: ignore[method-assign]


def _times_left_alone() -> None:
    """When the clock is set, what waits keeps its times."""
    from ftwatch.store.outbox import Outbox

    Outbox.shift = lambda self, seconds: 0  # type: ignore[method-assign]


def _synced_sometimes() -> None:
    """A commit is acknowledged before it is on the disk (`synchronous = NORMAL`)."""
    import ftwatch.store

    ftwatch.store.Database.synchronous = "NORMAL"  # type: ignore[attr-defined]
    # What is made durable again after a claim is not, either.
    ftwatch.store.Database._unsynced = lambda self: nullcontext()  # type: ignore[method-assign]


def _late_lines_told() -> None:
    """What a job's log says late is told as if it had just happened."""
    from ftwatch.core.decide import logged

    logged._is_past = lambda *about, **more: False


def _no_ballast() -> None:
    """No room is kept for a full disk."""
    from ftwatch.store.place import Room

    Room.keep = lambda self: True  # type: ignore[method-assign]
    Room.is_short = property(lambda self: False)  # type: ignore[assignment,method-assign]


def _commit_without_transaction() -> None:
    """Every statement is its own transaction."""
    from ftwatch.store.sqlite import Database

    @contextmanager
    def nothing(self: Any, *, durable: bool = True) -> Iterator[None]:
        yield

    Database.transaction = nothing  # type: ignore[method-assign,assignment]


def _answered_first() -> None:
    """A webhook is answered at once, and kept when the next one comes."""
    from ftwatch.store import Receipt, Store

    true, waiting = Store.receive, list[tuple[Receipt, float]]()

    def later(self: Store, receipt: Receipt, now: float) -> bool:
        waiting.append((receipt, now))
        return true(self, *waiting.pop(0)) if len(waiting) > 1 else True

    Store.receive = later  # type: ignore[method-assign]


def _webhooks_forgotten() -> None:
    """Each time that a webhook comes it is another event."""
    from ftwatch.store.inbound import Inbound
    from ftwatch.web import hooks

    true = hooks.announce.relayed

    def another(provider: str, kind: str, id: str, *args: Any, **more: Any) -> Any:
        return true(provider, kind, uuid.uuid4().hex, *args, **more)

    Inbound.take = lambda *_: True  # type: ignore[method-assign]
    hooks.announce.relayed = another  # type: ignore[attr-defined]


BUGS: dict[str, Bug] = {
    "told-before-sent": Bug("marked as told before it is sent", "simulate", ("lost",), _told_before_sent),
    "retried-in-memory": Bug("retries live in memory", "simulate", ("lost",), _retried_in_memory),
    "two-transactions": Bug(
        "job and events commit one after another", "simulate", ("lost",), _two_transactions
    ),
    "autocommit": Bug("no transaction at all", "simulate", ("lost",), _commit_without_transaction),
    "sent-before-committed": Bug(
        "sent before it is committed", "simulate", ("phantom", "two_bodies"), _sent_before_committed
    ),
    "id-at-sending": Bug("the id is made at sending", "simulate", ("phantom",), _id_at_sending),
    "rendered-anew": Bug("every attempt renders its own bytes", "simulate", ("two_bodies",), _rendered_anew),
    "no-lanes": Bug("no order within a job", "simulate", ("disordered",), _no_lanes),
    "list-believed": Bug("a lagging list is believed", "simulate", ("phantom",), _list_believed),
    "numbers-from-memory": Bug(
        "sequence is not stored", "simulate", ("lost", "disordered"), _numbers_from_memory
    ),
    "times-left-alone": Bug(
        "due times ignore that the clock was set", "simulate", ("lost", "late"), _times_left_alone
    ),
    "synced-sometimes": Bug("acknowledged before it is durable", "powercut", ("unkept",), _synced_sometimes),
    "late-lines-told": Bug("a log's late lines are news", "logs", ("phantom",), _late_lines_told),
    "answered-first": Bug("a webhook is answered before it is kept", "hooks", ("lost",), _answered_first),
    "webhooks-forgotten": Bug(
        "a webhook that is repeated is another one", "hooks", ("doubled",), _webhooks_forgotten
    ),
    "no-ballast": Bug("no room kept for a full disk", "full", ("problems", "lost"), _no_ballast),
}


def plant(name: str) -> None:
    """Breaks this process's ftwatch."""
    BUGS[name].plant()
