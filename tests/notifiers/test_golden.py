"""What each notifier sends, for every sort of event: golden files, for the eye to judge.

Slack by a bot, PagerDuty, ntfy and Alertmanager have theirs where their receivers are played.
"""

import json
from collections.abc import Callable
from email import message_from_string, policy
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block

from ftwatch.core import event as events
from ftwatch.core.event import Event, Severity
from ftwatch.core.job import Status
from ftwatch.core.message import Message, compose
from ftwatch.notifiers.apprise.asking import tell
from ftwatch.notifiers.email.page import page
from ftwatch.notifiers.slack.blocks import payload
from ftwatch.plugins import NotifierSpec, Secret, kinds, load_kind
from ftwatch.wire.markup import Form, dressed
from tests.golden import DIGEST, EVENTS, FOLDER, PAGE, golden, same
from tests.notifiers.chats import DISCORD, TEAMS, TELEGRAM, Chat, Discord, Teams, Telegram, at_once

composed = partial(compose, page=PAGE)


def made(kind: str, **options: Any) -> Any:
    found = load_kind("notifier", kind)
    spec = NotifierSpec(
        name="mine", kind=kind, options=found.Options(**options), client=None, compose=composed
    )
    return found(spec)


def messages() -> dict[str, Message]:
    """Of every sort of event, and of several at once: after an outage, and held together on purpose."""
    told = {name: composed(event) for name, event in EVENTS.items()}
    bundles = {f"digest, {word}": composed(*DIGEST, bundle=word) for word in ("quiet", "digest", "group")}
    return {**told, "digest": composed(*DIGEST), **bundles, "digest, summed up": composed(*DIGEST, most=3)}


def sections(found: dict[str, str]) -> str:
    return "\n".join(f"[{name}]\n{text}\n" for name, text in found.items())


# ----------------------------------------------------------------------------------------- the events


def test_there_is_one_event_of_every_type() -> None:
    types = {event.type for event in EVENTS.values()}
    named = {
        value
        for name, value in vars(events).items()
        if name.isupper() and isinstance(value, str) and not value.endswith(".") and value.count(".")
    }
    named |= {events.JOB + status for status in Status}
    named |= {events.TEST, "response.completed"}
    rules = ("stuck", "silent", "retiring", "flapping")
    named |= {events.ALERT + rule + end for rule in rules for end in ("", ".resolved")}
    assert types == named
    assert {event.severity for event in EVENTS.values()} == set(Severity)


def test_every_kind_of_notifier_has_golden_files() -> None:
    files = {file.stem.partition("-")[0] for file in FOLDER.iterdir()} - {"messages"}
    assert files == set(kinds("notifier"))


# ---------------------------------------------------------------------------------------- to machines


def test_webhook_the_very_bytes() -> None:
    webhook = made("webhook", url=Secret("https://example.com/"), secret=Secret("whsec_" + "A" * 32))
    rows = [f"{json.dumps(name)}: {webhook.freeze(event).decode()}" for name, event in EVENTS.items()]
    same("webhook.json", "{\n" + ",\n".join(rows) + "\n}\n")


def test_command_its_input_and_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("HOME", "/root")
    command = made("command", argv=("./deploy.sh",))
    webhook = made("webhook", url=Secret("https://example.com/"), secret=Secret("whsec_" + "A" * 32))
    found = {}
    for name, event in EVENTS.items():
        assert command.freeze(event) == webhook.freeze(event), "the same as a webhook's"
        found[name] = command._environment(event)
    golden("command", found)


# ------------------------------------------------------------------------------------------ to people


def test_console() -> None:
    console = made("console")
    same("console.txt", sections({name: console.render(event) for name, event in EVENTS.items()}))


def test_slack_by_a_webhook() -> None:
    called = replace(composed(EVENTS["failed"]), mention=("S0123ABCD", "U0123ABCD", "@here", "@nobody"))
    found = {name: payload(message) for name, message in {**messages(), "mention": called}.items()}
    for name, what in found.items():
        check_blocks(name, what)
    golden("slack-webhook", found)


def test_slack_by_a_bot_is_as_valid() -> None:
    for name, calls in json.loads((FOLDER / "slack-bot.json").read_text("utf-8")).items():
        for call in calls:
            check_blocks(name, call)


def check_blocks(name: str, what: dict[str, Any]) -> None:
    """By Slack's own library: its classes know what a block must be, and give back the very same."""
    for attachment in ({"blocks": what.get("blocks", [])}, *what.get("attachments", [])):
        blocks = Block.parse_all(attachment["blocks"])
        for block, given in zip(blocks, attachment["blocks"], strict=True):
            block.validate_json()
            assert block.to_dict() == given, name
        if "color" in attachment:
            BlockAttachment(blocks=blocks, color=attachment["color"]).validate_json()


MAIL = {
    "host": "smtp.example.com",
    "from_": "ftwatch <ft@example.com>",
    "to": ("ml@example.com",),
}


def test_email() -> None:
    """The head, the text and the page. What divides the parts is different each time, and left out."""
    email = made("email", **MAIL)
    heads, pages = {}, {}
    told: dict[str, tuple[Event, ...]] = {name: (event,) for name, event in EVENTS.items()}
    for name, some in {**told, "digest": DIGEST}.items():
        letter = message_from_string(email.render(*some), policy=policy.default)
        text, html = letter.iter_parts()  # type: ignore[attr-defined]
        head = [f"{key}: {value}" for key, value in letter.items() if key != "Content-Type"]
        heads[name] = "\n".join([*head, "", text.get_content().replace("\r\n", "\n").rstrip("\n")])
        pages[name] = html.get_content().replace("\r\n", "\n")
        assert pages[name] == page(composed(*some), "")
    same("email-text.txt", sections(heads))
    golden(
        "email-html", {**pages, **{name: page(one, "") for name, one in messages().items() if "," in name}}
    )


@pytest.mark.parametrize("form", Form)
def test_apprise_in_every_form(form: Form) -> None:
    found = {name: dressed(one, form, 1 << 20, titled=True) for name, one in messages().items()}
    same(f"apprise-{form}.txt", sections(found))


SERVICES: dict[str, tuple[str, Chat, Callable[[dict[str, Any]], Any]]] = {
    "discord": (DISCORD, Discord(), lambda what: what),
    "telegram": (TELEGRAM, Telegram(), lambda what: what),
    "teams": (TEAMS, Teams(), lambda what: what["attachments"][0]["content"]),
}


@pytest.mark.parametrize("name", SERVICES)
def test_apprise_as_a_service_gets_it(name: str) -> None:
    url, chat, part = SERVICES[name]
    with at_once(chat):
        for message in messages().values():
            tell(url, message)
    golden(f"apprise-{name}", dict(zip(messages(), map(part, chat.posted), strict=True)))
