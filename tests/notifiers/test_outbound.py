"""Webhooks of other forms: bodies, logins, certificates; the same bytes however often, and no secret kept."""

import asyncio
import base64
import json
import shutil
import sqlite3
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ftwatch import log as logs
from ftwatch.client import Client
from ftwatch.config import NotifierConfig
from ftwatch.core.decide import decide
from ftwatch.core.delivery import Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Data, encode
from ftwatch.core.job import JobKey, Snapshot, Status
from ftwatch.core.known import Look, Policy
from ftwatch.core.route import Recipient, Routing
from ftwatch.core.sample import sample
from ftwatch.core.signature import fresh_secret, message_id, verify
from ftwatch.dispatcher import Dispatcher
from ftwatch.notifiers.webhook import Auth, Tls
from ftwatch.plugins import Duration, Form, NotifierSpec, Secret, load_kind
from ftwatch.store import Batch, Store, inline

SIGNING = fresh_secret(b"1" * 32)
EVENT = sample("failed")
KEY = "R0UT1NGKEY-0123456789"


def options(url: str, **more: Any) -> dict[str, Any]:
    more = {"body": Form({"title": "{{ title }}", "data": "{{ event.data | tojson }}"}), **more}
    return {"url": Secret(url), "timeout": Duration(seconds=2), **more}


def checked(**more: Any) -> list[tuple[Any, str]]:
    """What is found wrong with these options."""
    return list(load_kind("notifier", "webhook").Options(**options("https://x.example/", **more)).problems())


# -------------------------------------------------------------------------------------------- the body


async def test_a_body_of_ones_own_is_posted_unsigned(kit: Any) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        assert (await hook.send([EVENT], {}, body=hook.freeze(EVENT))).outcome == Sent("HTTP 200")
    ((first, headers, body),) = there.requests
    assert first == "POST /hook HTTP/1.1"
    assert json.loads(body) == {
        "title": "❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)",
        "data": json.loads(encode(EVENT))["data"],
    }
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == message_id("mine", EVENT.id)
    assert not {"webhook-signature", "webhook-timestamp", "authorization"} & headers.keys()


async def test_a_body_of_ones_own_may_be_signed_too(kit: Any) -> None:
    more = {"secret": Secret(SIGNING), "body": Form({"key": Secret(KEY), "title": "{{ title }}"})}
    async with kit.receiving() as there, kit.made("webhook", **options(there.url, **more)) as hook:
        await hook.send([EVENT], {}, body=hook.freeze(EVENT))
    ((_, headers, body),) = there.requests
    id, stamp, signature = (headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature"))
    verify(SIGNING, id, stamp, body, signature, float(stamp))
    assert json.loads(body)["key"] == KEY


async def test_what_cannot_be_made_is_rejected_with_a_sentence(kit: Any) -> None:
    form = Form({"ok": "{{ title }}", "deep": [{"x": "{{ job.error.code }}"}]})
    async with kit.receiving() as there, kit.made("webhook", **options(there.url, body=form)) as hook:
        fine, bad = sample("failed"), sample("running")
        assert (await hook.send([fine], {}, body=hook.freeze(fine))).outcome == Sent("HTTP 200")
        assert hook.freeze(bad) is None
        result = await hook.send([bad], {}, body=None)
        with pytest.raises(LookupError, match="there is no 'code' in null"):
            hook.render(bad)
    assert result.outcome == Rejected("body.deep[0].x: there is no 'code' in null")
    assert len(there.requests) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(200, Sent), (201, Sent), (202, Sent), (204, Sent), (422, Rejected)]
)
async def test_what_receivers_say_to_a_body(kit: Any, status: int, kind: type) -> None:
    async with kit.receiving() as there, kit.made("webhook", **options(there.url)) as hook:
        there.answer = there.say(status, b"" if status == 204 else b'{"message": "\xe2\x80\xa6"}')
        outcome = (await hook.send([EVENT], {})).outcome
    assert isinstance(outcome, kind)
    assert status != 422 or outcome.reason == 'HTTP 422: {"message": "…"}'


