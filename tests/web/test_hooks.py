"""Webhooks over a real socket: whoever proves it is taken, once; nobody else, and nothing breaks."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import standardwebhooks
import svix

from ftwatch.core.event import decode
from ftwatch.core.route import Silence, parse_match
from ftwatch.core.signature import message_id, sign
from ftwatch.store import Full
from tests.web.house import TOKEN, WHSEC, TestHouse, house

NOW = 1_795_000_000.0
OTHER = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
BODY = (
    b'{"id": "evt_1", "type": "fine_tuning.job.succeeded", "created_at": 17949999, "data": {"id": "ftjob-1"}}'
)
FOREIGN = b'{"id": "evt_2",  "type": "batch.completed", "created_at": 1794999990, "data": {"id": "batch_1"}}'

CONFIG = f"""
providers:
  oa: {{kind: openai, base_url: "http://127.0.0.1:9/v1", webhook_secret: [{OTHER}, {WHSEC}]}}
  none: {{kind: openai, base_url: "http://127.0.0.1:9/v1"}}
  pay: {{kind: openai, base_url: "http://127.0.0.1:9/v1", webhook_secret: shared-and-secret, scheme: stripe}}
  hub: {{kind: openai, base_url: "http://127.0.0.1:9/v1", webhook_secret: shared-and-secret, scheme: github}}
  head: {{kind: openai, base_url: "http://127.0.0.1:9/v1", webhook_secret: shared-and-secret, scheme: header,
          scheme_header: X-Api-Key}}
  aws: {{kind: bedrock, region: us-east-1, access_key_id: AKIAEXAMPLE, secret_access_key: secret-secret,
         webhook_secret: shared-and-secret}}
  box: {{kind: push, token: shared-and-secret}}
notifiers:
  hook: {{kind: webhook, url: "http://127.0.0.1:9/", secret: {WHSEC}}}
  people: {{kind: console}}
routes:
  - {{match: {{type: "batch.*"}}, notify: [hook]}}
  - {{match: {{type: "github.*"}}, notify: [hook]}}
  - {{match: {{type: "aws.*"}}, notify: [hook]}}
