"""The documents: what they show loads, runs and leads somewhere; what exists is written about."""

import ast
import base64
import json
import re
import shutil
import subprocess
import textwrap
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ftwatch import config, plugins
from ftwatch.cli import COMMANDS
from ftwatch.core import event as events
from ftwatch.core import signature
from ftwatch.core.cause import Cause, in_words
from ftwatch.core.event import encode
from ftwatch.core.job import Status
from ftwatch.core.retirements import TABLE
from ftwatch.core.sample import sample

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SECTIONS = (
    "providers",
    "notifiers",
    "routes",
    "rules",
    "silences",
    "store",
    "client",
    "log",
    "plots",
    "socket",
)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Block(NamedTuple):
    """A fenced block: where it begins, what language it says, its text."""

    place: str
    language: str
    text: str


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"(?ms)^ *```.*?^ *```$", "", page.read_text())


def blocks(*languages: str) -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(r"(?ms)^( *)```(\w+)\n(.*?)^\1```$", text):
            if found[2] in languages:
                line = text.count("\n", 0, found.start()) + 1
                place = f"{page.relative_to(ROOT)}:{line}"
                yield Block(place, found[2], textwrap.dedent(found[3]))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    heads = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


# -------------------------------------------------------------------------------------------- configs


def whole(text: str) -> str:
    """A fragment of a config with the sections that it takes for granted."""
    said = yaml.safe_load(re.sub(r"\$\{[^}]*\}", "x", text))
    assert isinstance(said, dict)
    rest = ""
    if "providers" not in said:
        rest += "\nproviders: {openai: {}}\n"
    if "notifiers" not in said:
        names = {name for route in said.get("routes", ()) for name in route["notify"]} or {"slack"}
        rest += "\nnotifiers:\n" + "".join(f"  {name}: {{kind: console}}\n" for name in sorted(names))
    return text + rest


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in blocks("yaml")])
def test_every_config_that_is_shown_loads(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "ftwatch.yaml"
    file.write_text(whole(block.text))
    made = config.load(file, environ={"HOME": "/home/me"})
    assert made.notifiers
    assert [str(problem) for problem in made.warnings] == []


def test_a_fragment_with_a_mistake_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "ftwatch.yaml"
    file.write_text(whole("routes:\n  - {match: {typ: x}, notify: [slack]}\n"))
    with pytest.raises(config.ConfigError, match="typ"):
        config.load(file, environ={"HOME": "/home/me"})


def test_every_key_of_the_config_is_written_about() -> None:
    pages = {
        name: (ROOT / "docs" / f"{name}.md").read_text()
        for name in ("configuration", "providers", "notifiers")
    }
    for section in SECTIONS:
        assert f"\n## `{section}`\n" in pages["configuration"], section
    everything = "".join(pages.values())
    schema = config.schema()
    assert {key for key in schema["properties"] if not key.startswith("x-")} == set(SECTIONS)
    # Where `labels` and the like end and free keys begin is said by full.yaml's own test.
    full = yaml.safe_load(re.sub(r"\$\{[^}]*\}", "x", (ROOT / "config" / "full.yaml").read_text()))
    keys: set[str] = set()
    for section in ("providers", "notifiers"):
        for block in full[section].values():
            keys |= block.keys()
    for entry in (
        *full["routes"],
        *full["silences"],
        full["store"],
        full["client"],
        full["web"],
        full["log"],
        full["plots"],
    ):
        keys |= entry.keys()
    keys |= {"waits", "slow", "jitter", "throttle", "drain", "span", "fold"}
    keys |= {f"{rule}.{key}" for rule, block in full["rules"].items() for key in block}
    missing = {key for key in keys if f"`{key}`" not in everything}
    assert missing == set()


def test_every_end_of_the_table_is_written_about() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text().partition("## `rules`")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (?:`(\w+)`[^|]*)?\| ([^|]+) \| (\d{4}-\d\d-\d\d) \|", page)
    written, kind = set(), ""
    for named, models, day in rows:
        kind = named or kind
        written |= {(kind, "*" if model == "all" else model, day) for model in models.split(", ")}
    assert written == {
        (kind, name, str(row.end))
        for row in TABLE
        for kind in row.kinds
        for name in (row.base[:1] if row.kinds[0] != "vertex" else row.base)
    }


def test_every_cause_is_written_about() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| ([^|]*?) ?\|", page.partition("| `cause` |")[2]))
    assert rows == {cause: "" if cause is Cause.UNKNOWN else in_words(cause) for cause in Cause}


def test_every_kind_has_its_heading() -> None:
    for socket, page in (("provider", "providers.md"), ("notifier", "notifiers.md")):
        found = anchors(ROOT / "docs" / page)
        # What other packages bring along is for them to describe.
        ours = {name for name, point in plugins.kinds(socket).items() if point.value.startswith("ftwatch.")}
        assert ours
        assert ours <= found


def test_every_kind_has_its_row() -> None:
    page = (ROOT / "docs" / "providers.md").read_text()
    table = re.findall(r"(?m)^\| \[(\w+)\]\(#(\w+)\) \|(.+)\|$", page.partition("\n## ")[0])
    rows = {kind: [cell.strip() for cell in rest.split("|")] for kind, _, rest in table}
    ours = {name for name, point in plugins.kinds("provider").items() if point.value.startswith("ftwatch.")}
    assert set(rows) == ours
    assert [kind for kind, _, _ in table] == sorted(ours)
    assert all(kind == anchor for kind, anchor, _ in table)
    for kind, (_, extra, _, _, log, _, _) in rows.items():
        section = page.partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        assert bool(extra) == ("Needs the extra" in section), kind
        parts = getattr(plugins.load_kind("provider", kind), "log_parts", ())
        if isinstance(parts, tuple) and kind != "http":
            assert re.findall(r"`(\w+)`", log) == list(parts), kind


def written_types() -> set[str]:
    """The types in the table of events; `.queued` stands for the family of its row."""
    table = (ROOT / "docs" / "configuration.md").read_text().partition("## Events")[2]
    table = table.partition("\n### ")[0]
    found: set[str] = set()
    for row in re.findall(r"(?m)^\| (`[^|]+) \|", table):
        first, *more = re.findall(r"`([^`]+)`", row)
        found |= {first, *(first.rpartition(".")[0] + other for other in more)}
    return found


def test_every_event_is_in_the_table() -> None:
    own = {value for value in vars(events).values() if isinstance(value, str)}
    own = {value for value in own if re.fullmatch(r"ftwatch\.(test|report|[a-z]+\.[a-z]+)", value)}
    own -= {events.__name__, events.__package__}
    jobs = {events.JOB + status for status in Status}
    jobs |= {events.CREATED, events.UPDATED, events.GONE, events.RETURNED, events.CHECKPOINT}
    alerts = {
        f"{events.ALERT}{name}{end}"
        for name in ("stuck", "silent", "retiring", "flapping")
        for end in ("", ".resolved")
    }
    assert len(own) > 8
    assert written_types() == own | jobs | alerts


# ---------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), target
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


def test_code_that_is_named_exists() -> None:
    for name in NAMES:
        for path in re.findall(
            r"`((?:ftwatch|tests|config|systemd|bench|docs)/[\w./-]+\.\w+)`", (ROOT / name).read_text()
        ):
            assert (ROOT / path).exists(), f"{name}: {path}"


def test_commands_that_are_named_exist() -> None:
    text = "".join((ROOT / name).read_text() for name in NAMES)
    named = set(re.findall(r"`ftwatch ([a-z]+)", text))
    for block in blocks("sh"):
        named |= set(re.findall(r"(?m)^ftwatch ([a-z]+)", block.text))
    assert set(COMMANDS) <= named
    for command in named:
        assert command in COMMANDS
        assert find_spec(f"ftwatch.cli.{COMMANDS[command][0]}") is not None, f"ftwatch {command}"


def test_guests_are_caught_only_where_the_architecture_says() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text().partition("## Guests")[2].partition("\n## ")[0]
    named = set(re.findall(r"^\| `([\w/.]+)`", page, re.M))
    caught = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "ftwatch").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception"))
    }
    assert caught == named


