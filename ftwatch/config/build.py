"""A block: from a mapping of nodes to a frozen dataclass, each key checked against its field.

The same for ftwatch's own sections and for the options of a plug-in. A field may say more in its metadata:
`key` (its name in YAML where Python forbids it), `read` (a function of key, node and desk that reads it).
What is a `Path` starts at the config's folder; `private` says that others should not be able to read it.
"""

import dataclasses
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from ftwatch.config import secrets, values
from ftwatch.config.report import Broken, Desk
from ftwatch.config.slips import shown_key
from ftwatch.config.yaml import Map, Node, Place, Scalar
from ftwatch.core.route import did_you_mean
from ftwatch.plugins import Duration, Secret

__all__ = ["NOT_YET", "Field", "build", "fields", "mapping", "no_key"]

NOT_YET = "not in this version"


@dataclasses.dataclass(frozen=True)
class Field:
    """One key of a block. `forms`: the keys under which its value may be given; `default` as it is shown."""

    name: str
    key: str
    hint: Any
    required: bool
    forms: tuple[str, ...]
    meta: Mapping[str, Any]
    default: Any = None

    @property
    def is_block(self) -> bool:
        """Whether it is a block of its own."""
        return any(map(dataclasses.is_dataclass, values.members(self.hint)))

    @property
    def is_switch(self) -> bool:
        """Whether one word may stand for a block, as `false` does."""
        others = [part for part in values.members(self.hint) if not dataclasses.is_dataclass(part)]
        return others not in ([], [type(None)])


@lru_cache(maxsize=256)
def fields(shape: type) -> tuple[Field, ...]:
    """The keys of a dataclass, in order. Raises whatever a broken class makes Python raise."""
    hints = get_type_hints(shape, include_extras=True)
    found = []
    for item in dataclasses.fields(shape):
        if not item.init:
            continue
        key, hint = item.metadata.get("key", item.name), hints[item.name]
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        forms = (key, *(key + suffix for suffix in secrets.SUFFIXES)) if _is_secret(hint) else (key,)
        found.append(Field(item.name, key, hint, required, forms, item.metadata, _shown(item)))
    # A key of its own goes before a form of another: `ca_file` is a path if a field says so.
    own = {field.key for field in found}
    return tuple(
        dataclasses.replace(field, forms=(field.key, *(form for form in field.forms[1:] if form not in own)))
        for field in found
    )


def build(
    shape: type,
    block: Map,
    at: Place,
    desk: Desk,
    what: str,
    *,
    later: Collection[str] = (),
    others: Collection[str] = (),
) -> Any:
    """An instance of the dataclass `shape` from a block that begins at `at` and is called `what`.

    `later` are keys that a version to come will have, `others` belong to another reader of the same block.
    Reports every mistake in it, and raises Broken where there is one.
    """
    known = {form: field for field in fields(shape) for form in field.forms}
    given: dict[str, Any] = {}
    fine = _no_strangers(block, {*known, *others}, later, desk, what)
    for field in fields(shape):
        try:
            found = _given(field, block, desk)
            if found is not None:
                given[field.name] = _read(field, found, block, desk)
            elif field.required:
                raise desk.error(at, f"{what} needs {_or(field.forms)}")
        except Broken:
            fine = False
    if not fine:
        raise Broken
    try:
        return shape(**given)
    except ValueError as error:
        raise desk.error(at, f"{what}: {error}") from None


def mapping(node: Node, desk: Desk, what: str) -> Map:
    """The node as a mapping; nothing written at all is an empty one. Raises Broken otherwise."""
    if isinstance(node, Map):
        return node
    if isinstance(node, Scalar):
        if node.broken:
            raise Broken
        if node.is_blank and not node.hint:
            return Map(node.at)
        if ":" in node.text and node.plain:
            raise desk.error(node.at, f"{what} should be a mapping; is a space missing after a colon?")
    raise desk.error(node.at, f"{what} should be a mapping{node.hint if isinstance(node, Scalar) else ''}")


def no_key(what: str, key: str, known: Collection[str], all: str) -> str:
    """The sentence about a key that nobody knows; `all` names those that are known."""
    hint = "; is a space missing after the colon?" if ":" in key else did_you_mean(key, known)
    return f"{what} has no key {shown_key(key)!r}{hint or f'; it knows {all}'}"


def _no_strangers(block: Map, known: Collection[str], later: Collection[str], desk: Desk, what: str) -> bool:
    fine = True
    for key, (written, _) in block.entries.items():
        if key in known:
            continue
        fine = False
        if key in later:
            desk.error(written.at, f"{key!r} is {NOT_YET}")
        else:
            desk.error(written.at, no_key(what, key, known, ", ".join(sorted(known))))
    return fine


def _given(field: Field, block: Map, desk: Desk) -> str | None:
    """Under which of its keys a field was given."""
    present = [form for form in block.entries if form in field.forms]
    if len(present) > 1:
        raise desk.error(
            block.place(present[1]), f"{present[0]} and {present[1]} say the same: give one of them"
        )
    return present[0] if present else None


def _read(field: Field, form: str, block: Map, desk: Desk) -> Any:
    node = block.entries[form][1]
    if form != field.key:
        text = values.value(form, str, node, desk)
        read = secrets.from_file if form.endswith(secrets.FILE) else secrets.from_credential
        return read(text, desk, node.at)
    if "read" in field.meta:
        return field.meta["read"](form, node, desk)
    if Path in values.members(field.hint):
        said = values.value(form, str | None, node, desk)
        path = desk.path(said, node.at) if said else None
        if path is not None and field.meta.get("private"):
            secrets.warn_of_readers(path, desk, node.at)
        return path
    if field.is_block and not (field.is_switch and isinstance(node, Scalar)):
        shape: Any = next(part for part in values.members(field.hint) if dataclasses.is_dataclass(part))
        return build(shape, mapping(node, desk, form), block.place(form), desk, form)
    return values.value(form, field.hint, node, desk)


def _shown(item: dataclasses.Field[Any]) -> Any:
    """A default as one would write it, None where it says nothing."""
    if "shown" in item.metadata:
        return item.metadata["shown"]
    if isinstance(item.default, Duration):
        return f"{item.default.total_seconds():g}s"
    return item.default if isinstance(item.default, str | int | float) else None


def _is_secret(hint: Any) -> bool:
    return Secret in values.members(hint)


def _or(words: tuple[str, ...]) -> str:
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
