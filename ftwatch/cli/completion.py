"""completion: what a shell needs to complete ftwatch's commands, and the names it may complete.

Completing never fails and never says a word: where nothing can be known, nothing is offered.
"""

import time
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

__all__ = ["completion", "job_names", "notifier_names", "provider_names", "silence_ids"]


def _config(context: click.Context) -> str | None:
    """The config named on the line so far."""
    found: click.Context | None = context
    while found is not None:
        if named := found.obj or found.params.get("config"):
            return str(named)
        found = found.parent
    return None


def job_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids and names of known jobs, the last changed first."""
    from ftwatch.config import ConfigError, find, load
    from ftwatch.store import Store, StoreError

    offered: dict[str, str] = {}
    with suppress(ConfigError, StoreError, OSError):
        store = Store(load(find(_config(context))).store.path, mode="read")
        try:
            for row in store.history.jobs(limit=500):
                job = row.known.snapshot
                offered.setdefault(job.id, f"{job.name or ''} {job.status}".strip())
                # A name that a shell would take apart, or a terminal obey, is not offered.
                if job.name and job.name.isprintable() and not set(job.name) & set(" ,'\"$`\\"):
                    offered.setdefault(job.name, f"{job.id} {job.status}")
        finally:
            store.close()
    return [
        CompletionItem(name, help=_shown(note))
        for name, note in offered.items()
        if name.startswith(incomplete) and name.isprintable()
    ]


def provider_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of the config's providers."""
    from ftwatch.config import ConfigError, find, load

    with suppress(ConfigError, OSError):
        return [name for name in load(find(_config(context))).providers if name.startswith(incomplete)]
    return []


def notifier_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """The names of the config's notifiers."""
    from ftwatch.config import ConfigError, find, load

    with suppress(ConfigError, OSError):
        return [name for name in load(find(_config(context))).notifiers if name.startswith(incomplete)]
    return []


def silence_ids(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The ids of silences that stand, but those of the config, which end in the config."""
    from ftwatch.config import ConfigError, find, load
    from ftwatch.store import Store, StoreError

    with suppress(ConfigError, StoreError, OSError):
        store = Store(load(find(_config(context))).store.path, mode="read")
        try:
            standing = [kept.silence for kept in store.silences.all() if kept.stands(time.time())]
        finally:
            store.close()
        return [
            CompletionItem(silence.id, help=_shown(silence.comment or str(silence.match)))
            for silence in standing
            if silence.id.startswith(incomplete)
        ]
    return []


def _shown(note: str) -> str:
    return "".join(c if c.isprintable() else " " for c in note)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash: ftwatch completion bash > ~/.local/share/bash-completion/completions/ftwatch
    zsh:  ftwatch completion zsh > "${fpath[1]}/_ftwatch"
    fish: ftwatch completion fish > ~/.config/fish/completions/ftwatch.fish
    """
    from click.shell_completion import get_completion_class

    from ftwatch.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    script = found(cli, {}, "ftwatch", "_FTWATCH_COMPLETE")
    click.echo(script.source_template % script.source_vars())
