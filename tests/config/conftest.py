"""Toy kinds with options of every shape, and a way to load a text as a config file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from ftwatch import config
from ftwatch.config import Config, ConfigError
from ftwatch.core.delivery import RetryPolicy
from ftwatch.plugins import Duration, Secret

HALF_A_MINUTE = Duration(seconds=30)


class OpenAI:
    @dataclass(frozen=True, kw_only=True)
    class Options:
        api_key: Secret | None = None
        base_url: str = "https://api.openai.com/v1"
        organization: str | None = None
        metadata: dict[str, str] = field(default_factory=dict)
        timeout: Duration = HALF_A_MINUTE


class Slack:
    audience = "people"
    retry = RetryPolicy(throttle=7.0)

    @dataclass(frozen=True, kw_only=True)
    class Options:
        webhook_url: Secret


class Webhook:
    audience = "machines"
    retry = RetryPolicy()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        url: Secret | str
        secret: Secret | tuple[Secret, ...] | None = None
        headers: dict[str, str | Secret] = field(default_factory=dict)
        timeout: Duration = HALF_A_MINUTE

        def problems(self) -> Iterator[tuple[str, str]]:
            secrets = self.secret if isinstance(self.secret, tuple) else (self.secret,)
            for secret in secrets:
                if secret is not None and not secret.reveal().startswith("whsec_"):
                    yield "secret", "a signing secret begins with whsec_"


class Email:
    audience = "people"
    retry = RetryPolicy()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        host: str
        port: int = 587
        security: Literal["starttls", "tls", "plain"] = "starttls"
        username: str | None = None
        password: Secret | None = None
        from_: str = field(metadata={"key": "from"})
        to: list[str]
        ca_file: str | None = None
        ratio: float = 0.5
        html: bool = True

        def __post_init__(self) -> None:
            if self.username and not self.password:
                raise ValueError("a username needs a password")


class Command:
    audience = "machines"
    retry = RetryPolicy()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        argv: list[str]
        env: dict[str, str] = field(default_factory=dict)


class Untyped:
    audience = "people"
    retry = RetryPolicy()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        anything: Any = None


class Explosive:
    audience = "people"
    retry = RetryPolicy()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        fuse: int = 0

        def __post_init__(self) -> None:
            raise RuntimeError("boom")


class Talker:
    """Tells its secret to whoever listens."""

    audience = "people"
    retry = RetryPolicy()

    @dataclass(frozen=True, kw_only=True)
    class Options:
        token: Secret

        def problems(self) -> Iterator[tuple[str, str]]:
            yield "token", f"{self.token.reveal()!r} is no token"


KINDS: dict[str, dict[str, Any]] = {
    "provider": {"openai": OpenAI},
    "notifier": {
        "slack": Slack,
        "webhook": Webhook,
        "email": Email,
        "command": Command,
        "untyped": Untyped,
        "explosive": Explosive,
        "talker": Talker,
        "missing": None,
    },
}


def load_toy(socket: str, kind: str) -> Any:
    found = KINDS[socket][kind]
    if found is None:
        raise ModuleNotFoundError("No module named 'toy'")
    return found


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy kinds instead of the installed ones."""
    monkeypatch.setattr("ftwatch.plugins.kinds", lambda socket: KINDS[socket])
    monkeypatch.setattr("ftwatch.plugins.load_kind", load_toy)


Load = Callable[..., Config]


@pytest.fixture
def load(toys: None, tmp_path: Path) -> Load:
    """Loads a text as the file `ftwatch.yaml`, with no environment but what is given."""

    def load(text: str | bytes, environ: Mapping[str, str] | None = None, **options: Any) -> Config:
        path = tmp_path / "ftwatch.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(path, environ={"HOME": "/home/me"} if environ is None else environ, **options)

    return load


@pytest.fixture
def refused(load: Load) -> Callable[..., list[str]]:
    """The errors of a text as `LINE:COLUMN sentence`."""

    def refused(text: str | bytes, environ: Mapping[str, str] | None = None, **options: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, environ, **options)
        return [
            f"{problem.line}:{problem.column} {problem.sentence}"
            for problem in caught.value.problems
            if problem.severity == "error"
        ]

    return refused
