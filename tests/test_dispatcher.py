"""The dispatcher against a notifier that answers what it is told to: order, retries, death, claims."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from msgspec.structs import replace

from ftwatch.config import NotifierConfig
from ftwatch.core import announce
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Rejected, Retry, RetryPolicy, Sent, settle
from ftwatch.core.event import Event, decode, encode
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.route import Recipient, Route, Routing, Silence, parse_match
from ftwatch.dispatcher import Dispatcher, claims
from ftwatch.plugins import Memory, Result
from ftwatch.store import Batch, Settled, Store, inline

ROUTING = Routing(
    recipients=(Recipient(name="pipe", kind="toy", audience="machines"), Recipient(name="boss", kind="toy"))
)
Answer = Callable[[Event], Any]


class Toy:
    """A notifier that records what it is given and answers by `answer`."""

    def __init__(self) -> None:
        self.timeout = 5.0
        self.concurrency = 6
        self.seen: list[tuple[str, str, bytes | None]] = []
        self.memories: list[Memory] = []
        self.answer: Answer = lambda event: Sent("ok")
        self.memory: Memory | None = None
        self.under_way = self.most_at_once = 0

    def freeze(self, event: Event) -> bytes | None:
        return encode(event)

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await anyio.lowlevel.checkpoint()
            (event,) = events
            self.seen.append((event.data.id, event.type.rpartition(".")[2], body))
            self.memories.append(memory)
            outcome = self.answer(event)
            return Result(await outcome if hasattr(outcome, "__await__") else outcome, self.memory)
        finally:
            self.under_way -= 1

    @property
    def told(self) -> list[str]:
        return [f"{job} {what}" for job, what, _ in self.seen]


class Poster(Toy):
    """One that sends the wire form, and need not know what it says."""

    sends_wire = True
    marks_replays = True

    def __init__(self) -> None:
        super().__init__()
        self.posts = True
        self.posted: list[tuple[str, bytes, bool]] = []

    def freeze(self, event: Event) -> bytes | None:
        raise AssertionError("it is not asked")

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        manual: bool = False,
    ) -> Result:
        return await super().send(events, memory, body=body)

    async def post(self, id: str, body: bytes, *, manual: bool = False) -> Result:
        self.posted.append((id, body, manual))
        return await super().send([decode(body)], {}, body=body)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ftwatch.db")
    yield store
    store.close()


class Bench:
    """A store to put transitions in, and the dispatcher of `pipe` over it."""

    def __init__(self, store: Store, clock: Any, toy: Toy, remark: Any = None, **retry: Any) -> None:
        self.store, self.clock, self.toy = store, clock, toy
        self.known: dict[str, Known] = {}
        self.asked = 0
        config = NotifierConfig(name="pipe", kind="toy", options=None, retry=RetryPolicy(jitter=0, **retry))
        self.dispatcher = Dispatcher(
            config, toy, store, inline, routing=ROUTING, clock=clock, bell=lambda owed: None, remark=remark
        )

    def happen(self, job: str, *statuses: Status) -> None:
        """Commits what looks at a job with these statuses, one after another, lead to."""
        for status in statuses:
            self.asked += 1
            model = "ft:m" if status is Status.SUCCEEDED else None
            snapshot = Snapshot(id=job, provider="p", kind="toy", status=status, fine_tuned_model=model)
            now = self.clock.now()
            look = Look(key=JobKey("p", job), asked=self.asked, at=now, snapshot=snapshot)
            decision = decide(self.known.get(job), look, Policy(routing=ROUTING), now)
            assert not self.store.commit(Batch(decisions=[decision]), now)
            self.known.update(self.store.jobs.load("p", [job]))

    async def round(self, after: float = 0.0) -> None:
        """Lets time pass, and delivers until nothing more is due."""
        self.clock.time += after
        for _ in range(100):
            if not await self.dispatcher.dispatch_once():
                return
        pytest.fail("the dispatcher never rests")

    def states(self, notifier: str = "pipe") -> list[str]:
        return [d.state for d in reversed(self.store.history.deliveries(notifier=notifier))]


LIFE = (Status.QUEUED, Status.RUNNING, Status.SUCCEEDED)


async def test_everything_arrives_in_order_and_is_settled(store: Store, clock: Any) -> None:
    bench = Bench(store, clock, Toy())
    for job in ("a", "b", "c"):
        bench.happen(job, *LIFE)
    await bench.round()
    for job in ("a", "b", "c"):
        assert [what for id, what, _ in bench.toy.seen if id == job] == ["created", "running", "succeeded"]
    assert set(bench.states()) == {"delivered"}
    letter = store.history.deliveries(notifier="pipe")[-1]
    assert bench.toy.most_at_once > 1, "lanes are served side by side"
    assert [a.outcome for a in store.history.attempts(letter.id)] == ["sent"]


async def test_a_failed_head_holds_its_lane_and_no_other(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("HTTP 500") if event.data.id == "a" else Sent()
    bench = Bench(store, clock, toy)
    bench.happen("a", *LIFE)
    bench.happen("b", *LIFE)
    await bench.round()
    assert toy.told.count("a created") == 1
    assert "a running" not in toy.told
    assert "b succeeded" in toy.told
    toy.answer = lambda event: Sent()
    toy.seen.clear()
    await bench.round(after=6)
    assert toy.told == ["a created", "a running", "a succeeded"]


async def test_every_try_sends_the_same_bytes(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("HTTP 500")
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    for _ in range(3):
        await bench.round(after=1000)
    bodies = {body for _, _, body in toy.seen}
    assert len(toy.seen) == 3
    assert bodies == {encode(store.history.events()[0][1])}


async def test_bytes_of_a_notifiers_own_are_stored_before_the_first_try(store: Store, clock: Any) -> None:
    toy = Toy()
    counter = iter(range(100))
    toy.freeze = lambda event: f"draft {next(counter)}".encode()  # type: ignore[method-assign]
    toy.answer = lambda event: Retry("HTTP 500")
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    for _ in range(3):
        await bench.round(after=1000)
    assert [body for _, _, body in toy.seen] == [b"draft 0"] * 3


async def test_the_wire_form_is_posted_as_it_was_committed(store: Store, clock: Any) -> None:
    toy = Poster()
    bench = Bench(store, clock, toy)
    bench.happen("a", *LIFE)
    await bench.round()
    letters = list(reversed(store.history.deliveries(notifier="pipe")))
    kept = [encode(event) for _, event in store.history.events()]
    assert toy.posted == [(one.id, body, False) for one, body in zip(letters, kept, strict=True)]
    assert bench.states() == ["delivered"] * 3
    store.outbox.replay("pipe", 0.0, clock.now())
    await bench.round()
    assert toy.posted[3:] == [(one.id, body, True) for one, body in zip(letters, kept, strict=True)]


async def test_who_sends_the_wire_form_and_does_not_post_it_is_given_the_event(
    store: Store, clock: Any
) -> None:
    toy = Poster()
    toy.posts = False
    bench = Bench(store, clock, toy)
    bench.happen("a", *LIFE)
    await bench.round()
    assert toy.posted == []
    assert [body for _, _, body in toy.seen] == [encode(event) for _, event in store.history.events()]


async def test_what_was_frozen_under_another_config_is_not_posted(store: Store, clock: Any) -> None:
    before = Toy()
    before.freeze = lambda event: b"a form of its own"  # type: ignore[method-assign]
    before.answer = lambda event: Retry("HTTP 500")
    bench = Bench(store, clock, before)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    after = Poster()
    bench = Bench(store, clock, after)
    await bench.round(after=60)
    assert after.posted == []
    assert [body for _, _, body in after.seen] == [b"a form of its own"], "the notifier knows what to do"


async def test_a_posting_notifier_that_raises_is_survived(store: Store, clock: Any) -> None:
    toy = Poster()

    def bug(event: Event) -> None:
        raise KeyError("token=hunter2")

    toy.answer = bug
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    assert store.history.deliveries()[-1].reason == "KeyError in the code of 'toy'"


@pytest.mark.parametrize("posts", [True, False])
async def test_a_notifier_that_answers_nothing_is_survived(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch, *, posts: bool
) -> None:
    async def nothing(*about: Any, **more: Any) -> None:
        return None

    toy = Poster()
    toy.posts = posts
    monkeypatch.setattr(toy, "post" if posts else "send", nothing)
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    assert store.history.deliveries()[-1].reason == "AttributeError in the code of 'toy'"


async def test_why_a_message_is_not_in_the_configs_words_stands_with_its_delivery(
    store: Store, clock: Any
) -> None:
    said = "in the plain form, since template.title: there is no 'x' here"
    bench = Bench(store, clock, Toy(), remark=lambda event: said if event.status is Status.RUNNING else "")
    bench.happen("a", Status.QUEUED, Status.RUNNING)
    await bench.round()
    queued, running = reversed(store.history.deliveries(notifier="pipe"))
    assert running.reason.endswith(said)
    assert "plain form" not in queued.reason
    assert store.history.attempts(running.id)[0].reason == running.reason


async def test_a_claim_is_nobody_elses(store: Store, clock: Any) -> None:
    bench = Bench(store, clock, Toy())
    bench.happen("a", *LIFE)
    (claim,) = store.outbox.due("pipe", clock.now(), limit=9, lease=60)
    await bench.round()
    assert bench.toy.told == []
    clock.time += 61
    await bench.round()
    assert bench.toy.told == ["a created", "a running", "a succeeded"]
    assert claim.epoch == 1, "and its holder is too late to settle it"
    assert store.history.deliveries(notifier="pipe")[-1].state == "delivered"


async def test_a_crash_after_sending_sends_again_with_the_same_id(store: Store, clock: Any) -> None:
    bench = Bench(store, clock, Toy())
    bench.happen("a", Status.QUEUED)
    store.outbox.due("pipe", clock.now(), limit=9, lease=600)  # sent, and then the power went
    store.outbox.release()
    await bench.round()
    assert bench.toy.told == ["a created"]


async def test_a_rejected_head_lets_the_others_pass_after_two_minutes(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Rejected("HTTP 422") if event.type.endswith("created") else Sent()
    bench = Bench(store, clock, toy)
    bench.happen("a", *LIFE)
    await bench.round()
    await bench.round(after=60)
    assert "a running" not in toy.told
    await bench.round(after=61)
    assert toy.told[-2:] == ["a running", "a succeeded"]


async def test_what_somebody_silenced_counts_for_dead_letters_too(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Rejected("HTTP 400: no", final=True)
    bench = Bench(store, clock, toy)
    made = Silence(match=parse_match("type=ftwatch.delivery.*"), comment="known", author="anna", id="sil_1")
    bench.happen("a", Status.QUEUED)
    store.silences.add(made, clock.now())
    await bench.round()
    store.silences.expire([made.id], clock.now())
    bench.happen("b", Status.QUEUED)
    await bench.round()
    first, second = [event.id for _, event in store.history.events(type="ftwatch.delivery.dead")]
    assert ("boss", "silenced by known (sil_1, by anna)") in store.history.verdicts(first)
    assert [d.notifier for d in store.history.deliveries(event=first)] == []
    assert [d.notifier for d in store.history.deliveries(event=second)] == ["boss"]


async def test_a_dead_letter_is_kept_and_told_elsewhere(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Rejected("HTTP 400: no", final=True)
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    dead = store.history.events(type="ftwatch.delivery.dead")
    assert [event.data.id for _, event in dead] == ["pipe"]
    assert dead[0][1].note == "fine_tuning.job.created of a did not arrive after one try: HTTP 400: no"
    assert [d.notifier for d in store.history.deliveries(event=dead[0][1].id)] == ["boss"]
    (letter,) = store.history.deliveries(state="dead")
    toy.answer = lambda event: Sent()
    assert store.outbox.retry([letter.id], clock.now()) == [letter.id]
    await bench.round()
    assert bench.states() == ["delivered"]


async def test_a_replay_sends_the_same_bytes_again_and_holds_up_nothing_new(store: Store, clock: Any) -> None:
    toy = Toy()
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED, Status.RUNNING)
    await bench.round()
    first = list(toy.seen)
    assert store.outbox.replay("pipe", clock.now() + 1, clock.now()) == 0
    assert store.outbox.replay("pipe", clock.now() - 60, clock.now(), dead=True) == 0
    assert store.outbox.replay("pipe", clock.now() - 60, clock.now()) == 2
    toy.answer = lambda event: Retry("HTTP 500") if event.type.endswith("created") else Sent()
    bench.happen("a", Status.FAILED)
    toy.seen.clear()
    await bench.round()
    assert sorted(toy.told) == ["a created", "a failed"], "what is new does not wait for what is replayed"
    toy.answer = lambda event: Sent()
    await bench.round(after=10)
    assert toy.seen[-2:] == first
    assert set(bench.states()) == {"delivered"}


async def test_an_unreachable_receiver_is_probed_and_its_backlog_comes_when_it_is_back(
    store: Store, clock: Any
) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("connection refused", unreachable=True)
    bench = Bench(store, clock, toy)
    for number in range(12):
        bench.happen(f"j{number}", Status.QUEUED)
    for _ in range(10):
        await bench.round(after=1)
    tried = len(toy.seen)
    assert tried < 12, "the breaker keeps the others back"
    await bench.round(after=31)
    assert len(toy.seen) == tried + 1, "one probe"
    toy.answer = lambda event: Sent()
    toy.seen.clear()
    await bench.round(after=31)
    await bench.round(after=1)
    assert sorted(toy.told) == sorted(f"j{number} created" for number in range(12))
    assert all(d.attempts <= 5 for d in store.history.deliveries(notifier="pipe"))


async def test_a_receiver_that_wants_no_more_is_left_alone_and_somebody_is_told(
    store: Store, clock: Any
) -> None:
    toy = Toy()
    toy.answer = lambda event: Rejected("HTTP 410", disable=True)
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    # Once may be a slip of whoever deploys there.
    assert store.outbox.disabled("pipe") is None
    await bench.round(after=30)
    assert toy.told == ["a created"]
    await bench.round(after=40)
    bench.happen("a", Status.RUNNING)
    await bench.round(after=9000)
    assert toy.told == ["a created", "a created"]
    assert store.outbox.disabled("pipe") == "HTTP 410"
    assert store.history.events(type="ftwatch.notifier.disabled")
    (dead,) = store.history.deliveries(state="dead", notifier="pipe")
    assert dead.reason == "HTTP 410"


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Rejected("HTTP 500; it asked for no more", final=True, disable=True), "dead"),
        (Sent("HTTP 200, and it asked for no more", disable=True), "delivered"),
    ],
)
async def test_a_receiver_that_asks_for_no_more_is_believed_at_once(
    store: Store, clock: Any, answer: Any, state: str
) -> None:
    toy = Toy()
    toy.answer = lambda event: answer
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED, Status.RUNNING)
    await bench.round(after=9000)
    assert toy.told == ["a created"]
    assert str(store.outbox.disabled("pipe")).endswith("it asked for no more")
    assert [one.state for one in store.history.deliveries(notifier="pipe")] == ["pending", state]


class Chat(Toy):
    """One that can tell several things at once; `letters` are what it was given each time."""

    folds = 4

    def __init__(self) -> None:
        super().__init__()
        self.concurrency = 1
        self.letters: list[list[str]] = []

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        self.letters.append([f"{event.data.id} {event.type.rpartition('.')[2]}" for event in events])
        return Result(self.answer(events[0]))


FOLD = {"fold": 900.0, "drain": 1000.0}


async def test_a_kind_that_marks_replays_is_told_of_one(store: Store, clock: Any) -> None:
    class Marking(Toy):
        marks_replays = True

        def __init__(self) -> None:
            super().__init__()
            self.manual: list[bool] = []

        async def send(self, *args: Any, manual: bool = False, **more: Any) -> Result:
            self.manual.append(manual)
            return await super().send(*args, **more)

    toy = Marking()
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    store.outbox.replay("pipe", clock.now() - 60, clock.now())
    await bench.round(after=1)
    assert toy.manual == [False, True]


@pytest.mark.parametrize(
    "away", [Retry("HTTP 503"), Retry("refused", unreachable=True), Rejected("HTTP 404")]
)
async def test_after_an_outage_the_backlog_is_one_digest_that_names_everything(
    store: Store, clock: Any, away: Any
) -> None:
    chat = Chat()
    chat.answer = lambda event: away
    bench = Bench(store, clock, chat, **FOLD)
    bench.happen("a", Status.QUEUED)
    await bench.round()
    for _ in range(6):
        await bench.round(after=170)
    bench.happen("b", Status.QUEUED, Status.RUNNING)
    bench.happen("c", Status.QUEUED)
    chat.letters.clear()
    chat.answer = lambda event: Sent("ok")
    for _ in range(8):
        await bench.round(after=170)
    await bench.round(after=30000)
    told = [line for letter in chat.letters for line in letter]
    assert sorted(told) == ["a created", "b created", "b running", "c created"], "everything, and once"
    if isinstance(away, Retry):
        assert chat.letters == [["a created", "b created", "b running", "c created"]]
    states = {one.event_id: (one.state, one.reason) for one in store.history.deliveries(notifier="pipe")}
    if isinstance(away, Retry):
        carrier = store.history.deliveries(notifier="pipe", state="delivered")[0].id
        assert sorted(states.values()) == [
            ("delivered", "ok"),
            *[("folded", f"in the digest {carrier}")] * 3,
        ]


async def test_a_short_outage_folds_nothing(store: Store, clock: Any) -> None:
    chat = Chat()
    chat.answer = lambda event: Retry("HTTP 503")
    bench = Bench(store, clock, chat, **FOLD)
    bench.happen("a", Status.QUEUED, Status.RUNNING)
    await bench.round()
    await bench.round(after=300)
    chat.letters.clear()
    chat.answer = lambda event: Sent("ok")
    await bench.round(after=400)
    assert chat.letters == [["a created"], ["a running"]]


async def test_a_long_backlog_is_several_digests_and_what_came_later_goes_alone(
    store: Store, clock: Any
) -> None:
    chat = Chat()
    chat.answer = lambda event: Retry("refused", unreachable=True)
    bench = Bench(store, clock, chat, **FOLD)
    for number in range(9):
        bench.happen(f"job{number}", Status.QUEUED)
    for _ in range(40):
        await bench.round(after=30)
    chat.letters.clear()
    chat.answer = lambda event: Sent("ok")
    await bench.round(after=60)
    assert [len(letter) for letter in chat.letters] == [4, 4, 1]
    bench.happen("late", Status.QUEUED, Status.RUNNING)
    await bench.round()
    assert chat.letters[3:] == [["late created"], ["late running"]]


async def found_late(bench: Bench, *jobs: str) -> None:
    """Commits that these jobs are there, hours after they were made."""
    for job in jobs:
        bench.asked += 1
        now = bench.clock.now()
        snapshot = Snapshot(
            id=job, provider="p", kind="toy", status=Status.QUEUED, created_at=int(now) - 20_000
        )
        look = Look(key=JobKey("p", job), asked=bench.asked, at=now, snapshot=snapshot)
        assert not bench.store.commit(
            Batch(decisions=[decide(None, look, Policy(routing=ROUTING), now)]), now
        )


@pytest.mark.parametrize("first", [Sent("ok"), Retry("HTTP 503")])
async def test_a_crowd_of_what_was_found_out_late_is_one_message(
    store: Store, clock: Any, first: Any
) -> None:
    chat = Chat()
    bench = Bench(store, clock, chat, **FOLD)
    answers = [first]
    chat.answer = lambda event: answers.pop() if answers else Sent("ok")
    await found_late(bench, *(f"job{number}" for number in range(25)))
    await bench.round()
    await bench.round(after=60)
    assert {len(letter) for letter in chat.letters} == {25}
    assert len(chat.letters) == (1 if isinstance(first, Sent) else 2)


async def test_what_was_found_out_late_is_named_one_by_one_after_an_outage_of_the_receiver(
    store: Store, clock: Any
) -> None:
    chat = Chat()
    chat.answer = lambda event: Retry("refused", unreachable=True)
    bench = Bench(store, clock, chat, **FOLD)
    await found_late(bench, *(f"job{number:02}" for number in range(25)))
    for _ in range(40):
        await bench.round(after=30)
    chat.letters.clear()
    chat.answer = lambda event: Sent("ok")
    await bench.round(after=60)
    assert [len(letter) for letter in chat.letters] == [4, 4, 4, 4, 4, 4, 1]
    assert sorted(line for letter in chat.letters for line in letter) == [
        f"job{number:02} created" for number in range(25)
    ]


async def test_a_digest_that_fails_costs_only_its_first_message_a_try(store: Store, clock: Any) -> None:
    chat = Chat()
    chat.answer = lambda event: Retry("HTTP 503")
    bench = Bench(store, clock, chat, **FOLD)
    bench.happen("a", Status.QUEUED)
    bench.happen("b", Status.QUEUED)
    await bench.round()
    tried = {one.lane: one.attempts for one in store.history.deliveries(notifier="pipe")}
    await bench.round(after=950)
    assert chat.letters[-1] == ["a created", "b created"]
    after = {one.lane: one.attempts for one in store.history.deliveries(notifier="pipe")}
    assert [after[lane] - tried[lane] for lane in sorted(after)] == [1, 0]


async def test_who_takes_nothing_any_more_is_told_of_once_and_its_end_too(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("HTTP 503")
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    for _ in range(30):
        await bench.round(after=120)
    toy.answer = lambda event: Sent("ok")
    await bench.round(after=40000)
    types = [event.type for _, event in store.history.events() if event.type.startswith("ftwatch.notifier")]
    assert types == ["ftwatch.notifier.failing", "ftwatch.notifier.recovered"]
    told = [event for _, event in store.history.events(type="ftwatch.notifier.failing")]
    assert told[0].note == "nothing has arrived for 1h: HTTP 503" or "HTTP 503" in str(told[0].note)
    for _, event in store.history.events():
        if event.type.startswith("ftwatch.notifier"):
            assert [one.notifier for one in store.history.deliveries(event=event.id)] == ["boss"]


async def test_what_needs_no_receiver_says_nothing_of_how_it_does(store: Store, clock: Any) -> None:
    """A pager has nothing to say of most events; that these are settled does not mean that it is back."""
    toy = Toy()

    def answer(event: Event) -> Any:
        is_quiet = event.data.id.startswith("quiet")
        return Sent("not sent: nothing to tell", idle=True) if is_quiet else Retry("HTTP 503")

    def told_of() -> list[str]:
        types = [event.type for _, event in store.history.events()]
        return [type for type in types if type.startswith("ftwatch.notifier")]

    toy.answer = answer
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    for number in range(60):
        bench.happen(f"quiet-{number}", Status.QUEUED)
        await bench.round(after=60)
    assert bench.states() == ["pending", *["delivered"] * 60]
    assert told_of() == ["ftwatch.notifier.failing"]
    assert store.outbox.breaker("pipe").fails_for(1000, clock.now())
    toy.answer = lambda event: Sent("ok")
    await bench.round(after=40000)
    assert told_of() == ["ftwatch.notifier.failing", "ftwatch.notifier.recovered"]


async def test_an_end_does_not_overtake_its_beginning_for_providers_either(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("HTTP 503") if len(toy.seen) == 1 else Sent("ok")
    bench = Bench(store, clock, toy)
    routing, now = Routing(recipients=(Recipient(name="pipe", kind="toy"),)), clock.now()
    state = announce.ProviderState(name="prod")
    bad = announce.degraded(state, "openai", "HTTP 401", routing, now)
    assert bad.state is not None
    good = announce.recovered(bad.state, "openai", routing, now + 1)
    store.commit(Batch(announcements=[replace(said, state=None) for said in (bad, good)]), now)
    await bench.round()
    assert toy.told == ["prod degraded"]
    await bench.round(after=60)
    assert toy.told == ["prod degraded", "prod degraded", "prod recovered"]


async def test_what_waited_for_a_receiver_that_is_back_leaves_at_once(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("HTTP 503")
    bench = Bench(store, clock, toy, drain=1000.0)
    bench.happen("a", Status.QUEUED)
    for _ in range(6):
        await bench.round(after=2000)
    bench.happen("b", Status.QUEUED)
    toy.answer = lambda event: Sent("ok")
    await bench.round(after=1)
    await bench.round(after=1)
    assert toy.told[-2:] == ["b created", "a created"], "two hours are not waited for any more"


async def test_a_probe_costs_a_try_only_when_its_message_is_due(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("refused", unreachable=True)
    bench = Bench(store, clock, toy, waits=(600.0,), span=1200.0)
    for job in "abcdef":
        bench.happen(job, Status.QUEUED)
    for _ in range(50):
        await bench.round(after=30)
    first, *others = reversed(store.history.deliveries(notifier="pipe"))
    assert (first.state, first.attempts) == ("dead", 3), "it does not wait for ever"
    assert len([job for job, _, _ in toy.seen if job == "a"]) > 20, "the probes in between cost nothing"
    assert {one.state for one in others} == {"pending"}, "who was not sent spent no try"


async def test_a_hanging_notifier_is_cut_off_and_a_raising_one_survived(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.timeout = 0.01
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    toy.answer = lambda event: anyio.sleep(30)
    await bench.round()
    assert store.history.deliveries()[-1].reason == "no end within 0.01 s"

    def bug(event: Event) -> None:
        raise KeyError("token=hunter2")

    toy.answer = bug
    await bench.round(after=100)
    assert store.history.deliveries()[-1].reason == "KeyError in the code of 'toy'"


async def test_memory_is_kept_for_a_lane(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.memory = {"thread": "17"}
    bench = Bench(store, clock, toy)
    bench.happen("a", *LIFE)
    bench.happen("b", Status.QUEUED)
    await bench.round()
    given = {(job, what): memory for (job, what, _), memory in zip(toy.seen, toy.memories, strict=True)}
    assert given["a", "created"] == {}
    assert given["a", "succeeded"] == {"thread": "17"}
    assert given["b", "created"] == {}


async def test_the_loop_wakes_when_it_is_rung_and_ends_when_it_is_stopped(store: Store, clock: Any) -> None:
    bench, arrived = Bench(store, clock, Toy()), anyio.Event()

    def answer(event: Event) -> Sent:
        arrived.set()
        return Sent()

    bench.toy.answer = answer
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.dispatcher.run, lambda seconds: None)
            await anyio.sleep(0.01)
            bench.happen("a", Status.QUEUED)
            bench.dispatcher.ring()
            await arrived.wait()
            bench.dispatcher.stop()
    assert bench.states() == ["delivered"]


async def test_a_ring_wakes_one_round_and_that_one_the_next_where_there_is_more(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "AHEAD", 2)
    monkeypatch.setattr(claims, "AHEAD_EACH", 0)
    bench, looks, open_ = Bench(store, clock, Toy()), 0, anyio.Event()
    true = bench.dispatcher._claims.take

    async def counted() -> Any:
        nonlocal looks
        looks += 1
        return await true()

    async def hang(*about: Any, **more: Any) -> Result:
        await open_.wait()
        return Result(Sent())

    monkeypatch.setattr(bench.dispatcher._claims, "take", counted)
    monkeypatch.setattr(bench.toy, "send", hang)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.dispatcher.run, lambda seconds: None)
        await anyio.wait_all_tasks_blocked()
        assert looks == 3, "each of the rounds looks when it begins"
        bench.happen("a", Status.QUEUED)
        bench.dispatcher.ring()
        await anyio.wait_all_tasks_blocked()
        assert looks == 4, "what one of them can take wakes one"
        for job in "bcde":
            bench.happen(job, Status.QUEUED)
        bench.dispatcher.ring()
        await anyio.wait_all_tasks_blocked()
        assert looks == 6, "two share what is more than that"
        open_.set()
        bench.dispatcher.stop()
    assert bench.states().count("delivered") == 5


async def test_when_its_time_comes_one_round_looks_for_all(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.dispatcher.LONGEST_NAP", 0.02)
    bench, looks, rings, enough = Bench(store, clock, Toy()), 0, 0, anyio.Event()
    claim, ring = bench.dispatcher._claims.take, bench.dispatcher.ring

    async def counted() -> Any:
        nonlocal looks
        looks += 1
        return await claim()

    def rung() -> None:
        nonlocal rings
        rings += 1
        if rings == 4:
            assert looks == 3 + 3, "each of three rounds when it began, then one at a time"
            enough.set()
        ring()

    monkeypatch.setattr(bench.dispatcher._claims, "take", counted)
    monkeypatch.setattr(bench.dispatcher, "ring", rung)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.dispatcher.run, lambda seconds: None)
            await enough.wait()
            bench.dispatcher.stop()


async def test_a_round_that_hangs_leaves_the_watch_to_another(
    store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ftwatch.dispatcher.LONGEST_NAP", 0.02)
    bench, open_, seen = Bench(store, clock, Toy()), anyio.Event(), {"a": anyio.Event(), "b": anyio.Event()}

    async def hang(events: Sequence[Event], *about: Any, **more: Any) -> Result:
        seen[events[0].data.id].set()
        await open_.wait()
        return Result(Sent())

    monkeypatch.setattr(bench.toy, "send", hang)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.dispatcher.run, lambda seconds: None)
            for job, arrived in seen.items():
                await anyio.wait_all_tasks_blocked()
                bench.happen(job, Status.QUEUED)  # and nobody rings
                await arrived.wait()
            open_.set()
            bench.dispatcher.stop()
    assert bench.states().count("delivered") == 2


async def test_it_heeds_what_it_is_owed_and_no_more_unless_it_has_duties(store: Store, clock: Any) -> None:
    bench = Bench(store, clock, Toy())
    assert bench.dispatcher.heeds({"pipe", "other"})
    assert not bench.dispatcher.heeds({"other"})
    reminding = Routing(recipients=ROUTING.recipients, routes=(Route(notify=("pipe",), remind=3600.0),))
    dutiful = Dispatcher(
        bench.dispatcher.config, bench.toy, store, inline,
        routing=reminding, clock=clock, bell=lambda owed: None,
    )  # fmt: skip
    assert dutiful.heeds({"other"}), "what somebody else is told may be a reason to remind"


async def test_whom_a_dead_letter_is_told_is_woken(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Rejected("no", final=True)
    bench = Bench(store, clock, toy)
    rung: list[set[str]] = []
    bench.dispatcher._claims._bell = lambda owed: rung.append(set(owed))
    bench.happen("a", Status.RUNNING)
    await bench.round(after=5)
    assert rung == [{"boss"}]


# -------------------------------------------------------------------------------------- what is counted


async def test_every_try_is_counted_once_it_is_settled(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.answer = lambda event: Rejected("no", final=True) if event.data.id == "a" else Retry("HTTP 503")
    bench = Bench(store, clock, toy, waits=(60,))
    bench.happen("a", Status.RUNNING)
    bench.happen("b", Status.RUNNING)
    await bench.round(after=5)
    meter = store.meter
    assert dict(meter.attempts.items()) == {("pipe", "rejected"): 1, ("pipe", "retry"): 1}
    assert dict(meter.deliveries.items()) == {("pipe", "dead"): 1}
    assert meter.delivery_seconds.items() == []
    assert meter.tried["pipe"] == clock.ticks() + toy.timeout
    toy.answer = lambda event: Sent("ok")
    await bench.round(after=300)
    assert dict(meter.deliveries.items())["pipe", "delivered"] == 1
    ((labels, counts, total),) = meter.delivery_seconds.items()
    assert (labels, counts[-1], total) == (("pipe",), 1, 305)
    # History that is sent again says nothing of how fast things arrive.
    store.outbox.replay("pipe", 0, clock.now())
    await bench.round(after=300)
    assert dict(meter.attempts.items())["pipe", "sent"] == 3
    assert meter.delivery_seconds.items()[0][1][-1] == 1
    assert meter.attempt_seconds.items()[0][1][-1] == 5


async def test_the_lines_of_a_digest_are_deliveries_but_no_tries(store: Store, clock: Any) -> None:
    chat = Chat()
    chat.answer = lambda event: Retry("HTTP 503")
    bench = Bench(store, clock, chat, **FOLD)
    for job in ("a", "b", "c"):
        bench.happen(job, Status.QUEUED)
    for _ in range(8):
        await bench.round(after=170)
    sent = dict(store.meter.attempts.items())
    chat.answer = lambda event: Sent("ok")
    await bench.round(after=3600)
    assert dict(store.meter.attempts.items()) == {**sent, ("pipe", "sent"): 1}
    assert dict(store.meter.deliveries.items()) == {("pipe", "delivered"): 1, ("pipe", "folded"): 2}


def _settlings(store: Store) -> int:
    """How many transactions have settled deliveries."""
    return sum(
        counts[-1] for (what,), counts, _ in store.meter.commit_seconds.items() if what == "deliveries"
    )


async def test_what_ends_together_is_settled_together(store: Store, clock: Any) -> None:
    bench = Bench(store, clock, Toy())
    for job in ("a", "b"):
        bench.happen(job, Status.QUEUED)
    await bench.round()
    assert bench.states() == ["delivered"] * 2
    assert _settlings(store) == 1


async def test_who_does_not_end_holds_up_the_settling_of_nobody(store: Store, clock: Any) -> None:
    toy, over = Toy(), anyio.Event()

    async def hangs() -> Sent:
        await over.wait()
        return Sent()

    toy.answer = lambda event: hangs() if event.data.id == "a" else Sent()
    bench = Bench(store, clock, toy)
    for job in ("a", "b"):
        bench.happen(job, Status.QUEUED)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.dispatcher.dispatch_once)
        for _ in range(5000):
            if bench.states() == ["pending", "delivered"]:
                break
            await anyio.sleep(0.001)
        over.set()
    assert bench.states() == ["delivered"] * 2
    assert _settlings(store) == 2


async def test_a_round_takes_more_than_there_are_places_and_sends_no_more_at_once(
    store: Store, clock: Any
) -> None:
    bench = Bench(store, clock, Toy())
    for number in range(40):
        bench.happen(f"job-{number}", Status.QUEUED)
    await bench.dispatcher.dispatch_once()
    assert bench.states() == ["delivered"] * 40
    assert bench.toy.most_at_once == bench.toy.concurrency


async def test_a_round_is_over_with_its_last_message_whoever_has_the_places(store: Store, clock: Any) -> None:
    toy, over = Toy(), anyio.Event()

    async def hangs() -> Sent:
        await over.wait()
        return Sent()

    toy.concurrency = 2
    toy.answer = lambda event: hangs() if event.data.id == "a" else Sent()
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(bench.dispatcher.dispatch_once)
            await anyio.wait_all_tasks_blocked()
            bench.happen("b", Status.QUEUED)
            bench.happen("c", Status.QUEUED)
            await bench.dispatcher.dispatch_once()
            assert bench.states() == ["pending", "delivered", "delivered"]
            over.set()


@pytest.mark.parametrize(
    "outcome", [Retry("HTTP 500"), Sent(disable=True), Rejected("HTTP 410", disable=True)]
)
async def test_what_waits_for_a_place_when_the_receiver_is_at_fault_is_given_back_untried(
    store: Store, clock: Any, outcome: Any
) -> None:
    toy = Toy()
    toy.concurrency = 2
    toy.answer = lambda event: outcome
    bench = Bench(store, clock, toy)
    for number in range(10):
        bench.happen(f"job-{number}", Status.QUEUED)
    await bench.dispatcher.dispatch_once()
    assert len(toy.seen) <= 2 + 1, "those under way, and no others"
    untried = [d for d in store.history.deliveries(notifier="pipe") if d.first_attempt_at is None]
    assert len(untried) == 10 - len(toy.seen)
    assert {(d.state, d.attempts) for d in untried} == {("pending", 0)}
    if isinstance(outcome, Retry):
        toy.answer = lambda event: Sent()
        await bench.round()
        assert bench.states().count("delivered") == len(untried), "and free to be taken at once"


async def test_a_message_that_is_rejected_says_nothing_of_the_others(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.concurrency = 1
    toy.answer = lambda event: Rejected("HTTP 422") if event.data.id == "job-0" else Sent()
    bench = Bench(store, clock, toy)
    for number in range(10):
        bench.happen(f"job-{number}", Status.QUEUED)
    await bench.dispatcher.dispatch_once()
    assert bench.states().count("delivered") == 9


async def test_who_finds_no_place_in_time_is_given_back(store: Store, clock: Any) -> None:
    toy = Toy()
    toy.concurrency = 1

    def slow(event: Event) -> Sent:
        clock.time += 3
        return Sent()

    toy.answer = slow
    bench = Bench(store, clock, toy)
    for number in range(5):
        bench.happen(f"job-{number}", Status.QUEUED)
    await bench.dispatcher.dispatch_once()
    assert len(toy.seen) == 2
    (claim, *_) = store.outbox.due("pipe", clock.now(), limit=9, lease=60)
    assert claim.delivery.attempts == 0


async def test_a_job_goes_on_while_another_one_of_the_same_round_hangs(store: Store, clock: Any) -> None:
    toy, over = Toy(), anyio.Event()

    async def hangs() -> Sent:
        await over.wait()
        return Sent()

    toy.timeout = 60.0
    toy.answer = lambda event: hangs() if event.data.id == "a" else Sent()
    bench = Bench(store, clock, toy)
    bench.happen("a", Status.QUEUED)
    bench.happen("b", *LIFE)
    async with anyio.create_task_group() as group:
        group.start_soon(bench.dispatcher.run, lambda seconds: None)
        for _ in range(5000):
            if "b succeeded" in toy.told:
                break
            await anyio.sleep(0.001)
        said = toy.told
        over.set()
        bench.dispatcher.stop()
    assert "b succeeded" in said


async def test_a_claim_that_was_taken_over_is_settled_by_its_new_holder_alone(
    store: Store, clock: Any
) -> None:
    bench = Bench(store, clock, Toy())
    for job in ("a", "b"):
        bench.happen(job, Status.QUEUED)
    late, fine = store.outbox.due("pipe", clock.now(), limit=9, lease=60)
    clock.time += 61
    (again,) = store.outbox.due("pipe", clock.now(), limit=1, lease=60)
    assert again.delivery.id == late.delivery.id
    settlement = settle(late.delivery, Sent("ok"), RetryPolicy(), clock.now(), 0.5)
    batch = [
        Settled(claim=claim, settlement=settlement, outcome="sent", at=clock.now(), took=0.1)
        for claim in (late, fine)
    ]
    store.settle(batch, None, clock.now())
    assert bench.states() == ["pending", "delivered"]
    assert [len(store.history.attempts(claim.delivery.id)) for claim in (late, fine)] == [0, 1]


async def test_a_notifier_that_was_off_is_probed_at_once_when_it_is_on_again(
    store: Store, clock: Any
) -> None:
    toy = Toy()
    toy.answer = lambda event: Retry("HTTP 500", unreachable=True)
    bench = Bench(store, clock, toy, waits=(5.0,))
    bench.happen("a", Status.QUEUED)
    for _ in range(20):
        await bench.round(after=30)
    assert store.outbox.breaker("pipe").is_open
    store.outbox.disable("pipe", "by hand")
    await bench.round(after=120)
    toy.answer = lambda event: Sent()
    (letter,) = store.history.deliveries(notifier="pipe")
    store.outbox.retry([letter.id], clock.now())
    await bench.round()
    assert bench.states() == ["delivered"], "no time was lost by asking while it was off"
