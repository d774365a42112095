"""backup: a consistent copy of the database, while the daemon goes on."""

from pathlib import Path

import click

from ftwatch.cli import Exit
from ftwatch.cli.facts import reading


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(config: str | None, file: Path) -> int:
    """Copy the database to FILE, whole and consistent, whether or not the daemon runs.

    To restore it, stop ftwatch, put FILE in the place of the database (without the files beside it that end
    in -wal and -shm), and start ftwatch again: what happened since is found by looking.
    """
    with reading(config) as (loaded, store):
        if file.exists():
            click.echo(f"error: {file} is there already; name a new file", err=True)
            return Exit.NO
        # Whoever finds FILE finds it complete.
        partial = file.with_name(file.name + ".partial")
        try:
            partial.unlink(missing_ok=True)
            store.db.copy_to(partial)
            partial.chmod(0o640)
            partial.replace(file)
        except OSError as error:
            click.echo(f"error: cannot write {file}: {error.strerror}", err=True)
            return Exit.NO
        click.echo(f"{loaded.store.path} was copied to {file} ({file.stat().st_size:,} bytes)")
    return Exit.OK
