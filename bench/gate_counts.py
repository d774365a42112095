"""What the gates in memory cost in instructions: counts, which no other program on the machine can change.

    python bench/gate_counts.py [--small]

Each operation runs under callgrind, in a process of its own, once to warm up and then counted. What the
kernel does is not in it: no disk, no network. Answers come from memory in place of the client's, so that all
else that ftwatch does for a page is counted. Where valgrind is not installed, nothing is.
"""

import asyncio
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from gate_changed import BURST, HOOKS, Bare, pair
from gauge import Row, given, say, verdict
from upstream import Upstream

if TYPE_CHECKING:
    from watcher import Watcher

BASE = "http://127.0.0.1:9/v1"
DIFFS, DEEP, MODELS, WALKS = 100, 2, 2, 10
PAGES, PAGE = 2, 100
# So many jobs of a page run: enough for pages to be the cheaper way to watch them.
RUNNING = 15
COUNTED = re.compile(r"Collected : (\d+)")
# What each process counts, and how often it does that.
OPERATIONS = {
    "walks": {"page": WALKS * PAGES, "moved page": PAGES},
    "bursts": {"job": BURST, "bare job": BURST},
    "diffs": {"diff": DIFFS},
    "deepdiff": {"deepdiff": DEEP},
    "sdk": {"sdk page": MODELS},
}
QUICK = ("diffs", "deepdiff")
VALGRIND = shutil.which("valgrind")
# Whose peer needs a package.
NEEDED = {"deepdiff": "deepdiff", "sdk": "openai"}
ABSENT = "**not counted: valgrind is not installed**"


# ------------------------------------------------------------------------------------- what is counted


def mark() -> None:
    """Lets valgrind say how many instructions it has been up to here: a copy of the process ends at once."""
    copy = os.fork()
    if not copy:
        os._exit(0)
    os.waitpid(copy, 0)


@contextmanager
def counting() -> Iterator[None]:
    """Counts what is done in it."""
    mark()
    yield
    mark()


@asynccontextmanager
async def from_memory(pages: int, running: int, **how: Any) -> AsyncIterator[tuple["Watcher", Upstream]]:
    """A watcher that has seen the whole listing, whose requests are answered out of memory."""
    from watcher import Watcher

    from ftwatch.client import Response
    from ftwatch.store import inline

    upstream = Upstream(pages * PAGE, running, packs=True, spread=True, slow=False)

    async def request(method: str, url: str, *, packed: bool, **_: Any) -> Response:
        body, coding = upstream.made(method, url, packed=True)
        if not coding or packed:
            return Response(200, {"content-encoding": "gzip"} if coding else {}, body)
        return Response(200, {}, gzip.decompress(body))

    async with Watcher.over(BASE, run=inline, **how) as watcher:
        watcher.client.request = request  # type: ignore[method-assign]
        await watcher.baseline()
        assert watcher.poller.problem is None, watcher.poller.problem
        yield watcher, upstream


def end_some(upstream: Upstream) -> None:
    """Ends a job on every page, and makes the pages, which is no part of a walk."""
    targets = list(upstream.pages)
    upstream.change(PAGES)
    for target in targets:
        upstream.made("GET", target, packed=True)


async def walks() -> None:
    """Walks on which nothing is new, and one with a job that ended on each page.

    What that one decides is thrown away in place of being written: that has a row of its own.
    """
    async with from_memory(PAGES, PAGES * RUNNING) as (watcher, upstream):
        end_some(upstream)
        await watcher.sweep()
        with counting():
            for _ in range(WALKS):
                await watcher.sweep()
        end_some(upstream)
        watcher.store.commit = lambda batch, now: set()  # type: ignore[method-assign]
        with counting():
            await watcher.sweep()


async def bursts() -> None:
    """A burst of ends, taken and then written bare, after one that warms up."""
    with tempfile.TemporaryDirectory() as made:
        async with from_memory(2, 2 * BURST, folder=Path(made), hooks=HOOKS) as (watcher, upstream):
            bare = Bare.beside(watcher.store.db, Path(made))
            upstream.change(2 * BURST)
            first, second = [await watcher.entries(after) for after in (None, f"ftjob-{BURST + 1:024d}")]
            await watcher.take(first)
            bare.write(bare.rows())
            with counting():
                await watcher.take(second)
            rows = bare.rows()
            with counting():
                bare.write(rows)
            bare.db.close()


