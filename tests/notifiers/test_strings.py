"""Whatever strangers write, shown by everything that shows it: it stays text, in its place, in bounds."""

import asyncio
import contextlib
import io
import json
import logging
import re
import smtplib
import unicodedata
from collections.abc import Iterator
from email import policy
from email.parser import BytesHeaderParser, BytesParser
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ftwatch import log as logs
from ftwatch.cli.output import plain
from ftwatch.client import Client
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Sent
from ftwatch.core.event import Event, Severity
from ftwatch.core.job import JobError, Snapshot
from ftwatch.core.known import Known, Look, Policy
from ftwatch.core.message import Message, Wording, clean, compose
from ftwatch.core.route import Match, Mention, Recipient, Route, Routing
from ftwatch.log import shapeless
from ftwatch.notifiers import slack
from ftwatch.notifiers.apprise.asking import tell
from ftwatch.plugins import NotifierSpec, Secret, Unreadable, load_kind
from ftwatch.wire import openai as wire
from ftwatch.wire.markup import Form, dressed, units
from ftwatch.wire.wording import Phrasing, Unworded, worded
from tests.notifiers.chats import (
    DISCORD,
    TEAMS,
    TELEGRAM,
    Chat,
    Discord,
    Teams,
    Telegram,
    at_once,
    card,
    commonmark,
    html,
)
from tests.notifiers.services import alertmanager, needs_alertmanager

NOW = 1_795_387_800
POLICY = Policy(routing=Routing(), settle=0)
LONGEST = 10_000  # what is kept of one text of a provider


def whole(recipe: Any) -> str:
    """The text that a recipe of the corpus stands for."""
    match recipe:
        case str():
            return recipe
        case {"repeat": [str(text), int(times)]}:
            return text * times
        case list():
            return "".join(whole(part) for part in recipe)
    raise AssertionError(f"no recipe: {recipe!r}")


ROWS = {
    row["name"]: row
    for row in json.loads((Path(__file__).parents[1] / "data" / "strings.json").read_text("ascii"))["rows"]
}
TEXTS = {name: whole(row["text"]) for name, row in ROWS.items()}


def test_the_corpus_is_as_large_as_it_says_and_every_row_has_a_name_of_its_own() -> None:
    found = json.loads((Path(__file__).parents[1] / "data" / "strings.json").read_text("ascii"))
    assert len(found["rows"]) == len(ROWS) >= 200
    assert {key for row in found["rows"] for key in row} <= {"name", "text", "never", "link"}
    sinks = {sink for row in found["rows"] for sink in row.get("never", {})}
    assert sinks <= {*SHOWN, "*", "email head", "email html", "slack", "webhook", "terminal", "log"}


# ------------------------------------------------------------------------------------------ making events


def document(**fields: Any) -> dict[str, Any]:
    return {"id": "ftjob-1", "status": "running", "created_at": NOW - 7200, "model": "m", **fields}


def read(fields: dict[str, Any]) -> Snapshot:
    """What the wire makes of a provider's document: strangers' words come in by this door alone."""
    return wire.read(
        json.dumps(fields).encode(), provider="openai-prod", kind="openai", labels={"env": "prod"}
    )


def looked(before: Snapshot | None, after: Snapshot) -> list[Event]:
    known = Known(snapshot=before, sequence=3, link="evt_before", status_since=NOW - 3600) if before else None
    return list(decide(known, Look(key=after.key, asked=1, at=NOW, snapshot=after), POLICY, NOW).events)


BEFORE = read(document())


def events_of(name: str, model: str, metadata: dict[str, str], code: str, message: str) -> list[Event]:
    """What is told of a job with these words in it: it came, it changed, it failed, it succeeded."""
    words: dict[str, Any] = {"user_provided_suffix": name, "model": model, "metadata": metadata}
    ended = {**words, "finished_at": NOW - 60, "fine_tuned_model": model}
    error = {"code": code, "message": message, "param": code}
    after = [
        document(**words),
        document(**ended, status="failed", error=error),
        document(**ended, status="succeeded"),
    ]
    return [*looked(None, read(after[0])), *(event for one in after for event in looked(BEFORE, read(one)))]


