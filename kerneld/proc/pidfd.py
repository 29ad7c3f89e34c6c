"""A pid into a pidfd, and a pidfd or a zombie into the wait status that Linux has of it."""

import ctypes
import fcntl
import os
import select
import signal
import struct
from dataclasses import dataclass
from enum import StrEnum

from kerneld.model.process import ProcessKey
from kerneld.parse.procfs import Stat, parse_stat

# include/uapi/linux/pidfd.h: _IOWR(0xFF, 11, the first 64 bytes of struct pidfd_info), Linux 6.13
_PIDFD_GET_INFO = 0xC040FF0B
_INFO_SIZE, _EXIT_CODE_OFFSET = 64, 60
_INFO_EXIT = 1 << 3
"""Linux 6.15. In the reply only once the parent has reaped the process, and for any uid"""

_PID_FS_MAGIC = 0x50494446
"""Linux 6.9. Before it every pidfd shares the one inode of anon_inodefs"""
_libc = ctypes.CDLL(None, use_errno=True)

_DEAD_STATES = frozenset("ZX")


@dataclass(frozen=True, slots=True)
class ExitInfo:
    """What a pidfd tells after the reap. status_raw: as wait(2) gives it."""

    status_raw: int


@dataclass(frozen=True, slots=True)
class ZombieStatus:
    """What the zombie tells. proven: False for a 0 that Linux may have put there as a mask."""

    status_raw: int
    proven: bool


class Life(StrEnum):
    """How a process stands, by /proc.

    LINGERING: its main thread has left, others run on; that thread's status is not the process's.
    """

    ALIVE = "alive"
    LINGERING = "lingering"
    ENDED = "ended"


def open_pidfd(pid: int) -> int:
    """A pidfd, which Linux always makes close-on-exec. Raises ProcessLookupError."""
    return os.pidfd_open(pid)


def pidfd_inode(fd: int) -> int | None:
    """The process's own inode, unique for the boot; None where all pidfds have the same one."""
    statfs = (ctypes.c_long * 32)()  # struct statfs is 120 bytes and begins with f_type
    if _libc.fstatfs(fd, statfs) or statfs[0] != _PID_FS_MAGIC:
        return None
    return os.fstat(fd).st_ino


def is_alive(fd: int) -> bool:
    """A zombie is not alive."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return not poll.poll(0)


def is_reaped(fd: int) -> bool:
    """Its pid may belong to another process by now."""
    try:
        signal.pidfd_send_signal(fd, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def tells_exit(fd: int) -> bool:
    """Whether this Linux knows PIDFD_GET_INFO (6.13; the exit status itself came with 6.15)."""
    try:
        _info(fd)
    except OSError as problem:
        return isinstance(problem, ProcessLookupError)
    return True


def exit_info(fd: int) -> ExitInfo | None:
    """The wait status of a reaped process; None before the reap and on an older Linux."""
    try:
        reply = _info(fd)
    except OSError:
        return None
    (mask,) = struct.unpack_from("=Q", reply)
    if not mask & _INFO_EXIT:
        return None
    (status_raw,) = struct.unpack_from("=i", reply, _EXIT_CODE_OFFSET)
    return ExitInfo(status_raw)


def _info(fd: int) -> bytearray:
    buffer = bytearray(_INFO_SIZE)
    struct.pack_into("=Q", buffer, 0, _INFO_EXIT)
    fcntl.ioctl(fd, _PIDFD_GET_INFO, buffer)
    return buffer


def zombie_status(proc_root: str, key: ProcessKey, pidfd: int) -> ZombieStatus | None:
    """The wait status of a process that its parent has not reaped yet; None once it has.

    The pidfd is asked last: while it is not reaped, nobody else can have had its pid meanwhile.
    """
    stat = _stat(proc_root, key.pid)
    if stat is None or stat.exit_code is None or stat.state not in _DEAD_STATES:
        return None
    proven = stat.exit_code != 0 or _may_ptrace_read(proc_root, key.pid)
    if stat.start_ticks != key.start_ticks or is_reaped(pidfd):
        return None
    return ZombieStatus(stat.exit_code, proven)


def life_of(proc_root: str, key: ProcessKey) -> Life:
    """ENDED also where the pid belongs to another process, or where /proc hides it."""
    stat = _stat(proc_root, key.pid)
    if stat is None or stat.start_ticks != key.start_ticks:
        return Life.ENDED
    if stat.state not in _DEAD_STATES:
        return Life.ALIVE
    return Life.LINGERING if stat.threads > 1 else Life.ENDED


def is_still(proc_root: str, key: ProcessKey) -> bool:
    """The pid of this key still is this very process, and it lives."""
    if life_of(proc_root, key) is not Life.ALIVE:
        return False
    try:
        fd = open_pidfd(key.pid)
    except OSError:
        return False
    try:
        return key.pidfd_inode in (None, pidfd_inode(fd)) and is_alive(fd)
    finally:
        os.close(fd)


def _may_ptrace_read(proc_root: str, pid: int) -> bool:
    """Linux asks the same for this link as for stat's exit_code: PTRACE_MODE_READ_FSCREDS.

    Of a zombie this link can still be read where that is granted (fs/proc/namespaces.c); exe and
    cwd are gone with its memory, and so is every field of stat that is masked in the same way.
    """
    try:
        os.readlink(f"{proc_root}/{pid}/ns/user")
    except OSError:
        return False
    return True


def _stat(proc_root: str, pid: int) -> Stat | None:
    return parse_stat(_read(proc_root, pid, "stat"))


def _read(proc_root: str, pid: int, name: str) -> bytes:
    try:
        fd = os.open(f"{proc_root}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 16384)
    except OSError:
        return b""
    finally:
        os.close(fd)
