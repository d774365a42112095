"""Is it theirs? Verifying webhooks that come in, by the schemes that senders use, as pure functions.

What a verified body says is its provider's affair; what ftwatch sends itself is signed in `signature`.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from ftwatch.core.event import digest
from ftwatch.core.signature import MOST, Stale, any_same, is_signed, moment_of

__all__ = ["Forged", "Malformed", "Scheme", "content_id", "message_of"]

Scheme = Literal["standard", "stripe", "github", "header", "bearer"]

LONGEST_ID = 256
_ID = re.compile(r"[\x21-\x7e]+")


class Malformed(ValueError):
    """What came is no webhook by this scheme; the sentence says what is missing."""


class Forged(ValueError):
    """Nobody who holds the secret has sent this."""


def message_of(
    scheme: Scheme,
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float,
    *,
    tolerance: float,
    header: str = "",
) -> str:
    """The sender's id of a message that one of `secrets` proves; "" where the scheme has none.

    `headers` are by their names in lower case. The same work is done whatever is wrong, and a wrong time is
    told only to who holds the secret. Raises Malformed, Forged, Stale (`now` is more than `tolerance`
    seconds off).
    """
    match scheme:
        case "standard":
            return _standard(headers, body, secrets, now, tolerance)
        case "stripe":
            return _stripe(headers, body, secrets, now, tolerance)
        case "github":
            return _github(headers, body, secrets)
        case "header":
            return _shared(headers.get(header), secrets)
        case "bearer":
            word, _, token = headers.get("authorization", "").partition(" ")
            return _shared(token.strip() if word.lower() == "bearer" else None, secrets)


def _standard(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, tolerance: float
) -> str:
    """Standard Webhooks: id, time and body are signed together, by each of several secrets."""
    id, stamp = _needed(headers, "webhook-id"), _needed(headers, "webhook-timestamp")
    signature = _needed(headers, "webhook-signature")
    if "." in id or len(id) > LONGEST_ID or not _ID.fullmatch(id):
        # A dot ends the id; one within it would let a body's beginning pass for a part of the id.
        raise Malformed("webhook-id holds what no id may")
    moment = moment_of(stamp)
    if moment is None:
        raise Malformed("webhook-timestamp is no whole number of seconds")
    if len(signature.split()) > MOST:
        raise Malformed(f"webhook-signature holds more than {MOST} signatures")
    if not is_signed(secrets, id, stamp, body, signature):
        raise Forged("no signature is by this secret")
    _timely(moment, now, tolerance)
    return id


def _stripe(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, tolerance: float
) -> str:
    """`stripe-signature: t=…,v1=…`: hex over the time, a dot and the body. The id stands in the body."""
    parts = [part.strip().partition("=") for part in _needed(headers, "stripe-signature").split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    given = [value for name, _, value in parts if name == "v1"]
    moment = moment_of(stamps[0]) if len(stamps) == 1 else None
    if moment is None:
        raise Malformed("stripe-signature has no time, or more than one (t=…)")
    if not 0 < len(given) <= MOST:
        raise Malformed("stripe-signature has no v1=…, or too many of them")
    content = stamps[0].encode() + b"." + body
    if not _any_hex(secrets, content, given):
        raise Forged("no signature is by this secret")
    _timely(moment, now, tolerance)
    return ""


def _github(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> str:
    """`x-hub-signature-256: sha256=…` over the body. There is no time in it: only repeats are noticed."""
    name, _, given = _needed(headers, "x-hub-signature-256").partition("=")
    if name != "sha256":
        raise Malformed("x-hub-signature-256 does not begin with sha256=")
    id = _needed(headers, "x-github-delivery")
    if len(id) > LONGEST_ID or not _ID.fullmatch(id):
        raise Malformed("x-github-delivery holds what no id may")
    if not _any_hex(secrets, body, [given]):
        raise Forged("the signature is not by this secret")
    return id


def _shared(given: str | None, secrets: Sequence[str]) -> str:
    """The secret itself came along."""
    if given is None:
        raise Forged("the secret did not come along")
    # Digests are compared: their length says nothing of the secret's.
    found = hashlib.sha256(given.encode("utf-8", "surrogateescape")).digest()
    wanted = [hashlib.sha256(secret.encode()).digest() for secret in secrets]
    if not any_same([found], wanted):
        raise Forged("it is another secret")
    return ""


def _any_hex(secrets: Iterable[str], content: bytes, given: Iterable[str]) -> bool:
    wanted = [hmac.digest(secret.encode(), content, "sha256").hex().encode() for secret in secrets]
    found = [one.encode("utf-8", "replace") for one in given]
    return any_same(found, wanted)


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    if not value:
        raise Malformed(f"the header {name} is missing")
    return value


def _timely(moment: int, now: float, tolerance: float) -> None:
    if abs(now - moment) > tolerance:
        raise Stale("the timestamp is too far from now")


def content_id(body: bytes) -> str:
    """What stands for a message whose sender gives it no id: the same bytes are the same message."""
    return "sha_" + digest(hashlib.sha256(body).hexdigest())