async def test_a_secret_that_is_not_there_is_a_reason(kit: Any) -> None:
    def gone() -> str:
        raise LookupError("${KEY} is not set")

    for more in ({"body": Form({"key": Secret(gone)})}, {"auth": Auth(bearer=Secret(gone))}):
        async with kit.receiving() as there, kit.made("webhook", **options(there.url, **more)) as hook:
            result = await hook.send([EVENT], {}, body=hook.freeze(EVENT))
            assert result.outcome == Rejected("${KEY} is not set")
            assert "••••" in hook.render(EVENT), "and it can be looked at all the same"


async def test_what_was_kept_for_a_form_of_old_is_made_anew(kit: Any) -> None:
    async with kit.receiving() as there:
        async with kit.made("webhook", **options(there.url, body=Form({"key": Secret(KEY)}))) as hook:
            kept = hook.freeze(EVENT)
        async with kit.made("webhook", **options(there.url, body=Form(["{{ title }}"]))) as hook:
            await hook.send([EVENT], {}, body=kept)
        async with kit.made("webhook", **options(there.url, body=None, secret=Secret(SIGNING))) as hook:
            await hook.send([EVENT], {}, body=kept)
    formed, native = (body for _, _, body in there.requests)
    assert json.loads(formed) == ["❌ support-bot-v7 failed after 1 h 50 m (queued 9 m)"]
    assert native == encode(EVENT)


async def test_what_is_relayed_is_never_taken_for_what_was_kept(kit: Any) -> None:
    """Strangers' bytes go out as they came, however much they look like ours."""
    looks_like = 'ftwatch-body:1 [{"key":null},[["key"]]]'
    event = replace(
        EVENT, type="batch.completed", data=Data(id="b", occurred_at=1, observed_at=1, received=looks_like)
    )
    native = {"body": None, "secret": Secret(SIGNING)}
    form = Form({"key": Secret(KEY), "said": "{{ event.data.received }}"})
    async with kit.receiving() as there:
        async with kit.made("webhook", **options(there.url, **native)) as hook:
            await hook.send([event], {}, body=hook.freeze(event))
            assert looks_like in hook.render(event)
        async with kit.made("webhook", **options(there.url, body=form)) as hook:
            await hook.send([event], {}, body=looks_like.encode())
            await hook.send([event], {}, body=hook.freeze(event))
    first, second, third = (body for _, _, body in there.requests)
    assert first == second == looks_like.encode()
    assert json.loads(third) == {"key": KEY, "said": looks_like}


