"""A pid to what /proc says of it: identity, limits, cgroup, the few variables that may be kept."""

import os
import pwd
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from kerneld.model.base import slim
from kerneld.model.host import Host
from kerneld.model.process import CgroupLocation, Limit, Process, ProcessKey, Rlimits
from kerneld.parse.cgroups import container_of, parse_membership, unit_of
from kerneld.parse.procfs import (
    Stat,
    parse_argv,
    parse_environ,
    parse_limits,
    parse_stat,
    parse_status,
)
from kerneld.proc.cgroup import CGROUP_ROOT, cgroup_dirs, cgroup_limits

MAX_ARGV_BYTES = 256 * 1024
MAX_ENVIRON_BYTES = 1024 * 1024
_MAX_TABLE_BYTES = 64 * 1024
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TICK = timedelta(seconds=1 / _TICKS_PER_S)


def read_process(
    pid: int,
    *,
    boot_id: str,
    pidfd_inode: int | None,
    proc_root: str = "/proc",
    cgroup_root: str = CGROUP_ROOT,
) -> Process | None:
    """Everything once; None when the process is gone. What may not be read stays empty.

    All is read under one descriptor of /proc/PID, which never follows a reused pid.
    """
    try:
        folder = os.open(f"{proc_root}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = parse_stat(_read_at(folder, "stat"))
        if stat is None:
            return None
        key = ProcessKey(
            boot_id=boot_id, pid=pid, start_ticks=stat.start_ticks, pidfd_inode=pidfd_inode
        )
        return _process(key, stat, folder, roots=(proc_root, cgroup_root))
    finally:
        os.close(folder)


def _process(key: ProcessKey, stat: Stat, folder: int, *, roots: tuple[str, str]) -> Process | None:
    status = parse_status(_read_at(folder, "status"))
    if status.uid is None:
        return None
    groups = parse_membership(_read_at(folder, "cgroup"))
    memory_path = groups.memory.path if groups.memory else None
    rlimits = parse_limits(_read_at(folder, "limits"))
    container = container_of(memory_path) or container_of(groups.systemd)
    process = Process(
        key=key,
        comm=stat.comm,
        ppid=stat.ppid,
        pgid=stat.pgrp,
        sid=stat.session,
        uid=status.uid,
        user_name=user_name(status.uid),
        started_at=started_at(stat.start_ticks),
        cgroup=groups.memory,
        unit=unit_of(groups.systemd) or unit_of(memory_path),
        limits=_limits(rlimits, groups.memory, roots),
        environ=parse_environ(_read_at(folder, "environ", MAX_ENVIRON_BYTES)),
        ns_pid=status.ns_pids[-1] if len(status.ns_pids) > 1 else None,
        container_id=container.id if container else None,
        container_how=container.how if container else None,
        same_network_namespace=_shares_network(folder, roots[0]),
        stack_top=stat.stack_top,
        stack_limit_bytes=rlimits.stack_bytes,
    )
    return slim(process)


def _limits(
    rlimits: Rlimits, location: CgroupLocation | None, roots: tuple[str, str]
) -> tuple[Limit, ...]:
    """Every ceiling, tightest first."""
    limits: list[Limit] = []
    if location is not None:
        dirs = cgroup_dirs(location, proc_root=roots[0], cgroup_root=roots[1])
        limits += cgroup_limits(dirs)
    limits += rlimits.limits()
    return tuple(sorted(limits, key=lambda limit: limit.limit_bytes))


def _shares_network(folder: int, proc_root: str) -> bool:
    """By the inode of a table that each network namespace has: unlike ns/net it needs no right.

    True also where Linux tells neither: most processes do.
    """
    try:
        theirs = os.stat("net/tcp", dir_fd=folder).st_ino
        return theirs == os.stat(f"{proc_root}/self/net/tcp").st_ino
    except OSError:
        return True


def read_stat(pid: int, *, proc_root: str = "/proc") -> Stat | None:
    """/proc/PID/stat, or None when the process is gone."""
    return parse_stat(_read(f"{proc_root}/{pid}/stat"))


@dataclass(frozen=True, slots=True)
class Sender:
    """Whose thread it is: the process, its owner and its systemd unit."""

    pid: int
    comm: str
    uid: int
    user_name: str | None
    unit: str | None


def read_sender(tid: int, *, before: datetime | None = None, proc_root: str = "/proc") -> Sender | None:
    """The process of a thread; None: it is gone, or (before: a time) another has its number by now."""
    status = parse_status(_read(f"{proc_root}/{tid}/status"))
    stat = read_stat(tid, proc_root=proc_root)
    if stat is None or status.tgid is None or status.uid is None:
        return None
    if before is not None and started_at(stat.start_ticks) > before + _TICK:
        return None
    groups = parse_membership(read_cgroups(tid, proc_root=proc_root))
    memory_path = groups.memory.path if groups.memory else None
    unit = unit_of(groups.systemd) or unit_of(memory_path)
    return Sender(status.tgid, stat.comm, status.uid, user_name(status.uid), unit)


def read_rlimits(pid: int, *, proc_root: str = "/proc") -> Rlimits | None:
    """Its limits now, a zombie's too; None when it is gone."""
    data = _read(f"{proc_root}/{pid}/limits")
    return parse_limits(data) if data else None


def read_argv(pid: int, *, proc_root: str = "/proc") -> list[str]:
    """The command line; empty when the process is gone, a zombie or a thread of Linux."""
    return parse_argv(_read(f"{proc_root}/{pid}/cmdline", MAX_ARGV_BYTES))


def read_cgroups(pid: int, *, proc_root: str = "/proc") -> bytes:
    """Its cgroups as Linux writes them, to be compared; empty when it is gone."""
    return _read(f"{proc_root}/{pid}/cgroup")


def list_pids(proc_root: str = "/proc") -> list[int]:
    """Every process, unsorted: 0.1 ms a hundred."""
    return [int(name) for name in os.listdir(proc_root) if name.isdigit()]


def started_at(start_ticks: int) -> datetime:
    """The wall time of a start tick, to the tick (10 ms).

    CLOCK_REALTIME less CLOCK_BOOTTIME moves only when the clock is set, not when it is slewed:
    rounded to 1 ms it is the same at every reading.
    """
    booted_s = round(time.clock_gettime(time.CLOCK_REALTIME) - boot_seconds(), 3)
    return datetime.fromtimestamp(booted_s + start_ticks / _TICKS_PER_S, UTC)


def boot_seconds() -> float:
    """Seconds since boot, suspends counted: the clock of start ticks and of samples."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_clock(at: datetime) -> float:
    """A wall time of just now, on the clock of the samples."""
    return at.timestamp() - time.time() + boot_seconds()


def boot_id(proc_root: str = "/proc") -> str:
    """This boot's id, "" where it can't be read."""
    return _read(f"{proc_root}/sys/kernel/random/boot_id").decode("ascii", "replace").strip()


def host(proc_root: str = "/proc") -> Host:
    machine = os.uname()
    return Host(name=machine.nodename, boot_id=boot_id(proc_root), linux_release=machine.release)


@lru_cache(maxsize=1024)
def user_name(uid: int) -> str | None:
    """The name of a uid, None where there is none (a container's users). A directory may be slow."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


def _read_at(folder: int, name: str, limit_bytes: int = _MAX_TABLE_BYTES) -> bytes:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return b""
    return _drain(fd, limit_bytes)


def _read(path: str, limit_bytes: int = _MAX_TABLE_BYTES) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    return _drain(fd, limit_bytes)


def _drain(fd: int, limit_bytes: int) -> bytes:
    """A procfs file hands out a page or so at a read; ESRCH: the process ended meanwhile."""
    chunks: list[bytes] = []
    left = limit_bytes
    try:
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
    except OSError:
        return b""
    finally:
        os.close(fd)
    return b"".join(chunks)
