"""Where do training runs lie, and what stands in their folders? All that touches the disk, and blocks.

Nothing is read whole that may be large, no walk goes on for ever, and what cannot be read is a sentence.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, unquote_to_bytes

from ftwatch.plugins import ProviderError

__all__ = [
    "KIB",
    "Content",
    "Glob",
    "Reader",
    "Run",
    "Trouble",
    "escaped",
    "look",
    "owner",
    "unescaped",
    "walk",
]

T = TypeVar("T")

KIB = 1024
LOG, STATE = "trainer_log.jsonl", "trainer_state.json"
# What a trainer leaves in a run's folder when it is through.
RESULTS = frozenset(
    {
        *("adapter_model.safetensors", "adapter_model.bin", "model.safetensors", "pytorch_model.bin"),
        *("model.safetensors.index.json", "pytorch_model.bin.index.json"),
        *("all_results.json", "train_results.json"),
    }
)
CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
# How many names one walk may come by, how deep it goes, how many checkpoints of a run are told.
MOST_NAMES, DEEPEST, MOST_CHECKPOINTS = 100_000, 32, 100
# What of an id may stand there as it is, when something else in it may not.
PLAIN = "/ !#$&'()+,;=@[]{}^"

_WILD = re.compile(r"[*?\[]")


class Trouble(Exception):
    """Something on the disk that cannot be read, as a sentence."""


# -------------------------------------------------------------------------------------------------- paths


class Glob(NamedTuple):
    """A path with wildcards: the folder that has to be there, and what follows it."""

    root: str
    parts: tuple[str, ...]

    @classmethod
    def of(cls, base: str, path: str) -> "Glob":
        """A path of the config, from the folder `base` on, taken apart where it begins to be vague.

        Where nothing in it is, what has to be there is the folder that holds the run's own.
        """
        parts = Path(os.path.normpath(os.path.join(base, os.path.expanduser(path)))).parts
        vague = next((at for at, part in enumerate(parts) if _WILD.search(part)), None)
        if vague is None:
            vague = max(1, len(parts) - (2 if parts[-1] in (LOG, STATE) else 1))
        return cls(os.path.join(*parts[:vague]), parts[vague:])

    def covers(self, folder: str) -> bool:
        """Whether the path leads to this run's folder."""
        if not (folder + os.sep).startswith(self.root.rstrip(os.sep) + os.sep):
            return False
        inside = () if folder == self.root else Path(os.path.relpath(folder, self.root)).parts
        ends = ((), (LOG,), (STATE,), ("checkpoint-1", STATE))
        return any(_matches((*inside, *end), self.parts) for end in ends)


