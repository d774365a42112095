"""Where the program begins: `ftwatch`, and `python -m ftwatch`.

Who asks for help alone is answered from a page that was written beforehand (`help.txt`; a test compares it
with what click says), because loading click takes longer than the interpreter does to start. Nothing else may
be imported here before it is needed.
"""

import os
import sys

__all__ = ["main"]

WIDE = 80  # columns from which on click's help looks the same everywhere


def main() -> None:
    """Runs the command that the arguments name."""
    if sys.argv[1:] in (["--help"], ["-h"]) and _is_usual():
        _help()
    else:
        from ftwatch.cli import main as run

        run()


def _is_usual() -> bool:
    """Whether nothing asks for another page: a narrow terminal, or a shell that wants completions."""
    if "COLUMNS" in os.environ or "_FTWATCH_COMPLETE" in os.environ:
        return False
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns >= WIDE
    except (AttributeError, OSError, ValueError):
        return True  # no terminal: click writes for 80 columns


def _help() -> None:
    """Prints the page; who reads no further, as `head` does, is no failure."""
    # pathlib would take as long to load as all the rest.
    path = os.path.join(os.path.dirname(__file__), "help.txt")
    with open(path, encoding="ascii") as page:
        text = page.read()
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
