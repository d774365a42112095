"""What the gates measure with: rows and verdicts, processes pinned apart and asked in turn, CPU and memory.

Only what two gates need alike stands here; what is measured is each gate's own (`bench/gate_*.py`).

A gate is a script. What it compares runs in processes of their own, which it starts as `Child`s of itself
(with `--as NAME`) and asks in turn, a line of JSON each way (`asked`, `reply` are the child's side). At the
end it prints its rows with `say`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

__all__ = [
    "MEASURED",
    "SERVER",
    "Child",
    "Row",
    "asked",
    "cpu",
    "given",
    "median_ratio",
    "pin",
    "reply",
    "resident",
    "say",
    "upstream",
    "verdict",
]

BENCH = Path(__file__).parent
# The cores: what is measured has one to itself, and its servers and receivers the other.
MEASURED, SERVER = 0, 1
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Row:
    """One gate. `ratio` is what is compared with `wanted`; `held` is None where that could not be judged."""

    gate: str
    ours: float | None
    theirs: float | None
    unit: str
    peer: str | None
    ratio: float | None
    wanted: str
    held: bool | None
    note: str = ""


def verdict(
    gate: str,
    *,
    wanted: str,
    ratio: float | None,
    ours: float | None,
    unit: str,
    theirs: float | None = None,
    peer: str | None = None,
    note: str = "",
) -> Row:
    """The row of a gate: whether the ratio is as `wanted` (`>= 25` or `<= 1.25`). None is not judged."""
    sign, _, bound = wanted.partition(" ")
    held = None if ratio is None else ratio >= float(bound) if sign == ">=" else ratio <= float(bound)
    return Row(gate, ours, theirs, unit, peer, ratio, wanted, held, note)


def say(rows: Sequence[Row]) -> None:
    """Prints the rows, as the only thing on stdout."""
    print(json.dumps([asdict(row) for row in rows]))


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of paired ratios: both were taken in turn, so that a slow moment hits both of a pair."""
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def given(about: str | None) -> argparse.Namespace:
    """What a gate is started with: `small` for a look at whether it runs, `pictures` for a folder for such.

    A gate that starts itself as somebody (`--as`) finds who in `who`, and with what in `rest`.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="only to see that it runs")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures")
    parser.add_argument("--as", dest="who", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


# ------------------------------------------------------------------------------------------- processes


def pin(core: int, pid: int = 0) -> None:
    """Keeps a process, this one or another that has just begun, on one core (of as many as there are)."""
    os.sched_setaffinity(pid, {CORES[min(core, len(CORES) - 1)]})


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, all of its threads together; in steps of some 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a process holds in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Child:
    """A process of a Python script, pinned to a core, that is asked in lines of JSON."""

    def __init__(self, script: str | Path, *args: object, core: int = MEASURED) -> None:
        command = [sys.executable, str(BENCH / script), *map(str, args)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.pid = self._process.pid
        pin(core, self.pid)

    def ask(self, **words: Any) -> Any:
        """Sends a question, and waits for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        return self.heard()

    def heard(self) -> Any:
        """The next thing that it says unasked. Raises RuntimeError where it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def asked() -> Iterator[dict[str, Any]]:
    """In a child: the questions, one by one; `reply` answers each."""
    for line in sys.stdin:
        yield json.loads(line)


def reply(answer: object) -> None:
    """In a child: answers the question, or says something unasked."""
    print(json.dumps(answer), flush=True)


@contextmanager
def upstream(jobs: int, running: int, *how: str) -> Iterator[str]:
    """The base URL of a fine-tuning API with so many jobs (`bench/upstream.py`, which says `how`)."""
    with Child("upstream.py", jobs, running, *how, core=SERVER) as server:
        yield f"http://127.0.0.1:{server.heard()}/v1"
