"""Forgetting what is known of people: a job, or all of a provider, with everything that was told of it.

Only here rows are deleted that are not yet over; within the caller's transaction.
"""

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ftwatch.core import event as events
from ftwatch.core.delivery import REPLAYED
from ftwatch.core.event import decode
from ftwatch.core.job import JobKey, Snapshot
from ftwatch.core.known import Known
from ftwatch.store.acks import forget_acks
from ftwatch.store.inbound import forget_inbound
from ftwatch.store.journal import forget_journal
from ftwatch.store.silences import forget_silences
from ftwatch.store.sqlite import Database

__all__ = ["Forgotten", "forget_job", "forget_provider"]

_decode_known = msgspec.json.Decoder(Known).decode
_encode = msgspec.json.Encoder().encode


class Forgotten(Struct, frozen=True, kw_only=True):
    """How much went: jobs, events, deliveries, and how many of these were still to be sent."""

    jobs: int = 0
    events: int = 0
    deliveries: int = 0
    pending: int = 0


def forget_job(db: Database, key: JobKey) -> Forgotten:
    """Removes all that is known of a job but its identity: id, status, and its place in the order of events.

    So it is not taken for a new one when its provider lists it again; it is not looked at any more.
    """
    row = db.row("SELECT version, known FROM jobs WHERE provider = ? AND id = ?", *key)
    if row is None:
        return Forgotten()
    known = _decode_known(row[1])
    was = known.snapshot
    bare = Snapshot(
        id=was.id, provider=was.provider, kind=was.kind, status=was.status, created_at=was.created_at
    )
    kept = replace(
        known,
        snapshot=bare,
        ignored=True,
        forgotten=True,
        missing_at=None,
        held=None,
        held_at=None,
        alerts={},
        told=(),
        ack=None,
        wake_at=None,
        states=(),
        arrival=None,
        unproved=(),
        metrics={},
        filled=(),
    )
    titles = _titles(db, key) | {was.title}
    gone = _forget_events(db, "provider = ? AND job = ?", *key)
    _forget_deaths(db, titles)
    _forget_lane(db, str(key))
    forget_journal(db, "provider = ? AND job = ?", *key)
    forget_inbound(db, *key)
    forget_acks(db, "provider = ? AND job = ?", *key)
    forget_silences(db, *key)
    db.execute(
        "UPDATE jobs SET name = NULL, recipe = NULL, active = 0, ignored = 1, wake_at = NULL, known = ?,"
        " version = version + 1 WHERE provider = ? AND id = ?",
        _encode(kept),
        *key,
    )
    return replace(gone, jobs=1)


def forget_provider(db: Database, name: str) -> Forgotten:
    """Removes a provider with all of its jobs: should it come back, everything begins anew."""
    titles: set[str] = set()
    for (id,) in db.rows("SELECT id FROM jobs WHERE provider = ?", name):
        titles |= _titles(db, JobKey(name, id)) | {id}
        _forget_lane(db, str(JobKey(name, id)))
    _forget_lane(db, f"ftwatch.provider:{name}")
    gone = _forget_events(db, "provider = ?", name)
    _forget_deaths(db, titles)
    forget_journal(db, "provider = ?", name)
    forget_inbound(db, name)
    forget_acks(db, "provider = ?", name)
    forget_silences(db, name)
    jobs = db.execute("DELETE FROM jobs WHERE provider = ?", name)
    db.execute("DELETE FROM providers WHERE name = ?", name)
    return replace(gone, jobs=jobs)


def _titles(db: Database, key: JobKey) -> set[str]:
    """Every name that a job was told under."""
    found = set()
    for (body,) in db.rows("SELECT body FROM events WHERE provider = ? AND job = ?", *key):
        job = decode(body).job
        if job is not None:
            found.add(job.title)
    return found


def _forget_events(db: Database, where: str, *values: str) -> Forgotten:
    events, deliveries, pending = 0, 0, 0
    for (id,) in db.rows(f"SELECT id FROM events WHERE {where}", *values):
        for delivery, state in db.rows("SELECT seq, state FROM deliveries WHERE event_id = ?", id):
            db.execute("DELETE FROM attempts WHERE delivery = ?", delivery)
            pending += state == "pending"
        deliveries += db.execute("DELETE FROM deliveries WHERE event_id = ?", id)
        db.execute("DELETE FROM verdicts WHERE event_id = ?", id)
        events += db.execute("DELETE FROM events WHERE id = ?", id)
    return Forgotten(events=events, deliveries=deliveries, pending=pending)


def _forget_deaths(db: Database, titles: set[str]) -> None:
    """Events about dead letters name the job in a sentence of their own."""
    for id, body in db.rows("SELECT id, body FROM events WHERE type = ?", events.DEAD):
        note = decode(body).note or ""
        if any(f" of {title} did not arrive" in note for title in titles):
            _forget_events(db, "id = ?", id)


def _forget_lane(db: Database, lane: str) -> None:
    db.execute("DELETE FROM memory WHERE lane IN (?, ?)", lane, lane + REPLAYED)
    db.execute("DELETE FROM reminders WHERE lane = ?", lane)
