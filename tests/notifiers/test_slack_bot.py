"""Slack by a bot: one living message for each job, its thread, its edits, and what Slack's words lead to."""

import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import PlainTextResponse

from ftwatch.client import Client
from ftwatch.config import NotifierConfig
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.core.job import JobError, JobKey, Progress, Snapshot, Status
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.message import Wording, compose
from ftwatch.core.route import Mention, Recipient, Route, Routing
from ftwatch.core.rule import Stuck
from ftwatch.core.sample import sample
from ftwatch.core.span import HOUR
from ftwatch.dispatcher import Dispatcher
from ftwatch.notifiers.slack import Slack
from ftwatch.plugins import Composer, Duration, Introduction, NotifierSpec, ProviderError, Secret
from ftwatch.store import Batch, Store, inline
from ftwatch.wire.wording import Phrasing
from tests.golden import EVENTS, PAGE, golden
from tests.notifiers.slackworld import TOKEN
from tests.notifiers.slackworld import Slack as World


def options(world: World, **more: Any) -> Any:
    told = {"bot_token": Secret(TOKEN), "channel": "C0MLCHANNEL", "timeout": Duration(seconds=5), **more}
    return Slack.Options(api_url=world.url if world.place.port else "http://127.0.0.1:9/api", **told)


class Time:
    """A clock that waits to be moved, and never sleeps."""

    def __init__(self) -> None:
        self.time = 1_795_387_800.0

    def now(self) -> float:
        return self.time

    ticks = now

    def luck(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Bot:
    """The notifier, told of events one after another with the memory that the one before left."""

    def __init__(
        self, world: World, client: Any, compose: Composer = compose, page: str = "", **more: Any
    ) -> None:
        self.clock = Time()
        spec = NotifierSpec(
            name="mine",
            kind="slack",
            options=options(world, **more),
            client=client,
            compose=compose,
            page=page,
        )
        self.slack = Slack(spec, clock=self.clock.now)
        self.memory: dict[str, Any] = {}

    async def tell(self, *told: Event | str, after: float = 60.0, **more: Any) -> Any:
        """Tells of each; what became of the last."""
        for event in told:
            self.clock.time += after
            result = await self.slack.send(
                [sample(event) if isinstance(event, str) else event], self.memory, **more
            )
            if result.memory is not None:
                self.memory = json.loads(json.dumps(result.memory))
        return result.outcome


@asynccontextmanager
async def botting(*, direct: bool = True, **more: Any) -> AsyncIterator[tuple[World, Bot]]:
    """`direct`: without sockets between them."""
    world = World()
    if direct:
        yield world, Bot(world, world, **more)
        return
    async with world.serving(), Client() as client:
        yield world, Bot(world, client, **more)


def heads(messages: list[dict[str, Any]]) -> list[str]:
    return [one["text"].partition(":")[0] for one in messages]


def at(name: str, sequence: int, **job: Any) -> Event:
    """A sample as the event of its job with this number."""
    event = sample(name)
    assert event.job is not None
    return replace(event, data=replace(event.data, sequence=sequence, job=replace(event.job, **job)))


# ---------------------------------------------------------------------------------------- one living message


@pytest.mark.parametrize("direct", [False, True])
async def test_a_job_has_one_message_and_its_thread_is_the_history(direct: bool) -> None:
    async with botting(direct=direct) as (world, bot):
        outcome = await bot.tell(at("created", 1), at("running", 2), at("checkpoint", 3), at("succeeded", 4))
    assert isinstance(outcome, Sent)
    (root,) = world.roots
    assert root["text"] == "✅ support-bot-v7 succeeded"
    assert heads(world.thread(root)) == [
        "🆕 support-bot-v7 is queued",
        "▶️ support-bot-v7 is running",
        "💾 support-bot-v7 has a checkpoint at step 200",
        "✅ support-bot-v7 succeeded · 1 h 50 m (queued 9 m)",
    ]
    assert world.channel == [root], "nothing else stands in the channel"
    assert world.refused == []


async def test_the_thread_speaks_in_the_configs_words_and_the_message_about_the_job_in_its_own() -> None:
    words = Phrasing("mine", Routing(), Wording(title="{{ job.name }}: so it is"))
    async with botting(compose=words) as (world, bot):
        await bot.tell(at("failed", 1))
        shown = json.loads(bot.slack.render(sample("failed")))
    (root,) = world.roots
    assert root["text"].startswith("❌ support-bot-v7 failed: ")
    (answer,) = world.thread(root)
    assert answer["text"].startswith("support-bot-v7: so it is: The job failed")
    assert [one["text"] for one in shown] == [root["text"], answer["text"]]


async def test_who_reads_the_channel_hears_of_what_failed_and_of_alerts() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1), at("stuck", 2), at("stuck-resolved", 3), at("failed", 4))
    root, *aloud = world.channel
    assert heads(aloud) == [
        "⚠️ support-bot-v7 is stuck",
        "❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)",
    ]
    assert root["text"].startswith("❌ support-bot-v7 failed: The job failed due to an invalid")


