"""The terminal, or a log: one line an event. For trying things out, and for whoever reads the journal."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Literal

from ftwatch.core.delivery import Retry, RetryPolicy, Sent
from ftwatch.core.event import Event
from ftwatch.plugins import Audience, Memory, NotifierSpec, Result

__all__ = ["Console"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: console` can be told: which stream to write to."""

    stream: Literal["stdout", "stderr"] = "stdout"


class Console:
    """Writes to a stream of this process."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "people"
    retry: ClassVar[RetryPolicy] = RetryPolicy()
    concurrency: ClassVar[int] = 1
    names_bundles: ClassVar[bool] = True

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self.timeout = 5.0

    def freeze(self, event: Event) -> None:
        """Nothing: a line is rendered when it is written."""

    async def send(
        self,
        events: Sequence[Event],
        memory: Memory,
        *,
        body: bytes | None = None,
        bundle: str | None = None,
    ) -> Result:
        """Writes one line an event."""
        stream = sys.stdout if self._options.stream == "stdout" else sys.stderr
        try:
            for event in events:
                stream.write(self.render(event, bundle) + "\n")
            stream.flush()
        except (OSError, ValueError) as error:
            return Result(Retry(f"cannot write: {type(error).__name__}"))
        return Result(Sent())

    def render(self, event: Event, bundle: str | None = None) -> str:
        """The line: time, title, the provider's own sentence."""
        message = self._spec.compose(event, bundle=bundle)
        moment = datetime.fromtimestamp(event.created_at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        said = f" “{message.quote}”" if message.quote else "".join(f" {line}" for line in message.lines)
        return f"{moment}  {message.title}{said}  ({message.footer})"
