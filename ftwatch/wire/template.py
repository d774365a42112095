"""Templates of the config: Jinja expressions within bounds, filled in with what an event says. Pure.

A template may hold expressions, nothing else: without statements there is no loop, no variable and no macro,
so that what one costs is bounded by its length and by what it is given. What could still grow without bounds
(`*`, `**`, `replace`, `join` …) is refused or measured. What an event says is data: it is never looked at for
templates.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.filters import FILTERS
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from ftwatch.core.event import Event, encode
from ftwatch.core.message import Message, clean, compose
from ftwatch.core.route import did_you_mean

__all__ = ["FAILURES", "LARGEST", "Blank", "compiled", "encoded", "given", "shown"]

# The most bytes of a body, and of anything on the way to it; the most characters of one template.
LARGEST = 256 * 1024
LONGEST = 4096
# So many keys are looked at for one that was meant.
HINTS = 100
# The most bits of a whole number that a template may come to.
WIDEST = 1024
# What a template knows, in the order in which it is documented.
NAMES = ("event", "job", "title", "text", "url")
METHODS: dict[type, frozenset[str]] = {
    dict: frozenset({"get", "items", "keys", "values"}),
    str: frozenset(
        {"startswith", "endswith", "lower", "upper", "strip", "split", "removeprefix", "removesuffix"}
    ),
}
# Filters of the library that are as good here; and those that would call null "None".
BORROWED = (
    *("abs", "d", "default", "dictsort", "first", "float", "int", "items", "last", "length", "list", "map"),
    *("max", "min", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "sum", "unique"),
)
TEXTUAL = ("capitalize", "lower", "title", "trim", "upper")
# What a template can come to instead of a result; the library documents no list.
FAILURES = (
    TemplateError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def given(event: Event, message: Message | None = None) -> dict[str, Any]:
    """What a template knows of an event, and of the `message` about it."""
    wire, message = msgspec.json.decode(encode(event)), message or compose(event)
    return {
        "event": wire,
        "job": wire["data"].get("job"),
        "title": message.title,
        "text": message.text,
        "url": message.link[1] if message.link else None,
    }


@dataclass(frozen=True)
class Blank:
    """One template. With `is_value` it gives what its expression comes to, else text."""

    template: Template
    is_value: bool

    def fill(self, given: Mapping[str, Any]) -> Any:
        """Raises one of FAILURES."""
        if not self.is_value:
            return _measured(self.template.render(given))
        value = self.template.make_module(dict(given)).value  # type: ignore[attr-defined]
        return msgspec.json.decode(encoded(value))


class _Missing(StrictUndefined):
    """What is not there, in words that name it."""

    __slots__ = ()

    @property
    def _undefined_message(self) -> str:
        name, where = self._undefined_name, self._undefined_obj
        if self._undefined_hint:
            return self._undefined_hint
        if where is None:
            return f"there is no {name!r} in null"
        known = list(where)[:HINTS] if isinstance(where, dict) else ()
        return f"there is no {name!r} here{did_you_mean(str(name), known)}"


class _Environment(ImmutableSandboxedEnvironment):
    """The library's sandbox, without what could grow, and without attributes but a few methods of data."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`job.name`: a method of the few, else what stands under this key."""
        if attribute in METHODS.get(type(obj), ()):
            return getattr(obj, attribute)
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`job["name"]`: what stands under this key, never an attribute."""
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self.undefined(obj=obj, name=argument)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Numbers as usual, within bounds; texts and lists only added up."""
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**":
            raise ValueError("there is no ** here")
        if not numbers:
            if operator != "+" or not isinstance(left, str | list) or type(left) is not type(right):
                raise ValueError(f"{operator} is for numbers{', or two texts' if operator == '+' else ''}")
            if len(left) + len(right) > LARGEST:
                raise ValueError(_too_much())
        if operator == "*" and _bits(left) + _bits(right) > WIDEST:
            raise ValueError("a number is too large")
        return super().call_binop(context, operator, left, right)


def _bits(number: float) -> int:
    return number.bit_length() if isinstance(number, int) else 0


def _too_much() -> str:
    return f"it comes to more than {LARGEST // 1024} KiB"


def _measured(text: str) -> str:
    """The same text. Raises one of FAILURES where it is too long, or cannot be sent."""
    if len(text.encode()) > LARGEST:
        raise ValueError(_too_much())
    return text


def encoded(value: Any) -> bytes:
    """A value as JSON. Raises one of FAILURES."""
    try:
        found = msgspec.json.encode(value, enc_hook=_foreign)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if isinstance(value, float) and found == b"null":
        raise ValueError("no JSON number is like this")
    if len(found) > LARGEST:
        raise ValueError(_too_much())
    return found


def _foreign(value: object) -> Any:
    if isinstance(value, Undefined):
        str(value)  # raises, and says what is missing
    raise TypeError("it comes to what JSON has no word for: are brackets missing after a method, or | list?")


def shown(value: Any) -> str:
    """A value within a text: null is nothing, the rest as JSON has it."""
    if isinstance(value, str):
        return value
    return "" if value is None else encoded(value).decode()


