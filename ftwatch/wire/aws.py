"""What all of AWS's services have in common on the wire: error codes, ARNs, pages with a token.

What a job's fields mean is the kinds' affair.
"""

import re
from collections.abc import Mapping
from html import unescape
from urllib.parse import quote

from msgspec import Struct

from ftwatch.plugins import Page, Unreadable
from ftwatch.wire import lenient

__all__ = ["Arn", "arn", "error_code", "identity", "message", "split"]

_ARN = re.compile(r"arn:(aws[a-z-]*):([a-z0-9-]+):([a-z0-9-]*):([0-9]{12}|aws)?:(\S+)")
# STS tells of who asks, and of what went wrong, in XML.
_WHO = re.compile(rb"<Arn>\s*([^<>\s]{1,2048})\s*</Arn>")
_XML_MESSAGE = re.compile(rb"<Message>([^<>]{1,2048})</Message>")
_XML_CODE = re.compile(rb"<Code>\s*([A-Za-z]\w{2,99})\s*</Code>")
_CODE = re.compile(r"[A-Za-z]\w{2,99}")
# Where a partition's console is; what is none of these has none that is known.
_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-cn": "console.amazonaws.cn",
}


class Arn(Struct, frozen=True):
    """The parts of an Amazon Resource Name; `text` is the whole of it."""

    text: str
    partition: str
    region: str
    account: str | None
    resource: str

    @property
    def name(self) -> str:
        """What stands behind the sort of resource: `custom-model/x` is `x`."""
        return self.resource.partition("/")[2] or self.resource

    def console(self, page: str) -> str | None:
        """The address, for people, of a page of the console in its region (`bedrock/home#/custom-models`)."""
        host = _CONSOLES.get(self.partition)
        if host is None or not self.region:
            return None
        path, _, fragment = page.partition("#")
        where = f"https://{self.region}.{host}/{path}?region={self.region}"
        return f"{where}#{quote(fragment, safe='/')}" if fragment else where


def arn(value: object) -> Arn | None:
    """The resource name that a value is; None for anything else."""
    text = lenient.some(value)
    found = _ARN.fullmatch(text) if text else None
    if text is None or found is None:
        return None
    return Arn(text, found[1], found[3], found[4], found[5])


def error_code(headers: Mapping[str, str], body: bytes) -> str:
    """The code of an error (`ThrottlingException`), header names in lower case; empty where there is none.

    It stands in a header, or in the body as `__type` or `code`, with a namespace or an address around it; in
    XML as `Code`.
    """
    said = [headers.get("x-amzn-errortype")]
    try:
        found = lenient.loads(body)
    except (ValueError, RecursionError):
        found = None
    said += [
        lenient.at(found, "__type"),
        lenient.at(found, "code"),
        lenient.at(found, "Code"),
        lenient.at(found, "Error.Code"),
    ]
    for word in filter(None, map(lenient.text, said)):
        code = word.partition(":")[0].rpartition("#")[2].strip()
        if _CODE.fullmatch(code):
            return code
    in_xml = _XML_CODE.search(body)
    return in_xml[1].decode() if in_xml else ""


def message(body: bytes) -> str:
    """What an error in XML says; empty for any other."""
    found = _XML_MESSAGE.search(body)
    return " ".join(unescape(found[1].decode("utf-8", "replace")).split()) if found else ""


def identity(body: bytes) -> Arn | None:
    """Who asked, as STS's GetCallerIdentity says; None where it does not."""
    told = _WHO.search(body)
    if told is not None:
        return arn(told[1].decode("utf-8", "replace"))
    try:
        found = lenient.document(body)
    except Unreadable:
        return None
    return arn(lenient.at(found, "GetCallerIdentityResponse.GetCallerIdentityResult.Arn"))


def split(body: bytes, entries: str, token: str) -> Page:
    """The entries of a listing, and the token of the page after. Raises ProviderError."""
    found, rest = lenient.parted(body, entries)
    return Page(entries=tuple(found), next=lenient.some(rest.get(token)))
