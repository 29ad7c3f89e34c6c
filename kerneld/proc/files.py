"""A path that a user named into a descriptor that is safe to read, or a clear refusal.

Root follows nothing: openat2 refuses links on the way, and what was opened must be a regular file.
A connection file is its user's, has one name and is small; a library is the one that was mapped.
"""

import ctypes
import errno
import os
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from kerneld.errors import UnsafeFile
from kerneld.parse.mounts import filesystem_type, place_of
from kerneld.proc.mount_table import own_mountinfo

MAX_FILE_BYTES = 64 * 1024
MAX_MOUNTINFO_BYTES, MAX_MOUNTINFO_CPU_S = 1024 * 1024, 0.05
"""of a user's own namespace: 12,000 mounts on one point take Linux 2 s to tell, 3,000 take 0.04 s"""

# Opening a file there can wait for another machine or for a user's own program.
SLOW_FILESYSTEMS = (
    "nfs", "cifs", "smb", "fuse", "9p", "ceph", "afs", "lustre", "gpfs", "beegfs", "orangefs",
    "autofs", "ncpfs", "coda", "glusterfs",
)  # fmt: skip

_SYS_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells one version of a file from the next."""

    inode: int
    mtime_ns: int
    size_bytes: int


def open_connection_file(path: str, *, owner_uid: int) -> int:
    """Open a user's connection file read-only.

    Returns the descriptor (close-on-exec). Raises UnsafeFile with the reason, FileNotFoundError.
    """
    _check_path(path)
    return _opened(path, partial(check_connection_file, owner_uid=owner_uid))


def open_mapped(path: str, *, inode: int, user_uid: int) -> int:
    """Open the very file that a process of this user had mapped there: it could read it, too.

    Its device is not compared: btrfs and overlayfs tell stat another one than maps.
    Raises UnsafeFile with the reason, FileNotFoundError.
    """
    _check_path(path)
    fd = _opened(path, partial(_check_readable, user_uid=user_uid, most_bytes=None))
    if os.fstat(fd).st_ino != inode:
        os.close(fd)
        raise UnsafeFile("it is another file by now, or in another place for that process")
    return fd


SYSLOGS = ("/var/log/syslog", "/var/log/messages", "/var/log/daemon.log")
"""rsyslog's, as Debian and others set it up; where both of Debian's are, a line is in both"""


def open_system_log(path: str) -> int:
    """Open a log that the system writes, and no user. Raises UnsafeFile, FileNotFoundError."""
    _check_path(path)
    return _opened(path, check_system_log)


def find_syslog(paths: tuple[str, ...] = SYSLOGS) -> str | None:
    """The first of syslog's files that may be read."""
    for path in filter(os.path.lexists, paths):
        try:
            os.close(open_system_log(path))
        except (OSError, UnsafeFile):
            continue
        return path
    return None


