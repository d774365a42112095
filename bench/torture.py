"""Everything at once: every harness at the size of a release, and one table of what was found.

    python bench/torture.py [--share 1.0] [--write README.md] [--keep FILE]  (an hour; `make torture`)

`--share 0.01` is a look at whether all of it still runs. `--write` puts the table between the marks that a
file has for it. With `--keep`, what was broken off goes on where it was: the verdicts of this very commit are
kept in the file, and what has one is not run again.
"""

import argparse
import asyncio
import json
import os
import platform
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
ROOT = BENCH.parent
ONLY_ROOT = "not run: it needs root, for a file system of its own"
NO_APSW = "not run: the package apsw is not installed"
CORPORA = (
    "addresses",
    "receivers",
    "retry_after",
    "secrets",
    "sequences",
    "signatures",
    "strings",
    "upstream",
    "yaml_hostile",
    "zones",
)
CORPUS_TESTS = (
    "tests/core/test_address.py",
    "tests/core/test_sequences.py",
    "tests/core/test_signature_corpus.py",
    "tests/cli/test_zones.py",
    "tests/config/test_hostile.py",
    "tests/notifiers/test_strings.py",
    "tests/providers/test_upstream_corpus.py",
    "tests/test_canary.py",
    "tests/test_retry_after.py",
)
# The headings under which the harnesses tell what went wrong, and the three columns that they are told in.
LOST = ("lost", "unkept", "late", "damaged")
PHANTOM = ("phantom", "disordered")
TWO = ("two_bodies", "doubled", "forged")
OTHER = ("problems", "wrong", "unreached", "exit_code")


@dataclass
class Trial:
    """One row: what is done, by which commands, and how to say how often."""

    what: str
    commands: list[list[str]]
    count: Callable[[list[dict[str, Any]]], str]
    alone: bool = False
    skipped: str = ""
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        """The trial as a line of the table."""
        if self.skipped:
            return [self.what, self.skipped, "", "", "", ""]
        if not self.verdicts:
            return [self.what, "failed", "", "", "", "; ".join(self.failed)[:200]]
        columns = [str(sum(_much(one.get(key)) for one in self.verdicts for key in keys)) for keys in COLUMNS]
        other = sum(_much(one.get(key)) for one in self.verdicts for key in OTHER) + len(self.failed)
        return [self.what, self.count(self.verdicts), *columns, "" if not other else f"**{other} wrong**"]

    @property
    def is_well(self) -> bool:
        """Whether nothing was found."""
        return bool(self.skipped) or not (
            self.failed
            or any(_much(one.get(key)) for one in self.verdicts for key in (*LOST, *PHANTOM, *TWO, *OTHER))
        )


COLUMNS = (LOST, PHANTOM, TWO)


def _much(found: Any) -> int:
    return len(found) if isinstance(found, list) else int(found or 0)


def summed(*keys: str) -> Callable[[list[dict[str, Any]]], str]:
    """Says how much of some things there was in all."""

    def say(verdicts: list[dict[str, Any]]) -> str:
        return ", ".join(f"{sum(_much(one[key]) for one in verdicts):,.0f} {key}" for key in keys)

    return say