@pytest.mark.parametrize(
    ("body", "url", "said"),
    [
        ({"event_type": "x", "client_payload": {}}, "https://api.github.com/repos/o/r/dispatches", []),
        ({"event_type": "{{ event.type }}"}, "https://ghe.example/api/v3/repos/o/r/dispatches", []),
        ({"whatever": 1}, "https://api.github.com/repos/o/r/actions/workflows/x.yml/dispatches", []),
        ({"whatever": 1}, "https://example.com/dispatches", []),
        ({"event_type": Secret("x")}, "https://api.github.com/repos/o/r/dispatches", []),
        (
            {"client_payload": {}},
            "https://api.github.com/repos/o/r/dispatches",
            [(("body",), "GitHub needs an event_type, by which a workflow is chosen")],
        ),
        (
            {"event_type": "{{ job.fine_tuned_model }}", "client_payload": "{{ title }}", "inputs": {}},
            "https://api.github.com/repos/o/r/dispatches/",
            [
                (("body", "inputs"), "GitHub takes event_type and client_payload only: put it"),
                (("body", "event_type"), "GitHub takes a text that is not empty"),
                (("body", "client_payload"), "GitHub takes a mapping"),
            ],
        ),
        (
            {"event_type": "x" * 101, "client_payload": {str(key): key for key in range(11)}},
            "https://api.github.com/repos/o/r/dispatches",
            [
                (("body", "event_type"), "GitHub takes at most 100 characters, and this has 101"),
                (
                    ("body", "client_payload"),
                    "GitHub takes at most 10 keys, and these are 11: put some into one",
                ),
            ],
        ),
        (
            {"event_type": "x" * 100, "client_payload": {"a": "x" * 65536, "k": Secret("y")}},
            "https://api.github.com/repos/o/r/dispatches",
            [(("body", "client_payload"), "GitHub takes less than 64 KiB, and this is 64")],
        ),
        (["x"], "https://api.github.com/repos/o/r/dispatches", [(("body",), "GitHub takes a mapping with")]),
        (None, "https://api.github.com/repos/o/r/dispatches", [(("body",), "GitHub takes a mapping with")]),
    ],
)
def test_what_github_would_refuse_is_known_before(body: Any, url: str, said: list[Any]) -> None:
    form = {"body": Form(body)} if body is not None else {"secret": Secret(SIGNING), "body": None}
    made = load_kind("notifier", "webhook").Options(**{**options(url), **form})
    found = list(made.objections({"failed": EVENT}))
    assert [path for path, _ in found] == [path for path, _ in said]
    for (_, sentence), (_, wanted) in zip(found, said, strict=True):
        assert sentence.startswith(wanted)
        assert sentence.endswith("(sample failed)")


def test_an_objection_is_said_once_for_all_samples() -> None:
    made = load_kind("notifier", "webhook").Options(
        **options("https://x/", body=Form(["{{ job.error.code }}"]))
    )
    names = ("failed", "running", "queued", "degraded")
    assert list(made.objections({name: sample(name) for name in names})) == [
        (("body", 0), "there is no 'code' in null (sample running and 1 more)"),
        (("body", 0), "there is no 'error' in null (sample degraded)"),
    ]


# ------------------------------------------------------------------------- the same bytes, and what is kept


class Answers:
    """A notifier's bytes on their way through a dispatcher and a real store."""

    ROUTING = Routing(recipients=(Recipient(name="pipe", kind="webhook", audience="machines"),))

    def __init__(self, store: Store, clock: Any, notifier: Any) -> None:
        self.store, self.clock = store, clock
        config = NotifierConfig(name="pipe", kind="webhook", options=None, retry=RetryPolicy(jitter=0))
        self.dispatcher = Dispatcher(
            config, notifier, store, inline, routing=self.ROUTING, clock=clock, bell=lambda owed: None
        )

    def happen(self, name: str) -> None:
        now, key = self.clock.now(), JobKey("p", "a")
        seen = Snapshot(id="a", provider="p", kind="openai", status=Status.RUNNING, name=name)
        look = Look(key=key, asked=1, at=now, snapshot=seen)
        decision = decide(None, look, Policy(routing=self.ROUTING), now)
        assert not self.store.commit(Batch(decisions=[decision]), now)

    async def round(self, after: float = 0.0) -> None:
        self.clock.time += after
        while await self.dispatcher.dispatch_once():
            pass


