"""One value: from a node to what a type hint asks for, or a plain sentence at the very place that is wrong.

What plainly fits is taken (`fitting`); of the rest pydantic judges, which is loaded for it, and what it finds
is said here in words that name the key and not the library.
"""

import math
import re
import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from ftwatch.config import interpolate
from ftwatch.config.fitting import Doubtful, fitted
from ftwatch.config.report import Broken, Desk
from ftwatch.config.secrets import from_template, literals
from ftwatch.config.slips import shown_key
from ftwatch.config.yaml import List, Map, Node, Place, Scalar
from ftwatch.core.route import did_you_mean
from ftwatch.plugins import Form, Secret

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["admits", "choices", "members", "text", "value"]

LONGEST_SHOWN = 40
# A literal of this length where a secret may stand is told nowhere, not even by a plug-in's own sentence.
SHORTEST_SECRET = 8

# What makes a text of a form a template, as far as one can tell without knowing whose.
TEMPLATE = re.compile(r"\{[{%#]")

# What pydantic's complaints come down to. The rest is said in its own words.
_WANTED = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "frozen": "a list",
    "dict": "a mapping",
    "dataclass": "a mapping",
    "path": "a path",
    "none": "null",
}
_LIMITS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "too_short": ("min_length", "a list of at least {}"),
    "too_long": ("max_length", "a list of at most {}"),
    "string_too_short": ("min_length", "text of at least {} characters"),
    "string_too_long": ("max_length", "text of at most {} characters"),
}


def value(key: str, hint: Any, node: Node, desk: Desk) -> Any:
    """What `node` says, as `hint` wants it. Reports every mistake in it, and raises Broken then."""
    secret = admits(hint, Secret)
    given = _formed(key, node, desk) if Form in members(hint) else _plain(key, node, desk, hint, secret)
    try:
        result = fitted(hint, given)
    except Doubtful:
        result = _judged(key, hint, given, node, desk, secret)
    _must_be_same(key, node, result, desk)
    if secret and str not in members(hint) and literals(result):
        desk.warning(
            node.at, f"{key} holds a secret as it is; use ${{VARIABLE}}, {key}_file or {key}_credential"
        )
    return result


def text(key: str, node: Node, desk: Desk) -> str:
    """The text of a scalar as it was written (`1.10` stays `1.10`), variables filled in."""
    if not isinstance(node, Scalar):
        raise desk.error(node.at, f"{key} takes one value, not {_what(node)}")
    if node.broken:
        raise Broken
    if node.is_blank:
        raise desk.error(node.at, f"{key} has no value{node.hint}")
    return _filled(node, desk)


def admits(hint: Any, kind: type) -> bool:
    """Whether values of this type may stand anywhere in what the hint describes."""
    return hint is kind or any(admits(part, kind) for part in get_args(hint))


def members(hint: Any) -> tuple[Any, ...]:
    """What a hint is a choice of: the parts of a union, else itself."""
    origin = get_origin(hint)
    if origin is Union or origin is types.UnionType:
        return tuple(member for part in get_args(hint) for member in members(part))
    return (hint,)


def choices(hint: Any) -> tuple[Any, ...]:
    """The words of a Literal in the hint, if it has one."""
    return tuple(word for part in members(hint) if get_origin(part) is Literal for word in get_args(part))


def _judged(key: str, hint: Any, given: Any, node: Node, desk: Desk, secret: bool) -> Any:
    """What pydantic makes of a value that does not plainly fit."""
    from pydantic import ValidationError

    try:
        return _adapter(hint).validate_python(given)
    except ValidationError as error:
        _explain(key, hint, node, error, desk, secret)
        raise Broken from None
    except (OverflowError, RecursionError):
        raise desk.error(node.at, f"{key} is too large") from None