def diffs() -> None:
    """Our difference of two looks at a job."""
    from ftwatch.core.diff import diff

    repeated(DIFFS, partial(diff, *pair()))


def deepdiff() -> None:
    """DeepDiff's of the same two looks, as plain data."""
    from deepdiff import DeepDiff

    repeated(DEEP, partial(DeepDiff, *map(msgspec.to_builtins, pair())))


def sdk() -> None:
    """What the `openai` package makes of a page, from its bytes on."""
    from openai._models import construct_type
    from openai.pagination import SyncCursorPage
    from openai.types.fine_tuning import FineTuningJob

    upstream = Upstream(PAGES * PAGE, PAGES * RUNNING, packs=True, spread=True, slow=False)
    body, _ = upstream.made("GET", f"{BASE}/fine_tuning/jobs?limit={PAGE}", packed=True)

    def models() -> object:
        return construct_type(type_=SyncCursorPage[FineTuningJob], value=json.loads(gzip.decompress(body)))

    repeated(MODELS, models)


def repeated(times: int, function: Callable[[], object]) -> None:
    """Counts so many calls, after one that warms up."""
    function()
    with counting():
        for _ in range(times):
            function()


def run(who: str) -> None:
    """In a child: counts nothing at all first, for what counting itself takes; then its operations."""
    with counting():
        pass
    match who:
        case "walks":
            asyncio.run(walks())
        case "bursts":
            asyncio.run(bursts())
        case _:
            {"diffs": diffs, "deepdiff": deepdiff, "sdk": sdk}[who]()


# -------------------------------------------------------------------------------------------- counting


def count(who: str) -> dict[str, float]:
    """The instructions of each operation of a process."""
    tool = [str(VALGRIND), "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    done = subprocess.run(
        [*tool, sys.executable, __file__, "--as", who],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    marks = [int(found) for found in COUNTED.findall(done.stderr)][:-1]
    between = [after - before for before, after in zip(marks[::2], marks[1::2], strict=True)]
    if done.returncode or len(between) != 1 + len(OPERATIONS[who]):
        raise RuntimeError(f"{who} under valgrind ended with {done.returncode}: {done.stderr[-2000:]}")
    nothing, *took = between
    named = zip(OPERATIONS[who].items(), took, strict=True)
    return {name: (instructions - nothing) / times for (name, times), instructions in named}


def counted(*, small: bool) -> dict[str, float]:
    """The instructions of each operation; none of those for which a package, or valgrind, is not installed.

    `small`: of what takes long it is only seen that it runs.
    """
    installed = [who for who in OPERATIONS if who not in NEEDED or find_spec(NEEDED[who])]
    if small:
        for who in installed:
            subprocess.run([sys.executable, __file__, "--as", who], check=True)
    processes = [who for who in installed if VALGRIND and (who in QUICK or not small)]
    # Counts do not mind who else is at work.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return {name: value for found in pool.map(count, processes) for name, value in found.items()}


def row(gate: str, counts: dict[str, float], ours: str, theirs: str, wanted: str, peer: str) -> Row:
    """One gate: of what should be `>=` ours is the divisor, of what should be `<=` the peer's."""
    one, other = counts.get(ours), counts.get(theirs)
    ratio = None
    if one and other:
        ratio = other / one if wanted.startswith(">=") else one / other
    note = "" if ratio else ABSENT if not VALGRIND else "**not counted** (a small run, or no `make oracles`)"
    return verdict(
        f"instructions: {gate}",
        wanted=wanted,
        ratio=ratio,
        ours=one,
        theirs=other,
        unit="",
        peer=peer,
        note=note,
    )


def main() -> None:
    options = given(__doc__)
    if options.who:
        return run(options.who)
    counts = counted(small=options.small)
    models = "openai package, models of the same page"
    say(
        [
            row("an unchanged page of 100 jobs", counts, "page", "sdk page", ">= 25", models),
            row(
                "a page with one job changed, till decided", counts, "moved page", "sdk page", ">= 12", models
            ),
            row(
                "a changed job, bursts of 100",
                counts,
                "job",
                "bare job",
                "<= 2",
                "the same rows, written bare",
            ),
            row("difference of two looks at a job", counts, "diff", "deepdiff", ">= 200", "DeepDiff"),
        ]
    )
    return None


if __name__ == "__main__":
    main()
