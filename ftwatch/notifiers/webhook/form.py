"""From a form to a body: a tree of values and templates, filled in for an event, and written by a serialiser.

What a template may hold stands in `wire.template`. What an event says cannot leave its place in the tree.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ftwatch.core.event import Event
from ftwatch.core.message import clean
from ftwatch.notifiers.webhook.frozen import Path, keep, leaves
from ftwatch.plugins import Form, Secret
from ftwatch.wire.template import FAILURES, LARGEST, Blank, compiled, encoded, given

__all__ = ["LARGEST", "Body", "Unfilled"]


class Unfilled(Exception):
    """A form that cannot be filled in: where, and a sentence. The event's own words in it are cleaned."""

    def __init__(self, path: Path, sentence: str) -> None:
        super().__init__(sentence)
        self.path = path
        self.sentence = sentence


class Body:
    """A form whose templates are compiled. `problems` are those that cannot be: (path, sentence)."""

    def __init__(self, form: Form) -> None:
        self._form = form.tree
        self._blanks: dict[Path, Blank] = {}
        self.problems: list[tuple[Path, str]] = []
        for path, leaf in leaves(form.tree):
            try:
                if isinstance(leaf, str) and (blank := compiled(leaf)) is not None:
                    self._blanks[path] = blank
                elif not isinstance(leaf, Secret):
                    encoded(leaf)
            except ValueError as error:
                self.problems.append((path, str(error)))
        self.problems += [(path, "keys are no templates, only values") for path in _named(form.tree)]

    def fill(self, event: Event) -> Any:
        """The tree for an event; secrets stay as they are. Raises Unfilled."""
        if self.problems:
            raise Unfilled(*self.problems[0])
        return self._filled((), self._form, given(event))

    def freeze(self, event: Event) -> bytes:
        """What is kept of it, and sent at every try (`frozen.complete`). Raises Unfilled."""
        try:
            kept = keep(self.fill(event))
        except ValueError:
            raise Unfilled((), "a key holds a character that cannot be sent") from None
        except RecursionError:
            raise Unfilled((), "it is nested too deep") from None
        if len(kept) > LARGEST:
            raise Unfilled((), f"it is larger than {LARGEST // 1024} KiB")
        return kept

    def _filled(self, path: Path, part: Any, given: Mapping[str, Any]) -> Any:
        if isinstance(part, dict):
            return {key: self._filled((*path, key), inner, given) for key, inner in part.items()}
        if isinstance(part, list):
            return [self._filled((*path, place), inner, given) for place, inner in enumerate(part)]
        blank = self._blanks.get(path)
        if blank is None:
            return part
        try:
            return blank.fill(given)
        except FAILURES as error:
            said = str(error) or type(error).__name__
            raise Unfilled(path, clean(said, 200)) from None


def _named(tree: Any, path: Path = ()) -> Iterator[Path]:
    """The ways to what stands under a key that looks like a template."""
    if isinstance(tree, dict):
        for key, part in tree.items():
            if "{{" in key or "{%" in key:
                yield (*path, key)
            yield from _named(part, (*path, key))
    elif isinstance(tree, list):
        for place, part in enumerate(tree):
            yield from _named(part, (*path, place))
