"""The files in config/ load, the full one has every key, and a file with twelve mistakes names all twelve."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ftwatch import config
from ftwatch.config import shape
from ftwatch.config.build import fields
from ftwatch.config.yaml import List, Map, Node, parse
from ftwatch.plugins import kinds

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "config"

ENVIRON = {"HOME": "/home/me"}
# What lies there for other programs has tests of its own.
OTHERS = {"kubernetes.yaml", "prometheus-rules.yaml"}


@pytest.mark.parametrize("name", sorted({path.name for path in FOLDER.glob("*.yaml")} - OTHERS))
def test_an_example_loads_without_an_environment(name: str) -> None:
    made = config.load(FOLDER / name, environ=ENVIRON)
    assert made.providers
    assert made.notifiers
    # A remark that holds on one machine and not on another is none about the example.
    assert [one.sentence for one in made.warnings if not one.sentence.startswith("there is no file")] == []


def test_one_person_needs_six_lines() -> None:
    assert len((FOLDER / "person.yaml").read_text().splitlines()) == 6
    made = config.load(FOLDER / "person.yaml", environ=ENVIRON)
    assert [one.kind for one in made.notifiers.values()] == ["slack"]
    assert made.routing.routes is None


def test_a_team_has_three_providers_routes_and_an_on_call() -> None:
    made = config.load(FOLDER / "team.yaml", environ=ENVIRON)
    assert len(made.providers) == 3
    assert made.routing.routes is not None
    assert "oncall" in made.notifiers
    assert {account.kind for account in made.providers.values()} == {"openai", "azure", "nebius"}


def test_a_relay_signs_and_runs() -> None:
    made = config.load(FOLDER / "relay-to-ci.yaml", environ=ENVIRON)
    assert {one.kind for one in made.notifiers.values()} == {"webhook", "command"}


# ------------------------------------------------------------------------------------- every key is shown


def shown(node: Node | None, path: str = "") -> Iterator[str]:
    """The dotted paths of all keys in a file; entries of lists share one path."""
    if isinstance(node, Map):
        for key, (_, inner) in node.entries.items():
            yield f"{path}{key}"
            yield from shown(inner, f"{path}{key}.")
    elif isinstance(node, List):
        for inner in node.items:
            yield from shown(inner, path)


def described(schema: dict[str, Any], path: str, definitions: dict[str, Any]) -> Iterator[str]:
    """The dotted paths of all keys that a schema knows."""
    for branch in schema.get("anyOf", []):
        yield from described(branch, path, definitions)
    if "items" in schema:
        yield from described(schema["items"], path, definitions)
    if schema.get("additionalProperties") is not False:
        return
    for key, inner in schema["properties"].items():
        yield f"{path}{key}"
        if key in ("providers", "notifiers"):
            for name, block in definitions.items():
                socket, _, kind = name.partition(".")
                if key == socket + "s":
                    yield from described(block, f"{key}.{kind}.", definitions)
        else:
            yield from described(inner, f"{path}{key}.", definitions)


def test_the_full_example_has_every_key_of_the_schema() -> None:
    text = (FOLDER / "full.yaml").read_text()
    # The other ways to say the same are commented out.
    document = parse(re.sub(r"(?m)^( +)# (?=[a-z_]+: )", r"\1", text).encode())
    assert document.problems == []
    keys = set(shown(document.root))
    schema = config.schema()
    wanted = set(described(schema, "", schema["$defs"]))
    # What all providers have in common is shown once, and so is what all notifiers have.
    shared = "|".join(form for field in fields(shape.Provider) for form in field.forms)
    common = re.compile(
        rf"(providers\.(?!openai\.)\w+\.({shared})"
        rf"|notifiers\.(?!slack\.)\w+\.({'|'.join(field.key for field in fields(shape.Notifier))})(\..*)?)$"
    )
    shown_once = re.compile(r"notifiers\.slack\.retry\.(?!waits|span)")
    wanted = {path for path in wanted if not common.match(path) and not shown_once.match(path)}
    assert sorted(wanted - keys) == []
    assert len(wanted) > 60


# ------------------------------------------------------------------------------------------- the schema


def test_the_schema_is_json_and_its_references_lead_somewhere() -> None:
    schema = config.schema()
    text = json.dumps(schema)
    for name in re.findall(r'"#/\$defs/([^"]+)"', text):
        assert name in schema["$defs"]
    assert set(schema["$defs"]) == {
        *(f"provider.{kind}" for kind in kinds("provider")),
        *(f"notifier.{kind}" for kind in kinds("notifier")),
    }
    assert config.schema() == schema


def test_the_schema_knows_defaults_choices_and_aliases() -> None:
    schema = config.schema()
    openai, email = schema["$defs"]["provider.openai"], schema["$defs"]["notifier.email"]
    assert openai["properties"]["poll"]["default"] == "30s"
    assert openai["properties"]["api_key_file"] == {"type": "string"}
    assert {"from", "to", "password_credential"} <= set(email["properties"])
    assert "from_" not in email["properties"]
    security = email["properties"]["security"]["anyOf"][0]
    assert security["enum"] == ["starttls", "tls", "plain"]
    assert {"required": ["host"]} in [branch for each in email["allOf"] for branch in each["anyOf"]]
    assert schema["properties"]["log"]["properties"]["level"]["default"] == "info"
    assert schema["properties"]["routes"]["items"]["properties"].keys() == {
        *("match", "except", "min_severity", "notify", "group", "max_age", "remind", "template", "mention")
    }


# -------------------------------------------------------------------------------------- twelve mistakes

TWELVE = [
    (4, 14, "write ${OPENAI_API_KEY} for the variable, or $$OPENAI_API_KEY for the text itself"),
    (5, 5, "provider 'openai' has no key 'pol'; did you mean 'poll'?"),
    (6, 15, "baseline should be 'silent', 'summary' or 'all', not 'sumary'; did you mean 'summary'?"),
    (7, 5, "'baseline' stands here twice, first on line 6"),
    (9, 11, "no provider is of kind 'opnai'; did you mean 'openai'?"),
    (11, 24, 'quote a variable inside braces and brackets: "${SLACK_WEBHOOK_URL}"'),
    (15, 11, "port should be a whole number, not '587'; leave the quotes out"),
    (17, 10, 'nothing may begin with @; quote it: "@oncall"'),
    (20, 18, 'webhook_url has no value; # starts a comment: as text, quote it: "#search-ml"'),
    (22, 13, "nothing has a key 'statsu'; did you mean 'status'?"),
    (24, 20, '*mini asks for an anchor that is not there; as text, quote it: "*mini"'),
    (25, 14, "there is no notifier 'slak'; did you mean 'slack'?"),
]


def test_twelve_mistakes_are_all_named() -> None:
    path = HERE / "data" / "twelve-mistakes.yaml"
    with pytest.raises(config.ConfigError) as caught:
        config.load(path, environ=ENVIRON)
    told = [(one.line, one.column, one.sentence) for one in caught.value.problems]
    assert told == TWELVE
    assert str(caught.value).splitlines()[0] == f"{path}:4:14: error: {TWELVE[0][2]}"
