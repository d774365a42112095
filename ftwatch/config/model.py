"""What is a config? Frozen dataclasses: durations in seconds, paths absolute, names checked.

Nothing here knows YAML or where a value came from, except `Problem`, which says where a mistake is.
"""

from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Literal

from ftwatch.core.delivery import RetryPolicy
from ftwatch.core.message import Wording
from ftwatch.core.route import Match, Routing
from ftwatch.core.route.hold import Digest
from ftwatch.core.rule import Rule
from ftwatch.plugins import Secret

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
]


@dataclass(frozen=True)
class Problem:
    """One mistake and its place; lines and columns count from 1, 0 where it is about the file as a whole."""

    file: str
    line: int
    column: int
    severity: Literal["error", "warning"]
    sentence: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.severity}: {self.sentence}"


class ConfigError(Exception):
    """A file that cannot be used: every mistake in it, in the order of the text, warnings included."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


@dataclass(frozen=True, kw_only=True)
class HookConfig:
    """How a provider's webhooks prove whose they are. Any of the `secrets` will do; `tolerance` in seconds.

    `header` is where the scheme `header` finds the secret itself.
    """

    secrets: tuple[Secret, ...]
    scheme: Literal["standard", "stripe", "github", "header", "bearer"] = "standard"
    header: str = ""
    tolerance: float = 300.0


@dataclass(frozen=True, kw_only=True)
class ProviderConfig:
    """One account. Spans in seconds, `rate` in requests per second.

    `since` narrows `watch` to jobs created so many seconds ago or later; `was` is the name it had before.
    `job_log`: whether jobs' own logs are read; None leaves that to the kind; `hook`: whether its webhooks
    are accepted, and by what.
    """

    name: str
    kind: str
    labels: dict[str, str] = field(default_factory=dict)
    poll: float = 30.0
    discover: float = 120.0
    rate: float = 10.0
    baseline: Literal["silent", "summary", "all"] = "summary"
    watch: Match | None = None
    since: float | None = None
    degraded_after: float = 300.0
    settle: float = 120.0
    job_log: bool | None = None
    was: str | None = None
    hook: HookConfig | None = None
    options: Any = None


@dataclass(frozen=True, kw_only=True)
class NotifierConfig:
    """One destination, with how it retries. `closure`: its people are told the end of what they heard of.

    `throttle`: at most so many messages in so many seconds, errors aside. `template`: the config's words for
    its messages; `shows_messages`: whether it has any (a program gets the event itself). `report` is when it
    has a report, by the clock on the wall of `zone`.
    """

    name: str
    kind: str
    options: Any = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    closure: bool = True
    throttle: tuple[int, float] | None = None
    template: Wording | None = None
    shows_messages: bool = True
    report: Digest | None = None
    zone: tzinfo = UTC


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """Where the database is, and after how many seconds what is over leaves it."""

    path: Path
    retention: float = 90 * 86400.0


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """How the HTTP client reaches the world. The proxy's URL may hold a password."""

    proxy: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()
    ca_file: str | None = None
    network: Literal["open", "strict"] = "open"


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """The listener. Who may look: a `token`, or a reverse proxy's `user_header` from `trusted_proxies`.

    `listen` is a host and a port; `heartbeat_url` is asked for every `heartbeat` seconds while all is well.
    """

    listen: tuple[str, int] = ("127.0.0.1", 8787)
    public_url: str | None = None
    token: Secret | None = None
    user_header: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    heartbeat_url: Secret | None = None
    heartbeat: float = 60.0

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked who they are."""
        return self.token is None and self.user_header is None


@dataclass(frozen=True, kw_only=True)
class PlotsConfig:
    """Pictures in messages. `wanted`: whether there are any; None: where they can be drawn."""

    wanted: bool | None = None
    theme: Literal["light", "dark"] = "light"


@dataclass(frozen=True, kw_only=True)
class LogConfig:
    """How much is logged, and as what (`auto`: console on a terminal, JSON otherwise)."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole config. `folder` is where its relative paths start; `fingerprint` stands for its text."""

    path: Path
    folder: Path
    providers: dict[str, ProviderConfig]
    notifiers: dict[str, NotifierConfig]
    routing: Routing
    rules: tuple[Rule, ...]
    store: StoreConfig
    client: ClientConfig
    log: LogConfig
    socket: Path
    web: WebConfig | None
    fingerprint: str
    plots: PlotsConfig = PlotsConfig()
    warnings: tuple[Problem, ...] = ()