async def test_tries_and_replays_send_the_same_bytes_and_the_database_has_no_secret(
    kit: Any, store: Store, clock: Any
) -> None:
    form = Form({"routing_key": Secret(KEY), "at": "{{ event.created_at }}", "name": "{{ job.name }}"})
    more = {"auth": Auth(username="me", password=Secret("p4ssw0rd-of-mine"))}
    async with kit.receiving() as there:
        async with kit.made("webhook", **options(there.url, body=form, **more)) as hook:
            bench = Answers(store, clock, hook)
            bench.happen(name='}"{{ 7*7 }}')
            there.answer = there.say(503, b"not now, " + KEY.encode() + b" p4ssw0rd-of-mine")
            await bench.round()
            await bench.round(after=6)
            there.answer = there.say(202)
            await bench.round(after=40)
            assert store.outbox.replay("pipe", clock.now() - 600, clock.now()) == 1
            await bench.round()
        changed = {**form.tree, "name": "another form", "routing_key": Secret("R0TATED-KEY-012345")}
        async with kit.made("webhook", **options(there.url, body=Form(changed), **more)) as hook:
            bench.dispatcher = Answers(store, clock, hook).dispatcher
            assert store.outbox.replay("pipe", clock.now() - 600, clock.now()) == 1
            await bench.round()
    bodies = [body for _, _, body in there.requests]
    assert len(bodies) == 5
    assert len(set(bodies[:4])) == 1, "whatever happens, the same bytes"
    assert json.loads(bodies[0])["name"] == '}"{{ 7*7 }}'
    assert json.loads(bodies[0])["routing_key"] == KEY
    assert json.loads(bodies[4]) == {**json.loads(bodies[0]), "routing_key": "R0TATED-KEY-012345"}
    assert [headers.get("ftwatch-replay") for _, headers, _ in there.requests] == [None] * 3 + ["manual"] * 2
    assert len({headers["webhook-id"] for _, headers, _ in there.requests}) == 1
    with sqlite3.connect(store.db.path) as database:
        dump = "\n".join(database.iterdump()).encode() + b"".join(
            bytes(row[0]) for row in database.execute("SELECT body FROM deliveries WHERE body IS NOT NULL")
        )
    database.close()
    assert b"routing_key" in dump
    for secret in (KEY, "R0TATED-KEY", "p4ssw0rd", base64.b64encode(b"me:p4ssw0rd-of-mine").decode()):
        assert secret.encode() not in dump


async def test_what_cannot_be_made_becomes_a_dead_letter_and_crashes_nothing(
    kit: Any, store: Store, clock: Any
) -> None:
    form = Form(["{{ job.error.code }}"])
    async with kit.receiving() as there, kit.made("webhook", **options(there.url, body=form)) as hook:
        bench = Answers(store, clock, hook)
        bench.happen(name="n")
        for wait in (0, 6, 400, 4000, 30000, 100000):
            await bench.round(after=wait)
    (delivery,) = store.history.deliveries(notifier="pipe")
    assert delivery.state == "dead"
    assert "body[0]: there is no 'code' in null" in delivery.reason
    assert there.requests == []


# -------------------------------------------------------------------------------------------- the login


@pytest.mark.parametrize(
    ("auth", "value"),
    [
        (Auth(bearer=Secret("a.token-of/ours")), "Bearer a.token-of/ours"),
        (
            Auth(username="ft", password=Secret("p:ä ß")),
            f"Basic {base64.b64encode('ft:p:ä ß'.encode()).decode()}",
        ),
    ],
)
async def test_who_asks_stands_in_one_header(kit: Any, auth: Auth, value: str) -> None:
    logs._secrets.discard(value)
    async with kit.receiving() as there, kit.made("webhook", **options(there.url, auth=auth)) as hook:
        there.answer = there.say(401, f"no: {value}".encode())
        outcome = (await hook.send([EVENT], {})).outcome
        shown = hook.render(EVENT)
    ((_, headers, _),) = there.requests
    assert headers["authorization"] == value
    assert outcome.reason.startswith("HTTP 401: no: ")
    assert "••••" in outcome.reason
    assert value.partition(" ")[2] not in outcome.reason
    assert f"authorization: {value.partition(' ')[0]} ••••" in shown
    assert value.partition(" ")[2] not in shown


