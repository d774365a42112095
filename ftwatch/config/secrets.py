"""Where a secret is: in the environment, in a file, among systemd's credentials, or (alas) in the YAML.

Nothing here reads one: each becomes a `Secret` that reads when it is asked.
"""

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ftwatch.config.interpolate import Template
from ftwatch.config.report import Desk
from ftwatch.config.yaml import Place
from ftwatch.log import hide
from ftwatch.plugins import Secret

__all__ = [
    "CREDENTIAL",
    "FILE",
    "SUFFIXES",
    "from_credential",
    "from_file",
    "from_template",
    "literals",
    "warn_of_readers",
]

FILE, CREDENTIAL = "_file", "_credential"
SUFFIXES = (FILE, CREDENTIAL)
MAX_BYTES = 64 * 1024

_ADDRESS = re.compile(r"https?://[^\s/@?#]+(?:/[^\s/@?#]{0,16})*")


def from_template(template: Template, desk: Desk, place: Place) -> Secret:
    """The secret that a scalar with variables stands for."""
    environ = desk.environ

    def read() -> str:
        value = template.resolve(environ)
        if not value:
            raise LookupError(f"{' and '.join(template.names)} is empty")
        # In `Bearer ${TOKEN}` the token alone is a secret, too.
        for name in template.names:
            hide(environ.get(name, ""))
        return value

    return _kept(read, f"environment {', '.join(template.names)}", desk, place)


def from_file(text: str, desk: Desk, place: Place) -> Secret:
    """The secret in a file, without the line break at its end."""
    path = desk.path(text, place)
    warn_of_readers(path, desk, place)
    return _kept(lambda: _content(path), f"file {path}", desk, place)


def warn_of_readers(path: Path, desk: Desk, place: Place) -> None:
    """Warns where a file that should be private is not."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            desk.warning(place, f"everybody on this machine can read {path}: chmod o-r it")
    except (OSError, ValueError):
        pass  # It may be there when it is needed; who needs it says so if not.


def from_credential(name: str, desk: Desk, place: Place) -> Secret:
    """The secret that systemd hands over under this name (LoadCredential=)."""
    if not name or "/" in name or name in (".", ".."):
        raise desk.error(place, f"{name!r} is no credential: give the name from LoadCredential=, not a path")
    environ: Mapping[str, str] = desk.environ

    def read() -> str:
        folder = environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise LookupError(
                f"the credential {name!r} is there only in the service: no $CREDENTIALS_DIRECTORY"
            )
        return _content(Path(folder) / name)

    return _kept(read, f"credential {name}", desk, place)


def literals(value: Any) -> bool:
    """Whether a secret somewhere in an option's value was written into the YAML.

    A web address without anything like a token in it is none, even where it might have been.
    """
    match value:
        case Secret():
            return value.origin == "literal" and not _ADDRESS.fullmatch(value.reveal())
        case list() | tuple():
            return any(map(literals, value))
        case dict():
            return any(map(literals, value.values()))
    return False


def _kept(read: Callable[[], str], origin: str, desk: Desk, place: Place) -> Secret:
    secret = Secret(read, origin)
    desk.secrets.append((secret, place))
    return secret


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no such path"
        raise LookupError(f"{path} cannot be read: {why}") from None
    if len(raw) > MAX_BYTES:
        raise LookupError(f"{path} is too large for a secret")
    try:
        text = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise LookupError(f"{path} is not UTF-8 text") from None
    if not text:
        raise LookupError(f"{path} is empty")
    return text
