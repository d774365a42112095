"""ntfy: what is published, exactly; how loud; what replaces what; its limits; what its answers mean."""

import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Event
from ftwatch.core.job import JobError
from ftwatch.core.message import compose
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.notifiers.ntfy import SHORT_CODES
from ftwatch.plugins import Duration, Secret, load_kind
from tests.notifiers.services import TOPIC, NtfySink, golden


def options(url: str, **more: Any) -> dict[str, Any]:
    return {"url": url, "topic": Secret(TOPIC), "timeout": Duration(seconds=5), **more}


def root(url: str) -> str:
    return url.removesuffix("/hook")


def at(what: str, sequence: int, **job: Any) -> Event:
    event = sample(what)
    assert event.job is not None
    return replace(event, data=replace(event.data, sequence=sequence, job=replace(event.job, **job)))


@asynccontextmanager
async def published(kit: Any, **more: Any) -> AsyncIterator[tuple[NtfySink, Any]]:
    """A server, and what tells it of events: one after another, with the memory that the one before left."""
    sink = NtfySink()
    async with sink.serving(), kit.made("ntfy", **options(root(sink.url), **more)) as phone:

        async def tell(*events: Event | list[Event]) -> list[dict[str, Any]]:
            sink.arrivals = []
            memory: dict[str, Any] = {}
            for one in events:
                result = await phone.send(one if isinstance(one, list) else [one], memory)
                assert result.outcome == Sent("HTTP 200")
                memory = result.memory if result.memory is not None else memory
                json.dumps(memory)
            assert sink.refused == []
            return [arrival.what for arrival in sink.arrivals]

        yield sink, tell


async def test_the_body_for_every_sort_of_event(kit: Any) -> None:
    async with published(kit) as (_, tell):
        golden("ntfy", {name: (await tell(sample(name)))[0] for name in SAMPLES})


async def test_the_body_in_markdown(kit: Any) -> None:
    async with published(kit, markdown=True) as (_, tell):
        names = ("failed", "succeeded", "updated", "degraded")
        found = {name: (await tell(sample(name)))[0]["message"] for name in names}
        found["digest"] = (await tell([sample("running"), sample("failed")]))[0]["message"]
        golden("ntfy-markdown", found)


async def test_it_is_published_at_the_root_as_json(kit: Any) -> None:
    async with kit.receiving() as there:
        for url in (root(there.url), root(there.url) + "/"):
            async with kit.made("ntfy", **options(url)) as phone:
                await phone.send([sample("failed")], {})
    for first, headers, body in there.requests:
        assert first == "POST / HTTP/1.1"
        assert headers["content-type"] == "application/json"
        assert "authorization" not in headers
        assert json.loads(body)["topic"] == TOPIC


# --------------------------------------------------------------------------------------------- loudness


async def test_the_severity_is_the_priority_and_can_be_changed(kit: Any) -> None:
    names = ("updated", "running", "succeeded", "paused", "failed")
    async with published(kit) as (_, tell):
        assert [one["priority"] for one in await tell(*map(sample, names))] == [1, 2, 3, 4, 5]
    async with kit.receiving() as there:
        quiet = {"error": 4, "notice": 1}
        async with kit.made("ntfy", **options(root(there.url), priority=quiet)) as phone:
            for name in names:
                await phone.send([sample(name)], {})
    assert [json.loads(body)["priority"] for _, _, body in there.requests] == [1, 2, 1, 4, 4]


def test_every_picture_has_its_short_code() -> None:
    for name in SAMPLES:
        message = compose(sample(name))
        assert message.icon in SHORT_CODES, name
        assert message.headline, name
        assert f"{message.icon} {message.headline}" == message.title
    assert compose(sample("failed"), sample("running")).icon in SHORT_CODES


# -------------------------------------------------------------------------------------- what replaces what


async def test_what_closes_a_problem_replaces_what_opened_it(kit: Any) -> None:
    """And nothing else does: a message that takes the place of one that still shows makes no sound."""
    async with published(kit) as (_, tell):
        created, failed, running, succeeded = await tell(
            at("created", 1), at("failed", 4), at("running", 5), at("succeeded", 6)
        )
        assert "sequence_id" not in created
        assert "sequence_id" not in running
        assert succeeded["sequence_id"] == failed["sequence_id"]
        first, again = await tell(at("failed", 4), replace(at("failed", 6), id="evt_other"))
        assert first["sequence_id"] != again["sequence_id"], "the second failure must be heard, too"
        opened, closed = await tell(sample("degraded"), sample("recovered"))
        assert opened["sequence_id"] == closed["sequence_id"]
        paused, stuck, running, over = await tell(
            at("paused", 2), at("stuck", 3), at("running", 4), at("stuck-resolved", 5)
        )
        assert paused["sequence_id"] == running["sequence_id"]
        assert stuck["sequence_id"] == over["sequence_id"] != paused["sequence_id"]
        (alone,) = await tell(sample("succeeded"))
        assert "sequence_id" not in alone