@pytest.mark.parametrize(
    ("auth", "sentence"),
    [
        ({}, "username and password, or bearer"),
        ({"username": "a"}, "belong together"),
        ({"password": Secret("a")}, "belong together"),
        (
            {"username": "a", "password": Secret("b"), "bearer": Secret("c")},
            "username and password, or bearer",
        ),
        ({"username": "a:b", "password": Secret("b")}, "no colon"),
        ({"username": "a\nb", "password": Secret("b")}, "no user name"),
    ],
)
def test_a_login_that_is_none(auth: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Auth(**auth)


def test_a_login_is_given_once() -> None:
    bearer = Auth(bearer=Secret("x" * 9))
    with pytest.raises(ValueError, match="say the same"):
        load_kind("notifier", "webhook").Options(
            **options("https://x/", auth=bearer, headers={"Authorization": "y"})
        )
    made = load_kind("notifier", "webhook").Options(**options("https://me:it@x.example/", auth=bearer))
    assert list(made.problems()) == [("auth", "the url holds a user name, too: give one of them")]
    assert checked(auth=Auth(bearer=Secret("a\nb: c"))) == [
        ("auth.bearer", "holds a character that no header can carry")
    ]
    assert checked(auth=bearer) == []


def test_without_a_body_it_has_to_be_signed() -> None:
    with pytest.raises(ValueError, match="needs secret"):
        load_kind("notifier", "webhook").Options(url=Secret("https://x/"))


# -------------------------------------------------------------------------------------- the certificates


@asynccontextmanager
async def safe(kit: Any, authority: Path, *, asks: bool = True) -> AsyncIterator[Any]:
    """The receiver behind TLS; who asks wants to see a certificate of the authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority / "ca.pem")
    async with kit.receiving() as plain:
        server = await asyncio.start_server(plain.serve, "127.0.0.1", 0, ssl=context)
        plain.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        try:
            yield plain
        finally:
            server.close()


def files(authority: Path, **more: Any) -> Tls:
    given = {name: authority / file for name, file in (("ca_file", "ca.pem"), ("cert_file", "client.pem"))}
    return Tls(**{**given, "key_file": authority / "client.key", **more})


async def test_a_certificate_is_shown_to_who_asks(kit: Any, authority: Path) -> None:
    async with safe(kit, authority) as there:
        async with kit.made("webhook", **options(there.url, tls=files(authority))) as hook:
            assert (await hook.send([EVENT], {})).outcome == Sent("HTTP 200")
            first = await hook.client()
            assert await hook.client() is first, "one for as long as the files stay as they are"
        async with kit.made("webhook", **options(there.url, tls=Tls(ca_file=authority / "ca.pem"))) as hook:
            outcome = (await hook.send([EVENT], {})).outcome
            assert isinstance(outcome, Retry)
            assert outcome.unreachable
        async with kit.made("webhook", **options(there.url)) as hook:
            outcome = (await hook.send([EVENT], {})).outcome
            assert outcome.reason.startswith("TLS: ")
    assert len(there.requests) == 1


@pytest.fixture
def locked(authority: Path, tmp_path: Path) -> Path:
    """The client's key, behind the password `secret`."""
    file = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:secret", "-in", authority / "client.key", "-out"]
    subprocess.run([*command, file], check=True, capture_output=True)
    return file


async def test_a_key_may_be_locked_or_stand_beside_its_certificate(
    kit: Any, authority: Path, locked: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_text((authority / "client.pem").read_text() + (authority / "client.key").read_text())
    opened = files(authority, key_file=locked, key_password=Secret("secret"))
    joined = files(authority, cert_file=both, key_file=None)
    async with safe(kit, authority) as there:
        for tls in (opened, joined):
            async with kit.made("webhook", **options(there.url, tls=tls)) as hook:
                assert (await hook.send([EVENT], {})).outcome == Sent("HTTP 200")
    assert checked(tls=opened) == checked(tls=joined) == []
    ((name, sentence),) = checked(tls=files(authority, key_file=locked))
    assert (name, "the key is encrypted" in sentence) == ("tls", True)
    ((name, sentence),) = checked(tls=files(authority, key_file=locked, key_password=Secret("hunter2")))
    assert (name, "its password is another one" in sentence) == ("tls", True)
    assert "hunter2" not in sentence


async def test_renewed_certificates_are_taken_up(kit: Any, authority: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    shutil.copytree(authority, folder)
    async with (
        safe(kit, authority) as there,
        kit.made("webhook", **options(there.url, tls=files(folder))) as hook,
    ):
        clients = [await hook.client()]
        for _ in range(3):
            (folder / "client.pem").unlink()
            gone = (await hook.send([EVENT], {})).outcome
            assert gone == Retry(f"tls: cannot read {folder}/client.pem: no such file or directory")
            (folder / "client.pem").write_text((authority / "server.pem").read_text())
            half = (await hook.send([EVENT], {})).outcome
            assert isinstance(half, Retry)
            assert half.reason.startswith("tls: the client certificate and its key are no pair")
            renewed = (authority / "client.pem").read_text() + "\n" * len(clients)
            (folder / "client.pem").write_text(renewed)
            assert (await hook.send([EVENT], {})).outcome == Sent("HTTP 200")
            clients.append(await hook.client())
        assert len(set(map(id, clients))) == 4
        for old in clients[:2]:
            with pytest.raises(RuntimeError, match="closed"):
                await old.request("GET", there.url)
        assert (await clients[2].request("GET", there.url)).ok, "what is under way is finished"
    assert len(there.requests) == 4


async def test_the_guard_stands_before_certificates_too(kit: Any, authority: Path) -> None:
    found = load_kind("notifier", "webhook")
    async with safe(kit, authority) as there, Client(strict=True) as client:
        given = found.Options(**options(there.url, tls=files(authority)))
        hook = found(NotifierSpec(name="mine", kind="webhook", options=given, client=client))
        outcome = (await hook.send([EVENT], {})).outcome
    assert isinstance(outcome, Rejected)
    assert "the network guard refuses 127.0.0.1" in outcome.reason


def test_files_that_are_not_there_or_none_are_named(authority: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert checked(tls=files(tmp_path)) == [
        (f"tls.{name}", f"cannot read {tmp_path}/{file}: no such file or directory")
        for name, file in (("ca_file", "ca.pem"), ("cert_file", "client.pem"), ("key_file", "client.key"))
    ]
    assert checked(tls=files(authority, ca_file=tmp_path / "empty")) == [
        ("tls", "the certificate authority is no PEM certificate")
    ]
    assert checked(tls=files(authority, cert_file=tmp_path / "binary")) == [
        ("tls.cert_file", f"{tmp_path}/binary is no PEM text")
    ]
    ((name, sentence),) = checked(tls=files(authority, key_file=authority / "server.key"))
    assert (name, sentence[:40]) == ("tls", "the client certificate and its key are n")
    assert checked(tls=files(authority)) == []


def test_certificates_are_for_https(authority: Path) -> None:
    made = load_kind("notifier", "webhook").Options(**options("http://x.example/", tls=files(authority)))
    assert list(made.problems()) == [("tls", "is for an https address, and the url is none")]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "give ca_file, cert_file or both"),
        ({"key_file": Path("x")}, "a key needs its certificate"),
        ({"ca_file": Path("x"), "key_password": Secret("x")}, "a key needs its certificate"),
    ],
)
def test_a_block_that_makes_no_sense(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Tls(**given)


async def test_a_hostile_job_stays_in_its_place(kit: Any, hostile: Any) -> None:
    form = Form({"a": "{{ job.name }}", "b": "{{ event | tojson }}", "c": "{{ title }}{{ text }}{{ url }}"})
    event = replace(hostile, id="evt_x")
    async with kit.receiving() as there, kit.made("webhook", **options(there.url, body=form)) as hook:
        assert (await hook.send([event], {}, body=hook.freeze(event))).outcome == Sent("HTTP 200")
    ((_, _, body),) = there.requests
    found = json.loads(body)
    assert list(found) == ["a", "b", "c"]
    assert found["a"] == kit.text
    assert found["b"] == json.loads(encode(event))
    assert "{{7*7}}" in found["c"]