def open_folder(path: str) -> int:
    """A descriptor of a folder without links on its way. Raises UnsafeFile, FileNotFoundError."""
    _check_path(path)
    return openat2(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_below(folder: int, name: str, *, user_uid: int, most_bytes: int) -> int:
    """Open a file below a folder that this user could read, too: `x.dist-info/RECORD`.

    Raises UnsafeFile with the reason, FileNotFoundError.
    """
    check = partial(_check_readable, user_uid=user_uid, most_bytes=most_bytes)
    return _opened(name, check, folder=folder)


def names_in(folder: int, *, most: int) -> list[str]:
    """The names in a folder, the first so many."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, most)]


def _check_path(path: str) -> None:
    if not os.path.isabs(path) or "\0" in path:
        raise UnsafeFile("its path is not absolute")
    if is_slow(path):
        raise UnsafeFile("it lies on a network or user filesystem, which can stall whoever opens it")


def _opened(path: str, check: Callable[[os.stat_result], None], *, folder: int = _AT_FDCWD) -> int:
    """A FIFO is opened, too, without waiting for its other end, and then refused."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    fd = openat2(path, flags, folder=folder)
    try:
        check(os.fstat(fd))
    except UnsafeFile:
        os.close(fd)
        raise
    return fd


def is_slow(path: str) -> bool:
    """Whether a path lies, by its text, on a filesystem that waits for others; nothing is touched."""
    return filesystem_type(own_mountinfo(), path).startswith(SLOW_FILESYSTEMS)


def means_the_same(path: str, pid: int, *, proc_root: str = "/proc") -> bool:
    """Whether an absolute path leads this process and that one to the same place.

    Under ProtectSystem and its like kerneld has a mount namespace of its own, with the host's files in
    the host's places: not the namespaces are compared, but what is mounted where the path leads.
    """
    own, theirs = f"{proc_root}/self", f"{proc_root}/{pid}"
    try:
        if os.readlink(f"{own}/ns/mnt") == os.readlink(f"{theirs}/ns/mnt"):
            return os.readlink(f"{own}/root") == os.readlink(f"{theirs}/root")
    except OSError:
        pass  # whether the namespaces are the same may be hidden; mountinfo never is
    try:
        places = [place_of(read_mounts(f"{who}/mountinfo"), path) for who in (own, theirs)]
    except OSError:
        return False
    return places[0] is not None and places[0] == places[1]


def read_mounts(path: str) -> bytes:
    """A table of mounts. Raises OSError, also for one that takes too long to read."""
    data = bytearray()
    until_s = time.thread_time() + MAX_MOUNTINFO_CPU_S
    with open(path, "rb", buffering=0) as file:
        while piece := file.read(65536):
            data += piece
            if len(data) > MAX_MOUNTINFO_BYTES or time.thread_time() > until_s:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return bytes(data)


def is_own_folder(path: str, uid: int) -> bool:
    """Whether a path without links leads to a folder of this user, on no slow filesystem."""
    if is_slow(path):
        return False
    try:
        fd = openat2(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, UnsafeFile):
        return False
    try:
        return os.fstat(fd).st_uid == uid
    finally:
        os.close(fd)


def stamp(fd: int) -> FileStamp:
    status = os.fstat(fd)
    return FileStamp(status.st_ino, status.st_mtime_ns, status.st_size)


def unlinked_at_ns(fd: int) -> int | None:
    """When the last name of an open file went away (its ctime), or None while it has one."""
    status = os.fstat(fd)
    return status.st_ctime_ns if status.st_nlink == 0 else None


def check_connection_file(status: os.stat_result, owner_uid: int) -> None:
    """Raises UnsafeFile for anything else than a small file of this user's, with one name."""
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile("it is no regular file")
    if status.st_uid != owner_uid:
        raise UnsafeFile(f"it belongs to uid {status.st_uid}, the process to uid {owner_uid}")
    if status.st_nlink > 1:
        raise UnsafeFile("it has a second name (a hard link)")
    if status.st_size > MAX_FILE_BYTES:
        raise UnsafeFile(f"it has {status.st_size} bytes, a connection file has some hundred")


def check_system_log(status: os.stat_result) -> None:
    """Raises UnsafeFile for what a person could have written."""
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile("it is no regular file")
    by_group = status.st_mode & stat.S_IWGRP and not _is_systems(status.st_gid)
    if status.st_mode & stat.S_IWOTH or by_group or not _is_systems(status.st_uid):
        raise UnsafeFile("users may write it")


def _is_systems(number: int) -> bool:
    """Of no person: below SYS_UID_MAX, or in the range of systemd's services and of Debian's slurm."""
    return number < 1000 or 61184 <= number < 65000


def _check_readable(status: os.stat_result, user_uid: int, most_bytes: int | None) -> None:
    """Installed files have second names (conda and uv link them), and root's are read by all."""
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile("it is no regular file")
    if status.st_uid != user_uid and not status.st_mode & stat.S_IROTH:
        raise UnsafeFile("its user could not read it")
    if most_bytes is not None and status.st_size > most_bytes:
        raise UnsafeFile(f"it has {status.st_size} bytes")


def openat2(path: str, flags: int, *, folder: int = _AT_FDCWD) -> int:
    """openat2(2), Linux 5.6: no link of any kind on the whole way, and nothing above the folder.

    Raises UnsafeFile with the reason, FileNotFoundError.
    """
    resolve = _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    if folder != _AT_FDCWD:
        resolve |= _RESOLVE_BENEATH
    how = struct.pack("QQQ", flags, 0, resolve)
    fd: int = _libc.syscall(_SYS_OPENAT2, folder, os.fsencode(path), how, len(how))
    if fd >= 0:
        return fd
    code = ctypes.get_errno()
    if code == errno.ENOENT:
        raise FileNotFoundError(code, os.strerror(code), path)
    reasons = {
        errno.ELOOP: "there is a symbolic link on its path",
        errno.EACCES: "this user may not read it",
        errno.ENXIO: "it is a socket or a device",
    }
    raise UnsafeFile(reasons.get(code, os.strerror(code)))
