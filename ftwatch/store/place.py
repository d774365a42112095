"""Where the database lies: on a disk to be trusted, under one lock, with room kept free beside it. No SQL."""

import fcntl
import os
import shutil
from pathlib import Path

from ftwatch.store.failure import Locked, StoreError

__all__ = ["Room", "file_system", "lock", "refuse_network"]

MIB = 1024 * 1024
MOUNTS = Path("/proc/self/mounts")
NETWORKS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs"}
)
# What is kept in reserve; of a small file system a share only.
BALLAST = 8 * MIB
SHARE = 8


def refuse_network(path: Path) -> None:
    """Locks and write-ahead logs are not to be trusted over a network; refuses a database that lies there."""
    kind = file_system(path.parent.resolve())
    if kind in NETWORKS or kind.startswith("fuse.ssh"):
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where a database can be damaged:"
            " point `store.path` at a local disk"
        )


def file_system(folder: Path, mounts: Path | None = None) -> str:
    """The kind of file system that a folder lies on, by the kernel's list of mounts; "" if unknown."""
    best, kind = "", ""
    try:
        lines = (mounts or MOUNTS).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Blanks in a path stand there as octal numbers.
        at = fields[1].encode("ascii", "surrogateescape").decode("unicode_escape")
        inside = at == "/" or str(folder) == at or str(folder).startswith(at.rstrip("/") + "/")
        if inside and len(at) >= len(best):
            best, kind = at, fields[2]
    return kind


def lock(path: Path) -> int:
    """Takes the writer's lock of a database; the descriptor holds it until it is closed. Raises Locked."""
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        whose = f" (process {holder})" if holder.isdigit() else ""
        raise Locked(
            f"another ftwatch{whose} is using {path}: stop it first, or give this one its own `store.path`"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


class Room:
    """A file beside the database that takes up room, so that there is some to give when the disk is full.

    SQLite needs room even to mark a message as delivered or to delete something.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self.ballast = path.with_name(path.name + ".ballast")
        self.size = min(BALLAST, shutil.disk_usage(self._folder).total // SHARE)

    @property
    def free(self) -> int:
        """Bytes that anybody may still write where the database lies."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    @property
    def is_short(self) -> bool:
        """Whether there is so little room that it is time to give up the ballast."""
        return self.free < self.size // 4

    @property
    def is_ample(self) -> bool:
        """Whether there is room for the ballast and as much again."""
        return self.free + self._held() > 2 * self.size

    def give(self) -> bool:
        """Gives the room up; says whether there was any to give."""
        had = self._held() > 0
        self.ballast.unlink(missing_ok=True)
        return had

    def keep(self) -> bool:
        """Takes the room, where there is enough of it; says whether it is held now."""
        if self._held() >= self.size:
            return True
        if not self.is_ample:
            return False
        try:
            descriptor = os.open(self.ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                os.posix_fallocate(descriptor, 0, self.size)
            finally:
                os.close(descriptor)
        except OSError:
            self.give()
            return False
        return True

    def _held(self) -> int:
        try:
            return self.ballast.stat().st_blocks * 512
        except OSError:
            return 0