@pytest.mark.parametrize(
    ("broadcast", "expected"),
    [
        ((), []),
        (("succeeded",), ["succeeded"]),
        (("paused", "gone"), ["paused", "gone"]),
        (("all",), ["running", "paused", "gone", "succeeded"]),
    ],
)
async def test_broadcast_says_what_the_channel_hears(broadcast: Any, expected: list[str]) -> None:
    async with botting(broadcast=broadcast) as (world, bot):
        names = ("created", "running", "paused", "gone", "succeeded")
        await bot.tell(*(at(name, number) for number, name in enumerate(names, 1)))
    aloud = [one for one in world.channel if "thread_ts" in one]
    words = {"is running": "running", "is paused": "paused", "is gone": "gone", "succeeded": "succeeded"}
    assert [next(word for said, word in words.items() if said in one["text"]) for one in aloud] == expected


async def test_the_first_message_is_not_said_twice_in_the_channel() -> None:
    async with botting() as (world, bot):
        await bot.tell("failed")
    assert len(world.channel) == 1
    assert len(world.thread(world.channel[0])) == 1


async def test_what_is_about_no_job_is_an_ordinary_message() -> None:
    async with botting() as (world, bot):
        await bot.tell("degraded", "recovered", "test")
    assert len(world.channel) == 3
    assert world.roots == []
    assert bot.memory == {}


async def test_an_open_alert_stays_on_the_message_until_it_is_over() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1), at("stuck", 2))
        assert world.roots[0]["text"].startswith("⚠️ support-bot-v7 is queued")
        assert "queued for more than 1h" in json.dumps(world.roots[0]["attachments"])
        await bot.tell(at("running", 3), at("stuck-resolved", 4))
        assert world.roots[0]["text"] == "▶️ support-bot-v7 is running"
        assert "queued for more than 1h" not in json.dumps(world.roots[0]["attachments"])


def buttons(message: dict[str, Any]) -> dict[str, str]:
    """The buttons of a message, by their texts."""
    (attachment,) = message["attachments"]
    rows = [block["elements"] for block in attachment["blocks"] if block["type"] == "actions"]
    return {one["text"]["text"]: one["url"] for row in rows for one in row}


async def test_a_button_leads_to_the_page_where_others_reach_it(store: Store) -> None:
    here = f"{PAGE}/jobs/openai-prod/ftjob-sample4w9Zq2"
    async with botting(page=PAGE) as (world, bot):
        await bot.tell(at("created", 1))
        assert buttons(world.roots[0])["Page"] == here
        await bot.tell(at("failed", 2))
        assert world.roots[0]["edits"] == 1
        assert list(buttons(world.roots[0])) == ["Open job", "Page", "W&B run"]
        shown = json.loads(bot.slack.render(sample("failed")))
        assert buttons(shown[0]) == buttons(world.roots[0])
    async with botting(page=PAGE) as (world, bot):
        house = House(store, bot)
        house.look("a/b", Status.RUNNING)
        await house.round()
        house.look("a/b", Status.RUNNING, **percent(40))
        await house.round(after=60)
        await house.round(after=60)
        assert world.roots[0]["edits"] == 1
        assert buttons(world.roots[0]) == {"Page": f"{PAGE}/jobs/p/a%2Fb"}, "also where nothing was told"
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        assert "Page" not in buttons(world.roots[0])


