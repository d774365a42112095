"""How answers look: tables and lines for people, JSON for programs. What is in them is the commands' affair.

Whatever a stranger wrote is shown as it stands and does nothing: control characters are escaped, and no
markup is looked for. On a terminal tables have colours (unless NO_COLOR says otherwise) and local times; in a
pipe they are aligned text that no width cuts short.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import click

__all__ = [
    "Cell",
    "ago",
    "as_json",
    "inert",
    "lines",
    "listing",
    "moment",
    "say",
    "table",
    "tell_wire",
    "tone",
]

F = TypeVar("F", bound=Callable[..., Any])

# The colour of a word, wherever it stands.
_TONES = {
    **dict.fromkeys(("succeeded", "delivered", "sent", "recovered", "resolved", "yes", "ok"), "green"),
    **dict.fromkeys(("failed", "dead", "rejected", "error", "no"), "red"),
    **dict.fromkeys(("paused", "unknown", "gone", "warning", "retry", "degraded", "pending"), "yellow"),
    **dict.fromkeys(("running",), "cyan"),
    **dict.fromkeys(("cancelled", "detail", "superseded", "folded"), "dim"),
}


class Cell(NamedTuple):
    """A cell of a table: its text, and a colour for the terminal."""

    text: str
    style: str = ""


def tone(word: str) -> Cell:
    """A word that has a colour of its own: a status, a state, a severity."""
    return Cell(word, _TONES.get(word, ""))


def listing(command: F) -> F:
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


def inert(text: object) -> str:
    """A text that a terminal only shows: what would steer it is escaped, also a line break."""
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(_escaped(c) for c in whole)


def _escaped(c: str) -> str:
    if c.isprintable() or c == "\u00a0":
        return c
    return c.encode("unicode_escape").decode("ascii")


def lines(text: str) -> str:
    """As `inert`, but line breaks stay what they are."""
    return "\n".join(inert(line) for line in text.splitlines())


def say(text: str, *, err: bool = False) -> None:
    """Writes a text of one or several lines, made inert."""
    click.echo(lines(text), err=err)


# -------------------------------------------------------------------------------------------- time


def moment(at: float | None) -> str:
    """A time as the clock on the wall shows it; `-` for none."""
    if at is None:
        return "-"
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return f"@{at:.0f}"


def ago(at: float | None, now: float) -> str:
    """How long ago something was: `5m ago`; `-` for never, `in 5m` for what is to come."""
    from ftwatch.core.span import span

    if at is None:
        return "-"
    return f"in {span(at - now)}" if at > now + 1 else f"{span(now - at)} ago"


# -------------------------------------------------------------------------------------------- JSON


def as_json(value: Any) -> None:
    """Writes one JSON document, the only thing on stdout. Structs become objects, times Unix seconds."""
    import msgspec

    plain = msgspec.to_builtins(value, str_keys=True)
    click.echo(_quiet(json.dumps(plain, indent=2, ensure_ascii=False)))


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

Row = Sequence[str | Cell]


def table(columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes a table: of rich on a terminal, of spaces in a pipe. The first column is never cut."""
    cells = [[_cell(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _rich(columns, cells)
    else:
        for line in _plain(columns, cells):
            click.echo(line)


def _cell(cell: str | Cell) -> Cell:
    text, style = cell if isinstance(cell, Cell) else (cell, "")
    return Cell(lines(text), style)


def _plain(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Iterable[str]:
    from rich.cells import cell_len

    whole = [[Cell(name) for name in columns], *(row for cells in rows for row in _unfolded(cells))]
    widths = [max(cell_len(row[i].text) for row in whole) for i in range(len(columns))]
    for row in whole:
        padded = [
            cell.text + " " * (width - cell_len(cell.text)) for cell, width in zip(row, widths, strict=True)
        ]
        yield "  ".join(padded).rstrip()


def _unfolded(row: Sequence[Cell]) -> Iterable[list[Cell]]:
    """A row whose cells have several lines, as several rows."""
    parts = [cell.text.split("\n") for cell in row]
    for i in range(max(map(len, parts))):
        yield [Cell(part[i]) if i < len(part) else Cell("") for part in parts]


def _rich(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, name in enumerate(columns):
        drawn.add_column(name, no_wrap=place == 0, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    Console(highlight=False, emoji=False).print(drawn)