def trials(share: float, seed: int) -> list[Trial]:
    """Everything that is to be done, at this share of its full size."""

    def some(count: int, least: int = 1) -> int:
        return max(least, round(count * share))

    def python(script: str, *args: object) -> list[str]:
        return [sys.executable, str(BENCH / script), *map(str, args)]

    is_root, has_apsw = os.geteuid() == 0, find_spec("apsw") is not None
    days = some(10_000, 20)
    # Some weeks in the life of one database: a day costs more, the older that gets.
    each = min(days, 25)
    return [
        Trial(
            "kill -9 of the daemon, at random",
            [python("kills.py", "--kills", some(500, 3), "--seed", seed + n) for n in range(2)],
            summed("kills", "messages"),
        ),
        Trial(
            "kill -9 at every named point",
            [python("crashes.py", "--repeats", some(20, 3), "--seed", seed)],
            lambda found: f"{found[0]['points']} points, {found[0]['deaths']:,} deaths",
        ),
        Trial(
            "kill -9 while webhooks come in and go out",
            [python("hooks.py", "--kills", some(500, 6), "--seed", seed)],
            summed("kills", "webhooks"),
        ),
        Trial(
            "power cuts at any write",
            [python("powercut.py", "--cuts", some(120, 5), "--seed", seed + n) for n in range(2)],
            summed("cuts", "acknowledged"),
            skipped="" if has_apsw else NO_APSW,
        ),
        Trial(
            "disk filled to the last byte, and freed",
            [python("full.py", "--cycles", some(50), "--seed", seed)],
            summed("cycles"),
            skipped="" if is_root else ONLY_ROOT,
        ),
        Trial(
            "SIGTERM under load, each within 10 s",
            [python("stops.py", "--times", some(500, 4), "--seed", seed)],
            lambda found: f"{found[0]['times']} stops, the slowest took {found[0]['slowest']} s",
        ),
        Trial("hostile receivers", [python("zoo.py")], summed("receivers")),
        Trial(
            "simulated time: deaths, clock steps, a lying provider",
            [
                python("simulate.py", "--days", each, "--seed", seed + number)
                for number in range(-(-days // each))
            ],
            summed("days", "deaths", "transitions"),
        ),
        Trial(
            "200 receivers, of which 80 misbehave",
            [python("isolation.py", "--pairs", 5)]
            if share >= 1
            else [
                python("isolation.py", "--small", "--endpoints", 20, "--bad", 8, "--pairs", 1, "--seconds", 5)
            ],
            lambda found: f"p50 × {found[0]['p50_ratio']:.2f}, p99 × {found[0]['p99_ratio']:.2f}",
            alone=True,
        ),
        Trial("planted bugs, each to be found", [_pytest("tests/test_planted.py")], summed("passed")),
        Trial(
            "corpora",
            [_pytest(*CORPUS_TESTS)],
            lambda found: f"{corpus_rows():,} rows, {found[0]['passed']:,} checks",
        ),
    ]


def corpus_rows() -> int:
    """How many rows the corpora have."""
    return sum(
        len(json.loads((ROOT / "tests" / "data" / f"{name}.json").read_text("utf-8"))["rows"])
        for name in CORPORA
    )


def _pytest(*files: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]


class Kept:
    """The verdicts so far, by command, in a file where there is one; they hold for one commit alone."""

    def __init__(self, file: Path | None, version: str) -> None:
        self._file = file
        self._verdicts: dict[str, dict[str, Any]] = {}
        self.seconds = 0.0
        lines = [json.loads(line) for line in _lines(file)]
        if lines and lines[0] == {"version": version}:
            self._verdicts = {line["command"]: line for line in lines[1:]}
            self.seconds = sum(line["seconds"] for line in lines[1:])
        elif file is not None:
            file.write_text(json.dumps({"version": version}) + "\n", "utf-8")

    def find(self, command: list[str]) -> dict[str, Any] | None:
        """The verdict on a command that was run already."""
        found = self._verdicts.get(" ".join(command[1:]))
        return found["verdict"] if found else None

    def add(self, command: list[str], verdict: dict[str, Any], seconds: float) -> None:
        """Keeps a verdict; what failed to give one is run again next time."""
        self.seconds += seconds
        line = {"command": " ".join(command[1:]), "verdict": verdict, "seconds": round(seconds, 1)}
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _lines(file: Path | None) -> list[str]:
    return file.read_text("utf-8").splitlines() if file is not None and file.exists() else []


def version() -> str:
    """The commit that is tried, and whether something is changed since."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() or "no commit"


async def run(trial: Trial, gate: asyncio.Semaphore, kept: Kept) -> None:
    """Runs a trial's commands, as many at once as the gate lets."""

    async def one(command: list[str]) -> None:
        before = kept.find(command)
        if before is not None:
            trial.verdicts.append(before)
            return
        async with gate:
            started = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            out, err = await process.communicate()
            verdict = _read(out.decode(), process.returncode or 0)
            if verdict is None:
                trial.failed.append(f"{Path(command[1]).name}: {err.decode()[-500:]}")
            else:
                trial.verdicts.append(verdict)
                kept.add(command, verdict, time.monotonic() - started)
                found = {key: verdict[key] for key in (*LOST, *PHANTOM, *TWO, *OTHER) if verdict.get(key)}
                if process.returncode and not found:
                    trial.failed.append(f"{' '.join(command[1:])} ended with {process.returncode}")
                if found:
                    # At once: the seed is there to be looked into while the rest goes on.
                    print(f"WRONG  {' '.join(command[1:])}: {str(found)[:2000]}", file=sys.stderr)

    begun = time.monotonic()
    if not trial.skipped:
        await asyncio.gather(*(one(command) for command in trial.commands))
    state = "well" if trial.is_well else "WRONG"
    print(f"{time.monotonic() - begun:7.0f} s  {state:<5}  {' | '.join(trial.row()[:2])}", file=sys.stderr)


def _read(out: str, code: int) -> dict[str, Any] | None:
    """A harness's verdict; of pytest, how many passed."""
    if out.startswith("{"):
        found: dict[str, Any] = json.loads(out)
        return found
    last = out.strip().rpartition("\n")[2]
    words = last.replace(",", "").split()
    if "passed" not in words:
        return None
    return {"passed": int(words[words.index("passed") - 1]), "problems": [last] if code else []}


def table(done: list[Trial], share: float, seed: int, version: str, took: float) -> str:
    """All trials, in Markdown."""
    head = ["trial", "how often", "lost", "phantom or out of order", "two bodies under one id", ""]
    rows = [head, ["---"] * len(head), *(trial.row() for trial in done)]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    size = "At the full size" if share >= 1 else f"At {share:.0%} of the full size"
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    work = f"{took / 60:.0f} minutes of trials, some at a time, on {machine}"
    return "\n".join([*lines, "", f"{size}, of commit {version}; seed {seed}; {work}."])


def write(file: Path, name: str, text: str) -> None:
    """Puts a table between the marks of its name that a file has."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = file.read_text("utf-8")
    before, _, rest = page.partition(begin)
    _, mark, after = rest.partition(end)
    if not mark:
        raise SystemExit(f"{file} has no place for the table: {begin} … {end}")
    file.write_text(f"{before}{begin}\n{text}\n{end}{after}", "utf-8")


async def main(share: float, seed: int, kept: Kept) -> list[Trial]:
    done = trials(share, seed)
    # More than there are cores: many of them wait most of the time, for a process that starts or dies.
    gate = asyncio.Semaphore((os.cpu_count() or 1) + 2)
    # What is made of many short pieces comes last, so that at the end no core waits for one long trial.
    together = sorted((trial for trial in done if not trial.alone), key=lambda trial: len(trial.commands))
    await asyncio.gather(*(run(trial, gate, kept) for trial in together))
    for trial in done:
        if trial.alone:
            # What measures time has the machine to itself.
            await run(trial, gate, kept)
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=float, default=1.0, help="of the full size")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--write", type=Path, help="a file with marks for the table")
    parser.add_argument("--keep", type=Path, help="a file for the verdicts so far, to go on from")
    given = parser.parse_args()
    commit = version()
    verdicts = Kept(given.keep, commit)
    finished = asyncio.run(main(given.share, given.seed, verdicts))
    text = table(finished, given.share, given.seed, commit, verdicts.seconds)
    print(text)
    if given.write:
        write(given.write, "torture", text)
    for trial in finished:
        for line in trial.failed:
            print(f"{trial.what}: {line}", file=sys.stderr)
    sys.exit(0 if all(trial.is_well for trial in finished) else 1)
