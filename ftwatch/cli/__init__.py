"""The commands; thin. What one needs is imported when it runs, so that `ftwatch --help` costs nothing.

Exit codes: 0 fine; 1 a negative answer; 2 usage or config; 3 nothing matched; 4 somebody was out of reach;
75 try later; 124 time-out; 130 interrupted.
"""

import contextlib
import importlib
import os
import sys
from typing import Any

import click

from ftwatch import __version__

__all__ = ["Exit", "main"]


class Exit:
    """What a command's exit code means."""

    OK = 0
    NO = 1
    USAGE = 2
    NOTHING = 3
    UNREACHABLE = 4
    LATER = 75
    TIMEOUT = 124
    INTERRUPTED = 130


# Every command: the module it lives in and its one line of help, so that the list needs no import.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run", "Watch and tell, until stopped."),
    "once": ("run", "One round of everything, for cron."),
    "demo": ("run", "See it work: simulated providers, the real daemon."),
    "init": ("init", "Find keys, list jobs, write a first config."),
    "check": ("check", "Say what is wrong with the config, and who gets what."),
    "status": ("jobs", "One screen: can I trust it?"),
    "jobs": ("jobs", "List the jobs."),
    "show": ("jobs", "Everything about one job."),
    "events": ("jobs", "What happened, as it happened."),
    "wait": ("wait", "Wait until jobs have ended; exit 0 if all succeeded."),
    "hooks": ("hooks", "A service's webhooks to ftwatch: register, list, test."),
    "notify": ("notify", "Try a notifier."),
    "render": ("notify", "Show what a notifier would send."),
    "route": ("check", "Who gets which events, and why."),
    "outbox": ("outbox", "Deliveries that wait or died: list, retry, drop."),
    "silence": ("silence", "Let nobody hear of something for a while: add, list, expire."),
    "ack": ("silence", "Say that you know of what is open about a job."),
    "why": ("why", "Why somebody was told, or not; every try."),
    "replay": ("outbox", "Send a notifier again what it was sent."),
    "forget": ("forget", "Remove what is kept of a job or a provider."),
    "doctor": ("doctor", "Examine config, database, disk and daemon."),
    "backup": ("backup", "Copy the database while the daemon goes on."),
    "reload": ("run", "Make the daemon read its config anew."),
    "schema": ("check", "The config's JSON Schema, for editors."),
    "completion": ("completion", "Shell completion."),
}

# Promised, and not built yet.
LATER = frozenset({"backtest", "service"})


class _Lazy(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name in LATER and not context.resilient_parsing:
            raise click.UsageError(f"`{name}` is not in this version")
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"ftwatch.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name)
        return _with_config(command)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            # Whoever read our output has seen enough; nor may the flush at exit complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.OK

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1)
            if near and "No such command" in error.message:
                raise click.UsageError(f"no command {args[0]!r}: did you mean {near[0]!r}?") from None
            raise


def _with_config(command: click.Command) -> click.Command:
    """Gives a command, and those below it, the option that stands everywhere: `-c FILE`."""
    if not any(parameter.name == "config" for parameter in command.params):
        option = click.Option(
            ["-c", "--config"],
            metavar="FILE",
            help="The config file.",
            expose_value=False,
            callback=_take_config,
        )
        command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _with_config(below)
    return command


def _take_config(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.obj = value


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-c", "--config", "config", metavar="FILE", help="The config file.")
@click.version_option(__version__, "-V", "--version", prog_name="ftwatch")
@click.pass_context
def cli(context: click.Context, config: str | None) -> None:
    """Watches fine-tuning jobs and tells people and programs, losing nothing."""
    context.obj = config


def main(args: list[str] | None = None) -> None:
    """The entry point: runs a command; what may be expected to go wrong becomes a sentence and a code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            # A terminal that cannot show a character is no reason to fail.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        code: Any = cli.main(args, prog_name="ftwatch", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = Exit.INTERRUPTED
    except click.exceptions.Exit as error:
        code = error.exit_code
    except Exception as error:
        found = _explained(error)
        if found is None:
            raise
        text, code = found
        click.echo(text, err=True)
    sys.exit(code if isinstance(code, int) else Exit.OK)


def _explained(error: Exception) -> tuple[str, int] | None:
    """The sentence and the exit code of a failure that is nobody's bug."""
    from ftwatch.cli.facts import Elsewhere, NotThere, Wrong
    from ftwatch.cli.output import plain
    from ftwatch.config import ConfigError
    from ftwatch.control import NoDaemon, Refused
    from ftwatch.daemon.listener import Occupied
    from ftwatch.store import Full, Locked, StoreError

    match error:
        case ConfigError():
            return str(error), Exit.USAGE
        case Locked() | Full() | Occupied():
            return f"error: {error}", Exit.LATER
        case StoreError() | Refused():
            return f"error: {error}", Exit.NO
        case NoDaemon():
            return f"error: {error}", Exit.UNREACHABLE
        case Elsewhere():
            return f"error: {plain(error)}", error.code
        case NotThere():
            return f"error: {plain(error)}", Exit.NOTHING
        case Wrong():
            return f"error: {plain(error)}", Exit.USAGE
    return None
