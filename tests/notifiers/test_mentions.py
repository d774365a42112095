"""Mentions in Slack: who is notified, by which messages, and what becomes of a handle that leads nowhere."""

import json
from typing import Any

import pytest

from ftwatch.core.delivery import Retry, Sent
from ftwatch.core.event import Event
from ftwatch.core.route import Mention, Recipient, Route, Routing
from ftwatch.core.sample import sample
from ftwatch.notifiers.slack import Slack
from ftwatch.plugins import NotifierSpec, Secret
from ftwatch.wire.wording import Phrasing
from tests.notifiers.conftest import hostile_event
from tests.notifiers.slackworld import SCOPES, TOKEN
from tests.notifiers.slackworld import Slack as World

JOB = "✅ support-bot-v7 succeeded"


def phrasing(*words: str) -> Phrasing:
    routes = (Route(notify=("mine",), mention={"mine": tuple(map(Mention, words))}),)
    return Phrasing("mine", Routing(recipients=(Recipient(name="mine", kind="slack"),), routes=routes))


class Bot:
    """A bot that tells of events with the memory that the one before left, in a workspace of its own."""

    def __init__(self, *words: str, **more: Any) -> None:
        self.time = 1_795_387_800.0
        self.world = World()
        self.world.scopes = f"{SCOPES},usergroups:read"
        options = Slack.Options(
            bot_token=Secret(TOKEN), channel="C0MLCHANNEL", api_url="http://127.0.0.1:9/api", **more
        )
        spec = NotifierSpec(
            name="mine",
            kind="slack",
            options=options,
            client=self.world,
            compose=phrasing(*words),
            mentions=words,
        )
        self.slack = Slack(spec, clock=lambda: self.time)
        self.memory: dict[str, Any] = {}

    async def tell(self, *told: str | Event, **more: Any) -> Any:
        for one in told:
            self.time += 60
            event = sample(one) if isinstance(one, str) else one
            result = await self.slack.send([event], self.memory, **more)
            self.memory = result.memory or self.memory
        return result.outcome

    @property
    def asked(self) -> int:
        return self.world.count("usergroups.list")


def calls(message: dict[str, Any]) -> list[str]:
    """Everything that Slack would obey in a message: in what it shows, and in what a phone shows of it."""
    shown = [message.get("blocks", []), message.get("attachments", [])]
    told, said = _calls(json.dumps(shown, ensure_ascii=False)), _calls(message["text"])
    assert not message.get("blocks") or told == said
    return said


def _calls(text: str) -> list[str]:
    return [part.partition(">")[0] for part in text.split("<")[1:] if not part.startswith("!date")]


async def test_the_answer_in_the_thread_notifies_and_the_message_that_is_edited_does_not() -> None:
    bot = Bot("U0123ABCD", "S0123ABCD")
    assert await bot.tell("created", "failed") == Sent("HTTP 200")
    (root,) = bot.world.roots
    assert calls(root) == []
    assert root["edits"] == 1
    first, last = bot.world.thread(root)
    assert first["text"].startswith("<@U0123ABCD> <!subteam^S0123ABCD> 🆕 support-bot-v7")
    assert last["text"].startswith("<@U0123ABCD> <!subteam^S0123ABCD> ❌ support-bot-v7 failed")
    assert last["reply_broadcast"] is True, "as any failure is"
    assert first["reply_broadcast"] is False
    assert bot.asked == 0, "ids need not be looked up"
    assert bot.world.refused == []


async def test_a_job_that_is_first_heard_of_at_its_failure_notifies_too() -> None:
    bot = Bot("U0123ABCD")
    await bot.tell("failed")
    (root,) = bot.world.roots
    (answer,) = bot.world.thread(root)
    assert calls(answer) == ["@U0123ABCD"]
    assert calls(root) == []


@pytest.mark.parametrize("word", ["@here", "@channel", "@everyone"])
async def test_what_is_for_the_channel_goes_to_the_channel(word: str) -> None:
    bot = Bot(word, broadcast=())
    await bot.tell("created")
    (answer,) = bot.world.thread(bot.world.roots[0])
    assert answer["text"].startswith(f"<!{word[1:]}> ")
    assert answer["reply_broadcast"] is True


async def test_a_groups_handle_is_looked_up_once_in_a_while() -> None:
    bot = Bot("@OnCall-ML")
    assert await bot.tell("created", "failed") == Sent("HTTP 200")
    assert [calls(one) for one in bot.world.thread(bot.world.roots[0])] == [["!subteam^S0ONCALLML"]] * 2
    assert bot.asked == 1
    bot.time += 600
    await bot.tell("running")
    assert bot.asked == 2
    bot.time -= 86400
    await bot.tell("running")
    assert bot.asked == 3, "a clock that was set back holds nothing up"


@pytest.mark.parametrize(
    ("word", "scopes", "moods", "why"),
    [
        ("@oncall-ml", SCOPES, [], "missing_scope: the token lacks the scope usergroups:read"),
        ("@nobody", "", [], "there is no such user group"),
        ("@gone", "", [], "there is no such user group"),
        ("@oncall-ml", "", [None, "plan_upgrade_required"], "plan has no user groups: mention people by"),
        ("@oncall-ml", "", [None, "fatal_error"], "usergroups.list: fatal_error"),
        ("@oncall-ml", "", [None, 30], "ratelimited"),
    ],
)
async def test_a_handle_that_leads_nowhere_is_text_and_says_why(
    word: str, scopes: str, moods: list[Any], why: str
) -> None:
    bot = Bot(word, "U0123ABCD")
    bot.world.scopes = scopes or bot.world.scopes
    bot.world.moods = moods
    outcome = await bot.tell("failed")
    assert isinstance(outcome, Sent)
    assert outcome.note.startswith(f"{word} notifies nobody: ")
    assert why in outcome.note or why in bot.world.refused
    (answer,) = bot.world.thread(bot.world.roots[0])
    assert answer["text"].startswith(f"{word} <@U0123ABCD> ❌ support-bot-v7 failed")
    assert calls(answer) == ["@U0123ABCD"]


