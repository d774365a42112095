"""The terminal of the demo: one line for what is told, whoever gets it, with the second of the story.

The same message over three channels arrives three times within a moment; it is shown once, with who got it.
"""

import os
import shutil
import textwrap
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TextIO

import anyio

from ftwatch.simulator.demo.told import About, Told, read
from ftwatch.simulator.receivers import Arrival

__all__ = ["CHANNELS", "WIDTH", "Stage"]

WIDTH = 100
CHANNELS = ("webhook", "slack", "mail")
STYLES = {"webhook": "36", "slack": "35", "mail": "34", "story": "1", "good": "32", "bad": "31", "dim": "2"}
# Where the columns begin: who was told, whose job it is, what happened, more about that.
TOLD, WHOSE, WHAT, MORE = 8, 28, 38, 41
# So long (seconds) after a message arrived, it may arrive over another channel and stand in the same line.
MOMENT = 0.3


@dataclass
class _Line:
    """A line to be: when the first and the last of its messages came, and over which channels."""

    began: float
    ended: float
    told: Told
    channels: set[str] = field(default_factory=set)
    steps: list[int] = field(default_factory=list)
    is_repeated: bool = False


class Stage:
    """Writes lines of at most `width` columns; with colours on a terminal that wants them.

    `is_watched`: somebody sits before it.
    """

    def __init__(self, out: TextIO) -> None:
        self.width = min(shutil.get_terminal_size((WIDTH, 24)).columns, WIDTH)
        self._out = out
        self._began = time.monotonic()
        self.is_watched = out.isatty()
        self._colours = self.is_watched and not os.environ.get("NO_COLOR")
        # Mail arrives in a thread of its own.
        self._inbox: deque[tuple[float, Arrival]] = deque()
        self._lines: dict[tuple[About, str, bool], _Line] = {}
        self._arrived: set[tuple[str, str]] = set()
        self._shown: set[tuple[About, str]] = set()

    def style(self, text: str, name: str) -> str:
        """The text in a style, where there are colours."""
        return f"\x1b[{STYLES[name]}m{text}\x1b[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        """Any line."""
        self._out.write(text + "\n")
        self._out.flush()

    def header(self) -> None:
        """What stands in which column."""
        columns = f"{'  when':<{TOLD}}{'who is told':<{WHOSE - TOLD}}{'provider':<{WHAT - WHOSE}}"
        self.line()
        self.line(self.style(columns + "what happened (the provider's own word for it)", "dim"))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Shows what arrives for as long as the context lasts."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._show)
            yield
            await self._settled()
            group.cancel_scope.cancel()

    async def act(self, text: str) -> None:
        """What happens now, in one sentence; what came before it stands above it."""
        at = time.monotonic()
        await self._settled()
        first, *rest = _wrapped(f"● {text}", self.width - TOLD, indent=2)
        self.line()
        self.line(f"{self._second(at)}  {self.style(first, 'story')}")
        for more in rest:
            self.line(" " * TOLD + self.style(more, "story"))

    def arrived(self, arrival: Arrival) -> None:
        """Something arrived, and is shown in a moment. May be called from any thread."""
        self._inbox.append((time.monotonic(), arrival))

    # ----------------------------------------------------------------------------------------- lines

    async def _show(self) -> None:
        while True:
            self._take()
            for key, line in list(self._lines.items()):
                if time.monotonic() - line.ended < MOMENT:
                    break
                del self._lines[key]
                self._print(line)
            await anyio.sleep(0.05)

    async def _settled(self) -> None:
        """Waits until everything that arrived is shown, unless more and more arrives."""
        with anyio.move_on_after(3 * MOMENT):
            while self._inbox or self._lines:  # noqa: ASYNC110
                await anyio.sleep(0.05)

    def _take(self) -> None:
        """Puts what arrived into the line of the same message."""
        while self._inbox:
            at, arrival = self._inbox.popleft()
            told, mark = read(arrival), (arrival.sink, arrival.id)
            # Checkpoints of one job are told one by one, and read better together.
            what = "checkpoints" if told.step is not None else told.title
            key = (told.about, what, mark in self._arrived)
            line = self._lines.setdefault(key, _Line(at, at, told, is_repeated=key[2]))
            line.ended = at
            line.channels.add(told.channel)
            if told.step is not None:
                line.steps.append(told.step)
            if told.channel == "webhook":
                line.told = told
            self._arrived.add(mark)

    def _print(self, line: _Line) -> None:
        told = line.told
        note = " · again, the same message" if line.is_repeated else _note(told)
        title = _title(told, line.steps) + note
        more = [] if line.is_repeated else list(self._details(told))
        # A title begins with an icon of two columns and one letter.
        room = self.width - WHAT - 1
        if len(more) == 1 and not note and len(f"{title}: {more[0]}") <= room:
            title, more = f"{title}: {more[0]}", []
        first, *rest = _wrapped(title, room, indent=MORE - WHAT)
        if note:
            first = first.replace(note, self.style(note, "dim"))
        who = " ".join(
            self.style(name, name) if name in line.channels else " " * len(name) for name in CHANNELS
        )
        self.line(f"{self._second(line.began)}  {who}  {told.about[0]:<{WHAT - WHOSE - 1}} {first}")
        for text in rest:
            self.line(" " * WHAT + text)
        for text in more:
            for piece in _wrapped(text, self.width - MORE):
                self.line(" " * MORE + self.style(piece, "dim"))

    def _details(self, told: Told) -> Iterator[str]:
        """What else a message says, the first time that it is told: what came of a job, or why not."""
        about = (told.about, told.title)
        if about in self._shown:
            return
        self._shown.add(about)
        facts = told.facts
        if "Model" in facts:
            yield facts["Model"]
            if "Tokens" in facts:
                yield f"{facts['Tokens']} tokens"
            losses = [part for part in facts.get("Figures", "").split(", ") if "loss" in part]
            if losses:
                yield ", ".join(losses)
        if told.quote:
            yield told.quote
        if "Cause" in facts:
            yield f"cause: {facts['Cause']}"

    def _second(self, at: float) -> str:
        return self.style(f"{at - self._began:5.1f}s", "dim")


def _title(told: Told, steps: list[int]) -> str:
    """What happened; of several checkpoints, all of them."""
    if len(steps) < 2:
        return told.title
    *others, last = map(str, steps)
    job = told.title.partition(" has ")[0]
    return f"{job} has checkpoints at steps {', '.join(others)} and {last}"


def _note(told: Told) -> str:
    """What stands behind a title: the provider's own word, or how the state was found."""
    if told.was_late:
        return " · seen only afterwards"
    return f" ({told.word})" if told.word else ""


def _wrapped(text: str, width: int, indent: int = 0) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=" " * indent, break_on_hyphens=False)