# ------------------------------------------------------------------------------------------ the filters


def _joined(parts: Iterable[Any], between: str = "") -> str:
    """`join`: texts and numbers in a row."""
    texts = [shown(part) for part in parts]
    if sum(map(len, texts)) + len(between) * len(texts) > LARGEST:
        raise ValueError(_too_much())
    return between.join(texts)


def _replaced(text: Any, old: Any, new: Any) -> str:
    """`replace`: every occurrence."""
    text, old, new = shown(text), shown(old), shown(new)
    if len(text) + text.count(old) * len(new) > LARGEST:
        raise ValueError(_too_much())
    found: str = text.replace(old, new)
    return found


def _cut(text: Any, *how: Any, **more: Any) -> str:
    """`truncate`, as the library has it."""
    found: str = FILTERS["truncate"](ENVIRONMENT, shown(text), *how, **more)
    return found


def _textual(borrowed: Callable[[str], str]) -> Callable[[Any], str]:
    return lambda value: borrowed(shown(value))


def _rounded(number: float, digits: int = 0) -> float:
    """`round`: to so many digits behind the point."""
    return round(number, digits)


def _as_json(value: Any) -> str:
    """`tojson` within a text."""
    return encoded(value).decode()


def _moment(seconds: float) -> str:
    """`rfc3339`: Unix seconds as people and most services write them, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _quoted(text: Any) -> str:
    """`urlencode`: for one part of a web address."""
    return _measured(quote(shown(text), safe=""))


def _environment() -> _Environment:
    made = _Environment(undefined=_Missing, finalize=shown, autoescape=False)
    made.globals.clear()
    made.filters = {
        **{name: FILTERS[name] for name in BORROWED},
        **{name: _textual(FILTERS[name]) for name in TEXTUAL},
        "join": _joined,
        "replace": _replaced,
        "rfc3339": _moment,
        "round": _rounded,
        "string": shown,
        "tojson": _as_json,
        "truncate": _cut,
        "urlencode": _quoted,
    }
    # Cut to a length means to this length.
    made.policies["truncate.leeway"] = 0
    return made


ENVIRONMENT = _environment()


def compiled(text: str) -> Blank | None:
    """The template in a text, None where it is none. Raises ValueError with a sentence."""
    if not any(begin in text for begin in ("{{", "{%", "{#")):
        return None
    if len(text) > LONGEST:
        raise ValueError(f"a template has at most {LONGEST} characters")
    try:
        tree = ENVIRONMENT.parse(text)
        _inspect(tree)
        tree = _Joining().visit(tree)
        value = _single(tree)
        if value is not None:
            tree = nodes.Template([nodes.Assign(nodes.Name("value", "store"), value, lineno=1)], lineno=1)
        tree.set_environment(ENVIRONMENT)
        return Blank(ENVIRONMENT.from_string(tree), value is not None)
    except TemplateSyntaxError as error:
        where = f" (line {error.lineno} of the text)" if "\n" in text.strip() else ""
        raise ValueError(f"{clean(error.message or 'this is no template', 200)}{where}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except (SyntaxError, MemoryError, OverflowError):
        raise ValueError("this is no template") from None


def _inspect(tree: nodes.Template) -> None:
    """Raises ValueError for what has no place in a template here."""
    if any(not isinstance(part, nodes.Output) for part in tree.body):
        raise ValueError("only {{ … }} may stand here, not {% … %}: write {{ this if … else that }}")
    for node in tree.find_all((nodes.Filter, nodes.Test)):
        is_filter = isinstance(node, nodes.Filter)
        word, names = ("filter", ENVIRONMENT.filters) if is_filter else ("test", ENVIRONMENT.tests)
        if node.name not in names:
            hint = did_you_mean(node.name, names) or f"; there are {', '.join(sorted(names))}"
            raise ValueError(f"there is no {word} {node.name!r} here{hint}")
    # With another filter it could grow what it is given, once for each of many.
    if any(node.name == "map" and (node.args or node.dyn_args) for node in tree.find_all(nodes.Filter)):
        raise ValueError("map takes attribute= only")
    for name in tree.find_all(nodes.Name):
        if name.name not in NAMES:
            hint = did_you_mean(name.name, NAMES) or f"; there are {', '.join(NAMES)}"
            raise ValueError(f"nothing is called {name.name!r} here{hint}")


class _Joining(NodeTransformer):
    """Makes `a ~ b` a `join`, so that both say null and the like alike, and within bounds."""

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """One of them."""
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)


def _single(tree: nodes.Template) -> nodes.Expr | None:
    """The expression of a text that is one `{{ … | tojson }}` and nothing else: it stands for a value."""
    if len(tree.body) != 1 or not isinstance(tree.body[0], nodes.Output) or len(tree.body[0].nodes) != 1:
        return None
    (node,) = tree.body[0].nodes
    if isinstance(node, nodes.Filter) and node.name == "tojson" and node.args == node.kwargs == []:
        return node.node
    return None
