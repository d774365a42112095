"""Looking at pages: an answer of the application without a socket, and what its HTML is made of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urlsplit

import anyio

from ftwatch.web import application

__all__ = ["Answer", "Element", "Site", "parsed"]

VOID = {"meta", "link", "input", "br", "hr", "img", "path", "circle", "rect"}


@dataclass
class Element:
    """A part of a page."""

    tag: str
    attrs: dict[str, str]
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    pieces: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that it says, with single spaces."""
        said = "".join(one if isinstance(one, str) else f" {one.text} " for one in self.pieces)
        return " ".join(said.split())

    def all(self, tag: str | None = None, **attrs: str) -> "list[Element]":
        """Every part below it of that tag and with those attributes (`class_` among them)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return [
            one
            for one in self.walk()
            if (tag is None or one.tag == tag)
            and all(value in (one.attrs.get(name) or "").split() or one.attrs.get(name) == value
                    for name, value in wanted.items())
        ]  # fmt: skip

    def one(self, tag: str | None = None, **attrs: str) -> "Element":
        """The only part like that."""
        found = self.all(tag, **attrs)
        assert len(found) == 1, f"{len(found)} of {tag} {attrs}"
        return found[0]

    def walk(self) -> "Iterator[Element]":
        """Everything below it, in its order."""
        for child in self.children:
            yield child
            yield from child.walk()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self._at = Element("", {})

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in {tag}: {names}"
        made = Element(tag, {name: value or "" for name, value in attrs}, self._at)
        self._at.children.append(made)
        self._at.pieces.append(made)
        if tag not in VOID:
            self._at = made

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._at.tag == tag, f"</{tag}> closes <{self._at.tag}>"
        assert self._at.parent is not None
        self._at = self._at.parent

    def handle_data(self, data: str) -> None:
        self._at.pieces.append(data)

    def close(self) -> None:
        super().close()
        assert self._at is self.root, f"<{self._at.tag}> is never closed"


def parsed(text: str) -> Element:
    """A page's parts. Fails where its tags do not fit together."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    return parser.root


@dataclass
class Answer:
    """What came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def page(self) -> Element:
        """The HTML."""
        assert self.headers["content-type"] == "text/html; charset=utf-8", self.headers
        return parsed(self.text)


class Site:
    """The application over a house."""

    def __init__(self, house: Any) -> None:
        self._application = application(house, anyio.Event())

    async def get(self, address: str, **headers: str) -> Answer:
        """What GET brings; as a browser asks."""
        return await self.ask("GET", address, **headers)

    async def ask(self, method: str, address: str, body: bytes = b"", **headers: str) -> Answer:
        """What a request brings."""
        parts = urlsplit(address)
        given = {"host": "localhost", "accept": "text/html,*/*;q=0.8", **headers}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(parts.path),
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.replace("_", "-").encode(), text.encode()) for name, text in given.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 8787),
        }
        await self._application(scope, receive, send)
        head, *rest = sent
        return Answer(
            head["status"],
            {name.decode(): text.decode("latin-1") for name, text in head["headers"]},
            b"".join(message.get("body", b"") for message in rest),
        )
