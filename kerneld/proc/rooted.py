"""A path of another root, as a container has one, into a descriptor safe to read, or a refusal.

Each part of the way is opened by itself, from the process's root on, without reading (O_PATH): nothing
is looked up on a filesystem before that one is known to answer. What is there is never executed.
"""

import os
from dataclasses import dataclass

from kerneld.errors import UnsafeFile
from kerneld.parse.mounts import parse_mountinfo
from kerneld.proc.files import (
    SLOW_FILESYSTEMS,
    check_connection_file,
    means_the_same,
    openat2,
    read_mounts,
)

MAX_PARTS = 64
MAX_PIDS = 4
_PATH_ONLY = os.O_PATH | os.O_CLOEXEC
_FROM_USER_NAMESPACES = ("overlay",)
"""a user's own may lie on a FUSE filesystem of that user's, which answers when it likes"""


@dataclass(frozen=True, slots=True)
class Root:
    """Which folder in which mount namespace a process has for its root."""

    namespace: int
    device: int
    inode: int


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Another root than kerneld's, and the processes by which it may be entered, best first."""

    root: Root
    pids: tuple[int, ...]


def where(path: str, pid: int, above: tuple[int, ...], *, proc_root: str = "/proc") -> Elsewhere | None:
    """The root that a process's absolute path belongs to; None: the path means the same here.

    above: its ancestors, which may have the same root and outlive it. Raises UnsafeFile.
    """
    if means_the_same(path, pid, proc_root=proc_root):
        return None
    folder, root = _enter(pid, proc_root)
    os.close(folder)
    return Elsewhere(root, (pid, *above)[:MAX_PIDS])


def open_in_root(path: str, place: Elsewhere, *, owner_uid: int, proc_root: str = "/proc") -> int:
    """Open a user's connection file there, read-only and close-on-exec.

    Raises UnsafeFile with the reason, FileNotFoundError.
    """
    refusal = UnsafeFile("no process with its root is left")
    for pid in place.pids:
        try:
            folder, root = _enter(pid, proc_root)
        except UnsafeFile as problem:
            refusal = problem
            continue
        if root == place.root:
            return _open_from(folder, path, pid, owner_uid=owner_uid, proc_root=proc_root)
        os.close(folder)
    raise refusal


def _enter(pid: int, proc_root: str) -> tuple[int, Root]:
    """A descriptor of a process's root, which the caller closes, and which root it is."""
    try:
        namespace = os.stat(f"{proc_root}/{pid}/ns/mnt").st_ino
        folder = os.open(f"{proc_root}/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        raise UnsafeFile("it lies in another mount namespace, which may not be entered") from None
    except OSError:
        raise UnsafeFile("the process is gone, and with it whose root its path belongs to") from None
    try:
        _Mounts(pid, proc_root).check(folder)
        status = os.fstat(folder)
    except BaseException:
        os.close(folder)
        raise
    return folder, Root(namespace, status.st_dev, status.st_ino)


def _open_from(folder: int, path: str, pid: int, *, owner_uid: int, proc_root: str) -> int:
    """folder: is closed. A device that root of a container made is never opened: it might act."""
    mounts = _Mounts(pid, proc_root)
    parts = [part for part in path.split("/") if part]
    try:
        if len(parts) > MAX_PARTS or ".." in parts:
            raise UnsafeFile("its path is too long, or leads upwards")
        for part in parts:
            mounts.check(folder)
            below = openat2(part, _PATH_ONLY, folder=folder)
            os.close(folder)
            folder = below
        mounts.check(folder)
        check_connection_file(os.fstat(folder), owner_uid)
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{folder}", flags)
    except PermissionError:
        raise UnsafeFile("this user may not read it") from None
    finally:
        os.close(folder)


class _Mounts:
    """What the way of one path may pass."""

    def __init__(self, pid: int, proc_root: str) -> None:
        self._folder = f"{proc_root}/{pid}"
        self._own = f"{proc_root}/self"
        self._passed: int | None = None

    def check(self, fd: int) -> None:
        """Refuse a mount that could keep one waiting.

        It is looked up after it was opened: while the descriptor holds it, its number is no other's.
        """
        number = _mount_id(fd)
        if number == self._passed:
            return
        try:
            seen = parse_mountinfo(read_mounts(f"{self._folder}/mountinfo"))
            stranger = os.readlink(f"{self._folder}/ns/user") != os.readlink(f"{self._own}/ns/user")
        except OSError as problem:
            raise UnsafeFile(f"its mounts can't be told: {problem.strerror}") from None
        kind = next((mount.fs_type for mount in seen if mount.id == number), None)
        if kind is None:
            raise UnsafeFile("it lies on a mount that its process does not see")
        if kind.startswith(SLOW_FILESYSTEMS) or (stranger and kind in _FROM_USER_NAMESPACES):
            raise UnsafeFile(f"it lies on a filesystem that can stall whoever opens it ({kind})")
        self._passed = number


def _mount_id(fd: int) -> int:
    with open(f"/proc/self/fdinfo/{fd}", "rb") as fdinfo:
        fields = dict(line.split(b":\t", 1) for line in fdinfo.read().splitlines() if b":\t" in line)
    return int(fields[b"mnt_id"])
