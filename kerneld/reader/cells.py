"""Each kernel's recent cells, compressed: a frame's file name into its cell and its line of code."""

import zlib
from collections import OrderedDict
from dataclasses import dataclass

from kerneld.model.growth import Frame
from kerneld.model.said import CellStarted, KernelStatus, SessionFact
from kerneld.parse.cellname import TIMED, cell_hash, count_in, hash_in
from kerneld.parse.stacks import Stacks

MAX_BYTES = 48 * 1024
"""of one kernel, compressed; a cell takes 2 to 5 times less than its text"""
MAX_BYTES_OF_ALL = 12 << 20
MAX_CELLS = 200
MAX_CODE_CHARS = 200
_CELL_BYTES = 400
"""what a kept cell costs beside its text"""


@dataclass(slots=True)
class _Cell:
    """hash: of the source, reckoned when a stack first asks (0.1 ms a KiB)."""

    execution_count: int | None
    packed: bytes
    hash: int | None = None

    @property
    def source(self) -> str:
        return zlib.decompress(self.packed).decode("utf-8", "surrogatepass")

    @property
    def size_bytes(self) -> int:
        return len(self.packed) + _CELL_BYTES


class Cells:
    """One kernel's, newest last. A cell that was longer than iopub's facts keep is not found again."""

    def __init__(self) -> None:
        self._cells: OrderedDict[str, _Cell] = OrderedDict()
        self.size_bytes = 0

    def hear(self, fact: SessionFact) -> None:
        """A new life of the kernel knows no cell."""
        if isinstance(fact, KernelStatus) and fact.state == "starting":
            self._cells.clear()
            self.size_bytes = 0
        if isinstance(fact, CellStarted) and fact.source and fact.sha256:
            self._add(fact.sha256, fact.source, fact.execution_count)

    def _add(self, digest: str, source: str, count: int | None) -> None:
        """The same cell again is the same file: it gets its new number."""
        known = self._cells.pop(digest, None)
        if known is None:
            known = _Cell(count, zlib.compress(source.encode("utf-8", "surrogatepass"), level=1))
            self.size_bytes += known.size_bytes
        known.execution_count = count
        self._cells[digest] = known
        while len(self._cells) > 1 and (len(self._cells) > MAX_CELLS or self.size_bytes > MAX_BYTES):
            self.drop_oldest()

    def drop_oldest(self) -> None:
        _, cell = self._cells.popitem(last=False)
        self.size_bytes -= cell.size_bytes

    def __len__(self) -> int:
        return len(self._cells)

    # ------------------------------------------------------------------ frames

    def explained(self, stacks: Stacks) -> Stacks:
        """The same stacks, each frame of a known cell with the cell's number and its line of code."""
        return Stacks(
            threads=tuple(
                one.model_copy(update={"place": self._explain(one.place)}) if one.place else one
                for one in stacks.threads
            ),
            frames=tuple(self._explain(frame) for frame in stacks.frames),
        )

    def _explain(self, frame: Frame) -> Frame:
        cell = self._cell_of(frame.file)
        if cell is None or frame.line is None:
            return frame
        lines = cell.source.split("\n")
        # a %%time cell's body is compiled without its first line
        number = frame.line + 1 if frame.file in TIMED else frame.line
        code = lines[number - 1][:MAX_CODE_CHARS] if number <= len(lines) else None
        return frame.model_copy(
            update={"line": number, "code": code, "execution_count": cell.execution_count}
        )

    def _cell_of(self, file: str) -> _Cell | None:
        newest_first = reversed(self._cells.values())
        wanted, count = hash_in(file), count_in(file)
        if wanted is not None:
            return next((cell for cell in newest_first if _hash_of(cell) == wanted), None)
        if count is not None:
            return next((cell for cell in newest_first if cell.execution_count == count), None)
        if file in TIMED:
            return next((cell for cell in newest_first if cell.source.startswith("%%time")), None)
        return None


def _hash_of(cell: _Cell) -> int:
    if cell.hash is None:
        cell.hash = cell_hash(cell.source)
    return cell.hash


def make_room(kernels: list[Cells]) -> None:
    """Of all kernels' cells together, the fullest kernel's oldest go first."""
    while sum(cells.size_bytes for cells in kernels) > MAX_BYTES_OF_ALL:
        max(kernels, key=lambda cells: cells.size_bytes).drop_oldest()