async def test_a_digest_replaces_nothing(kit: Any) -> None:
    async with published(kit) as (_, tell):
        failed, digest = await tell(at("failed", 4), [at("running", 5), at("succeeded", 6)])
    assert "sequence_id" in failed
    assert "sequence_id" not in digest
    assert digest["title"].startswith("2 messages that could not be sent in time")
    assert len(digest["message"].splitlines()) == 3
    assert digest["priority"] == 3


async def test_a_digest_says_what_its_messages_were_held_for(kit: Any) -> None:
    told = [at("running", 5), at("failed", 6)]
    async with kit.receiving() as there, kit.made("ntfy", **options(root(there.url))) as phone:
        await phone.send(told, {}, bundle="quiet")
    what = json.loads(there.requests[0][2])
    assert what["title"].startswith("2 messages from the quiet hours")
    assert what["priority"] == 5, "as loud as the worst of them"


# ----------------------------------------------------------------------------------------------- limits


LONG = ("é" * 9000, "漢" * 9000, "👩‍👩‍👧‍👦" * 2000, "e\u0301" * 5000, "\\" * 9000, "`*_[](x)<b>" * 900)


@pytest.mark.parametrize("markdown", [False, True])
async def test_a_message_has_four_kilobytes_however_long_its_characters(kit: Any, markdown: bool) -> None:
    async with published(kit, markdown=markdown) as (_, tell):
        for text in LONG:
            labels = {f"{number}{text[:99]}": text for number in range(9)}
            (what,) = await tell(
                at("failed", 4, name=text, model=text, labels=labels, error=JobError(message=text, code=text))
            )
            assert len(what["message"].encode()) <= 4096
            assert len(what["title"].encode()) <= 1024
            assert "\ufffd" not in what["message"]
            many = [at("failed", number, name=text, error=JobError(message=text)) for number in range(40)]
            (what,) = await tell(many)
            assert len(what["message"].encode()) <= 4096


async def test_what_strangers_wrote_stays_text(kit: Any, hostile: Event) -> None:
    async with published(kit) as (_, tell):
        (what,) = await tell(hostile)
    assert what["markdown"] is False
    assert what["topic"] == TOPIC
    assert what["tags"] == ["x"]
    assert set(what) == {
        *("topic", "title", "message", "priority", "tags", "markdown", "click", "sequence_id")
    }
    for text in (what["title"], what["message"]):
        assert not {"\r", "\x1b", "\x07", "\u202e"} & set(text)
    assert what["click"] == "https://platform.openai.com/finetune/ftjob-sample4w9Zq2"


async def test_nothing_of_strangers_is_markdown(kit: Any, hostile: Event) -> None:
    texts = ["# head", "- item", "+ item", "1. item", "12) item", "= line", "> quote", "&lt;b&gt;", "a_b*c*"]
    async with published(kit, markdown=True) as (_, tell):
        for event in (hostile, *(at("failed", 1, error=JobError(message=text)) for text in texts)):
            (what,) = await tell(event)
            body = what["message"]
            if (quote := body.partition("\n\n")[0]).startswith("> "):
                body = body.removeprefix(quote)
                assert re.match(r"> ([A-Za-z<&]|\\|\d+\\|.+)", quote)
                assert not re.match(r"> ([-+=#>]|\d+[.)])", quote), quote
                check_plain(quote.removeprefix("> "))
            for line in body.strip().split("  \n"):
                ours = re.fullmatch(r"\*\*(.*?):\*\* (.*)|\*(.*)\*", line)
                assert ours, line
                for text in ours.groups():
                    check_plain(text or "")


def check_plain(text: str) -> None:
    """Every sign that could be Markdown stands behind a backslash."""
    assert re.fullmatch(r"([^\\`*_\[\]<>#~|&]|\\[!-/:-@\[-`{-~])*", text), text