async def test_how_far_it_is_stands_on_the_message() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("running", 2))
    blocks = world.roots[0]["attachments"][0]["blocks"]
    assert blocks[0]["text"]["text"] == (
        "▓▓▓▓░░░░░░░░░░░░░░░░ 20 % · step 120 of 600 · done about "
        "<!date^1795390200^{date_short_pretty} {time}|2026-11-22 23:30 UTC>"
    )


async def test_a_digest_and_what_is_sent_by_hand_are_ordinary_messages() -> None:
    async with botting() as (world, bot):
        await bot.tell("created")
        before = len(world.channel)
        result = await bot.slack.send(
            [sample("running"), sample("failed"), sample("degraded")], {}, bundle="quiet"
        )
        assert isinstance(result.outcome, Sent)
        assert result.memory is None
        assert "3 messages from the quiet hours" in world.channel[-1]["text"]
        await bot.tell("failed", manual=True)
    assert len(world.channel) == before + 2
    assert len(world.roots) == 1


# ------------------------------------------------------------------------------------------------------ edits


async def test_edits_are_apart_unless_it_cannot_wait() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        await bot.tell(at("running", 2), after=5)
        assert world.count("chat.update") == 0, "too soon"
        assert len(world.thread(world.roots[0])) == 2, "its history is whole all the same"
        await bot.tell(at("checkpoint", 3), after=11)
        assert world.count("chat.update") == 1
        await bot.tell(at("failed", 4), after=1)
        assert world.count("chat.update") == 2, "an end is shown at once"
        await bot.tell(at("failed", 5), after=60)
        assert world.count("chat.update") == 2, "it shows that already"


async def test_mere_progress_edits_and_says_nothing() -> None:
    async with botting() as (world, bot):
        moved = at("running", 3, progress=Progress(step=300, total_steps=600, percent=50.0))
        change = replace(moved.changes[0], field="progress.step", before=120, after=300)
        moved = replace(
            moved,
            type="fine_tuning.job.updated",
            data=replace(moved.data, previous_status="running", changes=(change,)),
        )
        outcome = await bot.tell(moved)
        assert outcome == Sent("not sent: nobody was told of this job yet", idle=True)
        assert world.messages == []
        await bot.tell(at("running", 2), moved)
    assert len(world.messages) == 2
    assert "50 %" in json.dumps(world.roots[0]["attachments"], ensure_ascii=False)


async def test_what_comes_late_does_not_turn_the_message_back() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1), at("failed", 4), at("running", 2))
    assert world.roots[0]["text"].startswith("❌")
    assert len(world.thread(world.roots[0])) == 3


async def test_a_clock_that_was_set_back_holds_up_no_edit() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        await bot.tell(at("running", 2), after=-86400)
    assert world.count("chat.update") == 1


# ----------------------------------------------------------------------------------------------- what is gone


@pytest.mark.parametrize("word", ["message_not_found", "cant_update_message", "edit_window_closed"])
async def test_a_message_that_cannot_be_edited_gets_a_successor(word: str) -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        world.moods = [word]
        await bot.tell(at("failed", 2))
        assert [root["text"][:1] for root in world.roots] == ["⏳", "❌"]
        assert len(world.thread(world.roots[1])) == 1
        await bot.tell(at("running", 3))
    assert len(world.roots) == 2


async def test_a_deleted_message_gets_a_successor_also_where_only_an_answer_fails() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        world.delete(world.roots[0])
        await bot.tell(at("running", 2), after=1)
        assert world.count("chat.update") == 0
        assert heads(world.channel) == ["▶️ support-bot-v7 is running"]
        assert heads(world.thread(world.roots[0])) == ["▶️ support-bot-v7 is running"]
    assert world.refused == ["thread_not_found"]


async def test_another_channel_in_the_config_is_a_new_beginning() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        bot.slack._options = dataclasses.replace(bot.slack._options, channel="#ml")
        await bot.tell(at("running", 2))
    assert len(world.roots) == 2