# ----------------------------------------------------------------------------------- code that is shown


def signed(body: bytes, secrets: list[str], at: float) -> dict[str, str]:
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at)),
        "webhook-signature": signature.sign(secrets, "msg_1", int(at), body),
    }


OTHER = signature.fresh_secret(bytes(32))
BODY = encode(sample("failed"))
# By whom a message is signed, how long before it comes, what comes, and whether that is right.
MESSAGES = [
    pytest.param([SECRET], 0, BODY, True, id="as sent"),
    pytest.param([OTHER, SECRET], 0, BODY, True, id="during a changeover"),
    pytest.param([OTHER], 0, BODY, False, id="by somebody else"),
    pytest.param([SECRET], 0, BODY + b" ", False, id="another body"),
    pytest.param([SECRET], 4000, BODY, False, id="too old"),
]


@pytest.mark.parametrize(("secrets", "age", "body", "fine"), MESSAGES)
def test_the_python_verifier_that_is_shown_works(
    secrets: list[str], age: int, body: bytes, fine: bool
) -> None:
    headers = signed(BODY, secrets, time.time() - age)
    (code,) = (block.text for block in blocks("python") if "def verify" in block.text)
    names: dict[str, Any] = {}
    exec(compile(code, "notifiers.md", "exec"), names)
    if fine:
        names["verify"](SECRET, headers, body)
    else:
        with pytest.raises(ValueError, match=r"old|signed"):
            names["verify"](SECRET, headers, body)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_node_verifier_that_is_shown_works(tmp_path: Path) -> None:
    (code,) = (block.text for block in blocks("javascript") if "function verify" in block.text)
    cases = [
        [signed(BODY, secrets, time.time() - age), body, fine]  # type: ignore[arg-type, operator]
        for secrets, age, body, fine in (parameters.values for parameters in MESSAGES)
    ]
    (tmp_path / "cases.json").write_text(
        json.dumps([[headers, base64.b64encode(body).decode(), fine] for headers, body, fine in cases])
    )
    code += """
    const cases = JSON.parse(require("node:fs").readFileSync(process.argv[2]));
    for (const [headers, body, fine] of cases) {
      let passed = true;
      try { verify(process.argv[3], headers, Buffer.from(body, "base64")); } catch { passed = false; }
      console.log(passed === fine ? "right" : "wrong");
    }
    """
    (tmp_path / "verify.js").write_text(code)
    command = ["node", str(tmp_path / "verify.js"), str(tmp_path / "cases.json"), SECRET]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    assert told.split() == ["right"] * len(cases)


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in blocks("python")])
def test_python_that_is_shown_imports_what_exists(block: Block) -> None:
    exec(compile(block.text, block.place, "exec"), {"__name__": "shown"})


@pytest.mark.parametrize("block", [pytest.param(b, id=b.place) for b in blocks("json")])
def test_json_that_is_shown_is_json(block: Block) -> None:
    # Policies of other services are shown too.
    assert json.loads(block.text).get("object", "event") == "event"
