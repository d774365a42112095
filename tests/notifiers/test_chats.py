"""Discord, Telegram and Teams by Apprise, over real sockets: within their limits, and nothing comes alive."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import JSONResponse, PlainTextResponse

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Event
from ftwatch.core.job import JobError
from ftwatch.core.message import Message, compose
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.notifiers.apprise import asking
from ftwatch.plugins import Secret
from tests.notifiers.chats import (
    DISCORD,
    TEAMS,
    TELEGRAM,
    Chat,
    Discord,
    Read,
    Refused,
    Teams,
    Telegram,
    at_once,
    elsewhere,
    telegram_html,
    telegram_v1,
    telegram_v2,
    units,
)

FAILED = sample("failed")
V1, V2 = TELEGRAM + "?format=markdown", TELEGRAM + "?format=markdown&mdv=v2"
EMBEDS = DISCORD + "?format=markdown"
URLS = {"discord": DISCORD, "embeds": EMBEDS, "telegram": TELEGRAM, "v1": V1, "v2": V2, "teams": TEAMS}
KINDS: dict[str, type[Chat]] = {
    "discord": Discord,
    "embeds": Discord,
    "telegram": Telegram,
    "v1": Telegram,
    "v2": Telegram,
    "teams": Teams,
}
each_chat = pytest.mark.parametrize("name", URLS)
# What of a message is more than text, by our own doing.
OURS = {"b", "i", "link", "blockquote", "code"}


@asynccontextmanager
async def reached(name: str, kit: Any) -> AsyncIterator[tuple[Any, Any]]:
    """The service, and a notifier that reaches it."""
    chat = KINDS[name]()
    async with chat.place.serving(), kit.made("apprise", url=Secret(URLS[name])) as apprise:
        with elsewhere(chat):
            yield chat, apprise


def said(message: Message) -> list[str]:
    """What has to be read of a message, whatever the form; the first two are its title and its quotation."""
    facts = [f"{fact.label}: {fact.value}" for fact in message.facts]
    return [message.title, message.quote or "", *message.lines, *facts, message.footer]


ALIKE = str.maketrans("＠＜＿∗ˋ∼", "@<_*`~")


def plain(text: str) -> str:
    """With single blanks, and without the signs that only look alike."""
    return " ".join(text.translate(ALIKE).replace("] (", "](").split())


def check(read: Read, message: Message) -> None:
    assert read.kinds() <= OURS
    assert set(read.links()) <= {re.sub(r"[()]", "", url) for _, url in message.links}


@each_chat
async def test_every_sort_of_event_is_read_whole(name: str, kit: Any) -> None:
    names = (
        SAMPLES if name == "telegram" else ("succeeded", "failed", "stuck", "checkpoint", "degraded", "dead")
    )
    async with reached(name, kit) as (chat, apprise):
        for one in names:
            result = await apprise.send([sample(one)], {})
            assert isinstance(result.outcome, Sent), (one, result.outcome, chat.refused)
            message, read = compose(sample(one)), chat.read.pop()
            for part in said(message):
                assert plain(part) in plain(read.text), (one, part)
            assert read.links() == [url for _, url in message.links]
            check(read, message)
    assert not chat.refused


@each_chat
async def test_nothing_of_strangers_comes_alive(name: str, kit: Any, hostile: Event) -> None:
    message = compose(hostile)
    async with reached(name, kit) as (chat, apprise):
        result = await apprise.send([hostile], {})
        assert isinstance(result.outcome, Sent), (result.outcome, chat.refused)
    (read,) = chat.read
    assert plain(message.title) in plain(read.text)
    assert plain(message.footer) in plain(read.text)
    check(read, message)
    assert not getattr(chat, "pings", [])


@pytest.mark.parametrize("word", ["@everyone", "@here", "<@81384788765712384>", "<@&165511591545143296>"])
@pytest.mark.parametrize("name", ["discord", "embeds"])
async def test_discord_calls_on_nobody(name: str, word: str, kit: Any) -> None:
    assert FAILED.job is not None
    event = replace(FAILED, data=replace(FAILED.data, job=replace(FAILED.job, name=f"ml{word} x{word}")))
    async with reached(name, kit) as (chat, apprise):
        assert isinstance((await apprise.send([event], {})).outcome, Sent)
    assert chat.pings == []
    assert plain(f"ml{word} x{word}") in plain(chat.read[0].text)


async def test_teams_calls_on_nobody(kit: Any) -> None:
    assert FAILED.job is not None
    error = JobError(message="<at>boss@example.com</at>")
    event = replace(FAILED, data=replace(FAILED.data, job=replace(FAILED.job, error=error)))
    async with reached("teams", kit) as (chat, apprise):
        assert isinstance((await apprise.send([event], {})).outcome, Sent)
    assert "<at>boss@example.com</at>" in plain(chat.read[0].text)
    assert "mention" not in chat.read[0].kinds()


def long(sign: str) -> Event:
    """A failure that says more than any chat takes, in signs that grow when they are escaped."""
    assert FAILED.job is not None
    error = JobError(code="c" * 80, message=sign * 1000, param="p" * 80)
    labels = {f"{number}{sign * 10}": sign * 60 for number in range(9)}
    job = replace(FAILED.job, model=sign * 300, owner=sign * 80, error=error, labels=labels, name=sign * 80)
    return replace(FAILED, data=replace(FAILED.data, job=job))


@pytest.mark.parametrize("sign", ["a", "*", "&", "<", "😀", "x:y:", "\\"])
@each_chat
async def test_what_is_too_long_is_cut_in_one_message_that_says_so(name: str, sign: str, kit: Any) -> None:
    event = long(sign)
    async with reached(name, kit) as (chat, apprise):
        result = await apprise.send([event], {})
        assert isinstance(result.outcome, Sent), (result.outcome, chat.refused)
    (read,) = chat.read
    assert chat.asked == 1
    check(read, compose(event))
    assert f"{event.job.provider} · {event.job.id}" in read.text  # type: ignore[union-attr]
    assert read.links()[0] == event.job.url  # type: ignore[union-attr]
    # What is not there is counted.
    text, message = plain(read.text), compose(event)
    parts = [*map(plain, said(message)[2:]), *(words for words, _ in message.links)]
    missing = [part for part in parts if part not in text]
    found = re.search(r"… and ([0-9]+) more lines?", text)
    assert int(found[1] if found else 0) == len(missing)
    assert plain(message.quote or "")[:20] in text
    if name == "teams":
        assert missing


@each_chat
async def test_a_digest_is_one_message_too(name: str, kit: Any) -> None:
    events = [long("*"), sample("succeeded"), sample("running"), long("_"), long("<"), sample("stuck")]
    async with reached(name, kit) as (chat, apprise):
        result = await apprise.send(events, {})
        assert isinstance(result.outcome, Sent), (result.outcome, chat.refused)
    assert chat.asked == 1
    check(chat.read[0], compose(*events))
    assert "6 messages" in chat.read[0].text


# ------------------------------------------------------------------------------------------- what goes wrong


@each_chat
@pytest.mark.parametrize("seconds", [1, 37])
async def test_who_asks_for_patience_gets_it_and_the_message_once(name: str, seconds: int, kit: Any) -> None:
    async with reached(name, kit) as (chat, apprise):
        chat.moods = [chat.busy(seconds)]
        first = (await apprise.send([FAILED], {})).outcome
        assert isinstance(first, Retry)
        assert first.throttled
        assert first.after is not None
        assert seconds <= first.after <= seconds + 1
        assert first.reason.startswith("HTTP 429: ")
        assert chat.asked == 1, "asked again only when the time has come"
        assert isinstance((await apprise.send([FAILED], {})).outcome, Sent)
    assert len(chat.read) == 1


async def test_a_wish_without_measure_is_cut_to_a_day(kit: Any) -> None:
    async with reached("telegram", kit) as (chat, apprise):
        chat.moods = [chat.busy(10**9), JSONResponse({"parameters": {"retry_after": "soon"}}, 429)]
        first, second = [(await apprise.send([FAILED], {})).outcome for _ in range(2)]
    assert first.after == 86400
    assert isinstance(second, Retry)
    assert second.after is None


async def test_what_a_service_says_is_the_reason(kit: Any) -> None:
    async with reached("telegram", kit) as (chat, apprise):
        chat.moods = [
            chat.no("chat not found"),
            PlainTextResponse("<html>Bad gateway</html>", 502),
            JSONResponse({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401),
        ]
        outcomes = [(await apprise.send([FAILED], {})).outcome for _ in range(3)]
    assert isinstance(outcomes[0], Rejected)
    assert "Bad Request: chat not found" in outcomes[0].reason
    assert isinstance(outcomes[1], Retry)
    assert isinstance(outcomes[2], Rejected)
    assert all("hunter2" not in outcome.reason for outcome in outcomes)


async def test_a_webhook_that_was_deleted_is_refused(kit: Any) -> None:
    for name in ("discord", "teams"):
        async with reached(name, kit) as (chat, apprise):
            chat.moods = [chat.gone()]
            outcome = (await apprise.send([FAILED], {})).outcome
        assert isinstance(outcome, Rejected)
        assert outcome.reason.startswith("HTTP 404: ")


async def test_nobody_there_is_no_answer(kit: Any) -> None:
    async with reached("discord", kit) as (chat, _):
        pass
    async with kit.made("apprise", url=Secret(DISCORD)) as apprise:
        with elsewhere(chat):
            outcome = (await apprise.send([FAILED], {})).outcome
    assert isinstance(outcome, Retry)
    assert outcome.unreachable
    assert outcome.reason == "no answer (ConnectionError)"


async def test_a_url_can_neither_repeat_nor_swallow_a_message(kit: Any) -> None:
    chat = Discord()
    url = Secret(DISCORD + "?retry=5&wait=0&optional=yes")
    async with chat.place.serving(), kit.made("apprise", url=url) as apprise:
        with elsewhere(chat):
            chat.moods = [PlainTextResponse("", 500)] * 2
            assert isinstance((await apprise.send([FAILED], {})).outcome, Retry)
    assert chat.asked == 1


# ------------------------------------------------------------------------------------- the strict readers


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (telegram_html, "<p>x</p>"),
        (telegram_html, "<b>x"),
        (telegram_html, "x</b>"),
        (telegram_html, "<b><i>x</b></i>"),
        (telegram_html, "a < b"),
        (telegram_html, "x<br/>y"),
        (telegram_v2, "gpt-4"),
        (telegram_v2, "Version 1.0"),
        (telegram_v2, "a > b"),
        (telegram_v2, "*x"),
        (telegram_v2, "a]"),
        (telegram_v2, "[a](b"),
        (telegram_v1, "*x"),
        (telegram_v1, "a_b"),
        (telegram_v1, "x ` y"),
    ],
)
def test_telegram_refuses_what_it_cannot_read(reader: Any, text: str) -> None:
    with pytest.raises(Refused, match="can't parse entities"):
        reader(text)


@pytest.mark.parametrize(
    ("reader", "text", "told", "kinds"),
    [
        (telegram_html, "<b>a &lt; b</b> &amp;co;", "a < b &co;", {"b"}),
        (telegram_html, '<a href="http://x/?a=1&amp;b">y</a>', "y", {"link"}),
        (telegram_v2, r"*a\-b* _c_ ||d|| [e](http://x)", "a-b c d e", {"b", "i", "tg-spoiler", "link"}),
        (telegram_v2, ">quoted", "quoted", {"blockquote"}),
        (telegram_v1, r"*a-b* _c_ a\_b [e](http://x)", "a-b c a_b e", {"b", "i", "link"}),
    ],
)
def test_and_reads_the_rest(reader: Any, text: str, told: str, kinds: set[str]) -> None:
    read = reader(text)
    assert (read.text, read.kinds()) == (told, kinds)


def test_a_character_of_two_halves_counts_twice() -> None:
    assert units("😀a") == 3


# --------------------------------------------------------------------------------- several chats in one URL


class Rooms(Telegram):
    """A bot in several chats: some have thrown it out, one of which has no time."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: set[int] = set()
        self.hurried: set[int] = set()

    def take(self, url: str, what: dict[str, Any]) -> Any:
        if what["chat_id"] in self.closed:
            raise Refused("chat not found")
        if what["chat_id"] in self.hurried:
            return self.busy(7)
        return super().take(url, what)

    @property
    def told(self) -> list[int]:
        """The chats that have read it, each as often as it did."""
        return [what["chat_id"] for what in self.posted]