def unread(event: Event, text: str) -> Event:
    """The same event with the text in it as it is, as a provider of another kind might let it through."""
    assert event.job is not None
    error = JobError(code=text, message=text, param=text)
    job = replace(event.job, name=text, model=text, error=error, raw_status=text, labels={text: text})
    return replace(event, data=replace(event.data, job=job))


@cache
def told(name: str) -> tuple[Event, ...]:
    """Every event that a row of the corpus makes, by way of the wire."""
    text = TEXTS[name]
    found = events_of(text, text, {text: text, "k": text}, text, text)
    for fields in ({"status": text}, {"id": text}):
        with contextlib.suppress(Unreadable):
            found += looked(BEFORE if "status" in fields else None, read(document(**fields)))
    return tuple(found)


def failure(name: str) -> Event:
    """How the failure is told."""
    event = told(name)[2]
    assert event.type.endswith("failed")
    return event


def all_told(name: str) -> list[Event]:
    """As `told`, and with the text untouched by any wire."""
    event = failure(name)
    return [*told(name), unread(event, TEXTS[name])]


every_row = pytest.mark.parametrize("name", ROWS)


# --------------------------------------------------------------------------------------- what is inert


def same(text: str) -> str:
    """The text with single blanks."""
    return " ".join(text.split())


def quiet(text: str, lines: int | None = 1) -> bool:
    """Whether a text only shows: no control, nothing that hides or turns what follows, so many lines."""
    kinds = {unicodedata.category(c) for c in text if c != "\n"}
    if kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return False
    return lines is None or text.count("\n") + 1 == lines


def check_never(name: str, sink: str, text: str) -> None:
    never = ROWS[name].get("never", {})
    for part in [*never.get(sink, ()), *(never.get("*", ()) if sink in SHOWN else ())]:
        assert part not in text, f"{sink} shows {part!r}"


def lines_of(message: Message) -> int:
    return (
        1
        + bool(message.quote)
        + len(message.lines)
        + len(message.facts)
        + bool(message.link)
        + bool(message.footer)
    )


# More than the 150 that a title should have: see the test of long keys.
LONGEST_TITLE = 230


def check_message(message: Message) -> None:
    assert quiet(message.text, lines_of(message))
    assert len(message.title) <= LONGEST_TITLE
    assert message.title == same(message.title), "it says which job, and nothing is left open at its end"
    assert len(message.quote or "") <= 1000
    assert all(0 < len(fact.label) <= 80 and len(fact.value) <= 600 for fact in message.facts)
    assert len(message.footer) <= 200
    assert len(message.text) <= 6000


find = cache(load_kind)


def made(kind: str, **options: Any) -> Any:
    found = find("notifier", kind)
    return found(NotifierSpec(name="mine", kind=kind, options=found.Options(**options), client=None))


SLACK = made("slack", webhook_url=Secret("https://hooks.example.com/x"))
BOT = made("slack", bot_token=Secret("xoxb-1"), channel="C0MLCHANNEL")
CONSOLE = made("console")
APPRISE = made("apprise", url=Secret("json://receiver.example.com"))
WEBHOOK = made("webhook", url=Secret("https://example.com/"), secret=Secret("whsec_" + "A" * 32))
COMMAND = made("command", argv=("true",))
PAGER = made("pagerduty", routing_key=Secret("k" * 32))
PHONE = made("ntfy", topic=Secret("t"))
MARKED = made("ntfy", topic=Secret("t"), markdown=True)
ALERTS = made("alertmanager", url="http://alerts.example.com")
# The sinks that show what a message says, for `*` in a row's `never`.
SHOWN = ("message", "console", "apprise", "email text", "pagerduty", "ntfy", "alertmanager")


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


LIMITS = {"section": 3000, "context": 3000, "field": 2000, "button": 75, "url": 3000, "text": 40_000}


