"""Processes into the few that hold most memory: a look at every statm, in slices, 5 µs each."""

import heapq
import os
from collections.abc import Callable, Iterable

from kerneld.model.readings import ProcessSize
from kerneld.parse.procfs import parse_statm_rss
from kerneld.proc.memory import PAGE_BYTES
from kerneld.proc.process import read_sender

COUNT = 10
SLICE = 64
MAX_GROUPS, MAX_MEMBERS, MAX_LIST_BYTES = 256, 16_384, 1 << 18


def largest(
    pids: Iterable[int], breathe: Callable[[], object], *, proc_root: str = "/proc"
) -> tuple[ProcessSize, ...]:
    """The COUNT largest of these processes, largest first. breathe: called between two slices."""
    most: list[tuple[int, int]] = []
    for number, pid in enumerate(pids, 1):
        pages = parse_statm_rss(_statm(pid, proc_root))
        if pages and len(most) < COUNT:
            heapq.heappush(most, (pages, pid))
        elif pages and pages > most[0][0]:
            heapq.heapreplace(most, (pages, pid))
        if not number % SLICE:
            breathe()
    named = (_named(pid, pages * PAGE_BYTES, proc_root) for pages, pid in sorted(most, reverse=True))
    return tuple(one for one in named if one is not None)


def _named(pid: int, rss_bytes: int, proc_root: str) -> ProcessSize | None:
    who = read_sender(pid, proc_root=proc_root)
    if who is None:
        return None
    return ProcessSize(
        pid=pid, comm=who.comm, uid=who.uid, user_name=who.user_name, rss_bytes=rss_bytes
    )


def members(directory: str) -> list[int]:
    """The processes of a cgroup and of those below it; as many as are worth a look."""
    found: list[int] = []
    waiting = [directory]
    for _ in range(MAX_GROUPS):
        if not waiting or len(found) >= MAX_MEMBERS:
            break
        group = waiting.pop()
        try:
            with open(f"{group}/cgroup.procs", "rb") as procs:
                found += map(int, procs.read(MAX_LIST_BYTES).split())
            with os.scandir(group) as entries:
                waiting += [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:
            continue
    return found


def _statm(pid: int, proc_root: str) -> bytes:
    try:
        fd = os.open(f"{proc_root}/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 64)
    except OSError:
        return b""
    finally:
        os.close(fd)
