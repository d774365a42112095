"""A message as text, Markdown or simple HTML, for services with small room. Pure.

What strangers wrote is text in each of them: what a service could take for markup, or for a call on somebody
(`@everyone`), is made to stand for itself. What does not fit is left out from its end, and counted.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from html import escape

from ftwatch.core.message import Fact, Message, clean, is_web

__all__ = ["Form", "dressed", "heading", "markdown", "units"]

# What is left of a long quotation before a line of facts has to go; and the least that is worth a quotation.
QUOTED, SHORTEST = 300, 40


class Form(StrEnum):
    """How a service reads what it is sent."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"
    CARD = "card"
    """The little Markdown of an adaptive card: bold, italics, links, lists."""
    CHAT = "chat"
    """Markdown of a service that knows no escape: its signs are replaced by others that look alike."""


def units(text: str) -> int:
    """How long a text is in UTF-16, as many services count; what others count is never more."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def markdown(text: str) -> str:
    """Text in which nothing is Markdown. What means something at the beginning only is escaped there only."""
    text = re.sub(r"([\\`*_\[\]<>#~|&])", r"\\\1", text)
    return _LEADING.sub(r"\1\\", text)


_LEADING = re.compile(r"^([0-9]{1,9}(?=[.)])|(?=[-+=]))")


def heading(title: str, form: Form) -> str:
    """A title, for a service that shows it in a place of its own, and what it reads there."""
    return _inert(title, form)


def dressed(
    message: Message,
    form: Form,
    most: int,
    *,
    titled: bool,
    measure: Callable[[str], int] = units,
    lines: int | None = None,
) -> str:
    """The message in this form, in at most so many `units` and so many lines (None: any number).

    `titled`: begins with the title. `measure` says how long a text is once it has left the house.
    """
    return _Sheet(message, form, titled).cut(lambda text: measure(text) <= most and _has(text, lines))


def _has(text: str, lines: int | None) -> bool:
    return lines is None or text.count("\n") < lines


def _inert(text: str, form: Form) -> str:
    """A stranger's text, standing for itself."""
    text = _MENTION.sub("＠", text)
    match form:
        case Form.HTML:
            return escape(text, quote=False)
        case Form.MARKDOWN:
            return markdown(text)
        case Form.CARD:
            text = _BOUND.sub(_wide, _TAG.sub("＜", text)).translate(_ALIKE).replace("](", "] (")
            return _LEADING.sub(r"\1\\", re.sub(r"\\|&(?=#?\w+;)", r"\\\g<0>", text))
        case Form.CHAT:
            return markdown(_BOUND.sub(_wide, text).translate(_ALIKE)).replace("\\_", "_")
    return text


def _wide(found: re.Match[str]) -> str:
    return "＿" * len(found[0])


# What calls on somebody, or on everybody, in one service or another.
_MENTION = re.compile(r"@(?=everyone|here|channel|all\b|room|[&!*\d])|(?<![\w.+-])@(?=\w)", re.IGNORECASE)
# An underscore within a word is no markup anywhere.
_BOUND = re.compile(r"(?<!\w)_+|_+(?!\w)")
# A card shows them as they are, but Apprise looks for `<at>` among them.
_TAG = re.compile(r"<(?=[/a-z])", re.IGNORECASE)
_ALIKE = str.maketrans({"*": "∗", "`": "ˋ", "~": "∼"})


@dataclass
class _Part:
    """One part of a message, and how dear it is: what has the highest `rank` goes first."""

    shown: str
    rank: int


