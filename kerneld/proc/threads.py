"""A thread's number in the Linux log to the process it belongs to, while that can still be read."""

import os
from datetime import datetime, timedelta

from kerneld.parse.procfs import parse_stat, parse_status
from kerneld.proc.process import started_at

INITIAL_PID_NAMESPACE = "pid:[4026531836]"
"""PROC_PID_INIT_INO of linux/proc_ns.h: fixed, as user space knows the first namespaces by it"""

CLOCK_SLACK = timedelta(seconds=1)
"""start ticks are 10 ms, and the log's clock drifts against the wall's"""

_MAX_BYTES = 8192


def in_initial_pid_namespace(proc_root: str = "/proc") -> bool:
    """Whether pids here are those that Linux logs."""
    try:
        return os.readlink(f"{proc_root}/self/ns/pid") == INITIAL_PID_NAMESPACE
    except OSError:
        return False


def tgid_of(tid: int, *, comm: str | None, at: datetime, proc_root: str = "/proc") -> int | None:
    """The process of the thread that was named `comm` at that time; None: gone, or another by now."""
    try:
        folder = os.open(f"{proc_root}/{tid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = parse_stat(_read_at(folder, "stat"))
        status = parse_status(_read_at(folder, "status"))
    except OSError:
        return None
    finally:
        os.close(folder)
    if stat is None or (comm is not None and stat.comm != comm):
        return None
    return status.tgid if started_at(stat.start_ticks) <= at + CLOCK_SLACK else None


def _read_at(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(fd, _MAX_BYTES)
    finally:
        os.close(fd)
