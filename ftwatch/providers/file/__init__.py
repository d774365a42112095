"""Training runs on this machine's disk, by the files that their trainers write.

What is watched, and what a look at it comes to, stands here; what touches the disk in `disk`, what the files
say in `ftwatch.wire.trainlog`.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar

import anyio
import anyio.to_thread

from ftwatch.core.job import Snapshot
from ftwatch.plugins import Duration, LogPage, NotFound, Page, ProviderError, ProviderSpec, Unreadable
from ftwatch.providers.file.disk import KIB, Glob, Reader, Run, Trouble, escaped, look, owner, unescaped, walk
from ftwatch.wire import lenient, trainlog

__all__ = ["File", "Options"]

T = TypeVar("T")

# The end of a log holds some hundred lines; a state holds all of its run's figures.
LARGEST_TAIL, LARGEST_STATE, LARGEST_CONFIG = 128 * KIB, 32 * KIB * KIB, 64 * KIB
# A file that says nothing yet is taken for one that is being written, for so long (seconds).
WRITING = 60.0
# A beginning that is worked out anew is the same one within so many seconds.
SAME = 120
# So many looks that wait for a disk at once are a disk that does not answer.
MOST_WAITING = 16
MOST_PROBLEMS = 100


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `kind: file` can be told. `paths` are globs that lead to runs' folders, or to the files in them.

    An unfinished run whose files do not change for `stalled_after` is what `silence` says. The `newest` so
    many runs are watched. `timeout` is for one look at the disk.
    """

    paths: tuple[str, ...]
    stalled_after: Duration = Duration(minutes=30)
    silence: Literal["paused", "failed"] = "paused"
    newest: int = 200
    timeout: Duration = Duration(seconds=30)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with these options, as (option, sentence)."""
        if not self.paths:
            yield "paths", "names no path, so there is nothing to watch"
        for path in self.paths:
            if not path.strip() or "\0" in path:
                yield "paths", f"{path!r} is no path"
            elif path.startswith("~") and os.path.expanduser(path) == path:
                yield "paths", f"{path!r}: there is no such home"
        if not 1 <= self.newest <= 5000:
            yield "newest", "should be from 1 to 5000"
        for option in ("stalled_after", "timeout"):
            if getattr(self, option).total_seconds() <= 0:
                yield option, "must be longer than nothing"


class File:
    """The training runs below some paths."""

    Options: ClassVar[type] = Options
    list_is_truth: ClassVar[bool] = False
    key_variable: ClassVar[None] = None
    newest_first: ClassVar[bool] = True

    def __init__(self, spec: ProviderSpec) -> None:
        self._spec = spec
        self._options: Options = spec.options
        self._base = os.path.abspath(spec.folder)
        self._globs = [Glob.of(self._base, path) for path in self._options.paths]
        self._reader = Reader()
        self._began: dict[tuple[int, int], int] = {}
        self._waiting: set[object] = set()

    # ------------------------------------------------------------------------------------------ asking

    async def page(self, anchor: str | None) -> bytes:
        """The newest runs, the one that changed last first. Raises ProviderError where no path is there."""
        return await self._in_thread(self._list)

    async def retrieve(self, id: str) -> bytes:
        """One run. NotFound where its files are gone although the folder that they were below is there."""
        return await self._in_thread(partial(self._one, id))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Does it where it may wait for a disk. Raises ProviderError where that takes too long."""
        if len(self._waiting) >= MOST_WAITING:
            raise ProviderError("the disk does not answer: earlier looks still wait for it")

        def counted() -> T:
            mark = object()
            self._waiting.add(mark)
            try:
                return work()
            finally:
                self._waiting.discard(mark)

        seconds = self._options.timeout.total_seconds()
        try:
            with anyio.fail_after(seconds):
                return await anyio.to_thread.run_sync(counted, abandon_on_cancel=True)
        except TimeoutError:
            raise ProviderError(f"reading the files took longer than {seconds:g} s") from None

    # ------------------------------------------------------------------------------- in a worker thread

    def _list(self) -> bytes:
        problems: list[str] = []
        runs: dict[tuple[int, int], Run] = {}
        for folder in walk(self._globs, problems):
            try:
                run = look(folder)
            except Trouble as trouble:
                problems.append(str(trouble))
                continue
            # One folder may be reached by several paths: the one that is no link names the run.
            if run is not None and (run.inode not in runs or runs[run.inode].is_link):
                runs[run.inode] = run
        newest = sorted(runs.values(), key=lambda run: (-run.changed, run.folder))[: self._options.newest]
        self._forget_others(newest)
        told: list[dict[str, Any]] = []
        for run in newest:
            try:
                told += [document] if (document := self._told(run, whole=False)) else []
            except Trouble as trouble:
                problems.append(str(trouble))
        unreadable = [{"problem": problem} for problem in dict.fromkeys(problems)]
        return json.dumps({"runs": [*told, *unreadable[:MOST_PROBLEMS]]}).encode()

    def _one(self, id: str) -> bytes:
        folder = os.path.normpath(os.path.join(self._base, unescaped(id)))
        globs = [glob for glob in self._globs if glob.covers(folder)]
        if not globs or "\0" in folder:
            raise NotFound(id)
        try:
            run = look(folder)
            if run is None:
                if not any(os.path.isdir(glob.root) for glob in globs):
                    raise ProviderError(f"{globs[0].root} is not there: is it mounted?")
                raise NotFound(id)
            document = self._told(run, whole=True)
        except Trouble as trouble:
            raise ProviderError(str(trouble)) from None
        if document is None:
            raise ProviderError(f"the files in {folder} are being written")
        return json.dumps(document).encode()

    def _told(self, run: Run, *, whole: bool) -> dict[str, Any] | None:
        """A run's document; None while its files say nothing because they are being written. Raises Trouble.

        `whole`: with its figures and checkpoints.
        """
        log = self._record(run.log, trainlog.log, LARGEST_TAIL, is_log=True) if run.log else None
        state = self._record(run.state, trainlog.state, LARGEST_STATE) if run.state else None
        if log is None and state is None:
            return None
        found = trainlog.Found(
            id=escaped(self._relative(run.folder)),
            folder=run.folder,
            owner=owner(run.folder),
            log=log,
            state=state,
            results=run.results,
            checkpoints=run.checkpoints,
            base=self._base_model(run.folder, *(path for _, path, _ in run.checkpoints[:1])),
        )
        return trainlog.document(
            found,
            time.time(),
            patience=self._options.stalled_after.total_seconds(),
            gives_up=self._options.silence == "failed",
            began=self._beginning(run, found),
            whole=whole,
        )

    def _record(
        self, path: str, reader: Callable[[bytes], trainlog.Record | None], cap: int, *, is_log: bool = False
    ) -> tuple[trainlog.Record, float] | None:
        """What a file says, and when it was changed; None where it is gone or only begun. Raises Trouble."""
        content = self._reader.read(path, reader, cap, cut=is_log)
        if content is None:
            return None
        if content.said is not None:
            return content.said, content.changed
        if content.size and time.time() - content.changed > WRITING:
            raise Trouble(f"{path} holds nothing that a trainer writes")
        return (trainlog.Record(), content.changed) if is_log else None

    def _base_model(self, *folders: str) -> str | None:
        """The base model that an adapter beside a run's files names."""
        for folder in folders:
            try:
                found = self._reader.read(
                    os.path.join(folder, "adapter_config.json"), _model_in, LARGEST_CONFIG
                )
            except Trouble:
                continue
            if found is not None and found.said is not None:
                return str(found.said)
        return None

    def _beginning(self, run: Run, found: trainlog.Found) -> int | None:
        """When a run began; what was worked out first stays for as long as it can be the same run."""
        now, before = trainlog.beginning(found), self._began.get(run.inode)
        if before is not None and (now is None or abs(now - before) <= SAME):
            return before
        if now is not None:
            self._began[run.inode] = now
        return now

    def _forget_others(self, runs: Sequence[Run]) -> None:
        """Remembers these runs, and no others."""
        inodes = {run.inode for run in runs}
        self._began = {inode: at for inode, at in self._began.items() if inode in inodes}
        self._reader.keep(run.folder for run in runs)

    def _relative(self, folder: str) -> str:
        """A folder as seen from the config's folder where it lies below that, else whole."""
        inside = folder.startswith(self._base.rstrip(os.sep) + os.sep)
        return os.path.relpath(folder, self._base) if inside else folder

    # ------------------------------------------------------------------------------------------ reading

    def split(self, body: bytes) -> Page:
        """The entries of the one page there is."""
        return Page(entries=tuple(lenient.entries(body, "runs")), next=None)

    def identify(self, raw: bytes) -> str:
        """The id in one entry."""
        return trainlog.identify(raw)

    def read(self, raw: bytes) -> Snapshot:
        """The job in one document."""
        spec = self._spec
        return trainlog.read(raw, provider=spec.name, kind=spec.kind, labels=spec.labels)

    def inline(self, raw: bytes) -> LogPage:
        """The figures and checkpoints of a run."""
        return trainlog.inline(raw)


def _model_in(raw: bytes) -> str | None:
    """The base model in an adapter's config."""
    try:
        return lenient.some(lenient.document(raw).get("base_model_name_or_path"))
    except Unreadable:
        return None
