"""Whether a process itself listens on its kernel's ports: its own sockets, not a neighbour's."""

import os

from kerneld.model.process import Connection
from kerneld.parse.procfs import listening_tcp, listening_unix


def listens(pid: int, connection: Connection, *, uid: int, proc_root: str = "/proc") -> bool:
    """True when this process holds the listening sockets of the shell and iopub ports.

    Where its descriptors can't be listed (no CAP_DAC_READ_SEARCH), the sockets' owner must do.
    """
    inodes = _listening_inodes(pid, connection, uid=uid, proc_root=proc_root)
    if inodes is None:
        return False
    held = _socket_inodes(pid, proc_root)
    return held is None or inodes <= held


def find_listener(
    pids: list[int], connection: Connection, *, uid: int, proc_root: str = "/proc"
) -> int | None:
    """The first of these processes that holds the connection's listening sockets, in this network."""
    wanted = _listening_inodes("self", connection, uid=uid, proc_root=proc_root)
    if wanted is None:
        return None
    for pid in pids:
        try:
            if os.stat(f"{proc_root}/{pid}").st_uid != uid:
                continue
            held = _socket_inodes(pid, proc_root)
        except OSError:
            continue
        if held is not None and wanted <= held:
            return pid
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


def _socket_inodes(pid: int, proc_root: str) -> frozenset[int] | None:
    folder = f"{proc_root}/{pid}/fd"
    inodes = set()
    try:
        names = os.listdir(folder)
    except PermissionError:
        return None
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(int(target[8:-1]))
    return frozenset(inodes)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
