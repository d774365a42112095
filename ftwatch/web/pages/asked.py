"""What does an address of the list ask for? Read strictly, and written again for the page's links."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from ftwatch.core.job import TERMINAL, Status
from ftwatch.core.message import clean
from ftwatch.store.glance import GONE, Cursor
from ftwatch.web.pages import shown
from ftwatch.web.pages.frame import BadQuery

__all__ = ["ORDER", "Asked", "asked"]

LONGEST = 200
# Every status that may be asked for: what goes on, then what is over.
ORDER = [*(status for status in Status if status not in TERMINAL), *sorted(TERMINAL), GONE]

_decode_cursor = msgspec.json.Decoder(tuple[bool, float, str, str], strict=True).decode


class Asked(Struct, frozen=True, kw_only=True):
    """What the address asks for. `everything`: also what ended long ago; `after` is where the page begins."""

    provider: str | None = None
    status: str | None = None
    owner: str | None = None
    label: tuple[str, str] | None = None
    text: str | None = None
    everything: bool = False
    after: Cursor | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether some jobs are left out by more than their age."""
        return any((self.provider, self.status, self.owner, self.label, self.text))

    def address(self, **other: Any) -> str:
        """The address of the same question with something said otherwise, from its first page on."""
        said = msgspec.structs.replace(self, **{"after": None, **other})
        query = {
            "provider": said.provider,
            "status": said.status,
            "owner": said.owner,
            "label": "=".join(said.label) if said.label else None,
            "q": said.text,
            "show": "all" if said.everything else None,
            "after": _packed(said.after) if said.after else None,
        }
        return shown.href("/", **query)


def asked(query: Mapping[str, str]) -> Asked:
    """What an address asks for. Raises BadQuery, with a sentence."""

    def said(name: str) -> str | None:
        value = query.get(name, "").strip()
        if len(value) > LONGEST:
            raise BadQuery(f"{name} is longer than {LONGEST} letters")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise BadQuery(f"{name} is no text")
        return value or None

    status = said("status")
    if status is not None and status not in ORDER:
        raise BadQuery(f"no status is called {clean(status, 40)!r}")
    label = said("label")
    if label is not None and "=" not in label:
        raise BadQuery("a label is written KEY=VALUE")
    key, _, value = (label or "").partition("=")
    after = query.get("after")
    return Asked(
        provider=said("provider"),
        status=status,
        owner=said("owner"),
        label=(key, value) if label else None,
        text=said("q"),
        everything=query.get("show") == "all",
        after=_unpacked(after) if after else None,
    )


def _packed(cursor: Cursor) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(tuple(cursor))).decode().rstrip("=")


def _unpacked(text: str) -> Cursor:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return Cursor(*_decode_cursor(base64.b64decode(padded, altchars=b"-_", validate=True)))
    except (UnicodeEncodeError, binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        raise BadQuery("this page of the list does not exist") from None