def check_slack(payload: dict[str, Any], lines: int = 2) -> None:
    """Nothing that Slack would turn into a link, a mention or a date, and nothing longer than it takes."""
    json.dumps(payload).encode()
    assert set(payload) == {"text", "blocks", "attachments", "unfurl_links", "unfurl_media"}
    assert payload["unfurl_links"] is payload["unfurl_media"] is False
    for text in strings(payload):
        assert quiet(text, None)
        # The one angle bracket is our own: it makes a quote of a line.
        assert not set("<>") & set(text.removeprefix("> "))
        assert "&" not in re.sub(r"&(amp|lt|gt);", "", text) or text.startswith("https://")
    assert quiet(payload["text"])
    assert len(payload["text"]) <= LIMITS["text"]
    (head,), (attachment,) = payload["blocks"], payload["attachments"]
    for block in (head, *attachment["blocks"]):
        marked = (
            [block["text"]]
            if "text" in block
            else block.get("fields", block["elements"] if block["type"] == "context" else [])
        )
        assert all(one["verbatim"] is True for one in marked)
        longest = LIMITS["field"] if "fields" in block else LIMITS.get(block["type"], 0)
        assert all(0 < len(one["text"]) <= longest for one in marked)
        assert len(marked) <= 10
        assert all(one["text"].count("\n") < lines for one in marked)
    title = head["text"]["text"]
    assert "\n" not in title
    assert title.startswith("*")
    assert title.endswith("*")
    assert title.count("*") == 2


class Postman(smtplib.SMTP):
    """The standard library's own client, to nowhere: keeps what it would have put on the wire."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: list[bytes] = []

    def __exit__(self, *_: object) -> None:
        pass

    def ehlo_or_helo_if_needed(self) -> None:
        pass

    def sendmail(self, from_addr: Any, to_addrs: Any, msg: Any, *_: Any, **__: Any) -> Any:
        assert from_addr == "ft@example.com"
        assert to_addrs == ["ml@example.com", "boss@example.com", "team@example.com"]
        self.posted.append(msg)
        return {}


def posted(*told: Event | list[Event]) -> list[bytes]:
    """The letters about events, and of several one digest: to the people of the config and nobody else."""

    async def send() -> None:
        for events in told:
            result = await mail.send(events if isinstance(events, list) else [events], {})
            assert isinstance(result.outcome, Sent), result.outcome

    postman = Postman()
    mail = made(
        "email",
        host="smtp.example.com",
        security="plain",
        from_="ftwatch <ft@example.com>",
        to=("ml@example.com", "Boss <boss@example.com>"),
        cc=("team@example.com",),
    )
    mail._connect = lambda *_: postman
    asyncio.run(send())
    return postman.posted


HEADERS = [
    "from", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references", "list-id",
    "auto-submitted", "x-auto-response-suppress", "x-ftwatch-event", "mime-version", "content-type",
]  # fmt: skip
TAGS = {
    "html", "head", "meta", "style", "body", "div",
    "h1", "p", "br", "wbr", "small", "code", "table", "tr", "td", "a",
}  # fmt: skip
ATTRIBUTES = {"lang", "charset", "name", "content", "class", "style", "role", "href", "cellpadding", "nowrap"}


class Tags(HTMLParser):
    """Which tags and attributes a page has, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError("a declaration")

    handle_pi = unknown_decl


