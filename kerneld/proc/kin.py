"""A process that Linux says is dying, with its ancestors: pinned, or known by its parent alone."""

import os
from collections.abc import Collection

from kerneld.model.process import Process, ProcessKey
from kerneld.proc.pidfd import is_reaped, open_pidfd, pidfd_inode
from kerneld.proc.process import boot_seconds, read_process, read_stat

MAX_ANCESTORS = 12


def ancestors(pid: int, proc_root: str = "/proc") -> tuple[int, ...]:
    """The pids above a process, nearest first, as far as pid 1."""
    found: list[int] = []
    while len(found) < MAX_ANCESTORS and pid != 1:
        stat = read_stat(pid, proc_root=proc_root)
        if stat is None or not stat.ppid or stat.ppid in found:
            break
        pid = stat.ppid
        found.append(pid)
    return tuple(found)


def pin_dying(
    pid: int, *, boot_id: str, proc_root: str = "/proc", below: Collection[int] | None = None
) -> tuple[Process, int, tuple[int, ...]] | None:
    """The process, a pidfd of it, and its ancestors; None when it is reaped.

    below: None as well where none of these pids is above it; asked first, as it is cheap. The pidfd
    is opened first and asked last: a zombie's pid is nobody else's, and what it says is its own.
    """
    try:
        pidfd = open_pidfd(pid)
    except OSError:
        return None
    process = None
    above = ancestors(pid, proc_root)
    if below is None or any(parent in below for parent in above):
        inode = pidfd_inode(pidfd)
        process = read_process(pid, boot_id=boot_id, pidfd_inode=inode, proc_root=proc_root)
    if process is None or is_reaped(pidfd):
        os.close(pidfd)
        return None
    return process, pidfd, above


def vanished(
    pid: int, *, parent: int, below: Collection[int], boot_id: str, proc_root: str = "/proc"
) -> tuple[Process, tuple[int, ...]] | None:
    """A process that was reaped before it could be read, made of its parent, below one of these pids.

    Its name is not known, and its start only to be after its parent's.
    """
    parents = (parent, *ancestors(parent, proc_root))
    if not any(each in below for each in parents):
        return None
    above = read_process(parent, boot_id=boot_id, pidfd_inode=None, proc_root=proc_root)
    if above is None:
        return None
    ticks = int(boot_seconds() * os.sysconf("SC_CLK_TCK"))
    key = ProcessKey(boot_id=boot_id, pid=pid, start_ticks=ticks)
    changes = {"key": key, "comm": "?", "ppid": parent, "ns_pid": None}
    return above.model_copy(update=changes), parents
