"""YAML in, a typed and frozen `Config` out; every mistake with its file, line and column, all at once.

`model` says what a config is, `yaml` reads text into nodes that know their place, `interpolate` fills in
`${VAR}`, `build` checks nodes against dataclasses, `guests`, `sections` and `routing` make the model of
them, `describe` tells editors. PyYAML is imported by the first `load`, pydantic by the first value that does
not plainly fit (`fitting`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftwatch.config.model import (
    ClientConfig,
    Config,
    ConfigError,
    HookConfig,
    LogConfig,
    NotifierConfig,
    PlotsConfig,
    Problem,
    ProviderConfig,
    StoreConfig,
    WebConfig,
)

__all__ = [
    "ClientConfig",
    "Config",
    "ConfigError",
    "HookConfig",
    "LogConfig",
    "NotifierConfig",
    "PlotsConfig",
    "Problem",
    "ProviderConfig",
    "StoreConfig",
    "WebConfig",
    "find",
    "fingerprint",
    "load",
    "schema",
]


def load(
    path: Path | None = None, *, environ: Mapping[str, str] | None = None, secrets: bool = False
) -> Config:
    """The config in the file at `path` (None: where `find` looks). Raises ConfigError with every mistake.

    With `secrets`, one that cannot be had is a mistake too: for what is about to use them.
    """
    from ftwatch.config import file

    return file.load(path, environ, secrets=secrets)


def find(explicit: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Which file to read: what was named, else the first of the usual places. Raises ConfigError."""
    from ftwatch.config import file

    return file.find(explicit, environ)


def fingerprint(path: Path) -> str:
    """What stands for the file's content, as in `Config.fingerprint`. Raises ConfigError."""
    from ftwatch.config import file

    return file.fingerprint(path)


def schema() -> dict[str, Any]:
    """The JSON Schema of the whole file, with the options of every installed kind."""
    from ftwatch.config import describe

    return describe.schema()
