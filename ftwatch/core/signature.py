"""Who sent it? Signing and verifying webhooks by the Standard Webhooks specification, as pure functions.

A signature covers the message's id, its timestamp and its body; several secrets may sign at once, so that a
receiver can change over without losing anything.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable

from ftwatch.core.event import digest

__all__ = ["BadSecret", "BadSignature", "fresh_secret", "message_id", "sign", "signing_key", "verify"]

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
# How far a timestamp may lie from the receiver's clock, either way (seconds).
TOLERANCE = 300
# More signatures than this on one message are no changeover of secrets, but somebody's game.
MOST = 16
_DIGITS = re.compile(r"[1-9][0-9]{0,11}")


class BadSecret(ValueError):
    """A secret that is none; the sentence does not show it."""


class BadSignature(ValueError):
    """A message that is not by whoever holds the secret, or is too old or too new."""


def message_id(notifier: str, event_id: str) -> str:
    """The `webhook-id` of an event for one notifier: the same for every try and every replay."""
    return "msg_" + digest(notifier, event_id)


def fresh_secret(random: bytes) -> str:
    """A secret of 32 random bytes, as it is written in a config."""
    return PREFIX + base64.b64encode(random).decode()


def signing_key(secret: str) -> bytes:
    """The key in `whsec_…` (base64 of 24 to 64 bytes). Raises BadSecret."""
    if not secret.startswith(PREFIX):
        raise BadSecret("a webhook secret begins with whsec_")
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise BadSecret("after whsec_ a webhook secret is base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise BadSecret(f"a webhook secret holds {SHORTEST} to {LONGEST} bytes; this one {len(key)}")
    return key


def sign(secrets: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` header: one `v1,…` for each secret. Raises BadSecret."""
    content = f"{id}.{timestamp}.".encode() + body
    return " ".join(f"v1,{_mac(signing_key(secret), content)}" for secret in secrets)


def verify(secret: str, id: str, timestamp: str, body: bytes, signature: str, now: float) -> None:
    """Raises BadSignature unless one of the header's signatures is by `secret` and the time is right."""
    if not _DIGITS.fullmatch(timestamp):
        raise BadSignature("the timestamp is no whole number")
    # The dot ends the id; one within it would let a body's beginning pass for a part of the id.
    if "." in id or not id.isprintable():
        raise BadSignature("the id holds what no id may")
    moment = int(timestamp)
    if abs(now - moment) > TOLERANCE:
        raise BadSignature("the timestamp is too far from now")
    wanted = _mac(signing_key(secret), f"{id}.{moment}.".encode() + body).encode()
    for candidate in signature.split()[:MOST]:
        version, _, mac = candidate.partition(",")
        if version == "v1" and hmac.compare_digest(mac.encode("utf-8", "replace"), wanted):
            return
    raise BadSignature("no signature is by this secret")


def _mac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
