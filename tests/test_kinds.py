"""Which kinds are installed: looked up once for a config, and anew for the next one."""

from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

from ftwatch import plugins
from ftwatch.config import ConfigError, load

TOY = "[ftwatch.notifiers]\ntoy = ftwatch.notifiers.console:Console\nconsole = no.such.module:Console\n"
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
    asked: list[None] = []

    def installed() -> Iterator[Distribution]:
        asked.append(None)
        yield from distributions()
        metadata = tmp_path / "toy-1.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "entry_points.txt").write_text(TOY)
        yield Distribution.at(metadata)

    monkeypatch.setattr("ftwatch.plugins.distributions", installed)
    assert [notifier.kind for notifier in load(path, environ={}).notifiers.values()] == ["toy"]
    assert asked == [None], "one look is enough for both sockets"
    assert plugins.kinds("notifier")["console"].value == "ftwatch.notifiers.console:Console", (
        "the first counts"
    )
    plugins.look_again()
