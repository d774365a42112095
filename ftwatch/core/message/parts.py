"""What is a message made of? Its parts, and the one way by which a stranger's words come into them."""

import re
import unicodedata
from enum import StrEnum

from msgspec import Struct

__all__ = [
    "BODY",
    "QUOTE",
    "TITLE",
    "VALUE",
    "Fact",
    "Message",
    "Picture",
    "Row",
    "Tone",
    "Wording",
    "clean",
    "is_web",
]

# The most characters of a body in the config's words, and
# of a title, of a fact's value, of a quoted sentence, of a URL that everybody takes.
BODY, TITLE, VALUE, QUOTE, URL = 3000, 150, 300, 1000, 2000

# By their category: what moves the cursor; what reorders or hides what follows it; lone surrogates, which no
# encoder takes.
_INSTEAD = {"Cc": " ", "Zl": " ", "Zp": " ", "Cf": "", "Cs": ""}


class Tone(StrEnum):
    """How a message feels: notifiers pick a colour by it."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    NEUTRAL = "neutral"


class Fact(Struct, frozen=True):
    """One line of a message: a label and its value. `is_code`: somebody may want to copy it as it is."""

    label: str
    value: str
    is_code: bool = False


class Row(Struct, frozen=True):
    """One line of a digest in columns: when it happened (UTC), what, and what is said of it."""

    at: str
    title: str
    said: str = ""

    def __str__(self) -> str:
        said = f": {self.said}" if self.said else ""
        return f"{self.at}  {self.title}{said}" if self.at else self.title + said


class Wording(Struct, frozen=True, kw_only=True):
    """What the config says instead of a message's title, or of all between title and links: templates."""

    title: str | None = None
    body: str | None = None


class Picture(Struct, frozen=True):
    """How a run went, as the bytes of a PNG file. `title` is what it shows, `alt` says it all in words.

    It is made to be shown `width` by `height` pixels large, and has more of its own.
    """

    png: bytes
    title: str
    alt: str
    width: int
    height: int

    @property
    def name(self) -> str:
        """What the file is called."""
        return f"{self.title.lower().replace(' ', '-')}.png"


class Message(Struct, frozen=True, kw_only=True):
    """What to say about an event, without any markup.

    `title` is what a phone shows: icon, which job, what happened. `quote` is the provider's own sentence,
    `lines` one line for each event of a digest (the same in columns: `rows`), or a text of the config's.
    `links` are texts and URLs, the most useful one first. `thread` names what belongs together (a job),
    `topic` is what people would call that, the same for all of its messages. `picture` is had only where
    one was drawn and the service can show it. `mention` is who is to be notified of it, in the config's words
    alone: no part of the text, and left out where a service cannot.
    """

    title: str
    tone: Tone
    quote: str | None = None
    lines: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    facts: tuple[Fact, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    thread: str | None = None
    topic: str = ""
    footer: str = ""
    picture: Picture | None = None
    mention: tuple[str, ...] = ()

    @property
    def icon(self) -> str:
        """The title's picture, if it begins with one."""
        first = self.title.partition(" ")[0]
        return first if first > "\u2000" and not any(map(str.isalnum, first)) else ""

    @property
    def headline(self) -> str:
        """The title without its picture: for a service with pictures of its own, or that reads aloud."""
        return self.title.removeprefix(self.icon).lstrip()

    @property
    def link(self) -> tuple[str, str] | None:
        """The one link of a service that has room for no more."""
        return self.links[0] if self.links else None

    @property
    def text(self) -> str:
        """The whole message as plain lines."""
        lines = [self.title]
        if self.quote:
            lines.append(f"“{self.quote}”")
        lines += self.lines
        lines += [f"{fact.label}: {fact.value}" for fact in self.facts]
        lines += [f"{text}: {url}" for text, url in self.links]
        if self.footer:
            lines.append(self.footer)
        return "\n".join(lines)


def clean(text: object, limit: int = VALUE) -> str:
    """A stranger's text as one short line: nothing invisible, nothing that moves the cursor or the reader."""
    line = "".join(_INSTEAD.get(unicodedata.category(c), c) for c in str(text)[: limit * 4])
    line = " ".join(line.split())
    if len(line) <= limit:
        return line
    end = limit - 1
    while end > 0 and unicodedata.combining(line[end]):
        end -= 1
    return line[:end].rstrip() + "…"


def is_web(url: str) -> bool:
    """Whether a stranger's URL may be a link: of the web, of one piece, of a length that everybody takes."""
    is_whole = len(url) <= URL and clean(url, URL) == url and not re.search(r"[\s\"<>]", url)
    return is_whole and url.startswith(("https://", "http://"))
