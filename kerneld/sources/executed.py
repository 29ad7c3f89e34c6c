"""What the living execute from, kept compressed, and read anew when more or less code is mapped."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from kerneld.model.place import MappedFile, WrittenFile
from kerneld.model.process import Process, ProcessKey
from kerneld.parse.maps import file_at
from kerneld.proc.maps import read_executable_maps, read_mapped_status
from kerneld.proc.written import read_written_files

FIRST_LOOK_S, BUSY_LOOK_S, REST_LOOK_S = 0.05, 2.0, 10.0
"""a cell imports as it begins: pauses of 0.05 s, 0.1, 0.2, … and then of 2 s. A look takes 20 µs, and
2 ms more where the code of 300 libraries changed, most of it Linux's"""
TOGETHER_S = 1.0
"""Looks are taken together, seldom ones at whole seconds: each for itself, 200 busy kernels woke the
thread 200 times a second"""
MAX_BYTES, MAX_BYTES_OF_ALL = 16 << 10, 4 << 20
"""compressed, of one process: 300 libraries take 8 KiB; of all: those seen longest ago go first"""


@dataclass(slots=True)
class _Process:
    """packed: the lines of its maps when executable_kib was that, else problem says why there are none.

    due_s: of the next look, None: it has ended; whole_due_s: of the next that is taken even if no more
    is mapped than mapped_pages, what was mapped at the last. written: files open to write, where
    segfaults are caught. handle: of its cells.
    """

    process: Process
    due_s: float | None = None
    whole_due_s: float = 0.0
    looked_s: float = -FIRST_LOOK_S
    pause_s: float = FIRST_LOOK_S
    busy: bool = False
    mapped_pages: int = 0
    executable_kib: int = 0
    packed: bytes = b""
    problem: str = "they were not looked at in time"
    written: tuple[WrittenFile, ...] = ()
    handle: int | None = None


class Executed:
    """Owned by one thread; now_s is monotonic.

    mapped_pages: the address space of a process when it was last sampled, which grows with whatever
    is mapped; None: it is not known.
    """

    def __init__(
        self, proc_root: str = "/proc", *, mapped_pages: Callable[[ProcessKey], int | None]
    ) -> None:
        self._proc_root = proc_root
        self._mapped_pages = mapped_pages
        self._known: dict[ProcessKey, _Process] = {}
        self._dues: list[tuple[float, int, _Process]] = []
        self._planned = 0
        self.size_bytes = 0

    def add(self, process: Process, now_s: float) -> None:
        if process.key not in self._known:
            known = self._known[process.key] = _Process(process)
            self._plan(known, now_s)

    def hear(self, key: ProcessKey, handle: int) -> None:
        known = self._known.get(key)
        if known is not None:
            known.handle = handle

    def forget(self, key: ProcessKey) -> None:
        known = self._known.pop(key, None)
        if known is not None:
            known.due_s = None
            self.size_bytes -= len(known.packed)

    def mark_busy(self, key: ProcessKey, busy: bool, now_s: float) -> None:
        """A cell begins, or it is over: either may have imported something."""
        known = self._known.get(key)
        if known is not None and known.due_s is not None:
            known.busy, known.pause_s, known.whole_due_s = busy, FIRST_LOOK_S, now_s
            began_s = now_s if busy else known.looked_s  # cells may follow fast
            self._plan(known, max(now_s, began_s + FIRST_LOOK_S))

    def _plan(self, known: _Process, due_s: float) -> None:
        known.due_s = due_s
        self._planned += 1
        heappush(self._dues, (due_s, self._planned, known))

    def next_look_s(self) -> float | None:
        return self._dues[0][0] if self._dues else None

    def look(self, now_s: float) -> None:
        """At each that is due; one that was planned anew since stands there twice."""
        while self._dues and self._dues[0][0] <= now_s:
            due_s, _, known = heappop(self._dues)
            if known.due_s == due_s:
                self._look(known, now_s)

    def _look(self, known: _Process, now_s: float) -> None:
        known.looked_s, known.due_s = now_s, None
        mapped = self._mapped_pages(known.process.key)
        if mapped is None or mapped > known.mapped_pages or now_s >= known.whole_due_s:
            whole_s = (
                BUSY_LOOK_S if known.busy else REST_LOOK_S
            )  # a log given to faulthandler maps nothing
            known.mapped_pages, known.whole_due_s = mapped or 0, now_s + whole_s
            if not self._look_wholly(known):
                return  # what was mapped stays known until its case is settled
        else:
            known.mapped_pages = mapped  # an array went: less than that may be mapped anew
        pause_s = known.pause_s if known.busy else REST_LOOK_S
        grid_s = TOGETHER_S if pause_s >= BUSY_LOOK_S else FIRST_LOOK_S
        self._plan(known, grid_s * round((now_s + pause_s) / grid_s))
        known.pause_s = min(2 * known.pause_s, BUSY_LOOK_S)

    def _look_wholly(self, known: _Process) -> bool:
        """False when the process has ended."""
        status = read_mapped_status(known.process.pid, proc_root=self._proc_root)
        if status is None:
            return False
        kib, catches = status
        if catches:
            known.written = read_written_files(known.process.key, proc_root=self._proc_root)
        if kib != known.executable_kib:
            self._read(known, kib)
        return True

    def _read(self, known: _Process, kib: int) -> None:
        try:
            lines = read_executable_maps(known.process.key, proc_root=self._proc_root)
        except ProcessLookupError:
            return
        except OSError as problem:
            known.problem = f"they can't be read: {problem.strerror}"
            return
        known.executable_kib = kib
        packed = zlib.compress(lines, level=1)
        if len(packed) > MAX_BYTES:
            self._drop(known, "there are too many")
            return
        self.size_bytes += len(packed) - len(known.packed)
        known.packed = packed
        # the one that was read last stands last
        self._known[known.process.key] = self._known.pop(known.process.key)
        for other in self._known.values():
            if self.size_bytes <= MAX_BYTES_OF_ALL:
                break
            self._drop(other, "those of all kernels together are too many")

    def _drop(self, known: _Process, reason: str) -> None:
        self.size_bytes -= len(known.packed)
        known.packed, known.problem = b"", reason

    def find(self, key: ProcessKey, address: int, name: str) -> MappedFile | str:
        """The file of that name that was mapped there when it was last looked at; else why not."""
        known = self._known.get(key)
        if known is None or not known.packed:
            reason = known.problem if known else "the process was not watched"
            return f"the maps of the process, which tell where {name} is: {reason}"
        found = file_at(zlib.decompress(known.packed), address, name)
        return found or f"{name} was mapped after the last look at the process's maps"

    def written(self, key: ProcessKey) -> tuple[tuple[WrittenFile, ...], int | None]:
        """The files that it had open to write, if it caught segfaults; the handle of its cells."""
        known = self._known.get(key)
        return (known.written, known.handle) if known else ((), None)
