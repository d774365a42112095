"""Every gate: ftwatch's figure beside that of its peer, as one table.

    python bench/gates.py [--write docs/performance.md] [--only poll] [--small]  (15 minutes; `make bench`)

Runs each `bench/gate_*.py` in turn, with the machine to itself. `--write` puts the table between the marks
that a file has for it, and pictures beside the file. Ends with 1 where a gate is missed; `--small` is a look
at whether all of it runs, whose figures say nothing.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from gauge import BENCH, Row
from torture import version, write

VERDICTS = {True: "held", False: "**missed**", None: "not judged"}


def run(gate: Path, *options: str) -> list[Row]:
    """The rows of one gate; one row that says so where it broke down."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(gate), *options], stdout=subprocess.PIPE, text=True, check=False
    )
    print(f"{time.monotonic() - begun:7.0f} s  {gate.stem}", file=sys.stderr)
    if done.returncode:
        return [Row(gate.stem, None, None, "", None, None, "", False, f"ended with {done.returncode}")]
    return [Row(**row) for row in json.loads(done.stdout)]


def figure(value: float | None, unit: str = "") -> str:
    """A figure with three digits that count, and its unit."""
    if value is None:
        return ""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def line(row: Row) -> list[str]:
    """A row of the table."""
    theirs = f"{figure(row.theirs, row.unit)} ({row.peer})" if row.theirs is not None else row.peer or ""
    ratio = figure(row.ratio) if row.ratio != row.ours else ""
    verdict = VERDICTS[row.held] + (f": {row.note}" if row.note else "")
    return [row.gate, figure(row.ours, row.unit), theirs, ratio, row.wanted, verdict]


def table(rows: list[Row], commit: str) -> str:
    """All rows, in Markdown, and of which commit they are."""
    head = ["gate", "ftwatch", "beside it", "ratio", "wanted", ""]
    lines = [head, ["---"] * len(head), *map(line, rows)]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    held = sum(row.held is True for row in rows)
    said = f"{held} of {len(rows)} gates held; commit {commit}, {machine}."
    return "\n".join(["| " + " | ".join(cells) + " |" for cells in lines] + ["", said])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", type=Path, help="a file with marks for the table")
    parser.add_argument("--only", action="append", help="the name of a gate")
    parser.add_argument("--small", action="store_true", help="only to see that it runs")
    given = parser.parse_args()
    options = ["--small"] if given.small else []
    if given.write:
        options += ["--pictures", str(given.write.parent)]
    # Before a gate draws its picture, which is a change.
    commit = version()
    gates = sorted(BENCH.glob("gate_*.py"))
    rows = [
        row
        for gate in gates
        if not given.only or gate.stem.removeprefix("gate_") in given.only
        for row in run(gate, *options)
    ]
    text = table(rows, commit)
    print(text)
    if given.write:
        write(given.write, "bench", text)
    sys.exit(1 if any(row.held is False for row in rows) else 0)


if __name__ == "__main__":
    main()