async def test_a_memory_of_another_kind_is_none() -> None:
    async with botting() as (world, bot):
        bot.memory = {"kind": "pagerduty", "open": {}, "end": 0}
        assert isinstance(await bot.tell("created"), Sent)
    assert len(world.roots) == 1


# ------------------------------------------------------------------------------------- what may have arrived


async def test_after_a_crash_it_finds_what_it_had_posted() -> None:
    """The daemon died between posting and settling: neither memory nor settlement, but a claim of epoch 2."""
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        bot.memory = {}
        assert await bot.tell(at("created", 1), again=True) == Sent("it had arrived before")
        assert len(world.messages) == 2
        await bot.tell(at("running", 2))
    assert len(world.roots) == 1
    assert len(world.thread(world.roots[0])) == 2


async def test_a_crash_between_the_message_and_its_answer_leaves_one_of_each() -> None:
    async with botting() as (world, bot):
        await bot.tell(at("created", 1))
        bot.memory = {}
        world.delete(world.messages[1])
        assert await bot.tell(at("created", 1), again=True) == Sent("HTTP 200")
    assert (len(world.roots), len(world.messages)) == (1, 2)


async def test_an_ordinary_message_is_found_again_too() -> None:
    async with botting() as (world, bot):
        await bot.tell("degraded")
        await bot.tell("degraded", again=True)
    assert len(world.messages) == 1


async def test_without_the_scope_to_look_it_says_it_twice() -> None:
    async with botting() as (world, bot):
        world.scopes = "chat:write"
        await bot.tell(at("created", 1))
        bot.memory = {}
        assert isinstance(await bot.tell(at("created", 1), again=True), Sent)
    assert len(world.roots) == 2


async def test_who_cannot_look_now_waits() -> None:
    async with botting() as (world, bot):
        world.moods = [7]
        outcome = await bot.tell(at("created", 1), again=True)
    assert isinstance(outcome, Retry)
    assert outcome.after == 7
    assert world.messages == []


async def test_a_429_in_the_middle_repeats_nothing() -> None:
    async with botting() as (world, bot):
        world.moods = [None, 30]
        outcome = await bot.tell(at("created", 1))
        assert isinstance(outcome, Retry)
        assert (outcome.throttled, outcome.after) == (True, 30)
        assert len(world.roots) == 1
        assert isinstance(await bot.tell(at("created", 1), again=True), Sent)
        assert len(world.messages) == 2
        world.moods = [None, 30]
        await bot.tell(at("failed", 2))
        await bot.tell(at("failed", 2), again=True)
    assert world.roots[0]["edits"] == 1
    assert len(world.messages) == 3


# ------------------------------------------------------------------------------------------- what Slack says

WORDS: list[tuple[str, type, str]] = [
    ("channel_not_found", Rejected, "/invite @ftwatch"),
    ("not_in_channel", Rejected, "/invite @ftwatch"),
    ("is_archived", Rejected, "unarchive it"),
    ("invalid_auth", Rejected, "Bot User OAuth Token"),
    ("account_inactive", Rejected, "install it again"),
    ("token_expired", Rejected, "expired"),
    ("token_revoked", Rejected, "install the app again"),
    ("missing_scope", Rejected, "lacks the scope"),
    ("restricted_action", Rejected, "does not let apps post"),
    ("something_new", Rejected, "something_new"),
    ("internal_error", Retry, "internal_error"),
    ("fatal_error", Retry, "fatal_error"),
    ("service_unavailable", Retry, "service_unavailable"),
    ("ratelimited", Retry, "ratelimited"),
]


@pytest.mark.parametrize(("word", "sort", "said"), WORDS)
async def test_what_slack_says_is_said_with_what_to_do(word: str, sort: type, said: str) -> None:
    async with botting() as (world, bot):
        world.moods = [word]
        outcome = await bot.tell("created")
    assert isinstance(outcome, sort)
    assert said in outcome.reason
    assert outcome.reason.startswith(f"chat.postMessage: {word}")
    assert getattr(outcome, "disable", False) is (
        word in ("is_archived", "account_inactive", "token_revoked")
    )
    assert getattr(outcome, "throttled", False) is (word == "ratelimited")