def check_letter(raw: bytes, *events: Event) -> tuple[str, str, str]:
    """Exactly the headers and people that the config says, and the message in text and in HTML."""
    message = compose(*events)
    assert b"\x00" not in raw
    assert raw.count(b"\n") == raw.count(b"\r") == raw.count(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    raw.split(b"\r\n\r\n")[0].decode("ascii")
    letter = BytesParser(policy=policy.compat32).parsebytes(raw)
    headers = [name for name in HEADERS if message.thread or name not in ("in-reply-to", "references")]
    assert [name.lower() for name, _ in letter.items()] == headers
    parts = letter.get_payload()
    assert letter.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    text, page = (part.get_payload(decode=True).decode("utf-8").replace("\r\n", "\n") for part in parts)
    # What a reader of today makes of the head: it decodes encoded words.
    head = BytesHeaderParser(policy=policy.default).parsebytes(raw)
    assert [name.lower() for name, _ in head.items()] == headers
    assert head["from"] == "ftwatch <ft@example.com>"
    assert head["to"] == "ml@example.com, Boss <boss@example.com>"
    assert head["cc"] == "team@example.com"
    assert head["subject"].defects == ()
    assert quiet(str(head["subject"]))
    assert "".join(str(head["subject"]).split()) == "".join(
        clean(message.topic or message.title, 150).split()
    )
    # The same lines: nobody's word is a line of its own.
    assert text == message.text + "\n"
    tags = Tags(page)
    assert tags.tags <= TAGS
    assert tags.attributes <= ATTRIBUTES
    assert all(link.startswith(("https://", "http://")) for link in tags.links)
    for part in (message.title, message.quote or "", *(fact.value for fact in message.facts), message.footer):
        assert part in tags.text
    return same(str(head["subject"])), text, page


# --------------------------------------------------------------------------------------------- the sinks


@every_row
def test_a_message_is_short_quiet_lines_on_the_console_and_through_apprise(name: str) -> None:
    for event in all_told(name):
        message = compose(event)
        check_message(message)
        check_never(name, "message", message.text)
        line = CONSOLE.render(event)
        assert quiet(line)
        assert len(line) <= 1500
        check_never(name, "console", line)
        shown = APPRISE.render(event)
        title, _, body = shown.partition("\n\n")
        assert (title, quiet(title)) == (harmless(message.title), True)
        assert quiet(body, lines_of(message) - 1 + max(0, len(message.links) - 1))
        check_never(name, "apprise", shown)


CALLS = re.compile(r"@(?=everyone|here|channel|all\b|room|[&!*\d])|(?<![\w.+-])@(?=\w)", re.IGNORECASE)


def harmless(text: str) -> str:
    """The text, calling on nobody."""
    return CALLS.sub("＠", text)


ALIKE = str.maketrans("＠＜＿∗ˋ∼", "@<_*`~")


def plain_signs(text: str) -> str:
    """With single blanks, and without the signs that only look alike."""
    return same(text.translate(ALIKE).replace("] (", "]("))


# What of a message may be more than its text, in each of the chats.
OURS = {"b", "i", "link", "blockquote", "code"}
CHATS: tuple[tuple[str, type[Chat]], ...] = (
    (DISCORD, Discord),
    (TELEGRAM, Telegram),
    (TELEGRAM + "?format=markdown&mdv=v2", Telegram),
    (TEAMS, Teams),
)


@every_row
@pytest.mark.parametrize(("url", "kind"), CHATS)
def test_in_a_chat_it_is_read_as_text(name: str, url: str, kind: type[Chat]) -> None:
    for event in (failure(name), unread(failure(name), TEXTS[name])):
        message = compose(event)
        chat = kind()
        with at_once(chat):
            outcome = tell(url, message).outcome
        assert isinstance(outcome, Sent), (outcome, chat.refused)
        (read,) = chat.read
        assert read.kinds() <= OURS
        assert set(read.links()) <= {url.translate(_ESCAPED) for _, url in message.links}
        assert read.text.count("\n") <= lines_of(message) + len(message.links) + 3
        assert not getattr(chat, "pings", None)
        check_never(name, "apprise", read.text)


# What in a link's address is written in another way: it means the same.
_ESCAPED = {ord(sign): f"%{ord(sign):02X}" for sign in "()\\*`[]|~"}


@every_row
@pytest.mark.parametrize("form", Form)
def test_in_every_form_it_is_text_within_bounds(name: str, form: Form) -> None:
    readers = {Form.HTML: html, Form.MARKDOWN: commonmark, Form.CHAT: commonmark, Form.CARD: card}
    for event in (failure(name), unread(failure(name), TEXTS[name])):
        message = compose(event)
        for most in (160, 1000, 1 << 20):
            shown = dressed(message, form, most, titled=True)
            assert units(shown) <= most
            if form in readers:
                read = readers[form](shown)
                assert read.kinds() <= OURS
                assert quiet(read.text, None)
                if most > 10_000:
                    # Nothing is missing, and nothing was added to.
                    text = plain_signs(read.text)
                    assert all(plain_signs(fact.value) in text for fact in message.facts)
                    assert plain_signs(message.title) in text


WORDS = Wording(
    title="{{ job.name }}: {{ job.error.message if job.error else event.type }}",
    body="{{ title }}\n{{ job.model }} | {{ job.metadata }}\n{{ text }}",
)


@every_row
def test_a_template_shows_it_and_does_not_obey_it(name: str) -> None:
    # What no encoder takes has been read in another way, or no event could be kept.
    text = TEXTS[name].encode("utf-8", "replace").decode()
    for event in (failure(name), unread(failure(name), text)):
        try:
            message = worded(compose(event), event, WORDS)
        except Unworded as error:
            # What comes to nothing makes no title.
            assert error.which == "title"  # noqa: PT017
            continue
        # No word is a line of its own: those are the template's.
        given = compose(event).text.count("\n") + 1
        assert len(message.lines) <= 2 + given
        assert quiet(message.title)
        assert all(quiet(line) for line in message.lines)
        assert same(message.title) == message.title
        check_slack(slack.payload(message), 2 + given)
        check_never(name, "message", message.text)
        for url, kind in CHATS[:2]:
            chat = kind()
            with at_once(chat):
                assert isinstance(tell(url, message).outcome, Sent), chat.refused
            assert chat.read[0].kinds() <= OURS


@every_row
def test_a_digest_has_a_line_for_each_event(name: str) -> None:
    events = list(told(name))
    message = compose(*events)
    assert len(message.lines) == len(events)
    assert quiet(message.text, lines_of(message))
    assert len(message.text) <= 400 * len(events) + 200
    for text in strings(slack.payload(message)):
        assert quiet(text, None)
        assert not set("<>") & set(text)
        assert len(text) <= LIMITS["section"]
    check_letter(*posted(events), *events)


@every_row
def test_slack_mentions_nobody_and_links_nothing(name: str) -> None:
    for event in all_told(name):
        payload = slack.payload(compose(event))
        check_slack(payload)
        check_never(name, "slack", json.dumps(payload, ensure_ascii=False))


CALLED = Phrasing(
    "mine",
    Routing(
        recipients=(Recipient(name="mine", kind="slack"),),
        routes=(
            Route(
                match=Match(min_severity=Severity.DETAIL),
                notify=("mine",),
                mention={"mine": tuple(map(Mention, ("U0123ABCD", "S0123ABCD", "@here", "@nobody")))},
            ),
        ),
    ),
)


@every_row
def test_whom_the_config_mentions_is_notified_and_nobody_else(name: str) -> None:
    before = "<@U0123ABCD> <!subteam^S0123ABCD> <!here> @nobody "
    for event in all_told(name):
        message = CALLED(event)
        for made in (slack.payload(message), slack.plain(message)):
            assert made["text"].startswith(before)
            made["text"] = made["text"].removeprefix(before)
            assert not set("<>") & set(made["text"])
            for head in made.get("blocks", []):
                assert head["text"]["text"].startswith(before)
                head["text"]["text"] = head["text"]["text"].removeprefix(before)
            check_never(name, "slack", json.dumps(made, ensure_ascii=False))
            if "blocks" in made:
                check_slack(made)
        # Nothing of it goes where nobody can be mentioned.
        assert message.text == compose(event).text


DATE = re.compile(r"<!date\^\d+\^\{date_short_pretty\} \{time\}\|[-0-9: ]+UTC>")


@every_row
def test_a_jobs_living_message_in_slack_and_its_answers_are_as_inert(name: str) -> None:
    for event in all_told(name):
        made = json.loads(BOT.render(event))
        for payload in made if isinstance(made, list) else [made]:
            # The one thing between angle brackets is a moment, of our own making.
            text = DATE.sub("then", json.dumps(payload, ensure_ascii=False))
            check_slack(json.loads(text))
            check_never(name, "slack", text)
            coded = [one for one in strings(payload) if one.startswith(("*Model*\n", "*Checkpoint*\n"))]
            assert all(one.count("`") == 2 and one.endswith("`") for one in coded)


def rendered(notifier: Any, event: Event) -> Any:
    """What would be posted of an event; None where it says nothing of it."""
    shown = notifier.render(event)
    return None if shown.startswith("nothing: ") else json.loads(shown)


def check_page(page: dict[str, Any]) -> None:
    """Texts of one line that PagerDuty takes, about a job that nobody's words can make another one."""
    json.dumps(page).encode()
    assert all(quiet(text) for text in strings(page))
    assert 0 < len(page["dedup_key"]) <= 255
    if page["event_action"] == "resolve":
        return
    payload = page["payload"]
    assert 0 < len(payload["summary"]) <= 1024
    assert payload["source"] == "openai-prod"
    assert 0 < len(payload["component"]) <= 200
    assert all(link["href"].startswith(("https://", "http://")) for link in page["links"])
    assert len(json.dumps(page)) < 64 * 1024


def check_push(push: dict[str, Any], event: Event) -> None:
    """A title of one line and a message, both of a length that ntfy takes, and nobody's word beside them."""
    json.dumps(push).encode()
    assert quiet(push["title"])
    assert quiet(push["message"], None)
    assert 0 < len(push["title"].encode()) <= 1024
    assert 0 < len(push["message"].encode()) <= 4096
    assert len(push["tags"]) == 1
    assert re.fullmatch(r"[a-z0-9_]+", push["tags"][0])
    assert push["priority"] == event.severity.rank + 1
    assert push.get("click", "https://").startswith(("https://", "http://"))
    assert re.fullmatch("[0-9a-f]{32}", push.get("sequence_id", "0" * 32))


def check_alert(alert: dict[str, Any], event: Event) -> None:
    """Labels that Alertmanager takes, ours among them as they should be."""
    json.dumps(alert).encode()
    labels, notes = alert["labels"], alert["annotations"]
    assert all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]{0,64}", name) for name in labels)
    assert not any(name.startswith("__") for name in labels)
    assert all(quiet(text) and 0 < len(text) <= 200 for text in labels.values())
    assert re.fullmatch("FineTuningJob[A-Z][a-z]+", labels["alertname"])
    assert labels["severity"] in ("info", "warning", "critical")
    assert (labels["provider"], labels["kind"]) == ("openai-prod", "openai")
    assert quiet(notes["summary"])
    assert quiet(notes["description"], lines_of(compose(event)) - 1)
    assert set(notes) <= {"summary", "description", "url", "event"}
    assert alert["startsAt"] <= alert["endsAt"]


