"""E-mail, against a real SMTP server on loopback: plain, STARTTLS and TLS."""

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from msgspec.structs import replace

from ftwatch.core.delivery import Rejected, Retry, Sent
from ftwatch.core.event import Event
from ftwatch.core.sample import sample
from ftwatch.plugins import Duration, Secret, load_kind

EVENT = sample("failed")


class Box:
    """A mail server's handler: keeps letters, refuses whom it is told to."""

    def __init__(self) -> None:
        self.letters: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.people: list[list[str]] = []
        self.refuse: dict[str, str] = {}
        self.answer = "250 taken"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            letter = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(letter, EmailMessage)
            self.letters.append(letter)
            self.raw.append(envelope.content)
            self.people.append(list(envelope.rcpt_tos))
        return self.answer


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@asynccontextmanager
async def mail_server(tls: ssl.SSLContext | None = None, **server: Any) -> AsyncIterator[tuple[Box, int]]:
    """A real server; `tls` speaks it from the first byte, `tls_context=` offers STARTTLS."""
    box, port = Box(), free_port()
    controller = Controller(box, hostname="127.0.0.1", port=port, ssl_context=tls, **server)
    await anyio.to_thread.run_sync(controller.start)
    try:
        yield box, port
    finally:
        await anyio.to_thread.run_sync(controller.stop)


