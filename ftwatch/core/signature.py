"""Who sent it? Signing and verifying webhooks by the Standard Webhooks specification, as pure functions.

A signature covers the message's id, its timestamp and its body; several secrets may sign at once, so that a
receiver can change over without losing anything.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Collection, Iterable

from ftwatch.core.event import digest

__all__ = [
    "MOST",
    "BadSecret",
    "BadSignature",
    "Stale",
    "any_same",
    "fresh_secret",
    "is_signed",
    "message_id",
    "moment_of",
    "sign",
    "signing_key",
    "verify",
]

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


class Stale(BadSignature):
    """A message that was signed too long ago, or by a clock that is wrong."""


def message_id(notifier: str, event_id: str, *more: object) -> str:
    """The `webhook-id` of an event for one notifier: the same for every try and every replay.

    `more` tells apart what people are told of it besides (reminders).
    """
    return "msg_" + digest(notifier, event_id, *more)


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


def is_signed(secrets: Iterable[str], id: str, timestamp: str, body: bytes, signature: str) -> bool:
    """Whether one of the header's signatures is by one of `secrets`. Raises BadSecret."""
    content = f"{id}.{timestamp}.".encode() + body
    wanted = [_mac(signing_key(secret), content).encode() for secret in secrets]
    found = [mac.encode("utf-8", "replace") for mac in _macs(signature)]
    # Every one is compared, so that nobody learns from the time which of them came close.
    return any_same(found, wanted)


def any_same(found: Iterable[bytes], wanted: Collection[bytes]) -> bool:
    """Whether one of `found` is one of `wanted`; takes as long whichever it is."""
    return sum(hmac.compare_digest(one, other) for one in found for other in wanted) > 0


def moment_of(timestamp: str) -> int | None:
    """The Unix seconds in a timestamp; None where it is no whole number."""
    return int(timestamp) if _DIGITS.fullmatch(timestamp) else None


def verify(secret: str, id: str, timestamp: str, body: bytes, signature: str, now: float) -> None:
    """Raises BadSignature unless one of the header's signatures is by `secret` and the time is right."""
    moment = moment_of(timestamp)
    if moment is None:
        raise BadSignature("the timestamp is no whole number")
    # The dot ends the id; one within it would let a body's beginning pass for a part of the id.
    if "." in id or not id.isprintable():
        raise BadSignature("the id holds what no id may")
    if not is_signed([secret], id, timestamp, body, signature):
        raise BadSignature("no signature is by this secret")
    if abs(now - moment) > TOLERANCE:
        raise Stale("the timestamp is too far from now")


def _macs(signature: str) -> list[str]:
    """The signatures of the one version that is known, among the first so many."""
    parts = [candidate.partition(",") for candidate in signature.split()[:MOST]]
    return [mac for version, _, mac in parts if version == "v1"]


def _mac(key: bytes, content: bytes) -> str:
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
