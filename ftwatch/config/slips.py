"""What people trip over in YAML: from a parser's complaint to a sentence with a hint, and a repair.

A repair is the whole text with the culprit replaced by as many harmless letters.
"""

import re
from typing import Any, NamedTuple

__all__ = ["UNQUOTED_TEMPLATE", "Slip", "diagnose", "shown", "shown_key"]

UNQUOTED_TEMPLATE = 'quote a template, like any text that begins with a brace: "{{ … }}"'

# What is looked at of a line: hostile ones are as long as the file may be.
LONGEST_LINE = 4096

_VARIABLE = re.compile(r"\$\{[^{}\n]*\}")
_TEMPLATE = re.compile(r"(?:^|[:,\[{-])[ \t]*(\{\{[^\n]{0,300}?\}\})")
_COMMENT = re.compile(r"[\s,:\[{]#")
_RESERVED = {"@": "nothing may begin with @", "`": "nothing may begin with a backtick"}


class Slip(NamedTuple):
    """A mistake at an offset of the text; `repaired` None where nothing sensible can be read beyond it."""

    at: int
    sentence: str
    repaired: str | None = None


def diagnose(text: str, error: Any) -> Slip:
    """What a parser's error (a `yaml.MarkedYAMLError`) means, as far as one can tell."""
    problem, context = error.problem or "", error.context or ""
    at = min(error.problem_mark.index, len(text))
    start = error.context_mark.index if error.context_mark else at
    here = text[at : at + 1]

    if here == "{" and (variable := _VARIABLE.match(text, max(at - 1, 0))):
        quoted = f'"{variable[0]}"'
        return Slip(
            at - 1, f"quote a variable inside braces and brackets: {quoted}", _blank(text, variable.span())
        )
    if (template := _template(text, at)) is not None:
        return Slip(template[0], UNQUOTED_TEMPLATE, _blank(text, template))
    if "alias" in context or "anchor" in context:
        return _marker(text, start, "an alias" if text[start : start + 1] == "*" else "an anchor")
    if "tag" in context:
        return _marker(text, start, "a tag")
    if here == "\t" or "tab character" in problem:
        return Slip(at, "a tab; indent with spaces")
    if "cannot start any token" in problem and here:
        why = _RESERVED.get(here, f"nothing may begin with {here}")
        return Slip(at, f'{why}; quote it: "{shown(_word(text, at))}"', _blank(text, (at, at + 1)))
    if "escape" in problem:
        slash = text.rfind("\\", start, at + 1)
        sentence = "in double quotes a backslash begins an escape; use single quotes, or write \\\\"
        return Slip(max(slash, 0), sentence, _blank(text, (slash, slash + 1)) if slash >= 0 else None)
    if "quoted scalar" in context:
        return Slip(start, "this quote is never closed")
    if "mapping values" in problem:
        return _second_colon(text, at)
    if "flow" in context:
        return _bracket(text, start, at)
    if "could not find expected ':'" in problem:
        return _joined(text, start) or Slip(start, "a key needs a colon and a space after it")
    if here in ("]", "}"):
        return Slip(at, f"this {here} closes nothing")
    if "block" in context:
        return Slip(at, "this does not fit what stands above: look at the indentation and at the quotes")
    return Slip(at, f"this is no YAML: {problem}")


def shown(word: str) -> str:
    """A word as a sentence may quote it; of a long one the beginning, since it may be a password."""
    return word if len(word) <= 16 else word[:8] + "…"


def shown_key(key: str) -> str:
    """A key as a sentence may quote it; what follows a colon was meant as its value."""
    name, colon, _ = key.partition(":")
    return (name if len(name) <= 70 else name[:70] + "…") + (":…" if colon else "")


def _blank(text: str, span: tuple[int, int]) -> str:
    return text[: span[0]] + "_" * (span[1] - span[0]) + text[span[1] :]


def _template(text: str, at: int) -> tuple[int, int] | None:
    """Where a template without quotes stands before `at` in its line, or around it."""
    begin = text.rfind("\n", 0, at) + 1
    line = text[begin : begin + LONGEST_LINE].partition("\n")[0]
    for found in _TEMPLATE.finditer(line):
        start, end = found.span(1)
        if begin + start <= at and not any(line[:start].count(quote) % 2 for quote in "\"'"):
            return begin + start, begin + end
    return None


def _word(text: str, at: int) -> str:
    """What was probably meant to be one word."""
    found = re.compile(r"[^\s,\]}#]*").match(text, at)
    return found[0] if found else ""


def _marker(text: str, at: int, what: str) -> Slip:
    word = _word(text, at)
    return Slip(
        at,
        f'{word[:1]} begins {what}; as text, quote it: "{shown(word)}"',
        _blank(text, (at, at + max(1, len(word)))),
    )


def _bracket(text: str, start: int, at: int) -> Slip:
    if text[start : start + 1] not in ("[", "{"):
        start = max(text.rfind("[", 0, at), text.rfind("{", 0, at), 0)
    bracket, line = text[start], text[start:at].partition("\n")[0]
    if at < len(text.rstrip()) and "\n" not in text[start:at]:
        return Slip(at, f"a comma is missing before this, or the end of the {bracket}")
    hint = "; # starts a comment, quote what begins with it" if _COMMENT.search(line) else ""
    return Slip(start, f"this {bracket} is never closed{hint}")


def _second_colon(text: str, at: int) -> Slip:
    begin = text.rfind("\n", 0, at) + 1
    if re.search(r":\s", text[begin:at]):
        return Slip(at, "a second colon; quote the value if it belongs to it", _blank(text, (at, at + 1)))
    above = text.rfind("\n", 0, max(begin - 1, 0)) + 1
    sentence = "no key may stand here: look at the indentation of this line and the one above"
    return _joined(text, above) or Slip(at, sentence)


def _joined(text: str, start: int) -> Slip | None:
    """`key:value` in the line at `start`, where `key: value` was meant."""
    found = re.compile(r"\s*(?:- )?([\w.-]+):[^\s:]").match(text, start)
    return Slip(found.end() - 2, f"a space is missing after the colon of {found[1]!r}") if found else None
