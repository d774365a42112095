"""The OpenAPI document as it follows from the code; `python -m tests.web.describing` writes it anew.

What the code cannot say (what a route is for, which statuses it answers with) stands in the tables here.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ftwatch import web
from ftwatch.answers import Happening, Job, Owed, Placed, Story, Trust
from ftwatch.core.delivery import Delivery
from ftwatch.core.event import Event
from ftwatch.core.job import Snapshot
from ftwatch.core.known import Ack
from ftwatch.core.reach import Reach
from ftwatch.core.silence import Muted
from ftwatch.silencing import Standing
from ftwatch.web.api import deliveries, events, jobs, silences
from ftwatch.web.api.asking import Nothing
from ftwatch.web.stream import Streamed

FILE = Path(web.__file__).with_name("openapi.json")
BASES = {Job: Snapshot, Story: Job, Owed: Delivery, Happening: Placed}
NAMES = {"ftwatch.core.known.Ack": "Ack", "ftwatch.web.api.jobs.Ack": "Acknowledgement"}
DURATION = r"^(\d{1,6}(\.\d{1,3})?(ms|[smhd]))+$"
_KEY = r"(kind|id|name|owner|model|fine_tuned_model|method|error\.code|(labels|metadata)\.[a-z]+)"
MATCHERS = rf'^{_KEY}!?="[^"\\]{{0,99}}"$'

PARAMETERS = {
    "provider": "Only of this provider.",
    "notifier": "Only to this notifier.",
    "status": "Only jobs in one of these statuses.",
    "active": "Only jobs that their provider is still asked about.",
    "match": 'Matchers in Alertmanager\'s words over the keys of a job: `labels.team="search", model="gpt*"`.'
    " Values may be globs; regular expressions are refused.",
    "changed_since": "Only jobs of which something was noted then or later (Unix seconds).",
    "include": "What to tell besides.",
    "after": "Goes on after this place: what `next` of the page before says.",
    "limit": "How much at most; a page ends sooner where there is much to say.",
    "job": "A job as people name it: an id, the beginning of one, provider/id, a name, or its URL.",
    "type": "Only this type; a glob like `fine_tuning.job.*` is fine.",
    "severity": "Only events of one of these severities.",
    "order": "Which come first.",
    "state": "Only deliveries in one of these states.",
    "expired": "Also those that are over.",
    "history_after": "Goes on with the history after this place.",
    "log_after": "Goes on with the log after this place.",
    "metrics_after": "Goes on with the metrics after this place.",
    "checkpoints_after": "Goes on with the checkpoints after this place.",
    "deliveries_after": "Goes on with the deliveries after this place.",
}
REFUSALS = {
    400: "Something in the request is wrong; the sentence says what, and what to do.",
    401: "The token is missing, or another one.",
    403: "A page of another site asked.",
    404: "There is nothing of this name.",
    408: "The body took too long.",
    409: "That cannot be done as things are, or several could be meant.",
    413: "The body is too large.",
    415: "The body is not said to be JSON.",
    421: "The Host is not one of ours.",
    431: "The headers are too large.",
    503: "The database does not answer; try again.",
}
ALWAYS = (400, 401, 403, 421, 431, 503)
BODY = (408, 413, 415)
EXAMPLES = {"provider": "openai", "id": "ftjob-abc"}


class Operation(NamedTuple):
    """What stands in the table of a route."""

    summary: str
    answer: Any
    query: type[msgspec.Struct] = Nothing
    body: type[msgspec.Struct] | None = None
    status: int = 200
    refusals: tuple[int, ...] = ()


ref = "#/components/schemas/{}".format
IDS = {
    "type": "object",
    "properties": {"ids": {"type": "array", "items": {"type": "string"}}},
    "required": ["ids"],
}
EMPTY = {"type": "object", "maxProperties": 0}


def page_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "data": {"type": "array", "items": schema},
            "next": {"type": ["string", "null"], "description": "Where the next page begins; null: nowhere."},
        },
        "required": ["data", "next"],
    }


CONFIG = {
    "type": "object",
    "properties": {
        "providers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"type": "string"},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "required": ["name", "kind", "labels"],
            },
        },
        "notifiers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"type": "string"},
                    "audience": {"enum": ["machines", "people"]},
                },
                "required": ["name", "kind", "audience"],
            },
        },
        "routes": {
            "type": ["array", "null"],
            "description": "Null: there are none, and the default holds.",
            "items": {
                "type": "object",
                "properties": {
                    "takes": {"type": "string"},
                    "notify": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["takes", "notify"],
            },
        },
        "reach": {"type": "array", "items": {"$ref": ref("Reach")}},
    },
    "required": ["providers", "notifiers", "routes", "reach"],
}

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("get", "/api/v1/openapi.json"): Operation("This document", {"type": "object"}),
    ("get", "/api/v1/status"): Operation("Can it be trusted? As `ftwatch status`", {"$ref": ref("Trust")}),
    ("get", "/api/v1/config"): Operation("Who is watched, and who is told of what", CONFIG),
    ("get", "/api/v1/jobs"): Operation(
        "The jobs, the last changed first", page_of({"$ref": ref("Job")}), jobs.Listed
    ),
    ("get", "/api/v1/jobs/find"): Operation(
        "Every job that a word may mean", page_of({"$ref": ref("Job")}), jobs.Meant, refusals=(404,)
    ),
    ("post", "/api/v1/jobs/look"): Operation(
        "Ask all providers for new jobs now", EMPTY, body=Nothing, status=202
    ),
    ("get", "/api/v1/jobs/{provider}/{id}"): Operation(
        "Everything about one job", {"$ref": ref("Story")}, jobs.One, refusals=(404,)
    ),
    ("post", "/api/v1/jobs/{provider}/{id}/ack"): Operation(
        "Say that somebody knows of what is open about a job",
        {
            "type": "object",
            "properties": {
                "ack": {"$ref": ref("Ack")},
                "of": {"type": "array", "items": {"type": "string"}, "description": "What is acknowledged."},
            },
            "required": ["ack", "of"],
        },
        body=jobs.Ack,
        refusals=(404, 409),
    ),
    ("post", "/api/v1/jobs/{provider}/{id}/look"): Operation(
        "Ask the provider for a job now", EMPTY, body=Nothing, status=202, refusals=(404, 409)
    ),
    ("get", "/api/v1/events"): Operation(
        "The events, in their wire form", page_of({"$ref": ref("Placed")}), events.Listed, refusals=(404, 409)
    ),
    ("get", "/api/v1/events/stream"): Operation(
        "Events as they happen (server-sent events)", None, Streamed, refusals=(404, 409)
    ),
    ("get", "/api/v1/events/{id}"): Operation(
        "An event, who was told of it, who was not, and why", {"$ref": ref("Happening")}, refusals=(404,)
    ),
    ("get", "/api/v1/deliveries"): Operation(
        "The deliveries, the newest first",
        page_of({"$ref": ref("Owed")}),
        deliveries.Listed,
        refusals=(404, 409),
    ),
    ("get", "/api/v1/deliveries/{id}"): Operation(
        "A delivery, by its id or the beginning of it, and every try",
        {"$ref": ref("Owed")},
        refusals=(404, 409),
    ),
    ("post", "/api/v1/deliveries/{id}/retry"): Operation(
        "Send a dead or waiting delivery again, now", IDS, body=Nothing, refusals=(404, 409)
    ),
    ("post", "/api/v1/deliveries/{id}/drop"): Operation(
        "Give a dead or waiting delivery up for good", IDS, body=Nothing, refusals=(404, 409)
    ),
    ("post", "/api/v1/deliveries/replay"): Operation(
        "Send a notifier again what it was owed since then",
        {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]},
        body=deliveries.Replay,
        refusals=(404, 409),
    ),
    ("get", "/api/v1/silences"): Operation(
        "The silences that stand", page_of({"$ref": ref("Standing")}), silences.Listed
    ),
    ("post", "/api/v1/silences"): Operation(
        "Silence what all matchers are true of",
        {"$ref": ref("Standing")},
        body=silences.Silence,
        status=201,
        refusals=(404, 409),
    ),
    ("post", "/api/v1/silences/preview"): Operation(
        "What such a silence would have muted in the last seven days",
        {"$ref": ref("Muted")},
        body=silences.Silence,
        refusals=(404, 409),
    ),
    ("delete", "/api/v1/silences/{id}"): Operation("Take a silence away", IDS, refusals=(404, 409)),
}


def document() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, Any] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, {})[method] = _operation(method, path, operation)
    refusal = {
        "type": "object",
        "properties": {"error": {"type": "string", "description": "A sentence: what, where, what to do."}},
        "required": ["error"],
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ftwatch",
            "version": "1",
            "description": "Fine-tuning jobs wherever they run, what happened to them, and who was told."
            " Times are Unix seconds. GETs have an ETag.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**_schemas(), "Refusal": refusal},
            "responses": {
                str(status): {
                    "description": text,
                    "content": {"application/json": {"schema": {"$ref": ref("Refusal")}}},
                }
                for status, text in REFUSALS.items()
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "`web.token` of the config; without one, who may listen may ask.",
                }
            },
        },
    }


def _operation(method: str, path: str, operation: Operation) -> dict[str, Any]:
    statuses = {*ALWAYS, *operation.refusals, *(BODY if operation.body else ())}
    responses: dict[str, Any] = {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)
    }
    if operation.answer is None:
        responses["200"] = {
            "description": "A stream: `event: event` with one as `data`, `event: gap` where some were lost.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    else:
        responses[str(operation.status)] = {
            "description": operation.summary + ".",
            "content": {"application/json": {"schema": operation.answer}},
        }
    words = re.findall(r"[a-z]+", path.removeprefix("/api/v1").replace(".json", ""))
    found: dict[str, Any] = {"operationId": "_".join([method, *words]), "summary": operation.summary + "."}
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1, "maxLength": 1000},
            **({"example": EXAMPLES[name]} if path.startswith("/api/v1/jobs/") else {}),
        }
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters += [_parameter(field) for field in msgspec.structs.fields(operation.query)]
    if operation.answer is None:
        parameters.append(_header("Last-Event-ID", "The id of the event that was seen last."))
    elif method == "get":
        parameters.append(_header("If-None-Match", "The ETag of what the asker has already."))
        responses[str(operation.status)]["headers"] = {"ETag": {"schema": {"type": "string"}}}
        responses["304"] = {"description": "It is what the asker has already."}
    if parameters:
        found["parameters"] = parameters
    if operation.body is not None:
        found["requestBody"] = {
            "required": any(field.required for field in msgspec.structs.fields(operation.body)),
            "content": {"application/json": {"schema": _body(operation.body)}},
        }
    return {**found, "responses": dict(sorted(responses.items()))}


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _parameter(field: msgspec.structs.FieldInfo) -> dict[str, Any]:
    name = field.encode_name
    (schema,), definitions = msgspec.json.schema_components([field.type])
    schema = _plain(schema, definitions)
    schema = next((one for one in schema.pop("anyOf", []) if one != {"type": "null"}), schema)
    if schema["type"] == "array":
        schema |= {"minItems": 1}
    elif schema["type"] == "string" and "enum" not in schema:
        schema |= {"minLength": 1}
    if name == "match":
        schema |= {"pattern": MATCHERS}
    elif name == "after" and schema["type"] == "string":
        schema |= {"pattern": jobs._PLACE.pattern.join("^$")}
    if field.default not in (msgspec.NODEFAULT, None, (), False):
        schema |= {"default": field.default}
    return {
        "name": name,
        "in": "query",
        "description": PARAMETERS[name],
        **({"required": True} if field.required else {}),
        **({"style": "form", "explode": False} if schema["type"] == "array" else {}),
        "schema": schema,
    }


def _plain(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema without references, titles and nulls."""
    match schema:
        case {"$ref": name}:
            found = definitions[name.rpartition("/")[2]]
            return {"type": "string", "enum": found["enum"]}
        case dict():
            found = {key: _plain(value, definitions) for key, value in schema.items() if key != "default"}
            return found
        case list():
            return [_plain(one, definitions) for one in schema]
    return schema


