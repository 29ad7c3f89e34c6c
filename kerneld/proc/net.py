"""Whether a process itself listens on its kernel's ports: its own sockets, not a neighbour's."""

import os
import time
from itertools import islice

from kerneld.model.process import Connection
from kerneld.parse.procfs import listening_tcp, listening_unix

MAX_DESCRIPTORS = 4096
"""a kernel binds its sockets first, and a process may hold a million of others"""


def listens(pid: int, connection: Connection, *, uid: int, proc_root: str = "/proc") -> bool:
    """True when this process holds the listening sockets of the shell and iopub ports.

    Where its descriptors can't be listed (no CAP_DAC_READ_SEARCH), the sockets' owner must do.
    """
    inodes = _listening_inodes(pid, connection, uid=uid, proc_root=proc_root)
    if inodes is None:
        return False
    try:
        return _holds(pid, inodes, proc_root)
    except PermissionError:
        return True


def find_listener(
    pids: list[int], connection: Connection, *, uid: int, until: float, proc_root: str = "/proc"
) -> int | None:
    """The first of these processes that holds the connection's listening sockets, in this network.

    until: monotonic; a user's processes and their descriptors may be many.
    """
    wanted = _listening_inodes("self", connection, uid=uid, proc_root=proc_root)
    if wanted is None:
        return None
    for pid in pids:
        if time.monotonic() > until:
            return None
        try:
            if os.stat(f"{proc_root}/{pid}").st_uid != uid:
                continue
            if _holds(pid, wanted, proc_root):
                return pid
        except OSError:
            continue
    return None


def _listening_inodes(
    pid: int | str, connection: Connection, *, uid: int, proc_root: str
) -> frozenset[int] | None:
    if connection.transport == "ipc":
        wanted_paths = {f"{connection.ip}-{p}" for p in (connection.shell_port, connection.iopub_port)}
        found = listening_unix(_read(f"{proc_root}/{pid}/net/unix"))
        inodes = frozenset(inode for path, inode in found if path in wanted_paths)
        return inodes if len(inodes) == len(wanted_paths) else None
    wanted = {connection.shell_port, connection.iopub_port}
    text = _read(f"{proc_root}/{pid}/net/tcp") + _read(f"{proc_root}/{pid}/net/tcp6")
    sockets = {s.port: s.inode for s in listening_tcp(text) if s.port in wanted and s.uid == uid}
    return frozenset(sockets.values()) if sockets.keys() == wanted else None


def _holds(pid: int, wanted: frozenset[int], proc_root: str) -> bool:
    """Whether it has these sockets among its first descriptors. Raises OSError where it is gone."""
    folder = f"{proc_root}/{pid}/fd"
    missing = set(wanted)
    with os.scandir(folder) as entries:
        for entry in islice(entries, MAX_DESCRIPTORS):
            try:
                target = os.readlink(f"{folder}/{entry.name}")
            except FileNotFoundError:
                continue
            if target.startswith("socket:["):
                missing.discard(int(target[8:-1]))
                if not missing:
                    return True
    return False


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