async def test_a_refusal_is_believed_for_a_while_and_what_may_pass_only_shortly() -> None:
    bot = Bot("@oncall-ml")
    bot.world.scopes = SCOPES
    await bot.tell("created", "failed")
    assert bot.asked == 1
    bot.world.scopes += ",usergroups:read"
    bot.time += 600
    assert await bot.tell("succeeded") == Sent("HTTP 200")
    bot = Bot("@oncall-ml")
    bot.world.moods = [None, "internal_error"]
    assert "notifies nobody" in (await bot.tell("created")).note
    assert await bot.tell("failed") == Sent("HTTP 200")


async def test_who_was_known_stays_known_while_slack_has_no_time() -> None:
    bot = Bot("@oncall-ml")
    await bot.tell("created")
    bot.time += 600
    bot.world.mood = lambda method: "internal_error" if method == "usergroups.list" else None
    assert await bot.tell("failed") == Sent("HTTP 200")
    assert calls(bot.world.thread(bot.world.roots[0])[-1]) == ["!subteam^S0ONCALLML"]


async def test_the_map_goes_before_what_slack_says() -> None:
    mine = {"@oncall-ml": "S0000MINE1", "anna": "U0000ANNA1"}
    bot = Bot("@oncall-ml", "anna", "U0000ANNA1", mentions=mine)
    await bot.tell("failed")
    (answer,) = bot.world.thread(bot.world.roots[0])
    assert calls(answer) == ["!subteam^S0000MINE1", "@U0000ANNA1"]
    assert bot.asked == 0
    shown = json.loads(bot.slack.render(sample("failed")))
    assert shown[1]["text"] == answer["text"]


async def test_a_try_that_may_have_arrived_notifies_nobody_twice() -> None:
    bot = Bot("U0123ABCD")
    await bot.tell("failed")
    bot.memory = {}
    assert await bot.tell("failed", again=True) == Sent("it had arrived before")
    assert len(bot.world.messages) == 2
    bot = Bot("@oncall-ml")
    bot.world.moods = [None, None, 30]
    assert isinstance(await bot.tell("failed"), Retry), "that was the answer"
    await bot.tell("failed", again=True)
    assert sum(map(len, map(calls, bot.world.messages))) == 1


async def test_a_digest_and_what_is_about_no_job_mention_too() -> None:
    bot = Bot("U0123ABCD")
    result = await bot.slack.send([sample("failed"), sample("succeeded")], {}, bundle="quiet")
    assert isinstance(result.outcome, Sent)
    await bot.tell("failed", manual=True)
    assert [calls(one) for one in bot.world.channel] == [["@U0123ABCD"]] * 2


@pytest.mark.parametrize("moods", [[], ["invalid_blocks"]])
async def test_a_plainer_form_mentions_as_well(moods: list[str]) -> None:
    bot = Bot("U0123ABCD")
    await bot.tell("created")
    bot.world.moods = [None, *moods]
    await bot.tell("failed")
    assert calls(bot.world.thread(bot.world.roots[0])[-1]) == ["@U0123ABCD"]


async def test_a_jobs_own_words_mention_nobody_beside_it() -> None:
    bot = Bot("@oncall-ml")
    await bot.tell(hostile_event())
    root, answer = bot.world.messages
    assert calls(root) == []
    assert calls(answer) == ["!subteam^S0ONCALLML"]
    assert all("link_names" not in what and "parse" not in what for _, what in bot.world.calls)


async def test_by_a_webhook_ids_and_the_map_notify(kit: Any) -> None:
    async with kit.receiving() as there:
        from ftwatch.client import Client

        async with Client() as client:
            options = Slack.Options(webhook_url=Secret(there.url), mentions={"@oncall": "S0123ABCD"})
            spec = NotifierSpec(
                name="mine",
                kind="slack",
                options=options,
                client=client,
                compose=phrasing("@oncall", "U0123ABCD", "@here"),
            )
            slack = Slack(spec)
            there.answer = there.say(400, b"invalid_blocks")
            await slack.send([hostile_event()], {})
            there.answer = there.say(200)
            assert (await slack.send([sample("failed")], {})).outcome == Sent("HTTP 200")
    blocks, plain, good = (json.loads(request[2]) for request in there.requests)
    for one in (blocks, plain, good):
        assert one["text"].startswith("<!subteam^S0123ABCD> <@U0123ABCD> <!here> ")
        assert calls(one) == ["!subteam^S0123ABCD", "@U0123ABCD", "!here"]


async def test_check_online_knows_before_who_cannot_be_notified() -> None:
    bot = Bot("@oncall-ml", "@nobody", "U0123ABCD")
    assert "@nobody notifies nobody: there is no such user group" in (await bot.slack.introduce()).lacks
    bot = Bot("@oncall-ml")
    assert (await bot.slack.introduce()).lacks == ""
    bot = Bot("@oncall-ml")
    bot.world.scopes = SCOPES
    assert "@oncall-ml notifies nobody: usergroups.list: missing_scope" in (await bot.slack.introduce()).lacks
