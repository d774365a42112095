"""The JSON Schema of the whole file, for editors: the same shapes and options that `build` checks against."""

import dataclasses
from itertools import chain
from typing import Any

from pydantic import TypeAdapter

from ftwatch import plugins
from ftwatch.config import shape
from ftwatch.config.build import Field, fields
from ftwatch.config.values import members

__all__ = ["schema"]

Schema = dict[str, Any]

VARIABLE = {"type": "string", "pattern": r"\$\{"}
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def schema() -> Schema:
    """The schema, draft 2020-12, with the options of every kind that is installed and can be loaded."""
    definitions: Schema = {}
    sections = {
        "providers": _guests("provider", shape.Provider, definitions),
        "notifiers": _guests("notifier", shape.Notifier, definitions),
        "routes": {"type": "array", "minItems": 1, "items": _block(shape.Route)},
        "rules": _block(shape.Rules),
        "silences": {"type": "array", "minItems": 1, "items": _block(shape.Silence)},
        "store": _block(shape.Store),
        "client": _block(shape.Client),
        "log": _block(shape.Log),
        "plots": {"anyOf": [_block(shape.Plots), {"type": "boolean"}]},
        "socket": {"type": "string"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ftwatch",
        "type": "object",
        "properties": sections,
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _guests(socket: Any, common: type, definitions: Schema) -> Schema:
    """A section of named blocks, each of which has its kind's options; the name is the kind by default."""
    found = []
    for kind in sorted(plugins.kinds(socket)):
        try:
            options = plugins.load_kind(socket, kind).Options
            definitions[f"{socket}.{kind}"] = _block(common, options, kind=kind)
        except Exception:  # a guest's module may fail in any way; the others are described all the same
            continue
        found.append(kind)
    by_kind = [_when(kind, {"$ref": f"#/$defs/{socket}.{kind}"}) for kind in found]
    named = {"required": ["kind"], "properties": {"kind": {"enum": found}}, "allOf": by_kind}
    return {
        "type": ["object", "null"],
        "propertyNames": {"pattern": NAME},
        "properties": {
            kind: {
                "if": {"type": "object", "required": ["kind"]},
                "then": named,
                "else": {"$ref": f"#/$defs/{socket}.{kind}"},
            }
            for kind in found
        },
        "additionalProperties": {"type": "object", **named},
    }


def _when(kind: str, then: Schema) -> Schema:
    return {"if": {"properties": {"kind": {"const": kind}}}, "then": then}


def _block(*shapes: type, kind: str | None = None) -> Schema:
    """One block: the keys of all its shapes together."""
    properties: Schema = {}
    required: list[Schema] = []
    for field in chain.from_iterable(map(fields, shapes)):
        properties[field.key] = _value(field)
        for form in field.forms[1:]:
            properties[form] = {"type": "string"}
        if field.required:
            required.append({"anyOf": [{"required": [form]} for form in field.forms]})
    if kind is not None:
        properties["kind"] = {"type": "string", "const": kind, "default": kind}
    block: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        block["allOf"] = required
    elif kind is not None:
        block["type"] = ["object", "null"]
    return block


def _value(field: Field) -> Schema:
    """What may stand under one key."""
    shapes = [part for part in members(field.hint) if dataclasses.is_dataclass(part)]
    if "schema" in field.meta:
        described = dict(field.meta["schema"])
    elif shapes and isinstance(shapes[0], type):
        described = _block(shapes[0])
        words = [part for part in members(field.hint) if part not in (*shapes, type(None))]
        if words:
            described = {"anyOf": [described, *(TypeAdapter(part).json_schema() for part in words)]}
    else:
        described = TypeAdapter(field.meta.get("type", field.hint)).json_schema()
        described.pop("title", None)
    if described.get("type") in ("integer", "number", "boolean") or "enum" in described:
        described = {"anyOf": [described, VARIABLE]}
    if field.default is not None and "default" not in described:
        described["default"] = field.default
    return described
