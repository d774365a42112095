"""A file for a secret that is given only once: made before the secret is asked for, and nobody else's."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

import click

__all__ = ["SecretFile"]


class SecretFile:
    """A context in which the file is there (None: there is to be none); it goes unless something was kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file = -1
        self._is_kept = False

    def __enter__(self) -> Self:
        """Raises UsageError where the file is there already, or cannot be."""
        if self._path is None:
            return self
        try:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise click.UsageError(
                f"{self._path} is there already, and is not overwritten: name another file"
            ) from None
        except OSError as error:
            raise click.UsageError(f"{self._path} cannot be written: {error.strerror}") from None
        return self

    def keep(self, secret: str) -> bool:
        """Writes the secret, and says whether it stands there now."""
        if self._file < 0:
            return False
        with suppress(OSError):
            whole = f"{secret}\n".encode()
            if os.write(self._file, whole) == len(whole):
                os.fsync(self._file)
                self._is_kept = True
        return self._is_kept

    def __exit__(self, *_: object) -> None:
        if self._file < 0 or self._path is None:
            return
        os.close(self._file)
        if not self._is_kept:
            self._path.unlink(missing_ok=True)
