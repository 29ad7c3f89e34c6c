"""The list of pids into the few whose command line names a kernel.

A pid is looked at when it is new, while it is young (a fork has its parent's command line until it
executes), and every FULL_SCAN_S (a pid may be reused, a process may execute late).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from kerneld.parse.argv import connection_file_of, is_bare_ipykernel
from kerneld.proc.process import list_pids, read_argv

FULL_SCAN_S = 10.0
READS_A_BREATH = 64
YOUNG_S = 3.0


@dataclass(frozen=True, slots=True)
class Named:
    """A process that names a connection file; path None: a bare ipykernel, whose file has its pid."""

    pid: int
    argv: tuple[str, ...]
    path: str | None


class ProcessScan:
    """What was looked at already. Cost: one listing of /proc, and a read for each new pid."""

    def __init__(self, proc_root: str = "/proc") -> None:
        self._proc_root = proc_root
        self._seen_at: dict[int, float] = {}
        self._argv: dict[int, tuple[str, ...]] = {}
        self._full_at = float("-inf")

    def look(self) -> Iterator[list[Named]]:
        """The processes whose command line names a kernel and was not told before.

        Told piece by piece: between them the caller may look at what is more urgent.
        """
        now = time.monotonic()
        full = now - self._full_at >= FULL_SCAN_S
        if full:
            self._full_at = now
        pids = list_pids(self._proc_root)
        for pid in self._seen_at.keys() - set(pids):
            del self._seen_at[pid]
            self._argv.pop(pid, None)
        wanted = [p for p in pids if now - self._seen_at.setdefault(p, now) <= YOUNG_S or full]
        for start in range(0, len(wanted), READS_A_BREATH):
            named = map(self._read, wanted[start : start + READS_A_BREATH])
            yield [one for one in named if one is not None]

    def look_at(self, pid: int) -> Named | None:
        """The same for one process that has just begun a program."""
        self._seen_at[pid] = time.monotonic()
        return self._read(pid)

    def has_young(self) -> bool:
        now = time.monotonic()
        return any(now - at <= YOUNG_S for at in self._seen_at.values())

    def forget(self, pid: int) -> None:
        """Look at this pid again as if it were new: its process ended, or could not be read yet."""
        self._argv.pop(pid, None)
        self._seen_at.pop(pid, None)

    def put_off(self, pid: int) -> None:
        """Look at this pid again with the next full scan: its user has too many."""
        self._argv.pop(pid, None)

    def _read(self, pid: int) -> Named | None:
        argv = tuple(read_argv(pid, proc_root=self._proc_root) or ())
        if not argv or self._argv.get(pid) == argv:
            return None
        path = connection_file_of(list(argv))
        if path is None and not is_bare_ipykernel(list(argv)):
            self._argv.pop(pid, None)
            return None
        self._argv[pid] = argv
        return Named(pid, argv, path)
