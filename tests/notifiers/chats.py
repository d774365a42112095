"""Receivers that behave as Discord's webhooks, Telegram's Bot API and Teams' workflows do, with their limits.

Limits, answers and what is refused are those of the services' documentation; how Telegram reads HTML and
Markdown is what the tests of its own library (td) say. What a message says is kept as a reader sees it: its
text, and what of it is more than text.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from markdown_it import MarkdownIt
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ftwatch.simulator.serving import Place

DISCORD = "discord://417421629812345678/JHMHI8qBe7bk2ZwO5U711o3dV_hunter2"
TELEGRAM = "tgram://123456789:hunter2_abcdefg-hijklmnop/12315544"
TEAMS = "workflows://prod-1.westeurope.logic.azure.com:443/643e69f83c8944/hunter2Signature/"


class Read(Struct, frozen=True):
    """A message as its reader sees it: the text, and what is more than text: (kind, what of it, where to)."""

    text: str
    marks: tuple[tuple[str, str, str], ...] = ()

    def kinds(self) -> set[str]:
        return {kind for kind, _, _ in self.marks}

    def links(self) -> list[str]:
        return [where for kind, _, where in self.marks if kind == "link"]


# ---------------------------------------------------------------------------------------------- reading


class Refused(Exception):
    """The service says no, in its own words."""


def units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


_PLAIN = {"a", "b", "strong", "i", "em", "s", "strike", "del", "u", "ins", "code", "pre", "blockquote"}
TELEGRAM_TAGS = {*_PLAIN, "tg-spoiler", "tg-emoji", "span"}
TAG = re.compile(r"<(/?)([^\s>/]*)([^>]*)>")
ATTRIBUTES = re.compile(r"""(\s+[a-z-]+=("[^"]*"|'[^']*'|[^\s"'>]+))*\s*""", re.I)


def telegram_html(text: str) -> Read:
    """What Telegram makes of `parse_mode: HTML`."""
    told, marks, open_tags, at = "", [], [], 0
    while at < len(text):
        if text[at] == "&":
            # A name that it does not know stays as it is.
            found = re.compile(r"&(lt|gt|amp|quot|#\d+|#x[0-9a-f]+);", re.I).match(text, at)
            told += unescape(found[0]) if found else "&"
            at = found.end() if found else at + 1
            continue
        if text[at] != "<":
            told += text[at]
            at += 1
            continue
        found = TAG.match(text, at)
        offset = len(text[:at].encode())
        if found is None:
            raise Refused(f"can't parse entities: Unclosed start tag at byte offset {offset}")
        closes, name, rest = found[1] == "/", found[2].lower(), found[3]
        if closes:
            if not open_tags or open_tags[-1][0] != name:
                raise Refused(f"can't parse entities: Unmatched end tag at byte offset {offset}")
            _, begun, where = open_tags.pop()
            marks.append(("link" if name == "a" else name, told[begun:], where))
        else:
            if name not in TELEGRAM_TAGS:
                raise Refused(
                    f'can\'t parse entities: Unsupported start tag "{name}" at byte offset {offset}'
                )
            if not ATTRIBUTES.fullmatch(rest):
                raise Refused(
                    f"can't parse entities: Empty attribute name in the tag at byte offset {offset}"
                )
            href = re.search(r'href="([^"]*)"', rest)
            open_tags.append((name, len(told), unescape(href[1]) if href else ""))
        at = found.end()
    if open_tags:
        raise Refused(
            f"can't parse entities: Can't find end tag corresponding to start tag \"{open_tags[-1][0]}\""
        )
    return Read(told, tuple(marks))


RESERVED = set("_*[]()~`>#+-=|{}.!")
V2 = {"*": "b", "_": "i", "~": "s", "||": "tg-spoiler", "__": "u", "`": "code"}


def telegram_v2(text: str) -> Read:
    """What Telegram makes of `parse_mode: MarkdownV2`."""
    told, marks, open_signs, at = "", [], [], 0
    while at < len(text):
        sign = text[at]
        offset = len(text[:at].encode())
        if sign == "\\" and at + 1 < len(text) and 0 < ord(text[at + 1]) < 127:
            told += text[at + 1]
            at += 2
            continue
        in_code = bool(open_signs) and open_signs[-1][0] == "`"
        if in_code and sign != "`":
            told += sign
            at += 1
            continue
        if sign == ">" and (at == 0 or text[at - 1] == "\n"):
            marks.append(("blockquote", text[at + 1 :].partition("\n")[0], ""))
            at += 1
            continue
        double = text[at : at + 2] if text[at : at + 2] in V2 else ""
        if double or sign in V2:
            sign = double or sign
            if open_signs and open_signs[-1][0] == sign:
                _, begun = open_signs.pop()
                marks.append((V2[sign], told[begun:], ""))
            elif any(sign == other for other, _ in open_signs):
                raise Refused(f"can't parse entities: Can't find end of the entity at byte offset {offset}")
            else:
                open_signs.append((sign, len(told)))
            at += len(sign)
        elif sign == "[":
            open_signs.append(("[", len(told)))
            at += 1
        elif sign == "]" and open_signs and open_signs[-1][0] == "[":
            _, begun = open_signs.pop()
            found = re.compile(r"\]\(((?:\\.|[^)\\])*)\)").match(text, at)
            if found is None:
                raise Refused(f"can't parse entities: Can't find end of a URL at byte offset {offset}")
            marks.append(("link", told[begun:], re.sub(r"\\(.)", r"\1", found[1])))
            at = found.end()
        elif sign in RESERVED:
            what = f"Character '{sign}' is reserved and must be escaped with the preceding '\\'"
            raise Refused(f"can't parse entities: {what}")
        else:
            told += sign
            at += 1
    if open_signs:
        raise Refused("can't parse entities: Can't find end of the entity")
    return Read(told, tuple(marks))


def telegram_v1(text: str) -> Read:
    """What Telegram makes of `parse_mode: Markdown`, the old one: nothing within anything."""
    told, marks, at = "", [], 0
    while at < len(text):
        sign = text[at]
        if sign == "\\" and text[at + 1 : at + 2] in tuple("_*`["):
            told += text[at + 1]
            at += 2
        elif sign in "_*`[":
            end = text.find("]" if sign == "[" else sign, at + 1)
            if end < 0:
                offset = len(text[:at].encode())
                raise Refused(
                    f"can't parse entities: Can't find end of the entity starting at byte offset {offset}"
                )
            inner, where = text[at + 1 : end], ""
            at = end + 1
            kind = {"*": "b", "_": "i", "`": "code"}.get(sign, "link")
            if sign == "[":
                found = re.compile(r"\(([^)]*)\)").match(text, at)
                if found is None:
                    told += inner
                    continue
                where, at = found[1], found.end()
            marks.append((kind, inner, where))
            told += inner
        else:
            told += sign
            at += 1
    return Read(told, tuple(marks))


_COMMONMARK = MarkdownIt("commonmark").enable("strikethrough")
# What is left of it in an adaptive card.
_CARD = MarkdownIt("commonmark", {"html": False}).disable(
    [
        "backticks",
        "blockquote",
        "code",
        "fence",
        "heading",
        "hr",
        "html_block",
        "html_inline",
        "image",
        "lheading",
    ]
)
_KINDS = {"strong": "b", "em": "i", "code_inline": "code"}
_SILENT = {"paragraph", "text", "inline", "softbreak", "hardbreak"}


def commonmark(text: str, reader: MarkdownIt = _COMMONMARK) -> Read:
    """What a reader of Markdown sees. Anything that is neither text nor known is a mark by its own name."""
    marks: list[tuple[str, str, str]] = []
    told = ""

    def walk(tokens: Any) -> None:
        nonlocal told
        stack: list[tuple[str, int, str]] = []
        for token in tokens:
            name = token.type.removesuffix("_open").removesuffix("_close")
            if token.type == "inline":
                walk(token.children)
                told += "\n"
            elif token.type in ("softbreak", "hardbreak"):
                told += "\n"
            elif token.type == "text":
                told += token.content
            elif token.nesting > 0 and name not in _SILENT:
                stack.append((_KINDS.get(name, name), len(told), str(token.attrs.get("href", ""))))
            elif token.nesting < 0 and name not in _SILENT:
                kind, begun, where = stack.pop()
                marks.append((kind, told[begun:], where))
            elif name not in _SILENT:
                marks.append((_KINDS.get(name, name), token.content, ""))
                told += token.content

    walk(reader.parse(text))
    return Read(told, tuple(marks))


def card(text: str) -> Read:
    """What an adaptive card shows of it."""
    return commonmark(text, _CARD)


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.told = ""
        self.marks: list[tuple[str, str, str]] = []
        self._open: list[tuple[str, int, str]] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.told += "\n"
            return
        assert {name for name, _ in attrs} <= {"href"}
        self._open.append((tag, len(self.told), dict(attrs).get("href") or ""))

    def handle_endtag(self, tag: str) -> None:
        name, begun, where = self._open.pop()
        assert name == tag
        self.marks.append(("link" if tag == "a" else tag, self.told[begun:], where))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "br"
        self.told += "\n"

    def handle_data(self, data: str) -> None:
        self.told += data


def html(text: str) -> Read:
    """What a browser would make of it."""
    tags = _Tags(text)
    return Read(tags.told, tuple(tags.marks))


# ------------------------------------------------------------------------------------------ the receivers


class Chat:
    """What the three have in common. `moods` are answers given before anything is looked at, in turn."""

    host = ""

    def __init__(self) -> None:
        self.read: list[Read] = []
        self.posted: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.moods: list[Response] = []
        self.asked = 0
        self.place = Place(Starlette(routes=[Route("/{path:path}", self._take, methods=["POST"])]), 0)

    async def _take(self, request: Request) -> Response:
        return self.answer(str(request.url), await request.body())

    def answer(self, url: str, body: bytes) -> Response:
        self.asked += 1
        if self.moods:
            return self.moods.pop(0)
        try:
            what = json.loads(body)
        except ValueError:
            return self.no("this is no JSON")
        try:
            return self.take(url, what)
        except Refused as error:
            self.refused.append(str(error))
            return self.no(str(error))

    def take(self, url: str, what: dict[str, Any]) -> Response:
        raise NotImplementedError

    def no(self, said: str) -> Response:
        raise NotImplementedError

    def busy(self, seconds: float) -> Response:
        """How the service says that there was too much of it."""
        raise NotImplementedError


class Discord(Chat):
    """A webhook of Discord's. `pings` is everybody that it called on."""

    host = "discord.com"

    def __init__(self) -> None:
        super().__init__()
        self.pings: list[str] = []

    def no(self, said: str) -> Response:
        errors = {"content": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": said}]}}
        return JSONResponse({"message": "Invalid Form Body", "code": 50035, "errors": errors}, 400)

    def gone(self) -> Response:
        return JSONResponse({"message": "Unknown Webhook", "code": 10015}, 404)

    def busy(self, seconds: float) -> Response:
        said = {"message": "You are being rate limited.", "retry_after": seconds, "global": False}
        left = {"x-ratelimit-limit": "5", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795388400"}
        return JSONResponse(said, 429, {"retry-after": str(int(seconds) + 1), "via": "1.1 google", **left})

    def take(self, url: str, what: dict[str, Any]) -> Response:
        if not re.search(r"/api/webhooks/\d+/[\w-]+$", urlsplit(url).path):
            return self.gone()
        content, embeds = what.get("content", ""), what.get("embeds", [])
        if not content and not embeds:
            raise Refused("Cannot send an empty message")
        if units(content) > 2000:
            raise Refused("Must be 2000 or fewer in length.")
        if len(embeds) > 10 or sum(map(self._size, embeds)) > 6000:
            raise Refused("Embed size exceeds maximum size of 6000")
        if not 1 <= len(what.get("username", "ftwatch")) <= 80:
            raise Refused("Must be between 1 and 80 in length.")
        allowed = what.get("allowed_mentions", {"parse": ["everyone", "roles", "users"]})["parse"]
        called = re.findall(r"@everyone|@here|<@[!&]?\d+>", content)
        self.pings += called if allowed else []
        self.posted.append(what)
        text = content + "".join(embed.get("description", "") for embed in embeds)
        self.read.append(_discord(text))
        return Response(status_code=204)

    def _size(self, embed: dict[str, Any]) -> int:
        fields = embed.get("fields", [])
        parts = {"title": (embed.get("title", ""), 256), "description": (embed.get("description", ""), 4096)}
        parts["footer"] = (embed.get("footer", {}).get("text", ""), 2048)
        parts["author"] = (embed.get("author", {}).get("name", ""), 256)
        for number, field in enumerate(fields):
            parts |= {f"{number}n": (field["name"], 256), f"{number}v": (field["value"], 1024)}
        for text, most in parts.values():
            if units(text) > most:
                raise Refused(f"Must be {most} or fewer in length.")
        if len(fields) > 25:
            raise Refused("Must be 25 or fewer in length.")
        return sum(units(text) for text, _ in parts.values())


def _discord(text: str) -> Read:
    """Discord's Markdown: CommonMark's, and spoilers, small print, emoji, and tags in angle brackets."""
    seen = commonmark(text)
    bare = re.sub(r"\\.|`[^`]+`", "\0", text, flags=re.S)
    bare = re.sub(r"\[[^\]]*\]\([^)]*\)|https?://\S+", "\0", bare)
    more = [("tg-spoiler", one, "") for one in re.findall(r"\|\|.+?\|\|", bare, re.S)]
    more += [("small", one, "") for one in re.findall(r"^-# .*", bare, re.M)]
    more += [("emoji", one, "") for one in re.findall(r":[a-z0-9_+-]{2,32}:", bare)]
    more += [("tag", one, "") for one in re.findall(r"<(?:@|#|a?:|t:|/)[^<>\s]*>", bare)]
    return Read(seen.text, (*seen.marks, *more))


class Telegram(Chat):
    """A bot of Telegram's."""

    host = "api.telegram.org"

    def no(self, said: str) -> Response:
        return JSONResponse({"ok": False, "error_code": 400, "description": f"Bad Request: {said}"}, 400)

    def busy(self, seconds: float) -> Response:
        wish = {"retry_after": int(seconds)}
        said = f"Too Many Requests: retry after {int(seconds)}"
        return JSONResponse({"ok": False, "error_code": 429, "description": said, "parameters": wish}, 429)

    def take(self, url: str, what: dict[str, Any]) -> Response:
        if not re.search(r"/bot\d+:[\w-]+/sendMessage$", urlsplit(url).path):
            return JSONResponse({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        if not what.get("chat_id"):
            raise Refused("chat_id is empty")
        readers = {"html": telegram_html, "markdown": telegram_v1, "markdownv2": telegram_v2}
        mode = what.get("parse_mode")
        if mode is not None and mode.lower() not in readers:
            raise Refused("unsupported parse_mode")
        seen = readers[mode.lower()](what["text"]) if mode is not None else Read(what["text"])
        if not seen.text.strip():
            raise Refused("message text is empty")
        if units(seen.text) > 4096:
            raise Refused("message is too long")
        called = [("mention", one, "") for one in re.findall(r"(?<![\w/])@[A-Za-z]\w{3,}", seen.text)]
        self.posted.append(what)
        self.read.append(Read(seen.text, (*seen.marks, *called)))
        return JSONResponse({"ok": True, "result": {"message_id": self.asked, "text": seen.text}})


CARD = 28 * 1024


class Teams(Chat):
    """A workflow of Teams' that posts the adaptive card which it is given."""

    host = "prod-1.westeurope.logic.azure.com"

    def no(self, said: str) -> Response:
        return JSONResponse({"error": {"code": "InvalidRequestContent", "message": said}}, 400)

    def busy(self, seconds: float) -> Response:
        said = f"Rate limit is exceeded. Try again in {int(seconds)} seconds."
        return JSONResponse({"statusCode": 429, "message": said}, 429, {"retry-after": str(int(seconds))})

    def gone(self) -> Response:
        said = "The workflow '643e69f83c8944' could not be found."
        return JSONResponse({"error": {"code": "WorkflowNotFound", "message": said}}, 404)

    def take(self, url: str, what: dict[str, Any]) -> Response:
        if not parse_qs(urlsplit(url).query).get("sig"):
            said = "The request has SAS authentication scheme while none was given."
            return JSONResponse({"error": {"code": "DirectApiAuthorizationRequired", "message": said}}, 401)
        if what.get("type") != "message" or len(what.get("attachments", [])) != 1:
            raise Refused("The message has no attachment.")
        if len(json.dumps(what)) > CARD:
            raise Refused("The request payload is too large.")
        (attachment,) = what["attachments"]
        card = attachment["content"]
        if attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
            raise Refused("Unknown attachment type")
        if card["type"] != "AdaptiveCard" or card["version"] > "1.5" or not card["body"]:
            raise Refused("AdaptiveCards.AdaptiveSerializationException")
        blocks = [self._block(block) for block in card["body"]]
        called = [("mention", one["text"], "") for one in card.get("msteams", {}).get("entities", ())]
        self.posted.append(what)
        self.read.append(
            Read(
                "\n".join(one.text for one in blocks),
                tuple(mark for one in blocks for mark in one.marks + tuple(called)),
            )
        )
        return Response(status_code=202)

    def _block(self, block: dict[str, Any]) -> Read:
        if block["type"] == "Image":
            return Read("")
        if block["type"] != "TextBlock" or not isinstance(block["text"], str):
            raise Refused("Property 'type' must be one of the known ones")
        return card(block["text"])


# ------------------------------------------------------------------------------------ from here to there


@contextmanager
def elsewhere(chat: Chat) -> Iterator[Chat]:
    """Requests to the service's host go to the local one instead, and to nobody else's."""
    real = requests.Session.request

    def request(self: Any, method: str, url: str, **more: Any) -> Any:
        there = urlsplit(url)
        assert there.hostname == chat.host, there.hostname
        return real(
            self,
            method,
            there._replace(scheme="http", netloc=f"127.0.0.1:{chat.place.port}").geturl(),
            **more,
        )

    requests.Session.request = request  # type: ignore[assignment]
    try:
        yield chat
    finally:
        requests.Session.request = real  # type: ignore[method-assign]


@contextmanager
def at_once(*chats: Chat) -> Iterator[None]:
    """The same without a socket, for what takes many: the bytes that would go out are answered at once."""
    real = requests.Session.send
    known = {chat.host: chat for chat in chats}

    def send(self: Any, request: Any, **more: Any) -> Any:
        body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
        said = known[urlsplit(request.url).hostname or ""].answer(request.url, body)
        answer = requests.Response()
        answer.status_code, answer._content = said.status_code, bytes(said.body)
        answer.headers.update(said.headers)
        return answer

    requests.Session.send = send  # type: ignore[assignment]
    try:
        yield
    finally:
        requests.Session.send = real  # type: ignore[method-assign]