@every_row
def test_a_page_a_push_and_an_alert_hold_it_as_text(name: str) -> None:
    for event in all_told(name):
        if page := rendered(PAGER, event):
            check_page(page)
            check_never(name, "pagerduty", json.dumps(page, ensure_ascii=False))
        for phone in (PHONE, MARKED):
            push = rendered(phone, event)
            check_push(push, event)
            check_never(name, "ntfy", push["title"] + push["message"])
        for alert in rendered(ALERTS, event) or ():
            check_alert(alert, event)
            check_never(name, "alertmanager", json.dumps(alert, ensure_ascii=False))


@needs_alertmanager
async def test_the_real_alertmanager_takes_them_all(tmp_path: Path) -> None:
    async with Client() as client, alertmanager(tmp_path, client) as real:
        for name in ROWS:
            alerts = [alert for event in all_told(name) for alert in rendered(ALERTS, event) or ()]
            answer = await client.request(
                "POST",
                f"{real.url}/api/v2/alerts",
                headers={"content-type": "application/json"},
                content=json.dumps(alerts).encode(),
            )
            assert answer.status == 200, (name, answer.text())


@every_row
def test_a_letter_has_its_headers_and_people_and_no_others(name: str) -> None:
    # A letter is slow to make and to read, and that of a success says nothing new.
    events = [event for event in all_told(name) if not event.type.endswith("succeeded")]
    for event, raw in zip(events, posted(*events), strict=True):
        check_never(name, "email head", raw.split(b"\r\n\r\n")[0].decode("ascii", "replace"))
        subject, text, page = check_letter(raw, event)
        message = compose(event)
        assert subject == same(message.topic or message.title)
        check_never(name, "email text", text)
        check_never(name, "email html", page)


