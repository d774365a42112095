"""Where mistakes are gathered while a file is read, so that all of them are told at once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ftwatch.config.model import Problem
from ftwatch.config.yaml import Place
from ftwatch.core.route import Routing
from ftwatch.plugins import Secret

__all__ = ["Broken", "Desk"]


# What is shorter is no secret, and would only garble sentences.
SHORTEST_HIDDEN = 4


class Broken(Exception):
    """A value cannot be used; its mistake has been reported already."""


@dataclass
class Desk:
    """What the reading of one file needs: the environment, the file's folder, and where mistakes go.

    `hidden` maps what may not be told to what is told instead; `providers` are the names that the file
    defines, `groups` the blocks that stand for several of them; `secrets` are those found so far with their
    places; `checks` run last, once nothing else is wrong; by then `routing` is there.
    """

    file: str
    folder: Path
    environ: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    secrets: list[tuple[Secret, Place]] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    providers: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    checks: list[Callable[[], None]] = field(default_factory=list)
    routing: Routing = field(default_factory=Routing)

    @property
    def has_errors(self) -> bool:
        """Whether anything said so far forbids using the file."""
        return any(problem.severity == "error" for problem in self.problems)

    def hide(self, value: str, name: str) -> None:
        """From now on sentences have `name` where they would tell `value`, what a variable holds."""
        if len(value) >= SHORTEST_HIDDEN:
            self.hidden[value] = name
            self.hidden[repr(value)[1:-1]] = name

    def error(self, place: Place, sentence: str) -> Broken:
        """Reports a mistake; the result may be raised."""
        self._add(place, "error", sentence)
        return Broken()

    def warning(self, place: Place, sentence: str) -> None:
        """Reports something that works, and should not stay so."""
        self._add(place, "warning", sentence)

    def sorted(self) -> tuple[Problem, ...]:
        """Everything reported, once each, in the order of the text."""
        unique = dict.fromkeys(self.problems)
        return tuple(sorted(unique, key=lambda problem: (problem.line, problem.column)))

    def path(self, text: str, at: Place) -> Path:
        """A path as the file means it: from the config's folder, `~` being home.

        What can be no path is a mistake `at` its place, and raises Broken.
        """
        if "\0" in text:
            raise self.error(at, "no path holds a NUL character")
        home = self.environ.get("HOME", "")
        if home and (text == "~" or text.startswith("~/")):
            text = home + text[1:]
        return Path(os.path.normpath(self.folder / text))

    def _add(self, place: Place, severity: Literal["error", "warning"], sentence: str) -> None:
        for value, name in self.hidden.items():
            sentence = sentence.replace(value, name)
        # A file may hold anything, and a terminal would obey some of it.
        sentence = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in sentence)
        self.problems.append(Problem(self.file, place.line, place.column, severity, sentence))