def options(port: int, **more: Any) -> dict[str, Any]:
    base = {
        "host": "127.0.0.1",
        "port": port,
        "security": "plain",
        "from_": "ftwatch <ft@example.com>",
        "to": ("ml@example.com", "Boss <boss@example.com>"),
        "timeout": Duration(seconds=2),
    }
    return {**base, **more}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody but its file vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext"
    subprocess.run(
        [*command.split(), "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True,
        capture_output=True,
    )
    return folder


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    return context


async def test_a_letter_says_it_in_text_and_in_html(kit: Any) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        assert isinstance((await mail.send([EVENT], {})).outcome, Sent)
    (letter,) = box.letters
    assert letter["subject"] == "support-bot-v7 (ftjob-sample4w9Zq2)"
    assert letter["from"] == "ftwatch <ft@example.com>"
    assert letter["to"] == "ml@example.com, Boss <boss@example.com>"
    assert letter["auto-submitted"] == "auto-generated"
    assert letter["list-id"] == "ftwatch mine <mine.ftwatch.example.com>"
    assert box.people == [["ml@example.com", "boss@example.com"]]
    text, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None
    assert html is not None
    for body in (text.get_content(), html.get_content()):
        assert "line 17 is not valid JSON" in body
        assert "invalid data" in body
        assert "after 1 h 50 m (queued 9 m)" in body.replace("\N{NO-BREAK SPACE}", " ")
        assert "https://platform.openai.com/finetune/ftjob-sample4w9Zq2" in body


async def test_a_jobs_letters_make_one_thread_and_a_retry_is_the_same_letter(kit: Any) -> None:
    memory: dict[str, Any] = {}
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        for event in (sample("created"), renamed("failed"), renamed("failed")):
            memory = (await mail.send([event], memory)).memory or memory
        # Another process that knows nothing of the first letter, and a provider's letter.
        for name in ("running", "degraded", "recovered"):
            assert (await mail.send([sample(name)], {})).memory is None or name == "running"
    created, failed, again, unknowing, degraded, recovered = box.letters
    root = created["references"]
    assert created["in-reply-to"] == root
    assert failed["in-reply-to"] == created["message-id"] == memory["first"]
    assert failed["references"] == f"{root} {created['message-id']}"
    assert created["message-id"] != failed["message-id"] == again["message-id"]
    assert unknowing["references"] == root, "the thread holds all the same"
    assert {letter["subject"] for letter in box.letters[:4]} == {"support-bot-v7 (ftjob-sample4w9Zq2)"}
    assert degraded["references"] == recovered["references"] != root
    assert degraded["subject"] == "⚠️ openai-prod cannot be watched"


def renamed(name: str) -> Event:
    """The sample of a job that has another name by now."""
    event = sample(name)
    assert event.job is not None
    return replace(event, data=replace(event.data, job=replace(event.job, name="support-bot-v8")))


async def test_a_letter_that_somebody_refused_still_begins_the_thread(kit: Any) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        box.refuse = {"boss@example.com": "450 later"}
        first = await mail.send([EVENT], {})
        assert isinstance(first.outcome, Retry)
        box.refuse = {}
        second = await mail.send([EVENT], first.memory)
        third = await mail.send([sample("running")], {**second.memory, "event": "evt_x", "taken": ["a@b"]})
    assert second.memory["first"] == box.letters[0]["message-id"] == box.letters[1]["message-id"]
    assert third.memory is None
    assert box.letters[2]["in-reply-to"] == second.memory["first"]
    assert box.people == [["ml@example.com"], ["boss@example.com"], ["ml@example.com", "boss@example.com"]]


async def test_a_digest_is_a_table_and_stands_in_no_thread(kit: Any) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        result = await mail.send([sample("running"), EVENT], {"first": "<a@b>", "subject": "x"})
    (letter,) = box.letters
    assert result.memory is None
    assert letter["references"] is None
    assert letter["subject"] == "📬 2 messages that could not be sent in time: 1 failed, 1 other"
    html = letter.get_body(("html",))
    assert html is not None
    assert html.get_content().count("<tr>") == 2


async def test_no_name_can_add_a_header_or_a_recipient(kit: Any, hostile: Event) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        assert isinstance((await mail.send([hostile], {})).outcome, Sent)
    (letter,) = box.letters
    assert letter["bcc"] is None
    assert box.people == [["ml@example.com", "boss@example.com"]]
    assert "\n" not in letter["subject"]
    html = letter.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()
    known = {"from", "to", "subject", "date", "message-id", "in-reply-to", "references", "auto-submitted"}
    known |= {
        "list-id",
        "x-auto-response-suppress",
        "x-ftwatch-event",
        "mime-version",
        "content-type",
        "x-peer",
        "x-mailfrom",
    }
    assert {name.lower() for name in letter} <= known | {"x-rcptto"}


@pytest.mark.parametrize(
    "address", ["nobody", "a@b\r\nBcc: c@d.example", "", "@", "a@b, c@d", "a b@c.example"]
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        load_kind("notifier", "email").Options(**options(25, to=(address,)))


async def test_starttls_is_demanded(kit: Any, certificate: Path) -> None:
    safe = {"security": "starttls", "ca_file": str(certificate / "cert")}
    async with mail_server(tls_context=tls_of(certificate)) as (box, port):
        async with kit.made("email", **options(port, **safe)) as mail:
            assert isinstance((await mail.send([EVENT], {})).outcome, Sent)
        async with kit.made("email", **options(port, security="starttls")) as mail:
            outcome = (await mail.send([EVENT], {})).outcome
            assert isinstance(outcome, Rejected)
            assert "certificate" in outcome.reason
    assert len(box.letters) == 1
    async with mail_server() as (box, port), kit.made("email", **options(port, **safe)) as mail:
        assert isinstance((await mail.send([EVENT], {})).outcome, Rejected)
        assert box.letters == [], "nothing goes out in clear"


async def test_tls_from_the_first_byte(kit: Any, certificate: Path) -> None:
    async with (
        mail_server(tls=tls_of(certificate)) as (box, port),
        kit.made("email", **options(port, security="tls", ca_file=str(certificate / "cert"))) as mail,
    ):
        assert isinstance((await mail.send([EVENT], {})).outcome, Sent)
    assert len(box.letters) == 1


async def test_a_login_is_made_and_a_wrong_one_is_said(kit: Any, certificate: Path) -> None:
    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = isinstance(data, LoginPassword) and data.password == b"hunter2"
        return AuthResult(success=good)

    safe = {"security": "starttls", "ca_file": str(certificate / "cert"), "username": "ft"}
    server = {"tls_context": tls_of(certificate), "authenticator": check, "auth_required": True}
    async with mail_server(**server) as (box, port):
        async with kit.made("email", **options(port, password=Secret("hunter2"), **safe)) as mail:
            assert isinstance((await mail.send([EVENT], {})).outcome, Sent)
        async with kit.made("email", **options(port, password=Secret("hunter3"), **safe)) as mail:
            outcome = (await mail.send([EVENT], {})).outcome
    assert isinstance(outcome, Rejected)
    assert outcome.reason.startswith(("SMTP 535", "hung up on at the login"))
    assert "hunter" not in outcome.reason
    assert len(box.letters) == 1


@pytest.mark.parametrize(("answer", "kind"), [("451 later", Retry), ("554 never", Rejected)])
async def test_4xx_may_pass_and_5xx_will_not(kit: Any, answer: str, kind: type) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        box.answer = answer
        outcome = (await mail.send([EVENT], {})).outcome
    assert isinstance(outcome, kind)
    assert outcome.reason == f"SMTP {answer[:3]}: {answer[4:]}"


async def test_who_took_a_letter_does_not_get_it_twice(kit: Any) -> None:
    async with mail_server() as (box, port), kit.made("email", **options(port)) as mail:
        box.refuse = {"boss@example.com": "452 full"}
        first = await mail.send([EVENT], {})
        assert isinstance(first.outcome, Retry)
        assert first.memory is not None
        box.refuse = {}
        assert isinstance((await mail.send([EVENT], first.memory)).outcome, Sent)
        assert box.people == [["ml@example.com"], ["boss@example.com"]]
        await mail.send([replace(EVENT, id="evt_other")], first.memory)
        assert box.people[2] == ["ml@example.com", "boss@example.com"], "another event is another letter"


async def test_a_server_that_says_nothing_is_left(kit: Any) -> None:
    async def hang(reader: Any, writer: Any) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with kit.made("email", **options(port, timeout=Duration(seconds=0.3))) as mail:
        outcome = (await mail.send([EVENT], {})).outcome
    server.close()
    assert isinstance(outcome, Retry)
    assert outcome.unreachable