def _body(kind: type[msgspec.Struct]) -> dict[str, Any]:
    if kind is Nothing:
        return EMPTY
    (_,), definitions = msgspec.json.schema_components([kind])
    schema = _tidy(definitions[kind.__name__])
    properties = schema["properties"]
    schema["additionalProperties"] = False
    for name, pattern in (("for", DURATION), ("since", DURATION)):
        if name in properties:
            found = properties[name]
            found["pattern"] = pattern
    if "matchers" in properties:
        properties["matchers"]["items"]["pattern"] = MATCHERS
        # Everything is silent only if somebody says so.
        schema["anyOf"] = [
            {"required": ["matchers"], "properties": {"matchers": {"minItems": 1}}},
            {"required": ["job"], "properties": {"job": {"minLength": 1}}},
        ]
    return schema


def _schemas() -> dict[str, Any]:
    kinds = [
        Snapshot,
        Job,
        Story,
        Delivery,
        Owed,
        Placed,
        Happening,
        Event,
        Trust,
        Standing,
        Muted,
        Ack,
        Reach,
    ]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    bases = {kind.__name__: base.__name__ for kind, base in BASES.items()}
    schemas = {}
    for name, schema in found.items():
        tidy = _tidy(schema)
        if name in bases:
            inherited = found[bases[name]]["properties"]
            tidy["properties"] = {
                key: value for key, value in tidy["properties"].items() if key not in inherited
            }
            tidy["required"] = [key for key in tidy["required"] if key not in inherited]
            said = tidy.pop("description")
            tidy = {"description": said, "allOf": [{"$ref": ref(bases[name])}, tidy]}
        schemas[name] = tidy
    schemas["Placed"]["properties"]["event"] = {"$ref": ref("Event")}
    return schemas


def _tidy(schema: Any) -> Any:
    """A schema as somebody would write it: no titles, no defaults of what is always there."""
    match schema:
        case {"$ref": name}:
            last = name.removeprefix("#/components/schemas/")
            return {"$ref": ref(NAMES.get(last, last))}
        case {"anyOf": [*choices]}:
            kinds = [_tidy(one) for one in choices]
            if all(set(kind) == {"type"} for kind in kinds):
                return {"type": [kind["type"] for kind in kinds]}
            if len(kinds) == 2 and kinds[1] == {"type": "null"} and "type" in kinds[0]:
                return {**kinds[0], "type": [kinds[0]["type"], "null"]}
            return {"anyOf": kinds}
        case {"type": "object", "properties": properties}:
            tidy = {"type": "object"}
            if "description" in schema:
                tidy["description"] = re.sub(r"\s+", " ", schema["description"])
            tidy["properties"] = {name: _tidy(one) for name, one in properties.items()}
            tidy["required"] = list(schema.get("required", ()))
            return tidy
        case {"enum": words}:
            return {"type": "string", "enum": words}
        case dict():
            return {key: _tidy(value) for key, value in schema.items() if key not in ("title", "default")}
        case list():
            return [_tidy(one) for one in schema]
    return schema


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
