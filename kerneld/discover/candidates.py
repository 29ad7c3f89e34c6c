"""One process that names a connection file into a ProcessSeen fact: who it is, and who started it."""

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kerneld.discover.scan import Named
from kerneld.discover.table import FileFound
from kerneld.model.facts import ProcessSeen, ServerSeen
from kerneld.model.process import Process
from kerneld.model.vocabulary import ServerKind
from kerneld.parse.argv import (
    argv_notebook,
    connection_file_of,
    kernel_implementation,
    server_kind,
)
from kerneld.parse.procfs import storable
from kerneld.proc.kin import ancestors
from kerneld.proc.pidfd import is_alive, open_pidfd, pidfd_inode
from kerneld.proc.process import read_argv, read_process, read_stat


@dataclass(frozen=True, slots=True)
class Door:
    """Where processes are read. only_uid: a plain user's daemon looks at the own processes alone."""

    boot_id: str
    only_uid: int | None = None
    proc_root: str = "/proc"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A process as it was at one moment of its life. is_fork: it had executed no program of its own."""

    process: Process
    pidfd: int
    argv: tuple[str, ...]
    is_fork: bool


def pin(pid: int, door: Door) -> Pinned | None:
    """A process and a pidfd of it; None when it is gone, or is none of this daemon's business.

    The pidfd is opened first and asked last, so that what was read in between is of one process.
    """
    try:
        pidfd = open_pidfd(pid)
    except OSError:
        return None
    if not is_alive(pidfd):  # 1,000 zombies read like the living took 1.9 s of a burst's 4.5
        os.close(pidfd)
        return None
    process = read_process(
        pid, boot_id=door.boot_id, pidfd_inode=pidfd_inode(pidfd), proc_root=door.proc_root
    )
    argv = tuple(read_argv(pid, proc_root=door.proc_root))
    stat = read_stat(pid, proc_root=door.proc_root)
    foreign = process is not None and door.only_uid not in (None, process.uid)
    if process is None or stat is None or foreign or not is_alive(pidfd):
        os.close(pidfd)
        return None
    return Pinned(process, pidfd, argv, stat.is_fork)


def see(
    named: Named, door: Door, find: Callable[[Process, str, tuple[int, ...]], FileFound]
) -> ProcessSeen | None:
    """The fact for one named process. find: its file, by its path and its ancestors.

    None: it is gone, or it has executed a program that names no file, as R's start does in subshells.
    """
    pinned = pin(named.pid, door)
    if pinned is None:
        return None
    names_file = [connection_file_of(list(argv)) is not None for argv in (named.argv, pinned.argv)]
    if pinned.argv and names_file == [True, False]:
        os.close(pinned.pidfd)
        return None
    process = pinned.process
    path = absolute(named.path, named.pid, door.proc_root) if named.path else None
    # as it was pinned: a kernel that fails at once may be reaped by now, and has no parents then
    above = process.ppid
    parents = (above, *ancestors(above, door.proc_root)) if above else ()
    found = find(process, path or f"pid {named.pid}", parents)
    implementation, language = kernel_implementation(list(named.argv))
    server, is_nested = _server(process, path, parents, door)
    return ProcessSeen(
        at=datetime.now(UTC),
        process=process,
        pidfd=pinned.pidfd,
        handle=found.handle,
        connection_file=None if path is None else storable(path),
        parents=parents,
        argv_digest=zlib.crc32("\0".join(named.argv).encode(errors="surrogateescape")),
        orphaned_fork=_is_orphaned_fork(named, parents, pinned.is_fork, door.proc_root),
        implementation=implementation,
        language=language,
        begun_by_jupyter=not is_nested and server is not None and server.kind != ServerKind.NONE.value,
        server=server,
        file_problem=found.problem,
        file_elsewhere=found.is_elsewhere,
    )


def absolute(path: str, pid: int, proc_root: str) -> str:
    """A relative path belongs to the process's own folder, where that may be read."""
    if os.path.isabs(path):
        return os.path.normpath(path)
    try:
        return os.path.normpath(os.path.join(os.readlink(f"{proc_root}/{pid}/cwd"), path))
    except OSError:
        return path


def _is_orphaned_fork(named: Named, parents: Sequence[int], is_fork: bool, proc_root: str) -> bool:
    """A fork of a fork … of a process that is gone: nobody alive has executed this command line.

    A process that its own command line does not name (found by its ports) may be its launcher's fork.
    """
    if not connection_file_of(list(named.argv)):
        return False
    for pid in parents:
        if tuple(read_argv(pid, proc_root=proc_root)) != named.argv:
            break
        stat = read_stat(pid, proc_root=proc_root)
        is_fork = stat is not None and stat.is_fork
    return is_fork


def _server(
    process: Process, path: str | None, parents: Sequence[int], door: Door
) -> tuple[ServerSeen | None, bool]:
    """The nearest ancestor that names no connection file, and whether one between names another file.

    Those that name the same file are wrappers; what a kernel starts is below that kernel's server, too.
    """
    is_nested = False
    for pid in parents:
        if pid == 1:
            break
        argv = read_argv(pid, proc_root=door.proc_root)
        if not argv:
            continue
        named = connection_file_of(argv)
        if named:
            is_nested |= path is None or absolute(named, pid, door.proc_root) != path
            continue
        pinned = pin(pid, door)
        if pinned is None:
            break
        kind = server_kind(argv)
        if kind is ServerKind.NONE and is_headless(process):
            kind = ServerKind.NBCLIENT
        notebook = argv_notebook(argv)
        seen = ServerSeen(
            pinned.process, pinned.pidfd, kind.value, storable(notebook) if notebook else None
        )
        return seen, is_nested
    return None, is_nested


def is_headless(process: Process) -> bool:
    """Started by jupyter_client, for no session of a server: nbclient, or a program's own kernel."""
    environ = process.environ
    return "JPY_PARENT_PID" in environ and "JPY_SESSION_NAME" not in environ
