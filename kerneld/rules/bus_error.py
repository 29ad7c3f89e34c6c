"""Native code touched a mapped file or shared memory that has nothing behind it: SIGBUS.

Source: https://man7.org/linux/man-pages/man2/mmap.2.html (SIGBUS); Linux writes no line for a
truncated file, nor for a full /dev/shm.
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.BUS_ERROR,
    number=signal.SIGBUS,
    kinds=("bus_error",),
    did="crashed with a bus error",
    why="A memory-mapped file was cut short or unreadable, or shared memory (/dev/shm) was full.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
