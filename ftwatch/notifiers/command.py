"""A command of your own: the event on its standard input, its exit code as the outcome. Never a shell."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import anyio
from anyio.abc import Process

from ftwatch.core.delivery import Outcome, Rejected, Retry, RetryPolicy, Sent
from ftwatch.core.event import Event, wire
from ftwatch.core.message import clean
from ftwatch.log import redacted
from ftwatch.plugins import Audience, Duration, Memory, NotifierSpec, Result, Secret

__all__ = ["Command"]

# EX_TEMPFAIL of sysexits.h: "try again later".
TRY_LATER = 75
# How long a command may take to end after SIGTERM (seconds).
GRACE = 5.0
# What is kept of a command's complaints.
TAIL = 4096
RESERVED = "FTWATCH_"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: command` can be told. `argv` is run as it is, in the config's folder."""

    argv: tuple[str, ...]
    timeout: Duration = Duration(minutes=10)
    env: dict[str, str | Secret] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0]:
            raise ValueError("argv names a program and its arguments: [./deploy.sh, --fast]")
        if any(
            "\0" in part
            for part in (*self.argv, *self.env, *(v for v in self.env.values() if isinstance(v, str)))
        ):
            raise ValueError("no argument and no variable may hold a NUL character")
        for name in self.env:
            if not name or "=" in name or name.startswith(RESERVED):
                raise ValueError(f"{name!r} cannot be set: names in {RESERVED}… are ftwatch's own")


class Command:
    """One program, run once an event."""

    Options: ClassVar[type] = Options
    audience: ClassVar[Audience] = "machines"
    retry: ClassVar[RetryPolicy] = RetryPolicy()
    concurrency: ClassVar[int] = 4
    sends_wire: ClassVar[bool] = True

    def __init__(self, spec: NotifierSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._limit = self._options.timeout.total_seconds()
        # The dispatcher's deadline comes after ours, so that a command is ended in order.
        self.timeout = self._limit + 2 * GRACE

    def freeze(self, event: Event) -> bytes:
        """The wire form itself."""
        return wire(event)

    async def send(self, events: Sequence[Event], memory: Memory, *, body: bytes | None = None) -> Result:
        """Runs the command. Exit code 0 is sent, 75 retry, anything else rejected."""
        (event,) = events
        content = body if body is not None else self.freeze(event)
        try:
            process = await anyio.open_process(
                self._options.argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=self._spec.folder,
                env=self._environment(event),
                start_new_session=True,
            )
        except (LookupError, ValueError) as error:
            return Result(Rejected(f"cannot run it: {error}"))
        except OSError as error:
            why = error.strerror or type(error).__name__
            return Result(Rejected(f"cannot run {clean(self._options.argv[0], 100)}: {why.lower()}"))
        complaints = bytearray()
        try:
            with anyio.move_on_after(self._limit) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(_feed, process, content)
                    group.start_soon(_listen, process, complaints)
                    await process.wait()
                    # A grandchild may hold the pipes open; the command itself is done.
                    group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)
                await process.aclose()
        if scope.cancelled_caught or process.returncode is None:
            return Result(Retry(f"did not end within {self._limit:g} s"))
        return Result(_outcome(process.returncode, bytes(complaints)))

    def render(self, event: Event) -> str:
        """The command and what it would read, for `ftwatch render`."""
        return f"{' '.join(self._options.argv)} <<'EVENT'\n{self.freeze(event).decode()}\nEVENT"

    def _environment(self, event: Event) -> dict[str, str]:
        """A clean one: what a program needs, the facts, and what the config adds; never a provider's key."""
        job = event.job
        facts = {
            "EVENT_ID": event.id,
            "TYPE": event.type,
            "JOB_ID": job.id if job else "",
            "PROVIDER": event.data.provider or "",
            "STATUS": event.data.status or "",
            "MODEL": (job.fine_tuned_model or job.model or "") if job else "",
        }
        facts |= {"JOB_STATUS": facts["STATUS"], "JOB_MODEL": facts["MODEL"]}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        safe = {RESERVED + name: value.replace("\0", "") for name, value in facts.items()}
        own = {name: v if isinstance(v, str) else v.reveal() for name, v in self._options.env.items()}
        return {**inherited, **own, **safe}


async def _feed(process: Process, content: bytes) -> None:
    """Gives the command its input; one that does not read it is within its rights."""
    assert process.stdin is not None
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        await process.stdin.send(content)
        await process.stdin.aclose()


async def _listen(process: Process, complaints: bytearray) -> None:
    """Keeps the end of what the command says on its standard error."""
    assert process.stderr is not None
    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for part in process.stderr:
            complaints += part
            del complaints[:-TAIL]


async def _end(process: Process) -> None:
    """Ends the command and whatever it started: politely first, then for good."""
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with anyio.move_on_after(GRACE):
            await process.wait()
    if process.returncode is None:
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _outcome(code: int, complaints: bytes) -> Outcome:
    said = clean(redacted(complaints.decode("utf-8", "replace"))[-400:], 200)
    if code == 0:
        return Sent("exit code 0")
    how = f"exit code {code}" if code > 0 else f"ended by {signal.Signals(-code).name}"
    reason = f"{how}: {said}" if said else how
    return Retry(reason) if code == TRY_LATER else Rejected(reason)