async def test_only_a_web_address_opens_at_a_touch(kit: Any) -> None:
    async with published(kit) as (_, tell):
        for url in ("javascript:alert(1)", "intent://x", "https://a b", "ntfy://x/y", None):
            (what,) = await tell(at("failed", 1, url=url, integrations=()))
            assert "click" not in what


# ---------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (200, b'{"id":"hwQ2YpKdmg","event":"message"}', Sent, "HTTP 200"),
        (
            400,
            b'{"code":40009,"http":400,"error":"invalid request: topic invalid"}',
            Rejected,
            "topic invalid",
        ),
        (
            401,
            b'{"code":40101,"http":401,"error":"unauthorized","link":"https://x"}',
            Rejected,
            "unauthorized",
        ),
        (403, b'{"code":40301,"http":403,"error":"forbidden"}', Rejected, "HTTP 403: forbidden"),
        (404, b'{"code":40401,"http":404,"error":"page not found"}', Rejected, "page not found"),
        (413, b'{"code":41303,"http":413,"error":"JSON body too large"}', Rejected, "JSON body too large"),
        (500, b'{"code":50001,"http":500,"error":"internal server error"}', Retry, "internal server error"),
        (507, b'{"code":50701,"http":507,"error":"topic is inactive"}', Retry, "topic is inactive"),
        (502, b"<html>bad gateway</html>", Retry, "HTTP 502: <html>"),
        (400, b'{"error": ["x"]}', Rejected, "HTTP 400"),
    ],
)
async def test_what_an_answer_means(kit: Any, status: int, body: bytes, kind: type, said: str) -> None:
    async with kit.receiving() as there, kit.made("ntfy", **options(root(there.url))) as phone:
        there.answer = there.say(status, body)
        result = await phone.send([sample("failed")], {})
    assert isinstance(result.outcome, kind)
    assert said in (result.outcome.note if isinstance(result.outcome, Sent) else result.outcome.reason)
    assert (result.memory is not None) is (kind is Sent)


async def test_a_quota_is_waited_for(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("ntfy", **options(root(there.url))) as phone:
        there.answer = there.say(429, b'{"code":42908,"error":"limit reached: daily message quota reached"}')
        outcome = (await phone.send([sample("failed")], {})).outcome
    assert outcome == Retry("HTTP 429: limit reached: daily message quota reached", throttled=True)


# -------------------------------------------------------------------------------------------- who publishes


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"token": Secret("tk_hunter2")}, "Bearer tk_hunter2"),
        (
            {"username": "phil", "password": Secret("geheim: é")},
            "Basic " + base64.b64encode("phil:geheim: é".encode()).decode(),
        ),
    ],
)
async def test_a_server_that_wants_to_know_who_publishes_is_told(
    kit: Any, given: dict[str, Any], header: str
) -> None:
    sink = NtfySink(token=header)
    async with sink.serving():
        async with kit.made("ntfy", **options(root(sink.url), **given)) as phone:
            assert isinstance((await phone.send([sample("failed")], {})).outcome, Sent)
        async with kit.made("ntfy", **options(root(sink.url))) as phone:
            refused = (await phone.send([sample("failed")], {})).outcome
    assert refused == Rejected("HTTP 403: forbidden")
    assert sink.arrivals[0].headers["authorization"] == header


def made_options(**given: Any) -> Any:
    return load_kind("notifier", "ntfy").Options(**{"topic": Secret("t"), **given})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "ntfy.sh"}, "url is no http or https address, like https://ntfy.sh"),
        ({"url": "https://ntfy.sh/alerts"}, "url is the server's address alone"),
        ({"url": "https://ntfy.sh/?auth=x"}, "url is the server's address alone"),
        ({"url": "https://u:p@ntfy.sh"}, "holds a user name or password; use username and password"),
        ({"username": "phil"}, "username and password belong together"),
        (
            {"token": Secret("a"), "username": "b", "password": Secret("c")},
            "give token, or username and password, not both",
        ),
    ],
)
def test_a_wrong_option_is_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        made_options(**given)


def test_what_only_shows_with_its_secrets_is_found_by_check() -> None:
    assert list(made_options(topic=Secret("ft-alerts_1"), token=Secret("tk_x")).problems()) == []
    for topic in ("a b", "a/b", "x" * 65, "ünïcode"):
        assert [name for name, _ in made_options(topic=Secret(topic)).problems()] == ["topic"]
    ((name, said),) = made_options(token=Secret("tk_\n")).problems()
    assert (name, said) == ("token", "holds characters that no header may")