web: {{listen: "127.0.0.1:0", token: {TOKEN}}}
"""


def signed(body: bytes = BODY, id: str = "wh_1", at: float = NOW, secret: str = WHSEC) -> dict[str, str]:
    stamp = int(at)
    return {
        "content-type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": sign([secret], id, stamp, body),
    }


async def posted(made: TestHouse, name: str, body: bytes, headers: dict[str, Any]) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False) as client:
        return await client.post(f"{made.url}/hooks/{name}", content=body, headers=headers)


def outbox(made: TestHouse) -> list[tuple[str, str]]:
    return [(one.notifier, one.event_id) for one in made.store.history.deliveries()]


# ------------------------------------------------------------------------------------------- accepted


async def test_a_hook_about_a_job_asks_for_a_look_and_is_never_relayed(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        answer = await posted(it, "oa", BODY, signed())
        assert (answer.status_code, answer.content) == (204, b"")
        assert it.pollers["oa"].heard == ["ftjob-1"]
        assert it.store.history.events() == []
        assert outbox(it) == []


async def test_any_other_is_relayed_byte_for_byte_to_whom_a_route_names(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        assert (await posted(it, "oa", FOREIGN, signed(FOREIGN))).status_code == 204
        ((_, event),) = it.store.history.events()
        assert (event.type, event.severity, event.data.id) == ("batch.completed", "detail", "batch_1")
        assert event.created_at == 1794999990
        (delivery,) = it.store.history.deliveries()
        assert (delivery.notifier, delivery.id) == ("hook", message_id("hook", event.id))
        assert it.rung == 1
        assert it.pollers["oa"].heard == []
        from ftwatch.plugins import NotifierSpec, load_kind

        kind = load_kind("notifier", "webhook")
        spec = NotifierSpec(
            name="hook", kind="webhook", options=it.config.notifiers["hook"].options, client=None
        )
        (claim,) = it.store.outbox.due("hook", NOW + 1, limit=9, lease=60)
        assert kind(spec).freeze(decode(claim.event)) == FOREIGN


async def test_what_somebody_silenced_is_not_relayed(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        made = Silence(match=parse_match("type=batch.*"), author="anna", id="sil_1")
        it.store.silences.add(made, NOW)
        assert (await posted(it, "oa", FOREIGN, signed(FOREIGN))).status_code == 204
        ((_, event),) = it.store.history.events()
        reasons = dict(it.store.history.verdicts(event.id))
        assert reasons["hook"] == 'silenced by type="batch.*" (sil_1, by anna)'
        assert outbox(it) == []


async def test_twice_the_same_is_once(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        for _ in range(3):
            assert (await posted(it, "oa", FOREIGN, signed(FOREIGN))).status_code == 204
        assert len(outbox(it)) == 1
        assert it.rung == 1
        # The same id from another provider is another message.
        assert (await posted(it, "oa", FOREIGN, signed(FOREIGN, id="wh_2"))).status_code == 204
        assert len(outbox(it)) == 2


async def test_it_is_remembered_for_a_week(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        await posted(it, "oa", FOREIGN, signed(FOREIGN))
        it.store.prune(NOW + 6.9 * 86400, 90 * 86400)
        assert not it.store.inbound.take("oa", "wh_1", "x", NOW)
        it.store.prune(NOW + 7.1 * 86400, 90 * 86400)
        assert it.store.inbound.take("oa", "wh_1", "x", NOW)


@pytest.mark.parametrize("library", ["standardwebhooks", "svix"])
async def test_what_the_published_libraries_sign_is_accepted(library: str, tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        moment, text = datetime.fromtimestamp(NOW, UTC), BODY.decode()
        sender: Any = (
            standardwebhooks.Webhook(WHSEC) if library == "standardwebhooks" else svix.Webhook(WHSEC)
        )
        headers = {
            "webhook-id": "msg_lib",
            "webhook-timestamp": str(int(NOW)),
            "webhook-signature": sender.sign("msg_lib", moment, text),
        }
        assert (await posted(it, "oa", BODY, headers)).status_code == 204
        assert it.pollers["oa"].heard == ["ftjob-1"]


def test_what_is_relayed_unwraps_with_the_openai_package() -> None:
    headers = {**signed(FOREIGN, at=datetime.now(UTC).timestamp())}
    event = openai.OpenAI(api_key="sk-x").webhooks.unwrap(FOREIGN.decode(), headers, secret=WHSEC)
    assert event.type == "batch.completed"


async def test_names_of_headers_have_any_case_and_several_signatures_may_stand_there(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        headers = {name.title(): value for name, value in signed().items()}
        headers["Webhook-Signature"] = f"v2,abc v1,AAAA v1a,zzz {headers['Webhook-Signature']}"
        assert (await posted(it, "oa", BODY, headers)).status_code == 204


# ------------------------------------------------------------------------------------- other schemes


def hexed(content: bytes, secret: str = "shared-and-secret") -> str:
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


STRIPE = f"t={int(NOW)},v1={{}},v0=aa"
EVENTBRIDGE = json.dumps(
    {
        "version": "0",
        "id": "00000000-0000-0000-0000-00000000000a",
        "detail-type": "Model Customization Job State Change",
        "source": "aws.bedrock",
        "time": "2026-11-20T09:30:00Z",
        "resources": ["arn:aws:bedrock:us-east-1:123456789012:model-customization-job/x"],
        "detail": {"jobName": "demo", "jobStatus": "Failed"},
    }
).encode()


@pytest.mark.parametrize(
    ("name", "body", "headers", "status", "heard"),
    [
        (
            "pay",
            BODY,
            {"stripe-signature": STRIPE.format(hexed(f"{int(NOW)}.".encode() + BODY))},
            204,
            "ftjob-1",
        ),
        ("pay", BODY, {"stripe-signature": STRIPE.format(hexed(BODY))}, 401, ""),
        ("pay", BODY, {"stripe-signature": f"v1={hexed(BODY)}"}, 400, ""),
        ("pay", BODY, {"stripe-signature": f"t=1,t=2,v1={hexed(BODY)}"}, 400, ""),
        ("pay", BODY, {"stripe-signature": f"t={int(NOW)}"}, 400, ""),
        ("pay", BODY, {"stripe-signature": f"t=99,v1={hexed(b'99.' + BODY)}"}, 400, ""),
        ("pay", BODY, {}, 400, ""),
        ("hub", BODY, {"x-hub-signature-256": f"sha256={hexed(BODY)}", "x-github-delivery": "d-1"}, 204, ""),
        ("hub", BODY, {"x-hub-signature-256": f"sha256={hexed(b'x')}", "x-github-delivery": "d-1"}, 401, ""),
        ("hub", BODY, {"x-hub-signature-256": f"sha1={hexed(BODY)}", "x-github-delivery": "d-1"}, 400, ""),
        ("hub", BODY, {"x-hub-signature-256": f"sha256={hexed(BODY)}"}, 400, ""),
        ("head", BODY, {"x-api-key": "shared-and-secret"}, 204, "ftjob-1"),
        ("head", BODY, {"x-api-key": "shared-and-secreT"}, 401, ""),
        ("head", BODY, {}, 401, ""),
        ("aws", EVENTBRIDGE, {"authorization": "Bearer shared-and-secret"}, 204, "demo"),
        ("aws", EVENTBRIDGE, {"authorization": "Basic shared-and-secret"}, 401, ""),
        ("aws", BODY, {"authorization": "Bearer shared-and-secret"}, 400, ""),
        ("box", b'{"id": "run-1", "step": 1}', {"authorization": "bearer shared-and-secret"}, 204, "run-1"),
        ("box", b'{"step": 1}', {"authorization": "bearer shared-and-secret"}, 400, ""),
        ("box", b'[{"id": "a"}, {"id": "b"}]', {"authorization": "bearer shared-and-secret"}, 204, "a,b"),
        ("box", b"[]", {"authorization": "bearer shared-and-secret"}, 400, ""),
    ],
)
async def test_other_senders_have_other_proofs(
    name: str, body: bytes, headers: dict[str, str], status: int, heard: str, tmp_path: Path
) -> None:
    if name == "hub" and status == 204:
        headers = {**headers, "x-github-event": "push"}
    async with house(tmp_path, CONFIG, NOW) as it:
        answer = await posted(it, name, body, headers)
        assert answer.status_code == status, answer.text
        assert ",".join(it.pollers[name].heard) == heard


async def test_a_github_event_is_relayed_under_its_own_name(tmp_path: Path) -> None:
    body = b'{"action": "published", "repository": {"full_name": "acme/models"}}'
    headers = {
        "x-hub-signature-256": f"sha256={hexed(body)}",
        "x-github-delivery": "72d3162e",
        "x-github-event": "release",
    }
    async with house(tmp_path, CONFIG, NOW) as it:
        for _ in range(2):
            assert (await posted(it, "hub", body, headers)).status_code == 204
        ((_, event),) = it.store.history.events()
        assert (event.type, event.data.id) == ("github.release.published", "acme/models")


async def test_news_of_other_things_by_eventbridge_is_relayed(tmp_path: Path) -> None:
    body = json.dumps({**json.loads(EVENTBRIDGE), "detail-type": "Batch Inference Job State Change"}).encode()
    async with house(tmp_path, CONFIG, NOW) as it:
        answer = await posted(it, "aws", body, {"authorization": "Bearer shared-and-secret"})
        assert answer.status_code == 204
        ((_, event),) = it.store.history.events()
        assert event.type == "aws.bedrock.batch_inference_job_state_change"
        assert it.pollers["aws"].heard == []


# ------------------------------------------------------------------------------------------- refused


def changed(**headers: str | None) -> dict[str, str]:
    whole = signed() | {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    return {
        name: value for name, value in whole.items() if headers.get(name.replace("-", "_"), "") is not None
    }


def around(body: bytes, **more: str) -> tuple[bytes, dict[str, str]]:
    """A body that is signed well."""
    return body, {**signed(body), **more}


MAC = signed()["webhook-signature"]
DEEP = b'{"type": "batch.x", "a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"
BAD: dict[str, tuple[bytes, dict[str, str], int]] = {
    "no headers at all": (BODY, {}, 400),
    "no id": (BODY, changed(webhook_id=None), 400),
    "an empty id": (BODY, changed(webhook_id=""), 400),
    "an id of one letter too many": (BODY, signed(id="w" * 257), 400),
    "an id with a dot": (BODY, changed(webhook_id="wh.1"), 400),
    "an id with a blank": (BODY, changed(webhook_id="wh 1"), 400),
    "an id of 300 letters": (BODY, changed(webhook_id="w" * 300), 400),
    "an id beyond ASCII": (BODY, changed(webhook_id="wh_\xe9"), 400),
    "another id": (BODY, changed(webhook_id="wh_2"), 401),
    "no timestamp": (BODY, changed(webhook_timestamp=None), 400),
    "an empty timestamp": (BODY, changed(webhook_timestamp=""), 400),
    "a timestamp of words": (BODY, changed(webhook_timestamp="now"), 400),
    "a timestamp with a fraction": (BODY, changed(webhook_timestamp="1795000000.5"), 400),
    "a timestamp with an exponent": (BODY, changed(webhook_timestamp="1795e6"), 400),
    "a timestamp with a plus": (BODY, changed(webhook_timestamp="+1795000000"), 400),
    "a timestamp with a minus": (BODY, changed(webhook_timestamp="-1795000000"), 400),
    "a timestamp with a zero before it": (BODY, changed(webhook_timestamp="01795000000"), 400),
    "a timestamp with underscores": (BODY, changed(webhook_timestamp="1_795_000_000"), 400),
    "a timestamp of nought": (BODY, changed(webhook_timestamp="0"), 400),
    "a timestamp that is no number": (BODY, changed(webhook_timestamp="nan"), 400),
    "a timestamp without end": (BODY, changed(webhook_timestamp="9" * 5000), 400),
    "a timestamp in milliseconds": (BODY, changed(webhook_timestamp="1795000000000"), 400),
    "another timestamp": (BODY, changed(webhook_timestamp="1795000001"), 401),
    "301 s old, signed well": (BODY, signed(at=NOW - 301), 400),
    "301 s ahead, signed well": (BODY, signed(at=NOW + 301), 400),
    "a day old, signed well": (BODY, signed(at=NOW - 86400), 400),
    "301 s old, signed by nobody": (BODY, {**signed(at=NOW - 301), "webhook-signature": MAC}, 401),
    "no signature": (BODY, changed(webhook_signature=None), 400),
    "an empty signature": (BODY, changed(webhook_signature=""), 400),
    "a signature without a version": (BODY, changed(webhook_signature=MAC.removeprefix("v1,")), 401),
    "a signature of version 2": (BODY, changed(webhook_signature="v2" + MAC[2:]), 401),
    "a signature in capitals": (BODY, changed(webhook_signature="V1" + MAC[2:]), 401),
    "a signature with a comma alone": (BODY, changed(webhook_signature="v1,"), 401),
    "a signature that is no base64": (BODY, changed(webhook_signature="v1,%%%%"), 401),
    "a signature cut short": (BODY, changed(webhook_signature=MAC[:-5]), 401),
    "a signature with its last bits changed": (BODY, changed(webhook_signature=MAC[:-2] + "8="), 401),
    "a signature beyond ASCII": (BODY, changed(webhook_signature="v1,\xe9\xe8"), 401),
    "a signature in hex": (BODY, changed(webhook_signature="v1," + "ab" * 32), 401),
    "a hundred signatures": (BODY, changed(webhook_signature=" ".join(["v1,AAAA"] * 100)), 400),
    "a hundred, the last one right": (
        BODY,
        changed(webhook_signature=" ".join(["v1,AA"] * 100 + [MAC])),
        400,
    ),
    "signatures with commas between": (BODY, changed(webhook_signature=f"v1,AAAA,{MAC}"), 401),
    "by another secret": (BODY, signed(secret="whsec_" + "A" * 32), 401),
    "another body": (BODY + b" ", signed(), 401),
    "no body": (b"", signed(), 401),
    "no body, signed well": (*around(b""), 400),
    "no JSON, signed well": (*around(b"hello"), 400),
    "half of a JSON, signed well": (*around(BODY[:40]), 400),
    "a list, signed well": (*around(b"[1, 2]"), 400),
    "a number, signed well": (*around(b"3"), 400),
    "null, signed well": (*around(b"null"), 400),
    "no UTF-8, signed well": (*around(b'{"type": "batch.x", "a": "\xff\xfe"}'), 400),
    "UTF-16, signed well": (*around('{"type": "batch.x"}'.encode("utf-16")), 400),
    "nested without end, signed well": (*around(DEEP), 400),
    "a number without end, signed well": (*around(b'{"type": ' + b"9" * 6000 + b"}"), 400),
    "without a type, signed well": (*around(b'{"data": {"id": "x"}}'), 400),
    "a type that is a number, signed well": (*around(b'{"type": 3, "data": {"id": "x"}}'), 400),
    "a type with a blank, signed well": (*around(b'{"type": "batch completed"}'), 400),
    "a type with a line break, signed well": (*around(b'{"type": "batch.x\\n"}'), 400),
    "a type of ours, signed well": (*around(b'{"type": "ftwatch.test"}'), 400),
    "a type of 200 letters, signed well": (*around(b'{"type": "' + b"a" * 200 + b'"}'), 400),
    "about a job without an id, signed well": (
        *around(b'{"type": "fine_tuning.job.failed", "data": {}}'),
        400,
    ),
    "about a job with an id of blanks": (
        *around(b'{"type": "fine_tuning.job.failed", "data": {"id": "\\u0007"}}'),
        400,
    ),
    "about a job with an id without end": (
        *around(b'{"type": "fine_tuning.job.failed", "data": {"id": "' + b"x" * 9000 + b'"}}'),
        400,
    ),
    "compressed, signed well": (*around(BODY, **{"content-encoding": "gzip"}), 400),
    "larger than may be, signed well": (*around(b" " * (256 * 1024 + 1)), 413),
}


def test_there_are_sixty_of_them() -> None:
    assert len(BAD) >= 60


@pytest.mark.parametrize("name", list(BAD))
async def test_what_is_malformed_gets_its_verdict(name: str, tmp_path: Path) -> None:
    body, headers, status = BAD[name]
    raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
    async with house(tmp_path, CONFIG, NOW) as it:
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{it.url}/hooks/oa", content=body, headers=raw)
        assert answer.status_code == status, answer.text
        assert WHSEC not in answer.text
        assert set(answer.json()) == {"error"}
        assert it.pollers["oa"].heard == []
        assert it.store.history.events() == []
        # And whoever means it well is heard all the same.
        assert (await posted(it, "oa", BODY, signed())).status_code == 204


@pytest.mark.parametrize(
    ("name", "status"), [("none", 404), ("nobody", 404), ("oa/x", 404), ("", 404), ("..%2f..%2fetc", 404)]
)
async def test_who_takes_no_webhooks_says_so(name: str, status: int, tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        assert (await posted(it, name, BODY, signed())).status_code == status


async def test_only_a_post_is_a_hook(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it, httpx2.AsyncClient(trust_env=False) as client:
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            assert (await client.request(method, f"{it.url}/hooks/oa")).status_code == 405


async def test_what_cannot_be_stored_is_to_be_sent_again(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:

        async def full(*_: Any) -> Any:
            raise Full("the disk is full")

        it.work = full
        answer = await posted(it, "oa", FOREIGN, signed(FOREIGN))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


async def test_a_flood_is_kept_out(tmp_path: Path) -> None:
    async with house(tmp_path, CONFIG, NOW) as it:
        found = [(await posted(it, "oa", BODY, {})).status_code for _ in range(260)]
        assert found[:100] == [400] * 100
        assert found[-1] == 429
        # Others are not its victims, nor is it one for ever.
        assert (await posted(it, "head", BODY, {"x-api-key": "shared-and-secret"})).status_code == 204
        it.clock.at += 60
        assert (await posted(it, "oa", BODY, signed(at=NOW + 60))).status_code == 204
