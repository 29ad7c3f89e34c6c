"""Where a fault's address leads: the file that was mapped there, its function, its package."""

import signal
from dataclasses import dataclass

from kerneld.model.base import Record, Timestamp
from kerneld.model.growth import Frame

TRACE_KINDS = {
    "Segmentation fault": "segfault",
    "Bus error": "bus_error",
    "Illegal instruction": "invalid_opcode",
    "Floating-point exception": "divide_error",
    "Floating point exception": "divide_error",
    "Aborted": "abort",
}
"""faulthandler's names of signals, and the kinds of faults that they are"""
SIGNAL_KINDS: dict[int, str] = {
    signal.SIGSEGV: "segfault",
    signal.SIGBUS: "bus_error",
    signal.SIGILL: "invalid_opcode",
    signal.SIGFPE: "divide_error",
    signal.SIGTRAP: "int3",
    signal.SIGABRT: "abort",
}


class CrashTrace(Record):
    """What Python's faulthandler wrote into a file of the user's as the process crashed.

    at: when it did. said: one of TRACE_KINDS. frames: the crashed thread's, outermost first.
    native_stack: its C stack, from Python 3.14 on.
    """

    at: Timestamp
    file: str
    said: str
    frames: tuple[Frame, ...] = ()
    native_stack: str | None = None


class FaultPlace(Record):
    """What was found of a fault's place after the death.

    ip: the address of the Linux log's line that it was looked up for, as printed; None: without one.
    path: the file that was mapped there; offset: in the file. symbol: as its ELF names the function,
    mangled or not. unknown: what could not be found out, and why, in words.
    """

    ip: str | None = None
    path: str | None = None
    offset: int | None = None
    symbol: str | None = None
    package: str | None = None
    version: str | None = None
    unknown: tuple[str, ...] = ()
    trace: CrashTrace | None = None


@dataclass(frozen=True, slots=True)
class MappedFile:
    """A file that a process executed from, as /proc/PID/maps has it.

    start: the address that offset stands at. is_deleted: no name leads to it any more.
    """

    start: int
    offset: int
    inode: int
    path: str
    is_deleted: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that a living process had open to write: perhaps faulthandler's."""

    path: str
    inode: int
