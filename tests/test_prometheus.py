"""What is handed to Prometheus and Grafana: promtool agrees, and every query asks for what is there."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftwatch.web.metrics import FAMILIES

ROOT = Path(__file__).parents[1]
RULES = ROOT / "config" / "prometheus-rules.yaml"
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")

SAMPLES = {
    name + end
    for name, family in FAMILIES.items()
    for end in (("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",))
}
LABELS = {label for family in FAMILIES.values() for label in family.labels}


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Where a query stands, and the query."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    said = dashboard()
    for panel in said["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for one in said["annotations"]["list"]:
        yield one["name"], one["expr"]
    for variable in said["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["definition"]


@pytest.mark.parametrize(("place", "query"), [pytest.param(*one, id=one[0]) for one in queries()])
def test_every_query_asks_for_what_is_there(place: str, query: str) -> None:
    named = set(re.findall(r"\b(?:ftwatch|process)_\w+", re.sub(r'"[^"]*"', "", query)))
    assert named or 'job="ftwatch"' in query
    assert named <= SAMPLES
    outside = LABELS | {"instance", "job", "le"}
    for inside in re.findall(r"\{([^}]*)\}", query):
        assert set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', inside)) <= outside
    for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
        assert set(re.split(r",\s*", by)) <= outside


def promtool(*args: str) -> str:
    """What promtool says, where it has no objection."""
    told = subprocess.run(["promtool", *args], capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", str(RULES))


@needs_promtool
def test_each_trouble_has_its_alert_and_a_quiet_day_none(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path / "rules.yaml")
    played = tmp_path / "played.yaml"
    shutil.copy(ROOT / "tests" / "data" / "prometheus-rules.yaml", played)
    assert "SUCCESS" in promtool("test", "rules", str(played))
    for rule in (rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]):
        assert f"alertname: {rule['alert']}}}" in played.read_text(), "a quiet day is asked for it"
        assert f'alertname="{rule["alert"]}"' in played.read_text(), "and one of trouble"


def test_every_alert_says_what_to_do() -> None:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["alert"].startswith("Ftwatch")
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"]
            assert "Do: " in rule["annotations"]["description"]


def test_the_dashboard_fits_together() -> None:
    said = dashboard()
    assert re.fullmatch(r"[a-z-]+", said["uid"])
    panels = said["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            # The reader's own data source, and nobody's in particular.
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    known = {variable["name"] for variable in said["templating"]["list"]}
    used = {name for _, query in queries() for name in re.findall(r"\$(\w+)", query)}
    assert used <= known


@needs_promtool
def test_every_query_of_the_dashboard_is_one(tmp_path: Path) -> None:
    """As a rule, since that is what promtool reads."""
    rules = [
        {"record": f"panel:{number}", "expr": re.sub(r"\$\w+", "x", query)}
        for number, (_, query) in enumerate(queries())
        if not query.startswith("label_values(")
    ]
    assert len(rules) > 30
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))
