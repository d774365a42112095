"""`${VAR}` in a scalar: found in its text after parsing, so that a value can never become YAML.

The forms are `${VAR}`, `${VAR:-default}`, `${VAR:?message}` and `$$` for a dollar.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Template", "read"]

_DOLLAR = re.compile(r"\$(?:\$|\{[^{}]*\}?)")
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::(?P<how>[-?])(?P<rest>[^{}]*))?\}")
_SHELL = re.compile(r"\$([A-Z_][A-Z0-9_]+)")


@dataclass(frozen=True)
class Reference:
    """One variable: its name, and what to use or to say when it is unset or empty."""

    name: str
    how: str
    rest: str

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The variable's value. Raises LookupError with a sentence."""
        value = environ.get(self.name)
        if value or (value is not None and not self.how):
            return value
        if self.how == "-":
            return self.rest
        raise LookupError(self.rest if self.how and self.rest else f"${{{self.name}}} is not set")


@dataclass(frozen=True)
class Template:
    """A scalar's text, cut into what stands for itself and what stands for a variable."""

    parts: tuple[str | Reference, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables it asks for."""
        return tuple(part.name for part in self.parts if isinstance(part, Reference))

    def resolve(self, environ: Mapping[str, str]) -> str:
        """The text with every variable filled in. Raises LookupError with a sentence."""
        return "".join(part if isinstance(part, str) else part.resolve(environ) for part in self.parts)


def read(text: str) -> Template:
    """The template in a scalar's text. Raises ValueError with a sentence."""
    if bare := _SHELL.fullmatch(text):
        raise ValueError(f"write ${{{bare[1]}}} for the variable, or $${bare[1]} for the text itself")
    parts: list[str | Reference] = []
    end = 0
    for found in _DOLLAR.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found[0] == "$$":
            parts.append("$")
        elif reference := _REFERENCE.fullmatch(found[0]):
            parts.append(Reference(reference["name"], reference["how"] or "", reference["rest"] or ""))
        else:
            raise ValueError(
                f"{found[0][:40]!r} is no variable: write ${{NAME}}, ${{NAME:-default}} or "
                "${NAME:?message}, and $$ for a dollar"
            )
    parts.append(text[end:])
    return Template(tuple(part for part in parts if part != ""))
