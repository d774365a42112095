"""What plainly is what its hint wants, taken as it is: a config without a mistake never loads pydantic.

`fitted` knows only values that leave no doubt: texts, numbers, truths and words of the very type, lists and
mappings of these, and ftwatch's own option types, which read themselves (`from_config`). Everything else it
leaves to pydantic, which judges it and has the words for what is wrong. What is taken here, pydantic would
have taken as the same; nothing here complains.
"""

import math
import types
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Doubtful", "Limits", "fitted"]

# Up to here every whole number is a float, too.
EXACT = 2**53
ATOMS = (str, int, float, bool, types.NoneType)
LISTS = (list, tuple, dict)


class Doubtful(Exception):
    """Whether and as what the value fits is not plain: pydantic has to judge."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What `Annotated` asks of a value beside its type; for numbers and for the lengths of lists."""

    ge: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None

    def admit(self, value: Any) -> bool:
        """Whether the value keeps all of them."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.le is None or value <= self.le)
            and (self.min_length is None or len(value) >= self.min_length)
            and (self.max_length is None or len(value) <= self.max_length)
        )

    def __get_pydantic_core_schema__(self, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        given = {name: limit for name, limit in vars(self).items() if limit is not None}
        return {**handler(source), **given}


def fitted(hint: Any, given: Any) -> Any:
    """`given` as `hint` wants it. Raises Doubtful where that is not plain."""
    if hint is Any:
        return given
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *wanted = get_args(hint)
        found = fitted(inner, given)
        if all(isinstance(limits, Limits) and limits.admit(found) for limits in wanted):
            return found
        raise Doubtful
    if origin is Union or origin is types.UnionType:
        return _one_of(get_args(hint), given)
    if origin is Literal:
        return _word(get_args(hint), given)
    if origin in LISTS:
        return _all_of(origin, get_args(hint), given)
    if isinstance(hint, type):
        return _single(hint, given)
    raise Doubtful


def _single(hint: type, given: Any) -> Any:
    if hint is float:
        if type(given) is int and abs(given) <= EXACT:
            return float(given)
        if type(given) is float and math.isfinite(given):
            return given
    elif hint in ATOMS:
        if type(given) is hint:
            return given
    elif issubclass(hint, Enum):
        return _word(tuple(hint), given)
    elif hasattr(hint, "from_config"):
        try:
            return hint.from_config(given)
        except ValueError:
            raise Doubtful from None
    raise Doubtful


def _word(words: tuple[Any, ...], given: Any) -> Any:
    """The word that is given, of the same type; a member of an enumeration for its value."""
    for word in words:
        value = word.value if isinstance(word, Enum) else word
        if type(value) is type(given) and value == given:
            return word
    raise Doubtful


def _one_of(parts: tuple[Any, ...], given: Any) -> Any:
    """What fits one part of a union: the first of its very type, else the only one that could take it."""
    possible: list[Any] = []
    for part in parts:
        a_word = get_origin(part) is Literal and type(given) is not float  # 1.0 passes for the word 1
        sure = part in ATOMS or a_word or hasattr(part, "from_config")
        if sure and (part not in ATOMS or part is type(given)):
            try:
                found = fitted(part, given)
            except Doubtful:
                continue  # another part may take it, this one never does
            if not possible or all(other in ATOMS for other in possible):
                return found
        of_many = get_origin(part) in LISTS or is_dataclass(part)
        if part is not types.NoneType and (not of_many or type(given) in (list, dict)):
            possible.append(part)
    if len(possible) != 1:
        raise Doubtful
    return fitted(possible[0], given)


def _all_of(origin: type, hints: tuple[Any, ...], given: Any) -> Any:
    """A list or a mapping whose values are all of one sort."""
    if origin is dict and type(given) is dict:
        named, inner = hints
        return {fitted(named, name): fitted(inner, one) for name, one in given.items()}
    if origin is list and type(given) is list:
        return [fitted(hints[0], one) for one in given]
    if origin is tuple and type(given) is list and hints[-1:] == (Ellipsis,):
        return tuple(fitted(hints[0], one) for one in given)
    raise Doubtful