async def test_the_scope_that_is_missing_is_named() -> None:
    async with botting() as (world, bot):
        world.scopes = "files:write"
        outcome = await bot.tell("created")
    assert "the scope chat:write" in outcome.reason


@pytest.mark.parametrize(
    "word", ["msg_too_long", "invalid_blocks", "msg_blocks_too_long", "metadata_too_large"]
)
async def test_what_slack_does_not_take_goes_in_a_plainer_form(word: str) -> None:
    async with botting() as (world, bot):
        world.moods = [None, word]
        assert await bot.tell(at("failed", 1)) == Sent("as plain text")
        world.moods = [word, None]
        await bot.tell(at("succeeded", 2))
    assert "invalid_training_file" in world.messages[1]["text"]
    assert world.roots[0]["attachments"] == []
    assert "✅" in world.roots[0]["text"]


async def test_a_proxy_that_answers_is_not_slack() -> None:
    async with botting() as (world, bot):
        world.moods = [PlainTextResponse("welcome"), PlainTextResponse("down", 503)]
        first, second = await bot.tell("created"), await bot.tell("created")
    assert isinstance(first, Retry)
    assert "without Slack's answer" in first.reason
    assert isinstance(second, Retry)


# --------------------------------------------------------------------------------------------- check --online


async def test_it_says_who_it_is_and_where_it_may_post() -> None:
    async with botting() as (world, bot):
        told = await bot.slack.introduce()
    assert told == Introduction(whose="it lets ftwatch in as ftwatch of Acme, and may post to #ml")
    assert world.messages == []


@pytest.mark.parametrize(
    ("scopes", "archived", "channel", "part", "said"),
    [
        ("files:write", False, "C0MLCHANNEL", "wrong", "lacks the scope chat:write"),
        ("chat:write", False, "C0MLCHANNEL", "lacks", "may come twice after a crash"),
        ("chat:write", False, "C0MLCHANNEL", "beyond", "only `notify test` shows"),
        ("chat:write,channels:read", True, "C0MLCHANNEL", "wrong", "#ml is archived"),
        ("chat:write,channels:read", False, "C0NOWHERE00", "wrong", "/invite @ftwatch"),
        ("chat:write", False, "#ml", "beyond", "whether it may post to #ml"),
        ("chat:write,channels:read", False, "U0123ABCD", "beyond", "whether it may post to U0123ABCD"),
    ],
)
async def test_what_is_missing_is_found_out_before(
    scopes: str, archived: bool, channel: str, part: str, said: str
) -> None:
    async with botting(channel=channel) as (world, bot):
        world.scopes, world.archived = scopes, archived
        told = await bot.slack.introduce()
    assert told.whose.startswith("it lets ftwatch in as ftwatch of Acme")
    assert said in getattr(told, part)


async def test_a_bot_that_is_in_no_channel_is_told_so() -> None:
    async with botting() as (world, bot):
        world.is_member = False
        assert "write /invite @ftwatch" in (await bot.slack.introduce()).wrong
        world.scopes += ",chat:write.public"
        assert (await bot.slack.introduce()).wrong == ""


async def test_who_is_not_let_in_hears_why() -> None:
    async with botting(bot_token=Secret("xoxb-other")) as (_, bot):
        with pytest.raises(ProviderError, match="Bot User OAuth Token"):
            await bot.slack.introduce()


# ------------------------------------------------------------------------------------------------------ shape


async def test_the_messages_for_every_sort_of_event() -> None:
    found: dict[str, Any] = {}
    async with botting(page=PAGE, compose=partial(compose, page=PAGE)) as (world, bot):
        for name, event in EVENTS.items():
            before = len(world.calls)
            bot.memory = {}
            assert isinstance(await bot.tell(event), Sent)
            found[name] = [{"method": method, **what} for method, what in world.calls[before:]]
            for one in found[name]:
                one.pop("thread_ts", None)
    assert world.refused == []
    golden("slack-bot", found)