@asynccontextmanager
async def rooms(kit: Any, url: str = f"{TELEGRAM}/2/3") -> AsyncIterator[tuple[Rooms, Any]]:
    there = Rooms()
    async with kit.made("apprise", url=Secret(url)) as apprise:
        with at_once(there):
            yield there, apprise


async def test_only_the_chats_that_did_not_take_it_get_it_again(kit: Any) -> None:
    async with rooms(kit) as (there, apprise):
        there.closed = {2}
        first = await apprise.send([FAILED], {})
        assert isinstance(first.outcome, Rejected)
        assert first.outcome.reason.startswith("1 of 3 addresses: HTTP 400")
        assert "chat not found" in first.outcome.reason
        assert there.told == [12315544, 3]
        second = await apprise.send([FAILED], json.loads(json.dumps(first.memory)))
        assert isinstance(second.outcome, Rejected)
        assert (there.told, there.asked) == ([12315544, 3], 4)
        there.closed = set()
        assert isinstance((await apprise.send([FAILED], second.memory)).outcome, Sent)
        assert there.told == [12315544, 3, 2]
        await apprise.send([sample("succeeded")], second.memory)
        assert there.told[3:] == [12315544, 2, 3], "another event is for all again"


async def test_who_has_no_time_is_not_asked_for_the_next_chat(kit: Any) -> None:
    async with rooms(kit) as (there, apprise):
        there.hurried = {2}
        first = await apprise.send([FAILED], {})
        assert isinstance(first.outcome, Retry)
        assert (first.outcome.throttled, first.outcome.after) == (True, 7)
        assert (there.told, there.asked) == ([12315544], 2)
        there.hurried = set()
        assert isinstance((await apprise.send([FAILED], first.memory)).outcome, Sent)
        assert there.told == [12315544, 2, 3]