@lru_cache(maxsize=512)
def _adapter(hint: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


# ---------------------------------------------------------------------------------- from nodes to values


def _plain(key: str, node: Node, desk: Desk, hint: Any, secret: bool) -> Any:
    if isinstance(node, Map):
        return {
            name: _plain(f"{key}.{shown_key(name)}", inner, desk, Any, secret)
            for name, (_, inner) in node.entries.items()
        }
    if isinstance(node, List):
        return [_plain(f"{key}[{index}]", inner, desk, Any, secret) for index, inner in enumerate(node.items)]
    if node.broken:
        raise Broken
    if node.is_blank:
        raise desk.error(node.at, f"{key} has no value{node.hint}")
    said = node.value
    if not isinstance(said, str):
        return said
    template = _template(node, desk)
    if not template.names:
        if secret and len(said) >= SHORTEST_SECRET:
            desk.hide(said, "••••")
        return template.resolve({})
    if secret:
        return from_template(template, desk, node.at)
    filled = _filled(node, desk)
    return None if filled == "" and type(None) in members(hint) else filled


def _formed(key: str, node: Node, desk: Desk) -> Any:
    """What a form holds: texts with variables are resolved late, and are no templates.

    What a variable holds must not become a part of a template, which would be obeyed.
    """
    if isinstance(node, Map):
        return {
            name: _formed(f"{key}.{shown_key(name)}", inner, desk)
            for name, (_, inner) in node.entries.items()
        }
    if isinstance(node, List):
        return [_formed(f"{key}[{index}]", inner, desk) for index, inner in enumerate(node.items)]
    if not _has_variables(node):
        return _plain(key, node, desk, Any, False)
    if node.text and TEMPLATE.search(node.text):
        raise desk.error(node.at, f"{key}: a text is a template or has variables, not both")
    return _plain(key, node, desk, Any, True)


def _template(node: Scalar, desk: Desk) -> interpolate.Template:
    try:
        return interpolate.read(node.text)
    except ValueError as error:
        raise desk.error(node.at, str(error)) from None


def _filled(node: Scalar, desk: Desk) -> str:
    template = _template(node, desk)
    for name in template.names:
        desk.hide(desk.environ.get(name, ""), f"${{{name}}}")
    try:
        return template.resolve(desk.environ)
    except LookupError as error:
        raise desk.error(node.at, str(error.args[0])) from None


def _has_variables(node: Node) -> bool:
    return isinstance(node, Scalar) and "${" in node.text


# -------------------------------------------------------------------------------------- what is wrong


def _explain(key: str, hint: Any, node: Node, error: "ValidationError", desk: Desk, secret: bool) -> None:
    """One sentence for each place; the branches of a union have one between them."""
    places: dict[tuple[str, Place], tuple[Node, list[Any]]] = {}
    for detail in error.errors(include_url=False, include_input=False):
        path, found = _locate(key, node, detail["loc"])
        places.setdefault((path, found.at), (found, []))[1].append(detail)
    # A union complains of the whole in one branch and of a part in another: the part is what matters.
    deepest = [path for path, _ in places]
    for (path, at), (found, details) in places.items():
        if len(places) > 1 and any(
            other != path and other.startswith((path + ".", path + "[")) for other in deepest
        ):
            continue
        desk.error(at, _sentence(path, hint, found, details, secret))


def _locate(key: str, node: Node, loc: tuple[str | int, ...]) -> tuple[str, Node]:
    """The node that a pydantic path leads to; parts that name a branch of a union are no steps."""
    for part in loc:
        if isinstance(node, Map) and isinstance(part, str) and part in node.entries:
            key, node = f"{key}.{shown_key(part)}", node.entries[part][1]
        elif isinstance(node, List) and isinstance(part, int) and part < len(node.items):
            key, node = f"{key}[{part}]", node.items[part]
    return key, node


def _sentence(key: str, hint: Any, node: Node, details: list[Any], secret: bool) -> str:
    custom = [detail["ctx"]["error"] for detail in details if _is_custom(detail)]
    if custom and (len(details) == 1 or isinstance(node, Scalar)):
        return f"{key}: {_hushed(str(custom[0]), node, secret)}"
    wanted = list(dict.fromkeys(_wanted(detail) for detail in details))
    hints = ""
    if isinstance(node, Scalar):
        said = node.value
        words = [word for word in choices(hint) if isinstance(word, str)]
        if "text" in wanted and isinstance(said, int | float):
            hints = "; quote it" if secret else f'; quote it: "{node.text}"'
        elif {"a number", "a whole number"} & {*wanted} and not node.plain:
            hints = "; leave the quotes out" if Scalar(node.at, node.text).value != node.text else ""
        elif {"a list"} & {*wanted} and not secret:
            hints = f"; write [{node.text}]" if len(node.text) <= LONGEST_SHOWN else "; write [ … ]"
        elif words and isinstance(said, str) and not _has_variables(node):
            hints = did_you_mean(said, words)
    return f"{key} should be {' or '.join(wanted)}, not {_shown(node, secret)}{hints}"


def _wanted(detail: Any) -> str:
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind in _LIMITS:
        name, words = _LIMITS[kind]
        return words.format(f"{context.get(name):g}")
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind == "value_error":
        return str(context["error"]) if _is_custom(detail) else "text"
    if kind == "int_parsing_size":
        return "a whole number of at most 18 digits"
    words = _WANTED.get(kind.partition("_")[0], "")
    if words and kind.endswith(("_type", "_parsing", "_from_float", "_number", "_required")):
        return words
    return f"something else ({detail['msg']})"


def _is_custom(detail: Any) -> bool:
    """Whether a type of its own complains; what a secret says comes down to text."""
    return detail["type"] == "value_error" and "a secret is" not in str(detail["ctx"]["error"])


def _what(node: Node) -> str:
    if isinstance(node, Scalar):
        return "a value"
    return "a list" if isinstance(node, List) else "a mapping"


def _shown(node: Node, secret: bool) -> str:
    """What was given, as far as it may be shown."""
    if not isinstance(node, Scalar):
        return "an empty list" if isinstance(node, List) and not node.items else _what(node)
    if _has_variables(node):
        return f"what {node.text[:LONGEST_SHOWN]!r} stands for"
    if secret:
        return "this"
    if node.value is None:
        return "null"
    shown = node.text if len(node.text) <= LONGEST_SHOWN else node.text[:LONGEST_SHOWN] + "…"
    return shown if not isinstance(node.value, str) else repr(shown)


def _hushed(sentence: str, node: Node, secret: bool) -> str:
    """A type's own sentence, unless it tells a secret."""
    if secret and isinstance(node, Scalar) and node.text and node.text in sentence:
        return "this is not what it should be"
    return sentence


def _must_be_same(key: str, node: Node, result: Any, desk: Desk) -> None:
    """Refuses what pydantic would have turned into another type: "587" is no number, 1 is not true."""
    if isinstance(node, Map):
        if isinstance(result, dict):
            for name, (_, inner) in node.entries.items():
                _must_be_same(f"{key}.{shown_key(name)}", inner, result.get(name), desk)
    elif isinstance(node, List):
        if isinstance(result, list | tuple) and len(result) == len(node.items):
            for index, (inner, one) in enumerate(zip(node.items, result, strict=True)):
                _must_be_same(f"{key}[{index}]", inner, one, desk)
    elif type(result) in (bool, int, float):
        if isinstance(result, float) and not math.isfinite(result):
            raise desk.error(node.at, f"{key} should be a finite number, not {_shown(node, False)}")
        said = node.value
        if _has_variables(node) or (
            (type(said) is bool) == (type(result) is bool) and not isinstance(said, str)
        ):
            return
        kind = {bool: "bool_type", int: "int_type", float: "float_type"}[type(result)]
        raise desk.error(node.at, _sentence(key, type(result), node, [{"type": kind}], False))
