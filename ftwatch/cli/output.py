"""How answers look: tables and lines for people, JSON for programs. What is in them is the commands' affair.

Whatever a stranger wrote is shown as it stands and does nothing: control characters are escaped, and no
markup is looked for. On a terminal tables have colours (unless NO_COLOR says otherwise) and local times; in a
pipe they are aligned text that no width cuts short.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

__all__ = ["ago", "as_json", "emit", "format_option", "local", "plain", "table", "tell_wire", "utc"]

F = TypeVar("F", bound=Callable[..., Any])

# The colour of a word that stands alone in a cell.
_TONES = {
    **dict.fromkeys(("succeeded", "delivered", "sent", "healthy", "answers"), "green"),
    **dict.fromkeys(("failed", "dead", "rejected", "error"), "red"),
    **dict.fromkeys(("paused", "unknown", "gone", "warning", "pending", "hint"), "yellow"),
    **dict.fromkeys(("running",), "cyan"),
    **dict.fromkeys(("cancelled", "detail", "superseded", "folded", "nobody"), "dim"),
}


def format_option(command: F) -> F:
    """Gives a command `-o table|json`; it takes it as `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="A table, or JSON in UTC on stdout.",
    )(command)


# -------------------------------------------------------------------------------------------- text


def plain(text: object) -> str:
    """A text that a terminal only shows: what would steer it is escaped, also a line break."""
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in whole)


# -------------------------------------------------------------------------------------------- time


def local(at: float | None) -> str:
    """A time as the clock on the wall shows it; nothing for none."""
    if at is None:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return f"@{at:.0f}"


def utc(at: float | None) -> str | None:
    """A time for programs: RFC 3339 in UTC."""
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"@{at:.0f}"


def ago(at: float | None) -> str:
    """How long ago something was, as `5m ago`; `never` for what was not."""
    from ftwatch.core.span import span

    return "never" if at is None else f"{span(time.time() - at)} ago"


# -------------------------------------------------------------------------------------------- JSON


def as_json(value: Any) -> None:
    """Writes one JSON document, the only thing on stdout. Structs become objects."""
    import msgspec

    built = msgspec.to_builtins(value, str_keys=True)
    click.echo(_quiet(json.dumps(built, indent=2, ensure_ascii=False)))


def tell_wire(body: bytes) -> None:
    """Writes one JSON document that is encoded already, as one line."""
    click.echo(_quiet(body.decode("utf-8", "replace")))


def _quiet(document: str) -> str:
    r"""The same document with every character that a terminal may obey as `\u…`."""
    return "".join(c if c.isprintable() or c == "\n" else _code(c) for c in document)


def _code(c: str) -> str:
    units = c.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


# ------------------------------------------------------------------------------------------- tables


def emit(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], output: str, *, empty: str) -> None:
    """Writes records as a table of `columns`, or whole as JSON; says `empty` where there are none."""
    if output == "json":
        as_json(rows)
    elif rows:
        table([[row[name] for name in columns] for row in rows], columns)
    else:
        click.echo(empty, err=True)


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> None:
    """Writes a table: of rich on a terminal, of spaces in a pipe. A line break within a cell is one."""
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _on_terminal(cells, columns)
    else:
        for line in _aligned(cells, columns):
            click.echo(line)


def _cell(value: Any) -> str:
    return "" if value is None else "\n".join(plain(line) for line in str(value).split("\n"))


def _aligned(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> Iterable[str]:
    from rich.cells import cell_len

    whole = [[name.upper() for name in columns], *(line for row in rows for line in _unfolded(row))]
    widths = [max(cell_len(row[place]) for row in whole) for place in range(len(columns))]
    for row in whole:
        padded = [text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)]
        yield "  ".join(padded).rstrip()


def _unfolded(row: Sequence[str]) -> Iterable[list[str]]:
    """A row whose cells have several lines, as several rows."""
    parts = [text.split("\n") for text in row]
    for place in range(max(map(len, parts))):
        yield [part[place] if place < len(part) else "" for part in parts]


def _on_terminal(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(columns):
        # What is copied into the next command, the first column, stays in one piece.
        drawn.add_column(name.upper(), no_wrap=place == 0, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(text, style=_TONES.get(text, "")) for text in row))
    Console(highlight=False, emoji=False).print(drawn)
