"""Which kinds are installed: looked up once for a config, and anew for the next one."""

from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

import pytest

from ftwatch import plugins
from ftwatch.config import ConfigError, load

TOY = EntryPoint(name="toy", value="ftwatch.notifiers.console:Console", group="ftwatch.notifiers")
CONFIG = """
providers: {p: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: x}}
notifiers: {mine: {kind: toy}}
"""


def test_a_kind_that_was_installed_meanwhile_is_there_for_the_next_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ftwatch.yaml"
    path.write_text(CONFIG)
    with pytest.raises(ConfigError, match="toy"):
        load(path, environ={})
    asked: list[str] = []

    def installed(*, group: str) -> EntryPoints:
        asked.append(group)
        return EntryPoints((*entry_points(group=group), *([TOY] if group == TOY.group else [])))

    monkeypatch.setattr("ftwatch.plugins.entry_points", installed)
    assert [notifier.kind for notifier in load(path, environ={}).notifiers.values()] == ["toy"]
    assert sorted(asked) == ["ftwatch.notifiers", "ftwatch.providers"]
    plugins.look_again()
