"""What the reader does with a library and its package's papers: the one answer that was asked for."""

import os

from kerneld.model.wire import LibraryOrder, LibraryParsed
from kerneld.parse.crashtrace import MAX_TAIL_BYTES, parse_trace
from kerneld.parse.elf import NoSymbol, function_at
from kerneld.parse.packages import parse_conda, parse_metadata, record_has
from kerneld.parse.stacks import Stacks
from kerneld.reader.cells import Cells

MAX_PAPER_BYTES = 16 << 20
"""torch's RECORD has 2 MiB, conda's python.json 1 MiB"""


def read_library(order: LibraryOrder, fd: int, cells: Cells | None) -> LibraryParsed:
    """cells: the kernel's, in which a trace's lines are looked up.

    Read in pieces: a map of a file that its user cuts short would end this process by SIGBUS."""
    number, path = order.number, order.path.encode("latin-1", "replace")
    if order.asks == "symbol":
        told = function_at(lambda offset, size: _pread(fd, offset, size), order.offset)
        if isinstance(told, NoSymbol):
            return LibraryParsed(number=number, problem=told.reason)
        return LibraryParsed(number=number, symbol=told)
    if order.asks == "trace":
        return _trace(number, fd, cells)
    data = _pread(fd, 0, MAX_PAPER_BYTES)
    if order.asks == "record":
        return LibraryParsed(number=number, owns=record_has(data, path))
    package = parse_metadata(data) if order.asks == "metadata" else parse_conda(data, path)
    if package is None:
        return LibraryParsed(number=number)
    return LibraryParsed(number=number, owns=True, package=package[0], version=package[1])


def _trace(number: int, fd: int, cells: Cells | None) -> LibraryParsed:
    size = os.fstat(fd).st_size
    told = parse_trace(_pread(fd, max(0, size - MAX_TAIL_BYTES), MAX_TAIL_BYTES))
    if told is None:
        return LibraryParsed(number=number)
    frames = cells.explained(Stacks(frames=told.frames)).frames if cells else told.frames
    return LibraryParsed(number=number, said=told.said, frames=frames, native_stack=told.native_stack)


def _pread(fd: int, offset: int, size: int) -> bytes:
    """Fewer bytes where there are no more, none where the offset is no place in a file."""
    try:
        return os.pread(fd, size, offset)
    except (OSError, OverflowError):
        return b""