async def test_what_strangers_wrote_is_inert(hostile: Event) -> None:
    async with botting() as (world, bot):
        await bot.tell(hostile)
    assert len(world.messages) == 2
    for text in strings(world.messages):
        assert "<" not in text.replace(
            "<!date^1795390200^{date_short_pretty} {time}|2026-11-22 23:30 UTC>", ""
        )
    assert all(TOKEN not in json.dumps(what) for _, what in world.calls)


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("url", "channel", "ts"):
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give webhook_url, or bot_token and channel"),
        ({"webhook_url": "u", "bot_token": "t", "channel": "#x"}, "not both"),
        ({"webhook_url": "u", "channel": "#x"}, "channel is for a bot_token"),
        ({"webhook_url": "u", "broadcast": ("failed",)}, "broadcast is for a bot_token"),
        ({"bot_token": "t"}, "say with channel"),
        ({"bot_token": "t", "channel": " # "}, "say with channel"),
        ({"bot_token": "t", "channel": "ml", "api_url": "nonsense"}, "api_url"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Slack.Options(**given)


@pytest.mark.parametrize(
    ("given", "where"),
    [("ml", "#ml"), ("#ml", "#ml"), ("C0123ABCD", "C0123ABCD"), ("U0123ABCD", "U0123ABCD")],
)
def test_a_channel_is_named_as_slack_wants_it(given: str, where: str) -> None:
    assert Slack.Options(bot_token=Secret("xoxb-1"), channel=given).where == where


def test_a_users_token_is_no_bots() -> None:
    assert not list(Slack.Options(bot_token=Secret("xoxb-1"), channel="ml").problems())
    ((name, said),) = Slack.Options(bot_token=Secret("xoxp-1"), channel="ml").problems()
    assert name == "bot_token"
    assert "xoxb-" in said


# -------------------------------------------------------------------------- with the dispatcher and the store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "ftwatch.db")
    yield store
    store.close()


ROUTING = Routing(recipients=(Recipient(name="mine", kind="slack"),))


class Death(BaseException):
    """The daemon's."""


class House:
    """A store in which jobs change, and the dispatcher that tells Slack of it."""

    def __init__(self, store: Store, bot: Bot) -> None:
        self.store, self.bot, self.clock = store, bot, bot.clock
        self.known: dict[str, Known] = {}
        self.asked = 0
        self.start()

    def start(self) -> None:
        policy = RetryPolicy(jitter=0, span=24 * HOUR, fold=900)
        config = NotifierConfig(name="mine", kind="slack", options=None, retry=policy)
        self.dispatcher = Dispatcher(
            config,
            self.bot.slack,
            self.store,
            inline,
            routing=ROUTING,
            clock=self.clock,
            bell=lambda owed: None,
        )

    def look(self, job: str, status: Status, **more: Any) -> None:
        self.asked += 1
        snapshot = Snapshot(id=job, provider="p", kind="toy", status=status, name=f"job-{job}", **more)
        now = self.clock.now()
        look = Look(key=JobKey("p", job), asked=self.asked, at=now, snapshot=snapshot)
        policy = Policy(routing=ROUTING, rules=(Stuck(queued=HOUR),))
        decision = decide(self.known.get(job), look, policy, now)
        assert not self.store.commit(Batch(decisions=[decision]), now)
        self.known.update(self.store.jobs.load("p", [job]))

    async def round(self, after: float = 0.0) -> None:
        self.clock.time += after
        for _ in range(2000):
            if not await self.dispatcher.dispatch_once():
                return
        pytest.fail("the dispatcher never rests")


def percent(done: float) -> dict[str, Any]:
    return {"progress": Progress(step=int(done * 6), total_steps=600, percent=done)}


async def test_progress_owes_no_delivery_and_moves_the_bar(store: Store) -> None:
    async with botting() as (world, bot):
        house = House(store, bot)
        house.look("a", Status.QUEUED)
        await house.round()
        house.look("a", Status.RUNNING, **percent(0))
        await house.round(after=20)
        told = len(world.messages)
        for done in range(1, 41):
            house.look("a", Status.RUNNING, **percent(done))
            await house.round(after=5)
        (root,) = world.roots
        assert len(world.messages) == told, "no answer tells of progress"
        assert 8 <= root["edits"] <= 15, "200 seconds of it are edits 15 seconds apart"
        await house.round(after=20)
        assert "40 %" in json.dumps(root["attachments"], ensure_ascii=False), "the last word is shown"
        edits = root["edits"]
        await house.round(after=60)
        await house.round(after=60)
        assert root["edits"] == edits, "what stands still is left alone"
    sent = store.history.deliveries(notifier="mine")
    assert len(sent) == 2
    assert {one.state for one in sent} == {"delivered"}


async def test_why_a_mention_notified_nobody_is_recorded(store: Store) -> None:
    routes = (Route(notify=("mine",), mention={"mine": (Mention("@oncall-ml"),)}),)
    words = Phrasing("mine", Routing(recipients=ROUTING.recipients, routes=routes))
    async with botting(compose=words) as (_, bot):
        house = House(store, bot)
        house.look("a", Status.FAILED, error=JobError(message="no luck"))
        await house.round()
    (*_, sent) = store.history.deliveries(notifier="mine")
    assert sent.state == "delivered"
    (attempt,) = store.history.attempts(sent.id)
    assert "@oncall-ml notifies nobody: usergroups.list: missing_scope" in attempt.reason


async def test_an_end_that_went_out_in_a_digest_is_shown_all_the_same(store: Store) -> None:
    async with botting() as (world, bot):
        house = House(store, bot)
        for job in ("a", "b"):
            house.look(job, Status.RUNNING)
        await house.round()
        world.mood = lambda method: "internal_error"
        house.look("a", Status.CANCELLED)
        house.look("b", Status.FAILED, error=JobError(message="no luck"))
        for _ in range(40):
            await house.round(after=60)
        world.mood = lambda method: None
        await house.round(after=600)
        await house.round(after=60)
        await house.round(after=60)
    assert sorted(root["text"] for root in world.roots) == [
        "❌ job-b failed: no luck",
        "🛑 job-a was cancelled",
    ]
    assert world.channel[-1]["text"].startswith("📬 2 messages")


async def test_death_between_posting_and_settling_makes_no_second_message(store: Store) -> None:
    async with botting() as (world, bot):
        house = House(store, bot)
        house.look("a", Status.RUNNING)
        settle = store.settle

        def die(*_: Any, **__: Any) -> None:
            raise Death

        store.settle = die  # type: ignore[method-assign]
        with pytest.raises(BaseExceptionGroup, match="unhandled errors"):
            await house.round()
        assert len(world.messages) == 2
        store.settle = settle  # type: ignore[method-assign]
        store.outbox.release()
        house.start()
        await house.round(after=5)
        house.look("a", Status.SUCCEEDED, fine_tuned_model="ft:m")
        await house.round(after=5)
    assert len(world.roots) == 1
    assert heads(world.thread(world.roots[0])) == ["🆕 job-a is running"[: -0 or None], "✅ job-a succeeded"]


async def test_a_day_of_200_jobs_is_one_message_a_job(store: Store) -> None:
    async with botting() as (world, bot):
        house = House(store, bot)
        for number in range(200):
            job = f"j{number}"
            house.look(job, Status.QUEUED)
            await house.round(after=60)
            house.look(job, Status.RUNNING, **percent(1))
            await house.round(after=60)
            house.look(job, Status.RUNNING, **percent(50))
            await house.round(after=60)
            if number % 10 == 0:
                house.look(job, Status.FAILED, error=JobError(code="server_error", message="out of luck"))
            else:
                house.look(job, Status.SUCCEEDED, fine_tuned_model=f"ft:{job}")
            await house.round(after=60)
    roots = world.roots
    assert len(roots) == 200
    assert len({root["metadata"]["event_payload"]["id"] for root in roots}) == 200
    assert all(root["edits"] for root in roots)
    assert sorted(root["text"][:1] for root in roots) == ["✅"] * 180 + ["❌"] * 20
    aloud = [one for one in world.channel if "thread_ts" in one]
    assert len(aloud) == 20, "and what failed is heard of in the channel"
    assert len(world.channel) == 220
    for root in roots:
        assert len(world.thread(root)) == 3
    assert world.refused == []