def _matches(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return _matches(names, parts[1:]) or (bool(names) and _matches(names[1:], parts))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _matches(names[1:], parts[1:])


def escaped(path: str) -> str:
    """A path as an id: as it is where it can be printed, else with `%` and two digits for what cannot."""
    return path if path.isprintable() and "%" not in path else quote(os.fsencode(path), safe=PLAIN)


def unescaped(id: str) -> str:
    """The path that an id stands for."""
    return os.fsdecode(unquote_to_bytes(id)) if "%" in id else id


def owner(folder: str) -> str | None:
    """Whose folder it is."""
    try:
        return Path(folder).owner()
    except (KeyError, OSError):
        return None


# ------------------------------------------------------------------------------------------------ walking


def walk(globs: Iterable[Glob], problems: list[str]) -> Iterator[str]:
    """The folders that the globs lead to, once each. What could not be read is added to `problems`.

    Raises ProviderError where not one root is there, or there is too much below them.
    """
    globs, seen = list(globs), set[str]()
    left = [MOST_NAMES]
    absent: list[OSError] = []
    for glob in globs:
        try:
            os.scandir(glob.root).close()
        except OSError as error:
            absent.append(error)
            problems.append(_sentence(glob.root, error))
            continue
        for path in _below(glob.root, glob.parts, problems, left, DEEPEST):
            folder = _folder_of(path)
            if folder is not None and folder not in seen:
                seen.add(folder)
                yield folder
    if len(absent) == len(globs):
        is_denied = all(isinstance(error, PermissionError) for error in absent)
        raise ProviderError("; ".join(dict.fromkeys(problems))[:500], denied=is_denied)


def _below(
    folder: str, parts: tuple[str, ...], problems: list[str], left: list[int], depth: int
) -> Iterator[str]:
    """The paths below a folder that match; `**` goes down through folders, never through links to them."""
    if not parts:
        yield folder
        return
    head, rest = parts[0], parts[1:]
    if not _WILD.search(head):
        path = os.path.join(folder, head)
        if rest or os.path.lexists(path):
            yield from _below(path, rest, problems, left, depth)
        return
    if head == "**":
        yield from _below(folder, rest, problems, left, depth)
    for entry in _entries(folder, problems, left):
        if entry.name.startswith(".") and not head.startswith("."):
            continue
        if head == "**":
            if depth and _is_folder(entry, links=False):
                yield from _below(entry.path, parts, problems, left, depth - 1)
        elif fnmatchcase(entry.name, head) and (not rest or _is_folder(entry, links=True)):
            yield from _below(entry.path, rest, problems, left, depth)


def _entries(folder: str, problems: list[str], left: list[int]) -> list[os.DirEntry[str]]:
    """What stands in a folder, in the order of names; a folder that is gone or is none holds nothing."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                left[0] -= 1
                if left[0] < 0:
                    raise ProviderError(f"more than {MOST_NAMES:,} names lie below `paths`: narrow them")
                found.append(entry)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            problems.append(_sentence(folder, error))
    return sorted(found, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str], *, links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError:
        return False


def _folder_of(path: str) -> str | None:
    """The run's folder that a matching path belongs to."""
    folder, _, name = path.rpartition(os.sep)
    if name not in (LOG, STATE):
        return None if CHECKPOINT.fullmatch(name) else path
    outer, _, inner = folder.rpartition(os.sep)
    return outer if name == STATE and CHECKPOINT.fullmatch(inner) else folder


# ----------------------------------------------------------------------------------------------- one run


class Run(NamedTuple):
    """What stands in a run's folder; times of last changes as the disk has them (Unix seconds).

    `checkpoints` are (step, path, time), the newest first.
    """

    folder: str
    inode: tuple[int, int]
    log: str | None
    state: str | None
    results: dict[str, float]
    checkpoints: list[tuple[int, str, float]]
    changed: float

    @property
    def is_link(self) -> bool:
        """Whether its folder is only a link to one."""
        return os.path.islink(self.folder)


def look(folder: str) -> Run | None:
    """What stands in a folder; None where it is no run's. Raises Trouble."""
    found: dict[str, tuple[str, float]] = {}
    checkpoints: list[tuple[int, str, float]] = []
    try:
        about = os.stat(folder)
        with os.scandir(folder) as entries:
            for _, entry in zip(range(MOST_NAMES), entries, strict=False):
                name = entry.name
                if (saved := CHECKPOINT.fullmatch(name)) and _is_folder(entry, links=False):
                    checkpoints.append((int(saved[1]), entry.path, _changed(entry.path)))
                elif name in RESULTS or name in (LOG, STATE):
                    found[name] = entry.path, _changed(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Trouble(_sentence(folder, error)) from None
    checkpoints.sort(reverse=True)
    # While it trains, its newest checkpoint holds the state; that of an earlier run may lie in the folder.
    if checkpoints:
        path = os.path.join(checkpoints[0][1], STATE)
        at = _changed(path)
        if at > found.get(STATE, ("", 0.0))[1]:
            found[STATE] = path, at
    files = [found[name] for name in (LOG, STATE) if name in found]
    if not files:
        return None
    return Run(
        folder=folder,
        inode=(about.st_dev, about.st_ino),
        log=found[LOG][0] if LOG in found else None,
        state=found[STATE][0] if STATE in found else None,
        results={name: at for name, (_, at) in found.items() if name in RESULTS},
        checkpoints=checkpoints[:MOST_CHECKPOINTS],
        changed=max(at for _, at in files),
    )


def _changed(path: str) -> float:
    """When something was changed last (Unix seconds); 0 where it is not there."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


# ------------------------------------------------------------------------------------------------ reading


class Content(NamedTuple):
    """What a reader made of a file, the time of its last change (Unix seconds), its size in bytes."""

    said: Any
    changed: float
    size: int


class Reader:
    """Reads files up to a size; what has not changed is not read again."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[tuple[int, ...], Content]] = {}

    def read(
        self, path: str, reader: Callable[[bytes], Any], cap: int, *, cut: bool = False
    ) -> Content | None:
        """What `reader` makes of a file; None where it is gone. Raises Trouble.

        Of a file larger than `cap` bytes the lines at its end count where it may be `cut`, else nothing.
        """
        try:
            # A pipe of this name must not hold the thread.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Trouble(_sentence(path, error)) from None
        with open(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise Trouble(f"{path} is no regular file")
            if about.st_size > cap and not cut:
                raise Trouble(f"{path} is larger than {cap // KIB:,} KiB")
            mark = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
            before = self._before.get(path)
            if before is not None and before[0] == mark:
                return before[1]
            skipped = max(0, about.st_size - cap)
            try:
                file.seek(skipped)
                # Not past what was there a moment ago: what is written meanwhile belongs to the next look.
                raw = file.read(min(about.st_size, cap))
            except OSError as error:
                raise Trouble(_sentence(path, error)) from None
        found = Content(reader(raw.partition(b"\n")[2] if skipped else raw), about.st_mtime, about.st_size)
        self._before[path] = (mark, found)
        return found

    def keep(self, folders: Iterable[str]) -> None:
        """Forgets what was not read below these folders, once that is most of it."""
        below = tuple(folder + os.sep for folder in folders)
        if len(self._before) > 8 * len(below) + 8:
            self._before = {path: one for path, one in self._before.items() if path.startswith(below)}


def _sentence(path: str, error: OSError) -> str:
    """What is wrong with a path."""
    if error.errno == errno.ENOENT:
        return f"{path} is not there: is it mounted?"
    why = os.strerror(error.errno).lower() if error.errno else type(error).__name__
    hint = ": let the user that ftwatch runs as read it" if isinstance(error, PermissionError) else ""
    return f"{path} cannot be read: {why}{hint}"
