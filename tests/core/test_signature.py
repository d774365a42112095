"""Signatures: the published vectors, and what a receiver must refuse."""

import time

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as StandardWebhook
from svix.webhooks import Webhook as SvixWebhook

from ftwatch.core.event import encode
from ftwatch.core.sample import SAMPLES, sample
from ftwatch.core.signature import (
    BadSecret,
    BadSignature,
    fresh_secret,
    message_id,
    sign,
    signing_key,
    verify,
)

# From the reference libraries of Standard Webhooks, and from the openai package's own tests.
VECTORS = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=",
        "wh_685c059ae39c8190af8c71ed1022a24d",
        1750861210,
        b'{"id": "evt_685c059ae3a481909bdc86819b066fb6", "object": "event", "created_at": 1750861210, '
        b'"type": "response.completed", "data": {"id": "resp_123"}}',
        "v1,gUAg4R2hWouRZqRQG4uJypNS8YK885G838+EHb4nKBY=",
    ),
]
SECRET, ID, AT, BODY, SIGNATURE = VECTORS[0]
OTHER = fresh_secret(b"x" * 32)


@pytest.mark.parametrize(("secret", "id", "at", "body", "signature"), VECTORS)
def test_the_published_vectors(secret: str, id: str, at: int, body: bytes, signature: str) -> None:
    assert sign([secret], id, at, body) == signature
    verify(secret, id, str(at), body, signature, at)


def test_several_secrets_sign_at_once_and_any_of_them_verifies() -> None:
    both = sign([OTHER, SECRET], ID, AT, BODY)
    assert len(both.split()) == 2
    for secret in (SECRET, OTHER):
        verify(secret, ID, str(AT), BODY, both, AT)


@pytest.mark.parametrize(
    ("id", "stamp", "body", "signature", "now"),
    [
        (ID + "x", str(AT), BODY, SIGNATURE, AT),
        (ID, str(AT), BODY + b" ", SIGNATURE, AT),
        (ID, str(AT), BODY, SIGNATURE[:-2] + "A=", AT),
        (ID, str(AT), BODY, SIGNATURE.replace("v1,", "v2,"), AT),
        (ID, str(AT), BODY, SIGNATURE.replace("v1,", ""), AT),
        (ID, str(AT), BODY, "", AT),
        (ID, str(AT), BODY, "v1,é", AT),
        (ID, str(AT), BODY, SIGNATURE, AT + 301),
        (ID, str(AT), BODY, SIGNATURE, AT - 301),
        *(
            (ID, stamp, BODY, SIGNATURE, AT)
            for stamp in ("", "now", "1e9", "1_614_265_330", "nan", " ", "+1", "١")
        ),
        (ID, f"{AT}.0", BODY, SIGNATURE, AT),
        (ID, f" {AT}", BODY, SIGNATURE, AT),
        (ID, f"+{AT}", BODY, SIGNATURE, AT),
    ],
)
def test_what_is_not_signed_for_now_is_refused(
    id: str, stamp: str, body: bytes, signature: str, now: int
) -> None:
    with pytest.raises(BadSignature):
        verify(SECRET, id, stamp, body, signature, now)


def test_a_wrong_signature_among_others_does_no_harm() -> None:
    verify(SECRET, ID, str(AT), BODY, f"v1,AAAA v2,x {SIGNATURE} v1,", AT)
    with pytest.raises(BadSignature):
        verify(SECRET, ID, str(AT), BODY, "v1,AAAA " * 10_000 + SIGNATURE, AT)


@pytest.mark.parametrize(
    "secret", ["", "hunter2", "whsec_", "whsec_AAAA", "whsec_?!", "sk-123", "whsec_" + "A" * 100]
)
def test_a_secret_is_whsec_and_the_base64_of_24_to_64_bytes(secret: str) -> None:
    with pytest.raises(BadSecret) as caught:
        signing_key(secret)
    assert not secret or secret not in str(caught.value)


@given(st.binary(min_size=24, max_size=64))
def test_a_fresh_secret_is_one(random: bytes) -> None:
    assert signing_key(fresh_secret(random)) == random


def test_an_event_has_one_id_for_each_notifier() -> None:
    assert message_id("a", "evt_1") == message_id("a", "evt_1")
    assert len({message_id("a", "evt_1"), message_id("b", "evt_1"), message_id("a", "evt_2")}) == 3


@pytest.mark.parametrize("name", SAMPLES)
def test_the_published_verifiers_take_what_we_sign(name: str) -> None:
    body, now = encode(sample(name)), int(time.time())
    headers = {
        "webhook-id": message_id("hook", sample(name).id),
        "webhook-timestamp": str(now),
        "webhook-signature": sign([OTHER], message_id("hook", sample(name).id), now, body),
    }
    StandardWebhook(OTHER).verify(body, headers)
    SvixWebhook(OTHER).verify(body, headers)
    unwrapped = openai.OpenAI(api_key="x", webhook_secret=OTHER).webhooks.unwrap(body, headers)
    assert unwrapped.id == sample(name).id
    assert unwrapped.data.id == sample(name).data.id