class _Sheet:
    """The parts of a message, in their order, as far as they fit."""

    def __init__(self, message: Message, form: Form, titled: bool) -> None:
        self._message = message
        self._form = form
        self._titled = titled
        self._parts = list(self._made())

    def cut(self, fits: Callable[[str], bool]) -> str:
        """As much as fits. What is dear stays: the title, the quotation, the link."""
        quote, title = self._message.quote or "", self._message.title
        whole = self._whole(title, quote, 0)
        if fits(whole):
            return whole
        left = 0
        quote = clean(quote, QUOTED) if quote else ""
        while self._parts and not fits(whole := self._whole(title, quote, left)):
            self._parts.remove(max(self._parts, key=lambda part: part.rank))
            left += 1
        while quote and not fits(whole := self._whole(title, quote, left)):
            quote = clean(quote, len(quote) // 2) if len(quote) // 2 >= SHORTEST else ""
        while len(title) > 1 and not fits(whole := self._whole(title, quote, left)):
            # Nothing but the title is left by now: it says what there was no room for.
            left, title = 0, clean(title, len(title) - 1)
        return whole

    def _made(self) -> Iterator[_Part]:
        message, form = self._message, self._form
        shown = [str(row) for row in message.rows] or list(message.lines)
        for number, line in enumerate(shown):
            yield _Part(_inert(line, form), 2000 + number)
        for number, fact in enumerate(message.facts):
            yield _Part(self._fact(fact), 3000 + number)
        for number, (text, url) in enumerate(link for link in message.links if is_web(link[1])):
            yield _Part(self._link(text, url), 4000 + number if number else 0)
        if message.footer:
            yield _Part(self._small(_inert(message.footer, form)), 1000)

    def _whole(self, title: str, quote: str, left: int) -> str:
        parts = [self._bold(_inert(title, self._form))] if self._titled else []
        shown = [part.shown for part in self._parts]
        if left:
            # Before the link and the footer, which are no part of what is told.
            at = sum(part.rank >= 2000 and part.rank < 4000 for part in self._parts)
            shown.insert(at, self._small(f"… and {left} more line{'s' if left > 1 else ''}"))
        rest = self._break.join(shown)
        if quote:
            rest = self._quoted(quote, rest)
        return self._break.join([*parts, rest] if rest else parts) or _inert(title, self._form)

    # ------------------------------------------------------------------------------------------ the signs

    @property
    def _break(self) -> str:
        return {Form.HTML: "<br/>\n", Form.TEXT: "\n"}.get(self._form, "  \n")

    def _quoted(self, quote: str, rest: str) -> str:
        shown = _inert(quote, self._form)
        match self._form:
            case Form.HTML:
                return f"<blockquote>{shown}</blockquote>\n{rest}"
            case Form.MARKDOWN:
                return f"> {shown}\n\n{rest}"
        return f"“{shown}”{self._break}{rest}" if rest else f"“{shown}”"

    def _bold(self, shown: str) -> str:
        match self._form:
            case Form.HTML:
                return f"<b>{shown}</b>"
            case Form.TEXT:
                return shown
        return f"**{shown}**"

    def _small(self, shown: str) -> str:
        match self._form:
            case Form.HTML:
                return f"<i>{shown}</i>"
            case Form.TEXT:
                return shown
        return f"*{shown}*"

    def _fact(self, fact: Fact) -> str:
        label, value = _inert(fact.label, self._form), _inert(fact.value, self._form)
        if self._form is Form.TEXT:
            return f"{label}: {value}"
        if self._form is Form.HTML and fact.is_code:
            value = f"<code>{value}</code>"
        if self._form is Form.MARKDOWN and fact.is_code and "`" not in fact.value:
            # Where nothing else is markup, and nothing has to be escaped.
            value = f"`{_inert(fact.value, Form.TEXT)}`"
        return f"{self._bold(label + ':')} {value}"

    def _link(self, text: str, url: str) -> str:
        match self._form:
            case Form.HTML:
                return f'<a href="{escape(url)}">{escape(text)}</a>'
            case Form.TEXT:
                return f"{text}: {url}"
        return f"[{text}]({url.translate(_WITHIN)})"


# What would end a link's address, or be obeyed within it.
_WITHIN = {ord(sign): f"%{ord(sign):02X}" for sign in "()\\*`[]|~"}