def parts(url: str) -> list[int]:
    """To how many addresses each of the plug-ins goes that a URL becomes."""
    import apprise

    return [len(one) for one in asking._apart(apprise, url, asking._plugins(apprise, url))]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{TELEGRAM}/2:5/@chan", [1, 1, 1]),
        (TELEGRAM, [1]),
        (DISCORD, [1]),
        ("mailto://me:secret@gmail.com?to=a@x.example,b@y.example", [1, 1]),
        ("mailto://me:secret@gmail.com?to=a@x.example,Doe, Jane <j@y.example>", [2]),
        ("slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#ml/#search", [1, 1]),
        ("ntfy://localhost/one/two", [1, 1]),
        ("json://localhost/a/b", [1]),
        ("matrixs://me:secret@localhost/#one/#two", [2]),
        (f"{TELEGRAM}, {DISCORD}", [1, 1]),
    ],
)
def test_which_urls_come_apart(url: str, expected: list[int]) -> None:
    assert parts(url) == expected


def test_the_parts_behave_and_keep_one_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise

    url = "ntfy://localhost/one/two?retry=5&optional=yes&overflow=upstream"
    for part in asking._apart(apprise, url, asking._plugins(apprise, url)):
        assert (part.retry, part.optional) == (0, False)
        assert part.overflow_mode == apprise.OverflowMode.SPLIT
    naps: list[float] = []
    monkeypatch.setattr("apprise.url.time.sleep", naps.append)
    one, two = asking._apart(apprise, "ntfy://localhost/one/two", asking._plugins(apprise, url))
    pace = asking._Pace()
    for part in (one, two):
        pace.wait(part.throttle)
    (nap,) = naps
    assert 0 < nap <= one.request_rate_per_sec
