"""Messages in the config's words: which template a message is made by, and what becomes of it. Pure.

A template that cannot be filled in for an event costs nobody the message: it goes out as it is without one.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ftwatch.core.event import Event
from ftwatch.core.message import BODY, TITLE, Message, Wording, again, clean, compose
from ftwatch.core.route import Routing, mentioned, route_for

if TYPE_CHECKING:
    from ftwatch.wire.template import Blank

__all__ = ["Phrasing", "Unworded", "problem_of", "worded"]


class Unworded(Exception):
    """A template that cannot be filled in: which one (`title`, `body`), and a sentence."""

    def __init__(self, which: str, sentence: str) -> None:
        super().__init__(f"template.{which}: {sentence}")
        self.which = which
        self.sentence = sentence


def problem_of(text: str) -> str | None:
    """Why a text is no template, whatever the event; None where it is one, or holds none."""
    try:
        _blank(text)
    except ValueError as error:
        return str(error)
    return None


def worded(message: Message, event: Event, wording: Wording) -> Message:
    """The message about `event` in the config's words. Raises Unworded."""
    from ftwatch.wire.template import given

    # No word of an event makes a line of its own: who reads one takes it for the template's.
    known = {
        name: value if name == "text" else _in_line(value) for name, value in given(event, message).items()
    }
    if wording.title is not None:
        title = clean(_filled("title", wording.title, known), TITLE)
        if not title:
            raise Unworded("title", "it comes to nothing")
        message = replace(message, title=title, topic="")
    if wording.body is not None:
        lines = _filled("body", wording.body, known)[:BODY].strip().splitlines()
        kept = tuple(clean(line, BODY) for line in lines)
        message = replace(message, quote=None, lines=kept, rows=(), facts=())
    return message


def _in_line(value: Any) -> Any:
    match value:
        case str():
            return " ".join(value.splitlines())
        case list():
            return [_in_line(one) for one in value]
        case dict():
            return {_in_line(name): _in_line(one) for name, one in value.items()}
    return value


def _filled(which: str, text: str, known: dict[str, Any]) -> str:
    from ftwatch.wire.template import FAILURES, shown

    try:
        blank = _blank(text)
        return text if blank is None else shown(blank.fill(known))
    except FAILURES as error:
        raise Unworded(which, clean(str(error) or type(error).__name__, 200)) from None


@lru_cache(maxsize=256)
def _blank(text: str) -> "Blank | None":
    # Imported late: the template engine takes as long to load as all the rest, and few need it.
    from ftwatch.wire.template import compiled

    return compiled(text)


class Phrasing:
    """How a config has the messages of one notifier: with links to its page, its templates and mentions.

    `now` is the wall clock (Unix seconds); without it a message counts as sent when its event was seen.
    """

    def __init__(
        self,
        name: str,
        routing: Routing,
        wording: Wording | None = None,
        page: str = "",
        now: Callable[[], float] | None = None,
    ) -> None:
        self._name = name
        self._routing = routing
        self._wording = wording
        self._page = page
        self._now = now
        self._mentions = any(name in one.mention for one in routing.routes or ())

    def __call__(self, event: Event, *more: Event, most: int = 1000, bundle: str | None = None) -> Message:
        """The message; a digest has a form of its own, and notifies whoever one of its events would."""
        message = self._message(event, *more, most=most, bundle=bundle)
        if not self._mentions:
            return message
        words = (word for one in (event, *more) for word in mentioned(one, self._name, self._routing))
        return replace(message, mention=tuple(dict.fromkeys(words)))

    def _message(self, event: Event, *more: Event, most: int, bundle: str | None) -> Message:
        wording = self._wording_for(event)
        if more or wording is None:
            told = self._now() if self._now is not None else None
            return compose(event, *more, most=most, bundle=bundle, page=self._page, told=told)
        message = compose(event, page=self._page)
        with suppress(Unworded):
            message = worded(message, event, wording)
        return again(message, event, bundle)

    def remark(self, event: Event, *more: Event) -> str:
        """Why the message went out in its plain form although the config has words for it; mostly empty."""
        wording = self._wording_for(event)
        if more or wording is None:
            return ""
        try:
            worded(compose(event, page=self._page), event, wording)
        except Unworded as error:
            return f"in the plain form, since {error}"
        return ""

    def _wording_for(self, event: Event) -> Wording | None:
        """The template of the route that brings the event here, else the notifier's own."""
        route = route_for(event, self._name, self._routing)
        return route.template if route is not None and route.template is not None else self._wording
