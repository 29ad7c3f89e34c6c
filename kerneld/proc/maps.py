"""/proc/PID: what a living process executes from, read whole where it changed."""

import errno
import os
import time

from kerneld.model.process import ProcessKey
from kerneld.parse.maps import catches_segfaults, executable_kib, executable_lines
from kerneld.proc.pidfd import is_still

MAX_BYTES, MAX_CPU_S = 8 << 20, 0.1
"""of maps: 65,530 maps, as many as Linux allows, are 6 MiB"""
_PIECE_BYTES, _STATUS_BYTES = 64 * 1024, 8192


def read_mapped_status(pid: int, *, proc_root: str = "/proc") -> tuple[int, bool] | None:
    """How much is mapped as code, and whether segfaults are caught; None: gone, or a zombie."""
    try:
        fd = os.open(f"{proc_root}/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.read(fd, _STATUS_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)
    kib = executable_kib(status)
    return None if kib is None else (kib, catches_segfaults(status))


def read_executable_maps(key: ProcessKey, *, proc_root: str = "/proc") -> bytes:
    """The lines of its executable files. Raises OSError: gone, another's, not to be read, too many."""
    fd = os.open(f"{proc_root}/{key.pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
    try:
        kept = _read(fd)
    finally:
        os.close(fd)
    # an empty one is that of a process whose memory is gone
    if not kept or not is_still(proc_root, key):
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    return kept


def _read(fd: int) -> bytes:
    kept, rest, size = [], b"", 0
    until_s = time.thread_time() + MAX_CPU_S
    while piece := os.read(fd, _PIECE_BYTES):
        size += len(piece)
        if size > MAX_BYTES or time.thread_time() > until_s:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        lines, newline, rest = (rest + piece).rpartition(b"\n")
        kept.append(executable_lines(lines + newline))
    return b"".join(kept)
