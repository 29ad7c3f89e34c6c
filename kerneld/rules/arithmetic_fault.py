"""Native code divided an integer by zero, or the smallest by -1: SIGFPE.

Source: `exc_divide_error` in https://github.com/torvalds/linux/blob/v6.12/arch/x86/kernel/traps.c
"""

import signal

from kerneld.model.case import Case
from kerneld.model.faults import FatalSignal
from kerneld.model.verdict import Verdict
from kerneld.model.vocabulary import Cause

NEEDS = ("exit", "linux-log")
REFINES: frozenset[Cause] = frozenset()

FAULT = FatalSignal(
    cause=Cause.ARITHMETIC_FAULT,
    number=signal.SIGFPE,
    kinds=("divide_error",),
    did="crashed with an arithmetic fault",
    why="Compiled code divided an integer by zero; Python's own division raises an error instead.",
)


def judge(case: Case) -> Verdict | None:
    return FAULT.judge(case)
