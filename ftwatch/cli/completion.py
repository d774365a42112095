"""completion: what a shell needs to complete ftwatch's commands."""

import click


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
