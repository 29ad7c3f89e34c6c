"""Kept-open files of a process to its memory: resident now, its peak and swap, its children."""

import os

from kerneld.model.process import ProcessKey
from kerneld.parse.procfs import Meminfo, Status, parse_meminfo, parse_stat, parse_status

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MAX_DESCENDANTS = 64
"""a fd each; a kernel with more has its tree's peak told as what the first 64 held"""

_MEMINFO_BYTES = 8192
_STATUS_BYTES = 8192
_CHILDREN_BYTES = 4096
_PRESSURE_BYTES = 256


class Resident:
    """The resident set of one process by its statm: a pread of a kept-open fd, 1.4 µs."""

    __slots__ = ("fd",)

    def __init__(self, folder: int) -> None:
        self.fd = os.open("statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)

    def read_bytes(self) -> int:
        """0 for a process without memory: a zombie, or one that is gone."""
        try:
            return int(os.pread(self.fd, 64, 0).split(None, 2)[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def close(self) -> None:
        os.close(self.fd)


class ProcessMemory:
    """One process and its descendants. Its descriptor of /proc/PID never follows a reused pid.

    Raises ProcessLookupError when the process is gone or its pid is another's; OSError when it
    can't be opened (no descriptors left).
    """

    def __init__(self, key: ProcessKey, *, proc_root: str = "/proc") -> None:
        self._proc_root = proc_root
        try:
            self._folder = os.open(f"{proc_root}/{key.pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as gone:
            raise ProcessLookupError(f"process {key.pid} is gone") from gone
        self.descendants: dict[int, Resident] = {}
        self._main = -1
        try:
            stat = parse_stat(_read_at(self._folder, "stat"))
            if stat is None or stat.start_ticks != key.start_ticks:
                raise ProcessLookupError(f"process {key.pid} is gone")
            self.resident = Resident(self._folder)
        except OSError:
            os.close(self._folder)
            raise
        self._main = _open_or_none(f"task/{key.pid}/children", self._folder)

    def status(self) -> Status:
        """VmHWM and VmSwap; 9.5 µs, so at a slower pace than the resident set."""
        return parse_status(_read_at(self._folder, "status"))

    def main_runs(self) -> bool:
        """Its main thread runs, or waits in Linux for memory or a disk; it does not sleep."""
        stat = parse_stat(_read_at(self._folder, "stat"))
        return stat is not None and stat.state in ("R", "D")

    def descendants_bytes(self) -> int:
        """What the known descendants hold; pages that they share are counted in each."""
        return sum(one.read_bytes() for one in self.descendants.values())

    def find_descendants(self, *, every_thread: bool) -> None:
        """Learn who descends from it now: children of its main thread, or of every thread.

        Almost all are forked by the main thread, where cells run: one pread; the threads of an idle
        ipykernel cost 13 opens.
        """
        if every_thread:
            children = _children_of_threads(self._folder)
        else:
            children = _pids(_pread(self._main, _CHILDREN_BYTES))
        if not children and not self.descendants:
            return
        found = self._walk(children)
        for pid, resident in self.descendants.items():
            if found.get(pid) is not resident:
                resident.close()
        self.descendants = found

    def _walk(self, children: list[int]) -> dict[int, Resident]:
        found: dict[int, Resident] = {}
        waiting = list(children)
        while waiting and len(found) < MAX_DESCENDANTS:
            pid = waiting.pop(0)
            try:
                folder = os.open(f"{self._proc_root}/{pid}", os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                if pid not in found:
                    known = self.descendants.get(pid)
                    found[pid] = known if known and known.read_bytes() else Resident(folder)
                    waiting += _children_of_threads(folder)
            except OSError:
                continue
            finally:
                os.close(folder)
        return found

    def close(self) -> None:
        self.resident.close()
        for one in self.descendants.values():
            one.close()
        self.descendants.clear()
        for fd in (self._main, self._folder):
            if fd >= 0:
                os.close(fd)


class HostMemory:
    """/proc/meminfo and /proc/pressure/memory by kept-open fds: 20 µs and 1 µs."""

    def __init__(self, proc_root: str = "/proc") -> None:
        self._fd = os.open(f"{proc_root}/meminfo", os.O_RDONLY | os.O_CLOEXEC)
        self._pressure = _open_or_none(f"{proc_root}/pressure/memory", None)

    def read(self) -> Meminfo:
        return parse_meminfo(os.pread(self._fd, _MEMINFO_BYTES, 0))

    def pressure(self) -> bytes:
        """Unparsed; empty where this Linux keeps none."""
        return _pread(self._pressure, _PRESSURE_BYTES)

    def close(self) -> None:
        for fd in (self._fd, self._pressure):
            if fd >= 0:
                os.close(fd)


def _children_of_threads(folder: int) -> list[int]:
    """task/TID/children of every thread (CONFIG_PROC_CHILDREN, which all distributions set)."""
    try:
        tasks = os.open("task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return []
    try:
        return [pid for tid in os.listdir(tasks) for pid in _pids(_read_at(tasks, f"{tid}/children"))]
    except OSError:
        return []
    finally:
        os.close(tasks)


def _pids(data: bytes) -> list[int]:
    return [int(pid) for pid in data.split() if pid.isdigit()]


def _pread(fd: int, size: int) -> bytes:
    try:
        return os.pread(fd, size, 0) if fd >= 0 else b""
    except OSError:
        return b""


def _open_or_none(name: str, folder: int | None) -> int:
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return -1


def _read_at(folder: int, name: str) -> bytes:
    fd = _open_or_none(name, folder)
    try:
        return _pread(fd, _STATUS_BYTES)
    finally:
        if fd >= 0:
            os.close(fd)
