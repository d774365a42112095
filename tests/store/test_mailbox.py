"""The mailboxes of runs without an API, and what came in by webhook: taken whole, or not at all."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.journal import Journal, Line
from ftwatch.core.known import Decision, Known
from ftwatch.store import Batch, Full, Receipt, Store

NOW = 1_795_000_000.0
DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ftwatch.db")
    yield store
    store.close()


def adding(word: bytes) -> Callable[[bytes | None], bytes]:
    """What makes a document of the one before and a word."""
    return lambda before: (before or b"") + word


def mail(
    store: Store, *told: tuple[str, bytes], at: float = NOW, id: str | None = None, to: str = "p"
) -> bool:
    letters = [(job, adding(word)) for job, word in told]
    return store.receive(Receipt(provider=to, id=id, type="push", mail=letters), at)


def know(store: Store, id: str, status: Status, *, forgotten: bool = False) -> None:
    job = Snapshot(id=id, provider="p", kind="push", status=status)
    known = Known(snapshot=job, status_since=NOW, forgotten=forgotten, ignored=forgotten)
    store.commit(Batch(decisions=[Decision(known=known)]), NOW)


def test_documents_follow_from_those_before(store: Store) -> None:
    assert store.inbound.document("p", "a") is None
    assert mail(store, ("a", b"1"), ("b", b"x"), ("a", b"2"))
    assert mail(store, ("a", b"3"))
    assert store.inbound.document("p", "a") == b"123"
    assert store.inbound.document("q", "a") is None


def test_a_message_that_was_taken_is_taken_no_second_time(store: Store) -> None:
    assert mail(store, ("a", b"1"), id="m1")
    assert not mail(store, ("a", b"1"), id="m1")
    assert mail(store, ("a", b"2"), id="m1", to="q")
    assert mail(store, ("a", b"3"))
    assert mail(store, ("a", b"3"))
    assert store.inbound.document("p", "a") == b"133"


def test_all_of_a_message_is_taken_or_nothing(store: Store) -> None:
    def broken(before: bytes | None) -> bytes:
        raise ValueError("no")

    letters = [("a", adding(b"1")), ("b", broken)]
    with pytest.raises(ValueError, match="no"):
        store.receive(Receipt(provider="p", id="m1", type="push", mail=letters), NOW)
    assert store.inbound.document("p", "a") is None
    assert mail(store, ("a", b"1"), id="m1"), "nor is it remembered"


def test_pages_begin_with_the_newest_and_stand_still_while_jobs_go_on(store: Store) -> None:
    for number in range(5):
        mail(store, (f"j{number}", b"1"))
    mail(store, ("j0", b"2"))
    first = store.inbound.documents("p", None, 2)
    assert first == [("j4", b"1"), ("j3", b"1")]
    mail(store, ("j9", b"1"), ("j1", b"2"))
    assert store.inbound.documents("p", "j3", 2) == [("j2", b"1"), ("j1", b"12")]
    assert store.inbound.documents("p", "j1", 2) == [("j0", b"12")]
    assert store.inbound.documents("p", "j0", 2) == []
    assert store.inbound.documents("p", "nobody", 2) == []


def test_of_what_was_forgotten_nothing_is_kept(store: Store) -> None:
    know(store, "a", Status.RUNNING, forgotten=True)
    assert mail(store, ("a", b"1"), ("b", b"1"))
    assert store.inbound.document("p", "a") is None
    assert store.inbound.document("p", "b") == b"1"


def test_a_full_disk_takes_nothing_new(store: Store) -> None:
    store.is_full = True
    with pytest.raises(Full, match="until it has room again"):
        mail(store, ("a", b"1"), id="m1")
    store.is_full = False
    assert store.inbound.document("p", "a") is None
    assert mail(store, ("a", b"1"), id="m1")


def test_old_documents_go_unless_their_jobs_go_on(store: Store) -> None:
    know(store, "ended", Status.FAILED)
    know(store, "goes-on", Status.RUNNING)
    mail(store, ("ended", b"1"), ("goes-on", b"1"), ("unmet", b"1"), id="m1")
    mail(store, ("spoken", b"1"), at=NOW + 50 * DAY)
    store.prune(NOW + 89 * DAY, 90 * DAY)
    assert len(store.inbound.documents("p", None, 10)) == 4
    assert mail(store, id="m1", at=NOW + 89 * DAY), "nobody repeats a message after a week"
    store.prune(NOW + 91 * DAY, 90 * DAY)
    assert [job for job, _ in store.inbound.documents("p", None, 10)] == ["spoken", "goes-on"]


def test_each_figure_is_kept_with_its_attempt(store: Store) -> None:
    def line(number: int, status: Status | None = None, loss: float | None = None) -> Line:
        metrics = {"train_loss": loss} if loss is not None else {}
        return Line(key=str(number), at=number, status=status, step=10, metrics=metrics)

    lived = (
        *(line(1, Status.RUNNING), line(2, loss=3.0), line(3, Status.FAILED)),
        *(line(4, Status.RUNNING), line(5, loss=2.0), line(6, Status.FAILED)),
        *(line(7, Status.RUNNING), line(8, loss=1.0)),
    )
    key = JobKey("p", "a")
    store.journals.add(key, 2, Journal(lines=lived), NOW)
    assert [store.journals.series(key, attempt) for attempt in range(3)] == [
        [(10, {"train_loss": loss})] for loss in (3.0, 2.0, 1.0)
    ]
    assert store.journals.series(key) == [(10, {"train_loss": 1.0})]