def whole_text(text: str) -> str:
    """What is kept of a text: lone surrogates replaced, and what is over the length cut off."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def kept(text: str) -> str | None:
    """The same of a field that blanks leave empty."""
    return whole_text(text) if text and not text.isspace() else None


@every_row
def test_a_program_is_given_the_very_text(name: str) -> None:
    text = TEXTS[name]
    for event in told(name):
        raw = WEBHOOK.freeze(event)
        found = json.loads(raw.decode("utf-8"))
        assert msgspec.json.decode(raw, type=Event) == event
        assert found == json.loads(json.dumps(msgspec.to_builtins(event)))
        assert set(found) == {"object", "id", "type", "created_at", "severity", "data"}
        check_never(name, "webhook", raw.decode())
        for value in COMMAND._environment(event).values():
            assert "\0" not in value
            value.encode()
    job = json.loads(WEBHOOK.freeze(told(name)[2]))["data"]["job"]
    expected = kept(text)
    assert job["name"] == job["model"] == (expected or job["model"])
    assert job["fine_tuned_model"] is None, "what failed has made no model"
    error = job["error"] or {"code": None, "message": None}
    # What has the shape of a key, or of a password in an address, is struck from errors.
    assert error["code"] == expected
    assert error["message"] == (shapeless(expected) if expected else expected)
    assert job["metadata"]["k"] == shapeless(whole_text(text))


@pytest.fixture
def _quiet_log() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    structlog.reset_defaults()
    root.handlers, root.level = handlers, level


@every_row
@pytest.mark.usefixtures("_quiet_log")
def test_a_terminal_and_the_log_only_show_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXTS[name][:100_000]
    shown = plain(text)
    assert shown.isprintable()
    shown.encode()
    check_never(name, "terminal", shown)
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    for form in ("json", "console"):
        out = io.StringIO()
        logs.configure("info", form, stream=out)  # type: ignore[arg-type]
        structlog.get_logger("x").info(text, job=text, deep={"list": [text]})
        shown = out.getvalue()
        shown.encode()
        assert shown.endswith("\n")
        assert len(shown.splitlines()) == 1, "also for a reader that knows more line ends than one"
        controls = {c for c in shown if unicodedata.category(c) in ("Cc", "Cs")}
        assert controls <= ({"\n"} if form == "json" else {"\n", "\t"})
        assert not re.search("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", shown)
        check_never(name, "log", shown)
        if form == "json":
            line = json.loads(shown)
            assert line["level"] == "info", "nobody's word is another key"
            assert set(line) == {"event", "job", "deep", "level", "timestamp"}


def test_only_a_web_address_becomes_a_link() -> None:
    wrong = []
    for name, text in TEXTS.items():
        event = told(name)[2]
        assert event.job is not None
        link = compose(replace(event, data=replace(event.data, job=replace(event.job, url=text)))).link
        fine = link is None or (quiet(link[1]) and link[1].startswith(("https://", "http://")))
        fine = fine and (link is None or (len(link[1]) <= LIMITS["url"] and not set(' <>"') & set(link[1])))
        if not fine or (link is not None and ROWS[name].get("link") is False):
            wrong.append(name)
    assert wrong == []


def test_a_title_stays_one_whatever_changed() -> None:
    keys = {letter * 60: "x" for letter in "abc"}
    for event in events_of("n" * 80, "m", keys, "c", "m"):
        assert len(compose(event).title) <= 150


# --------------------------------------------------------------------------------------------- mixtures

pieces = st.sampled_from([text for text in TEXTS.values() if len(text) <= 200])
mixtures = st.lists(pieces, min_size=1, max_size=4).map("".join)


@given(mixtures, mixtures, st.dictionaries(mixtures, mixtures, max_size=7), mixtures, mixtures)
@settings(max_examples=60)
def test_no_mixture_of_them_does_more(
    name: str, model: str, metadata: dict[str, str], code: str, message: str
) -> None:
    for event in events_of(name, model, metadata, code, message):
        check_message(compose(event))
        check_slack(slack.payload(compose(event)))
        check_page(rendered(PAGER, event) or {"dedup_key": "-", "event_action": "resolve"})
        check_push(rendered(MARKED, event), event)
        for alert in rendered(ALERTS, event) or ():
            check_alert(alert, event)
        check_letter(*posted(event), event)
        assert quiet(CONSOLE.render(event))
        assert json.loads(WEBHOOK.freeze(event)) == json.loads(json.dumps(msgspec.to_builtins(event)))
