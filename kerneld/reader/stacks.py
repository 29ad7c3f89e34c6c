"""py-spy's JSON into the threads that ran, each frame of a cell with the cell's own line."""

import os
import time

from kerneld.model.wire import StackParsed
from kerneld.parse.stacks import MAX_TEXT_BYTES, NoStacks, parse_stacks
from kerneld.reader.cells import Cells


def read_stacks(number: int, fd: int, cells: Cells | None) -> StackParsed:
    """What stands behind a descriptor, answered under this number. cells: the kernel's."""
    began_s = time.thread_time()
    told = parse_stacks(os.pread(fd, MAX_TEXT_BYTES, 0))
    if isinstance(told, NoStacks):
        return StackParsed(number=number, problem=told.reason, no_python=told.no_python)
    told = cells.explained(told) if cells else told
    cpu_s = time.thread_time() - began_s
    return StackParsed(number=number, threads=told.threads, frames=told.frames, cpu_s=cpu_s)
