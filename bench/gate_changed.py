"""What a changed job costs: beside the bare SQLite transaction that writes the same rows, and DeepDiff.

    python bench/gate_changed.py [--small]

In bursts of a hundred that end together, each with three webhooks that are told of it: reading the entries,
what changed, deciding, and one durable commit. Its peer writes the very rows that came of it (job, event,
deliveries) into a database as it was before, by prepared statements in one transaction: what nobody
who keeps them can save. Both count CPU, of which a disk that is slow costs none.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from gate_poll import change
from gauge import Child, asked, given, median_ratio, reply, say, upstream, verdict
from upstream import body

from ftwatch.core.diff import diff
from ftwatch.core.job import Snapshot
from ftwatch.store import Database

ROUNDS, BURST = 9, 100
HOOKS = 3
TABLES = ("jobs", "events", "deliveries", "verdicts")
BLOCK = 0.2  # how long one block of an in-memory measurement takes (seconds)


async def bursts(base: str) -> None:
    """Ends of a hundred jobs at a time, decided about by the real poller, and their rows written bare."""
    from watcher import Watcher

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        async with Watcher.over(base, folder=folder, hooks=HOOKS) as watcher:
            await watcher.baseline()
            bare = Bare.beside(watcher.store.db, folder)
            for question in asked():
                entries = await watcher.entries(question["after"])
                begun = time.process_time()
                await watcher.take(entries)
                took = time.process_time() - begun
                rows = bare.rows()
                begun = time.process_time()
                bare.write(rows)
                reply({"ours": took, "bare": time.process_time() - begun})
            bare.db.close()


class Bare:
    """Writes what one database got since the last time into another one that was like it."""

    def __init__(self, source: Database, db: Database) -> None:
        self.source, self.db = source, db
        self.columns = {
            table: [str(row[1]) for row in source.rows(f"PRAGMA table_info({table})")] for table in TABLES
        }
        self.seen = {table: self._last(table) for table in TABLES}

    @classmethod
    def beside(cls, source: Database, folder: Path) -> "Bare":
        """A writer into a copy of a database as it is now, in this folder."""
        source.copy_to(folder / "bare.db")
        return cls(source, Database(folder / "bare.db"))

    def _last(self, table: str) -> tuple[object, ...]:
        """How far a table is, by what only grows in it."""
        by = "version" if table == "jobs" else "rowid"
        return self.source.row(f"SELECT COALESCE(MAX({by}), 0) FROM {table}") or (0,)

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """The rows that are new since the last time, by table."""
        new = {}
        for table, columns in self.columns.items():
            if table == "jobs":
                # What was written last has been changed last.
                where = "changed_at = (SELECT MAX(changed_at) FROM jobs)"
            else:
                where = f"rowid > {self.seen[table][0]}"
            new[table] = self.source.rows(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}")
        self.seen = {table: self._last(table) for table in TABLES}
        names = self.columns["jobs"]
        keys = [names.index("provider"), names.index("id")]
        return new | {"jobs": [(*row, *(row[key] for key in keys)) for row in new["jobs"]]}

    def write(self, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        """Writes rows, in one durable transaction."""
        settings = ", ".join(f"{name} = ?" for name in self.columns["jobs"])
        with self.db.transaction():
            self.db.execute_many(f"UPDATE jobs SET {settings} WHERE provider = ? AND id = ?", rows["jobs"])
            for table in TABLES[1:]:
                marks = ", ".join("?" * len(self.columns[table]))
                into = f"{table} ({', '.join(self.columns[table])})"
                self.db.execute_many(f"INSERT INTO {into} VALUES ({marks})", rows[table])


def pair() -> tuple[Snapshot, Snapshot]:
    """One job as it ran, and as it ended."""
    from ftwatch.wire.openai import read

    def look(*, ended: bool) -> Snapshot:
        return read(body(1, ended=ended), provider="bench", kind="openai", labels={"env": "prod"})

    return look(ended=False), look(ended=True)


def each(function: Callable[[], object]) -> float:
    """CPU seconds of one call, of as many as fit into a moment."""
    calls, begun = 0, time.process_time()
    while time.process_time() - begun < BLOCK:
        for _ in range(3):
            function()
        calls += 3
    return (time.process_time() - begun) / calls


def diffs() -> None:
    """Our difference of two looks at one job, and DeepDiff's of the same two as plain data."""
    before, after = pair()
    plain = msgspec.to_builtins(before), msgspec.to_builtins(after)
    if find_spec("deepdiff"):
        from deepdiff import DeepDiff

    for question in asked():
        if question["who"] == "ours":
            reply(each(lambda: diff(before, after)))
        else:
            reply(each(lambda: DeepDiff(*plain)))


def main() -> None:
    options = given(__doc__)
    if options.who == "bursts":
        return asyncio.run(bursts(*options.rest))
    if options.who == "diffs":
        return diffs()
    rounds = 2 if options.small else ROUNDS
    ours, bare, spans, deep = [], [], [], []
    # One page a burst, of jobs that all run; and some more to begin with.
    pages = rounds + 1
    with (
        upstream(pages * BURST, pages * BURST, "gzip") as base,
        Child(__file__, "--as", "bursts", base) as child,
    ):
        child.ask(after=None)  # nothing has changed yet
        change(base, pages * BURST)
        for page in range(pages):
            after = f"ftjob-{(pages - page) * BURST + 1:024d}" if page else None
            took = child.ask(after=after)
            if page:
                ours.append(took["ours"])
                bare.append(took["bare"])
    with Child(__file__, "--as", "diffs") as child:
        for _ in range(rounds):
            spans.append(child.ask(who="ours"))
            if find_spec("deepdiff"):
                deep.append(child.ask(who="theirs"))
    say(
        [
            verdict(
                "CPU per changed job, in bursts of 100, three deliveries each",
                wanted="<= 2",
                ratio=median_ratio(ours, bare),
                ours=statistics.median(ours) / BURST * 1e6,
                theirs=statistics.median(bare) / BURST * 1e6,
                unit="µs",
                peer="the same rows, written bare",
            ),
            verdict(
                "difference of two looks at a job",
                wanted=">= 200",
                ratio=median_ratio(deep, spans) if deep else None,
                ours=statistics.median(spans) * 1e6,
                theirs=statistics.median(deep) * 1e6 if deep else None,
                unit="µs",
                peer="DeepDiff",
                note="" if deep else "DeepDiff is not installed (`make oracles`)",
            ),
        ]
    )
    return None


if __name__ == "__main__":
    main()
